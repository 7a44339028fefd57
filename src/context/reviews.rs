//! Reviews: kept from the request until there is a decision.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::context::Begun;
use crate::context::form::{self, ById};
use crate::context::said::{Unread, Unreadable};
use crate::entry::Fields;
use crate::id::EventId;
use crate::payload::Part;
use crate::stamp::ValidTime;
use crate::terms::{self, Case, NoTerms, Terms};

/// Reviews that are kept while nobody has decided.
pub const REVIEWS_MAX: usize = 16_384;
/// Reviewers that a request may name, and approvals that it may ask for. One with more is unreadable.
pub const REVIEWERS_MAX: usize = terms::REVIEWERS_MAX;

/// A review that nobody has decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Review {
    /// What it is about: the cause that its request names.
    #[serde(with = "form::optional")]
    pub about: Option<EventId>,
    /// Who is to act, who cannot decide either.
    pub acting: Option<String>,
    /// Who asked for it.
    pub actor: String,
    /// Who has approved so far, where it takes more than one.
    pub approved_by: BTreeSet<String>,
    /// Its request.
    pub begun: Begun,
    /// Until when there may be a decision. Silence is a veto.
    #[serde(with = "form::text")]
    pub deadline: ValidTime,
    /// The episode that it belongs to.
    pub episode: Option<String>,
    /// How many have to approve.
    pub needed: u64,
    /// Who may decide; anybody but whoever asked or is to act, if nobody is named.
    pub reviewers: BTreeSet<String>,
}

impl ById for Review {
    fn event_id(&self) -> EventId {
        self.begun.event_id
    }
}

impl Review {
    /// Whether this entry may decide it.
    fn is_decided_by(&self, fields: &Fields<'_>, is_veto: bool) -> bool {
        let case = Case {
            requester: &self.actor,
            acting: self.acting.as_deref(),
            deadline: self.deadline,
            reviewers: &self.reviewers,
            approved_by: &self.approved_by,
        };
        case.may_decide(&fields.actor, is_veto, fields.system_time).is_ok()
    }
}

/// Reviews that wait for a decision, and how many were decided how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Reviews {
    /// Those that were approved.
    pub approved: u64,
    /// All requests that could be read.
    pub begun: u64,
    /// Those whose deadline passed.
    pub expired: u64,
    /// Those that nobody has decided, by the ids of their requests.
    #[serde(with = "form::list")]
    pub open: BTreeMap<EventId, Review>,
    /// Decisions about none of these, or by somebody or at a time that the request does not allow.
    pub unexpected: u64,
    /// Requests that came when too many were open, or with an id that was open.
    pub unfollowed: u64,
    /// Those that were vetoed.
    pub vetoed: u64,
}

impl Reviews {
    pub(super) fn take(
        &mut self,
        word: &str,
        fields: &Fields<'_>,
        part: &Part<'_>,
        unreadable: &mut Unreadable,
    ) {
        match word {
            "request" => {
                if let Some(review) = unreadable.note(request(fields, part)) {
                    self.begin(fields, review);
                }
            }
            "approve" | "veto" | "expire" => self.decide(word, fields),
            _ => {}
        }
    }

    fn begin(&mut self, fields: &Fields<'_>, review: Review) {
        form::count(&mut self.begun);
        if self.open.len() >= REVIEWS_MAX || self.open.contains_key(&fields.event_id) {
            form::count(&mut self.unfollowed);
            return;
        }
        self.open.insert(fields.event_id, review);
    }

    fn decide(&mut self, word: &str, fields: &Fields<'_>) {
        let review = fields.causation_id.and_then(|cause| self.open.get_mut(&cause));
        let is_decided = match (review, word) {
            (Some(review), "expire") => {
                let is_late = terms::is_late(fields.system_time, review.deadline);
                is_late.then_some(&mut self.expired)
            }
            (Some(review), _) if !review.is_decided_by(fields, word == "veto") => None,
            (Some(_), "veto") => Some(&mut self.vetoed),
            (Some(review), _) => {
                review.approved_by.insert(fields.actor.to_string());
                let so_far = u64::try_from(review.approved_by.len()).unwrap_or(u64::MAX);
                if so_far < review.needed {
                    return;
                }
                Some(&mut self.approved)
            }
            (None, _) => None,
        };
        let Some(counter) = is_decided else {
            form::count(&mut self.unexpected);
            return;
        };
        form::count(counter);
        if let Some(cause) = fields.causation_id {
            self.open.remove(&cause);
        }
    }
}

/// What a request asks for.
fn request(fields: &Fields<'_>, part: &Part<'_>) -> Result<Review, Unread> {
    let (terms, _) = Terms::read(part).map_err(|why| match why {
        NoTerms::Hidden => Unread::Absent,
        NoTerms::IllFormed => Unread::IllFormed,
    })?;
    let Terms { acting, approvals, deadline, reviewers } = terms;
    Ok(Review {
        about: fields.causation_id,
        acting,
        approved_by: BTreeSet::new(),
        actor: fields.actor.to_string(),
        begun: Begun::by(fields),
        deadline,
        episode: fields.episode_id.as_ref().map(ToString::to_string),
        needed: approvals,
        reviewers,
    })
}
