//! What is to happen to the batches of a fake device.

use std::collections::VecDeque;

/// What happens to one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the batch completes.
    None,
    /// The batch completes once [`is_complete`] was asked this many times.
    ///
    /// [`is_complete`]: crate::backend::ExecutionContext::is_complete
    Delay(u32),
    /// [`submit_pieces`] fails; the device lives on.
    ///
    /// [`submit_pieces`]: crate::backend::ExecutionContext::submit_pieces
    FailAtSubmit,
    /// The failure shows only when the batch is waited for; the device lives on.
    FailAtCompletion,
    /// [`submit_pieces`] does not return until [`release`](super::FakeDevice::release) is called,
    /// and reads the rows only then: a call of a driver that hangs. The batch then completes.
    ///
    /// [`submit_pieces`]: crate::backend::ExecutionContext::submit_pieces
    Stick,
    /// Who asks about the batch, or waits for it, is held until [`release`] is called. The batch
    /// then is complete.
    ///
    /// [`release`]: super::FakeDevice::release
    StickAtCompletion,
    /// The batch never completes.
    Hang,
    /// The batch completes only after [`finish_hung`](super::FakeDevice::finish_hung) was called: a
    /// device that was given up and comes back.
    LateAfterHang,
    /// The first answer about the batch is [`Idle`](crate::backend::BackendError::Idle), which
    /// makes no sense while it is in flight: a driver that reports a wrong status. The batch then
    /// completes.
    WrongStatus,
    /// The device is lost while the batch is in flight, and stays lost.
    Lose,
    /// [`submit_pieces`] panics.
    ///
    /// [`submit_pieces`]: crate::backend::ExecutionContext::submit_pieces
    PanicAtSubmit,
    /// The batch never completes, and who [waits] for it panics.
    ///
    /// [waits]: crate::backend::ExecutionContext::wait
    PanicAtWait,
}

/// A fault and its place among all that were scripted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scripted {
    pub(super) fault: Fault,
    pub(super) place: u64,
}

/// The faults to come, and what became of those before.
#[derive(Debug, Default)]
pub(super) struct Script {
    faults: VecDeque<Fault>,
    /// Faults that batches took.
    taken: u64,
    /// Places before this one are not held any longer, should they stick.
    released: u64,
    /// Places before this one complete, should they hang for a while.
    finished: u64,
    /// Calls that are stuck.
    pub(super) stuck: usize,
    pub(super) lost: bool,
    pub(super) loads_left: Option<u32>,
}

impl Script {
    pub(super) fn append(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.extend(faults);
    }

    /// The next batch's fault.
    pub(super) fn next(&mut self) -> Scripted {
        let place = self.taken;
        match self.faults.pop_front() {
            Some(fault) => {
                self.taken += 1;
                Scripted { fault, place }
            }
            None => Scripted { fault: Fault::None, place },
        }
    }

    pub(super) fn release(&mut self) {
        self.released = self.scripted();
    }

    pub(super) fn is_released(&self, place: u64) -> bool {
        place < self.released
    }

    pub(super) fn finish_hung(&mut self) {
        self.finished = self.scripted();
    }

    pub(super) fn is_finished(&self, place: u64) -> bool {
        place < self.finished
    }

    /// Whether there is memory for one more plan.
    pub(super) fn may_load(&mut self) -> bool {
        match &mut self.loads_left {
            Some(0) => return false,
            Some(left) => *left -= 1,
            None => {}
        }
        true
    }

    /// All faults there have been.
    fn scripted(&self) -> u64 {
        self.taken + self.faults.len() as u64
    }
}
