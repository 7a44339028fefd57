//! The machine's own file system.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::disk::refuse::DiskError;
use crate::disk::{File, Folder};

/// Permission bits of the group and of all others.
const OTHERS: Mode = Mode::RWXG.union(Mode::RWXO);

/// File systems on which a sync, a lock or the bytes themselves do not mean what a ledger needs them to mean: those of other
/// machines, and those in memory. By the number that statfs(2) gives them.
const UNFIT: &[(u64, &str, bool)] = &[
    (0x0000_6969, "NFS", true),
    (0xff53_4d42, "CIFS", true),
    (0xfe53_4d42, "SMB2", true),
    (0x0000_517b, "SMB", true),
    (0x0000_564c, "NCP", true),
    (0x5346_414f, "AFS", true),
    (0x6b41_4653, "AFS", true),
    (0x7375_7245, "Coda", true),
    (0x0102_1997, "9P", true),
    (0x00c3_6400, "Ceph", true),
    (0x0bd0_0bd0, "Lustre", true),
    (0x0116_1970, "GFS2", true),
    (0x7461_636f, "OCFS2", true),
    (0x1983_0326, "FhGFS", true),
    (0x4750_4653, "GPFS", true),
    (0x6573_5546, "FUSE", true),
    (0x0102_1994, "tmpfs", false),
    (0x8584_58f6, "ramfs", false),
    (0x9584_58f6, "hugetlbfs", false),
];

/// What a user puts up with although a ledger would not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lenience {
    /// A file system of another machine, or in user space.
    pub network: bool,
    /// One in memory.
    pub memory: bool,
}

/// What a file system is, by the number of its kind, if a ledger does not put up with it: its name, and whether it is a network's.
/// The type of the number differs from one architecture to the next, and its sign; 32 bits of it count.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn unfit(found: i128, lenience: Lenience) -> Option<(&'static str, bool)> {
    let found = u64::try_from(found & 0xffff_ffff).ok()?;
    let (_, name, is_network) = UNFIT.iter().find(|(number, ..)| *number == found)?;
    let is_allowed = if *is_network { lenience.network } else { lenience.memory };
    (!is_allowed).then_some((*name, *is_network))
}

/// Makes a folder, mode 0700, in one that is there, and syncs that one. A folder that is there and empty is taken as it is.
pub fn create(path: &Path, lenience: Lenience) -> io::Result<Arc<dyn Folder>> {
    let path = itself(path);
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let made = fs::mkdir(path, Mode::RWXU);
    if made == Err(Errno::NOENT) {
        return Err(at(parent, Errno::NOENT.into()));
    }
    if let Err(error) = made
        && error != Errno::EXIST
    {
        return Err(at(path, error.into()));
    }
    let parent =
        fs::open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut folder = Real::open(path.to_owned(), lenience);
    if made.is_ok() {
        if folder.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            // The umask has taken even the user's own rights away.
            fs::chmod(path, Mode::RWXU).map_err(|error| at(path, error.into()))?;
            folder = Real::open(path.to_owned(), lenience);
        }
        if let Ok(folder) = &folder {
            // The umask may have taken bits away, and a default ACL added some.
            fs::fchmod(&folder.fd, Mode::RWXU)?;
        }
    }
    let folder = folder?;
    folder.check()?;
    fs::fsync(parent)?;
    Ok(Arc::new(folder))
}

/// The path without a slash at its end, which would have a symbolic link followed.
fn itself(path: &Path) -> &Path {
    path.components().as_path()
}

/// Opens a folder that is there.
pub fn open(path: &Path, lenience: Lenience) -> io::Result<Arc<dyn Folder>> {
    let folder = Real::open(itself(path).to_owned(), lenience)?;
    folder.check()?;
    Ok(Arc::new(folder))
}

/// Opens a folder only to read: whoever may read its files may verify them, on whatever file system they are.
pub fn open_to_read(path: &Path) -> io::Result<Arc<dyn Folder>> {
    let lenience = Lenience { network: true, memory: true };
    let mut folder = Real::open(itself(path).to_owned(), lenience)?;
    folder.only_reads = true;
    Ok(Arc::new(folder))
}

/// Whether an error says that no more files can be open, which is nothing about the disk.
fn is_handles(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| number == Some(errno.raw_os_error()))
}

/// An error with the path that it is about.
fn at(path: &Path, error: io::Error) -> io::Error {
    if error.get_ref().is_some() {
        return error;
    }
    let (code, advice) = match error.kind() {
        io::ErrorKind::NotFound => ("FS_MISSING", "give a path that is there"),
        io::ErrorKind::PermissionDenied => ("FS_PERMISSION", "run as the user whose ledger it is"),
        io::ErrorKind::AlreadyExists => ("FS_EXISTS", "give a path where nothing is"),
        io::ErrorKind::NotADirectory => ("FS_KIND", "give a directory"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ("FS_FULL", "make room"),
        io::ErrorKind::ReadOnlyFilesystem => ("FS_READ_ONLY", "mount it writable"),
        _ if is_handles(&error) => {
            ("FS_HANDLES", "let the process have more files open: ulimit -n")
        }
        _ => ("IO_ERROR", "see to the disk"),
    };
    let refused = DiskError::new(code, &path.to_string_lossy(), error.to_string(), advice);
    refused.into_io(error.kind())
}

#[derive(Debug)]
struct Real {
    fd: OwnedFd,
    path: PathBuf,
    /// For a reader owners and modes are those of whoever keeps the ledger.
    only_reads: bool,
}

impl Real {
    fn open(path: PathBuf, lenience: Lenience) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match fs::open(&path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let what = "expected a directory, found something else or a symbolic link";
                let advice = "give the directory itself";
                return Err(DiskError::new("FS_KIND", &path.to_string_lossy(), what, advice)
                    .into_io(io::ErrorKind::NotADirectory));
            }
            Err(error) => return Err(at(&path, error.into())),
        };
        let folder = Self { fd, path, only_reads: false };
        folder.check_system(lenience)?;
        Ok(folder)
    }

    fn refuse(&self, code: &'static str, what: String, advice: &'static str) -> io::Error {
        let kind = io::ErrorKind::PermissionDenied;
        DiskError::new(code, &self.path.to_string_lossy(), what, advice).into_io(kind)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn check_system(&self, lenience: Lenience) -> io::Result<()> {
        let found = fs::fstatfs(&self.fd)?.f_type;
        let Some((name, is_network)) = unfit(found.into(), lenience) else { return Ok(()) };
        let (code, advice) = if is_network {
            ("FS_NETWORK", "put it on a disk of this machine, or allow a network file system")
        } else {
            ("FS_MEMORY", "put it on a disk, or allow a file system in memory")
        };
        Err(self.refuse(code, format!("expected a disk of this machine, found {name}"), advice))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn check_system(&self, _: Lenience) -> io::Result<()> {
        Ok(())
    }

    /// Whether the folder is this user's and closed to all others.
    fn check(&self) -> io::Result<()> {
        let stat = fs::fstat(&self.fd)?;
        let (owner, user) = (stat.st_uid, rustix::process::geteuid().as_raw());
        if owner != user {
            let what = format!("expected the owner to be user {user}, found {owner}");
            return Err(self.refuse("FS_OWNER", what, "run as the user whose ledger it is"));
        }
        let mode = Mode::from_raw_mode(stat.st_mode);
        if mode.intersects(OTHERS) {
            let what = format!("expected mode 700, found {:o}", mode.bits());
            return Err(self.refuse("FS_PERMISSION", what, "close it to others: chmod 700"));
        }
        Ok(())
    }

    fn within(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn check_file(&self, name: &str, fd: &OwnedFd) -> io::Result<()> {
        let refuse = |code, what: String, advice| {
            let place = self.within(name);
            DiskError::new(code, &place.to_string_lossy(), what, advice)
                .into_io(io::ErrorKind::PermissionDenied)
        };
        let stat = fs::fstat(fd)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            let what = format!("expected a file, found {}", kind_name(kind));
            return Err(refuse("FS_KIND", what, "somebody has exchanged it: look at who could"));
        }
        if self.only_reads {
            return Ok(());
        }
        if stat.st_nlink != 1 {
            let what = format!("expected one name, found {}", stat.st_nlink);
            return Err(refuse("FS_LINKS", what, "remove the other hard links"));
        }
        let (owner, user) = (stat.st_uid, rustix::process::geteuid().as_raw());
        if owner != user {
            let what = format!("expected the owner to be user {user}, found {owner}");
            return Err(refuse("FS_OWNER", what, "run as the user whose ledger it is"));
        }
        let mode = Mode::from_raw_mode(stat.st_mode);
        if mode.intersects(OTHERS) {
            let what = format!("expected mode 600, found {:o}", mode.bits());
            return Err(refuse("FS_PERMISSION", what, "close it to others: chmod 600"));
        }
        Ok(())
    }
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    }
}

impl Folder for Real {
    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| at(&self.within(name), error.into()))?;
        fs::fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
        Ok(Box::new(RealFile { file: fd.into(), path: self.within(name) }))
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Box<dyn File>> {
        let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
        // Not to wait at a FIFO, nor to become a terminal's owner, before it is known what it is.
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = match fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(error @ (Errno::LOOP | Errno::NXIO | Errno::ISDIR)) => {
                let (what, kind) = match error {
                    Errno::LOOP => ("a symbolic link", io::ErrorKind::PermissionDenied),
                    Errno::ISDIR => ("a directory", io::ErrorKind::IsADirectory),
                    _ => ("a FIFO, a socket or a device", io::ErrorKind::PermissionDenied),
                };
                let place = self.within(name);
                let what = format!("expected a file, found {what}");
                let advice = "somebody has exchanged it: look at who could";
                return Err(
                    DiskError::new("FS_KIND", &place.to_string_lossy(), what, advice).into_io(kind)
                );
            }
            Err(error) => return Err(at(&self.within(name), error.into())),
        };
        self.check_file(name, &fd)?;
        Ok(Box::new(RealFile { file: fd.into(), path: self.within(name) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut renamed = fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE);
        if renamed == Err(Errno::INVAL) {
            // A file system that knows no such thing, as ZFS before 2.2. Whoever renames here holds the lock, so a name that is free
            // stays so.
            renamed = match fs::statat(&self.fd, to, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Err(Errno::EXIST),
                Err(Errno::NOENT) => fs::renameat(&self.fd, from, &self.fd, to),
                Err(error) => Err(error),
            };
        }
        renamed.map_err(|error| at(&self.within(to), error.into()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::unlinkat(&self.fd, name, AtFlags::empty())
            .map_err(|error| at(&self.within(name), error.into()))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn folder(&self, name: &str, create: bool) -> io::Result<Arc<dyn Folder>> {
        let path = self.within(name);
        let failed = |error: Errno| at(&path, error.into());
        let made = create
            && match fs::mkdirat(&self.fd, name, Mode::RWXU) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(error) => return Err(failed(error)),
            };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || fs::openat(&self.fd, name, flags, Mode::empty());
        let mut fd = open();
        if made {
            if matches!(fd, Err(Errno::ACCESS)) {
                // As in `create`.
                fs::chmodat(&self.fd, name, Mode::RWXU, AtFlags::empty()).map_err(failed)?;
                fd = open();
            }
            if let Ok(fd) = &fd {
                fs::fchmod(fd, Mode::RWXU)?;
            }
        }
        let fd = fd.map_err(failed)?;
        let folder = Self { fd, path, only_reads: self.only_reads };
        if !self.only_reads {
            folder.check()?;
        }
        Ok(Arc::new(folder))
    }

    fn sync(&self) -> io::Result<()> {
        // There fsync leaves it in the drive's cache.
        #[cfg(target_vendor = "apple")]
        let synced = fs::fcntl_fullfsync(&self.fd);
        #[cfg(not(target_vendor = "apple"))]
        let synced = fs::fsync(&self.fd);
        synced.map_err(|error| at(&self.path, error.into()))
    }

    fn lock(&self) -> io::Result<bool> {
        match fs::flock(self.fd.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(at(&self.path, error.into())),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(fs::flock(self.fd.as_fd(), FlockOperation::Unlock)?)
    }

    fn room(&self) -> io::Result<u64> {
        let stat = fs::fstatvfs(&self.fd)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn place(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

#[derive(Debug)]
struct RealFile {
    file: std::fs::File,
    path: PathBuf,
}

impl RealFile {
    /// What the disk does not give. Whoever is told so has to know of which file, and must not take it for damage.
    fn unreadable(&self, what: &str, error: &io::Error) -> io::Error {
        let what = format!("{what} cannot be read: {error}");
        let advice = "see to the disk: this says nothing of what was recorded";
        DiskError::new("FS_UNREADABLE", &self.path.to_string_lossy(), what, advice)
            .into_io(error.kind())
    }
}

impl File for RealFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // Goes on after a short write and an interruption.
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    return read.map_err(|e| self.unreadable(&format!("byte {offset}"), &e));
                }
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        let length = self.file.metadata().map(|metadata| metadata.len());
        length.map_err(|error| self.unreadable("its length", &error))
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use crate::disk::real::{Lenience, unfit};

    /// Such as cannot be mounted where tests run, by the numbers that statfs(2) documents; negative where they are 32 bits with a sign.
    #[test]
    fn file_systems_of_networks_and_in_memory_need_to_be_allowed() {
        let (strict, network, memory) = (
            Lenience::default(),
            Lenience { network: true, memory: false },
            Lenience { network: false, memory: true },
        );
        let networks = [
            (0x6969, "NFS"),
            (0xff53_4d42, "CIFS"),
            (i128::from(-0x00ac_b2be_i32), "CIFS"),
            (0xfe53_4d42, "SMB2"),
            (i128::from(-0x01ac_b2be_i32), "SMB2"),
            (0x517b, "SMB"),
            (0x0102_1997, "9P"),
            (0x00c3_6400, "Ceph"),
            (0x6573_5546, "FUSE"),
        ];
        for (number, name) in networks {
            assert_eq!(unfit(number, strict), Some((name, true)), "{number:x}");
            assert_eq!(unfit(number, memory), Some((name, true)), "{number:x}");
            assert_eq!(unfit(number, network), None, "{number:x}");
        }
        for (number, name) in [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")] {
            assert_eq!(unfit(number, strict), Some((name, false)), "{number:x}");
            assert_eq!(unfit(number, network), Some((name, false)), "{number:x}");
            assert_eq!(unfit(number, memory), None, "{number:x}");
        }
        // ext4, XFS, Btrfs, ZFS, overlayfs.
        for number in [0xef53, 0x5846_5342, 0x9123_683e, 0x2fc1_2fc1, 0x794c_7630] {
            assert_eq!(unfit(number, strict), None, "{number:x}");
        }
    }
}
