//! F19: a panic in whatever the ledger calls, at every call that an operation makes, leaves it refusing and not wrong: everybody who
//! waits gets an answer, no receipt is for what is not there, reading goes on, and the store opens again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use sigchain::checkpoint::Checkpoint;
use sigchain::error::{AppendError, DecideError, Refusal};
use sigchain::key::{PublicKey, Role, Signature, SigningKey};
use sigchain::ledger::{Attached, Ledger, Options, Ticket};
use sigchain::receipt::Receipt;
use sigchain::reserved::{Reason, Trusted};
use sigchain::signer::{Signer, SignerError, Statement};

use crate::ledger::support::{
    Answer, Counted, Fuse, FusedStore, FusedTime, Scripted, event, genesis, id, kept, listed,
    places, until, verified, within,
};
use crate::support::{entry_key, key, operator_key, second_entry_key};

const SOON: Duration = Duration::from_secs(20);
/// Longer than any watchdog here: nobody may be saved by a signer's time.
const NEVER: Duration = Duration::from_secs(600);

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Wall,
    Elapsed,
    Running,
    Commit,
    Committed,
    Find,
    Read,
    Fold,
}

const PLACES: [Place; 8] = [
    Place::Wall,
    Place::Elapsed,
    Place::Running,
    Place::Commit,
    Place::Committed,
    Place::Find,
    Place::Read,
    Place::Fold,
];

/// What is done meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Append,
    /// An event that is there already.
    Again,
    Batch,
    Submit,
    Decide,
    Attach,
    Rotate,
    Revoke,
    Close,
}

const DEEDS: [Deed; 9] = [
    Deed::Append,
    Deed::Again,
    Deed::Batch,
    Deed::Submit,
    Deed::Decide,
    Deed::Attach,
    Deed::Rotate,
    Deed::Revoke,
    Deed::Close,
];

/// Where the key is, and how it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Own,
    /// In this process, and asked for several at once: what nobody waits for gathers.
    Several,
    Elsewhere,
}

const WHOSE: [Whose; 3] = [Whose::Own, Whose::Several, Whose::Elsewhere];

/// What came of a call.
#[derive(Clone, Debug)]
enum Said {
    Receipts(Vec<Receipt>),
    Refused(Refusal),
    Uncertain,
    Other,
    Panicked,
}

impl From<Result<Vec<Receipt>, AppendError>> for Said {
    fn from(outcome: Result<Vec<Receipt>, AppendError>) -> Self {
        match outcome {
            Ok(receipts) => Self::Receipts(receipts),
            Err(AppendError::Refused(refusal)) => Self::Refused(refusal),
            Err(AppendError::Uncertain { .. }) => Self::Uncertain,
        }
    }
}

fn one(outcome: Result<Receipt, AppendError>) -> Said {
    outcome.map(|receipt| vec![receipt]).into()
}

fn decided(outcome: Result<Receipt, DecideError<()>>) -> Said {
    match outcome {
        Ok(receipt) => Said::Receipts(vec![receipt]),
        Err(DecideError::Append(error)) => one(Err(error)),
        Err(DecideError::Declined(())) => Said::Other,
    }
}

fn caught(work: impl FnOnce() -> Said) -> Said {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Said::Panicked)
}

/// A ledger with a few entries, all of whose surroundings have fuses.
#[derive(Clone)]
struct Scene {
    ledger: Ledger,
    store: FusedStore,
    time: Arc<FusedTime>,
    fold: Fuse,
    signer: Scripted,
    attached: Attached<Counted>,
    trusted: Checkpoint,
}

impl Scene {
    fn new(whose: Whose) -> Self {
        let (store, time) = (FusedStore::default(), FusedTime::new());
        let signer = Scripted::new(entry_key(), whose != Whose::Elsewhere);
        let signer = if whose == Whose::Several { signer.several() } else { signer };
        let options = Options::new().time(Arc::<FusedTime>::clone(&time)).signer_time(NEVER);
        let genesis = genesis(signer.clone()).key(second_entry_key(), Role::Entry);
        let ledger = Ledger::create(store.clone(), genesis, options).unwrap();
        let counted = Counted::default();
        let fold = counted.fuse.clone();
        let attached = ledger.attach(counted).unwrap();
        ledger.append(event(1).id(id(1))).unwrap();
        let trusted = ledger.checkpoint().unwrap();
        ledger.append(event(2)).unwrap();
        Self { ledger, store, time, fold, signer, attached, trusted }
    }

    fn fuse(&self, place: Place) -> &Fuse {
        match place {
            Place::Wall => &self.time.wall,
            Place::Elapsed => &self.time.elapsed,
            Place::Running => &self.time.running,
            Place::Commit => &self.store.hand.commit,
            Place::Committed => &self.store.hand.committed,
            Place::Find => &self.store.hand.find,
            Place::Read => &self.store.hand.read,
            Place::Fold => &self.fold,
        }
    }

    fn act(&self, deed: Deed) -> Said {
        let ledger = &self.ledger;
        match deed {
            Deed::Append => one(ledger.append(event(20).id(id(20)))),
            Deed::Again => one(ledger.append(event(1).id(id(1)))),
            Deed::Batch => ledger.append_batch(vec![event(20), event(21).id(id(21))]).into(),
            Deed::Submit => one(ledger.submit(event(20)).map_or_else(Err, Ticket::wait)),
            Deed::Decide => decided(self.attached.append_with(|view| {
                assert_eq!(view.state.seen.last().unwrap().0 + 1, view.next);
                Ok(event(20).id(id(20)))
            })),
            Deed::Attach => match ledger.attach(Counted::default()) {
                Ok(_) => Said::Other,
                Err(error) => one(Err(error)),
            },
            Deed::Rotate => match ledger.rotate(key(6)) {
                Ok(_) => Said::Other,
                Err(error) => one(Err(error)),
            },
            Deed::Revoke => {
                let trusted = Trusted { size: self.trusted.size(), root: self.trusted.root() };
                let of = second_entry_key().id();
                let change = ledger
                    .propose_revocation(of, Reason::Compromised, Some(trusted))
                    .and_then(|change| change.approved_by(&operator_key()));
                match change.map_err(AppendError::from).and_then(|change| ledger.apply(change)) {
                    Ok(_) => Said::Other,
                    Err(error) => one(Err(error)),
                }
            }
            // What it says is for another test.
            Deed::Close => ledger.close(NEVER).map_or(Said::Other, |_| Said::Other),
        }
    }
}

/// Others that are at it: one that waits behind its signer, and two that hold tickets, one of which was polled.
struct Others {
    threads: Vec<(Vec<u64>, thread::JoinHandle<Said>)>,
}

impl Others {
    fn set_off(scene: &Scene, waker: &Waker) -> Self {
        let asked = scene.signer.asked.load(Ordering::SeqCst);
        scene.signer.then([Answer::Hang]);
        let ledger = scene.ledger.clone();
        let waits = thread::spawn(move || caught(|| one(ledger.append(event(10)))));
        until("the signer is asked", || scene.signer.asked.load(Ordering::SeqCst) > asked);
        let [mut first, second] =
            [11, 12].map(|number| scene.ledger.submit(event(number)).unwrap());
        let poll = std::pin::Pin::new(&mut first).poll(&mut Context::from_waker(waker));
        assert!(matches!(poll, Poll::Pending));
        // Signers elsewhere are asked by threads of the ledger's own.
        until("all are asked", || scene.signer.asked.load(Ordering::SeqCst) > asked + 2);
        let mut threads = vec![(vec![10], waits)];
        for (number, ticket) in [(11, first), (12, second)] {
            let waits = thread::spawn(move || caught(|| one(ticket.wait())));
            threads.push((vec![number], waits));
        }
        Self { threads }
    }

    fn said(self) -> Vec<(Vec<u64>, Said)> {
        let ended = |(numbers, thread): (Vec<u64>, thread::JoinHandle<Said>)| {
            (numbers, thread.join().unwrap())
        };
        self.threads.into_iter().map(ended).collect()
    }
}

/// What must be so after every panic.
fn aftermath(scene: &Scene, said: &[(Vec<u64>, Said)], what: &str) {
    let ledger = &scene.ledger;
    let chain = kept(&scene.store.memory);
    let places = places(&chain);
    for (numbers, said) in said {
        match said {
            Said::Receipts(receipts) => {
                for receipt in receipts {
                    let written = &chain[usize::try_from(receipt.sequence).unwrap()];
                    let digest = written.entry(&receipt.chain_id).digest();
                    assert_eq!(digest, receipt.digest, "{what}: a receipt for nothing");
                }
            }
            Said::Refused(refusal) => {
                let there = numbers.iter().any(|number| places.contains_key(number));
                assert!(!there, "{what}: {numbers:?} was refused ({refusal}) and is there");
            }
            Said::Uncertain | Said::Other | Said::Panicked => {}
        }
    }
    // Reading goes on, up to a head that is whole.
    let head = ledger.head();
    assert!(head.sequence < u64::try_from(chain.len()).unwrap(), "{what}");
    for sequence in 0..=head.sequence {
        assert!(ledger.entry(sequence).unwrap().is_some(), "{what}");
    }
    assert_eq!(ledger.entry(head.sequence).unwrap().unwrap().left, 0, "{what}: half a batch");
    assert!(ledger.find(&id(1)).unwrap().is_some(), "{what}");
    assert_eq!(verified(ledger), head.sequence + 1, "{what}");
    // And who opens the store again goes on.
    let options = Options::new().time(Arc::<FusedTime>::clone(&scene.time));
    let own = scene.own_key();
    let again = Ledger::open(scene.store.memory.clone(), own, options).unwrap();
    again.sign_checkpoints_with(crate::support::checkpoint_key()).unwrap();
    again.append(event(99)).unwrap();
    verified(&again);
}

impl Scene {
    /// The key that may sign what comes next: the new one, if the rotation is there.
    fn own_key(&self) -> SigningKey {
        let chain = kept(&self.store.memory);
        let rotated = chain.iter().any(|written| written.fields.event_type == "key.rotate");
        if rotated { key(6) } else { entry_key() }
    }

    /// Nothing is taken any more, at once and by whichever way.
    fn refuses(&self, what: &str) {
        let refused = |error: AppendError| {
            assert_eq!(error, AppendError::Refused(Refusal::Panicked), "{what}");
        };
        let ledger = &self.ledger;
        let seen = self.signer.asked.load(Ordering::SeqCst);
        let size = kept(&self.store.memory).len();
        refused(ledger.append(event(90)).unwrap_err());
        refused(ledger.append(event(1).id(id(1))).unwrap_err());
        refused(ledger.append_batch(vec![event(91), event(92)]).unwrap_err());
        refused(ledger.submit(event(93)).unwrap_err());
        refused(ledger.try_submit(event(93)).unwrap_err());
        refused(ledger.attach(Counted::default()).unwrap_err());
        let declined = ledger.append_with(|_| Ok::<_, ()>(event(94))).unwrap_err();
        assert_eq!(declined, DecideError::Append(Refusal::Panicked.into()), "{what}");
        refused(ledger.rotate(key(7)).unwrap_err());
        assert_eq!(ledger.sign_with(key(7)).unwrap_err(), Refusal::Panicked, "{what}");
        assert_eq!(ledger.close(SOON).unwrap_err().what, "something panicked", "{what}");
        assert_eq!(kept(&self.store.memory).len(), size, "{what}");
        // Only what proves the new key's possession.
        assert_eq!(self.signer.asked.load(Ordering::SeqCst), seen, "{what}");
    }
}

/// One operation, with a panic at the n-th call of `place`. Says whether there were that many.
fn panics_at(whose: Whose, place: Place, deed: Deed, answer: Option<&Answer>, n: usize) -> bool {
    let what = format!("{whose:?}, {place:?} {n}, {deed:?}, {answer:?}");
    let scene = Scene::new(whose);
    let others = Others::set_off(&scene, Waker::noop());
    scene.fuse(place).light(n);
    scene.signer.then(answer.cloned());
    let other = {
        let scene = scene.clone();
        thread::spawn(move || caught(|| scene.act(deed)))
    };
    if answer.is_none() {
        scene.signer.let_go();
    }
    let numbers = match deed {
        Deed::Append | Deed::Submit | Deed::Decide => vec![20],
        Deed::Batch => vec![20, 21],
        _ => Vec::new(),
    };
    let said_there = other.join().unwrap();
    scene.signer.let_go();
    let mut said = others.said();
    said.push((numbers, said_there));
    let spent = !scene.fuse(place).put_out();
    let panicked = said.iter().filter(|(_, said)| matches!(said, Said::Panicked)).count();
    assert!(panicked <= usize::from(spent), "{what}: {said:?}");
    if spent {
        // What was read for its own sake alone left nothing half-done, but all here is on the way of an append.
        until("the panic is noticed", || {
            // Under one id: on a slow machine it may be taken, more than once, before anybody notices.
            let asked = scene.ledger.try_submit(event(80).id(id(80)));
            asked.is_err_and(|error| error == Refusal::Panicked.into())
        });
        scene.refuses(&what);
    } else {
        let fine = |said: &Said| !matches!(said, Said::Uncertain | Said::Panicked);
        assert!(said.iter().all(|(_, said)| fine(said)), "{what}: {said:?}");
    }
    aftermath(&scene, &said, &what);
    spent
}

/// All calls that an operation makes, one after the other, until it makes no more.
fn panics_everywhere(whose: Whose, deed: Deed, answer: Option<&Answer>) -> [usize; PLACES.len()] {
    PLACES.map(|place| {
        let mut n = 0;
        loop {
            n += 1;
            let (answer, what) = (answer.cloned(), format!("{place:?} {n}, {deed:?}, {answer:?}"));
            let work = move || panics_at(whose, place, deed, answer.as_ref(), n);
            if !within(SOON, &what, work) {
                return n - 1;
            }
            assert!(n < 200, "{what}: no end of it");
        }
    })
}

#[test]
fn a_panic_at_any_call_leaves_the_ledger_refusing() {
    let mut waits = 0;
    for whose in WHOSE {
        for deed in DEEDS {
            let made = panics_everywhere(whose, deed, None);
            let [wall, elapsed, running, commit, committed, find, read, fold] = made;
            // The three others alone write, and are folded when they are durable.
            assert!(commit > 0 && committed > 0 && fold > 2, "{deed:?}: {made:?}");
            let given = [Deed::Append, Deed::Again, Deed::Batch, Deed::Decide];
            assert!(!given.contains(&deed) || find > 0, "{deed:?}: {made:?}");
            assert!(![Deed::Again, Deed::Attach].contains(&deed) || read > 0, "{deed:?}: {made:?}");
            assert!(deed != Deed::Append || wall + elapsed > 0, "{deed:?}: {made:?}");
            waits += running;
        }
    }
    assert!(waits > 0);
}

/// What fails is taken out of what was folded: that is folded again, without it.
#[test]
fn a_panic_while_entries_are_taken_back_leaves_the_ledger_refusing() {
    for whose in WHOSE {
        let made = panics_everywhere(whose, Deed::Append, Some(&Answer::Fail));
        let [.., fold] = made;
        // Link; three are left and folded again; three are durable.
        assert_eq!(fold, 7, "{made:?}");
    }
}

/// What decides is the caller's, and runs under the lock.
#[test]
fn a_decision_that_panics_leaves_the_ledger_refusing() {
    for whose in WHOSE {
        within(SOON, "a decision", move || {
            let scene = Scene::new(whose);
            let others = Others::set_off(&scene, Waker::noop());
            let decided = caught(|| {
                decided(scene.attached.append_with(|_| {
                    // While it decides, nobody else can be told anything; the others wait for the lock.
                    scene.signer.let_go();
                    std::panic::resume_unwind(Box::new("undecided"))
                }))
            });
            assert!(matches!(decided, Said::Panicked));
            let said = others.said();
            // Nothing was being written, since the one in front was not signed.
            let refused = |(_, said): &(_, Said)| matches!(said, Said::Refused(Refusal::Panicked));
            assert!(said.iter().all(refused), "{said:?}");
            scene.refuses("a decision");
            aftermath(&scene, &said, "a decision");
        });
    }
}

/// Counts how often it is woken, and may panic then.
struct Rough {
    woken: AtomicUsize,
    panics: bool,
}

impl Wake for Rough {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        if self.panics {
            std::panic::resume_unwind(Box::new("a rude awakening"));
        }
    }
}

/// A waker runs in the thread that ends the call, which is somebody else's: they get their answers all the same, and what was
/// durable has its receipt.
#[test]
fn a_waker_that_panics_leaves_the_ledger_refusing() {
    for (whose, panics) in WHOSE.into_iter().flat_map(|whose| [(whose, true), (whose, false)]) {
        within(SOON, "a waker", move || {
            let scene = Scene::new(whose);
            let rough = Arc::new(Rough { woken: AtomicUsize::new(0), panics });
            let others = Others::set_off(&scene, &Waker::from(Arc::clone(&rough)));
            scene.signer.let_go();
            let said = others.said();
            until("it is woken", || rough.woken.load(Ordering::SeqCst) == 1);
            let first = &said[0].1;
            assert!(matches!(first, Said::Receipts(_)), "{said:?}");
            assert!(!said.iter().any(|(_, said)| matches!(said, Said::Panicked)), "{said:?}");
            if panics {
                until("the panic is noticed", || scene.ledger.try_submit(event(80)).is_err());
                scene.refuses("a waker");
            } else {
                scene.ledger.append(event(80)).unwrap();
            }
            aftermath(&scene, &said, "a waker");
        });
    }
}

/// A waker that panics where the lock is let go because of a panic: the first must not become the end of the process.
#[test]
fn a_waker_that_panics_in_a_panic_leaves_the_ledger_refusing() {
    within(SOON, "a waker in a panic", || {
        let scene = Scene::new(Whose::Own);
        let rough = Arc::new(Rough { woken: AtomicUsize::new(0), panics: true });
        let others = Others::set_off(&scene, &Waker::from(Arc::clone(&rough)));
        scene.fold.light(1);
        let panicked = caught(|| scene.act(Deed::Append));
        assert!(matches!(panicked, Said::Panicked));
        assert_eq!(rough.woken.load(Ordering::SeqCst), 1);
        scene.signer.let_go();
        let said = others.said();
        assert!(said.iter().all(|(_, said)| matches!(said, Said::Refused(_))), "{said:?}");
        scene.refuses("a waker in a panic");
        aftermath(&scene, &said, "a waker in a panic");
    });
}

/// A key whose every method panics when its fuse says so.
#[derive(Clone, Debug)]
struct Touchy {
    key: SigningKey,
    in_process: bool,
    fuse: Fuse,
}

impl Signer for Touchy {
    fn public(&self) -> &PublicKey {
        self.fuse.burn();
        self.key.public()
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        self.fuse.burn();
        Signer::sign(&self.key, statement)
    }

    fn is_in_process(&self) -> bool {
        self.fuse.burn();
        self.in_process
    }
}

/// A signer that panics while it signs costs its entry. Where the ledger asks who it is, under the lock, it costs the ledger.
#[test]
fn a_signer_that_panics_is_given_up() {
    for in_process in [true, false] {
        let (mut gave_up, mut refused) = (0, 0);
        for n in 1.. {
            let (spent, goes_on) = within(SOON, &format!("{in_process} {n}"), move || {
                let fuse = Fuse::default();
                let signer = Touchy { key: entry_key(), in_process, fuse: fuse.clone() };
                let options = Options::new().verify_own(true).signer_time(NEVER);
                let memory = sigchain::store::Memory::new();
                let ledger = Ledger::create(memory.clone(), genesis(signer), options).unwrap();
                let ticket = ledger.submit(event(1)).unwrap();
                ticket.wait().unwrap();
                fuse.light(n);
                let said = caught(|| one(ledger.append(event(2))));
                let spent = !fuse.put_out();
                let there = places(&kept(&memory)).contains_key(&2);
                match said {
                    Said::Receipts(_) => assert!(there && !spent),
                    Said::Refused(refusal) => {
                        assert_eq!(refusal, Refusal::SignerPanicked);
                        assert!(!there && spent);
                        ledger.append(event(3)).unwrap();
                        assert_eq!(listed(&ledger).len(), 1);
                        return (spent, true);
                    }
                    Said::Panicked => {
                        let error = ledger.append(event(3)).unwrap_err();
                        assert_eq!(error, Refusal::Panicked.into());
                        assert!(!there);
                    }
                    said => panic!("{said:?}"),
                }
                verified(&ledger);
                (spent, false)
            });
            if !spent {
                break;
            }
            gave_up += usize::from(goes_on);
            refused += usize::from(!goes_on);
        }
        // Asked to sign, whether it is in this process, whose key it is; and before that, who it is and where.
        assert_eq!((gave_up, refused), (3, 2));
    }
}

/// Whoever only reads has nothing half-done behind it: the ledger goes on.
#[test]
fn a_store_that_panics_while_it_is_read_harms_nobody() {
    within(SOON, "reading", || {
        let scene = Scene::new(Whose::Own);
        let ledger = &scene.ledger;
        let reads: [(&Fuse, &dyn Fn()); 5] = [
            (&scene.store.hand.find, &|| drop(ledger.find(&id(1)))),
            (&scene.store.hand.read, &|| drop(ledger.find(&id(1)))),
            (&scene.store.hand.read, &|| drop(ledger.entry(1))),
            (&scene.store.hand.read, &|| {
                drop(ledger.export(Vec::new(), sigchain::chainfile::Form::ChainFile));
            }),
            (&scene.store.hand.read, &|| drop(ledger.checkpoint())),
        ];
        let mut panicked = 0;
        for (fuse, read) in reads {
            fuse.light(1);
            panicked += usize::from(catch_unwind(AssertUnwindSafe(read)).is_err());
            fuse.put_out();
            ledger.append(event(50 + u64::try_from(panicked).unwrap())).unwrap();
            verified(ledger);
        }
        assert!(panicked >= 4, "{panicked}");
    });
}

/// Records something when it goes: the last words of whatever it stands for. To panic there would be the end of the process.
struct LastWords {
    ledger: Ledger,
    went_wrong: Arc<Mutex<Vec<String>>>,
}

impl Drop for LastWords {
    fn drop(&mut self) {
        let Self { ledger, went_wrong } = self;
        let appended = [
            ledger.append(event(70)).err().map(|error| error.to_string()),
            ledger.append_batch(vec![event(71).id(id(71)), event(72)]).err().map(|e| e.to_string()),
            ledger.append_with(|_| Ok::<_, String>(event(73))).err().map(|error| error.to_string()),
            ledger.rotate(key(6)).err().map(|error| error.to_string()),
            ledger.attach(Counted::default()).err().map(|error| error.to_string()),
        ];
        went_wrong.lock().unwrap().extend(appended.into_iter().flatten());
    }
}

/// Closes a ledger when it goes, with something still on its way.
struct Closing {
    ledger: Ledger,
    went_wrong: Arc<Mutex<Vec<String>>>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        let last = self.ledger.submit(event(75));
        let closed = self.ledger.close(SOON).err().map(|error| error.to_string());
        let last = last.and_then(Ticket::wait).err().map(|error| error.to_string());
        self.went_wrong.lock().unwrap().extend(closed.into_iter().chain(last));
    }
}

/// A panic of somebody who records what happens to it is none of the ledger's.
#[test]
fn last_words_are_recorded_and_harm_nobody() {
    within(SOON, "last words", || {
        let (ledger, went_wrong) = (crate::ledger::support::ledger(), Arc::default());
        let words = LastWords { ledger: ledger.clone(), went_wrong: Arc::clone(&went_wrong) };
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _words = words;
            std::panic::resume_unwind(Box::new("elsewhere"))
        }));
        drop(panicked.unwrap_err());
        assert!(went_wrong.lock().unwrap().is_empty(), "{went_wrong:?}");
        ledger.append(event(74)).unwrap();
        assert_eq!(verified(&ledger), 7);
        let words = Closing { ledger: ledger.clone(), went_wrong: Arc::clone(&went_wrong) };
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _words = words;
            std::panic::resume_unwind(Box::new("elsewhere"))
        }));
        drop(panicked.unwrap_err());
        assert!(went_wrong.lock().unwrap().is_empty(), "{went_wrong:?}");
        assert_eq!(verified(&ledger), 8);
    });
}
