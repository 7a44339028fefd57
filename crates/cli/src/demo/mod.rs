//! `sigchain demo`: records a run, attacks the record, and shows what the real verifier says.

mod attacks;
mod moment;
mod recorder;
mod run;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sigchain::chainfile::Form;
use sigchain::checkpoint;
use sigchain::frame::Frame;
use sigchain::text;
use sigchain::verify::{Anchors, Report, Verdict, Verifier};

use crate::demo::attacks::Attack;
use crate::demo::moment::Doing;
use crate::demo::recorder::{Keys, Outcome};
use crate::demo::run::{REFUND, Run};
use crate::episode;
use crate::out::{self, grouped};
use crate::trouble::Trouble;

pub(crate) fn run(keep: bool) -> Result<u8, Trouble> {
    let (text, is_as_expected) = play(keep).map_err(|error| {
        Trouble::unreadable(
            format!("the demonstration could not go on: {error}"),
            "a temporary directory, randomness, a clock",
            "check the temporary directory (TMPDIR) and run it again",
        )
    })?;
    out::print(&text)?;
    Ok(u8::from(!is_as_expected))
}

/// A directory of our own, gone when the demonstration is over, however it ends.
struct Directory {
    path: PathBuf,
    keep: bool,
}

impl Directory {
    fn new(keep: bool) -> Outcome<Self> {
        let mut unique = [0; 8];
        getrandom::fill(&mut unique)?;
        let path = std::env::temp_dir().join(format!("sigchain-demo-{}", text::hex(&unique)));
        // Fails if the name is taken, so nobody's directory is ever written to, or removed.
        fs::create_dir(&path)?;
        Ok(Self { path, keep })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Outcome<()> {
        Ok(fs::write(self.path.join(name), bytes)?)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is a few files in a temporary directory.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program, unlike the library, may ask what time it is"
)]
fn now() -> Outcome<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?)
}

fn play(keep: bool) -> Outcome<(String, bool)> {
    const MINUTE: i64 = 60_000_000;
    let directory = Directory::new(keep)?;
    let keys = Keys::generate()?;
    let start = now()?.saturating_sub(MINUTE);
    let run = run::play(&keys, start)?;
    let other = run::play(&keys, start)?;
    write_files(&directory, &run, &keys)?;
    let mut text = String::new();
    describe(&mut text, &run)?;
    told(&mut text, &directory.path)?;
    replayed(&mut text, &directory.path, &run)?;
    let is_intact = check(&mut text, &directory.path, &run)?;
    writeln!(text, "\nThen copies are attacked, and each is verified against that checkpoint:")?;
    let mut is_as_expected = is_intact;
    let attacks = attacks::all(&run, &other, &keys, &Keys::generate()?)?;
    for (number, attack) in (1_u32..).zip(&attacks) {
        directory.write(&format!("attack-{number}.sigchain"), &attack.file)?;
        is_as_expected &= judge(&mut text, number, attack, &run)?;
    }
    conclude(&mut text, &directory, is_as_expected)?;
    Ok((text, is_as_expected))
}

fn write_files(directory: &Directory, run: &Run, keys: &Keys) -> Outcome<()> {
    let public = keys.checkpoint.public();
    directory.write("run.sigchain", &run.whole.file(Form::ChainFile, &keys.checkpoint)?)?;
    directory.write("run.jsonl", &run.whole.file(Form::JsonLines, &keys.checkpoint)?)?;
    directory.write("held.checkpoint", run.held.encode().as_bytes())?;
    directory.write("checkpoint-key.pem", public.to_pem().as_bytes())?;
    directory.write("checkpoint-key.vkey", checkpoint::vkey(run.whole.origin(), public).as_bytes())
}

fn describe(out: &mut String, run: &Run) -> Outcome<()> {
    let id = run.whole.chain_id().to_string();
    writeln!(
        out,
        "An agent works, and each step becomes a signed entry that names the digest of the one before:\n"
    )?;
    for frame in run.whole.frames() {
        if let Frame::Entry(written) = frame {
            let fields = &written.fields;
            let (sequence, kind, actor) = (fields.sequence, &fields.event_type, &fields.actor);
            let digest = fields.digest(&run.whole.chain_id()).to_string();
            let digest = if sequence == 0 { &id } else { &digest };
            let short = digest.get(..12).unwrap_or(digest);
            writeln!(out, "  {sequence:>2}  {kind:<15} {actor:<14} {short}")?;
        }
    }
    writeln!(
        out,
        "\nOne key signs entries, another one checkpoints over all of them, an operator's stays in a safe."
    )?;
    writeln!(
        out,
        "When the chain had {} entries, a checkpoint of it was kept elsewhere.\n",
        run.held.size()
    )?;
    Ok(())
}

/// As people read it.
fn told(out: &mut String, directory: &Path) -> Outcome<()> {
    writeln!(out, "Read by a person (sigchain episode run.sigchain run-7):\n")?;
    let transcript = episode::lines(&directory.join("run.sigchain"), run::EPISODE);
    out.push_str(&transcript.map_err(|trouble| trouble.what().to_owned())?);
    out.push('\n');
    Ok(())
}

/// What the agent was doing just before and just after the refund, and at the end.
fn replayed(out: &mut String, directory: &Path, run: &Run) -> Outcome<()> {
    writeln!(
        out,
        "Replayed up to any entry, the record gives back what the agent was doing there:"
    )?;
    let file = fs::read(directory.join("run.sigchain"))?;
    for sequence in [REFUND, REFUND.saturating_add(1), run.whole.size().saturating_sub(1)] {
        let doing = Doing::at(&file, sequence)?;
        writeln!(out, "  {sequence:>2}  {}", out::safe(&doing.words()))?;
    }
    writeln!(out)?;
    Ok(())
}

fn verifier(run: &Run, with_checkpoint: bool) -> Verifier {
    let mut anchors = Anchors::default();
    anchors.chain_id = Some(run.whole.chain_id());
    if with_checkpoint {
        anchors.checkpoints = vec![run.held.clone()];
    }
    Verifier::new().anchored(anchors).threads(1)
}

/// The genuine files.
fn check(out: &mut String, directory: &Path, run: &Run) -> Outcome<bool> {
    let mut is_intact = true;
    writeln!(out, "The record is verified against it, in both of its forms:")?;
    for name in ["run.sigchain", "run.jsonl"] {
        let bytes = fs::read(directory.join(name))?;
        let report = verifier(run, true).run(bytes.as_slice())?;
        is_intact &= report.verdict() == Verdict::Intact && report.entries == run.whole.size();
        writeln!(
            out,
            "  {name:<13} {} bytes, {}: {} entries, {} of them beyond the checkpoint",
            grouped(u64::try_from(bytes.len())?),
            report.verdict().as_str(),
            report.entries,
            report.beyond().map_or("all".to_owned(), |n| n.to_string()),
        )?;
    }
    Ok(is_intact)
}

/// One attack: what was done, and what was found. Says whether it is what had to be found.
fn judge(out: &mut String, number: u32, attack: &Attack, run: &Run) -> Outcome<bool> {
    let report = verifier(run, true).run(attack.file.as_slice())?;
    let first = report.faults.first().map(|fault| fault.code);
    let mut is_as_expected = first == Some(attack.code) && report.verdict() == Verdict::Faulty;
    if attack.needs_anchor {
        // By itself such a file is a sound one: only what somebody held elsewhere tells.
        let alone = verifier(run, false).run(attack.file.as_slice())?;
        is_as_expected &= alone.total() == 0;
    }
    let verdict = if is_as_expected { "caught:" } else { "UNEXPECTED:" };
    writeln!(out, "  {number:>2}  {:<46} {verdict} {}", attack.what, found(&report))?;
    if attack.needs_anchor {
        writeln!(out, "      (the chain id alone would not show it: the held checkpoint does)")?;
    }
    Ok(is_as_expected)
}

/// Code and place of the first fault.
fn found(report: &Report) -> String {
    let Some(fault) = report.faults.first() else { return "nothing".to_owned() };
    match fault.sequence {
        Some(sequence) => format!("{} in entry {sequence}, byte {}", fault.code, fault.place),
        None => format!("{} at byte {}", fault.code, fault.place),
    }
}

fn conclude(out: &mut String, directory: &Directory, is_as_expected: bool) -> Outcome<()> {
    if is_as_expected {
        writeln!(
            out,
            "\nEach was caught. What it cannot tell is whether the agent's words were true; see spec section 12."
        )?;
    } else {
        writeln!(
            out,
            "\nNot all went as expected: this is a defect of sigchain, please report it."
        )?;
    }
    if directory.keep {
        let path = directory.path.to_string_lossy();
        writeln!(out, "The files are in {}", out::safe(&path))?;
        writeln!(out, "Try there: sigchain verify attack-3.sigchain --checkpoint held.checkpoint")?;
    }
    Ok(())
}
