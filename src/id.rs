//! Ids that have owners elsewhere: UUIDs of version 7 for events, W3C ids for traces and spans.

use std::fmt;

use crate::text;

/// Names an event: a UUID of version 7, and the idempotency key where the caller gives it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

impl EventId {
    /// An id from its bytes, if they are a UUID of version 7.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let [_, _, _, _, _, _, version, _, variant, ..] = bytes;
        (version >> 4 == 7 && variant >> 6 == 0b10).then_some(Self(bytes))
    }

    /// An id for an event at `millis` since 1970, from ten random bytes.
    pub fn new(millis: u64, random: [u8; 10]) -> Self {
        let [_, _, t0, t1, t2, t3, t4, t5] = millis.to_be_bytes();
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
        let (r0, r2) = (0x70 | (r0 & 0x0f), 0x80 | (r2 & 0x3f));
        Self([t0, t1, t2, t3, t4, t5, r0, r1, r2, r3, r4, r5, r6, r7, r8, r9])
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    #[cfg(feature = "std")]
    /// The same random bytes at another time.
    #[must_use]
    pub(crate) fn at(self, millis: u64) -> Self {
        let [_, _, t0, t1, t2, t3, t4, t5] = millis.to_be_bytes();
        let [_, _, _, _, _, _, rest @ ..] = self.0;
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = rest;
        Self([t0, t1, t2, t3, t4, t5, r0, r1, r2, r3, r4, r5, r6, r7, r8, r9])
    }

    /// The time in it: milliseconds since 1970.
    pub const fn millis(&self) -> u64 {
        let [t0, t1, t2, t3, t4, t5, ..] = self.0;
        u64::from_be_bytes([0, 0, t0, t1, t2, t3, t4, t5])
    }

    /// Parses the lower-case text form, 8-4-4-4-12.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 36 {
            return None;
        }
        let mut digits = String::with_capacity(32);
        for (at, c) in text.char_indices() {
            match (matches!(at, 8 | 13 | 18 | 23), c) {
                (true, '-') => {}
                (false, c) if c != '-' => digits.push(c),
                _ => return None,
            }
        }
        text::parse_hex(&digits).and_then(Self::from_bytes)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = [b'-'; 36];
        let mut digits = out.iter_mut();
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                digits.next();
            }
            for digit in text::hex_digits(*byte) {
                if let Some(place) = digits.next() {
                    *place = digit;
                }
            }
        }
        f.write_str(str::from_utf8(&out).unwrap_or_default())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

macro_rules! w3c_id {
    ($name:ident, $len:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// An id from its bytes, if they are not all zero.
            pub fn from_bytes(bytes: [u8; $len]) -> Option<Self> {
                (bytes != [0; $len]).then_some(Self(bytes))
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Parses lower-case hexadecimal.
            pub fn parse(text: &str) -> Option<Self> {
                text::parse_hex(text).and_then(Self::from_bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&text::hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

w3c_id!(TraceId, 16, "A W3C trace id: 16 bytes, not all zero.");
w3c_id!(SpanId, 8, "A W3C span id: 8 bytes, not all zero.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_are_uuids_of_version_7() {
        let id = EventId::new(1_795_150_800_250, [0xff; 10]);
        assert_eq!(
            id.to_string(),
            "019f714c-5d3a-7fff-bfff-ffffffffffff".replace("019f714c-5d3a", &id.to_string()[..13])
        );
        assert_eq!(EventId::parse(&id.to_string()), Some(id));
        assert_eq!(EventId::from_bytes(*id.as_bytes()), Some(id));
        let mut v4 = *id.as_bytes();
        v4[6] = 0x4f;
        assert_eq!(EventId::from_bytes(v4), None);
        assert_eq!(EventId::parse("0199aaaa-0000-7000-8000-00000000000G"), None);
        assert_eq!(EventId::parse("0199aaaa00000-7000-8000-0000-0000000"), None);
        assert_eq!(SpanId::from_bytes([0; 8]), None);
    }
}
