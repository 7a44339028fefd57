//! The life of keys by the program: made, enrolled, rotated, lost, stolen, revoked, and approved elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use sigchain::key::PublicKey;

use crate::ledger::support::{Place, check, empty, place};
use crate::operator::{EVENT, active, file_of, json, with_operator};

fn key_files(place: &Place) -> usize {
    fs::read_dir(place.path("home/keys")).unwrap().count()
}

#[test]
fn a_new_key_is_two_files_and_replaces_none() {
    let place = empty();
    let said = place.expect(&["key", "new", "-o", "k"], 0, &["under no passphrase", "k.pub"]);
    let key = PublicKey::from_pem(&fs::read_to_string(place.path("k.pub")).unwrap()).unwrap();
    assert!(said.contains(&key.id().to_string()), "{said}");
    let mode = fs::metadata(place.path("k")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let openssl = Command::new("openssl")
        .args(["pkey", "-noout", "-in"])
        .arg(place.path("k"))
        .status()
        .unwrap();
    assert!(openssl.success());
    let before = fs::read(place.path("k")).unwrap();
    place.expect(&["key", "new", "-o", "k"], 2, &["FS_EXISTS"]);
    fs::write(place.path("l.pub"), "x").unwrap();
    place.expect(&["key", "new", "-o", "l"], 2, &["FS_EXISTS"]);
    assert!(!place.path("l").exists());
    assert_eq!(fs::read(place.path("k")).unwrap(), before);
    place.expect(&["key", "new", "-o", "no/k"], 4, &["KEY_FILE"]);
    place.expect(&["key", "new", "--role", "operator"], 2, &["-o FILE"]);
    place.expect(&["key", "new", "--role", "king"], 2, &["king"]);
    // At home, where signers look.
    let said = place.expect(
        &["key", "new", "--role", "checkpoint"],
        0,
        &["key enroll LEDGER --role checkpoint"],
    );
    assert!(said.contains("home/keys/"), "{said}");
    assert_eq!(key_files(&place), 2);
}

#[test]
fn a_passphrase_comes_from_a_file_and_is_needed_from_then_on() {
    let place = place();
    fs::write(place.path("pass"), "open sesame\n").unwrap();
    fs::write(place.path("wrong"), "sesame\n").unwrap();
    fs::write(place.path("empty"), "\n").unwrap();
    let said =
        place.expect(&["key", "new", "--passphrase-file", "pass"], 0, &["under the passphrase"]);
    let id = said.split("--new ").nth(1).unwrap().trim()[..32].to_owned();
    assert!(fs::read_to_string(file_of(&place, &id)).unwrap().starts_with("-----BEGIN ENCRYPTED"));
    for (file, says) in [("empty", "its first line is empty"), ("nope", "nope")] {
        place.expect(
            &["key", "new", "-o", "k", "--passphrase-file", file],
            4,
            &["PASSPHRASE", says],
        );
        assert!(!place.path("k").exists());
    }
    let old = active(&place, "entry").remove(0);
    let rotate = ["key", "rotate", "led", "--new", &id];
    place.expect(&rotate, 4, &["KEY_FILE", "no terminal"]);
    place.expect(&[&rotate[..], &["--passphrase-file", "pass"]].concat(), 0, &["rotated", &id]);
    fs::remove_file(file_of(&place, &old)).unwrap();
    place.expect(&EVENT, 4, &["KEY_FILE", "no terminal"]);
    place.expect(&[&EVENT[..], &["--passphrase-file", "wrong"]].concat(), 4, &["KEY_FILE"]);
    place.expect(&[&EVENT[..], &["--passphrase-file", "pass"]].concat(), 0, &["recorded"]);
    let mut by_environment = place.command(&EVENT);
    let output = by_environment.env("SIGCHAIN_PASSPHRASE_FILE", "pass").output().unwrap();
    check(&EVENT, &output, 0, &["recorded"]);
    place.expect(&["key", "show", "led"], 0, &["mode 0600, under a passphrase", "superseded"]);
    place.is_intact();
}

#[test]
fn a_routine_rotation_needs_nobody() {
    let place = place();
    place.expect(&EVENT, 0, &[]);
    for role in ["entry", "checkpoint"] {
        let old = active(&place, role).remove(0);
        let said = place.expect(
            &["key", "rotate", "led", "--role", role],
            0,
            &["rotated: ", &old, "back it up"],
        );
        let new = active(&place, role);
        assert_eq!(new.len(), 1);
        assert!(new[0] != old && said.contains(&new[0]));
        assert!(file_of(&place, &new[0]).exists());
    }
    place.expect(&EVENT, 0, &["recorded"]);
    let entry = active(&place, "entry").remove(0);
    place.expect(&["show", "led", "-0"], 0, &[&entry]);
    place.expect(&["checkpoint", "led"], 0, &["example.org/agents/"]);
    // A second key of this user's, which was never used.
    place.expect(&["key", "enroll", "led"], 0, &[]);
    let second = active(&place, "entry").into_iter().find(|id| *id != entry).unwrap();
    place.expect(&["key", "rotate", "led", "--old", &second], 0, &["in the place of", &second]);
    // Another's key is not this one's to end, and what was made for it is gone.
    let count = key_files(&place);
    let unknown = "00112233445566778899aabbccddeeff";
    place.expect(&["key", "rotate", "led", "--old", unknown], 5, &["KEY_STATE"]);
    place.expect(&["key", "rotate", "led", "--new", unknown], 4, &["KEY_FILE"]);
    place.expect(&["key", "rotate", "led", "--old", "x"], 2, &["no key id"]);
    place.expect(&["key", "rotate", "led", "--role", "operator"], 2, &["key enroll"]);
    place.expect(&["key", "rotate", "nope"], 4, &["FS_MISSING"]);
    assert_eq!(key_files(&place), count);
    place.is_intact();
}

#[test]
fn keys_are_enrolled_and_shown() {
    let place = place();
    let outcome = {
        let output = place.run(&["key", "enroll", "led", "--json"]);
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        crate::schema::check("append", &value);
        value
    };
    assert_eq!((&outcome["ok"], &outcome["sequence"]), (&true.into(), &1.into()));
    place.expect(
        &["key", "enroll", "led", "--role", "checkpoint"],
        0,
        &["enrolled: checkpoint key"],
    );
    assert_eq!((active(&place, "entry").len(), active(&place, "checkpoint").len()), (2, 2));
    let shown = json(&place, "key show", &["led"], 0);
    assert_eq!(shown["keys"][0]["custody"]["file"]["mode"], "0600");
    assert_eq!(shown["operators"].as_array().unwrap().len(), 0);
    place.expect(&["key", "show", "led"], 0, &["AT RISK", "here, mode 0600, no passphrase"]);
    // Without the key in use a checkpoint key needs an operator, and there is none.
    for id in active(&place, "checkpoint") {
        fs::remove_file(file_of(&place, &id)).unwrap();
    }
    let count = key_files(&place);
    place.expect(
        &["key", "enroll", "led", "--role", "checkpoint"],
        5,
        &["APPROVAL", "key approve"],
    );
    assert_eq!(key_files(&place), count);
    place.expect(&["key", "show", "led"], 0, &["elsewhere"]);
    place.expect(&["key", "show", "nope"], 4, &["FS_MISSING"]);
    // A file says the same.
    for form in ["sigchain", "jsonl"] {
        place.expect(&["export", "led", "-o", form, "--form", form], 0, &[]);
        assert_eq!(json(&place, "key show", &[form], 0), json(&place, "key show", &["led"], 0));
    }
    fs::write(place.path("other"), "x").unwrap();
    place.expect(&["key", "show", "other"], 4, &["FILE_MAGIC"]);
    place.expect(&["key", "enroll", "led", "--role", "operator", "--new", "nope"], 4, &["nope"]);
    place.is_intact();
}

#[test]
fn an_operator_revokes_from_elsewhere() {
    let place = with_operator();
    place.expect(&["key", "enroll", "led"], 0, &[]);
    let second = active(&place, "entry").remove(1);
    let revoke = ["key", "revoke", "led", "--old", &second, "--reason", "lost"];
    place.expect(&revoke, 2, &["-o PROPOSAL"]);
    let said = place.expect(
        &[&revoke[..], &["-o", "prop"]].concat(),
        0,
        &["nothing is changed yet", "as lost"],
    );
    assert!(!said.contains("AT RISK"), "{said}");
    place.expect(&[&revoke[..], &["-o", "prop"]].concat(), 2, &["FS_EXISTS"]);
    place.expect(
        &["key", "revoke", "led", "--approval", "prop"],
        5,
        &["APPROVAL", "nobody has approved"],
    );
    // By somebody who is no operator.
    place.expect(&["key", "new", "-o", "thief"], 0, &[]);
    let by = |key: &str, to: &str| {
        place.expect(
            &["key", "approve", "prop", "--operator-key", key, "-o", to],
            0,
            &["revokes key", &second],
        );
    };
    by("thief", "stolen");
    place.expect(&["key", "revoke", "led", "--approval", "stolen"], 5, &["APPROVAL"]);
    assert!(active(&place, "entry").contains(&second));
    by("op.pem", "appr");
    let said = place.expect(&["key", "approve", "prop", "--operator-key", "op.pem"], 0, &[]);
    assert!(
        said.contains(&fs::read_to_string(place.path("appr")).unwrap()),
        "the same on standard output"
    );
    place.expect(
        &["key", "approve", "prop", "--operator-key", "op.pem", "-o", "appr"],
        2,
        &["FS_EXISTS"],
    );
    place.expect(&["key", "rotate", "led", "--approval", "appr"], 2, &["sigchain key revoke"]);
    place.expect(
        &["key", "revoke", "led", "--approval", "appr", "--old", &second],
        2,
        &["--approval"],
    );
    place.expect(&["key", "revoke", "led", "--approval", "appr"], 0, &["revoked: ", "as lost"]);
    assert!(!active(&place, "entry").contains(&second));
    // Once more is the same change, and is there already.
    let entries = place.status()["entries"].clone();
    place.expect(&["key", "revoke", "led", "--approval", "appr"], 0, &["revoked: "]);
    assert_eq!(place.status()["entries"], entries);
    // Not for another chain.
    place.expect(&["init", "other", "--name", "example.org/b", "--operator", "op.pem.pub"], 0, &[]);
    place.expect(&["key", "revoke", "other", "--approval", "appr"], 5, &["CHAIN_ID"]);
    place.expect(
        &["key", "revoke", "led", "--old", &"0".repeat(32), "-o", "p2"],
        2,
        &["no entry key"],
    );
    place.is_intact();
}

#[test]
fn what_is_approved_is_what_is_signed() {
    let place = with_operator();
    let id = active(&place, "entry").remove(0);
    let last = ["AT RISK", "only key that signs entries", "--lost"];
    place.expect(&["key", "revoke", "led", "--old", &id, "-o", "prop"], 0, &last);
    let proposal = fs::read_to_string(place.path("prop")).unwrap();
    // What is said for people is not what is signed.
    let hostile =
        proposal.replace(&format!("revokes key {id} as superseded"), "\\u001b[2J harmless \\u202e");
    assert_ne!(hostile, proposal);
    fs::write(place.path("hostile"), hostile).unwrap();
    let approve = |name: &str, exit, says: &[&str]| {
        place.expect(&["key", "approve", name, "--operator-key", "op.pem", "-o", "x"], exit, says)
    };
    let said = approve("hostile", 0, &[&id]);
    assert!(!said.contains("harmless") && !said.contains('\u{1b}'), "{said}");
    fs::remove_file(place.path("x")).unwrap();
    for (name, bytes) in [
        ("nothing", String::new()),
        ("cut", proposal[..proposal.len() / 2].to_owned()),
        ("long", "x".repeat(200_000)),
        ("genesis", proposal.replace("key.revoke", "chain.genesis")),
        ("ctl\u{1b}[2J", "{\"form\":\"\u{9b}\"}".to_owned()),
    ] {
        fs::write(place.path(name), bytes).unwrap();
        let said = approve(name, 4, &["CHANGE_FILE"]);
        assert!(!said.contains('\u{1b}') && !said.contains('\u{9b}'), "{said:?}");
        assert!(!place.path("x").exists());
    }
    approve("missing", 4, &["FS_MISSING"]);
    place.expect(&["key", "approve", "prop"], 2, &["--operator-key"]);
    place.expect(&["key", "approve", "prop", "--operator-key", "op.pem.pub"], 4, &["KEY_FILE"]);
    fs::set_permissions(place.path("op.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    approve("prop", 4, &["KEY_FILE", "chmod 600"]);
}

#[test]
fn a_lost_key_is_replaced_with_an_operators_word() {
    let place = with_operator();
    place.expect(&EVENT, 0, &[]);
    let old = active(&place, "entry").remove(0);
    fs::remove_file(file_of(&place, &old)).unwrap();
    place.expect(&EVENT, 4, &["KEY_MISSING", &old]);
    place.expect(&["key", "rotate", "led"], 4, &["KEY_MISSING"]);
    place.expect(&["key", "rotate", "led", "--lost"], 2, &["-o PROPOSAL"]);
    place.expect(&["key", "rotate", "led", "--lost", "-o", "prop"], 0, &["ends key", &old]);
    place.expect(&["key", "approve", "prop", "--operator-key", "op.pem", "-o", "appr"], 0, &[]);
    place.expect(&["key", "rotate", "led", "--approval", "appr"], 0, &["in the place of", &old]);
    place.expect(&EVENT, 0, &["recorded"]);
    assert!(!active(&place, "entry").contains(&old));
    place.is_intact();
    // A checkpoint key that is lost, the same way.
    let old = active(&place, "checkpoint").remove(0);
    fs::remove_file(file_of(&place, &old)).unwrap();
    let lost = ["key", "rotate", "led", "--role", "checkpoint", "--lost", "-o", "prop2"];
    place.expect(&lost, 0, &[]);
    place.expect(&["key", "approve", "prop2", "--operator-key", "op.pem", "-o", "appr2"], 0, &[]);
    place.expect(&["key", "rotate", "led", "--approval", "appr2"], 0, &["rotated: checkpoint key"]);
    place.expect(&["checkpoint", "led"], 0, &[]);
    place.is_intact();
}

#[test]
fn a_stolen_key_is_believed_up_to_a_checkpoint() {
    let place = with_operator();
    place.expect(&EVENT, 0, &[]);
    let note = place.run(&["checkpoint", "led"]).stdout;
    fs::write(place.path("held"), note).unwrap();
    // The thief's own history, on a machine of his own.
    let thief = |words: &str| {
        let mut command = place.by("sh");
        command.args(["-ec", words]).env("SIGCHAIN_HOME", place.path("home2"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let program = env!("CARGO_BIN_EXE_sigchain");
    thief("cp -a led copy; mkdir -m 700 home2; cp -a home/keys home2/keys");
    thief(&format!("{program} append copy --type a.b --actor thief"));
    place.expect(&EVENT, 0, &[]);
    let stolen = active(&place, "entry").remove(0);
    place.expect(&["key", "rotate", "led"], 0, &[]);
    let revoke =
        ["key", "revoke", "led", "--old", &stolen, "--reason", "compromised", "-o", "prop"];
    place.expect(&revoke, 2, &["--trusted NOTE"]);
    place.expect(
        &["key", "revoke", "led", "--old", &stolen, "--trusted", "held", "-o", "p"],
        2,
        &["--reason compromised"],
    );
    place.expect(
        &[&revoke[..], &["--trusted", "held"]].concat(),
        0,
        &["nothing of it is believed beyond 2 entries"],
    );
    place.expect(
        &["key", "approve", "prop", "--operator-key", "op.pem", "-o", "appr"],
        0,
        &["beyond 2 entries"],
    );
    place.expect(&["key", "revoke", "led", "--approval", "appr"], 0, &["as compromised"]);
    place.expect(&["init", "other", "--name", "example.org/b"], 0, &[]);
    fs::write(place.path("foreign"), place.run(&["checkpoint", "other"]).stdout).unwrap();
    let foreign = [&revoke[..7], &["-o", "p2", "--trusted", "foreign"]].concat();
    place.expect(&foreign, 2, &["the checkpoint is of", "example.org/b"]);
    place.expect(&["key", "show", "led"], 0, &["compromised, trusted for the first 2 entries"]);
    place.expect(&["verify", "led"], 1, &["KEY_COMPROMISED"]);
    // [F-fork-1]: what the thief signs with it stops nothing.
    let says = ["forked", "NOT HALTED", &format!("{stolen}, which was revoked")];
    place.expect(&["verify", "led", "--against", "copy"], 1, &says);
    place.expect(&EVENT, 0, &[]);
}

#[test]
fn operators_change_who_is_one() {
    let place = with_operator();
    place.expect(&["key", "new", "--role", "operator", "-o", "second"], 0, &[]);
    let enroll = ["key", "enroll", "led", "--role", "operator", "--new", "second.pub"];
    place.expect(&enroll, 5, &["APPROVAL"]);
    place.expect(&[&enroll[..], &["-o", "prop"]].concat(), 0, &["2 operators"]);
    place.expect(
        &["key", "approve", "prop", "--operator-key", "op.pem", "-o", "appr"],
        0,
        &["2 operators"],
    );
    place.expect(&["key", "enroll", "led", "--approval", "appr"], 0, &["who the operators are"]);
    let revoke =
        ["key", "revoke", "led", "--role", "operator", "--old", "op.pem.pub", "-o", "prop2"];
    place.expect(&revoke, 0, &["1 operator"]);
    place.expect(&["key", "approve", "prop2", "--operator-key", "second", "-o", "appr2"], 0, &[]);
    place.expect(&["key", "revoke", "led", "--approval", "appr2"], 0, &[]);
    assert_eq!(json(&place, "key show", &["led"], 0)["operators"].as_array().unwrap().len(), 1);
    let last = ["key", "revoke", "led", "--role", "operator", "--old", "second.pub", "-o", "p4"];
    place.expect(&last, 2, &["one at least"]);
    place.expect(
        &["key", "revoke", "led", "--role", "operator", "--old", "op.pem.pub", "-o", "p3"],
        2,
        &["none of this chain"],
    );
    place.is_intact();
}

/// A disk that takes nothing: no key, no proposal and no approval is left, nor any page.
#[test]
fn a_full_disk_leaves_no_file() {
    let place = with_operator();
    let id = active(&place, "entry").remove(0);
    let revoke = ["key", "revoke", "led", "--old", &id, "-o"];
    place.expect(&[&revoke[..], &["prop"]].concat(), 0, &[]);
    for (args, file) in [
        (&["key", "new", "-o", "x"][..], "x"),
        (&["key", "new", "-o", "x"], "x.pub"),
        (&[&revoke[..], &["x"]].concat(), "x"),
        (&["key", "approve", "prop", "--operator-key", "op.pem", "-o", "x"], "x"),
        (&["man", "--all", "-o", "pages"], "pages/sigchain.1"),
    ] {
        let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
        let mut command = place.by("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_sigchain")]).args(args);
        check(args, &command.output().unwrap(), 4, &["sigchain: "]);
        assert!(!place.path(file).exists(), "{args:?}");
    }
    let left = fs::read_dir(place.dir.path()).unwrap().count();
    assert_eq!(left, 6, "home, led, op.pem, its public half, prop, pages");
    assert_eq!(fs::read_dir(place.path("pages")).unwrap().count(), 0);
}

/// A change needs the ledger alone; who comes too early leaves nothing behind.
#[test]
fn a_change_while_somebody_writes_is_7_and_leaves_no_key() {
    let place = place();
    let count = key_files(&place);
    let mut lines = place.lines(&[]);
    lines.send("{\"type\":\"a.b\",\"payload\":1}");
    assert_eq!(lines.outcome().unwrap()["ok"], true);
    place.expect(&["key", "rotate", "led"], 7, &["LEDGER_BUSY"]);
    place.expect(&["key", "enroll", "led"], 7, &["LEDGER_BUSY"]);
    assert_eq!(key_files(&place), count);
    assert_eq!(lines.end().code(), Some(0));
    place.expect(&["key", "rotate", "led", "--wait", "5"], 0, &[]);
}

/// Another user sees that he may not, and by which code. Needs root.
#[test]
fn another_user_may_not() {
    let place = place();
    let user = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let mut command = place.by("setpriv");
    command.args(user).arg(env!("CARGO_BIN_EXE_sigchain")).args(["key", "show", "led"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let is_not_root = said.contains("setresuid") || said.contains("setgroups");
    if is_not_root {
        return;
    }
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("FS_PERMISSION"), "{said}");
    let mut command = place.by("setpriv");
    command.args(user).arg(env!("CARGO_BIN_EXE_sigchain")).args(["key", "new", "-o", "theirs"]);
    check(&["key", "new"], &command.output().unwrap(), 4, &["KEY_FILE", "ermission"]);
    assert!(!place.path("theirs").exists());
}
