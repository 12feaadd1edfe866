//! numpy's `.npy`: a header in Python's own words, then the values.

use anyhow::{Context, Result, bail, ensure};
use npyz::{DType, Deserialize, NpyFile, NpyHeader, Order};

use super::Wanted;
use crate::bench::images::OwnedRows;
use crate::plan::InputType;

/// The longest header read; numpy writes 128 bytes for a plain array.
const HEADER_BYTES_MAX: usize = 4096;
/// The most digits the header may hold, so that the product of the shape fits 64 bits.
const HEADER_DIGITS_MAX: usize = 18;

/// Rows, `[n, ...]` with as many values each as the model has inputs, or one row, `[inputs]`.
pub(super) fn rows(bytes: &[u8], wanted: &Wanted) -> Result<OwnedRows> {
    let array = Array::open(bytes)?;
    let shape = array.header.shape();
    let row: u64 = if shape.len() > 1 { shape[1..].iter().product() } else { array.header.len() };
    ensure!(
        row == wanted.inputs as u64,
        "npy: expected rows of {} values, got shape {shape:?}",
        wanted.inputs
    );
    match (array.type_name(), wanted.input) {
        ("u1", _) => Ok(wanted.rows_of(array.values()?)),
        ("f4", InputType::F32) => Ok(OwnedRows::F32(array.values()?)),
        ("f8", InputType::F32) => {
            let values: Vec<f64> = array.values()?;
            Ok(OwnedRows::F32(values.into_iter().map(|value| value as f32).collect()))
        }
        ("f4" | "f8", InputType::U8) => bail!("npy: holds floats; use --input f32"),
        (other, _) => bail!("npy: expected values of type f4, f8 or u1, got {other}"),
    }
}

/// Labels, `[n]` of any integer type.
pub(super) fn labels(bytes: &[u8]) -> Result<Vec<usize>> {
    let array = Array::open(bytes)?;
    let shape = array.header.shape();
    ensure!(shape.len() == 1, "npy: expected one dimension of labels, got shape {shape:?}");
    let labels: Vec<i64> = match array.type_name() {
        "u1" => widen(array.values::<u8>()?),
        "i1" => widen(array.values::<i8>()?),
        "u2" => widen(array.values::<u16>()?),
        "i2" => widen(array.values::<i16>()?),
        "u4" => widen(array.values::<u32>()?),
        "i4" => widen(array.values::<i32>()?),
        "i8" => array.values()?,
        other => bail!("npy: expected labels of an integer type, got {other}"),
    };
    let label = |(index, label): (usize, i64)| {
        usize::try_from(label).with_context(|| format!("npy: label {index} is {label}"))
    };
    labels.into_iter().enumerate().map(label).collect()
}

fn widen<T: Into<i64>>(values: Vec<T>) -> Vec<i64> {
    values.into_iter().map(Into::into).collect()
}

/// A header that was checked against the values behind it.
struct Array<'a> {
    header: NpyHeader,
    name: String,
    values: &'a [u8],
}

impl<'a> Array<'a> {
    fn open(bytes: &'a [u8]) -> Result<Array<'a>> {
        let start = check_header(bytes)?;
        let header = NpyHeader::from_reader(bytes).context("npy header")?;
        let DType::Plain(kind) = header.dtype() else {
            bail!("npy: expected a plain array of numbers, got records");
        };
        let one_order = header.shape().len() < 2 || header.order() == Order::C;
        ensure!(one_order, "npy: expected row-major values, got Fortran order; save in C order");
        let values = &bytes[start..];
        let item = header.dtype().num_bytes().context("npy: values have no fixed size")?;
        let expected = u128::from(header.len()) * item as u128;
        ensure!(
            values.len() as u128 == expected,
            "npy: expected {expected} bytes of values for shape {:?}, got {}",
            header.shape(),
            values.len()
        );
        Ok(Array { header, name: kind.to_string(), values })
    }

    /// The values' type without their byte order, such as `f4`.
    fn type_name(&self) -> &str {
        self.name.trim_start_matches(['<', '>', '|', '='])
    }

    fn values<T: Deserialize>(&self) -> Result<Vec<T>> {
        Ok(NpyFile::with_header(self.header.clone(), self.values).into_vec()?)
    }
}

/// Checks what the header's parser takes on trust, and returns where the values start. The parser
/// allocates whatever length the file states, recurses into nested brackets, and multiplies the
/// shape without looking.
fn check_header(bytes: &[u8]) -> Result<usize> {
    let start = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, low, high, ..] => {
            10 + usize::from(u16::from_le_bytes([*low, *high]))
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, ..] => {
            12_usize.saturating_add(u32::from_le_bytes([*a, *b, *c, *d]) as usize)
        }
        _ => bail!("npy: expected the magic and a version from 1 to 3"),
    };
    ensure!(
        start <= bytes.len().min(HEADER_BYTES_MAX),
        "npy: expected a header of at most {} bytes, got {start}",
        bytes.len().min(HEADER_BYTES_MAX)
    );
    let text = &bytes[10..start];
    let count = |wanted: fn(&u8) -> bool| text.iter().filter(|byte| wanted(byte)).count();
    let nested = count(|byte| matches!(byte, b'(' | b'[' | b'{'));
    ensure!(nested <= 2, "npy: expected a plain array of numbers, got a nested header");
    let digits = count(u8::is_ascii_digit);
    ensure!(digits <= HEADER_DIGITS_MAX, "npy: the shape is larger than any file");
    Ok(start)
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
