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
use crate::intent::Asked;
use crate::projection::{Item, Projection};
use crate::review::{ReviewError, Standing};
use crate::stamp::{Stamp, ValidTime};
use crate::terms::{self, Bar, Case, Terms};

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
    reviewers: BTreeSet<String>,
    /// Who has approved.
    approved_by: BTreeSet<String>,
    pub(super) episode: Option<String>,
    pub(super) correlation: Option<String>,
    standing: Standing,
}

impl Review {
    fn of(fields: &Fields<'_>, terms: Terms, payload: &Map<String, Value>) -> Self {
        let Terms { acting, approvals, deadline, reviewers } = terms;
        let stated = payload.get("commitment").and_then(Value::as_str).and_then(Digest::parse);
        // People decide by what is shown. Where that is not what is committed to, nothing is allowed.
        let shown = payload.get("proposal").and_then(|proposal| {
            let payload = proposal.get("payload")?.as_object()?;
            Some(Asked::of_object(proposal.get("type")?.as_str()?, payload).commitment)
        });
        let commitment = stated.filter(|stated| shown.is_none_or(|shown| shown == *stated));
        Self {
            sequence: fields.sequence,
            deadline,
            requester: fields.actor.clone().into_owned(),
            acting,
            commitment,
            approvals,
            reviewers,
            approved_by: BTreeSet::new(),
            episode: fields.episode_id.as_deref().map(str::to_owned),
            correlation: fields.correlation_id.as_deref().map(str::to_owned),
            standing: Standing::Pending { missing: approvals },
        }
    }

    /// Whether somebody may decide it, with an entry of this stamp.
    fn may_decide(&self, actor: &str, is_veto: bool, now: Stamp) -> Result<(), ReviewError> {
        let case = Case {
            requester: &self.requester,
            acting: self.acting.as_deref(),
            deadline: self.deadline,
            reviewers: &self.reviewers,
            approved_by: &self.approved_by,
        };
        case.may_decide(actor, is_veto, now).map_err(|bar| {
            let actor = actor.to_owned();
            match bar {
                Bar::Late => ReviewError::Expired { deadline: self.deadline },
                Bar::NotReviewer => ReviewError::NotReviewer { actor },
                Bar::Own => ReviewError::Own { actor },
                Bar::Twice => ReviewError::Twice { actor },
            }
        })
    }

    pub(super) fn is_late(&self, stamp: Stamp) -> bool {
        terms::is_late(stamp, self.deadline)
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
        self.pending(id)?.may_decide(actor, is_veto, now)
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
            && terms::is_late(now, deadline)
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
        // What cannot be understood is no review: nobody can approve it.
        if let Ok((terms, payload)) = Terms::read(item.part)
            && !self.reviews.contains_key(&id)
        {
            let review = Review::of(item.fields, terms, &payload);
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
            review.approved_by.insert(actor);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;
    use crate::entry::{Linked, Place};
    use crate::event::Event;
    use crate::key::KeyId;
    use crate::payload::{Part, Payload};

    /// Numbers that look random and are the same each time.
    struct Random(u64);

    impl Random {
        fn below(&mut self, most: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(self.0 >> 33).unwrap() % most
        }

        /// Mostly the first.
        fn of<'o>(&mut self, first: &'o str, others: &[&'o str]) -> &'o str {
            let at = self.below(others.len() + 4);
            others.get(at).copied().unwrap_or(first)
        }
    }

    const ACTORS: [&str; 5] = ["agent:a", "agent:b", "human:c", "human:d", "human:e"];

    fn request(random: &mut Random, second: i64) -> Event {
        let deadline = ValidTime::from_micros(second * 1_000_000 + 4_000_000).unwrap().to_string();
        let deadline = format!("\"{deadline}\"");
        let many: Vec<_> = (0..65).map(|n| format!("\"human:{n}\"")).collect();
        let (many, long) = (format!("[{}]", many.join(",")), format!("[\"{}\"]", "x".repeat(257)));
        let deadline = random.of(&deadline, &["\"soon\"", "5", "\"head\"", "null"]);
        let named = "[\"human:c\",\"human:d\",\"agent:a\",\"human:c\"]";
        let reviewers =
            random.of(named, &["[]", &many, &long, "\"human:c\"", "[1]", "[\"a\\u0000\"]"]);
        let approvals = random.of("2", &["0", "1", "3", "64", "65", "-1", "1.0", "\"2\"", "null"]);
        let policy = [
            String::new(),
            format!(",\"policy\":{{\"approvals\":{approvals}}}"),
            format!(",\"policy\":{{\"reviewers\":{reviewers}}}"),
            format!(
                ",\"policy\":{{\"approvals\":{approvals},\"reviewers\":{reviewers},\"more\":1}}"
            ),
            ",\"policy\":{}".to_owned(),
            ",\"policy\":null".to_owned(),
            ",\"policy\":{\"approvals\":1,\"approvals\":2}".to_owned(),
        ];
        let policy = &policy[random.below(policy.len())];
        let acting = random.of(
            "{\"actor\":\"agent:b\"}",
            &["1", "{\"actor\":1}", "{\"actor\":\"\"}", "{\"a\":1,\"a\":2}"],
        );
        let text = format!("{{\"deadline\":{deadline},\"proposal\":{acting}{policy}}}");
        let media = random.of("application/json", &["application/a+json", "text/plain", ""]);
        let payload = if random.below(4) == 0 {
            let found: Map<String, Value> = serde_json::from_str(&text).unwrap();
            let fields: Vec<_> = found.into_iter().map(|(k, v)| (k, v.to_string())).collect();
            Payload::by_field(fields.iter().map(|(k, v)| (&**k, media, v.as_bytes()))).unwrap()
        } else {
            Payload::new(media, text).unwrap()
        };
        Event::new(ACTORS[random.below(2)], "review.request").unwrap().payload(payload)
    }

    fn decision(random: &mut Random, requests: &[EventId]) -> Event {
        let word = random.of("review.approve", &["review.veto", "review.expire", "note.made"]);
        let near = requests.len() - 1 - random.below(requests.len().min(4));
        Event::new(ACTORS[random.below(5)], word).unwrap().caused_by(requests[near])
    }

    fn id_of(sequence: u64) -> EventId {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&sequence.to_be_bytes());
        EventId::new(1, random)
    }

    fn place(sequence: u64, second: i64) -> Place {
        let stamp = Stamp::from_micros(second * 1_000_000).unwrap();
        let (chain_id, prior_hash, signer) = (Digest::ZERO, Digest::ZERO, KeyId::new([1; 16]));
        Place { chain_id, prior_hash, sequence, stamp, signer }
    }

    fn counts(context: &Context) -> [u64; 4] {
        let reviews = &context.reviews;
        [reviews.begun, reviews.approved, reviews.vetoed, reviews.expired]
    }

    /// How the two come to say what one entry has done.
    fn compare(docket: &Docket, context: &Context, id: EventId, at: &str) {
        let open = context.reviews.open.get(&id);
        let Some(review) = docket.get(&id) else {
            assert_eq!(open, None, "{at}");
            return;
        };
        let Standing::Pending { missing } = review.standing else {
            assert_eq!(open, None, "{at}");
            return;
        };
        let open = open.expect(at);
        assert_eq!(
            (&open.approved_by, open.deadline),
            (&review.approved_by, review.deadline),
            "{at}"
        );
        assert_eq!(missing, open.needed - u64::try_from(open.approved_by.len()).unwrap(), "{at}");
    }

    /// [S-review-1] [S-review-2] [S-review-4] [C-review-2]: whatever anybody writes, what the ledger goes by and what the context says
    /// is the same.
    #[test]
    fn random_reviews_stand_in_the_ledger_as_they_do_in_the_context() {
        let mut came_to = [0_u32; 4];
        for seed in 0..600 {
            let mut random = Random(seed);
            let (mut docket, mut context) = (Docket::default(), Context::new());
            let (mut requests, mut second) = (Vec::new(), 1_795_150_800);
            for sequence in 0..60 {
                second += i64::try_from(random.below(3)).unwrap();
                let is_request = requests.is_empty() || random.below(3) == 0;
                let event = if is_request {
                    request(&mut random, second)
                } else {
                    decision(&mut random, &requests)
                };
                let mut part = event.payload_ref().clone().salted(|| [7; 16]);
                match random.below(24) {
                    0 => part = Part::Withheld,
                    1 => drop(part.hide("policy")),
                    _ => {}
                }
                let id = id_of(sequence);
                let linked = Linked::new(event, id, Digest::ZERO, &place(sequence, second));
                let item = Item::new(Digest::ZERO, linked.fields(), &part);
                let before = counts(&context);
                docket.apply(&item);
                context.apply(&item);
                if is_request {
                    requests.push(id);
                }
                let at = format!("seed {seed}, entry {sequence}: {:?}", linked.fields());
                let after = counts(&context);
                for (kind, sum) in came_to.iter_mut().enumerate() {
                    *sum += u32::try_from(after[kind] - before[kind]).unwrap();
                }
                for request in &requests {
                    compare(&docket, &context, *request, &at);
                }
                let standing = linked.fields().causation_id.map(|cause| docket.standing(&cause));
                let decided = [after[1] > before[1], after[2] > before[2]];
                let by = |found: Option<EventId>| found == Some(id);
                let (approved, vetoed) = match standing {
                    Some(Standing::Approved { by }) => (Some(by), None),
                    Some(Standing::Vetoed { by }) => (None, Some(by)),
                    _ => (None, None),
                };
                assert_eq!(decided, [by(approved), by(vetoed)], "{at}");
            }
        }
        // Enough of each, or this says nothing.
        assert!(came_to.iter().all(|count| *count > 100), "{came_to:?}");
    }
}
