//! numpy's `.npy` arrays as rows and labels.

use anyhow::{Context, Result, bail, ensure};

use half::{bf16, f16};

use super::{Wanted, each};
use crate::bench::images::OwnedRows;
use crate::model::npy::NpyArray;
use crate::plan::InputType;

/// Rows, `[n, ...]` with as many values each as the model has inputs, or one row, `[inputs]`.
pub(super) fn rows(bytes: &[u8], wanted: &Wanted<'_>) -> Result<OwnedRows> {
    let array = open(bytes)?;
    let shape = &array.shape;
    let row = if shape.len() > 1 { &shape[1..] } else { &shape[..] };
    // An axis of length 0 lets the others be any length.
    let width = row.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis));
    ensure!(
        width == Some(wanted.inputs) && !shape.is_empty(),
        "npy: expected rows of {} values, got shape {shape:?}",
        wanted.inputs
    );
    let payload = array.payload;
    match (array.descr, wanted.input) {
        ("|u1", _) => wanted.rows_of(payload.to_vec()),
        ("<f2", InputType::F16) => Ok(OwnedRows::F16(each(payload, f16::from_le_bytes))),
        ("<f2", input) => floats(each(payload, |it| f16::from_le_bytes(it).to_f32()), input),
        ("<f4", input) => floats(each(payload, f32::from_le_bytes), input),
        ("<f8", input) => floats(each(payload, |it| f64::from_le_bytes(it) as f32), input),
        (other, _) => bail!("npy: expected values of type <f2, <f4, <f8 or |u1, got {other}"),
    }
}

/// Whether an array's values are bytes.
pub(super) fn holds_bytes(bytes: &[u8]) -> bool {
    NpyArray::open(bytes).is_ok_and(|array| array.descr == "|u1")
}

/// Floats as rows of a type of floats, rounded to it.
fn floats(values: Vec<f32>, input: InputType) -> Result<OwnedRows> {
    let fits = |value: &f32| match input {
        InputType::F16 => f16::from_f32(*value).is_finite(),
        InputType::Bf16 => bf16::from_f32(*value).is_finite(),
        InputType::F32 | InputType::U8 => true,
    };
    if let Some(value) = values.iter().find(|value| value.is_finite() && !fits(value)) {
        bail!("npy: value {value} does not fit {}; use --input f32", input.name());
    }
    match input {
        InputType::F32 => Ok(OwnedRows::F32(values)),
        InputType::F16 => Ok(OwnedRows::F16(values.into_iter().map(f16::from_f32).collect())),
        InputType::Bf16 => Ok(OwnedRows::Bf16(values.into_iter().map(bf16::from_f32).collect())),
        InputType::U8 => bail!("npy: holds floats; use --input f32"),
    }
}

/// Labels, `[n]` of any integer type.
pub(super) fn labels(bytes: &[u8]) -> Result<Vec<usize>> {
    let array = open(bytes)?;
    let shape = &array.shape;
    ensure!(shape.len() == 1, "npy: expected one dimension of labels, got shape {shape:?}");
    let labels: Vec<i64> = match array.descr {
        "|u1" => each(array.payload, |bytes| u8::from_le_bytes(bytes).into()),
        "|i1" => each(array.payload, |bytes| i8::from_le_bytes(bytes).into()),
        "<u2" => each(array.payload, |bytes| u16::from_le_bytes(bytes).into()),
        "<i2" => each(array.payload, |bytes| i16::from_le_bytes(bytes).into()),
        "<u4" => each(array.payload, |bytes| u32::from_le_bytes(bytes).into()),
        "<i4" => each(array.payload, |bytes| i32::from_le_bytes(bytes).into()),
        "<i8" => each(array.payload, i64::from_le_bytes),
        other => bail!("npy: expected labels of an integer type, got {other}"),
    };
    let label = |(index, label): (usize, i64)| {
        usize::try_from(label).with_context(|| format!("npy: label {index} is {label}"))
    };
    labels.into_iter().enumerate().map(label).collect()
}

fn open(bytes: &[u8]) -> Result<NpyArray<'_>> {
    let array = NpyArray::open(bytes).context("npy")?;
    let one_order = array.shape.len() < 2 || !array.fortran_order;
    ensure!(one_order, "npy: expected row-major values, got Fortran order; save in C order");
    Ok(array)
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

    fn npy(kind: &str, shape: &str, values: &[u8]) -> Vec<u8> {
        let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend(values);
        bytes
    }

    fn bytes_of(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn floats_and_bytes_become_rows() {
        let bytes = npy("<f4", "(2, 2)", &bytes_of(&[1.0, 2.0, 3.0, 4.0]));
        assert_eq!(rows(&bytes, &F32).unwrap(), OwnedRows::F32(vec![1.0, 2.0, 3.0, 4.0]));
        assert!(rows(&bytes, &U8).unwrap_err().to_string().contains("--input f32"));
        let bytes = npy("|u1", "(1, 1, 2)", &[4, 6]);
        assert_eq!(rows(&bytes, &U8).unwrap(), OwnedRows::U8(vec![4, 6]));
        assert_eq!(rows(&bytes, &F32).unwrap(), OwnedRows::F32(vec![2.0, 3.0]));
        assert_eq!(rows(&npy("|u1", "(2,)", &[4, 6]), &U8).unwrap().as_rows().values(), 2);
    }

    #[test]
    fn halves_are_taken_as_they_are_or_as_what_is_wanted() {
        // 0.1 in half precision, which no bfloat16 is; infinity.
        let halves = [f16::from_f32(0.1), f16::INFINITY];
        let bytes: Vec<u8> = halves.iter().flat_map(|value| value.to_le_bytes()).collect();
        let bytes = npy("<f2", "(1, 2)", &bytes);
        assert_eq!(rows(&bytes, &F16).unwrap(), OwnedRows::F16(halves.to_vec()));
        let widened = halves.map(f16::to_f32).to_vec();
        assert_eq!(rows(&bytes, &F32).unwrap(), OwnedRows::F32(widened));
        let rounded = halves.map(|value| bf16::from_f32(value.to_f32())).to_vec();
        assert_eq!(rows(&bytes, &BF16).unwrap(), OwnedRows::Bf16(rounded));
        assert!(rows(&bytes, &U8).unwrap_err().to_string().contains("--input f32"));
        let bytes = npy("|u1", "(2,)", &[4, 6]);
        let expected = OwnedRows::F16(vec![f16::from_f32(2.0), f16::from_f32(3.0)]);
        assert_eq!(rows(&bytes, &F16).unwrap(), expected);
    }

    #[test]
    fn floats_that_halves_cannot_hold_are_refused() {
        let bytes = npy("<f4", "(2,)", &bytes_of(&[1.5, 70_000.0]));
        let error = rows(&bytes, &F16).unwrap_err().to_string();
        assert_eq!(error, "npy: value 70000 does not fit f16; use --input f32");
        let expected = OwnedRows::Bf16(vec![bf16::from_f32(1.5), bf16::from_f32(70_000.0)]);
        assert_eq!(rows(&bytes, &BF16).unwrap(), expected);
        let bytes = npy("<f4", "(2,)", &bytes_of(&[f32::INFINITY, -2.0]));
        let expected = OwnedRows::F16(vec![f16::INFINITY, f16::from_f32(-2.0)]);
        assert_eq!(rows(&bytes, &F16).unwrap(), expected);
    }

    #[test]
    fn labels_of_any_integer_type() {
        assert_eq!(labels(&npy("|u1", "(2,)", &[4, 6])).unwrap(), [4, 6]);
        let bytes = npy("<i8", "(1,)", &7_i64.to_le_bytes());
        assert_eq!(labels(&bytes).unwrap(), [7]);
        assert!(labels(&npy("|i1", "(1,)", &[255])).unwrap_err().to_string().contains("-1"));
        assert!(labels(&npy("<f4", "(1,)", &[0; 4])).is_err());
        assert!(labels(&npy("|u1", "(1, 1)", &[0])).is_err());
    }

    #[test]
    fn lies_are_refused_before_anything_is_allocated() {
        let shapes = ["(4294967296, 2)", "(4294967296, 4294967296, 2)", "(3, 2)", "(0, 2)", "()"];
        for shape in shapes {
            assert!(rows(&npy("<f4", shape, &[0; 16]), &F32).is_err(), "{shape}");
        }
        let mut long = b"\x93NUMPY\x02\x00".to_vec();
        long.extend(u32::MAX.to_le_bytes());
        assert!(rows(&long, &F32).is_err());
        let nested = format!("{}1{}", "(".repeat(1500), ")".repeat(1500));
        assert!(rows(&npy("<f4", &nested, &[]), &F32).is_err());
        assert!(rows(&npy("[('a', '<f4')]", "(2, 2)", &[0; 16]), &F32).is_err());
        let good = npy("<f4", "(2, 2)", &[0; 16]);
        for length in 0..good.len() {
            assert!(rows(&good[..length], &F32).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn fortran_order_is_refused() {
        let text = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend([0; 16]);
        assert!(rows(&bytes, &F32).unwrap_err().to_string().contains("C order"));
    }
}
