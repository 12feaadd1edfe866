//! What was achieved beside what devices can do at most.

use super::super::record::{
    Axis, Chart, Column, Curve, Drawing, Point, Section, Stroke, Table, figure, thousands,
};
use super::super::report::{Cell, Report, RoofPoint};
use super::subjects::{Subject, Taken};
use crate::plan::{Cost, Peak};

/// How much further than what it stands beside a roof is drawn, as a factor.
const OVERHANG: f64 = 2.0;
const GIGA: f64 = 1e9;

const ABOUT: &str = "Each batch size has a point: the operations it does for each byte that has to \
    be moved, and the operations a second that it came to. The roof is what the device can do at \
    most, measured in the same run: bytes a second to the left of its ridge, operations a second \
    to the right. What is read at most depends on how much a batch moves, because what is small \
    stays in a cache: where it differs, the roofs of the smallest and of the largest batch are \
    drawn. The caller's clock counts transfers, too; a device's own clock is that of bench kernel.";

impl RoofPoint {
    fn of(cost: &Cost, batch: usize, p50_us: f64, peak: &Peak) -> RoofPoint {
        let [flops_per_s, bytes_per_s] = cost.rates(batch, p50_us);
        RoofPoint {
            flops_per_byte: cost.intensity(batch),
            flops_per_s,
            bytes_per_s,
            roof_share: cost.roofline(batch, peak).time_us / p50_us,
            peak_flops_per_s: cost.flops_ceiling(peak),
            peak_bytes_per_s: peak.bytes_per_s,
        }
    }
}

/// A subject's points, one for each batch size where it tells its ceilings. That of operations is
/// the same for all of them: the highest that was measured.
pub(super) fn points(subject: &Subject) -> Vec<Option<RoofPoint>> {
    let cost = subject.executable.plan().cost();
    let ceilings = subject.taken.iter().filter_map(|taken| taken.peak?.flops_per_s);
    let highest = ceilings.max_by(f64::total_cmp);
    let point = |taken: &Taken| {
        let peak = Peak { flops_per_s: highest, ..taken.peak? };
        Some(RoofPoint::of(cost, taken.batch, taken.measurement().p50_us, &peak))
    };
    subject.taken.iter().map(point).collect()
}

/// A drawing for each device that tells its ceilings; none where none does.
pub(super) fn section(report: &Report, keys: &[String]) -> Option<Section> {
    let mut section = Section {
        title: String::from("Roofline"),
        text: vec![String::from(ABOUT)],
        ..Section::default()
    };
    let mut table = Table { columns: columns(), rows: Vec::new() };
    let mut without = Vec::new();
    for key in keys {
        let cells = report.results.iter().filter(|cell| cell.key == *key);
        let points: Vec<(&Cell, RoofPoint)> =
            cells.filter_map(|cell| Some((cell, cell.roofline?))).collect();
        if points.is_empty() {
            without.push(key.as_str());
            continue;
        }
        section.charts.push(chart(key, &points));
        table.rows.extend(points.iter().map(|(cell, point)| row(cell, point)));
    }
    if table.rows.is_empty() {
        return None;
    }
    if !without.is_empty() {
        section.text.push(format!("Ceilings are not known of {}.", without.join(", ")));
    }
    section.tables.push(table);
    Some(section)
}

fn chart(key: &str, points: &[(&Cell, RoofPoint)]) -> Chart {
    let mut curves = roofs(points);
    curves.extend(points.iter().map(|(cell, point)| Curve {
        name: format!("batch {}", thousands(cell.batch as u64)),
        stroke: Stroke::Points,
        points: vec![at(point.flops_per_byte, point.flops_per_s)],
    }));
    let (x, y) = (Axis::log("FLOP per byte moved"), Axis::log("GFLOP/s"));
    Chart { title: format!("Roofline of {key}"), drawing: Drawing::Curves { x, y, curves } }
}

fn at(flops_per_byte: f64, flops_per_s: f64) -> Point {
    Point { x: flops_per_byte, y: flops_per_s / GIGA, range: None }
}

/// The roofs of the smallest and the largest batch, or the one where they are the same.
fn roofs(points: &[(&Cell, RoofPoint)]) -> Vec<Curve> {
    let by_batch = |(cell, _): &&(&Cell, RoofPoint)| cell.batch;
    let ends = [points.iter().min_by_key(by_batch), points.iter().max_by_key(by_batch)];
    let mut ends: Vec<_> = ends.into_iter().flatten().collect();
    ends.dedup_by_key(|(_, point)| point.peak_bytes_per_s);
    let is_one = ends.len() == 1;
    let roof = |(cell, point): &&(&Cell, RoofPoint)| {
        let memory = format!("{} GB/s", figure(point.peak_bytes_per_s / GIGA));
        let name = match is_one {
            true => format!("roof, {memory}"),
            false => format!("roof of batch {}, {memory}", thousands(cell.batch as u64)),
        };
        Curve { name, stroke: Stroke::Reference, points: roof(point, points) }
    };
    ends.iter().map(roof).collect()
}

/// From left of every point along what memory allows to the ridge, and on to the right.
fn roof(of: &RoofPoint, beside: &[(&Cell, RoofPoint)]) -> Vec<Point> {
    let memory = of.peak_bytes_per_s;
    let ridge = of.peak_flops_per_s.map(|flops| (flops / memory, flops));
    let all = beside.iter().map(|(_, point)| point.flops_per_byte);
    let places = all.chain(ridge.map(|(place, _)| place));
    let (low, high) = places
        .fold((f64::INFINITY, 0.0_f64), |(low, high), place| (low.min(place), high.max(place)));
    let (low, high) = (low / OVERHANG, high * OVERHANG);
    let mut roof = vec![at(low, low * memory)];
    roof.extend(ridge.map(|(place, flops)| at(place, flops)));
    roof.push(at(high, ridge.map_or(high * memory, |(_, flops)| flops)));
    roof
}

fn columns() -> Vec<Column> {
    let numbers = [
        "batch",
        "FLOP per byte",
        "GFLOP/s",
        "GB/s",
        "share of the roof, %",
        "ceiling, GFLOP/s",
        "ceiling, GB/s",
    ];
    std::iter::once(Column::words("backend")).chain(numbers.map(Column::numbers)).collect()
}

fn row(cell: &Cell, point: &RoofPoint) -> Vec<String> {
    let unknown = String::from("not known");
    let giga = |per_s: f64| figure(per_s / GIGA);
    vec![
        cell.key.clone(),
        thousands(cell.batch as u64),
        figure(point.flops_per_byte),
        giga(point.flops_per_s),
        giga(point.bytes_per_s),
        figure(point.roof_share * 100.0),
        point.peak_flops_per_s.map_or(unknown, giga),
        giga(point.peak_bytes_per_s),
    ]
}
