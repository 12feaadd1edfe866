//! What more operators at once are worth.

use super::super::error::BenchError;
use super::super::load::Schedule;
use super::super::record::{
    Axis, Chart, Column, Curve, Drawing, Point, Section, Stroke, Table, thousands,
};
use super::{ABOUT_RUNS, Lab, Runs, columns};
use crate::pipeline::PipelineConfig;

/// One rate, and ever more operators that share it.
pub(in crate::bench) struct Scaling<'a> {
    /// The experiment's heading.
    pub(in crate::bench) title: &'a str,
    /// What the experiment calls operators, as keys and columns name them.
    pub(in crate::bench) operators: &'a str,
    /// How many there are.
    pub(in crate::bench) counts: &'a [usize],
    /// Rows a second, one a request.
    pub(in crate::bench) rate: f64,
}

impl Scaling<'_> {
    /// Runs it on every subject, a step for each count, and adds what was found.
    pub(in crate::bench) fn run(&self, lab: &mut Lab<'_>) -> Result<(), BenchError> {
        let Scaling { title, operators, counts, rate } = *self;
        let of = [Column::words("backend"), Column::numbers(operators)];
        let mut table = Table { columns: columns(of), rows: Vec::new() };
        let ideal = counts.iter().map(|count| Point { x: *count as f64, y: rate, range: None });
        let mut curves = vec![Curve {
            name: String::from("offered"),
            stroke: Stroke::Reference,
            points: ideal.collect(),
        }];
        let schedule = Schedule::new(rate, lab.options.run_time).after(lab.options.warm_up);
        for subject in 0..lab.subjects.len() {
            let name = lab.subjects[subject].name.clone();
            let mut points = Vec::new();
            for count in counts {
                lab.step(&format!("{name}, {operators} {count}"));
                let runs = Runs::of(lab, (subject, *count), &schedule, 1)?;
                points.push(runs.point(*count as f64));
                let key = format!("scalability.{name}.{operators}={count}");
                runs.report(&mut lab.findings, &key);
                table.rows.push(runs.row([name.clone(), count.to_string()]));
            }
            curves.push(Curve { name, stroke: Stroke::Marked, points });
        }
        let (x, y) = (Axis::log(operators), Axis::linear("answered, rows/s"));
        let rate = thousands(rate as u64);
        lab.findings.section(Section {
            title: title.to_owned(),
            text: vec![format!(
                "Open loop at {rate} rows/s, one row a request. What is counted are \
                 workers of the processor, and batches in flight of other devices, of which there \
                 are {} at most. {ABOUT_RUNS}",
                PipelineConfig::DEPTH_MAX
            )],
            charts: vec![Chart {
                title: format!("Rows answered a second at {rate} offered"),
                drawing: Drawing::Curves { x, y, curves },
            }],
            tables: vec![table],
        });
        Ok(())
    }
}
