//! The OpenSSH agent as a signer: a real one, and one that answers whatever hurts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use sigchain::agent::{Agent, AgentError, AgentSigner, fingerprint};
use sigchain::digest::Digest;
use sigchain::key::{Purpose, Signature, SigningKey};
use sigchain::signer::{Signer, Statement};
use tempfile::TempDir;

use crate::support::{key, rounds};

const INSTALL: &str = "is missing: install openssh-client (ssh-agent, ssh-add, ssh-keygen)";
const PATIENCE: Duration = Duration::from_millis(200);

/// A real agent, its keys and its socket in a directory of its own. It ends with the test, however that ends.
struct Real {
    dir: TempDir,
    agent: Child,
}

impl Drop for Real {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Real {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let askpass = dir.path().join("askpass");
        // Says the password of a locked agent; confirms only while the file `yes` is there.
        let script = "#!/bin/sh\ncase \"$*\" in Allow*) test -e \"${0%askpass}yes\";; *) echo sesame;; esac\n";
        fs::write(&askpass, script).unwrap();
        fs::set_permissions(&askpass, fs::Permissions::from_mode(0o700)).unwrap();
        let agent = Self::spawn(dir.path());
        Self { dir, agent }
    }

    fn spawn(dir: &Path) -> Child {
        let socket = dir.join("socket");
        let _ = fs::remove_file(&socket);
        let agent = Self::with_environment(Command::new("ssh-agent"), dir)
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("ssh-agent {INSTALL}: {error}"));
        let started = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "ssh-agent does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        agent
    }

    fn with_environment(mut command: Command, dir: &Path) -> Command {
        command.env("SSH_ASKPASS", dir.join("askpass")).env("SSH_ASKPASS_REQUIRE", "force");
        command.env("DISPLAY", ":none").env("SSH_AUTH_SOCK", dir.join("socket"));
        command.stdin(Stdio::null());
        command
    }

    fn stop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Self::with_environment(Command::new(program), self.dir.path())
            .args(arguments)
            .current_dir(self.dir.path())
            .output()
            .unwrap_or_else(|error| panic!("{program} {INSTALL}: {error}"))
    }

    fn ssh(&self, program: &str, arguments: &[&str]) -> String {
        let run = self.run(program, arguments);
        let errors = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{program} {arguments:?}: {errors}");
        String::from_utf8(run.stdout).unwrap()
    }

    /// A key file of that name and type, and the fingerprint that ssh-keygen gives it.
    fn key(&self, name: &str, kind: &str) -> String {
        self.ssh("ssh-keygen", &["-q", "-t", kind, "-N", "", "-C", "no comment", "-f", name]);
        let line = self.ssh("ssh-keygen", &["-l", "-f", name]);
        line.split(' ').nth(1).unwrap().to_owned()
    }

    fn connect(&self) -> Agent {
        Agent::connect(self.dir.path().join("socket")).unwrap()
    }
}

fn digest(n: u8) -> Digest {
    Digest::of(&[&[n]])
}

fn signs(signer: &AgentSigner, n: u8) -> Result<(), String> {
    let digest = digest(n);
    let note = format!("example.org/x\n{n}\n");
    let statements = [
        Statement::Digest(Purpose::Entry, &digest),
        Statement::Digest(Purpose::Seal, &digest),
        Statement::Note(&note),
    ];
    for statement in &statements {
        let signature = signer.sign(statement).map_err(|error| error.to_string())?;
        assert!(statement.is_signed_by(signer.public(), &signature), "{statement:?}");
    }
    Ok(())
}

#[test]
fn a_real_agent_signs() {
    let real = Real::start();
    let empty = real.connect();
    assert!(empty.identities().unwrap().is_empty());
    let [first, second] = ["first", "second"].map(|name| real.key(name, "ed25519"));
    real.key("other", "ecdsa");
    real.ssh("ssh-add", &["-q", "first", "second", "other"]);
    let agent = real.connect();
    let held = agent.identities().unwrap();
    let fingerprints: Vec<_> = held.iter().map(|held| fingerprint(&held.public)).collect();
    assert_eq!(fingerprints, [first.as_str(), &second], "and not the ecdsa one");
    assert_eq!(held[0].comment, "no comment");
    for name in [first, held[0].public.id().to_string()] {
        let signer = agent.signer(&name).unwrap();
        assert_eq!(signer.public(), &held[0].public);
        assert!(!signer.is_in_process());
        signs(&signer, 1).unwrap();
    }
    let signer = agent.signer_of(&held[1].public).unwrap();
    signs(&signer, 2).unwrap();
    assert!(signer.sign(&Statement::Note("a\0")).is_err());
    let missing = agent.signer_of(key(1).public()).unwrap_err();
    assert!(matches!(&missing, AgentError::NoSuchKey { held, .. } if held.len() == 2));
    let shown = missing.to_string();
    assert!(shown.contains(&fingerprint(key(1).public())) && shown.contains(&second), "{shown}");
    assert!(empty.identities().unwrap().len() == 2, "one connection outlives changes");
}

#[test]
fn many_threads_sign_at_once() {
    let real = Real::start();
    let name = real.key("key", "ed25519");
    real.ssh("ssh-add", &["-q", "key"]);
    let signer = real.connect().signer(&name).unwrap();
    thread::scope(|scope| {
        for thread in 0..12 {
            let signer = &signer;
            let count = u8::try_from(rounds(10, 200)).unwrap();
            scope.spawn(move || (0..count).for_each(|n| signs(signer, thread ^ n).unwrap()));
        }
    });
}

#[test]
fn what_a_real_agent_refuses_is_told_apart() {
    let real = Real::start();
    let name = real.key("key", "ed25519");
    real.key("second", "ed25519");
    real.ssh("ssh-add", &["-q", "key", "second"]);
    let agent = real.connect();
    let signer = agent.signer(&name).unwrap();
    let refused = |part: &str| {
        let error = signs(&signer, 1).unwrap_err();
        assert!(error.contains(part), "expected \"{part}\" in: {error}");
    };
    signs(&signer, 1).unwrap();
    real.ssh("ssh-add", &["-x"]);
    refused("is locked");
    assert!(agent.signer(&name).unwrap_err().to_string().contains("ssh-add -X"));
    real.ssh("ssh-add", &["-X"]);
    signs(&signer, 2).unwrap();
    real.ssh("ssh-add", &["-q", "-d", "key"]);
    refused("no more");
    real.ssh("ssh-add", &["-q", "-c", "key"]);
    refused("did not confirm");
    fs::write(real.dir.path().join("yes"), "").unwrap();
    signs(&signer, 3).unwrap();
    fs::remove_file(real.dir.path().join("yes")).unwrap();
    real.ssh("ssh-add", &["-q", "-D"]);
    refused("holds no key");
    real.ssh("ssh-add", &["-q", "key"]);
    signs(&signer, 4).unwrap();
}

#[test]
fn an_agent_that_dies_is_an_error_and_one_that_comes_back_is_found() {
    let mut real = Real::start();
    let name = real.key("key", "ed25519");
    real.ssh("ssh-add", &["-q", "key"]);
    let agent = real.connect();
    let signer = agent.signer(&name).unwrap();
    signs(&signer, 1).unwrap();
    real.stop();
    for _ in 0..3 {
        let error = signs(&signer, 2).unwrap_err();
        assert!(error.contains("no agent can be reached"), "{error}");
    }
    real.agent = Real::spawn(real.dir.path());
    assert!(signs(&signer, 3).unwrap_err().contains("holds no key"));
    real.ssh("ssh-add", &["-q", "key"]);
    signs(&signer, 4).unwrap();
    // Restarted between two signatures: the connection that was kept is dead, and nobody notices.
    real.stop();
    real.agent = Real::spawn(real.dir.path());
    real.ssh("ssh-add", &["-q", "key"]);
    signs(&signer, 5).unwrap();
    real.stop();
    let gone = Agent::connect(real.dir.path().join("socket")).unwrap_err();
    assert!(matches!(gone, AgentError::Unreachable(_)), "{gone}");
    let long = Agent::connect(PathBuf::from("x".repeat(200))).unwrap_err();
    assert!(matches!(long, AgentError::Unreachable(_)), "{long}");
}

/// What a fake agent does with one request.
enum Act {
    /// These bytes, and on to the next request.
    Say(Vec<u8>),
    /// These bytes, and the end.
    End(Vec<u8>),
    /// These bytes one at a time, with a pause before each.
    Drip(Vec<u8>, Duration),
    /// Nothing, and no end.
    Hang,
    /// Does not even read: for all requests of the connection.
    Deaf,
}

/// A fake agent: `act` sees the number of the connection and the kind of the request.
struct Fake {
    dir: TempDir,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(self.socket());
    }
}

impl Fake {
    fn start(act: impl Fn(usize, u8) -> Act + Send + Sync + 'static) -> Self {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        let (act, connections) = (Arc::new(act), Arc::new(AtomicUsize::new(0)));
        let is_over = Arc::new(AtomicBool::new(false));
        let (count, over) = (connections.clone(), is_over.clone());
        let open = Arc::new(AtomicUsize::new(0));
        let now_open = open.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let (act, over) = (act.clone(), over.clone());
                let n = count.fetch_add(1, Ordering::SeqCst);
                let now_open = now_open.clone();
                now_open.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    serve(stream.unwrap(), n, &*act, &over);
                    now_open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { dir, connections, open, is_over }
    }

    /// One that lists `key(1)`, and does this when asked to sign.
    fn signing(act: impl Fn(usize) -> Act + Send + Sync + 'static) -> (Self, AgentSigner) {
        let fake = Self::start(move |n, kind| match kind {
            11 => Act::Say(listing(&key(1))),
            _ => act(n),
        });
        let signer = fake.connect().signer_of(key(1).public()).unwrap();
        (fake, signer)
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    fn connect(&self) -> Agent {
        Agent::connect(self.socket()).unwrap().with_timeout(PATIENCE)
    }
}

fn serve(mut stream: UnixStream, n: usize, act: &dyn Fn(usize, u8) -> Act, over: &AtomicBool) {
    let hang = || {
        while !over.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
    };
    let mut length = [0; 4];
    loop {
        if matches!(act(n, 0), Act::Deaf) {
            return hang();
        }
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut request = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        if stream.read_exact(&mut request).is_err() {
            return;
        }
        match act(n, request[0]) {
            Act::Say(bytes) => drop(stream.write_all(&bytes)),
            Act::End(bytes) => return drop(stream.write_all(&bytes)),
            Act::Drip(bytes, pause) => {
                for byte in bytes {
                    thread::sleep(pause);
                    if stream.write_all(&[byte]).is_err() {
                        return;
                    }
                }
            }
            Act::Hang | Act::Deaf => return hang(),
        }
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn blob(key: &SigningKey) -> Vec<u8> {
    [string(b"ssh-ed25519"), string(key.public().as_bytes())].concat()
}

fn identities(count: u32, pairs: &[(Vec<u8>, &[u8])]) -> Vec<u8> {
    let mut body = [&[12], &count.to_be_bytes()[..]].concat();
    for (blob, comment) in pairs {
        body.extend([string(blob), string(comment)].concat());
    }
    string(&body)
}

fn listing(key: &SigningKey) -> Vec<u8> {
    identities(1, &[(blob(key), b"canary")])
}

fn statement_digest() -> Digest {
    digest(7)
}

fn signature(key: &SigningKey) -> Signature {
    key.sign(Purpose::Entry, &statement_digest())
}

fn response(kind: &[u8], signature: &[u8]) -> Vec<u8> {
    string(&[&[14], &string(&[string(kind), string(signature)].concat())[..]].concat())
}

fn good_response() -> Vec<u8> {
    response(b"ssh-ed25519", signature(&key(1)).as_bytes())
}

fn ask(signer: &AgentSigner) -> Result<Signature, String> {
    let digest = statement_digest();
    signer.sign(&Statement::Digest(Purpose::Entry, &digest)).map_err(|error| error.to_string())
}

/// A fake whose answer can be exchanged between requests.
fn told(kind: u8) -> (Fake, Arc<Mutex<Vec<u8>>>) {
    let answer = Arc::new(Mutex::new(Vec::new()));
    let said = answer.clone();
    let fake = Fake::start(move |_, asked| match asked {
        11 if kind != 11 => Act::Say(listing(&key(1))),
        _ => Act::End(said.lock().unwrap().clone()),
    });
    (fake, answer)
}

#[test]
fn every_damaged_signature_is_refused() {
    let (fake, answer) = told(13);
    let signer = fake.connect().signer_of(key(1).public()).unwrap();
    let good = good_response();
    let try_one = |bytes: &[u8]| {
        *answer.lock().unwrap() = bytes.to_vec();
        ask(&signer)
    };
    assert_eq!(try_one(&good).unwrap(), signature(&key(1)));
    for end in 0..good.len() {
        assert!(try_one(&good[..end]).is_err(), "cut at {end}");
    }
    for at in 0..good.len() - 64 {
        for value in [0, 1, 4, good[at].wrapping_add(1), good[at].wrapping_sub(1), 0x7f, 0xff] {
            let mut other = good.clone();
            other[at] = value;
            if other != good {
                let error = try_one(&other).unwrap_err();
                assert!(error.contains("agent"), "byte {at}: {error}");
            }
        }
    }
    // Only in the 64 bytes themselves nothing is seen here: the ledger looks at those.
    let mut other = good.clone();
    *other.last_mut().unwrap() ^= 1;
    let forged = try_one(&other).unwrap();
    assert!(!key(1).public().accepts(Purpose::Entry, &statement_digest(), &forged));

    let bytes = signature(&key(1));
    let bytes = bytes.as_bytes();
    let inner = [string(b"ssh-ed25519"), string(bytes)].concat();
    let garbage = [
        response(b"ssh-ed25519", &bytes[..63]),
        response(b"ssh-ed25519", &[&bytes[..], &[0]].concat()),
        response(b"ssh-ed25519", b""),
        response(b"rsa-sha2-512", bytes),
        response(b"ssh-ed25519\0", bytes),
        response(b"", bytes),
        // Bytes after the signature, after its string, and a second message for an answer.
        string(&[&[14], &string(&[&inner[..], &[0]].concat())[..]].concat()),
        string(&[&[14], &string(&inner)[..], &[0]].concat()),
        string(&[14]),
        string(&[5, 0]),
        string(&[6]),
        string(&[28]),
        string(&[12, 0, 0, 0, 0]),
        string(b""),
        string(b"SSH-2.0-OpenSSH_9.2\r\n"),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        [0xff; 64].to_vec(),
        262_145u32.to_be_bytes().to_vec(),
    ];
    for bytes in garbage {
        let error = try_one(&bytes).unwrap_err();
        assert!(error.contains("none of the protocol"), "{bytes:?}: {error}");
    }
    // As long as an answer may be, and still no signature.
    let long = string(&[&[14][..], &vec![0; 262_143]].concat());
    assert!(try_one(&long).unwrap_err().contains("none of the protocol"));
}

#[test]
fn every_damaged_list_of_keys_is_refused() {
    let (fake, answer) = told(11);
    let agent = fake.connect();
    let try_one = |bytes: &[u8]| {
        *answer.lock().unwrap() = bytes.to_vec();
        agent.identities()
    };
    let rsa = string(b"ssh-rsa");
    let good = identities(2, &[(rsa.clone(), b""), (blob(&key(1)), b"\x1b[2J")]);
    let held = try_one(&good).unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!((&held[0].public, held[0].comment.as_str()), (key(1).public(), "\\u{1b}[2J"));
    for end in 0..good.len() {
        assert!(try_one(&good[..end]).is_err(), "cut at {end}");
    }
    // Every byte of a length, wrong in both directions; but for what is within the key of another type.
    let lengths = (0..4).chain(5..13).chain(24..28).chain(28..36).chain(47..51).chain(83..87);
    for at in lengths {
        for value in [good[at].wrapping_add(1), good[at].wrapping_sub(1), 0xff] {
            let mut other = good.clone();
            other[at] = value;
            // Under another length of its type it is a key of another type: passed over, and none of ours.
            let is_other_type = |held: &[_]| held.is_empty() && (32..36).contains(&at);
            assert!(try_one(&other).map_or(true, |h| is_other_type(&h)), "byte {at} as {value}");
        }
    }
    let with = |blob: Vec<u8>| identities(1, &[(blob, b"")]);
    let ed25519 = string(b"ssh-ed25519");
    for (bad, what) in [
        (with([&ed25519[..], &string(&[1; 31])].concat()), "a short key"),
        (with([&ed25519[..], &string(&[1; 33])].concat()), "a long key"),
        (with([&blob(&key(1))[..], &[0]].concat()), "bytes after the key"),
        (with(Vec::new()), "no type"),
        (identities(0, &[(blob(&key(1)), b"")]), "more keys than it says"),
        (identities(u32::MAX, &[(blob(&key(1)), b"")]), "fewer keys than it says"),
        (string(&[5]), "a failure"),
    ] {
        let error = try_one(&bad).unwrap_err();
        assert!(matches!(error, AgentError::Garbage(_)), "{what}: {error:?}");
    }
    // A key on whose signatures verifiers disagree is no key of ours, and no reason to refuse the others.
    let small = [&ed25519[..], &string(&[0; 32])].concat();
    let both = identities(2, &[(small, b""), (blob(&key(1)), b"")]);
    assert_eq!(try_one(&both).unwrap().len(), 1);
    let none = identities(1, &[(rsa, b"")]);
    *answer.lock().unwrap() = none;
    let error = agent.signer("SHA256:\u{1b}[2J").unwrap_err().to_string();
    assert!(error.contains("no Ed25519 key") && !error.contains('\u{1b}'), "{error}");
}

/// An error of that kind, within the time that was set and not much before or after.
fn times_out<T: std::fmt::Debug>(ask: impl FnOnce() -> Result<T, String>) {
    let started = Instant::now();
    let error = ask().unwrap_err();
    let took = started.elapsed();
    assert!(error.contains("in time"), "{error}");
    assert!(took >= PATIENCE && took < PATIENCE * 10, "{took:?}");
}

#[test]
fn an_agent_that_never_answers_is_given_up() {
    let (_fake, signer) = Fake::signing(|_| Act::Hang);
    times_out(|| ask(&signer));
    times_out(|| ask(&signer));
    // Half an answer, and one that never ends.
    let (_fake, signer) = Fake::signing(|_| Act::Say(good_response()[..50].to_vec()));
    times_out(|| ask(&signer));
    let pause = PATIENCE / 4;
    let (_fake, signer) = Fake::signing(move |_| Act::Drip(good_response(), pause));
    times_out(|| ask(&signer));
}

#[test]
fn an_agent_that_does_not_read_is_given_up() {
    let deaf = Arc::new(AtomicBool::new(false));
    let is_deaf = deaf.clone();
    let fake = Fake::start(move |_, _| {
        let is_deaf = is_deaf.load(Ordering::SeqCst);
        if is_deaf { Act::Deaf } else { Act::End(listing(&key(1))) }
    });
    let signer = fake.connect().signer_of(key(1).public()).unwrap();
    deaf.store(true, Ordering::SeqCst);
    // More than a socket holds by default, and less than a message may have.
    let note = "x".repeat(250_000);
    times_out(|| signer.sign(&Statement::Note(&note)).map_err(|error| error.to_string()));
    let note = "x".repeat(262_144);
    let error = signer.sign(&Statement::Note(&note)).unwrap_err().to_string();
    assert!(error.contains("more than an agent signs"), "{error}");
}

#[test]
fn an_agent_whose_queue_is_full_is_given_up() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("socket");
    let stream = (AddressFamily::UNIX, SocketType::STREAM);
    let listener =
        rustix::net::socket_with(stream.0, stream.1, SocketFlags::CLOEXEC, None).unwrap();
    rustix::net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let agent = Agent::connect(&path).unwrap().with_timeout(PATIENCE);
    // The one kept connection is taken and given up; for the next there is no place in the queue.
    times_out(|| agent.identities().map_err(|error| error.to_string()));
    times_out(|| agent.identities().map_err(|error| error.to_string()));
}

#[test]
fn the_longest_timeout_is_not_over_at_once() {
    let fake = Fake::start(|_, _| Act::Say(listing(&key(1))));
    let agent = fake.connect().with_timeout(Duration::MAX);
    assert_eq!(agent.identities().unwrap().len(), 1);
}

#[test]
fn a_late_answer_is_not_taken_for_the_next() {
    let other = response(b"ssh-ed25519", signature(&key(2)).as_bytes());
    let (_fake, signer) = Fake::signing(move |n| match n {
        0 => Act::Drip(other.clone(), PATIENCE / 20),
        _ => Act::Say(good_response()),
    });
    times_out(|| ask(&signer));
    thread::sleep(PATIENCE * 5);
    for _ in 0..3 {
        assert_eq!(ask(&signer).unwrap(), signature(&key(1)));
    }
}

#[test]
fn a_connection_is_replaced_once() {
    // Closed after every answer: each request finds the kept connection dead, and a fresh one serves.
    let (fake, signer) = Fake::signing(|_| Act::End(good_response()));
    for _ in 0..5 {
        ask(&signer).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(fake.connections.load(Ordering::SeqCst), 5);
    // Closed without an answer: the kept one, then one more, then an error.
    let (fake, signer) = Fake::signing(|_| Act::End(Vec::new()));
    for connections in [2, 3, 4] {
        assert!(ask(&signer).unwrap_err().contains("closed the connection"));
        assert_eq!(fake.connections.load(Ordering::SeqCst), connections);
    }
    // Kept as long as it lives.
    let (fake, signer) = Fake::signing(|_| Act::Say(good_response()));
    (0..20).for_each(|_| assert!(ask(&signer).is_ok()));
    assert_eq!(fake.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn connections_that_are_kept_are_few() {
    let (fake, signer) = Fake::signing(|_| Act::Drip(good_response(), Duration::from_millis(1)));
    thread::scope(|scope| (0..24).for_each(|_| drop(scope.spawn(|| ask(&signer)))));
    assert!(fake.connections.load(Ordering::SeqCst) > 8, "they did not sign at once");
    let started = Instant::now();
    while fake.open.load(Ordering::SeqCst) > 8 {
        assert!(started.elapsed() < Duration::from_secs(5), "more than 8 are kept");
        thread::sleep(Duration::from_millis(5));
    }
}
