//! One batch in flight on a fake device.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::interpret::{first_values, interpret};
use super::script::{Fault, Scripted};
use super::{FakeExecutable, State};
use crate::backend::sealed::Sealed;
use crate::backend::{BackendError, ExecutionContext, Rows};

#[derive(Debug)]
pub(super) struct FakeContext {
    executable: FakeExecutable,
    /// The context's place among those of the device.
    number: u64,
    flight: Option<Flight>,
    scores: Vec<f32>,
}

/// A batch in flight: what it will write, and what happens first.
#[derive(Debug)]
struct Flight {
    scripted: Scripted,
    /// When its download ends; 0 in real time.
    end_ns: u64,
    /// When it may be complete in real time.
    end: Option<Instant>,
    scores: Vec<f32>,
}

/// How a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Running,
    Complete,
    Failed,
    Lost,
    Nonsense,
}

impl Flight {
    /// How the batch stands now. Asking counts: for a delay, a wrong status and a loss.
    fn status(&mut self, state: &mut State) -> Status {
        if state.timeline.as_ref().is_some_and(|timeline| timeline.now_ns() < self.end_ns) {
            return Status::Running;
        }
        if !self.left().is_zero() {
            return Status::Running;
        }
        match &mut self.scripted.fault {
            Fault::Hang | Fault::PanicAtWait => Status::Running,
            Fault::LateAfterHang if !state.script.is_finished(self.scripted.place) => {
                Status::Running
            }
            Fault::Delay(left) if *left > 0 => {
                *left -= 1;
                Status::Running
            }
            Fault::FailAtCompletion => Status::Failed,
            fault @ Fault::WrongStatus => {
                *fault = Fault::None;
                Status::Nonsense
            }
            Fault::Lose => {
                state.script.lost = true;
                Status::Lost
            }
            Fault::None
            | Fault::Delay(_)
            | Fault::FailAtSubmit
            | Fault::PanicAtSubmit
            | Fault::Stick
            | Fault::StickAtCompletion
            | Fault::LateAfterHang => Status::Complete,
        }
    }

    /// How long the batch takes yet, in real time.
    fn left(&self) -> Duration {
        self.end.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()))
    }
}

impl FakeContext {
    pub(super) fn new(executable: FakeExecutable, number: u64) -> FakeContext {
        FakeContext { executable, number, flight: None, scores: Vec::new() }
    }

    /// Holds the thread until the script lets this call go.
    fn stick(&self, place: u64) {
        let device = &self.executable.device;
        let mut state = device.lock();
        state.script.stuck += 1;
        while !state.script.is_released(place) {
            state = device.sleep(state);
        }
        state.script.stuck -= 1;
    }

    fn stick_at_completion(&self) {
        if let Some(Flight { scripted, .. }) = &self.flight
            && scripted.fault == Fault::StickAtCompletion
        {
            self.stick(scripted.place);
        }
    }

    /// How the batch stands; in real time, one that is running is waited for until the deadline.
    fn look(&mut self, deadline: Option<Instant>) -> Result<Status, BackendError> {
        let device = &self.executable.device;
        let mut state = device.lock();
        loop {
            if state.script.lost {
                return Ok(Status::Lost);
            }
            let Some(flight) = &mut self.flight else {
                let is_idle = self.scores.is_empty();
                return if is_idle { Err(BackendError::Idle) } else { Ok(Status::Complete) };
            };
            let status = flight.status(&mut state);
            let lasts = flight.left();
            let deadline = deadline.filter(|_| state.timeline.is_none());
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if status == Status::Running && !left.is_zero() => {
                    let left = if lasts.is_zero() { left } else { left.min(lasts) };
                    state = device.sleep_for(state, left);
                }
                _ => return Ok(status),
            }
        }
    }

    /// Takes the batch to where it stands, and says whether it is complete.
    fn advance(&mut self, deadline: Option<Instant>) -> Result<bool, BackendError> {
        let status = self.look(deadline)?;
        let device = &self.executable.device;
        match status {
            Status::Running => Ok(false),
            Status::Nonsense => Err(BackendError::Idle),
            Status::Complete => {
                if let Some(flight) = self.flight.take() {
                    self.scores = flight.scores;
                }
                Ok(true)
            }
            Status::Failed => {
                self.flight = None;
                Err(device.failed())
            }
            Status::Lost => {
                self.flight = None;
                // Others may be asleep over batches that are lost with this one.
                device.shared.changed.notify_all();
                Err(device.lost())
            }
        }
    }
}

impl Drop for FakeContext {
    fn drop(&mut self) {
        self.executable.device.shared.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sealed for FakeContext {}

impl ExecutionContext for FakeContext {
    fn submit_pieces(&mut self, pieces: &[Rows<'_>]) -> Result<(), BackendError> {
        let device = &self.executable.device;
        let plan = &self.executable.plan;
        if let Some(record) = &mut device.lock().record {
            record.push(pieces.iter().flat_map(|piece| first_values(plan, *piece)).collect());
        }
        device.check_alive()?;
        if self.flight.is_some() {
            return Err(BackendError::Busy);
        }
        let rows = Rows::count_batch(pieces, plan)?;
        let scripted = device.lock().script.next();
        match scripted.fault {
            Fault::FailAtSubmit => return Err(device.failed()),
            Fault::PanicAtSubmit => panic!("as scripted"),
            Fault::Stick => {
                self.stick(scripted.place);
                device.check_alive()?;
            }
            _ => {}
        }
        let scores = pieces.iter().flat_map(|piece| interpret(plan, *piece)).collect();
        let mut state = device.lock();
        let end_ns = match &mut state.timeline {
            Some(timeline) => timeline.schedule(self.number, rows),
            None => 0,
        };
        let end = (!state.lasting.is_zero()).then(|| Instant::now() + state.lasting);
        drop(state);
        self.scores.clear();
        self.flight = Some(Flight { scripted, end_ns, end, scores });
        Ok(())
    }

    fn is_complete(&mut self) -> Result<bool, BackendError> {
        self.stick_at_completion();
        self.advance(None)
    }

    fn wait(&mut self, deadline: Instant) -> Result<(), BackendError> {
        self.stick_at_completion();
        match self.flight.as_mut().map(|flight| &mut flight.scripted.fault) {
            Some(fault @ Fault::Delay(_)) => *fault = Fault::None,
            Some(Fault::PanicAtWait) => panic!("as scripted"),
            _ => {}
        }
        match self.advance(Some(deadline))? {
            true => Ok(()),
            false => {
                let device = self.executable.device.info.name.clone();
                Err(BackendError::Timeout { device })
            }
        }
    }

    fn scores(&self) -> &[f32] {
        &self.scores
    }
}
