//! What the program said of each event, and whether the ledger holds it: the one thing that every test here is about.
//!
//! Whatever has a receipt is in the ledger, with the same sequence and once; nothing that was refused is. The ledger verifies, goes on,
//! and no run ends but with one of the exit codes that are documented.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::disk::place::{Place, text};

/// What is known of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// With this sequence.
    Recorded(u64),
    /// It can never be there.
    Refused,
    /// It may be there.
    Unknown,
}

/// What was sent, and what was said of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    fates: BTreeMap<String, Fate>,
}

/// How a run of the program ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Nothing if it was killed.
    pub(super) exit: Option<i32>,
    /// What it said to people.
    pub(super) said: String,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// An event id that no other event of this process has.
pub(super) fn new_id() -> String {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("019a0000-0000-7000-8000-{number:012x}")
}

/// Exit codes of `append`, as its help has them.
const APPEND: &[i32] = &[0, 4, 5, 6, 7];
/// Whether what was said says what to do next, in words or in JSON.
pub(super) fn says_next(said: &str) -> bool {
    said.contains("  next: ") || said.contains("\"next\":\"")
}

/// What a process says that could not be loaded: then the program did not run.
const LOADER: i32 = 127;

impl Ended {
    /// Whether it ended as the help says, or by our own kill.
    pub(super) fn is_as_documented(&self, codes: &[i32]) -> Result<(), String> {
        let Self { exit, said } = self;
        match exit {
            // The standard library's own: no kernel fails to close a directory.
            Some(101) if said.contains("unexpected error during closedir") => Ok(()),
            _ if said.contains("panicked at") => Err(format!("it panicked: {said}")),
            Some(LOADER) if said.contains("error while loading shared libraries") => Ok(()),
            Some(code) if !codes.contains(code) => Err(format!("exit code {code}: {said}")),
            // Where standard error takes nothing, or the outcomes have said it.
            Some(5 | 6) if said.starts_with("closed, but not cleanly: ") => Ok(()),
            Some(code) if *code >= 4 && !said.is_empty() && !says_next(said) => {
                Err(format!("exit code {code}, and not what to do next: {said}"))
            }
            _ => Ok(()),
        }
    }
}

impl Book {
    /// Notes an event that is on its way.
    pub(super) fn send(&mut self, id: &str) {
        self.fates.insert(id.to_owned(), Fate::Unknown);
    }

    /// Notes an outcome of `append --lines`, whose `ref` is the event's id.
    pub(super) fn hear(&mut self, outcome: &Value) -> Result<(), String> {
        let reference = outcome["ref"].as_str().unwrap_or_default();
        let Some(fate) = self.fates.get_mut(reference) else {
            return Err(format!("an outcome of what nobody sent: {outcome}"));
        };
        if *fate != Fate::Unknown {
            return Err(format!("two outcomes: {fate:?}, and {outcome}"));
        }
        *fate = match (&outcome["ok"], outcome["sequence"].as_u64()) {
            (Value::Bool(true), Some(sequence)) if outcome["event_id"] == reference => {
                Fate::Recorded(sequence)
            }
            (Value::Bool(false), None) => Fate::Refused,
            (Value::Null, None) if outcome["code"] == "UNCERTAIN" => Fate::Unknown,
            _ => return Err(format!("no outcome: {outcome}")),
        };
        Ok(())
    }

    /// Notes how `append --lines` ended that was given these events.
    pub(super) fn end(&mut self, ended: &Ended, sent: &[String]) -> Result<(), String> {
        ended.is_as_documented(APPEND)?;
        let recorded = |id: &String| matches!(self.fates[id], Fate::Recorded(_));
        if ended.exit == Some(0) && !sent.iter().all(recorded) {
            return Err(format!("exit code 0, and not everything is recorded: {self:?}"));
        }
        // spec/lines.md: a line without an outcome was then not recorded.
        if ended.exit.is_some_and(|code| code != 6) {
            for id in sent {
                let fate = self.fates.get_mut(id).unwrap();
                if *fate == Fate::Unknown {
                    *fate = Fate::Refused;
                }
            }
        }
        Ok(())
    }

    pub(super) fn recorded(&self) -> usize {
        self.fates.values().filter(|fate| matches!(fate, Fate::Recorded(_))).count()
    }

    /// Whether what a reader sees agrees with it. `whole` says that it must see all of it.
    fn compare(&self, place: &Place, whole: bool) -> Result<(), String> {
        let output = place.run(&["log", "led", "--json", "--all"]);
        is_exit("log", &output, &[0])?;
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        let mut size = 0;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let entry: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
            let id = entry["event_id"].as_str().unwrap_or_default().to_owned();
            if entry["sequence"].as_u64() != Some(size) {
                return Err(format!("expected entry {size}, found {entry}"));
            }
            if found.insert(id.clone(), size).is_some() {
                return Err(format!("event {id} is there twice"));
            }
            size += 1;
        }
        for (id, fate) in &self.fates {
            match (*fate, found.get(id)) {
                (Fate::Recorded(sequence), Some(at)) if sequence == *at => {}
                (Fate::Recorded(sequence), None) if !whole && sequence >= size => {}
                (Fate::Refused, None) | (Fate::Unknown, _) => {}
                (_, at) => {
                    return Err(format!("event {id} is {fate:?}, and found at {at:?} of {size}"));
                }
            }
        }
        Ok(())
    }

    /// Whether a ledger that is left alone is sound: what is there can be read, and agrees.
    pub(super) fn is_sound(&self, place: &Place) -> Result<(), String> {
        is_exit("verify", &place.run(&["verify", "led"]), &[0, 3])?;
        self.compare(place, false)
    }

    /// Whether it is sound, goes on, and then has all that it must have.
    pub(super) fn goes_on(&mut self, place: &Place, more: &[&str]) -> Result<(), String> {
        self.is_sound(place)?;
        let id = new_id();
        self.send(&id);
        let event =
            ["append", "led", "--type", "a.c", "--actor", "agent:b", "--event-id", &id, "--json"];
        let output = place.run(&[&event, more].concat());
        is_exit("append", &output, &[0])?;
        let mut outcome: Value =
            serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
        outcome["ref"] = id.into();
        self.hear(&outcome)?;
        is_exit("verify", &place.verify(), &[0])?;
        self.compare(place, true)
    }
}

fn is_exit(what: &str, output: &Output, codes: &[i32]) -> Result<(), String> {
    let said = text(output);
    match output.status.code() {
        Some(code) if codes.contains(&code) && !said.contains("panicked at") => Ok(()),
        code => Err(format!("{what} afterwards, exit code {code:?}: {said}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::disk::book::{Book, Ended, new_id};
    use crate::disk::place::Place;

    /// What this is for: a book that says something else than the ledger is noticed.
    #[test]
    fn a_book_that_differs_is_noticed() {
        let place = Place::new();
        let mut book = Book::default();
        book.goes_on(&place, &[]).unwrap();
        for (ok, sequence) in
            [(json!(true), json!(9)), (json!(true), json!(1)), (json!(true), json!(3))]
        {
            let (mut book, id) = (book.clone(), new_id());
            book.send(&id);
            let outcome = json!({"ok": ok, "ref": id, "event_id": id, "sequence": sequence});
            book.hear(&outcome).unwrap();
            book.goes_on(&place, &[]).unwrap_err();
        }
        // What is there, and was refused.
        let refused = new_id();
        let args = ["append", "led", "--type", "a.c", "--actor", "a", "--event-id", &refused];
        assert!(place.run(&args).status.success());
        book.send(&refused);
        book.clone().goes_on(&place, &[]).unwrap();
        let ended = |exit: i32| Ended { exit: Some(exit), said: "  next: ".to_owned() };
        book.clone().end(&ended(0), std::slice::from_ref(&refused)).unwrap_err();
        book.clone().end(&ended(101), &[]).unwrap_err();
        book.clone().end(&ended(1), &[]).unwrap_err();
        book.end(&ended(5), std::slice::from_ref(&refused)).unwrap();
        book.is_sound(&place).unwrap_err();
    }
}
