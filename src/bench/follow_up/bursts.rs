//! Bursts above the rate that can be sustained, and how long they are felt.

use std::ops::Range;
use std::time::Duration;

use super::super::error::BenchError;
use super::super::lab::{Lab, Probes, Runs, SEARCH, scaled};
use super::super::load::{Arrivals, Durations, Schedule};
use super::super::record::{
    Axis, Better, Chart, Column, Curve, Drawing, Point, Section, Stroke, Table, figure, merged,
    thousands,
};

/// Steps a backend has.
pub(super) const STEPS: usize = 2;
/// Parts of a period that latency is told by.
const SLICES: usize = 50;
/// A burst is over where the median is back within this factor of that of calm times.
const CALM_FACTOR: f64 = 2.0;

/// A base rate and bursts above it, as shares of the highest rate that is sustained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// The share between bursts.
    pub base_share: f64,
    /// The share in a burst.
    pub burst_share: f64,
    /// How long the base is kept before each burst.
    pub base: Duration,
    /// How long a burst lasts.
    pub burst: Duration,
    /// Bursts that are counted. One more comes first.
    pub counted: u32,
}

impl Default for Bursts {
    /// The study's: 110 % for 30 s over 70 % for 120 s, and a quarter that is not counted.
    fn default() -> Bursts {
        Bursts {
            base_share: 0.7,
            burst_share: 1.1,
            base: Duration::from_secs(120),
            burst: Duration::from_secs(30),
            counted: 3,
        }
    }
}

impl Bursts {
    /// The same with times so many times as long.
    pub(super) fn scaled(self, factor: f64) -> Bursts {
        let (base, burst) = (scaled(self.base, factor), scaled(self.burst, factor));
        Bursts { base, burst, ..self }
    }

    fn period(&self) -> Duration {
        self.base + self.burst
    }

    fn slice_s(&self) -> f64 {
        self.period().as_secs_f64() / SLICES as f64
    }

    /// Slices of the base that follows a burst, of the calm before the next, and of the burst.
    fn phases(&self) -> [(&'static str, Range<usize>); 3] {
        let base_share = self.base.as_secs_f64() / self.period().as_secs_f64().max(1e-9);
        let base = ((SLICES as f64 * base_share).round() as usize).clamp(2, SLICES - 1);
        [("after a burst", 0..base / 2), ("calm", base / 2..base), ("burst", base..SLICES)]
    }

    fn schedule(&self, sustained_per_s: f64) -> Schedule {
        let arrivals = Arrivals::Bursts {
            base_per_s: sustained_per_s * self.base_share,
            burst_per_s: sustained_per_s * self.burst_share,
            base: self.base,
            burst: self.burst,
        };
        let period = self.period();
        Schedule::of(arrivals, period * self.counted).after(period).sliced(period, SLICES)
    }

    /// Within which time after a burst the median is calm again, in seconds: the end of the first
    /// slice that is, or of the base where none is.
    fn recovery_s(&self, slices: &[Durations]) -> f64 {
        let [after, calm, _] = self.phases();
        let bound_us = CALM_FACTOR * merged(&slices[calm.1.clone()]).percentiles().p50_us;
        let mut base = slices[after.1.start..calm.1.end].iter();
        let is_calm = |slice: &Durations| slice.percentiles().p50_us <= bound_us;
        let felt = base.position(is_calm).map_or(calm.1.end, |slice| slice + 1);
        felt as f64 * self.slice_s()
    }
}

/// What was found on a backend.
struct Found {
    name: String,
    sustained_per_s: f64,
    slices: Vec<Durations>,
}

/// Searches for the rate that each subject sustains, bursts above it, and says in a sentence each
/// what came of it.
pub(super) fn run(lab: &mut Lab<'_>, bursts: &Bursts) -> Result<Vec<String>, BenchError> {
    let (mut all, mut said) = (Vec::new(), Vec::new());
    for subject in 0..lab.subjects.len() {
        let name = lab.subjects[subject].name.clone();
        lab.step(&format!("{name}, the rate that is sustained"));
        let sustained = Probes::default().highest(lab, subject, SEARCH, |_| true)?;
        lab.step(&format!("{name}, bursts"));
        match sustained {
            Some(rate) => {
                let runs = Runs::of(lab, (subject, 1), &bursts.schedule(rate), 1)?;
                report(lab, bursts, (&name, rate), &runs);
                let slices = runs.all.kept.slices;
                let found = Found { name, sustained_per_s: rate, slices };
                said.push(in_short(bursts, &found));
                all.push(found);
            }
            None => said.push(format!("{name}: no rate was sustained, so there were no bursts.")),
        }
    }
    lab.findings.section(section(bursts, &said, &all));
    Ok(said)
}

fn report(lab: &mut Lab<'_>, bursts: &Bursts, (name, sustained_per_s): (&str, f64), runs: &Runs) {
    let key = format!("bursts.{name}");
    let rate = format!("{key}.sustained_per_s");
    lab.findings.figure(rate, "rows/s", Better::Higher, vec![sustained_per_s]);
    let each = || runs.outcomes.iter().map(|outcome| &outcome.kept.slices);
    for (phase, range) in bursts.phases() {
        let times: Vec<_> = each().map(|slices| merged(&slices[range.clone()])).collect();
        let phase = phase.replace(' ', "_");
        lab.findings.times(&format!("{key}.{phase}.from_generation"), &times);
    }
    let recovery = each().map(|slices| bursts.recovery_s(slices)).collect();
    lab.findings.figure(format!("{key}.recovery_s"), "s", Better::Lower, recovery);
}

fn in_short(bursts: &Bursts, found: &Found) -> String {
    let [_, calm, burst] = bursts.phases();
    let p99 = |range| figure(merged(&found.slices[range]).percentiles().p99_us);
    format!(
        "{}: {} rows/s sustained; p99 {} us in calm and {} us in a burst, calm again within {} s.",
        found.name,
        thousands(found.sustained_per_s as u64),
        p99(calm.1),
        p99(burst.1),
        figure(bursts.recovery_s(&found.slices)),
    )
}

fn section(bursts: &Bursts, said: &[String], all: &[Found]) -> Section {
    let percent = |share: f64| figure(share * 100.0);
    let seconds = |time: Duration| figure(time.as_secs_f64());
    let mut text = vec![format!(
        "Open loop, one row a request, parallelism 1: {} % of the highest rate that is sustained \
         for {} s, then {} % for {} s, {} times, and once before that is not counted. What finds \
         no room waits, and its time counts from when it was due. It is calm again once the median \
         is within {CALM_FACTOR} times that of the second half of the base. Where the search was \
         held up by the machine, its rate is too low and a burst may be no overload.",
        percent(bursts.base_share),
        seconds(bursts.base),
        percent(bursts.burst_share),
        seconds(bursts.burst),
        bursts.counted,
    )];
    text.extend(said.iter().cloned());
    let curves: Vec<_> = all.iter().flat_map(|found| curves(bursts, found)).collect();
    let drawing = Drawing::Curves { x: time_axis(bursts), y: Axis::log("latency, us"), curves };
    let title = String::from("Latency before, in, and after a burst");
    let charts = if all.is_empty() { Vec::new() } else { vec![Chart { title, drawing }] };
    let tables = if all.is_empty() { Vec::new() } else { vec![table(bursts, all)] };
    Section { title: String::from("Bursts"), text, charts, tables }
}

fn time_axis(bursts: &Bursts) -> Axis {
    let [_, calm, burst] = bursts.phases();
    let at = |slices: usize| figure(slices as f64 * bursts.slice_s());
    let (from, to) = (at(calm.1.len()), at(calm.1.len() + burst.1.len()));
    Axis::linear(format!("when a row was due, s; the burst is from {from} to {to}"))
}

/// From the calm over the burst to what comes after.
fn curves(bursts: &Bursts, found: &Found) -> Vec<Curve> {
    let [after, calm, burst] = bursts.phases();
    let order = calm.1.chain(burst.1).chain(after.1);
    let slices: Vec<_> = order.map(|slice| found.slices[slice].percentiles()).collect();
    [("p50", 0), ("p99", 1)]
        .map(|(title, pick)| {
            let point = |(at, times): (usize, &super::super::load::Percentiles)| Point {
                x: (at as f64 + 0.5) * bursts.slice_s(),
                y: [times.p50_us, times.p99_us][pick],
                range: None,
            };
            Curve {
                name: format!("{}, {title}", found.name),
                stroke: Stroke::Marked,
                points: slices.iter().enumerate().map(point).collect(),
            }
        })
        .to_vec()
}

fn table(bursts: &Bursts, all: &[Found]) -> Table {
    let numbers = ["offered, rows/s", "rows", "p50, us", "p99, us", "p99.9, us", "max, us"];
    let words = ["backend", "when"].map(Column::words);
    let columns = words.into_iter().chain(numbers.map(Column::numbers)).collect();
    let rows = all.iter().flat_map(|found| {
        bursts.phases().map(|(phase, range)| {
            let share = if phase == "burst" { bursts.burst_share } else { bursts.base_share };
            let times = merged(&found.slices[range]);
            let told = times.percentiles();
            let counts = [(found.sustained_per_s * share) as u64, times.count()].map(thousands);
            let times = [told.p50_us, told.p99_us, told.p999_us, told.max_us].map(figure);
            let of = [found.name.clone(), phase.to_owned()];
            of.into_iter().chain(counts).chain(times).collect()
        })
    });
    Table { columns, rows: rows.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slices with a hundred equal times each.
    fn slices(us: impl Fn(usize) -> u64) -> Vec<Durations> {
        let slice = |at| {
            let mut times = Durations::default();
            (0..100).for_each(|_| times.add_ns(us(at) * 1_000));
            times
        };
        (0..SLICES).map(slice).collect()
    }

    #[test]
    fn a_burst_is_felt_until_the_median_is_calm_again() {
        // 150 s in 50 slices: 20 after a burst, 20 calm, 10 of the burst.
        let bursts = Bursts::default();
        let ranges = bursts.phases().map(|(_, range)| range);
        assert_eq!(ranges, [0..20, 20..40, 40..50]);
        let felt = |us: fn(usize) -> u64| bursts.recovery_s(&slices(us));
        assert_eq!(felt(|_| 10), 3.0);
        assert_eq!(felt(|at| if at >= 40 { 900 } else { 10 }), 3.0);
        assert_eq!(felt(|at| if at < 7 { 21 } else { 10 }), 24.0);
        assert_eq!(felt(|at| if at < 7 { 19 } else { 10 }), 3.0);
        // Calm times are those of the second half, however long the first was felt.
        assert_eq!(felt(|at| if at < 20 { 500 } else { 10 }), 63.0);
    }

    #[test]
    fn curves_begin_in_the_calm_and_go_through_the_burst() {
        let slices = slices(|at| [30, 10, 90][usize::from(at >= 20) + usize::from(at >= 40)]);
        let found = Found { name: String::from("cpu"), sustained_per_s: 1e6, slices };
        let bursts = Bursts::default();
        let [p50, _] = &curves(&bursts, &found)[..] else { panic!() };
        let y = |from_s: f64, to_s: f64| {
            let inside = p50.points.iter().filter(|point| (from_s..to_s).contains(&point.x));
            inside.map(|point| point.y.round() as u64).collect::<Vec<_>>()
        };
        assert_eq!((y(0.0, 60.0), y(60.0, 90.0)), (vec![10; 20], vec![90; 10]));
        assert_eq!(y(90.0, 150.0), [30; 20]);
        assert!(time_axis(&bursts).label.contains("from 60.0 to 90.0"));
        let table = table(&bursts, &[found]);
        assert_eq!(table.rows[0][2..4], ["700,000", "2,000"]);
        assert_eq!(table.rows[2][1..4], ["burst", "1,100,000", "1,000"]);
    }
}
