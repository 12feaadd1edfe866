//! What the tests of several experiments need.

pub(super) mod counter;
pub(super) mod liar;
pub(super) mod paced;
