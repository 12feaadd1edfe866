//! Times as people read them.

/// A time since 1970 as a date and a time of day.
pub(super) fn of(unix_s: u64) -> String {
    const DAY_S: u64 = 86_400;
    let (days, second) = (unix_s / DAY_S, unix_s % DAY_S);
    let is_leap = |year: u64| {
        (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
    };
    // Dates repeat every 400 years, so that no number of seconds takes long.
    let (cycles, mut day) = (days / 146_097, days % 146_097);
    let mut year = 1970 + cycles * 400;
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year}-{:02}-{:02} {hour:02}:{minute:02} UTC", month + 1, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(of(0), "1970-01-01 00:00 UTC");
        assert_eq!(of(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(of(1_735_689_599), "2024-12-31 23:59 UTC");
        assert_eq!(of(4_107_542_400), "2100-03-01 00:00 UTC");
        assert!(of(u64::MAX).ends_with("UTC"));
    }
}
