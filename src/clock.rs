//! The hybrid logical clock: strictly increasing stamps that follow the wall clock as far as it can be believed.
//!
//! The wall clock is held against the monotonic one. Where they part, stamps go on and the anomaly is recorded, once when it
//! begins and once when it ends; only a jump so far ahead that it would use up the time axis is refused.

use std::fmt;

use crate::codec::Writer;
use crate::stamp::{Stamp, ValidTime};

/// The low bits of a stamp that count, and so are cleared in what the wall clock says.
const COUNTER: u64 = 0xf;
/// Microseconds that two clocks may differ without being an anomaly.
const TOLERANCE: i128 = 500_000;
/// Microseconds ahead that are still believed, of the wall clock as of a remote stamp.
const AHEAD_MAX: i128 = 24 * 3600 * 1_000_000;
/// Nanoseconds after which a new time that has stood is accepted.
const ACCEPTANCE: i128 = 3600 * 1_000_000_000;
/// 2020-01-01: no ledger was opened before.
const OPEN_MIN: i64 = 1_577_836_800_000_000;
/// 2100-01-01: stamps end in 2106, and a chain must be able to go on for a while.
const OPEN_MAX: i64 = 4_102_444_800_000_000;

/// Where time comes from. Tests steer one of their own.
pub trait Time: Send + Sync + fmt::Debug {
    /// The wall clock: microseconds since 1970.
    fn wall(&self) -> i64;

    /// Nanoseconds since a moment that never changes while the process runs, time of suspension included.
    fn elapsed(&self) -> u64;

    /// As `elapsed`, without the time of suspension: what timeouts are measured by.
    fn running(&self) -> u64 {
        self.elapsed()
    }
}

/// The machine's clocks.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

#[cfg(feature = "std")]
mod machine {
    use std::sync::OnceLock;
    use std::time::Instant;

    use crate::clock::{Machine, Time, saturated};

    static START: OnceLock<Instant> = OnceLock::new();

    /// Nanoseconds since the first call; without suspension on Linux, Android and Apple's systems.
    fn since_start() -> u64 {
        let elapsed = START.get_or_init(Instant::now).elapsed();
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    #[cfg(unix)]
    impl Time for Machine {
        fn wall(&self) -> i64 {
            let nanos = nanos(rustix::time::ClockId::Realtime);
            saturated(nanos.div_euclid(1000))
        }

        fn elapsed(&self) -> u64 {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            let clock = rustix::time::ClockId::Boottime;
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            let clock = rustix::time::ClockId::Monotonic;
            u64::try_from(nanos(clock)).unwrap_or_default()
        }

        fn running(&self) -> u64 {
            since_start()
        }
    }

    #[cfg(unix)]
    fn nanos(clock: rustix::time::ClockId) -> i128 {
        let time = rustix::time::clock_gettime(clock);
        // Not i64: whether the nanoseconds have 32 or 64 bits depends on the system.
        i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
    }

    #[cfg(not(unix))]
    impl Time for Machine {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
        fn wall(&self) -> i64 {
            use std::time::{Duration, SystemTime, UNIX_EPOCH};
            // Durations hold at most 2^64 seconds, which in microseconds fit i128.
            let micros = |d: Duration| i128::try_from(d.as_micros()).unwrap_or(i128::MAX);
            match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(after) => saturated(micros(after)),
                Err(before) => saturated(-micros(before.duration())),
            }
        }

        fn elapsed(&self) -> u64 {
            since_start()
        }
    }
}

/// Which anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// Stamps run ahead of the wall clock.
    Lead,
    /// The wall clock has left the line that the monotonic clock draws.
    Wall,
}

impl Anomaly {
    /// Its name in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Wall => "wall",
        }
    }
}

/// An anomaly that has ended, as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Nanoseconds of the monotonic clock from begin to end.
    pub duration: u64,
    /// The deviation that was farthest from 0, in microseconds.
    pub extreme: i64,
}

/// What has become of an anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It began.
    Begun,
    /// It ended, because the clocks agree again.
    Returned(Span),
    /// It ended, because the wall clock has kept its new time for an hour and is now believed.
    Accepted(Span),
}

/// That an anomaly began or ended, to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which.
    pub anomaly: Anomaly,
    /// Whether it began or how it ended.
    pub turn: Turn,
    /// What the wall clock said: microseconds since 1970.
    pub wall: i64,
    /// By how many microseconds the wall clock or the last stamp was ahead; if accepted, by how many it now may be.
    pub deviation: i64,
}

impl Mark {
    /// The event type that records it.
    pub const fn event_type(&self) -> &'static str {
        match self.turn {
            Turn::Begun => "clock.anomaly",
            Turn::Returned(_) | Turn::Accepted(_) => "clock.restored",
        }
    }

    /// Its record: a map in deterministic CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let (turn, span) = match self.turn {
            Turn::Begun => ("begun", None),
            Turn::Returned(span) => ("returned", Some(span)),
            Turn::Accepted(span) => ("accepted", Some(span)),
        };
        let mut w = Writer::new();
        w.map(6).text("turn").text(turn).text("anomaly").text(self.anomaly.name());
        w.text("wall_us").int(self.wall);
        match span {
            None => w.text("extreme_us").null().text("duration_ns").null(),
            Some(Span { duration, extreme }) => {
                w.text("extreme_us").int(extreme).text("duration_ns").uint(duration)
            }
        };
        w.text("deviation_us").int(self.deviation);
        w.into_bytes()
    }
}

/// A reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Greater than every stamp before.
    pub stamp: Stamp,
    /// What has to be recorded before whatever gets this stamp; of the wall clock first, in the order in which it happened.
    pub marks: Vec<Mark>,
}

/// Why there is no stamp. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClockError {
    /// A ledger is opened while the wall clock shows a time at which no ledger is opened.
    Implausible {
        /// What the wall clock says.
        wall: i64,
    },
    /// The wall clock has jumped more than 24 hours ahead.
    Jump {
        /// What the wall clock says.
        wall: i64,
        /// What the monotonic clock makes of the last time that was believed.
        expected: i64,
    },
    /// A remote stamp is more than 24 hours ahead of the wall clock.
    Remote {
        /// The stamp.
        remote: Stamp,
        /// What the wall clock says.
        wall: i64,
    },
    /// There is no greater stamp.
    Exhausted,
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Implausible { wall } => write!(
                f,
                "the wall clock says {}: expected a time from 2020-01-01 to 2100-01-01; set the clock and open the ledger again",
                Shown(*wall)
            ),
            Self::Jump { wall, expected } => write!(
                f,
                "the wall clock says {}, which is {} us ahead of {}, where the monotonic clock puts it: expected at most 24 h; \
                 set the clock if it is wrong, or open the ledger again, which accepts the new time",
                Shown(*wall),
                i128::from(*wall) - i128::from(*expected),
                Shown(*expected)
            ),
            Self::Remote { remote, wall } => write!(
                f,
                "the remote stamp says {remote} and the wall clock {}: expected a stamp at most 24 h ahead; set whichever clock \
                 is wrong, or leave this stamp out",
                Shown(*wall)
            ),
            Self::Exhausted => f.write_str(
                "the last stamp is the greatest that there is: expected one that leaves room; begin a new chain that continues \
                 this one",
            ),
        }
    }
}

impl std::error::Error for ClockError {}

/// A time as text, also where the calendar ends.
struct Shown(i64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ValidTime::from_micros(self.0) {
            Some(time) => time.fmt(f),
            None => write!(f, "{} us since 1970", self.0),
        }
    }
}

/// The clock of one chain.
///
/// Microseconds and nanoseconds are `i128` inside: no sum or difference of a few times of 64 bits leaves them.
#[derive(Clone, Debug)]
pub struct Clock {
    last: Stamp,
    /// What the monotonic clock said at the last reading.
    ticks: u64,
    /// Nanoseconds since open: the sum of all its advances. A step back adds nothing, and what follows counts again.
    elapsed: i128,
    /// What the wall clock would say at open, by the time that is believed now.
    reference: i128,
    wall: Option<Astray>,
    lead: Option<Active>,
    refused: Option<Refused>,
}

/// An anomaly that has begun.
#[derive(Clone, Copy, Debug)]
struct Active {
    since: i128,
    extreme: i128,
}

/// The wall clock's anomaly, with the deviation that is on its way to be accepted.
#[derive(Clone, Copy, Debug)]
struct Astray {
    active: Active,
    held: i128,
    held_since: i128,
}

/// Jumps that were refused, and that the next reading that succeeds records.
#[derive(Clone, Copy, Debug)]
struct Refused {
    since: i128,
    wall: i64,
    deviation: i128,
}

/// What the clocks say at one reading.
#[derive(Clone, Copy, Debug)]
struct Moment {
    wall: i64,
    ticks: u64,
    elapsed: i128,
    deviation: i128,
}

impl Clock {
    /// The clock of a chain with this last stamp, which it starts from whatever the wall clock says.
    pub fn open(last: Option<Stamp>, time: &dyn Time) -> Result<(Self, Vec<Mark>), ClockError> {
        let wall = time.wall();
        let ticks = time.elapsed();
        if !(OPEN_MIN..=OPEN_MAX).contains(&wall) {
            return Err(ClockError::Implausible { wall });
        }
        let last = last.unwrap_or(Stamp::new(0));
        let reference = i128::from(wall);
        let mut clock =
            Self { last, ticks, elapsed: 0, reference, wall: None, lead: None, refused: None };
        let marks = clock.arrive(&Moment { wall, ticks, elapsed: 0, deviation: 0 }, last);
        Ok((clock, marks))
    }

    /// The last stamp; 0 before the first.
    pub fn last(&self) -> Stamp {
        self.last
    }

    /// The next stamp, by the wall clock if that is ahead of the last one.
    pub fn read(&mut self, time: &dyn Time) -> Result<Reading, ClockError> {
        let moment = self.moment(time)?;
        let physical = Stamp::from_micros(moment.wall).map(|s| Stamp::new(s.as_u64() & !COUNTER));
        let stamp = match physical {
            Some(physical) if physical > self.last => physical,
            _ => self.successor()?,
        };
        Ok(Reading { stamp, marks: self.arrive(&moment, stamp) })
    }

    /// The next stamp, without a look at the time: for the entries of a group behind its first.
    pub fn step(&mut self) -> Result<Stamp, ClockError> {
        self.last = self.successor()?;
        Ok(self.last)
    }

    /// Takes note of a stamp from elsewhere: later stamps exceed it.
    pub fn observe(&mut self, remote: Stamp, time: &dyn Time) -> Result<Vec<Mark>, ClockError> {
        // A wall clock that jumped is refused here too: measured by it, any stamp would pass.
        let moment = self.moment(time)?;
        if lead(remote, moment.wall) > AHEAD_MAX {
            return Err(ClockError::Remote { remote, wall: moment.wall });
        }
        Ok(self.arrive(&moment, self.last.max(remote)))
    }

    fn successor(&self) -> Result<Stamp, ClockError> {
        self.last.as_u64().checked_add(1).map(Stamp::new).ok_or(ClockError::Exhausted)
    }

    /// Looks at the clocks. A jump is refused and remembered; nothing else changes here.
    fn moment(&mut self, time: &dyn Time) -> Result<Moment, ClockError> {
        // The wall clock first: if the machine sleeps in between, it seems to be behind, which is never refused.
        let wall = time.wall();
        let ticks = time.elapsed();
        let elapsed = self.elapsed.saturating_add(i128::from(ticks.saturating_sub(self.ticks)));
        let expected = self.reference.saturating_add(elapsed / 1000);
        let deviation = i128::from(wall).saturating_sub(expected);
        if deviation <= AHEAD_MAX {
            return Ok(Moment { wall, ticks, elapsed, deviation });
        }
        match &mut self.refused {
            None => self.refused = Some(Refused { since: elapsed, wall, deviation }),
            Some(refused) if deviation > refused.deviation => {
                *refused = Refused { since: refused.since, wall, deviation };
            }
            Some(_) => {}
        }
        Err(ClockError::Jump { wall, expected: saturated(expected) })
    }

    /// Lets a reading take effect; `last` is the last stamp from here on.
    fn arrive(&mut self, moment: &Moment, last: Stamp) -> Vec<Mark> {
        self.last = last;
        self.ticks = moment.ticks;
        self.elapsed = moment.elapsed;
        let mut marks = Vec::new();
        self.judge_wall(moment, &mut marks);
        self.judge_lead(moment, &mut marks);
        marks
    }

    fn judge_wall(&mut self, moment: &Moment, marks: &mut Vec<Mark>) {
        let Moment { wall, elapsed, deviation, .. } = *moment;
        let is_within = deviation.abs() <= TOLERANCE;
        let fresh = Astray {
            active: Active { since: elapsed, extreme: deviation },
            held: deviation,
            held_since: elapsed,
        };
        let mut astray = match (self.wall.take(), self.refused.take()) {
            (Some(astray), None) => astray,
            // The jump was part of it, and whatever the clock held before, it has left.
            (Some(astray), Some(refused)) => {
                Astray { active: astray.active.with(refused.deviation), ..fresh }
            }
            (None, Some(Refused { since, wall, deviation })) => {
                marks.push(Mark::new(Anomaly::Wall, Turn::Begun, wall, deviation));
                Astray { active: Active { since, extreme: deviation }, ..fresh }
            }
            (None, None) if is_within => return,
            (None, None) => {
                marks.push(Mark::new(Anomaly::Wall, Turn::Begun, wall, deviation));
                fresh
            }
        };
        astray.active = astray.active.with(deviation);
        let span = astray.active.span(elapsed);
        if is_within {
            marks.push(Mark::new(Anomaly::Wall, Turn::Returned(span), wall, deviation));
            return;
        }
        if (deviation - astray.held).abs() > TOLERANCE {
            (astray.held, astray.held_since) = (deviation, elapsed);
        } else if elapsed - astray.held_since >= ACCEPTANCE {
            self.reference = self.reference.saturating_add(astray.held);
            marks.push(Mark::new(Anomaly::Wall, Turn::Accepted(span), wall, astray.held));
            return;
        }
        self.wall = Some(astray);
    }

    fn judge_lead(&mut self, moment: &Moment, marks: &mut Vec<Mark>) {
        let Moment { wall, elapsed, .. } = *moment;
        let lead = lead(self.last, wall);
        let is_ahead = lead > TOLERANCE;
        self.lead = match self.lead.take() {
            None if is_ahead => {
                marks.push(Mark::new(Anomaly::Lead, Turn::Begun, wall, lead));
                Some(Active { since: elapsed, extreme: lead })
            }
            None => None,
            Some(active) if is_ahead => Some(active.with(lead)),
            Some(active) => {
                let turn = Turn::Returned(active.span(elapsed));
                marks.push(Mark::new(Anomaly::Lead, turn, wall, lead));
                None
            }
        };
    }
}

impl Mark {
    fn new(anomaly: Anomaly, turn: Turn, wall: i64, deviation: i128) -> Self {
        Self { anomaly, turn, wall, deviation: saturated(deviation) }
    }
}

impl Active {
    fn with(self, deviation: i128) -> Self {
        let is_farther = deviation.abs() > self.extreme.abs();
        Self { since: self.since, extreme: if is_farther { deviation } else { self.extreme } }
    }

    fn span(self, elapsed: i128) -> Span {
        // A refused reading may have seen more of a monotonic clock than the next that went back: 0 then.
        let duration = u64::try_from((elapsed - self.since).max(0)).unwrap_or(u64::MAX);
        Span { duration, extreme: saturated(self.extreme) }
    }
}

/// By how many microseconds a stamp is ahead of the wall clock, rounded up: so it exceeds a whole number exactly where the
/// stamp does, although stamps are finer than microseconds.
fn lead(stamp: Stamp, wall: i64) -> i128 {
    let lead = i128::from(stamp.as_u64()) * 1_000_000 - (i128::from(wall) << 32);
    (lead + 0xffff_ffff) >> 32
}

fn saturated(value: i128) -> i64 {
    let is_negative = value < 0;
    i64::try_from(value).unwrap_or(if is_negative { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(i64, u64);

    impl Time for Fixed {
        fn wall(&self) -> i64 {
            self.0
        }

        fn elapsed(&self) -> u64 {
            self.1
        }
    }

    const NOW: i64 = 1_795_150_800_000_000;
    const DAY: i64 = 86_400_000_000;

    /// Every field but the memory of refused jumps.
    fn state(clock: &Clock) -> String {
        format!("{:?}", Clock { refused: None, ..clock.clone() })
    }

    #[test]
    fn a_lead_is_rounded_up() {
        let stamp = Stamp::new(1 << 32);
        let after = |ticks: u64| Stamp::new((1 << 32) + ticks);
        assert_eq!(lead(stamp, 1_000_000), 0);
        assert_eq!(lead(after(1), 1_000_000), 1);
        assert_eq!(lead(after(4294), 1_000_000), 1);
        assert_eq!(lead(after(4295), 1_000_000), 2);
        assert_eq!(lead(stamp, 1_000_001), -1);
        // A stamp of a wall clock is a little below it and must count as the same microsecond.
        for micros in [NOW, NOW + 1, NOW + 333_333, NOW + 999_999] {
            assert_eq!(lead(Stamp::from_micros(micros).unwrap(), micros), 0, "{micros}");
            assert_eq!(lead(Stamp::from_micros(micros + 1).unwrap(), micros), 1, "{micros}");
        }
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let (mut clock, _) = Clock::open(None, &Fixed(NOW, 7)).unwrap();
        clock.read(&Fixed(NOW + 5, 5007)).unwrap();
        clock.read(&Fixed(NOW - DAY, 6007)).unwrap();
        let before = state(&clock);

        let remote = Stamp::from_micros(NOW + DAY + 1).unwrap();
        clock.observe(remote, &Fixed(NOW, 9_000_000)).unwrap_err();
        assert_eq!(state(&clock), before);
        assert!(clock.refused.is_none());

        clock.read(&Fixed(NOW + 2 * DAY, 9_000_000)).unwrap_err();
        assert_eq!(state(&clock), before);
        clock.observe(Stamp::new(1), &Fixed(NOW + 3 * DAY, 9_000_000)).unwrap_err();
        clock.observe(Stamp::new(1), &Fixed(NOW + 2 * DAY, 9_000_000)).unwrap_err();
        assert_eq!(state(&clock), before);
        assert_eq!(clock.refused.unwrap().wall, NOW + 3 * DAY);

        clock.last = Stamp::new(u64::MAX);
        let before = format!("{clock:?}");
        assert_eq!(clock.read(&Fixed(NOW, 9_000_000)), Err(ClockError::Exhausted));
        assert_eq!(clock.step(), Err(ClockError::Exhausted));
        assert_eq!(format!("{clock:?}"), before);
    }
}
