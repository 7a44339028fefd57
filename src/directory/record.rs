//! The record of what is durable: how far the ledger's files go for sure, and who wrote last. A file of a few hundred bytes that is
//! overwritten in place after each sync.
//!
//! It is written only after the sync that it speaks of, so whatever it says was true; it may be out of date, since it is itself
//! synced only when a ledger is closed. Readers in other processes end where it says. It is not signed: whoever can write it
//! can also cut the files.

use std::io;

use crate::codec::{DecodeError, Reader, Writer, len_u64};
use crate::digest::Digest;
use crate::directory::RECORD;
use crate::disk::{DiskError, File};
use crate::key::KeyId;
use crate::limit::{SEQUENCE_MAX, SIZE_MAX};

const FORMAT: u64 = 1;
/// Bytes of the file that are looked at.
const LEN: usize = 512;
/// Bytes of BLAKE3 that guard it.
const GUARD: usize = 16;
/// How often a reader looks again: it may have read while the writer wrote.
const TRIES: usize = 100;

/// Who writes: what tells one writer from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writing {
    /// A hash that stands for the machine.
    pub host: [u8; 16],
    /// What the kernel drew when it started.
    pub boot: [u8; 16],
    /// The key that signs entries.
    pub key: KeyId,
    /// The process.
    pub process: u32,
}

/// How far the files go for sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) chain_id: Digest,
    /// The last segment.
    pub(crate) ordinal: u64,
    /// Bytes of it that are durable.
    pub(crate) length: u64,
    /// Entries that are durable.
    pub(crate) size: u64,
    /// Digest of the last of them.
    pub(crate) head: Digest,
    /// Where in the last segment the last seal is, if there is one.
    pub(crate) seal: Option<u64>,
    pub(crate) epoch: u64,
    pub(crate) writing: Option<Writing>,
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::over(Vec::with_capacity(LEN));
        w.array(12).uint(FORMAT).bytes(self.chain_id.as_bytes()).uint(self.ordinal);
        w.uint(self.length).uint(self.size).bytes(self.head.as_bytes());
        match self.seal {
            Some(at) => w.uint(at),
            None => w.null(),
        };
        w.uint(self.epoch);
        match &self.writing {
            Some(Writing { host, boot, key, process }) => {
                w.bytes(host).bytes(boot).bytes(key.as_bytes()).uint(u64::from(*process));
            }
            None => {
                w.null().null().null().null();
            }
        }
        let body = w.into_bytes();
        // The body has some 200 bytes.
        let [.., a, b] = len_u64(body.len()).to_be_bytes();
        let guarded = [&[a, b], body.as_slice()].concat();
        let guard = blake3::hash(&guarded);
        [&guarded, guard.as_bytes().get(..GUARD).unwrap_or_default()].concat()
    }

    /// The record in these bytes; nothing if there is none that is whole. One of another format is an error: what it says is not known,
    /// and must not be written over as if it said nothing.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(body) = Self::guarded(bytes) else { return Ok(None) };
        let r = &mut Reader::new(body);
        let format = r.array().and_then(|_| r.uint()).unwrap_or(0);
        if format != FORMAT {
            let what = format!("expected format {FORMAT}, found {format}");
            let advice = "use the sigchain that wrote it, or a newer one";
            return Err(DiskError::new("LEDGER_FILES", RECORD, what, advice)
                .into_io(io::ErrorKind::Unsupported));
        }
        Ok(Self::parse_body(body).ok())
    }

    fn guarded(bytes: &[u8]) -> Option<&[u8]> {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (body, guard) = (rest.get(..length)?, rest.get(length..)?.get(..GUARD)?);
        let found = blake3::hash(bytes.get(..length.checked_add(2)?)?);
        if found.as_bytes().get(..GUARD)? != guard {
            return None;
        }
        Some(body)
    }

    fn parse_body(body: &[u8]) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(body);
        r.array_exact(12)?;
        r.uint()?;
        let chain_id = Digest::new(r.bytes_exact()?);
        let ordinal = r.uint_max(SEQUENCE_MAX)?;
        let (length, size) = (r.uint()?, r.uint_max(SIZE_MAX)?);
        let head = Digest::new(r.bytes_exact()?);
        let seal = r.or_null(Reader::uint)?;
        let epoch = r.uint_max(SEQUENCE_MAX)?;
        let host = r.or_null(Reader::bytes_exact)?;
        let boot = r.or_null(Reader::bytes_exact)?;
        let key = r.or_null(Reader::bytes_exact)?.map(KeyId::new);
        let process = r.or_null(|r| r.uint_max(u64::from(u32::MAX)))?;
        let process = process.and_then(|process| u32::try_from(process).ok());
        r.finish()?;
        let writing = match (host, boot, key, process) {
            (Some(host), Some(boot), Some(key), Some(process)) => {
                Some(Writing { host, boot, key, process })
            }
            _ => None,
        };
        Ok(Self { chain_id, ordinal, length, size, head, seal, epoch, writing })
    }

    /// Writes it, and gives its bytes. It is not synced.
    pub(crate) fn write(&self, file: &dyn File) -> io::Result<Vec<u8>> {
        let bytes = self.encode();
        file.write_at(&bytes, 0).map(|()| bytes)
    }

    /// Reads it; nothing if what is there is none, as after a power cut.
    pub(crate) fn read(file: &dyn File) -> io::Result<Option<Self>> {
        for _ in 0..TRIES {
            let mut bytes = [0; LEN];
            let mut len = 0;
            while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
                let count = file.read_at(rest, len_u64(len))?;
                if count == 0 {
                    break;
                }
                len = len.saturating_add(count);
            }
            if let Some(record) = Self::parse(bytes.get(..len).unwrap_or_default())? {
                return Ok(Some(record));
            }
            std::thread::yield_now();
        }
        Ok(None)
    }
}
