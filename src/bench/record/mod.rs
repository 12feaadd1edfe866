//! What an experiment leaves behind: one record, whatever the experiment.
//!
//! A record is read top to bottom like a page: where and how it was taken, sections of text, tables
//! and drawings, and every figure once more in a flat list, with the rounds it is the median of, so
//! that two records can be held against each other ([`Record::diff`]). It is written as a page for
//! people and as JSON and CSV for programs ([`Record::write`]), and read back from the JSON; keys
//! are part of the interface: added to, never renamed.

mod diff;
mod environment;
mod error;
#[cfg(test)]
mod example;
mod files;
mod findings;
mod nullable;
mod numbers;
mod page;
mod shift;
mod spectrum;
mod system;

use serde::{Deserialize, Serialize};

pub use diff::{FigureDiff, RecordDiff, Verdict};
pub use environment::{DeviceFacts, Environment, Watch};
pub use error::RecordError;
pub use files::RecordFolder;
pub use findings::Findings;
pub(in crate::bench) use findings::merged;
pub use numbers::{figure, thousands};
pub(in crate::bench) use shift::ratio_interval;
pub use spectrum::spectrum;

use super::load::Durations;
use super::report::ModelFacts;

/// The version of the format, raised where an old reader would read something wrong.
pub const FORMAT: u32 = 1;

/// One run of one experiment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// The experiment's name, such as `paper`; records of different ones are not compared.
    pub experiment: String,
    /// What it is, as a heading.
    pub title: String,
    /// What it was taken on.
    pub environment: Environment,
    /// What was run.
    pub model: ModelFacts,
    /// How it was measured, name by name: clock, load, rounds, seed.
    pub method: Vec<Fact>,
    /// What was found, in reading order.
    pub sections: Vec<Section>,
    /// Every figure.
    pub figures: Vec<Figure>,
    /// The times behind the percentiles, not part of the JSON: files of their own.
    #[serde(skip)]
    pub histograms: Vec<NamedHistogram>,
}

/// A name and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The name.
    pub name: String,
    /// What is said.
    pub value: String,
}

impl Fact {
    /// A fact of this name.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Fact {
        Fact { name: name.into(), value: value.into() }
    }
}

/// A part of the page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What there is to say, a paragraph each.
    pub text: Vec<String>,
    /// Its drawings.
    pub charts: Vec<Chart>,
    /// Its tables, which say in numbers what the drawings show.
    pub tables: Vec<Table>,
}

/// Rows under names, with units in the names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The columns, left to right.
    pub columns: Vec<Column>,
    /// The rows, each as long as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// What it holds, with the unit, such as `p99, us`.
    pub name: String,
    /// Whether it holds numbers, which stand to the right.
    pub is_number: bool,
}

impl Column {
    /// A column of words.
    pub fn words(name: impl Into<String>) -> Column {
        Column { name: name.into(), is_number: false }
    }

    /// A column of numbers.
    pub fn numbers(name: impl Into<String>) -> Column {
        Column { name: name.into(), is_number: true }
    }
}

/// A drawing and its caption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What is drawn.
    pub drawing: Drawing,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Drawing {
    /// Values over a number.
    Curves {
        /// The horizontal axis.
        x: Axis,
        /// The vertical axis.
        y: Axis,
        /// What is drawn over it, in the order of the legend.
        curves: Vec<Curve>,
    },
    /// Parts that add up, one bar for each name.
    Bars {
        /// What a bar's length is.
        value: Axis,
        /// The parts, in the order they are stacked.
        parts: Vec<String>,
        /// The bars, top to bottom.
        bars: Vec<Bar>,
    },
    /// Ratios to one thing, which is a line at 1.
    Ratios {
        /// What a ratio is, such as `times faster than cpu`.
        value: Axis,
        /// The ratios, top to bottom.
        ratios: Vec<Ratio>,
    },
}

/// An axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axis {
    /// What stands along it, with the unit.
    pub label: String,
    /// Whether equal steps are equal factors; values of 0 and below are then left out.
    pub is_log: bool,
}

impl Axis {
    /// An axis of equal steps, from 0.
    pub fn linear(label: impl Into<String>) -> Axis {
        Axis { label: label.into(), is_log: false }
    }

    /// An axis of equal factors.
    pub fn log(label: impl Into<String>) -> Axis {
        Axis { label: label.into(), is_log: true }
    }
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// How it is drawn.
    pub stroke: Stroke,
    /// The points, from left to right.
    pub points: Vec<Point>,
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stroke {
    /// A measured curve: a line with a mark at each point.
    Marked,
    /// Measured points that make no line.
    Points,
    /// What the others stand beside, a bound or y = x: dashed, in the colour of the text.
    Reference,
}

/// A point, and how far rounds lay apart where there were several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Where on the horizontal axis.
    #[serde(deserialize_with = "nullable::one")]
    pub x: f64,
    /// Where on the vertical axis.
    #[serde(deserialize_with = "nullable::one")]
    pub y: f64,
    /// The lowest and the highest round.
    #[serde(default, deserialize_with = "nullable::pair")]
    pub range: Option<(f64, f64)>,
}

/// A bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// What it is of.
    pub name: String,
    /// One length for each part.
    #[serde(deserialize_with = "nullable::many")]
    pub values: Vec<f64>,
}

/// A ratio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// What it is of.
    pub name: String,
    /// The ratio.
    #[serde(deserialize_with = "nullable::one")]
    pub value: f64,
    /// Where it lies with the confidence that the text states.
    #[serde(default, deserialize_with = "nullable::pair")]
    pub interval: Option<(f64, f64)>,
}

/// A number that can be held against that of another record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is of, the same in every record: `latency.cpu.batch=1000.p50_us`.
    pub key: String,
    /// Its unit.
    pub unit: String,
    /// Which way is better.
    pub better: Better,
    /// One number a round.
    #[serde(deserialize_with = "nullable::many")]
    pub rounds: Vec<f64>,
}

impl Figure {
    /// The median of the rounds, of an even number the mean of the two in the middle; none without
    /// rounds.
    pub fn median(&self) -> Option<f64> {
        let mut rounds = self.rounds.clone();
        rounds.sort_by(f64::total_cmp);
        let (low, high) = (rounds.len().checked_sub(1)? / 2, rounds.len() / 2);
        Some((rounds[low] + rounds[high]) / 2.0)
    }

    /// The lowest and the highest round.
    pub fn range(&self) -> Option<(f64, f64)> {
        let low = self.rounds.iter().copied().min_by(f64::total_cmp)?;
        let high = self.rounds.iter().copied().max_by(f64::total_cmp)?;
        Some((low, high))
    }
}

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Times, bytes, losses.
    Lower,
    /// Rates.
    Higher,
}

/// Times under the key of their figure.
#[derive(Clone, Debug)]
pub struct NamedHistogram {
    /// The figure's key, less the percentile.
    pub key: String,
    /// The times, in nanoseconds.
    pub times: Durations,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        let figure = |rounds: &[f64]| Figure {
            key: String::from("a"),
            unit: String::from("us"),
            better: Better::Lower,
            rounds: rounds.to_vec(),
        };
        assert_eq!(figure(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(figure(&[4.0, 1.0, 2.0, 3.0]).median(), Some(2.5));
        assert_eq!(figure(&[4.0, 1.0, 2.0]).range(), Some((1.0, 4.0)));
        assert_eq!((figure(&[]).median(), figure(&[]).range()), (None, None));
    }
}
