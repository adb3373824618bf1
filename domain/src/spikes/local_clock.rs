//! The vendor's local time, as a table of offsets.

use super::HOUR_MS;
use crate::ids::Timestamp;

/// Hours in a week.
pub(super) const WEEK_HOURS: usize = 168;
/// Changes of a zone's offset that are looked at: two a year for half a century.
const MOST_CHANGES: usize = 100;
/// 1970 began on a Thursday; the week here begins on Monday.
const MONDAY_OFFSET_MS: i64 = 3 * 24 * HOUR_MS;

/// Offsets of the vendor's time zone from UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalClock {
    first_offset_ms: i64,
    changes: Vec<(i64, i64)>,
}

impl LocalClock {
    /// A fixed offset in seconds east of UTC, 0 for UTC.
    pub fn fixed(offset_seconds: i32) -> LocalClock {
        LocalClock { first_offset_ms: i64::from(offset_seconds) * 1000, changes: Vec::new() }
    }

    /// An offset in seconds that becomes another one at each of these moments, ascending.
    pub fn with_changes(first_offset_seconds: i32, changes: &[(Timestamp, i32)]) -> LocalClock {
        let mut clock = LocalClock::fixed(first_offset_seconds);
        clock.changes = changes.iter().map(|(at, offset)| (at.0, i64::from(*offset) * 1000)).collect();
        clock.changes.sort_unstable();
        clock
    }

    /// A zone's offsets from one moment to another.
    pub fn of_zone(zone: &jiff::tz::TimeZone, from: Timestamp, to: Timestamp) -> LocalClock {
        let Ok(start) = jiff::Timestamp::from_millisecond(from.0) else { return LocalClock::fixed(0) };
        let following = zone.following(start).take(MOST_CHANGES);
        let changes: Vec<(Timestamp, i32)> = following
            .map(|change| (Timestamp(change.timestamp().as_millisecond()), change.offset().seconds()))
            .take_while(|(at, _)| *at < to)
            .collect();
        LocalClock::with_changes(zone.to_offset(start).seconds(), &changes)
    }

    /// Calls with pieces of a span in which the offset does not change: milliseconds since a Monday at 00:00.
    pub(super) fn local_pieces(&self, from_ms: i64, to_ms: i64, mut piece: impl FnMut(i64, i64)) {
        let mut index = self.changes.partition_point(|(at, _)| *at <= from_ms);
        let mut start = from_ms;
        while start < to_ms {
            let end = self.changes.get(index).map_or(to_ms, |(at, _)| to_ms.min(*at));
            let shift = self.offset_before(index) + MONDAY_OFFSET_MS;
            piece(start + shift, end + shift);
            start = end;
            index += 1;
        }
    }

    /// Hour of the week at a moment: 0 is Monday from 00:00 to 01:00.
    pub fn hour_of_week(&self, at: Timestamp) -> usize {
        let index = self.changes.partition_point(|(change, _)| *change <= at.0);
        let local = at.0 + self.offset_before(index) + MONDAY_OFFSET_MS;
        local.div_euclid(HOUR_MS).rem_euclid(WEEK_HOURS as i64) as usize
    }

    fn offset_before(&self, index: usize) -> i64 {
        if index == 0 { self.first_offset_ms } else { self.changes[index - 1].1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn the_week_begins_on_monday_in_the_zone() {
        assert_eq!(LocalClock::fixed(0).hour_of_week(at("2026-11-16T00:59:59Z")), 0);
        assert_eq!(LocalClock::fixed(0).hour_of_week(at("2026-11-15T23:59:59Z")), 167);
        assert_eq!(LocalClock::fixed(3600).hour_of_week(at("2026-11-15T23:00:00Z")), 0);
        assert_eq!(LocalClock::fixed(0).hour_of_week(Timestamp(0)), 72, "a Thursday");
    }

    #[test]
    fn a_zone_changes_its_offset_twice_a_year() {
        let berlin = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        let clock = LocalClock::of_zone(&berlin, at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
        assert_eq!(clock.changes.len(), 2);
        assert_eq!(clock.hour_of_week(at("2026-10-25T00:59:00Z")), 6 * 24 + 2);
        assert_eq!(clock.hour_of_week(at("2026-10-25T01:00:00Z")), 6 * 24 + 2, "the hour from 2 to 3 comes twice");
        assert_eq!(clock.hour_of_week(at("2026-03-29T01:00:00Z")), 6 * 24 + 3, "there is no hour from 2 to 3");
    }

    #[test]
    fn pieces_add_up_to_the_span() {
        let clock = LocalClock::with_changes(3600, &[(Timestamp(5 * HOUR_MS), 7200), (Timestamp(9 * HOUR_MS), 3600)]);
        let mut total = 0;
        let mut pieces = 0;
        clock.local_pieces(HOUR_MS, 12 * HOUR_MS, |from, to| {
            total += to - from;
            pieces += 1;
        });
        assert_eq!((total, pieces), (11 * HOUR_MS, 3));
    }
}
