//! The exit codes of all commands: one table, which the help, `explain` and the tests read.

/// Done; intact and tied to what was held.
pub(crate) const DONE: u8 = 0;
/// The answer is no.
pub(crate) const NO: u8 = 1;
/// The call makes no sense.
pub(crate) const USAGE: u8 = 2;
/// Intact as far as the file itself can show.
pub(crate) const UNVOUCHED: u8 = 3;
/// Something that is needed cannot be read or written.
pub(crate) const UNREADABLE: u8 = 4;
/// Refused: nothing of it is recorded.
pub(crate) const REFUSED: u8 = 5;
/// It may or may not be recorded.
pub(crate) const UNCERTAIN: u8 = 6;
/// Another writer holds the ledger.
pub(crate) const BUSY: u8 = 7;
/// The ledger is quarantined.
pub(crate) const QUARANTINED: u8 = 8;

/// What an exit code says, wherever it comes from.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) code: u8,
    pub(crate) meaning: &'static str,
    pub(crate) causes: &'static str,
    pub(crate) next: &'static str,
}

/// All exit codes, in their order.
pub(crate) const TABLE: &[Exit] = &[
    Exit {
        code: DONE,
        meaning: "done, or intact and tied to what you held",
        causes: "What was asked for was done. Of verify: there is no fault, and a key, a chain id or a checkpoint that you held \
                 before vouches for it.",
        next: "Nothing. What lies beyond the checkpoint that you held is named in the answer.",
    },
    Exit {
        code: NO,
        meaning: "the answer is no: faulty, missing, different, unhealthy",
        causes: "The command did its work and the answer is not the one hoped for: faults in the record, no such entry, two \
                 records that differ, a doctor who found something bad.",
        next: "Read the answer: each fault has a code, and sigchain explain CODE says more. Keep the files as they are.",
    },
    Exit {
        code: USAGE,
        meaning: "wrong call",
        causes: "A flag or a command that is not there, two that exclude each other, a value that means nothing, or an output \
                 that exists already.",
        next: "sigchain help COMMAND. Nothing was read or written.",
    },
    Exit {
        code: UNVOUCHED,
        meaning: "no fault but unvouched",
        causes: "The file agrees with itself, and nothing that you held ties it to anybody: anybody can make such a file. Or an \
                 anchor that you gave is missing from the file, or gaps in it are not proven.",
        next: "Give what you hold: --chain-id, --key or --checkpoint. --allow-self-asserted makes this 0 where you know why.",
    },
    Exit {
        code: UNREADABLE,
        meaning: "unreadable: a file, a key or a ledger cannot be read, or a file cannot be written",
        causes: "A name that is not there, rights that are missing, a disk that is full or fails, a file of another kind, a key \
                 that is not at hand.",
        next: "Mend what the message names. Nothing was judged, signed or recorded.",
    },
    Exit {
        code: REFUSED,
        meaning: "refused, nothing of it is recorded: do not act",
        causes: "The ledger does not take it: a field, a key, an approval that is missing, a disk without room, an anchor \
                 that fails.",
        next: "Do what the code's explanation says; until then the action that this belongs to must not go ahead.",
    },
    Exit {
        code: UNCERTAIN,
        meaning: "uncertain whether it is recorded",
        causes: "A write or a sync failed part-way, or those who should hear the outcome were gone.",
        next: "sigchain show LEDGER EVENT says whether it is there. Appending it again with the same --event-id records it once.",
    },
    Exit {
        code: BUSY,
        meaning: "another writer holds the ledger",
        causes: "Another process appends to it. One ledger has one writer at a time.",
        next: "Use that one, wait for it (--wait SECONDS), or end it. sigchain doctor LEDGER says which process it is.",
    },
    Exit {
        code: QUARANTINED,
        meaning: "the ledger is quarantined: it is read and exported, and takes no events",
        causes: "A fault was met when it was opened or while it ran, and nobody has resolved it yet.",
        next: "sigchain quarantine show LEDGER says what was found, sigchain help quarantine what to do: find out what happened first.",
    },
];

/// All of them in one sentence, for the help.
pub(crate) fn sentence() -> String {
    let of = |exit: &Exit| format!("{} {}", exit.code, exit.meaning);
    let all: Vec<String> = TABLE.iter().map(of).collect();
    format!("Exit codes: {}.", all.join("; "))
}

#[cfg(test)]
mod tests {
    use crate::exit::{
        BUSY, DONE, NO, QUARANTINED, REFUSED, TABLE, UNCERTAIN, UNREADABLE, UNVOUCHED, USAGE,
    };

    #[test]
    fn the_table_has_each_code_once_and_in_order() {
        let all = [DONE, NO, USAGE, UNVOUCHED, UNREADABLE, REFUSED, UNCERTAIN, BUSY, QUARANTINED];
        assert!(TABLE.iter().map(|exit| exit.code).eq(0..9));
        assert!(all.into_iter().eq(0..9));
    }
}
