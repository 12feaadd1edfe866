//! What the affine steps before the first layer say of bytes.
//!
//! They are looked at one by one, because together they say less: a learned scale behind statistics
//! hides them. The first step that leaves one possibility decides.

use super::affine::{Affine, PerFeature};
use crate::model::u8_scale::{of_affine, of_statistics};

/// The steps so far.
#[derive(Debug, Default)]
pub(super) struct Front {
    kind: Kind,
    u8_scale: Option<f32>,
}

/// What the steps so far are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Kind {
    #[default]
    Empty,
    /// Offsets alone: a mean, or the least value, that is taken away.
    Offsets,
    /// A mean was taken away, and a deviation divided by. What follows is learned, and says
    /// nothing.
    Statistics,
    /// Anything else.
    Mixed,
}

impl Front {
    /// What one step of a byte stands for, where a step said so.
    pub(super) fn u8_scale(&self) -> Option<f32> {
        self.u8_scale
    }

    /// Looks at a step, and at all steps so far `together`.
    pub(super) fn add(&mut self, step: &Affine, together: &Affine) {
        let is_offset = matches!(step.scale, PerFeature::Uniform(1.0 | -1.0));
        match self.kind {
            Kind::Empty | Kind::Offsets if is_offset => {
                self.kind = Kind::Offsets;
                self.decide_by_statistics(together);
            }
            Kind::Offsets => self.add_statistics(together),
            Kind::Statistics => {}
            Kind::Empty | Kind::Mixed => {
                self.kind = Kind::Mixed;
                self.decide(together, |inputs, affine| {
                    of_affine(inputs, |at| (affine.scale.at(at), affine.offset.at(at)))
                });
            }
        }
    }

    /// Looks at all steps so far, which take away a mean and divide by a deviation.
    pub(super) fn add_statistics(&mut self, together: &Affine) {
        self.kind = Kind::Statistics;
        self.decide_by_statistics(together);
    }

    fn decide_by_statistics(&mut self, together: &Affine) {
        self.decide(together, |inputs, affine| {
            of_statistics(inputs, |at| {
                let (scale, offset) = (affine.scale.at(at), affine.offset.at(at));
                (-offset / scale, 1.0 / scale.abs())
            })
        });
    }

    fn decide(&mut self, together: &Affine, of: impl Fn(usize, &Affine) -> Option<f32>) {
        if self.u8_scale.is_none() {
            let inputs = together.scale.len().max(together.offset.len());
            self.u8_scale = of(inputs, together);
        }
    }
}
