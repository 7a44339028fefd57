//! The points of a filter, for whoever meets all entries in order.

use crate::entry::Fields;
use crate::point::Point;
use crate::replay::{Side, side};

/// How entries that come in order stand to the points of a filter.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    since: Option<Point>,
    until: Option<Point>,
    has_begun: bool,
    has_ended: bool,
}

impl Passage {
    /// Between these points, both included.
    pub fn between(since: Option<Point>, until: Option<Point>) -> Self {
        Self { since, until, has_begun: since.is_none(), has_ended: false }
    }

    /// Whether the next entry lies between the points.
    pub fn takes(&mut self, fields: &Fields<'_>) -> bool {
        self.has_begun = self.has_begun || self.since.is_none_or(|since| begins(&since, fields));
        let side = self.until.map_or(Side::Before, |until| side(&until, fields));
        let is_within = self.has_begun && !self.has_ended && side != Side::Behind;
        self.has_ended |= side != Side::Before;
        is_within
    }

    /// Whether the first point has been reached.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether no later entry lies between the points.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }
}

/// Whether what begins at the point begins with this entry, or before it.
fn begins(since: &Point, fields: &Fields<'_>) -> bool {
    match since {
        Point::Time(time) => fields.system_time.micros() >= time.micros(),
        other => side(other, fields) != Side::Before,
    }
}
