//! What every review has come to: a fold over the chain, so that it is there again when a ledger is opened.
//!
//! All rules are kept here, whoever wrote an entry: one that breaks them counts for nothing. So it is said by the entries alone whether an
//! action was allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::entry::Fields;
use crate::id::EventId;
use crate::intent::{self, Asked};
use crate::point::Point;
use crate::projection::{Item, Projection};
use crate::review::{ReviewError, Standing};
use crate::stamp::{Stamp, ValidTime};

/// One review.
#[derive(Clone, Debug)]
pub(super) struct Review {
    pub(super) sequence: u64,
    pub(super) deadline: ValidTime,
    /// Who asked.
    pub(super) requester: String,
    /// Who is to act, if it is about an intent.
    acting: Option<String>,
    /// What the intent must come to.
    commitment: Option<Digest>,
    /// How many must approve.
    approvals: u64,
    /// Who may decide, if not anybody.
    reviewers: Option<Vec<String>>,
    /// Who has approved.
    approved_by: Vec<String>,
    pub(super) episode: Option<String>,
    pub(super) correlation: Option<String>,
    standing: Standing,
}

impl Review {
    fn of(fields: &Fields<'_>, payload: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| payload.get(name).and_then(Value::as_str);
        let Ok(Point::Time(deadline)) = Point::parse(text("deadline")?) else { return None };
        let policy =
            payload.get("policy").map_or(Some(None), |policy| policy.as_object().map(Some))?;
        let member = |name: &str| policy.and_then(|policy| policy.get(name));
        let approvals = member("approvals").map_or(Some(1), Value::as_u64)?.max(1);
        let names = |names: &Value| -> Option<Vec<String>> {
            names.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
        };
        // What cannot be understood is no review: nobody can approve it.
        let reviewers = member("reviewers").map_or(Some(None), |given| names(given).map(Some))?;
        let proposal = payload.get("proposal");
        let acting = proposal.and_then(|proposal| proposal.get("actor"));
        let stated = text("commitment").and_then(Digest::parse);
        // People decide by what is shown. Where that is not what is committed to, nothing is allowed.
        let shown = proposal.and_then(|proposal| {
            let payload = proposal.get("payload")?.as_object()?;
            Some(Asked::of_object(proposal.get("type")?.as_str()?, payload).commitment)
        });
        let commitment = stated.filter(|stated| shown.is_none_or(|shown| shown == *stated));
        Some(Self {
            sequence: fields.sequence,
            deadline,
            requester: fields.actor.clone().into_owned(),
            acting: acting.and_then(Value::as_str).map(str::to_owned),
            commitment,
            approvals,
            reviewers,
            approved_by: Vec::new(),
            episode: fields.episode_id.as_deref().map(str::to_owned),
            correlation: fields.correlation_id.as_deref().map(str::to_owned),
            standing: Standing::Pending { missing: approvals },
        })
    }

    /// Whether somebody may decide it.
    fn may_decide(&self, actor: &str, is_veto: bool) -> Result<(), ReviewError> {
        let actor_is = |other: &String| other == actor;
        if actor_is(&self.requester) || self.acting.as_ref().is_some_and(actor_is) {
            return Err(ReviewError::Own { actor: actor.to_owned() });
        }
        if self.reviewers.as_ref().is_some_and(|names| !names.iter().any(actor_is)) {
            return Err(ReviewError::NotReviewer { actor: actor.to_owned() });
        }
        // Whoever has approved may think better of it while others are missing.
        if !is_veto && self.approved_by.iter().any(actor_is) {
            return Err(ReviewError::Twice { actor: actor.to_owned() });
        }
        Ok(())
    }

    pub(super) fn is_late(&self, stamp: Stamp) -> bool {
        stamp.micros() > self.deadline.micros()
    }
}

/// All reviews that are not over, and those that are until their deadlines pass.
#[derive(Clone, Debug, Default)]
pub(super) struct Docket {
    reviews: BTreeMap<EventId, Arc<Review>>,
    /// Deadlines of those that wait for a decision.
    due: BTreeSet<(ValidTime, EventId)>,
    /// Deadlines of those that have one.
    decided: BTreeSet<(ValidTime, EventId)>,
    /// Approvals that nothing was done on yet, each with its review.
    unused: BTreeMap<EventId, EventId>,
}

impl Docket {
    pub(super) fn get(&self, id: &EventId) -> Option<&Review> {
        self.reviews.get(id).map(|review| &**review)
    }

    pub(super) fn standing(&self, id: &EventId) -> Standing {
        self.get(id).map_or(Standing::Over, |review| review.standing)
    }

    /// Those that wait for a decision, the earliest deadline first.
    pub(super) fn due(&self) -> impl Iterator<Item = (ValidTime, EventId)> {
        self.due.iter().copied()
    }

    /// Whether somebody may decide a review at this time.
    pub(super) fn may_decide(
        &self,
        id: &EventId,
        (actor, is_veto): (&str, bool),
        now: Stamp,
    ) -> Result<(), ReviewError> {
        let review = self.pending(id)?;
        if review.is_late(now) {
            return Err(ReviewError::Expired { deadline: review.deadline });
        }
        review.may_decide(actor, is_veto)
    }

    /// A review that waits for a decision.
    pub(super) fn pending(&self, id: &EventId) -> Result<&Review, ReviewError> {
        match self.get(id) {
            Some(review) if matches!(review.standing, Standing::Pending { .. }) => Ok(review),
            _ => Err(ReviewError::Over { standing: self.standing(id) }),
        }
    }

    /// What an approved review allows, and to whom: its approval, the commitment, the actor, the deadline.
    pub(super) fn allowed(&self, id: &EventId) -> Result<Allowed<'_>, ReviewError> {
        let over = ReviewError::NotApproved { standing: self.standing(id) };
        let Some(review) = self.get(id) else { return Err(over) };
        let Standing::Approved { by } = review.standing else { return Err(over) };
        let (Some(commitment), Some(actor)) = (review.commitment, &review.acting) else {
            return Err(ReviewError::NoIntent);
        };
        Ok(Allowed { by, commitment, actor, deadline: review.deadline })
    }

    fn change(&mut self, id: EventId, change: impl FnOnce(&mut Review)) {
        if let Some(review) = self.reviews.get_mut(&id) {
            change(Arc::make_mut(review));
        }
    }

    /// A pending review has its decision.
    fn end(&mut self, id: EventId, standing: Standing) {
        let Some(review) = self.reviews.get_mut(&id) else { return };
        Arc::make_mut(review).standing = standing;
        let key = (review.deadline, id);
        self.due.remove(&key);
        self.decided.insert(key);
    }

    /// Decided reviews whose deadlines have passed allow nothing any more, and are forgotten.
    fn forget(&mut self, now: Stamp) {
        while let Some((deadline, id)) = self.decided.first().copied()
            && now.micros() > deadline.micros()
        {
            self.decided.remove(&(deadline, id));
            let review = self.reviews.remove(&id);
            if let Some(Standing::Approved { by }) = review.map(|review| review.standing) {
                self.unused.remove(&by);
            }
        }
    }

    fn request(&mut self, item: &Item<'_>) {
        let id = item.fields.event_id;
        let payload = intent::object_of(item.part);
        let review = payload.and_then(|payload| Review::of(item.fields, &payload));
        if let Some(review) = review
            && !self.reviews.contains_key(&id)
        {
            self.due.insert((review.deadline, id));
            self.reviews.insert(id, Arc::new(review));
        }
    }

    fn approve(&mut self, id: EventId, fields: &Fields<'_>) {
        if self.may_decide(&id, (&fields.actor, false), fields.system_time).is_err() {
            return;
        }
        let (actor, mut missing) = (fields.actor.clone().into_owned(), 0);
        self.change(id, |review| {
            review.approved_by.push(actor);
            let count = crate::codec::len_u64(review.approved_by.len());
            missing = review.approvals.saturating_sub(count);
            review.standing = Standing::Pending { missing };
        });
        if missing == 0 {
            let by = fields.event_id;
            self.end(id, Standing::Approved { by });
            self.unused.insert(by, id);
        }
    }

    fn veto(&mut self, id: EventId, fields: &Fields<'_>) {
        if self.may_decide(&id, (&fields.actor, true), fields.system_time).is_ok() {
            self.end(id, Standing::Vetoed { by: fields.event_id });
        }
    }

    fn expire(&mut self, id: EventId, fields: &Fields<'_>) {
        let Ok(review) = self.pending(&id) else { return };
        if review.is_late(fields.system_time) {
            let key = (review.deadline, id);
            self.due.remove(&key);
            self.reviews.remove(&id);
        }
    }
}

/// What an approved review allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed<'d> {
    pub(super) by: EventId,
    pub(super) commitment: Digest,
    pub(super) actor: &'d str,
    pub(super) deadline: ValidTime,
}

impl Projection for Docket {
    fn apply(&mut self, item: &Item<'_>) {
        let fields = item.fields;
        self.forget(fields.system_time);
        match (&*fields.event_type, fields.causation_id) {
            ("review.request", _) => self.request(item),
            ("review.approve", Some(id)) => self.approve(id, fields),
            ("review.veto", Some(id)) => self.veto(id, fields),
            ("review.expire", Some(id)) => self.expire(id, fields),
            // Whatever an approval is the cause of has used it up: it allows one thing, once.
            (_, Some(approval)) if !self.unused.is_empty() => {
                if let Some(id) = self.unused.remove(&approval) {
                    let by = fields.event_id;
                    self.change(id, |review| review.standing = Standing::Used { by });
                }
            }
            _ => {}
        }
    }
}
