//! A file of some entries of a record: those that are kept, and gaps for the others, so that the tree over all of it stays what it was.

use std::io::{self, Write};
use std::ptr;

use sigchain::chain::{Candidate, Chain, Link};
use sigchain::chainfile::{Form, Writer};
use sigchain::checkpoint::{Checkpoint, Seal, SealState};
use sigchain::digest::Digest;
use sigchain::frame::{Attachment, Gap, Summary, Target};
use sigchain::key::{KeyId, Purpose};
use sigchain::limit;
use sigchain::payload::Part;
use sigchain::reserved::Reserved;
use sigchain::signer::{Signer as _, SignerError, Statement};
use sigchain::verify::{Report, Seen, Shown};

use crate::extract::gap::Omitted;
use crate::signing::Hand;

/// Whether an entry is in every file of its chain: without genesis nothing can be verified, and of the ledger's own some may not be
/// missing, and none are.
pub(super) fn is_always_kept(shown: &Shown<'_>) -> bool {
    shown.written.fields.sequence == 0 || limit::is_reserved(&shown.written.fields.event_type)
}

/// How a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With a signature of this key, made now.
    Signed(KeyId),
    /// With the signature that the file had from which it was taken.
    Kept,
    /// By nobody.
    Unsigned,
}

/// What a file came to.
pub(super) struct Made {
    /// Entries that are in it.
    pub(super) kept: u64,
    /// Entries that were left out of it.
    pub(super) omitted: u64,
    pub(super) ended: Ended,
    /// Whether a seal at or behind the last gap vouches that no entry which changes keys is missing.
    pub(super) are_gaps_proven: bool,
}

pub(super) struct Cut<W: Write> {
    writer: Writer<W>,
    is_chain_file: bool,
    chain_id: Digest,
    /// Sizes at which a gap ends, the nearest last: checkpoints that somebody holds say nothing of the inside of one.
    stops: Vec<u64>,
    waiting: Omitted,
    kept: u64,
    omitted: u64,
    /// End of the last gap, and size of the last seal.
    gap: u64,
    sealed: u64,
    /// The keys, as far as they were seen.
    chain: Option<Chain>,
    epoch: u64,
    trailer: Option<Checkpoint>,
}

impl<W: Write> Cut<W> {
    /// Begins a file. Gaps end at the sizes of these checkpoints.
    pub(super) fn begin(
        sink: W,
        form: Form,
        chain_id: Digest,
        held: &[Checkpoint],
    ) -> io::Result<Self> {
        let mut stops: Vec<u64> = held.iter().map(Checkpoint::size).collect();
        stops.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
        Ok(Self {
            writer: Writer::new(sink, form, chain_id)?,
            is_chain_file: form == Form::ChainFile,
            chain_id,
            stops,
            waiting: Omitted::default(),
            kept: 0,
            omitted: 0,
            gap: 0,
            sealed: 0,
            chain: None,
            epoch: 0,
            trailer: None,
        })
    }

    /// An entry that is kept, with what is shown of its payload, or left out.
    pub(super) fn entry(&mut self, shown: &Shown<'_>, kept: Option<&Part<'_>>) -> io::Result<()> {
        let (written, digest) = (shown.written, shown.item.digest());
        let sequence = written.fields.sequence;
        while self.stops.pop_if(|stop| *stop <= sequence).is_some() {
            self.end_gap()?;
        }
        let Some(part) = kept else {
            self.omitted = self.omitted.saturating_add(1);
            self.waiting.push(sequence, shown.leaf);
            return Ok(());
        };
        self.end_gap()?;
        self.note_keys(shown, digest)?;
        self.kept = self.kept.saturating_add(1);
        match shown
            .frame
            .filter(|_| self.is_chain_file && ptr::eq(part, ptr::from_ref(&written.part)))
        {
            // Nothing of it is withheld: the very bytes that were verified.
            Some(frame) => self.writer.copy_frame(sequence, shown.leaf, frame),
            None => self.writer.copy(written, part, shown.leaf),
        }
    }

    /// Whatever of the record is no entry.
    pub(super) fn other(&mut self, seen: &Seen<'_>) -> io::Result<()> {
        match seen {
            Seen::Gap(gap) => {
                self.end_gap()?;
                self.put_gap((*gap).clone())
            }
            Seen::Seal(seal) => {
                self.end_gap()?;
                self.sealed = seal.state.size;
                self.writer.seal((*seal).clone())
            }
            Seen::Stated(checkpoint) => {
                self.end_gap()?;
                self.writer.checkpoint((*checkpoint).clone())
            }
            Seen::Attached(attachment) => self.attachment(attachment),
            Seen::Ended(Summary::Signed(checkpoint)) => {
                self.trailer = Some(checkpoint.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn attachment(&mut self, attachment: &Attachment<'_>) -> io::Result<()> {
        // About an entry that may be missing it would say nothing.
        if self.omitted > 0 && matches!(attachment.target, Target::Entry(_)) {
            return Ok(());
        }
        self.end_gap()?;
        self.writer.attachment(attachment.clone())
    }

    fn end_gap(&mut self) -> io::Result<()> {
        self.waiting.take().map_or(Ok(()), |gap| self.put_gap(gap))
    }

    fn put_gap(&mut self, gap: Gap) -> io::Result<()> {
        self.gap = gap.end();
        self.writer.gap(gap)
    }

    /// Follows the keys, for a seal. They were judged when the record was verified.
    fn note_keys(&mut self, shown: &Shown<'_>, digest: Digest) -> io::Result<()> {
        let fields = &shown.written.fields;
        let is_genesis = fields.sequence == 0;
        let is_epoch = fields.event_type == "epoch.begun";
        if !is_genesis && !is_epoch && !fields.event_type.starts_with("key.") {
            return Ok(());
        }
        let (link, sequence) = (Link::new(fields, digest), fields.sequence);
        let parsed = Reserved::parse(&fields.event_type, &shown.written.part, sequence);
        let reserved = parsed.map_err(io::Error::other)?;
        let misfit = |misfit: sigchain::fault::Misfit| io::Error::other(misfit.to_string());
        if let Some(epoch) = reserved.epoch() {
            self.epoch = epoch;
        } else if is_genesis {
            self.chain = Some(Chain::begin(&link, &reserved).map_err(misfit)?);
        } else if let Some(chain) = &mut self.chain {
            // Of what stands between only the place matters.
            chain.pass_gap(sequence);
            let root = Some(self.writer.root());
            chain.admit(&Candidate { link, reserved: Some(&reserved), root }).map_err(misfit)?;
        }
        Ok(())
    }

    /// Ends the file: signed with this key, or as the record was that it is taken from.
    pub(super) fn finish(mut self, key: Option<&Hand>, report: &Report) -> io::Result<(W, Made)> {
        self.end_gap()?;
        if let Some(key) = key.filter(|_| self.sealed < self.gap)
            && let Some(seal) = self.seal(key, report)?
        {
            self.sealed = seal.state.size;
            self.writer.seal(seal)?;
        }
        let ended = match (key, &self.trailer) {
            (Some(key), _) => Ended::Signed(key.public().id()),
            (None, Some(_)) => Ended::Kept,
            (None, None) => Ended::Unsigned,
        };
        let are_gaps_proven = self.sealed >= self.gap;
        let (kept, omitted) = (self.kept, self.omitted);
        let made = Made { kept, omitted, ended, are_gaps_proven };
        let sink = match (key, self.trailer) {
            (Some(key), _) => {
                let (size, root) = (self.writer.size(), self.writer.root());
                let checkpoint = Checkpoint::by_signer(&origin(report), size, root, key);
                self.writer.finish_with(checkpoint.map_err(|error| unsigned(&error))?)?
            }
            (None, Some(checkpoint)) => self.writer.finish_with(checkpoint)?,
            (None, None) => self.writer.finish_unsigned()?,
        };
        Ok((sink, made))
    }

    /// A seal over all of it, if the last entry is known.
    fn seal(&self, key: &Hand, report: &Report) -> io::Result<Option<Seal>> {
        let (Some(head), Some(chain)) = (report.head, &self.chain) else { return Ok(None) };
        let state = SealState {
            size: self.writer.size(),
            head: head.digest,
            stamp: head.stamp,
            frontier: self.writer.tree().hashes().to_vec(),
            keyring: chain.keyring().digest(),
            epoch: self.epoch,
            quarantined: false,
        };
        let statement = state.statement(&self.chain_id, &key.public().id());
        let signature = key
            .sign(&Statement::Digest(Purpose::Seal, &statement))
            .map_err(|error| unsigned(&error))?;
        Ok(Some(Seal::new(state, key.public().id(), signature)))
    }
}

/// Without a signature the file is not what was asked for.
fn unsigned(error: &SignerError) -> io::Error {
    io::Error::other(format!("its end cannot be signed: {error}"))
}

/// The origin of the chain's checkpoints.
pub(super) fn origin(report: &Report) -> String {
    report.chain_id.map_or(String::new(), |id| format!("{}/{id}", report.name))
}
