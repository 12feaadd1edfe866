//! What was achieved beside what devices can do at most.

use super::super::record::{
    Axis, Chart, Column, Curve, Drawing, Point, Section, Stroke, Table, figure, thousands,
};
use super::super::report::{Report, RoofPoint};
use super::subjects::{Subject, Taken};
use crate::plan::{Cost, Peak};

/// How much further than what it stands beside a roof is drawn, as a factor.
const OVERHANG: f64 = 2.0;
/// Two ceilings of memory within this factor are one roof.
const ALIKE: f64 = 1.1;
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
        let points: Vec<(usize, RoofPoint)> =
            cells.filter_map(|cell| Some((cell.batch, cell.roofline?))).collect();
        if points.is_empty() {
            without.push(key.as_str());
            continue;
        }
        section.charts.push(chart(key, &points));
        table.rows.extend(points.iter().map(|(batch, point)| row(key, *batch, point)));
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

fn chart(key: &str, points: &[(usize, RoofPoint)]) -> Chart {
    let mut curves = roofs(points);
    curves.extend(points.iter().map(|(batch, point)| Curve {
        name: format!("batch {}", thousands(*batch as u64)),
        stroke: Stroke::Points,
        points: vec![at(point.flops_per_byte, point.flops_per_s)],
    }));
    let (x, y) = (Axis::log("FLOP per byte moved"), Axis::log("GFLOP/s"));
    Chart { title: format!("Roofline of {key}"), drawing: Drawing::Curves { x, y, curves } }
}

fn at(flops_per_byte: f64, flops_per_s: f64) -> Point {
    Point { x: flops_per_byte, y: flops_per_s / GIGA, range: None }
}

/// The roofs of the smallest and the largest batch, or one where they are alike.
fn roofs(points: &[(usize, RoofPoint)]) -> Vec<Curve> {
    let by_batch = |(batch, _): &&(usize, RoofPoint)| *batch;
    let ends = [points.iter().min_by_key(by_batch), points.iter().max_by_key(by_batch)];
    let mut ends: Vec<_> = ends.into_iter().flatten().collect();
    ends.dedup_by(|(_, one), (_, other)| {
        let ratio = one.peak_bytes_per_s / other.peak_bytes_per_s;
        (ALIKE.recip()..=ALIKE).contains(&ratio)
    });
    let is_one = ends.len() == 1;
    let curve = |(batch, point): &&(usize, RoofPoint)| {
        let memory = format!("{} GB/s", figure(point.peak_bytes_per_s / GIGA));
        let name = match is_one {
            true => format!("roof, {memory}"),
            false => format!("roof of batch {}, {memory}", thousands(*batch as u64)),
        };
        Curve { name, stroke: Stroke::Reference, points: roof(point, points) }
    };
    ends.iter().map(curve).collect()
}

/// From left of every point along what memory allows to the ridge, and on to the right.
fn roof(of: &RoofPoint, beside: &[(usize, RoofPoint)]) -> Vec<Point> {
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

fn row(key: &str, batch: usize, point: &RoofPoint) -> Vec<String> {
    let unknown = String::from("not known");
    let giga = |per_s: f64| figure(per_s / GIGA);
    vec![
        key.to_owned(),
        thousands(batch as u64),
        figure(point.flops_per_byte),
        giga(point.flops_per_s),
        giga(point.bytes_per_s),
        figure(point.roof_share * 100.0),
        point.peak_flops_per_s.map_or(unknown, giga),
        giga(point.peak_bytes_per_s),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(flops_per_byte: f64, memory: f64, flops: Option<f64>) -> RoofPoint {
        RoofPoint {
            flops_per_byte,
            flops_per_s: 1e9,
            bytes_per_s: 1e9,
            roof_share: 0.5,
            peak_flops_per_s: flops,
            peak_bytes_per_s: memory,
        }
    }

    #[test]
    fn caches_have_roofs_of_their_own() {
        let roofs_of = |small: f64, large: f64| {
            let points = [(64, small), (1, 1e9), (1024, large)];
            let points = points.map(|(batch, memory)| (batch, point(2.0, memory, Some(8e9))));
            roofs(&points).into_iter().map(|curve| curve.name).collect::<Vec<_>>()
        };
        let two = ["roof of batch 1, 1.00 GB/s", "roof of batch 1,024, 2.00 GB/s"];
        assert_eq!(roofs_of(5e9, 2e9), two);
        assert_eq!(roofs_of(5e9, 1.05e9), ["roof, 1.00 GB/s"]);
        assert_eq!(roofs_of(5e9, 0.95e9), ["roof, 1.00 GB/s"]);
    }

    #[test]
    fn a_roof_without_a_ceiling_of_operations_is_a_line() {
        let points = [(1, point(0.5, 4e9, None)), (64, point(8.0, 4e9, None))];
        let [curve] = &roofs(&points)[..] else { panic!() };
        let places: Vec<_> = curve.points.iter().map(|point| (point.x, point.y)).collect();
        assert_eq!(places, [(0.25, 1.0), (16.0, 64.0)]);
        let told = row("cuda", 1, &points[0].1);
        assert_eq!((&*told[5], &*told[6], told.len()), ("50.0", "not known", columns().len()));
    }
}
