//! Who may decide a review, and until when: read from its request, and one rule for the ledger, which lets an action go ahead, and for the
//! context, which says how things stand. Two readers would differ one day, and then one of them says that somebody allowed what nobody did.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::intent;
use crate::limit;
use crate::payload::{Part, Presence};
use crate::point::Point;
use crate::stamp::{Stamp, ValidTime};

/// Reviewers that a request may name, and approvals that it may ask for.
pub(crate) const REVIEWERS_MAX: usize = 64;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Who is to act, if it names somebody who could.
    pub(crate) acting: Option<String>,
    /// How many must approve.
    pub(crate) approvals: u64,
    pub(crate) deadline: ValidTime,
    /// Who may decide; anybody else than whoever asked or is to act, if nobody is named.
    pub(crate) reviewers: BTreeSet<String>,
}

/// Why a request asks for nothing: nobody can decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTerms {
    /// Some of its payload is not there. What is hidden could be the policy.
    Hidden,
    /// It is not what it should be.
    IllFormed,
}

impl Terms {
    /// Reads a request, all of it: what one reader of JSON sees in it and another does not is no request. Gives the payload too.
    pub(crate) fn read(part: &Part<'_>) -> Result<(Self, Map<String, Value>), NoTerms> {
        if part.presence() != Presence::Present {
            return Err(NoTerms::Hidden);
        }
        let payload = intent::object_of(part).ok_or(NoTerms::IllFormed)?;
        let terms = Self::of(&payload).ok_or(NoTerms::IllFormed)?;
        Ok((terms, payload))
    }

    fn of(payload: &Map<String, Value>) -> Option<Self> {
        let Ok(Point::Time(deadline)) = Point::parse(payload.get("deadline")?.as_str()?) else {
            return None;
        };
        let (approvals, reviewers) = match payload.get("policy") {
            None => (1, BTreeSet::new()),
            Some(policy) => policy_of(policy.as_object()?)?,
        };
        let acting = payload.get("proposal").and_then(|proposal| proposal.get("actor"));
        // Who cannot be an actor cannot decide, either: there is nobody to keep from it.
        let acting = acting.and_then(Value::as_str).filter(|name| limit::is_actor(name));
        Some(Self { acting: acting.map(str::to_owned), approvals, deadline, reviewers })
    }
}

fn policy_of(policy: &Map<String, Value>) -> Option<(u64, BTreeSet<String>)> {
    let most = u64::try_from(REVIEWERS_MAX).unwrap_or(u64::MAX);
    let approvals = policy.get("approvals").map_or(Some(1), Value::as_u64)?;
    let names = match policy.get("reviewers") {
        None => BTreeSet::new(),
        Some(names) => {
            let names = names.as_array()?;
            // None at all is no choice of reviewers: read as anybody, it would allow what was meant to be allowed by nobody.
            if !(1..=REVIEWERS_MAX).contains(&names.len()) {
                return None;
            }
            let name =
                |name: &Value| name.as_str().filter(|n| limit::is_actor(n)).map(str::to_owned);
            names.iter().map(name).collect::<Option<_>>()?
        }
    };
    (1..=most).contains(&approvals).then_some((approvals, names))
}

/// A review that waits for a decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'r> {
    pub(crate) requester: &'r str,
    pub(crate) acting: Option<&'r str>,
    pub(crate) deadline: ValidTime,
    pub(crate) reviewers: &'r BTreeSet<String>,
    /// Who has approved so far.
    pub(crate) approved_by: &'r BTreeSet<String>,
}

/// Why somebody may not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bar {
    /// The deadline has passed.
    Late,
    /// Others are named.
    NotReviewer,
    /// Whoever asked, or is to act.
    Own,
    /// Who has approved before.
    Twice,
}

impl Case<'_> {
    /// Whether somebody may decide it, with an entry of this stamp.
    pub(crate) fn may_decide(&self, actor: &str, is_veto: bool, stamp: Stamp) -> Result<(), Bar> {
        if is_late(stamp, self.deadline) {
            return Err(Bar::Late);
        }
        if actor == self.requester || self.acting == Some(actor) {
            return Err(Bar::Own);
        }
        if !self.reviewers.is_empty() && !self.reviewers.contains(actor) {
            return Err(Bar::NotReviewer);
        }
        // Whoever has approved may think better of it while others are missing.
        if !is_veto && self.approved_by.contains(actor) {
            return Err(Bar::Twice);
        }
        Ok(())
    }
}

/// Whether a deadline has passed at a moment of the chain's own time, in whole microseconds as it is shown.
pub(crate) fn is_late(stamp: Stamp, deadline: ValidTime) -> bool {
    stamp.micros() > deadline.micros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;

    fn read(media_type: &str, json: &str) -> Result<Terms, NoTerms> {
        let part = Payload::new(media_type, json).unwrap().salted(|| [7; 16]);
        Terms::read(&part).map(|(terms, _)| terms)
    }

    fn with_policy(policy: &str) -> Option<(u64, usize)> {
        let json = format!("{{\"deadline\":\"2026-11-20T05:00:00+01:00\",\"policy\":{policy}}}");
        let terms = read("application/json", &json).ok()?;
        assert_eq!(terms.deadline.to_string(), "2026-11-20T04:00:00.000000Z");
        Some((terms.approvals, terms.reviewers.len()))
    }

    /// [S-review-4] [C-read-6]
    #[test]
    fn what_is_not_understood_is_no_review() {
        let names = |count: usize| {
            let names: Vec<_> = (0..count).map(|n| format!("\"n{n}\"")).collect();
            format!("{{\"reviewers\":[{}]}}", names.join(","))
        };
        let long = |bytes: usize| format!("{{\"reviewers\":[\"{}\"]}}", "x".repeat(bytes));
        for (policy, found) in [
            ("{}", Some((1, 0))),
            ("{\"approvals\":64,\"more\":[]}", Some((64, 0))),
            ("{\"approvals\":0}", None),
            ("{\"approvals\":65}", None),
            ("{\"approvals\":1.0}", None),
            ("{\"approvals\":null}", None),
            ("{\"approvals\":1,\"approvals\":1}", None),
            ("{\"more\":{\"a\":1,\"a\":1}}", None),
            ("null", None),
            ("[]", None),
            ("{\"reviewers\":[]}", None),
            ("{\"reviewers\":\"a\"}", None),
            ("{\"reviewers\":[\"\"]}", None),
            ("{\"reviewers\":[\"a\\n\"]}", None),
            ("{\"reviewers\":[\"a\",1]}", None),
            ("{\"reviewers\":[\"a\",\"a\"]}", Some((1, 1))),
            (&long(256), Some((1, 1))),
            (&long(257), None),
            (&names(64), Some((1, 64))),
            (&names(65), None),
        ] {
            assert_eq!(with_policy(policy), found, "{policy}");
        }
        let ill = Err(NoTerms::IllFormed);
        for json in [
            "",
            "[]",
            "{}",
            "{\"deadline\":\"head\"}",
            "{\"deadline\":1}",
            "{\"deadline\":\"soon\"}",
        ] {
            assert_eq!(read("application/json", json), ill, "{json}");
        }
        let json = "{\"deadline\":\"2026-11-20T05:00:00Z\",\"proposal\":{\"actor\":\"a\"}}";
        assert_eq!(read("application/json", json).unwrap().acting.as_deref(), Some("a"));
        assert!(read("application/a+json", json).is_ok());
        assert_eq!(read("text/plain", json), ill);
        let acting =
            |of: &str| read("application/json", &json.replace("\"a\"}", of)).unwrap().acting;
        assert_eq!((acting("1}"), acting("\"\"}"), acting("\"a\\n\"}")), (None, None, None));
    }

    /// [S-review-4] [C-read-6]
    #[test]
    fn what_is_hidden_could_be_the_policy() {
        let json = "application/json";
        let fields = [
            ("deadline", json, &b"\"2026-11-20T05:00:00Z\""[..]),
            ("policy", json, b"{\"approvals\":2}"),
        ];
        let mut part = Payload::by_field(fields).unwrap().salted(|| [7; 16]);
        assert_eq!(Terms::read(&part).unwrap().0.approvals, 2);
        part.hide("policy");
        for hidden in [part, Part::Withheld, Part::Erased(3)] {
            assert_eq!(Terms::read(&hidden), Err(NoTerms::Hidden));
        }
        let sealed = fields.map(|(name, media, bytes)| {
            (name, if name == "policy" { "a/b" } else { media }, bytes)
        });
        let sealed = Payload::by_field(sealed).unwrap().salted(|| [7; 16]);
        assert_eq!(Terms::read(&sealed), Err(NoTerms::IllFormed));
    }
}
