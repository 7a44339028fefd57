//! `sigchain episode`: what people and programs read of one.

use serde_json::{Value, json};

use crate::ledger::support::{Place, place, text};
use crate::schema;

fn id(n: u32) -> String {
    format!("01890000-0000-7000-8000-0000000000{n:02}")
}

/// A record of two episodes, one of them with everything in it.
fn recorded() -> Place {
    let place = place();
    let mut running = place.lines(&["--episode", "run-7"]);
    let long = (0..40).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
    let asked = json!([
        {"role": "user", "content": "What to do?"},
        {"role": "user", "parts": [{"type": "text", "content": "about order 1881?\nIt came back."}]},
    ]);
    let answered = json!([{"role": "assistant", "parts": [
        {"type": "tool_call", "name": "orders.get", "arguments": {"order": 1881}},
    ]}]);
    for (n, kind, cause, payload) in [
        (1, "episode.start", None, json!({"goal": "a refund\u{1b}[2J"})),
        (2, "llm.request", Some(1), json!({"model": "m-1", "messages": asked})),
        (3, "llm.response", Some(2), json!({"output_tokens": 1033, "messages": answered})),
        (4, "tool.call", Some(3), json!({"tool": "orders.get", "arguments": {"order": 1881}})),
        (5, "tool.result", Some(4), json!({"result": long})),
        (
            6,
            "review.request",
            None,
            json!({
                "proposal": {"type": "tool.call", "actor": "agent:planner",
                    "payload": {"tool": "payments.refund", "arguments": {"sum": 40}}},
                "policy": {"approvals": 2, "reviewers": ["human:ada", "human:dana"]},
                "deadline": "2099-01-01T00:00:00.123456Z",
            }),
        ),
        (7, "review.veto", Some(6), json!({"reason": "too much"})),
        (8, "tool.call", Some(99), json!({"tool": "mail"})),
        (
            9,
            "tool.error",
            Some(8),
            json!({"kind": "timeout", "error_type": "timeout", "message": "no answer"}),
        ),
        (10, "tool.call", Some(4), json!({"tool": "payments.refund"})),
        (11, "own.thing", None, json!({"a": 1})),
        (12, "episode.end", None, json!({"status": "failed"})),
        (13, "retrieval.request", None, json!({"source": "policy", "query": "days"})),
        (14, "retrieval.result", Some(13), json!({"count": 1, "documents": [{"id": "thirty"}]})),
        (15, "llm.request", None, json!({"model": "m-1"})),
        (16, "llm.error", Some(15), json!({"kind": "error", "error_type": "a::b::Busy"})),
        (17, "capture.gap", None, json!({"reason": "full", "missed": 2, "source": "telephone"})),
    ] {
        let mut line =
            json!({"type": kind, "event_id": id(n), "payload": payload, "actor": "agent:planner"});
        if let Some(cause) = cause {
            line["cause"] = id(cause).into();
        }
        if kind == "review.veto" {
            line["actor"] = "human:dana".into();
        }
        running.send(&line.to_string());
    }
    running.send(
        &json!({"type": "note", "actor": "b", "payload": "x", "episode": "run-8"}).to_string(),
    );
    drop(running.input.take());
    for outcome in running.outcomes() {
        assert_eq!(outcome["ok"], true, "{outcome}");
    }
    assert!(running.end().success());
    place
}

#[test]
fn an_episode_reads_as_a_transcript() {
    let place = recorded();
    let said = place.expect(&["episode", "led", "run-7"], 0, &[]);
    for part in [
        "begins: a refund\\u{1b}[2J",
        "asks model m-1",
        "(1 earlier messages)",
        "| user: about order 1881?",
        "| It came back.",
        "model m-1 answers (1,033 out)",
        "| assistant: wants orders.get {\"order\":1881}",
        "calls orders.get {\"order\":1881}",
        "orders.get gives a result",
        "| line 11",
        "(28 more lines: --whole shows them)",
        "asks for a review until 2099-01-01T00:00:00.123Z",
        "| proposed: agent:planner calls payments.refund {\"sum\":40}",
        "| 2 of these must approve: human:ada, human:dana",
        "human:dana",
        "vetoes: too much",
        "mail does not end in its time: no answer",
        "| a: 1",
        "ends, failed",
        "looks in policy for days",
        "policy gives 1 document ",
        "| thirty",
        "model m-1 fails (Busy)",
        "NOT CAPTURED, 2 events of telephone: full",
        "17 entries, 7 intents, 1 of them without an outcome",
        "by way of capture: manual 16, not stated 1",
        "open: 10 tool.call by agent:planner",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Only what answers its cause took the time since then.
    let took = |part: &str| said.lines().any(|line| line.contains(part) && line.ends_with(']'));
    assert!(took("orders.get gives") && took("vetoes") && !took("calls payments"), "{said}");
    assert!(!said.contains("| line 12") && !said.contains('\u{1b}') && !said.contains("note"));
    assert!(
        place.expect(&["episode", "led", "run-7", "--whole"], 0, &["| line 39"]).len() > said.len()
    );
}

#[test]
fn an_episode_reads_as_a_tree() {
    let place = recorded();
    let said = place.expect(&["episode", "led", "run-7", "--tree"], 0, &[]);
    let at = |part: &str| {
        let line = said.lines().find(|line| line.contains(part));
        let line = line.unwrap_or_else(|| panic!("{part}: {said}"));
        line.len() - line.trim_start().len()
    };
    assert_eq!(
        ["begins", "asks model", "answers", "calls orders.get", "orders.get gives"].map(at),
        [2, 4, 6, 8, 10]
    );
    // Its cause is not in the episode.
    assert_eq!([at("calls mail"), at("mail does not end")], [2, 4]);
    assert!(said.contains(&format!("calls mail  <- {}, elsewhere", id(99))), "{said}");
}

#[test]
fn programs_read_it_as_json_and_lists_name_them() {
    let place = recorded();
    let read = |args: &[&str]| -> Value {
        let output = place.run(args);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let value = serde_json::from_slice(&output.stdout).unwrap();
        schema::check("episode", &value);
        value
    };
    let one = read(&["episode", "led", "run-7", "--json"]);
    assert_eq!(one["entries"].as_array().unwrap().len(), 17);
    assert_eq!(one["entries"][8]["text"], "mail does not end in its time: no answer");
    assert_eq!((&one["open"], &one["intents"]), (&json!([10]), &json!(7)));
    let all = read(&["episode", "led", "--json"]);
    let ids: Vec<_> =
        all["episodes"].as_array().unwrap().iter().map(|e| e["episode_id"].clone()).collect();
    assert_eq!(ids, ["run-7", "run-8"]);
    let first = &all["episodes"][0];
    assert_eq!((&first["status"], &first["entries"]), (&json!("failed"), &json!(17)));
    place.expect(&["episode", "led"], 0, &["run-7", "failed", "a refund"]);
    place.expect(
        &["episode", "led", "run-9"],
        1,
        &["no entry that is here is of episode \"run-9\""],
    );
    place.expect(&["episode"], 2, &["no ledger was named"]);
    let mut named = place.command(&["episode", "run-8"]);
    let output = named.env("SIGCHAIN_LEDGER", place.path("led")).output().unwrap();
    assert!(output.status.success() && text(&output).contains("| \"x\""), "{}", text(&output));
}
