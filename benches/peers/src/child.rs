//! A peer's process, as the runner sees it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;

use crate::protocol::{Answer, Hello, Request};
use crate::times::Times;

/// How long a peer may take to load, or to answer beyond the time it was asked to spend.
const PATIENCE: Duration = Duration::from_secs(180);

/// What every peer is told of threads; each takes heed of some of it.
const ONE_THREAD: [&str; 9] = [
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TBB_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
];

/// A running peer; it ends with this.
pub struct Child {
    process: std::process::Child,
    requests: ChildStdin,
    answers: Receiver<String>,
    log: PathBuf,
}

impl Child {
    /// Starts the command with one thread and no card, what it says on standard error going to
    /// `log`.
    pub fn start(mut command: Command, log: &Path) -> Result<Child> {
        command.envs(ONE_THREAD.map(|name| (name, "1")));
        command.env("CUDA_VISIBLE_DEVICES", "").env("TF_CPP_MIN_LOG_LEVEL", "2");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(log)?);
        let name = command.get_program().to_string_lossy().into_owned();
        let mut process = command.spawn().with_context(|| name)?;
        let requests = process.stdin.take().context("no pipe to the peer")?;
        let lines = BufReader::new(process.stdout.take().context("no pipe from the peer")?).lines();
        let (send, answers) = mpsc::channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| send.send(line)));
        Ok(Child { process, requests, answers, log: log.to_owned() })
    }

    /// What the peer says first.
    pub fn hello(&mut self) -> Result<Hello> {
        self.next(PATIENCE)
    }

    /// Asks for a slice of calls or, without seconds, for all scores.
    pub fn ask(&mut self, request: &Request) -> Result<Times> {
        let line = serde_json::to_string(request)?;
        let sent = writeln!(self.requests, "{line}").and_then(|()| self.requests.flush());
        sent.map_err(|_| self.died())?;
        let busy = Duration::from_secs_f64(request.seconds.unwrap_or_default() * 2.0);
        match self.next(PATIENCE + busy)? {
            Answer::Took(counts) => Ok(Times::new(counts)),
            Answer::Failed(why) => bail!("{why}"),
        }
    }

    /// The processor time that all of the peer's threads have had, where the system tells.
    pub fn processor_s(&self) -> Option<f64> {
        ticks_of(&fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?)
            .map(|ticks| ticks as f64 / TICKS_PER_S)
    }

    fn next<T: DeserializeOwned>(&mut self, patience: Duration) -> Result<T> {
        let line = self.answers.recv_timeout(patience).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => anyhow!("no answer within {patience:?}"),
            mpsc::RecvTimeoutError::Disconnected => self.died(),
        })?;
        serde_json::from_str(&line).with_context(|| format!("{line:.80} is no answer"))
    }

    /// The end of the peer: its status, and its last words.
    fn died(&mut self) -> anyhow::Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word");
        match self.status() {
            Some(status) => anyhow!("it ended ({status}): {last}"),
            None => anyhow!("it closed its pipe: {last}"),
        }
    }

    /// How it ended, which the system may tell a moment after its pipe was closed.
    fn status(&mut self) -> Option<ExitStatus> {
        for _ in 0..100 {
            if let Some(status) = self.process.try_wait().ok()? {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended already needs neither.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Linux counts in hundredths of a second, whatever its own clock.
const TICKS_PER_S: f64 = 100.0;

/// User and system time from a line of `/proc/PID/stat`; the name in it may hold anything.
fn ticks_of(stat: &str) -> Option<u64> {
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || after_name.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[test]
fn processor_time_is_read_after_any_name() {
    let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
    assert_eq!(ticks_of(stat), Some(300));
    assert_eq!(ticks_of("7 (a) S 1 2"), None);
}

/// A peer that is a script, for tests.
#[cfg(test)]
pub fn shell(script: &str) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    let mut hash = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(script, &mut hash);
    let name = format!("fusewire-peers-{:x}.log", std::hash::Hasher::finish(&hash));
    let log = std::env::temp_dir().join(name);
    Child::start(command, &log).unwrap()
}

#[test]
fn a_peer_is_asked_and_answers() {
    let mut child = shell(
        "echo '{\"ready\": {\"version\": \"a\"}}'; read line; \
         [ \"$line\" = '{\"batch\":2,\"seconds\":0.5}' ] && echo '{\"took\": {\"5\": 2}}'; cat",
    );
    assert_eq!(child.hello().unwrap(), Hello::Ready { version: String::from("a") });
    let times = child.ask(&Request { batch: 2, seconds: Some(0.5) }).unwrap();
    assert_eq!(times.calls(), 2);
}

#[test]
fn a_peer_that_ends_leaves_its_last_words() {
    let mut child = shell("echo first >&2; echo 'out of luck' >&2; exit 3");
    assert_eq!(child.hello().unwrap_err().to_string(), "it ended (exit status: 3): out of luck");
}
