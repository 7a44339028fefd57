//! `sigchain quarantine list` and `show`: what the logs say. Nothing of it is judged by the chain here.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};
use sigchain::codec::Reader;
use sigchain::id::EventId;
use sigchain::quarantine::machine::State;
use sigchain::quarantine::{Case, Discontinuity, Entry};
use sigchain::stamp::ValidTime;

use crate::exit::NO;
use crate::json;
use crate::out::{self, safe};
use crate::quarantine::read;
use crate::trouble::Trouble;

pub(super) fn list(path: &Path, as_json: bool) -> Result<u8, Trouble> {
    let cases = read(path)?;
    if as_json {
        return print(cases.iter());
    }
    let mut text = String::new();
    for case in &cases {
        let found = case.discontinuity();
        let what = found.map_or_else(|| "its log cannot be read".to_owned(), |d| d.to_string());
        let _ = writeln!(text, "{}  {:<9}  {}", case.id, status(case), safe(&what));
    }
    if cases.is_empty() {
        text.push_str("none\n");
    }
    out::print(&text).map(|()| 0)
}

pub(super) fn one(path: &Path, id: Option<EventId>, as_json: bool) -> Result<u8, Trouble> {
    let cases = read(path)?;
    let case = match id {
        Some(id) => cases.iter().find(|case| case.id == id),
        None => cases.last(),
    };
    let Some(case) = case else {
        let what = match id {
            Some(id) => format!("there is no quarantine {id} here"),
            None => "there was never a quarantine here".to_owned(),
        };
        let next = "sigchain quarantine list LEDGER";
        return Err(Trouble::of_ledger(NO, what, "a quarantine of this ledger", next)
            .coded("NOT_QUARANTINED"));
    };
    if as_json {
        return print([case].into_iter());
    }
    out::print(&text(case)).map(|()| 0)
}

fn print<'c>(cases: impl Iterator<Item = &'c Case>) -> Result<u8, Trouble> {
    let all = cases.map(of_case).collect::<Vec<_>>();
    let whole = Map::from_iter([("quarantines".to_owned(), all.into())]);
    out::print(&json::render(whole)?).map(|()| 0)
}

/// How it stands, in a word.
fn status(case: &Case) -> &'static str {
    if case.damage.is_some() {
        return "damaged";
    }
    match case.state() {
        State::Halted => "open",
        State::Resolving => "resolving",
        State::Ended => "ended",
        State::Sound => match said(case.entries.last(), "as").as_deref() {
            Some("dismissed") => "dismissed",
            _ => "reconciled",
        },
    }
}

fn text(case: &Case) -> String {
    let mut text = format!("quarantine {}, {}\n", case.id, status(case));
    if let Some(damage) = &case.damage {
        let _ = writeln!(text, "  its log is damaged: {}", safe(damage));
    }
    for entry in &case.entries {
        let _ = writeln!(text, "  {}  {:<9}  by key {}", time(entry.at_us), entry.kind, entry.key);
        if let Some(found) = Discontinuity::parse(&entry.map) {
            let _ = writeln!(text, "    {}: {}", safe(&found.code), safe(&found.place));
            let _ = writeln!(text, "    expected {}", safe(&found.expected));
            let _ = writeln!(text, "    found    {}", safe(&found.found));
            let good = found.last_good.map_or("none".to_owned(), |n| format!("entry {n}"));
            let phase = (found.detector.name(), found.phase.name());
            let _ = writeln!(
                text,
                "    last good: {good}; at least {} affected; found by {}, phase {}",
                out::entries(found.affected),
                phase.0,
                phase.1,
            );
        }
        let words = [("by", "by"), ("text", "says"), ("as", "as")];
        for (key, word) in words {
            if let Some(said) = said(Some(entry), key) {
                let _ = writeln!(text, "    {word}: {}", safe(&said));
            }
        }
    }
    for copy in &case.copies {
        let _ = writeln!(text, "  set aside: quarantine/{}/{}", case.id, safe(copy));
    }
    if let Some(successor) = case.successor() {
        let _ = writeln!(text, "  the chain has ended; {successor} continues it");
    }
    if matches!(case.state(), State::Halted | State::Resolving) {
        text.push_str("next: sigchain help quarantine\n");
    }
    text
}

/// A quarantine, as JSON says it.
fn of_case(case: &Case) -> Value {
    let found = case.discontinuity();
    let found = found.map(|found| {
        json!({
            "affected": found.affected,
            "code": found.code,
            "detected": time(found.detected_us),
            "detector": found.detector.name(),
            "expected": found.expected,
            "found": found.found,
            "id": found.id.to_string(),
            "last_good": found.last_good,
            "phase": found.phase.name(),
            "place": found.place,
            "sequence": found.sequence,
        })
    });
    let of_entry = |entry: &Entry| {
        json!({
            "as": said(Some(entry), "as"),
            "at": time(entry.at_us),
            "by": said(Some(entry), "by"),
            "digest": entry.digest.to_string(),
            "key": entry.key.to_string(),
            "kind": entry.kind,
            "number": entry.number,
            "text": said(Some(entry), "text"),
        })
    };
    json!({
        "chain_id": case.chain_id.to_string(),
        "copies": case.copies,
        "damage": case.damage,
        "discontinuity": found,
        "id": case.id.to_string(),
        "records": case.entries.iter().map(of_entry).collect::<Vec<_>>(),
        "status": status(case),
        "successor": case.successor().map(|id| id.to_string()),
    })
}

/// What a record says under a key, if that is text.
fn said(entry: Option<&Entry>, wanted: &str) -> Option<String> {
    let r = &mut Reader::new(&entry?.map);
    for _ in 0..r.map().ok()? {
        if r.text().ok()? == wanted {
            return r.text().ok().map(str::to_owned);
        }
        r.skip().ok()?;
    }
    None
}

fn time(us: u64) -> String {
    let time = i64::try_from(us).ok().and_then(ValidTime::from_micros);
    time.map_or_else(|| format!("{us} us"), |time| time.to_string())
}
