//! Curves and tables with an entry for each batch size.

use super::super::record::{Column, Curve, Point, Stroke, Table};
use super::taken::{Taken, TakenCell};

/// One point for each batch size that has one.
pub(super) fn curve(
    name: String,
    cells: &[TakenCell],
    of: impl FnMut(&TakenCell) -> Option<Point>,
) -> Curve {
    Curve { name, stroke: Stroke::Marked, points: cells.iter().filter_map(of).collect() }
}

/// That batch size's point.
pub(super) fn point(taken: &TakenCell, y: f64) -> Point {
    Point { x: taken.rows(), y, range: None }
}

/// A table with one line for each device and batch size, less the columns that nothing is in.
pub(super) fn table(
    columns: impl IntoIterator<Item = Column>,
    found: &[Taken],
    row: impl Fn(&str, &TakenCell) -> Vec<String>,
) -> Table {
    let of = |taken: &Taken| taken.cells.iter().map(|cell| row(&taken.name, cell)).collect();
    let rows: Vec<_> = found.iter().flat_map(|taken| -> Vec<_> { of(taken) }).collect();
    let columns: Vec<_> = columns.into_iter().collect();
    let filled = |at: usize| rows.iter().any(|row| row.get(at).is_some_and(|it| !it.is_empty()));
    let kept: Vec<usize> = (0..columns.len()).filter(|at| filled(*at)).collect();
    Table {
        columns: kept.iter().map(|at| columns[*at].clone()).collect(),
        rows: rows.iter().map(|row| kept.iter().map(|at| row[*at].clone()).collect()).collect(),
    }
}

/// A share, where there is one.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(String::new, |share| format!("{:.1} %", share * 100.0))
}
