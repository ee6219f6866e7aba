//! The time of day as records show it: RFC 3339, UTC, milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-03-21T09:05:07.042Z`. Before 1970 it is 1970.
pub(crate) fn utc_millis(at: SystemTime) -> String {
    let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since_epoch.as_secs();
    let (year, month, day) = date_of(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = since_epoch.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Milliseconds since 1970 of a time as [`utc_millis`] writes it, whatever the machine's clock says by now.
pub(crate) fn millis_of(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second, millis) = (number(11..13)?, number(14..16)?, number(17..19)?, number(20..23)?);
    if text.len() != "2026-03-21T09:05:07.042Z".len() || !(1..=12).contains(&month) || year < 1970 {
        return None;
    }
    // Years are counted from 1 March, as in `date_of`.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
    let days = era * 146_097 + 365 * of_era + of_era / 4 - of_era / 100 + of_year;
    let seconds = days.checked_sub(719_468)? * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000 + millis)
}

/// Year, month and day of the proleptic Gregorian calendar, `days` after 1970-01-01.
fn date_of(days: u64) -> (u64, u64, u64) {
    // Years are counted from 1 March, so that the leap day is a year's last, in eras of 400 years.
    const DAYS_0000_03_01_TO_EPOCH: u64 = 719_468;
    const DAYS_AN_ERA: u64 = 146_097;
    let days = days + DAYS_0000_03_01_TO_EPOCH;
    let (era, of_era) = (days / DAYS_AN_ERA, days % DAYS_AN_ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_are_themselves() {
        let shown = |seconds, millis| {
            utc_millis(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis))
        };
        for millis in [0, 951_782_400_005, 951_868_799_999, 1_709_251_199_000, 4_107_542_400_000] {
            let text = utc_millis(UNIX_EPOCH + Duration::from_millis(millis));
            assert_eq!(millis_of(&text), Some(millis), "{text}");
        }
        for strange in
            ["", "soon", "2026-00-21T09:05:07.042Z", "2026-03-00T09:05:07.042Z", "é026-03-21T09:05:07.042Z"]
        {
            assert_eq!(millis_of(strange), None, "{strange}");
        }
        assert_eq!(shown(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(951_782_400, 5), "2000-02-29T00:00:00.005Z");
        assert_eq!(shown(951_868_799, 999), "2000-02-29T23:59:59.999Z");
        assert_eq!(shown(1_709_251_199, 0), "2024-02-29T23:59:59.000Z");
        assert_eq!(shown(1_735_689_600, 0), "2025-01-01T00:00:00.000Z");
        assert_eq!(shown(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }
}
