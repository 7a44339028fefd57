//! A ledger on files and its anchors: what fails, hangs or panics there, and what a ledger without a checkpoint key does.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use sigchain::anchor::{Anchors, Claim, Claimed, FIRST};
use sigchain::checkpoint::Checkpoint;
use sigchain::codec::Reader;
use sigchain::digest::Digest;
use sigchain::directory::Limits;
use sigchain::disk;
use sigchain::error::{AppendError, OpenError, Refusal};
use sigchain::event::Event;
use sigchain::key::{PublicKey, Role, Signature, SigningKey};
use sigchain::ledger::{Fence, Files, Genesis, Ledger, Options, Signers};
use sigchain::reserved::{Reason, Reserved, Trusted};
use sigchain::signer::{Signer, SignerError, Statement};

const SOON: Duration = Duration::from_secs(10);
/// What somebody who hangs is given.
const SHORT: Duration = Duration::from_millis(300);

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

fn operator() -> SigningKey {
    key(9)
}

fn genesis() -> Genesis {
    Genesis::new("example.org/anchored", key(1)).checkpoints(key(2)).operator(operator().public())
}

fn signers() -> Signers {
    Signers::new(key(1), key(2))
}

fn event(n: u64) -> Event {
    Event::new("agent:tester", "test.call").unwrap().correlation(&n.to_string()).unwrap()
}

fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("anchored").join(name);
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn copy(from: &Path, to: &str) -> PathBuf {
    let path = fresh(to);
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.metadata().unwrap().is_file() {
            fs::copy(entry.path(), path.join(entry.file_name())).unwrap();
        }
    }
    path
}

/// What a sink does when something is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Well,
    /// An error, and nothing was claimed.
    Fail,
    /// An error, and it was claimed.
    FailClaimed,
    Panic,
    /// Nothing, until it is let go.
    Hang,
}

#[derive(Debug, Default)]
struct Held {
    claims: Vec<Claim>,
    /// What it does next, and then for ever.
    script: VecDeque<Does>,
    is_down: bool,
    place: Option<(String, Digest, String)>,
    forgets: bool,
    hangs: bool,
}

/// A sink in memory that does as it is told.
#[derive(Clone, Debug, Default)]
struct Sink(Arc<(Mutex<Held>, Condvar)>);

impl Sink {
    fn new(script: impl IntoIterator<Item = Does>) -> Self {
        let sink = Self::default();
        sink.then(script);
        sink
    }

    fn held<T>(&self, with: impl FnOnce(&mut Held) -> T) -> T {
        with(&mut self.0.0.lock().unwrap())
    }

    fn then(&self, script: impl IntoIterator<Item = Does>) {
        self.held(|held| held.script = script.into_iter().collect());
    }

    fn down(&self, is_down: bool) {
        self.held(|held| held.is_down = is_down);
    }

    fn size(&self) -> u64 {
        self.held(|held| held.claims.last().map_or(0, |claim| claim.size))
    }

    fn let_go(&self) {
        self.held(|held| held.hangs = false);
        self.then([Does::Well]);
        self.0.1.notify_all();
    }

    fn up(&self) -> io::Result<()> {
        self.held(|held| if held.is_down { Err(io::Error::other("it is down")) } else { Ok(()) })
    }
}

impl Anchors for Sink {
    fn latest(&self, _: &Digest) -> io::Result<Option<Claim>> {
        self.up()?;
        Ok(self.held(|held| held.claims.last().cloned()))
    }

    fn claim(&self, chain_id: &Digest, number: u64, note: &Checkpoint) -> io::Result<Claimed> {
        self.up()?;
        let claim = Claim::parse("", chain_id, number, note.encode().as_bytes()).unwrap();
        let does = self.held(|held| match held.script.len() {
            0 => Does::Well,
            1 => held.script[0],
            _ => held.script.pop_front().unwrap(),
        });
        match does {
            Does::Fail => return Err(io::Error::other("told to fail")),
            Does::Panic => panic!("told to"),
            Does::Hang => {
                let mut held = self.0.0.lock().unwrap();
                held.hangs = true;
                drop(self.0.1.wait_while(held, |held| held.hangs).unwrap());
            }
            Does::Well | Does::FailClaimed => {}
        }
        let claimed = self.held(|held| {
            let next = held.claims.last().map_or(FIRST, Claim::next);
            if number != next {
                return Claimed::Taken(held.claims.last().unwrap().clone());
            }
            held.claims.push(claim);
            Claimed::Held
        });
        if does == Does::FailClaimed { Err(io::Error::other("told to fail")) } else { Ok(claimed) }
    }

    fn remember(&self, place: &str, chain_id: &Digest, name: &str) -> io::Result<()> {
        self.up()?;
        self.held(|held| {
            if held.forgets {
                return Err(io::Error::other("told to forget"));
            }
            held.place.get_or_insert((place.to_owned(), *chain_id, name.to_owned()));
            Ok(())
        })
    }

    fn remembered(&self, place: &str) -> io::Result<Option<(Digest, String)>> {
        self.up()?;
        let found = self.held(|held| held.place.clone());
        Ok(found.filter(|(at, _, _)| at == place).map(|(_, id, name)| (id, name)))
    }

    fn forget(&self, _: &str) -> io::Result<()> {
        self.held(|held| held.place = None);
        Ok(())
    }
}

fn files(sinks: &[&Sink]) -> Files {
    let of = |sink: &&Sink| -> Arc<dyn Anchors> { Arc::new(Sink::clone(sink)) };
    let sinks = sinks.iter().map(of).collect();
    Files::new().anchors(sinks).anchor_time(SHORT).wait(SOON)
}

/// Anchors only when it is asked to.
const RARELY: Fence = Fence::Interval { entries: 1_000_000, time: Duration::from_secs(1000) };
/// Anchors all the time.
const OFTEN: Fence = Fence::Interval { entries: 1, time: Duration::from_millis(5) };

fn options(files: Files) -> Options {
    Options::new().files(files)
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < SOON, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn refusal(error: AppendError) -> Refusal {
    match error {
        AppendError::Refused(refusal) => refusal,
        error @ AppendError::Uncertain { .. } => panic!("{error}"),
    }
}

/// The first refusal, after at most so many events.
fn refused(ledger: &Ledger, most: u64) -> Refusal {
    refusal((0..=most).find_map(|n| ledger.append(event(n)).err()).unwrap())
}

fn revoke_checkpoint_key(ledger: &Ledger) {
    let change = ledger.propose_revocation(key(2).id(), Reason::Lost, None).unwrap();
    ledger.apply(change.approved_by(&operator()).unwrap()).unwrap();
}

/// An operator brings a new checkpoint key.
fn enrol_checkpoint_key(ledger: &Ledger) {
    let change = ledger.propose_enrolment(&key(3), Role::Checkpoint).unwrap();
    ledger.apply(change.approved_by(&operator()).unwrap()).unwrap();
    ledger.sign_checkpoints_with(key(3)).unwrap();
}

/// Where nobody can sign checkpoints any more events are refused at the bound, and are not kept waiting.
#[test]
fn without_a_checkpoint_key_events_are_refused_at_the_bound() {
    let sink = Sink::default();
    let files = files(&[&sink]).fence(RARELY).exposed(10);
    let ledger = Ledger::create_at(&fresh("ended"), genesis(), options(files)).unwrap();
    revoke_checkpoint_key(&ledger);
    let Refusal::Exposed { most: 10, why } = refused(&ledger, 30) else { panic!() };
    assert!(why.contains("checkpoint key"), "{why}");
    let now = refusal(ledger.try_submit(event(1)).map(drop).unwrap_err());
    assert_eq!(now.code(), "EXPOSED");
    // A new one, and all goes on.
    enrol_checkpoint_key(&ledger);
    until("anchored", || ledger.append(event(2)).is_ok());
    ledger.close(SOON).unwrap();
    assert_eq!(sink.size(), ledger.head().sequence + 1);
}

/// Where nothing is acknowledged before it is anchored, nothing is acknowledged that cannot be.
#[test]
fn a_strict_ledger_without_a_checkpoint_key_takes_no_events() {
    let sink = Sink::default();
    let ledger =
        Ledger::create_at(&fresh("strict"), genesis(), options(files(&[&sink]).fence(Fence::Sync)))
            .unwrap();
    ledger.append(event(1)).unwrap();
    assert_eq!(sink.size(), 2);
    revoke_checkpoint_key(&ledger);
    for _ in 0..3 {
        assert_eq!(refusal(ledger.append(event(2)).unwrap_err()).code(), "EXPOSED");
    }
    enrol_checkpoint_key(&ledger);
    let receipt = ledger.append(event(3)).unwrap();
    assert_eq!(sink.size(), receipt.sequence + 1);
    // With the change itself anchored under the new key.
    let change = ledger.propose_rotation(key(3).id(), &key(4)).unwrap();
    let receipt = ledger.apply_then(change.approved_by(&operator()).unwrap(), key(4)).unwrap();
    assert_eq!(sink.size(), receipt.sequence + 1);
}

/// A sink that hangs or panics costs its time, and the thread that anchors is not lost with it.
#[test] // [F-anchor-3]
fn a_sink_that_hangs_or_panics_refuses_events_in_its_time() {
    for does in [Does::Hang, Does::Panic] {
        let sink = Sink::default();
        let files = files(&[&sink]).fence(RARELY).exposed(10);
        let path = fresh(&format!("{does:?}"));
        let ledger = Ledger::create_at(&path, genesis(), options(files)).unwrap();
        sink.then([does]);
        let start = Instant::now();
        assert_eq!(refused(&ledger, 30).code(), "EXPOSED", "{does:?}");
        assert!(start.elapsed() < SOON, "{does:?}: {:?}", start.elapsed());
        assert!(ledger.try_submit(event(1)).is_err());
        sink.let_go();
        until("it goes on", || ledger.append(event(2)).is_ok());
        ledger.close(SOON).unwrap();
        assert_eq!(sink.size(), ledger.head().sequence + 1);
    }
}

/// Of a claim whose answer was an error nobody knows whether it is held: the same is claimed again until that is known, and this writer
/// does not take it for another's.
#[test] // [F-anchor-2]
fn a_writer_does_not_fence_itself() {
    use Does::{Fail, FailClaimed, Well};
    for script in [
        vec![FailClaimed, Fail, Well],
        vec![Fail, FailClaimed, Fail, Fail, Well],
        vec![FailClaimed, FailClaimed, Well],
        vec![FailClaimed, Well],
    ] {
        let sink = Sink::default();
        let files = files(&[&sink]).fence(OFTEN);
        let ledger = Ledger::create_at(&fresh("own"), genesis(), options(files)).unwrap();
        sink.then(script.clone());
        let (start, mut n) = (Instant::now(), 0);
        while sink.held(|held| held.script.len() > 1) || sink.size() <= ledger.head().sequence {
            assert!(start.elapsed() < SOON, "{script:?}: not anchored");
            n += 1;
            ledger.append(event(n)).unwrap_or_else(|error| panic!("{script:?}: {error}"));
            std::thread::sleep(Duration::from_millis(20));
        }
        ledger.close(SOON).unwrap();
        assert_eq!(sink.size(), ledger.head().sequence + 1, "{script:?}");
    }
}

/// One sink that is down keeps no other from being claimed, and no ledger from being opened; once it is back it is asked what it knows.
#[test]
fn one_sink_that_is_down_keeps_nothing_else_back() {
    let (remote, local) = (Sink::default(), Sink::default());
    let sinks = || options(files(&[&remote, &local]).fence(OFTEN));
    let path = fresh("down");
    let ledger = Ledger::create_at(&path, genesis(), sinks()).unwrap();
    remote.down(true);
    ledger.append(event(1)).unwrap();
    until("local", || local.size() == 2);
    assert_eq!(remote.size(), 1);
    ledger.close(SOON).unwrap_err();
    drop(ledger);

    let older = copy(&path, "down-older");
    let ledger = Ledger::open_at(&path, signers(), sinks()).unwrap();
    ledger.append(event(2)).unwrap();
    until("local", || local.size() == ledger.head().sequence + 1);
    remote.down(false);
    until("remote", || remote.size() == ledger.head().sequence + 1);
    ledger.close(SOON).unwrap();
    drop(ledger);
    // What one of them knows is enough, whichever that is.
    for (again, down, up) in [("down-1", &remote, &local), ("down-2", &local, &remote)] {
        down.down(true);
        // Each time another: one that was found out is quarantined.
        let older = copy(&older, again);
        let error = Ledger::open_at(&older, signers(), sinks()).unwrap_err();
        assert!(matches!(error, OpenError::Stopped { code: "LEDGER_BEHIND", .. }), "{error}");
        down.down(false);
        up.down(false);
    }
    // None that answers is as good as none asked.
    remote.down(true);
    local.down(true);
    assert!(matches!(Ledger::open_at(&path, signers(), sinks()), Err(OpenError::Io(_))));
}

/// A sink that was down when an older copy was opened shows it when it is back.
#[test] // [F-anchor-1]
fn a_sink_that_comes_back_fences_a_copy() {
    let (remote, local) = (Sink::default(), Sink::default());
    let path = fresh("back");
    let both = || options(files(&[&remote, &local]).fence(OFTEN));
    let ledger = Ledger::create_at(&path, genesis(), both()).unwrap();
    ledger.close(SOON).unwrap();
    drop(ledger);
    let older = copy(&path, "back-older");
    let one = options(files(&[&remote]).fence(OFTEN));
    let ledger = Ledger::open_at(&path, signers(), one).unwrap();
    ledger.append(event(1)).unwrap();
    ledger.close(SOON).unwrap();
    drop(ledger);
    remote.down(true);
    let ledger = Ledger::open_at(&older, signers(), both()).unwrap();
    ledger.append(event(2)).unwrap();
    remote.down(false);
    let fenced = || {
        ledger.append(event(3)).is_err_and(|error| {
            matches!(
                error,
                AppendError::Refused(Refusal::Fenced(_)) | AppendError::Uncertain { .. }
            )
        })
    };
    until("fenced", fenced);
    assert_eq!(refusal(ledger.append(event(4)).unwrap_err()).code(), "LEDGER_FENCED");
    // Closed, it lets go of its files, though there is a handle.
    ledger.close(SOON).unwrap_err();
    let error = Ledger::open_at(&older, signers(), both()).unwrap_err();
    assert!(matches!(error, OpenError::Stopped { .. }), "{error}");
}

/// That a sink can be read and not be written to is no reason not to go on: what may be exposed is bounded.
#[test] // [F-anchor-4]
fn a_ledger_is_made_and_opened_though_nothing_can_be_claimed() {
    let sink = Sink::new([Does::Fail]);
    sink.held(|held| held.forgets = true);
    let sinks = || options(files(&[&sink]).fence(RARELY).exposed(20));
    let path = fresh("unclaimed");
    let ledger = Ledger::create_at(&path, genesis(), sinks()).unwrap();
    ledger.append(event(1)).unwrap();
    let error = ledger.close(SOON).unwrap_err();
    assert!(error.what.contains("told to fail"), "{error}");
    drop(ledger);
    let ledger = Ledger::open_at(&path, signers(), sinks()).unwrap();
    assert_eq!(refused(&ledger, 40).code(), "EXPOSED");
    drop(ledger);
    // What could not be remembered is, as soon as that is possible.
    assert_eq!(sink.held(|held| held.place.clone()), None);
    sink.held(|held| held.forgets = false);
    sink.then([Does::Well]);
    let ledger = Ledger::open_at(&path, signers(), sinks()).unwrap();
    ledger.append(event(3)).unwrap();
    ledger.close(SOON).unwrap();
    drop(ledger);
    fs::remove_dir_all(&path).unwrap();
    let error = Ledger::create_at(&path, genesis(), sinks()).unwrap_err();
    let OpenError::Io(error) = error else { panic!("{error}") };
    assert_eq!(disk::code_of(&error), "LEDGER_LOST");
    Ledger::forget_place(&path, &files(&[&sink])).unwrap();
    sink.held(|held| held.claims.clear());
    Ledger::create_at(&path, genesis(), sinks()).unwrap();
}

/// The only checkpoint key is revoked, or its file is lost: the ledger opens, and another key can be brought in.
#[test] // [F-anchor-5]
fn a_ledger_without_its_checkpoint_key_opens() {
    let sink = Sink::default();
    let sinks = || options(files(&[&sink]));
    for is_revoked in [true, false] {
        sink.held(|held| held.claims.clear());
        let path = fresh(&format!("keyless-{is_revoked}"));
        let ledger = Ledger::create_at(&path, genesis(), sinks()).unwrap();
        if is_revoked {
            revoke_checkpoint_key(&ledger);
            ledger.close(SOON).unwrap_err();
        }
        drop(ledger);
        let with = if is_revoked { signers() } else { Signers::of_entries(key(1)) };
        let ledger = Ledger::open_at(&path, with, sinks()).unwrap();
        ledger.append(event(1)).unwrap();
        ledger.checkpoint().unwrap_err();
        enrol_checkpoint_key(&ledger);
        ledger.close(SOON).unwrap();
        assert_eq!(sink.size(), ledger.head().sequence + 1);
        drop(ledger);
        let ledger = Ledger::open_at(&path, Signers::new(key(1), key(3)), sinks()).unwrap();
        ledger.append(event(2)).unwrap();
        ledger.close(SOON).unwrap();
    }
}

/// A key elsewhere, where nobody answers until told so.
#[derive(Clone, Debug)]
struct Far(SigningKey, Arc<(Mutex<bool>, Condvar)>);

impl Far {
    fn new(key: SigningKey, hangs: bool) -> Self {
        Self(key, Arc::new((Mutex::new(hangs), Condvar::new())))
    }

    fn hang(&self, hangs: bool) {
        *self.1.0.lock().unwrap() = hangs;
        self.1.1.notify_all();
    }
}

impl Signer for Far {
    fn public(&self) -> &PublicKey {
        self.0.public()
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        let hangs = self.1.0.lock().unwrap();
        drop(self.1.1.wait_while(hangs, |hangs| *hangs).unwrap());
        Signer::sign(&self.0, statement)
    }
}

/// A signer of checkpoints that never answers holds up appends for its time at most, and closing until the deadline.
#[test]
fn a_checkpoint_signer_that_hangs_holds_up_nothing() {
    let (sink, far) = (Sink::default(), Far::new(key(2), false));
    let limits = Limits { bytes: 2000, ..Limits::default() };
    let options = options(files(&[&sink]).fence(OFTEN).limits(limits)).signer_time(SHORT);
    let genesis = Genesis::new("example.org/anchored", key(1)).checkpoints(far.clone());
    let path = fresh("far");
    let ledger = Ledger::create_at(&path, genesis, options.clone()).unwrap();
    far.hang(true);
    let start = Instant::now();
    for n in 1..=30 {
        ledger.append(event(n)).unwrap();
    }
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    let start = Instant::now();
    let error = ledger.close(2 * SHORT).unwrap_err();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(error.what.contains("the seal"), "{error}");
    far.hang(false);
    drop(ledger);
    let ledger = Ledger::open_at(&path, Signers::new(key(1), far), options).unwrap();
    assert_eq!(ledger.append(event(31)).unwrap().sequence, 32);
    ledger.close(SOON).unwrap();
}

/// A sink that never answers keeps nobody from closing in time.
#[test]
fn closing_keeps_its_deadline_whatever_the_anchor_does() {
    let sink = Sink::default();
    let files = files(&[&sink]).fence(RARELY).anchor_time(Duration::from_secs(1000));
    let path = fresh("deadline");
    let ledger = Ledger::create_at(&path, genesis(), options(files)).unwrap();
    ledger.append(event(1)).unwrap();
    sink.then([Does::Hang]);
    let start = Instant::now();
    let error = ledger.close(SHORT).unwrap_err();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(error.what.contains("the anchor"), "{error}");
    sink.let_go();
    // It has let go of its files all the same.
    let files = Files::new().anchors(Vec::new());
    let again = Ledger::open_at(&path, signers(), options(files)).unwrap();
    assert_eq!(again.append(event(2)).unwrap().sequence, 2);
}

fn unanchored() -> Options {
    options(Files::new().anchors(Vec::new()).wait(SOON))
}

const SEGMENT: &str = "segment-0000000000";

/// Turns a bit of an early entry: whoever reads only what is behind the last seal does not see it.
fn turn(path: &Path, n: u64) {
    let wanted = format!("early-{n}");
    for entry in fs::read_dir(path).unwrap() {
        let file = entry.unwrap().path();
        let mut bytes = fs::read(&file).unwrap_or_default();
        let found = bytes.windows(wanted.len()).position(|found| found == wanted.as_bytes());
        if let Some(at) = found {
            bytes[at] ^= 1;
            return fs::write(file, bytes).unwrap();
        }
    }
    panic!("no {wanted}");
}

fn early(n: u64) -> Event {
    Event::new("agent:tester", "test.call").unwrap().correlation(&format!("early-{n}")).unwrap()
}

/// A signer that fails as often as it is told.
#[derive(Clone, Debug)]
struct Failing(SigningKey, Arc<Mutex<u32>>);

impl Signer for Failing {
    fn public(&self) -> &PublicKey {
        self.0.public()
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        let mut left = self.1.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return Err(SignerError::new("told to fail"));
        }
        Signer::sign(&self.0, statement)
    }

    fn is_in_process(&self) -> bool {
        true
    }
}

/// Two lists in a row, of a torn tail and of a signer that was not up: what is behind the seal after them is all that is read.
#[test]
fn behind_a_run_of_lists_opening_reads_no_more_than_before() {
    let path = fresh("lists");
    let ledger = Ledger::create_at(&path, genesis(), unanchored()).unwrap();
    // From then on each segment is full at once: the last one says which entries before it are lists.
    let limits = Limits { bytes: 1, ..Limits::default() };
    let options = || options(Files::new().anchors(Vec::new()).limits(limits));
    ledger.append(early(1)).unwrap();
    ledger.append_batch(vec![event(2), event(3)]).unwrap();
    drop(ledger);
    let bytes = fs::read(path.join(SEGMENT)).unwrap();
    fs::write(path.join(SEGMENT), &bytes[..bytes.len() - 1]).unwrap();
    fs::remove_file(path.join("durable")).unwrap();
    let failing = Failing(key(1), Arc::new(Mutex::new(1)));
    let ledger = Ledger::open_at(&path, Signers::new(failing, key(2)), options()).unwrap();
    ledger.append(event(4)).unwrap_err();
    ledger.append(event(5)).unwrap();
    let types = |n| ledger.entry(n).unwrap().unwrap().fields.event_type.into_owned();
    assert_eq!([types(2), types(3)], ["chain.abandoned", "chain.abandoned"]);
    ledger.append(event(6)).unwrap();
    ledger.close(SOON).unwrap();
    drop(ledger);
    turn(&path, 1);
    let ledger = Ledger::open_at(&path, signers(), options()).unwrap();
    ledger.append(event(6)).unwrap();
}

/// So it is behind a revocation of a key that was compromised, whose proof is about a tree that nobody has then.
#[test]
fn behind_a_compromised_key_opening_reads_no_more_than_before() {
    let path = fresh("compromised");
    let genesis = genesis().key(key(5), Role::Entry);
    // Each segment is full at once: the damaged one is not that of the revocation.
    let limits = Limits { bytes: 1, ..Limits::default() };
    let options = || options(Files::new().anchors(Vec::new()).limits(limits));
    let ledger = Ledger::create_at(&path, genesis, options()).unwrap();
    ledger.append(early(1)).unwrap();
    let trusted = ledger.checkpoint().unwrap();
    let trusted = Trusted { size: trusted.size(), root: trusted.root() };
    ledger.append(event(2)).unwrap();
    let change =
        ledger.propose_revocation(key(5).id(), Reason::Compromised, Some(trusted)).unwrap();
    ledger.apply(change.approved_by(&operator()).unwrap()).unwrap();
    ledger.append(event(3)).unwrap();
    ledger.close(SOON).unwrap();
    drop(ledger);
    turn(&path, 1);
    let ledger = Ledger::open_at(&path, signers(), options()).unwrap();
    ledger.append(event(4)).unwrap();
}

/// The counts of writers that a ledger's entries state.
fn epochs(ledger: &Ledger) -> Vec<u64> {
    let mut epochs = Vec::new();
    for n in 0..=ledger.head().sequence {
        let entry = ledger.entry(n).unwrap().unwrap();
        let parsed = Reserved::parse("epoch.begun", &entry.part, n);
        if entry.fields.event_type != "epoch.begun" {
            continue;
        }
        let Ok(Reserved::Open { map, .. }) = parsed else { panic!("entry {n}") };
        let mut r = Reader::new(&map);
        for _ in 0..r.map().unwrap() {
            match r.text().unwrap() {
                "epoch" => epochs.push(r.uint().unwrap()),
                _ => r.skip().unwrap(),
            }
        }
    }
    epochs
}

/// The count of writers goes on though a power cut takes the record back to what it was when it was last synced, or all of it.
#[test] // [F-epoch-2]
fn no_count_of_writers_is_given_twice() {
    let path = fresh("epochs");
    let ledger = Ledger::create_at(&path, genesis(), unanchored()).unwrap();
    ledger.close(SOON).unwrap();
    drop(ledger);
    let record = path.join("durable");
    let old = fs::read(&record).unwrap();
    for n in 1..=6 {
        let ledger = Ledger::open_at(&path, signers(), unanchored()).unwrap();
        ledger.append(event(10_u64.pow(n))).unwrap();
        drop(ledger);
        match n % 3 {
            0 => fs::write(&record, &old).unwrap(),
            1 => fs::remove_file(&record).unwrap(),
            _ => {}
        }
    }
    let ledger = Ledger::open_at(&path, signers(), unanchored()).unwrap();
    ledger.append(event(7)).unwrap();
    let found = epochs(&ledger);
    assert!(found.len() >= 5 && found.is_sorted_by(|a, b| a < b), "{found:?}");
}

/// A ledger that is only opened and closed does not grow, however the last writer ended.
#[test]
fn what_is_only_opened_and_closed_does_not_grow() {
    let path = fresh("idle");
    let ledger = Ledger::create_at(&path, genesis(), unanchored()).unwrap();
    ledger.append_batch(vec![event(1), event(2)]).unwrap();
    drop(ledger);
    // With a torn tail that is to be listed, and without.
    for cut in [0, 1] {
        let bytes = fs::read(path.join(SEGMENT)).unwrap();
        fs::write(path.join(SEGMENT), &bytes[..bytes.len() - cut]).unwrap();
        fs::remove_file(path.join("durable")).unwrap();
        let size = 3 - 2 * u64::try_from(cut).unwrap();
        for _ in 0..3 {
            let ledger = Ledger::open_at(&path, signers(), unanchored()).unwrap();
            assert_eq!(ledger.close(SOON).unwrap().size, size);
        }
        if cut == 0 {
            // As it was before it was sealed.
            drop(fs::remove_dir_all(&path));
            let ledger = Ledger::create_at(&path, genesis(), unanchored()).unwrap();
            ledger.append_batch(vec![event(1), event(2)]).unwrap();
        }
    }
    let ledger = Ledger::open_at(&path, signers(), unanchored()).unwrap();
    ledger.append(event(3)).unwrap();
    let types: Vec<_> =
        (1..=3).map(|n| ledger.entry(n).unwrap().unwrap().fields.event_type.into_owned()).collect();
    assert_eq!(types, ["chain.abandoned", "epoch.begun", "test.call"]);
}

/// A record that is not of these files can stop an open. It never has a segment begin in the midst of a frame.
#[test]
fn a_record_of_a_copy_spoils_nothing() {
    let path = fresh("record");
    let ledger = Ledger::create_at(&path, genesis(), unanchored()).unwrap();
    ledger.append(event(1)).unwrap();
    drop(ledger);
    let other = copy(&path, "record-other");
    // Its length is that of a place within the last group.
    let append = |path: &Path, correlation: &str, count: usize| {
        let ledger = Ledger::open_at(path, signers(), unanchored()).unwrap();
        let event = Event::new("agent:tester", "test.call").unwrap();
        let event = || event.clone().correlation(correlation).unwrap();
        ledger.append_batch((0..count).map(|_| event()).collect()).unwrap();
    };
    append(&path, "short", 20);
    append(&other, &"long".repeat(20), 3);
    fs::copy(other.join("durable"), path.join("durable")).unwrap();
    // Without a seal all of it is read each time.
    for n in 0..3 {
        let ledger = Ledger::open_at(&path, signers(), unanchored()).unwrap();
        ledger.append(event(n)).unwrap();
    }
}
