//! The side of a Rust peer: answers one request a line until the runner closes the pipe.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::files::{self, Images, Network};
use crate::peers::{self, Batch, Peer};
use crate::protocol::{Answer, Hello, Missing, Request};

/// Calls that the clock covers at least, however long they take.
const CALLS_MIN: usize = 3;

/// Loads the peer and serves it.
pub fn serve(name: &str, folder: &Path) -> Result<()> {
    let mut server = match Server::load(name, folder) {
        Ok(server) => server,
        Err(error) if error.is::<Missing>() => return say(&Hello::Missing(error.to_string())),
        Err(error) => return say(&Hello::Failed(format!("{error:#}"))),
    };
    say(&Hello::Ready { version: server.peer.version() })?;
    for line in io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let took = match request.seconds {
            None => server.answer_all(request.batch, &files::scores(folder, name)),
            Some(seconds) => server.time(request.batch, Duration::from_secs_f64(seconds)),
        };
        say(&took.map_or_else(|error| Answer::Failed(format!("{error:#}")), Answer::Took))?;
    }
    Ok(())
}

fn say(what: &impl Serialize) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    Ok(out.flush()?)
}

/// A peer, and the rows that its batches walk through.
struct Server {
    peer: Box<dyn Peer>,
    network: Network,
    images: Images,
    /// The number of the next batch.
    next: usize,
}

impl Server {
    fn load(name: &str, folder: &Path) -> Result<Server> {
        let network = Network::read(folder)?;
        let images = Images::read(folder)?;
        Ok(Server { peer: peers::load(name, folder)?, network, images, next: 0 })
    }

    /// Runs the next batch.
    fn run(&mut self, rows: usize, scores: &mut [f32]) -> Result<()> {
        let first = self.next % (self.network.rows / rows) * rows;
        self.next += 1;
        let part = first * self.network.inputs..(first + rows) * self.network.inputs;
        let (values, bytes) = (&self.images.values[part.clone()], &self.images.bytes[part]);
        self.peer.run(Batch { rows, values, bytes }, scores)
    }

    /// Writes the scores of every row that batches of this size visit.
    fn answer_all(&mut self, rows: usize, to: &Path) -> Result<BTreeMap<u64, u64>> {
        self.next = 0;
        let mut scores = vec![f32::NAN; rows * self.network.classes];
        let mut all = Vec::new();
        for _ in 0..self.network.rows / rows {
            scores.fill(f32::NAN);
            self.run(rows, &mut scores)?;
            all.extend(scores.iter().flat_map(|score| score.to_ne_bytes()));
        }
        fs::write(to, all)?;
        Ok(BTreeMap::new())
    }

    fn time(&mut self, rows: usize, length: Duration) -> Result<BTreeMap<u64, u64>> {
        ensure!(rows > 0 && rows <= self.network.rows, "a batch of {rows} rows");
        let mut scores = vec![0.0; rows * self.network.classes];
        let begun = Instant::now();
        while begun.elapsed() < length / 10 {
            self.run(rows, &mut scores)?;
        }
        let (begun, mut took) = (Instant::now(), Vec::new());
        while took.len() < CALLS_MIN || begun.elapsed() < length {
            let start = Instant::now();
            self.run(rows, &mut scores)?;
            took.push(start.elapsed().as_nanos() as u64);
        }
        let mut counts = BTreeMap::new();
        for ns in took {
            *counts.entry(ns).or_insert(0) += 1;
        }
        Ok(counts)
    }
}
