//! The mirror that a ledger on files keeps of itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sigchain::chainfile::Form;
use sigchain::directory::Limits;
use sigchain::disk::{self, Lenience, code_of};
use sigchain::error::OpenError;
use sigchain::event::Event;
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Signers};
use sigchain::mirror::{self, CURRENT, Mirror};
use sigchain::verify::Verifier;

use crate::ledger::support::until;

const SOON: Duration = Duration::from_secs(10);

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

/// A directory for a ledger and its mirror.
struct Place(PathBuf);

fn files() -> Files {
    let limits = Limits { bytes: 5000, ..Limits::default() };
    Files::new().limits(limits).wait(SOON).anchors(Vec::new())
}

impl Place {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mirrored").join(name);
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }

    fn mirror(&self) -> PathBuf {
        self.0.join("mirror")
    }

    /// A file of the mirror has about so many bytes.
    fn with_mirror(&self, bytes: u64) -> Options {
        let options = mirror::Options::new().file_bytes(bytes);
        Options::new().files(files().mirror(self.mirror(), options))
    }

    fn create(&self, options: Options) -> Result<Ledger, OpenError> {
        let genesis = Genesis::new("example.org/mirrored", key(1)).checkpoints(key(2));
        Ledger::create_at(&self.ledger(), genesis, options)
    }

    fn open(&self, options: Options) -> Ledger {
        Ledger::open_at(&self.ledger(), Signers::new(key(1), key(2)), options).unwrap()
    }

    /// The lines of the mirror's entries and seals, in order; each file verifies.
    fn lines(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.mirror()).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let (mut lines, mut next): (Vec<String>, u64) = (Vec::new(), 0);
        for name in names {
            let bytes = fs::read(&name).unwrap();
            let report = Verifier::new().run(&bytes[..]).unwrap();
            assert_eq!(report.faults, Vec::new(), "{}", name.display());
            for line in String::from_utf8(bytes).unwrap().split_inclusive('\n') {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                match (value["sequence"].as_u64(), value["frame"].as_str()) {
                    (Some(sequence), _) if sequence >= next => next = sequence + 1,
                    // One that stands where a file begins stands at the end of the one before, too.
                    (None, Some("seal")) if lines.last().is_none_or(|last| last != line) => {}
                    _ => continue,
                }
                lines.push(line.to_owned());
            }
        }
        lines
    }
}

fn append(ledger: &Ledger, count: u64) {
    for n in 0..count {
        let event = Event::new("agent:a", "test.call").unwrap();
        ledger.append(event.correlation(&n.to_string()).unwrap()).unwrap();
    }
}

/// What an export says between its header and its trailer.
fn exported(ledger: &Ledger) -> Vec<String> {
    let text = String::from_utf8(ledger.export(Vec::new(), Form::JsonLines).unwrap()).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').map(str::to_owned).collect();
    lines[1..lines.len() - 1].to_vec()
}

fn bytes_of(path: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// Written, closed, opened and left again, with and without the mirror: it has all of it, seals too, and the very bytes that a mirror
/// has which is made afterwards.
#[test]
fn whenever_it_is_written_it_is_the_same() {
    for bytes in [1 << 20, 3000] {
        let place = Place::new("same");
        let mut ledger = place.create(place.with_mirror(bytes)).unwrap();
        for round in 0..6 {
            append(&ledger, 1 + round * 7);
            if round % 2 == 0 {
                if round > 0 {
                    // What comes with closing, the seal, then comes behind all entries.
                    let size = ledger.head().sequence + 1;
                    let next = || ledger.mirroring().unwrap().progress().next;
                    until("it has all entries", || next() == size);
                }
                ledger.close(SOON).unwrap();
                let progress = ledger.mirroring().unwrap().progress();
                assert_eq!(progress.next, ledger.head().sequence + 1);
                assert_eq!((progress.trouble, progress.set_aside), (None, None));
                assert_eq!(place.lines(), exported(&ledger));
            }
            drop(ledger);
            let with =
                if round == 2 { Options::new().files(files()) } else { place.with_mirror(bytes) };
            ledger = place.open(with);
        }
        append(&ledger, 3);
        ledger.close(SOON).unwrap();
        let lines = place.lines();
        assert_eq!(lines, exported(&ledger));
        assert!(lines.iter().filter(|line| line.starts_with("{\"frame\":\"seal\"")).count() > 5);
        drop(ledger);
        let first = bytes_of(&place.mirror());
        assert_eq!(first.len() > 1, bytes == 3000);
        fs::remove_dir_all(place.mirror()).unwrap();
        let ledger = place.open(place.with_mirror(bytes));
        ledger.close(SOON).unwrap();
        assert_eq!(bytes_of(&place.mirror()), first, "{bytes}");
    }
}

#[test]
fn it_follows_while_the_ledger_is_open_and_lets_go_with_it() {
    let place = Place::new("live");
    let ledger = place.create(place.with_mirror(1 << 20)).unwrap();
    append(&ledger, 20);
    until("it looks by itself", || {
        place.mirror().join(CURRENT).exists() && place.lines().len() > 20
    });
    assert_eq!(fs::metadata(place.mirror()).unwrap().permissions().mode() & 0o777, 0o700);
    // Nobody else writes there meanwhile.
    let folder = disk::open(&place.mirror(), Lenience::default()).unwrap();
    let error = Mirror::open(folder, Arc::new(ledger.clone()), mirror::Options::new()).unwrap_err();
    assert_eq!(code_of(&error), "MIRROR_BUSY");
    drop(ledger);
    let began = Instant::now();
    let ledger = place.open(place.with_mirror(1 << 20));
    append(&ledger, 1);
    ledger.close(SOON).unwrap();
    assert!(began.elapsed() < SOON);
    assert_eq!(place.lines(), exported(&ledger));
}

#[test]
fn a_place_that_is_not_its_own_is_refused() {
    let place = Place::new("where");
    let at = |path: PathBuf| Options::new().files(files().mirror(path, mirror::Options::new()));
    let code = |refused: Result<Ledger, OpenError>| match refused {
        Err(OpenError::Io(error)) => code_of(&error),
        other => panic!("{other:?}"),
    };
    let own = place.ledger();
    for path in [own.clone(), own.join("mirror"), place.0.clone()] {
        assert_eq!(code(place.create(at(path))), "MIRROR_PLACE");
        assert!(!own.exists());
    }
    place.create(at(place.0.join("ledger-mirror"))).unwrap().close(SOON).unwrap();
    for path in [own.clone(), own.join("index/.."), place.0.join("ledger/../ledger")] {
        let opened = Ledger::open_at(&own, Signers::new(key(1), key(2)), at(path));
        assert_eq!(code(opened), "MIRROR_PLACE");
    }
}

/// Appends go on whatever is wrong with the mirror, closing says so in its time, and the next one catches up.
#[test]
fn its_trouble_is_told_and_is_nobody_elses() {
    let place = Place::new("trouble");
    fs::write(place.mirror(), "in the way").unwrap();
    let ledger = place.create(place.with_mirror(1 << 20)).unwrap();
    append(&ledger, 30);
    until("it is told", || ledger.mirroring().unwrap().progress().trouble.is_some());
    let began = Instant::now();
    let error = ledger.close(Duration::from_millis(200)).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(error.what.starts_with("the mirror: expected the mirror to have all"), "{error}");
    assert_eq!((error.in_doubt.len(), error.refused.len()), (0, 0));
    fs::remove_file(place.mirror()).unwrap();
    // Closed again it waits again.
    ledger.close(SOON).unwrap();
    assert_eq!(place.lines(), exported(&ledger));
    drop(ledger);
    // One that is lax is not written to.
    fs::set_permissions(place.mirror(), fs::Permissions::from_mode(0o755)).unwrap();
    let ledger = place.open(place.with_mirror(1 << 20));
    append(&ledger, 5);
    let error = ledger.close(Duration::from_millis(200)).unwrap_err();
    assert!(error.what.contains("FS_PERMISSION"), "{error}");
    fs::set_permissions(place.mirror(), fs::Permissions::from_mode(0o700)).unwrap();
    drop(ledger);
    let ledger = place.open(place.with_mirror(1 << 20));
    ledger.close(SOON).unwrap();
    assert_eq!(place.lines(), exported(&ledger));
}

/// A ledger that was set back finds a mirror that knows more: that one is kept as it is.
#[test]
fn one_that_is_ahead_is_kept() {
    let place = Place::new("ahead");
    let ledger = place.create(place.with_mirror(1 << 20)).unwrap();
    ledger.close(SOON).unwrap();
    drop(ledger);
    let early = bytes_of(&place.ledger());
    let ledger = place.open(place.with_mirror(1 << 20));
    append(&ledger, 3);
    ledger.close(SOON).unwrap();
    drop(ledger);
    let mirror = bytes_of(&place.mirror());
    for (name, bytes) in early {
        fs::write(place.ledger().join(name), bytes).unwrap();
    }
    let ledger = place.open(place.with_mirror(1 << 20));
    until("it is told", || ledger.mirroring().unwrap().progress().trouble.is_some());
    let trouble = ledger.mirroring().unwrap().progress().trouble.unwrap();
    assert!(trouble.contains("MIRROR_AHEAD"), "{trouble}");
    assert!(ledger.close(Duration::from_millis(10)).is_err());
    assert_eq!(bytes_of(&place.mirror()), mirror);
    drop(ledger);
    let ledger = Arc::new(place.open(Options::new().files(files())));
    let code = || {
        let folder = disk::open(&place.mirror(), Lenience::default()).unwrap();
        code_of(&Mirror::open(folder, ledger.clone(), mirror::Options::new()).unwrap_err())
    };
    // The thread of the one before may have the folder a little longer.
    until("it is let go of", || code() != "MIRROR_BUSY");
    assert_eq!(code(), "MIRROR_AHEAD");
}
