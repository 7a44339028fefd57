//! Keys in files: PKCS#8 in PEM, open or under a passphrase, readable by their owner alone; and where they are kept.
//!
//! A key file is refused before its content is believed: a link, another owner, a mode that lets others in, a second name.
//! What held the secret here is wiped. Not wiped are what the libraries for PEM and PBES2 put on their stack (three bytes at
//! a time, and the key derived from the passphrase) and what scrypt computed; see [`forbid_core_dumps`].

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::pem::{self, LineEnding};
use pkcs8::der::{Encode, Error as DerError};
use pkcs8::pkcs5::pbes2::{self, Kdf, Salt, ScryptParams};
use pkcs8::pkcs5::{self, EncryptionScheme};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use crate::key::{KEY_FILE_MAX, KeyId, SigningKey};

mod problem;

pub use crate::keyfile::problem::{FileError, Problem};

const OPEN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// What we write: 16 MiB, five times over. OpenSSL reads no file that needs more than 32 MiB.
const SCRYPT: (u64, u16, u16) = (1 << 14, 8, 5);
/// What we read. A file states its own cost, so that a hostile one could ask for years, or for all memory there is.
const SCRYPT_R_MAX: u16 = 32;
const SCRYPT_P_MAX: u16 = 16;
/// N times r: 64 MiB.
const SCRYPT_MEMORY_MAX: u64 = 1 << 19;
/// N times r times p: six times what we write ourselves.
pub(crate) const SCRYPT_WORK_MAX: u64 = 1 << 22;
pub(crate) const PBKDF2_MAX: u32 = 4_000_000;

/// Where the passphrase of a key file comes from.
pub enum Passphrase<'p> {
    /// The file is expected to be open.
    None,
    /// This one; a file that is open is then an error.
    Given(&'p str),
    /// Asked for if the file turns out to need one.
    Ask(&'p mut dyn FnMut() -> io::Result<String>),
}

impl fmt::Debug for Passphrase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Given(_) => "Given(not shown)",
            Self::Ask(_) => "Ask",
        })
    }
}

/// Writes a key into a new file, mode 0600 whatever the umask, and waits until it is on disk.
///
/// With a passphrase in PBES2 (scrypt, AES-256-CBC), which OpenSSL reads. A crash in between can leave a file that is no key;
/// it then has to be removed by hand, since nothing here overwrites.
pub fn write(path: &Path, key: &SigningKey, passphrase: Option<&str>) -> Result<(), FileError> {
    let wrong = |problem| FileError::new(path, problem);
    let pem = match passphrase {
        Some("") => return Err(wrong(Problem::PassphraseEmpty)),
        Some(passphrase) => encrypted(key, passphrase).map_err(wrong)?,
        None => pem(OPEN, &*key.to_pkcs8()).map_err(wrong)?,
    };
    let mut file = create(path)?;
    let mut finish = || -> io::Result<()> {
        restrict(&file)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()?;
        sync_parent(path)
    };
    finish().map_err(|error| {
        // It is ours, made a moment ago, and of no use to anybody.
        let _ = fs::remove_file(path);
        wrong(Problem::Io("write it", error))
    })
}

fn pem(label: &str, der: &[u8]) -> Result<Zeroizing<String>, Problem> {
    pem::encode_string(label, LineEnding::LF, der)
        .map(Zeroizing::new)
        .map_err(|_| Problem::NotAKey("a key that has no PEM form"))
}

fn encrypted(key: &SigningKey, passphrase: &str) -> Result<Zeroizing<String>, Problem> {
    const BLOCK: usize = 16;
    let mut random = [[0; BLOCK]; 2];
    getrandom::fill(random.as_flattened_mut())
        .map_err(|error| Problem::Io("get randomness", io::Error::other(error.to_string())))?;
    let [salt, iv] = random;
    let der = key.to_pkcs8();
    let mut data = Zeroizing::new([0; 48 + BLOCK]);
    for (to, from) in data.iter_mut().zip(der.iter()) {
        *to = *from;
    }
    let encode = |data: &mut [u8]| -> Result<Vec<u8>, pkcs5::Error> {
        let (cost_parameter, block_size, parallelization) = SCRYPT;
        let salt = Salt::new(salt)
            .map_err(|_| pkcs5::Error::AlgorithmParametersInvalid { oid: pbes2::SCRYPT_OID })?;
        let key_length = None;
        let kdf = ScryptParams { salt, cost_parameter, block_size, parallelization, key_length };
        let encryption = pbes2::EncryptionScheme::Aes256Cbc { iv };
        let parameters = pbes2::Parameters { kdf: kdf.into(), encryption };
        let data = parameters.encrypt_in_place(passphrase, data, der.len())?;
        let document = || -> Result<Vec<u8>, DerError> {
            let encrypted_data = OctetStringRef::new(data)?;
            let encryption_algorithm = EncryptionScheme::from(parameters.clone());
            EncryptedPrivateKeyInfoRef { encryption_algorithm, encrypted_data }.to_der()
        };
        document().map_err(|_| pkcs5::Error::EncryptFailed)
    };
    let document =
        encode(&mut *data).map_err(|_| Problem::NotAKey("a key that cannot be encrypted"))?;
    pem(ENCRYPTED, &document)
}

/// Reads a key file, if nobody but the user that this process acts as could have read or written it.
///
/// PBES2 does not see damage to what it encrypts: a changed file can give another key. [`Keys::load`] knows which to expect.
/// Elsewhere than on Unix owner and mode are for the system to say, and are not looked at.
pub fn read(path: &Path, passphrase: Passphrase<'_>) -> Result<SigningKey, FileError> {
    let mut buffer = Zeroizing::new([0; KEY_FILE_MAX + 1]);
    let file = open(path)?;
    let wrong = |problem| FileError::new(path, problem);
    let length = fill(&file, &mut *buffer).map_err(|error| wrong(Problem::Io("read it", error)))?;
    if length > KEY_FILE_MAX {
        return Err(wrong(Problem::Length(length.try_into().unwrap_or(u64::MAX))));
    }
    let text = buffer.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let text = text.ok_or(Problem::NotAKey("bytes that are no text")).map_err(wrong)?;
    parse(text, passphrase).map_err(wrong)
}

/// As much as there is, or as there is room for. Into one place: a buffer that grows would leave copies behind.
fn fill(mut file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn parse(text: &str, passphrase: Passphrase<'_>) -> Result<SigningKey, Problem> {
    let first = text.lines().next().unwrap_or_default();
    match first.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) {
        Some(ENCRYPTED) => decrypted(text, passphrase),
        Some("OPENSSH PRIVATE KEY") => {
            Err(Problem::NotAKey("a key in OpenSSH's own form, which `ssh-add` gives to the agent"))
        }
        Some("PUBLIC KEY") => Err(Problem::NotAKey("a public key")),
        _ => {
            let key = SigningKey::from_pem(text).map_err(|e| Problem::NotAKey(e.found()))?;
            match passphrase {
                Passphrase::Given(_) => Err(Problem::PassphraseUnneeded),
                Passphrase::None | Passphrase::Ask(_) => Ok(key),
            }
        }
    }
}

fn decrypted(text: &str, passphrase: Passphrase<'_>) -> Result<SigningKey, Problem> {
    const NO_PEM: Problem = Problem::NotAKey("an encrypted PEM that is damaged");
    let mut der = [0; KEY_FILE_MAX];
    let Ok((ENCRYPTED, der)) = pem::decode(text.as_bytes(), &mut der) else { return Err(NO_PEM) };
    let info = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| NO_PEM)?;
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(Problem::NotAKey("an encryption older than PBES2"));
    };
    // Before anybody is asked anything: the cost is the file's own claim.
    affordable(&parameters.kdf)?;
    let asked;
    let passphrase = match passphrase {
        Passphrase::None => return Err(Problem::PassphraseMissing),
        Passphrase::Given(passphrase) => passphrase,
        Passphrase::Ask(ask) => {
            asked = Zeroizing::new(ask().map_err(|e| Problem::Io("ask for its passphrase", e))?);
            asked.as_str()
        }
    };
    let mut data = Zeroizing::new(info.encrypted_data.as_bytes().to_vec());
    let der = parameters.decrypt_in_place(passphrase, &mut data).map_err(|error| match error {
        pkcs5::Error::DecryptFailed => Problem::PassphraseWrong,
        _ => Problem::NotAKey("an encryption that is not read here"),
    })?;
    // A wrong passphrase looks like right padding once in 256 times; what comes out is then no DER.
    if PrivateKeyInfoRef::try_from(der).is_err() {
        return Err(Problem::PassphraseWrong);
    }
    SigningKey::from_pkcs8(der).map_err(|error| Problem::NotAKey(error.found()))
}

fn affordable(kdf: &Kdf) -> Result<(), Problem> {
    match kdf {
        Kdf::Scrypt(params) => {
            let (n, r, p) = (params.cost_parameter, params.block_size, params.parallelization);
            let memory = n.saturating_mul(r.into());
            // The library for PBES2 panics on an N of 0.
            let is_affordable = n.is_power_of_two()
                && (1..=SCRYPT_R_MAX).contains(&r)
                && (1..=SCRYPT_P_MAX).contains(&p)
                && memory <= SCRYPT_MEMORY_MAX
                && memory.saturating_mul(p.into()) <= SCRYPT_WORK_MAX;
            let cost = || Problem::Cost(format!("scrypt with N {n}, r {r}, p {p}"));
            is_affordable.then_some(()).ok_or_else(cost)
        }
        Kdf::Pbkdf2(params) if (1..=PBKDF2_MAX).contains(&params.iteration_count) => Ok(()),
        Kdf::Pbkdf2(params) => {
            Err(Problem::Cost(format!("PBKDF2 of {} rounds", params.iteration_count)))
        }
        _ => Err(Problem::NotAKey("a key derivation that is not read here")),
    }
}

/// The directory in which this user's sigchain keeps what it must not lose: `$SIGCHAIN_HOME`, by default `sigchain` in the XDG
/// state directory.
pub fn home() -> Result<PathBuf, FileError> {
    home_from(|name| std::env::var_os(name))
}

/// As the XDG base directories have it: what is empty counts as not set, what is relative is passed over. Not so our own
/// variable: who set that to a relative path meant something, and keys would go astray.
fn home_from(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, FileError> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(home) = set("SIGCHAIN_HOME") {
        let is_absolute = home.is_absolute();
        return is_absolute
            .then(|| home.clone())
            .ok_or_else(|| FileError::new(&home, Problem::HomeRelative));
    }
    let absolute = |name| set(name).filter(|path| path.is_absolute());
    let state =
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local").join("state")));
    state
        .map(|state| state.join("sigchain"))
        .ok_or_else(|| FileError::new(Path::new(""), Problem::HomeMissing))
}

/// A directory of key files, each named by its key's id: `KEYID.pem`.
#[derive(Clone, Debug)]
pub struct Keys {
    dir: PathBuf,
}

impl Keys {
    /// The directory `keys` in [`home`].
    pub fn in_home() -> Result<Self, FileError> {
        Self::at(home()?.join("keys"))
    }

    /// This directory, made with mode 0700 if it is not there. It must be the user's own and closed to all others.
    pub fn at(dir: impl Into<PathBuf>) -> Result<Self, FileError> {
        let keys = Self { dir: dir.into() };
        make_dir(&keys.dir)
            .map_err(|error| FileError::new(&keys.dir, Problem::Io("make the directory", error)))?;
        check_dir(&keys.dir)?;
        Ok(keys)
    }

    /// Where the key of this id is, or would be.
    pub fn path(&self, id: KeyId) -> PathBuf {
        self.dir.join(format!("{id}.pem"))
    }

    /// Writes the key as [`write()`] does, and says where.
    pub fn store(&self, key: &SigningKey, passphrase: Option<&str>) -> Result<PathBuf, FileError> {
        check_dir(&self.dir)?;
        let path = self.path(key.id());
        write(&path, key, passphrase)?;
        Ok(path)
    }

    /// Reads the key of this id as [`read`] does.
    pub fn load(&self, id: KeyId, passphrase: Passphrase<'_>) -> Result<SigningKey, FileError> {
        check_dir(&self.dir)?;
        let path = self.path(id);
        let key = read(&path, passphrase)?;
        // Under a wrong name somebody would sign with another key than the one that was asked for.
        if key.id() != id {
            return Err(FileError::new(&path, Problem::Name(key.id())));
        }
        Ok(key)
    }

    /// The ids that there are files for, in order. Files of other names are nobody's keys.
    pub fn list(&self) -> Result<Vec<KeyId>, FileError> {
        check_dir(&self.dir)?;
        let wrong = |error| FileError::new(&self.dir, Problem::Io("list it", error));
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(wrong)? {
            let name = entry.map_err(wrong)?.file_name();
            let id = name.to_str().and_then(|name| KeyId::parse(name.strip_suffix(".pem")?));
            ids.extend(id.filter(|id| name.to_str() == Some(format!("{id}.pem").as_str())));
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

/// Makes a directory and what is missing above it, for this user alone. A umask that takes even that away must not stop half-way.
fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_dir(parent)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        #[cfg(unix)]
        Ok(()) => fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700)),
        #[cfg(not(unix))]
        Ok(()) => Ok(()),
    }
}

#[cfg(unix)]
fn create(path: &Path) -> Result<File, FileError> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(|error| not_created(path, error.into()))
}

#[cfg(not(unix))]
fn create(path: &Path) -> Result<File, FileError> {
    File::create_new(path).map_err(|error| not_created(path, error))
}

fn not_created(path: &Path, error: io::Error) -> FileError {
    FileError::new(
        path,
        match error.kind() {
            io::ErrorKind::AlreadyExists => Problem::Exists,
            _ => Problem::Io("create it", error),
        },
    )
}

/// The umask, or the directory's access list, may have made another mode of the one that was asked for.
#[cfg(unix)]
fn restrict(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn restrict(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Without it the file may be on disk and its name not.
#[cfg(unix)]
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_parent(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Opens a key file and looks at what was opened, so that nobody can exchange it between the look and the reading.
#[cfg(unix)]
fn open(path: &Path) -> Result<File, FileError> {
    use std::os::unix::fs::MetadataExt as _;
    let (file, metadata) = open_own(path, rustix::fs::OFlags::empty())?;
    let wrong = |problem| Err(FileError::new(path, problem));
    if metadata.nlink() != 1 {
        return wrong(Problem::Links(metadata.nlink()));
    }
    if metadata.len() > u64::try_from(KEY_FILE_MAX).unwrap_or(u64::MAX) {
        return wrong(Problem::Length(metadata.len()));
    }
    Ok(file)
}

#[cfg(not(unix))]
fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(|error| FileError::new(path, Problem::Io("open it", error)))
}

#[cfg(unix)]
fn check_dir(path: &Path) -> Result<(), FileError> {
    open_own(path, rustix::fs::OFlags::DIRECTORY).map(|_| ())
}

#[cfg(not(unix))]
fn check_dir(_path: &Path) -> Result<(), FileError> {
    Ok(())
}

/// Opens a file, or with `DIRECTORY` a directory, that is no link, our own, and closed to all others.
#[cfg(unix)]
fn open_own(path: &Path, kind: rustix::fs::OFlags) -> Result<(File, fs::Metadata), FileError> {
    use rustix::fs::{Mode, OFlags};
    use std::os::unix::fs::MetadataExt as _;
    let wrong = |problem| Err(FileError::new(path, problem));
    // NONBLOCK: a FIFO would keep us waiting for somebody who writes.
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags | kind, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(error) => {
            // The number that stands for a link is not the same on all systems.
            return wrong(match path.symlink_metadata() {
                Ok(metadata) if metadata.is_symlink() => Problem::Symlink,
                Ok(_) if error == rustix::io::Errno::NOTDIR => Problem::Kind("no directory"),
                _ => Problem::Io("open it", error.into()),
            });
        }
    };
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return wrong(Problem::Io("look at it", error)),
    };
    let is_dir = metadata.is_dir();
    if kind.is_empty() && !metadata.is_file() {
        return wrong(Problem::Kind(if is_dir { "a directory" } else { "no regular file" }));
    }
    let expected = rustix::process::geteuid().as_raw();
    if metadata.uid() != expected {
        return wrong(Problem::Owner { found: metadata.uid(), expected });
    }
    let found = metadata.mode() & 0o7777;
    if found & 0o077 != 0 {
        let expected = if kind.is_empty() { 0o600 } else { 0o700 };
        return wrong(Problem::Mode { found, expected });
    }
    Ok((file, metadata))
}

/// What [`forbid_core_dumps`] could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreDumps {
    /// The size of core files is limited to zero, for this process and its children, for good.
    pub are_limited: bool,
    /// The kernel gives this process's memory to no core file and to no debugger of the same user (Linux).
    pub are_undumpable: bool,
}

impl fmt::Display for CoreDumps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.are_limited, self.are_undumpable) {
            (_, true) => "no core dumps, no debuggers of the same user",
            (true, false) => {
                "no core files; a program that collects crashes, or a debugger, may see memory"
            }
            (false, false) => "core dumps may hold keys: run `ulimit -c 0` before",
        })
    }
}

/// Keeps the memory of this process, with the keys in it, out of core dumps. To be called before the first key is read.
///
/// On Linux also out of reach of other processes of the same user (`ptrace`, `/proc/PID/mem`), and of debuggers with them; and
/// of the process itself, its files under `/proc` then belong to root. The second lasts until another program is executed.
///
/// It does not keep keys from root or the kernel, from swap (encrypt it, or have none), from hibernation, which writes all memory
/// to disk, from snapshots of a virtual machine, nor from code that runs within this process.
pub fn forbid_core_dumps() -> CoreDumps {
    CoreDumps { are_limited: limit_core_files(), are_undumpable: set_undumpable() }
}

#[cfg(unix)]
fn limit_core_files() -> bool {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).is_ok()
}

#[cfg(not(unix))]
fn limit_core_files() -> bool {
    false
}

/// A program that collects crashes gets them through a pipe, to which the limit does not apply.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_undumpable() -> bool {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_undumpable() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home_of(variables: &[(&str, &str)]) -> Option<String> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into());
        home_from(find).ok().map(|path| path.to_str().unwrap().to_owned())
    }

    #[cfg(unix)]
    #[test]
    fn home_follows_xdg_except_for_our_own_variable() {
        let (own, xdg, home) = ("SIGCHAIN_HOME", "XDG_STATE_HOME", "HOME");
        let is = |variables: &[_], expected| assert_eq!(home_of(variables).as_deref(), expected);
        is(&[(own, "/s"), (xdg, "/x"), (home, "/h")], Some("/s"));
        is(&[(own, ""), (xdg, "/x"), (home, "/h")], Some("/x/sigchain"));
        is(&[(xdg, "x"), (home, "/h")], Some("/h/.local/state/sigchain"));
        is(&[(xdg, ""), (home, "/h")], Some("/h/.local/state/sigchain"));
        is(&[(home, "h")], None);
        is(&[], None);
        is(&[(own, "s"), (home, "/h")], None);
        let relative = home_from(|_| Some("a b".into())).unwrap_err();
        assert!(matches!(relative.problem(), Problem::HomeRelative));
        assert!(relative.to_string().contains("'a b'"), "{relative}");
    }
}
