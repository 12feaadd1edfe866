//! What is read of HDF5: text attributes of the root, and arrays of floats by their paths.
//!
//! The bytes are decoded by `hdf5-reader`. It checks lengths against the file before it allocates,
//! and bounds recursion; what it leaves to its caller is bounded here:
//!
//! | what could grow | what bounds it |
//! |---|---|
//! | reads of metadata, again and again | `storage`: a budget in proportion to the file |
//! | names, of which thousands may share the same long bytes | `links`: looked at before it lists |
//! | soft links, which may be walked through others | `links`: refused, and never resolved |
//! | groups that contain themselves | objects and depth are counted here |
//! | chunks that inflate, or that nobody wrote | the inflated size is charged before it is read |
//! | one chunk, one object's header | its own limits, set when a file is opened |
//!
//! A parser of this size is not proven free of panics, and a damaged model must not take a service
//! down. So every call into it goes through [`contained`], which turns a panic into an error.

mod links;
mod storage;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use hdf5_reader::error::Error;
use hdf5_reader::group::Group;
use hdf5_reader::{ByteOrder, Dataset, Datatype, Hdf5File, OpenOptions, RawAttribute, StringSize};

use crate::model::format::numbers::{Element, element_count};
use crate::model::{Format, ModelError};
use links::Kind;
use storage::Metered;

/// How much longer than the file its arrays may be together, as in a zip.
const INFLATION_MAX: usize = 64;
/// What may be inflated from any file, however small.
const INFLATED_BYTES_MIN: usize = 1 << 20;
/// The longest header of one object: attributes of 64 KiB each may stand in it.
const HEADER_BYTES_MAX: usize = 1 << 20;
/// The most groups and arrays that are looked at; a layer takes five.
const OBJECTS_MAX: usize = 1 << 14;
/// How deep groups may nest: two for each model within a model, and a few around them.
const DEPTH_MAX: usize = 32;
/// The longest text: the configuration of a thousand layers takes one MiB.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// An HDF5 file in memory.
pub(super) struct Hdf5 {
    file: Hdf5File,
    format: Format,
    /// Bytes of arrays that may still be inflated.
    left: usize,
    limit: usize,
}

/// An array's numbers as the file stores them, little-endian and row-major.
pub(super) struct Array {
    pub(super) dims: Vec<usize>,
    pub(super) element: Element,
    pub(super) bytes: Bytes,
}

/// Arrays that are not read yet, by their paths below a group.
pub(super) type Arrays = BTreeMap<String, Dataset>;

impl Hdf5 {
    /// Opens a file; `format` is what errors call it.
    pub(super) fn open(bytes: Bytes, format: Format) -> Result<Hdf5, ModelError> {
        let limit = bytes.len().saturating_mul(INFLATION_MAX).max(INFLATED_BYTES_MIN);
        let options = OpenOptions::default()
            .with_chunk_cache_bytes(0)
            .with_max_chunk_bytes(limit)
            .with_max_read_bytes(limit)
            .with_max_object_header_bytes(HEADER_BYTES_MAX);
        let storage = Arc::new(Metered::new(bytes));
        let open = || Hdf5File::from_storage_with_options(storage, options);
        let file = contained(format, "superblock", open)?;
        Ok(Hdf5 { file, format, left: limit, limit })
    }

    /// A text attribute of the root, where there is one of this name.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, ModelError> {
        let at = format!("attribute '{name}'");
        let bytes = contained(self.format, &at, || {
            let root = self.file.root_group()?;
            text_of(&root.raw_attributes()?, name, |at| root.resolve_vlen_reference_bytes(at, 1))
        })?;
        let Some(mut bytes) = bytes else { return Ok(None) };
        if bytes.len() > TEXT_BYTES_MAX {
            return Err(ModelError::too_large(at, TEXT_BYTES_MAX, bytes.len()));
        }
        // Texts of a fixed length are padded.
        let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.truncate(length);
        let text = String::from_utf8(bytes);
        text.map(Some).map_err(|_| ModelError::malformed(self.format, at, "UTF-8", "other bytes"))
    }

    /// The arrays below a group of the root, where there is such a group.
    pub(super) fn arrays(&self, group: &str) -> Result<Option<Arrays>, ModelError> {
        let at = format!("group '{group}'");
        let root = contained(self.format, "root group", || self.file.root_group())?;
        let links = contained(self.format, "root group", || links::of(&self.file, &root))?;
        if !links.iter().any(|link| link.name == group && matches!(link.kind, Kind::Group)) {
            return Ok(None);
        }
        let group = contained(self.format, &at, || root.group(group))?;
        self.below(group).map(Some)
    }

    /// All arrays of the file.
    pub(super) fn all_arrays(&self) -> Result<Arrays, ModelError> {
        self.below(contained(self.format, "root group", || self.file.root_group())?)
    }

    fn below(&self, group: Group) -> Result<Arrays, ModelError> {
        let mut arrays = Arrays::new();
        let mut groups = vec![(String::new(), group, 0)];
        let mut objects = 0;
        while let Some((path, group, depth)) = groups.pop() {
            let links = contained(self.format, &path, || links::of(&self.file, &group))?;
            objects += links.len();
            if objects > OBJECTS_MAX {
                return Err(ModelError::too_large("objects in HDF5", OBJECTS_MAX, objects));
            }
            for link in links {
                let path = format!("{path}{}", link.name);
                match link.kind {
                    Kind::Group if depth == DEPTH_MAX => {
                        return Err(ModelError::too_large("nested groups", DEPTH_MAX, depth + 1));
                    }
                    Kind::Group => {
                        let inner = contained(self.format, &path, || group.group(&link.name))?;
                        groups.push((path + "/", inner, depth + 1));
                    }
                    Kind::Array => {
                        let array = contained(self.format, &path, || group.dataset(&link.name))?;
                        arrays.insert(path, array);
                    }
                    Kind::Other => {}
                }
            }
        }
        Ok(arrays)
    }

    /// Reads an array; `at` is what errors call it.
    pub(super) fn read(&mut self, at: &str, array: &Dataset) -> Result<Array, ModelError> {
        let malformed = |expected, got: &dyn Display| {
            Err(ModelError::malformed(self.format, format!("array '{at}'"), expected, got))
        };
        let dims: Option<Vec<usize>> =
            array.shape().iter().map(|dim| usize::try_from(*dim).ok()).collect();
        let Some(dims) = dims.filter(|dims| element_count(dims).is_some()) else {
            return malformed("a size that fits memory", &format!("{:?}", array.shape()));
        };
        let (element, order) = contained(self.format, at, || element_of(array))?;
        let Some(element) = element else {
            let got = words(&format!("{:?}", array.dtype()));
            return malformed("float16, bfloat16, float32 or float64", &got);
        };
        self.charge(inflated(array, &dims, element))?;
        let mut bytes = contained(self.format, at, || array.read_raw_bytes())?;
        let expected = element_count(&dims).and_then(|count| count.checked_mul(element.bytes()));
        if expected != Some(bytes.len()) {
            let expected = format!("{} bytes", expected.unwrap_or(usize::MAX));
            return Err(ModelError::malformed(self.format, at, expected, bytes.len()));
        }
        if matches!(order, ByteOrder::BigEndian) {
            bytes.chunks_exact_mut(element.bytes()).for_each(<[u8]>::reverse);
        }
        Ok(Array { dims, element, bytes: Bytes::from(bytes) })
    }

    fn charge(&mut self, bytes: Option<usize>) -> Result<(), ModelError> {
        let bytes = bytes.unwrap_or(usize::MAX);
        if bytes > self.left {
            let inflated = (self.limit - self.left).saturating_add(bytes);
            let what = format!("inflated bytes of the {}", self.format);
            return Err(ModelError::too_large(what, self.limit, inflated));
        }
        self.left -= bytes;
        Ok(())
    }
}

/// Bytes that reading an array inflates: whole chunks, where it is stored in chunks.
fn inflated(array: &Dataset, dims: &[usize], element: Element) -> Option<usize> {
    let Some(chunks) = array.chunks() else {
        return element_count(dims)?.checked_mul(element.bytes());
    };
    let whole = |(dim, chunk): (&usize, &u32)| {
        let chunk = usize::try_from(*chunk).ok()?;
        dim.checked_next_multiple_of(chunk)
    };
    let dims: Vec<usize> = dims.iter().zip(&chunks).map(whole).collect::<Option<_>>()?;
    element_count(&dims)?.checked_mul(element.bytes())
}

/// The type of floats an array consists of, and their byte order. The parser tells of a type's
/// class and size alone; where exponent and mantissa stand tells the halves apart.
fn element_of(array: &Dataset) -> Result<(Option<Element>, ByteOrder), Error> {
    let Datatype::FloatingPoint { size, byte_order } = array.dtype() else {
        let is_bf16 = matches!(array.dtype(), Datatype::Opaque { size: 2, .. }) && {
            // Keras stores what NumPy has no type for as plain bytes, and names their type.
            let resolve = |at: &[u8]| array.resolve_vlen_reference_bytes(at, 1);
            text_of(&array.raw_attributes()?, "dtype", resolve)?.as_deref() == Some(b"bfloat16")
        };
        return Ok((is_bf16.then_some(Element::Bf16), ByteOrder::LittleEndian));
    };
    let stored = array.raw_datatype()?;
    let at = |index: usize| stored.get(index).copied().unwrap_or(0);
    let (exponent, mantissa) = (at(13), at(15));
    let element = match (size, exponent, mantissa) {
        (2, 5, 10) => Some(Element::F16),
        (2, 8, 7) => Some(Element::Bf16),
        (4, 8, 23) => Some(Element::F32),
        (8, 11, 52) => Some(Element::F64),
        _ => None,
    };
    Ok((element, *byte_order))
}

/// The bytes of the one text in an attribute, where there is one of this name.
fn text_of(
    attributes: &[RawAttribute],
    name: &str,
    resolve: impl Fn(&[u8]) -> Result<Vec<u8>, Error>,
) -> Result<Option<Vec<u8>>, Error> {
    let Some(found) = attributes.iter().find(|attribute| attribute.name() == name) else {
        return Ok(None);
    };
    let message = found.message();
    if message.dataspace.num_elements()? != 1 {
        return Err(Error::InvalidData(String::from("more than one text, or none")));
    }
    match &message.datatype {
        Datatype::String { size: StringSize::Fixed(_), .. } => Ok(Some(message.raw_data.clone())),
        Datatype::String { .. } | Datatype::VarLen { .. } => resolve(&message.raw_data).map(Some),
        _ => Err(Error::InvalidData(String::from("no text"))),
    }
}

/// Calls into the parser; its errors and its panics are those of the file at `at`.
fn contained<T>(
    format: Format,
    at: &str,
    call: impl FnOnce() -> Result<T, Error>,
) -> Result<T, ModelError> {
    // What a panic may leave half done is the parser's caches, which fall with the file.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            Err(ModelError::malformed(format, at, "sound HDF5", words(&error.to_string())))
        }
        Err(_) => Err(ModelError::malformed(format, at, "sound HDF5", "a file that is damaged")),
    }
}

/// The parser's words on one line of bounded length: names in it are the file's own.
fn words(error: &str) -> String {
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    error.chars().take(200).map(printable).collect()
}
