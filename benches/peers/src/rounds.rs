//! Checking the peers' answers, and asking the peers in turn.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fusewire::bench::agreement::Agreement;

use crate::child::Child;
use crate::files::Files;
use crate::peers::Entry;
use crate::protocol::Request;
use crate::times::{Figures, Times};

/// Rows a call.
pub const BATCHES: [usize; 5] = [1, 10, 100, 1000, 4096];

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// One peer's turn.
    pub slice: Duration,
    /// Turns of each peer at each batch size, a first one that is thrown away left out.
    pub rounds: usize,
}

impl Budget {
    /// Some two minutes for a dozen peers.
    pub const QUICK: Budget = Budget { slice: Duration::from_millis(100), rounds: 10 };
    /// Some quarter of an hour.
    pub const FULL: Budget = Budget { slice: Duration::from_millis(500), rounds: 24 };
}

/// A peer in the course of a run.
pub struct Runner {
    pub entry: Entry,
    /// Its runtime and version; empty where it did not start.
    pub version: String,
    pub state: State,
    /// How right it was, over all batch sizes.
    pub agreement: Option<Agreement>,
    /// The slices of each batch size, in the order of [`BATCHES`].
    slices: [Vec<Times>; BATCHES.len()],
    /// Processor time of all its threads over all its turns, and how long those took.
    busy: Option<(f64, f64)>,
}

/// What became of a peer.
pub enum State {
    /// It answers.
    Running(Child),
    /// It is not there, or lacks what the network needs.
    Missing(String),
    /// Its answers are not the network's.
    Wrong(String),
    /// It broke down.
    Failed(String),
}

impl State {
    /// Whether a run with it is not a good one.
    pub fn is_fault(&self) -> bool {
        matches!(self, State::Wrong(_) | State::Failed(_))
    }
}

impl Runner {
    pub fn new(entry: Entry, version: String, state: State) -> Runner {
        let slices = Default::default();
        Runner { entry, version, state, agreement: None, slices, busy: None }
    }

    /// The slices at a batch size; none of a peer that did not hold out.
    pub fn slices(&self, batch: usize) -> &[Times] {
        let at = BATCHES.iter().position(|size| *size == batch);
        match (&self.state, at) {
            (State::Running(_), Some(at)) => &self.slices[at],
            _ => &[],
        }
    }

    /// All slices at a batch size together.
    pub fn figures(&self, batch: usize) -> Option<Figures> {
        Times::merged(self.slices(batch)).figures()
    }

    /// How many processors it kept busy in its turns, where the system tells.
    pub fn threads_busy(&self) -> Option<f64> {
        self.busy.filter(|(_, wall)| *wall > 0.0).map(|(processor, wall)| processor / wall)
    }

    /// Asks a running peer; one that breaks down is out.
    fn ask(&mut self, request: &Request) -> Option<Times> {
        let State::Running(child) = &mut self.state else { return None };
        let (begun, before) = (Instant::now(), child.processor_s());
        match child.ask(request) {
            Ok(times) => {
                let processor = child.processor_s().zip(before).map(|(after, then)| after - then);
                if let (Some(processor), Some(_)) = (processor, request.seconds) {
                    let (sum, wall) = self.busy.unwrap_or_default();
                    self.busy = Some((sum + processor, wall + begun.elapsed().as_secs_f64()));
                }
                Some(times)
            }
            Err(error) => {
                self.state = State::Failed(format!("{error:#}"));
                None
            }
        }
    }

    /// Holds every score against the oracle's, at every batch size.
    fn check(&mut self, files: &Files) {
        for batch in BATCHES {
            if self.ask(&Request { batch, seconds: None }).is_none() {
                return;
            }
            let path = files.scores(self.entry.name);
            let agreement = compare(&path, batch, files, self.entry.tolerance());
            self.state = match agreement {
                Ok(agreement) => {
                    self.agreement = Some(self.agreement.map_or(agreement, |a| a.and(agreement)));
                    if agreement.agrees {
                        continue;
                    }
                    let (share, most) = (agreement.max_error_share, agreement.tolerance);
                    State::Wrong(format!("off by {share:.1e} at batch {batch}; at most {most:.0e}"))
                }
                Err(error) => State::Failed(format!("{error:#}")),
            };
            return;
        }
    }
}

/// Compares the scores that a peer wrote with the oracle's for the same rows.
fn compare(scores: &Path, batch: usize, files: &Files, tolerance: f64) -> Result<Agreement> {
    let bytes = fs::read(scores)?;
    let classes = files.model.classes();
    let scores: Vec<f32> =
        bytes.as_chunks::<4>().0.iter().map(|score| f32::from_ne_bytes(*score)).collect();
    let visited = files.expected.len() / classes / batch * batch * classes;
    ensure!(scores.len() == visited, "{} scores in place of {visited}", scores.len());
    Ok(Agreement::of(&scores, &files.expected[..visited], classes, tolerance))
}

/// Checks every peer's answers; no clock has started.
pub fn check(runners: &mut [Runner], files: &Files) {
    for runner in runners {
        eprintln!("checking {}", runner.entry.name);
        runner.check(files);
    }
}

/// Times the peers in turns. Each round begins with another peer, so that none always follows the
/// same one; the first round warms up and is thrown away.
pub fn measure(runners: &mut [Runner], budget: &Budget) {
    for (at, batch) in BATCHES.into_iter().enumerate() {
        eprintln!("timing batches of {batch}");
        let request = Request { batch, seconds: Some(budget.slice.as_secs_f64()) };
        for round in 0..=budget.rounds {
            let first = round % runners.len().max(1);
            let (before, from) = runners.split_at_mut(first);
            for runner in from.iter_mut().chain(before) {
                let times = runner.ask(&request);
                if round > 0 {
                    runner.slices[at].extend(times);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use fusewire::{Activation, Dense, Model};

    use super::*;
    use crate::child::shell;
    use crate::files::ROWS;
    use crate::peers;

    /// Files for a network of one score, 0 for every row but the last.
    fn files(name: &str, last: f64) -> Files {
        let folder = std::env::temp_dir().join(format!("fusewire-peers-{name}"));
        fs::create_dir_all(&folder).unwrap();
        let layer = Dense::new(1, 1, vec![1.0], None, Activation::Identity).unwrap();
        let mut expected = vec![0.0; ROWS];
        expected[ROWS - 1] = last;
        let model = Model::from_layers(vec![layer]).unwrap();
        Files { folder, model, expected, onnx_from: String::new() }
    }

    /// A peer that scores every row 0, `less` bytes left out.
    fn zeros(path: PathBuf, less: usize) -> Runner {
        let script = format!(
            "while read -r line; do n=${{line#*:}}; n=${{n%%,*}}; \
             head -c $(({ROWS} / n * n * 4 - {less})) /dev/zero > '{}'; \
             echo '{{\"took\": {{\"1000\": 1}}}}'; done",
            path.display()
        );
        Runner::new(peers::ALL[0], String::new(), State::Running(shell(&script)))
    }

    fn checked(name: &str, last: f64, less: usize) -> Runner {
        let files = files(name, last);
        let mut runners = [zeros(files.scores(peers::ALL[0].name), less)];
        check(&mut runners, &files);
        let [runner] = runners;
        runner
    }

    #[test]
    fn right_answers_are_timed() {
        let mut runners = [checked("right", 0.0, 0)];
        assert!(matches!(runners[0].state, State::Running(_)));
        assert_eq!(runners[0].agreement.unwrap().rows, ROWS);
        let budget = Budget { slice: Duration::ZERO, rounds: 2 };
        measure(&mut runners, &budget);
        for batch in BATCHES {
            assert_eq!(runners[0].slices(batch).len(), 2);
            assert_eq!(runners[0].figures(batch).unwrap().p50_us, 1.0);
        }
        assert_eq!(runners[0].figures(7), None);
    }

    #[test]
    fn one_wrong_score_is_no_figure_and_a_fault() {
        let mut runners = [checked("wrong", 0.001, 0)];
        assert!(runners[0].state.is_fault());
        let State::Wrong(why) = &runners[0].state else { panic!("not told as wrong") };
        assert_eq!(why, "off by 1.0e-3 at batch 1; at most 1e-4");
        measure(&mut runners, &Budget { slice: Duration::ZERO, rounds: 1 });
        assert_eq!(runners[0].figures(1), None);
    }

    #[test]
    fn a_peer_that_is_not_there_is_no_fault() {
        assert!(!State::Missing(String::from("no module")).is_fault());
    }

    #[test]
    fn missing_scores_are_a_fault() {
        let runner = checked("short", 0.0, 4);
        let State::Failed(why) = &runner.state else { panic!("not told as failed") };
        assert_eq!(why, "4095 scores in place of 4096");
    }

    #[test]
    fn a_peer_that_dies_is_out_and_the_others_go_on() {
        let files = files("dies", 0.0);
        let dies = Runner::new(peers::ALL[1], String::new(), State::Running(shell("read -r line")));
        let mut runners = [dies, zeros(files.scores(peers::ALL[0].name), 0)];
        check(&mut runners, &files);
        assert!(matches!(&runners[0].state, State::Failed(why) if why.starts_with("it ended")));
        assert!(matches!(&runners[1].state, State::Running(_)));
    }
}
