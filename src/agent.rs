//! Signers whose keys are held by the OpenSSH agent (`ssh-agent`, draft-ietf-sshm-ssh-agent), outside this process.
//!
//! The agent is asked two things only, what keys it has and for a signature, and both are a few length-prefixed strings: so
//! the protocol is spoken here. The crates for it bring an async runtime, or parsers for every kind of key, which are more
//! code than all of this and no part of what has to be trusted.
//!
//! An agent signs whatever a client asks for. None of our messages is one that SSH would take: those begin with the length of a
//! session id, which as text has NULs, ours with `sigchain/` or with a note's text, which may hold no NUL.

use std::env;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::digest::Digest;
use crate::key::{KeyId, PublicKey, Signature};
use crate::signer::{Signer, SignerError, Statement};
use crate::text;

/// Bytes of a message, as OpenSSH has it.
const MESSAGE_MAX: usize = 256 * 1024;
/// Connections that are kept open while nobody uses them.
const IDLE_MAX: usize = 8;
/// How long an answer may take, unless another time is set.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Nobody waits longer. A time that goes beyond what the clock can count to would else be over at once.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How long to wait before asking an agent again that has too many clients in its queue.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

const KEY_TYPE: &[u8] = b"ssh-ed25519";

/// Why the agent gave no answer, or none that can be used. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentError {
    /// `$SSH_AUTH_SOCK` names no socket.
    NotSet,
    /// There is no agent at the socket; what the system said.
    Unreachable(String),
    /// No whole answer within the time.
    Timeout,
    /// The connection ended before any answer.
    Gone,
    /// The connection failed, or ended in the middle of an answer.
    Broken(String),
    /// An answer that the protocol does not allow: this was expected.
    Garbage(&'static str),
    /// The agent said no. It does not say why; this is what its list of keys shows.
    Refused(&'static str),
    /// More than an agent takes.
    TooLong,
    /// It holds no such key, but those of these fingerprints.
    NoSuchKey {
        /// The name that was asked for.
        wanted: String,
        /// The fingerprints of its Ed25519 keys.
        held: Vec<String>,
    },
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet => f.write_str(
                "SSH_AUTH_SOCK is not set; expected the socket of an agent: `eval $(ssh-agent)`",
            ),
            Self::Unreachable(error) => write!(
                f,
                "no agent can be reached: {error}; expected one at its socket: see `ssh-add -l`"
            ),
            Self::Timeout => f.write_str(
                "the agent did not answer in time; expected an answer: see `ssh-add -l`, or whether it waits for \
                 somebody to confirm",
            ),
            Self::Gone => f.write_str(
                "the agent closed the connection; expected an answer: see `ssh-add -l`",
            ),
            Self::Broken(error) => write!(
                f,
                "the connection to the agent failed in the middle: {error}; expected an answer: see `ssh-add -l`"
            ),
            Self::Garbage(expected) => write!(
                f,
                "the agent's answer is none of the protocol; expected {expected}: see what listens at SSH_AUTH_SOCK"
            ),
            Self::Refused(why) => write!(f, "the agent refused; expected a signature: {why}"),
            Self::TooLong => write!(
                f,
                "more than an agent signs; expected a message of less than {MESSAGE_MAX} bytes"
            ),
            Self::NoSuchKey { wanted, held } if held.is_empty() => write!(
                f,
                "the agent holds no Ed25519 key; expected {}: `ssh-add FILE`, or `ssh-add -X` if it is locked",
                text::shown(wanted, 100)
            ),
            Self::NoSuchKey { wanted, held } => write!(
                f,
                "the agent holds {}; expected {}: `ssh-add FILE`",
                some_of(held),
                text::shown(wanted, 100)
            ),
        }
    }
}

/// An agent may hold thousands.
fn some_of(held: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = held.iter().take(SHOWN).map(String::as_str).collect();
    let more = held.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    shown.join(", ") + &more
}

impl std::error::Error for AgentError {}

/// The fingerprint of a key as `ssh-add -l` and `ssh-keygen -l` print it: `SHA256:` and base64 without padding.
pub fn fingerprint(key: &PublicKey) -> String {
    let digest = Digest::of(&[&blob(key)]);
    format!("SHA256:{}", STANDARD_NO_PAD.encode(digest.as_bytes()))
}

/// A key that an agent holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its public half.
    pub public: PublicKey,
    /// What whoever added it wrote there, made safe to show.
    pub comment: String,
}

/// An agent, and a few open connections to it. Clones share them.
#[derive(Clone)]
pub struct Agent {
    path: Arc<Path>,
    timeout: Duration,
    idle: Arc<Mutex<Vec<UnixStream>>>,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agent({:?})", self.path)
    }
}

impl Agent {
    /// The agent at this socket. It must be there.
    pub fn connect(path: impl Into<PathBuf>) -> Result<Self, AgentError> {
        let path: Arc<Path> = path.into().into();
        let agent = Self { path, timeout: TIMEOUT, idle: Arc::default() };
        let stream = agent.open(Instant::now() + agent.timeout)?;
        agent.keep(stream);
        Ok(agent)
    }

    /// The agent at `$SSH_AUTH_SOCK`.
    pub fn from_env() -> Result<Self, AgentError> {
        let path = env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty());
        Self::connect(path.ok_or(AgentError::NotSet)?)
    }

    /// Gives it this long for each answer, all retries included. The default is 5 seconds; a key that needs somebody to confirm
    /// each use needs more. More than a day is a day.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    /// The Ed25519 keys that it holds and that may be enrolled; of others nothing is said.
    pub fn identities(&self) -> Result<Vec<Identity>, AgentError> {
        self.identities_by(self.deadline()?)
    }

    /// A signer for the key of this name: a fingerprint (`SHA256:...`) or a key id.
    pub fn signer(&self, name: &str) -> Result<AgentSigner, AgentError> {
        let id = KeyId::parse(name);
        self.find(name, |key| id == Some(key.id()) || fingerprint(key) == name)
    }

    /// A signer for this key.
    pub fn signer_of(&self, key: &PublicKey) -> Result<AgentSigner, AgentError> {
        self.find(&fingerprint(key), |held| held == key)
    }

    fn find(
        &self,
        wanted: &str,
        is_wanted: impl Fn(&PublicKey) -> bool,
    ) -> Result<AgentSigner, AgentError> {
        let held = self.identities()?;
        match held.iter().find(|identity| is_wanted(&identity.public)) {
            Some(found) => Ok(AgentSigner { agent: self.clone(), public: found.public.clone() }),
            None => Err(AgentError::NoSuchKey {
                wanted: wanted.to_owned(),
                held: held.iter().map(|identity| fingerprint(&identity.public)).collect(),
            }),
        }
    }

    fn deadline(&self) -> Result<Instant, AgentError> {
        // A time that ends after the clock does is none that anybody waits for.
        Instant::now().checked_add(self.timeout).ok_or(AgentError::Timeout)
    }

    fn identities_by(&self, deadline: Instant) -> Result<Vec<Identity>, AgentError> {
        let answer = self.request(REQUEST_IDENTITIES, &[], deadline)?;
        match answer.split_first() {
            Some((&IDENTITIES_ANSWER, body)) => parse_identities(body),
            _ => Err(AgentError::Garbage("a list of keys")),
        }
    }

    fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Signature, AgentError> {
        const NO_FLAGS: [u8; 4] = [0; 4];
        let deadline = self.deadline()?;
        let body = [&string(&blob(key))?[..], &string(message)?, &NO_FLAGS].concat();
        let answer = self.request(SIGN_REQUEST, &body, deadline)?;
        match answer.split_first() {
            Some((&SIGN_RESPONSE, body)) => parse_signature(body),
            Some((&FAILURE, [])) => Err(AgentError::Refused(self.why_refused(key, deadline))),
            _ => Err(AgentError::Garbage("a signature")),
        }
    }

    /// The agent has one word for all refusals; its list of keys tells some of them apart.
    fn why_refused(&self, key: &PublicKey, deadline: Instant) -> &'static str {
        match self.identities_by(deadline) {
            Ok(held) if held.is_empty() => {
                "it holds no key or is locked: `ssh-add FILE`, or `ssh-add -X`"
            }
            Ok(held) if held.iter().any(|identity| identity.public == *key) => {
                "it holds the key, so that somebody did not confirm, or a constraint forbids it: see `ssh-add -l`"
            }
            Ok(_) => "it holds this key no more: `ssh-add FILE`",
            Err(_) => "and it does not say what keys it holds: see `ssh-add -l`",
        }
    }

    /// Sends a request and returns the answer. A connection that was kept may lead to an agent that has ended since, so that
    /// one that is found closed is replaced once; a fresh one is not.
    fn request(&self, kind: u8, body: &[u8], deadline: Instant) -> Result<Vec<u8>, AgentError> {
        let message = string(&[&[kind], body].concat())?;
        let kept = self.idle.lock().pop();
        if let Some(stream) = kept {
            match self.exchange(stream, &message, deadline) {
                // The others were open as long, to the same agent.
                Err(AgentError::Gone) => self.idle.lock().clear(),
                done => return done,
            }
        }
        self.exchange(self.open(deadline)?, &message, deadline)
    }

    /// A connection goes back to the others only after a whole answer: else a late one would be taken for the next.
    fn exchange(
        &self,
        mut stream: UnixStream,
        message: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, AgentError> {
        send(&mut stream, message, deadline)?;
        let mut length = [0; 4];
        receive(&mut stream, &mut length, deadline, AgentError::Gone)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if !(1..=MESSAGE_MAX).contains(&length) {
            return Err(AgentError::Garbage("an answer of 1 to 262144 bytes"));
        }
        let mut answer = vec![0; length];
        let cut = AgentError::Broken("it ended in the middle of an answer".to_owned());
        receive(&mut stream, &mut answer, deadline, cut)?;
        self.keep(stream);
        Ok(answer)
    }

    fn keep(&self, stream: UnixStream) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(stream);
        }
    }

    /// Connects without blocking: an agent that is stopped accepts nobody, and once its queue is full connect(2) would wait for
    /// good.
    fn open(&self, deadline: Instant) -> Result<UnixStream, AgentError> {
        let unreachable = |error: Errno| {
            let path = text::printable(&self.path.to_string_lossy());
            AgentError::Unreachable(format!("\"{path}\": {}", io::Error::from(error)))
        };
        let address = SocketAddrUnix::new(&*self.path).map_err(unreachable)?;
        loop {
            let socket = rustix::net::socket_with(
                AddressFamily::UNIX,
                SocketType::STREAM,
                SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
                None,
            );
            let socket = UnixStream::from(socket.map_err(unreachable)?);
            match rustix::net::connect(&socket, &address) {
                Ok(()) => {
                    // From here on the timeouts of `send` and `receive` bound the waiting.
                    let blocking = socket.set_nonblocking(false);
                    return blocking.map(|()| socket).map_err(|error| broken(&error));
                }
                Err(Errno::AGAIN | Errno::INTR | Errno::INPROGRESS) => {
                    thread::sleep(QUEUE_PAUSE.min(left(deadline)?));
                }
                Err(error) => return Err(unreachable(error)),
            }
        }
    }
}

fn left(deadline: Instant) -> Result<Duration, AgentError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(AgentError::Timeout) } else { Ok(left) }
}

fn broken(error: &io::Error) -> AgentError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AgentError::Timeout,
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => AgentError::Gone,
        _ => AgentError::Broken(error.to_string()),
    }
}

/// The time is for all of it: an agent that takes a byte now and then would else hold us for hours.
fn send(stream: &mut UnixStream, mut bytes: &[u8], deadline: Instant) -> Result<(), AgentError> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?)).map_err(|error| broken(&error))?;
        match stream.write(bytes) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(&error)),
        }
    }
    Ok(())
}

/// Fills `bytes`. `ended` is what it means if not even the first byte comes.
fn receive(
    stream: &mut UnixStream,
    mut bytes: &mut [u8],
    deadline: Instant,
    mut ended: AgentError,
) -> Result<(), AgentError> {
    while !bytes.is_empty() {
        stream.set_read_timeout(Some(left(deadline)?)).map_err(|error| broken(&error))?;
        match stream.read(bytes) {
            Ok(0) => return Err(ended),
            Ok(read) => {
                bytes = bytes.get_mut(read..).unwrap_or_default();
                ended = AgentError::Broken("it ended in the middle of an answer".to_owned());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let error = broken(&error);
                return Err(if error == AgentError::Gone { ended } else { error });
            }
        }
    }
    Ok(())
}

/// A string of the protocol: its length, then its bytes.
fn string(bytes: &[u8]) -> Result<Vec<u8>, AgentError> {
    match u32::try_from(bytes.len()) {
        Ok(length) if bytes.len() <= MESSAGE_MAX => Ok([&length.to_be_bytes(), bytes].concat()),
        _ => Err(AgentError::TooLong),
    }
}

/// The key as the protocol writes it.
fn blob(key: &PublicKey) -> Vec<u8> {
    const LENGTHS: [[u8; 4]; 2] = [[0, 0, 0, 11], [0, 0, 0, 32]];
    let [type_length, key_length] = &LENGTHS;
    [&type_length[..], KEY_TYPE, key_length, key.as_bytes()].concat()
}

/// Takes a string off the front; one that is longer than what is left is none.
fn take_string<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (string, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(string)
}

fn parse_identities(mut body: &[u8]) -> Result<Vec<Identity>, AgentError> {
    let wrong = AgentError::Garbage("a list of keys and comments");
    let Some((count, rest)) = body.split_first_chunk::<4>() else { return Err(wrong) };
    body = rest;
    let mut identities = Vec::new();
    // What is not there ends the loop, whatever the count.
    for _ in 0..u32::from_be_bytes(*count) {
        let pair = take_string(&mut body).zip(take_string(&mut body));
        let (key, comment) = pair.ok_or(wrong.clone())?;
        if let Some(public) = parse_blob(key)? {
            let comment = text::shown(&String::from_utf8_lossy(comment), 100);
            identities.push(Identity { public, comment });
        }
    }
    if body.is_empty() { Ok(identities) } else { Err(wrong) }
}

/// `None` if it is a key of another type, or one on whose signatures verifiers disagree.
fn parse_blob(mut blob: &[u8]) -> Result<Option<PublicKey>, AgentError> {
    const WRONG: AgentError = AgentError::Garbage("a key");
    if take_string(&mut blob).ok_or(WRONG)? != KEY_TYPE {
        return Ok(None);
    }
    let key = take_string(&mut blob).and_then(|key| <&[u8; 32]>::try_from(key).ok());
    let key = key.filter(|_| blob.is_empty()).ok_or(WRONG)?;
    Ok(PublicKey::from_bytes(key).ok())
}

fn parse_signature(mut body: &[u8]) -> Result<Signature, AgentError> {
    const WRONG: AgentError = AgentError::Garbage("an ssh-ed25519 signature of 64 bytes");
    let mut inner = take_string(&mut body).filter(|_| body.is_empty()).ok_or(WRONG)?;
    if take_string(&mut inner) != Some(KEY_TYPE) {
        return Err(WRONG);
    }
    let signature = take_string(&mut inner).and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    signature.filter(|_| inner.is_empty()).map(Signature::new).ok_or(WRONG)
}

/// A key that an agent holds, as a signer. What it gives is a signature in form; whether the key accepts it is for the ledger
/// to look at, as with all signers outside the process.
#[derive(Clone, Debug)]
pub struct AgentSigner {
    agent: Agent,
    public: PublicKey,
}

impl Signer for AgentSigner {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        if let Statement::Note(text) = statement
            && text.contains('\0')
        {
            return Err(SignerError::new("a note that holds a NUL"));
        }
        self.agent
            .sign(&self.public, &statement.message())
            .map_err(|error| SignerError::new(error.to_string()))
    }
}
