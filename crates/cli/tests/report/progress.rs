//! How far it is: on a terminal, and nowhere else.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::ledger::support::Place;
use crate::report::{desk, is_there};

/// A file that comes slowly, through a pipe with a name. Its beginning is looked at before anything else.
fn slowly(place: &Place) -> thread::JoinHandle<()> {
    assert!(place.by("mkfifo").arg("slow").status().unwrap().success());
    let (bytes, pipe) = (fs::read(place.path("large.jsonl")).unwrap(), place.path("slow"));
    thread::spawn(move || {
        let mut pipe = fs::File::create(pipe).unwrap();
        let (head, rest) = bytes.split_at(bytes.len() * 2 / 3);
        pipe.write_all(head).unwrap();
        thread::sleep(Duration::from_millis(1400));
        pipe.write_all(rest).unwrap();
    })
}

#[test]
#[expect(clippy::print_stderr, reason = "what was left out must be seen")]
fn a_line_on_a_terminal_and_nothing_elsewhere() {
    let place = desk(&["large.jsonl"]);
    let feeder = slowly(&place);
    let output = place.command(&["verify", "slow", "--allow-self-asserted"]).output().unwrap();
    feeder.join().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    if !is_there("script") {
        return eprintln!("LEFT OUT: a terminal, which needs script(1)");
    }
    fs::remove_file(place.path("slow")).unwrap();
    let feeder = slowly(&place);
    let call =
        format!("{} verify slow --allow-self-asserted >answer", env!("CARGO_BIN_EXE_sigchain"));
    let mut command = place.by("script");
    command.args(["-qec", &call, "/dev/null"]).stdin(Stdio::null());
    let output = command.output().unwrap();
    feeder.join().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("\rverifying: "), "{shown:?}");
    assert!(shown.matches("verifying").count() <= 6, "ten times a second at most: {shown:?}");
    let last = shown.rsplit("\rverifying").next().unwrap();
    assert!(
        last.split('\r').skip(1).all(|line| line.trim().is_empty()),
        "it leaves no trace: {shown:?}"
    );
    assert!(shown.ends_with('\r') && !shown.contains('\u{1b}'), "{shown:?}");
    assert!(
        fs::read_to_string(place.path("answer")).unwrap().starts_with("unvouched: 401 entries")
    );
}
