//! A secret that would be recognised anywhere, and every output in which it must not be: what is printed, and core files.

use std::fmt::Debug;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, dumpable_behavior};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sigchain::agent::Agent;
use sigchain::digest::Digest;
use sigchain::key::{PublicKey, Purpose, SigningKey};
use sigchain::keyfile::{self, Keys, Passphrase};
use sigchain::signer::{Signer, Statement};
use sigchain::text;
use tempfile::TempDir;

use crate::keys::left_out;
use crate::support::{Random, rounds};

const CHILD: &str = "SIGCHAIN_TEST_CORE";

/// The canary. Made when it is needed, so that it is not among the constants of this binary.
fn seed() -> [u8; 32] {
    let mut random = Random::new(0x_ca_9a_47);
    random.bytes()
}

fn canary() -> SigningKey {
    SigningKey::from_seed(&seed()).unwrap()
}

/// What betrays the secret: any 16 bytes of it, as they are or in a text form.
struct Needles(Vec<Vec<u8>>);

impl Needles {
    fn new(seed: &[u8; 32]) -> Self {
        let mut needles = Vec::new();
        let mut windows = |text: &str, length: usize| {
            needles.extend(text.as_bytes().windows(length).map(<[u8]>::to_vec));
        };
        windows(&text::hex(seed), 32);
        windows(&text::hex(seed).to_uppercase(), 32);
        // Base64 of a longer thing has the seed at any of three offsets; its ends depend on what is around.
        for before in 0..3 {
            let bytes = [&vec![0; before][..], seed].concat();
            for text in [text::base64(&bytes), text::base64url(&bytes)] {
                windows(&text[4..40], 20);
            }
        }
        needles.extend(seed.windows(16).map(<[u8]>::to_vec));
        for window in seed.windows(16) {
            for separator in [", ", ",", " ", ",\n    "] {
                let decimal: Vec<_> = window.iter().map(u8::to_string).collect();
                needles.push(decimal.join(separator).into_bytes());
            }
            needles.push(window.escape_ascii().to_string().into_bytes());
        }
        Self(needles)
    }

    fn are_in(&self, haystack: &[u8]) -> bool {
        // By first bytes: a core file has many megabytes, and there are hundreds of needles.
        let mut by_first = vec![Vec::new(); 256];
        for needle in &self.0 {
            by_first[usize::from(needle[0])].push(needle);
        }
        let at = |i: usize| by_first[usize::from(haystack[i])].iter();
        (0..haystack.len()).any(|i| at(i).any(|needle| haystack[i..].starts_with(needle)))
    }
}

#[test]
fn the_needles_find_the_secret_in_every_form() {
    let (seed, needles) = (seed(), Needles::new(&seed()));
    let pem = canary().to_pem().unwrap();
    let forms = [
        seed.to_vec(),
        text::hex(&seed).into_bytes(),
        text::hex(&seed[8..24]).into_bytes(),
        text::base64(&seed).into_bytes(),
        text::base64url(&seed).into_bytes(),
        format!("{seed:?}").into_bytes(),
        format!("{seed:#?}").into_bytes(),
        format!("{:?}", String::from_utf8_lossy(&seed[..0])).into_bytes(),
        pem.clone().into_bytes(),
        seed[5..21].to_vec(),
    ];
    for (n, form) in forms.iter().enumerate() {
        assert_eq!(needles.are_in(form), n != 7, "{n}");
    }
    assert!(!needles.are_in(canary().public().to_pem().as_bytes()));
    assert!(!needles.are_in(&seed[..15]));
}

/// All that has been shown.
struct Shown {
    needles: Needles,
    count: usize,
}

impl Shown {
    fn check(&mut self, text: &str) {
        self.count += 1;
        assert!(!self.needles.are_in(text.as_bytes()), "the secret is in: {text}");
    }

    fn debug(&mut self, value: &(impl Debug + ?Sized)) {
        self.check(&format!("{value:?}"));
        self.check(&format!("{value:#?}"));
    }

    fn error(&mut self, error: &dyn std::error::Error) {
        self.debug(error);
        let mut next = Some(error);
        while let Some(error) = next {
            self.check(&error.to_string());
            next = error.source();
        }
    }
}

/// Texts that are nearly the key file of this key.
fn corruptions(pem: &str) -> Vec<String> {
    let mut random = Random::new(62);
    let mut texts: Vec<String> = (0..pem.len()).map(|end| pem[..end].to_owned()).collect();
    for _ in 0..rounds(300, 30_000) {
        let mut text = pem.as_bytes().to_vec();
        let at = random.below(text.len());
        text[at] = b' ' + u8::try_from(random.below(95)).unwrap();
        texts.push(String::from_utf8(text).unwrap());
    }
    texts.push(format!("x{pem}"));
    texts.push(format!("{pem}x"));
    texts.push(pem.replace("PRIVATE", "PUBLIC"));
    texts.push(pem.replace("BEGIN", "BEGIN ENCRYPTED").replace("END", "END ENCRYPTED"));
    texts.push(pem.replace('\n', "\r\n\r\n"));
    // Whole base64 of DER that is damaged: decoded, and then refused.
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = text::parse_base64(&body).unwrap();
    for at in 0..16 {
        let mut other = der.clone();
        other[at] ^= 1;
        texts.push(pem.replace(&body, &text::base64(&other)));
    }
    texts.push(pem.replace(&body, &text::base64(&[&der[..], &[0; 3]].concat())));
    texts
}

#[test]
fn nothing_that_is_printed_holds_the_secret() {
    let mut shown = Shown { needles: Needles::new(&seed()), count: 0 };
    let (key, dir) = (canary(), TempDir::new().unwrap());
    shown.debug(&key);
    shown.debug(&Ok::<_, ()>(Some(key.clone())));
    let signer: &dyn Signer = &key;
    shown.debug(signer);
    shown.error(&signer.sign(&Statement::Note("\0")).unwrap_err());
    shown.debug(&signer.sign(&Statement::Digest(Purpose::Entry, &Digest::ZERO)));
    let keys = Keys::at(dir.path().join("keys")).unwrap();
    shown.debug(&keys);
    let pem = key.to_pem().unwrap();
    shown.debug(&Passphrase::Given(&pem));
    shown.debug(&Passphrase::Given(&text::hex(&seed())));

    keys.store(&key, None).unwrap();
    shown.error(&keys.store(&key, None).unwrap_err());
    shown.error(&keys.load(key.id(), Passphrase::Given(&text::hex(&seed()))).unwrap_err());
    let path = keys.path(key.id());
    for text in corruptions(&pem) {
        fs::write(&path, &text).unwrap();
        for passphrase in [Passphrase::None, Passphrase::Given("x")] {
            match keyfile::read(&path, passphrase) {
                Ok(read) => shown.debug(&read),
                Err(error) => shown.error(&error),
            }
        }
        if let Err(error) = SigningKey::from_pem(&text) {
            shown.error(&error);
        }
        if let Err(error) = PublicKey::from_pem(&text) {
            shown.error(&error);
        }
    }
    fs::remove_file(&path).unwrap();
    keyfile::write(&path, &key, Some(&pem)).unwrap();
    shown.check(&fs::read_to_string(&path).unwrap());
    shown.error(&keys.load(key.id(), Passphrase::None).unwrap_err());
    shown.error(&keys.load(key.id(), Passphrase::Given("x")).unwrap_err());
    let mut ask = || Err(std::io::ErrorKind::Interrupted.into());
    shown.error(&keys.load(key.id(), Passphrase::Ask(&mut ask)).unwrap_err());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    shown.error(&keys.load(key.id(), Passphrase::Given(&pem)).unwrap_err());
    assert!(shown.count > 1000, "{}", shown.count);
}

/// An agent that holds the secret, and whose answers are made of it: none is shown.
#[test]
fn no_error_of_an_agent_repeats_what_the_agent_said() {
    let mut shown = Shown { needles: Needles::new(&seed()), count: 0 };
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let seed = seed();
    let string = |bytes: &[u8]| -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    };
    let key = [string(b"ssh-ed25519"), string(&[&seed[..], b"!"].concat())].concat();
    let answers = [
        seed.to_vec(),
        string(&seed),
        string(&[&[12], &seed[..]].concat()),
        string(&[&[12, 0, 0, 0, 1], &string(&seed)[..], &string(&seed)].concat()),
        string(&[&[12, 0, 0, 0, 1], &string(&key)[..], &string(&seed)].concat()),
        string(&[&[5], &seed[..]].concat()),
    ];
    let count = answers.len();
    let server = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 5]).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    for _ in 0..count {
        let agent = Agent::connect(&path).unwrap();
        shown.debug(&agent);
        shown.error(&agent.identities().unwrap_err());
    }
    server.join().unwrap();
}

/// What the child does before it aborts. The key file is `key.pem` in its working directory.
fn child(what: &str) {
    // Undone by `forbid_core_dumps`, where that is tried. Nothing to be done if the limit is a hard one: no core then.
    let unlimited = Rlimit { current: None, maximum: getrlimit(Resource::Core).maximum };
    let _ = setrlimit(Resource::Core, unlimited);
    let path = Path::new("key.pem");
    let given = || Passphrase::Given("sesame");
    let key = match what {
        "holds" => keyfile::read(path, Passphrase::None).ok(),
        "forbids" => {
            let done = keyfile::forbid_core_dumps();
            assert!(done.are_limited && done.to_string().contains("no core"), "{done}");
            // Where crashes go to a program the limit does not apply; the kernel must have been told.
            #[cfg(target_os = "linux")]
            assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
            assert_eq!(done.are_undumpable, cfg!(target_os = "linux"));
            assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
            keyfile::read(path, Passphrase::None).ok()
        }
        "has dropped" => {
            drop(keyfile::read(path, Passphrase::None).unwrap());
            None
        }
        "has written" => {
            let key = keyfile::read(path, Passphrase::None).unwrap();
            keyfile::write(Path::new("open.pem"), &key, None).unwrap();
            keyfile::write(Path::new("closed.pem"), &key, Some("sesame")).unwrap();
            None
        }
        "has decrypted" => {
            drop(keyfile::read(path, given()).unwrap());
            None
        }
        "was refused" => {
            keyfile::read(path, Passphrase::None).unwrap_err();
            None
        }
        other => panic!("{other}"),
    };
    assert_eq!(key.is_some(), ["holds", "forbids"].contains(&what));
    // Where a compiler cannot leave it out.
    std::hint::black_box(&key);
    std::process::abort();
}

#[test]
fn core_child() {
    if let Ok(what) = std::env::var(CHILD) {
        child(&what);
    }
}

/// The core file of a child that did this and aborted, if there is one.
fn core_of(what: &str, content: &dyn Fn(&Path)) -> Option<Vec<u8>> {
    let dir = TempDir::new().unwrap();
    content(&dir.path().join("key.pem"));
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "canary::core_child", "--nocapture"])
        .env(CHILD, what)
        .current_dir(dir.path())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&run.stderr).into_owned();
    let signal = std::os::unix::process::ExitStatusExt::signal(&run.status);
    assert_eq!(signal, Some(6), "{what}: the child did not abort: {output}");
    assert!(!output.contains("panicked"), "{what}: {output}");
    let entries = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap());
    let mut cores = entries.filter(|e| e.file_name().to_string_lossy().contains("core"));
    cores.next().map(|core| fs::read(core.path()).unwrap())
}

fn open_file(path: &Path) {
    keyfile::write(path, &canary(), None).unwrap();
}

fn closed_file(path: &Path) {
    keyfile::write(path, &canary(), Some("sesame")).unwrap();
}

/// The file of this key with its base64 whole and its DER wrong in this byte, or too long.
fn damaged_file(path: &Path, at: Option<usize>) {
    let pem = canary().to_pem().unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = text::parse_base64(&body).unwrap();
    match at {
        Some(at) => der[at] ^= 1,
        None => der.extend([0; 3]),
    }
    fs::write(path, pem.replace(&body, &text::base64(&der))).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn no_core_file_holds_the_secret_once_that_was_forbidden() {
    let needles = Needles::new(&seed());
    // First that the test can see a secret at all.
    let Some(core) = core_of("holds", &open_file) else {
        let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
        let is_elsewhere = pattern.contains('/') || pattern.starts_with('|') || pattern.is_empty();
        let is_limited = getrlimit(Resource::Core).maximum == Some(0);
        assert!(is_elsewhere || is_limited, "no core file, though core_pattern is {pattern:?}");
        return left_out(&format!(
            "core files: core_pattern is {pattern:?}, hard limit zero: {is_limited}"
        ));
    };
    assert!(needles.are_in(&core), "a key that is held is not in the core file");
    let core = core_of("forbids", &open_file);
    assert!(core.is_none_or(|core| !needles.are_in(&core)), "in spite of forbid_core_dumps");
    // And what is done with is wiped: there is a core file, and the secret is not in it.
    let is_wiped = |what: &str, content: &dyn Fn(&Path)| {
        let core = core_of(what, content).expect("a core file, as before");
        assert!(!needles.are_in(&core), "{what}: the secret is still in memory");
    };
    is_wiped("has dropped", &open_file);
    is_wiped("has written", &open_file);
    is_wiped("has decrypted", &closed_file);
    is_wiped("was refused", &|path| damaged_file(path, Some(0)));
    is_wiped("was refused", &|path| damaged_file(path, Some(10)));
    is_wiped("was refused", &|path| damaged_file(path, None));
}
