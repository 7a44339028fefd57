//! Disks without room, at every size: what does not fit is refused, nothing is lost, and where room comes back it goes on. And writes
//! that the kernel cuts in the middle, at every byte.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::disk::book::{Book, Ended};
use crate::disk::campaign::{Campaign, Random, has, is_inside};
use crate::disk::faults::{Left, made};
use crate::disk::place::{INIT, Place, text};
use crate::disk::session::{self, Session};

const PAGE: usize = 4096;
/// Pages in which a ledger can be made, and has its reserve.
const ALL: usize = 1200;
const MEMORY: &str = "--allow-memory";

/// Runs a command that must succeed.
#[track_caller]
pub(super) fn must(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
}

/// How much room there is, what goes there, and what is written.
#[derive(Clone, Copy, Debug)]
struct Room {
    pages: usize,
    /// Whether keys and anchors are on the same disk.
    is_shared: bool,
    payload: usize,
}

#[test]
fn every_size_of_a_full_disk_loses_nothing() {
    let name = "a full disk, and room again";
    let tools = ["unshare", "mount", "umount"];
    if !has(name, &tools, true) || !is_inside("disk::full::every_size_of_a_full_disk_loses_nothing")
    {
        return;
    }
    let mut all = Vec::new();
    for pages in 1..=64 {
        for is_shared in [true, false] {
            for payload in [60, 1500, 30_000] {
                all.push(Room { pages, is_shared, payload });
            }
        }
    }
    let mut campaign = Campaign::new(name);
    for room in Random::of(500).sample(all, 20) {
        let kept = Place::empty();
        let mount = kept.path("disk");
        fs::create_dir(&mount).unwrap();
        let shown = mount.to_string_lossy().into_owned();
        let size = |pages: usize| format!("size={}", pages * PAGE);
        must("mount", &["-t", "tmpfs", "-o", &size(ALL), "none", &shown]);
        let home = if room.is_shared { mount.join("home") } else { kept.path("home") };
        let mut place = Place::within(&mount, &home);
        let less = || {
            must("mount", &["-o", &format!("remount,{}", size(used(&mount) + room.pages)), &shown]);
        };
        let more = || must("mount", &["-o", &format!("remount,{}", size(2 * ALL)), &shown]);
        let found = one(&mut place, room, &less, &more);
        campaign.note(&format!("{room:?}"), found);
        must("umount", &[&shown]);
    }
    campaign.end();
}

/// Pages that files take on a disk.
fn used(mount: &Path) -> usize {
    let stat = rustix::fs::statvfs(mount).unwrap();
    let pages = (stat.f_blocks - stat.f_bfree) * stat.f_frsize / u64::try_from(PAGE).unwrap();
    usize::try_from(pages).unwrap()
}

/// Half of the rooms are all that there is from the beginning, the others what is left when the ledger is there, with its reserve.
fn one(place: &mut Place, room: Room, less: &dyn Fn(), more: &dyn Fn()) -> Result<(), String> {
    if room.pages.is_multiple_of(2) {
        less();
    }
    let refused = place.run(&INIT);
    let is_full = text(&refused).contains("KEY_FILE");
    if refused.status.code() != Some(4) || !(is_full || text(&refused).contains("FS_MEMORY")) {
        return Err(format!("without the option: {}", text(&refused)));
    }
    let init = [&INIT[..], &[MEMORY]].concat();
    let output = place.run(&init);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ended { exit: output.status.code(), said: said.clone() }.is_as_documented(&[0, 4, 5])?;
    if !output.status.success() {
        more();
        return made(place, &output, &[MEMORY]).map_err(|what| format!("{what}; {said}"));
    }
    place.is_made_by(&output);
    less();
    let mut book = Book::default();
    let session = Session::begin(place, &[], &[MEMORY]);
    let mut session = session.map_err(|error| error.to_string())?;
    let last = fill(&mut session, &mut book, room.payload)?;
    more();
    if last["code"] == "STORE_REFUSED" {
        // The same process: what does not fit was refused, and now everything fits.
        session.send(&mut book, 2, 60);
        let again = [session.hear(&mut book)?, session.hear(&mut book)?];
        if !again.iter().flatten().all(|outcome| outcome["ok"] == true) || again.contains(&None) {
            return Err(format!("{last}; with room again: {again:?}"));
        }
    }
    session.end(&mut book)?;
    book.goes_on(place, &[MEMORY])
}

/// Sends events until one is not recorded. Gives the last outcome.
fn fill(session: &mut Session, book: &mut Book, payload: usize) -> Result<Value, String> {
    let mut last = Value::Null;
    for burst in 0..150 {
        let lines = burst % 3 + 1;
        if !session.send(book, lines, payload) {
            return Ok(last);
        }
        for _ in 0..lines {
            let Some(outcome) = session.hear(book)? else { return Ok(last) };
            last = outcome;
        }
        if last["ok"] != true {
            return Ok(last);
        }
    }
    Ok(last)
}

/// What runs the program so that no file can have more than so many bytes: the kernel writes as many as fit.
fn limited(bytes: u64) -> Vec<String> {
    let script = format!("trap '' XFSZ; exec prlimit --fsize={bytes} -- \"$@\"");
    ["sh", "-c", &script, "sh"].map(str::to_owned).into()
}

/// The length of the last segment.
fn length(place: &Place) -> u64 {
    let names = (0..).map(|number| place.path(&format!("led/segment-{number:010}")));
    names.map_while(|path| fs::metadata(path).ok()).last().unwrap().len()
}

#[test]
fn every_byte_at_which_a_write_is_cut_loses_nothing() {
    let name = "a write that the kernel cuts, at every byte of two groups";
    if !has(name, &["prlimit"], false) {
        return;
    }
    let left = Left::closed();
    let last = length(&left.place);
    let limits = (0..200).chain(last..last + 900).collect();
    let mut campaign = Campaign::new(name);
    for limit in Random::of(600).sample(limits, 20) {
        let (place, mut book) = (left.place.twin(), left.book.clone());
        let ended = session::run(&place, &limited(limit), &mut book, &[]);
        let found = ended.and_then(|_| book.goes_on(&place, &[]));
        campaign.note(&format!("at byte {limit} of files, the last segment has {last}"), found);
    }
    campaign.end();
}

/// After an outcome that is uncertain the process ends, also if the caller waits for that and keeps its pipe open.
#[test]
fn an_uncertain_outcome_ends_the_process() {
    let (place, mut book) = (Place::new(), Book::default());
    let mut session = Session::begin(&place, &limited(0), &[]).unwrap();
    assert!(session.send(&mut book, 1, 60));
    let outcome = session.hear(&mut book).unwrap().unwrap();
    assert_eq!(outcome["code"], "UNCERTAIN", "{outcome}");
    // Its output ends with it.
    assert_eq!(session.hear(&mut book).unwrap(), None);
    assert_eq!(session.end(&mut book).unwrap().exit, Some(6));
    book.goes_on(&place, &[]).unwrap();
}

#[test]
fn a_segment_has_a_number_of_bytes() {
    let place = Place::empty();
    for bytes in ["0", "-1", "much", "1.5"] {
        let output = place.run(&["append", "led", "--lines", "--segment-bytes", bytes]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains("a whole number above 0"), "{}", text(&output));
    }
}
