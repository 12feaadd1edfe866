//! Requests of many rows, at rates.

use super::super::error::BenchError;
use super::super::lab::{ABOUT_RUNS, Lab, Runs, columns};
use super::super::load::Schedule;
use super::super::record::{
    Axis, Chart, Column, Curve, Drawing, Point, Section, Stroke, Table, thousands,
};

/// Runs every rate with every number of rows on each subject, a step each.
pub(super) fn run(lab: &mut Lab<'_>, rates: &[f64], batches: &[usize]) -> Result<(), BenchError> {
    let of = ["rows a request", "offered, requests/s"].map(Column::numbers);
    let of = [Column::words("backend")].into_iter().chain(of);
    let mut table = Table { columns: columns(of), rows: Vec::new() };
    let (mut latencies, mut answered) = (Vec::new(), Vec::new());
    for subject in 0..lab.subjects.len() {
        let name = lab.subjects[subject].name.clone();
        let mut points = Vec::new();
        for rate in rates {
            let of_rate = format!("{} requests/s", thousands(*rate as u64));
            let mut latency = Vec::new();
            for batch in batches {
                let rows = thousands(*batch as u64);
                lab.step(&format!("{name}, {of_rate} of {rows} rows"));
                let schedule = Schedule::new(*rate, lab.options.run_time);
                let schedule = schedule.after(lab.options.warm_up);
                let runs = Runs::of(lab, (subject, 1), &schedule, *batch)?;
                let key = format!("rates.{name}.rate={rate}.batch={batch}");
                runs.report(&mut lab.findings, &key);
                table.rows.push(runs.row([name.clone(), rows, thousands(*rate as u64)]));
                latency.push(latency_point(*batch, &runs));
                points.push(runs.point(rate * *batch as f64));
            }
            let name = format!("{name}, {of_rate}");
            latencies.push(Curve { name, stroke: Stroke::Marked, points: latency });
        }
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        answered.push(Curve { name, stroke: Stroke::Points, points });
    }
    lab.findings.section(Section {
        title: String::from("Rates and batches"),
        text: vec![format!(
            "Open loop, parallelism 1; what is a batch to the study is a request of many rows \
             here. {ABOUT_RUNS}"
        )],
        charts: vec![latency_chart(latencies), answered_chart(answered)],
        tables: vec![table],
    });
    Ok(())
}

fn latency_point(batch: usize, runs: &Runs) -> Point {
    let latency = runs.all.kept.latency.percentiles();
    Point { x: batch as f64, y: latency.p50_us, range: Some((latency.p50_us, latency.p99_us)) }
}

fn latency_chart(curves: Vec<Curve>) -> Chart {
    let (x, y) = (Axis::log("rows a request"), Axis::log("p50 from generation, to p99, us"));
    Chart {
        title: String::from("Latency against the rows of a request"),
        drawing: Drawing::Curves { x, y, curves },
    }
}

fn answered_chart(mut curves: Vec<Curve>) -> Chart {
    let offered = curves.iter().flat_map(|curve| &curve.points).map(|point| point.x);
    let mut offered: Vec<f64> = offered.collect();
    offered.sort_by(f64::total_cmp);
    offered.dedup();
    let ideal = offered.into_iter().map(|x| Point { x, y: x, range: None });
    let name = String::from("offered");
    curves.insert(0, Curve { name, stroke: Stroke::Reference, points: ideal.collect() });
    let (x, y) = (Axis::log("offered, rows/s"), Axis::log("answered, rows/s"));
    Chart {
        title: String::from("Rows answered a second against rows offered a second"),
        drawing: Drawing::Curves { x, y, curves },
    }
}
