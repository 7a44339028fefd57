//! Checks on the repository itself: layers, sizes, words, and that every clause of the spec is cited by a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first. A module may use only modules in strictly lower rows; `verify` uses its own parts.
const LAYERS: &[&[&str]] = &[
    &["codec", "sync", "text"],
    &["digest", "disk", "id", "limit", "stamp"],
    &["clock", "key", "payload", "point"],
    &["event", "receipt", "signer", "tree"],
    &["agent", "checkpoint", "entry", "fault", "index", "keyfile", "vocabulary"],
    &["anchor", "frame", "intent", "projection", "quarantine", "reserved"],
    &["jsonl", "keyring", "terms"],
    &["context"],
    &["chain", "chainfile", "proof", "snapshot"],
    &["segment", "verify"],
    &["fork", "recovery", "replay"],
    &["error", "store"],
    &["select"],
    &["directory", "mirror"],
    &["ledger"],
    &["review"],
    &["action"],
    &["layer", "service"],
];

/// The order inside `verify`.
const VERIFY: &[&[&str]] =
    &[&["batch", "claims", "ids", "report"], &["content"], &["judge"], &["mod"], &["parallel"]];

const FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 70;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                found.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|x| x == "rs") {
            found.push(path);
        }
    }
    found
}

fn row(layers: &[&[&str]], module: &str) -> Option<usize> {
    layers.iter().position(|row| row.contains(&module))
}

/// The code of a file, without comments and unit tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
    lines.join("\n").split("#[cfg(test)]\nmod tests").next().unwrap().to_owned()
}

/// Every `PREFIXname` that a source mentions, with braces after the prefix expanded.
fn mentions(code: &str, prefix: &str) -> BTreeSet<String> {
    let name = |text: &str| -> String {
        text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        let Some(body) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (i, c) in body.char_indices() {
            match c {
                '{' => depth += 1,
                '}' | ',' if depth == 0 => {
                    found.insert(name(&body[start..i]));
                    start = i + 1;
                    if c == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    found.remove("");
    found
}

#[test]
fn layers_are_acyclic() {
    let src = root().join("src");
    let mut errors = Vec::new();
    for path in sources(&src) {
        let relative = path.strip_prefix(&src).unwrap();
        let shown = relative.display();
        let module = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some(own) = row(LAYERS, module) else {
            errors.push(format!("{shown}: `{module}` has no row"));
            continue;
        };
        let code = code(&path);
        if code.contains("crate::*") || code.contains("use super::") {
            errors.push(format!("{shown}: name the module: no `crate::*`, no `super::`"));
        }
        for name in mentions(&code, "crate::").into_iter().filter(|name| name != module) {
            match row(LAYERS, &name) {
                Some(other) if other < own => {}
                Some(_) => errors.push(format!("{shown}: `{module}` must not use `{name}`")),
                None => errors.push(format!("{shown}: `crate::{name}` is no module")),
            }
        }
        if module == "verify" {
            let file = relative.file_stem().unwrap().to_str().unwrap();
            let Some(own) = row(VERIFY, file) else {
                errors.push(format!("{shown}: `verify/{file}` has no row"));
                continue;
            };
            for name in mentions(&code, "crate::verify::") {
                let is_above = row(VERIFY, &name).is_some_and(|other| other >= own);
                if is_above && file != "mod" {
                    errors.push(format!("{shown}: must not use `{name}`"));
                }
            }
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn files_and_functions_are_small() {
    let mut errors = Vec::new();
    for path in sources(&root().join("src")).into_iter().chain(sources(&root().join("crates"))) {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let shown = path.display();
        if lines.len() > FILE_LINES_MAX {
            errors.push(format!("{shown}: {} lines", lines.len()));
        }
        let mut open: Option<(usize, String)> = None;
        for (i, line) in lines.iter().enumerate() {
            let at = i + 1;
            if !line.is_ascii() {
                errors.push(format!("{shown}:{at}: not ASCII"));
            }
            if line.len() > 140 {
                errors.push(format!("{shown}:{at}: {} columns", line.len()));
            }
            let code = line.trim_start();
            let indent = &line[..line.len() - code.len()];
            let is_fn = code.split_whitespace().take(4).any(|word| word == "fn");
            if open.is_none() && is_fn && !code.starts_with("//") {
                open = Some((i, indent.to_owned()));
            }
            let Some((start, indent)) = &open else { continue };
            let ends = *line == format!("{indent}}}")
                || (i == *start && (line.ends_with('}') || line.ends_with(';')));
            if ends {
                if i - start >= FUNCTION_LINES_MAX {
                    errors.push(format!(
                        "{shown}:{}: a function of {} lines",
                        start + 1,
                        i - start
                    ));
                }
                open = None;
            }
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

/// Clause marks such as `[S-chain-3]` or `[F-open-1]`, and what stands behind each.
fn marks(text: &str) -> Vec<(String, &str)> {
    let is_mark = |id: &str| {
        let mut parts = id.split('-');
        let (family, name, number) = (parts.next(), parts.next(), parts.next());
        matches!(family, Some("C" | "F" | "S"))
            && name.is_some_and(|name| name.chars().all(|c| c.is_ascii_lowercase()))
            && number.is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()))
            && parts.next().is_none()
    };
    text.split('[')
        .filter_map(|rest| rest.split_once(']'))
        .filter(|(id, _)| is_mark(id))
        .map(|(id, behind)| (id.to_owned(), behind))
        .collect()
}

/// How often each clause stands in the spec, and all marks there. A clause is followed by its sentence; a citation by a bracket, a comma
/// or a full stop.
fn clauses() -> (BTreeMap<String, usize>, BTreeSet<String>) {
    let (mut stands, mut all) = (BTreeMap::new(), BTreeSet::new());
    for entry in fs::read_dir(root().join("spec")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "md") {
            continue;
        }
        for (id, behind) in marks(&fs::read_to_string(path).unwrap()) {
            let sentence = behind.strip_prefix(' ').unwrap_or_default();
            if sentence.starts_with(|c: char| c.is_uppercase() || matches!(c, '`' | '*')) {
                *stands.entry(id.clone()).or_default() += 1;
            }
            all.insert(id);
        }
    }
    (stands, all)
}

#[test]
fn every_clause_has_a_test() {
    let (stands, all) = clauses();
    let spec: BTreeSet<String> = stands.into_keys().collect();
    let mut cited = BTreeSet::new();
    for folder in ["tests", "crates", "src"] {
        for path in sources(&root().join(folder)).iter().filter(|p| !p.ends_with("tests/tidy.rs")) {
            let text = fs::read_to_string(path).unwrap();
            cited.extend(marks(&text).into_iter().map(|(id, _)| id));
        }
    }
    let untested: Vec<_> = spec.difference(&cited).collect();
    let unknown: Vec<_> = cited.union(&all).filter(|id| !spec.contains(*id)).collect();
    assert!(
        untested.is_empty() && unknown.is_empty(),
        "untested {untested:?}, unknown {unknown:?}"
    );
}

/// Each mark stands at one sentence: as a citation elsewhere in the spec it begins no sentence.
#[test]
fn every_clause_stands_once() {
    let (stands, _) = clauses();
    let twice: Vec<_> = stands.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// One word for one thing: what the library does not say, and what it says instead.
const BANNED: &[(&str, &str)] = &[
    ("block_chain", "chain"),
    ("backlink", "prior_hash"),
    ("timestamp", "stamp"),
    ("validate", "verify or parse"),
    ("util", "the thing itself"),
    ("utils", "the thing itself"),
    ("helper", "the thing itself"),
    ("misc", "the thing itself"),
];

#[test]
fn one_word_for_one_thing() {
    let mut errors = Vec::new();
    for path in sources(&root().join("src")) {
        for (i, line) in code(&path).lines().enumerate() {
            let line = line.to_lowercase();
            for word in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
                if let Some((bad, good)) = BANNED.iter().find(|(bad, _)| word == *bad) {
                    errors.push(format!("{}:{}: `{bad}`: say {good}", path.display(), i + 1));
                }
            }
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

/// Every exported module has a head that says what it is.
#[test]
fn every_file_says_what_it_is() {
    for folder in ["src", "tests", "benches", "crates"] {
        for path in sources(&root().join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("//! "), "{}", path.display());
        }
    }
}
