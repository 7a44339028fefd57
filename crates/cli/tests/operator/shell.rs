//! Completions that a shell loads, pages that man renders, and help for commands of two words.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::ledger::support::empty;

#[test]
fn bash_loads_the_completions_and_completes() {
    let place = empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script =
            place.expect(&["completions", shell], 0, &["sigchain", "verify", "passphrase-file"]);
        fs::write(place.path(shell), script).unwrap();
    }
    let ask = ". ./bash; COMP_WORDS=(sigchain ke); COMP_CWORD=1; _sigchain sigchain ke sigchain; echo \"${COMPREPLY[@]}\"; \
               COMP_WORDS=(sigchain key ro); COMP_CWORD=2; _sigchain sigchain ro key; echo \"${COMPREPLY[@]}\"";
    let output =
        Command::new("bash").args(["-c", ask]).current_dir(place.dir.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "key\nrotate\n");
    for (shell, check) in [("zsh", "-n"), ("fish", "-n")] {
        // Where that shell is not there, nobody can say more.
        let checked = Command::new(shell).arg(check).arg(place.path(shell)).status();
        assert!(checked.is_err() || checked.unwrap().success(), "{shell}");
    }
    place.expect(&["completions", "tcsh"], 2, &["bash"]);
    place.expect(&["completions"], 2, &["SHELL"]);
}

/// What groff says of a page, and what it shows of it.
fn rendered(page: &str) -> (String, String) {
    let mut groff = Command::new("groff");
    groff.args(["-man", "-Tascii", "-ww", "-P-c"]).stdin(Stdio::piped());
    let mut child = groff.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    // Bold is a letter over itself, and lines are filled.
    let mut shown = text(output.stdout);
    while let Some(at) = shown.find('\u{8}') {
        shown.replace_range(at - 1..=at, "");
    }
    (text(output.stderr), shown.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn pages_are_rendered_and_written() {
    let place = empty();
    let page = place.expect(&["man", "key", "rotate"], 0, &[".TH SIGCHAIN-KEY-ROTATE 1"]);
    let (errors, shown) = rendered(&page);
    assert_eq!(errors, "");
    for part in ["sigchain key rotate", "--approval", "Exit codes"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    place.expect(&["man", "--all", "-o", "pages/man1"], 0, &["pages to"]);
    let pages: Vec<_> =
        fs::read_dir(place.path("pages/man1")).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(pages.len() > 20, "{}", pages.len());
    for path in &pages {
        let (errors, shown) = rendered(&fs::read_to_string(path).unwrap());
        assert!(errors.is_empty() && shown.contains("NAME"), "{}: {errors}", path.display());
    }
    // None is replaced, and none is added beside one that is there.
    fs::remove_file(place.path("pages/man1/sigchain.1")).unwrap();
    place.expect(&["man", "--all", "-o", "pages/man1"], 2, &["FS_EXISTS"]);
    assert!(!place.path("pages/man1/sigchain.1").exists());
    fs::write(place.path("file"), "x").unwrap();
    place.expect(&["man", "--all", "-o", "file"], 2, &[]);
    place.expect(&["man", "--all", "-o", "file/x"], 4, &[]);
    place.expect(&["man", "--all"], 2, &["-o DIR"]);
    place.expect(&["man", "bogus"], 2, &["there is no command \"bogus\""]);
    place.expect(&["man", "key", "bogus"], 2, &["rotate"]);
}

#[test]
fn commands_of_two_words_have_help() {
    let place = empty();
    let help =
        place.expect(&["help", "key", "rotate"], 0, &["Usage: sigchain key rotate", "Exit codes"]);
    assert_eq!(place.expect(&["key", "rotate", "-h"], 0, &[]), help);
    place.expect(&["help", "key"], 0, &["enroll", "revoke", "approve"]);
    place.expect(&["help", "key", "bogus"], 2, &["rotate"]);
    place.expect(&["key"], 2, &["sigchain key [OPTIONS] <COMMAND>"]);
    place.expect(&["key", "bogus"], 2, &["bogus"]);
}
