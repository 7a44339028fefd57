//! Many signatures at once: each is decided as it is alone, whatever was done to it and to its neighbours.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::IsIdentity as _;
use sha2::{Digest as _, Sha512};
use sigchain::digest::Digest;
use sigchain::key::{PublicKey, Purpose, Signature, SigningKey};
use sigchain::text;
use sigchain::verify::batch::{self, Claim, WORTHWHILE};

use crate::keys::{challenge, join, left_out, non_canonical, raise, rule, run};
use crate::support::{Random, rounds};

/// Around the size from which the batch equation is used, and far beyond it.
const SIZES: [usize; 6] = [1, WORTHWHILE - 1, WORTHWHILE, WORTHWHILE + 1, 1000, 4096];

/// A key of which we know the scalar: it can sign with any R.
struct Signer {
    key: SigningKey,
    secret: Scalar,
}

impl Signer {
    fn new(seed: &[u8; 32]) -> Self {
        let hash = Sha512::digest(seed);
        let secret = Scalar::from_bytes_mod_order(clamp_integer(hash[..32].try_into().unwrap()));
        let key = SigningKey::from_seed(seed).unwrap();
        assert_eq!(EdwardsPoint::mul_base(&secret).compress().as_bytes(), key.public().as_bytes());
        Self { key, secret }
    }

    /// R as it is given, and S = r + ka.
    fn craft(&self, r_bytes: [u8; 32], r: Scalar, digest: &Digest) -> Signature {
        let k = challenge(&r_bytes, self.key.public().as_bytes(), &message(digest));
        join(&r_bytes, (r + k * self.secret).as_bytes())
    }

    /// With R = rB + T.
    fn shifted(&self, torsion: &EdwardsPoint, digest: &Digest, random: &mut Random) -> Signature {
        let r = scalar(random);
        self.craft((EdwardsPoint::mul_base(&r) + torsion).compress().to_bytes(), r, digest)
    }
}

fn signers(count: usize, random: &mut Random) -> Vec<Signer> {
    (0..count).map(|_| Signer::new(&random.bytes())).collect()
}

fn scalar(random: &mut Random) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&random.bytes())
}

fn message(digest: &Digest) -> Vec<u8> {
    [Purpose::Entry.prefix(), digest.as_bytes()].concat()
}

/// The encodings of the neutral element that are not canonical.
fn odd_identities() -> Vec<[u8; 32]> {
    let is_identity = |bytes: &[u8; 32]| {
        CompressedEdwardsY(*bytes).decompress().is_some_and(|point| point.is_identity())
    };
    non_canonical().into_iter().filter(is_identity).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Right,
    /// R is the neutral element, which the rule allows.
    Neutral,
    FlippedBit,
    OtherDigest,
    OtherKey,
    HighS,
    /// Right but for a part of small order in R.
    ShiftedR,
    /// R is of small order, and the rest is right.
    SmallR,
    /// R is another encoding of the neutral element, and the rest is right.
    OddNeutral,
    /// R is any encoding that is not canonical.
    OddR,
    Noise,
}

const BAD: [Kind; 9] = [
    Kind::FlippedBit,
    Kind::OtherDigest,
    Kind::OtherKey,
    Kind::HighS,
    Kind::ShiftedR,
    Kind::SmallR,
    Kind::OddNeutral,
    Kind::OddR,
    Kind::Noise,
];

impl Kind {
    fn is_right(self) -> bool {
        matches!(self, Self::Right | Self::Neutral)
    }

    /// Whether a verifier that multiplies by the cofactor, and takes any encoding, accepts it.
    fn is_right_cofactored(self) -> bool {
        self.is_right() || matches!(self, Self::ShiftedR | Self::SmallR | Self::OddNeutral)
    }

    fn any(random: &mut Random) -> Self {
        let kinds = [&[Self::Right, Self::Neutral][..], &BAD].concat();
        if random.below(2) == 0 { Self::Right } else { kinds[random.below(kinds.len())] }
    }
}

#[derive(Clone, Copy, Debug)]
struct Case<'k> {
    kind: Kind,
    claim: Claim<'k>,
}

fn case<'k>(kind: Kind, signers: &'k [Signer], random: &mut Random) -> Case<'k> {
    let signer = &signers[random.below(signers.len())];
    let mut key = signer.key.public();
    let mut digest = Digest::new(random.bytes());
    let mut signature = signer.key.sign(Purpose::Entry, &digest);
    let zero = Scalar::ZERO;
    match kind {
        Kind::Right => {}
        Kind::Neutral => {
            signature = signer.craft(EIGHT_TORSION[0].compress().to_bytes(), zero, &digest);
        }
        Kind::FlippedBit => {
            let mut bytes = *signature.as_bytes();
            bytes[random.below(64)] ^= 1 << random.below(8);
            signature = Signature::new(bytes);
        }
        Kind::OtherDigest => {
            let mut bytes = *digest.as_bytes();
            bytes[random.below(32)] ^= 1 << random.below(8);
            digest = Digest::new(bytes);
        }
        Kind::OtherKey => {
            let others: Vec<_> = signers.iter().filter(|s| s.key.id() != signer.key.id()).collect();
            key = others[random.below(others.len())].key.public();
        }
        Kind::HighS => signature = raise(&signature, 1 + random.below(14)),
        Kind::ShiftedR => {
            signature = signer.shifted(&EIGHT_TORSION[1 + random.below(7)], &digest, random);
        }
        Kind::SmallR => {
            let r = EIGHT_TORSION[1 + random.below(7)].compress().to_bytes();
            signature = signer.craft(r, zero, &digest);
        }
        Kind::OddNeutral => {
            let r = odd_identities();
            signature = signer.craft(r[random.below(r.len())], zero, &digest);
        }
        Kind::OddR => {
            let odd = odd_identities();
            let r: Vec<_> = non_canonical().into_iter().filter(|r| !odd.contains(r)).collect();
            signature = signer.craft(r[random.below(r.len())], scalar(random), &digest);
        }
        Kind::Noise => signature = Signature::new(random.bytes()),
    }
    Case { kind, claim: Claim { key, digest, signature } }
}

fn mixture<'k>(count: usize, signers: &'k [Signer], random: &mut Random) -> Vec<Case<'k>> {
    (0..count).map(|_| case(Kind::any(random), signers, random)).collect()
}

fn right<'k>(count: usize, signers: &'k [Signer], random: &mut Random) -> Vec<Case<'k>> {
    (0..count)
        .map(|i| case(if i % 50 == 7 { Kind::Neutral } else { Kind::Right }, signers, random))
        .collect()
}

/// Decides a batch, and stops at the first that is not decided as its kind is.
fn check(cases: &[Case<'_>]) {
    let claims: Vec<_> = cases.iter().map(|case| case.claim).collect();
    let decided = batch::verify(&claims);
    assert_eq!(decided.len(), cases.len());
    for (index, (case, decided)) in cases.iter().zip(decided).enumerate() {
        assert_eq!(decided, case.kind.is_right(), "{index} of {}: {case:?}", cases.len());
    }
}

fn zebra_accepts(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    let key = ed25519_zebra::VerificationKey::try_from(*key.as_bytes()).unwrap();
    key.verify(&ed25519_zebra::Signature::from(*signature.as_bytes()), message).is_ok()
}

/// [S-sig-2]
#[test]
fn a_signature_alone_is_decided_by_the_rule() {
    let mut random = Random::new(1);
    let signers = signers(8, &mut random);
    let cases = mixture(rounds(4_000, 100_000), &signers, &mut random);
    for Case { kind, claim: Claim { key, digest, signature } } in &cases {
        let message = message(digest);
        assert_eq!(key.accepts(Purpose::Entry, digest, signature), kind.is_right(), "{kind:?}");
        assert_eq!(rule(key.as_bytes(), &message, signature), kind.is_right(), "{kind:?}");
        // What is meant to divide verifiers does.
        let cofactored = kind.is_right_cofactored();
        assert_eq!(zebra_accepts(key, &message, signature), cofactored, "{kind:?}");
    }
    assert!(BAD.iter().all(|bad| cases.iter().any(|case| case.kind == *bad)));
    assert_eq!(odd_identities().len(), 3);
}

/// [S-sig-3]
#[test]
fn any_mixture_is_decided_as_one_by_one() {
    let mut random = Random::new(2);
    let signers = signers(8, &mut random);
    let cases = mixture(rounds(4_000, 100_000), &signers, &mut random);
    let mut rest = &cases[..];
    while !rest.is_empty() {
        let (batch, others) = rest.split_at(SIZES[random.below(5)].min(rest.len()));
        check(batch);
        rest = others;
    }
    check(&cases[..4_000]);
    check(&[]);
}

/// [S-sig-3]
#[test]
fn one_bad_signature_or_many_are_found_wherever_they_are() {
    let mut random = Random::new(3);
    let signers = signers(40, &mut random);
    let good = right(4096, &signers, &mut random);
    for size in SIZES {
        check(&good[..size]);
        for _ in 0..rounds(1, 5) {
            for kind in BAD {
                let mut batch = good[..size].to_vec();
                batch[random.below(size)] = case(kind, &signers, &mut random);
                check(&batch);
            }
            let mut batch = good[..size].to_vec();
            for _ in 0..random.below(size) {
                let kind = Kind::any(&mut random);
                batch[random.below(size)] = case(kind, &signers, &mut random);
            }
            check(&batch);
        }
    }
}

/// [S-sig-3]
#[test]
fn a_batch_of_as_many_keys_as_signatures_is_decided() {
    let mut random = Random::new(4);
    let signers = signers(300, &mut random);
    let mut batch: Vec<_> =
        signers.chunks(1).map(|signer| case(Kind::Right, signer, &mut random)).collect();
    check(&batch);
    // Two that sign each other's entries.
    (batch[17].claim.key, batch[200].claim.key) = (batch[200].claim.key, batch[17].claim.key);
    (batch[17].kind, batch[200].kind) = (Kind::OtherKey, Kind::OtherKey);
    check(&batch);
}

/// Puts signatures with these parts of small order in R at random places of a batch of good ones.
fn check_with_torsion(
    good: &[Case<'_>],
    signer: &Signer,
    torsions: &[EdwardsPoint],
    random: &mut Random,
) {
    let mut batch = good.to_vec();
    let mut places: Vec<usize> = Vec::new();
    while places.len() < torsions.len() {
        let place = random.below(batch.len());
        if !places.contains(&place) {
            places.push(place);
        }
    }
    for (place, torsion) in places.into_iter().zip(torsions) {
        let claim = &mut batch[place].claim;
        claim.key = signer.key.public();
        claim.signature = signer.shifted(torsion, &claim.digest, random);
        batch[place].kind = Kind::ShiftedR;
    }
    check(&batch);
}

/// [S-sig-3] The equation alone misses a part of order 2 in half of the batches, of order 8 in an eighth.
#[test]
fn a_part_of_small_order_in_one_r_is_found_every_time() {
    let mut random = Random::new(5);
    let signers = signers(3, &mut random);
    let good = right(WORTHWHILE, &signers, &mut random);
    for torsion in &EIGHT_TORSION[1..] {
        for _ in 0..rounds(24, 1_000) {
            check_with_torsion(&good, &signers[0], &[*torsion], &mut random);
        }
    }
}

/// [S-sig-3] Their sum is the neutral element: neither the sum of all R nor a sum with odd coefficients shows them.
#[test]
fn parts_of_small_order_that_cancel_are_found_every_time() {
    let mut random = Random::new(6);
    let signers = signers(3, &mut random);
    let good = right(WORTHWHILE, &signers, &mut random);
    let of_order_two =
        EIGHT_TORSION.into_iter().find(|t| (t + t).is_identity() && !t.is_identity());
    let of_order_two = of_order_two.unwrap();
    for torsion in EIGHT_TORSION.into_iter().skip(1) {
        let groups = [
            vec![torsion, -torsion],
            vec![torsion; 8],
            vec![of_order_two; 2],
            vec![torsion, torsion, -torsion - torsion],
        ];
        for group in groups {
            // Where the last is the neutral element nothing is wrong with it.
            let group: Vec<_> =
                group.into_iter().filter(|torsion| !torsion.is_identity()).collect();
            for _ in 0..rounds(8, 500) {
                check_with_torsion(&good, &signers[0], &group, &mut random);
            }
        }
    }
}

/// [S-sig-3] The sum without coefficients is right.
#[test]
fn errors_in_s_that_cancel_are_found() {
    let mut random = Random::new(7);
    let signers = signers(3, &mut random);
    let good = right(WORTHWHILE, &signers, &mut random);
    for _ in 0..rounds(16, 500) {
        let mut batch = good.clone();
        let (first, error) = (random.below(127), scalar(&mut random));
        for (place, error) in [(first, error), (first + 1, -error)] {
            let (r, s) = batch[place].claim.signature.halves();
            let s = Scalar::from_canonical_bytes(s).unwrap() + error;
            batch[place].claim.signature = join(&r, s.as_bytes());
            batch[place].kind = Kind::Noise;
        }
        check(&batch);
    }
}

const PYTHON: &str = r#"
import sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

def decide(line):
    public, message, signature = map(bytes.fromhex, line.split())
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return "0"
    return "1"

with open(sys.argv[1]) as cases:
    sys.stdout.write("".join(map(decide, cases)))
"#;

/// [S-sig-2] "What OpenSSL does": Python's cryptography is OpenSSL.
#[test]
fn openssl_decides_as_we_do() {
    if run("python3", &["-c", "import cryptography"], b"").is_none() {
        return left_out("OpenSSL's decisions: no python3 with the package cryptography");
    }
    let mut random = Random::new(8);
    let signers = signers(8, &mut random);
    let cases = mixture(rounds(500, 100_000), &signers, &mut random);
    let line = |Case { claim, .. }: &Case<'_>| {
        let (public, signature) = (claim.key.as_bytes(), claim.signature.as_bytes());
        let message = message(&claim.digest);
        [text::hex(public), text::hex(&message), text::hex(signature)].join(" ") + "\n"
    };
    let path = std::env::temp_dir().join(format!("sigchain-cases-{}", std::process::id()));
    std::fs::write(&path, cases.iter().map(line).collect::<String>()).unwrap();
    let decided = run("python3", &["-c", PYTHON, path.to_str().unwrap()], b"");
    std::fs::remove_file(&path).unwrap();
    let decided = decided.unwrap();
    assert_eq!(decided.len(), cases.len());
    for (Case { kind, claim: Claim { key, digest, signature } }, decided) in
        cases.iter().zip(decided)
    {
        let ours = key.accepts(Purpose::Entry, digest, signature);
        assert_eq!(decided == b'1', ours, "{kind:?}: {}", text::hex(signature.as_bytes()));
    }
}
