//! Reviews: somebody else decides, in time, before something is done.
//!
//! A [`Request`] is about an intent, and has a deadline. It is approved or vetoed by others than whoever asked for it or is to act, as
//! its policy says. The deadline is judged when the decision gets its place in the chain, by the stamp that it gets; a review that
//! nobody has decided by then is vetoed. What was approved can be done once, until the same deadline, by an action that was begun
//! [after the review](crate::action::Action::after_review): its intent is the one that was approved, and caused by the approval.
//!
//! ```
//! use sigchain::event::Event;
//! use sigchain::key::SigningKey;
//! use sigchain::ledger::{Genesis, Ledger};
//! use sigchain::payload::Payload;
//! use sigchain::review::Request;
//! use sigchain::stamp::ValidTime;
//!
//! let ledger = Ledger::in_memory(Genesis::new("example.org/agents", SigningKey::generate()?))?;
//! let reviews = ledger.reviews()?;
//! let intent = Event::new("agent:planner", "payment.send")?
//!     .payload(Payload::new("application/json", r#"{"sum":5}"#)?);
//! let deadline = ValidTime::parse("2099-12-31T00:00:00.000000Z").unwrap();
//! let review = reviews.request(&Request::new(&intent, deadline).approvals(1))?.event_id;
//!
//! assert!(reviews.approve(review, "agent:planner", None).is_err());
//! reviews.approve(review, "human:ada", Some("within the budget"))?;
//! let approved = reviews.approved(&review)?;
//! ledger.action(intent).after_review(&approved).run(|_| Ok::<_, std::io::Error>(()))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What this does not prove: that an actor is the person whose name it bears, and that nobody acts without asking.

mod docket;
mod error;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value, json};

use crate::codec::len_u64;
use crate::digest::Digest;
use crate::error::{AppendError, DecideError};
use crate::event::{Capture, Event};
use crate::id::EventId;
use crate::intent::{self, Asked};
use crate::ledger::{Attached, Ledger, Ticket, View};
use crate::limit::{self, FieldError};
use crate::payload::Payload;
use crate::receipt::Receipt;
use crate::review::docket::{Docket, Review};
use crate::stamp::ValidTime;
use crate::terms::{REVIEWERS_MAX, is_late};

pub use crate::review::error::ReviewError;

/// Bytes of an intent's payload that a request repeats; of a larger one there is only the commitment.
const REPEATED_MAX: usize = 1 << 16;

/// How a review stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It waits for a decision.
    Pending {
        /// How many approvals are missing.
        missing: u64,
    },
    /// It is approved, and nothing was done on that yet.
    Approved {
        /// The approval that was the last one needed.
        by: EventId,
    },
    /// It is vetoed.
    Vetoed {
        /// The veto.
        by: EventId,
    },
    /// It was approved, and something was done on that.
    Used {
        /// The event that the approval caused.
        by: EventId,
    },
    /// It was never requested, has expired, or was decided and its deadline has passed: what it came to is in the chain.
    Over,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending { missing: 1 } => f.write_str("waits for an approval"),
            Self::Pending { missing } => write!(f, "waits for {missing} approvals"),
            Self::Approved { by } => write!(f, "was approved by event {by}"),
            Self::Vetoed { by } => write!(f, "was vetoed by event {by}"),
            Self::Used { by } => write!(f, "was used by event {by}"),
            Self::Over => f.write_str("was never requested, or is over"),
        }
    }
}

/// What is to be reviewed, until when, and by whom.
#[derive(Clone, Debug)]
#[must_use = "a review that is not requested is not decided"]
pub struct Request<'i> {
    intent: &'i Event,
    deadline: ValidTime,
    requester: &'i str,
    approvals: Option<u64>,
    reviewers: Option<Vec<&'i str>>,
    reason: Option<&'i str>,
}

impl<'i> Request<'i> {
    /// Whether this intent may be acted on, to be decided until the deadline. Whoever is to act asks. The request is of the intent's
    /// episode, correlation and trace, and has its cause.
    pub fn new(intent: &'i Event, deadline: ValidTime) -> Self {
        let requester = &*intent.actor;
        Self { intent, deadline, requester, approvals: None, reviewers: None, reason: None }
    }

    /// Somebody else than whoever is to act asks. Neither can decide.
    pub fn by(self, requester: &'i str) -> Self {
        Self { requester, ..self }
    }

    /// So many must approve, each another one; 1 unless said otherwise, at most 64.
    pub fn approvals(self, approvals: u64) -> Self {
        Self { approvals: Some(approvals), ..self }
    }

    /// Only these may decide, 1 to 64 of them.
    pub fn reviewers(self, reviewers: impl IntoIterator<Item = &'i str>) -> Self {
        Self { reviewers: Some(reviewers.into_iter().collect()), ..self }
    }

    /// Why it is asked.
    pub fn reason(self, reason: &'i str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    fn event(&self) -> Result<Event, FieldError> {
        let Self { intent, deadline, requester, approvals, reviewers, reason } = self;
        let fits = |count: usize| (1..=REVIEWERS_MAX).contains(&count);
        if let Some(found) = approvals.filter(|n| !usize::try_from(*n).is_ok_and(fits)) {
            return Err(FieldError::new("approvals", "1 to 64", &found.to_string()));
        }
        if let Some(found) = reviewers.as_ref().map(Vec::len).filter(|n| !fits(*n)) {
            let found = format!("{found} names");
            return Err(FieldError::new("reviewers", "1 to 64 names", &found));
        }
        let unfit = |name: &&&str| !limit::is_actor(name);
        if let Some(name) = reviewers.iter().flatten().find(unfit) {
            let expected = "1 to 256 bytes of text without control characters";
            return Err(FieldError::new("reviewers", expected, name));
        }
        if let Some(names) = reviewers {
            // Nobody could ever approve it.
            let names: BTreeSet<_> = names.iter().copied().collect();
            let may = |name: &&&str| **name != *requester && **name != intent.actor;
            let (could, needed) =
                (len_u64(names.iter().filter(may).count()), approvals.unwrap_or(1));
            if could < needed {
                let expected = "at least as many as must approve, besides who asks and who acts";
                return Err(FieldError::new("reviewers", expected, &could.to_string()));
            }
        }
        let asked = Asked::of(intent);
        let payload = intent::payload_of(intent).filter(|_| intent.payload.size() <= REPEATED_MAX);
        let mut proposal = json!({"actor": intent.actor, "type": intent.event_type});
        let mut said = Map::new();
        if let (Some(proposal), Some(payload)) = (proposal.as_object_mut(), payload) {
            proposal.insert("payload".to_owned(), Value::Object(payload));
        }
        said.insert("commitment".to_owned(), asked.commitment.to_string().into());
        said.insert("deadline".to_owned(), deadline.to_string().into());
        said.insert("proposal".to_owned(), proposal);
        let mut policy = Map::new();
        policy.extend(approvals.map(|approvals| ("approvals".to_owned(), approvals.into())));
        policy.extend(reviewers.as_ref().map(|names| ("reviewers".to_owned(), json!(names))));
        if !policy.is_empty() {
            said.insert("policy".to_owned(), Value::Object(policy));
        }
        said.extend(reason.map(|reason| ("reason".to_owned(), reason.into())));
        let event = Event::new(requester, "review.request")?;
        let payload = Payload::new("application/json", Value::Object(said).to_string())?;
        Ok(Event {
            causation_id: intent.causation_id,
            correlation_id: intent.correlation_id.clone(),
            episode_id: intent.episode_id.clone(),
            trace_id: intent.trace_id,
            span_id: intent.span_id,
            ..event.payload(payload).captured(Capture::Gate)
        })
    }
}

/// The reviews of a ledger. Clones are the same; it is kept up to date until the last of them goes.
#[derive(Clone, Debug)]
pub struct Reviews {
    docket: Attached<Docket>,
}

impl Ledger {
    /// The reviews of this ledger. Reads all of the chain once: keep what this gives, and clone it.
    pub fn reviews(&self) -> Result<Reviews, AppendError> {
        Ok(Reviews { docket: self.attach(Docket::default())? })
    }
}

impl Reviews {
    /// Asks for a review. Its id is that of the receipt's event.
    pub fn request(&self, request: &Request<'_>) -> Result<Receipt, ReviewError> {
        let event = request.event()?;
        let deadline = request.deadline;
        let receipt = self.docket.append_with(|view| {
            if is_late(view.now, deadline) {
                return Err(ReviewError::Expired { deadline });
            }
            Ok(event)
        })?;
        Ok(receipt)
    }

    /// Approves a review, for this actor. How it stands then says whether others are needed.
    pub fn approve(
        &self,
        review: EventId,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<Receipt, ReviewError> {
        self.decide(review, Event::new(actor, "review.approve")?, reason)
    }

    /// Vetoes a review, for this actor. One veto is enough.
    pub fn veto(
        &self,
        review: EventId,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<Receipt, ReviewError> {
        self.decide(review, Event::new(actor, "review.veto")?, reason)
    }

    fn decide(
        &self,
        id: EventId,
        event: Event,
        reason: Option<&str>,
    ) -> Result<Receipt, ReviewError> {
        let mut said = Map::new();
        said.extend(reason.map(|reason| ("reason".to_owned(), Value::from(reason))));
        let payload = Payload::new("application/json", Value::Object(said).to_string())?;
        let expire = expiry(&event.actor)?;
        let actor = event.actor.clone();
        let is_veto = event.event_type == "review.veto";
        let mut late = None;
        let receipt = self.docket.append_with(|view| {
            let review = view.state.pending(&id)?;
            match view.state.may_decide(&id, (&actor, is_veto), view.now) {
                Ok(()) => Ok(of(review, id, event.payload(payload))),
                // Silence was the veto; now that somebody asks, it is recorded.
                Err(error @ ReviewError::Expired { .. }) => {
                    late = Some(error);
                    Ok(of(review, id, expire))
                }
                Err(error) => Err(error),
            }
        })?;
        if let Some(late) = late {
            return Err(late);
        }
        // The time may have passed just when it got its stamp, and then it counts for nothing.
        let deadline = self.docket.read(|view| view.state.pending(&id).ok().map(|r| r.deadline));
        if let Some(Some(deadline)) = deadline
            && is_late(receipt.stamp, deadline)
        {
            self.expire(id, &actor)?;
            return Err(ReviewError::Expired { deadline });
        }
        Ok(receipt)
    }

    /// Records that a review has expired, if it has and nobody has recorded it.
    fn expire(&self, id: EventId, actor: &str) -> Result<(), ReviewError> {
        let event = expiry(actor)?;
        let done = self.docket.append_with(|view| {
            let review = view.state.pending(&id).map_err(drop)?;
            if review.is_late(view.now) { Ok(of(review, id, event)) } else { Err(()) }
        });
        match done {
            Err(DecideError::Append(error)) => Err(error.into()),
            // Somebody else was faster.
            Ok(_) | Err(DecideError::Declined(())) => Ok(()),
        }
    }

    /// Records, for this actor, that all reviews have expired whose deadlines have passed. Gives how many there were.
    pub fn sweep(&self, actor: &str) -> Result<usize, ReviewError> {
        let late = self.docket.read(|view| {
            let now = view.now;
            let due = view.state.due().take_while(|(deadline, _)| is_late(now, *deadline));
            due.map(|(_, id)| id).collect::<Vec<_>>()
        });
        let late = late.unwrap_or_default();
        for id in &late {
            self.expire(*id, actor)?;
        }
        Ok(late.len())
    }

    /// How a review stands, as far as that is durable.
    pub fn standing(&self, review: &EventId) -> Standing {
        self.docket.read(|view| view.state.standing(review)).unwrap_or(Standing::Over)
    }

    /// The next deadline of a review that waits for a decision: when a sweep will have something to do.
    pub fn next_deadline(&self) -> Option<ValidTime> {
        self.docket.read(|view| view.state.due().next())?.map(|(deadline, _)| deadline)
    }

    /// Those that wait for a decision, the earliest deadline first, and at most so many.
    pub fn pending(&self, most: usize) -> Vec<Pending> {
        let pending = self.docket.read(|view| {
            let due = view.state.due().take(most);
            due.filter_map(|(deadline, id)| {
                let Review { sequence, requester, .. } = view.state.get(&id)?;
                Some(Pending { id, sequence: *sequence, deadline, requester: requester.clone() })
            })
            .collect()
        });
        pending.unwrap_or_default()
    }

    /// The approval of a review, for the action that it allows.
    pub fn approved(&self, review: &EventId) -> Result<Approved, ReviewError> {
        let found =
            self.docket.read(|view| view.state.allowed(review).map(|allowed| allowed.deadline));
        let deadline = found.unwrap_or(Err(ReviewError::Over { standing: Standing::Over }))?;
        Ok(Approved { reviews: self.clone(), review: *review, deadline })
    }
}

fn expiry(actor: &str) -> Result<Event, FieldError> {
    let payload = Payload::new("application/json", "{}")?;
    Ok(Event::new(actor, "review.expire")?.payload(payload))
}

/// An event that answers a request.
fn of(review: &Review, id: EventId, event: Event) -> Event {
    Event {
        correlation_id: review.correlation.clone(),
        episode_id: review.episode.clone(),
        ..event.caused_by(id).captured(Capture::Gate)
    }
}

/// A review that waits for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pending {
    /// Its id.
    pub id: EventId,
    /// The request's entry, which says what it is about.
    pub sequence: u64,
    /// Until when it can be decided.
    pub deadline: ValidTime,
    /// Who asked.
    pub requester: String,
}

/// A review that is approved: what an action is begun with.
#[derive(Clone, Debug)]
pub struct Approved {
    reviews: Reviews,
    review: EventId,
    deadline: ValidTime,
}

impl Approved {
    /// The review.
    pub fn review(&self) -> EventId {
        self.review
    }

    /// Until when it can be acted on.
    pub fn deadline(&self) -> ValidTime {
        self.deadline
    }

    /// Whether an entry has its stamp in time.
    pub(crate) fn is_in_time(&self, receipt: &Receipt) -> Result<(), ReviewError> {
        let deadline = self.deadline;
        let is_late = is_late(receipt.stamp, deadline);
        if is_late { Err(ReviewError::Expired { deadline }) } else { Ok(()) }
    }

    /// The intent, caused by the approval, if it is the one that was approved and nothing was done on that yet.
    fn decide(
        &self,
        view: &View<'_, Docket>,
        intent: Event,
        found: Digest,
    ) -> Result<Event, ReviewError> {
        let allowed = view.state.allowed(&self.review);
        if is_late(view.now, self.deadline) {
            return Err(ReviewError::Expired { deadline: self.deadline });
        }
        let allowed = allowed?;
        let approved = allowed.commitment;
        if found != approved {
            return Err(ReviewError::OtherIntent { approved, found });
        }
        if intent.actor != allowed.actor {
            let approved = allowed.actor.to_owned();
            return Err(ReviewError::OtherActor { approved, found: intent.actor });
        }
        Ok(intent.caused_by(allowed.by))
    }

    fn check_ledger(&self, ledger: &Ledger) -> Result<(), ReviewError> {
        let is_same = self.reviews.docket.ledger().chain_id() == ledger.chain_id();
        if is_same { Ok(()) } else { Err(ReviewError::OtherLedger) }
    }

    /// Records an intent that is allowed.
    pub(crate) fn begin(&self, ledger: &Ledger, intent: Event) -> Result<Receipt, ReviewError> {
        self.check_ledger(ledger)?;
        let found = Asked::of(&intent).commitment;
        let docket = &self.reviews.docket;
        Ok(docket.append_with(|view| self.decide(view, intent, found))?)
    }

    /// As `begin`, for whoever must not wait.
    pub(crate) fn try_begin(&self, ledger: &Ledger, intent: Event) -> Result<Ticket, ReviewError> {
        self.check_ledger(ledger)?;
        let found = Asked::of(&intent).commitment;
        let docket = &self.reviews.docket;
        Ok(docket.try_submit_with(|view| self.decide(view, intent, found))?)
    }
}
