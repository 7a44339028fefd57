//! Digests: 32 bytes of SHA-256 in a named domain.
//!
//! Every hashed structure of the format is a CBOR array that begins with its domain, so that bytes hashed as one
//! thing can never be read as another.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::codec::Writer;
use crate::text;

/// 32 bytes of SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// 32 zero bytes: what stands before entry 0.
    pub const ZERO: Self = Self([0; 32]);

    /// A digest that was computed elsewhere.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// SHA-256 of the parts, one after the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// SHA-256 of what was written.
    pub fn of_cbor(writer: &Writer) -> Self {
        Self::of(&[writer.as_bytes()])
    }

    /// Parses 64 hexadecimal digits, or 43 characters of base64url.
    pub fn parse(text: &str) -> Option<Self> {
        text::parse_binary(text).map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T33: NIST's known answers, FIPS 180-4.
    #[test]
    fn known_answers() {
        for (message, hex) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            assert_eq!(Digest::of(&[message.as_bytes()]).to_string(), hex);
        }
        let million = vec![b'a'; 1_000_000];
        let hex = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(Digest::of(&[&million]).to_string(), hex);
    }
}
