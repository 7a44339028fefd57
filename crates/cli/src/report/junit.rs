//! The report for dashboards of continuous integration: `JUnit` XML, a suite for each phase and a case for each check.

use std::fmt::Write as _;

use sigchain::fault::{Code, Fault, Phase};
use sigchain::verify::{Report, Verdict};

use crate::out::{grouped, plural, safe};
use crate::report::Subject;
use crate::verify::{Compared, anchored, missing};

/// What became of a check.
enum Outcome {
    Failed { message: String, text: String },
    Passed,
    Skipped(&'static str),
}

struct Case {
    name: String,
    outcome: Outcome,
}

pub(super) fn render(subject: &Subject<'_>) -> String {
    let mut suites = vec![
        ("content", phase(subject, Phase::Content)),
        ("chain", phase(subject, Phase::Chain)),
        ("anchors", anchors(subject)),
    ];
    let asked = asked(subject);
    if !asked.is_empty() {
        suites.push(("asked", asked));
    }
    let seconds = format!("{}.{:03}", subject.took.as_secs(), subject.took.subsec_millis());
    // Its schema knows no zone: UTC.
    let date = subject.date().replace('Z', "");
    let count = |cases: &[Case], is: fn(&Outcome) -> bool| {
        cases.iter().filter(|case| is(&case.outcome)).count()
    };
    let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed { .. });
    let all: usize = suites.iter().map(|(_, cases)| cases.len()).sum();
    let failures: usize = suites.iter().map(|(_, cases)| count(cases, failed)).sum();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let name = escape(&safe(subject.view.name));
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "<testsuites name=\"sigchain verify {name}\" tests=\"{all}\" failures=\"{failures}\" errors=\"0\" time=\"{seconds}\">"
    );
    for (suite, cases) in &suites {
        let failures = count(cases, failed);
        let skipped = count(cases, |outcome| matches!(outcome, Outcome::Skipped(_)));
        let _ = writeln!(
            out,
            " <testsuite name=\"{suite}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" \
             timestamp=\"{date}\" time=\"0\">",
            cases.len()
        );
        for case in cases {
            write(&mut out, suite, case);
        }
        out.push_str(" </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn write(out: &mut String, suite: &str, case: &Case) {
    let _ = write!(
        out,
        "  <testcase classname=\"sigchain.{suite}\" name=\"{}\" time=\"0\"",
        escape(&case.name)
    );
    let _ = match &case.outcome {
        Outcome::Passed => writeln!(out, "/>"),
        Outcome::Skipped(why) => {
            writeln!(out, "><skipped message=\"{}\"/></testcase>", escape(why))
        }
        Outcome::Failed { message, text } => writeln!(
            out,
            "><failure type=\"{}\" message=\"{}\">{}</failure></testcase>",
            escape(&case.name),
            escape(message),
            escape(text)
        ),
    };
}

/// A case for each code: what it would have found, and what it found.
fn phase(subject: &Subject<'_>, phase: Phase) -> Vec<Case> {
    let report = subject.view.report;
    let codes = Code::ALL.iter().copied().filter(|code| code.phase() == phase);
    codes
        .map(|code| Case { name: code.to_string(), outcome: of_code(subject, report, code) })
        .collect()
}

fn of_code(subject: &Subject<'_>, report: &Report, code: Code) -> Outcome {
    let Some(count) = report.counts.get(&code) else {
        return match (report.verdict(), code) {
            (Verdict::Unreadable, _) => Outcome::Skipped("the file could not be read that far"),
            (_, Code::EventId) if !report.unique => {
                Outcome::Skipped("event ids were not compared; --unique compares them")
            }
            _ => Outcome::Passed,
        };
    };
    let mut text = String::new();
    let own = |fault: &&Fault| fault.code == code;
    for fault in report.faults.iter().filter(own) {
        let place = subject.view.places.describe(fault);
        let _ = writeln!(text, "{place}: expected {}, found {}", fault.expected, fault.found);
    }
    let listed = report.faults.iter().filter(own).count();
    let more = count.saturating_sub(u64::try_from(listed).unwrap_or(u64::MAX));
    if more > 0 {
        let _ = writeln!(text, "{} more, not listed", grouped(more));
    }
    Outcome::Failed {
        message: format!("{}: {}", plural(*count, "fault"), code.meaning().trim()),
        text,
    }
}

fn failed(message: impl Into<String>) -> Outcome {
    Outcome::Failed { message: message.into(), text: String::new() }
}

/// What was held, and whether anything vouches for the file at all.
fn anchors(subject: &Subject<'_>) -> Vec<Case> {
    let report = subject.view.report;
    let mut cases: Vec<Case> = Vec::new();
    for given in &report.anchors {
        let outcome = match given.size {
            Some(_) => Outcome::Passed,
            None => failed(missing(&given.anchor)),
        };
        let name = match given.size {
            Some(size) => anchored(&given.anchor, size),
            None => given.anchor.to_string(),
        };
        cases.push(Case { name, outcome });
    }
    let outcome = match report.verdict() {
        Verdict::Intact => Outcome::Passed,
        Verdict::Unvouched if subject.view.exit == 0 => Outcome::Skipped("--allow-self-asserted"),
        Verdict::Unvouched if report.anchors.is_empty() => {
            failed("nothing that was held outside the file was given: anybody can make such a file")
        }
        Verdict::Unvouched => {
            failed("an anchor is missing from the file, or its gaps are not proven")
        }
        _ => Outcome::Skipped("there are faults"),
    };
    cases.push(Case { name: "vouched for".to_owned(), outcome });
    cases
}

/// What was asked besides.
fn asked(subject: &Subject<'_>) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    if let Some(gate) = subject.view.gate {
        let mut text = String::new();
        for found in &gate.listed {
            let _ = writeln!(
                text,
                "entry {}, {} by {}: {}",
                found.sequence,
                found.event_type,
                found.actor,
                found.why()
            );
        }
        if gate.unlisted() > 0 {
            let _ = writeln!(text, "{} more, not listed", grouped(gate.unlisted()));
        }
        let message = format!("{} without a gate's intent", plural(gate.without, "outcome"));
        let outcome =
            if gate.without == 0 { Outcome::Passed } else { Outcome::Failed { message, text } };
        cases.push(Case { name: format!("gate of {}", safe(&gate.types())), outcome });
    }
    if let Some(compared) = subject.view.compared {
        let outcome = match compared {
            Compared::None => Outcome::Passed,
            Compared::Differ(first) => {
                failed(format!("entry {first} is not the same in the other file"))
            }
            Compared::Fork { .. } => failed("two signed entries have one sequence: a fork"),
            Compared::OtherChain => failed("the other file is of another chain"),
        };
        cases.push(Case { name: "the other file".to_owned(), outcome });
    }
    cases
}

/// For text and for attributes. What XML cannot hold at all does not come here: it was escaped before, and if not it is a question mark.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            '\u{fffe}' | '\u{ffff}' => out.push('?'),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
