//! The driver proven on a tiny log: it finds nothing wrong with a right one, and something with every wrong one.
//!
//! The log is a folder with one file, `log-N`. Each open copies what it reads into the next, and never writes to the one it found: of
//! that it cannot know what is durable.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use sigchain::disk::{File, Folder};

use crate::power::drive::{Explore, Explored, Failure, explore};
use crate::power::sim::{Sim, Step};
use crate::support::{Random, rounds, step};

/// What is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Goes on in the file that it found.
    AppendsToFound,
    /// After a failed sync asks again, and believes the answer.
    AsksAgain,
    /// After a failed write or sync writes the same bytes once more.
    WritesAgain,
    /// After an error goes on with the next record.
    GoesOn,
    /// Acknowledges before the sync.
    TooEarly,
    /// Gives the new file its name before it is whole.
    RenamesEarly,
    /// Removes the old file before the new one's name is durable.
    RemovesEarly,
    /// Believes that the name of the log's folder, which it found, is durable.
    TrustsFolder,
}

struct Log {
    file: Box<dyn File>,
    end: u64,
    broken: bool,
    flaw: Flaw,
    records: Vec<Vec<u8>>,
}

fn frame(number: usize, record: &[u8]) -> Vec<u8> {
    let number = u32::try_from(number).unwrap().to_be_bytes();
    let length = u32::try_from(record.len()).unwrap().to_be_bytes();
    let body = [&length[..], &number, record].concat();
    [&crc32fast::hash(&body).to_be_bytes()[..], &body].concat()
}

/// The records up to the first damage, and where it begins.
fn read(file: &(dyn File + 'static)) -> io::Result<(Vec<Vec<u8>>, usize)> {
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap()];
    file.read_all_at(&mut bytes, 0)?;
    let (mut records, mut at) = (Vec::new(), 0);
    while let Some(head) = bytes.get(at..at + 12) {
        let length = u32::from_be_bytes(head[4..8].try_into().unwrap());
        let Some(record) = bytes.get(at + 12..at + 12 + usize::try_from(length).unwrap()) else {
            break;
        };
        if frame(records.len(), record) != bytes[at..at + 12 + record.len()] {
            break;
        }
        records.push(record.to_vec());
        at += 12 + record.len();
    }
    Ok((records, at))
}

impl Log {
    fn open(root: &dyn Folder, flaw: Flaw) -> io::Result<Self> {
        let folder = root.folder("log", true)?;
        if flaw != Flaw::TrustsFolder {
            // An earlier sync of it may have failed, and asking again would prove nothing. A change makes it write all names.
            if root.names()?.contains(&"touch".to_owned()) {
                root.remove("touch")?;
            }
            root.create("touch")?;
        }
        root.sync()?;
        let mut found = folder.names()?;
        found.sort();
        if found.contains(&"new".to_owned()) {
            folder.remove("new")?;
            found.retain(|name| name != "new");
        }
        let last = found.last();
        let number: usize = last.map_or(0, |name| name[4..].parse().unwrap());
        let (records, end) = match last {
            Some(last) => read(&*folder.open(last, false)?)?,
            None => (Vec::new(), 0),
        };
        if flaw == Flaw::AppendsToFound
            && let Some(last) = last
        {
            let (file, end) = (folder.open(last, true)?, u64::try_from(end).unwrap());
            file.sync()?;
            folder.sync()?;
            return Ok(Self { file, end, broken: false, flaw, records });
        }
        Self::copy(&folder, &found, records, &format!("log-{:04}", number + 1), flaw)
    }

    fn copy(
        folder: &Arc<dyn Folder>,
        found: &[String],
        records: Vec<Vec<u8>>,
        name: &str,
        flaw: Flaw,
    ) -> io::Result<Self> {
        let file = folder.create("new")?;
        let mut end = 0;
        if flaw == Flaw::RenamesEarly {
            folder.rename("new", name)?;
        }
        for (i, record) in records.iter().enumerate() {
            let bytes = frame(i, record);
            file.write_at(&bytes, end)?;
            end += u64::try_from(bytes.len()).unwrap();
        }
        file.sync()?;
        if flaw != Flaw::RenamesEarly {
            folder.rename("new", name)?;
        }
        if flaw != Flaw::RemovesEarly {
            folder.sync()?;
        }
        for old in found {
            folder.remove(old)?;
        }
        if flaw == Flaw::RemovesEarly {
            folder.sync()?;
        }
        Ok(Self { file, end, broken: false, flaw, records })
    }

    /// Says whether the record is durable. After an error nobody knows, and the log takes no more.
    fn append(&mut self, record: &[u8], known: &mut Known) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("closed by an earlier error"));
        }
        let bytes = frame(self.records.len(), record);
        known.submitted.push(record.to_vec());
        if self.flaw == Flaw::TooEarly {
            known.acknowledged += 1;
        }
        let mut done = self.file.write_at(&bytes, self.end).and_then(|()| self.file.sync());
        match self.flaw {
            Flaw::AsksAgain => done = done.or_else(|_| self.file.sync()),
            Flaw::WritesAgain => {
                done = done.or_else(|_| {
                    self.file.write_at(&bytes, self.end)?;
                    self.file.sync()
                });
            }
            _ => {}
        }
        self.broken = done.is_err() && self.flaw != Flaw::GoesOn;
        if done.is_ok() || self.flaw == Flaw::GoesOn {
            self.end += u64::try_from(bytes.len()).unwrap();
            self.records.push(record.to_vec());
        }
        done?;
        if self.flaw != Flaw::TooEarly {
            known.acknowledged = self.records.len();
        }
        Ok(())
    }
}

/// What is known outside of the machine.
#[derive(Clone, Debug, Default)]
struct Known {
    submitted: Vec<Vec<u8>>,
    acknowledged: usize,
}

impl Known {
    /// Opens the log and holds it to what is known. What it says is there has to be there from then on.
    fn open(&mut self, sim: &Sim, flaw: Flaw) -> io::Result<Log> {
        let log = Log::open(&*sim.root(), flaw)?;
        let found = log.records.len();
        assert!(found >= self.acknowledged, "{found} found of {} acknowledged", self.acknowledged);
        assert!(self.submitted.starts_with(&log.records), "found what nobody has submitted");
        self.submitted.truncate(found);
        self.acknowledged = found;
        Ok(log)
    }

    fn append(&mut self, log: &mut Log, random: &mut Random) -> io::Result<()> {
        let record = vec![random.bytes::<1>()[0]; [1, 40, 400, 1200][random.below(4)]];
        log.append(&record, self)
    }
}

/// Opens twice, and appends a few records each time. Goes on after errors: the log itself has to refuse.
fn work(sim: &Sim, random: &mut Random, known: &mut Known, flaw: Flaw) -> io::Result<()> {
    for _ in 0..2 {
        let mut log = match known.open(sim, flaw) {
            Err(_) if sim.errors() > 0 => continue,
            opened => opened?,
        };
        for _ in 0..3 {
            let _ = known.append(&mut log, random);
        }
    }
    Ok(())
}

/// Recovers, and appends one record.
fn check(sim: &Sim, random: &mut Random, known: &mut Known, flaw: Flaw) -> io::Result<()> {
    let mut log = known.open(sim, flaw)?;
    known.append(&mut log, random)
}

fn run(explore: &Explore<'_>, flaw: Flaw) -> Result<Explored, Failure> {
    explore.run(
        |sim, random, known| work(sim, random, known, flaw),
        |sim, random, known| check(sim, random, known, flaw),
    )
}

#[expect(clippy::print_stderr, reason = "figures, for those who ask with --nocapture")]
fn tell(what: &str) {
    eprintln!("{what}");
}

#[test]
fn a_right_log_survives_every_power_cut() {
    let started = Instant::now();
    let explored = explore(
        1,
        rounds(20_000, 1_000_000),
        |sim, random, known| work(sim, random, known, Flaw::None),
        |sim, random, known| check(sim, random, known, Flaw::None),
    );
    let rate = explored.states * 1000 / usize::try_from(started.elapsed().as_millis()).unwrap();
    tell(&format!("{explored:?}, {rate} states a second"));
    assert!(explored.by_depth.iter().all(|states| *states > 6000), "{explored:?}");
}

#[test]
fn a_right_log_survives_power_cuts_kills_and_errors_together() {
    let states = rounds(20_000, 1_000_000);
    let explored = run(&Explore::new(2, states).kills().errors(), Flaw::None).unwrap();
    assert!(explored.kills > states / 2 && explored.errors > states / 10, "{explored:?}");
}

/// The disk is full at each byte; then somebody makes room.
#[test]
fn a_right_log_survives_a_full_disk() {
    let mut met = 0;
    for capacity in (0..3000).step_by(step(5)) {
        let seed = u64::try_from(capacity).unwrap();
        let explored = Explore::new(seed, 8).kills().prepare(move |sim| sim.hold(capacity)).run(
            |sim, random, known| work(sim, random, known, Flaw::None),
            |sim, random, known| {
                sim.hold(1 << 40);
                check(sim, random, known, Flaw::None)
            },
        );
        met += explored.unwrap().errors;
    }
    assert!(met > 500, "{met}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| run(&Explore::new(seed, 500).kills().errors(), Flaw::None).unwrap();
    assert_eq!(run(4), run(4));
    assert_ne!(run(4), run(5));
}

type Which = fn(&Step) -> bool;

/// Every sync of the log, by what it syncs. Left out, it must be missed.
#[test]
fn every_sync_that_is_left_out_is_noticed() {
    let syncs: [(&str, Which); 4] = [
        ("of the outermost folder", |step| &*step.path == "."),
        ("of the log's folder", |step| &*step.path == "log"),
        ("of the new file", |step| step.path.ends_with("/new")),
        ("of each record", |step| step.path.starts_with("log/log-")),
    ];
    // There are no others.
    let sim = Sim::new(0);
    work(&sim, &mut Random::new(0), &mut Known::default(), Flaw::None).unwrap();
    for step in sim.syncs() {
        assert_eq!(syncs.iter().filter(|(_, which)| which(&step)).count(), 1, "{step:?}");
    }
    for (name, which) in syncs {
        let explore = Explore::new(6, 2000).prepare(move |sim| sim.leave_out(which));
        let failure = run(&explore, Flaw::None).expect_err(name);
        tell(&format!("without the sync {name}: noticed after {} states", failure.after));
    }
}

#[test]
fn every_wrong_log_is_noticed() {
    let flaws = [
        Flaw::AppendsToFound,
        Flaw::AsksAgain,
        Flaw::WritesAgain,
        Flaw::GoesOn,
        Flaw::TooEarly,
        Flaw::RenamesEarly,
        Flaw::RemovesEarly,
        Flaw::TrustsFolder,
    ];
    for flaw in flaws {
        let failure = run(&Explore::new(7, 20_000).kills().errors(), flaw);
        let failure = failure.err().unwrap_or_else(|| panic!("{flaw:?} was not noticed"));
        tell(&format!("{flaw:?}: noticed after {} states", failure.after));
    }
}

/// A recovery that gives up on a machine that works is no recovery; so is a workload that does.
#[test]
fn an_error_without_a_cause_is_noticed() {
    let gives_up = || Err(io::Error::other("gives up"));
    let fine = |_: &Sim, _: &mut Random, (): &mut ()| Ok(());
    for failure in [
        Explore::new(9, 10).kills().errors().run(fine, |_, _, ()| gives_up()),
        Explore::new(9, 10).kills().errors().run(|_, _, ()| gives_up(), fine),
    ] {
        let failure = format!("{:?}", failure.expect_err("nothing had failed"));
        assert!(failure.starts_with("failed on a machine that works: gives up"), "{failure}");
    }
}

/// On a disk whose sectors fail as a whole no log can grow in place: this one is lost, and the driver says so.
#[test]
fn sectors_that_fail_as_a_whole_are_noticed() {
    let explore = Explore::new(8, 2000).prepare(Sim::spill);
    let failure = run(&explore, Flaw::None).expect_err("garbage over synced bytes");
    let story = format!("{failure:?}");
    assert!(story.contains("SyncFile, Done") && story.contains("machine 1"), "{story}");
}
