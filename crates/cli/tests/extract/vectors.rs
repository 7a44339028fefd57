//! Every sound test vector, taken out again in every way: whatever a chain holds, both verifiers accept what is left of it.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sigchain::chainfile::MAGIC;

use crate::extract::judged_elsewhere;
use crate::ledger::support::{Place, empty, text};

fn read(place: &Place, name: &str) -> Vec<u8> {
    fs::read(place.path(name)).unwrap()
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors")
}

/// Header and body of a vector.
fn split(name: &str) -> (String, Vec<u8>) {
    let bytes = fs::read(folder().join(name)).unwrap();
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
    (String::from_utf8(bytes[..=end].to_vec()).unwrap(), bytes[end + 2..].to_vec())
}

/// A vector as a file; its name.
pub(super) fn unpack(place: &Place, name: &str) -> String {
    let (_, body) = split(name);
    let file = format!("{name}.in");
    fs::write(place.path(&file), body).unwrap();
    file
}

#[test]
fn whatever_a_chain_holds_can_be_taken_out() {
    let place = empty();
    let mut files = Vec::new();
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|name| name.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.contains('.'))
        .collect();
    names.sort();
    for name in names {
        let (header, _) = split(&name);
        let line =
            |key: &str| header.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        let expected = line("expect: ").unwrap();
        if expected != "intact" && expected != "unvouched" {
            continue;
        }
        let input = unpack(&place, &name);
        // Some are only wrong if event ids are compared, which an export does not.
        for (more, ending) in [
            (&[][..], "whole.sigchain"),
            (&["--type", "no.*", "--type", "chain.genesis"], "least.jsonl"),
            (&["--until", "0", "--withhold", "*"], "front.sigchain"),
        ] {
            let file = format!("{name}.{ending}");
            let args = [&["export", &input, "-o", &file], more].concat();
            let output = place.run(&args);
            assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output));
            let (read, written) = (read(&place, &input), read(&place, &file));
            if more.is_empty() && read.starts_with(&MAGIC) {
                assert!(read == written, "{name}: not a byte changes");
            }
            files.push((file, Vec::new(), line("chain-id: ")));
        }
    }
    assert!(files.len() > 100, "{}", files.len());
    for (answer, (file, _, chain)) in judged_elsewhere(&place, &files).iter().zip(&files) {
        let ours = verified(&place, file, chain.as_deref());
        assert_eq!(answer["faults"], Value::Array(Vec::new()), "{file}: {answer}");
        for same in ["exit", "entries", "verdict", "withheld", "erased"] {
            assert_eq!(answer[same], *of(&ours, same), "{file}: {same} of {answer} and {ours}");
        }
    }
}

fn verified(place: &Place, file: &str, chain: Option<&str>) -> Value {
    let held: Vec<&str> = chain.map_or(Vec::new(), |chain| vec!["--chain-id", chain]);
    let output = place.run(&[&["verify", file, "--json"], &held[..]].concat());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn of<'v>(report: &'v Value, key: &str) -> &'v Value {
    match key {
        "withheld" | "erased" => &report["payloads"][key],
        _ => &report[key],
    }
}
