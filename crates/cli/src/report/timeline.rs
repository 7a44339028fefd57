//! Entries over time in a bounded number of intervals, whatever the span turns out to be.

/// Intervals at most.
const INTERVALS: usize = 240;

/// Counts in intervals of one width, which doubles whenever the span outgrows them.
#[derive(Debug)]
pub(super) struct Timeline {
    first: Option<i64>,
    /// Microseconds.
    width: u64,
    counts: Vec<u64>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { first: None, width: 1, counts: Vec::new() }
    }
}

impl Timeline {
    /// An entry at this time, in microseconds since 1970, not before the one before.
    pub(super) fn add(&mut self, micros: i64) {
        let at = loop {
            let at = self.interval(micros);
            if at < INTERVALS {
                break at;
            }
            self.widen();
        };
        if self.counts.len() <= at {
            self.counts.resize(at.saturating_add(1), 0);
        }
        if let Some(count) = self.counts.get_mut(at) {
            *count = count.saturating_add(1);
        }
    }

    fn interval(&mut self, micros: i64) -> usize {
        let first = *self.first.get_or_insert(micros);
        let since = u64::try_from(micros.saturating_sub(first)).unwrap_or(0);
        let interval = since.checked_div(self.width).unwrap_or(0);
        usize::try_from(interval).unwrap_or(usize::MAX)
    }

    fn widen(&mut self) {
        self.width = self.width.saturating_mul(2);
        let pairs =
            self.counts.chunks(2).map(|pair| pair.iter().fold(0, |a: u64, b| a.saturating_add(*b)));
        self.counts = pairs.collect();
    }

    /// Counts, the first interval first.
    pub(super) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Microseconds of an interval.
    pub(super) fn width(&self) -> u64 {
        self.width
    }

    /// Where an interval begins, in microseconds since 1970.
    pub(super) fn begins(&self, interval: usize) -> i64 {
        let interval = i64::try_from(interval).unwrap_or(i64::MAX);
        let width = i64::try_from(self.width).unwrap_or(i64::MAX);
        self.first.unwrap_or(0).saturating_add(interval.saturating_mul(width))
    }

    /// The interval of a time, if there is one.
    pub(super) fn of(&self, micros: i64) -> Option<usize> {
        let since = u64::try_from(micros.checked_sub(self.first?)?).ok()?;
        let at = usize::try_from(since.checked_div(self.width)?).ok()?;
        (at < self.counts.len()).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_when_intervals_widen() {
        let mut timeline = Timeline::default();
        let times: Vec<i64> = (0..1000).map(|n| n * n * 977).collect();
        for time in &times {
            timeline.add(*time);
        }
        assert_eq!(timeline.counts().iter().sum::<u64>(), 1000);
        assert!((INTERVALS / 2..=INTERVALS).contains(&timeline.counts().len()));
        for (at, count) in timeline.counts().iter().enumerate() {
            let span = timeline.begins(at)..timeline.begins(at + 1);
            assert_eq!(
                *count,
                u64::try_from(times.iter().filter(|t| span.contains(t)).count()).unwrap()
            );
        }
        assert_eq!(timeline.of(999 * 999 * 977), Some(timeline.counts().len() - 1));
        assert_eq!(timeline.of(-1), None);
    }

    /// From before 1970 to the end of time.
    #[test]
    fn any_span_fits() {
        let mut timeline = Timeline::default();
        for time in [i64::MIN / 2, 0, i64::MAX / 2] {
            timeline.add(time);
        }
        assert_eq!(timeline.counts().iter().sum::<u64>(), 3);
    }
}
