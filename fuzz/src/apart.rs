//! What stands beside a ledger and is read again: its mirror, and the logs of its quarantines.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::sync::{Arc, LazyLock};

use sigchain::codec::{Reader, Writer};
use sigchain::digest::Digest;
use sigchain::directory::Directory;
use sigchain::frame::Written;
use sigchain::id::EventId;
use sigchain::key::{Purpose, SigningKey};
use sigchain::ledger::{Ledger, Words};
use sigchain::mirror::{ASIDE, CURRENT, Mirror, Mirrored, Options};
use sigchain::quarantine::machine::Logged;
use sigchain::quarantine::{Case, cases};
use sigchain::store::{Frames, Store as _};
use sigchain::tree::{self, Nodes};
use sigchain::verify::Verifier;

use super::files::place::{Place, Ram, Script, WHOLE};

/// Bytes of a file of the mirror: so few that there are several.
const FILE: u64 = 8000;

static MIRRORED: LazyLock<Arc<Original>> = LazyLock::new(|| Arc::new(Original::new()));
/// The files of the mirror as it should be, the current one last.
static MIRROR: LazyLock<Vec<(String, Arc<Vec<u8>>)>> = LazyLock::new(|| {
    let ram = Ram::default();
    follow(&ram).unwrap();
    let mut files = ram.files();
    files.sort_by_key(|(name, _)| name == CURRENT);
    assert!(files.len() > 2, "too few files");
    files
});

/// The ledger, as what a mirror is of.
#[derive(Debug)]
struct Original {
    view: Directory,
    leaves: Vec<Digest>,
    nodes: Nodes,
}

impl Original {
    fn new() -> Self {
        let view = WHOLE.place.view().unwrap();
        let (mut leaves, mut nodes, mut frames) = (Vec::new(), Nodes::new(), Frames::new());
        for n in 0..view.entries() {
            view.read(n, 1, &mut frames).unwrap();
            let frame = frames.iter().next().unwrap();
            let written = Written::parse(frame.left, frame.body).unwrap();
            // Within entry 0 the chain's id is not known yet.
            let id = if n == 0 { Digest::ZERO } else { WHOLE.chain_id };
            let leaf = tree::leaf_hash(&written.fields.digest(&id), &written.signature);
            leaves.push(leaf);
            nodes.push(leaf);
        }
        assert_eq!(nodes.root(), WHOLE.root);
        Self { view, leaves, nodes }
    }
}

impl Mirrored for Original {
    fn chain_id(&self) -> Digest {
        WHOLE.chain_id
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.view.entries())
    }

    fn read(&self, first: u64, count: usize, frames: &mut Frames) -> io::Result<()> {
        self.view.read(first, count, frames)
    }

    fn hashes(&self, first: u64, count: u64) -> io::Result<Vec<Digest>> {
        let leaf = |at| self.leaves.get(usize::try_from(at).unwrap()).copied();
        Ok(self.nodes.hashes(first, count, &leaf).unwrap())
    }
}

/// Writes the mirror in this folder to its end.
fn follow(ram: &Ram) -> io::Result<Mirror> {
    let of = Arc::clone(&*MIRRORED);
    let mut mirror = Mirror::open(ram.open(), of, Options::new().file_bytes(FILE))?;
    let mut steps = 0;
    while !mirror.write()? {
        steps += 1;
        assert!(steps < 100, "it comes to no end");
    }
    Ok(mirror)
}

/// A mirror that was altered is gone on with, or set aside, or refused; nothing that others may have read is taken back, and
/// what is written from there on is right.
pub fn mirror(data: &[u8]) {
    let Some(script) = Script::parse(data) else { return };
    let files = &*MIRROR;
    let at = script.which % files.len();
    let altered = script.apply(&files[at].1, &files[(at + 1) % files.len()].1);
    let ram = Ram::default();
    // The older files may have been taken away.
    if script.flag(0) {
        files[..at].iter().for_each(|(name, bytes)| ram.set(name, bytes.to_vec()));
    }
    ram.set(CURRENT, altered.clone());
    let before: BTreeMap<_, _> = ram.files().into_iter().collect();
    let Ok(mirror) = follow(&ram) else {
        assert_eq!(
            ram.files().into_iter().collect::<BTreeMap<_, _>>(),
            before,
            "refused, and changed"
        );
        return;
    };
    assert_eq!(mirror.next(), u64::try_from(WHOLE.entries.len()).unwrap());
    drop(mirror);
    let after = ram.files();
    let mut is_kept = altered.is_empty();
    for (name, bytes) in &after {
        let is_own = before.get(name).is_some_and(|old| name != CURRENT && old == bytes);
        if name == ASIDE {
            assert_eq!(**bytes, altered, "another file is set aside");
            is_kept = true;
        } else if bytes.starts_with(&altered) && !altered.is_empty() {
            is_kept = true;
        } else if !is_own {
            let report = Verifier::new().open_ended(true).threads(1).run(Cursor::new(&**bytes));
            assert_eq!(report.unwrap().faults, Vec::new(), "{name}, written anew");
        }
    }
    assert!(is_kept, "what somebody may have read is gone");
    // Once more there is nothing to do.
    drop(follow(&ram).unwrap());
    assert_eq!(ram.files(), after, "written twice");
}

/// The quarantine whose log is altered.
const QUARANTINE: [u8; 16] = *b"\x01\xa1\xf5\xd0\x4c\x00\x77\x77\xb7\x77\x77\x77\x77\x77\x77\x77";
const DOMAIN: &str = "sigchain1/finding\0";

/// Records of a log, each behind two bytes of its length and one that says what is made right in it. Signed or not: the log says
/// what its records say, and no log sets a ledger going.
pub fn quarantine(data: &[u8]) {
    let Some((how, mut rest)) = data.split_first() else { return };
    let place = WHOLE.place.copy();
    let id = EventId::from_bytes(QUARANTINE).unwrap();
    let (mut prior, mut records) = (WHOLE.head, Vec::new());
    while let Some(([high, low, flags], more)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(more.len());
        let (body, more) = more.split_at(length);
        rest = more;
        let record = if flags & 1 != 0 {
            let (digest, record) = signed(body, &prior, flags & 2 != 0);
            prior = digest;
            record
        } else {
            body.to_vec()
        };
        let number = records.len() + usize::from(flags >> 6);
        place.ledger.set(&format!("quarantine/{id}/record-{number:010}"), record.clone());
        records.push(record);
    }
    let found = cases(&*place.ledger.open()).unwrap();
    assert_eq!(found.len(), usize::from(!records.is_empty()));
    for case in &found {
        log(case, &records);
    }
    // Of this quarantine the chain says nothing: a log there is halts the ledger, whatever it says.
    if how & 2 != 0 {
        assert_eq!(place.open().is_ok(), records.is_empty(), "a log sets the ledger going");
    }
    if how & 1 != 0 {
        resolve(&place, &id);
    }
}

/// A record over these fields, with a signature that is right; also with the digest of the one before, if that is wanted.
fn signed(body: &[u8], prior: &Digest, is_linked: bool) -> (Digest, Vec<u8>) {
    let key = SigningKey::from_seed(&[2; 32]).unwrap();
    let mut body = body.to_vec();
    let mut reader = Reader::new(&body);
    let before =
        reader.array().and_then(|_| reader.uint()).and_then(|_| reader.bytes_exact::<32>());
    let at = before
        .and_then(|_| reader.bytes_exact::<16>())
        .and_then(|_| reader.uint())
        .map(|_| reader.at() + 2);
    if is_linked
        && let Ok(at) = at
        && let Some(place) = body.get_mut(at..at + 32)
    {
        place.copy_from_slice(prior.as_bytes());
    }
    if let Some(place) = body.last_chunk_mut::<32>() {
        place.copy_from_slice(key.public().as_bytes());
    }
    // In what is signed a domain stands where the format stands in the file.
    let mut w = Writer::new();
    w.array(9).text(DOMAIN);
    let digest = Digest::of(&[w.as_bytes(), body.get(2..).unwrap_or_default()]);
    let signature = key.sign(Purpose::Finding, &digest);
    let mut w = Writer::new();
    w.array(2).item(&body).bytes(signature.as_bytes());
    (digest, w.into_bytes())
}

/// What was read of a log is what its files say, up to where one does not follow from the one before.
fn log(case: &Case, records: &[Vec<u8>]) {
    assert!(case.entries.len() <= records.len());
    assert!(case.entries.len() == records.len() || case.damage.is_some(), "records passed over");
    let mut prior = None;
    for (n, (entry, record)) in (0..).zip(case.entries.iter().zip(records)) {
        let r = &mut Reader::new(record);
        r.array_exact(2).unwrap();
        let from = r.at();
        r.skip().unwrap();
        let (body, signature) = (r.since(from), r.bytes_exact::<64>().unwrap());
        let mut w = Writer::new();
        w.array(9).text(DOMAIN);
        assert_eq!(entry.digest, Digest::of(&[w.as_bytes(), &body[2..]]), "another digest");
        let public = sigchain::key::PublicKey::from_bytes(body.last_chunk().unwrap()).unwrap();
        let signature = sigchain::key::Signature::new(signature);
        assert!(public.accepts(Purpose::Finding, &entry.digest, &signature), "nobody's record");
        assert_eq!((entry.number, entry.key), (n, public.id()));
        assert!(prior.is_none_or(|prior| prior == entry.prior), "a record that does not follow");
        assert_eq!(entry.kind == "opened", n == 0, "not in the order of a log");
        prior = Some(entry.digest);
    }
    let is_sound = case.damage.is_none() && !case.entries.is_empty();
    assert_eq!(case.logged() == Logged::Damaged, !is_sound);
    let last =
        case.entries.iter().rev().find(|e| matches!(e.kind, "opened" | "finding" | "resolved"));
    let is_resolved = is_sound && last.is_some_and(|entry| entry.kind == "resolved");
    assert_eq!(case.logged() == Logged::Resolved, is_resolved);
    let _ = (case.state(), case.discontinuity(), case.resolution(), case.successor(), case.head());
}

/// Somebody reconciles: if that is done the chain says so, and the ledger goes on.
fn resolve(place: &Place, id: &EventId) {
    let words = Words { by: "human:tester", text: "as it was" };
    let (signers, options) = (Place::signers(), place.options());
    let Ok(resolved) = Ledger::reconcile_in(place.ledger.open(), signers, options, (&words, &[]))
    else {
        return;
    };
    assert_eq!(resolved.quarantine, *id);
    let ledger = place.open().unwrap();
    let entry = ledger.entry(resolved.sequence).unwrap().unwrap();
    assert_eq!(entry.fields.event_type, "quarantine.reconciled");
}
