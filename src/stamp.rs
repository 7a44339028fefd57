//! Times: the stamp, one reading of the hybrid logical clock, and the caller's own valid times.

use std::fmt;

use crate::text;

/// One reading of the clock: NTP64, seconds since 1970 in the upper 32 bits, the fraction in the lower.
///
/// Stamps order entries only together with the sequence, which always decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// A stamp from its 64 bits.
    pub const fn new(ntp64: u64) -> Self {
        Self(ntp64)
    }

    /// Its 64 bits.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The reading of a clock that stands at `micros` since 1970; none before 1970 or after 2106.
    pub fn from_micros(micros: i64) -> Option<Self> {
        let micros = u64::try_from(micros).ok()?;
        let seconds = u32::try_from(micros / 1_000_000).ok()?;
        let fraction = ((micros % 1_000_000) << 32) / 1_000_000;
        Some(Self((u64::from(seconds) << 32) | fraction))
    }

    /// Microseconds since 1970, rounded down.
    pub fn micros(self) -> i64 {
        let seconds = i64::try_from(self.0 >> 32).unwrap_or(i64::MAX);
        let fraction = i64::try_from(((self.0 & 0xffff_ffff) * 1_000_000) >> 32).unwrap_or(0);
        seconds * 1_000_000 + fraction
    }

    /// The 16 hexadecimal digits of JSON lines.
    pub fn hex(self) -> String {
        text::hex(&self.0.to_be_bytes())
    }

    /// Parses 16 lower-case hexadecimal digits.
    pub fn parse_hex(text: &str) -> Option<Self> {
        text::parse_hex(text).map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ValidTime(self.micros()).fmt(f)
    }
}

/// When the caller says something was true: microseconds since 1970, years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValidTime(i64);

const DAY: i64 = 86_400_000_000;
const FIRST: i64 = -62_135_596_800_000_000;
const LAST: i64 = 253_402_300_799_999_999;

impl ValidTime {
    /// A time, if it lies in the years 1 to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        (FIRST..=LAST).contains(&micros).then_some(Self(micros))
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Parses `YYYY-MM-DDTHH:MM:SS.ffffffZ` and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |from: usize, len: usize| -> Option<i64> {
            let digits = text.get(from..from + len)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        };
        let days = days_from_civil(number(0, 4)?, number(5, 2)?, number(8, 2)?);
        let seconds = number(11, 2)? * 3600 + number(14, 2)? * 60 + number(17, 2)?;
        let micros = days * DAY + seconds * 1_000_000 + number(20, 6)?;
        let parsed = Self::from_micros(micros)?;
        // Day 31 of February, hour 25, a missing colon: whatever does not print as it was written is refused.
        (parsed.to_string() == text).then_some(parsed)
    }
}

impl fmt::Display for ValidTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY));
        let micros = self.0.rem_euclid(DAY);
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        // By hand: a log has one in each line, and the machinery of formats takes several times as long.
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let parts = [(0, 4, year), (5, 2, month), (8, 2, day), (11, 2, hour), (14, 2, minute)];
        for (at, width, mut number) in parts.into_iter().chain([(17, 2, second), (20, 6, micros)]) {
            let digits = text.iter_mut().skip(at).take(width);
            for digit in digits.rev() {
                *digit = b'0'.saturating_add(u8::try_from(number % 10).unwrap_or(0));
                number /= 10;
            }
        }
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Hinnant's algorithm: years begin in March, so that the
/// leap day is the last).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9).rem_euclid(12);
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (FIRST, "0001-01-01T00:00:00.000000Z"),
            (LAST, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(ValidTime(micros).to_string(), text);
            assert_eq!(ValidTime::parse(text), Some(ValidTime(micros)));
        }
        for text in [
            "2001-02-29T00:00:00.000000Z",
            "2001-02-28T24:00:00.000000Z",
            "2001-02-28T00:00:60.000000Z",
            "2001-02-28 00:00:00.000000Z",
            "2001-02-28T00:00:00.000000z",
            "2001-02-28T00:00:00.000Z",
            "0000-12-31T00:00:00.000000Z",
            "2001-02-28T00:00:00.000000Z ",
            "2001-02-2\u{e9}T00:00:00.000000Z",
        ] {
            assert_eq!(ValidTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn stamps_follow_the_wall_clock() {
        let stamp = Stamp::from_micros(1_795_150_800_250_000).unwrap();
        assert_eq!(stamp.to_string(), "2026-11-20T05:00:00.250000Z");
        assert_eq!(Stamp::parse_hex(&stamp.hex()), Some(stamp));
        assert_eq!(Stamp::from_micros(-1), None);
        assert_eq!(Stamp::from_micros(i64::from(u32::MAX) * 1_000_000 + 1_000_000), None);
    }
}
