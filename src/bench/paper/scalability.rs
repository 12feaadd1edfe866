//! Vertical scalability: what more operators at once are worth.

use super::super::error::BenchError;
use super::super::load::Schedule;
use super::super::record::{Axis, Chart, Curve, Drawing, Point, Section, Stroke, Table, thousands};
use super::lab::Lab;
use super::throughput::{ABOUT_RUNS, Runs, columns};

pub(super) fn run(lab: &mut Lab<'_>) -> Result<(), BenchError> {
    let (rate, all) = (lab.options.scaling_rate, lab.options.parallelism.clone());
    let mut table = Table { columns: columns("parallelism"), rows: Vec::new() };
    let ideal = all.iter().map(|count| Point { x: *count as f64, y: rate, range: None });
    let mut curves = vec![Curve {
        name: String::from("offered"),
        stroke: Stroke::Reference,
        points: ideal.collect(),
    }];
    for subject in 0..lab.subjects.len() {
        let name = lab.subjects[subject].name.clone();
        let mut points = Vec::new();
        for parallelism in &all {
            lab.step(&format!("scalability: {name}, parallelism {parallelism}"));
            let schedule = Schedule::new(rate, lab.options.run_time).after(lab.options.warm_up);
            let runs = Runs::of(lab, || lab.job(subject, *parallelism).open_loop(&schedule))?;
            points.push(runs.point(*parallelism as f64));
            runs.report(lab, &format!("scalability.{name}.parallelism={parallelism}"));
            table.rows.push(runs.row([name.clone(), parallelism.to_string()]));
        }
        curves.push(Curve { name, stroke: Stroke::Marked, points });
    }
    let (x, y) = (Axis::log("operators at once"), Axis::linear("answered, rows/s"));
    let rate = thousands(rate as u64);
    lab.findings.section(Section {
        title: String::from("Vertical scalability"),
        text: vec![format!(
            "Open loop at {rate} rows/s, one row a request. Operators are workers of the \
             processor, and batches in flight of other devices. {ABOUT_RUNS}"
        )],
        charts: vec![Chart {
            title: format!("Rows answered a second at {rate} offered"),
            drawing: Drawing::Curves { x, y, curves },
        }],
        tables: vec![table],
    });
    Ok(())
}
