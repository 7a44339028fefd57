//! `status`, `verify` and `log` beside a writer: what they show is verified, is there in the end, and never less than before.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sigchain::directory::Limits;
use sigchain::event::Event;
use sigchain::key::SigningKey;
use sigchain::ledger::{Files, Genesis, Ledger, Options};

use crate::disk::campaign::leave_out;
use crate::ledger::support::{empty, place, text};
use crate::schema;
use crate::writers::{EVENT, log, rounds, tell};

#[test]
fn readers_beside_a_writer_see_a_prefix_that_only_grows() {
    let place = place();
    let mut lines = place.lines(&[]);
    let feeder = lines.feed(1000);
    let mut output = lines.output.take().unwrap();
    // Somebody has to read the outcomes.
    let told = std::thread::spawn(move || {
        std::io::copy(&mut output, &mut std::io::sink()).unwrap();
    });
    let mut sizes = vec![0];
    let mut logs: Vec<Vec<Value>> = Vec::new();
    let looks = rounds(4, 40);
    for look in 0..looks {
        let entries = place.status()["entries"].as_u64().unwrap();
        sizes.push(entries);
        let output = place.run(&["verify", "led", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        schema::check("verify", &report);
        sizes.push(report["entries"].as_u64().unwrap());
        let output = place.run(&["log", "led", "--json", "--all"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let log = String::from_utf8(output.stdout).unwrap();
        let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        sizes.push(u64::try_from(log.len()).unwrap());
        // Each is a long text.
        logs.truncate(3);
        logs.push(log);
        if look % 4 == 3 {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    lines.signal("KILL");
    lines.end();
    feeder.join().unwrap();
    told.join().unwrap();
    place.expect(&EVENT, 0, &["recorded"]);
    assert!(sizes.is_sorted(), "{sizes:?}");
    let all = log(&place);
    for log in logs {
        assert_eq!(log[..], all[..log.len()], "what was shown is there");
    }
    place.is_intact();
    let last = sizes.last().unwrap();
    tell(&format!("{looks} times status, verify and log beside a writer, up to {last} entries"));
}

/// A writer that anchors between two steps of `verify` has not been cut.
#[test]
fn an_anchor_that_is_newer_than_the_look_is_no_fault() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        leave_out("verify beside an anchor", "strace");
        return;
    }
    let place = place();
    let mut slow = place.by("strace");
    let home = place.path("home");
    // Whatever it opens in its home it waits for.
    slow.args(["-f", "-o", "trace", "-P"]).arg(&home);
    slow.args(["-e", "trace=openat", "-e", "inject=openat:delay_enter=1500000"]);
    slow.args([env!("CARGO_BIN_EXE_sigchain"), "verify", "led"]);
    let slow = slow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    place.expect(&EVENT, 0, &["recorded"]);
    let output = slow.wait_with_output().unwrap();
    let said = text(&output);
    assert!(said.contains("anchored on this machine: 2 entries"), "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// More segments than a process may have files open, unless it asks for more.
#[test]
fn a_ledger_of_many_segments_is_read() {
    let place = empty();
    let key = || SigningKey::generate().unwrap();
    let limits = Limits { bytes: 1000, ..Limits::default() };
    let options = Options::new().files(Files::new().limits(limits).anchors(Vec::new()));
    let genesis = Genesis::new("example.org/agents", key()).checkpoints(key());
    let ledger = Ledger::create_at(&place.path("led"), genesis, options).unwrap();
    let event = || Event::new("agent:a", "a.b").unwrap();
    for _ in 0..20 {
        ledger.append_batch((0..8).map(|_| event()).collect()).unwrap();
    }
    ledger.close(Duration::from_secs(10)).unwrap();
    assert!(std::fs::read_dir(place.path("led")).unwrap().count() > 20);
    for (command, says) in [("verify", "161 entries"), ("status", "161 entries"), ("log", "a.b")] {
        let mut limited = place.by("sh");
        limited.args(["-c", "ulimit -Sn 16; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_sigchain")]);
        let output = limited.args([command, "led"]).output().unwrap();
        let said = text(&output);
        assert!(said.contains(says) && !said.contains("Too many open files"), "{said}");
    }
}
