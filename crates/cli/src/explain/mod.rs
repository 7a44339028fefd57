//! `sigchain explain`: what a code means, what it may come from, what to do next.

mod errors;
mod faults;

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sigchain::fault::Code;

use crate::args::ExplainOptions;
use crate::exit::TABLE;
use crate::json;
use crate::out;
use crate::trouble::Trouble;

/// Names that are suggested.
const NEAREST: usize = 4;

/// Something that can be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Explanation {
    code: String,
    /// fault, error, exit or verdict.
    kind: &'static str,
    meaning: String,
    causes: &'static str,
    next: &'static str,
}

/// What a verification comes to, with the exit code.
const VERDICTS: &[(&str, &str, &str, &str)] = &[
    (
        "intact",
        "No fault, and something that you held vouches for it. Exit code 0.",
        "Every entry up to the anchor is what was signed, in order, none missing, added or changed since.",
        "Nothing. What lies beyond the anchor is signed by the chain's own keys only.",
    ),
    (
        "faulty",
        "Something is wrong with the data. Exit code 1.",
        "The faults that are listed say where and what; each has a code.",
        "Keep the file as it is. sigchain explain CODE for each fault.",
    ),
    (
        "unvouched",
        "No fault, and nothing that you held ties it to anybody. Exit code 3.",
        "You gave no key, chain id or checkpoint; or one that you gave is missing from the file; or gaps are not proven.",
        "Give what you hold: --chain-id, --key or --checkpoint.",
    ),
    (
        "unreadable",
        "It is no chain file, no JSON lines and no ledger of format version 1. Exit code 4.",
        "Another file was named, a newer sigchain wrote it, or its beginning is damaged.",
        "Name the file itself; sigchain --version says which format this one reads.",
    ),
];

pub(crate) fn run(asked: &ExplainOptions) -> Result<u8, Trouble> {
    let all = all();
    let found: Vec<&Explanation> = match &asked.code {
        None => all.iter().collect(),
        Some(code) => {
            let wanted = plain(code);
            let found: Vec<&Explanation> =
                all.iter().filter(|known| plain(&known.code) == wanted).collect();
            if found.is_empty() {
                return Err(unknown(code, &all));
            }
            found
        }
    };
    let text = if asked.json {
        json(&found)?
    } else if asked.code.is_none() {
        listed(&found)
    } else {
        explained(&found)
    };
    out::print(&text).map(|()| 0)
}

/// As it may have been typed.
fn plain(code: &str) -> String {
    code.trim_end_matches(':').to_ascii_uppercase().replace('-', "_")
}

fn unknown(code: &str, all: &[Explanation]) -> Trouble {
    let wanted = plain(code);
    // A number is near to every short word.
    let words = all.iter().filter(|known| known.kind != "exit");
    let mut near: Vec<(usize, &str)> =
        words.map(|known| (distance(&wanted, &plain(&known.code)), &*known.code)).collect();
    near.sort_unstable();
    near.dedup();
    let names: Vec<&str> = near.iter().take(NEAREST).map(|(_, name)| *name).collect();
    let what = format!("there is no code \"{}\"", out::safe(code));
    let expected = format!("a code, such as {}", names.join(", "));
    Trouble::usage(what, &expected).advising("sigchain explain lists all of them")
}

/// How many letters have to be changed, added or taken away.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut next = vec![i.saturating_add(1)];
        for (y, pair) in b.iter().zip(row.windows(2)) {
            let [corner, above] = pair else { continue };
            let left = next.last().copied().unwrap_or_default();
            let same = if x == *y { *corner } else { corner.saturating_add(1) };
            next.push(same.min(above.saturating_add(1)).min(left.saturating_add(1)));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Everything that there is to explain: exit codes, verdicts, faults, errors.
fn all() -> Vec<Explanation> {
    let exits = TABLE.iter().map(|exit| Explanation {
        code: exit.code.to_string(),
        kind: "exit",
        meaning: format!("{}.", exit.meaning),
        causes: exit.causes,
        next: exit.next,
    });
    let verdicts = VERDICTS.iter().map(|(code, meaning, causes, next)| Explanation {
        code: (*code).to_owned(),
        kind: "verdict",
        meaning: (*meaning).to_owned(),
        causes,
        next,
    });
    let faults = Code::ALL.iter().map(|code| {
        let (causes, next) = faults::words(*code).unwrap_or_default();
        let meaning = code.meaning().trim().to_owned();
        Explanation { code: code.as_str().to_owned(), kind: "fault", meaning, causes, next }
    });
    let errors = errors::all().map(|(code, meaning, causes, next)| Explanation {
        code: (*code).to_owned(),
        kind: "error",
        meaning: (*meaning).to_owned(),
        causes,
        next,
    });
    exits.chain(verdicts).chain(faults).chain(errors).collect()
}

fn listed(all: &[&Explanation]) -> String {
    let mut text = String::new();
    let mut kind = "";
    for known in all {
        if known.kind != kind {
            kind = known.kind;
            let heading = match kind {
                "exit" => "Exit codes",
                "verdict" => "Verdicts",
                "fault" => "Faults: what is wrong with the data",
                _ => "Errors: why a call could not be done",
            };
            let gap = if text.is_empty() { "" } else { "\n" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{gap}{heading}");
        }
        let _ = writeln!(text, "  {:<22} {}", known.code, known.meaning);
    }
    text
}

fn explained(found: &[&Explanation]) -> String {
    let mut text = String::new();
    for known in found {
        let what = match known.kind {
            "exit" => "an exit code of this program",
            "verdict" => "a verdict",
            "fault" => "a fault: wrong with the data",
            _ => "an error: why a call could not be done",
        };
        let gap = if text.is_empty() { "" } else { "\n" };
        let Explanation { code, meaning, causes, next, .. } = known;
        let _ = writeln!(text, "{gap}{code}, {what}");
        let _ = writeln!(text, "  means   {meaning}");
        let _ = writeln!(text, "  causes  {causes}");
        let _ = writeln!(text, "  next    {next}");
    }
    text
}

fn json(found: &[&Explanation]) -> Result<String, Trouble> {
    let codes = found.iter().map(|known| {
        let Explanation { code, kind, meaning, causes, next } = known;
        json!({ "causes": causes, "code": code, "kind": kind, "meaning": meaning, "next": next })
    });
    let codes: Vec<Value> = codes.collect();
    json::render(Map::from_iter([("codes".to_owned(), codes.into())]))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Literals in the sources that look like a code and are none: variables of the environment.
    const NO_CODES: &[&str] = &[
        "SIGCHAIN_ACTOR",
        "SIGCHAIN_HOME",
        "SIGCHAIN_LEDGER",
        "SIGCHAIN_MIRROR",
        "SIGCHAIN_PASSPHRASE_FILE",
        "SSH_AUTH_SOCK",
        "XDG_STATE_HOME",
        "SIGCHAIN_PAGER",
        "NO_COLOR",
        "CARGO_PKG_VERSION",
        "CARGO_MANIFEST_DIR",
        "SIGCHAIN_CAUSE",
        "SIGCHAIN_EPISODE",
    ];

    fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }

    /// Texts in quotes that look like a code: two words in capitals at least, or one where a code is given.
    fn codes_in(source: &str) -> Vec<&str> {
        let parts: Vec<&str> = source.split('"').collect();
        let pairs = parts.windows(2).filter_map(|pair| <[&str; 2]>::try_from(pair).ok());
        let is_code = |before: &str, part: &str| {
            let is_upper = part.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            let is_given =
                [".coded(", "of_line(", "=> (", "=> "].iter().any(|end| before.ends_with(end));
            part.len() > 3 && is_upper && (is_given || part.contains('_'))
        };
        pairs.filter(|[before, part]| is_code(before, part)).map(|[_, part]| part).collect()
    }

    /// Whatever code the library or this program can give, as it stands in their sources.
    #[test]
    fn every_code_is_explained() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        sources(&root.join("src"), &mut files);
        sources(&root.join("../../src"), &mut files);
        assert!(files.len() > 100, "{}", files.len());
        let all = all();
        let is_known = |code: &str, kind: &str| {
            all.iter().any(|known| known.code == code && (kind.is_empty() || known.kind == kind))
        };
        let mut count = 0;
        // This file, and one with the system's own names of errors, as an entry records them.
        let is_apart =
            |path: &Path| path.ends_with("explain/mod.rs") || path.ends_with("ledger/short.rs");
        for path in files.iter().filter(|path| !is_apart(path)) {
            let source = fs::read_to_string(path).unwrap();
            for code in codes_in(&source).into_iter().filter(|code| !NO_CODES.contains(code)) {
                count += 1;
                assert!(is_known(code, ""), "{}: {code} is not explained", path.display());
            }
        }
        assert!(count > 150, "{count}");
        for code in Code::ALL {
            assert!(faults::words(*code).is_some(), "{code} is not explained");
            assert!(is_known(code.as_str(), "fault"));
        }
        for (name, ..) in errors::all() {
            assert!(is_known(name, "error"));
        }
        for word in ["intact", "faulty", "unvouched", "unreadable"] {
            assert!(is_known(word, "verdict"));
        }
    }

    #[test]
    fn every_explanation_is_whole() {
        for known in all() {
            let Explanation { code, meaning, causes, next, .. } = &known;
            for text in [meaning, *causes, *next] {
                assert!(text.len() > 8 && text.is_ascii(), "{code}: {text:?}");
                assert!(
                    text.ends_with(['.', ':']) || text.ends_with("--signer agent:"),
                    "{code}: {text}"
                );
            }
        }
    }

    #[test]
    fn a_code_is_explained_once_for_each_kind() {
        let mut seen: Vec<(String, &str)> =
            all().into_iter().map(|known| (known.code, known.kind)).collect();
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn letters_that_differ_are_counted() {
        for (a, b, wanted) in
            [("LINK", "LINK", 0), ("LINKS", "LINK", 1), ("LINK", "SINK", 1), ("", "ABC", 3)]
        {
            assert_eq!(distance(a, b), wanted, "{a} {b}");
        }
    }
}
