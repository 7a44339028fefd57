//! Taking things out of a ledger: verify, log, show, replay, export, checkpoint, status; also of one that is damaged.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::ledger::support::{Place, check, flip, place, text};
use crate::schema;

const SEGMENT: &str = "led/segment-0000000000";

/// With so many events.
fn filled(events: usize) -> Place {
    let place = place();
    let mut lines = place.lines(&[]);
    for number in 0..events {
        lines
            .send(&format!("{{\"type\":\"a.b\",\"payload\":{{\"n\":{number}}},\"ref\":{number}}}"));
    }
    drop(lines.input.take());
    assert_eq!(lines.outcomes().len(), events);
    assert_eq!(lines.end().code(), Some(0));
    place
}

fn report(output: &Output) -> Value {
    let value = serde_json::from_slice(&output.stdout).unwrap();
    schema::check("verify", &value);
    value
}

#[test]
fn a_ledger_is_read_like_a_file() {
    let place = filled(5);
    place.is_intact();
    let value = report(&place.run(&["verify", "led", "--json"]));
    assert_eq!((&value["form"], &value["trailer"]), (&"ledger".into(), &"none".into()));
    // What the ledger itself has anchored on this machine is used unasked.
    assert_eq!((&value["entries"], &value["exit"]), (&6.into(), &0.into()));
    place.expect(&["verify", "led", "--unique", "--allow-self-asserted"], 0, &["no two of"]);
    place.expect(&["log", "led", "--since", "-1"], 0, &["      4  ", "      5  "]);
    place.expect(&["show", "led", "head"], 0, &["entry 5 of", "| {\"n\":4}"]);
    place.expect(&["replay", "led", "--until", "3", "--allow-self-asserted"], 0, &["a.b 3"]);
    let replayed = place.run(&["replay", "led", "--json"]);
    let replayed: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!((&replayed["exit"], &replayed["at"]["sequence"]), (&0.into(), &5.into()));
    place.expect(&["log", "led", "--until", "9"], 1, &["beyond the head"]);
    // A directory that is no ledger, and what is neither.
    for args in
        [&["verify", "home"][..], &["log", "home"], &["show", "home", "1"], &["status", "home"]]
    {
        place.expect(args, 4, &["segments of a ledger"]);
    }
    place.expect(&["status", "nowhere"], 4, &["FS_MISSING"]);
    place.expect(&["status", SEGMENT], 4, &["FS_KIND"]);
}

#[test]
fn a_checkpoint_shows_what_was_cut_and_what_was_changed() {
    let place = filled(3);
    let note = place.expect(&["checkpoint", "led"], 0, &["example.org/agents/"]);
    fs::write(place.path("note"), &note).unwrap();
    place.expect(
        &["verify", "led", "--checkpoint", "note"],
        0,
        &["checkpoint of 4 entries; no entry lies beyond"],
    );
    place.expect(
        &["verify", "led", "--checkpoint", "note", "--resume"],
        0,
        &["signatures not looked at"],
    );
    let event = ["append", "led", "--type", "a.b", "--actor", "a"];
    place.expect(&event, 0, &[]);
    place.expect(&["verify", "led", "--checkpoint", "note"], 0, &["and to checkpoint of 4"]);
    // A ledger that was put back to before the checkpoint.
    let other = crate::ledger::support::place();
    fs::remove_dir_all(other.path("home")).unwrap();
    fs::rename(place.path("home"), other.path("home")).unwrap();
    other.expect(&["checkpoint", "led"], 4, &["KEY_MISSING"]);
    fs::rename(other.path("home"), place.path("home")).unwrap();
    flip(&place.path(SEGMENT), 1200);
    place.expect(&["checkpoint", "led"], 1, &["faulty", "nothing was written or signed"]);
    place.expect(&["verify", "led", "--checkpoint", "note"], 1, &["segment 0, byte"]);
}

#[test]
fn an_export_is_whole_or_not_there() {
    let place = filled(50);
    place.expect(&["export", "led", "-o", "plain.sigchain"], 0, &["wrote 51 entries", "unsigned"]);
    place.expect(
        &["export", "led", "-o", "signed.jsonl", "--form", "jsonl", "--sign"],
        0,
        &["is signed"],
    );
    let note = place.expect(&["checkpoint", "led"], 0, &[]);
    fs::write(place.path("note"), &note).unwrap();
    let held = ["--checkpoint", "note"];
    let unsigned = "with its size and root, which nobody signed";
    place.expect(&[&["verify", "plain.sigchain"][..], &held].concat(), 0, &[unsigned]);
    place.expect(&[&["verify", "signed.jsonl"][..], &held].concat(), 0, &["a signed checkpoint"]);
    let same = ["verify", "led", "--checkpoint", "note", "--against", "plain.sigchain"];
    place.expect(&same, 0, &["both files hold in order are the same"]);

    let before = fs::read(place.path("plain.sigchain")).unwrap();
    place.expect(&["export", "led", "-o", "plain.sigchain"], 2, &["exists already"]);
    std::os::unix::fs::symlink("elsewhere", place.path("link")).unwrap();
    place.expect(&["export", "led", "-o", "link"], 2, &["exists already"]);
    place.expect(&["export", "led", "-o", "no/where"], 4, &["cannot write"]);
    place.expect(&["export", "led", "-o", "/"], 2, &["exists already"]);
    assert_eq!(fs::read(place.path("plain.sigchain")).unwrap(), before);
    // No room for all of it.
    let output = limited(&place, 8, &["export", "led", "-o", "short"]);
    check(&["export"], &output, 4, &["cannot write", "no file was left"]);
    flip(&place.path(SEGMENT), 9000);
    place.expect(
        &["export", "led", "-o", "faulty"],
        1,
        &["faulty", "segment 0, byte", "nothing was written"],
    );
    let mut names: Vec<_> =
        fs::read_dir(place.dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["home", "led", "link", "note", "plain.sigchain", "signed.jsonl"]);
}

/// With so many blocks of 512 bytes for each file that is written, and no signal when there are more.
fn limited(place: &Place, blocks: u32, args: &[&str]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut command = place.by("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_sigchain")]).args(args).output().unwrap()
}

#[test]
fn damage_is_shown_with_segment_and_byte() {
    let place = filled(20);
    let whole = fs::read(place.path(SEGMENT)).unwrap();
    flip(&place.path(SEGMENT), 2000);
    let output = place.run(&["verify", "led", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let fault = &report(&output)["faults"][0];
    assert_eq!(fault["segment"], 0);
    let at = usize::try_from(fault["place"].as_u64().unwrap()).unwrap();
    let length = u32::from_be_bytes(whole[at + 4..at + 8].try_into().unwrap());
    let frame = at..at + 16 + usize::try_from(length).unwrap();
    assert!(frame.contains(&2000), "{frame:?} of the file itself");
    let place_of = format!("segment 0, byte {at}");
    for args in [&["verify", "led"][..], &["log", "led"], &["replay", "led"]] {
        place.expect(args, 1, &[&place_of]);
    }
    place.expect(&["show", "led", "1"], 1, &[&place_of]);
    let replayed = place.run(&["replay", "led", "--until", "1", "--json"]);
    let replayed: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    let fault = &replayed["chains"][0]["faults"][0];
    assert_eq!((&fault["segment"], fault["place"].as_u64()), (&0.into(), u64::try_from(at).ok()));
    // In the place of a file the same fault is at another byte.
    fs::write(place.path(SEGMENT), &whole).unwrap();
    place.is_intact();
}

/// What was durable cannot be cut off without being noticed, wherever the cut is.
#[test]
fn a_segment_that_was_cut_is_faulty() {
    let place = filled(3);
    let whole = fs::read(place.path(SEGMENT)).unwrap();
    let faults: Vec<usize> = frames(&whole);
    assert!(faults.len() >= 5, "four entries and a seal");
    for end in faults.into_iter().skip(1).flat_map(|end| [end, end + 7]) {
        fs::write(place.path(SEGMENT), &whole[..end]).unwrap();
        for args in [&["verify", "led"][..], &["log", "led"], &["replay", "led"]] {
            place.expect(args, 1, &["FRAME_CUT", "segment 0, byte"]);
        }
        place.expect(&["export", "led", "-o", "x"], 1, &["FRAME_CUT"]);
        place.expect(&["checkpoint", "led"], 1, &["FRAME_CUT"]);
        place.expect(
            &["append", "led", "--type", "a.b", "--actor", "a"],
            8,
            &["LEDGER_", "quarantined"],
        );
        assert_eq!(fs::read(place.path(SEGMENT)).unwrap(), whole[..end]);
    }
}

/// Where the frames of a segment begin, from the first entry on.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let is_genesis = |at: &usize| {
        bytes[*at..].starts_with(b"E\x00\x00\x00") || bytes[*at..].starts_with(b"E\x01\x00\x00")
    };
    let mut at = (0..bytes.len()).find(is_genesis).unwrap();
    let mut found = Vec::new();
    while at < bytes.len() {
        found.push(at);
        let length = u32::from_be_bytes(bytes[at + 4..at + 8].try_into().unwrap());
        at += 16 + usize::try_from(length).unwrap();
    }
    assert_eq!(at, bytes.len(), "the frames end with the file");
    found
}

/// A ledger that belongs to somebody else is unreadable, and nothing else is said of it.
#[test]
fn the_ledger_of_another_user_is_unreadable() {
    let place = filled(1);
    let is_root = fs::metadata("/proc/self")
        .is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0);
    assert!(is_root, "this test runs as root, so that it can become somebody else");
    let public = |path: &Path| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(path, mode).unwrap();
    };
    public(place.dir.path());
    for args in [
        &["verify", "led"][..],
        &["log", "led"],
        &["show", "led", "1"],
        &["replay", "led"],
        &["status", "led"],
        &["checkpoint", "led"],
        &["export", "led", "-o", "x"],
        &["append", "led", "--type", "a.b", "--actor", "a"],
        &["append", "led", "--lines"],
    ] {
        let mut command = place.by("setpriv");
        let user =
            ["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_sigchain")];
        let output = command.args(user).args(args).env("HOME", "/nonexistent").output().unwrap();
        check(args, &output, 4, &["FS_PERMISSION"]);
    }
    // The directory is open, a segment is not.
    public(&place.path("led"));
    let mut command = place.by("setpriv");
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_sigchain")];
    let output = command.args(user).args(["verify", "led"]).output().unwrap();
    check(&["verify", "led"], &output, 4, &["FS_PERMISSION", "led/"]);
    // And its owner does not write to one that others can read.
    let event = ["append", "led", "--type", "a.b", "--actor", "a"];
    place.expect(&event, 4, &["FS_PERMISSION", "chmod 700"]);
}

/// While one process writes, any other can read: never less than before, never anything faulty.
#[test]
fn a_ledger_is_read_while_it_is_written() {
    let place = filled(1);
    let mut lines = place.lines(&[]);
    let feeder = lines.feed(2);
    for _ in 0..50 {
        lines.outcome().unwrap();
    }
    let mut drain = lines.output.take().unwrap();
    let reader = std::thread::spawn(move || {
        for line in std::io::BufRead::lines(&mut drain) {
            let line = line.unwrap();
            assert!(line.starts_with("{\"ok\":true"), "{line}");
        }
    });
    let (mut size, mut notes) = (0, Vec::new());
    let line: Vec<&str> = place.line.iter().map(String::as_str).collect();
    for round in 0..4 {
        let value = report(&place.run(&[&["verify", "led", "--json"], &line[..]].concat()));
        assert_eq!((&value["exit"], &value["total"]), (&0.into(), &0.into()));
        let entries = value["entries"].as_u64().unwrap();
        assert!(entries > size, "it grows");
        size = entries;
        assert!(place.status()["entries"].as_u64().unwrap() >= size);
        place.expect(&["show", "led", "1"], 0, &[]);
        let note = place.expect(&["checkpoint", "led"], 0, &[]);
        let name = format!("note-{round}");
        fs::write(place.path(&name), &note).unwrap();
        let out = format!("out-{round}");
        place.expect(&["export", "led", "-o", &out, "--sign"], 0, &["is signed"]);
        place.expect(&["verify", &out, "--checkpoint", &name], 0, &["intact"]);
        notes.push((name, out));
    }
    lines.signal("TERM");
    assert_eq!(lines.end().code(), Some(0));
    reader.join().unwrap();
    feeder.join().unwrap();
    // All that was said meanwhile still holds.
    for (name, out) in notes {
        let args = ["verify", "led", "--checkpoint", &name, "--against", &out];
        place.expect(&args, 0, &["intact", "the same"]);
    }
    let log = place.run(&["log", "led", "--since", "-3"]);
    assert_eq!(log.status.code(), Some(0), "{}", text(&log));
}

/// The last entry and its seal removed, whole: nothing in the files shows it. What was anchored on this machine does, unasked; a
/// directory that was set back takes no more events either.
#[test]
fn a_cut_at_the_end_is_seen_on_the_same_machine() {
    let place = place();
    let event = ["append", "led", "--type", "a.b", "--actor", "a"];
    place.expect(&event, 0, &["entry 1"]);
    let (segment, record) = (place.path(SEGMENT), place.path("led/durable"));
    let older = (fs::read(&segment).unwrap(), fs::read(&record).unwrap());
    place.expect(&event, 0, &["entry 2"]);
    place.expect(&["verify", "led"], 0, &["anchored on this machine: 3 entries"]);
    fs::write(&segment, older.0).unwrap();
    fs::write(&record, older.1).unwrap();
    place.expect(&["verify", "led"], 1, &["ANCHOR_AHEAD"]);
    place.expect(&event, 8, &["the anchor knows 3 entries", "quarantined"]);
    place.expect(&["verify", "led"], 1, &["ANCHOR_AHEAD"]);
}

#[test]
fn log_shows_what_a_filter_wants_verified_or_not() {
    let place = place();
    let mut lines = place.lines(&[]);
    for (kind, actor, more) in [
        ("lab.request", "agent:a", ",\"episode\":\"run-1\""),
        ("lab.response", "agent:a", ",\"correlation\":\"c-1\""),
        ("test.call", "agent:b", ",\"episode\":\"run-1\""),
        ("note", "agent:b", ",\"trace\":\"0af7651916cd43dd8448eb211c80319c\""),
    ] {
        lines.send(&format!("{{\"type\":\"{kind}\",\"actor\":\"{actor}\",\"payload\":1{more}}}"));
    }
    drop(lines.input.take());
    assert_eq!(lines.outcomes().len(), 4);
    assert_eq!(lines.end().code(), Some(0));
    place.expect(&["export", "led", "-o", "file"], 0, &[]);
    place.expect(&["export", "led", "-o", "lines", "--form", "jsonl"], 0, &[]);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for (wanted, expected) in [
        (&["--type", "lab.*"][..], &[1, 2][..]),
        (&["--type", "*.call", "--type", "note"], &[3, 4]),
        (&["--actor", "agent:b"], &[3, 4]),
        (&["--episode", "run-1"], &[1, 3]),
        (&["--episode", "run-1", "--type", "lab.*"], &[1]),
        (&["--correlation", "c-1"], &[2]),
        (&["--trace", trace], &[4]),
        (&["--type", "chain.*"], &[0]),
        (&["--since", "2", "--until", "3"], &[2, 3]),
        (&["--type", "nothing"], &[]),
    ] {
        for file in ["led", "file", "lines"] {
            for more in [&["--json"][..], &["--json", "--unverified"]] {
                let output = place.run(&[&["log", file], wanted, more].concat());
                assert_eq!(output.status.code(), Some(0), "{}", text(&output));
                let said = String::from_utf8(output.stdout).unwrap();
                let found: Vec<u64> = said
                    .lines()
                    .map(|line| serde_json::from_str::<Value>(line).unwrap())
                    .map(|value| value["sequence"].as_u64().unwrap())
                    .collect();
                assert_eq!(found, expected, "{file} {wanted:?} {more:?}");
            }
        }
    }
    place.expect(
        &["log", "led", "--unverified", "--since", "-1"],
        0,
        &["test.call", "note", "nothing of this was verified"],
    );
    place.expect(&["log", "file", "--unverified", "--since", "-1"], 2, &["not known yet"]);
    let id = "01a1f95d-ffcd-7f9c-b90b-d1129b77e464";
    place.expect(&["log", "led", "--unverified", "--since", id], 1, &[id, "found none"]);
    for wrong in [&["--type", "LLM"][..], &["--trace", "x"], &["--actor", ""]] {
        place.expect(&[&["log", "led"], wrong].concat(), 2, &["is no "]);
    }
    place.expect(&["log", "file", "--follow"], 2, &["--follow"]);
    place.expect(&["log", "led", "--follow", "--until", "-1"], 2, &["counts from the head"]);
    place.expect(&["log", "nowhere", "--unverified"], 4, &["nowhere"]);
    // What is damaged is shown up to there, and said.
    flip(&place.path(SEGMENT), 1500);
    place.expect(&["log", "led", "--unverified"], 4, &["segment 0, byte"]);
}

/// A running `log --follow`, and the sequences that it shows.
struct Following {
    child: std::process::Child,
    output: Option<std::io::BufReader<std::process::ChildStdout>>,
}

impl Following {
    fn start(place: &Place, more: &[&str]) -> Self {
        let mut command = place.command(&[&["log", "led", "--follow", "--json"], more].concat());
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().map(std::io::BufReader::new);
        Self { child, output }
    }

    /// The next entry.
    fn next(&mut self) -> u64 {
        use std::io::BufRead as _;
        let mut line = String::new();
        self.output.as_mut().unwrap().read_line(&mut line).unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        value["sequence"].as_u64().unwrap()
    }

    fn end(self) -> (Option<i32>, String) {
        let output = self.child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

#[test]
fn a_follower_shows_what_becomes_durable_and_ends_quietly() {
    let place = filled(2);
    let event = ["append", "led", "--type", "a.b", "--actor", "a"];
    let mut all = Following::start(&place, &["--all"]);
    let mut some = Following::start(&place, &["--since", "head"]);
    let mut until = Following::start(&place, &["--until", "5"]);
    let mut deaf = Following::start(&place, &[]);
    assert_eq!([all.next(), all.next(), all.next()], [0, 1, 2]);
    assert_eq!((some.next(), until.next(), until.next(), deaf.next()), (2, 1, 2, 1));
    // Nobody listens any more, and it need not have anything to say to notice.
    drop(deaf.output.take());
    assert_eq!(deaf.end().0, Some(0));
    for _ in 0..2 {
        place.expect(&event, 0, &[]);
    }
    // A writer that is killed: the next one says so in an entry of its own.
    let mut lines = place.lines(&[]);
    lines.send("{\"type\":\"a.b\",\"payload\":1}");
    lines.outcome().unwrap();
    lines.signal("KILL");
    lines.end();
    place.expect(&event, 0, &[]);
    assert_eq!([all.next(), all.next(), all.next(), all.next(), all.next()], [3, 4, 5, 6, 7]);
    assert_eq!([some.next(), some.next(), some.next(), some.next()], [3, 4, 5, 7]);
    assert_eq!([until.next(), until.next(), until.next()], [3, 4, 5]);
    assert_eq!(until.end().0, Some(0));
    for (mut following, signal) in [(all, "TERM"), (some, "INT")] {
        let id = following.child.id().to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{signal}"), &id]).status();
        assert!(sent.unwrap().success());
        let mut rest = String::new();
        std::io::Read::read_to_string(following.output.as_mut().unwrap(), &mut rest).unwrap();
        let (code, said) = following.end();
        assert_eq!((code, rest.as_str()), (Some(0), ""), "{said}");
        assert!(said.contains("nothing of this was verified"), "{said}");
    }
}
