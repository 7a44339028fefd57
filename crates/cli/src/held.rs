//! What the user held before: keys, a chain id, checkpoints, each from the command line or a small file.

use std::ffi::OsStr;
use std::path::Path;

use sigchain::checkpoint::{self, Checkpoint, NOTE_MAX};
use sigchain::digest::Digest;
use sigchain::key::{KeyId, PublicKey};
use sigchain::text;
use sigchain::verify::Anchors;

use crate::args::Options;
use crate::input;
use crate::trouble::Trouble;

/// Bytes of a public key file; a PEM has 113, a vkey some 200.
const KEY_FILE_MAX: usize = 4096;
/// What stands before the 32 bytes of an Ed25519 key in an SPKI: two sequences, the OID 1.3.101.112, a bit string.
pub(crate) const SPKI: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key that the user named.
#[derive(Debug)]
pub(crate) struct HeldKey {
    pub(crate) id: KeyId,
    /// The key itself, unless only its id was given.
    pub(crate) public: Option<PublicKey>,
    /// The origin that a vkey is for.
    pub(crate) origin: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) chain_id: Option<Digest>,
    pub(crate) keys: Vec<HeldKey>,
    pub(crate) checkpoints: Vec<Checkpoint>,
}

impl Held {
    pub(crate) fn load(options: &Options) -> Result<Self, Trouble> {
        let mut keys: Vec<HeldKey> = Vec::new();
        for given in &options.keys {
            keys.push(key(given)?);
        }
        let mut checkpoints: Vec<Checkpoint> = Vec::new();
        for path in &options.checkpoints {
            checkpoints.push(note(path)?);
        }
        Ok(Self { chain_id: options.chain_id, keys, checkpoints })
    }

    /// As the verifier of chains takes them: there a key is named by its id, whatever form it came in.
    pub(crate) fn anchors(&self) -> Anchors {
        let mut anchors = Anchors::default();
        anchors.chain_id = self.chain_id;
        anchors.checkpoints.clone_from(&self.checkpoints);
        anchors.keys = self.keys.iter().map(|key| key.id).collect();
        anchors.keys.sort_unstable();
        anchors.keys.dedup();
        anchors
    }
}

fn note(path: &Path) -> Result<Checkpoint, Trouble> {
    let bytes = input::read_small(path, NOTE_MAX)?;
    Checkpoint::parse(&bytes).map_err(|error| {
        Trouble::unreadable(
            format!("\"{}\" is no checkpoint, at byte {}", input::name(path), error.at),
            &format!("{}; found {}", error.expected, error.found),
            "give the note as it was kept, with its empty line and signature lines",
        )
    })
}

fn key(given: &OsStr) -> Result<HeldKey, Trouble> {
    if let Some(text) = given.to_str() {
        if let Some(id) = KeyId::parse(text) {
            return Ok(HeldKey { id, public: None, origin: None });
        }
        if let Some(key) = parse_vkey(text) {
            return key.map_err(|found| unparsable(text, found));
        }
    }
    let path = Path::new(given);
    let bytes = input::read_small(path, KEY_FILE_MAX).map_err(|trouble| {
        trouble.expecting("a key id (32 hex digits), a vkey NAME+HEX+BASE64, or a public key file that can be read")
    })?;
    let parsed = std::str::from_utf8(&bytes).map_err(|_| "bytes that are no text");
    let parsed = parsed.and_then(|text| {
        parse_vkey(text.trim_end()).unwrap_or_else(|| {
            let public = parse_pem(text)?;
            Ok(HeldKey { id: public.id(), public: Some(public), origin: None })
        })
    });
    parsed.map_err(|found| unparsable(&input::name(path), found))
}

fn unparsable(name: &str, found: &str) -> Trouble {
    Trouble::unreadable(
        format!("\"{name}\" is no public key: found {found}"),
        "a key id, a vkey NAME+HEX+BASE64, or a file with -----BEGIN PUBLIC KEY----- of one Ed25519 key",
        "`openssl pkey -in KEY -pubout` writes such a file",
    )
}

/// A key from what a PEM or vkey holds. One on which verifiers disagree is none.
fn public_key(bytes: &[u8]) -> Result<PublicKey, &'static str> {
    let bytes = <&[u8; 32]>::try_from(bytes).map_err(|_| "a key of another length")?;
    PublicKey::from_bytes(bytes).map_err(|_| "a key on whose signatures verifiers disagree")
}

/// `None` if it does not look like a vkey at all.
fn parse_vkey(text: &str) -> Option<Result<HeldKey, &'static str>> {
    let (origin, rest) = text.split_once('+')?;
    let (hash, data) = rest.split_once('+')?;
    text::parse_hex::<4>(hash)?;
    let bytes = text::parse_base64(data)?;
    let parsed = match bytes.split_first() {
        Some((0x01, bytes)) => public_key(bytes),
        _ => Err("a vkey of another algorithm"),
    };
    Some(parsed.and_then(|public| {
        // The four bytes of hash bind name and key; a vkey that was pieced together does not come out the same.
        if checkpoint::vkey(origin, &public) != text {
            return Err("a vkey whose hash is of another name or key");
        }
        Ok(HeldKey { id: public.id(), public: Some(public), origin: Some(origin.to_owned()) })
    }))
}

fn parse_pem(text: &str) -> Result<PublicKey, &'static str> {
    if text.contains("PRIVATE KEY-----") {
        return Err("a private key, which no verifier needs");
    }
    let mut lines = text.lines().map(str::trim_end).skip_while(|line| line.is_empty());
    if lines.next() != Some("-----BEGIN PUBLIC KEY-----") {
        return Err("another first line");
    }
    let mut base64 = String::new();
    loop {
        match lines.next() {
            Some("-----END PUBLIC KEY-----") => break,
            Some(line) => base64.push_str(line),
            None => return Err("no end line"),
        }
    }
    if lines.any(|line| !line.is_empty()) {
        return Err("more than one key");
    }
    let der = text::parse_base64(&base64).ok_or("text that is no base64")?;
    public_key(der.strip_prefix(&SPKI).ok_or("a key of another algorithm")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigchain::key::SigningKey;

    fn pem(bytes: &[u8]) -> String {
        let der = [&SPKI[..], bytes].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", text::base64(&der))
    }

    #[test]
    fn pem_is_the_44_bytes_and_nothing_else() {
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let good = pem(key.public().as_bytes());
        assert_eq!(parse_pem(&good).unwrap().id(), key.id());
        assert_eq!(parse_pem(&good.replace('\n', "\r\n")).unwrap().id(), key.id());
        assert!(parse_pem(&pem(&[0; 32])).is_err(), "small order");
        assert!(parse_pem(&pem(&[1; 31])).is_err());
        assert!(parse_pem(&good.repeat(2)).is_err());
        assert!(parse_pem(good.trim_end_matches("-----\n")).is_err());
        assert!(parse_pem(&key.to_pem().unwrap()).is_err(), "a private key");
    }

    #[test]
    fn a_vkey_binds_its_name() {
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let vkey = checkpoint::vkey("example.org/x", key.public());
        assert_eq!(parse_vkey(&vkey).unwrap().unwrap().id, key.id());
        assert!(parse_vkey(&vkey.replace("/x", "/y")).unwrap().is_err());
        assert!(parse_vkey("a+b.pem").is_none());
    }
}
