//! Looking through a file of the mirror before it is gone on with. What it says is never taken for the ledger's word: only where
//! it ends, and which entries were not to be elided.

use std::io::{self, Read};

use crate::chainfile::{Ending, Form, OpenError, Reader};
use crate::codec::len_u64;
use crate::digest::Digest;
use crate::disk::{DiskError, File};
use crate::fault::Code;
use crate::frame::{Frame, VERSION, Written};
use crate::jsonl;
use crate::mirror::preface::Preface;

/// What was found in a file.
#[derive(Default)]
pub(super) struct Scan {
    /// The entry behind its last gap; 0 if it has none.
    pub(super) first: u64,
    /// The entry that is not in it yet.
    pub(super) next: u64,
    /// The last entry that stands in it, and its digest.
    pub(super) last: Option<(u64, Digest)>,
    /// Entries that its last entry's batch lacks.
    pub(super) left: u16,
    /// Size of its last seal.
    pub(super) sealed: u64,
    /// Which of its entries may not be elided.
    pub(super) preface: Preface,
    /// Bytes of its whole lines.
    pub(super) len: u64,
    /// Bytes of the entries that are its own.
    pub(super) own: u64,
    /// Why it cannot be gone on with. A last line that is cut is no damage.
    pub(super) damage: Option<String>,
    begun: u64,
    /// Digest that the next line must link to.
    prior: Option<Digest>,
}

impl Scan {
    /// Reads the file that begins with entry `begun`, if older files say so. One of another chain is an error: somebody has mixed up two
    /// folders.
    pub(super) fn of(
        file: &dyn File,
        name: &str,
        chain_id: &Digest,
        begun: u64,
    ) -> io::Result<Self> {
        // Entry 0 stands in every file.
        let mut scan = Self { begun: begun.max(1), ..Self::default() };
        let mut reader = match Reader::open(Bytes { file, at: 0 }) {
            Ok(reader) => reader,
            Err(OpenError::Io(error)) => return Err(error),
            Err(OpenError::Unreadable(fault)) => {
                scan.damage = Some(format!("expected {}, found {}", fault.expected, fault.found));
                return Ok(scan);
            }
        };
        let found = reader.chain_id();
        if found != *chain_id {
            let what = format!("expected the mirror of chain {chain_id}, found that of {found}");
            let advice = "give each ledger a folder of its own";
            return Err(DiskError::new("MIRROR_OTHER", name, what, advice)
                .into_io(io::ErrorKind::InvalidData));
        }
        if reader.form() != Form::JsonLines {
            scan.damage = Some("expected JSON lines, found a chain file".to_owned());
            return Ok(scan);
        }
        let header = Frame::Header { version: VERSION, chain_id: found };
        scan.len = len_u64(jsonl::encode(&header).len());
        scan.lines(&mut reader, chain_id)?;
        if scan.damage.is_none() && scan.last.is_none() {
            scan.damage = Some("expected entry 0, found the end".to_owned());
        }
        Ok(scan)
    }

    fn lines<R: Read>(&mut self, reader: &mut Reader<R>, chain_id: &Digest) -> io::Result<()> {
        loop {
            let block = reader.block(1, 0)?;
            let Some(raw) = block.frames().first() else { break };
            let judged = match block.parse(raw) {
                Ok(frame) => self.frame(&frame, chain_id, len_u64(block.len())),
                Err(misfit) => Err(format!("expected {}, found {}", misfit.expected, misfit.found)),
            };
            if let Err(what) = judged {
                self.damage = Some(format!("line {}: {what}", raw.place));
                return Ok(());
            }
        }
        if let Some(Ending::Damaged(misfit)) = reader.ending()
            && misfit.code != Code::FrameCut
        {
            self.damage = Some(format!("line {}: {}", reader.place(), misfit.expected));
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>, chain_id: &Digest, len: u64) -> Result<(), String> {
        match frame {
            Frame::Entry(written) => {
                self.entry(written, chain_id)?;
                if written.fields.sequence >= self.begun {
                    self.own = self.own.saturating_add(len);
                }
            }
            Frame::Gap(gap) if gap.first == self.next && self.last.is_some() => {
                (self.first, self.next) = (gap.end(), gap.end());
                (self.prior, self.left, self.own) = (None, 0, 0);
            }
            Frame::Seal(seal) => self.sealed = seal.state.size,
            _ => return Err(format!("expected entry {}, found another frame", self.next)),
        }
        self.len = self.len.saturating_add(len);
        Ok(())
    }

    fn entry(&mut self, written: &Written<'_>, chain_id: &Digest) -> Result<(), String> {
        let fields = &written.fields;
        if fields.sequence != self.next {
            return Err(format!("expected entry {}, found entry {}", self.next, fields.sequence));
        }
        if let Some(prior) = self.prior.filter(|prior| *prior != fields.prior_hash) {
            return Err(format!("expected a link to {prior}, found {}", fields.prior_hash));
        }
        let digest = written.entry(chain_id).digest();
        self.preface.note(written);
        (self.prior, self.last) = (Some(digest), Some((fields.sequence, digest)));
        self.next = fields.sequence.saturating_add(1);
        self.left = written.left;
        Ok(())
    }
}

/// A file from its beginning on.
struct Bytes<'f> {
    file: &'f dyn File,
    at: u64,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at = self.at.saturating_add(len_u64(count));
        Ok(count)
    }
}
