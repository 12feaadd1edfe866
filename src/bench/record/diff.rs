//! Two records of one experiment, held against each other figure by figure.

use std::collections::HashMap;

use serde::Serialize;

use super::shift::{ratio, ratio_interval};
use super::{Better, Figure, Record, RecordError};

/// What became of the figures from one record to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RecordDiff {
    /// The figures that both have, from what is worse by the largest factor to what is better.
    pub figures: Vec<FigureDiff>,
    /// Keys that only the first has.
    pub only_in_first: Vec<String>,
    /// Keys that only the second has.
    pub only_in_second: Vec<String>,
    /// Why the two may differ for other reasons than the code, a sentence each.
    pub warnings: Vec<String>,
}

/// One figure in two records. JSON has no infinity: a ratio to 0 is null there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FigureDiff {
    /// Its key.
    pub key: String,
    /// Its unit.
    pub unit: String,
    /// Which way it is better.
    pub better: Better,
    /// The first record's median.
    pub first: Option<f64>,
    /// The second record's.
    pub second: Option<f64>,
    /// The second median as a multiple of the first; none where one is missing, negative or NaN, or
    /// the units are not the same.
    pub ratio: Option<f64>,
    /// Where the ratio of the two records' rounds lies with 95 % confidence, whatever their
    /// distribution: Hodges and Lehmann's interval of the logarithms' shift, by Mann and Whitney's
    /// exact test. None where there are too few rounds for that, of as many each fewer than four.
    pub interval: Option<(f64, f64)>,
    /// What to make of it.
    pub verdict: Verdict,
}

/// What to make of a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All of the interval is past the threshold, to the worse.
    Worse,
    /// The ratio is past the threshold, either way, and the interval not all of it; or there is no
    /// interval, or no ratio.
    Unclear,
    /// The ratio is within the threshold.
    Same,
    /// All of the interval is past the threshold, to the better.
    Better,
}

/// From which factor on a figure is another.
#[derive(Clone, Copy, Debug)]
struct Judge {
    threshold: f64,
    strict: bool,
}

impl Record {
    /// Holds `second` against this record. A figure that is worse or better by more than
    /// `threshold`, a factor from 1 up, with 95 % confidence is called so; `strict` takes the ratio
    /// of medians for it where there are too few rounds for that confidence.
    ///
    /// # Errors
    ///
    /// Where the two are of different experiments.
    pub fn diff(
        &self,
        second: &Record,
        threshold: f64,
        strict: bool,
    ) -> Result<RecordDiff, RecordError> {
        if self.experiment != second.experiment {
            let [first, second] = [self, second].map(|record| record.experiment.clone());
            return Err(RecordError::OtherExperiment { first, second });
        }
        let judge = Judge { threshold, strict };
        let (of_first, of_second) = (by_key(&self.figures), by_key(&second.figures));
        let pairs = self.figures.iter().filter_map(|figure| {
            let is_first = std::ptr::eq(of_first[&*figure.key], figure);
            Some((figure, *of_second.get(&*figure.key).filter(|_| is_first)?))
        });
        let mut figures: Vec<FigureDiff> = pairs.map(|(a, b)| judge.compare(a, b)).collect();
        figures.sort_by(|a, b| b.harm().total_cmp(&a.harm()));
        Ok(RecordDiff {
            figures,
            only_in_first: missing(&self.figures, &of_second),
            only_in_second: missing(&second.figures, &of_first),
            warnings: warnings(self, second),
        })
    }
}

/// The figures under their keys, of two of one key the first.
fn by_key(figures: &[Figure]) -> HashMap<&str, &Figure> {
    figures.iter().rev().map(|figure| (&*figure.key, figure)).collect()
}

fn missing(figures: &[Figure], from: &HashMap<&str, &Figure>) -> Vec<String> {
    let keys = figures.iter().map(|figure| &figure.key);
    keys.filter(|key| !from.contains_key(key.as_str())).cloned().collect()
}

impl Judge {
    fn compare(self, first: &Figure, second: &Figure) -> FigureDiff {
        let medians = (first.median(), second.median());
        let is_one_thing = (&first.unit, first.better) == (&second.unit, second.better);
        let are_amounts = |pair: &(f64, f64)| is_one_thing && pair.0 >= 0.0 && pair.1 >= 0.0;
        let both = medians.0.zip(medians.1).filter(are_amounts);
        let ratio = both.map(|(first, second)| ratio(second, first));
        let interval = ratio.and_then(|_| ratio_interval(&first.rounds, &second.rounds));
        FigureDiff {
            key: first.key.clone(),
            unit: first.unit.clone(),
            better: first.better,
            first: medians.0,
            second: medians.1,
            ratio,
            interval,
            verdict: self.verdict(first.better, ratio, interval),
        }
    }

    fn verdict(self, better: Better, ratio: Option<f64>, interval: Option<(f64, f64)>) -> Verdict {
        let Some(ratio) = ratio else { return Verdict::Unclear };
        let harm = |ratio: f64| match better {
            Better::Lower => ratio,
            Better::Higher => ratio.recip(),
        };
        let taken_for_it = self.strict.then_some((ratio, ratio));
        if let Some((low, high)) = interval.or(taken_for_it) {
            let (least, most) = (harm(low).min(harm(high)), harm(low).max(harm(high)));
            if least > self.threshold {
                return Verdict::Worse;
            }
            if most < self.threshold.recip() {
                return Verdict::Better;
            }
        }
        let within = self.threshold.recip()..=self.threshold;
        if within.contains(&harm(ratio)) { Verdict::Same } else { Verdict::Unclear }
    }
}

impl FigureDiff {
    /// By what factor it is worse; below 1 where it is better, and 0 where nobody can tell.
    fn harm(&self) -> f64 {
        match (self.ratio, self.better) {
            (Some(ratio), Better::Lower) => ratio,
            (Some(ratio), Better::Higher) => ratio.recip(),
            (None, _) => 0.0,
        }
    }
}

impl RecordDiff {
    /// Whether a figure is worse.
    pub fn is_worse(&self) -> bool {
        self.figures.iter().any(|figure| figure.verdict == Verdict::Worse)
    }
}

/// Why two records may differ for other reasons than the code.
fn warnings(first: &Record, second: &Record) -> Vec<String> {
    let mut found = Vec::new();
    if first.model.content_hash != second.model.content_hash {
        let names = (&first.model.name, &second.model.name);
        found.push(format!("different models: {} and {}", names.0, names.1));
    }
    let value = |record: &Record, name: &str| {
        let fact = record.method.iter().find(|fact| fact.name == name);
        fact.map_or_else(|| String::from("nothing said"), |fact| fact.value.clone())
    };
    let mut names: Vec<&str> = Vec::new();
    for fact in first.method.iter().chain(&second.method) {
        if !names.contains(&&*fact.name) {
            names.push(&fact.name);
        }
    }
    let facts = names.into_iter().map(|name| (name, value(first, name), value(second, name)));
    let differ = facts.filter(|(_, first, second)| first != second);
    let methods: Vec<String> =
        differ.map(|(name, first, second)| format!("{name}: {first} and {second}")).collect();
    if !methods.is_empty() {
        found.push(format!("measured in different ways: {}", methods.join("; ")));
    }
    let machines = first.environment.differences(&second.environment);
    if !machines.is_empty() {
        found.push(format!("taken on different machines or builds: {}", machines.join("; ")));
    }
    for (name, record) in [("first", first), ("second", second)] {
        let disturbed = record.environment.disturbances();
        found.extend(disturbed.into_iter().map(|what| format!("the {name} record: {what}")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{Fact, example};
    use super::*;

    fn figure(key: &str, better: Better, rounds: &[f64]) -> Figure {
        Figure { key: key.to_owned(), unit: String::from("us"), better, rounds: rounds.to_vec() }
    }

    fn record(figures: &[Figure]) -> Record {
        Record { figures: figures.to_vec(), ..example::record() }
    }

    /// What becomes of a figure at a threshold of 1.05, strict or not.
    fn verdicts(better: Better, first: &[f64], second: &[f64]) -> [Verdict; 2] {
        let [first, second] = [first, second].map(|rounds| record(&[figure("a", better, rounds)]));
        [false, true].map(|strict| first.diff(&second, 1.05, strict).unwrap().figures[0].verdict)
    }

    #[test]
    fn a_record_and_itself_are_the_same() {
        let record = example::record();
        let diff = record.diff(&record, 1.0, true).unwrap();
        assert_eq!(diff.figures.len(), record.figures.len());
        for figure in &diff.figures {
            assert_eq!((figure.ratio, figure.verdict), (Some(1.0), Verdict::Same), "{figure:?}");
        }
        assert!(diff.only_in_first.is_empty() && diff.only_in_second.is_empty());
        assert!(!diff.is_worse() && diff.warnings.is_empty(), "{:?}", diff.warnings);
    }

    #[test]
    fn past_the_threshold_with_confidence_is_worse_or_better() {
        use Verdict::{Better as Faster, Same, Unclear, Worse};
        let rounds = [1.0, 1.01, 1.02, 1.03];
        let (twice, near) = (rounds.map(|round| round * 2.0), rounds.map(|round| round * 1.03));
        assert_eq!(verdicts(Better::Lower, &rounds, &twice), [Worse, Worse]);
        assert_eq!(verdicts(Better::Higher, &rounds, &twice), [Faster, Faster]);
        assert_eq!(verdicts(Better::Lower, &twice, &rounds), [Faster, Faster]);
        assert_eq!(verdicts(Better::Higher, &twice, &rounds), [Worse, Worse]);
        assert_eq!(verdicts(Better::Lower, &rounds, &near), [Same, Same]);
        // One round in four as it was: the interval reaches down to 1.
        assert_eq!(verdicts(Better::Lower, &rounds, &[2.0, 2.0, 2.0, 1.0]), [Unclear, Unclear]);
    }

    #[test]
    fn too_few_rounds_count_only_where_it_is_strict() {
        use Verdict::{Better as Faster, Same, Unclear, Worse};
        assert_eq!(verdicts(Better::Lower, &[1.0; 3], &[2.0; 3]), [Unclear, Worse]);
        assert_eq!(verdicts(Better::Higher, &[1.0], &[2.0]), [Unclear, Faster]);
        assert_eq!(verdicts(Better::Lower, &[1.0], &[1.04]), [Same, Same]);
        assert_eq!(verdicts(Better::Lower, &[], &[1.0]), [Unclear, Unclear]);
        assert_eq!(verdicts(Better::Lower, &[f64::NAN; 4], &[1.0; 4]), [Unclear, Unclear]);
        assert_eq!(verdicts(Better::Lower, &[-1.0; 4], &[1.0; 4]), [Unclear, Unclear]);
        assert_eq!(verdicts(Better::Lower, &[0.0; 4], &[3.0; 4]), [Worse, Worse]);
        assert_eq!(verdicts(Better::Higher, &[3.0; 4], &[0.0; 4]), [Worse, Worse]);
    }

    #[test]
    fn figures_are_sorted_by_how_much_worse_and_those_of_one_side_listed() {
        let lower = |key: &str, at: f64| figure(key, Better::Lower, &[at; 4]);
        let first = record(&[lower("a", 1.0), lower("b", 1.0), lower("c", 1.0), lower("d", 1.0)]);
        let rate = figure("e", Better::Higher, &[1.0; 4]);
        let other = [lower("c", 0.5), lower("b", 3.0), lower("a", 2.0), rate, lower("a", 9.0)];
        let diff = first.diff(&record(&other), 1.05, false).unwrap();
        let order: Vec<_> = diff.figures.iter().map(|f| (&*f.key, f.ratio.unwrap())).collect();
        assert_eq!(order, [("b", 3.0), ("a", 2.0), ("c", 0.5)]);
        assert_eq!((diff.only_in_first, diff.only_in_second), (vec!["d".into()], vec!["e".into()]));
        let mut metres = lower("a", 2.0);
        metres.unit = String::from("m");
        let diff = first.diff(&record(&[metres]), 1.05, true).unwrap();
        assert_eq!((diff.figures[0].ratio, diff.figures[0].verdict), (None, Verdict::Unclear));
    }

    #[test]
    fn what_was_not_the_same_is_said() {
        let first = example::record();
        let mut second = first.clone();
        second.model.content_hash = "0".repeat(64);
        second.method.retain(|fact| fact.name != "precision");
        second.method.push(Fact::new("precision", "f16"));
        second.environment.cores += 1;
        second.environment.stolen_share = Some(0.1);
        let said = first.diff(&second, 1.05, false).unwrap().warnings;
        for (line, words) in said.iter().zip([
            "different models: ",
            "precision: f32 and f16",
            "different machines or builds: cores: ",
            "the second record: ",
        ]) {
            assert!(line.contains(words), "{line}");
        }
        assert_eq!(said.len(), 4, "{said:?}");
        second.experiment = String::from("follow-up");
        let error = first.diff(&second, 1.05, false).unwrap_err().to_string();
        assert!(error.contains("paper") && error.contains("follow-up"), "{error}");
    }
}
