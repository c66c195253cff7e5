//! Days since 1970 in the calendar, as far as predicates need it.

/// A day, with its year, month and day of the month (proleptic Gregorian calendar, as Python's `datetime.date`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    pub number: i32,
    pub year: i32,
    pub month: i32,
    pub of_month: i32,
}

impl Day {
    /// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
    #[inline]
    pub fn new(number: i32) -> Self {
        let shifted = i64::from(number) + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let of_month = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        // Years of an i32's days fit an i32.
        Self { number, year: year as i32, month: month as i32, of_month: of_month as i32 }
    }

    /// How many months have begun since: at most n says that it was in the last n months.
    #[inline]
    pub fn months_begun(self, since: Self) -> i32 {
        (self.year - since.year) * 12 + self.month - since.month + i32::from(self.of_month > since.of_month)
    }

    /// How many years are over since: at least n says that n years have passed.
    #[inline]
    pub fn years_completed(self, since: Self) -> i32 {
        let is_before = (self.month, self.of_month) < (since.month, since.of_month);
        self.year - since.year - i32::from(is_before)
    }
}

/// The number of the day with this year, month and day of the month: `days_from_civil` of the same, the way back.
pub fn day_number(year: i64, month: i64, of_month: i64) -> i64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + of_month - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::{Day, day_number};

    #[test]
    fn days_follow_each_other() {
        let days_of = |year: i32, month: i32| match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut of_month) = (1, 1, 1);
        for number in -719_162..=2_932_896 {
            assert_eq!(Day::new(number), Day { number, year, month, of_month });
            assert_eq!(day_number(year.into(), month.into(), of_month.into()), i64::from(number));
            of_month += 1;
            if of_month > days_of(year, month) {
                (month, of_month) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, of_month), (10_000, 1, 1));
        for number in [i32::MIN, i32::MAX] {
            assert_eq!(Day::new(number).number, number);
        }
    }
}
