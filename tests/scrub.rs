//! The scrub: what lies behind old seals is looked at again, and halts the ledger if it is not as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sigchain::directory::Limits;
use sigchain::error::{AppendError, OpenError, Refusal};
use sigchain::event::Event;
use sigchain::ledger::{Files, Genesis, Ledger, Options, Pace, Signers};
use sigchain::quarantine::{Detector, cases};

use crate::support::{checkpoint_key, entry_key};

const SOON: Duration = Duration::from_secs(20);

/// At once, and without end.
const FAST: Pace = Pace { bytes: 1 << 40, pause: Duration::from_millis(5) };

fn options(pace: Option<Pace>) -> Options {
    let limits = Limits { bytes: 4000, ..Limits::default() };
    let files = Files::new().anchors(Vec::new()).limits(limits).wait(SOON);
    Options::new().files(files.scrub(pace))
}

fn event() -> Event {
    Event::new("agent:tester", "test.call").unwrap()
}

/// A ledger of several segments, closed.
fn made(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scrub").join(name);
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let genesis = Genesis::new("example.org/scrub", entry_key()).checkpoints(checkpoint_key());
    let ledger = Ledger::create_at(&path, genesis, options(None)).unwrap();
    for _ in 0..60 {
        ledger.append(event()).unwrap();
    }
    ledger.close(SOON).unwrap();
    path
}

fn open(path: &Path, pace: Option<Pace>) -> Result<Ledger, OpenError> {
    Ledger::open_at(path, Signers::new(entry_key(), checkpoint_key()), options(pace))
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Every byte of a sealed segment's frames, in steps, and each time the entry or the place is named.
#[test]
fn what_was_changed_in_a_sealed_segment_is_found() {
    let path = made("found");
    let segment = path.join("segment-0000000001");
    let whole = fs::read(&segment).unwrap();
    for at in (0..whole.len()).step_by(61) {
        flip(&segment, at);
        match open(&path, None) {
            Ok(ledger) => {
                let found = ledger.scrub().unwrap();
                assert!(found.quarantine.is_some(), "byte {at}");
                let refused = ledger.append(event());
                let is_quarantined =
                    matches!(refused, Err(AppendError::Refused(Refusal::Quarantined(_))));
                assert!(is_quarantined, "byte {at}");
                ledger.close(SOON).unwrap();
            }
            Err(OpenError::Stopped { quarantine, .. }) => assert!(quarantine.is_some(), "{at}"),
            Err(error) => panic!("byte {at}: {error}"),
        }
        fs::remove_dir_all(&path).unwrap();
        made("found");
        assert_eq!(fs::read(&segment).unwrap().len(), whole.len());
    }
}

#[test]
fn a_ledger_that_is_well_is_found_so() {
    let path = made("well");
    let ledger = open(&path, None).unwrap();
    let done = ledger.scrub().unwrap();
    assert_eq!((done.quarantine, done.unreadable), (None, 0));
    assert_eq!(done.entries, 61);
    assert!(done.segments > 3, "{done:?}");
    ledger.append(event()).unwrap();
    assert_eq!(ledger.scrub().unwrap().entries, 62);
}

/// While it is open and events are recorded, a segment that was sealed long ago is changed on the disk.
#[test]
fn the_background_halts_a_ledger_that_is_open() {
    let path = made("background");
    let ledger = open(&path, Some(FAST)).unwrap();
    ledger.append(event()).unwrap();
    flip(&path.join("segment-0000000001"), 700);
    let since = Instant::now();
    let refused = loop {
        match ledger.append(event()) {
            Ok(_) => assert!(since.elapsed() < SOON, "it was not found"),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Refused(Refusal::Quarantined(_))), "{refused}");
    ledger.close(SOON).unwrap();
    drop(ledger);
    let found = cases(&*sigchain::disk::open_to_read(&path).unwrap()).unwrap();
    let found = found[0].discontinuity().unwrap();
    assert_eq!(found.detector, Detector::Scrub);
    assert!(found.place.starts_with("segment-0000000001"), "{found}");
    let again = open(&path, None).unwrap_err();
    assert!(matches!(again, OpenError::Stopped { code: "LEDGER_QUARANTINED", .. }), "{again}");
}

/// It goes on where another process left it, and what is noted there is never believed for more than that.
#[test]
fn where_a_pass_was_is_noted_and_nothing_hangs_on_it() {
    let path = made("noted");
    for note in ["0000000002\n", "9999999999\n", "garbage", ""] {
        let folder = path.join("index");
        drop(fs::create_dir(&folder));
        fs::write(folder.join("scrub"), note).unwrap();
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.join("scrub"), mode).unwrap();
        let ledger = open(&path, Some(FAST)).unwrap();
        let since = Instant::now();
        while fs::read(folder.join("scrub")).unwrap() != b"0000000000\n" {
            assert!(since.elapsed() < SOON, "{note:?}");
            ledger.append(event()).unwrap();
        }
        ledger.close(SOON).unwrap();
    }
}
