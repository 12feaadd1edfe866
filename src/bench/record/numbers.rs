//! Numbers as people read them.

/// A whole number with commas between thousands.
pub fn thousands(number: u64) -> String {
    grouped(&number.to_string())
}

/// A figure to three significant digits, or as a whole number where that is more; a dash where it
/// is no number.
pub fn figure(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => String::from("\u{2013}"),
        size if size >= 1e15 || (size > 0.0 && size < 1e-3) => exponential(value),
        size if size >= 99.95 => whole(value),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 || size == 0.0 => format!("{value:.2}"),
        // Three digits behind the zeros.
        size => format!("{value:.*}", (2.0 - size.log10().floor()) as usize),
    }
}

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

fn whole(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    sign.to_owned() + &grouped(&format!("{:.0}", value.abs()))
}

/// Digits with commas between thousands.
fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
            (0.0091234, "0.00912"),
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
    fn whole_numbers_have_commas() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
