//! What comes from outside: key files under a passphrase, an agent's answers, points and references as text.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use sigchain::agent::{Agent, AgentError, AgentSigner, Identity};
use sigchain::digest::Digest;
use sigchain::key::{PublicKey, Purpose, SigningKey};
use sigchain::keyfile::{self, Passphrase, Problem};
use sigchain::point::Point;
use sigchain::receipt::Reference;
use sigchain::signer::{Signer as _, Statement};
use sigchain::stamp::Stamp;
use sigchain::text;
use tempfile::TempDir;

const PASSPHRASE: &str = "sesame";
/// What a derivation may cost here; the library takes a thousand times as much, and would spend all the time on it.
const CHEAP: u64 = 1 << 11;
const SCRYPT: &[u8] = b"\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x04\x0b";
const PBKDF2: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";

/// A folder of this process. Replays run side by side, and each file is one's own.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().unwrap());

/// A key file under a passphrase, or what stands in one; behind a byte that says which.
pub fn encrypted_key(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    let pem = match data.first() {
        Some(0x30) => armoured(data),
        _ => data.to_vec(),
    };
    let path = FOLDER.path().join("key.pem");
    write(&path, &pem);
    let mut asked = 0;
    let passphrase = if how & 1 == 0 { PASSPHRASE } else { "simsim" };
    let mut ask = || {
        asked += 1;
        let cost = cost(&pem).ok_or_else(|| io::Error::other("not here"))?;
        assert!(cost <= 1 << 22, "asked for a passphrase before the cost was looked at");
        if cost <= CHEAP { Ok(passphrase.to_owned()) } else { Err(io::Error::other("not here")) }
    };
    let found = keyfile::read(&path, Passphrase::Ask(&mut ask));
    assert!(asked <= 1);
    let Ok(key) = found else { return };
    let is_open = asked == 0;
    if !is_open {
        let none = keyfile::read(&path, Passphrase::None).unwrap_err();
        assert!(matches!(none.problem(), Problem::PassphraseMissing), "{none}");
    }
    let given = keyfile::read(&path, Passphrase::Given(passphrase));
    assert_eq!(given.ok().map(|key| key.id()), (!is_open).then(|| key.id()), "another key");
    let again = FOLDER.path().join("again.pem");
    let _ = fs::remove_file(&again);
    keyfile::write(&again, &key, None).unwrap();
    assert_eq!(keyfile::read(&again, Passphrase::None).unwrap().id(), key.id(), "another key");
}

fn armoured(der: &[u8]) -> Vec<u8> {
    let base64 = text::base64(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let (label, lines) = ("ENCRYPTED PRIVATE KEY", lines.join("\n"));
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n").into_bytes()
}

fn write(path: &PathBuf, content: &[u8]) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(content).unwrap();
}

/// What the derivation in a file costs by its own account: N times r times p of scrypt, rounds of PBKDF2.
fn cost(pem: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(pem).ok()?;
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    let base64: String = lines.collect::<String>().split_whitespace().collect();
    let der = text::parse_base64(&base64)?;
    let behind = |oid: &[u8]| {
        let at = der.windows(oid.len()).position(|bytes| bytes == oid)?;
        der.get(at + oid.len()..)
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n: u64, byte| (n << 8) | u64::from(*byte));
    let (parameters, count) = match behind(SCRYPT) {
        Some(rest) => (rest, 3),
        None => (behind(PBKDF2)?, 1),
    };
    let (mut inner, _) = element(parameters)?;
    (_, inner) = element(inner)?;
    let mut cost = 1_u64;
    for _ in 0..count {
        let (value, rest) = element(inner)?;
        cost = cost.saturating_mul(number(value));
        inner = rest;
    }
    Some(cost)
}

/// The content of an element of DER whose length has one byte, and what follows it.
fn element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let ([_, length], rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(*length))
}

/// What the agent at the socket says next.
static ANSWER: Mutex<Answer> =
    Mutex::new(Answer { bytes: Vec::new(), is_framed: false, lists: false });
static AGENT: LazyLock<Agent> = LazyLock::new(|| {
    let path = FOLDER.path().join("agent");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // One whose client has gone away has nothing more to say.
            let _ = serve(stream.unwrap());
        }
    });
    Agent::connect(path).unwrap().with_timeout(Duration::from_secs(10))
});
static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_seed(&[2; 32]).unwrap());
static SIGNER: LazyLock<AgentSigner> = LazyLock::new(|| {
    ANSWER.lock().unwrap().lists = true;
    AGENT.signer_of(KEY.public()).unwrap()
});

struct Answer {
    bytes: Vec<u8>,
    /// Whether the length before it is made right.
    is_framed: bool,
    /// Whether a list of keys is what it should be, whatever else is asked for.
    lists: bool,
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn blob(key: &[u8]) -> Vec<u8> {
    [string(b"ssh-ed25519"), string(key)].concat()
}

/// One client after the other: there is one. After an answer nothing more is said, or a cut one would be waited for.
fn serve(mut stream: UnixStream) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut request = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        stream.read_exact(&mut request)?;
        let answer = ANSWER.lock().unwrap();
        if request == [11] && answer.lists {
            let list =
                [&[12, 0, 0, 0, 1][..], &string(&blob(KEY.public().as_bytes())), &string(b"ours")];
            stream.write_all(&string(&list.concat()))?;
        } else if answer.is_framed {
            stream.write_all(&string(&answer.bytes))?;
        } else {
            return stream.write_all(&answer.bytes);
        }
    }
}

/// An agent's answer, behind a byte that says what was asked and whether its length is right.
pub fn agent(data: &[u8]) {
    // Replays run side by side, and there is one agent.
    static ONE: Mutex<()> = Mutex::new(());
    let Some((how, answer)) = data.split_first() else { return };
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (signs, is_framed) = (how & 1 != 0, how & 2 != 0);
    let signer = &*SIGNER;
    *ANSWER.lock().unwrap() = Answer { bytes: answer.to_vec(), is_framed, lists: signs };
    let body = if is_framed { Some(answer) } else { framed(answer) };
    if signs {
        let digest = Digest::of(&[b"agent"]);
        let statement = Statement::Digest(Purpose::Entry, &digest);
        let right = body.and_then(|body| {
            let signature = body.last_chunk::<64>()?;
            let inner = string(&[string(b"ssh-ed25519"), string(signature)].concat());
            (body == [&[14][..], &inner].concat()).then_some(*signature)
        });
        let found = signer.sign(&statement).map(|signature| *signature.as_bytes()).ok();
        assert_eq!(found, right, "a signature that is none, or one that is not taken");
    } else {
        let found = AGENT.identities();
        assert!(!matches!(found, Err(AgentError::Timeout)), "waited for what cannot come");
        let found = found.ok().map(|list| list.iter().map(public_and_comment).collect());
        assert_eq!(found, body.and_then(list), "another list of keys");
    }
}

/// The answer that begins these bytes.
fn framed(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    rest.get(..length).filter(|body| !body.is_empty())
}

fn public_and_comment(identity: &Identity) -> ([u8; 32], String) {
    assert!(!identity.comment.chars().any(text::is_control), "a comment that steers a terminal");
    (*identity.public.as_bytes(), identity.comment.clone())
}

/// The keys in a list, as the draft of the protocol has it; nothing if it is none.
fn list(body: &[u8]) -> Option<Vec<([u8; 32], String)>> {
    let take = |bytes: &mut &[u8]| -> Option<Vec<u8>> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (string, rest) =
            rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        *bytes = rest;
        Some(string.to_vec())
    };
    let (count, mut rest) = body.strip_prefix(&[12])?.split_first_chunk::<4>()?;
    let mut found = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (key, comment) = (take(&mut rest)?, take(&mut rest)?);
        let (mut inner, mut kind) = (key.as_slice(), key.as_slice());
        if take(&mut kind)? != b"ssh-ed25519" {
            continue;
        }
        let (_, bytes) = (take(&mut inner)?, take(&mut inner)?);
        let bytes: [u8; 32] = bytes.try_into().ok().filter(|_| inner.is_empty())?;
        if PublicKey::from_bytes(&bytes).is_ok() {
            let comment = text::shown(&String::from_utf8_lossy(&comment), 100);
            found.push((bytes, comment));
        }
    }
    rest.is_empty().then_some(found)
}

/// A point, as a person types it.
pub fn point(data: &[u8]) {
    let Ok(typed) = std::str::from_utf8(data) else { return };
    let Ok(point) = Point::parse(typed) else { return };
    let shown = point.to_string();
    assert_eq!(Point::parse(&shown).unwrap(), point, "another point");
    assert_eq!(point.is_relative(), shown == "head" || shown.starts_with('-'));
    match point {
        Point::Event(_) => assert!(shown.eq_ignore_ascii_case(typed), "a second text"),
        // Any offset, and more or fewer digits of a second; but the day and the year are near.
        Point::Time(time) => assert_eq!(Point::parse(&time.to_string()).unwrap(), point),
        _ => assert_eq!(shown, typed, "a second text"),
    }
}

/// A reference, as it stands in a header.
pub fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(reference) = Reference::parse(text) else { return };
    assert_eq!(reference.to_string(), text, "a second text");
    assert_eq!(Stamp::from(reference), reference.stamp);
    assert!(text.is_ascii() && text.len() < 200, "no text for a header");
}
