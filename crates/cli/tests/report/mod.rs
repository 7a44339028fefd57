//! Reports of a verification: what they say, in what form, and that nothing is left where they fail.

mod failures;
mod forms;
mod gate;
mod page;
mod progress;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sigchain::digest::Digest;
use sigchain::text;

use crate::ledger::support::{Place, empty, place, text as said};
use crate::support::in_folder;

const ENDINGS: [&str; 4] = ["html", "json", "junit.xml", "sarif"];

/// A directory with copies of the demonstration's files.
fn desk(names: &[&str]) -> Place {
    let place = empty();
    for name in names {
        fs::copy(in_folder(name), place.path(name)).unwrap();
    }
    place
}

/// The bytes of a test vector behind its header.
fn vector(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors").join(name);
    let all = fs::read(path).unwrap();
    let at = all.windows(2).position(|pair| pair == b"\n\n").unwrap();
    all[at + 2..].to_vec()
}

/// Verifies `file`, and returns its page and what was said.
#[track_caller]
fn page(place: &Place, file: &str, more: &[&str], exit: i32) -> String {
    let name = "page.html";
    let _ = fs::remove_file(place.path(name));
    let output = place.run(&[&["verify", file, "--report", name], more].concat());
    assert_eq!(output.status.code(), Some(exit), "{}", said(&output));
    let page = fs::read_to_string(place.path(name)).unwrap();
    is_harmless(&page);
    page
}

/// Tags in order, each with its attributes; texts are left out.
fn tags(page: &str) -> Vec<&str> {
    let pieces = page.split('<').skip(1);
    pieces.map(|piece| piece.split_once('>').unwrap().0).collect()
}

/// Whether a page holds nothing that a browser would run or fetch, each tag has its end, and the policy allows its own style.
#[track_caller]
fn is_harmless(page: &str) {
    const KNOWN: &str = " body caption code dd desc div dl dt figcaption figure footer h1 h2 h3 head header html li main meta p path pre \
                         rect section span style svg table tbody td th thead title tr ul ";
    let (_, rest) = page.split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    let digest = text::base64(Digest::of(&[style.as_bytes()]).as_bytes());
    let policy = format!(
        "content=\"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\""
    );
    assert!(page.contains(&policy), "{}", &page[..600]);
    assert!(!style.contains("url(") && !style.contains("@import"));
    let mut open: Vec<&str> = Vec::new();
    for tag in tags(page).into_iter().filter(|tag| *tag != "!DOCTYPE html") {
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        assert!(KNOWN.contains(&format!(" {name} ")), "<{tag}>");
        for word in [" on", " style=", " src=", " href=", " action="] {
            assert!(!tag.contains(word), "<{tag}>");
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "<{tag}>");
        } else if !tag.ends_with('/') && name != "meta" {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    for c in page.chars() {
        assert!(c == '\n' || !text::is_control(c), "{c:?}");
        assert!(!('\u{200b}'..='\u{206f}').contains(&c), "{c:?}");
    }
}

/// What a page says, without markup.
fn words(page: &str) -> String {
    let (_, body) = page.split_once("<body>").unwrap();
    let mut out = String::new();
    for piece in body.split('<').skip(1) {
        out.push_str(piece.split_once('>').unwrap().1);
        out.push(' ');
    }
    let out =
        out.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    out.replace("&amp;", "&").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn says(page: &str, parts: &[&str]) {
    let words = words(page);
    for part in parts {
        assert!(words.contains(part), "the page does not say {part:?}: {words}");
    }
}

/// Names in a directory, sorted.
fn names(path: &Path) -> Vec<String> {
    let all = fs::read_dir(path).unwrap();
    let mut all: Vec<String> =
        all.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    all.sort();
    all
}

/// A program of the machine, if it is there.
fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// `test.call` and so on from the command line, one line of JSON each.
fn recorded(lines: &[String]) -> Place {
    let place = place();
    let mut running = place.lines(&[]);
    for line in lines {
        running.send(line);
    }
    drop(running.input.take());
    for outcome in running.outcomes() {
        assert_eq!(outcome["ok"], true, "{outcome}");
    }
    assert!(running.end().success());
    place
}

/// The path of a report beside what it is about.
fn beside(place: &Place, ending: &str) -> PathBuf {
    place.path(&format!("out.{ending}"))
}

/// `1204` as `1,204`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let begin = digits.len() % 3;
    let (head, tail) = digits.split_at(begin);
    let groups = tail.as_bytes().chunks(3).map(|group| String::from_utf8(group.to_vec()).unwrap());
    let all = (!head.is_empty()).then(|| head.to_owned()).into_iter().chain(groups);
    all.collect::<Vec<_>>().join(",")
}
