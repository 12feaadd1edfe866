//! Who is faster than whom, by how much, and from which batch size on.

use super::super::record::{ratio_interval, thousands};
use super::super::report::{Crossover, Report, SpeedRatio};
use super::subjects::Subject;
use crate::backend::BackendKind;

/// A device's median times over batch sizes.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) key: String,
    /// By batch size, ascending.
    pub(super) medians: Vec<Median>,
}

/// The median times at one batch size, in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Median {
    pub(super) batch: usize,
    /// Of all rounds together.
    pub(super) p50_us: f64,
    /// Of each round.
    pub(super) rounds: Vec<f64>,
}

impl Line {
    /// What was measured of a subject where its scores are right: how soon wrong ones come is of no
    /// use to anyone.
    pub(super) fn of(subject: &Subject) -> Line {
        let right = subject.taken.iter().filter(|taken| taken.agreement.agrees);
        let median = right.map(|taken| Median {
            batch: taken.batch,
            p50_us: taken.measurement().p50_us,
            rounds: taken.by_round().map(|round| round.p50_us).collect(),
        });
        let mut medians: Vec<Median> = median.collect();
        medians.sort_by_key(|median| median.batch);
        Line { key: subject.key.clone(), medians }
    }

    /// Both lines where both were measured, by batch size.
    fn beside<'a>(&'a self, other: &'a Line) -> Vec<(&'a Median, &'a Median)> {
        let same = |mine: &'a Median| {
            let theirs = other.medians.iter().find(|theirs| theirs.batch == mine.batch);
            theirs.map(|theirs| (mine, theirs))
        };
        self.medians.iter().filter_map(same).collect()
    }
}

/// Every line beside one of them: the processor's where it is there, or else the first.
pub(super) fn ratios(lines: &[Line]) -> Vec<SpeedRatio> {
    let measured = |line: &&Line| !line.medians.is_empty();
    let cpu = lines.iter().filter(measured).find(|line| line.key == BackendKind::Cpu.name());
    let Some(to) = cpu.or(lines.iter().find(measured)) else { return Vec::new() };
    let others = lines.iter().filter(|line| line.key != to.key);
    let ratios = others.flat_map(|of| {
        of.beside(to).into_iter().map(|(mine, theirs)| SpeedRatio {
            batch: mine.batch,
            of: of.key.clone(),
            to: to.key.clone(),
            ratio: middle(&theirs.rounds) / middle(&mine.rounds),
            interval: ratio_interval(&mine.rounds, &theirs.rounds),
        })
    });
    ratios.collect()
}

/// The median of a few rounds, of an even number the mean of the two in the middle.
fn middle(rounds: &[f64]) -> f64 {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (at(sorted.len().saturating_sub(1) / 2) + at(sorted.len() / 2)) / 2.0
}

/// Where the lines cross, by batch size. Two that cross are neighbours in speed there.
pub(super) fn crossovers(lines: &[Line]) -> Vec<Crossover> {
    let mut found = Vec::new();
    for (index, first) in lines.iter().enumerate() {
        for second in &lines[index + 1..] {
            found.extend(between(first, second));
        }
    }
    found.sort_by(|a, b| a.rows.total_cmp(&b.rows));
    found
}

fn between(first: &Line, second: &Line) -> Vec<Crossover> {
    let mut found = Vec::new();
    // The last size at which one of the two was faster.
    let mut before: Option<(&Median, &Median)> = None;
    for pair in first.beside(second) {
        // How much slower the first is, as a logarithm.
        let gap = |(first, second): (&Median, &Median)| (first.p50_us / second.p50_us).ln();
        if let Some(known) = before.filter(|known| gap(*known) * gap(pair) < 0.0) {
            let (faster, slower) = if gap(pair) > 0.0 { (second, first) } else { (first, second) };
            let share = gap(known) / (gap(known) - gap(pair));
            found.push(Crossover {
                rows: between_on_log_axis(known.0.batch, pair.0.batch, share),
                faster: faster.key.clone(),
                slower: slower.key.clone(),
                between: (known.0.batch, pair.0.batch),
                clear: is_clear(known) && is_clear(pair),
            });
        }
        if gap(pair) != 0.0 {
            before = Some(pair);
        }
    }
    found
}

/// What lies this share of the way from one batch size to another.
fn between_on_log_axis(low: usize, high: usize, share: f64) -> f64 {
    let [low, high] = [low, high].map(|batch| (batch as f64).ln());
    (low + (high - low) * share).exp()
}

/// Whether the rounds tell who is faster.
fn is_clear((first, second): (&Median, &Median)) -> bool {
    let interval = ratio_interval(&first.rounds, &second.rounds);
    interval.is_some_and(|(low, high)| low > 1.0 || high < 1.0)
}

/// Who is fastest, and from where on another is, a sentence each.
pub(super) fn told(report: &Report) -> Vec<String> {
    let fastest: Vec<_> =
        report.batches().into_iter().filter_map(|batch| report.fastest(batch)).collect();
    let Some(first) = fastest.first() else { return Vec::new() };
    let key = &first.key;
    if report.results.iter().all(|cell| cell.key == *key) {
        return vec![format!("{key} is the only device that was measured.")];
    }
    let mut told = Vec::new();
    if fastest.iter().all(|cell| cell.key == *key) {
        told.push(format!("{key} is the fastest at every batch size measured."));
    }
    told.extend(report.crossovers.iter().map(|crossover| {
        let Crossover { faster, slower, clear, .. } = crossover;
        let from = about(crossover.rows);
        match clear {
            true => format!("From about {from} rows on, {faster} is faster than {slower}."),
            false => format!(
                "From about {from} rows on, {faster} seems to be faster than {slower}, but its \
                 lead is within the spread of the rounds."
            ),
        }
    }));
    told
}

/// The next whole number, above 100 to two digits.
pub(super) fn about(rows: f64) -> String {
    let digits = (rows.log10().floor() as i32).max(1);
    let step = 10_f64.powi(digits - 1);
    // What is a whole number but for rounding is that number.
    thousands(((rows / step - 1e-9).ceil() * step) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five rounds, which lie apart by one percent.
    fn line(key: &str, medians: &[(usize, f64)]) -> Line {
        let median = |(batch, us): &(usize, f64)| Median {
            batch: *batch,
            p50_us: *us,
            rounds: [0.99, 0.995, 1.0, 1.005, 1.01].map(|share| us * share).to_vec(),
        };
        Line { key: key.to_owned(), medians: medians.iter().map(median).collect() }
    }

    fn near(got: f64, expected: f64) -> bool {
        (got / expected - 1.0).abs() < 1e-9
    }

    #[test]
    fn lines_that_are_straight_on_log_axes_cross_where_they_do() {
        // t = rows and t = 4 * rows^0.5 meet at 16.
        let sizes = [1, 8, 64, 256];
        let cpu = line("cpu", &sizes.map(|rows| (rows, rows as f64)));
        let gpu = line("wgpu", &sizes.map(|rows| (rows, 4.0 * (rows as f64).sqrt())));
        for lines in [[cpu.clone(), gpu.clone()], [gpu, cpu]] {
            let found = crossovers(&lines);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(near(found[0].rows, 16.0), "{found:?}");
            let order = (&*found[0].faster, &*found[0].slower, found[0].between);
            assert_eq!((order, found[0].clear), (("wgpu", "cpu", (8, 64)), true));
        }
    }

    #[test]
    fn every_pair_of_neighbours_crosses_by_itself() {
        let lines = [
            line("cuda", &[(1, 9.0), (100, 9.0), (10_000, 9.0)]),
            line("wgpu", &[(1, 8.0), (100, 10.0), (10_000, 80.0)]),
            line("cpu", &[(1, 1.0), (100, 20.0), (10_000, 2000.0)]),
        ];
        let found = crossovers(&lines);
        let order: Vec<_> = found.iter().map(|it| (&*it.faster, &*it.slower)).collect();
        assert_eq!(order, [("cuda", "wgpu"), ("cuda", "cpu"), ("wgpu", "cpu")], "{found:?}");
        assert!(found.is_sorted_by(|a, b| a.rows <= b.rows));
        // Where one was not measured, nothing is said.
        let short = line("cpu", &[(1, 1.0)]);
        assert!(crossovers(&[lines[0].clone(), short]).is_empty());
    }

    #[test]
    fn a_tie_is_no_crossing_until_another_leads() {
        let cpu = line("cpu", &[(1, 1.0), (2, 2.0), (4, 4.0), (8, 8.0)]);
        let level = |last: f64| line("wgpu", &[(1, 2.0), (2, 2.0), (4, 4.0), (8, last)]);
        assert!(crossovers(&[cpu.clone(), level(8.0)]).is_empty());
        assert!(crossovers(&[cpu.clone(), level(9.0)]).is_empty());
        let found = crossovers(&[cpu, level(4.0)]);
        assert_eq!((found.len(), found[0].between), (1, (1, 8)));
    }

    #[test]
    fn a_lead_within_the_spread_of_the_rounds_is_not_clear() {
        let cpu = line("cpu", &[(1, 1.0), (10, 10.0)]);
        let gpu = line("wgpu", &[(1, 1.005), (10, 5.0)]);
        let found = crossovers(&[cpu.clone(), gpu]);
        assert_eq!((found.len(), found[0].clear), (1, false));
        // Three rounds of each are too few to tell.
        let [few, other] = [cpu, line("wgpu", &[(1, 2.0), (10, 5.0)])].map(|mut line| {
            line.medians.iter_mut().for_each(|median| median.rounds.truncate(3));
            line
        });
        assert!(!crossovers(&[few.clone(), other.clone()])[0].clear);
        assert_eq!(ratios(&[few, other])[0].interval, None);
    }

    #[test]
    fn ratios_are_to_the_processor_or_else_to_the_first() {
        let lines = [line("cuda", &[(1, 8.0), (64, 2.0)]), line("cpu", &[(1, 2.0), (64, 8.0)])];
        let found = ratios(&lines);
        let said: Vec<_> = found.iter().map(|it| (&*it.of, &*it.to, it.batch)).collect();
        assert_eq!(said, [("cuda", "cpu", 1), ("cuda", "cpu", 64)]);
        assert!(near(found[0].ratio, 0.25) && near(found[1].ratio, 4.0));
        for it in &found {
            let (low, high) = it.interval.unwrap();
            assert!(low < it.ratio && it.ratio < high, "{it:?}");
            assert!(low > it.ratio * 0.98 && high < it.ratio * 1.02, "{it:?}");
        }
        let others = [lines[0].clone(), line("wgpu", &[(64, 1.0)])];
        assert_eq!((&*ratios(&others)[0].of, &*ratios(&others)[0].to), ("wgpu", "cuda"));
        assert!(ratios(&lines[..1]).is_empty() && ratios(&[]).is_empty());
        // One that failed before it was measured is nothing to stand beside.
        let none = [line("cpu", &[]), lines[0].clone(), line("wgpu", &[(1, 1.0)])];
        assert_eq!(ratios(&none)[0].to, "cuda");
    }

    #[test]
    fn whole_numbers_of_rows_are_told() {
        let told = [1.0, 1.2, 9.5, 36.1, 37.0, 101.0, 4444.0].map(about);
        assert_eq!(told, ["1", "2", "10", "37", "37", "110", "4,500"]);
    }
}
