//! The page for people.

use std::fs;
use std::os::unix::fs::symlink;

use sigchain::digest::Digest;

use crate::report::{beside, desk, page, recorded, says, tags, vector, words};

/// The verdict comes with what it rests on, and with what it cannot show.
#[test]
fn an_intact_record_in_words() {
    let place = desk(&["run.sigchain", "held.checkpoint"]);
    let held = ["--checkpoint", "held.checkpoint"];
    let said = page(&place, "run.sigchain", &held, 0);
    says(
        &said,
        &[
            "Intact",
            "No fault was found in 14 entries, and something that was held outside vouches for it.",
            "Held checkpoint: the first 10 entries are exactly those that existed when that checkpoint was made.",
            "Beyond that: 4 entries, signed by the chain's own keys.",
            "What it cannot show That what an entry says is true",
            "Which person or system holds a key.",
            "Not checked Whether an event id occurs twice",
            "Entries over time 14 entries from ",
            "tool.call 2 14.2 %",
            "agent:planner",
            "By way of capture Way Entries Share gate 8 ",
            "Open actions 5 intents",
            "History of keys",
            "begins with entry key",
            "No anomaly of the clock is recorded.",
            "No entry says that anybody took a part of this record out.",
            "checkpoint of 10 entries, root ",
        ],
    );
    for name in ["run.sigchain", "held.checkpoint"] {
        let bytes = fs::read(place.path(name)).unwrap();
        let size = crate::report::grouped(bytes.len());
        says(&said, &[&format!("{name} "), &format!(" {size} {}", Digest::of(&[&bytes]))]);
    }
    says(
        &page(&place, "run.sigchain", &["--unique", held[0], held[1]], 0),
        &["all event ids were compared"],
    );
    let unvouched = page(&place, "run.sigchain", &[], 3);
    says(&unvouched, &["Not vouched for", "anybody can make such a file", "Held before Nothing."]);
    assert!(!words(&unvouched).contains("Intact"));
}

#[test]
fn a_faulty_record_in_words() {
    let place = desk(&["attack-1.sigchain", "attack-10.sigchain", "held.checkpoint"]);
    let held = ["--checkpoint", "held.checkpoint"];
    let said = page(&place, "attack-1.sigchain", &held, 1);
    says(
        &said,
        &[
            "Faulty This is not what was signed. 1 fault found",
            "The first fault that can be placed is at entry ",
            "FRAME_BODY 1 content A frame whose body is not what was written.",
            "From here on this report is about the entries before the first fault",
            "sigchain log attack-1.sigchain --unverified --since ",
        ],
    );
    says(
        &page(&place, "attack-10.sigchain", &held, 1),
        &["ANCHOR_AHEAD", "it was cut or rolled back"],
    );
    fs::write(place.path("none"), "nothing of ours").unwrap();
    says(&page(&place, "none", &[], 4), &["Unreadable", "FILE_MAGIC", "none verified 15 "]);
}

/// A digest is of all of the file, also where reading it ended early.
#[test]
fn the_digest_is_of_the_whole_file() {
    let place = desk(&["run.sigchain"]);
    let mut bytes = fs::read(place.path("run.sigchain")).unwrap();
    // The head of the first frame: nothing behind it can be read.
    bytes[9] ^= 1;
    bytes.resize(bytes.len() + 300_000, 7);
    fs::write(place.path("cut.sigchain"), &bytes).unwrap();
    let said = page(&place, "cut.sigchain", &[], 4);
    says(&said, &[&Digest::of(&[&bytes]).to_string()]);
}

#[test]
fn what_is_not_here_and_what_happened_to_keys() {
    let place = desk(&["mixed.sigchain"]);
    let said = page(&place, "mixed.sigchain", &["--allow-self-asserted"], 0);
    says(
        &said,
        &[
            "Withheld 1 payload, of entry 5",
            "Hidden in part 1 payload, of entry 4",
            "Authorised by entry Time Actor Erased What it says 7 ",
            "1 payload, of entry 6 1 entry named;",
            r"agent:\u{202e}evil",
        ],
    );
    for (name, exit, parts) in [
        (
            "gap-lost-resolved",
            3,
            &["damaged for good", "An operator has given up as damaged for good: entries "][..],
        ),
        ("every-kind", 3, &["A seal vouches that no entry", "7 1 left out of this file"]),
        ("gap-unsealed", 3, &["No seal vouches that no entry"]),
        ("key-rotated", 3, &["rotated: entry key ", " in the place of "]),
        ("key-lost", 3, &["revoked: key ", ", lost; approved by 1 key"]),
        ("key-compromised-in-time", 3, &[", compromised; trusted for the first "]),
        ("key-operators", 3, &["operators from here on: "]),
        ("abandoned-signer", 3, &["Interruptions What the ledger wrote", "never part of it"]),
        ("open-families", 3, &["Anomalies of the clock"]),
        ("succession", 3, &["Continues chain", "The chain that this one continues"]),
        ("attachment-rfc3161", 3, &["1 attachment: they are not covered"]),
    ] {
        fs::write(place.path(name), vector(name)).unwrap();
        says(&page(&place, name, &[], exit), parts);
    }
}

#[test]
fn access_and_open_actions_are_listed() {
    let id = |n: u32| format!("01890000-0000-7000-8000-0000000000{n:02}");
    let line = |n: u32, kind: &str, rest: &str| {
        format!("{{\"type\":\"{kind}\",\"event_id\":\"{}\",{rest}}}", id(n))
    };
    let lines = [
        line(1, "test.call", r#""payload":{"capture":"manual"}"#),
        line(
            2,
            "test.result",
            &format!(r#""payload":{{"capture":"screenshot"}},"cause":"{}""#, id(1)),
        ),
        line(3, "lab.request", r#""payload":{}"#),
        // Of another family: no outcome of it.
        line(4, "test.result", &format!(r#""payload":{{}},"cause":"{}""#, id(3))),
        line(5, "access.export", r#""payload":{"who":"auditor","purpose":"audit"}"#),
        line(6, "capture.gap", r#""payload":{"reason":"the disk was full"}"#),
    ];
    let place = recorded(&lines);
    let said = page(&place, "led", &[], 0);
    says(
        &said,
        &[
            "Open actions 2 intents (types that end in .call or .request); 1 have no outcome",
            "lab.request agent:a",
            "access.export agent:a {\"who\":\"auditor\",\"purpose\":\"audit\"}",
            "capture.gap agent:a {\"capture\":\"manual\",\"reason\":\"the disk was full\"}",
            "manual 2 ",
            "another word 1 ",
            "The ledger's files were read as one stream",
            "led verified ",
            "anchored on this machine checkpoint ",
        ],
    );
}

/// Names of files, actors, types and payloads are text, whatever they hold.
#[test]
fn hostile_texts_stay_texts() {
    let hostile = "<script>alert(1)</script>\\\"'&<!-- \\u202e\\u2066]]>\\u0085x";
    let lines: Vec<String> = ["access.x", "test.call", "a.b"]
        .map(|kind| {
            format!("{{\"type\":\"{kind}\",\"payload\":{{\"a\":\"{hostile}\"}},\"actor\":\"</title>{hostile}\"}}")
        })
        .into();
    let lines: Vec<String> = lines.into_iter().map(|line| line.replace("\\u0085", "")).collect();
    let place = recorded(&lines);
    let file = "a\"><script>x\u{202e}'$(touch pwned)&\n.sigchain";
    place.expect(&["export", "led", "-o", file], 0, &[]);
    let said = page(&place, file, &[], 3);
    says(&said, &["</title><script>alert(1)</script>\"'&<!-- \\u{202e}\\u{2066}]]>"]);
    assert!(!tags(&said).iter().any(|tag| tag.contains("script")));
    for ending in ["junit.xml", "sarif"] {
        let path = beside(&place, ending);
        let name = path.to_string_lossy().into_owned();
        place.expect(&["verify", file, "--report", &name], 3, &[]);
        let text = fs::read_to_string(path).unwrap();
        assert!(!text.contains("<script") && !text.contains('\u{202e}'), "{text}");
    }
    assert!(!place.path("pwned").exists());
}

/// However much there is, and whatever it is made of.
#[test]
fn a_page_stays_small() {
    let evil = "&\\u202e".repeat(60);
    let lines: Vec<String> = (0..3000)
        .map(|n| {
            let kind =
                [format!("access.x.n{n}"), format!("test.call.n{n}"), "capture.gap".to_owned()];
            let kind = &kind[n % 3];
            let payload = format!("{{\"{evil}\":\"{evil}\",\"reason\":\"{evil}\"}}");
            let actor = "\\\"".repeat(200);
            format!("{{\"type\":\"{kind}\",\"payload\":{payload},\"actor\":\"a{n}{actor}\"}}")
        })
        .collect();
    let place = recorded(&lines);
    let said = page(&place, "led", &["--require-gate", "*"], 1);
    assert!(said.len() < 300 << 10, "{}", said.len());
    says(&said, &["at least 988 others", " more, not listed here."]);
}

/// What the page says about how to repeat it can be done just so.
#[test]
fn its_commands_work() {
    let place = desk(&["run.sigchain", "held.checkpoint", "attack-2.sigchain"]);
    fs::create_dir(place.path("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_sigchain"), place.path("bin/sigchain")).unwrap();
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/verifier/verify.py");
    for (file, exit) in [("run.sigchain", 0), ("attack-2.sigchain", 1)] {
        let said = page(&place, file, &["--checkpoint", "held.checkpoint", "--threads", "1"], exit);
        let blocks = said.split("<pre><code>").skip(1);
        let blocks = blocks.map(|block| block.split_once("</code>").unwrap().0);
        let commands: Vec<&str> = blocks.flat_map(str::lines).collect();
        assert!(commands.len() >= 6, "{commands:?}");
        for command in commands {
            let mut shell = place.by("sh");
            let path = format!("{}:/usr/local/bin:/usr/bin:/bin", place.path("bin").display());
            let output = shell
                .args(["-c", &command.replace("verify.py", python)])
                .env("PATH", path)
                .output();
            let output = output.unwrap();
            let code = output.status.code();
            let said = String::from_utf8_lossy(&output.stderr);
            if command.contains("verify") {
                assert_eq!(code, Some(exit), "{command}: {said}");
            }
            // The others judge against nothing that was held; what matters is that they can be called.
            assert!([Some(0), Some(1), Some(3)].contains(&code), "{command}: {said}");
        }
    }
}

/// A reader of screens finds its way: one first heading, none left out, each table and picture named.
#[test]
fn it_is_built_for_everybody() {
    let place = desk(&["attack-1.sigchain"]);
    let said = page(&place, "attack-1.sigchain", &[], 1);
    let tags = tags(&said);
    let count = |begin: &str| tags.iter().filter(|tag| tag.starts_with(begin)).count();
    assert_eq!((count("h1"), count("main"), count("html lang=\"en\"")), (1, 1, 1));
    assert_eq!(count("table"), count("caption"));
    assert_eq!(count("th"), count("th scope=") + count("thead"));
    let pictures = tags.iter().filter(|tag| tag.starts_with("svg"));
    for picture in pictures {
        assert!(
            picture.contains("aria-hidden=\"true\"")
                || picture.contains("role=\"img\" aria-labelledby="),
            "{picture}"
        );
    }
    let levels: Vec<u32> = tags
        .iter()
        .filter_map(|tag| {
            tag.strip_prefix('h')
                .filter(|rest| rest.len() == 1)
                .and_then(|level| level.parse().ok())
        })
        .collect();
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
}
