//! `sigchain doctor`: what an operator lives with, looked at one by one: what is fine, what is not, what to do.

mod disk;
mod ledger;
mod machine;

use std::fmt::Write as _;

use serde_json::{Map, json};

use crate::args::DoctorOptions;
use crate::exit;
use crate::json;
use crate::out::{self, safe};
use crate::trouble::Trouble;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    Bad,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Bad => "bad",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug)]
struct Check {
    name: &'static str,
    state: State,
    what: String,
    /// What to do, unless it is fine.
    next: Option<String>,
}

/// What was found, in the order in which it was looked at.
#[derive(Debug, Default)]
struct Findings {
    checks: Vec<Check>,
}

impl Findings {
    fn ok(&mut self, name: &'static str, what: impl Into<String>) {
        self.checks.push(Check { name, state: State::Ok, what: what.into(), next: None });
    }

    fn note(&mut self, name: &'static str, what: impl Into<String>, next: impl Into<String>) {
        let next = Some(next.into());
        self.checks.push(Check { name, state: State::Note, what: what.into(), next });
    }

    fn bad(&mut self, name: &'static str, what: impl Into<String>, next: impl Into<String>) {
        let next = Some(next.into());
        self.checks.push(Check { name, state: State::Bad, what: what.into(), next });
    }

    /// What kept something from being looked at is bad in itself.
    fn trouble(&mut self, name: &'static str, trouble: &Trouble) {
        let (code, what, next) = trouble.parts();
        let what = if what.contains(code) { what.to_owned() } else { format!("{code}: {what}") };
        self.bad(name, what, next);
    }

    fn is_healthy(&self) -> bool {
        self.checks.iter().all(|check| check.state != State::Bad)
    }
}

pub(crate) fn run(asked: &DoctorOptions) -> Result<u8, Trouble> {
    let begun = machine::Clocks::read();
    let mut findings = Findings::default();
    let path = asked.ledger.as_deref();
    machine::home(&mut findings);
    if let Some(path) = path {
        ledger::look(&mut findings, path);
    }
    disk::look(&mut findings, path);
    machine::open_files(&mut findings, path);
    machine::clock(&mut findings, begun);
    let code = if findings.is_healthy() { exit::DONE } else { exit::NO };
    let text = if asked.json { json(&findings, code)? } else { text(&findings) };
    out::print(&text).map(|()| code)
}

fn text(findings: &Findings) -> String {
    let mut text = String::new();
    for check in &findings.checks {
        let Check { name, state, what, next } = check;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<4}  {name:<15} {}", state.name(), safe(what));
        if let Some(next) = next {
            let _ = writeln!(text, "      {:<15} next: {}", "", safe(next));
        }
    }
    let count = |state| findings.checks.iter().filter(|check| check.state == state).count();
    let (bad, notes) = (count(State::Bad), count(State::Note));
    let notes = out::plural(notes.try_into().unwrap_or(u64::MAX), "note");
    let _ = match bad {
        0 => writeln!(text, "healthy, {notes}"),
        bad => writeln!(text, "unhealthy: {bad} bad, {notes}"),
    };
    text
}

fn json(findings: &Findings, exit: u8) -> Result<String, Trouble> {
    let checks = findings.checks.iter().map(|check| {
        let Check { name, state, what, next } = check;
        json!({ "check": name, "next": next, "state": state.name(), "what": what })
    });
    json::render(Map::from_iter([
        ("checks".to_owned(), checks.collect::<Vec<_>>().into()),
        ("exit".to_owned(), exit.into()),
        ("healthy".to_owned(), findings.is_healthy().into()),
    ]))
}
