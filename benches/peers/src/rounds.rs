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
