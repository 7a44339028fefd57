//! Keys: enrolled, rotated, lost, stolen; approvals that count and approvals that do not.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use sigchain::chainfile::Form;
use sigchain::digest::Digest;
use sigchain::event::Event;
use sigchain::fault::Code;
use sigchain::frame::Frame;
use sigchain::key::{KeyId, Role, Signature, SigningKey};
use sigchain::reserved::{KeyRecord, Predecessor, Reason, Reserved, Trusted};

use super::Vector;
use crate::support::{
    Build, Draft, Genesis, checkpoint_key, entry_key, event_id, key, operator_hashes, operator_key,
    second_entry_key, second_operator_key,
};

fn accepted(name: &'static str, comment: &'static str, build: &mut Build) -> Vector {
    build.trailer();
    Vector::intact(name, comment, build.chain_id, build.file(Form::ChainFile))
}

fn refused(
    name: &'static str,
    comment: &'static str,
    fault: (Code, Option<u64>),
    build: &mut Build,
) -> Vector {
    build.trailer();
    Vector::refused(name, comment, fault, build.file(Form::ChainFile))
}

fn ordinary(key: SigningKey) -> Draft<'static> {
    Draft::new(Event::new("agent:planner", "agent.note").unwrap()).key(key)
}

/// The record of a key for the next entry of a chain.
fn record(build: &Build, key: &SigningKey, role: Role) -> KeyRecord {
    KeyRecord::new(key, role, &build.chain_id, event_id(build.sequence))
}

fn approved(build: &Build, reserved: Reserved, by: &[SigningKey]) -> Reserved {
    let id = event_id(build.sequence);
    by.iter().fold(reserved, |reserved, key| reserved.approved_by(key, &build.chain_id, id))
}

fn enroll(build: &mut Build, new: &SigningKey, role: Role, by: &[SigningKey]) {
    let reserved = Reserved::Enroll { approvals: Vec::new(), key: record(build, new, role) };
    let reserved = approved(build, reserved, by);
    build.reserved(&reserved);
}

fn rotation(
    build: &Build,
    old: KeyId,
    new: &SigningKey,
    role: Role,
    by: &[SigningKey],
) -> Reserved {
    let key = record(build, new, role);
    approved(build, Reserved::Rotate { approvals: Vec::new(), key, old }, by)
}

fn revocation(
    build: &Build,
    key: KeyId,
    reason: Reason,
    trusted: Option<u64>,
    by: &[SigningKey],
) -> Reserved {
    let nodes = build.nodes();
    let leaves = |i: u64| build.leaf(i);
    let consistency =
        trusted.map_or(Vec::new(), |size| nodes.consistency(size, build.size(), &leaves).unwrap());
    let trusted = trusted.map(|size| Trusted { size, root: build.root_at(size) });
    let reserved = Reserved::Revoke { approvals: Vec::new(), consistency, key, reason, trusted };
    approved(build, reserved, by)
}

fn started() -> Build {
    let mut build = Build::new();
    build.events(3);
    build
}

pub fn all() -> Vec<Vector> {
    let mut vectors = life();
    vectors.extend(theft());
    vectors.extend(signers());
    vectors.extend(records());
    vectors.extend(approvals());
    vectors.extend(genesis());
    vectors
}

fn life() -> Vec<Vector> {
    let new = second_entry_key();
    let mut several = started();
    enroll(&mut several, &new, Role::Entry, &[]);
    several.push(ordinary(new.clone())).event().push(ordinary(new.clone()));
    let mut rotated = started();
    let rotate = rotation(&rotated, entry_key().id(), &new, Role::Entry, &[]);
    rotated.reserved(&rotate).push(ordinary(new.clone()));
    let mut lost = started();
    let rotate = rotation(&lost, entry_key().id(), &new, Role::Entry, &[operator_key()]);
    lost.push(Draft::reserved(&rotate).key(new.clone())).push(ordinary(new.clone()));
    let revoke = revocation(&lost, entry_key().id(), Reason::Lost, None, &[second_operator_key()]);
    lost.push(Draft::reserved(&revoke).key(new.clone())).push(ordinary(new));
    let mut checkpoints = started();
    let next = key(13);
    let rotate =
        rotation(&checkpoints, checkpoint_key().id(), &next, Role::Checkpoint, &[checkpoint_key()]);
    checkpoints.checkpoint().reserved(&rotate).event();
    let signed = checkpoints.checkpoint_at(checkpoints.size(), &next);
    checkpoints.frame(Frame::Checkpoint(signed)).unsigned_trailer();
    let mut operators = started();
    let changed =
        Reserved::Operators { approvals: Vec::new(), operators: operator_hashes(&[key(14)]) };
    let changed = approved(&operators, changed, &[operator_key()]);
    operators.reserved(&changed);
    enroll(&mut operators, &key(15), Role::Checkpoint, &[key(14)]);
    let checkpoint_rotated = Vector::intact(
        "checkpoint-key-rotated",
        "the new checkpoint key signs from the next size on",
        checkpoints.chain_id,
        checkpoints.file(Form::ChainFile),
    );
    vec![
        accepted("keys-several", "two keys sign in turn", &mut several),
        accepted("key-rotated", "the old key hands over to the new one", &mut rotated),
        accepted(
            "key-lost",
            "the new key signs its own enrolment, an operator approves",
            &mut lost,
        ),
        checkpoint_rotated,
        accepted("key-operators", "new operators, approved by an old one", &mut operators),
    ]
}

fn theft() -> Vec<Vector> {
    let new = second_entry_key();
    let stolen = |late: bool, trusted: u64| {
        let mut build = started();
        enroll(&mut build, &second_entry_key(), Role::Entry, &[]);
        if late {
            build.event();
        }
        build.push(ordinary(second_entry_key()));
        let by = [operator_key()];
        let revoke = revocation(&build, entry_key().id(), Reason::Compromised, Some(trusted), &by);
        build.push(Draft::reserved(&revoke).key(second_entry_key()));
        build.push(ordinary(second_entry_key()));
        build
    };
    let mut by_itself = started();
    let by = [operator_key()];
    let revoke = revocation(&by_itself, entry_key().id(), Reason::Compromised, Some(4), &by);
    by_itself.reserved(&revoke);
    let mut checkpoints = started();
    checkpoints.checkpoint();
    let revoke = revocation(&checkpoints, checkpoint_key().id(), Reason::Compromised, Some(2), &by);
    checkpoints.reserved(&revoke).unsigned_trailer();
    let bytes = checkpoints.file(Form::ChainFile);
    let mut rewritten = started();
    enroll(&mut rewritten, &new, Role::Entry, &[]);
    let mut revoke = revocation(&rewritten, entry_key().id(), Reason::Compromised, Some(3), &[]);
    if let Reserved::Revoke { trusted: Some(trusted), .. } = &mut revoke {
        trusted.root = Digest::of(&[b"what the operator saw"]);
    }
    let revoke = approved(&rewritten, revoke, &by);
    rewritten.push(Draft::reserved(&revoke).key(new));
    let fault = (Code::KeyCompromised, Some(7));
    vec![
        accepted(
            "key-compromised-in-time",
            "nothing by the key beyond the trusted size",
            &mut stolen(false, 5),
        ),
        refused("key-compromised", "an entry beyond the trusted size", fault, &mut stolen(true, 5)),
        refused(
            "key-compromised-signs-its-end",
            "the stolen key signs its own revocation",
            (Code::KeyCompromised, Some(4)),
            &mut by_itself,
        ),
        Vector::refused(
            "key-compromised-checkpoint",
            "a checkpoint beyond the trusted size",
            (Code::KeyCompromised, Some(4)),
            bytes,
        ),
        refused(
            "key-trusted",
            "the operator saw another history",
            (Code::KeyTrusted, Some(5)),
            &mut rewritten,
        ),
    ]
}

fn signers() -> Vec<Vector> {
    let mut unknown = started();
    unknown.push(ordinary(key(99)));
    let mut role = started();
    role.push(ordinary(checkpoint_key()));
    let mut ended = started();
    let rotate = rotation(&ended, entry_key().id(), &second_entry_key(), Role::Entry, &[]);
    ended.reserved(&rotate).event();
    let mut revoked = started();
    enroll(&mut revoked, &second_entry_key(), Role::Entry, &[]);
    let by = [operator_key()];
    let revoke = revocation(&revoked, entry_key().id(), Reason::Superseded, None, &by);
    revoked.push(Draft::reserved(&revoke).key(second_entry_key())).event();
    vec![
        refused(
            "key-unknown",
            "signed by a key of no chain",
            (Code::KeyUnknown, Some(4)),
            &mut unknown,
        ),
        refused(
            "key-role",
            "an entry signed by a checkpoint key",
            (Code::KeyRole, Some(4)),
            &mut role,
        ),
        refused(
            "key-ended",
            "signed by a key that was rotated away",
            (Code::KeyEnded, Some(5)),
            &mut ended,
        ),
        refused(
            "key-revoked",
            "signed by a key that was revoked",
            (Code::KeyEnded, Some(6)),
            &mut revoked,
        ),
    ]
}

/// The next entry enrols this public key, with a proof of no worth.
fn enrols(public: [u8; 32]) -> Build {
    let mut build = started();
    let proof = Signature::new([0; 64]);
    let key = KeyRecord { public, role: Role::Entry, proof };
    build.reserved(&Reserved::Enroll { approvals: Vec::new(), key });
    build
}

fn records() -> Vec<Vector> {
    let torsion = EIGHT_TORSION[1];
    let honest = CompressedEdwardsY(*second_entry_key().public().as_bytes()).decompress().unwrap();
    let mut non_canonical = [0xff; 32];
    non_canonical[0] = 0xee;
    non_canonical[31] = 0x7f;
    let mut twice = started();
    enroll(&mut twice, &second_entry_key(), Role::Entry, &[]);
    enroll(&mut twice, &second_entry_key(), Role::Checkpoint, &[operator_key()]);
    let mut elsewhere = started();
    let record = KeyRecord::new(&key(20), Role::Entry, &Digest::ZERO, event_id(4));
    elsewhere.reserved(&Reserved::Enroll { approvals: Vec::new(), key: record });
    let mut other_role = started();
    let mut record = record_for(&other_role, 20);
    record.role = Role::Checkpoint;
    let reserved = Reserved::Enroll { approvals: Vec::new(), key: record };
    let reserved = approved(&other_role, reserved, &[operator_key()]);
    other_role.reserved(&reserved);
    let invalid = (Code::KeyInvalid, Some(4));
    vec![
        refused(
            "key-small-order",
            "a key whose signatures anybody can make",
            invalid,
            &mut enrols(torsion.compress().to_bytes()),
        ),
        refused(
            "key-mixed-order",
            "a key on which verifiers disagree",
            invalid,
            &mut enrols((honest + torsion).compress().to_bytes()),
        ),
        refused(
            "key-non-canonical",
            "a second encoding of a point",
            invalid,
            &mut enrols(non_canonical),
        ),
        refused(
            "key-duplicate",
            "a key enrolled twice, for another role",
            (Code::KeyDuplicate, Some(5)),
            &mut twice,
        ),
        refused(
            "key-possession-of-other-chain",
            "a proof for another chain",
            (Code::KeyPossession, Some(4)),
            &mut elsewhere,
        ),
        refused(
            "key-possession-of-other-role",
            "a proof for another role",
            (Code::KeyPossession, Some(4)),
            &mut other_role,
        ),
    ]
}

fn record_for(build: &Build, seed: u8) -> KeyRecord {
    record(build, &key(seed), Role::Entry)
}

fn approvals() -> Vec<Vector> {
    let at = Some(4);
    let with = |reserved: &dyn Fn(&Build) -> Reserved| {
        let mut build = started();
        let reserved = reserved(&build);
        build.reserved(&reserved);
        build
    };
    let enrolls = |by: Vec<SigningKey>| {
        with(&|build| {
            let key = record(build, &key(20), Role::Checkpoint);
            approved(build, Reserved::Enroll { approvals: Vec::new(), key }, &by)
        })
    };
    let mut false_one = with(&|build| {
        let reserved =
            rotation(build, checkpoint_key().id(), &key(20), Role::Checkpoint, &[operator_key()]);
        let Reserved::Rotate { mut approvals, key, old } = reserved else { panic!("a rotation") };
        approvals[0].signature = Signature::new([0; 64]);
        Reserved::Rotate { approvals, key, old }
    });
    let mut replayed = started();
    enroll(&mut replayed, &key(20), Role::Checkpoint, &[operator_key()]);
    let id = event_id(4);
    let again = KeyRecord::new(&key(21), Role::Entry, &replayed.chain_id, id);
    let again = Reserved::Enroll { approvals: Vec::new(), key: again };
    let again = again.approved_by(&operator_key(), &replayed.chain_id, id);
    replayed.push(Draft::reserved(&again).event_id(id));
    let mut revoke_unknown =
        with(&|build| revocation(build, key(20).id(), Reason::Lost, None, &[operator_key()]));
    let mut other_role = with(&|build| {
        rotation(build, entry_key().id(), &key(20), Role::Checkpoint, &[operator_key()])
    });
    let mut by_third = started();
    enroll(&mut by_third, &second_entry_key(), Role::Entry, &[]);
    let rotate = rotation(&by_third, entry_key().id(), &key(20), Role::Entry, &[]);
    by_third.push(Draft::reserved(&rotate).key(second_entry_key()));
    vec![
        accepted(
            "approval-by-checkpoint-key",
            "an active checkpoint key enrols another",
            &mut enrolls(vec![checkpoint_key()]),
        ),
        refused(
            "approval-missing",
            "a checkpoint key that nobody approved",
            (Code::Approval, at),
            &mut enrolls(vec![]),
        ),
        refused(
            "approval-by-other",
            "approved by a key that may not",
            (Code::Approval, at),
            &mut enrolls(vec![entry_key()]),
        ),
        refused(
            "approval-one-of-two",
            "one that counts does not make up for one that does not",
            (Code::Approval, at),
            &mut enrolls(vec![operator_key(), entry_key()]),
        ),
        refused(
            "approval-false",
            "a false signature of an operator",
            (Code::Approval, at),
            &mut false_one,
        ),
        refused(
            "approval-replayed",
            "an approval under an event id that was used",
            (Code::Approval, Some(5)),
            &mut replayed,
        ),
        refused(
            "key-state-unknown",
            "revokes a key that was never enrolled",
            (Code::KeyState, at),
            &mut revoke_unknown,
        ),
        refused(
            "key-state-role",
            "a rotation to another role",
            (Code::KeyState, at),
            &mut other_role,
        ),
        refused(
            "key-state-signer",
            "a rotation signed by a third key",
            (Code::KeyState, Some(5)),
            &mut by_third,
        ),
    ]
}

fn genesis() -> Vec<Vector> {
    let predecessor = Predecessor {
        chain: Digest::of(&[b"before"]),
        evidence: None,
        root: Digest::of(&[b"root"]),
        size: 1,
        statement: String::new(),
    };
    let mut unapproved =
        Build::genesis(&Genesis { predecessor: Some(predecessor), ..Genesis::default() });
    let mut needless =
        Build::genesis(&Genesis { approvers: vec![operator_key()], ..Genesis::default() });
    let mut by_checkpoint_key = Build::genesis(&Genesis {
        keys: vec![(checkpoint_key(), Role::Checkpoint), (entry_key(), Role::Entry)],
        ..Genesis::default()
    });
    let mut both = Build::genesis(&Genesis {
        keys: vec![(entry_key(), Role::Entry), (operator_key(), Role::Checkpoint)],
        ..Genesis::default()
    });
    let mut later = started();
    enroll(&mut later, &operator_key(), Role::Entry, &[]);
    let mut as_operator = started();
    let listed = operator_hashes(&[entry_key()]);
    let changed = Reserved::Operators { approvals: Vec::new(), operators: listed };
    let changed = approved(&as_operator, changed, &[operator_key()]);
    as_operator.reserved(&changed);
    let mut twice = Build::genesis(&Genesis {
        keys: vec![(entry_key(), Role::Entry), (entry_key(), Role::Checkpoint)],
        ..Genesis::default()
    });
    let at = Some(0);
    vec![
        refused(
            "genesis-unapproved",
            "a succession that no operator approved",
            (Code::Approval, at),
            &mut unapproved,
        ),
        refused(
            "genesis-approved-needlessly",
            "approvals without a predecessor",
            (Code::Approval, at),
            &mut needless,
        ),
        refused(
            "genesis-key-role",
            "signed by its checkpoint key",
            (Code::KeyRole, at),
            &mut by_checkpoint_key,
        ),
        refused(
            "genesis-key-of-operator",
            "an operator's key in another role",
            (Code::KeyDuplicate, at),
            &mut both,
        ),
        refused(
            "key-of-operator",
            "an operator's key enrolled later",
            (Code::KeyDuplicate, Some(4)),
            &mut later,
        ),
        refused(
            "operator-of-key",
            "an enrolled key becomes an operator's",
            (Code::KeyDuplicate, Some(4)),
            &mut as_operator,
        ),
        refused(
            "genesis-key-duplicate",
            "one key in two roles",
            (Code::KeyDuplicate, at),
            &mut twice,
        ),
    ]
}
