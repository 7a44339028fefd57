//! A reader in one process while a writer writes in another, ends segments, is killed and followed by the next: always a verified
//! prefix of what there is in the end, never less than what was acknowledged before, never shorter than the time before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sigchain::directory::Directory;
use sigchain::disk;
use sigchain::frame::Written;
use sigchain::store::{Frames, Store as _};
use sigchain::verify::Verifier;

use crate::processes::{Process, Way, dir, tell};
use crate::support::{Random, rounds};

/// What a reader sees: the number of entries, and the digest of the last.
fn seen(view: &Directory) -> (u64, String) {
    let size = view.entries();
    let mut frames = Frames::new();
    view.read(size - 1, 1, &mut frames).unwrap();
    let frame = frames.iter().next().unwrap();
    let digest = Written::parse(frame.left, frame.body).unwrap().entry(&view.chain_id()).digest();
    (size, digest.to_string())
}

#[test]
fn a_reader_beside_a_writer_sees_a_prefix_that_only_grows() {
    let mut random = Random::new(43);
    let dir = dir();
    let way = Way { segment: 6000, ..Way::new(&dir.path().join("led")) };
    let mut writer = Process::new();
    writer.expect(&format!("create {}", way.words()), "opened 0");
    let follower = Directory::view(disk::open_to_read(&way.path).unwrap()).unwrap();
    let mut found = BTreeMap::new();
    let (mut last, mut looks) = (0, 0);
    for _ in 0..rounds(6, 300) {
        writer.say("append 1000000");
        let end = Instant::now() + Duration::from_millis(random.next() % 300);
        let mut acknowledged = 0;
        while Instant::now() < end {
            let receipt = writer.hear().unwrap();
            acknowledged = receipt.split(' ').nth(1).unwrap().parse().unwrap();
            let view = Directory::view(disk::open_to_read(&way.path).unwrap()).unwrap();
            let (size, digest) = seen(&view);
            assert!(size > acknowledged, "{acknowledged} has a receipt, and {size} are there");
            assert!(size >= last, "{size} after {last}");
            let report = Verifier::new().open_ended(true).run(view.stream().unwrap()).unwrap();
            assert_eq!((report.faults.len(), report.entries), (0, size), "{:?}", report.faults);
            last = size;
            found.insert(size, digest);
            // One that was opened before and looks again.
            follower.refresh().unwrap();
            let (size, digest) = seen(&follower);
            assert!(size >= last, "{size} after {last}");
            last = size;
            found.insert(size, digest);
            looks += 2;
        }
        writer.kill();
        writer = Process::new();
        let opened = writer.expect(&format!("open {}", way.words()), "opened ");
        let head: u64 = opened.strip_prefix("opened ").unwrap().parse().unwrap();
        assert!(head >= acknowledged && head + 1 >= last, "{opened}: {last} were seen");
    }
    writer.kill();
    let ledger = way.open().unwrap();
    for (size, digest) in &found {
        let entry = ledger.entry(size - 1).unwrap().unwrap();
        let digest_now = entry.entry(&ledger.chain_id()).digest().to_string();
        assert_eq!(*digest, digest_now, "{size} were seen");
    }
    assert!(looks > 10);
    tell(&format!("{looks} looks at up to {last} entries, seed 43"));
}
