//! Raw values: nothing but the numbers, so the row width and `--input` say what they are.

use anyhow::{Result, bail};

use half::{bf16, f16};

use super::{Wanted, each};
use crate::bench::images::OwnedRows;
use crate::plan::InputType;

/// Rows of bytes, or of little-endian floats, as the plan's input type says.
pub(super) fn rows(bytes: &[u8], wanted: &Wanted<'_>) -> Result<OwnedRows> {
    let row_bytes = wanted.inputs * wanted.input.bytes();
    if !bytes.len().is_multiple_of(row_bytes) {
        let (name, inputs) = (wanted.input.name(), wanted.inputs);
        let (got, hint) = (bytes.len(), hint(bytes.len(), inputs));
        bail!(
            "raw {name} values: expected a multiple of {row_bytes} bytes ({inputs} inputs), \
             got {got}{hint}"
        );
    }
    Ok(match wanted.input {
        InputType::U8 => OwnedRows::U8(bytes.to_vec()),
        InputType::F32 => OwnedRows::F32(each(bytes, f32::from_le_bytes)),
        InputType::F16 => OwnedRows::F16(each(bytes, f16::from_le_bytes)),
        InputType::Bf16 => OwnedRows::Bf16(each(bytes, bf16::from_le_bytes)),
    })
}

/// The types that so many bytes would be whole rows of.
fn hint(bytes: usize, inputs: usize) -> String {
    let fits = |input: &&InputType| bytes.is_multiple_of(inputs * input.bytes());
    let names: Vec<_> = InputType::ALL.iter().filter(fits).map(|input| input.name()).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("; --input {} would fit", names.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::U8Scale;

    const F32: Wanted<'_> =
        Wanted { inputs: 2, input: InputType::F32, u8_scale: U8Scale::User(0.5), labels: None };
    const U8: Wanted<'_> = Wanted { input: InputType::U8, ..F32 };
    const F16: Wanted<'_> = Wanted { input: InputType::F16, ..F32 };
    const BF16: Wanted<'_> = Wanted { input: InputType::Bf16, ..F32 };

    #[test]
    fn values_are_taken_as_they_are() {
        let bytes: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(rows(&bytes, &F32).unwrap(), OwnedRows::F32(vec![1.5, -2.0]));
        assert_eq!(rows(&[7, 8], &U8).unwrap(), OwnedRows::U8(vec![7, 8]));
        let halves = [f16::from_f32(0.5), f16::INFINITY];
        let bytes: Vec<u8> = halves.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(rows(&bytes, &F16).unwrap(), OwnedRows::F16(halves.to_vec()));
        let halves = [bf16::from_f32(0.5), bf16::from_f32(-3.0)];
        let bytes: Vec<u8> = halves.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(rows(&bytes, &BF16).unwrap(), OwnedRows::Bf16(halves.to_vec()));
    }

    #[test]
    fn a_size_that_does_not_fit_names_what_would() {
        let error = rows(&[0; 12], &F32).unwrap_err().to_string();
        let expected = "raw f32 values: expected a multiple of 8 bytes (2 inputs), got 12";
        assert_eq!(error, format!("{expected}; --input f16 or bf16 or u8 would fit"));
        let error = rows(&[0; 6], &F16).unwrap_err().to_string();
        assert!(error.ends_with("got 6; --input u8 would fit"), "{error}");
        assert!(rows(&[0; 3], &U8).unwrap_err().to_string().ends_with("got 3"));
    }
}
