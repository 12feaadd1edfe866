//! Raw values: nothing but the numbers, so the row width and `--input` say what they are.

use anyhow::{Result, bail};

use super::Wanted;
use crate::bench::images::OwnedRows;
use crate::plan::InputType;

/// Rows of bytes, or of little-endian 32-bit floats, as the plan's input type says.
pub(super) fn rows(bytes: &[u8], wanted: &Wanted) -> Result<OwnedRows> {
    let row_bytes = wanted.inputs * wanted.input.bytes();
    if !bytes.len().is_multiple_of(row_bytes) {
        let (name, inputs) = (wanted.input.name(), wanted.inputs);
        let hint = match wanted.input {
            InputType::F32 if bytes.len().is_multiple_of(inputs) => "; --input u8 would fit",
            _ => "",
        };
        bail!(
            "raw {name} values: expected a multiple of {row_bytes} bytes ({inputs} inputs), \
             got {}{hint}",
            bytes.len()
        );
    }
    Ok(match wanted.input {
        InputType::U8 => OwnedRows::U8(bytes.to_vec()),
        InputType::F32 => OwnedRows::F32(floats(bytes)),
    })
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<4>();
    chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const F32: Wanted = Wanted { inputs: 2, input: InputType::F32, u8_scale: 0.5 };
    const U8: Wanted = Wanted { input: InputType::U8, ..F32 };

    #[test]
    fn values_are_taken_as_they_are() {
        let bytes: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(rows(&bytes, &F32).unwrap(), OwnedRows::F32(vec![1.5, -2.0]));
        assert_eq!(rows(&[7, 8], &U8).unwrap(), OwnedRows::U8(vec![7, 8]));
    }

    #[test]
    fn a_size_that_does_not_fit_names_what_would() {
        let error = rows(&[0; 12], &F32).unwrap_err().to_string();
        let expected = "raw f32 values: expected a multiple of 8 bytes (2 inputs), got 12";
        assert_eq!(error, format!("{expected}; --input u8 would fit"));
        assert!(rows(&[0; 3], &U8).is_err());
    }
}
