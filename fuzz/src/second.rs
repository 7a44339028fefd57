//! The Python verifier: one process, which answers a request a line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};
use sigchain::verify::{Anchors, End, Report};
use tempfile::NamedTempFile;

struct Second {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Ends when its standard input does, that is with this process.
static SECOND: Mutex<Option<Second>> = Mutex::new(None);

impl Second {
    fn start() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script = [here.join("spec"), here.join("../spec")]
            .map(|folder| folder.join("verifier/verify.py"))
            .into_iter()
            .find(|path| path.exists())
            .expect("the Python verifier");
        let mut child = Command::new("python3")
            .arg(script)
            .arg("--batch")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3, which the second verifier needs");
        let requests = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, requests, answers }
    }

    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        let sent = writeln!(self.requests, "{request}");
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer);
        let unanswered = |_| format!("no answer: sent {sent:?}, read {read:?}, {answer:?}");
        serde_json::from_str(&answer).map_err(unanswered)
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kept(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Asks the Python verifier too; an error says where it differs.
pub fn compare(report: &Report, file: &[u8], anchors: &Anchors) -> Result<(), String> {
    let whole = kept(file);
    let notes: Vec<_> =
        anchors.checkpoints.iter().map(|held| kept(held.encode().as_bytes())).collect();
    let keys: Vec<_> = anchors.keys.iter().map(ToString::to_string).collect();
    let request = json!({
        "file": whole.path(),
        "keys": keys,
        "chain_id": anchors.chain_id.map(|id| id.to_string()),
        "checkpoints": notes.iter().map(NamedTempFile::path).collect::<Vec<_>>(),
    });
    // A difference panics with the lock held; the next input may still ask.
    let mut second = SECOND.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let theirs = second.get_or_insert_with(Second::start).ask(&request);
    if theirs.is_err() {
        *second = None;
    }
    let theirs = theirs?;
    for (key, value) in ours(report).as_object().unwrap() {
        if theirs.get(key) != Some(value) {
            return Err(format!("{key}: ours {value}, theirs {:?}", theirs.get(key)));
        }
    }
    Ok(())
}

/// What both must say alike.
fn ours(report: &Report) -> Value {
    let faults: Vec<_> = report
        .faults
        .iter()
        .map(|fault| {
            json!({
                "code": fault.code.as_str(),
                "phase": fault.phase().to_string(),
                "place": fault.place,
                "sequence": fault.sequence,
            })
        })
        .collect();
    let counts: serde_json::Map<_, _> =
        report.counts.iter().map(|(code, n)| (code.to_string(), json!(n))).collect();
    let mut all = json!({
        "exit": report.verdict().exit_code(),
        "verdict": report.verdict().as_str(),
        "faults": faults,
        "counts": counts,
    });
    // Of a file without a sound genesis nothing else is said.
    if report.chain_id.is_some() {
        let attachments: u64 = report.attachments.values().sum();
        let more = json!({
            "entries": report.entries,
            "present": report.payloads.present,
            "partial": report.payloads.partial,
            "withheld": report.payloads.withheld,
            "erased": report.payloads.erased,
            "gaps": {
                "elided": report.gaps.elided,
                "lost": report.gaps.lost,
                "archived": report.gaps.archived,
            },
            "trailer": match report.end {
                End::Signed => "signed",
                End::Unsigned => "unsigned",
                _ => "none",
            },
            "attachments": attachments + report.attachments_other,
            "resolved": report.resolved,
            "beyond": report.beyond(),
            "chain_id": report.chain_id.map(|id| id.to_string()),
            "head": report.head.map(|head| head.digest.to_string()),
            "root": report.root.map(|root| root.to_string()),
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    all
}
