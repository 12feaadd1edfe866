//! Numbers as people read them.

/// A number on an axis: `0.5`, `100`, `2.5 K`, `1 M`.
pub(super) fn tick(value: f64) -> String {
    const STEPS: [(f64, &str); 4] = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " K")];
    let size = value.abs();
    if size >= 1e15 || (size > 0.0 && size < 1e-4) {
        return exponential(value);
    }
    // What rounds up to the next step belongs to it.
    let step = STEPS.iter().find(|(step, _)| size * 1.000_000_1 >= *step);
    let (scale, letter) = step.copied().unwrap_or((1.0, ""));
    trimmed(&format!("{:.*}", if size < 1.0 { 6 } else { 3 }, value / scale)) + letter
}

/// A number in a table or beside a bar, to three significant digits, or as a whole number where
/// that is more.
pub(super) fn figure(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => String::from("\u{2013}"),
        size if size >= 1e15 || (size > 0.0 && size < 1e-3) => exponential(value),
        size if size >= 99.95 => thousands(value),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn exponential(value: f64) -> String {
    let text = format!("{value:.2e}");
    match text.split_once('e') {
        Some((digits, exponent)) => format!("{}e{exponent}", trimmed(digits)),
        None => text,
    }
}

/// Without zeros that say nothing, and without a point before nothing.
fn trimmed(digits: &str) -> String {
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits.to_owned(),
    }
}

/// A whole number.
pub(super) fn count(number: u64) -> String {
    grouped(&number.to_string())
}

fn thousands(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    sign.to_owned() + &grouped(&format!("{:.0}", value.abs()))
}

/// Digits with commas between thousands.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time since 1970 as a date and a time of day.
pub(super) fn date(unix_s: u64) -> String {
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
    fn ticks_are_short() {
        let pairs = [
            (0.0, "0"),
            (0.001, "0.001"),
            (0.5, "0.5"),
            (100.0, "100"),
            (1e3, "1 K"),
            (2500.0, "2.5 K"),
            (999_999.999_999, "1 M"),
            (2e7, "20 M"),
            (1e9, "1 G"),
            (1e-5, "1e-5"),
            (1e18, "1e18"),
            (-1500.0, "-1.5 K"),
        ];
        for (value, text) in pairs {
            assert_eq!(tick(value), text);
        }
    }

    #[test]
    fn figures_have_three_digits() {
        let pairs = [
            (0.0, "0.00"),
            (0.1234, "0.123"),
            (0.9999, "1.00"),
            (12.34, "12.3"),
            (99.97, "100"),
            (1_234_567.8, "1,234,568"),
            (-1234.0, "-1,234"),
            (1e-7, "1e-7"),
            (1e300, "1e300"),
            (f64::NAN, "\u{2013}"),
        ];
        for (value, text) in pairs {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_735_689_599), "2024-12-31 23:59 UTC");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00 UTC");
        assert!(date(u64::MAX).ends_with("UTC"));
    }
}
