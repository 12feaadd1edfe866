//! What producers hand over, and how its answers are told from wrong ones.

use super::super::error::BenchError;
use super::rig::CLASSES;
use crate::pipeline::{Pipeline, Reply, SubmitError, Ticket};

/// Requests of one producer, told apart by number.
pub(super) trait Traffic: Send {
    /// Rows in a request.
    fn rows(&self) -> usize;

    /// Hands request `number` over.
    fn send(&mut self, pipeline: &Pipeline, number: u64) -> Result<Ticket, SubmitError>;

    /// Compares every score of the answer with what it has to be.
    fn check(&self, number: u64, reply: &Reply) -> Result<(), BenchError>;
}

/// How a row comes into the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Copied there from the caller's memory.
    Submit,
    /// Written there by the caller.
    Reserve,
    /// Copied there with fifteen others, as one request.
    SubmitMany,
}

impl Way {
    pub(super) const ALL: [Way; 3] = [Way::Submit, Way::Reserve, Way::SubmitMany];
    const MANY: usize = 16;

    /// The way's name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Way::Submit => "submit",
            Way::Reserve => "reserve",
            Way::SubmitMany => "submit_many",
        }
    }
}

/// Rows of bytes for the device that computes nothing. The bytes that become scores are the
/// request's number, its producer and the row's place in it: no two requests of a run are alike.
#[derive(Debug)]
pub(super) struct Numbered {
    way: Way,
    width: usize,
    producer: u8,
    buffer: Vec<u8>,
}

impl Numbered {
    /// Rows of `width` bytes, at least as many as there are scores.
    pub(super) fn new(way: Way, width: usize, producer: u8) -> Numbered {
        let rows = if way == Way::SubmitMany { Way::MANY } else { 1 };
        Numbered { way, width, producer, buffer: vec![producer; rows * width] }
    }

    fn head(&self, number: u64, row: usize) -> [u8; CLASSES] {
        let mut head = [0; CLASSES];
        head[..8].copy_from_slice(&number.to_le_bytes());
        head[8] = self.producer;
        // A request has sixteen rows at most.
        head[9] = row as u8;
        head
    }
}

impl Traffic for Numbered {
    fn rows(&self) -> usize {
        self.buffer.len() / self.width
    }

    fn send(&mut self, pipeline: &Pipeline, number: u64) -> Result<Ticket, SubmitError> {
        if self.way == Way::Reserve {
            let mut row = pipeline.reserve::<u8>()?;
            row[..CLASSES].copy_from_slice(&self.head(number, 0));
            row[CLASSES..].fill(self.producer);
            return row.commit();
        }
        for row in 0..self.rows() {
            let head = self.head(number, row);
            self.buffer[row * self.width..][..CLASSES].copy_from_slice(&head);
        }
        match self.way {
            Way::SubmitMany => pipeline.submit_many(&self.buffer[..]),
            _ => pipeline.submit(&self.buffer[..]),
        }
    }

    fn check(&self, number: u64, reply: &Reply) -> Result<(), BenchError> {
        for (row, answer) in reply.rows().enumerate() {
            let expected = self.head(number, row).map(f32::from);
            if answer.scores() != expected {
                let device = answer.device();
                return Err(BenchError::wrong(device, number, &expected, answer.scores()));
            }
        }
        Ok(())
    }
}
