//! Payloads: bytes with a media type, and the commitment of fixed size that an entry holds of them.
//!
//! A `Payload` is what the caller gives. A `Part` is what lies beside an entry: the payload with its salts, or the
//! mark of one that was withheld or erased. Bytes are hashed as they are stored and never parsed.

use std::borrow::Cow;

use crate::codec::{DecodeError, Reader, Writer};
use crate::digest::Digest;
use crate::limit::{self, FieldError, LEAVES_MAX, PAYLOAD_MAX, SEQUENCE_MAX};

/// 16 random bytes, new for each leaf: without them a hidden value could be guessed from its hash.
pub type Salt = [u8; 16];

/// Whether bytes of a media type are JSON.
pub fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let (_, suffix) = essence.rsplit_once('+').unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json") || suffix.eq_ignore_ascii_case("json")
}

/// What the caller gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    by_field: bool,
    leaves: Vec<(String, String, Vec<u8>)>,
}

/// What a payload is made of, to look at.
#[derive(Clone, Debug)]
pub(crate) enum Media<'p> {
    /// Name, media type and bytes of each field.
    Fields(Vec<(&'p str, &'p str, &'p [u8])>),
    /// Media type and bytes.
    Whole(&'p str, &'p [u8]),
}

impl Payload {
    /// To look at it before it is committed to.
    pub(crate) fn media(&self) -> Media<'_> {
        let mut leaves =
            self.leaves.iter().map(|(name, media, bytes)| (&**name, &**media, &**bytes));
        if self.by_field {
            return Media::Fields(leaves.collect());
        }
        leaves.next().map_or(Media::Whole("", &[]), |(_, media, bytes)| Media::Whole(media, bytes))
    }

    /// Bytes committed as a whole. An empty media type says nothing about them.
    pub fn new(media_type: &str, bytes: impl Into<Vec<u8>>) -> Result<Self, FieldError> {
        let payload = Self {
            by_field: false,
            leaves: vec![(String::new(), media_type.to_owned(), bytes.into())],
        };
        payload.checked()
    }

    #[cfg(feature = "std")]
    /// In the place of a payload that was taken out of its event.
    pub(crate) const TAKEN: Self = Self { by_field: false, leaves: Vec::new() };

    /// No bytes and no media type.
    pub fn empty() -> Self {
        Self { by_field: false, leaves: vec![(String::new(), String::new(), Vec::new())] }
    }

    /// Fields (name, media type, bytes), each committed by itself, so that one can be shown and another withheld.
    pub fn by_field<'f>(
        fields: impl IntoIterator<Item = (&'f str, &'f str, &'f [u8])>,
    ) -> Result<Self, FieldError> {
        let mut leaves: Vec<_> = fields
            .into_iter()
            .map(|(name, media_type, bytes)| {
                (name.to_owned(), media_type.to_owned(), bytes.to_owned())
            })
            .collect();
        leaves.sort();
        for pair in leaves.windows(2) {
            if let [(a, ..), (b, ..)] = pair
                && a == b
            {
                return Err(FieldError::new("payload field", "each name once", a));
            }
        }
        if !(1..=LEAVES_MAX).contains(&leaves.len()) {
            let found = leaves.len().to_string();
            return Err(FieldError::new("payload", "1 to 256 fields", &found));
        }
        Self { by_field: true, leaves }.checked()
    }

    fn checked(self) -> Result<Self, FieldError> {
        for (name, media_type, _) in &self.leaves {
            if self.by_field && !limit::is_name(name) {
                let expected = "1 to 128 bytes of text without control characters";
                return Err(FieldError::new("payload field name", expected, name));
            }
            if !limit::is_media_type(media_type) {
                let expected = "at most 127 printable ASCII characters";
                return Err(FieldError::new("media type", expected, media_type));
            }
        }
        let total = self.size();
        if total > PAYLOAD_MAX {
            let found = format!("{total} bytes");
            return Err(FieldError::new("payload", "at most 16 MiB", &found));
        }
        Ok(self)
    }

    /// Bytes of all leaves together.
    pub fn size(&self) -> usize {
        self.leaves.iter().map(|(_, _, bytes)| bytes.len()).sum()
    }

    /// How many salts `salted` takes.
    pub fn leaves(&self) -> usize {
        self.leaves.len()
    }

    /// The payload with its salts, as it lies beside an entry. `salt` must give new random bytes each time.
    pub fn salted(self, mut salt: impl FnMut() -> Salt) -> Part<'static> {
        let mut leaves = self.leaves.into_iter().map(|(name, media_type, bytes)| Leaf {
            salt: salt(),
            name: self.by_field.then_some(Cow::Owned(name)),
            media_type: Cow::Owned(media_type),
            bytes: Cow::Owned(bytes),
        });
        if self.by_field {
            return Part::Fields(leaves.map(Slot::Shown).collect());
        }
        // A whole payload has exactly one leaf, by construction.
        leaves.next().map_or(Part::Withheld, Part::Whole)
    }
}

/// One committed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// Its salt.
    pub salt: Salt,
    /// Its name, if the payload is committed by field.
    pub name: Option<Cow<'a, str>>,
    /// What its bytes are; empty if nothing is said.
    pub media_type: Cow<'a, str>,
    /// The bytes, as they were committed.
    pub bytes: Cow<'a, [u8]>,
}

impl Leaf<'_> {
    /// Its leaf hash.
    pub fn hash(&self) -> Digest {
        Writer::lend(|w| {
            w.array(5).text("sigchain1/leaf\0");
            w.bytes(&self.salt).text_or_null(self.name.as_deref()).text(&self.media_type);
            w.bytes_head(self.bytes.len());
            Digest::of(&[w.as_bytes(), &self.bytes])
        })
    }

    fn into_owned(self) -> Leaf<'static> {
        Leaf {
            salt: self.salt,
            name: self.name.map(|name| Cow::Owned(name.into_owned())),
            media_type: Cow::Owned(self.media_type.into_owned()),
            bytes: Cow::Owned(self.bytes.into_owned()),
        }
    }
}

/// A leaf, or the hash in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Slot<'a> {
    /// Only its hash.
    Hidden(Digest),
    /// The leaf itself.
    Shown(Leaf<'a>),
}

/// What lies beside an entry of its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part<'a> {
    /// Cut out; the entry with this sequence says so.
    Erased(u64),
    /// Committed by field.
    Fields(Vec<Slot<'a>>),
    /// Committed as a whole.
    Whole(Leaf<'a>),
    /// Not in this file, in the word of whoever made the file.
    Withheld,
}

/// How much of a payload can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// Cut out.
    Erased,
    /// Some fields are hidden.
    Partial,
    /// All of it.
    Present,
    /// Not in this file.
    Withheld,
}

impl<'a> Part<'a> {
    /// How much of the payload can be seen.
    pub fn presence(&self) -> Presence {
        match self {
            Self::Erased(_) => Presence::Erased,
            Self::Fields(slots) if slots.iter().any(|slot| matches!(slot, Slot::Hidden(_))) => {
                Presence::Partial
            }
            Self::Fields(_) | Self::Whole(_) => Presence::Present,
            Self::Withheld => Presence::Withheld,
        }
    }

    /// Bytes of the leaves that are shown.
    pub(crate) fn shown_bytes(&self) -> usize {
        match self {
            Self::Erased(_) | Self::Withheld => 0,
            Self::Whole(leaf) => leaf.bytes.len(),
            Self::Fields(slots) => slots
                .iter()
                .map(|slot| match slot {
                    Slot::Hidden(_) => 0,
                    Slot::Shown(leaf) => leaf.bytes.len(),
                })
                .sum(),
        }
    }

    /// The commitment, if enough is there to compute it.
    pub fn commitment(&self) -> Option<Digest> {
        let mut w = Writer::over(Vec::with_capacity(64));
        match self {
            Self::Erased(_) | Self::Withheld => return None,
            Self::Whole(leaf) => {
                w.array(3).text("sigchain1/payload\0").uint(0);
                w.bytes(leaf.hash().as_bytes());
            }
            Self::Fields(slots) => {
                w.array(slots.len() + 2).text("sigchain1/payload\0").uint(1);
                for slot in slots {
                    let hash = match slot {
                        Slot::Hidden(hash) => *hash,
                        Slot::Shown(leaf) => leaf.hash(),
                    };
                    w.bytes(hash.as_bytes());
                }
            }
        }
        Some(Digest::of_cbor(&w))
    }

    #[cfg(feature = "std")]
    /// The same leaves with the salts of another part; where that one has no leaf of the same name, with a salt of zeros.
    pub(crate) fn salted_as(&self, other: &Part<'_>) -> Part<'_> {
        let salts: Vec<(Option<&str>, Salt)> = match other {
            Part::Whole(leaf) => vec![(None, leaf.salt)],
            Part::Fields(slots) => slots
                .iter()
                .filter_map(|slot| match slot {
                    Slot::Hidden(_) => None,
                    Slot::Shown(leaf) => Some((leaf.name.as_deref(), leaf.salt)),
                })
                .collect(),
            Part::Erased(_) | Part::Withheld => Vec::new(),
        };
        let with = |leaf: &Leaf<'a>| {
            let name = leaf.name.as_deref();
            let salt = salts.iter().find(|(known, _)| *known == name).map_or([0; 16], |s| s.1);
            Leaf { salt, ..leaf.clone() }
        };
        match self {
            Self::Whole(leaf) => Part::Whole(with(leaf)),
            Self::Fields(slots) => Part::Fields(
                slots
                    .iter()
                    .map(|slot| match slot {
                        Slot::Shown(leaf) => Slot::Shown(with(leaf)),
                        Slot::Hidden(hash) => Slot::Hidden(*hash),
                    })
                    .collect(),
            ),
            Self::Erased(_) | Self::Withheld => Part::Withheld,
        }
    }

    /// Hides the field of that name. Says whether there was one to hide.
    pub fn hide(&mut self, name: &str) -> bool {
        let Self::Fields(slots) = self else { return false };
        let mut hidden = false;
        for slot in slots {
            if let Slot::Shown(leaf) = slot
                && leaf.name.as_deref() == Some(name)
            {
                *slot = Slot::Hidden(leaf.hash());
                hidden = true;
            }
        }
        hidden
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Part<'static> {
        match self {
            Self::Erased(by) => Part::Erased(by),
            Self::Withheld => Part::Withheld,
            Self::Whole(leaf) => Part::Whole(leaf.into_owned()),
            Self::Fields(slots) => Part::Fields(
                slots
                    .into_iter()
                    .map(|slot| match slot {
                        Slot::Hidden(hash) => Slot::Hidden(hash),
                        Slot::Shown(leaf) => Slot::Shown(leaf.into_owned()),
                    })
                    .collect(),
            ),
        }
    }

    /// Writes the CBOR item.
    pub fn encode(&self, w: &mut Writer) {
        match self {
            Self::Erased(by) => {
                w.array(2).uint(3).uint(*by);
            }
            Self::Withheld => {
                w.array(1).uint(2);
            }
            Self::Whole(leaf) => {
                w.array(4).uint(0).bytes(&leaf.salt).text(&leaf.media_type).bytes(&leaf.bytes);
            }
            Self::Fields(slots) => {
                w.array(2).uint(1).array(slots.len());
                for slot in slots {
                    match slot {
                        Slot::Hidden(hash) => {
                            w.bytes(hash.as_bytes());
                        }
                        Slot::Shown(leaf) => {
                            let name = leaf.name.as_deref().unwrap_or_default();
                            w.array(4).bytes(&leaf.salt).text(name);
                            w.text(&leaf.media_type).bytes(&leaf.bytes);
                        }
                    }
                }
            }
        }
    }

    /// Reads the CBOR item.
    pub fn parse(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = r.at();
        let items = r.array()?;
        let form = r.uint_max(3)?;
        let part = match (form, items) {
            (0, 4) => Self::Whole(parse_leaf(r, false)?),
            (1, 2) => Self::Fields(parse_slots(r)?),
            (2, 1) => Self::Withheld,
            (3, 2) => Self::Erased(r.uint_max(SEQUENCE_MAX)?),
            _ => return Err(DecodeError::new(start, "a payload part", "another array")),
        };
        part.check_sizes().map_err(|error| DecodeError::new(start, error, "more"))?;
        Ok(part)
    }

    /// The rules that concern the leaves together: their size and the order of their names.
    pub(crate) fn check_sizes(&self) -> Result<(), &'static str> {
        if self.shown_bytes() > PAYLOAD_MAX {
            return Err("a payload of at most 16 MiB");
        }
        let Self::Fields(slots) = self else { return Ok(()) };
        let names = slots.iter().filter_map(|slot| match slot {
            Slot::Hidden(_) => None,
            Slot::Shown(leaf) => Some(&leaf.name),
        });
        if names.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err("names in ascending order") }
    }
}

fn parse_leaf<'a>(r: &mut Reader<'a>, named: bool) -> Result<Leaf<'a>, DecodeError> {
    let salt = r.bytes_exact()?;
    let name = if named {
        let start = r.at();
        let name = r.text()?;
        if !limit::is_name(name) {
            return Err(DecodeError::new(start, "a field name", "another text"));
        }
        Some(Cow::Borrowed(name))
    } else {
        None
    };
    let start = r.at();
    let media_type = r.text()?;
    if !limit::is_media_type(media_type) {
        return Err(DecodeError::new(start, "a media type", "another text"));
    }
    let bytes = Cow::Borrowed(r.bytes()?);
    Ok(Leaf { salt, name, media_type: Cow::Borrowed(media_type), bytes })
}

fn parse_slots<'a>(r: &mut Reader<'a>) -> Result<Vec<Slot<'a>>, DecodeError> {
    let count = r.array_within(1, 256)?;
    (0..count)
        .map(|_| {
            let mut probe = r.clone();
            if let Ok(hash) = probe.bytes_exact() {
                *r = probe;
                return Ok(Slot::Hidden(Digest::new(hash)));
            }
            r.array_exact(4)?;
            parse_leaf(r, true).map(Slot::Shown)
        })
        .collect()
}
