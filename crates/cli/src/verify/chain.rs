//! A whole file of a chain, in either form.

use sigchain::chainfile::Reader;
use sigchain::frame::Frame;
use sigchain::key::{KeyId, Role};
use sigchain::reserved::Reserved;
use sigchain::verify::{Report, Verdict, Verifier};

use crate::args::VerifyOptions;
use crate::held::Held;
use crate::input::{self, Input, Places};
use crate::out;
use crate::trouble::Trouble;
use crate::verify::against::{self, Compared};
use crate::verify::{self, FAULTY, UNVOUCHED, human, json};

/// All that is said about a file.
pub(super) struct View<'v> {
    pub(super) report: &'v Report,
    pub(super) exit: u8,
    /// What to call the file.
    pub(super) name: &'v str,
    /// The keys that its genesis enrols: what the file says of itself.
    pub(super) genesis_keys: &'v [(KeyId, Role)],
    pub(super) compared: Option<&'v Compared>,
    /// What the places of its faults count.
    pub(super) places: &'v Places,
}

pub(super) fn run(options: &VerifyOptions, held: &Held, input: Input) -> Result<u8, Trouble> {
    if options.resume {
        input::must_be_regular(&options.place.ledger, "--resume")?;
    }
    if let Some(other) = &options.against {
        input::must_be_regular(&options.place.ledger, "--against")?;
        input::must_be_regular(other, "--against")?;
    }
    let name = input.name().to_owned();
    let genesis_keys = genesis_keys(input.head());
    let places = input.places().clone();
    let report = judge(options, held, input)?;
    let is_readable = report.verdict() != Verdict::Unreadable;
    let (compared, trouble) = match &options.against {
        Some(other) if is_readable => match against::compare(&options.place.ledger, other, options)
        {
            Ok((compared, trouble)) => (Some(compared), trouble),
            Err(trouble) => (None, Some(trouble)),
        },
        _ => (None, None),
    };
    let is_self_asserted =
        options.held.allow_self_asserted && held.anchors().is_empty() && report.gaps.are_proven();
    let judged = verify::exit_code(report.verdict(), is_self_asserted);
    let exit = match &compared {
        Some(compared) if compared.is_split() => FAULTY,
        Some(Compared::Differ(_)) if judged == 0 => UNVOUCHED,
        _ => judged,
    };
    let view = View {
        report: &report,
        exit,
        name: &name,
        genesis_keys: &genesis_keys,
        compared: compared.as_ref(),
        places: &places,
    };
    if options.json {
        out::print(&json::chain(&view)?)?;
    } else {
        verify::show(|text| human::write(text, &view))?;
    }
    Ok(verify::worse(exit, trouble.as_ref()))
}

fn judge(options: &VerifyOptions, held: &Held, input: Input) -> Result<Report, Trouble> {
    let name = input.name().to_owned();
    let verifier = Verifier::new().anchored(held.anchors());
    let verifier = verifier.threads(options.threads.unwrap_or(0)).unique(options.unique);
    let verifier = verifier.open_ended(input.places().is_ledger());
    let report = if options.resume {
        verifier.run_resuming(input::open_again(&options.place.ledger)?)
    } else {
        verifier.run(input.into_reader())
    };
    report.map_err(|error| input::cannot_read(&name, &error))
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
