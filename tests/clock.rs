//! The clock: stamps never go back and exactly the anomalies that happened are told, however hostile the time.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sigchain::clock::{Anomaly, Clock, ClockError, Machine, Mark, Reading, Span, Time, Turn};
use sigchain::codec::Reader;
use sigchain::stamp::Stamp;

use crate::support::{Random, rounds};

const MS: i64 = 1_000;
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// 2026-11-20T05:00:00Z
const NOW: i64 = 1_795_150_800 * SECOND;

/// Clocks that stand where a test puts them.
#[derive(Debug)]
struct Steered {
    wall: AtomicI64,
    elapsed: AtomicU64,
}

impl Time for Steered {
    fn wall(&self) -> i64 {
        self.wall.load(Ordering::Relaxed)
    }

    fn elapsed(&self) -> u64 {
        self.elapsed.load(Ordering::Relaxed)
    }
}

impl Steered {
    fn new(wall: i64) -> Self {
        Self { wall: AtomicI64::new(wall), elapsed: AtomicU64::new(77_000) }
    }

    /// The wall clock goes on by so many microseconds.
    fn wall(&self, micros: i64) {
        self.wall.fetch_add(micros, Ordering::Relaxed);
    }

    /// The monotonic clock goes on by so many microseconds.
    fn elapse(&self, micros: i64) {
        self.elapsed.fetch_add(u64::try_from(micros).unwrap() * 1000, Ordering::Relaxed);
    }

    /// Time passes as it should.
    fn pass(&self, micros: i64) {
        self.wall(micros);
        self.elapse(micros);
    }
}

fn opened(time: &Steered) -> Clock {
    let (clock, marks) = Clock::open(None, time).unwrap();
    assert_eq!(marks, []);
    clock
}

fn marks(clock: &mut Clock, time: &Steered) -> Vec<Mark> {
    let last = clock.last();
    let Reading { stamp, marks } = clock.read(time).unwrap();
    assert!(stamp > last && stamp == clock.last());
    marks
}

fn mark(anomaly: Anomaly, turn: Turn, wall: i64, deviation: i64) -> Mark {
    Mark { anomaly, turn, wall, deviation }
}

fn span(micros: i64, extreme: i64) -> Span {
    Span { duration: u64::try_from(micros).unwrap() * 1000, extreme }
}

fn wall_begun(wall: i64, deviation: i64) -> Mark {
    mark(Anomaly::Wall, Turn::Begun, wall, deviation)
}

fn lead_begun(wall: i64, deviation: i64) -> Mark {
    mark(Anomaly::Lead, Turn::Begun, wall, deviation)
}

#[test]
fn a_clock_that_goes_well_gives_the_stamps_of_uhlc() {
    thread_local!(static WALL: Cell<i64> = const { Cell::new(NOW) });
    let of_uhlc = uhlc::HLCBuilder::new()
        .with_clock(|| Duration::from_micros(u64::try_from(WALL.get()).unwrap()).into())
        .build();
    let time = Steered::new(NOW);
    let mut clock = opened(&time);
    let mut random = Random::new(1);
    let mut counted = 0;
    for _ in 0..100_000 {
        // Now and then more than 16 readings in one microsecond, which is more than 4 bits can count.
        let step = [0, 0, 0, 1, 1, 250, 40 * MS][random.below(7)];
        for _ in 0..[1, 1, 1, 40][random.below(4)] {
            assert_eq!(marks(&mut clock, &time), []);
            assert_eq!(clock.last().as_u64(), of_uhlc.new_timestamp().get_time().as_u64());
            counted += u64::from(clock.last().as_u64() & 0xf != 0);
        }
        time.pass(step);
        WALL.set(time.wall.load(Ordering::Relaxed));
    }
    assert!(counted > 100_000, "{counted}");
}

#[test]
fn the_low_bits_count() {
    let time = Steered::new(NOW + 333_333);
    let mut clock = opened(&time);
    let first = clock.read(&time).unwrap().stamp;
    assert_eq!(first.as_u64(), Stamp::from_micros(NOW + 333_333).unwrap().as_u64() & !0xf);
    assert_eq!(clock.read(&time).unwrap().stamp.as_u64(), first.as_u64() + 1);
    assert_eq!(clock.step().unwrap().as_u64(), first.as_u64() + 2);
    time.pass(HOUR);
    assert_eq!(clock.step().unwrap().as_u64(), first.as_u64() + 3);
    assert!(clock.read(&time).unwrap().stamp.micros() >= NOW + HOUR);
}

#[test]
fn a_weekend_of_suspension_is_no_anomaly() {
    let weekend = 60 * HOUR;
    let time = Steered::new(NOW);
    let mut clock = opened(&time);
    time.pass(weekend);
    assert_eq!(marks(&mut clock, &time), []);

    // A monotonic clock that stops in suspension shows a jump of 60 hours, which is refused.
    let stopped = Steered::new(NOW);
    let mut clock = opened(&stopped);
    stopped.wall(weekend);
    let jump = ClockError::Jump { wall: NOW + weekend, expected: NOW };
    assert_eq!(clock.read(&stopped), Err(jump));
    // And after a night an anomaly.
    let stopped = Steered::new(NOW);
    let mut clock = opened(&stopped);
    stopped.wall(10 * HOUR);
    assert_eq!(marks(&mut clock, &stopped), [wall_begun(NOW + 10 * HOUR, 10 * HOUR)]);
}

#[test]
fn a_frozen_wall_clock_is_one_anomaly() {
    let time = Steered::new(NOW);
    let mut clock = opened(&time);
    let mut all = Vec::new();
    for _ in 0..6000 {
        time.elapse(100 * MS);
        all.extend(marks(&mut clock, &time));
    }
    assert_eq!(all, [wall_begun(NOW, -600 * MS)]);
    time.wall(10 * MINUTE);
    let whole = span(10 * MINUTE - 600 * MS, -10 * MINUTE);
    let end = mark(Anomaly::Wall, Turn::Returned(whole), NOW + 10 * MINUTE, 0);
    assert_eq!(marks(&mut clock, &time), [end]);
    for _ in 0..100 {
        time.pass(MINUTE);
        assert_eq!(marks(&mut clock, &time), []);
    }
}

#[test]
fn half_a_second_is_no_anomaly() {
    for sign in [-1, 1] {
        let time = Steered::new(NOW);
        let mut clock = opened(&time);
        time.wall(sign * 500 * MS);
        assert_eq!(marks(&mut clock, &time), []);
        time.wall(sign);
        let deviation = sign * (500 * MS + 1);
        assert_eq!(marks(&mut clock, &time), [wall_begun(NOW + deviation, deviation)]);
        assert_eq!(marks(&mut clock, &time), []);
        time.wall(-sign);
        let turn = Turn::Returned(span(0, deviation));
        let end = mark(Anomaly::Wall, turn, NOW + sign * 500 * MS, sign * 500 * MS);
        assert_eq!(marks(&mut clock, &time), [end]);
    }
}

#[test]
fn a_correction_is_accepted_after_an_hour() {
    for by in [2 * HOUR, -2 * HOUR] {
        let time = Steered::new(NOW);
        let mut clock = opened(&time);
        // No stamp of its own leads here: the first follows the new time.
        time.wall(by);
        assert_eq!(marks(&mut clock, &time), [wall_begun(NOW + by, by)]);
        // A nanosecond less than an hour.
        time.pass(HOUR - 1);
        time.elapsed.fetch_add(999, Ordering::Relaxed);
        time.wall(400 * MS);
        assert_eq!(marks(&mut clock, &time), []);
        time.elapsed.fetch_add(1, Ordering::Relaxed);
        time.wall(1);
        let extreme = if by > 0 { by + 400 * MS } else { by };
        let turn = Turn::Accepted(span(HOUR, extreme));
        let end = mark(Anomaly::Wall, turn, NOW + by + HOUR + 400 * MS, by);
        assert_eq!(marks(&mut clock, &time), [end]);

        // It is the reference now: its neighbourhood is no anomaly, and the old time is one.
        time.wall(100 * MS);
        assert_eq!(marks(&mut clock, &time), []);
        time.wall(1);
        assert_eq!(marks(&mut clock, &time).len(), 1);
        time.wall(-1);
        assert_eq!(marks(&mut clock, &time).len(), 1);
        time.wall(-500 * MS - by);
        assert_eq!(marks(&mut clock, &time)[0].deviation, -by);
    }
}

#[test]
fn a_correction_that_moves_waits_for_another_hour() {
    let time = Steered::new(NOW);
    let mut clock = opened(&time);
    time.wall(2 * HOUR);
    assert_eq!(marks(&mut clock, &time).len(), 1);
    time.pass(50 * MINUTE);
    time.wall(500 * MS + 1);
    assert_eq!(marks(&mut clock, &time), []);
    time.pass(HOUR - 1);
    assert_eq!(marks(&mut clock, &time), []);
    time.pass(1);
    let [end] = marks(&mut clock, &time)[..] else { panic!("one mark") };
    assert_eq!(end.deviation, 2 * HOUR + 500 * MS + 1);
    assert_eq!(end.turn, Turn::Accepted(span(110 * MINUTE, end.deviation)));
}

#[test]
fn a_jump_of_more_than_a_day_is_refused_and_remembered() {
    let time = Steered::new(NOW);
    let mut clock = opened(&time);
    time.wall(DAY);
    assert_eq!(marks(&mut clock, &time), [wall_begun(NOW + DAY, DAY)]);

    let time = Steered::new(NOW);
    let mut clock = opened(&time);
    let first = clock.read(&time).unwrap().stamp;
    time.wall(DAY + 1);
    let error = clock.read(&time).unwrap_err();
    assert_eq!(error, ClockError::Jump { wall: NOW + DAY + 1, expected: NOW });
    let text = error.to_string();
    for part in ["2026-11-21T05:00:00.000001Z", "86400000001 us ahead of 2026-11-20T05", "24 h"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.ends_with("open the ledger again, which accepts the new time"), "{text}");
    // A stamp is not judged by such a clock either.
    time.wall(DAY);
    time.elapse(SECOND);
    let remote = Stamp::from_micros(NOW + DAY + HOUR).unwrap();
    assert!(matches!(clock.observe(remote, &time), Err(ClockError::Jump { .. })));
    time.wall(-DAY + 2 * SECOND);
    clock.read(&time).unwrap_err();
    assert_eq!(clock.last(), first);

    // The clock is back: told is the worst that was refused, from when the first was.
    time.wall(-DAY - 1 - 2 * SECOND);
    time.pass(MINUTE);
    time.wall(600 * MS);
    let worst = 2 * DAY + 1 - SECOND;
    let turn = Turn::Returned(span(MINUTE + SECOND, worst));
    let end = mark(Anomaly::Wall, turn, NOW + MINUTE + 600 * MS, -400 * MS);
    assert_eq!(marks(&mut clock, &time), [wall_begun(NOW + 2 * DAY + 1, worst), end]);
    assert_eq!(marks(&mut clock, &time), []);

    // Back only by half: it has begun.
    time.wall(2 * DAY);
    clock.read(&time).unwrap_err();
    time.wall(-DAY - HOUR);
    let begun = marks(&mut clock, &time);
    assert_eq!(begun.len(), 1);
    assert_eq!(begun[0].deviation, 2 * DAY - 400 * MS);
    assert_eq!(marks(&mut clock, &time), []);
    // A refused jump within an anomaly begins no other, but the hour begins anew.
    time.pass(59 * MINUTE);
    time.wall(3 * DAY);
    clock.read(&time).unwrap_err();
    time.wall(-3 * DAY);
    time.pass(MINUTE);
    assert_eq!(marks(&mut clock, &time), []);
    time.pass(HOUR);
    let [end] = marks(&mut clock, &time)[..] else { panic!("one mark") };
    assert_eq!(end.deviation, 23 * HOUR - 400 * MS);
    let extreme = 3 * DAY + 23 * HOUR - 400 * MS;
    assert_eq!(end.turn, Turn::Accepted(span(2 * HOUR, extreme)));

    // Reopening accepts what was refused.
    time.wall(9 * DAY);
    clock.read(&time).unwrap_err();
    let (mut clock, none) = Clock::open(Some(clock.last()), &time).unwrap();
    assert_eq!((none, marks(&mut clock, &time)), (vec![], vec![]));
}

#[test]
fn backward_steps_are_accepted_and_lead() {
    let time = Steered::new(NOW);
    let mut clock = opened(&time);
    let first = clock.read(&time).unwrap().stamp;
    time.wall(-10 * YEAR);
    // The stamp of this reading is a tick above the one before, and a lead is rounded up.
    let lead = 10 * YEAR + 1;
    let expected = [wall_begun(NOW - 10 * YEAR, -10 * YEAR), lead_begun(NOW - 10 * YEAR, lead)];
    assert_eq!(marks(&mut clock, &time), expected);
    assert_eq!(clock.last().as_u64(), first.as_u64() + 1);
    // Both end with one reading, and both times are whole.
    time.pass(MINUTE);
    time.wall(10 * YEAR);
    let expected = [
        mark(Anomaly::Wall, Turn::Returned(span(MINUTE, -10 * YEAR)), NOW + MINUTE, 0),
        mark(Anomaly::Lead, Turn::Returned(span(MINUTE, lead)), NOW + MINUTE, 0),
    ];
    assert_eq!(marks(&mut clock, &time), expected);

    // One that is accepted goes on to lead, until the wall clock has caught up.
    time.wall(-2 * HOUR);
    assert_eq!(marks(&mut clock, &time).len(), 2);
    time.pass(HOUR);
    let ended = marks(&mut clock, &time);
    assert!(matches!(ended[..], [Mark { turn: Turn::Accepted(_), .. }]), "{ended:?}");
    time.pass(HOUR - 500 * MS - 1);
    assert_eq!(marks(&mut clock, &time), []);
    time.pass(2);
    let ended = marks(&mut clock, &time);
    let is_end = |m: &Mark| m.anomaly == Anomaly::Lead && m.event_type() == "clock.restored";
    assert!(ended.len() == 1 && ended.iter().all(is_end), "{ended:?}");
}

#[test]
fn a_leap_second_that_is_repeated_is_told() {
    let time = Steered::new(NOW);
    let mut clock = opened(&time);
    let mut all = Vec::new();
    for tenth in 0..100 {
        // The wall clock shows one second twice; the monotonic clock counts both.
        if tenth == 50 {
            time.wall(-SECOND);
        }
        all.extend(marks(&mut clock, &time));
        time.pass(100 * MS);
    }
    let begun: Vec<_> = all.iter().map(|m| (m.anomaly, m.event_type())).collect();
    let expected = [
        (Anomaly::Wall, "clock.anomaly"),
        (Anomaly::Lead, "clock.anomaly"),
        (Anomaly::Lead, "clock.restored"),
    ];
    assert_eq!(begun, expected);
    assert_eq!(all[0].deviation, -SECOND);
    time.pass(DAY);
    let accepted = marks(&mut clock, &time);
    assert!(matches!(accepted[..], [Mark { turn: Turn::Accepted(_), deviation: -1_000_000, .. }]));
}

#[test]
fn remote_stamps_are_followed_for_a_day() {
    let time = Steered::new(NOW);
    let at = |micros: i64| Stamp::from_micros(NOW + micros).unwrap();
    let mut clock = opened(&time);
    assert_eq!(clock.observe(at(500 * MS), &time), Ok(vec![]));
    assert_eq!(clock.last(), at(500 * MS));
    // An older one changes nothing.
    assert_eq!(clock.observe(at(-DAY), &time), Ok(vec![]));
    assert_eq!(clock.last(), at(500 * MS));
    assert_eq!(clock.observe(at(500 * MS + 1), &time), Ok(vec![lead_begun(NOW, 500 * MS + 1)]));
    assert_eq!(clock.observe(at(DAY), &time), Ok(vec![]));
    assert_eq!(clock.step().unwrap().as_u64(), at(DAY).as_u64() + 1);

    // One tick further than the day is refused, with both times.
    let beyond = Stamp::new(at(DAY).as_u64() + 1);
    let error = clock.observe(beyond, &time).unwrap_err();
    assert_eq!(error, ClockError::Remote { remote: beyond, wall: NOW });
    let text = error.to_string();
    assert!(text.contains("2026-11-21T05:00:00.000000Z"), "{text}");
    assert!(text.contains("2026-11-20T05:00:00.000000Z"), "{text}");
    assert!(clock.observe(at(DAY + 1), &time).is_err());
    assert!(clock.observe(Stamp::new(u64::MAX), &time).is_err());

    // The last stamp is ticks above what was observed, so at half a second it still leads.
    time.pass(DAY - 500 * MS);
    assert_eq!(marks(&mut clock, &time), []);
    time.pass(1);
    let turn = Turn::Returned(span(DAY - 500 * MS + 1, DAY));
    let wall = NOW + DAY - 500 * MS + 1;
    assert_eq!(marks(&mut clock, &time), [mark(Anomaly::Lead, turn, wall, 500 * MS)]);
}

#[test]
fn a_chain_goes_on_from_its_last_stamp() {
    // Written on a machine that was a year ahead.
    let last = Stamp::from_micros(NOW + YEAR).unwrap();
    let time = Steered::new(NOW);
    let (mut clock, begun) = Clock::open(Some(last), &time).unwrap();
    assert_eq!(begun, [lead_begun(NOW, YEAR)]);
    assert_eq!(clock.last(), last);
    assert_eq!(marks(&mut clock, &time), []);
    assert_eq!(clock.last().as_u64(), last.as_u64() + 1);
    // On one that was behind: no gap is too long.
    let last = Stamp::from_micros(NOW - 5 * YEAR).unwrap();
    let (mut clock, none) = Clock::open(Some(last), &time).unwrap();
    assert_eq!((none, marks(&mut clock, &time)), (vec![], vec![]));
    // Half a second is no lead.
    for (lead, expected) in [(500 * MS, 0), (500 * MS + 1, 1)] {
        let last = Stamp::from_micros(NOW + lead).unwrap();
        assert_eq!(Clock::open(Some(last), &time).unwrap().1.len(), expected);
    }
}

#[test]
fn the_greatest_stamp_is_the_last() {
    let time = Steered::new(NOW);
    let (mut clock, _) = Clock::open(Some(Stamp::new(u64::MAX - 1)), &time).unwrap();
    assert_eq!(clock.read(&time).unwrap().stamp, Stamp::new(u64::MAX));
    assert_eq!(clock.read(&time), Err(ClockError::Exhausted));
    assert_eq!(clock.step(), Err(ClockError::Exhausted));
    assert_eq!(clock.last(), Stamp::new(u64::MAX));
    assert!(ClockError::Exhausted.to_string().contains("begin a new chain"));
}

#[test]
fn a_ledger_opens_from_2020_to_2100() {
    let first = 1_577_836_800 * SECOND;
    let last = 4_102_444_800 * SECOND;
    for wall in [first, last, NOW] {
        assert!(Clock::open(None, &Steered::new(wall)).is_ok());
    }
    for wall in [first - 1, last + 1, 0, -1, i64::MIN, i64::MAX] {
        let error = Clock::open(Some(Stamp::new(5)), &Steered::new(wall)).unwrap_err();
        assert_eq!(error, ClockError::Implausible { wall });
        assert!(error.to_string().contains("from 2020-01-01 to 2100-01-01"), "{error}");
    }
    let text = ClockError::Implausible { wall: i64::MIN }.to_string();
    assert!(text.contains("-9223372036854775808 us since 1970"), "{text}");
    let text = ClockError::Implausible { wall: -1 }.to_string();
    assert!(text.contains("1969-12-31T23:59:59.999999Z"), "{text}");
}

#[test]
fn marks_are_recorded_as_deterministic_cbor() {
    let long = Span { duration: u64::MAX, extreme: i64::MIN };
    for (turn, name, span, event_type) in [
        (Turn::Begun, "begun", None, "clock.anomaly"),
        (Turn::Returned(long), "returned", Some(long), "clock.restored"),
        (Turn::Accepted(long), "accepted", Some(long), "clock.restored"),
    ] {
        for anomaly in [Anomaly::Lead, Anomaly::Wall] {
            let mark = Mark { anomaly, turn, wall: -NOW, deviation: 7 };
            assert_eq!(mark.event_type(), event_type);
            let encoded = mark.encode();
            // Keys in order, shortest forms.
            let mut r = Reader::new(&encoded);
            r.skip().unwrap();
            r.finish().unwrap();
            let r = &mut Reader::new(&encoded);
            assert_eq!(r.map(), Ok(6));
            r.key("turn").unwrap();
            assert_eq!(r.text(), Ok(name));
            r.key("anomaly").unwrap();
            assert_eq!(r.text(), Ok(if anomaly == Anomaly::Lead { "lead" } else { "wall" }));
            r.key("wall_us").unwrap();
            assert_eq!(r.int(), Ok(-NOW));
            r.key("extreme_us").unwrap();
            assert_eq!(r.or_null(Reader::int), Ok(span.map(|s| s.extreme)));
            r.key("duration_ns").unwrap();
            assert_eq!(r.or_null(Reader::uint), Ok(span.map(|s| s.duration)));
            r.key("deviation_us").unwrap();
            assert_eq!(r.int(), Ok(7));
        }
    }
}

#[test]
fn the_machine_has_clocks() {
    let since = Instant::now();
    let (wall, elapsed, running) = (Machine.wall(), Machine.elapsed(), Machine.running());
    let of_std = i64::try_from(uhlc::system_time_clock().to_duration().as_micros()).unwrap();
    assert!((of_std - wall).abs() < MINUTE, "{of_std} {wall}");
    std::thread::sleep(Duration::from_millis(20));
    let (elapsed, running) = (Machine.elapsed() - elapsed, Machine.running() - running);
    let all = u64::try_from(since.elapsed().as_nanos()).unwrap();
    let least = 20_000_000;
    assert!(elapsed >= least && running >= least && running <= all, "{elapsed} {running} {all}");
    assert!(elapsed <= all + 3_600_000_000_000, "nanoseconds");

    let (mut clock, marks) = Clock::open(None, &Machine).unwrap();
    assert_eq!(marks, []);
    let stamp = clock.read(&Machine).unwrap().stamp;
    assert!((stamp.micros() - of_std).abs() < MINUTE);
}

/// What a clock was asked, and what the time was.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Read,
    Step,
    Observe(Stamp),
}

#[derive(Clone, Copy, Debug)]
struct Call {
    ask: Ask,
    wall: i64,
    ticks: u64,
}

/// The last stamp afterwards, and what was told.
type Outcome = Result<(Stamp, Vec<Mark>), ClockError>;

/// A look at the time that took effect, or a jump that was refused.
#[derive(Clone, Copy, Debug)]
struct Look {
    wall: i64,
    ticks: u64,
    elapsed: i128,
    is_refused: bool,
}

/// The plain model: keeps all that was ever seen since open and judges each time from the whole of it.
#[derive(Debug)]
struct Model {
    last: u64,
    looks: Vec<Look>,
    /// What the wall clock is believed to have said at open.
    believed: i128,
    /// The first look that no anomaly of the wall clock that has ended knows of.
    after: usize,
    /// The looks at which stamps began to lead, and with what lead each since then.
    leads: Vec<(usize, i128)>,
}

impl Model {
    fn open(last: Option<Stamp>, wall: i64, ticks: u64) -> (Self, Vec<Mark>) {
        let mut model = Self {
            last: last.map_or(0, Stamp::as_u64),
            looks: vec![Look { wall, ticks, elapsed: 0, is_refused: false }],
            believed: wall.into(),
            after: 0,
            leads: vec![],
        };
        let marks = model.told_of_lead();
        (model, marks)
    }

    fn deviation(&self, look: &Look) -> i128 {
        i128::from(look.wall) - look.elapsed.div_euclid(1000) - self.believed
    }

    fn answer(&mut self, call: Call) -> Outcome {
        let next = self.last.checked_add(1).ok_or(ClockError::Exhausted);
        if matches!(call.ask, Ask::Step) {
            self.last = next?;
            return Ok((Stamp::new(self.last), vec![]));
        }
        let wall = i128::from(call.wall);
        let before = self.looks.iter().rfind(|look| !look.is_refused).unwrap();
        let advance = (i128::from(call.ticks) - i128::from(before.ticks)).max(0);
        let mut look = Look {
            wall: call.wall,
            ticks: call.ticks,
            elapsed: before.elapsed + advance,
            is_refused: false,
        };
        let deviation = self.deviation(&look);
        if deviation > i128::from(DAY) {
            look.is_refused = true;
            self.looks.push(look);
            let expected = i64::try_from(wall - deviation).unwrap();
            return Err(ClockError::Jump { wall: call.wall, expected });
        }
        self.last = if let Ask::Observe(remote) = call.ask {
            if i128::from(remote.as_u64()) * 1_000_000 > (wall + i128::from(DAY)) << 32 {
                return Err(ClockError::Remote { remote, wall: call.wall });
            }
            self.last.max(remote.as_u64())
        } else {
            let ntp64 = u64::try_from((wall << 32).div_euclid(1_000_000)).unwrap_or(0);
            next?.max(ntp64 / 16 * 16)
        };
        self.looks.push(look);
        let mut marks = self.told_of_wall();
        marks.extend(self.told_of_lead());
        Ok((Stamp::new(self.last), marks))
    }

    /// The newest look succeeded: what is to be told of the wall clock?
    fn told_of_wall(&mut self) -> Vec<Mark> {
        let newest = self.looks.len() - 1;
        let story: Vec<(Look, i128)> =
            self.looks[self.after..].iter().map(|look| (*look, self.deviation(look))).collect();
        let is_away = |(_, d): &(Look, i128)| d.abs() > i128::from(500 * MS);
        let Some(begin) = story.iter().position(is_away) else {
            self.after = newest + 1;
            return vec![];
        };
        let story = &story[begin..];
        let (now, deviation) = story[story.len() - 1];
        let mut told = vec![];
        if story[..story.len() - 1].iter().all(|(look, _)| look.is_refused) {
            let refused = &story[..story.len() - 1];
            let worst = refused.iter().rev().max_by_key(|(_, d)| *d).unwrap_or(&story[0]);
            told.push(marked(Anomaly::Wall, Turn::Begun, worst.0.wall, worst.1));
        }
        // The first look of those that stayed together up to now.
        let mut first = 0;
        for (i, (look, d)) in story.iter().enumerate().skip(1) {
            let (of_first, held) = &story[first];
            let is_near = (d - held).abs() <= i128::from(500 * MS);
            if look.is_refused || of_first.is_refused || !is_near {
                first = i;
            }
        }
        let (since, held) = story[first];
        let farthest = story.iter().rev().max_by_key(|(_, d)| d.abs()).unwrap().1;
        let span = Span {
            duration: u64::try_from((now.elapsed - story[0].0.elapsed).max(0)).unwrap_or(u64::MAX),
            extreme: saturated(farthest),
        };
        if deviation.abs() <= i128::from(500 * MS) {
            told.push(marked(Anomaly::Wall, Turn::Returned(span), now.wall, deviation));
            self.after = newest + 1;
        } else if now.elapsed - since.elapsed >= i128::from(HOUR) * 1000 {
            told.push(marked(Anomaly::Wall, Turn::Accepted(span), now.wall, held));
            self.believed += held;
            self.after = newest + 1;
        }
        told
    }

    fn told_of_lead(&mut self) -> Vec<Mark> {
        let newest = self.looks.len() - 1;
        let now = self.looks[newest];
        let wall = i128::from(now.wall) << 32;
        let ahead = i128::from(self.last) * 1_000_000 - wall;
        // Whole microseconds, a begun one counted.
        let lead = -(-ahead).div_euclid(1 << 32);
        let was = !self.leads.is_empty();
        self.leads.push((newest, lead));
        if ahead > i128::from(500 * MS) << 32 {
            let begun = marked(Anomaly::Lead, Turn::Begun, now.wall, lead);
            return if was { vec![] } else { vec![begun] };
        }
        let leads = std::mem::take(&mut self.leads);
        if !was {
            return vec![];
        }
        let begin = self.looks[leads[0].0].elapsed;
        let span = Span {
            duration: u64::try_from(now.elapsed - begin).unwrap_or(u64::MAX),
            extreme: saturated(leads.iter().map(|(_, lead)| *lead).max().unwrap()),
        };
        vec![marked(Anomaly::Lead, Turn::Returned(span), now.wall, lead)]
    }
}

fn marked(anomaly: Anomaly, turn: Turn, wall: i64, deviation: i128) -> Mark {
    Mark { anomaly, turn, wall, deviation: saturated(deviation) }
}

fn saturated(value: i128) -> i64 {
    i64::try_from(value.clamp(i64::MIN.into(), i64::MAX.into())).unwrap()
}

/// Moves the clocks, by every size and to every bound.
#[derive(Debug)]
struct Storm {
    random: Random,
    wall: i64,
    ticks: u64,
    /// What the wall clock would say when the monotonic clock says 0.
    line: i128,
}

impl Storm {
    fn size(&mut self) -> i64 {
        let unit = [1, MS, 100 * MS, SECOND, SECOND, MINUTE, HOUR, DAY, YEAR][self.random.below(9)];
        unit * i64::try_from(1 + self.random.below(60)).unwrap()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len())]
    }

    fn on_line(&self) -> i64 {
        saturated(self.line + i128::from(self.ticks / 1000))
    }

    fn elapse(&mut self, micros: i64) {
        let nanos = u64::try_from(micros).unwrap() * 1000 + self.random.next() % 3;
        self.ticks = self.ticks.saturating_add(nanos);
    }

    fn blow(&mut self) {
        match self.random.below(100) {
            0..20 => {
                let size = self.pick(&[1, 20, MS, 40 * MS, 600 * MS, SECOND, MINUTE]);
                self.elapse(size);
                self.wall = self.wall.saturating_add(size);
            }
            20..26 => {
                let size = self.size();
                self.elapse(size);
                self.wall = self.wall.saturating_add(size);
            }
            26..40 => {
                self.elapse(15 * MINUTE);
                self.wall = self.wall.saturating_add(15 * MINUTE);
            }
            40..44 => {
                let size = self.pick(&[MS, 100 * MS, 400 * MS, SECOND, MINUTE, HOUR]);
                self.elapse(size);
            }
            44 => {
                let size = self.size();
                self.elapse(size);
            }
            45..50 => {
                let size = self.size();
                let sign = self.pick(&[-1, 1]);
                self.wall = self.wall.saturating_add(sign * size);
            }
            50..58 => {
                let bounds = [0, 500 * MS, 500 * MS + 1, SECOND, HOUR, DAY, DAY + 1, 2 * DAY];
                let bound = self.pick(&bounds) * self.pick(&[-1, 1]);
                self.wall = self.on_line().saturating_add(bound);
            }
            58..74 => self.wall = self.on_line(),
            74 => {
                let end = (1 << 32) * SECOND;
                self.wall = self.pick(&[i64::MIN, i64::MAX, -1, 0, end - 1, end, end + YEAR]);
            }
            75 => self.ticks = self.ticks.saturating_sub(self.random.next() % 1_000_000_000_000),
            76 if self.random.below(50) == 0 => {
                self.ticks = self.pick(&[0, 1, u64::MAX, u64::MAX / 2]);
            }
            _ => {}
        }
    }

    fn ask(&mut self, last: Stamp) -> Ask {
        let near = |micros: i64| Stamp::from_micros(micros).unwrap_or(Stamp::new(0)).as_u64();
        let remote = match self.random.below(40) {
            0..24 => return Ask::Read,
            24..29 => return Ask::Step,
            29..33 => near(self.wall),
            33..35 => near(self.wall.saturating_add(500 * MS)),
            35..37 => last.as_u64(),
            37 => near(self.wall.saturating_sub(HOUR)),
            38 => self.random.next(),
            _ if self.random.below(10) == 0 => near(self.wall.saturating_add(DAY)),
            _ => near(self.wall.saturating_add(DAY + 1)),
        };
        let ticks = [0, 0, 1, 1, u64::MAX, 5000];
        Ask::Observe(Stamp::new(remote.saturating_add(self.pick(&ticks).min(5000)).max(1)))
    }

    /// Where the wall clock stands when the process starts again.
    fn restart(&mut self, last: Option<Stamp>) {
        let last = last.map_or(NOW, Stamp::micros);
        let by = self.size();
        let sign = self.pick(&[-1, 1]);
        let places =
            [last, last.saturating_add(sign * by), self.wall, NOW, NOW + by, NOW, NOW - YEAR, -by];
        self.wall = self.pick(&places);
        self.ticks = self.random.next() % 10_000_000_000_000;
    }
}

/// How often each thing happened: a campaign in which something never did would prove nothing about it.
#[derive(Debug, Default)]
struct Tally {
    opened: usize,
    readings: usize,
    marks: [usize; 5],
    errors: [usize; 4],
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Ok((_, marks)) => {
                self.readings += 1;
                self.marked(marks);
            }
            Err(error) => self.refused(error),
        }
    }

    fn marked(&mut self, marks: &[Mark]) {
        for mark in marks {
            self.marks[match (mark.anomaly, mark.turn) {
                (Anomaly::Wall, Turn::Begun) => 0,
                (Anomaly::Wall, Turn::Returned(_)) => 1,
                (Anomaly::Wall, Turn::Accepted(_)) => 2,
                (Anomaly::Lead, Turn::Begun) => 3,
                (Anomaly::Lead, _) => 4,
            }] += 1;
        }
    }

    fn refused(&mut self, error: &ClockError) {
        self.errors[match error {
            ClockError::Implausible { .. } => 0,
            ClockError::Jump { .. } => 1,
            ClockError::Remote { .. } => 2,
            _ => 3,
        }] += 1;
    }
}

/// One process: from open to the end, each answer held against the model. The last stamp.
fn live(storm: &mut Storm, last: Option<Stamp>, calls: usize, tally: &mut Tally) -> Option<Stamp> {
    let time = Steered::new(0);
    let set = |storm: &Storm| {
        time.wall.store(storm.wall, Ordering::Relaxed);
        time.elapsed.store(storm.ticks, Ordering::Relaxed);
    };
    set(storm);
    let (mut clock, begun) = match Clock::open(last, &time) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!(1_577_836_800_000_000..=4_102_444_800_000_000).contains(&storm.wall));
            assert_eq!(error, ClockError::Implausible { wall: storm.wall });
            tally.refused(&error);
            return last;
        }
    };
    let (mut model, expected) = Model::open(last, storm.wall, storm.ticks);
    assert_eq!(begun, expected);
    tally.opened += 1;
    tally.marked(&begun);
    assert!(last.is_none_or(|last| last == clock.last()));
    storm.line = i128::from(storm.wall) - i128::from(storm.ticks / 1000);
    for _ in 0..calls {
        storm.blow();
        set(storm);
        let before = clock.last();
        let ask = storm.ask(before);
        let outcome = match ask {
            Ask::Read => clock.read(&time).map(|reading| (reading.stamp, reading.marks)),
            Ask::Step => clock.step().map(|stamp| (stamp, vec![])),
            Ask::Observe(remote) => clock.observe(remote, &time).map(|m| (clock.last(), m)),
        };
        let call = Call { ask, wall: storm.wall, ticks: storm.ticks };
        assert_eq!(outcome, model.answer(call), "{call:?} {model:?}");
        match (&outcome, ask) {
            (Ok((stamp, _)), Ask::Observe(_)) => assert!(*stamp >= before),
            (Ok((stamp, _)), _) => assert!(*stamp > before, "{call:?}"),
            (Err(_), _) => assert_eq!(clock.last(), before),
        }
        if let Ok((stamp, marks)) = &outcome {
            assert_eq!(*stamp, clock.last());
            for mark in marks.iter().filter(|m| matches!(m.turn, Turn::Accepted(_))) {
                storm.line += i128::from(mark.deviation);
            }
        }
        tally.count(&outcome);
        if outcome == Err(ClockError::Exhausted) && storm.random.below(10) == 0 {
            break;
        }
    }
    Some(clock.last())
}

#[test]
fn a_million_hostile_readings_over_a_thousand_restarts() {
    let restarts = rounds(1000, 20_000);
    let mut storm = Storm { random: Random::new(20), wall: NOW, ticks: 0, line: 0 };
    let mut tally = Tally::default();
    let mut last = None;
    while tally.opened < restarts || tally.readings < restarts * 1000 {
        storm.restart(last);
        last = live(&mut storm, last, 1500, &mut tally);
        // Nothing moves on a chain that has reached the end of time: begin another.
        let is_late = last.is_some_and(|last: Stamp| last.micros() > NOW + 70 * YEAR);
        if is_late && storm.random.below(2) == 0 {
            last = None;
        }
    }
    let Tally { marks, errors, .. } = tally;
    assert!(marks.into_iter().chain(errors).all(|n| n > 100), "{tally:?}");
}
