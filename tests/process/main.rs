//! What happens to a whole process: it forks, stands still, is short of memory or threads, or ends.
//!
//! Each scenario runs in a process of its own, which this program starts as itself with the
//! scenario's name, so that a fork finds no threads of a test runner, and a limit or an abort ends
//! nothing else.

#[cfg(unix)]
mod forking;
#[cfg(unix)]
mod leaving;
#[cfg(unix)]
mod limits;
#[cfg(unix)]
mod pausing;
#[cfg(unix)]
mod runner;
#[cfg(unix)]
mod support;

#[cfg(unix)]
fn main() {
    runner::main(&[
        ("forking::a_child_is_told_and_its_parent_serves_on", forking::told),
        ("forking::a_child_waits_for_no_lock_of_its_parent", forking::locks),
        ("forking::a_child_may_start_its_own", forking::own),
        ("limits::memory_that_is_not_there_is_an_error", limits::memory),
        ("limits::threads_that_are_not_there_are_an_error", limits::no_threads),
        ("limits::what_had_begun_is_ended_where_a_thread_is_missing", limits::few_threads),
        ("limits::memory_is_there_before_it_is_touched", limits::untouched),
        ("pausing::a_process_that_stood_still_goes_on", pausing::stopped),
        ("leaving::main_may_return_while_a_device_joins", leaving::joining),
    ]);
}

#[cfg(not(unix))]
fn main() {
    println!("skipped: processes are forked, stopped and limited on unix alone");
}
