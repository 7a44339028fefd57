//! The ledger of the whole process, and what becomes of a ledger in a process that is forked.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fork::{Fork, WEXITSTATUS, WIFEXITED, waitpid};
use sigchain::error::{AppendError, DecideError, Refusal};
use sigchain::key::{PublicKey, Signature, SigningKey};
use sigchain::ledger::{Ledger, Options};
use sigchain::signer::{Signer, SignerError, Statement};
use sigchain::store::{Frames, Memory, Store, StoreError, Stored};

use crate::ledger::several::Scene;
use crate::ledger::support::{Hand, Handled, event, genesis, ledger, verified, within};
use crate::support::{entry_key, key};

const SOON: Duration = Duration::from_secs(20);

/// All of it in one test, since there is one such place in a process, and tests run side by side.
#[test]
fn one_ledger_is_installed_until_its_guard_goes() {
    assert!(sigchain::installed().is_none());
    let refused = sigchain::record(event(0)).unwrap_err();
    assert_eq!(refused, AppendError::Refused(Refusal::NotInstalled));
    let (first, second) = (ledger(), ledger());
    let guard = sigchain::install(first.clone()).unwrap();
    assert_eq!(guard.ledger().chain_id(), first.chain_id());
    // Neither another nor the same once more.
    assert!(sigchain::install(second.clone()).is_err());
    let error = sigchain::install(first.clone()).unwrap_err();
    assert!(error.to_string().contains("guard"), "{error}");
    // Reached from everywhere.
    thread::scope(|scope| {
        for thread in 0..8 {
            let first = &first;
            scope.spawn(move || {
                for number in 0..20 {
                    let installed = sigchain::installed().unwrap();
                    assert_eq!(installed.chain_id(), first.chain_id());
                    let receipt = sigchain::record(event(thread * 100 + number)).unwrap();
                    assert_eq!(first.find(&receipt.event_id).unwrap(), Some(receipt));
                }
            });
        }
    });
    // The guard goes: what is on its way is written, the ledger is closed, and nothing is installed.
    let last = first.submit(event(900)).unwrap();
    drop(guard);
    assert_eq!(last.wait().unwrap().sequence, 161);
    assert!(sigchain::installed().is_none());
    assert_eq!(sigchain::record(event(1)).unwrap_err(), Refusal::NotInstalled.into());
    assert_eq!(first.append(event(1)).unwrap_err(), Refusal::Closed.into());
    assert_eq!(verified(&first), 162);
    // There is room for another, whose guard tells how it went.
    let guard = sigchain::install(second.clone()).unwrap().deadline(SOON);
    sigchain::record(event(1)).unwrap();
    let kept = sigchain::installed().unwrap();
    let closed = guard.close(SOON).unwrap();
    assert_eq!((closed.size, closed.head.digest), (2, second.head().digest));
    assert!(sigchain::installed().is_none());
    assert_eq!(kept.append(event(2)).unwrap_err(), Refusal::Closed.into());
    // Unwinding is a way to go, too.
    let third = ledger();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _guard = sigchain::install(third.clone()).unwrap();
        sigchain::record(event(1)).unwrap();
        std::panic::resume_unwind(Box::new("elsewhere"))
    }));
    drop(unwound.unwrap_err());
    assert!(sigchain::installed().is_none());
    assert_eq!(third.append(event(2)).unwrap_err(), Refusal::Closed.into());
    assert_eq!(verified(&third), 2);
    // One that has failed is closed with what there is to say.
    let fourth = ledger();
    let guard = sigchain::install(fourth.clone()).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        fourth
            .append_with(|_| -> Result<_, ()> { std::panic::resume_unwind(Box::new("undecided")) })
    }));
    drop(panicked.unwrap_err());
    assert_eq!(sigchain::record(event(1)).unwrap_err(), Refusal::Panicked.into());
    assert!(guard.close(SOON).is_err());
    assert!(sigchain::install(ledger()).is_ok());
    assert!(sigchain::installed().is_none());
}

/// A store whose bytes go to a file as well, so that another process's writes can be seen.
type Filed = Handled<Copied>;

#[derive(Clone, Debug)]
struct Copied {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl Copied {
    fn to(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        Self { path: path.to_owned(), file: Arc::new(Mutex::new(file)) }
    }
}

impl Filed {
    fn bytes(&self) -> u64 {
        fs::metadata(&self.hand.path).unwrap().len()
    }
}

impl Hand for Copied {
    fn commit(&self, memory: &Memory, group: &[Stored]) -> Result<(), StoreError> {
        let mut file = self.file.lock().unwrap();
        for stored in group {
            file.write_all(&stored.head).and_then(|()| file.write_all(&stored.body)).unwrap();
        }
        memory.commit(group)
    }
}

/// A key that forks the process the next time it signs, if it is told to.
#[derive(Clone, Debug)]
struct Forking {
    key: SigningKey,
    /// 0: does not fork; 1: does at the next call; -1: this is the child; else the child.
    child: Arc<AtomicI32>,
    signed: Arc<AtomicUsize>,
}

impl Signer for Forking {
    fn public(&self) -> &PublicKey {
        self.key.public()
    }

    fn sign(&self, statement: &Statement<'_>) -> Result<Signature, SignerError> {
        self.signed.fetch_add(1, Ordering::SeqCst);
        if self.child.load(Ordering::SeqCst) == 1 {
            let child = match fork::fork().unwrap() {
                Fork::Child => -1,
                Fork::Parent(child) => child,
            };
            self.child.store(child, Ordering::SeqCst);
        }
        Signer::sign(&self.key, statement)
    }

    fn is_in_process(&self) -> bool {
        true
    }
}

const AGAIN: &str = "SIGCHAIN_FORKS";

/// T7. A child of fork(2) has the queue and the file, and would be a second writer. It is refused, and writes nothing.
///
/// Forks in a process of its own, in which no other tests hold locks that the child would wait for.
#[test]
fn a_forked_child_writes_nothing() {
    if std::env::var_os(AGAIN).is_some() {
        forks_between_appends();
        forks_within_an_append();
        forks_as_tickets_gather();
        return;
    }
    within(Duration::from_secs(60), "the process that forks", || {
        let name = "ledger::installed::a_forked_child_writes_nothing";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--test-threads=1", "--nocapture"])
            .env(AGAIN, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{errors}");
        assert!(said.contains("1 passed"), "{said}");
    });
}

/// Ends the child: well, or with what was wrong.
fn ends(work: impl FnOnce()) -> ! {
    exit(i32::from(catch_unwind(AssertUnwindSafe(work)).is_err()))
}

/// Waits for a child, which must have found all as it should be.
fn is_well(child: i32) {
    let status = waitpid(child).unwrap();
    assert!(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child: {status}");
}

/// Whatever a child asks a ledger for that is its parent's.
fn is_refused(ledger: &Ledger, store: &Filed, signer: &Forking) {
    let (bytes, asked) = (store.bytes(), signer.signed.load(Ordering::SeqCst));
    let forked = |error: AppendError| assert_eq!(error, Refusal::Forked.into());
    forked(ledger.append(event(10)).unwrap_err());
    forked(ledger.append_batch(vec![event(11), event(12)]).unwrap_err());
    forked(ledger.submit(event(13)).unwrap_err());
    forked(ledger.try_submit(event(14)).unwrap_err());
    forked(ledger.append(event(15).id(crate::ledger::support::id(15))).unwrap_err());
    let declined = ledger.append_with(|_| Ok::<_, ()>(event(16))).unwrap_err();
    assert_eq!(declined, DecideError::Append(Refusal::Forked.into()));
    forked(ledger.rotate(key(9)).unwrap_err());
    assert_eq!(ledger.sign_with(key(9)).unwrap_err(), Refusal::Forked);
    // Reading is no harm.
    assert!(ledger.entry(ledger.head().sequence).unwrap().is_some());
    let error = ledger.close(SOON).unwrap_err();
    assert!(error.what.contains("forked"), "{error}");
    forked(ledger.append(event(17)).unwrap_err());
    assert_eq!(store.bytes(), bytes);
    assert_eq!(signer.signed.load(Ordering::SeqCst), asked);
}

fn a_ledger(folder: &Path) -> (Ledger, Filed, Forking) {
    let store = Filed::new(Copied::to(&folder.join("frames")));
    let signer = Forking { key: entry_key(), child: Arc::default(), signed: Arc::default() };
    let ledger = Ledger::create(store.clone(), genesis(signer.clone()), Options::new()).unwrap();
    (ledger, store, signer)
}

fn forks_between_appends() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, store, signer) = a_ledger(folder.path());
    let guard = sigchain::install(ledger.clone()).unwrap();
    ledger.append(event(1)).unwrap();
    let bytes = store.bytes();
    match fork::fork().unwrap() {
        Fork::Child => ends(|| {
            assert_eq!(sigchain::record(event(2)).unwrap_err(), Refusal::Forked.into());
            is_refused(&ledger, &store, &signer);
            drop(guard);
            drop(ledger);
            assert_eq!(store.bytes(), bytes);
            // One of its own is no trouble.
            let own = crate::ledger::support::ledger();
            own.append(event(1)).unwrap();
            verified(&own);
        }),
        Fork::Parent(child) => is_well(child),
    }
    assert_eq!(store.bytes(), bytes);
    ledger.append(event(3)).unwrap();
    assert!(store.bytes() > bytes);
    assert_eq!(guard.close(SOON).unwrap().size, 3);
    verified(&ledger);
}

/// The signer forks: parent and child both come back from it with the signature of an entry that is on its way. The parent writes it;
/// the child cannot know whether it will.
fn forks_within_an_append() {
    let folder = tempfile::tempdir().unwrap();
    for count in [1, 3] {
        let path = folder.path().join(count.to_string());
        fs::create_dir(&path).unwrap();
        let (ledger, store, signer) = a_ledger(&path);
        ledger.append(event(1)).unwrap();
        let bytes = store.bytes();
        signer.child.store(1, Ordering::SeqCst);
        let outcome = ledger.append_batch((2..2 + count).map(event).collect());
        let child = signer.child.load(Ordering::SeqCst);
        if child == -1 {
            ends(|| {
                assert!(matches!(outcome, Err(AppendError::Uncertain { .. })), "{outcome:?}");
                assert_eq!(ledger.head().sequence, 1);
                is_refused(&ledger, &store, &signer);
                drop(ledger);
            });
        }
        is_well(child);
        assert_eq!(outcome.unwrap().last().unwrap().sequence, 1 + count);
        assert!(store.bytes() > bytes);
        let after = store.bytes();
        ledger.append(event(9)).unwrap();
        assert_eq!(verified(&ledger), 3 + count);
        // The child's copy would have been as long as the first of the two.
        assert!(store.bytes() > after);
        let mut frames = Frames::new();
        store.memory.read(0, usize::MAX, &mut frames).unwrap();
        let written: usize = frames.iter().map(|frame| 16 + frame.body.len()).sum();
        assert_eq!(store.bytes(), u64::try_from(written).unwrap());
    }
}

/// What gathers is the parent's to sign, and in a child nobody knows what becomes of it.
fn forks_as_tickets_gather() {
    let scene = Scene::new(Options::new());
    let tickets = scene.submit(1..8);
    match fork::fork().unwrap() {
        Fork::Child => ends(|| {
            for ticket in tickets {
                let event_id = ticket.event_id().unwrap();
                let Err(AppendError::Uncertain { event_id: found, .. }) = ticket.wait() else {
                    panic!("the parent's")
                };
                assert_eq!(found, event_id);
            }
            let refused = scene.ledger.append(event(8)).unwrap_err();
            assert_eq!(refused, Refusal::Forked.into());
            scene.ledger.close(SOON).unwrap_err();
            assert!(scene.signer.asked().is_empty(), "the child signs");
        }),
        Fork::Parent(child) => is_well(child),
    }
    scene.let_go();
    let sequences: Vec<_> = tickets.into_iter().map(|t| t.wait().unwrap().sequence).collect();
    assert_eq!(sequences, (2..9).collect::<Vec<_>>());
    assert_eq!(scene.signer.asked(), [7]);
    assert_eq!(verified(&scene.ledger), 9);
}
