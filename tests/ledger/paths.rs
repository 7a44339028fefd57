//! The same chain and point give the same bytes through every path: the ledger itself, its chain file, its JSON lines, and a
//! projection that was attached all along.

use std::io::Cursor;
use std::time::Duration;

use sigchain::chainfile::Form;
use sigchain::ledger::{Genesis, Ledger, Options};
use sigchain::point::Point;
use sigchain::replay::{ChainFile, Replay, ReplayError, Replayed, Source, Tally, replay};
use sigchain::reserved::Predecessor;
use sigchain::stamp::{Stamp, ValidTime};
use sigchain::store::Memory;
use sigchain::verify::Verifier;

use crate::ledger::support::{Answer, Scripted, Steered, event, genesis, ledger_with};
use crate::support::{entry_key, operator_key, second_entry_key};

/// A ledger with everything that a ledger writes by itself: batches, anomalies, abandoned entries, another key.
fn eventful() -> (Ledger, sigchain::ledger::Attached<Tally>) {
    let time = Steered::new();
    let signer = Scripted::new(entry_key(), true);
    let options = Options::new().time(time.clone());
    let ledger = ledger_with(Memory::new(), signer.clone(), options);
    let attached = ledger.attach(Tally::default()).unwrap();
    for number in 0..20 {
        time.pass(700_000);
        ledger.append(event(number).episode(&format!("run-{}", number % 3)).unwrap()).unwrap();
        match number {
            5 => time.step(-3_000_000),
            9 => time.step(3_000_000),
            12 => {
                signer.then([Answer::Fail]);
                ledger.append(event(99)).unwrap_err();
            }
            15 => drop(ledger.append_batch((100..105).map(event).collect()).unwrap()),
            17 => drop(ledger.rotate(second_entry_key()).unwrap()),
            _ => {}
        }
    }
    ledger.close(Duration::from_secs(20)).unwrap();
    (ledger, attached)
}

fn through(
    ledger: &Ledger,
    files: &[Vec<u8>; 2],
    until: &Point,
) -> [Result<Replayed<Tally>, ReplayError>; 3] {
    let [chain, lines] = files;
    let file = |bytes: &Vec<u8>| {
        let source = ChainFile::new(Verifier::new(), Cursor::new(bytes.clone()));
        replay(&mut source.unwrap(), until, Tally::default())
    };
    [replay(&mut ledger.clone(), until, Tally::default()), file(chain), file(lines)]
}

#[test]
fn every_path_gives_the_same_bytes_at_every_point() {
    let (ledger, attached) = eventful();
    let files =
        [Form::ChainFile, Form::JsonLines].map(|form| ledger.export(Vec::new(), form).unwrap());
    let last = ledger.head().sequence;
    let mut points = vec![Point::Head];
    for sequence in 0..=last {
        let fields = ledger.entry(sequence).unwrap().unwrap().fields;
        let stamp = fields.system_time;
        points.extend([
            Point::Sequence(sequence),
            Point::Back(last - sequence),
            Point::Event(fields.event_id),
            Point::Stamp(stamp),
            Point::Time(ValidTime::from_micros(stamp.micros()).unwrap()),
        ]);
    }
    let mut states = std::collections::BTreeSet::new();
    for point in &points {
        let [memory, file, lines] = through(&ledger, &files, point).map(Result::unwrap);
        assert_eq!(memory.state.encode(), file.state.encode(), "{point}");
        assert_eq!(memory.state.encode(), lines.state.encode(), "{point}");
        assert_eq!((memory.at, memory.at), (file.at, lines.at), "{point}");
        let entry = ledger.entry(memory.at.sequence).unwrap().unwrap();
        assert_eq!(memory.at.digest, entry.entry(&ledger.chain_id()).digest(), "{point}");
        states.insert(memory.state.encode());
    }
    assert_eq!(u64::try_from(states.len()).unwrap(), last + 1);
    let head = replay(&mut ledger.clone(), &Point::Head, Tally::default()).unwrap();
    assert_eq!(attached.read(|view| view.state.encode()), Some(head.state.encode()));
    for point in [
        Point::Sequence(last + 1),
        Point::Back(last + 1),
        Point::Stamp(Stamp::new(u64::MAX)),
        Point::Stamp(Stamp::new(0)),
    ] {
        for refused in through(&ledger, &files, &point) {
            let error = refused.unwrap_err();
            let is_named = matches!(error, ReplayError::Beyond(..) | ReplayError::Before(_));
            assert!(is_named, "{point}: {error}");
        }
    }
}

/// A succession of two ledgers: the first has entries beyond the size that its successor states.
#[test]
fn a_line_of_ledgers_replays_as_its_files_do() {
    let (old, _) = eventful();
    let size = 9;
    let root = {
        let mut tree = sigchain::tree::Frontier::new();
        for sequence in 0..size {
            let written = old.entry(sequence).unwrap().unwrap();
            let entry = written.entry(&old.chain_id());
            tree.push(sigchain::tree::leaf_hash(&entry.digest(), entry.signature()));
        }
        tree.root()
    };
    let predecessor = Predecessor {
        chain: old.chain_id(),
        evidence: None,
        root,
        size,
        statement: "the rest was lost in a fire".to_owned(),
    };
    let begun: Genesis = genesis(entry_key()).succeeding(predecessor, operator_key());
    let time = Steered::new();
    time.pass(3_600_000_000);
    let new = Ledger::create(Memory::new(), begun, Options::new().time(time)).unwrap();
    for number in 0..3 {
        new.append(event(number)).unwrap();
    }
    let file = |ledger: &Ledger| {
        let bytes = ledger.export(Vec::new(), Form::ChainFile).unwrap();
        ChainFile::new(Verifier::new(), Cursor::new(bytes)).unwrap()
    };
    let last_of_old = old.entry(size - 1).unwrap().unwrap();
    for point in [
        Point::Head,
        Point::Sequence(0),
        Point::Event(last_of_old.fields.event_id),
        Point::Stamp(last_of_old.fields.system_time),
        Point::Stamp(Stamp::new(last_of_old.fields.system_time.as_u64() + 1)),
    ] {
        let run = |a: &mut dyn Source, b: &mut dyn Source| {
            Replay::until(point).run(&mut [a, b], Tally::default()).unwrap()
        };
        let memory = run(&mut old.clone(), &mut new.clone());
        let files = run(&mut file(&new), &mut file(&old));
        assert_eq!(memory.state.encode(), files.state.encode(), "{point}");
        assert_eq!(memory.at, files.at, "{point}");
        assert_eq!(memory.chapters.first().unwrap().beyond(), old.head().sequence + 1 - size);
    }
}
