//! The part of a record that tells of energy, where it can be read.

use super::energy::Energy;
use super::record::{
    Axis, Chart, Column, Curve, Drawing, Point, Section, Stroke, Table, figure, thousands,
};

const ABOUT: &str = "What the device's counter moved by over what was timed: for processors that \
    of all packages, for cards that of the whole card. Other programs on them count, too, and what \
    they take when idle.";

/// What a device took.
#[derive(Debug)]
pub(super) struct Used<'a> {
    /// How tables and keys name it.
    pub(super) name: &'a str,
    /// By batch size, where it was told.
    pub(super) cells: Vec<(usize, Energy)>,
    /// Why nothing is told, where nothing is.
    pub(super) missing: Option<String>,
}

/// Energy over batch sizes, and why it is missing where it is.
pub(super) fn section(all: &[Used<'_>]) -> Section {
    let missing = all.iter().filter_map(|used| {
        let reason = used.missing.as_ref()?;
        Some(format!("{}: not told. {reason}.", used.name))
    });
    let text = [String::from(ABOUT)].into_iter().chain(missing).collect();
    let title = String::from("Energy");
    if all.iter().all(|used| used.cells.is_empty()) {
        return Section { title, text, ..Section::default() };
    }
    let row_uj = Axis::log("energy of a row, uJ");
    let charts = vec![
        chart(all, "Energy of a row", row_uj, |energy| energy.row_j * 1e6),
        chart(all, "Power", Axis::linear("power, W"), |energy| energy.power_w),
    ];
    Section { title, text, charts, tables: vec![table(all)] }
}

fn table(all: &[Used<'_>]) -> Table {
    let words = ["device", "covers"].map(Column::words);
    let numbers = ["rows of a batch", "energy of a row, uJ", "power, W"].map(Column::numbers);
    let rows = all.iter().flat_map(|used| {
        used.cells.iter().map(|(batch, energy)| {
            vec![
                used.name.to_owned(),
                energy.covers.to_owned(),
                thousands(*batch as u64),
                figure(energy.row_j * 1e6),
                figure(energy.power_w),
            ]
        })
    });
    Table { columns: words.into_iter().chain(numbers).collect(), rows: rows.collect() }
}

fn chart(all: &[Used<'_>], title: &str, y: Axis, value: fn(&Energy) -> f64) -> Chart {
    let told = all.iter().filter(|used| !used.cells.is_empty());
    let curves = told.map(|used| {
        let point = |(batch, energy): &(usize, Energy)| Point {
            x: *batch as f64,
            y: value(energy),
            range: None,
        };
        let points = used.cells.iter().map(point).collect();
        Curve { name: used.name.to_owned(), stroke: Stroke::Marked, points }
    });
    let x = Axis::log("rows of a batch");
    let drawing = Drawing::Curves { x, y, curves: curves.collect() };
    Chart { title: title.to_owned(), drawing }
}
