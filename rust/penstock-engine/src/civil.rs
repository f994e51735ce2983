//! Writes moments as dates and times of UTC, as AWS does in documents and windows.
//!
//! Rules: the Gregorian calendar, before its time too; any moment that a clock can show is written.

use crate::time::Wall;

/// A moment as `YYYY-MM-DDTHH:MM:SS.mmmZ`.
pub(crate) fn timestamp(moment: Wall) -> String {
    format!("{}.{:03}Z", civil_time(moment), moment.0.rem_euclid(1_000))
}

/// A moment as `YYYY-MM-DDTHH:MM:SSZ`.
pub(crate) fn timestamp_to_the_second(moment: Wall) -> String {
    format!("{}Z", civil_time(moment))
}

fn civil_time(moment: Wall) -> String {
    const DAY_MS: i64 = 86_400_000;
    let (year, month, day) = civil_date(moment.0.div_euclid(DAY_MS));
    let of_day = moment.0.rem_euclid(DAY_MS);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let second = of_day / 1_000 % 60;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// The Gregorian date of a day counted from 1970-01-01. Counts in eras of 400 years whose years
/// begin in March, so that a leap day is a year's last.
fn civil_date(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc_to_the_millisecond() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        ];
        for (millis, expected) in cases {
            assert_eq!(timestamp(Wall(millis)), expected);
        }
        let _ = (timestamp(Wall(i64::MAX)), timestamp(Wall(i64::MIN)));
    }

    #[test]
    fn dates_follow_one_another_through_eight_centuries() {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..300_000 {
            assert_eq!(civil_date(days), (year, month, day), "{days}");
            let length = match month {
                2 => 28 + i64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
