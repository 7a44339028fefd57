//! The first session of README.md, run as it stands there in an empty folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::text;

/// The commands of the first block, each with what it is shown to say.
fn session() -> Vec<(String, Vec<String>)> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, block) = readme.split_once("```console\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => found.push((command.to_owned(), Vec::new())),
            None => found.last_mut().unwrap().1.push(line.to_owned()),
        }
    }
    found
}

/// What is another each time as one word: ids and digests, whole or shortened to `70bab75f...`, and times.
fn normalised(text: &str) -> String {
    let is_id = |word: &str| {
        let digits = word.strip_suffix("...").unwrap_or(word);
        let is_whole = matches!(digits.len(), 32 | 64) || digits.len() < word.len();
        is_whole && digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let is_time = |word: &str| word.len() == 27 && word.ends_with('Z') && word.contains('T');
    let word = |word: &str| {
        if is_id(word) {
            "ID".to_owned()
        } else if is_time(word) {
            "TIME".to_owned()
        } else {
            word.to_owned()
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_first_session_does_what_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let (home, work) = (dir.path().join("home"), dir.path().join("work"));
    fs::create_dir(&home).unwrap();
    fs::create_dir(&work).unwrap();
    let session = session();
    assert!(session.len() >= 4, "{session:?}");
    let programs = Path::new(env!("CARGO_BIN_EXE_sigchain")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let (mut ran, mut shown_lines) = (0, 0);
    for (command, shown) in session {
        // That is how the program gets here; the tests run the one of this build.
        if command.starts_with("cargo install ") {
            continue;
        }
        let command = command.split("  #").next().unwrap().trim_end().to_owned();
        // Nothing is configured: a home, a path, and no other word of the environment.
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(&work)
            .env_clear()
            .env("HOME", &home)
            .env("PATH", &path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", text(&output));
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        let said: Vec<String> = said.lines().map(normalised).collect();
        for (at, line) in shown.iter().enumerate() {
            // What is shown are the first lines; what else a command says may come behind.
            assert_eq!(said.get(at), Some(&normalised(line)), "{command}: {}", text(&output));
            shown_lines += 1;
        }
        ran += 1;
    }
    assert!(ran >= 3 && shown_lines >= 3, "{ran} commands, {shown_lines} lines");
    // And it is caught if somebody changes it.
    let segment = work.join("ledger/segment-0000000000");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[1000] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let verify = "sigchain verify ledger $(cat line)";
    let status = Command::new("sh")
        .args(["-c", verify])
        .current_dir(&work)
        .env_clear()
        .env("HOME", &home)
        .env("PATH", &path)
        .status();
    assert_eq!(status.unwrap().code(), Some(1));
}

#[test]
fn ids_and_times_are_made_alike_and_nothing_else() {
    let id = "0123456789abcdef0123456789abcdef";
    assert_eq!(normalised(&format!("--key {id}")), normalised("--key a9fd5156..."));
    assert_eq!(normalised("chain 70bab75f..."), "chain ID");
    assert_eq!(normalised("at 2026-11-20T05:00:00.250000Z"), "at TIME");
    assert_eq!(normalised("entry 1 of 2 ..."), "entry 1 of 2 ...");
}
