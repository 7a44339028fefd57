//! Anchors on this machine: that a number is given once, whoever asks and whatever fails meanwhile; and what a writer learns.

pub mod hooked;
mod schedule;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use rustix::process::geteuid;
use sigchain::anchor::{Anchors, Claim, Claimed, FIRST, KEPT, Local, Standing, judge};
use sigchain::checkpoint::{Checkpoint, NOTE_MAX};
use sigchain::digest::Digest;
use sigchain::disk::{self, DiskError, Folder, Lenience};
use tempfile::TempDir;

use crate::anchor::hooked::{Op, failing, hooked, recorder};
use crate::support::{Build, NAME, Random, checkpoint_key, rounds};

const CHILD: &str = "SIGCHAIN_TEST_ANCHOR";
const NOBODY: u32 = 65534;

fn dir() -> TempDir {
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    dir
}

fn local(path: &Path) -> Local {
    Local::at(path, Lenience::default())
}

fn opened(path: &Path) -> Arc<dyn Folder> {
    disk::open(path, Lenience::default()).unwrap()
}

fn chain() -> Digest {
    Digest::of(&[b"a chain"])
}

fn folder_of(home: &Path) -> PathBuf {
    home.join("anchors").join(chain().to_string())
}

fn file_of(home: &Path, number: u64) -> PathBuf {
    folder_of(home).join(format!("{number:020}"))
}

fn note_of(chain_id: &Digest, size: u64, content: &[u8]) -> Checkpoint {
    let origin = format!("{NAME}/{chain_id}");
    Checkpoint::sign(&origin, size, Digest::of(&[content]), &checkpoint_key())
}

/// What writer `who` says under this number.
fn note(number: u64, who: u64) -> Checkpoint {
    note_of(&chain(), number.min(1 << 40) * 10, &[number.to_be_bytes(), who.to_be_bytes()].concat())
}

fn claim(anchors: &dyn Anchors, number: u64, who: u64) -> Claimed {
    anchors.claim(&chain(), number, &note(number, who)).unwrap()
}

fn hold(anchors: &dyn Anchors, numbers: std::ops::RangeInclusive<u64>, who: u64) {
    for number in numbers {
        assert_eq!(claim(anchors, number, who), Claimed::Held, "{number}");
    }
}

fn claim_of(number: u64, who: u64) -> Claim {
    Claim::parse("", &chain(), number, note(number, who).encode().as_bytes()).unwrap()
}

fn latest(anchors: &dyn Anchors) -> Option<Claim> {
    anchors.latest(&chain()).unwrap()
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

fn put(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The code of an error, and that it names the place and says what to do.
fn refused(result: std::io::Result<impl std::fmt::Debug>, place: &str) -> &'static str {
    let error = result.unwrap_err();
    let refused = DiskError::of(&error).unwrap_or_else(|| panic!("no words for: {error:?}"));
    assert!(error.to_string().contains(place), "{place} is not in: {error}");
    assert!(!refused.advice().is_empty());
    refused.code()
}

#[test]
fn each_number_is_given_once_and_the_latest_is_read_back() {
    let dir = dir();
    let home = dir.path().join("not").join("there").join("yet");
    let anchors = local(&home);
    assert_eq!(latest(&anchors), None);
    anchors.forget("/nowhere").unwrap();
    assert_eq!(anchors.remembered("/nowhere").unwrap(), None);
    assert!(!dir.path().join("not").exists(), "reading made something");

    hold(&anchors, FIRST..=3, 1);
    assert_eq!(latest(&anchors), Some(claim_of(3, 1)));
    assert_eq!(claim_of(3, 1).next(), 4);
    for number in FIRST..=3 {
        for who in [1, 2] {
            assert_eq!(claim(&anchors, number, who), Claimed::Taken(claim_of(3, 1)));
        }
        assert_eq!(fs::read(file_of(&home, number)).unwrap(), note(number, 1).encode().as_bytes());
    }
    // Another chain has numbers of its own.
    let other = Digest::of(&[b"another"]);
    assert_eq!(anchors.latest(&other).unwrap(), None);
    let held = anchors.claim(&other, FIRST, &note_of(&other, 1, b"")).unwrap();
    assert_eq!(held, Claimed::Held);
    // For nobody else, and nothing left over.
    for path in [&home, &home.join("anchors"), &folder_of(&home)] {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o700, "{}", path.display());
    }
    assert_eq!(fs::metadata(file_of(&home, 1)).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(names(&folder_of(&home)).len(), 3);
}

#[test]
fn a_number_without_the_one_before_is_refused() {
    let dir = dir();
    let anchors = local(dir.path());
    let place = chain().to_string();
    for number in [0, 2, u64::MAX] {
        let code = refused(anchors.claim(&chain(), number, &note(1, 1)), &place);
        assert_eq!(code, "ANCHOR_LOST", "{number}");
    }
    hold(&anchors, FIRST..=5, 1);
    for number in [7, 100, u64::MAX] {
        let code = refused(anchors.claim(&chain(), number, &note(1, 1)), &place);
        assert_eq!(code, "ANCHOR_LOST", "{number}");
    }
    // The anchors were set back, or are gone: a writer that held number 5 notices.
    fs::remove_file(file_of(dir.path(), 5)).unwrap();
    assert_eq!(refused(anchors.claim(&chain(), 6, &note(6, 1)), &place), "ANCHOR_LOST");
    fs::rename(folder_of(dir.path()), dir.path().join("aside")).unwrap();
    assert_eq!(refused(anchors.claim(&chain(), 6, &note(6, 1)), &place), "ANCHOR_LOST");
    assert!(!folder_of(dir.path()).exists());
}

#[test]
fn only_a_signed_checkpoint_of_the_chain_is_claimed() {
    let dir = dir();
    let anchors = local(dir.path());
    let other = Digest::of(&[b"another"]);
    let key = checkpoint_key();
    let id = chain();
    let of_another = [
        note_of(&other, 1, b""),
        Checkpoint::sign(&id.to_string(), 1, id, &key),
        Checkpoint::sign(&format!("{NAME}/{id}/x"), 1, id, &key),
        Checkpoint::sign(&format!("{NAME}/{}", id.to_string().to_uppercase()), 1, id, &key),
    ];
    for note in &of_another {
        let code = refused(anchors.claim(&id, FIRST, note), &id.to_string());
        assert_eq!(code, "ANCHOR_CHAIN", "{}", note.origin());
    }
    // `sign` gives no signature for a size of 0.
    let unsigned = Checkpoint::sign(&format!("{NAME}/{id}"), 0, id, &key);
    assert_eq!(refused(anchors.claim(&id, FIRST, &unsigned), &id.to_string()), "ANCHOR_DAMAGED");
    assert!(names(dir.path()).is_empty());
}

#[test]
fn what_no_crash_leaves_behind_is_an_error_that_names_it() {
    let dir = dir();
    let anchors = local(dir.path());
    hold(&anchors, FIRST..=2, 1);
    let whole = note(3, 1).encode().into_bytes();
    let path = file_of(dir.path(), 3);
    let place = path.to_str().unwrap();
    let check = |content: &[u8], code: &str| {
        put(&path, content);
        assert_eq!(refused(anchors.latest(&chain()), place), code);
        for number in [2, 3, 4] {
            assert_eq!(refused(anchors.claim(&chain(), number, &note(number, 1)), place), code);
        }
    };
    for length in 0..whole.len() {
        check(&whole[..length], "ANCHOR_DAMAGED");
    }
    check(&[&whole[..], b"\n"].concat(), "ANCHOR_DAMAGED");
    check(&vec![b'x'; NOTE_MAX + 1], "ANCHOR_DAMAGED");
    check(note_of(&Digest::ZERO, 1, b"").encode().as_bytes(), "ANCHOR_CHAIN");
    put(&path, &whole);
    assert_eq!(latest(&anchors), Some(claim_of(3, 1)));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(refused(anchors.latest(&chain()), place), "FS_PERMISSION");
    fs::remove_file(&path).unwrap();
    symlink(file_of(dir.path(), 2), &path).unwrap();
    assert_eq!(refused(anchors.latest(&chain()), place), "FS_KIND");
    fs::remove_file(&path).unwrap();
    fs::hard_link(file_of(dir.path(), 2), &path).unwrap();
    assert_eq!(refused(anchors.latest(&chain()), place), "FS_LINKS");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(refused(anchors.latest(&chain()), place), "FS_KIND");
    fs::remove_dir(&path).unwrap();
    let beyond = folder_of(dir.path()).join("99999999999999999999");
    put(&beyond, &whole);
    assert_eq!(refused(anchors.latest(&chain()), beyond.to_str().unwrap()), "ANCHOR_DAMAGED");
    fs::remove_file(&beyond).unwrap();
    // The last number there is has no next.
    let last = file_of(dir.path(), u64::MAX);
    put(&last, &whole);
    let found = latest(&anchors).unwrap();
    assert_eq!((found.number, found.next()), (u64::MAX, u64::MAX));
    assert!(matches!(claim(&anchors, found.next(), 1), Claimed::Taken(_)));
    fs::remove_file(&last).unwrap();
    hold(&anchors, 3..=3, 1);
    // Where a folder should be.
    let folder = folder_of(dir.path());
    fs::rename(&folder, dir.path().join("aside")).unwrap();
    put(&folder, b"");
    assert!(anchors.latest(&chain()).is_err());
    fs::remove_file(&folder).unwrap();
    symlink(dir.path().join("aside"), &folder).unwrap();
    assert!(anchors.latest(&chain()).is_err());
}

#[test]
fn files_of_other_names_are_nobodys_claims_and_stay() {
    let dir = dir();
    let anchors = local(dir.path());
    hold(&anchors, FIRST..=1, 1);
    let foreign = [
        "README",
        "2",
        "00000000000000000009.bak",
        "0000000000000000009x",
        "000000000000000000009",
        "+0000000000000000009",
        "00000000000000000001-.new",
        "00000000000000000001-0123.new",
        ".00000000000000000009.swp",
    ];
    for name in foreign {
        put(&folder_of(dir.path()).join(name), b"half a no");
    }
    fs::create_dir(folder_of(dir.path()).join("folder")).unwrap();
    hold(&anchors, 2..=KEPT + 20, 1);
    let found = names(&folder_of(dir.path()));
    assert_eq!(found.len(), foreign.len() + 1 + usize::try_from(KEPT).unwrap());
    assert!(foreign.iter().all(|name| found.contains(&(*name).to_owned())));
}

#[test]
fn the_last_claims_are_kept_and_what_crashes_left_behind_goes() {
    let dir = dir();
    let anchors = local(dir.path());
    let temporary = |number: u64, n: u64| format!("{number:020}-{n:032x}.new");
    for number in FIRST..=3 * KEPT {
        if number % 10 == 5 {
            for (about, n) in [(number - 3, 1), (number, 2), (number + 1, 3)] {
                put(&folder_of(dir.path()).join(temporary(about, n)), b"half a no");
            }
        }
        hold(&anchors, number..=number, 1);
        let mut expected: Vec<_> = (FIRST.max((number + 1).saturating_sub(KEPT))..=number)
            .map(|n| format!("{n:020}"))
            .collect();
        // Somebody may be about to claim it.
        expected.extend((number % 10 == 5).then(|| temporary(number + 1, 3)));
        assert_eq!(names(&folder_of(dir.path())), expected);
    }
}

#[test]
fn a_claim_is_durable_before_it_is_held() {
    let dir = dir();
    let log = Arc::new(Mutex::new(Vec::new()));
    let folder = opened(dir.path());
    let anchors = Local::within(Arc::new(hooked(folder, true, recorder(&log))));
    let writes = |number: u64| -> Vec<String> {
        log.lock().unwrap().clear();
        hold(&anchors, number..=number, 1);
        let is_read = |line: &str| ["Names", "Open", "Read"].iter().any(|r| line.starts_with(r));
        log.lock().unwrap().iter().filter(|line| !is_read(line)).cloned().collect()
    };
    let id = chain().to_string();
    let folders = [
        r#"Folder("anchors")"#.to_owned(),
        r#"SyncFolder("")"#.to_owned(),
        format!("Folder({id:?})"),
        r#"SyncFolder("anchors")"#.to_owned(),
    ];
    let claims = |number: u64| {
        vec![
            format!("Create(\"{number:020}-\")"),
            format!("Write(\"{number:020}-\")"),
            format!("Sync(\"{number:020}-\")"),
            format!("Rename(\"{number:020}\")"),
            format!("SyncFolder({id:?})"),
        ]
    };
    // Before the first the folders are durable, whoever made them; from then on they are.
    assert_eq!(writes(1), [&folders[..], &claims(1)].concat());
    assert_eq!(writes(2), [&[folders[0].clone(), folders[2].clone()][..], &claims(2)].concat());
    let removed = format!("Remove(\"{:020}\")", 1);
    hold(&anchors, 3..=KEPT, 1);
    assert_eq!(writes(KEPT + 1).last(), Some(&removed), "before all is durable");
    // Each call sees the folder as it is then.
    log.lock().unwrap().clear();
    anchors.remember("/a", &chain(), NAME).unwrap();
    let log = log.lock().unwrap().join(" ");
    let place = log.find("Sync(").unwrap();
    assert!(log[place..].contains("Rename(") && log[..place].contains("SyncFolder(\"\")"), "{log}");
    assert!(log.contains("SyncFolder(\"places\")"), "{log}");
}

/// A crash, or a failure, at every operation of a claim: the number is then claimed whole or not at all, and the next writer
/// goes on.
#[test]
fn a_claim_that_stops_anywhere_leaves_a_claim_or_nothing() {
    let (mut held, mut lost, mut steps) = (0, 0, 0);
    for number in [FIRST, 2, KEPT + 10] {
        for for_ever in [true, false] {
            for at in 0.. {
                let dir = dir();
                let folder = opened(dir.path());
                let quiet = Local::within(Arc::new(hooked(Arc::clone(&folder), false, |_| Ok(()))));
                hold(&quiet, FIRST..=number - 1, 1);
                let anchors = Local::within(Arc::new(hooked(folder, false, failing(at, for_ever))));
                let claimed = anchors.claim(&chain(), number, &note(number, 1));
                let next = match latest(&quiet) {
                    Some(claim) if claim.number == number => {
                        assert_eq!(claim, claim_of(number, 1));
                        held += 1;
                        claim.next()
                    }
                    claim => {
                        assert!(claimed.is_err(), "{at}: not there, and held: {claimed:?}");
                        assert_eq!(claim, (number > 1).then(|| claim_of(number - 1, 1)));
                        lost += 1;
                        number
                    }
                };
                // Of one attempt at most one file is left over, and it goes with the next claim.
                let left = || match folder_of(dir.path()) {
                    path if path.exists() => names(&path).iter().filter(|n| n.len() != 20).count(),
                    _ => 0,
                };
                assert!(left() <= 1, "{at}");
                hold(&quiet, next..=next, 2);
                assert_eq!(left(), 0, "{at}");
                assert_eq!(latest(&quiet), Some(claim_of(next, 2)));
                steps += 1;
                // A single failure may be of no consequence; then the claim went on to its end.
                if claimed.is_ok() && (for_ever || at > 60) {
                    break;
                }
            }
        }
    }
    assert!(held > 20 && lost > 30, "{held} {lost} of {steps}");
}

/// One claim of number `STALE` by a writer who is paused at these operations while others claim so many that `STALE` is long
/// past. Gives what the writer is told, how many operations it got to, and on which numbers the others went on.
fn paused(pauses: &[usize], keeps: bool) -> (std::io::Result<Claimed>, Vec<String>, Vec<u64>) {
    let dir = dir();
    let folder = opened(dir.path());
    let stale_name = format!("{STALE:020}");
    // While the others act for the second time, they may be unable to remove the past number.
    let past = Arc::new(Mutex::new(Vec::new()));
    let (seen, name) = (Arc::clone(&past), stale_name.clone());
    let live = Arc::new(Local::within(Arc::new(hooked(Arc::clone(&folder), false, move |op| {
        let is_kept = op == Op::Remove(&name) && keeps && seen.lock().unwrap().len() > 1;
        if is_kept { Err(std::io::Error::other("failed on purpose")) } else { Ok(()) }
    }))));
    hold(&*live, FIRST..=STALE - 1, 1);
    let log = Arc::new(Mutex::new(Vec::new()));
    let record = recorder(&log);
    let (others, pauses) = (Arc::clone(&live), pauses.to_owned());
    let (seen, ops) = (Arc::clone(&past), Arc::clone(&log));
    let stale = hooked(folder, false, move |op| {
        let index = ops.lock().unwrap().len();
        record(op)?;
        if pauses.contains(&index) {
            let latest = latest(&*others).unwrap();
            seen.lock().unwrap().push(latest.number);
            hold(&*others, latest.next()..=latest.number + KEPT + 2, 1);
        }
        Ok(())
    });
    let stale = Local::within(Arc::new(stale.early(stale_name)));
    let claimed = stale.claim(&chain(), STALE, &note(STALE, 2));
    // Whatever came of it, the others go on.
    let next = latest(&*live).unwrap().next();
    hold(&*live, next..=next, 1);
    let (log, past) = (log.lock().unwrap().clone(), past.lock().unwrap().clone());
    (claimed, log, past)
}

const STALE: u64 = 7;

/// The writer that was paused, at each operation of its claim, or at two of them.
#[test]
fn a_writer_that_was_paused_is_never_told_that_it_holds_a_past_number() {
    let (claimed, log, _) = paused(&[], false);
    assert_eq!(claimed.unwrap(), Claimed::Held);
    let steps = log.len();
    // The second pause is about the names: the first has to end before the temporary file is made, since that goes with the rest.
    let create = log.iter().position(|op| op.starts_with("Create")).unwrap();
    let mut pauses: Vec<Vec<usize>> = (0..steps).map(|at| vec![at]).collect();
    pauses.extend((create + 1..steps + 2).map(|at| vec![create, at]));
    let (mut held, mut taken, mut failed) = (0, 0, 0);
    for (pauses, keeps) in pauses.iter().flat_map(|pauses| [(pauses, false), (pauses, true)]) {
        let (claimed, log, past) = paused(pauses, keeps);
        let at: Vec<_> = pauses.iter().filter_map(|at| log.get(*at)).collect();
        match claimed {
            // Then its own claim is what the others went on from.
            Ok(Claimed::Held) => {
                assert_eq!(past, [STALE], "{at:?}: held a past number");
                held += 1;
            }
            Ok(Claimed::Taken(claim)) => {
                assert!(claim.number > STALE, "{at:?}");
                taken += 1;
            }
            Err(error) => {
                assert_eq!(disk::code_of(&error), "ANCHOR_LOST", "{at:?} {error}");
                failed += 1;
            }
        }
    }
    assert!(held > 2 && taken > 2 * create, "{held} {taken} {failed}");
}

#[test]
fn of_64_threads_one_gets_the_number() {
    const WRITERS: u64 = 64;
    let dir = dir();
    let home = dir.path().join("home");
    let rounds = 100;
    let barrier = Barrier::new(usize::try_from(WRITERS).unwrap());
    let run = &|who: u64| {
        // A handle each, as processes have.
        let anchors = local(&home);
        let claim = |number| {
            barrier.wait();
            let claimed = anchors.claim(&chain(), number, &note(number, who));
            barrier.wait();
            (who, claimed, anchors.latest(&chain()))
        };
        // Nobody may panic here: the others would wait for ever.
        (FIRST..=rounds).map(claim).collect::<Vec<_>>()
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS).map(|who| scope.spawn(move || run(who))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for number in FIRST..=rounds {
        let index = usize::try_from(number - FIRST).unwrap();
        let mut held = Vec::new();
        let mut seen = Vec::new();
        for (who, claimed, latest) in all.iter().map(|told| &told[index]) {
            seen.push(latest.as_ref().unwrap().clone().unwrap());
            match claimed.as_ref().unwrap() {
                Claimed::Held => held.push(claim_of(number, *who)),
                Claimed::Taken(claim) => seen.push(claim.clone()),
            }
        }
        let [held] = &held[..] else { panic!("{number} is held by {held:?}") };
        assert!(seen.iter().all(|claim| claim == held), "{number}");
    }
    assert_eq!(names(&folder_of(&home)).len(), usize::try_from(KEPT).unwrap());
}

/// This test binary as another process, which does what `child` says.
struct Writer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Writer {
    fn new(home: &Path, what: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "anchor::child", "--nocapture"])
            .env(CHILD, what)
            .env("SIGCHAIN_HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    fn say(&mut self, line: &str) {
        self.stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// What the child says next, after the test harness's own lines.
    fn answer(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some((_, answer)) = line.trim_end().split_once("ANSWER ") {
                return Some(answer.to_owned());
            }
        }
    }

    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.answer()).collect()
    }
}

#[test]
fn child() {
    let Ok(what) = std::env::var(CHILD) else { return };
    let anchors = Local::in_home(Lenience::default()).unwrap();
    let say = |answer: &str| {
        let mut out = std::io::stdout();
        writeln!(out, "ANSWER {answer}").unwrap();
        out.flush().unwrap();
    };
    match what.split_once(' ').unwrap() {
        ("race", who) => {
            let who = who.parse().unwrap();
            say("ready");
            for line in std::io::stdin().lines() {
                let claimed = claim(&anchors, line.unwrap().parse().unwrap(), who);
                say(if claimed == Claimed::Held { "held" } else { "taken" });
            }
        }
        ("go", "on") => {
            let mut next = latest(&anchors).map_or(FIRST, |claim| claim.next());
            say(&format!("found {}", next - 1));
            loop {
                hold(&anchors, next..=next, 1);
                say(&format!("held {next}"));
                next += 1;
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_64_processes_one_gets_the_number() {
    let dir = dir();
    let home = dir.path().join("home");
    let mut writers: Vec<_> =
        (0..64).map(|who| Writer::new(&home, &format!("race {who}"))).collect();
    for writer in &mut writers {
        assert_eq!(writer.answer().as_deref(), Some("ready"));
    }
    let rounds = u64::try_from(rounds(20, 100)).unwrap();
    for number in FIRST..=rounds {
        for writer in &mut writers {
            writer.say(&number.to_string());
        }
        let held: Vec<_> = writers
            .iter_mut()
            .enumerate()
            .filter_map(|(who, writer)| (writer.answer().unwrap() == "held").then_some(who))
            .collect();
        let [who] = held[..] else { panic!("{number}: held by {held:?}") };
        assert_eq!(latest(&local(&home)), Some(claim_of(number, u64::try_from(who).unwrap())));
    }
    for writer in writers {
        writer.kill();
    }
}

#[test]
fn a_writer_that_is_killed_anywhere_is_followed_by_the_next() {
    let dir = dir();
    let home = dir.path().join("home");
    let mut random = Random::new(29);
    let (mut last, mut more, mut left) = (0, 0, 0);
    for round in 0..rounds(60, 1000) {
        let mut writer = Writer::new(&home, "go on");
        let found = writer.answer().unwrap();
        let found: u64 = found.strip_prefix("found ").unwrap().parse().unwrap();
        // A claim may stand whose writer was killed before it could say so.
        assert!(found == last || found == last + 1, "{round}: {found} after {last}");
        more += usize::from(found == last + 1);
        last = found;
        std::thread::sleep(Duration::from_micros(random.next() % 40_000));
        for (answer, expected) in writer.kill().into_iter().zip(found + 1..) {
            assert_eq!(answer, format!("held {expected}"), "{round}");
            last = expected;
        }
        if folder_of(&home).exists() {
            left += names(&folder_of(&home)).iter().filter(|name| name.len() > 20).count();
        }
    }
    assert!(last > 10, "nothing was claimed");
    let anchors = local(&home);
    let next = latest(&anchors).unwrap().next();
    hold(&anchors, next..=next, 1);
    assert!(names(&folder_of(&home)).iter().all(|name| name.len() == 20));
    println_of(&format!("{last} claims, {more} unsaid, {left} left over"));
}

#[expect(clippy::print_stderr, reason = "figures of a run, shown with --nocapture")]
fn println_of(line: &str) {
    eprintln!("{line}");
}

/// Runs this one test again as a user that file modes apply to. True in that process.
fn is_child_of(name: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        assert!(!geteuid().is_root(), "setpriv left us root");
        return true;
    }
    let dir = dir();
    let home = dir.path();
    let binary = std::env::current_exe().unwrap();
    let mut command = Command::new(&binary);
    if geteuid().is_root() {
        std::os::unix::fs::chown(home, Some(NOBODY), Some(NOBODY)).unwrap();
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
    }
    command.args(["--exact", &format!("anchor::{name}"), "--nocapture"]).env(CHILD, "1");
    command.env("SIGCHAIN_HOME", home);
    let run = command.output().expect("setpriv must run: install util-linux");
    let output = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    assert!(run.status.success() && output.contains("1 passed"), "{name}: {output}");
    false
}

#[test]
fn what_may_not_be_read_or_written_is_an_error_and_not_no_anchor() {
    if !is_child_of("what_may_not_be_read_or_written_is_an_error_and_not_no_anchor") {
        return;
    }
    let home = PathBuf::from(std::env::var_os("SIGCHAIN_HOME").unwrap());
    let anchors = Local::in_home(Lenience::default()).unwrap();
    hold(&anchors, FIRST..=2, 1);
    anchors.remember("/a", &chain(), NAME).unwrap();
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let both = || {
        let read = refused(anchors.latest(&chain()), home.to_str().unwrap());
        let written = refused(anchors.claim(&chain(), 3, &note(3, 1)), home.to_str().unwrap());
        assert_eq!(read, written);
        read
    };
    let (folder, file) = (folder_of(&home), file_of(&home, 2));
    for path in [&home, &home.join("anchors"), &folder, &file] {
        let mode = fs::metadata(path).unwrap().mode() & 0o7777;
        // Not to be read; open to others.
        for bad in [0o000, mode | 0o040, mode | 0o002] {
            set(path, bad);
            assert_eq!(both(), "FS_PERMISSION", "{} {bad:o}", path.display());
            set(path, mode);
        }
        hold(&anchors, latest(&anchors).unwrap().next()..=2, 1);
    }
    // To be read, not to be written.
    set(&folder, 0o500);
    assert_eq!(latest(&anchors), Some(claim_of(2, 1)));
    assert_eq!(
        refused(anchors.claim(&chain(), 3, &note(3, 1)), folder.to_str().unwrap()),
        "FS_PERMISSION"
    );
    set(&folder, 0o700);
    set(&home.join("places"), 0o500);
    assert!(anchors.remembered("/a").unwrap().is_some());
    assert!(anchors.forget("/a").is_err() && anchors.remember("/b", &chain(), NAME).is_err());
    set(&home.join("places"), 0o000);
    assert!(anchors.remembered("/a").is_err());
    set(&home.join("places"), 0o700);
    // Of somebody else.
    assert_eq!(refused(Local::at("/", Lenience::default()).latest(&chain()), "/"), "FS_OWNER");
    assert!(Local::at("/sigchain", Lenience::default()).claim(&chain(), 1, &note(1, 1)).is_err());
    hold(&anchors, 3..=3, 1);
}

#[test]
fn a_chain_is_judged_by_what_was_claimed() {
    let mut build = Build::new();
    build.events(19);
    let roots: Vec<_> = (1..=build.size()).map(|size| build.root_at(size)).collect();
    let root_at = |size: u64| roots.get(usize::try_from(size).unwrap() - 1).copied();
    let key = checkpoint_key();
    for size in 1..=20 {
        let note = build.checkpoint_at(size, &key).encode();
        let claim = Claim::parse("", &build.chain_id, 1, note.as_bytes()).unwrap();
        assert_eq!(
            (claim.size, claim.root, &claim.note),
            (size, roots[usize::try_from(size).unwrap() - 1], &note)
        );
        for own in 1..=20 {
            let expected = if own < size {
                Standing::Behind { anchored: size, own }
            } else {
                Standing::Agrees
            };
            assert_eq!(judge(&claim, own, root_at), expected);
            let beside = judge(&claim, own, |size| root_at(size + 1).or(root_at(1)));
            assert_eq!(beside == Standing::Beside { size }, own >= size);
            let untold = judge(&claim, own, |_| None);
            assert_eq!(untold == Standing::Untold { size }, own >= size);
            assert_ne!(untold, Standing::Agrees);
        }
    }
}

#[test]
fn a_place_remembers_its_chain_until_that_is_forgotten() {
    let dir = dir();
    let home = dir.path().join("home");
    let anchors = local(&home);
    let other = Digest::of(&[b"another"]);
    let places =
        ["/a", "/a/", "/", "/with space", "/with\nline", "/\u{202e}bidi", "/\\n", "relative"];
    for (n, place) in places.iter().enumerate() {
        let id = Digest::of(&[&[u8::try_from(n).unwrap()]]);
        assert_eq!(anchors.remembered(place).unwrap(), None);
        anchors.remember(place, &id, NAME).unwrap();
        anchors.remember(place, &id, NAME).unwrap();
        assert_eq!(anchors.remembered(place).unwrap(), Some((id, NAME.to_owned())));
        // What is left of a lost chain is not given up unasked.
        for (id, name) in [(&other, NAME), (&id, "another"), (&other, "another")] {
            assert_eq!(refused(anchors.remember(place, id, name), &chain_words(n)), "PLACE_TAKEN");
        }
    }
    for (n, place) in places.iter().enumerate() {
        let id = Digest::of(&[&[u8::try_from(n).unwrap()]]);
        assert_eq!(anchors.remembered(place).unwrap(), Some((id, NAME.to_owned())));
        anchors.forget(place).unwrap();
        anchors.forget(place).unwrap();
        assert_eq!(anchors.remembered(place).unwrap(), None);
        anchors.remember(place, &other, "another").unwrap();
        assert_eq!(anchors.remembered(place).unwrap(), Some((other, "another".to_owned())));
    }
    assert_eq!(names(&home.join("places")).len(), places.len());
    let long = "/".repeat(NOTE_MAX);
    for (place, name) in [("/b", ""), ("/b", "A"), ("/b", "a\nb"), (long.as_str(), NAME)] {
        assert_eq!(refused(anchors.remember(place, &other, name), "first entry"), "PLACE_INVALID");
        assert_eq!(anchors.remembered(place).unwrap(), None);
    }
}

/// What a message about the chain of place `n` holds.
fn chain_words(n: usize) -> String {
    format!("found {NAME}/{}", Digest::of(&[&[u8::try_from(n).unwrap()]]))
}

#[test]
fn a_place_whose_note_is_damaged_is_not_an_unknown_place() {
    let dir = dir();
    let anchors = local(dir.path());
    anchors.remember("/a", &chain(), NAME).unwrap();
    let path = dir.path().join("places").join(&names(&dir.path().join("places"))[0]);
    let place = path.to_str().unwrap().to_owned();
    let whole = fs::read(&path).unwrap();
    let check = |content: &[u8]| {
        put(&path, content);
        assert_eq!(refused(anchors.remembered("/a"), &place), "PLACE_DAMAGED");
        assert_eq!(refused(anchors.remember("/a", &chain(), NAME), &place), "PLACE_DAMAGED");
    };
    for length in 0..whole.len() {
        check(&whole[..length]);
    }
    check(&[&whole[..], b"x"].concat());
    check(format!("{NAME}/{}\n/b\n", chain()).as_bytes());
    check(format!("{}/{}\n/a\n", NAME.to_uppercase(), chain()).as_bytes());
    check(&[0xff; 100]);
    // Forgotten all the same.
    anchors.forget("/a").unwrap();
    assert_eq!(anchors.remembered("/a").unwrap(), None);
}

#[test]
fn of_many_that_remember_another_chain_at_a_place_one_does() {
    let dir = dir();
    let home = dir.path().join("home");
    let barrier = Barrier::new(16);
    for round in 0..20 {
        let place = format!("/place/{round}");
        let done: Vec<_> = std::thread::scope(|scope| {
            let run = |who: u8| {
                let (home, place, barrier) = (&home, &place, &barrier);
                move || {
                    let id = Digest::of(&[&[who]]);
                    barrier.wait();
                    local(home).remember(place, &id, NAME).is_ok().then_some(id)
                }
            };
            let all: Vec<_> = (0..16).map(|who| scope.spawn(run(who))).collect();
            all.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        let [id] = done[..] else { panic!("remembered {done:?}") };
        assert_eq!(local(&home).remembered(&place).unwrap(), Some((id, NAME.to_owned())));
    }
}

#[test]
fn remembering_that_stops_anywhere_remembers_or_does_not() {
    for at in 0..40 {
        let dir = dir();
        let folder = opened(dir.path());
        let anchors =
            Local::within(Arc::new(hooked(Arc::clone(&folder), false, failing(at, true))));
        let done = anchors.remember("/a", &chain(), NAME);
        let quiet = Local::within(folder);
        let found = quiet.remembered("/a").unwrap();
        assert!(found.is_some() || done.is_err());
        quiet.remember("/a", &chain(), NAME).unwrap();
        assert_eq!(quiet.remembered("/a").unwrap(), Some((chain(), NAME.to_owned())));
        if done.is_ok() {
            assert!(at > 8);
            return;
        }
    }
    panic!("it never succeeded");
}
