//! numpy's `.npy` arrays as rows and labels.

use anyhow::{Context, Result, bail, ensure};

use super::Wanted;
use crate::bench::images::OwnedRows;
use crate::model::npy::NpyArray;
use crate::plan::InputType;

/// Rows, `[n, ...]` with as many values each as the model has inputs, or one row, `[inputs]`.
pub(super) fn rows(bytes: &[u8], wanted: &Wanted) -> Result<OwnedRows> {
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
    match (array.descr, wanted.input) {
        ("|u1", _) => Ok(wanted.rows_of(array.payload.to_vec())),
        ("<f4", InputType::F32) => Ok(OwnedRows::F32(each(&array, f32::from_le_bytes))),
        ("<f8", InputType::F32) => {
            Ok(OwnedRows::F32(each(&array, |bytes| f64::from_le_bytes(bytes) as f32)))
        }
        ("<f4" | "<f8", InputType::U8) => bail!("npy: holds floats; use --input f32"),
        (other, _) => bail!("npy: expected values of type <f4, <f8 or |u1, got {other}"),
    }
}

/// Labels, `[n]` of any integer type.
pub(super) fn labels(bytes: &[u8]) -> Result<Vec<usize>> {
    let array = open(bytes)?;
    let shape = &array.shape;
    ensure!(shape.len() == 1, "npy: expected one dimension of labels, got shape {shape:?}");
    let labels: Vec<i64> = match array.descr {
        "|u1" => each(&array, |bytes| u8::from_le_bytes(bytes).into()),
        "|i1" => each(&array, |bytes| i8::from_le_bytes(bytes).into()),
        "<u2" => each(&array, |bytes| u16::from_le_bytes(bytes).into()),
        "<i2" => each(&array, |bytes| i16::from_le_bytes(bytes).into()),
        "<u4" => each(&array, |bytes| u32::from_le_bytes(bytes).into()),
        "<i4" => each(&array, |bytes| i32::from_le_bytes(bytes).into()),
        "<i8" => each(&array, i64::from_le_bytes),
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

/// The values of an array whose type has `N` bytes.
fn each<const N: usize, T>(array: &NpyArray<'_>, value: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (values, _) = array.payload.as_chunks::<N>();
    values.iter().map(|bytes| value(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const F32: Wanted = Wanted { inputs: 2, input: InputType::F32, u8_scale: 0.5 };
    const U8: Wanted = Wanted { input: InputType::U8, ..F32 };

    fn npy(kind: &str, shape: &str, values: &[u8]) -> Vec<u8> {
        let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend(values);
        bytes
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn floats_and_bytes_become_rows() {
        let bytes = npy("<f4", "(2, 2)", &floats(&[1.0, 2.0, 3.0, 4.0]));
        assert_eq!(rows(&bytes, &F32).unwrap(), OwnedRows::F32(vec![1.0, 2.0, 3.0, 4.0]));
        assert!(rows(&bytes, &U8).unwrap_err().to_string().contains("--input f32"));
        let bytes = npy("|u1", "(1, 1, 2)", &[4, 6]);
        assert_eq!(rows(&bytes, &U8).unwrap(), OwnedRows::U8(vec![4, 6]));
        assert_eq!(rows(&bytes, &F32).unwrap(), OwnedRows::F32(vec![2.0, 3.0]));
        assert_eq!(rows(&npy("|u1", "(2,)", &[4, 6]), &U8).unwrap().as_rows().values(), 2);
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
