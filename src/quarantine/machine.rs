//! What halts a ledger, and what may happen to one that is halted: two tables, which `spec/quarantine.md` has too.

/// What the side log of a quarantine says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    /// There is none.
    Nothing,
    /// It is not resolved.
    Open,
    /// It is resolved, and by which entry.
    Resolved,
    /// It cannot be read, or is not whole.
    Damaged,
}

/// What the chain says of a quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chained {
    /// Nothing.
    Nothing,
    /// Its last word is `quarantine.open`, or a seal that says so.
    Open,
    /// It has the entry that resolves this very quarantine.
    Resolved,
}

/// What is done when a ledger is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Goes on.
    Pass,
    /// Goes on, once the log and the mark say what the chain says.
    Finish,
    /// Appends are refused.
    Halted,
}

impl Gate {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Finish => "finish",
            Self::Halted => "halted",
        }
    }
}

/// Whether a ledger goes on. Only the chain can say that a quarantine is resolved: log and mark are files that anybody with the
/// rights to them can write, remove or bring back from a copy.
pub fn gate(logged: Logged, chained: Chained, marked: bool) -> Gate {
    match (logged, chained, marked) {
        (Logged::Nothing, Chained::Nothing, false)
        | (Logged::Resolved, Chained::Resolved, false) => Gate::Pass,
        (_, Chained::Resolved, _) => Gate::Finish,
        _ => Gate::Halted,
    }
}

/// How a ledger stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is known to be wrong.
    Sound,
    /// Something is, and nobody has decided yet.
    Halted,
    /// Somebody has decided, and what follows is not durable yet.
    Resolving,
    /// It has ended: another chain continues it.
    Ended,
}

impl State {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Halted => "halted",
            Self::Resolving => "resolving",
            Self::Ended => "ended",
        }
    }
}

/// What may happen to a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants to append.
    Append,
    /// Somebody reads, verifies or exports.
    Read,
    /// Something is found to be wrong.
    Fault,
    /// Somebody writes down what they found out.
    Note,
    /// The original bytes are said to be back, and they verify against an anchor.
    Restored,
    /// They are said to be back, and do not verify.
    Unrestored,
    /// An operator accepts the damage, and the chain can go on.
    Dismiss,
    /// An operator accepts the damage, and the chain has to end.
    Succeed,
    /// Somebody who is no operator does.
    Unapproved,
    /// The process ends at any point.
    Kill,
    /// The log or the mark is removed, changed or brought back from a copy.
    Forge,
}

impl Event {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Read => "read",
            Self::Fault => "fault",
            Self::Note => "note",
            Self::Restored => "restored",
            Self::Unrestored => "unrestored",
            Self::Dismiss => "dismiss",
            Self::Succeed => "succeed",
            Self::Unapproved => "unapproved",
            Self::Kill => "kill",
            Self::Forge => "forge",
        }
    }
}

/// The state that follows; nothing if the event is refused and the state stays as it is.
pub fn step(state: State, event: Event) -> Option<State> {
    match (event, state) {
        (Event::Read | Event::Kill | Event::Forge, _)
        | (Event::Append, State::Sound)
        | (Event::Note, State::Halted | State::Resolving) => Some(state),
        // What was decided before it was found does not cover it.
        (Event::Fault, State::Sound | State::Halted | State::Resolving) => Some(State::Halted),
        (Event::Restored | Event::Dismiss, State::Halted) => Some(State::Resolving),
        (Event::Restored | Event::Dismiss, State::Resolving) => Some(State::Sound),
        (Event::Succeed, State::Halted | State::Resolving | State::Ended) => Some(State::Ended),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGGED: [Logged; 4] = [Logged::Nothing, Logged::Open, Logged::Resolved, Logged::Damaged];
    const CHAINED: [Chained; 3] = [Chained::Nothing, Chained::Open, Chained::Resolved];
    const STATES: [State; 4] = [State::Sound, State::Halted, State::Resolving, State::Ended];
    const EVENTS: [Event; 11] = [
        Event::Append,
        Event::Read,
        Event::Fault,
        Event::Note,
        Event::Restored,
        Event::Unrestored,
        Event::Dismiss,
        Event::Succeed,
        Event::Unapproved,
        Event::Kill,
        Event::Forge,
    ];

    fn rows(first: &str) -> Vec<Vec<&'static str>> {
        let spec = include_str!("../../spec/quarantine.md");
        let rows = spec.lines().filter(|line| line.starts_with(first));
        let rows = rows.filter(|line| !line.starts_with(&format!("{first}|")));
        rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    /// [F-halt-2] Every combination of what is known.
    #[test]
    fn every_gate_is_as_the_spec_says() {
        let rows = rows("| log ");
        assert_eq!(rows.len(), LOGGED.len() * CHAINED.len());
        for logged in LOGGED {
            for chained in CHAINED {
                let name = format!("log {logged:?}").to_lowercase();
                let chain = format!("{chained:?}").to_lowercase();
                let row = rows.iter().find(|row| row[0] == name && row[1] == chain).unwrap();
                for (marked, said) in [(false, row[2]), (true, row[3])] {
                    let decided = gate(logged, chained, marked);
                    assert_eq!(decided.name(), said, "{name}, {chain}, {marked}");
                    // Whatever becomes of log and mark: only the chain resolves, and only nothing at all passes unseen.
                    if decided != Gate::Halted && chained != Chained::Resolved {
                        assert_eq!(
                            (logged, chained, marked),
                            (Logged::Nothing, Chained::Nothing, false)
                        );
                    }
                }
            }
        }
    }

    /// [F-halt-3] Every event in every state.
    #[test]
    fn every_step_is_as_the_spec_says() {
        let rows = rows("| event ");
        assert_eq!(rows.len(), EVENTS.len());
        for event in EVENTS {
            let name = format!("event {}", event.name());
            let row = rows.iter().find(|row| row[0] == name).unwrap();
            for (state, said) in STATES.into_iter().zip(&row[1..]) {
                let found = step(state, event).map_or("refused", State::name);
                assert_eq!(found, *said, "{name} when {}", state.name());
                // Nobody leaves a halted ledger but by a decision.
                if state != State::Sound && found == "sound" {
                    assert_eq!(state, State::Resolving);
                }
            }
        }
    }
}
