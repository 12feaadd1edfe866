//! Memory and threads that a process may not have.

use fusewire::backend::{BackendError, HostMemory, cpu};
use fusewire::pipeline::PipelineError;
use fusewire::{Pipeline, PipelineConfig};

use crate::runner::own_process;
use crate::support::*;

const MIB: u64 = 1 << 20;

fn config(capacity: usize, max_rows: usize) -> PipelineConfig {
    PipelineConfig { capacity, max_rows, ..PipelineConfig::default() }
}

/// Whether a pipeline serves; a reason of one line why it could not be started.
fn serves(width: usize, config: PipelineConfig) -> Result<(), PipelineError> {
    let executable = load(&*cpu::open(), &wide(width), config.max_rows.max(256));
    let pipeline = Pipeline::start(executable, config)?;
    assert_eq!(pipeline.submit(&vec![1.0; width]).unwrap().wait().unwrap().scores(), [0.0; 3]);
    assert!(pipeline.shutdown(LONG).drained);
    Ok(())
}

fn is_out_of_memory(result: Result<(), PipelineError>) -> bool {
    match result {
        Err(error @ PipelineError::Backend(BackendError::OutOfMemory { .. })) => {
            error.to_string().lines().count() == 1
        }
        other => panic!("{other:?}"),
    }
}

pub fn memory() {
    if touched().is_none() {
        return println!("skipped: the system does not tell a process's memory");
    }
    for more in [256, 1024, 3072] {
        limit_memory(more * MIB);
        assert!(is_out_of_memory(serves(4, config(1 << 24, 256))), "a ring, in {more} MiB");
        assert!(is_out_of_memory(serves(4096, config(1 << 18, 256))), "rows, in {more} MiB");
        assert_eq!(serves(4, config(1024, 256)), Ok(()), "a small one, in {more} MiB");
        // No batch has more rows than the ring.
        assert_eq!(serves(1024, config(1024, 1 << 20)), Ok(()), "large batches, in {more} MiB");
    }
}

/// A process whose threads' stacks are larger than all memory.
pub fn no_threads() {
    const STACK: (&str, &str) = ("RUST_MIN_STACK", "70368744177664");
    if std::env::var_os(STACK.0).is_none() {
        let own = own_process("limits::threads_that_are_not_there_are_an_error", &[STACK]);
        assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));
        return;
    }
    let error = serves(4, config(64, 16)).unwrap_err();
    assert!(matches!(error, PipelineError::Thread { .. }), "{error}");
    assert_eq!(error.to_string().lines().count(), 1);
    assert!(is_alone());
}

/// A process with room for a few stacks.
pub fn few_threads() {
    const STACK: (&str, &str) = ("RUST_MIN_STACK", "268435456");
    if std::env::var_os(STACK.0).is_none() {
        let scenario = "limits::what_had_begun_is_ended_where_a_thread_is_missing";
        let own = own_process(scenario, &[STACK]);
        assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));
        return;
    }
    if touched().is_none() {
        return println!("skipped: the system does not tell a process's memory");
    }
    let workers = 4;
    let mut refused = 0;
    for stacks in 0..12 {
        limit_memory((stacks * 256 + 96) * MIB);
        match serves(4, PipelineConfig { workers, ..config(64, 16) }) {
            Ok(()) => assert!(stacks > workers as u64, "{stacks}"),
            Err(error) => {
                assert!(matches!(error, PipelineError::Thread { .. }), "{error}");
                refused += 1;
            }
        }
        assert!(is_alone(), "a thread is left with room for {stacks}");
    }
    assert!(refused > workers, "{refused}");
}

pub fn untouched() {
    let Some(before) = touched() else {
        return println!("skipped: the system does not tell a process's memory");
    };
    let more = || touched().map_or(0, |now| now.saturating_sub(before)) / MIB;
    let block = HostMemory::new(1 << 30).unwrap();
    assert!(more() < 100, "{} MiB of a block that nobody wrote", more());
    drop(block);
    let executable = load(&*cpu::open(), &wide(4096), 256);
    let pipeline = Pipeline::start(executable, config(1 << 17, 256)).unwrap();
    assert!(more() < 300, "{} MiB of 2048 before the first row", more());
    assert!(pipeline.shutdown(LONG).drained);
}
