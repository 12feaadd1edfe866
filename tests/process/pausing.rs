//! A process that stands still for a while.

use std::collections::VecDeque;
use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fusewire::pipeline::Health;
use fusewire::{Pipeline, PipelineConfig};

use crate::support::*;

/// Set in the process that is stopped.
const STOPPED: &str = "FUSEWIRE_STOPPED";
const TIMEOUT: Duration = Duration::from_millis(500);

/// A process under load is stopped for longer than a batch may take, and continued, several times.
pub fn stopped() {
    if env::var_os(STOPPED).is_some() {
        return serves();
    }
    let program = env::current_exe().expect("this program's file");
    let child = Command::new(program)
        .env(STOPPED, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program can be run");
    // The first of these may come before it serves.
    for _ in 0..4 {
        thread::sleep(TIMEOUT);
        signal(child.id() as i32, libc::SIGSTOP);
        thread::sleep(3 * TIMEOUT);
        signal(child.id() as i32, libc::SIGCONT);
    }
    let output = child.wait_with_output().expect("its output");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    println!("{text}");
}

/// Keeps a device that calls for a driver busy, for longer than all the stops.
fn serves() {
    let device = fake().lasting(TIMEOUT / 4);
    let config = PipelineConfig { batch_timeout: TIMEOUT, max_rows: 8, ..Default::default() };
    let pipeline = Pipeline::start(load(&device, &identity(4), 256), config).unwrap();
    let end = Instant::now() + 20 * TIMEOUT;
    let mut tickets = VecDeque::new();
    let (mut rows, mut pauses, mut last) = (0, 0, Instant::now());
    while Instant::now() < end {
        while tickets.len() < 32 {
            tickets.push_back(pipeline.submit(&[rows as f32, 0.0, 0.0, 0.0]).unwrap());
            rows += 1;
        }
        let first = (rows - tickets.len()) as f32;
        let reply = tickets.pop_front().unwrap().wait().unwrap();
        assert_eq!(reply.scores()[0], first);
        pauses += u32::from(last.elapsed() > 2 * TIMEOUT);
        last = Instant::now();
    }
    assert_eq!(pipeline.health(), Health::Ready);
    println!("{rows} rows, {pauses} pauses");
    assert!(pauses > 0, "it was never stopped");
}
