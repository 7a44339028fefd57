//! `log --unverified` of a ledger, whose text several threads make.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::ledger::support::{Place, flip, place, text};

/// More entries than one thread takes at once.
const COUNT: u64 = 5000;

fn filled() -> Place {
    let place = place();
    let lines: Vec<String> = (1..=COUNT)
        .map(|number| {
            let kind = if number == 3333 { "rare.one" } else { "a.b" };
            format!("{{\"type\":\"{kind}\",\"payload\":{number}}}\n")
        })
        .collect();
    fs::write(place.path("home/events"), lines.concat()).unwrap();
    let mut command = place.command(&["append", "led", "--lines", "--actor", "agent:a"]);
    let output = command.stdin(fs::File::open(place.path("home/events")).unwrap()).output();
    assert_eq!(output.unwrap().status.code(), Some(0));
    place
}

fn shown(place: &Place, args: &[&str], exit: i32) -> String {
    let output = place.command(&[&["log", "led"], args].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(exit), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn they_write_in_order_what_one_thread_does() {
    let place = filled();
    for form in [&["--json"][..], &[]] {
        for more in [
            &["--all"][..],
            &[],
            &["--since", "1023", "--until", "1024"],
            &["--since", "1000", "--until", "4097"],
            &["--since", "-1"],
            &["--type", "rare.*"],
            &["--grep", "^(7|3333)$"],
        ] {
            let args = [form, more].concat();
            let whole = shown(&place, &args, 0);
            assert!(!whole.is_empty());
            assert_eq!(
                shown(&place, &[&args[..], &["--unverified"]].concat(), 0),
                whole,
                "{args:?}"
            );
        }
    }
    // Who has seen enough goes, and nobody complains.
    let mut command = place.command(&["log", "led", "--unverified", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("\"sequence\":1,"), "{line}");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

/// What stands before damage is shown, all of it, and then the damage is named.
#[test]
fn what_stands_before_damage_is_shown_first() {
    let place = filled();
    let whole = shown(&place, &["--unverified", "--json"], 0);
    let path = place.path("led/segment-0000000000");
    let middle = fs::read(&path).unwrap().len() / 2;
    flip(&path, middle);
    let args = ["log", "led", "--unverified", "--json"];
    let output = place.command(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let before = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(whole.starts_with(&before) && before.lines().count() > 2000, "{}", before.len());
    assert!(text(&output).contains("segment 0, byte"), "{}", text(&output).len());
}
