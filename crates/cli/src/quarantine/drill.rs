//! `sigchain quarantine drill`: a ledger to practise on, with a home of its own.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::out;
use crate::trouble::Trouble;

/// Events that it has.
const EVENTS: usize = 40;

pub(super) fn run(folder: &Path) -> Result<u8, Trouble> {
    let name = out::safe(&folder.to_string_lossy());
    let failed = |error: io::Error| {
        let what = format!("\"{name}\": {error}");
        Trouble::unreadable(what, "a directory that can be made", "check the name and your rights")
    };
    fs::create_dir(folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Trouble::usage(
            format!("\"{name}\" is there already"),
            "a directory that is not there yet",
        ),
        _ => failed(error),
    })?;
    let folder = folder.canonicalize().map_err(failed)?;
    let own = |words: &[&str], input: &str| call(&folder, words, input).map_err(failed);
    own(&["key", "new", "--role", "operator", "-o", "operator"], "")?;
    own(&["init", "ledger", "--name", "example.org/drill", "--operator", "operator.pub"], "")?;
    let lines: Vec<String> = (0..EVENTS)
        .map(|n| format!("{{\"type\":\"order.placed\",\"payload\":{{\"order\":{n}}}}}"))
        .collect();
    let lines = lines.join("\n") + "\n";
    own(&["append", "ledger", "--lines", "--actor", "agent:drill"], &lines)?;
    copy(&folder.join("ledger"), &folder.join("old-copy")).map_err(failed)?;
    let last =
        ["--type", "order.placed", "--actor", "agent:drill", "--payload", "\"the last one\""];
    own(&[&["append", "ledger"], &last[..]].concat(), "")?;
    copy(&folder.join("ledger"), &folder.join("copy")).map_err(failed)?;
    cut(&folder.join("ledger").join("segment-0000000000")).map_err(failed)?;
    out::print(&steps(&name))?;
    Ok(0)
}

fn steps(name: &str) -> String {
    format!(
        "\
{name}/ledger has lost its end. {name}/copy has all of it, {name}/old-copy all but the last event. Go through this, and look at what
each says:

  cd \"{name}\"; export SIGCHAIN_HOME=\"$PWD/home\"
  sigchain append ledger --type order.placed --actor agent:drill --payload 1     # exit 8: nothing is recorded
  sigchain quarantine show ledger
  sigchain verify ledger
  sigchain quarantine note ledger --note \"disk replaced on Monday\"
  sigchain quarantine reconcile ledger --note \"from the old copy\" --from old-copy   # exit 8: not all of it is there
  sigchain quarantine reconcile ledger --note \"from the copy\" --from copy
  sigchain append ledger --type order.placed --actor agent:drill --payload 2
  sigchain verify ledger

Had there been no copy (make the drill once more, and try that in the place of the second reconcile):

  sigchain quarantine dismiss ledger --note \"the last event is lost\" --operator-key operator --successor goes-on
  sigchain append goes-on --type order.placed --actor agent:drill --payload 2
  sigchain verify goes-on
"
    )
}

/// Calls this program within the folder, with a home of its own there.
fn call(folder: &Path, words: &[&str], input: &str) -> io::Result<()> {
    let mut child = Command::new(env::current_exe()?)
        .args(words)
        .current_dir(folder)
        .env("SIGCHAIN_HOME", folder.join("home"))
        .env_remove("SIGCHAIN_LEDGER")
        .env_remove("SIGCHAIN_PASSPHRASE_FILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes())?;
    }
    let done = child.wait_with_output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned()))
}

/// Copies a directory of files.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}

/// Takes away the end: the last event, and what seals it.
fn cut(path: &Path) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len();
    file.set_len(length.saturating_sub(600))?;
    file.sync_all()
}
