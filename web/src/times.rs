//! Moments as words, in the vendor's time zone.

use domain::ids::Timestamp;
use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::TimeZone;

fn zoned(at: Timestamp, time_zone: &str) -> Option<Zoned> {
    let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
    Some(jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone))
}

fn format(at: Timestamp, time_zone: &str, pattern: &str) -> String {
    zoned(at, time_zone).map_or_else(|| "unknown time".into(), |moment| moment.strftime(pattern).to_string())
}

/// `21 Nov 2026, 14:03:09`
pub fn moment(at: Timestamp, time_zone: &str) -> String {
    format(at, time_zone, "%-d %b %Y, %H:%M:%S")
}

/// `14:03`
pub fn clock(at: Timestamp, time_zone: &str) -> String {
    format(at, time_zone, "%H:%M")
}

/// `12 s ago`, `5 min ago`, `3 h ago`, `2 days ago`; what lies ahead is now.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = (now.0 - at.0).max(0) / 1000;
    match seconds {
        0..100 => format!("{seconds} s ago"),
        100..6_000 => format!("{} min ago", seconds / 60),
        6_000..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// For the `datetime` attribute: RFC 3339 in UTC.
pub fn machine(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map(|moment| moment.to_string()).unwrap_or_default()
}

/// The local day.
pub fn day(at: Timestamp, time_zone: &str) -> Date {
    zoned(at, time_zone).map(|moment| moment.date()).unwrap_or_default()
}

/// `23 Oct – 21 Nov 2026`
pub fn range(from: Date, to: Date) -> String {
    let end = to.strftime("%-d %b %Y");
    if from == to {
        end.to_string()
    } else if from.year() == to.year() {
        format!("{} – {end}", from.strftime("%-d %b"))
    } else {
        format!("{} – {end}", from.strftime("%-d %b %Y"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn moments_are_local() {
        let at = Timestamp(1_795_258_989_000);
        assert_eq!(moment(at, "Europe/Berlin"), "21 Nov 2026, 12:03:09");
        assert_eq!(clock(at, "America/New_York"), "06:03");
        assert_eq!(clock(at, "No/Such"), "11:03");
        assert_eq!(machine(at), "2026-11-21T11:03:09Z");
        assert_eq!(moment(Timestamp(i64::MAX), "UTC"), "unknown time");
    }

    #[test]
    fn an_age_has_one_unit() {
        let after = |seconds: i64| ago(Timestamp(1_000), Timestamp(1_000 + seconds * 1_000));
        assert_eq!(
            [after(-5), after(12), after(150), after(7_300), after(259_200)],
            ["0 s ago", "12 s ago", "2 min ago", "2 h ago", "3 days ago"]
        );
    }

    #[test]
    fn ranges_say_the_year_once() {
        assert_eq!(range(date(2026, 11, 21), date(2026, 11, 21)), "21 Nov 2026");
        assert_eq!(range(date(2026, 10, 23), date(2026, 11, 21)), "23 Oct – 21 Nov 2026");
        assert_eq!(range(date(2025, 12, 1), date(2026, 11, 21)), "1 Dec 2025 – 21 Nov 2026");
    }
}
