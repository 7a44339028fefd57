//! Entries: an event sealed into a chain. Immutable, signed, and in existence only sealed or parsed.
//!
//! Linking and signing are two steps, so that a ledger can link under its lock and sign outside: `Linked` has its place
//! and its digest, `Entry` its signature too. There is no unsigned `Entry`.

use std::borrow::Cow;

use crate::codec::{DecodeError, Reader, Writer};
use crate::digest::Digest;
use crate::event::Event;
use crate::id::{EventId, SpanId, TraceId};
use crate::key::{KeyId, PublicKey, Purpose, Signature, SigningKey};
use crate::limit::{self, SEQUENCE_MAX};
use crate::stamp::{Stamp, ValidTime};

/// The sixteen fields that are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fields<'a> {
    /// Who acted, in the words of the caller.
    pub actor: Cow<'a, str>,
    /// The event that caused this one.
    pub causation_id: Option<EventId>,
    /// The caller's own thread of work.
    pub correlation_id: Option<Cow<'a, str>>,
    /// The episode it belongs to.
    pub episode_id: Option<Cow<'a, str>>,
    /// Names the event.
    pub event_id: EventId,
    /// What happened.
    pub event_type: Cow<'a, str>,
    /// Commitment to the payload.
    pub payload_hash: Digest,
    /// Digest of the entry before.
    pub prior_hash: Digest,
    /// Version of the event type's payload.
    pub schema_version: u16,
    /// Position in the chain.
    pub sequence: u64,
    /// The key that signed.
    pub signer_key_id: KeyId,
    /// W3C span.
    pub span_id: Option<SpanId>,
    /// Stamp.
    pub system_time: Stamp,
    /// W3C trace.
    pub trace_id: Option<TraceId>,
    /// From when the caller says it was true.
    pub valid_from: Option<ValidTime>,
    /// Until when, exclusive.
    pub valid_to: Option<ValidTime>,
}

/// Where an entry stands: what the ledger adds to an event.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Id of the chain; `Digest::ZERO` for entry 0.
    pub chain_id: Digest,
    /// Digest of the entry before.
    pub prior_hash: Digest,
    /// Position.
    pub sequence: u64,
    /// Clock reading.
    pub stamp: Stamp,
    /// The key that will sign.
    pub signer: KeyId,
}

/// An entry that has its place and its digest, and waits for its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    fields: Fields<'static>,
    digest: Digest,
}

impl Linked {
    /// Gives an event its place. `event_id` is used if the event has none of its own.
    pub fn new(event: Event, event_id: EventId, payload_hash: Digest, place: &Place) -> Self {
        let fields = Fields {
            actor: Cow::Owned(event.actor),
            causation_id: event.causation_id,
            correlation_id: event.correlation_id.map(Cow::Owned),
            episode_id: event.episode_id.map(Cow::Owned),
            event_id: event.event_id.unwrap_or(event_id),
            event_type: Cow::Owned(event.event_type),
            payload_hash,
            prior_hash: place.prior_hash,
            schema_version: event.schema_version,
            sequence: place.sequence,
            signer_key_id: place.signer,
            span_id: event.span_id,
            system_time: place.stamp,
            trace_id: event.trace_id,
            valid_from: event.valid_from,
            valid_to: event.valid_to,
        };
        let digest = fields.digest(&place.chain_id);
        Self { fields, digest }
    }

    /// The sixteen fields.
    pub fn fields(&self) -> &Fields<'static> {
        &self.fields
    }

    /// The digest to sign.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The entry, with a signature made elsewhere; `None` if the key does not accept it.
    pub fn seal(self, key: &PublicKey, signature: Signature) -> Option<Entry<'static>> {
        let accepted = key.id() == self.fields.signer_key_id
            && key.accepts(Purpose::Entry, &self.digest, &signature);
        accepted.then_some(Entry { fields: self.fields, digest: self.digest, signature })
    }

    /// The entry, signed here and now.
    ///
    /// `None` if the key is not the one that the entry names.
    pub fn sign(self, key: &SigningKey) -> Option<Entry<'static>> {
        if key.id() != self.fields.signer_key_id {
            return None;
        }
        let signature = key.sign(Purpose::Entry, &self.digest);
        Some(Entry { fields: self.fields, digest: self.digest, signature })
    }
}

/// A signed entry. Whether the signature is accepted is for verification to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    fields: Fields<'a>,
    digest: Digest,
    signature: Signature,
}

impl<'a> Entry<'a> {
    /// An entry from its parsed fields.
    pub(crate) fn from_parts(fields: Fields<'a>, signature: Signature, chain_id: &Digest) -> Self {
        let digest = fields.digest(chain_id);
        Self { fields, digest, signature }
    }

    /// Fields and signature, for a frame.
    pub(crate) fn into_parts(self) -> (Fields<'a>, Signature) {
        (self.fields, self.signature)
    }

    /// The sixteen fields.
    pub fn fields(&self) -> &Fields<'a> {
        &self.fields
    }

    /// What is signed, linked, and a leaf of the tree.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The signature.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Position in the chain.
    pub fn sequence(&self) -> u64 {
        self.fields.sequence
    }

    /// Writes the CBOR item.
    pub fn encode(&self, w: &mut Writer) {
        w.array(17);
        self.fields.encode(w);
        w.bytes(self.signature.as_bytes());
    }
}

/// The range of years that `valid_from` and `valid_to` may name, checked where the number is read.
fn read_valid(r: &mut Reader<'_>) -> Result<ValidTime, DecodeError> {
    let start = r.at();
    ValidTime::from_micros(r.int()?).ok_or(DecodeError::new(
        start,
        "a time in the years 1 to 9999",
        "another",
    ))
}

fn read_text<'a>(
    r: &mut Reader<'a>,
    fits: fn(&str) -> bool,
    expected: &'static str,
) -> Result<Cow<'a, str>, DecodeError> {
    let start = r.at();
    let text = r.text()?;
    if fits(text) {
        Ok(Cow::Borrowed(text))
    } else {
        Err(DecodeError::new(start, expected, "another text"))
    }
}

fn read_id<T, const N: usize>(
    r: &mut Reader<'_>,
    parse: fn([u8; N]) -> Option<T>,
    expected: &'static str,
) -> Result<T, DecodeError> {
    let start = r.at();
    parse(r.bytes_exact()?).ok_or(DecodeError::new(start, expected, "other bytes"))
}

impl<'a> Fields<'a> {
    /// The digest of an entry with these fields in the chain with this id (`Digest::ZERO` for entry 0).
    pub fn digest(&self, chain_id: &Digest) -> Digest {
        Writer::lend(|w| {
            w.array(18).text("sigchain1/entry\0").bytes(chain_id.as_bytes());
            self.encode(w);
            Digest::of_cbor(w)
        })
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Fields<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Fields {
            actor: owned(self.actor),
            correlation_id: self.correlation_id.map(owned),
            episode_id: self.episode_id.map(owned),
            event_type: owned(self.event_type),
            causation_id: self.causation_id,
            event_id: self.event_id,
            payload_hash: self.payload_hash,
            prior_hash: self.prior_hash,
            schema_version: self.schema_version,
            sequence: self.sequence,
            signer_key_id: self.signer_key_id,
            span_id: self.span_id,
            system_time: self.system_time,
            trace_id: self.trace_id,
            valid_from: self.valid_from,
            valid_to: self.valid_to,
        }
    }

    /// Writes the sixteen fields, without the head of an array around them.
    pub(crate) fn encode(&self, w: &mut Writer) {
        let time = |w: &mut Writer, time: Option<ValidTime>| match time {
            Some(time) => {
                w.int(time.micros());
            }
            None => {
                w.null();
            }
        };
        w.text(&self.actor)
            .bytes_or_null(self.causation_id.as_ref().map(|id| &id.as_bytes()[..]))
            .text_or_null(self.correlation_id.as_deref())
            .text_or_null(self.episode_id.as_deref())
            .bytes(self.event_id.as_bytes())
            .text(&self.event_type)
            .bytes(self.payload_hash.as_bytes())
            .bytes(self.prior_hash.as_bytes())
            .uint(u64::from(self.schema_version))
            .uint(self.sequence)
            .bytes(self.signer_key_id.as_bytes())
            .bytes_or_null(self.span_id.as_ref().map(|id| &id.as_bytes()[..]))
            .uint(self.system_time.as_u64())
            .bytes_or_null(self.trace_id.as_ref().map(|id| &id.as_bytes()[..]));
        time(w, self.valid_from);
        time(w, self.valid_to);
    }

    /// Reads the CBOR item: fields and signature.
    pub(crate) fn parse(r: &mut Reader<'a>) -> Result<(Self, Signature), DecodeError> {
        const EVENT_ID: &str = "a UUID of version 7";
        const GROUP: &str = "1 to 128 bytes of text without control characters";
        let start = r.at();
        r.array_exact(17)?;
        let fields = Self {
            actor: read_text(
                r,
                limit::is_actor,
                "1 to 256 bytes of text without control characters",
            )?,
            causation_id: r.or_null(|r| read_id(r, EventId::from_bytes, EVENT_ID))?,
            correlation_id: r.or_null(|r| read_text(r, limit::is_group, GROUP))?,
            episode_id: r.or_null(|r| read_text(r, limit::is_group, GROUP))?,
            event_id: read_id(r, EventId::from_bytes, EVENT_ID)?,
            event_type: read_text(r, limit::is_event_type, "dotted lower-case words")?,
            payload_hash: Digest::new(r.bytes_exact()?),
            prior_hash: Digest::new(r.bytes_exact()?),
            schema_version: u16::try_from(r.uint_max(0xffff)?).unwrap_or(u16::MAX),
            sequence: r.uint_max(SEQUENCE_MAX)?,
            signer_key_id: KeyId::new(r.bytes_exact()?),
            span_id: r.or_null(|r| read_id(r, SpanId::from_bytes, "a span id"))?,
            system_time: Stamp::new(r.uint()?),
            trace_id: r.or_null(|r| read_id(r, TraceId::from_bytes, "a trace id"))?,
            valid_from: r.or_null(read_valid)?,
            valid_to: r.or_null(read_valid)?,
        };
        let signature = Signature::new(r.bytes_exact()?);
        fields.check().map_err(|expected| DecodeError::new(start, expected, "another"))?;
        Ok((fields, signature))
    }

    /// The rules that concern two fields together.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.span_id.is_some() && self.trace_id.is_none() {
            return Err("a trace id with the span id");
        }
        if let (Some(from), Some(to)) = (self.valid_from, self.valid_to)
            && to <= from
        {
            return Err("a valid_to after valid_from");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signature made elsewhere is taken from the key that the entry names and from no other.
    #[test]
    fn an_entry_takes_the_signature_of_its_own_key_and_is_read_as_it_was_written() {
        let key = SigningKey::from_seed(&[1; 32]).unwrap();
        let other = SigningKey::from_seed(&[2; 32]).unwrap();
        let chain_id = Digest::new([7; 32]);
        let place = Place {
            chain_id,
            prior_hash: Digest::new([8; 32]),
            sequence: 5,
            stamp: Stamp::new(9),
            signer: key.id(),
        };
        let event = Event::new("agent:planner", "agent.note").unwrap();
        let linked = Linked::new(event, EventId::new(1, [1; 10]), Digest::new([9; 32]), &place);
        let signature = key.sign(Purpose::Entry, &linked.digest());
        let of_other = other.sign(Purpose::Entry, &linked.digest());
        assert_eq!(linked.clone().seal(key.public(), of_other), None);
        assert_eq!(linked.clone().seal(other.public(), of_other), None);
        assert_eq!(linked.clone().seal(other.public(), signature), None);
        let entry = linked.clone().seal(key.public(), signature).unwrap();
        assert_eq!(Some(&entry), linked.sign(&key).as_ref());
        let mut w = Writer::new();
        entry.encode(&mut w);
        let mut r = Reader::new(w.as_bytes());
        let (fields, signature) = Fields::parse(&mut r).unwrap();
        assert_eq!(r.finish(), Ok(()));
        assert_eq!(Entry::from_parts(fields, signature, &chain_id), entry);
    }
}
