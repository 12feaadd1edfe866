//! The energy that round trips took, where it can be read.

use super::super::record::{Axis, Chart, Column, Drawing, Section, figure, thousands};
use super::lines::{self, curve, point};
use super::report::Energy;
use super::taken::{Taken, TakenCell};

const ABOUT: &str = "What the device's counter moved by over the round trips: for processors that \
    of all packages, for cards that of the whole card. Other programs on them count, too, and what \
    they take when idle.";

/// Energy over batch sizes, and why it is missing where it is.
pub(super) fn section(found: &[Taken]) -> Section {
    let missing = found.iter().filter_map(|taken| {
        let reason = taken.energy.as_ref()?;
        Some(format!("{}: not told. {reason}.", taken.name))
    });
    let text = [String::from(ABOUT)].into_iter().chain(missing).collect();
    let title = String::from("Energy");
    if found.iter().flat_map(|taken| &taken.cells).all(|taken| taken.cell.energy.is_none()) {
        return Section { title, text, ..Section::default() };
    }
    let columns = ["rows of a batch", "energy of a row, uJ", "power, W"].map(Column::numbers);
    let words = ["device", "covers"].map(Column::words);
    let row = |name: &str, taken: &TakenCell| {
        let told = |pick: fn(Energy) -> String| taken.cell.energy.map_or_else(String::new, pick);
        vec![
            name.to_owned(),
            told(|energy| energy.covers.to_owned()),
            thousands(taken.cell.batch as u64),
            told(|energy| figure(energy.row_j * 1e6)),
            told(|energy| figure(energy.power_w)),
        ]
    };
    Section {
        title,
        text,
        charts: vec![
            chart(found, "Energy of a row", Axis::log("energy of a row, uJ"), |energy| {
                energy.row_j * 1e6
            }),
            chart(found, "Power", Axis::linear("power, W"), |energy| energy.power_w),
        ],
        tables: vec![lines::table(words.into_iter().chain(columns), found, row)],
    }
}

fn chart(found: &[Taken], title: &str, y: Axis, value: fn(Energy) -> f64) -> Chart {
    let curves = found.iter().map(|taken| {
        curve(taken.name.clone(), &taken.cells, |cell| Some(point(cell, value(cell.cell.energy?))))
    });
    let x = Axis::log("rows of a batch");
    let curves = curves.filter(|curve| !curve.points.is_empty()).collect();
    Chart { title: title.to_owned(), drawing: Drawing::Curves { x, y, curves } }
}
