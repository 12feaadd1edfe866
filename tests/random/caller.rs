//! Callers who do whatever callers may do, by chance, and what they know together.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::mpsc::{Receiver, Sender};
use shuttle::thread;

use super::pipeline::{
    Metrics, Pipeline, PipelineConfig, Reply, ReplyError, SubmitError, SubmitOptions, Ticket,
};
use crate::explore::Seen;

/// What each caller does in an execution.
const DEEDS: usize = 5;

/// A whole number from `low` to `high`.
pub(crate) fn chance(low: usize, high: usize) -> usize {
    thread_rng().gen_range(low..=high)
}

/// What callers share. They only count here, which no other thread is to come between.
pub(crate) struct Shared {
    config: PipelineConfig,
    seen: Seen,
    /// The version that rows submitted now run with, at least.
    version: AtomicU64,
    admitted: AtomicU64,
    rejected: AtomicU64,
    /// Rows whose scores were read.
    read: AtomicU64,
    /// Rows of tickets that were dropped.
    dropped: AtomicU64,
    /// Rows that were turned away.
    turned_away: AtomicU64,
}

/// A request that waits for its answer.
pub(crate) struct Asked {
    ticket: Ticket,
    ids: Vec<u64>,
    version: u64,
}

impl Shared {
    pub(crate) fn new(config: PipelineConfig, seen: Seen) -> Shared {
        Shared {
            config,
            seen,
            version: AtomicU64::new(1),
            admitted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            read: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    pub(crate) fn swapped(&self) {
        self.version.store(2, Ordering::Relaxed);
    }

    /// Waits for what callers leave to others, until the last of them is gone.
    pub(crate) fn wait_for_all(&self, asked: Receiver<Asked>) {
        for asked in asked {
            drop(self.wait_for(asked));
            self.seen.note("waited for another's", 1);
        }
    }

    /// Waits for an answer, and checks it.
    fn wait_for(&self, asked: Asked) -> Option<Reply> {
        let Asked { ticket, ids, version } = asked;
        let answer = if chance(0, 1) == 0 { ticket.wait() } else { block_on(ticket) };
        self.check_answer(answer, &ids, version)
    }

    fn check_answer(
        &self,
        answer: Result<Reply, ReplyError>,
        ids: &[u64],
        version: u64,
    ) -> Option<Reply> {
        let rows = ids.len() as u64;
        let reply = match answer {
            Ok(reply) => reply,
            Err(ReplyError::ShutDown) => {
                self.turned_away.fetch_add(rows, Ordering::Relaxed);
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(reply.len(), ids.len());
        let ran = reply.first().version();
        assert!((version..=2).contains(&ran), "a version of its time");
        for (row, id) in reply.rows().zip(ids) {
            assert_eq!(row.scores(), [*id as f32, ran as f32], "its own row, and one version");
        }
        self.read.fetch_add(rows, Ordering::Relaxed);
        Some(reply)
    }

    /// Takes every row of the ring at once, which is possible once nobody else has any.
    pub(crate) fn take_every_row(&self, pipeline: &Pipeline) {
        for (capacity, options) in self.lanes() {
            let mut guards = Vec::new();
            while guards.len() < capacity {
                match pipeline.reserve_with::<f32>(&options) {
                    Ok(guard) => guards.push(guard),
                    // A worker has yet to clear away what was given up.
                    Err(SubmitError::Full) => {
                        self.rejected.fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn lanes(&self) -> impl Iterator<Item = (usize, SubmitOptions)> {
        let capacities = [self.config.capacity, self.config.bulk_capacity];
        let options = [SubmitOptions::default(), SubmitOptions::bulk()];
        let rows = |capacity: usize| if capacity > 0 { capacity.next_power_of_two() } else { 0 };
        capacities.map(rows).into_iter().zip(options).filter(|(capacity, _)| *capacity > 0)
    }

    /// The pipeline's counts at its end, which agree with the callers'.
    pub(crate) fn check(&self, pipeline: &Pipeline) -> Metrics {
        let metrics = pipeline.metrics();
        let counted = |count: &AtomicU64| count.load(Ordering::Relaxed);
        assert!(metrics.conserves() && metrics.pending == 0, "{metrics}");
        assert_eq!(metrics.admitted, counted(&self.admitted), "{metrics}");
        assert_eq!(metrics.rejected, counted(&self.rejected), "{metrics}");
        // Of what was dropped, and of requests that were turned away, some rows may have run.
        let read = counted(&self.read);
        let others = counted(&self.dropped) + counted(&self.turned_away);
        assert!((read..=read + others).contains(&metrics.completed), "{metrics}");
        assert!(metrics.shut_down <= others, "{metrics}");
        metrics
    }
}

/// One thread that uses the pipeline.
pub(crate) struct Caller {
    pipeline: Pipeline,
    shared: Arc<Shared>,
    /// Takes what somebody else is to wait for.
    others: Sender<Asked>,
    next_id: u64,
    /// An answer that is kept for a while.
    kept: Option<Reply>,
    /// Asks for room, and is not polled.
    forgotten: Option<Asking>,
    /// The rows that the pipeline had taken at the last look.
    admitted: u64,
}

/// A future that asks for room.
type Asking = Pin<Box<dyn Future<Output = Result<Ticket, SubmitError>> + Send>>;

impl Caller {
    pub(crate) fn new(
        number: usize,
        pipeline: Pipeline,
        shared: &Arc<Shared>,
        others: Sender<Asked>,
    ) -> Caller {
        let (shared, next_id) = (Arc::clone(shared), 100 * (number as u64 + 1));
        Caller { pipeline, shared, others, next_id, kept: None, forgotten: None, admitted: 0 }
    }

    /// Does a number of things, unless the pipeline is shut down before.
    pub(crate) fn run(&mut self) {
        for _ in 0..DEEDS {
            let done = match chance(0, 10) {
                0..=2 => self.submit(),
                3 => self.submit_blocking(),
                4 => self.submit_async(),
                5..=6 => self.reserve(),
                7 => self.submit_and_drop(),
                8 => self.ask_and_forget(),
                9 => self.look(),
                _ => {
                    self.kept = None;
                    Ok(())
                }
            };
            match done {
                Ok(()) => {}
                Err(SubmitError::Full) => _ = self.kept.take(),
                Err(SubmitError::ShutDown) => return self.shared.seen.note("shut down", 1),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Submits whenever there is room, and reads an answer where there is none.
    pub(crate) fn hurry(&mut self) {
        let mut asked = VecDeque::new();
        for _ in 0..2 * DEEDS {
            let (values, ids) = self.rows(1);
            let taken = self.pipeline.submit(&values);
            match self.counted(1, taken) {
                Ok(ticket) => asked.push_back(Asked { ticket, ids, version: 1 }),
                Err(SubmitError::Full) => {
                    self.kept = asked.pop_front().and_then(|asked| self.shared.wait_for(asked));
                }
                Err(error) => panic!("{error}"),
            }
        }
        for asked in asked {
            drop(self.shared.wait_for(asked));
        }
    }

    /// As many rows as asked for, and which they are.
    fn rows(&mut self, count: usize) -> (Vec<f32>, Vec<u64>) {
        let ids: Vec<u64> = (self.next_id..).take(count).collect();
        self.next_id += count as u64;
        (ids.iter().flat_map(|id| [*id as f32, 1.0]).collect(), ids)
    }

    /// A lane and how many rows it has.
    fn lane(&self) -> (usize, SubmitOptions) {
        let lanes: Vec<_> = self.shared.lanes().collect();
        lanes[chance(0, lanes.len() - 1)]
    }

    fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Relaxed)
    }

    /// Counts what came of asking for so many rows.
    fn counted<T>(&self, rows: usize, taken: Result<T, SubmitError>) -> Result<T, SubmitError> {
        let count = match &taken {
            Ok(_) => &self.shared.admitted,
            Err(SubmitError::Full) => &self.shared.rejected,
            Err(_) => return taken,
        };
        count.fetch_add(rows as u64, Ordering::Relaxed);
        taken
    }

    /// One or more rows, some of which another caller waits for.
    fn submit(&mut self) -> Result<(), SubmitError> {
        let (capacity, options) = self.lane();
        let (values, ids) = self.rows(chance(1, capacity.min(3)));
        let version = self.version();
        let taken = self.pipeline.submit_many_with(&values, &options);
        let ticket = self.counted(ids.len(), taken)?;
        self.settle(Asked { ticket, ids, version });
        Ok(())
    }

    /// Waits for room where there is none. Nothing may be kept meanwhile: all might wait.
    fn submit_blocking(&mut self) -> Result<(), SubmitError> {
        self.kept = None;
        let (_, options) = self.lane();
        let (values, ids) = self.rows(1);
        let version = self.version();
        let taken = self.pipeline.submit_blocking(&values, &options);
        let ticket = self.counted(1, taken)?;
        self.settle(Asked { ticket, ids, version });
        Ok(())
    }

    /// As a task of an executor.
    fn submit_async(&mut self) -> Result<(), SubmitError> {
        self.kept = None;
        let (_, options) = self.lane();
        let (values, ids) = self.rows(1);
        let version = self.version();
        let (pipeline, shared) = (self.pipeline.clone(), Arc::clone(&self.shared));
        let answer = block_on(async {
            let ticket = pipeline.submit_async(&values, &options).await?;
            shared.admitted.fetch_add(1, Ordering::Relaxed);
            Ok(ticket.await)
        })?;
        drop(self.shared.check_answer(answer, &ids, version));
        Ok(())
    }

    /// Reserves a row, and commits it or gives it back after a while.
    fn reserve(&mut self) -> Result<(), SubmitError> {
        let (_, options) = self.lane();
        let version = self.version();
        let reserved = self.pipeline.reserve_with::<f32>(&options);
        let mut guard = reserved.inspect_err(|error| {
            if *error == SubmitError::Full {
                self.shared.rejected.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        for _ in 0..chance(0, 3) {
            thread::yield_now();
        }
        if chance(0, 2) == 0 {
            drop(guard);
            return Ok(());
        }
        let (values, ids) = self.rows(1);
        guard.copy_from_slice(&values);
        let ticket = self.counted(1, guard.commit())?;
        self.settle(Asked { ticket, ids, version });
        Ok(())
    }

    /// Asks for room, and does not come for it where it has to wait, for a while or for ever.
    fn ask_and_forget(&mut self) -> Result<(), SubmitError> {
        let (_, options) = self.lane();
        let (values, ids) = self.rows(1);
        let (version, pipeline) = (self.version(), self.pipeline.clone());
        let mut asks: Asking =
            Box::pin(async move { pipeline.submit_async(&values, &options).await });
        match asks.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(taken) => {
                let ticket = self.counted(1, taken)?;
                self.settle(Asked { ticket, ids, version });
            }
            Poll::Pending => {
                self.shared.seen.note("forgotten", 1);
                self.forgotten = Some(asks);
            }
        }
        Ok(())
    }

    /// Looks at the counts, which never go down, while handles come and go.
    fn look(&mut self) -> Result<(), SubmitError> {
        drop(self.pipeline.clone());
        let now = self.pipeline.metrics();
        assert!(self.admitted <= now.admitted, "{} before, then {now}", self.admitted);
        assert!(now.answered() <= now.admitted, "{now}");
        self.admitted = now.admitted;
        Ok(())
    }

    fn submit_and_drop(&mut self) -> Result<(), SubmitError> {
        let (values, ids) = self.rows(1);
        let taken = self.pipeline.submit(&values);
        let ticket = self.counted(ids.len(), taken)?;
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        drop(ticket);
        Ok(())
    }

    /// Waits for an answer, or leaves that to others.
    fn settle(&mut self, asked: Asked) {
        match chance(0, 2) {
            0 => self.others.send(asked).unwrap(),
            1 => self.kept = self.shared.wait_for(asked),
            _ => drop(self.shared.wait_for(asked)),
        }
    }
}
