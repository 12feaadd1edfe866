//! A plan prints itself.

use std::fmt;

use super::{Plan, Stage, StageKind};

impl fmt::Display for Plan {
    /// Several lines without a trailing newline; stable, and pinned by snapshot tests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (input, precision) = (self.input().name(), self.precision().name());
        let stages = self.stages.len();
        let plural = if stages == 1 { "stage" } else { "stages" };
        write!(f, "plan of {}: {stages} {plural}, {input} rows, {precision} weights", self.name)?;
        for (index, stage) in self.stages.iter().enumerate() {
            write!(f, "\n  {index} {:<9} {}", stage.kind.name(), self.describe(stage))?;
        }
        let cost = &self.cost;
        write!(
            f,
            "\n  a row: {} FLOP, {} B in, {} B out, {} B between stages; parameters: {} B packed",
            cost.flops_per_row,
            cost.input_bytes_per_row,
            cost.output_bytes_per_row,
            cost.between_bytes_per_row,
            cost.parameter_bytes
        )?;
        for (index, layer) in self.layers.iter().enumerate() {
            if !layer.exact_inputs.is_empty() {
                let inputs = layer.exact_inputs.len();
                let plural = if inputs == 1 { "input" } else { "inputs" };
                write!(f, "\n  layer {index} keeps the weights of {inputs} {plural} in f32: ")?;
                write!(f, "they hold outliers")?;
            }
            if layer.rounding.is_large() {
                let (lost, output) = (layer.rounding.worst * 100.0, layer.rounding.worst_output);
                write!(f, "\n  warning: in {precision}, layer {index} loses {lost:.1} % of what ")?;
                write!(f, "all but the largest weights of output {output} are")?;
            }
        }
        Ok(())
    }
}

impl Plan {
    fn describe(&self, stage: &Stage) -> String {
        let layers = self.layers_of(stage);
        let head = stage.head.name();
        let Some(first) = layers.first() else {
            return format!("{head} over {} classes", self.classes());
        };
        let mut text = first.inputs.to_string();
        for layer in layers {
            text.push_str(&format!(" -> {} {}", layer.outputs, layer.activation.name()));
        }
        if stage.kind == StageKind::Fused {
            let (rows, bytes) = (stage.tile_rows, stage.on_chip_bytes);
            text.push_str(&format!(", {head}; tiles of {rows} rows, {bytes} B on chip"));
        }
        text
    }
}
