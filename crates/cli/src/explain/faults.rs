//! Faults: what each may come from, and what to do. What it means stands with the code, in the library.

use sigchain::fault::Code;

const KEEP: &str = "Keep the file as it is, find out where it went through other hands, and compare it with a copy from before.";
const COPY: &str = "Get the file again from where it came from, and compare: a second copy that is intact settles it.";
const KEYS: &str = "sigchain key show LEDGER lists the keys. Find out who had this one, and when; an operator can revoke it.";
const WRITER: &str =
    "No correct writer does this. Find out which program wrote it, and report it to its maker.";
const ANCHOR: &str = "Believe what you held. Find the copy that goes on from it; this one has lost or changed history.";

/// What it may come from, and what to do next.
pub(super) fn words(code: Code) -> Option<(&'static str, &'static str)> {
    of_files(code).or_else(|| of_keys(code)).or_else(|| of_chain(code))
}

fn of_files(code: Code) -> Option<(&'static str, &'static str)> {
    Some(match code {
        Code::FileHeader => {
            ("A transfer that changed or cut the beginning; a disk error; an edit.", COPY)
        }
        Code::FileMagic => (
            "Another kind of file was named; or a transfer in text mode changed its first bytes.",
            "Name the chain file, the JSON lines or the directory of the ledger itself.",
        ),
        Code::FileVersion => (
            "A newer sigchain wrote it.",
            "Verify it with the sigchain that wrote it, or a newer one.",
        ),
        Code::FileTrailing => (
            "Something was added behind the end: a second file, a line of a log, a transfer that went wrong.",
            KEEP,
        ),
        Code::FrameBody | Code::FrameHead => {
            ("A disk error, a transfer that changed bytes, or somebody who edited them.", KEEP)
        }
        Code::FrameCut | Code::TrailerMissing => (
            "A copy that was broken off, a disk that was full, or somebody who cut the end away.",
            "Get the whole file. An export has a trailer; what ends without it may lack any number of entries.",
        ),
        Code::FrameMalformed | Code::EntryMalformed => {
            ("A program that writes another format, or bytes that were made by hand.", WRITER)
        }
        Code::FrameOrder | Code::TrailerCount => (
            "Frames were taken out, added or exchanged; or a writer that does not keep the format.",
            KEEP,
        ),
        Code::GapUnresolved => (
            "A range was declared lost, and no operator has resolved it.",
            "Ask the operator what happened: a chain.resolved entry has to name the range and why.",
        ),
        Code::PayloadMismatch => (
            "The payload was edited, or exchanged for another; the entry itself may be untouched.",
            "Believe the commitment, not the payload. A copy of the file from before has the right one.",
        ),
        Code::ReservedPayload => (
            "The payload of an entry on which keys hang was withheld, cut out or is of another form.",
            WRITER,
        ),
        _ => return None,
    })
}

fn of_keys(code: Code) -> Option<(&'static str, &'static str)> {
    Some(match code {
        Code::Approval => (
            "No operator approved it; or the approval is of another change, another chain, or was used before.",
            "Have an operator approve this very change: sigchain key approve PROPOSAL --operator-key FILE.",
        ),
        Code::CheckpointSignature | Code::SealSignature | Code::AnchorSignature => (
            "The key had ended or is another chain's; or the statement was changed after it was signed.",
            KEYS,
        ),
        Code::KeyCompromised => (
            "The key was stolen and revoked; these entries stand beyond what was declared trustworthy.",
            "Treat them as unattributable. What happened then has to be shown by other evidence.",
        ),
        Code::KeyDuplicate => (
            "A key was enrolled twice, or an operator's key as a key of the chain.",
            "Take a key that is not in use in this chain, as whatever.",
        ),
        Code::KeyEnded => (
            "Somebody went on signing with a key after it was rotated or revoked: an old process, or a thief.",
            KEYS,
        ),
        Code::KeyInvalid => (
            "A key that was made so that verifiers disagree about its signatures, or bytes that are no key.",
            "Nobody makes such a key by accident. Find out who enrolled it.",
        ),
        Code::KeyPossession => (
            "Somebody enrolled a key that they do not have; or the change was proposed for another chain.",
            "Propose it again where the new key is, for this chain.",
        ),
        Code::KeyRole => (
            "A checkpoint key signed an entry, or an entry key a checkpoint: keys were mixed up.",
            "Give the ledger the key of the right role; sigchain key show LEDGER lists them.",
        ),
        Code::KeyState => (
            "The key to be ended is not there, has ended already, or belongs to another writer.",
            "sigchain key show LEDGER lists the keys; name one that is active.",
        ),
        Code::KeyTrusted => (
            "The checkpoint that was named as trustworthy is of another chain or another branch.",
            "Name a checkpoint of this very chain, signed before the key was stolen.",
        ),
        Code::KeyUnknown => {
            ("Forged entries, or a writer with a key that was never enrolled.", KEYS)
        }
        Code::Signature => (
            "The entry was changed after it was signed, or was never signed by this key: an edit, or a forgery.",
            KEEP,
        ),
        _ => return None,
    })
}

fn of_chain(code: Code) -> Option<(&'static str, &'static str)> {
    Some(match code {
        Code::Abandoned => (
            "The list of abandoned entries was changed, or entries were dropped without being listed.",
            KEEP,
        ),
        Code::AnchorAhead => {
            ("The end was cut away, or an older copy was put in the place of this one.", ANCHOR)
        }
        Code::AnchorChain => (
            "The wrong file, or the wrong chain id; or a chain that was begun anew under the old name.",
            "Compare the id with the line that sigchain init printed.",
        ),
        Code::AnchorRoot => (
            "History was rewritten, by somebody who had the keys; or two copies went on separately.",
            "Believe what you held. sigchain verify FILE --against COPY shows where the two part, and proves a fork.",
        ),
        Code::Batch => ("Entries of a batch were taken out, or entries set between them.", KEEP),
        Code::ChainId => ("A header or a change of another chain was put here.", COPY),
        Code::CheckpointOrigin | Code::CheckpointRoot | Code::CheckpointSize => (
            "A checkpoint of another chain or branch was put into the file, or entries before it were changed.",
            KEEP,
        ),
        Code::EventId => (
            "Two writers that went on from one state, or a writer that does not look for the id first.",
            "See both entries with sigchain show. If they are the same event, it was recorded twice.",
        ),
        Code::Erasure => (
            "A payload was taken out without an entry that authorises it, or that entry is of other entries.",
            "Ask who took it out: an erasure is an entry of its own, by whoever may.",
        ),
        Code::Genesis => (
            "The first entry was taken away or exchanged, or two chains were put into one file.",
            COPY,
        ),
        Code::Link => (
            "Entries were changed, moved, inserted or deleted by somebody who could not sign again.",
            KEEP,
        ),
        Code::SealMismatch => {
            ("Entries before the seal were changed, or the seal is of another branch.", KEEP)
        }
        Code::Sequence => ("Entries were deleted, doubled or put in another order.", KEEP),
        Code::Stamp => (
            "Entries were put in another order, or a writer whose clock went backwards wrote them.",
            KEEP,
        ),
        _ => return None,
    })
}
