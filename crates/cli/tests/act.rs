//! `sigchain action` and `sigchain review`: programs that are run, and those that are not.

use std::fs;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ledger::support::{Place, place, text};
use crate::schema;

const RUN: [&str; 6] = ["action", "led", "--actor", "agent:a", "--episode", "run-1"];

/// Runs a program as an action.
fn action(place: &Place, more: &[&str], program: &[&str]) -> Output {
    place.run(&[&RUN[..], more, &["--"], program].concat())
}

/// The entries of the ledger but its own: type, payload, cause.
fn entries(place: &Place) -> Vec<Value> {
    let output = place.run(&["episode", "led", "run-1", "--json"]);
    assert!(output.status.success(), "{}", text(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    value["entries"].as_array().unwrap().clone()
}

/// Where the environment names the ledger, all that stands behind -- is the program.
#[test]
fn the_environment_names_the_ledger() {
    let place = place();
    let run = ["action", "--actor", "agent:a", "--episode", "run-1", "--", "echo", "hi", "there"];
    let output = place.command(&run).env("SIGCHAIN_LEDGER", "led").output().unwrap();
    assert_eq!(&*output.stdout, b"hi there\n", "{}", text(&output));
    assert_eq!(entries(&place)[0]["payload"]["arguments"]["argv"], json!(["echo", "hi", "there"]));
}

/// [S-action-1], [S-capture-1]: intent, what goes through, exit code and digests.
#[test]
fn a_program_is_run_between_its_two_entries() {
    let place = place();
    let script = "printf out; printf wrong >&2; test -n \"$SIGCHAIN_CAUSE\" && exit 3";
    let output = action(&place, &["--tool", "shell"], &["sh", "-c", script]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert_eq!((&*output.stdout, &*output.stderr), (&b"out"[..], &b"wrong"[..]));
    let found = entries(&place);
    assert_eq!(found[0]["payload"]["capture"], "gate");
    assert_eq!(found[0]["payload"]["tool"], "shell");
    assert_eq!(found[0]["payload"]["arguments"]["argv"], json!(["sh", "-c", script]));
    let outcome = &found[1];
    assert_eq!(
        (&outcome["event_type"], &outcome["cause"]),
        (&json!("tool.error"), &found[0]["event_id"])
    );
    let said = &outcome["payload"];
    assert_eq!(
        (&said["exit_code"], &said["kind"], &said["capture"]),
        (&json!(3), &json!("error"), &json!("gate"))
    );
    let digest = sigchain::digest::Digest::of(&[b"out"]).to_string();
    assert_eq!(said["outputs"]["stdout"], json!({"bytes": 3, "digest": digest}));
    let output = action(&place, &["--hide-arguments"], &["true", "secret"]);
    assert_eq!(output.status.code(), Some(0));
    let found = entries(&place);
    assert_eq!(found[3]["event_type"], "tool.result");
    assert!(!found.iter().any(|entry| entry.to_string().contains("secret")));
    place.expect(&["verify", "led", "--require-gate", "tool.*", "--allow-self-asserted"], 0, &[]);
}

#[test]
fn what_cannot_be_run_or_is_ended_is_recorded_too() {
    let place = place();
    fs::write(place.path("text"), "no program").unwrap();
    let text_file = place.path("text").to_string_lossy().into_owned();
    for (more, program, exit, kind, says) in [
        (&[][..], &["no-such-program"][..], 127, "error", "it could not be run"),
        (&[], &[text_file.as_str()], 126, "error", "it could not be run"),
        (&["--timeout", "1"], &["sleep", "60"], 143, "timeout", "ended by signal 15"),
        (&[], &["sh", "-c", "kill -9 $$"], 137, "panic", "ended by signal 9"),
    ] {
        let output = action(&place, more, program);
        assert_eq!(output.status.code(), Some(exit), "{}", text(&output));
        let found = entries(&place);
        let said = &found.last().unwrap()["payload"];
        assert_eq!(said["kind"], kind);
        assert!(said["message"].as_str().unwrap().contains(says), "{said}");
    }
    // Who ends this process ends the program, and that is recorded.
    let mut command =
        place.command(&[&RUN[..], &["--", "sh", "-c", "echo up; exec sleep 60"]].concat());
    let mut running = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut up = [0; 3];
    std::io::Read::read_exact(running.stdout.as_mut().unwrap(), &mut up).unwrap();
    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(143));
    assert_eq!(entries(&place).last().unwrap()["payload"]["kind"], "cancelled");
    let open = place.expect(&["episode", "led", "run-1"], 0, &["0 of them without an outcome"]);
    assert!(open.contains("by way of capture: gate 10"), "{open}");
}

/// What a program has started ends with it when its time is over, whether or not it listens.
#[test]
fn a_timeout_ends_all_that_was_started() {
    let place = place();
    let script = "(trap '' TERM; echo $BASHPID > inner; while :; do sleep 0.1; done) & \
                  sleep 600 & echo $! > other; wait";
    let output = action(&place, &["--timeout", "2"], &["bash", "-c", script]);
    assert_eq!(output.status.code(), Some(143), "{}", text(&output));
    for name in ["inner", "other"] {
        let pid = fs::read_to_string(place.path(name)).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        // It may wait for whoever collects it.
        let is_gone = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        while !is_gone() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert_eq!(entries(&place)[1]["payload"]["kind"], "timeout");
}

/// It did start, so nobody may say that it did not.
#[test]
fn an_end_that_nobody_knows_is_no_failure_to_start() {
    let place = place();
    let mut traced = place.by("strace");
    traced.args(["-f", "-o", "trace", "-e", "trace=wait4", "-e", "inject=wait4:error=ECHILD"]);
    traced.arg(env!("CARGO_BIN_EXE_sigchain")).args(RUN).args(["--", "/bin/echo", "up"]);
    let output = traced.output().unwrap();
    assert_eq!(output.status.code(), Some(124), "{}", text(&output));
    let said = &entries(&place)[1]["payload"];
    let message = said["message"].as_str().unwrap();
    assert!(message.starts_with("it ran, and how it ended is not known"), "{said}");
    assert_eq!(said["outputs"]["stdout"]["bytes"], 3);
}

/// What cannot be recorded is not run; what ran and could not be recorded is said.
#[test]
fn nothing_runs_that_is_not_recorded() {
    let place = place();
    let touch = ["touch", "touched"];
    for more in [&["--cause", "x"][..], &["--after-review", "019a0000-0000-7000-8000-00000000017c"]]
    {
        let output = action(&place, more, &touch);
        assert_eq!(output.status.code(), Some(125), "{}", text(&output));
    }
    let nowhere = place.run(&["action", "nowhere", "--actor", "a", "--", "touch", "touched"]);
    assert_eq!(nowhere.status.code(), Some(125));
    // Another writer holds it, and is not waited for.
    let mut held = place.lines(&[]);
    held.send("{\"type\":\"note\",\"payload\":1}");
    held.outcome();
    let busy = action(&place, &[], &touch);
    assert_eq!(busy.status.code(), Some(125), "{}", text(&busy));
    assert!(!place.path("touched").exists());
    drop(held.input.take());
    assert!(held.end().success());
    // The ledger goes away while it runs: it is not lost what came of it.
    let output = action(&place, &[], &["mv", "led", "gone"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(124), "{said}");
    assert!(said.contains("its exit code is 0, which is not recorded"), "{said}");
    fs::rename(place.path("gone"), place.path("led")).unwrap();
    place.expect(&["episode", "led", "run-1"], 0, &["1 of them without an outcome", "open: "]);
}

#[test]
fn actions_within_one_name_it_as_their_cause() {
    let place = place();
    let program = env!("CARGO_BIN_EXE_sigchain");
    let inner = [program, "action", "--actor", "agent:b", "led", "--", "true"];
    let output = action(&place, &[], &inner);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let found = entries(&place);
    assert_eq!(found.len(), 4);
    assert_eq!(found[1]["cause"], found[0]["event_id"]);
    assert_eq!(found[2]["cause"], found[1]["event_id"]);
    assert_eq!(found[3]["cause"], found[0]["event_id"]);
}

fn review(place: &Place, words: &[&str], exit: i32) -> String {
    let output = place.run(&[&["review"], words].concat());
    assert_eq!(output.status.code(), Some(exit), "{words:?}: {}", text(&output));
    text(&output)
}

/// The id of a review of `program`.
fn asked(place: &Place, deadline: &str, program: &[&str]) -> String {
    let words = [
        "review",
        "request",
        "led",
        "--actor",
        "agent:a",
        "--episode",
        "run-1",
        "--deadline",
        deadline,
        "--",
    ];
    let output = place.run(&[&words[..], program].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn what_is_reviewed_runs_once_and_only_if_somebody_else_agrees() {
    let place = place();
    let touch = ["touch", "touched"];
    let id = asked(&place, "+1h", &touch);
    let after = |program: &[&str], exit: i32, says: &str| {
        let output = action(&place, &["--after-review", &id], program);
        assert_eq!(output.status.code(), Some(exit), "{}", text(&output));
        assert!(text(&output).contains(says), "{}", text(&output));
    };
    after(&touch, 125, "waits for an approval");
    let listed = place.run(&["review", "list", "led", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    schema::check("review list", &listed);
    assert_eq!(listed["pending"][0]["review"], id.as_str());
    assert_eq!(listed["pending"][0]["proposal"]["payload"]["arguments"]["argv"], json!(touch));
    assert!(
        review(&place, &["approve", "led", &id, "--actor", "agent:a"], 1).contains("somebody else")
    );
    let said =
        review(&place, &["approve", "led", &id, "--actor", "human:dana", "--reason", "fine"], 0);
    assert!(said.contains("was approved by event"), "{said}");
    review(&place, &["veto", "led", &id, "--actor", "human:eve"], 1);
    after(&["touch", "other"], 125, "expected the intent that was approved");
    after(&touch, 0, "");
    assert!(place.path("touched").exists() && !place.path("other").exists());
    after(&touch, 125, "was used by event");
    place.expect(&["review", "list", "led"], 0, &["no review waits for a decision"]);
    place.expect(
        &["episode", "led", "run-1"],
        0,
        &["asks for a review", "approves: fine", "agent:a calls touch"],
    );
}

#[test]
fn silence_and_vetoes_allow_nothing() {
    let place = place();
    let vetoed = asked(&place, "+1h", &["true"]);
    review(&place, &["veto", "led", &vetoed, "--actor", "human:dana"], 0);
    let late = asked(&place, "+1s", &["true"]);
    std::thread::sleep(Duration::from_millis(1100));
    assert!(
        review(&place, &["approve", "led", &late, "--actor", "human:dana"], 1).contains("REVIEW")
    );
    for id in [&vetoed, &late] {
        let output = action(&place, &["--after-review", id], &["true"]);
        assert_eq!(output.status.code(), Some(125), "{}", text(&output));
    }
    let other = asked(&place, "+1s", &["true"]);
    std::thread::sleep(Duration::from_millis(1100));
    assert!(
        review(&place, &["expire", "led", "--actor", "system"], 0).contains("1 review expired")
    );
    assert!(
        review(&place, &["veto", "led", &other, "--actor", "human:dana"], 1).contains("REVIEW")
    );
    for wrong in ["+1x", "soon", "+", "-5m"] {
        let words = ["request", "led", "--actor", "a", "--deadline", wrong, "--", "true"];
        assert!(review(&place, &words, 2).contains("deadline"));
    }
    assert!(
        review(
            &place,
            &["request", "led", "--actor", "a", "--deadline", "2020-01-01T00:00:00Z", "--", "true"],
            1
        )
        .contains("REVIEW")
    );
}

/// Whoever reads what a program writes takes the time that it takes.
#[test]
fn a_slow_reader_gets_all_of_it() {
    let place = place();
    let mut command = place.command(&[&RUN[..], &["--", "seq", "1", "60000"]].concat());
    let mut running = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(5));
    let mut read = Vec::new();
    std::io::Read::read_to_end(running.stdout.as_mut().unwrap(), &mut read).unwrap();
    assert!(running.wait().unwrap().success());
    assert_eq!(read.len(), 348_894);
    let said = &entries(&place)[1]["payload"];
    assert_eq!(said["outputs"]["stdout"]["bytes"], 348_894);
    assert_eq!(said.get("outputs_cut"), None);
}
