//! Cards, in a build that knows none.

use super::NoEnergy;

pub(super) const LIBRARIES: &[&str] = &[];

/// Never there.
#[derive(Debug)]
pub(super) enum Card {}

impl Card {
    pub(super) fn open(_: &[&str], pci: &str) -> Result<Card, NoEnergy> {
        let reason = format!("the card at {pci}: this build reads no card's energy: feature cuda");
        Err(NoEnergy::new(reason))
    }

    pub(super) fn joules(&mut self) -> Result<f64, NoEnergy> {
        match *self {}
    }
}
