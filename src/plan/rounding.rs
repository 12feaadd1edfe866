//! What packing takes from weights: the difference between what a model says and what is packed.

/// How far a layer's packed weights are from the model's; 0 where every weight is exact.
///
/// It says what the weights lost, not what a score does: that follows from the rows, too, and
/// `fusewire eval` measures it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounding {
    /// The root mean square of what the layer's weights lost, as a share of their own.
    pub rms: f64,
    /// The same of one output's weights without its few largest, at most a sixteenth of them or
    /// one, where that share is larger: what is lost in a row with zeros before those. This is the
    /// output that loses most.
    pub worst: f64,
    /// Which output that is.
    pub worst_output: usize,
}

impl Rounding {
    /// Shares past this are worth a warning. Weights spread like a bell lose about 1 % in the steps
    /// of [`Precision::Int8`](super::Precision::Int8), and less at any other precision.
    pub const WARNING: f64 = 0.05;

    /// Where every weight is exact.
    pub(super) const NONE: Rounding = Rounding { rms: 0.0, worst: 0.0, worst_output: 0 };

    /// Whether an output loses more than weights usually do.
    pub fn is_large(&self) -> bool {
        self.worst > Rounding::WARNING
    }
}

/// Factors of 2 that are told apart below an output's largest weight.
const OCTAVES: usize = 32;

/// Weights of about one size.
#[derive(Clone, Copy, Debug, Default)]
struct Octave {
    count: usize,
    squares: f64,
    lost: f64,
}

/// An output's weights by size, and what each size lost.
#[derive(Clone, Debug)]
pub(super) struct Output {
    largest: i32,
    octaves: [Octave; OCTAVES],
}

/// The worst share that an output loses, and how many of its octaves are left out there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    pub(super) lost: f64,
    pub(super) left_out: usize,
}

impl Output {
    /// Of weights and what they are packed as.
    pub(super) fn of(weights: impl Iterator<Item = (f32, f64)> + Clone) -> Output {
        let largest = weights.clone().fold(0.0_f32, |most, (weight, _)| most.max(weight.abs()));
        let mut output = Output { largest: exponent(largest), octaves: Default::default() };
        for (weight, packed) in weights {
            let wide = f64::from(weight);
            let lost = wide - packed;
            let octave = &mut output.octaves[octave(output.largest, weight)];
            octave.count += 1;
            octave.squares += wide * wide;
            octave.lost += lost * lost;
        }
        output
    }

    /// The largest share that is lost, of all weights or without the largest octaves.
    pub(super) fn share(&self) -> Share {
        let weights: usize = self.octaves.iter().map(|octave| octave.count).sum();
        let few = (weights / 16).max(1);
        let (mut worst, mut before) = (Share::default(), 0);
        for left_out in 0..OCTAVES {
            let [squares, lost] = sums(&self.octaves[left_out..]);
            if before > few || squares == 0.0 {
                break;
            }
            let share = (lost / squares).sqrt();
            if share > worst.lost {
                worst = Share { lost: share, left_out };
            }
            before += self.octaves[left_out].count;
        }
        worst
    }

    /// Whether a weight is one of the largest octaves.
    pub(super) fn is_left_out(&self, share: Share, weight: f32) -> bool {
        octave(self.largest, weight) < share.left_out
    }
}

/// What the outputs of a layer lose together.
#[derive(Clone, Debug)]
pub(super) struct Sum {
    squares: f64,
    lost: f64,
    worst: f64,
    worst_output: usize,
    outputs: usize,
}

impl Sum {
    /// Of no output.
    pub(super) fn new() -> Sum {
        Sum { squares: 0.0, lost: 0.0, worst: 0.0, worst_output: 0, outputs: 0 }
    }

    /// Adds the next output.
    pub(super) fn add(&mut self, output: &Output) {
        let [squares, lost] = sums(&output.octaves);
        self.squares += squares;
        self.lost += lost;
        let share = output.share().lost;
        if share > self.worst {
            (self.worst, self.worst_output) = (share, self.outputs);
        }
        self.outputs += 1;
    }

    /// The layer's.
    pub(super) fn rounding(&self) -> Rounding {
        let rms = if self.squares == 0.0 { 0.0 } else { (self.lost / self.squares).sqrt() };
        Rounding { rms, worst: self.worst, worst_output: self.worst_output }
    }
}

fn sums(octaves: &[Octave]) -> [f64; 2] {
    octaves
        .iter()
        .fold([0.0, 0.0], |[squares, lost], octave| [squares + octave.squares, lost + octave.lost])
}

fn exponent(number: f32) -> i32 {
    // The sign is not the exponent's, and all subnormal numbers are of one octave.
    (number.to_bits() >> 23 & 0xff) as i32
}

/// The octave of a weight below the largest; 0 is the last one's.
fn octave(largest: i32, weight: f32) -> usize {
    ((largest - exponent(weight)) as usize).min(OCTAVES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(weights: &[f32], step: f32) -> Output {
        let packed = |weight: f32| f64::from((weight / step).round() * step);
        Output::of(weights.iter().map(|weight| (*weight, packed(*weight))))
    }

    #[test]
    fn what_is_exact_loses_nothing() {
        let exact = output(&[1.0, -2.0, 0.0, 3.0], 1.0);
        let mut sum = Sum::new();
        sum.add(&exact);
        sum.add(&output(&[0.0; 4], 1.0));
        assert_eq!(sum.rounding(), Rounding { rms: 0.0, worst: 0.0, worst_output: 0 });
    }

    /// 63 weights of 0.25 become 0 beside one of 100: of all, they are 1.98 %; without it, all.
    #[test]
    fn an_outlier_does_not_hide_what_the_others_lose() {
        let mut weights = [0.25; 64];
        weights[9] = 100.0;
        let outlier = output(&weights, 1.0);
        let share = outlier.share();
        assert_eq!(share.lost, 1.0);
        assert!(outlier.is_left_out(share, 100.0) && !outlier.is_left_out(share, 0.25));
        let mut sum = Sum::new();
        sum.add(&output(&[2.0; 64], 1.0));
        sum.add(&outlier);
        let rounding = sum.rounding();
        assert_eq!((rounding.worst, rounding.worst_output), (1.0, 1));
        let squares = 63.0 * 0.25 * 0.25_f64;
        assert_eq!(rounding.rms, (squares / (64.0 * 4.0 + 1e4 + squares)).sqrt());
        assert!(rounding.is_large());
    }

    /// Many large weights are no outliers: a row that has zeros before all of them is a rare one.
    #[test]
    fn a_half_of_the_weights_is_never_left_out() {
        let weights: Vec<f32> = (0..64).map(|at| if at % 2 == 0 { 100.0 } else { 0.25 }).collect();
        let half = output(&weights, 1.0);
        assert!(half.share().lost < 0.01 && !half.is_left_out(half.share(), 100.0));
    }
}
