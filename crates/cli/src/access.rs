//! Who took what out of a ledger, as entries of the ledger itself: `access.export`, `access.sample`, `access.verify`; and the policy by
//! which a ledger demands such an entry. spec/auditors.md describes both.

use std::fs;
use std::io;

use serde_json::{Map, Value};
use sigchain::directory::Directory;
use sigchain::event::Event;
use sigchain::frame::Written;
use sigchain::limit::FieldError;
use sigchain::payload::{Part, Payload};
use sigchain::select::Filter;

use crate::args::{RecordOptions, Selection, SignerOptions};
use crate::exit::{REFUSED, UNCERTAIN};
use crate::json::object;
use crate::ledger;
use crate::trouble::Trouble;

/// The type of the entries that say what is demanded; the last one holds.
pub(crate) const POLICY: &str = "access.policy";

/// Where the system lists its users.
const USERS: &str = "/etc/passwd";

/// What is done with a ledger's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Export,
    Sample,
    Verify,
}

impl Act {
    /// The word for it in a policy, and in the type of its entries.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Sample => "sample",
            Self::Verify => "verify",
        }
    }
}

/// What a ledger demands to be recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Policy {
    /// The words of the last policy; none if there is no policy.
    words: Option<Vec<String>>,
    /// Whether its payload cannot be read.
    is_unreadable: bool,
}

impl Policy {
    /// Takes note of an entry. They come in order.
    fn note(&mut self, written: &Written<'_>) {
        if written.fields.event_type != POLICY {
            return;
        }
        let words = match &written.part {
            Part::Whole(leaf) => words(&leaf.bytes),
            _ => None,
        };
        self.is_unreadable = words.is_none();
        self.words = words;
    }

    /// Of a ledger, by its last policy: read before anything else is done, at a million entries a second, and not verified.
    fn of(directory: &Directory) -> io::Result<Self> {
        let filter = Filter::new().event_type(POLICY).map_err(io::Error::other)?;
        let mut policy = Self::default();
        for written in filter.select(directory)? {
            policy.note(&written?);
        }
        Ok(policy)
    }

    fn demands(&self, act: Act) -> bool {
        let is_listed = |words: &Vec<String>| words.iter().any(|word| word == act.word());
        // What cannot be read may have demanded it.
        self.is_unreadable || self.words.as_ref().is_some_and(is_listed)
    }
}

/// Refuses what the ledger wants to be recorded and is not going to be. If that cannot be read, something is wrong with the ledger: the
/// trouble is given back, to be raised if verification does not find a better word for it.
pub(crate) fn check(
    directory: &Directory,
    act: Act,
    options: &RecordOptions,
) -> Result<Option<Trouble>, Trouble> {
    if options.purpose.is_some() {
        return Ok(None);
    }
    let policy = match Policy::of(directory) {
        Ok(policy) => policy,
        Err(error) => {
            let what = format!("what the ledger demands to be recorded cannot be read: {error}");
            let next = "nothing was taken out; sigchain verify LEDGER says more";
            return Ok(Some(Trouble::unreadable(what, "a ledger that can be read", next)));
        }
    };
    if !policy.demands(act) {
        return Ok(None);
    }
    let why = if policy.is_unreadable {
        "its last access.policy cannot be read, and may demand that this is recorded"
    } else {
        "its last access.policy demands that this is recorded"
    };
    let what = format!("ACCESS_POLICY: no {} of this ledger without a record: {why}", act.word());
    let next = "say what it is for: --record PURPOSE; nothing was taken out";
    Err(Trouble::of_ledger(REFUSED, what, "--record PURPOSE", next))
}

/// Refuses to record in a file.
pub(crate) fn only_in_a_ledger(options: &RecordOptions) -> Result<(), Trouble> {
    if options.purpose.is_some() {
        let what = "--record with a file, to which nothing can be appended";
        return Err(Trouble::usage(what, "a ledger, which is a directory"));
    }
    Ok(())
}

/// What a policy requires: `{"require":["export",...]}`, other keys aside.
fn words(bytes: &[u8]) -> Option<Vec<String>> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let words = value.get("require")?.as_array()?.iter();
    words.map(|word| word.as_str().map(str::to_owned)).collect()
}

/// Which entries something was about, as JSON: what was selected, by the names of the flags.
pub(crate) fn selection(selection: &Selection) -> Value {
    let described = selection.described().into_iter();
    Value::Object(described.map(|(flag, words)| (flag.to_owned(), words.into())).collect())
}

/// Who somebody is who did not say so.
pub(crate) fn actor(by: Option<&String>) -> String {
    by.cloned().unwrap_or_else(|| format!("human:{}", user()))
}

/// Records in the ledger what is about to be taken out of it, if that was asked for; the number of the entry. `about` is what the payload
/// says of it. Anything but a receipt is trouble: then nothing may be taken out.
pub(crate) fn record(
    path: &std::path::Path,
    (options, by): (&RecordOptions, &SignerOptions),
    act: Act,
    about: Map<String, Value>,
) -> Result<Option<u64>, Trouble> {
    let Some(purpose) = &options.purpose else { return Ok(None) };
    let user = user();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut payload = about;
    let who = object([("host", host.into()), ("user", user.as_str().into())]);
    payload.insert("by".to_owned(), who);
    payload.insert("purpose".to_owned(), purpose.as_str().into());
    let actor = actor(options.by.as_ref());
    let event = event(act, &actor, &Value::Object(payload)).map_err(|error| {
        Trouble::usage(format!("\"{}\" is no {}", error.found, error.field), error.expected)
    })?;
    let opened = ledger::open(path, by, options.files())?;
    let appended = opened.append(event);
    let closed = ledger::close(&opened);
    let receipt = appended.map_err(|error| ledger::of_append(&error))?;
    if closed != 0 {
        let what = "the record of it may not be where everybody else looks";
        let next = "nothing was taken out; see what is said above";
        return Err(Trouble::of_ledger(UNCERTAIN, what, "a ledger that can be closed", next));
    }
    Ok(Some(receipt.sequence))
}

fn event(act: Act, actor: &str, payload: &Value) -> Result<Event, FieldError> {
    let event = Event::new(actor, &format!("access.{}", act.word()))?;
    Ok(event.payload(Payload::new("application/json", payload.to_string())?))
}

/// The name of the user who calls, as the system lists it; not as the environment says, which anybody sets.
fn user() -> String {
    let id = rustix::process::getuid().as_raw().to_string();
    let users = fs::read_to_string(USERS).unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut words = line.split(':');
        let (name, number) = (words.next()?, words.nth(1)?);
        (number == id && !name.is_empty()).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid-{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_a_list_of_words() {
        assert_eq!(words(br#"{"require":["export"],"why":1}"#), Some(vec!["export".to_owned()]));
        assert_eq!(words(br#"{"require":[]}"#), Some(Vec::new()));
        for other in [&b"{}"[..], b"{\"require\":\"export\"}", b"{\"require\":[1]}", b"", b"[]"] {
            assert_eq!(words(other), None, "{other:?}");
        }
    }
}
