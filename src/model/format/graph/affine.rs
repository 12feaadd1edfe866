//! Scales and offsets gathered along the chain, in double precision, until a layer takes them up.

/// One number for every feature, or one per feature.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PerFeature {
    Uniform(f64),
    Each(Vec<f64>),
}

impl PerFeature {
    pub(super) fn at(&self, index: usize) -> f64 {
        match self {
            PerFeature::Uniform(number) => *number,
            PerFeature::Each(numbers) => numbers[index],
        }
    }

    /// How many numbers are held.
    pub(super) fn len(&self) -> usize {
        match self {
            PerFeature::Uniform(_) => 1,
            PerFeature::Each(numbers) => numbers.len(),
        }
    }

    pub(super) fn map(&self, f: impl Fn(f64) -> f64) -> PerFeature {
        match self {
            PerFeature::Uniform(number) => PerFeature::Uniform(f(*number)),
            PerFeature::Each(numbers) => PerFeature::Each(numbers.iter().map(|x| f(*x)).collect()),
        }
    }

    fn combine(&self, other: &PerFeature, f: impl Fn(f64, f64) -> f64) -> PerFeature {
        match (self, other) {
            (PerFeature::Uniform(a), b) => b.map(|b| f(*a, b)),
            (a, PerFeature::Uniform(b)) => a.map(|a| f(a, *b)),
            (PerFeature::Each(a), PerFeature::Each(b)) => {
                PerFeature::Each(a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect())
            }
        }
    }
}

/// `x * scale + offset`, feature by feature.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: PerFeature,
    pub(super) offset: PerFeature,
}

impl Default for Affine {
    fn default() -> Affine {
        Affine { scale: PerFeature::Uniform(1.0), offset: PerFeature::Uniform(0.0) }
    }
}

impl Affine {
    pub(super) fn is_identity(&self) -> bool {
        *self == Affine::default()
    }

    /// This, then `next`: `(x * a + b) * c + d = x * (a * c) + (b * c + d)`.
    pub(super) fn then(&self, next: &Affine) -> Affine {
        // An offset of 0 stays one number, whatever it is scaled by.
        let offset = match self.offset {
            PerFeature::Uniform(0.0) => PerFeature::Uniform(0.0),
            _ => self.offset.combine(&next.scale, |b, c| b * c),
        };
        Affine {
            scale: self.scale.combine(&next.scale, |a, c| a * c),
            offset: offset.combine(&next.offset, |b, d| b + d),
        }
    }

    /// How many numbers are held.
    pub(super) fn len(&self) -> usize {
        self.scale.len() + self.offset.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composition_by_hand() {
        let first = Affine { scale: PerFeature::Uniform(2.0), offset: PerFeature::Uniform(1.0) };
        let next = Affine {
            scale: PerFeature::Each(vec![3.0, -1.0]),
            offset: PerFeature::Each(vec![0.5, 0.25]),
        };
        // x = 5: 5 * 2 + 1 = 11; 11 * 3 + 0.5 = 33.5 and -11 + 0.25 = -10.75.
        let both = first.then(&next);
        let at = |index| 5.0 * both.scale.at(index) + both.offset.at(index);
        assert_eq!((at(0), at(1)), (33.5, -10.75));
    }
}
