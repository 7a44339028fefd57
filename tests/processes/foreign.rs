//! T35, T36: what stands where a ledger's own files should be, and modes. A table of shapes and places: each pair is refused with its
//! code and path and without a change, or harmless as `spec/files.md` section 5 says. The ledger's user is one that file modes apply to.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::process::geteuid;
use sigchain::keyfile;
use tempfile::TempDir;

use crate::processes::{Process, SOON, Way, dir, key, tell};

const NOBODY: u32 = 65534;
/// Somebody else than that.
const OTHER: u32 = 1;

/// A process of a user that file modes apply to.
fn process() -> Process {
    if geteuid().is_root() {
        Process::by(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    } else {
        Process::new()
    }
}

/// A directory of that user's.
fn own_dir() -> TempDir {
    let dir = dir();
    give(dir.path());
    dir
}

fn give(path: &Path) {
    if geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// All that is below a path: kind, mode, owner, names and bytes.
fn all(path: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let about = path.symlink_metadata().unwrap();
    let kind = about.file_type();
    let mut what = format!("{:o} {} {}", about.mode(), about.uid(), about.nlink());
    if kind.is_file() {
        let bytes = fs::read(path).unwrap();
        what += &format!(" {} {}", bytes.len(), blake3::hash(&bytes));
    } else if kind.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            all(&entry.unwrap().path(), found);
        }
    } else {
        what += if kind.is_fifo() { " fifo" } else { " other" };
    }
    found.insert(path.to_owned(), what);
}

fn tree(path: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    all(path, &mut found);
    found
}

fn ways(root: &Path) -> Way {
    let way = Way { segment: 1500, ..Way::new(&root.join("led")) };
    way.anchored(&root.join("home"), "3:30")
}

/// A closed ledger of several segments with indexes, anchors, a mirror, a segment that was being made, and a key.
fn make(root: &Path) {
    fs::create_dir(root).unwrap();
    mode(root, 0o700);
    give(root);
    let mut process = process();
    process.expect(&format!("create {}", ways(root).words()), "opened 0");
    let (receipts, done) = process.append(12);
    assert_eq!((receipts.len(), done.as_str()), (12, "done"));
    let start = Instant::now();
    while fs::read_dir(root.join("led/index")).map_or(0, Iterator::count) < 4 {
        assert!(start.elapsed() < SOON, "no index is made");
        process.append(1);
    }
    process.expect(&format!("mirror {}", root.join("mirror").display()), "mirrored");
    process.expect("close", "closed ");
    let (last, next) = (segments(root).pop().unwrap(), root.join("led/segment.next"));
    fs::copy(last, &next).unwrap();
    give(&next);
    keyfile::write(&root.join("key.pem"), &key(1), None).unwrap();
    give(&root.join("key.pem"));
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

fn segments(root: &Path) -> Vec<PathBuf> {
    let is_segment =
        |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("segment-0");
    listed(&root.join("led")).into_iter().filter(is_segment).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    SymbolicLink,
    SecondName,
    OtherKind,
    Node(FileType),
    ForeignOwner,
    Mode(u32),
}

const SHAPES: &[(Shape, &str)] = &[
    (Shape::SymbolicLink, "FS_KIND"),
    (Shape::SecondName, "FS_LINKS"),
    (Shape::OtherKind, "FS_KIND"),
    (Shape::Node(FileType::Fifo), "FS_KIND"),
    (Shape::Node(FileType::Socket), "FS_KIND"),
    (Shape::Node(FileType::CharacterDevice), "FS_KIND"),
    (Shape::ForeignOwner, "FS_OWNER"),
    (Shape::Mode(0o020), "FS_PERMISSION"),
    (Shape::Mode(0o002), "FS_PERMISSION"),
    (Shape::Mode(0o040), "FS_PERMISSION"),
    (Shape::Mode(0o004), "FS_PERMISSION"),
];

impl Shape {
    /// Gives what is at a path this shape. Says whether there is such a thing.
    fn put(self, path: &Path, elsewhere: &Path) -> bool {
        let is_dir = path.is_dir();
        let away = || fs::rename(path, elsewhere).unwrap();
        match self {
            Self::SymbolicLink => {
                away();
                symlink(elsewhere, path).unwrap();
            }
            Self::SecondName if is_dir => return false,
            Self::SecondName => fs::hard_link(path, elsewhere).unwrap(),
            Self::OtherKind => {
                away();
                if is_dir {
                    fs::write(path, "x").unwrap();
                } else {
                    fs::create_dir(path).unwrap();
                }
                mode(path, if is_dir { 0o600 } else { 0o700 });
                give(path);
            }
            Self::Node(kind) => {
                if kind == FileType::CharacterDevice && !geteuid().is_root() {
                    return false;
                }
                away();
                let device = if kind == FileType::CharacterDevice { makedev(1, 3) } else { 0 };
                mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device).unwrap();
                give(path);
            }
            Self::ForeignOwner => {
                if !geteuid().is_root() {
                    return false;
                }
                // Open to all, or it could not even be looked at.
                mode(path, if is_dir { 0o777 } else { 0o666 });
                chown(path, Some(OTHER), Some(OTHER)).unwrap();
            }
            Self::Mode(more) => mode(path, if is_dir { 0o700 | more } else { 0o600 | more }),
        }
        true
    }
}

/// What the ledger's process says with things as they are. The mirror and the key are asked for only where they are what is looked at.
fn says(process: &mut Process, root: &Path, place: &str) -> String {
    if place == "key.pem" {
        return process.ask(&format!("key {}", root.join(place).display()));
    }
    let opened = process.ask(&format!("open {}", ways(root).words()));
    if !opened.starts_with("opened") {
        return opened;
    }
    if place.starts_with("mirror") {
        let said = process.ask(&format!("mirror {}", root.join("mirror").display()));
        process.expect("close", "closed ");
        return said;
    }
    process.expect("look", "looked ");
    assert_eq!(process.append(2).1, "done");
    process.expect("look", "looked ");
    process.expect("close", "closed ");
    opened
}

/// [F-place-2]
#[test]
fn what_is_not_the_ledgers_own_is_refused_or_harmless() {
    let dir = own_dir();
    let pristine = dir.path().join("pristine");
    make(&pristine);
    let relative = |path: &Path| path.strip_prefix(&pristine).unwrap().to_str().unwrap().to_owned();
    let chain = listed(&pristine.join("home/anchors")).pop().unwrap();
    let claim = listed(&chain).pop().unwrap();
    let (first, last) = (segments(&pristine)[0].clone(), segments(&pristine).pop().unwrap());
    let index = listed(&pristine.join("led/index"));
    let mut places: Vec<String> = [first, last, chain, claim].iter().map(|p| relative(p)).collect();
    places.extend(index.iter().map(|path| relative(path)));
    let named = ["led", "led/durable", "led/segment.next", "led/index", "home", "home/anchors"];
    places.extend(named.map(str::to_owned));
    places.extend(["mirror", "mirror/chain.jsonl", "key.pem"].map(str::to_owned));
    let (mut refused, mut harmless, mut skipped) = (0, 0, 0);
    let mut process = process();
    for place in &places {
        for (shape, code) in SHAPES {
            let (root, elsewhere) = (dir.path().join("root"), dir.path().join("elsewhere"));
            drop(fs::remove_dir_all(&root));
            drop(fs::remove_dir_all(&elsewhere));
            drop(fs::remove_file(&elsewhere));
            let copied = Command::new("cp").arg("-a").args([&pristine, &root]).status().unwrap();
            assert!(copied.success());
            if !shape.put(&root.join(place), &elsewhere) {
                skipped += 1;
                continue;
            }
            let before = tree(&root);
            let outside = elsewhere.symlink_metadata().is_ok().then(|| tree(&elsewhere));
            let said = says(&mut process, &root, place);
            if place.starts_with("led/index") {
                // Derived: it is passed over, or made anew, and every answer is right.
                assert!(said.starts_with("opened "), "{place} {shape:?}: {said}");
                harmless += 1;
            } else if place == "key.pem" {
                assert!(said.starts_with("stopped KEY_FILE"), "{place} {shape:?}: {said}");
                refused += 1;
            } else {
                assert!(said.starts_with(&format!("stopped {code} ")), "{place} {shape:?}: {said}");
                let path = root.join(place);
                assert!(said.contains(path.to_str().unwrap()), "{place} {shape:?}: {said}");
                refused += 1;
            }
            if !place.starts_with("led/index") && !place.starts_with("mirror") {
                assert_eq!(tree(&root), before, "{place} {shape:?} was changed");
            }
            if let Some(outside) = outside.filter(|_| *shape != Shape::SecondName) {
                assert_eq!(tree(&elsewhere), outside, "{place} {shape:?}: what it led to");
            }
        }
    }
    if !geteuid().is_root() {
        tell("LEFT OUT: devices and foreign owners: this is not root");
    }
    tell(&format!("shapes and places: {refused} refused, {harmless} harmless, {skipped} are none"));
    assert!(refused > 90 && harmless > 30, "{refused} {harmless}");
}

/// 0600 and 0700 whatever the umask, of all that a ledger makes.
/// [F-place-1]
#[test]
fn modes_do_not_depend_on_the_umask() {
    for umask in ["000", "022", "077", "777"] {
        let dir = own_dir();
        let root = dir.path();
        // Below what is there, so that all of it is made.
        let way = Way { segment: 1500, ..Way::new(&root.join("led")) };
        let way = way.anchored(&root.join("a/b/home"), "3:30");
        let mut process = process();
        process.expect(&format!("umask {umask}"), "set");
        process.expect(&format!("create {}", way.words()), "opened 0");
        let start = Instant::now();
        while fs::read_dir(root.join("led/index")).map_or(0, Iterator::count) < 4 {
            assert!(start.elapsed() < SOON, "{umask}: no index is made");
            assert_eq!(process.append(3).1, "done", "{umask}");
        }
        process.expect(&format!("mirror {}", root.join("mirror").display()), "mirrored");
        process.expect("close", "closed ");
        process.expect(&format!("open {}", way.words()), "opened ");
        assert_eq!(process.append(3).1, "done", "{umask}");
        process.expect("look", "looked ");
        // Left as a crash leaves it: the next one makes a segment and a claim of its own.
        process.kill();
        let mut process = self::process();
        process.expect(&format!("umask {umask}"), "set");
        process.expect(&format!("open {}", way.words()), "opened ");
        assert_eq!(process.append(1).1, "done", "{umask}");
        process.expect("close", "closed ");
        let found = tree(root);
        for path in found.keys().filter(|path| *path != root) {
            let about = path.symlink_metadata().unwrap();
            let expected = if about.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(about.mode() & 0o7777, expected, "umask {umask}: {}", path.display());
        }
        assert!(found.len() > 15, "{found:?}");
    }
}

/// A file system in memory, mounted where nobody else sees it.
#[test]
fn memory_is_refused_unless_it_is_allowed() {
    if !geteuid().is_root() {
        tell("LEFT OUT: a file system in memory: mounting one needs root");
        return;
    }
    let dir = dir();
    let script = format!(
        "mount -t tmpfs -o mode=700 tmpfs '{}' && exec \"$0\" \"$@\"",
        dir.path().display()
    );
    let mut process = Process::by(&["unshare", "-m", "sh", "-c", &script]);
    let strict = Way::new(&dir.path().join("led")).anchored(&dir.path().join("home"), "sync");
    let lenient = Way { memory: true, ..strict.clone() };
    let said = process.expect(&format!("create {}", strict.words()), "stopped FS_MEMORY");
    assert!(said.contains("tmpfs") && said.contains("allow a file system in memory"), "{said}");
    process.expect(&format!("create {}", lenient.words()), "opened 0");
    assert_eq!(process.append(3).1, "done");
    process.expect("close", "closed 4");
    process.expect(&format!("open {}", strict.words()), "stopped FS_MEMORY");
    process.expect(&format!("open {}", lenient.words()), "opened 3");
    // Nothing of it was ever here.
    assert_eq!(listed(dir.path()), Vec::<PathBuf>::new());
}
