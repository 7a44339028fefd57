//! What the simulated disk promises, one by one.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use sigchain::disk::{File, Folder};

use crate::power::content::SECTOR;
use crate::power::sim::{Fault, Outcome, Sim, What, is_crash};

const SEEDS: u64 = 2000;

fn bytes(file: &(dyn File + 'static)) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_all_at(&mut bytes, 0).unwrap();
    bytes
}

/// A file's bytes, if there is one of this name.
fn found(sim: &Sim, name: &str) -> Option<Vec<u8>> {
    let file = sim.root().open(name, false);
    Some(bytes(&*file.ok()?))
}

fn names(folder: &dyn Folder) -> Vec<String> {
    folder.names().unwrap()
}

/// What power cuts of all seeds leave of it.
fn cuts<T: Ord>(sim: &Sim, see: impl Fn(&Sim) -> T) -> BTreeSet<T> {
    (0..SEEDS).map(|seed| see(&sim.after_power_cut(seed))).collect()
}

/// A disk with a durable file `f` of these bytes.
fn with_file(content: &[u8]) -> (Sim, Arc<dyn Folder>, Box<dyn File>) {
    let sim = Sim::new(1);
    let root = sim.root();
    let file = root.create("f").unwrap();
    file.write_at(content, 0).unwrap();
    file.sync().unwrap();
    root.sync().unwrap();
    (sim, root, file)
}

fn sectors(fill: &[u8]) -> Vec<u8> {
    fill.iter().flat_map(|byte| [*byte; SECTOR]).collect()
}

#[test]
fn the_process_sees_what_it_wrote_and_a_power_cut_keeps_what_it_synced() {
    let (sim, root, file) = with_file(b"synced");
    file.write_at(b" and not", 6).unwrap();
    root.create("g").unwrap().write_at(b"new", 0).unwrap();
    assert_eq!(found(&sim, "f").unwrap(), b"synced and not");
    assert_eq!(found(&sim, "g").unwrap(), b"new");
    root.create("empty").unwrap().sync().unwrap();
    file.sync().unwrap();
    root.sync().unwrap();
    let left = cuts(&sim, |sim| (found(sim, "f"), found(sim, "g").is_some(), found(sim, "empty")));
    let kept = (Some(b"synced and not".to_vec()), true, Some(Vec::new()));
    assert_eq!(left, BTreeSet::from([kept]));
}

#[test]
fn each_write_has_each_fate_and_synced_bytes_stay() {
    let synced = [7; 100];
    let (sim, _, file) = with_file(&synced);
    let write = sectors(&[1, 2, 3]);
    file.write_at(&write, 100).unwrap();
    let mut fates = BTreeSet::new();
    let mut torn = BTreeSet::new();
    for left in cuts(&sim, |sim| found(sim, "f").unwrap()) {
        assert_eq!(left[..100], synced);
        if left.len() < 100 + write.len() {
            continue;
        }
        // The write touches four sectors.
        let tears: Vec<_> = (0..4)
            .map(|sector| {
                let range = (sector * SECTOR).max(100)..((sector + 1) * SECTOR).min(left.len());
                let own = &write[range.start - 100..range.end - 100];
                let is_stale = || left[range.clone()].iter().all(|byte| [0, 7].contains(byte));
                match &left[range.clone()] {
                    part if part == own => "written",
                    part if part.iter().all(|byte| *byte == 0) => "nothing",
                    _ if is_stale() => "stale",
                    _ => "garbage",
                }
            })
            .collect();
        if tears.iter().all(|fate| ["written", "nothing"].contains(fate)) {
            torn.insert(tears.clone());
        }
        fates.extend(tears);
    }
    assert_eq!(fates, BTreeSet::from(["garbage", "nothing", "stale", "written"]));
    assert_eq!(torn.len(), 16, "any subset of its sectors");
}

#[test]
fn an_overwritten_record_may_be_old_new_zeros_or_garbage_and_its_neighbours_stay() {
    let (sim, _, file) = with_file(&[7; 100]);
    file.write_at(&[8; 10], 20).unwrap();
    let left = cuts(&sim, |sim| found(sim, "f").unwrap());
    for left in &left {
        assert!(left.len() == 100 && left[..20] == [7; 20] && left[30..] == [7; 70]);
    }
    for whole in [[7; 10], [8; 10], [0; 10]] {
        assert!(left.iter().any(|left| left[20..30] == whole), "{whole:?}");
    }
    assert!(left.len() > 3);
}

#[test]
fn a_later_write_may_survive_an_earlier_one_whatever_the_file() {
    let (sim, root, one) = with_file(b"");
    let other = root.create("g").unwrap();
    root.sync().unwrap();
    one.write_at(&sectors(&[1]), 0).unwrap();
    one.write_at(&sectors(&[2]), 512).unwrap();
    other.write_at(&sectors(&[3]), 0).unwrap();
    let left = cuts(&sim, |sim| {
        let (one, other) = (found(sim, "f").unwrap(), found(sim, "g").unwrap());
        [one.first() == Some(&1), one.get(512) == Some(&2), other.first() == Some(&3)]
    });
    assert_eq!(left.len(), 8);
}

#[test]
fn a_length_is_any_that_the_file_has_had_since_its_sync() {
    let (sim, _, file) = with_file(&[7; 10]);
    file.write_at(&[8; 5], 10).unwrap();
    file.write_at(&[9; 5], 40).unwrap();
    let left = cuts(&sim, |sim| found(sim, "f").unwrap());
    let lengths: BTreeSet<_> = left.iter().map(Vec::len).collect();
    assert_eq!(lengths, (10..=15).chain(41..=45).collect());
    assert!(left.iter().any(|left| left.len() == 45 && left[10..] == [0; 35]), "a tail of zeros");
}

#[test]
fn names_that_were_not_synced_may_be_old_or_new() {
    let left = |work: fn(&dyn Folder) -> io::Result<()>| {
        let sim = Sim::new(1);
        let root = sim.root();
        root.create("a").unwrap();
        root.sync().unwrap();
        work(&*root).unwrap();
        cuts(&sim, |sim| names(&*sim.root()).concat())
    };
    let any = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(left(|root| root.create("b").map(drop)), any(&["a", "ab"]));
    assert_eq!(left(|root| root.create("b")?.sync()), any(&["a", "ab"]), "its own sync is not it");
    assert_eq!(left(|root| root.create("b").and_then(|_| root.sync())), any(&["ab"]));
    assert_eq!(left(|root| root.rename("a", "b")), any(&["a", "b"]), "never neither, never both");
    assert_eq!(
        left(|root| root.rename("a", "b").and_then(|()| root.rename("b", "c"))),
        any(&["a", "b", "c"])
    );
    assert_eq!(left(|root| root.rename("a", "b").and_then(|()| root.sync())), any(&["b"]));
    assert_eq!(left(|root| root.remove("a")), any(&["", "a"]));
    assert_eq!(left(|root| root.remove("a").and_then(|()| root.sync())), any(&[""]));
    assert_eq!(
        left(|root| root.create("b").and_then(|_| root.rename("b", "c"))),
        any(&["a", "ab", "ac"]),
        "neither, for it was made since"
    );
    assert_eq!(
        left(|root| root.create("b").and_then(|_| root.remove("a"))),
        any(&["a", "ab", "", "b"]),
        "each for itself"
    );
}

#[test]
fn one_name_keeps_its_order_and_a_removed_file_comes_back_whole() {
    let (sim, root, _) = with_file(b"first");
    root.remove("f").unwrap();
    let second = root.create("f").unwrap();
    second.write_at(b"second", 0).unwrap();
    second.sync().unwrap();
    let left = cuts(&sim, |sim| found(sim, "f"));
    let left: Vec<_> = left.iter().map(|left| left.as_deref()).collect();
    assert_eq!(left, [None, Some(&b"first"[..]), Some(b"second")]);
}

#[test]
fn a_folder_whose_name_was_not_synced_takes_all_in_it_along() {
    let sim = Sim::new(1);
    let root = sim.root();
    let sub = root.folder("sub", true).unwrap();
    let file = sub.create("f").unwrap();
    file.sync().unwrap();
    sub.sync().unwrap();
    let of = |sim: &Sim| match sim.root().folder("sub", false) {
        Ok(sub) => names(&*sub),
        Err(error) => vec![error.kind().to_string()],
    };
    let missing = vec![io::ErrorKind::NotFound.to_string()];
    assert_eq!(cuts(&sim, of), BTreeSet::from([missing, vec!["f".to_owned()]]));
    let sim = sim.after_kill();
    sim.root().sync().unwrap();
    assert_eq!(cuts(&sim, of), BTreeSet::from([vec!["f".to_owned()]]));
}

/// Makes a file, writes, syncs, renames and syncs the folder; says where it failed.
fn work(sim: &Sim) -> Result<(), (u64, io::Error)> {
    let root = sim.root();
    let at = |op| move |error| (op, error);
    let file = root.create("a").map_err(at(0))?;
    file.write_at(&[1; 1000], 0).map_err(at(1))?;
    file.sync().map_err(at(2))?;
    root.rename("a", "b").map_err(at(3))?;
    root.sync().map_err(at(4))?;
    root.remove("b").map_err(at(5))?;
    root.folder("c", true).map_err(at(6)).map(drop)
}

/// What a process sees of it.
fn seen(sim: &Sim) -> String {
    let root = sim.root();
    let show = |name: &String| match root.open(name, false) {
        Ok(file) => format!("{name}:{}", file.len().unwrap()),
        Err(_) => format!("{name}/"),
    };
    names(&*root).iter().map(show).collect::<Vec<_>>().join(" ")
}

const SEEN: [&str; 8] = ["", "a:0", "a:1000", "a:1000", "b:1000", "b:1000", "", "c/"];

#[test]
fn a_planned_fault_strikes_where_it_was_planned() {
    let errno = Errno::IO;
    let done = Sim::new(1);
    work(&done).unwrap();
    assert_eq!(done.ops(), 7);
    for op in 0..7 {
        let at = usize::try_from(op).unwrap();
        let (before, after) = (SEEN[at], SEEN[at + 1]);
        let amid = if op == 1 { "a:300" } else { before };
        for (fault, left) in [
            (Fault::CrashBefore, before),
            (Fault::CrashAmid(300), amid),
            (Fault::CrashAfter, after),
            (Fault::Fail(errno), before),
            (Fault::FailDone(errno), after),
            (Fault::Short(300, errno), amid),
        ] {
            let sim = Sim::new(1);
            sim.plan(op, false, fault);
            let (failed, error) = work(&sim).unwrap_err();
            let crashed =
                matches!(fault, Fault::CrashBefore | Fault::CrashAmid(_) | Fault::CrashAfter);
            assert_eq!(failed, op, "{fault:?}");
            assert_eq!((is_crash(&error), sim.has_crashed()), (crashed, crashed), "{fault:?}");
            if !crashed {
                assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()), "{fault:?}");
            }
            assert_eq!(seen(&sim.after_kill()), left, "{fault:?} at {op}");
        }
    }
}

#[test]
fn a_fault_strikes_once_or_for_ever() {
    for for_ever in [false, true] {
        let (sim, root, file) = with_file(b"abc");
        sim.plan(sim.ops() + 1, for_ever, Fault::Fail(Errno::ROFS));
        file.write_at(b"d", 3).unwrap();
        root.create("g").unwrap_err();
        assert_eq!(root.create("g").is_err(), for_ever);
        assert_eq!(file.write_at(b"e", 4).is_err(), for_ever);
        assert_eq!(root.sync().is_err(), for_ever);
        assert_eq!(sim.errors(), if for_ever { 4 } else { 1 });
        assert_eq!(bytes(&*file), if for_ever { &b"abcd"[..] } else { b"abcde" });
    }
}

#[test]
fn after_a_crash_every_call_fails_and_changes_nothing() {
    let (sim, root, file) = with_file(b"abc");
    sim.plan(sim.ops(), false, Fault::CrashBefore);
    let mut errors = vec![file.write_at(b"d", 3).unwrap_err()];
    errors.push(file.write_at(b"d", 3).unwrap_err());
    errors.push(file.write_at(b"", 3).unwrap_err());
    errors.push(file.read_at(&mut [0], 0).unwrap_err());
    errors.push(file.sync().unwrap_err());
    errors.push(file.len().unwrap_err());
    errors.push(root.create("g").unwrap_err());
    errors.push(root.open("f", false).unwrap_err());
    errors.push(root.rename("f", "g").unwrap_err());
    errors.push(root.remove("f").unwrap_err());
    errors.push(root.names().unwrap_err());
    errors.push(root.folder("s", true).unwrap_err());
    errors.push(root.folder("s", false).unwrap_err());
    errors.push(root.sync().unwrap_err());
    errors.push(root.lock().unwrap_err());
    errors.push(root.room().unwrap_err());
    for (i, error) in errors.iter().enumerate() {
        assert!(is_crash(error), "call {i}: {error}");
    }
    assert_eq!(seen(&sim.after_kill()), "f:3");
    assert!(!is_crash(&io::Error::other("another")) && !is_crash(&Errno::IO.into()));
}

#[test]
fn a_cut_or_a_kill_ends_a_machine_that_still_ran() {
    let (sim, root, _) = with_file(b"abc");
    let next = sim.after_kill();
    assert!(is_crash(&root.names().unwrap_err()));
    let root = next.root();
    next.after_power_cut(1);
    assert!(is_crash(&root.names().unwrap_err()));
}

/// Findings 1 to 3 of the measurements on ext4.
#[test]
fn a_sync_that_failed_lies_ever_after() {
    let (sim, _, file) = with_file(&sectors(&[1]));
    sim.plan(sim.ops() + 1, false, Fault::Fail(Errno::IO));
    file.write_at(&sectors(&[2]), 512).unwrap();
    file.sync().unwrap_err();
    let sim = sim.after_kill();
    let file = sim.root().open("f", true).unwrap();
    let left = cuts(&sim, |sim| found(sim, "f").unwrap());
    assert!(left.len() > 1 && left.iter().all(|left| left[512..].iter().all(|byte| *byte == 0)));
    let sim = sim.after_kill();
    drop(file);
    let file = sim.root().open("f", true).unwrap();
    file.sync().unwrap();
    assert_eq!(bytes(&*file), sectors(&[1, 2]), "reads well");
    file.write_at(&sectors(&[2]), 512).unwrap();
    file.write_at(&sectors(&[3]), 1024).unwrap();
    file.sync().unwrap();
    let killed = sim.after_kill();
    let file = killed.root().open("f", true).unwrap();
    assert_eq!(bytes(&*file), sectors(&[1, 2, 3]), "and after a kill");
    let copy = killed.root().create("copy").unwrap();
    copy.write_at(&bytes(&*file), 0).unwrap();
    file.sync().unwrap();
    copy.sync().unwrap();
    killed.root().sync().unwrap();
    let left = cuts(&killed, |sim| (found(sim, "f").unwrap(), found(sim, "copy").unwrap()));
    let copied = (sectors(&[1, 0, 3]), sectors(&[1, 2, 3]));
    assert_eq!(left, BTreeSet::from([copied]), "written again in vain; only the copy is whole");
    let cut = killed.after_power_cut(0);
    let file = cut.root().open("f", true).unwrap();
    file.write_at(&sectors(&[2]), 512).unwrap();
    file.sync().unwrap();
    assert_eq!(cuts(&cut, |sim| found(sim, "f").unwrap()).len(), 1, "a new mount writes it");
}

#[test]
fn a_sync_that_failed_loses_some_of_what_was_dirty_and_nothing_else() {
    let lose = |seed, failures| {
        let sim = Sim::new(seed);
        let root = sim.root();
        let file = root.create("f").unwrap();
        root.sync().unwrap();
        file.write_at(&sectors(&[1]), 0).unwrap();
        file.sync().unwrap();
        file.write_at(&sectors(&[2, 3, 4]), 512).unwrap();
        for _ in 0..failures {
            sim.plan(sim.ops(), false, Fault::Fail(Errno::IO));
            file.sync().unwrap_err();
        }
        file.sync().unwrap();
        let left = found(&sim.after_power_cut(0), "f").unwrap();
        assert!(left.len() == 2048 && left[0] == 1);
        [left[512], left[1024], left[1536]]
    };
    let subsets: BTreeSet<_> = (0..200).map(|seed| lose(seed, 1)).collect();
    assert_eq!(subsets.len(), 7, "any subset but none of three sectors: {subsets:?}");
    for seed in 0..200 {
        assert_eq!(lose(seed, 1), lose(seed, 2), "what was lost is clean, and so is the rest");
    }
}

#[test]
fn a_sync_that_did_its_work_and_said_it_failed_loses_nothing() {
    let (sim, _, file) = with_file(b"");
    sim.plan(sim.ops() + 1, false, Fault::FailDone(Errno::IO));
    file.write_at(b"abc", 0).unwrap();
    file.sync().unwrap_err();
    assert_eq!(cuts(&sim, |sim| found(sim, "f").unwrap()), BTreeSet::from([b"abc".to_vec()]));
}

#[test]
fn a_folder_sync_that_failed_proves_nothing_when_it_is_asked_again() {
    let (sim, root, _) = with_file(b"");
    root.create("g").unwrap();
    sim.plan(sim.ops(), false, Fault::Fail(Errno::IO));
    root.sync().unwrap_err();
    root.sync().unwrap();
    let of = |sim: &Sim| names(&*sim.root()).concat();
    let either = BTreeSet::from(["f", "fg"].map(str::to_owned));
    assert_eq!(cuts(&sim, of), either);
    let sim = sim.after_kill();
    sim.root().sync().unwrap();
    assert_eq!(cuts(&sim, of), either, "nor by another process");
    let sim = sim.after_kill();
    sim.root().create("h").unwrap();
    sim.root().sync().unwrap();
    assert_eq!(cuts(&sim, of), BTreeSet::from(["fgh".to_owned()]), "a change writes all names");
}

#[test]
fn one_handle_holds_the_lock() {
    let sim = Sim::new(1);
    let (one, other) = (sim.root(), sim.root());
    assert!(one.lock().unwrap() && one.lock().unwrap() && one.clone().lock().unwrap());
    assert!(!other.lock().unwrap());
    assert!(one.folder("sub", true).unwrap().lock().unwrap(), "each folder has its own");
    drop(one);
    assert!(other.lock().unwrap());
    let killed = sim.after_kill();
    assert!(killed.root().lock().unwrap());
    assert!(killed.after_power_cut(0).root().lock().unwrap());
    // That of the dead process is gone, and letting go of it changes nothing.
    drop(other);
}

#[test]
fn the_order_of_syncs_is_recorded_and_each_can_be_left_out() {
    let sim = Sim::new(1);
    // Of other calls none is left out, whatever the answer.
    sim.leave_out(|step| step.path.starts_with("sub/"));
    let root = sim.root();
    let sub = root.folder("sub", true).unwrap();
    let (one, other) = (root.create("a").unwrap(), sub.create("b").unwrap());
    one.write_at(b"one", 0).unwrap();
    other.write_at(b"other", 0).unwrap();
    for file in [&other, &one] {
        file.sync().unwrap();
    }
    sub.rename("b", "c").unwrap();
    sub.sync().unwrap();
    root.sync().unwrap();
    other.sync().unwrap();
    let syncs: Vec<_> =
        sim.syncs().iter().map(|s| format!("{} {} {:?}", s.op, s.path, s.outcome)).collect();
    let expected = ["5 sub/b LeftOut", "6 a Done", "8 sub Done", "9 . Done", "10 sub/c LeftOut"];
    assert_eq!(syncs, expected);
    assert_eq!(sim.steps()[3].what, What::Write { offset: 0, len: 3 });
    assert_eq!(sim.steps()[7].what, What::Rename { to: "c".to_owned() });
    let left = cuts(&sim, |sim| {
        let sub = sim.root().folder("sub", false).unwrap();
        (found(sim, "a").unwrap(), bytes(&*sub.open("c", false).unwrap()))
    });
    assert!(left.iter().all(|(a, _)| a == b"one"));
    assert!(left.iter().any(|(_, b)| b.is_empty()) && left.iter().any(|(_, b)| b == b"other"));
    // Left out in the next incarnation, too.
    let next = sim.after_power_cut(0);
    let sub = next.root().folder("sub", false).unwrap();
    sub.open("c", true).unwrap().sync().unwrap();
    assert_eq!(next.syncs()[0].outcome, Outcome::LeftOut);
    assert_eq!(&*next.syncs()[0].path, "sub/c");
}

#[test]
fn a_path_is_the_one_that_a_power_cut_has_left() {
    let sim = Sim::new(1);
    let root = sim.root();
    let sub = root.folder("sub", true).unwrap();
    root.sync().unwrap();
    sub.create("a").unwrap();
    sub.sync().unwrap();
    sub.rename("a", "b").unwrap();
    let paths = cuts(&sim, |sim| {
        let sub = sim.root().folder("sub", false).unwrap();
        sub.open(&names(&*sub)[0], true).unwrap().sync().unwrap();
        (names(&*sub)[0].clone(), sim.syncs()[0].path.to_string())
    });
    let expected = [("a", "sub/a"), ("b", "sub/b")];
    assert_eq!(paths, expected.map(|(name, path)| (name.to_owned(), path.to_owned())).into());
}

#[test]
fn a_disk_is_full_at_an_exact_byte() {
    let sim = Sim::new(1);
    sim.hold(1000);
    let root = sim.root();
    let (one, other) = (root.create("a").unwrap(), root.create("b").unwrap());
    one.write_at(&[1; 600], 0).unwrap();
    assert_eq!(root.room().unwrap(), 400);
    let error = other.write_at(&[2; 500], 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(bytes(&*other), [2; 400], "what fits is written");
    assert_eq!(root.room().unwrap(), 0);
    one.write_at(&[3; 600], 0).unwrap();
    one.write_at(&[3], 600).unwrap_err();
    assert_eq!((bytes(&*one), sim.errors()), (vec![3; 600], 2));
    root.remove("b").unwrap();
    assert_eq!(root.room().unwrap(), 0, "somebody has it open");
    drop(other);
    assert_eq!(root.room().unwrap(), 400);
    one.write_at(&[4; 10], 995).unwrap_err();
    assert_eq!((one.len().unwrap(), root.room().unwrap()), (1000, 0), "a gap takes room");
    one.write_at(&[4; 10], 1001).unwrap_err();
    let next = sim.after_kill();
    assert_eq!(next.root().room().unwrap(), 0);
    next.hold(1500);
    assert_eq!(next.root().room().unwrap(), 500);
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let (sim, _, file) = with_file(&[7; 100]);
    file.write_at(&sectors(&[1, 2, 3, 4]), 100).unwrap();
    for seed in 0..50 {
        let cut = || found(&sim.after_power_cut(seed), "f");
        assert_eq!(cut(), cut());
    }
    assert!(cuts(&sim, |sim| found(sim, "f")).len() > 500);
}

#[test]
fn garbage_takes_synced_bytes_only_where_sectors_fail_as_a_whole() {
    let (sim, _, file) = with_file(&[7; 100]);
    file.write_at(&[8; 10], 100).unwrap();
    let first = |sim: &Sim| found(sim, "f").unwrap()[..100].to_vec();
    assert_eq!(cuts(&sim, first).len(), 1);
    let next = sim.after_kill();
    next.spill();
    assert!(cuts(&next, first).len() > 1);
}
