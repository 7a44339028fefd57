//! Key files, written and read, alone and by OpenSSL; what is wrong with a file, and what a hostile one could ask for; public
//! keys as PEM and vkey.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::Encode as _;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::pem::{self, LineEnding};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{self, Kdf, Pbkdf2Params, Pbkdf2Prf, Salt, ScryptParams};
use rustix::fs::Mode;
use rustix::process::{geteuid, umask};
use sigchain::checkpoint;
use sigchain::key::{PublicKey, SigningKey};
use sigchain::keyfile::{self, FileError, Keys, Passphrase, Problem};
use sigchain::text;
use tempfile::TempDir;

use crate::support::{Random, key, rounds};

const NOBODY: u32 = 65534;
const CHILD: &str = "SIGCHAIN_TEST_CHILD";

/// Runs this one test again in a process of its own, as a user that file modes apply to, and in a directory of that user's:
/// root reads everything, and a test that runs as root proves nothing about who may. True in that process; elsewhere the
/// child has run already, and passed.
fn is_child(name: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        assert!(!geteuid().is_root(), "setpriv left us root");
        return true;
    }
    let dir = TempDir::new().unwrap();
    let binary = std::env::current_exe().unwrap();
    let mut command = Command::new(&binary);
    if geteuid().is_root() {
        std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
    }
    command.args(["--exact", &format!("keyfile::{name}"), "--nocapture"]).env(CHILD, "1");
    command.env("TMPDIR", dir.path()).current_dir(dir.path());
    let run = command.output().expect("setpriv must run: install util-linux");
    let output = [run.stdout, run.stderr].concat();
    let output = String::from_utf8_lossy(&output);
    assert!(run.status.success() && output.contains("1 passed"), "{name}: {output}");
    false
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// A file of mode 0600.
fn file(dir: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, content).unwrap();
    set_mode(&path, 0o600);
    path
}

fn read(path: &Path) -> Result<SigningKey, FileError> {
    keyfile::read(path, Passphrase::None)
}

/// What reading must end in: an error that names the file, says what was expected, and has this part.
fn refused(result: Result<SigningKey, FileError>, part: &str) -> FileError {
    let error = result.unwrap_err();
    let shown = error.to_string();
    assert!(shown.contains(part), "expected \"{part}\" in: {shown}");
    assert!(shown.contains(error.path().to_str().unwrap()), "{shown}");
    assert!(shown.contains("expected") || matches!(error.problem(), Problem::Io(..)), "{shown}");
    error
}

macro_rules! assert_problem {
    ($error:expr, $pattern:pat $(if $guard:expr)?) => {
        let error: FileError = $error;
        assert!(matches!(error.problem(), $pattern $(if $guard)?), "{error:?}");
    };
}

#[test]
fn a_key_file_is_its_owners_alone_whatever_the_umask() {
    if !is_child("a_key_file_is_its_owners_alone_whatever_the_umask") {
        return;
    }
    let dir = TempDir::new().unwrap();
    for (n, mask) in [0o777, 0o277, 0o022, 0].into_iter().enumerate() {
        let path = dir.path().join(n.to_string());
        let before = umask(Mode::from_raw_mode(mask));
        let written = keyfile::write(&path, &key(1), None);
        umask(before);
        written.unwrap();
        assert_eq!(mode(&path), 0o600, "umask {mask:o}");
        assert_eq!(read(&path).unwrap().id(), key(1).id());
    }
    let path = dir.path().join("0");
    let other = keyfile::write(&path, &key(2), None).unwrap_err();
    assert_problem!(other, Problem::Exists);
    assert_eq!(read(&path).unwrap().id(), key(1).id(), "it was overwritten");
    // Nor through a link to a file that is not there yet.
    symlink(dir.path().join("target"), dir.path().join("link")).unwrap();
    let other = keyfile::write(&dir.path().join("link"), &key(2), None).unwrap_err();
    assert_problem!(other, Problem::Exists);
    assert!(!dir.path().join("target").exists());
    let nowhere = keyfile::write(&dir.path().join("no/key"), &key(2), None).unwrap_err();
    assert_problem!(nowhere, Problem::Io("create it", _));
    let empty = keyfile::write(&dir.path().join("new"), &key(2), Some("")).unwrap_err();
    assert_problem!(empty, Problem::PassphraseEmpty);
    assert!(!dir.path().join("new").exists());
}

#[test]
fn a_file_that_others_can_reach_is_refused() {
    if !is_child("a_file_that_others_can_reach_is_refused") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    keyfile::write(&path, &key(1), None).unwrap();
    for bits in [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o444, 0o4666] {
        set_mode(&path, bits);
        let error = refused(read(&path), &format!("`chmod 600 {}`", path.display()));
        assert!(error.to_string().contains(&format!("mode {bits:04o}")), "{error}");
        assert_problem!(error, Problem::Mode { found, expected: 0o600 } if *found == bits);
    }
    set_mode(&path, 0o200);
    assert_problem!(refused(read(&path), "cannot open it"), Problem::Io("open it", _));
    for bits in [0o400, 0o600] {
        set_mode(&path, bits);
        assert_eq!(read(&path).unwrap().id(), key(1).id());
    }
    // Of somebody else, though readable.
    let error = refused(read(Path::new("/etc/passwd")), "`chown ");
    let own = geteuid().as_raw();
    assert_problem!(error, Problem::Owner { found: 0, expected } if *expected == own);
    let error = refused(read(&dir.path().join("none")), "cannot open it");
    assert_problem!(error, Problem::Io("open it", _));
}

#[test]
fn root_reads_its_own_key_files_only() {
    if !geteuid().is_root() {
        return crate::keys::left_out("root reads its own key files only: we are not root");
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    keyfile::write(&path, &key(1), None).unwrap();
    assert!(read(&path).is_ok());
    std::os::unix::fs::chown(&path, Some(NOBODY), None).unwrap();
    let error = refused(read(&path), &format!("`chown 0 {}`", path.display()));
    assert_problem!(error, Problem::Owner { found: NOBODY, expected: 0 });
}

#[test]
fn what_is_no_plain_file_is_refused_at_once() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    keyfile::write(&path, &key(1), None).unwrap();
    let link = dir.path().join("a link");
    symlink(&path, &link).unwrap();
    let quoted = format!("`readlink -f '{}'`", link.display());
    assert_problem!(refused(read(&link), &quoted), Problem::Symlink);
    let dangling = dir.path().join("dangling");
    symlink("nowhere", &dangling).unwrap();
    assert_problem!(refused(read(&dangling), "symbolic link"), Problem::Symlink);
    assert_problem!(refused(read(dir.path()), "a directory"), Problem::Kind(_));
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg("-m600").arg(&fifo).status().unwrap().success());
    let started = Instant::now();
    assert_problem!(refused(read(&fifo), "no regular file"), Problem::Kind(_));
    assert!(started.elapsed() < Duration::from_secs(5), "it waited for a writer");
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert!(read(&socket).is_err());
    assert_problem!(refused(read(Path::new("/dev/zero")), "regular"), Problem::Kind(_));
    let second = dir.path().join("second");
    fs::hard_link(&path, &second).unwrap();
    assert_problem!(refused(read(&path), "-samefile"), Problem::Links(2));
    fs::remove_file(second).unwrap();
    assert!(read(&path).is_ok());
}

#[test]
fn what_holds_no_key_is_refused() {
    let dir = TempDir::new().unwrap();
    let pem = key(1).to_pem().unwrap();
    let long = file(dir.path(), "long", &[b'\n'; 4097]);
    assert_problem!(refused(read(&long), "4097 bytes"), Problem::Length(4097));
    let full = file(dir.path(), "full", &[b'\n'; 4096]);
    assert_problem!(refused(read(&full), "PKCS#8"), Problem::NotAKey(_));
    let openssh = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
    let ssh = file(dir.path(), "ssh", openssh.as_bytes());
    assert_problem!(refused(read(&ssh), "ssh-add"), Problem::NotAKey(_));
    let public = file(dir.path(), "public", key(1).public().to_pem().as_bytes());
    assert_problem!(refused(read(&public), "a public key"), Problem::NotAKey(_));
    let noted = format!("Note\n{pem}");
    for (n, content) in ["", "\u{fffd}", &noted, &pem.repeat(2)].into_iter().enumerate() {
        let path = file(dir.path(), &n.to_string(), content.as_bytes());
        assert_problem!(refused(read(&path), "PKCS#8"), Problem::NotAKey(_));
    }
    let bytes = file(dir.path(), "bytes", &[0xff; 48]);
    assert_problem!(refused(read(&bytes), "no text"), Problem::NotAKey(_));
    // Not its path either does anything to the terminal, or to a shell.
    let evil = file(dir.path(), "a'b\u{1b}[2J", b"");
    set_mode(&evil, 0o644);
    let shown = read(&evil).unwrap_err().to_string();
    assert!(!shown.contains('\u{1b}') && shown.contains("chmod 600 PATH"), "{shown}");
    let quoted = file(dir.path(), "a'; b", b"");
    set_mode(&quoted, 0o644);
    assert!(read(&quoted).unwrap_err().to_string().contains(r"a'\''; b'"));
}

#[test]
fn a_passphrase_opens_the_file_and_nothing_else_does() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    keyfile::write(&path, &key(1), Some("correct horse")).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    assert_eq!(mode(&path), 0o600);
    let given = |passphrase| keyfile::read(&path, Passphrase::Given(passphrase));
    assert_eq!(given("correct horse").unwrap().id(), key(1).id());
    assert_problem!(refused(given("correct house"), "does not open"), Problem::PassphraseWrong);
    assert_problem!(refused(read(&path), "found none"), Problem::PassphraseMissing);
    let mut asked = 0;
    let mut ask = || {
        asked += 1;
        Ok("correct horse".to_owned())
    };
    assert!(keyfile::read(&path, Passphrase::Ask(&mut ask)).is_ok());
    let open = dir.path().join("open");
    keyfile::write(&open, &key(1), None).unwrap();
    assert!(keyfile::read(&open, Passphrase::Ask(&mut ask)).is_ok());
    assert_eq!(asked, 1, "an open file needs no passphrase");
    let error = refused(keyfile::read(&open, Passphrase::Given("x")), "the key is open");
    assert_problem!(error, Problem::PassphraseUnneeded);
    let mut no_answer = || Err(std::io::ErrorKind::UnexpectedEof.into());
    let error = refused(keyfile::read(&path, Passphrase::Ask(&mut no_answer)), "cannot ask");
    assert_problem!(error, Problem::Io(..));
    // Twice the same is never written: neither salt nor vector are used again.
    let again = dir.path().join("again");
    keyfile::write(&again, &key(1), Some("correct horse")).unwrap();
    assert_ne!(fs::read_to_string(again).unwrap(), text);
}

fn openssl(arguments: &[&str], path: &Path) -> Vec<u8> {
    let mut command = Command::new("openssl");
    for argument in arguments {
        match *argument {
            "FILE" => command.arg(path),
            argument => command.arg(argument),
        };
    }
    let run = command.output().expect("openssl must run: install openssl");
    assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    run.stdout
}

#[test]
fn openssl_reads_what_we_write_and_we_what_it_writes() {
    let dir = TempDir::new().unwrap();
    let public = |path: &Path, passphrase: &str| {
        let pass = format!("pass:{passphrase}");
        openssl(&["pkey", "-in", "FILE", "-passin", &pass, "-pubout"], path)
    };
    let ours = dir.path().join("ours");
    keyfile::write(&ours, &key(1), Some("sesame")).unwrap();
    assert_eq!(public(&ours, "sesame"), key(1).public().to_pem().as_bytes());
    let asn1 = String::from_utf8(openssl(&["asn1parse", "-in", "FILE"], &ours)).unwrap();
    assert!(asn1.contains("PBES2") && asn1.contains(":scrypt"), "{asn1}");
    assert!(asn1.contains("aes-256-cbc"), "{asn1}");
    let open = dir.path().join("open");
    keyfile::write(&open, &key(2), None).unwrap();
    assert_eq!(public(&open, ""), key(2).public().to_pem().as_bytes());

    let generate = ["genpkey", "-algorithm", "ed25519", "-out", "FILE"];
    let pass = ["-aes-256-cbc", "-pass", "pass:sesame"];
    let (plain, pbkdf2) = (dir.path().join("plain"), dir.path().join("pbkdf2"));
    openssl(&generate, &plain);
    openssl(&[&generate[..], &pass].concat(), &pbkdf2);
    let from = ["pkcs8", "-topk8", "-in", plain.to_str().unwrap(), "-out", "FILE"];
    let scrypt = dir.path().join("scrypt");
    openssl(&[&from[..], &["-scrypt", "-passout", "pass:sesame"]].concat(), &scrypt);
    for (path, passphrase) in [(&plain, ""), (&pbkdf2, "sesame"), (&scrypt, "sesame")] {
        set_mode(path, 0o600);
        let given =
            if passphrase.is_empty() { Passphrase::None } else { Passphrase::Given(passphrase) };
        let read = keyfile::read(path, given).unwrap();
        let pem = public(path, passphrase);
        assert_eq!(read.public().to_pem().as_bytes(), pem, "{}", path.display());
        let pem = String::from_utf8(pem).unwrap();
        assert_eq!(PublicKey::from_pem(&pem).unwrap(), *read.public());
    }
    // A key of another kind is told from a wrong passphrase.
    let other = dir.path().join("other");
    let x25519 = [&["genpkey", "-algorithm", "x25519", "-out", "FILE"], &pass[..]].concat();
    openssl(&x25519, &other);
    set_mode(&other, 0o600);
    let error = refused(keyfile::read(&other, Passphrase::Given("sesame")), "another algorithm");
    assert_problem!(error, Problem::NotAKey(_));
}

fn scrypt(n: u64, r: u16, p: u16) -> Kdf {
    let salt = Salt::new([7; 16]).unwrap();
    let (cost_parameter, block_size, parallelization) = (n, r, p);
    let key_length = None;
    Kdf::Scrypt(ScryptParams { salt, cost_parameter, block_size, parallelization, key_length })
}

fn pbkdf2(iteration_count: u32) -> Kdf {
    let (salt, prf) = (Salt::new([7; 16]).unwrap(), Pbkdf2Prf::HmacWithSha256);
    Kdf::Pbkdf2(Pbkdf2Params { salt, iteration_count, key_length: None, prf })
}

fn encrypted_der(kdf: Kdf, data: &[u8]) -> Vec<u8> {
    let encryption = pbes2::EncryptionScheme::Aes256Cbc { iv: [9; 16] };
    let encryption_algorithm = EncryptionScheme::from(pbes2::Parameters { kdf, encryption });
    let encrypted_data = OctetStringRef::new(data).unwrap();
    EncryptedPrivateKeyInfoRef { encryption_algorithm, encrypted_data }.to_der().unwrap()
}

fn encrypted_pem(der: &[u8]) -> String {
    pem::encode_string("ENCRYPTED PRIVATE KEY", LineEnding::LF, der).unwrap()
}

#[test]
fn a_file_that_asks_for_too_much_is_refused_before_it_gets_any() {
    let dir = TempDir::new().unwrap();
    let costs = [
        scrypt(1 << 17, 8, 1),
        scrypt(1 << 40, 8, 1),
        scrypt(1 << 63, 65535, 65535),
        scrypt(1 << 14, 65535, 1),
        scrypt(2, 33, 1),
        scrypt(2, 1, 17),
        scrypt(1 << 14, 8, 65535),
        scrypt(1 << 16, 8, 9),
        pbkdf2(4_000_001),
        pbkdf2(u32::MAX),
    ];
    for (n, kdf) in costs.into_iter().enumerate() {
        let content = encrypted_pem(&encrypted_der(kdf.clone(), &[0; 64]));
        let path = file(dir.path(), &n.to_string(), content.as_bytes());
        let mut ask = || -> std::io::Result<String> { panic!("asked before it was refused") };
        let started = Instant::now();
        let error = refused(keyfile::read(&path, Passphrase::Ask(&mut ask)), "asks for");
        assert!(started.elapsed() < Duration::from_millis(200), "{kdf:?}");
        assert_problem!(error, Problem::Cost(_));
    }
    // What is not so much is paid, and what is no cost at all is an error.
    for (name, kdf) in [("64 MiB", scrypt(1 << 16, 8, 1)), ("rounds", pbkdf2(600_000))] {
        let content = encrypted_pem(&encrypted_der(kdf, &[0; 64]));
        let path = file(dir.path(), name, content.as_bytes());
        let error = refused(keyfile::read(&path, Passphrase::Given("x")), "does not open");
        assert_problem!(error, Problem::PassphraseWrong);
    }
    let none =
        [scrypt(0, 8, 1), scrypt(1, 8, 1), scrypt(3, 8, 1), scrypt(2, 0, 1), scrypt(2, 1, 0)];
    for (n, kdf) in none.into_iter().chain([pbkdf2(0)]).enumerate() {
        let content = encrypted_pem(&encrypted_der(kdf, &[0; 64]));
        let path = file(dir.path(), &format!("none {n}"), content.as_bytes());
        assert!(keyfile::read(&path, Passphrase::Given("x")).is_err());
    }
    // Nor does data of no or of half a block stop us.
    for length in [0, 1, 15, 17] {
        let content = encrypted_pem(&encrypted_der(pbkdf2(1), &vec![0; length]));
        let path = file(dir.path(), &format!("data {length}"), content.as_bytes());
        assert!(keyfile::read(&path, Passphrase::Given("x")).is_err());
    }
}

#[test]
fn damage_to_an_encrypted_file_is_an_error_or_another_key_that_its_name_betrays() {
    let dir = TempDir::new().unwrap();
    let keys = Keys::at(dir.path().join("keys")).unwrap();
    let path = keys.path(key(1).id());
    let pem = key(1).to_pem().unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let plain = text::parse_base64(&body).unwrap();
    let parameters = pbes2::Parameters {
        kdf: pbkdf2(1),
        encryption: pbes2::EncryptionScheme::Aes256Cbc { iv: [9; 16] },
    };
    let der = encrypted_der(pbkdf2(1), &parameters.encrypt("x", &plain).unwrap());
    let load = |content: &str| {
        file(dir.path(), &format!("keys/{}.pem", key(1).id()), content.as_bytes());
        keys.load(key(1).id(), Passphrase::Given("x"))
    };
    assert_eq!(load(&encrypted_pem(&der)).unwrap().id(), key(1).id());
    let mut random = Random::new(61);
    let mut named = 0;
    for at in 0..der.len() {
        assert!(load(&encrypted_pem(&der[..at])).is_err(), "cut at {at}");
        for _ in 0..rounds(2, 100) {
            let mut other = der.clone();
            other[at] ^= 1 << random.below(8);
            match load(&encrypted_pem(&other)) {
                Ok(read) => assert_eq!(read.id(), key(1).id(), "byte {at}"),
                Err(error) => named += usize::from(matches!(error.problem(), Problem::Name(_))),
            }
        }
    }
    assert!(named > 0, "no damage made another key: then CBC is not what it was");
    assert!(path.exists());
}

#[test]
fn keys_are_kept_under_their_ids_in_a_closed_directory() {
    if !is_child("keys_are_kept_under_their_ids_in_a_closed_directory") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let at = dir.path().join("home/keys");
    let keys = Keys::at(&at).unwrap();
    assert_eq!(mode(&at), 0o700);
    assert_eq!(mode(at.parent().unwrap()), 0o700);
    assert!(keys.list().unwrap().is_empty());
    let mut ids = Vec::new();
    for seed in 1..4 {
        let path = keys.store(&key(seed), None).unwrap();
        assert_eq!(path, at.join(format!("{}.pem", key(seed).id())));
        ids.push(key(seed).id());
    }
    assert_problem!(keys.store(&key(1), None).unwrap_err(), Problem::Exists);
    ids.sort_unstable();
    for other in ["x.pem", &format!("{}.pem", key(5).id().to_string().to_uppercase())] {
        fs::write(at.join(other), "").unwrap();
    }
    assert_eq!(keys.list().unwrap(), ids);
    assert_eq!(keys.load(ids[0], Passphrase::None).unwrap().id(), ids[0]);
    let missing = refused(keys.load(key(9).id(), Passphrase::None), "cannot open it");
    assert_problem!(missing, Problem::Io(..));
    // Under another key's name.
    fs::rename(keys.path(ids[0]), keys.path(key(9).id())).unwrap();
    let error = refused(keys.load(key(9).id(), Passphrase::None), &ids[0].to_string());
    assert_problem!(error, Problem::Name(found) if *found == ids[0]);
    for bits in [0o750, 0o705, 0o701, 0o777] {
        set_mode(&at, bits);
        for error in [
            keys.load(ids[1], Passphrase::None).unwrap_err(),
            keys.list().unwrap_err(),
            keys.store(&key(8), None).unwrap_err(),
            Keys::at(&at).unwrap_err(),
        ] {
            assert!(error.to_string().contains("`chmod 700 "), "{error}");
            assert_problem!(error, Problem::Mode { found, expected: 0o700 } if *found == bits);
        }
    }
    set_mode(&at, 0o700);
    let link = dir.path().join("link");
    symlink(&at, &link).unwrap();
    assert_problem!(Keys::at(&link).unwrap_err(), Problem::Symlink);
    assert_problem!(Keys::at("/etc").unwrap_err(), Problem::Owner { found: 0, .. });
    let plain = file(dir.path(), "plain", b"");
    assert!(Keys::at(&plain).is_err());
}

#[test]
fn home_is_where_the_environment_says() {
    // In the child: the environment belongs to all tests of a process.
    if std::env::var_os(CHILD).is_some() {
        let dir = std::env::current_dir().unwrap();
        assert_eq!(keyfile::home().unwrap(), dir.join("home"));
        let path = Keys::in_home().unwrap().store(&key(1), None).unwrap();
        assert_eq!(path, dir.join(format!("home/keys/{}.pem", key(1).id())));
        return;
    }
    let dir = TempDir::new().unwrap();
    let name = ["--exact", "keyfile::home_is_where_the_environment_says"];
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(name).env(CHILD, "1").current_dir(dir.path());
    let run = command.env("SIGCHAIN_HOME", dir.path().join("home")).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    assert!(dir.path().join("home/keys").exists());
    let run = command.env("SIGCHAIN_HOME", "home").output().unwrap();
    assert!(!run.status.success());
    assert!(String::from_utf8_lossy(&run.stdout).contains("HomeRelative"));
}

fn public_pem(bytes: &[u8]) -> String {
    let good = key(7).public().to_pem();
    let body: String = good.lines().filter(|line| !line.starts_with('-')).collect();
    let der = text::parse_base64(&body).unwrap();
    let der = text::base64(&[&der[..12], bytes].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
}

#[test]
fn pem_is_the_44_bytes_and_nothing_else() {
    let key = key(7);
    let good = key.public().to_pem();
    assert_eq!(good, public_pem(key.public().as_bytes()));
    assert_eq!(PublicKey::from_pem(&good).unwrap(), *key.public());
    assert_eq!(PublicKey::from_pem(&good.replace('\n', "\r\n")).unwrap(), *key.public());
    let found = |text: &str| PublicKey::from_pem(text).unwrap_err().found();
    assert!(found(&public_pem(&[0; 32])).contains("disagree"), "small order");
    assert!(found(&public_pem(&[1; 31])).contains("length"));
    assert!(found(&good.repeat(2)).contains("more than one"));
    assert!(found(good.trim_end_matches("-----\n")).contains("end line"));
    assert!(found(&key.to_pem().unwrap()).contains("private"));
    assert!(found("").contains("first line"));
    assert!(found(&good.replace("MCow", "MCox")).contains("algorithm"));
    assert!(found(&good.replace("MCow", "MC w")).contains("base64"));
    assert!(PublicKey::from_pem(&format!("x{good}")).is_err());
}

#[test]
fn a_vkey_binds_its_name() {
    let key = key(7);
    let vkey = checkpoint::vkey("example.org/x", key.public());
    let parse = |text: &str| checkpoint::parse_vkey(text);
    let (origin, public) = parse(&vkey).unwrap().unwrap();
    assert_eq!((origin.as_str(), &public), ("example.org/x", key.public()));
    let found = |text: &str| parse(text).unwrap().unwrap_err().found();
    assert!(found(&vkey.replace("/x", "/y")).contains("another name"));
    let (head, _) = vkey.rsplit_once('+').unwrap();
    let with = |bytes: &[u8]| format!("{head}+{}", text::base64(bytes));
    assert!(found(&with(&[&[2], &key.public().as_bytes()[..]].concat())).contains("algorithm"));
    assert!(found(&with(&[1; 32])).contains("length"));
    assert!(found(&with(&[&[1][..], &[0; 32]].concat())).contains("disagree"));
    assert!(parse("a+b.pem").is_none());
    assert!(parse(&vkey.to_uppercase()).is_none());
}
