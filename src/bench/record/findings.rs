//! A record while experiments add to it.

use super::super::load::Durations;
use super::super::report::{DeviceReport, ModelFacts};
use super::{Better, Fact, Figure, NamedHistogram, Record, Section, Watch};

/// Sections, figures and times, in the order they were found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    sections: Vec<Section>,
    figures: Vec<Figure>,
    histograms: Vec<NamedHistogram>,
}

impl Findings {
    /// Adds a part of the page.
    pub fn section(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Puts what matters most before all of it.
    pub fn lead(&mut self, text: Vec<String>) {
        let title = String::from("In short");
        self.sections.insert(0, Section { title, text, ..Section::default() });
    }

    /// Adds a figure and its rounds.
    pub fn figure(&mut self, key: String, unit: &str, better: Better, rounds: Vec<f64>) {
        self.figures.push(Figure { key, unit: unit.to_owned(), better, rounds });
    }

    /// Adds the times of some rounds: the median and the 99th percentile of each as figures, and
    /// all of them as a histogram.
    pub fn times(&mut self, key: &str, rounds: &[Durations]) {
        let percentiles: Vec<_> = rounds.iter().map(Durations::percentiles).collect();
        let of = |pick: fn(&super::super::load::Percentiles) -> f64| {
            percentiles.iter().map(pick).collect::<Vec<_>>()
        };
        self.figure(format!("{key}.p50_us"), "us", Better::Lower, of(|times| times.p50_us));
        self.figure(format!("{key}.p99_us"), "us", Better::Lower, of(|times| times.p99_us));
        self.histograms.push(NamedHistogram { key: key.to_owned(), times: merged(rounds) });
    }

    /// The record of an experiment: what it is, as name and heading; the model; how it was
    /// measured; and on what.
    pub fn record(
        self,
        (experiment, title): (&str, &str),
        model: ModelFacts,
        method: Vec<Fact>,
        (watch, devices): (Watch, &[DeviceReport]),
    ) -> Record {
        Record {
            format: super::FORMAT,
            experiment: experiment.to_owned(),
            title: title.to_owned(),
            environment: watch.finish(devices),
            model,
            method,
            sections: self.sections,
            figures: self.figures,
            histograms: self.histograms,
        }
    }
}

/// The times of all rounds together.
pub(in crate::bench) fn merged(rounds: &[Durations]) -> Durations {
    let mut times = Durations::default();
    rounds.iter().for_each(|round| times.merge(round));
    times
}
