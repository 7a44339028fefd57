//! Arguments of archive and restore.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sigchain::id::EventId;
use sigchain::point::Point;

use crate::args::{OfFiles, Place, SignerOptions, parse};

/// Move old entries to archives
///
/// Whole segments, oldest first, never the last one and none that no seal covers. Each becomes a chain file of its own in
/// FOLDER/CHAINID, compressed (.sigchain.zst), that verifies by itself and is read back before its entries leave. The ledger keeps
/// their hashes, its keys and what was used: it goes on, and verifies, as before. Nothing ever removes an archive.
#[derive(Args, Debug)]
#[command(after_help = ARCHIVE)]
pub(crate) struct ArchiveOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Where to; not within the ledger
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    pub(crate) to: PathBuf,
    /// Only segments whose last entry is older than this, such as 90d or 12h
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) older_than: Option<Duration>,
    /// Only as many as it takes to keep no more than this in the ledger, such as 10G or 500M
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) leave: Option<u64>,
    /// Only say what would leave
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// One JSON object (spec/sigchain-archive.schema.json) instead of text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
    #[command(flatten)]
    pub(crate) files: OfFiles,
}

const ARCHIVE: &str = "\
Exit codes:
  0  done; or there was nothing to do
  1  the ledger is faulty: nothing has left it
  2  the call makes no sense
  4  unreadable: the ledger or a key; or FOLDER cannot be written: what has not left yet stays
  5  refused, or an archive that was read back is not what was written: what it is of stays
  7  another writer holds the ledger";

/// Hold entries: they must not leave the ledger
///
/// For as long as a court or an auditor wants them where they are. The hold is an entry of the chain, and so is its release; archive
/// leaves what is held, and all behind it. Without --since and --until all entries that there are by now are held.
#[derive(Args, Debug)]
#[command(after_help = HOLD)]
pub(crate) struct HoldOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// From this entry on
    #[arg(long, value_name = "POINT", value_parser = parse::point, allow_negative_numbers = true)]
    pub(crate) since: Option<Point>,
    /// Up to this entry, and with it
    #[arg(long, value_name = "POINT", value_parser = parse::point, allow_negative_numbers = true)]
    pub(crate) until: Option<Point>,
    /// Release a hold: by its event, as --list shows it
    #[arg(long, value_name = "EVENT", value_parser = parse::event_id, conflicts_with_all = ["since", "until", "list"])]
    pub(crate) release: Option<EventId>,
    /// What is held, one a line
    #[arg(long, conflicts_with_all = ["since", "until", "note", "by"])]
    pub(crate) list: bool,
    /// Why: it is signed, and kept for good
    #[arg(long, value_name = "TEXT", required_unless_present = "list")]
    pub(crate) note: Option<String>,
    /// Who that is; human:USER, by your user name, unless you say otherwise
    #[arg(long = "by", value_name = "ACTOR")]
    pub(crate) by: Option<String>,
    /// One JSON object (spec/sigchain-hold.schema.json) instead of text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
    #[command(flatten)]
    pub(crate) files: OfFiles,
}

const HOLD: &str = "\
Exit codes:
  0  recorded, or listed
  1  there is no such hold, or there are no such entries
  2  the call makes no sense
  4  unreadable: the ledger or a key
  5  refused: nothing is held or released by this
  7  another writer holds the ledger
  8  the ledger is quarantined";

/// Bring archived entries back
///
/// All archives are verified, and what comes of them must be what left this ledger, before anything is changed.
#[derive(Args, Debug)]
#[command(after_help = RESTORE)]
pub(crate) struct RestoreOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// An archive, or a folder of archives as `sigchain archive --to` was given it. May be given several times
    #[arg(long, value_name = "PATH", required = true, value_hint = clap::ValueHint::AnyPath)]
    pub(crate) from: Vec<PathBuf>,
    /// One JSON object (spec/sigchain-archive.schema.json) instead of text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) signing: SignerOptions,
    #[command(flatten)]
    pub(crate) files: OfFiles,
}

const RESTORE: &str = "\
Exit codes:
  0  all of it is back
  1  some of it is in none of these archives; what was there is back
  2  the call makes no sense
  4  unreadable: the ledger, a key or an archive
  5  refused: an archive is faulty, of another chain, or not what left; nothing came back
  7  another writer holds the ledger";

/// A number with a unit behind it.
fn with_unit(text: &str, units: &[(char, u64)]) -> Option<u64> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, unit)) if !unit.is_ascii_digit() => (text.get(..at)?, unit),
        _ => return None,
    };
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

fn age(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let expected = || "expected a number and s, m, h or d, such as 90d".to_owned();
    with_unit(text, &units).map(Duration::from_secs).ok_or_else(expected)
}

fn size(text: &str) -> Result<u64, String> {
    let units = [('B', 1), ('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];
    with_unit(text, &units)
        .ok_or_else(|| "expected a number and B, K, M, G or T, such as 10G".to_owned())
}
