//! Continuous input: rows in, replies out, in order, with so many of them under way at once.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::super::backend::Rows;
use super::config::SubmitOptions;
use super::error::{ClassifyError, SubmitError};
use super::handle::Pipeline;
use super::line::Line;
use super::ticket::{Reply, Ticket};
use super::waiter::Waiter;

/// What becomes of one row of a feed.
type Fed = Result<Reply, ClassifyError>;

impl Pipeline {
    /// Feeds rows from an iterator through the pipeline, `window` of them at once, or one where
    /// that is 0: an iterator over their replies, in order. Replies are [detached](Reply::detach):
    /// they hold no rows of the ring, so that all of them may be collected. A row that cannot be
    /// taken gives an error in its place; the others go on.
    pub fn feed<I>(&self, rows: I, window: usize) -> Feed<I::IntoIter>
    where
        I: IntoIterator,
        for<'a> &'a I::Item: Into<Rows<'a>>,
    {
        let (pipeline, rows) = (self.clone(), rows.into_iter());
        Feed { pipeline, rows, waiting: None, under_way: VecDeque::new(), window: window.max(1) }
    }

    /// Feeds rows from a stream through the pipeline, `window` of them at once, or one where that
    /// is 0: a stream of their replies, in order, that belongs to no executor. It takes no more
    /// from `rows` while the window or the ring is full. Replies are [detached](Reply::detach).
    pub fn feed_stream<S>(&self, rows: S, window: usize) -> FeedStream<S>
    where
        S: Stream + Unpin,
        for<'a> &'a S::Item: Into<Rows<'a>>,
    {
        let line = Line::new(self.core(), SubmitOptions::default().priority.lane());
        let (pipeline, under_way) = (self.clone(), VecDeque::new());
        let window = window.max(1);
        FeedStream { pipeline, rows: Some(rows), waiting: None, line, under_way, window }
    }
}

/// Replies to the rows of an iterator; see [`Pipeline::feed`].
#[derive(Debug)]
pub struct Feed<I: Iterator> {
    pipeline: Pipeline,
    rows: I,
    /// A row for which there was no room yet.
    waiting: Option<I::Item>,
    under_way: VecDeque<Result<Ticket, SubmitError>>,
    window: usize,
}

impl<I> Iterator for Feed<I>
where
    I: Iterator,
    for<'a> &'a I::Item: Into<Rows<'a>>,
{
    type Item = Fed;

    fn next(&mut self) -> Option<Fed> {
        while self.under_way.len() < self.window {
            let Some(row) = self.waiting.take().or_else(|| self.rows.next()) else { break };
            let taken = match self.pipeline.try_one(&row, None) {
                // The reply that is handed out below makes room.
                Err(SubmitError::Full) if !self.under_way.is_empty() => {
                    self.waiting = Some(row);
                    break;
                }
                Err(SubmitError::Full) => {
                    self.pipeline.submit_blocking(&row, &SubmitOptions::default())
                }
                taken => taken,
            };
            self.under_way.push_back(taken);
        }
        let ticket = self.under_way.pop_front()?;
        Some(settle(ticket))
    }
}

/// Replies to the rows of a stream; see [`Pipeline::feed_stream`].
#[derive(Debug)]
pub struct FeedStream<S: Stream> {
    pipeline: Pipeline,
    /// `None` at its end.
    rows: Option<S>,
    /// A row for which there was no room yet.
    waiting: Option<S::Item>,
    line: Line,
    under_way: VecDeque<Result<Ticket, SubmitError>>,
    window: usize,
}

// Neither rows nor tickets are ever pinned, but for the stream itself, which does not mind.
impl<S: Stream + Unpin> Unpin for FeedStream<S> {}

impl<S> FeedStream<S>
where
    S: Stream + Unpin,
    for<'a> &'a S::Item: Into<Rows<'a>>,
{
    /// The next row, where there is one now.
    fn next_row(&mut self, context: &mut Context<'_>) -> Option<S::Item> {
        if let Some(row) = self.waiting.take() {
            return Some(row);
        }
        match Pin::new(self.rows.as_mut()?).poll_next(context) {
            Poll::Ready(Some(row)) => Some(row),
            Poll::Ready(None) => {
                self.rows = None;
                None
            }
            Poll::Pending => None,
        }
    }

    /// Submits rows until the window or the ring is full, or there are none now.
    fn fill(&mut self, context: &mut Context<'_>) {
        while self.under_way.len() < self.window {
            let Some(row) = self.next_row(context) else { return };
            let mut taken = self.pipeline.try_one(&row, self.line.place());
            // The reply that is handed out next makes room, where there is one.
            if matches!(taken, Err(SubmitError::Full)) && self.under_way.is_empty() {
                // Says that it waits for room, and tries once more.
                self.line.join(Waiter::Task(context.waker().clone()));
                taken = self.pipeline.try_one(&row, self.line.place());
            }
            if matches!(taken, Err(SubmitError::Full)) {
                self.waiting = Some(row);
                return;
            }
            self.line.leave(taken.is_ok());
            self.under_way.push_back(taken);
        }
    }
}

impl<S> Stream for FeedStream<S>
where
    S: Stream + Unpin,
    for<'a> &'a S::Item: Into<Rows<'a>>,
{
    type Item = Fed;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Fed>> {
        let feed = &mut *self;
        feed.fill(context);
        match feed.under_way.front_mut() {
            None if feed.rows.is_none() && feed.waiting.is_none() => return Poll::Ready(None),
            None => return Poll::Pending,
            Some(Ok(ticket)) if ticket.register(context) => {
                return Poll::Pending;
            }
            Some(_) => {}
        }
        // It is ready, so this does not wait.
        Poll::Ready(feed.under_way.pop_front().map(settle))
    }
}

/// Waits for a row that was submitted. Its reply leaves the row of the ring to the feed, which
/// would have none left once its caller keeps as many replies as there are rows.
fn settle(taken: Result<Ticket, SubmitError>) -> Fed {
    Ok(taken?.wait()?.detach())
}
