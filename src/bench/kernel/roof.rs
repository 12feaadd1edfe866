//! What batches reach of the ceilings of their device and of the way to it.

use super::super::record::{
    Axis, Chart, Column, Curve, Drawing, Point, Section, Stroke, Table, figure, thousands,
};
use super::lines::{self, curve, percent, point};
use super::taken::{Taken, TakenCell};

const ABOUT_SHARES: &str = "The roof of a batch is what the device's memory and arithmetic allow: \
    the bytes that it moves at least over the bytes a second of a working set of that size, or its \
    operations over the operations a second, whichever takes longer; both ceilings are measured in \
    the same process. What stays in a cache nearer than the measured one may pass it. The link is \
    the way to a device with a memory of its own.";
const ABOUT_ROOFLINE: &str = "Operations a second over operations a byte, one point for each \
    batch size, from the left to the right as batches grow and share the parameters' bytes. Dashed \
    is the roof under which each batch stands: the ceiling of the memory it lies in, and that of \
    arithmetic where it is measured.";
/// How far the roof goes on to both sides.
const BEYOND: f64 = 2.0;
const GIGA: f64 = 1e9;

/// Shares, and a roofline for each device; nothing where no ceiling is known.
pub(super) fn sections(found: &[Taken]) -> Vec<Section> {
    let is_known = |taken: &&Taken| taken.cells.iter().any(|cell| cell.peak.is_some());
    let charts: Vec<Chart> = found.iter().filter(is_known).map(roofline).collect();
    if charts.is_empty() {
        return Vec::new();
    }
    let rooflines = Section {
        title: String::from("Rooflines"),
        text: vec![String::from(ABOUT_ROOFLINE)],
        charts,
        tables: vec![ceilings(found)],
    };
    vec![shares(found), rooflines]
}

fn shares(found: &[Taken]) -> Section {
    type Share = (&'static str, fn(&TakenCell) -> Option<f64>);
    const SHARES: [Share; 3] = [
        ("of its roof", TakenCell::roof_share),
        ("of its link, one by one", |taken| taken.cell.link_share),
        ("of its link, in flight", |taken| Some(taken.cell.in_flight?.link_share)),
    ];
    let curves = found.iter().flat_map(|taken| {
        SHARES.iter().map(|(what, share)| {
            let point = |cell: &TakenCell| Some(point(cell, share(cell)? * 100.0));
            curve(format!("{}, {what}", taken.name), &taken.cells, point)
        })
    });
    let drawing = Drawing::Curves {
        x: Axis::log("rows of a batch"),
        y: Axis::linear("share of what is possible, %"),
        curves: curves.filter(|curve| !curve.points.is_empty()).collect(),
    };
    let numbers = [
        "rows of a batch",
        "GB/s",
        "of memory",
        "GFLOP/s",
        "of arithmetic",
        "of roof",
        "of link",
        "in flight, of link",
    ];
    let columns = ["device", "clock"].map(Column::words).into_iter();
    let row = |name: &str, taken: &TakenCell| {
        let (cell, achieved) = (&taken.cell, &taken.cell.achieved);
        vec![
            name.to_owned(),
            achieved.clock.to_owned(),
            thousands(cell.batch as u64),
            figure(achieved.bytes_per_s / GIGA),
            percent(achieved.memory_share),
            figure(achieved.flops_per_s / GIGA),
            percent(achieved.flops_share),
            percent(taken.roof_share()),
            percent(cell.link_share),
            percent(cell.in_flight.map(|it| it.link_share)),
        ]
    };
    let title = String::from("Shares of the ceilings, batch size by batch size");
    Section {
        title: String::from("Shares of the ceilings"),
        text: vec![String::from(ABOUT_SHARES)],
        charts: vec![Chart { title, drawing }],
        tables: vec![lines::table(columns.chain(numbers.map(Column::numbers)), found, row)],
    }
}

fn roofline(taken: &Taken) -> Chart {
    let mut cells: Vec<&TakenCell> = taken.cells.iter().collect();
    cells.sort_by(|a, b| a.intensity().total_cmp(&b.intensity()));
    let reached = |taken: &&TakenCell| Point {
        x: taken.intensity(),
        y: taken.cell.achieved.flops_per_s / GIGA,
        range: None,
    };
    let clock = cells.first().map_or("caller", |taken| taken.cell.achieved.clock);
    let curves = vec![
        Curve { name: String::from("roof"), stroke: Stroke::Reference, points: roof(&cells) },
        Curve {
            name: format!("{}, by the {clock}'s clock", taken.name),
            stroke: Stroke::Marked,
            points: cells.iter().map(reached).collect(),
        },
    ];
    Chart {
        title: format!("Roofline of {}", taken.name),
        drawing: Drawing::Curves {
            x: Axis::log("operations a byte, FLOP/B"),
            y: Axis::log("GFLOP/s"),
            curves,
        },
    }
}

/// Each batch's own roof where it stands, and the first one's and the last one's beyond.
fn roof(cells: &[&TakenCell]) -> Vec<Point> {
    let place = |taken: &&TakenCell, x: f64| {
        taken.roof(x).map(|flops_per_s| Point { x, y: flops_per_s / GIGA, range: None })
    };
    let before = cells.first().and_then(|first| place(first, first.intensity() / BEYOND));
    let own = cells.iter().filter_map(|taken| place(taken, taken.intensity()));
    let after = cells.last().map_or_else(Vec::new, |last| {
        let (from, to) = (last.intensity(), last.intensity() * BEYOND);
        let ridge = ridge(last).filter(|ridge| (from..to).contains(ridge));
        ridge.into_iter().chain([to]).filter_map(|x| place(last, x)).collect()
    });
    before.into_iter().chain(own).chain(after).collect()
}

/// From how many operations a byte on the arithmetic is the ceiling.
fn ridge(taken: &TakenCell) -> Option<f64> {
    let peak = taken.peak?;
    Some(taken.cost.flops_ceiling(&peak)? / peak.bytes_per_s)
}

fn ceilings(found: &[Taken]) -> Table {
    let numbers = [
        "rows of a batch",
        "FLOP/B",
        "GFLOP/s",
        "roof, GFLOP/s",
        "memory, GB/s",
        "arithmetic, GFLOP/s",
        "link in, GB/s",
        "link out, GB/s",
    ];
    let columns = [Column::words("device")].into_iter().chain(numbers.map(Column::numbers));
    let giga = |rate: Option<f64>| rate.map_or_else(String::new, |rate| figure(rate / GIGA));
    let row = |name: &str, taken: &TakenCell| {
        let (peak, link) = (taken.peak, taken.peak.and_then(|peak| peak.link));
        vec![
            name.to_owned(),
            thousands(taken.cell.batch as u64),
            figure(taken.intensity()),
            giga(Some(taken.cell.achieved.flops_per_s)),
            giga(taken.roof(taken.intensity())),
            giga(peak.map(|peak| peak.bytes_per_s)),
            giga(peak.and_then(|peak| taken.cost.flops_ceiling(&peak))),
            giga(link.map(|link| link.in_bytes_per_s)),
            giga(link.map(|link| link.out_bytes_per_s)),
        ]
    };
    lines::table(columns, found, row)
}

#[cfg(test)]
mod tests {
    use super::super::super::measure::Measurement;
    use super::super::report::{Achieved, Ceilings, InFlight, KernelCell};
    use super::*;
    use crate::plan::{Cost, Link, Peak, Precision};

    const COST: Cost = Cost {
        flops_per_row: 1000,
        input_bytes_per_row: 100,
        output_bytes_per_row: 20,
        between_bytes_per_row: 0,
        parameter_bytes: 1000,
        precision: Precision::F32,
    };
    const LINK: Link = Link { in_bytes_per_s: 1e10, out_bytes_per_s: 1e10 };

    /// A batch that takes twice what no kernel can beat.
    fn taken(batch: usize, cost: Cost, flops_per_s: Option<f64>) -> TakenCell {
        let peak = Peak { flops_per_s, bytes_per_s: 1e11, link: Some(LINK) };
        let p50_us = 2.0 * cost.roofline(batch, &peak).time_us;
        let measurement = Measurement {
            batches: 1,
            min_us: p50_us,
            p50_us,
            p99_us: p50_us,
            max_us: p50_us,
            rows_per_s: batch as f64 / p50_us * 1e6,
        };
        let cell = KernelCell {
            backend: "cuda",
            device: String::from("a card"),
            software: false,
            batch,
            measurement,
            link_share: Some(0.25),
            in_flight: Some(InFlight { contexts: 3, rows_per_s: 1.0, link_share: 0.75 }),
            achieved: Achieved::of("device", &measurement, &cost, batch, Some(&peak)),
            energy: None,
            ceilings: Some(Ceilings::of(peak)),
            max_abs_error: 0.0,
            agrees: true,
        };
        let (trips, computed) = (Vec::new(), Vec::new());
        TakenCell { cell, cost, peak: Some(peak), trips, computed, in_flight: Vec::new() }
    }

    fn device(cost: Cost, flops_per_s: Option<f64>) -> Taken {
        let cells = [1, 16, 256].map(|batch| taken(batch, cost, flops_per_s)).to_vec();
        Taken { name: String::from("cuda"), cells, ..Taken::default() }
    }

    fn curves(chart: &Chart) -> &[Curve] {
        let Drawing::Curves { curves, .. } = &chart.drawing else { panic!("no curves") };
        curves
    }

    #[test]
    fn every_batch_stands_below_its_roof_by_its_share() {
        for (precision, flops_per_s) in
            [(Precision::F32, Some(6e11)), (Precision::F32, None), (Precision::Int8, Some(6e11))]
        {
            let device = device(Cost { precision, ..COST }, flops_per_s);
            let chart = roofline(&device);
            let [roof, reached] = curves(&chart) else { panic!("{chart:?}") };
            let below = |point: &Point| roof.points.iter().find(|roof| roof.x == point.x).unwrap();
            for point in &reached.points {
                assert!((point.y / below(point).y - 0.5).abs() < 1e-9, "{point:?}");
            }
            assert!(roof.points.is_sorted_by(|a, b| a.x < b.x), "{roof:?}");
            // 6 operations a byte are what arithmetic keeps up with, where it is a ceiling.
            let most = roof.points.iter().map(|point| point.y).fold(0.0, f64::max);
            let is_bound = flops_per_s.is_some() && precision == Precision::F32;
            assert_eq!(most <= 600.0, is_bound, "{roof:?}");
        }
    }

    #[test]
    fn a_ridge_beyond_the_last_batch_is_drawn() {
        let last = taken(256, COST, Some(1e12));
        let roof = roof(&[&last]);
        let xs: Vec<f64> = roof.iter().map(|point| point.x).collect();
        let own = last.intensity();
        assert_eq!(xs, [own / 2.0, own, 10.0, own * 2.0]);
        assert_eq!(roof[2..].iter().map(|point| point.y).collect::<Vec<_>>(), [1000.0, 1000.0]);
    }

    #[test]
    fn shares_are_percent_and_what_nobody_has_is_no_curve_and_no_column() {
        let mut found = [device(COST, None)];
        let section = shares(&found);
        let drawn = curves(&section.charts[0]);
        let ys: Vec<f64> = drawn.iter().map(|curve| curve.points[0].y).collect();
        assert_eq!(ys, [50.0, 25.0, 75.0]);
        assert_eq!(section.tables[0].columns.len(), 9, "all but arithmetic's");
        assert_eq!(section.tables[0].rows[0][7], "25.0 %");
        found[0].cells.iter_mut().for_each(|taken| taken.cell.in_flight = None);
        assert_eq!(curves(&shares(&found).charts[0]).len(), 2);
        found[0].cells.iter_mut().for_each(|taken| taken.peak = None);
        assert!(sections(&found).is_empty());
    }
}
