//! What the disk does not give is said to be unreadable: it is no finding, and nothing that is shown is less for it.

use std::collections::BTreeMap;
use std::process::Output;

use serde_json::Value;

use crate::disk::book::{Ended, says_next};
use crate::disk::campaign::{Campaign, Random, has};
use crate::disk::faults::Left;
use crate::disk::place::{Place, text};
use crate::disk::session::runner;
use crate::disk::strace::{Fault, Happens, Trace, calls, watching};

/// Whatever reads a ledger.
const COMMANDS: &[&[&str]] = &[
    &["verify", "led"],
    &["verify", "led", "--json"],
    &["log", "led", "--json", "--all"],
    &["log", "led", "--since", "-3"],
    &["show", "led", "5"],
    &["show", "led", "head"],
    &["replay", "led", "--allow-self-asserted"],
    &["export", "led", "-o", "out.sigchain"],
    &["checkpoint", "led"],
    &["status", "led", "--json"],
];

/// The number of the exit code of what cannot be read.
const UNREADABLE: i32 = 4;

#[test]
fn every_call_of_a_reader_fails() {
    let name = "an error at a call of verify, log, show, replay, export, ...";
    if !has(name, &["strace"], false) {
        return;
    }
    let mut campaign = Campaign::new(name);
    let mut random = Random::of(400);
    for left in Left::all().iter().take(2) {
        for args in COMMANDS {
            let trace = Trace::new();
            let whole = runner(&left.place, &watching(trace.path())).args(*args).output().unwrap();
            assert!(matches!(whole.status.code(), Some(0 | 3)), "{args:?}: {}", text(&whole));
            drop(std::fs::remove_file(left.place.path("out.sigchain")));
            for fault in random.sample(all(&calls(trace.path())), 2) {
                let trace = Trace::new();
                let mut command = runner(&left.place, &fault.by(trace.path()));
                let output = command.args(*args).output().unwrap();
                let is_there = std::fs::remove_file(left.place.path("out.sigchain")).is_ok();
                if !trace.has_happened() {
                    continue;
                }
                let found = judge(args, &whole, &output, (is_there, fault.call == "write"));
                campaign.note(&format!("{}: {args:?}: {fault}", left.name), found);
            }
        }
    }
    campaign.end();
}

fn all(calls: &BTreeMap<String, (usize, usize)>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (call, (first, last)) in calls {
        for number in *first..=*last {
            for error in ["EIO", "EINTR", "EMFILE"] {
                for lasts in [false, true] {
                    let happens = Happens::Error(error);
                    faults.push(Fault { call: call.clone(), number, lasts, happens });
                }
            }
        }
    }
    faults
}

/// Either all is as it is without a fault, or it is unreadable and what was shown is a beginning of what there is.
fn judge(
    args: &[&str],
    whole: &Output,
    output: &Output,
    (is_there, is_mute): (bool, bool),
) -> Result<(), String> {
    let said = text(output);
    // Where standard error cannot be written to it does not say what to do next.
    let heard = if is_mute && !said.contains("panicked") { String::new() } else { said.clone() };
    let ended = Ended { exit: output.status.code(), said: heard };
    let (wanted, shown) = (strip(args, &whole.stdout), strip(args, &output.stdout));
    if ended.exit == whole.status.code() {
        let same = shown == wanted || args[0] == "checkpoint";
        let told = args[0] != "export" || is_there;
        return if same && told { Ok(()) } else { Err(format!("it shows something else: {said}")) };
    }
    ended.is_as_documented(&[UNREADABLE])?;
    // Only of what is shown as it is read there is a beginning.
    if args[0] != "log" || wanted.starts_with(&shown) {
        return Ok(());
    }
    Err(format!("it shows something else: {said}"))
}

/// Whether this user has the keys is no matter of the ledger's.
fn strip(args: &[&str], bytes: &[u8]) -> String {
    let shown = String::from_utf8_lossy(bytes).into_owned();
    let Ok(mut value) = serde_json::from_str::<Value>(&shown) else { return shown };
    if args[0] != "status" {
        return shown;
    }
    for key in value["keys"].as_array_mut().into_iter().flatten() {
        let key = key.as_object_mut().unwrap();
        key.retain(|name, _| !matches!(name.as_str(), "at_hand" | "custody"));
    }
    value.to_string()
}

/// A block of a segment that cannot be read: every command says so, where, and with its own code; whoever would append is told, too.
#[test]
fn every_read_of_a_segment_that_fails_is_named() {
    let name = "a segment that cannot be read, by each command";
    if !has(name, &["strace"], false) {
        return;
    }
    let mut campaign = Campaign::new(name);
    let mut random = Random::of(450);
    let closed = Left::closed();
    let append: &[&str] = &["append", "led", "--type", "a.b", "--actor", "a"];
    for args in COMMANDS.iter().chain([&append]) {
        let place = closed.place.twin();
        let trace = Trace::new();
        drop(runner(&place, &watching(trace.path())).args(*args).output().unwrap());
        let (first, last) = calls(trace.path())["pread64"];
        for number in random.sample((first..=last).collect(), 5) {
            let (place, trace) = (closed.place.twin(), Trace::new());
            let happens = Happens::Error("EIO");
            let fault = Fault { call: "pread64".to_owned(), number, lasts: false, happens };
            let output = runner(&place, &fault.by(trace.path())).args(*args).output().unwrap();
            let saw = std::fs::read_to_string(trace.path()).unwrap();
            campaign.note(&format!("{args:?}: {fault}"), named(&place, &output, &saw));
        }
    }
    campaign.end();
}

fn named(place: &Place, output: &Output, saw: &str) -> Result<(), String> {
    let (said, code) = (text(output), output.status.code());
    if !saw.contains("(INJECTED)") || matches!(code, Some(0 | 3)) {
        return Ok(());
    }
    let names = ["segment-00", "durable", "anchors/", "index/"];
    let is_named = said.contains("FS_UNREADABLE") || names.iter().any(|name| said.contains(name));
    let says = said.contains("cannot be read") && is_named && says_next(&said);
    if code == Some(UNREADABLE) && says && place.run(&["verify", "led"]).status.success() {
        return Ok(());
    }
    Err(format!("exit code {code:?}: {said}"))
}
