//! Errors: why a call could not be done. Each code that the library or this program gives, with what it means, may come from, and what
//! to do.

/// Code, meaning, likely causes, next step.
pub(super) type Words = (&'static str, &'static str, &'static str, &'static str);

/// Those that an append or the opening of a ledger gives.
const OF_LEDGER: &[Words] = &[
    (
        "ABANDONED",
        "An entry before this one was given up, and this one with it.",
        "A signer failed, or the disk refused a write.",
        "Append it again: nothing of it is in the chain.",
    ),
    (
        "BATCH_SIZE",
        "A batch of no events, or of more than a batch may have.",
        "A program that collects too long.",
        "Divide it.",
    ),
    (
        "ARCHIVE_DIFFERS",
        "An archive is not what it should be: faulty, of another chain or range, or not what left the ledger.",
        "A file that was damaged or changed, or that another ledger's archives were mixed with.",
        "Take the archive from another copy. Nothing has left the ledger or come back for it.",
    ),
    (
        "CLOCK",
        "The clock gives no stamp that the chain can take.",
        "The wall clock shows a time before 2020 or after 2100, or jumped by more than a day while the ledger was open.",
        "See to the machine's clock: sigchain doctor. If the new time is right, open the ledger again.",
    ),
    (
        "EVENT_ID_AHEAD",
        "The event id is of the future.",
        "A clock that is wrong where the id was made, or an id that was made up.",
        "Make ids with the present time.",
    ),
    (
        "EVENT_ID_BUSY",
        "Another call with the same event id is under way.",
        "A retry that came before the first attempt was answered.",
        "Append it again.",
    ),
    (
        "EVENT_ID_INCOMPARABLE",
        "The event id is in the chain, and whether for the same event cannot be told any more.",
        "The payload of the first was erased or is withheld.",
        "If this is a retry it is recorded: append nothing. Else give it an id of its own.",
    ),
    (
        "EVENT_ID_USED",
        "The event id is in the chain, for another event.",
        "An id that was used twice.",
        "If this is a retry it is recorded: append nothing. Else give it an id of its own.",
    ),
    (
        "EVENT_ILL_FORMED",
        "The event is not of the form that its type has: a field is missing or of another form, or it says another class of capture.",
        "Whoever recorded it does not keep to spec/events.md. What is named is where: a JSON pointer into the payload.",
        "Mend it after spec/events.md and spec/events/; or take a type of a family of your own, into which nobody looks.",
    ),
    (
        "EXPOSED",
        "Too many entries are durable and not at every anchor yet.",
        "The anchor cannot be written: a full disk, rights, a checkpoint key that is not at hand.",
        "See to the anchor ($SIGCHAIN_HOME), and append it again; sigchain doctor LEDGER says what is wrong.",
    ),
    (
        "FIELD",
        "A field of the event is not as the format wants it.",
        "A name with other characters, a text that is too long, a time that is none.",
        "Mend the field that the message names.",
    ),
    (
        "LEDGER_BEHIND",
        "The ledger ends before what this machine has anchored of it.",
        "A backup was put back, the end was cut, or the disk lost what it had acknowledged.",
        "Change nothing. Bring back the newest copy of the directory; sigchain verify LEDGER shows how far this one goes.",
    ),
    (
        "LEDGER_BESIDE",
        "The anchor knows other entries than are here: this is another branch.",
        "A copy of the ledger was written elsewhere with the same keys.",
        "Change nothing. Find the copy that went on: sigchain verify LEDGER --against COPY.",
    ),
    (
        "LEDGER_BUSY",
        "Another writer holds the ledger.",
        "Another process appends to it; or one that was stopped and still holds the lock.",
        "Use that one, wait (--wait SECONDS), or end it. sigchain doctor LEDGER says which process it is.",
    ),
    (
        "LEDGER_CLOSED",
        "The ledger is closed, or closing.",
        "The process is ending.",
        "Open the ledger again.",
    ),
    (
        "LEDGER_CUT",
        "Entries that were durable are gone.",
        "Somebody cut a file, or a disk lost what it had acknowledged.",
        "Change nothing. Bring the files back from a copy; sigchain verify LEDGER shows what is left.",
    ),
    (
        "LEDGER_DAMAGED",
        "Entries that were durable are damaged.",
        "A disk error, or somebody who edited the files.",
        "Change nothing. sigchain verify LEDGER names the place; bring the file back from a copy.",
    ),
    (
        "LEDGER_FAILED",
        "An earlier write failed, and nothing has been written since.",
        "A disk that was full or failed.",
        "See to the disk, then open the ledger again: it goes on behind what is durable.",
    ),
    (
        "LEDGER_FENCED",
        "Somebody else writes this chain: an anchor knows their entries in the place of some of these.",
        "A copied directory, a cloned machine, or a writer that was paused while another took its place.",
        "Stop writing here. Find the copy that went on, and compare: sigchain verify LEDGER --against COPY.",
    ),
    (
        "LEDGER_FILES",
        "The files in the directory are not such as a ledger has.",
        "Another directory was named; files were removed or renamed; a newer sigchain wrote them.",
        "Name the directory of the ledger; bring back what is missing from a copy.",
    ),
    (
        "LEDGER_FOREIGN",
        "The files end with something that no crash of this ledger leaves.",
        "Frames of another chain or program were put there.",
        "Change nothing. sigchain verify LEDGER names the place; find out who could write there.",
    ),
    (
        "LEDGER_FORKED",
        "This process was forked from the one that opened the ledger.",
        "A server that opens the ledger before it forks its workers.",
        "Open a ledger in the new process, or append in the old.",
    ),
    (
        "LEDGER_QUARANTINED",
        "Something is wrong with the ledger, and nobody has resolved that yet: it is read and exported, and takes no events.",
        "What was found when it was opened or scrubbed, or that somebody halted it. It stays so whatever is done to its files.",
        "sigchain quarantine show LEDGER says what; sigchain help quarantine what to do. To remove its folder quarantine does not help.",
    ),
    (
        "LEDGER_STOPPED",
        "The ledger could not be opened to decide its quarantine.",
        "Its keys are not at hand, its anchors do not answer, or something else is wrong with it by now.",
        "Mend what the message names, and decide again: it stays quarantined until then.",
    ),
    (
        "NOT_QUARANTINED",
        "There is no quarantine that could be shown or decided.",
        "The ledger is sound as far as it knows, or the quarantine was resolved by somebody else.",
        "Nothing. sigchain status LEDGER says how it stands.",
    ),
    (
        "QUARANTINE_LOG",
        "The log of the quarantine cannot be gone on with: it is gone or damaged.",
        "Somebody removed or changed files in its folder quarantine, or a copy was restored without it.",
        "Keep the note elsewhere. The decision itself (reconcile, dismiss) can still be made, and carries a text.",
    ),
    (
        "QUARANTINE_SOURCE",
        "The source that was given does not have what is damaged or gone here.",
        "A copy that is too old, one of another chain, or one that is damaged in the same place.",
        "Give another copy, or an export with these entries. Nothing was changed.",
    ),
    (
        "QUARANTINE_STATE",
        "What was asked for cannot be done with the quarantine as it stands.",
        "The chain has ended and another continues it, or the decision was made already.",
        "sigchain quarantine show LEDGER says what goes on in its place.",
    ),
    (
        "QUARANTINE_UNPROVED",
        "The ledger does not verify as it is now, or no checkpoint that was held vouches for it: it stays quarantined.",
        "The original bytes are not all back, or the anchors of this machine are gone too.",
        "Bring back the newest copy of its directory, or give an export (--from), and a checkpoint kept elsewhere (--checkpoint).",
    ),
    (
        "LEDGER_LOST",
        "A chain was here, and is not here any more.",
        "The directory was removed or emptied, or its disk is not mounted.",
        "Bring it back from a copy. If it is meant to be gone: sigchain forget LEDGER.",
    ),
    (
        "LEDGER_PANICKED",
        "Something panicked while the ledger was at work.",
        "A defect, in a signer, a store or here.",
        "Open the ledger again, and report the message that came with the panic.",
    ),
    (
        "LEDGER_MOVED",
        "Entries were archived or brought back since the ledger was opened.",
        "sigchain archive or restore, in another process.",
        "Do it again: whoever opens the ledger now reads it as it is.",
    ),
    (
        "LEDGER_TAKEN",
        "Another writer has written here although this one held the lock.",
        "A file system whose locks do not hold, such as a network's.",
        "Have one writer, on a disk of this machine; then open the ledger again.",
    ),
    (
        "LINE",
        "A line of append --lines is no event.",
        "Another key than those of spec/lines.md, or no JSON.",
        "Mend the line; all others are as if it had not been there.",
    ),
    (
        "LINE_LENGTH",
        "A line of append --lines is too long.",
        "A payload that is too large, or input without line feeds.",
        "Shorten it, or keep the large part elsewhere and record its digest.",
    ),
    (
        "NOT_INSTALLED",
        "No ledger was installed for record.",
        "A program that records before it has opened its ledger, or after its guard is gone.",
        "Call sigchain::install first and keep its guard.",
    ),
    (
        "QUEUE_FULL",
        "There is no room in the queue.",
        "Events come faster than they can be signed and synced.",
        "Wait, and append it again; sigchain bench says what this machine can do.",
    ),
    (
        "RANDOMNESS",
        "The system gave no random bytes.",
        "A sandbox without getrandom(2).",
        "See to the system's random source.",
    ),
    (
        "REFUSED",
        "Refused: nothing of it is recorded.",
        "The message says why.",
        "Do what it says; do not act until there is a receipt.",
    ),
    (
        "REVIEW",
        "A review is not decided, or does not allow what is asked.",
        "It is decided or used already, its deadline has passed (which is a veto), it is about another action or another actor, or \
         whoever would decide is who asked or is to act.",
        "See how it stands: sigchain review list LEDGER, sigchain show LEDGER EVENT. If it is over, ask for another one.",
    ),
    (
        "SIGNER_FAILED",
        "The signer failed.",
        "An agent that ended, is locked, or whose user did not confirm.",
        "See to the signer (ssh-add -l) and append it again.",
    ),
    (
        "SIGNER_FALSE",
        "The signer gave a signature that its key does not accept.",
        "A defective signer, or a fault in the machine's arithmetic.",
        "Do not use this signer until it is known why.",
    ),
    (
        "SIGNER_PANICKED",
        "The signer panicked.",
        "A defect in it.",
        "See to the signer and append it again.",
    ),
    (
        "SIGNER_TIME",
        "The signer did not answer in its time.",
        "An agent that waits for somebody to confirm, or hangs.",
        "See to the signer and append it again.",
    ),
    (
        "STORE_REFUSED",
        "The store wrote nothing, or could not be read.",
        "A disk that is full or fails.",
        "Make room or mend the disk, and append it again.",
    ),
    (
        "UNCERTAIN",
        "It may or may not be recorded.",
        "A write or a sync failed part-way.",
        "sigchain show LEDGER EVENT says whether it is there; or append it again with the same --event-id.",
    ),
];

/// Those of files and places.
const OF_FILES: &[Words] = &[
    (
        "ANCHOR_CHAIN",
        "A claim at an anchor is of another chain than its place says.",
        "Files of anchors were moved or copied by hand.",
        "Find out who wrote there, and set the file aside.",
    ),
    (
        "ANCHOR_DAMAGED",
        "A claim at an anchor is no checkpoint.",
        "Somebody wrote into $SIGCHAIN_HOME/anchors; no crash does this.",
        "Find out who wrote there, and set the file aside.",
    ),
    (
        "ANCHOR_LOST",
        "Claims that this writer built on are no longer at the anchor.",
        "$SIGCHAIN_HOME was removed or set back.",
        "Bring it back from a copy, or open the ledger again.",
    ),
    (
        "FS_EXISTS",
        "There is something of that name already, and nothing is overwritten.",
        "A name that was used before.",
        "Give another name, or move the old one away yourself.",
    ),
    (
        "FS_FULL",
        "The disk is full, or the quota is used up.",
        "Too little room.",
        "Make room. The ledger goes on by itself once there is some.",
    ),
    (
        "FS_HANDLES",
        "The process cannot have more files open.",
        "A low limit, and a ledger with many segments.",
        "ulimit -n, or LimitNOFILE= of the service.",
    ),
    (
        "FS_KIND",
        "A directory where a file is needed, or the other way round, a link, a FIFO or a device.",
        "Another path was meant; or somebody exchanged it.",
        "Give the thing itself; look at who could write there.",
    ),
    (
        "FS_LINKS",
        "A file of the ledger has more than one name.",
        "A backup with hard links, or somebody who keeps a way in.",
        "Remove the other names.",
    ),
    (
        "FS_MEMORY",
        "A file system in memory: a restart takes the chain with it.",
        "/tmp or /dev/shm.",
        "Put it on a disk; --allow-memory where you know why.",
    ),
    (
        "FS_MISSING",
        "There is nothing of that name.",
        "A wrong path, or a disk that is not mounted.",
        "Give a path that is there.",
    ),
    (
        "FS_NETWORK",
        "A file system of another machine, whose locks and syncs may not hold.",
        "NFS, SMB, 9P, FUSE.",
        "Put it on a disk of this machine; --allow-network where you know that locks and syncs hold.",
    ),
    (
        "FS_OWNER",
        "It belongs to another user.",
        "The ledger was made by root, or by another service.",
        "Run as the user whose ledger it is.",
    ),
    (
        "FS_PERMISSION",
        "The rights do not allow it, or allow too many others in.",
        "Another user, or a mode that is open to the group.",
        "Run as the user whose it is; chmod 700 for directories, 600 for files.",
    ),
    (
        "FS_READ_ONLY",
        "The file system is mounted read-only.",
        "A disk error made the system do so, or it is meant to be.",
        "See dmesg; mount it writable.",
    ),
    (
        "FS_UNREADABLE",
        "The disk does not give these bytes.",
        "A bad block, or a device that is gone.",
        "See to the disk (dmesg, smartctl): this says nothing of what was recorded. Copy what can be read.",
    ),
    (
        "INDEX_DAMAGED",
        "An index is not what was written.",
        "A disk error. Nothing of the record is in it.",
        "Remove the directory index of the ledger; it is made again from the segments.",
    ),
    (
        "INDEX_MISSING",
        "An index does not cover all segments.",
        "It is still being made, or was removed.",
        "Open the ledger: it is made again from the segments.",
    ),
    (
        "IO_ERROR",
        "The system could not read or write.",
        "A device that fails, or what the message names.",
        "See dmesg, and the disk.",
    ),
    (
        "MIRROR_AHEAD",
        "The mirror has an entry that the ledger does not have.",
        "The ledger was set back; the mirror may be all that shows it.",
        "Find out which of the two is right before anything is moved.",
    ),
    (
        "MIRROR_BUSY",
        "Somebody else writes a mirror here.",
        "Two ledgers with one directory for mirrors.",
        "Give each ledger a directory of its own.",
    ),
    (
        "MIRROR_OTHER",
        "It is the mirror of another chain.",
        "Two ledgers with one directory for mirrors.",
        "Give each ledger a directory of its own.",
    ),
    (
        "MIRROR_PLACE",
        "The mirror's directory is within the ledger's, or around it.",
        "A path that was chosen too near.",
        "Give the mirror a directory of its own.",
    ),
    (
        "PLACE_DAMAGED",
        "What is noted of this place at the anchor is another text.",
        "Somebody wrote into $SIGCHAIN_HOME/places.",
        "Find out who wrote there, and set the file aside.",
    ),
    (
        "PLACE_INVALID",
        "What is to be noted of this place does not fit.",
        "A path that is very long.",
        "Give a shorter path.",
    ),
    (
        "PLACE_TAKEN",
        "Another chain was made at this place.",
        "A directory that was used before.",
        "If that chain is meant to be gone: sigchain forget LEDGER.",
    ),
];

/// Those of this program.
const OF_PROGRAM: &[Words] = &[
    (
        "AGENT",
        "The OpenSSH agent did not do it.",
        "No agent, a locked one, a key that it does not hold, somebody who did not confirm.",
        "ssh-add -l lists its keys; ssh-add FILE adds one; ssh-add -X unlocks it.",
    ),
    (
        "ANSWER_NO",
        "The answer is no.",
        "The message says to what.",
        "Read the answer; sigchain explain 1.",
    ),
    (
        "CHANGE_FILE",
        "The file is no change of keys.",
        "A file that was edited or cut on the way, or another one.",
        "Bring it over again, as sigchain key wrote it.",
    ),
    (
        "KEY_FILE",
        "A key file or the directory of keys cannot be used.",
        "Its mode lets others in, it belongs to another user, it is a link, or it needs another passphrase.",
        "The message names the command that mends it.",
    ),
    (
        "KEY_MISSING",
        "No key of this chain that may sign this is at hand.",
        "Another user or another machine has it, or $SIGCHAIN_HOME points elsewhere.",
        "Set SIGCHAIN_HOME to where sigchain init put the keys, copy the file there, mode 600, or name the agent's key: --signer agent:",
    ),
    (
        "PASSPHRASE",
        "There is no passphrase where one is needed.",
        "No terminal to ask at, or a file that is empty.",
        "--passphrase-file FILE.",
    ),
    (
        "UNREADABLE",
        "Something that is needed cannot be read or written.",
        "The message names it.",
        "Check the name and your rights.",
    ),
    (
        "USAGE",
        "The call makes no sense.",
        "A flag or a command that is not there, or two that exclude each other.",
        "sigchain help COMMAND.",
    ),
];

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Words> {
    OF_LEDGER.iter().chain(OF_FILES).chain(OF_PROGRAM)
}
