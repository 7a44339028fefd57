//! `verify --resume`: less work, and never less said.

use std::fs;

use crate::ledger::support::{Place, flip, place};

const SEGMENT: &str = "led/segment-0000000000";

/// So many entries, anchored on this machine.
fn filled(count: u64) -> Place {
    let place = place();
    let mut lines = place.lines(&[]);
    for number in 0..count {
        lines.send(&format!("{{\"type\":\"a.b\",\"payload\":{number}}}"));
        assert_eq!(lines.outcome().unwrap()["ok"], true);
    }
    assert_eq!(lines.end().code(), Some(0));
    place
}

fn report(place: &Place, args: &[&str], exit: i32) -> serde_json::Value {
    let output = place.command(&[args, &["--json"]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(exit), "{}", crate::ledger::support::text(&output));
    let value = serde_json::from_slice(&output.stdout).unwrap();
    crate::schema::check("verify", &value);
    value
}

/// What this machine has anchored is the earlier result, in every form of the answer.
#[test]
fn a_ledger_resumes_from_what_this_machine_has_anchored() {
    let place = filled(9);
    let verify = ["verify", "led", "--resume"];
    let said = "9 signatures not looked at: taken on the word of the largest checkpoint that this machine has anchored";
    place.expect(&verify, 0, &["intact: ", said]);
    let value = report(&place, &verify, 0);
    assert_eq!((&value["taken_on_word"], &value["word"]), (&9.into(), &"machine".into()));
    let reports = ["--report", "a.html", "--report", "a.json", "--report", "a.sarif"];
    place.expect(&[&verify[..], &reports].concat(), 0, &["intact: ", said]);
    let page = fs::read_to_string(place.path("a.html")).unwrap();
    for part in [said, "except for 9 signatures, which were taken on the word of a checkpoint"] {
        assert!(page.contains(part), "{part}");
    }
    let file: serde_json::Value =
        serde_json::from_slice(&fs::read(place.path("a.json")).unwrap()).unwrap();
    assert_eq!(file["taken_on_word"], 9);
    // Not the whole story without it.
    assert_eq!(report(&place, &["verify", "led"], 0)["word"], serde_json::Value::Null);
    // A larger one that was given is the one whose word is taken; of a smaller one the machine's.
    place.expect(&["checkpoint", "led", "-o", "note"], 0, &[]);
    let given = [&verify[..], &["--checkpoint", "note"]].concat();
    assert_eq!(report(&place, &given, 0)["word"], "given");
    place.expect(&["append", "led", "--type", "a.b", "--actor", "a"], 0, &[]);
    assert_eq!(report(&place, &given, 0)["word"], "machine");
    // A gate is looked for as without it.
    place.expect(
        &[&verify[..], &["--require-gate", "a.b"]].concat(),
        1,
        &["ungated: 10 outcomes", "not looked at"],
    );
}

/// Whatever does not fit is looked at again, whole, and the faults are those that there would have been without it.
#[test]
fn what_does_not_fit_is_looked_at_whole() {
    for at in [700, 1500, 2500] {
        let place = filled(9);
        flip(&place.path(SEGMENT), at);
        let (resumed, whole) = (
            report(&place, &["verify", "led", "--resume"], 1),
            report(&place, &["verify", "led"], 1),
        );
        assert_eq!(resumed, whole, "byte {at}");
        let said = place.expect(
            &["verify", "led", "--resume", "--report", "a.html"],
            1,
            &["faulty: ", "all of it is looked at"],
        );
        assert!(!said.contains("not looked at: taken"), "{said}");
        assert!(!fs::read_to_string(place.path("a.html")).unwrap().contains("except for"));
    }
}

#[test]
fn without_anything_anchored_all_is_looked_at() {
    let place = filled(3);
    fs::remove_dir_all(place.path("home/anchors")).unwrap();
    let verify = ["verify", "led", "--resume", "--chain-id", &place.line[1]];
    let said = place.expect(&verify, 0, &["there is nothing to resume from", "intact: "]);
    assert!(!said.contains("not looked at"), "{said}");
    assert_eq!(report(&place, &verify, 0)["taken_on_word"], 0);
    // A file is nobody's in particular.
    place.expect(&["export", "led", "-o", "x.sigchain"], 0, &[]);
    place.expect(
        &["verify", "x.sigchain", "--resume"],
        2,
        &["--resume of a file without --checkpoint"],
    );
}
