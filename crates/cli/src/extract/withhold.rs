//! Payloads that are left out of a file on request: whole, or one field of those that were committed field by field.

use std::borrow::Cow;

use sigchain::frame::Written;
use sigchain::limit;
use sigchain::payload::Part;

use crate::args::Withhold;
use crate::ledger::tell;
use crate::out;
use crate::record::nothing;
use crate::trouble::Trouble;

/// What is left out, and how often it was.
struct Rule<'o> {
    asked: &'o Withhold,
    /// Entries that it is about and whose payload there was something of.
    met: u64,
    /// Of these, those of which all or the field was left out.
    done: u64,
    /// Of these, those that are committed whole, so that no field could be left out alone.
    whole: u64,
}

/// All that is left out.
pub(super) struct Withheld<'o> {
    rules: Vec<Rule<'o>>,
    /// Whether entries of the ledger's own would have been meant too.
    spared: bool,
}

impl<'o> Withheld<'o> {
    pub(super) fn new(asked: &'o [Withhold]) -> Self {
        let rules = asked.iter().map(|asked| Rule { asked, met: 0, done: 0, whole: 0 }).collect();
        Self { rules, spared: false }
    }

    /// What is shown of an entry's payload.
    pub(super) fn part<'w>(&mut self, written: &'w Written<'w>) -> Cow<'w, Part<'w>> {
        let mut part = Cow::Borrowed(&written.part);
        let fields = &written.fields;
        for rule in &mut self.rules {
            if !rule.asked.filter.matches(fields) {
                continue;
            }
            if limit::is_reserved(&fields.event_type) {
                self.spared = true;
                continue;
            }
            if matches!(*part, Part::Withheld | Part::Erased(_)) {
                continue;
            }
            rule.met = rule.met.saturating_add(1);
            let is_hidden = match (&rule.asked.field, &mut part) {
                (Some(field), part) if matches!(**part, Part::Fields(_)) => {
                    part.to_mut().hide(field)
                }
                (field, part) => {
                    // Rather more than was asked for than something that was asked not to be shown.
                    rule.whole = rule.whole.saturating_add(u64::from(field.is_some()));
                    *part = Cow::Owned(Part::Withheld);
                    true
                }
            };
            rule.done = rule.done.saturating_add(u64::from(is_hidden));
        }
        part
    }

    /// Says what was left out. A field that none of the entries has is taken for a slip of the pen: what was not to be shown would be.
    pub(super) fn conclude(&self) -> Result<(), Trouble> {
        for rule in &self.rules {
            let text = &rule.asked.text;
            let about = out::entries(rule.met);
            let Some(field) = &rule.asked.field else {
                tell(&format!("--withhold {text}: the payloads of {about} left out"));
                continue;
            };
            if rule.met > 0 && rule.done == 0 {
                let what = format!("--withhold {text}: none of {about} has a field \"{field}\"");
                let expected = "the name of a field, as sigchain show lists it";
                return Err(nothing(&what, expected, "name another field, or leave out all of it"));
            }
            let without = rule.met.saturating_sub(rule.done);
            let done = out::entries(rule.done);
            tell(&format!(
                "--withhold {text}: left out of {done}; {without} more have no such field"
            ));
            if rule.whole > 0 {
                let whole = out::entries(rule.whole);
                tell(&format!(
                    "  {whole} of these commit the payload whole, so that no field can be left out alone: all of it is"
                ));
            }
        }
        if self.spared {
            tell("the payloads of the ledger's own entries are in it: keys hang on them");
        }
        Ok(())
    }
}
