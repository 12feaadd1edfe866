//! How far two samples lie apart, with confidence, whatever their distribution.
//!
//! The interval is Hodges and Lehmann's for a shift, taken of the numbers' logarithms, where a
//! shift is a ratio. With `n` and `m` numbers, it lies between the `k`-th lowest and the `k`-th
//! highest of all `n * m` ratios, `k` being the largest for which Mann and Whitney's U is below `k`
//! with a chance of 2.5 % at most where both samples are of one distribution. The distribution of U
//! is counted, not approximated; ties make the interval wider than it had to be, never narrower.
//!
//! Hollander, Wolfe and Chicken, *Nonparametric Statistical Methods*, 3rd edition (2014), sections
//! 4.1 and 4.3; Hodges and Lehmann, *Estimates of location based on rank tests*, Annals of
//! Mathematical Statistics 34 (1963).

/// What each tail may hold of a confidence of 95 %.
const TAIL: f64 = 0.025;
/// How many rounds of a sample are looked at: more would tell nothing new, and take long.
const ROUNDS_MAX: usize = 100;

/// A ratio of numbers from 0 up, where one thing is none times nothing and one time itself.
pub(super) fn ratio(of: f64, to: f64) -> f64 {
    if of == to { 1.0 } else { of / to }
}

/// Where, with 95 % confidence, the numbers of `second` lie as multiples of those of `first`. None
/// where there are too few for that confidence (of as many each, three), or one is negative or NaN.
pub(in crate::bench) fn ratio_interval(first: &[f64], second: &[f64]) -> Option<(f64, f64)> {
    let [first, second] = [first, second].map(|rounds| &rounds[..rounds.len().min(ROUNDS_MAX)]);
    if first.iter().chain(second).any(|number| number.is_nan() || *number < 0.0) {
        return None;
    }
    let cut = cut(first.len(), second.len())?;
    let pairs = second.iter().flat_map(|of| first.iter().map(|to| ratio(*of, *to)));
    let mut ratios: Vec<f64> = pairs.collect();
    ratios.sort_by(f64::total_cmp);
    Some((ratios[cut], ratios[ratios.len() - 1 - cut]))
}

/// How many ratios to leave out at each end; none where leaving out none is not confident enough.
fn cut(first: usize, second: usize) -> Option<usize> {
    if first == 0 || second == 0 {
        return None;
    }
    let mut below = 0.0;
    let chances = chances_of_u(first, second);
    let within = chances.iter().take_while(|chance| {
        below += **chance;
        below <= TAIL
    });
    within.count().checked_sub(1)
}

/// The chance of every U from 0 to `first * second`: the coefficients of the product of
/// `(1 - x^(first + i)) / (1 - x^i)` over `i` from 1 to `second`, each step divided by its sum.
fn chances_of_u(first: usize, second: usize) -> Vec<f64> {
    let mut chances = vec![0.0; first * second + 1];
    chances[0] = 1.0;
    for i in 1..=second {
        for at in (first + i..chances.len()).rev() {
            chances[at] -= chances[at - first - i];
        }
        for at in i..chances.len() {
            chances[at] += chances[at - i];
        }
        let share = i as f64 / (first + i) as f64;
        chances.iter_mut().for_each(|chance| *chance *= share);
    }
    chances
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_of_u_is_that_of_the_books() {
        // Of 3 and 2: 1, 1, 2, 2, 2, 1, 1 of 10 orders.
        let counts: Vec<f64> = chances_of_u(3, 2).iter().map(|c| (c * 10.0).round()).collect();
        assert_eq!(counts, [1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 1.0]);
        let sum: f64 = chances_of_u(40, 30).iter().sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        // The critical values of U at 5 % on two sides, as tabled.
        let tabled =
            [(4, 4, 0), (5, 5, 2), (6, 6, 5), (7, 7, 8), (8, 8, 13), (10, 10, 23), (5, 10, 8)];
        for (first, second, critical) in tabled {
            assert_eq!(cut(first, second), Some(critical), "{first} and {second}");
            assert_eq!(cut(second, first), Some(critical), "{second} and {first}");
        }
        for few in [(3, 3), (0, 9), (9, 0), (1, 20), (2, 7)] {
            assert_eq!(cut(few.0, few.1), None, "{few:?}");
        }
        assert_eq!(cut(2, 8), Some(0));
    }

    /// Hollander and Wolfe's table 4.1: permeability of membranes at term and earlier. Of the 50
    /// differences, the 9th from either end bound a confidence of 95.5 %.
    #[test]
    fn a_known_example_has_its_known_interval() {
        let at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
        let earlier = [1.15, 0.88, 0.90, 0.74, 1.21];
        let [at_term, earlier] = [&at_term[..], &earlier].map(exp);
        let (low, high) = ratio_interval(&earlier, &at_term).unwrap();
        assert!((low.ln() - -0.15).abs() < 1e-9, "{}", low.ln());
        assert!((high.ln() - 0.76).abs() < 1e-9, "{}", high.ln());
    }

    fn exp(logs: &[f64]) -> Vec<f64> {
        logs.iter().map(|log| log.exp()).collect()
    }

    #[test]
    fn a_small_example_worked_by_hand() {
        // Ratios 10 / 4, 10 / 3, 10 / 2, 10 / 1 and so on to 40: the lowest and the highest of 16.
        let interval = ratio_interval(&[1.0, 2.0, 3.0, 4.0], &[10.0, 20.0, 30.0, 40.0]);
        assert_eq!(interval, Some((2.5, 40.0)));
        // Of 25, the third from each end: 2/5, 2/4, 2/3 below, and 10, 8, 6 above.
        let five = [1.0, 2.0, 3.0, 4.0, 5.0];
        let (low, high) = ratio_interval(&five, &five.map(|number| number * 2.0)).unwrap();
        assert!((low - 2.0 / 3.0).abs() < 1e-12 && (high - 6.0).abs() < 1e-12, "{low} {high}");
    }

    /// Of all orders that eight numbers of one distribution may come in, how many have an interval
    /// that holds 1: at least 95 of 100, and with one ratio more left out, fewer.
    #[test]
    fn the_interval_holds_in_95_of_100_orders_and_no_wider_than_it_has_to() {
        for (first, second) in [(4, 4), (4, 5), (5, 5), (6, 4)] {
            let (mut orders, mut held, mut held_narrower) = (0, 0, 0);
            for chosen in 0_u32..1 << (first + second) {
                if chosen.count_ones() as usize != first {
                    continue;
                }
                let of = |is_first: bool| -> Vec<f64> {
                    let places = 0..first + second;
                    let mine = places.filter(|place| (chosen >> place & 1 == 1) == is_first);
                    mine.map(|place| 1.5_f64.powi(place as i32)).collect()
                };
                let (a, b) = (of(true), of(false));
                let (low, high) = ratio_interval(&a, &b).unwrap();
                let mut ratios: Vec<f64> =
                    b.iter().flat_map(|b| a.iter().map(move |a| b / a)).collect();
                ratios.sort_by(f64::total_cmp);
                let next = cut(first, second).unwrap() + 1;
                let narrower = ratios[next]..=ratios[ratios.len() - 1 - next];
                orders += 1;
                held += u32::from((low..=high).contains(&1.0));
                held_narrower += u32::from(narrower.contains(&1.0));
            }
            assert!(held * 100 >= orders * 95, "{first} and {second}: {held} of {orders}");
            assert!(held_narrower * 100 < orders * 95, "{first} and {second}: {held_narrower}");
        }
    }

    #[test]
    fn zeros_have_ratios_and_what_is_no_amount_has_none() {
        assert_eq!(ratio_interval(&[0.0; 4], &[0.0; 4]), Some((1.0, 1.0)));
        assert_eq!(ratio_interval(&[0.0; 4], &[5.0; 4]), Some((f64::INFINITY, f64::INFINITY)));
        assert_eq!(ratio_interval(&[5.0; 4], &[0.0; 4]), Some((0.0, 0.0)));
        assert_eq!(ratio_interval(&[1.0, 1.0, 1.0, -1.0], &[1.0; 4]), None);
        assert_eq!(ratio_interval(&[1.0; 4], &[1.0, 1.0, f64::NAN, 1.0]), None);
        assert_eq!(ratio_interval(&[f64::INFINITY; 4], &[f64::INFINITY; 4]), Some((1.0, 1.0)));
        assert!(ratio_interval(&[1.0; 100_000], &[2.0; 100_000]).is_some());
    }
}
