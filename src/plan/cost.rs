//! What a batch costs: floating-point operations, bytes moved, and the time no kernel can beat.

use super::{InputType, PlanOptions, PlannedLayer, Precision, Stage};

/// What running a plan costs, counted from its shapes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations of one row: two per weight (multiply and add), padding left out.
    pub flops_per_row: u64,
    /// Bytes of one row's input.
    pub input_bytes_per_row: u64,
    /// Bytes of one row's scores.
    pub output_bytes_per_row: u64,
    /// Bytes one row moves between stages, written once and read once.
    pub between_bytes_per_row: u64,
    /// Bytes of packed weights and biases, read once a batch at best.
    pub parameter_bytes: u64,
    /// What the operations are done in.
    pub precision: Precision,
}

/// The ceilings of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Floating-point operations a second, where something measures them.
    pub flops_per_s: Option<f64>,
    /// Bytes a second from the memory the parameters and rows live in.
    pub bytes_per_s: f64,
    /// The way there from the host's memory, where that is another memory.
    pub link: Option<Link>,
}

/// How fast bytes get from the host's memory to a device's, and back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Bytes a second to the device.
    pub in_bytes_per_s: f64,
    /// Bytes a second from the device.
    pub out_bytes_per_s: f64,
}

/// The time no kernel can beat, and what bounds it (S. Williams et al., "Roofline", CACM 2009).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roofline {
    /// The longer of the times below, as far as they are known, in microseconds.
    pub time_us: f64,
    /// Operations over [`Peak::flops_per_s`], in microseconds.
    pub compute_us: Option<f64>,
    /// Bytes over [`Peak::bytes_per_s`], in microseconds.
    pub memory_us: f64,
}

impl Cost {
    /// Bytes a batch of `rows` moves at least.
    pub fn bytes(&self, rows: usize) -> u64 {
        let per_row =
            self.input_bytes_per_row + self.output_bytes_per_row + self.between_bytes_per_row;
        self.parameter_bytes + rows as u64 * per_row
    }

    /// Floating-point operations of a batch of `rows`.
    pub fn flops(&self, rows: usize) -> u64 {
        rows as u64 * self.flops_per_row
    }

    /// Operations a second at most: what a device does in f32 bounds no plan of whole numbers, nor
    /// one of bf16, which has products of its own.
    pub fn flops_ceiling(&self, peak: &Peak) -> Option<f64> {
        let in_f32 = matches!(self.precision, Precision::F32 | Precision::F16);
        peak.flops_per_s.filter(|_| in_f32)
    }

    /// Operations a byte: what decides between compute and memory as the bound.
    pub fn intensity(&self, rows: usize) -> f64 {
        self.flops(rows) as f64 / self.bytes(rows) as f64
    }

    /// Operations a second, and bytes a second, where a batch of `rows` takes so long.
    pub fn rates(&self, rows: usize, time_us: f64) -> [f64; 2] {
        [self.flops(rows), self.bytes(rows)].map(|amount| amount as f64 / time_us * 1e6)
    }

    /// The time a batch of `rows` takes at least on a device with these ceilings.
    pub fn roofline(&self, rows: usize, peak: &Peak) -> Roofline {
        let compute_us = self.flops_ceiling(peak).map(|peak| self.flops(rows) as f64 / peak * 1e6);
        let memory_us = self.bytes(rows) as f64 / peak.bytes_per_s * 1e6;
        Roofline { time_us: memory_us.max(compute_us.unwrap_or(0.0)), compute_us, memory_us }
    }

    /// The time that the rows of a batch take to a device, and that their scores take back, in
    /// microseconds.
    pub fn link_us(&self, rows: usize, link: &Link) -> [f64; 2] {
        let us = |bytes_per_row: u64, rate: f64| (rows as u64 * bytes_per_row) as f64 / rate * 1e6;
        let to = us(self.input_bytes_per_row, link.in_bytes_per_s);
        [to, us(self.output_bytes_per_row, link.out_bytes_per_s)]
    }
}

pub(super) fn of(layers: &[PlannedLayer], stages: &[Stage], options: &PlanOptions) -> Cost {
    let first = &layers[0];
    let last = &layers[layers.len() - 1];
    let weights: usize = layers.iter().map(|layer| layer.inputs * layer.outputs).sum();
    let spans = layers.iter().map(|layer| {
        layer.weight.len() + layer.scales.len() + layer.bias.len() + layer.exact_weights.len()
    });
    let written = |stage: &Stage| layers[..stage.layers.end].last().map_or(0, |l| l.outputs);
    let between: usize = stages[..stages.len() - 1].iter().map(written).sum();
    Cost {
        flops_per_row: 2 * weights as u64,
        input_bytes_per_row: (first.inputs * InputType::bytes(options.input)) as u64,
        output_bytes_per_row: (last.outputs * 4) as u64,
        between_bytes_per_row: (between * 4 * 2) as u64,
        parameter_bytes: spans.sum::<usize>() as u64,
        precision: options.precision,
    }
}
