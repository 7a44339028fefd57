//! Every form of a point, good and bad.

use sigchain::id::EventId;
use sigchain::point::Point;
use sigchain::stamp::{Stamp, ValidTime};

use crate::support::{Random, rounds};

fn time(text: &str) -> Point {
    Point::Time(ValidTime::parse(text).unwrap())
}

#[test]
fn every_form_is_parsed_as_what_it_is() {
    let id = EventId::new(1_795_150_800_000, [7; 10]);
    for (text, point) in [
        ("head", Point::Head),
        ("-0", Point::Back(0)),
        ("-17", Point::Back(17)),
        ("-999999999999999", Point::Back(999_999_999_999_999)),
        ("0", Point::Sequence(0)),
        ("10", Point::Sequence(10)),
        ("999999999999999", Point::Sequence(999_999_999_999_999)),
        // One digit more, and it is a stamp, although all are decimal.
        ("1000000000000000", Point::Stamp(Stamp::new(0x1000_0000_0000_0000))),
        ("6b00000040000000", Point::Stamp(Stamp::new(0x6b00_0000_4000_0000))),
        (&id.to_string(), Point::Event(id)),
        (&id.to_string().to_uppercase(), Point::Event(id)),
    ] {
        assert_eq!(Point::parse(text), Ok(point), "{text}");
    }
}

#[test]
fn times_are_those_of_rfc_3339() {
    let utc = "2026-11-20T05:00:00.250000Z";
    for text in [
        "2026-11-20T05:00:00.25Z",
        "2026-11-20t05:00:00.250z",
        "2026-11-20 05:00:00.2500000Z",
        "2026-11-20T05:00:00.250000999Z",
        "2026-11-20T06:00:00.25+01:00",
        "2026-11-19T23:30:00.25-05:30",
        "2026-11-20T05:00:00.25-00:00",
        "2026-11-21T04:59:00.25+23:59",
    ] {
        assert_eq!(Point::parse(text), Ok(time(utc)), "{text}");
    }
    for (text, utc) in [
        ("2026-11-20T05:00:00Z", "2026-11-20T05:00:00.000000Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
        ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999Z"),
        ("2106-02-07T06:28:15.9Z", "2106-02-07T06:28:15.900000Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"),
        ("2024-02-29T00:00:00.0000009Z", "2024-02-29T00:00:00.000000Z"),
        // A leap second ends where the next minute begins, all of it, in any zone, over the end of a year.
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"),
        ("2016-12-31T23:59:60.75Z", "2017-01-01T00:00:00.000000Z"),
        ("2017-01-01T05:29:60+05:30", "2017-01-01T00:00:00.000000Z"),
    ] {
        assert_eq!(Point::parse(text), Ok(time(utc)), "{text}");
    }
}

#[test]
fn whatever_else_is_refused_and_the_grammar_named() {
    for text in [
        "",
        " ",
        "HEAD",
        "Head",
        "head ",
        " head",
        "-",
        "--1",
        "-01",
        "-1.5",
        "+1",
        "00",
        "01",
        " 1",
        "1 ",
        "1e3",
        "0x10",
        "-1000000000000000",
        "6B00000040000000",
        "6b0000004000000",
        "6b000000400000000",
        "\u{661}",
        "-\u{661}",
        "2026-11-20",
        "2026-11-20T05:00:00",
        "2026-11-20T05:00Z",
        "2026-11-20T05:00:00.Z",
        "2026-11-20T05:00:00,5Z",
        "2026-11-20T05:00:00.1234567890Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T05:60:00Z",
        "2026-11-20T05:00:61Z",
        "2026-11-20T05:00:00+24:00",
        "2026-11-20T05:00:00+01:60",
        "2026-11-20T05:00:00+0100",
        "2026-11-20T05:00:00+1:00",
        "2026-11-20T05:00:00 Z",
        "2026-11-20T05:00:00ZZ",
        "2026-11-20T05:00:00+01:00Z",
        "2026-11-20_05:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-1-20T05:00:00Z",
        "+2026-11-20T05:00:00Z",
        "-2026-11-20T05:00:00Z",
        "2026-11-20T5:00:00Z",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59-00:01",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "2026-11-20T05:00:0\u{e9}Z",
        "20\u{e9}6-11-20T05:00:00Z",
        "2026-11-20T05:00:00.\u{661}Z",
        "019f714c-5d3a-4fff-bfff-ffffffffffff",
        "019f714c5d3a7fffbfffffffffffffff",
        "019f714c-5d3a-7fff-bfff-fffffffffff",
        "{019f714c-5d3a-7fff-bfff-ffffffffffff}",
    ] {
        let error = Point::parse(text).unwrap_err();
        let said = error.to_string();
        for form in ["head", "-N", "sequence", "stamp", "time", "event id"] {
            assert!(said.contains(form), "{text:?}: {said}");
        }
    }
    let said = Point::parse("\u{202e}\n").unwrap_err().to_string();
    assert!(said.is_ascii() && !said.contains('\n'), "{said}");
}

#[test]
fn what_is_shown_parses_back() {
    let mut random = Random::new(0x901);
    for _ in 0..rounds(2_000, 100_000) {
        let point = match random.below(6) {
            0 => Point::Back(random.next() % 1_000_000_000_000_000),
            1 => Point::Event(EventId::new(random.next() >> 16, random.bytes())),
            2 => Point::Head,
            3 => Point::Sequence(random.next() % 1_000_000_000_000_000),
            4 => Point::Stamp(Stamp::new(random.next())),
            _ => Point::Time(ValidTime::from_micros(Stamp::new(random.next()).micros()).unwrap()),
        };
        assert_eq!(Point::parse(&point.to_string()), Ok(point));
    }
}

#[test]
fn no_text_makes_it_panic() {
    let seeds = ["2026-11-20T05:00:00.25+01:00", "-17", "6b00000040000000", "head"];
    let letters: Vec<char> = "0123456789abcdefTtZz:+-. \u{e9}\u{1f600}\0".chars().collect();
    let mut random = Random::new(0x902);
    for _ in 0..rounds(20_000, 1_000_000) {
        let mut text: Vec<char> = seeds[random.below(seeds.len())].chars().collect();
        for _ in 0..=random.below(3) {
            let at = random.below(text.len());
            text[at] = letters[random.below(letters.len())];
        }
        text.truncate(random.below(text.len() + 1));
        if let Ok(point) = Point::parse(&text.iter().collect::<String>()) {
            assert_eq!(Point::parse(&point.to_string()), Ok(point));
        }
    }
}
