//! Why batches go where they go, for people.

use std::fmt;

use super::super::backend::BackendKind;
use super::health::BackendHealth;

/// What batches cost on each backend, and which idle backend a batch of each size goes to; prints
/// itself as a table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The backends, in the pipeline's order.
    pub backends: Vec<BackendEstimate>,
    /// One entry per batch size, ascending.
    pub choices: Vec<Choice>,
}

/// What batches are expected to cost on one backend.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BackendEstimate {
    /// The device's name.
    pub name: String,
    /// The family.
    pub backend: BackendKind,
    /// How it is.
    pub health: BackendHealth,
    /// Batch sizes in rows, and nanoseconds from submission to scores; empty before the backend was
    /// measured.
    pub points: Vec<(usize, u64)>,
}

/// Where batches of one size go while every backend is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// Rows in the batch.
    pub rows: usize,
    /// The index in [`Explanation::backends`] of the cheapest that is ready, the first on ties;
    /// `None` where none is.
    pub backend: Option<usize>,
}

impl BackendEstimate {
    /// The estimates of one backend; `points` of which only sizes up to `rows_max` count.
    pub(crate) fn new(
        name: &str,
        backend: BackendKind,
        health: BackendHealth,
        points: &[(usize, u64)],
        rows_max: usize,
    ) -> BackendEstimate {
        let points = points.iter().copied().filter(|(rows, _)| *rows <= rows_max).collect();
        BackendEstimate { name: name.to_owned(), backend, health, points }
    }

    /// The nanoseconds at one of the sizes, where it was measured.
    pub fn ns(&self, rows: usize) -> Option<u64> {
        self.points.iter().find(|point| point.0 == rows).map(|point| point.1)
    }
}

impl Explanation {
    /// The choices that follow from the estimates, at every size that any of them has.
    pub(crate) fn new(backends: Vec<BackendEstimate>) -> Explanation {
        let points = backends.iter().flat_map(|backend| &backend.points);
        let mut sizes: Vec<usize> = points.map(|point| point.0).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let choice = |rows| Choice { rows, backend: cheapest(&backends, rows) };
        let choices = sizes.into_iter().map(choice).collect();
        Explanation { backends, choices }
    }

    /// The batch sizes from which on another backend is the cheapest than at the size before.
    pub fn crossovers(&self) -> Vec<usize> {
        let changes = |pair: &&[Choice]| pair[0].backend != pair[1].backend;
        self.choices.windows(2).filter(changes).map(|pair| pair[1].rows).collect()
    }

    /// The columns' names: the backend's kind, and its index where there are several of a kind.
    fn labels(&self) -> Vec<String> {
        let label = |(index, backend): (usize, &BackendEstimate)| {
            let kind = backend.backend;
            let of_a_kind = self.backends.iter().filter(|other| other.backend == kind).count();
            match of_a_kind {
                1 => kind.name().to_owned(),
                _ => format!("{}#{index}", kind.name()),
            }
        };
        self.backends.iter().enumerate().map(label).collect()
    }
}

fn cheapest(backends: &[BackendEstimate], rows: usize) -> Option<usize> {
    let is_ready = |index: &usize| backends[*index].health == BackendHealth::Ready;
    let cost = |index: usize| backends[index].ns(rows).map(|ns| (ns, index));
    (0..backends.len()).filter(is_ready).filter_map(cost).min().map(|(_, index)| index)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.labels();
        for (label, backend) in labels.iter().zip(&self.backends) {
            writeln!(f, "{label}: {}, {}", backend.name, backend.health.name())?;
        }
        write!(f, "{:>6}", "rows")?;
        for label in &labels {
            write!(f, " | {:>10}", format!("{label} us"))?;
        }
        writeln!(f, " | chosen")?;
        for Choice { rows, backend } in &self.choices {
            write!(f, "{rows:>6}")?;
            for backend in &self.backends {
                let us = backend.ns(*rows).map(|ns| format!("{:.1}", ns as f64 / 1e3));
                write!(f, " | {:>10}", us.as_deref().unwrap_or("-"))?;
            }
            writeln!(f, " | {}", backend.map_or("-", |index| labels[index].as_str()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::cost::CostTable;
    use super::*;

    fn backend(
        kind: BackendKind,
        health: BackendHealth,
        points: &[(usize, f64)],
    ) -> BackendEstimate {
        let points = CostTable::from_points(points).points();
        BackendEstimate::new(&format!("Some {}", kind.name()), kind, health, &points, 8)
    }

    fn cpu_and(gpu: BackendHealth) -> Explanation {
        let cpu = backend(BackendKind::Cpu, BackendHealth::Ready, &[(1, 10_000.0)]);
        let level = [(1, 35_000.0), (32_768, 35_000.0)];
        Explanation::new(vec![cpu, backend(BackendKind::Wgpu, gpu, &level)])
    }

    #[test]
    fn the_cheapest_changes_where_the_lines_cross() {
        let got = cpu_and(BackendHealth::Ready);
        let chosen: Vec<_> = got.choices.iter().map(|choice| choice.backend.unwrap()).collect();
        assert_eq!(chosen, [0, 0, 1, 1]);
        assert_eq!(got.crossovers(), [4]);
    }

    #[test]
    fn who_is_not_ready_is_not_chosen() {
        assert_eq!(cpu_and(BackendHealth::Lost).crossovers(), [0; 0]);
        let lost = backend(BackendKind::Cpu, BackendHealth::Lost, &[(1, 1.0)]);
        let none = Explanation::new(vec![lost]);
        assert!(none.choices.iter().all(|choice| choice.backend.is_none()));
        assert!(none.to_string().ends_with("     8 |        0.0 | -\n"), "{none}");
    }

    #[test]
    fn an_explanation_prints_as_a_table() {
        let expected = "\
cpu: Some cpu, ready
wgpu: Some wgpu, ready
  rows |     cpu us |    wgpu us | chosen
     1 |       10.0 |       35.0 | cpu
     2 |       20.0 |       35.0 | cpu
     4 |       40.0 |       35.0 | wgpu
     8 |       80.0 |       35.0 | wgpu
";
        assert_eq!(cpu_and(BackendHealth::Ready).to_string(), expected);
    }

    #[test]
    fn two_of_a_kind_are_told_apart_and_the_unmeasured_has_no_figures() {
        let ready = backend(BackendKind::Wgpu, BackendHealth::Ready, &[(1, 5000.0)]);
        let mut joining = ready.clone();
        (joining.health, joining.points) = (BackendHealth::Joining, Vec::new());
        let text = Explanation::new(vec![ready, joining]).to_string();
        assert!(text.contains("wgpu#1: Some wgpu, joining\n"), "{text}");
        assert!(text.contains("     1 |        5.0 |          - | wgpu#0\n"), "{text}");
    }
}
