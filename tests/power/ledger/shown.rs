//! Nothing leaves a ledger before it is durable: whatever readers, a follower, exports, checkpoints and a mirror have shown while the
//! writer wrote is there, byte for byte, after a power cut, and what is there goes on from it.
//!
//! They look whenever something is about to be synced: then the files hold what a power cut may take.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use sigchain::chainfile::{Form, Writer};
use sigchain::digest::Digest;
use sigchain::directory::{Directory, Follow};
use sigchain::disk::Folder;
use sigchain::frame::Frame;
use sigchain::jsonl;
use sigchain::ledger::Ledger;
use sigchain::mirror::{self, Mirror};
use sigchain::select::Filter;
use sigchain::verify::{Seen, Verifier};

use crate::power::drive::Explore;
use crate::power::ledger::known::Known;
use crate::power::ledger::through::Through;
use crate::power::ledger::{Act, SEGMENT, anything};
use crate::power::sim::Sim;
use crate::support::{Random, rounds};

/// Bytes of a file of the mirror: a few entries.
const FILE: u64 = 4000;

/// What somebody has been shown, as bytes that only ever grow.
#[derive(Clone, Debug, Default)]
struct Shown {
    /// How often something was shown.
    looks: usize,
    /// By a reader of the directory, as a chain file.
    stream: Vec<u8>,
    /// By a follower, as lines.
    followed: Vec<u8>,
    /// By an export of the ledger itself, and by one of its directory, as the program makes it; both without their end.
    exported: Vec<u8>,
    copied: Vec<u8>,
    /// By checkpoints: the root at a size.
    roots: BTreeMap<u64, Digest>,
    /// By the ledger's own word: the digest of an entry that was its head.
    heads: BTreeMap<u64, Digest>,
    /// The disk of the mirror, which is another one: whoever has read there has not gone with the machine.
    mirror: Option<Sim>,
}

/// What was shown is the beginning of what is shown now, or the other way round: a reader may be behind another.
fn agree(what: &str, shown: &mut Vec<u8>, now: Vec<u8>) {
    let common = shown.len().min(now.len());
    assert!(shown[..common] == now[..common], "{what} shows other bytes before byte {common}");
    if now.len() > shown.len() {
        *shown = now;
    }
}

/// The same, where nothing may be missing any more.
fn holds(what: &str, shown: &[u8], now: &[u8]) {
    assert!(now.starts_with(shown), "{what} has shown {} bytes that are not there", shown.len());
}

fn stream(view: &Directory) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    view.stream()?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An export without its last line, which says where it ends.
fn export(ledger: &Ledger) -> io::Result<Vec<u8>> {
    let mut bytes = ledger.export(Vec::new(), Form::JsonLines)?;
    let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    bytes.truncate(last + 1);
    Ok(bytes)
}

/// As `sigchain export` and `sigchain checkpoint` read a directory: all of it verified. Gives also the root.
fn copy(view: &Directory) -> io::Result<(Vec<u8>, u64, Digest)> {
    let mut writer = Writer::new(Vec::new(), Form::JsonLines, view.chain_id())?;
    let report =
        Verifier::new().open_ended(true).threads(1).replay(view.stream()?, &mut |seen| {
            match seen {
                Seen::Entry(shown) => {
                    let (written, id) = (shown.written, shown.item.chain_id);
                    writer.entry(written.left, written.entry(&id), written.part.clone()).unwrap();
                }
                Seen::Seal(seal) => writer.seal((*seal).clone()).unwrap(),
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
    assert_eq!(report.unwrap().faults, Vec::new(), "a reader shows what does not verify");
    let (size, root) = (writer.size(), writer.root());
    Ok((writer.leave_open(), size, root))
}

/// All that look on at one machine.
struct Crowd {
    sim: Sim,
    shown: Shown,
    reader: Option<Directory>,
    /// A follower, and the lines that it has given.
    follow: Option<(Follow, Vec<u8>)>,
    /// The ledger itself, as long as it is open, and what writes its mirror.
    ledger: Option<(Ledger, Option<Mirror>)>,
}

impl Crowd {
    fn new(sim: &Sim, shown: Shown) -> Arc<Mutex<Self>> {
        let (reader, follow, ledger) = (None, None, None);
        Arc::new(Mutex::new(Self { sim: sim.clone(), shown, reader, follow, ledger }))
    }

    /// The ledger that is open from now on.
    fn meet(&mut self, ledger: Option<&Ledger>) {
        self.ledger = ledger.map(|ledger| (ledger.clone(), None));
    }

    fn look(&mut self) {
        self.shown.looks += 1;
        // A disk that has crashed says nothing more, and there may be nothing to read yet.
        let _ = self.read();
        let _ = self.follow();
        let _ = self.ask();
    }

    fn read(&mut self) -> io::Result<()> {
        let fresh = Directory::view(self.sim.root())?;
        // A chain that has nothing durable is not there yet, and after a power cut another may be begun.
        if fresh.entries() == 0 {
            return Ok(());
        }
        if let Some(reader) = &self.reader {
            reader.refresh()?;
            agree("a reader", &mut self.shown.stream, stream(reader)?);
        }
        agree("a new reader", &mut self.shown.stream, stream(&fresh)?);
        let (copied, size, root) = copy(&fresh)?;
        agree("an export of the directory", &mut self.shown.copied, copied);
        let known = *self.shown.roots.entry(size).or_insert(root);
        assert_eq!(known, root, "another root at {size}");
        self.reader.get_or_insert(fresh);
        Ok(())
    }

    fn follow(&mut self) -> io::Result<()> {
        let (follow, seen) = if let Some(follow) = &mut self.follow {
            follow
        } else {
            let follow = Directory::view(self.sim.root())?.follow(&Filter::new())?;
            self.follow.insert((follow, Vec::new()))
        };
        seen.extend(lines(follow)?);
        agree("a follower", &mut self.shown.followed, seen.clone());
        Ok(())
    }

    fn ask(&mut self) -> io::Result<()> {
        let Some((ledger, mirror)) = &mut self.ledger else { return Ok(()) };
        let head = ledger.head();
        let known = *self.shown.heads.entry(head.sequence).or_insert(head.digest);
        assert_eq!(known, head.digest, "another head at {}", head.sequence);
        agree("an export", &mut self.shown.exported, export(ledger)?);
        let checkpoint = ledger.checkpoint()?;
        let known = *self.shown.roots.entry(checkpoint.size()).or_insert(checkpoint.root());
        assert_eq!(known, checkpoint.root(), "another root at {}", checkpoint.size());
        let sim = self.shown.mirror.get_or_insert_with(|| Sim::new(1));
        let mirror = match mirror {
            Some(mirror) => mirror,
            None => mirror.insert(open_mirror(sim, ledger).unwrap()),
        };
        while !mirror.write()? {}
        Ok(())
    }
}

fn lines(follow: &mut Follow) -> io::Result<Vec<u8>> {
    let mut text = String::new();
    while let Some(written) = follow.try_next()? {
        let line = jsonl::encode(&Frame::Entry(Box::new(written)));
        write!(text, "{line}").unwrap();
    }
    Ok(text.into_bytes())
}

fn open_mirror(sim: &Sim, ledger: &Ledger) -> io::Result<Mirror> {
    let options = mirror::Options::new().file_bytes(FILE);
    Mirror::open(sim.root(), Arc::new(ledger.clone()), options)
}

/// Names and contents of the mirror's files.
fn mirrored(sim: &Sim) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    sim.show_files(true, |name, bytes| drop(files.insert(name.to_owned(), bytes.to_vec())));
    files
}

impl Shown {
    /// Holds what is there now to what was shown.
    fn check(&mut self, sim: &Sim, ledger: &Ledger) -> io::Result<()> {
        let view = Directory::view(sim.root())?;
        holds("a reader", &self.stream, &stream(&view)?);
        let (copied, ..) = copy(&view)?;
        holds("an export of the directory", &self.copied, &copied);
        holds("an export", &self.exported, &export(ledger)?);
        let followed = lines(&mut Directory::view(sim.root())?.follow(&Filter::new())?)?;
        holds("a follower", &self.followed, &followed);
        let mut writer = Writer::new(Vec::new(), Form::ChainFile, view.chain_id())?;
        for written in ledger.select(&Filter::new())? {
            let written = written?;
            let entry = written.entry(&view.chain_id());
            let head = self.heads.get(&written.fields.sequence);
            assert!(head.is_none_or(|head| *head == entry.digest()), "another entry than the head");
            writer.entry(written.left, entry, written.part)?;
            let root = self.roots.get(&writer.size());
            assert!(root.is_none_or(|root| *root == writer.root()), "a checkpoint's root");
        }
        let last = self.roots.last_key_value().map_or(0, |(size, _)| *size);
        assert!(last <= writer.size(), "a checkpoint over {last} entries of {}", writer.size());
        let last = self.heads.last_key_value().map_or(0, |(sequence, _)| *sequence);
        assert!(last < writer.size(), "entry {last} was the head, of {} entries", writer.size());
        self.check_mirror(ledger)
    }

    /// The mirror goes on from where it was: the same files, with more in them, and each line in them is one of the ledger.
    fn check_mirror(&mut self, ledger: &Ledger) -> io::Result<()> {
        // The check of another state goes on with the same.
        let Some(sim) = self.mirror.take().map(|sim| sim.after_kill()) else { return Ok(()) };
        let before = mirrored(&sim);
        let mut mirror = open_mirror(&sim, ledger)?;
        while !mirror.write()? {}
        assert_eq!(mirror.set_aside(), None);
        let after = mirrored(&sim);
        let all: Vec<u8> = after.values().flatten().copied().collect();
        for (name, bytes) in before {
            let now = after.get(&name).filter(|now| now.starts_with(&bytes));
            // The current file may have ended meanwhile, and has another name.
            let is_there = now.is_some() || after.values().any(|now| now.starts_with(&bytes));
            assert!(is_there, "{name} of the mirror is gone, or other");
        }
        let exported = export(ledger)?;
        let (exported, all) = (text(&exported), text(&all));
        let lines: Vec<&str> = all.lines().filter(|line| !is_made_up(line)).collect();
        assert!(lines.iter().all(|line| exported.contains(line)), "a line of the mirror");
        drop(mirror);
        self.mirror = Some(sim);
        Ok(())
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Whether a line is none of the ledger's own files.
fn is_made_up(line: &str) -> bool {
    line.starts_with("{\"frame\":\"gap\"")
}

type All = (Known, Shown);

fn work(sim: &Sim, random: &mut Random, all: &mut All) -> io::Result<()> {
    let crowd = Crowd::new(sim, std::mem::take(&mut all.1));
    let done = work_among(sim, random, &mut all.0, &crowd);
    crowd.lock().unwrap().meet(None);
    all.1 = crowd.lock().unwrap().shown.clone();
    done
}

/// The folder, as somebody gets it at whom all look.
fn folder(sim: &Sim, crowd: &Arc<Mutex<Crowd>>) -> Arc<dyn Folder> {
    let crowd = Arc::clone(crowd);
    Through::before_syncs(sim.root(), move || crowd.lock().unwrap().look())
}

fn work_among(
    sim: &Sim,
    random: &mut Random,
    known: &mut Known,
    crowd: &Arc<Mutex<Crowd>>,
) -> io::Result<()> {
    let mut ledger = known.create(folder(sim, crowd), SEGMENT)?;
    for _ in 0..2 + random.below(6) {
        crowd.lock().unwrap().meet(Some(&ledger));
        match anything(random) {
            Act::Append(len) => known.append(&ledger, 1, len)?,
            Act::Batch(count) | Act::Submit(count) => known.append(&ledger, count, 20)?,
            Act::Close => {
                known.close(&ledger)?;
                ledger = again(sim, known, crowd, ledger)?;
            }
            Act::Leave => ledger = again(sim, known, crowd, ledger)?,
            Act::Retry | Act::Read => crowd.lock().unwrap().look(),
        }
    }
    Ok(())
}

/// Lets go of it, and opens it again.
fn again(
    sim: &Sim,
    known: &mut Known,
    crowd: &Arc<Mutex<Crowd>>,
    ledger: Ledger,
) -> io::Result<Ledger> {
    crowd.lock().unwrap().meet(None);
    drop(ledger);
    known.open(sim, folder(sim, crowd), SEGMENT)
}

/// Opens what a power cut has left: what was shown is there. Goes on with it, looked on again.
fn check(sim: &Sim, random: &mut Random, all: &mut All) -> io::Result<()> {
    let crowd = Crowd::new(sim, all.1.clone());
    let ledger = all.0.open(sim, folder(sim, &crowd), SEGMENT);
    all.1 = crowd.lock().unwrap().shown.clone();
    let ledger = ledger?;
    all.1.check(sim, &ledger)?;
    {
        let mut crowd = crowd.lock().unwrap();
        crowd.shown = all.1.clone();
        crowd.meet(Some(&ledger));
    }
    let done = (0..=random.below(3)).try_for_each(|_| all.0.append(&ledger, 1, 20));
    crowd.lock().unwrap().meet(None);
    all.1 = crowd.lock().unwrap().shown.clone();
    done?;
    all.1.check(sim, &ledger)?;
    all.0.look(sim)
}

#[test]
#[expect(clippy::print_stderr, reason = "figures, for those who ask with --nocapture")]
fn what_anybody_was_shown_is_there_after_a_power_cut() {
    let cuts = rounds(100, 10_000);
    let explored = Explore::new(7, cuts).run(work, check).unwrap();
    assert!(explored.power_cuts >= cuts, "{explored:?}");
    eprintln!("shown: {explored:?}");
}
