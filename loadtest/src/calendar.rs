//! Calendar arithmetic in UTC, written here so that the oracle shares nothing with the product.

const DAY: i64 = 86_400;

/// Days since 1970-01-01 of a civil date (proleptic Gregorian).
pub fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of days since 1970-01-01.
pub fn civil_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The same time of day so many calendar months later; a day that the month lacks becomes
/// its last one.
pub fn add_months(seconds: i64, months: i64) -> i64 {
    let (days, time) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil_of(days);
    let counted = year * 12 + month - 1 + months;
    let (year, month) = (counted.div_euclid(12), counted.rem_euclid(12) + 1);
    let following = if month == 12 { days_of(year + 1, 1, 1) } else { days_of(year, month + 1, 1) };
    let last_day = following - days_of(year, month, 1);
    days_of(year, month, day.min(last_day)) * DAY + time
}

/// RFC 3339 in UTC, for example `2026-01-05T00:00:00Z`.
pub fn rfc3339(seconds: i64) -> String {
    let (year, month, day) = civil_of(seconds.div_euclid(DAY));
    let time = seconds.rem_euclid(DAY);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", time / 3600, time / 60 % 60, time % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_agree() {
        assert_eq!(days_of(1970, 1, 1), 0);
        assert_eq!(days_of(2000, 3, 1), 11_017);
        for days in [-1, 0, 59, 11_016, 11_017, 20_778, 47_540] {
            let (year, month, day) = civil_of(days);
            assert_eq!(days_of(year, month, day), days);
        }
        assert_eq!(rfc3339(1_633_046_403), "2021-10-01T00:00:03Z");
    }

    #[test]
    fn a_month_without_the_day_ends_earlier() {
        let at = |year, month, day| days_of(year, month, day) * DAY + 7;
        assert_eq!(add_months(at(2026, 1, 31), 1), at(2026, 2, 28));
        assert_eq!(add_months(at(2024, 1, 31), 1), at(2024, 2, 29));
        assert_eq!(add_months(at(2026, 1, 31), 2), at(2026, 3, 31));
        assert_eq!(add_months(at(2026, 11, 15), 14), at(2028, 1, 15));
    }
}
