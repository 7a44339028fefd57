//! `sigchain review`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value};
use sigchain::context::Context;
use sigchain::id::EventId;
use sigchain::ledger::Ledger;
use sigchain::payload::Part;
use sigchain::projection::Projection as _;
use sigchain::receipt::Receipt;
use sigchain::review::{Approved, Request, ReviewError, Reviews};
use sigchain::verify::Seen;

use crate::act::{intent, of_review};
use crate::args::{
    ReviewAct, ReviewDecideOptions, ReviewExpireOptions, ReviewListOptions, ReviewOptions,
    ReviewRequestOptions,
};
use crate::json::{object, render};
use crate::ledger;
use crate::out::{self, safe};
use crate::record::Record;
use crate::trouble::Trouble;

pub(crate) fn run(options: &ReviewOptions) -> Result<u8, Trouble> {
    match &options.act {
        ReviewAct::Request(options) => request(options),
        ReviewAct::List(options) => list(options),
        ReviewAct::Approve(options) => decide(options, Reviews::approve),
        ReviewAct::Veto(options) => decide(options, Reviews::veto),
        ReviewAct::Expire(options) => expire(options),
    }
}

fn request(options: &ReviewRequestOptions) -> Result<u8, Trouble> {
    let intent = intent(&options.doing)?;
    let mut request = Request::new(&intent, options.deadline);
    if let Some(approvals) = options.approvals {
        request = request.approvals(approvals);
    }
    if !options.reviewers.is_empty() {
        request = request.reviewers(options.reviewers.iter().map(String::as_str));
    }
    if let Some(reason) = &options.reason {
        request = request.reason(reason);
    }
    let files = options.of_files.files();
    let ledger = ledger::open(&options.place.ledger, &options.signing, files)?;
    let asked = reviews(&ledger).and_then(|reviews| reviews.request(&request));
    finish(&ledger, asked, |receipt| {
        ledger::tell(&format!(
            "asked: entry {}, to be decided until {}; its id is on standard output",
            receipt.sequence, options.deadline
        ));
        format!("{}\n", receipt.event_id)
    })
}

fn reviews(ledger: &Ledger) -> Result<Reviews, ReviewError> {
    ledger.reviews().map_err(ReviewError::Append)
}

/// The approval of a review, for the action that it allows.
pub(super) fn approved(ledger: &Ledger, review: &EventId) -> Result<Approved, ReviewError> {
    reviews(ledger)?.approved(review)
}

fn decide(
    options: &ReviewDecideOptions,
    how: impl FnOnce(&Reviews, EventId, &str, Option<&str>) -> Result<Receipt, ReviewError>,
) -> Result<u8, Trouble> {
    let files = options.of_files.files();
    let ledger = ledger::open(&options.place.ledger, &options.signing, files)?;
    let mut standing = String::new();
    let decided = reviews(&ledger).and_then(|reviews| {
        let receipt = how(&reviews, options.review, &options.actor, options.reason.as_deref())?;
        standing = reviews.standing(&options.review).to_string();
        Ok(receipt)
    });
    finish(&ledger, decided, |receipt| {
        format!("recorded: entry {}; the review {standing}\n", receipt.sequence)
    })
}

fn expire(options: &ReviewExpireOptions) -> Result<u8, Trouble> {
    let files = options.of_files.files();
    let ledger = ledger::open(&options.place.ledger, &options.signing, files)?;
    let swept = reviews(&ledger).and_then(|reviews| reviews.sweep(&options.actor));
    finish(&ledger, swept, |count| {
        let count = u64::try_from(*count).unwrap_or(u64::MAX);
        format!("{} expired\n", out::plural(count, "review"))
    })
}

/// Closes the ledger, and says what came of it.
fn finish<T>(
    ledger: &Ledger,
    done: Result<T, ReviewError>,
    say: impl FnOnce(&T) -> String,
) -> Result<u8, Trouble> {
    let closed = ledger::close(ledger);
    let done = done.map_err(|error| of_review(&error))?;
    out::print(&say(&done))?;
    Ok(closed)
}

/// A review that waits for a decision.
struct Pending {
    event_id: EventId,
    sequence: u64,
    deadline: String,
    requester: String,
    proposal: Value,
}

/// Those of a record, verified while it is read. The earliest deadline first.
fn pending(path: &Path) -> Result<Vec<Pending>, Trouble> {
    let mut record = Record::open(path, &[])?.on_word()?;
    let mut context = Context::default();
    // What is asked for: the context keeps no more than that somebody asks.
    let mut proposals: BTreeMap<EventId, Value> = BTreeMap::new();
    let report = record.read(&mut |seen| {
        let Seen::Entry(shown) = seen else { return Ok(()) };
        context.apply(&shown.item);
        let fields = &shown.written.fields;
        if fields.event_type == "review.request" {
            proposals.insert(fields.event_id, proposal(&shown.written.part));
        } else if let Some(cause) = fields.causation_id
            && !context.reviews.open.contains_key(&cause)
        {
            proposals.remove(&cause);
        }
        Ok(())
    })?;
    record.tell_basis(&report);
    let mut pending: Vec<_> = context
        .reviews
        .open
        .iter()
        .map(|(id, review)| Pending {
            event_id: *id,
            sequence: review.begun.sequence,
            deadline: review.deadline.to_string(),
            requester: review.actor.clone(),
            proposal: proposals.remove(id).unwrap_or(Value::Null),
        })
        .collect();
    pending.sort_by(|a, b| (&a.deadline, a.sequence).cmp(&(&b.deadline, b.sequence)));
    Ok(pending)
}

fn proposal(part: &Part<'_>) -> Value {
    let Part::Whole(leaf) = part else { return Value::Null };
    let said: Option<Value> = serde_json::from_slice(&leaf.bytes).ok();
    said.and_then(|mut said| said.get_mut("proposal").map(Value::take)).unwrap_or(Value::Null)
}

fn list(options: &ReviewListOptions) -> Result<u8, Trouble> {
    let pending = pending(&options.place.ledger)?;
    if options.json {
        let listed = pending.iter().map(|review| {
            object([
                ("review", review.event_id.to_string().into()),
                ("sequence", review.sequence.into()),
                ("deadline", review.deadline.clone().into()),
                ("requester", review.requester.clone().into()),
                ("proposal", review.proposal.clone()),
            ])
        });
        let answer: Map<String, Value> =
            [("pending".to_owned(), listed.collect::<Value>())].into_iter().collect();
        return render(answer).and_then(|text| out::print(&text)).map(|()| 0);
    }
    let mut text = String::new();
    for review in &pending {
        let _ = writeln!(
            text,
            "{}  until {}  entry {}, by {}\n    {}",
            review.event_id,
            safe(&review.deadline),
            review.sequence,
            safe(&review.requester),
            safe(&review.proposal.to_string())
        );
    }
    if pending.is_empty() {
        ledger::tell("no review waits for a decision");
    }
    out::page(&text)?;
    Ok(0)
}
