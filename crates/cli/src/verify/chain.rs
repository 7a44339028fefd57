//! A whole file of a chain, in either form.

use std::env;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Instant, SystemTime};

use serde_json::{Map, Value};
use sigchain::chainfile::Reader;
use sigchain::digest::Digest;
use sigchain::frame::Frame;
use sigchain::key::{KeyId, Role};
use sigchain::reserved::Reserved;
use sigchain::verify::{Report, Seen, Verdict, Verifier};

use crate::access::{self, Act};
use crate::args::VerifyOptions;
use crate::exit::{NO, UNVOUCHED};
use crate::held::Held;
use crate::input::{self, Input, Places};
use crate::ledger;
use crate::out;
use crate::report::{self, Capture, Collected, Kind, Material, Subject};
use crate::trouble::Trouble;
use crate::verify::against::{self, Compared};
use crate::verify::gate::Gate;
use crate::verify::line::{self, Before};
use crate::verify::progress::{Counted, Counters, Progress};
use crate::verify::{self, human, json};

/// All that is said about a file.
pub(crate) struct View<'v> {
    pub(crate) report: &'v Report,
    pub(crate) exit: u8,
    /// What to call the file.
    pub(crate) name: &'v str,
    /// The keys that its genesis enrols: what the file says of itself.
    pub(crate) genesis_keys: &'v [(KeyId, Role)],
    pub(crate) compared: Option<&'v Compared>,
    /// Outcomes that no gate let through, if that was asked.
    pub(crate) gate: Option<&'v Gate>,
    /// What the places of its faults count.
    pub(crate) places: &'v Places,
    /// Whether what was taken on word was so on that of what this machine has anchored.
    pub(crate) is_word_own: bool,
    /// The chains that it goes on from, if they were looked at.
    pub(crate) line: &'v [Before],
}

/// What one pass over the file gave.
struct Judged {
    report: Report,
    collected: Option<Collected>,
    gate: Option<Gate>,
    /// Size and digest of all that was read, if a report says it.
    read: Option<(u64, Digest)>,
    places: Places,
}

pub(super) fn run(options: &VerifyOptions, held: &Held, input: Input) -> Result<u8, Trouble> {
    if options.resume {
        input::must_be_regular(&options.place.ledger, "--resume")?;
    }
    if let Some(other) = &options.against {
        input::must_be_regular(&options.place.ledger, "--against")?;
        input::must_be_regular(other, "--against")?;
    }
    report::probe(&options.reports)?;
    let (begun, since) = (now(), Instant::now());
    let name = input.name().to_owned();
    let genesis_keys = genesis_keys(input.head());
    let is_ledger = input.places().is_ledger();
    let (judged, demanded) = thread::scope(|scope| {
        // Beside the verification: it reads all of it once more, though it looks at nothing but types.
        let demanded = is_ledger.then(|| scope.spawn(|| demanded(options)));
        let judged = judge(options, held, input);
        (judged, demanded.and_then(|thread| thread.join().ok()))
    });
    let judged = judged?;
    let report = &judged.report;
    let is_readable = report.verdict() != Verdict::Unreadable;
    let (compared, mut trouble) = match &options.against {
        Some(other) if is_readable => match against::compare(&options.place.ledger, other, options)
        {
            Ok((compared, trouble)) => (Some(compared), trouble),
            Err(trouble) => (None, Some(trouble)),
        },
        _ => (None, None),
    };
    let line = match &report.predecessor {
        Some(before) if is_ledger && is_readable && !options.alone => {
            line::judge(&options.place.ledger, Some(before))?
        }
        _ => Vec::new(),
    };
    let view = View {
        report,
        exit: line::exit(exit(options, held, &judged, compared.as_ref()), &line),
        line: &line,
        name: &name,
        genesis_keys: &genesis_keys,
        compared: compared.as_ref(),
        gate: judged.gate.as_ref(),
        places: &judged.places,
        is_word_own: held.is_largest_own(),
    };
    // An alarm is never kept back for want of a record.
    let is_faulty = view.exit == NO;
    let recorded = match demanded {
        Some(Err(trouble)) if !is_faulty => return Err(trouble),
        _ => recorded(options, &view),
    };
    let written = recorded.and_then(|()| written(options, held, &view, &judged, (begun, since)));
    trouble = trouble.or(written.err());
    if options.json {
        out::print(&json::chain(&view)?)?;
    } else {
        verify::show(|text| human::write(text, &view))?;
    }
    Ok(verify::worse(view.exit, trouble.as_ref()))
}

/// Refuses to verify without a record what demands one.
fn demanded(options: &VerifyOptions) -> Result<(), Trouble> {
    let directory = ledger::view(&options.place.ledger)?;
    match access::check(&directory, Act::Verify, &options.record)? {
        // That it cannot be read the verification finds too.
        Some(_) | None => Ok(()),
    }
}

/// Records in the ledger that it was verified, if that was asked for, before anybody is told.
fn recorded(options: &VerifyOptions, view: &View<'_>) -> Result<(), Trouble> {
    if !view.places.is_ledger() {
        return Ok(());
    }
    let (mut about, report) = (Map::new(), view.report);
    let mut put = |key: &str, value: Value| about.insert(key.to_owned(), value);
    put("entries", report.entries.into());
    put("exit", view.exit.into());
    put("faults", report.total().into());
    put("root", report.root.map(|root| root.to_string()).into());
    put("verdict", report.verdict().as_str().into());
    let by = (&options.record, &options.signing);
    access::record(&options.place.ledger, by, Act::Verify, about).map(drop)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a report says when it was made; no verdict depends on it"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

fn exit(options: &VerifyOptions, held: &Held, judged: &Judged, compared: Option<&Compared>) -> u8 {
    let report = &judged.report;
    let is_self_asserted =
        options.held.allow_self_asserted && held.anchors().is_empty() && report.gaps.are_proven();
    let exit = verify::exit_code(report.verdict(), is_self_asserted);
    let is_gated = judged.gate.as_ref().is_none_or(|gate| gate.without == 0);
    match compared {
        Some(compared) if compared.is_split() => NO,
        _ if !is_gated => NO,
        Some(Compared::Differ(_)) if exit == 0 => UNVOUCHED,
        _ => exit,
    }
}

/// Where signatures are taken on word, whatever does not fit is looked at again, whole.
fn judge(options: &VerifyOptions, held: &Held, input: Input) -> Result<Judged, Trouble> {
    let judged = pass(options, held, input, options.resume)?;
    let report = &judged.report;
    if !options.resume || (report.counts.is_empty() && !report.is_anchor_missing()) {
        return Ok(judged);
    }
    out::note("it does not fit what was taken on word: all of it is looked at");
    pass(options, held, Input::open(&options.place.ledger)?, false)
}

/// Reads and judges all of it, once.
fn pass(
    options: &VerifyOptions,
    held: &Held,
    input: Input,
    on_word: bool,
) -> Result<Judged, Trouble> {
    let (name, places) = (input.name().to_owned(), input.places().clone());
    let failed = |error: io::Error| input::cannot_read(&name, &error);
    let mut gate = Gate::new(&options.gated)?;
    let counters = Counters::default();
    let verifier = Verifier::new().anchored(held.anchors()).on_word(on_word);
    let verifier = verifier.threads(options.threads.unwrap_or(0)).unique(options.unique);
    let verifier = verifier.open_ended(places.is_ledger());
    let verifier = verifier.counted(counters.entries.clone());
    let _progress = Progress::begin(&counters, input.length());
    let is_for = |kind: Kind| options.reports.iter().any(|path| Kind::of(path) == Some(kind));
    let mut collected = is_for(Kind::Html).then(Collected::default);
    let digests = is_for(Kind::Html) || is_for(Kind::Sarif);
    let mut source = Counted::new(input.into_reader(), &counters, digests);
    let report = if collected.is_some() || gate.is_some() {
        watch(&verifier, &mut source, collected.as_mut(), gate.as_mut())
    } else {
        verifier.run(&mut source)
    };
    let report = report.map_err(failed)?;
    let read = source.finish().map_err(failed)?;
    Ok(Judged { report, collected, gate, read, places })
}

/// Verifies, and looks at each entry on the way.
fn watch(
    verifier: &Verifier,
    source: impl Read,
    mut collected: Option<&mut Collected>,
    mut gate: Option<&mut Gate>,
) -> io::Result<Report> {
    let report = verifier.replay(source, &mut |seen| {
        let mut capture = Capture::Unstated;
        if let Seen::Entry(shown) = seen {
            capture = Capture::of(&shown.written.fields, &shown.written.part);
            if let Some(gate) = &mut gate {
                gate.take(&shown.written.fields, capture);
            }
        }
        if let Some(collected) = &mut collected {
            collected.take(seen, capture);
        }
        ControlFlow::Continue(())
    })?;
    report.ok_or_else(|| io::Error::other("a verification that was left"))
}

/// Writes the reports that were asked for.
fn written(
    options: &VerifyOptions,
    held: &Held,
    view: &View<'_>,
    judged: &Judged,
    (begun, since): (SystemTime, Instant),
) -> Result<(), Trouble> {
    if options.reports.is_empty() {
        return Ok(());
    }
    let mut materials: Vec<Material> = Vec::new();
    if let Some((size, digest)) = judged.read {
        let name = view.name.to_owned();
        materials.push(Material { what: "verified", name, size, digest });
        if let Some(other) = &options.against {
            let counters = Counters::default();
            let failed = |error: io::Error| input::cannot_read(&input::name(other), &error);
            let other = Counted::new(input::open_again(other)?, &counters, true);
            if let Some((size, digest)) = other.finish().map_err(failed)? {
                let name = options.against.as_deref().map(input::name).unwrap_or_default();
                materials.push(Material { what: "compared with", name, size, digest });
            }
        }
    }
    materials.extend(held.origins.iter().map(|origin| Material {
        what: origin.what,
        name: origin.name.clone(),
        size: origin.size,
        digest: origin.digest,
    }));
    let command: Vec<String> =
        env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let subject = Subject {
        view,
        collected: judged.collected.as_ref(),
        materials: &materials,
        command: &command,
        begun,
        took: since.elapsed(),
    };
    report::write(&options.reports, &subject, &json::chain(view)?)
}

/// The keys of entry 0, if the head of the file holds it whole. Nobody has judged them: they are only for display.
fn genesis_keys(head: &[u8]) -> Vec<(KeyId, Role)> {
    let Ok(mut reader) = Reader::open(head) else { return Vec::new() };
    let Ok(block) = reader.block(1, 0) else { return Vec::new() };
    let Some(Ok(Frame::Entry(written))) = block.frames().first().map(|raw| block.parse(raw)) else {
        return Vec::new();
    };
    match Reserved::parse(&written.fields.event_type, &written.part, written.fields.sequence) {
        Ok(Reserved::Genesis { keys, .. }) => {
            keys.iter().map(|record| (record.id(), record.role)).collect()
        }
        _ => Vec::new(),
    }
}
