//! Tensors whose numbers lie in other files of the model's own folder.
//!
//! A file says where, and files are hostile: a location is opened as [`inside`] says. Every tensor
//! has bytes of its own: of a file no more is read than it has.
//!
//! Known keys are those of ONNX's own description, <https://onnx.ai/onnx/repo-docs/>: `location`,
//! `offset`, `length` and `checksum`, which is not checked. Others are refused.

use std::collections::HashMap;

use bytes::Bytes;

use super::malformed;
use crate::model::ModelError;
use crate::model::format::FILE_BYTES_MAX;
use crate::model::format::folder::Folder;
use crate::model::format::graph::proto::{
    LOCATION_EXTERNAL, ModelProto, StringEntry, TensorProto, data_type,
};
use crate::model::format::inside;
use crate::model::format::numbers::element_count;

/// The most names a location may consist of.
const NAMES_MAX: usize = 16;
/// The longest location.
const LOCATION_BYTES_MAX: usize = 1024;

/// Reads every tensor that lies in another file below `folder`, and says how many bytes that took.
pub(super) fn read_into(model: &mut ModelProto, folder: &Folder) -> Result<usize, ModelError> {
    let mut reader = Reader { folder, total: 0, read: HashMap::new() };
    let Some(graph) = &mut model.graph else { return Ok(0) };
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    let in_nodes = attributes.filter_map(|attribute| attribute.t.as_mut());
    for tensor in graph.initializer.iter_mut().chain(in_nodes) {
        if tensor.data_location == LOCATION_EXTERNAL {
            reader.read(tensor)?;
        }
    }
    Ok(reader.total)
}

struct Reader<'a> {
    folder: &'a Folder,
    /// Bytes of all tensors so far.
    total: usize,
    /// Bytes that were read of each location.
    read: HashMap<String, u64>,
}

impl Reader<'_> {
    fn read(&mut self, tensor: &mut TensorProto) -> Result<(), ModelError> {
        // A tensor of other numbers is refused where it is used, whatever it holds.
        let Some(element) = element_bytes(tensor.data_type) else { return Ok(()) };
        let at = format!("external data of tensor '{}'", tensor.name);
        let dims = tensor.dims.iter().map(|dim| usize::try_from(*dim).ok());
        let count = dims.collect::<Option<Vec<_>>>().and_then(|dims| element_count(&dims));
        let Some(length) = count.and_then(|count| count.checked_mul(element)) else {
            let got = format!("{:?}", tensor.dims);
            return Err(malformed(at, "a size that fits memory", got));
        };
        if has_numbers(tensor) {
            return Err(malformed(at, "bytes here or in another file", "both"));
        }
        let place = Place::of(&tensor.external_data, &at)?;
        if place.length.is_some_and(|stated| stated != length as u64) {
            let stated = place.length.unwrap_or(0);
            return Err(malformed(at, format!("{length} bytes, as its shape says"), stated));
        }
        self.total = self.total.saturating_add(length);
        if self.total > FILE_BYTES_MAX {
            let what = "bytes of external data";
            return Err(ModelError::too_large(what, FILE_BYTES_MAX, self.total));
        }
        tensor.raw_data = self.bytes(&place, length, &at)?;
        tensor.data_location = 0;
        tensor.external_data.clear();
        Ok(())
    }

    fn bytes(&mut self, place: &Place<'_>, length: usize, at: &str) -> Result<Bytes, ModelError> {
        check_inside(place.location, at)?;
        let source = self.folder.open_named(place.location, "external data")?;
        let size = source.metadata().len();
        let end = place.offset.checked_add(length as u64);
        if end.is_none_or(|end| end > size) {
            let expected = format!("at least {length} bytes from byte {}", place.offset);
            return Err(malformed(at, expected, format!("a file of {size}")));
        }
        let read = self.read.entry(place.location.to_owned()).or_default();
        *read += length as u64;
        if *read > size {
            let got = format!("{read} bytes in all tensors of a file of {size}");
            return Err(malformed(at, "bytes of its own", got));
        }
        Ok(source.read_at(place.offset, length)?.into_bytes())
    }
}

/// Where the entries of a tensor say that its bytes are.
struct Place<'a> {
    location: &'a str,
    offset: u64,
    length: Option<u64>,
}

impl<'a> Place<'a> {
    fn of(entries: &'a [StringEntry], at: &str) -> Result<Place<'a>, ModelError> {
        const KEYS: [&str; 4] = ["location", "offset", "length", "checksum"];
        let mut values: [Option<&str>; 4] = [None; 4];
        for StringEntry { key, value } in entries {
            let Some(index) = KEYS.iter().position(|known| known == key) else {
                let expected = "location, offset, length or checksum";
                return Err(malformed(at, expected, format!("'{}'", key.escape_debug())));
            };
            if values[index].replace(value).is_some() {
                return Err(malformed(at, format!("one {key}"), "two"));
            }
        }
        let number = |text: &str| match text.parse::<u64>() {
            Ok(number) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
            _ => Err(malformed(at, "a number of bytes", format!("'{}'", text.escape_debug()))),
        };
        let [location, offset, length, _] = values;
        Ok(Place {
            location: location.ok_or_else(|| malformed(at, "a location", "none"))?,
            offset: offset.map_or(Ok(0), number)?,
            length: length.map(number).transpose()?,
        })
    }
}

/// Checks that a location consists of names, each of one folder or file.
fn check_inside(location: &str, at: &str) -> Result<(), ModelError> {
    let outside = || {
        let got = format!("'{}'", location.escape_debug());
        malformed(at, "the path of a file in the model's own folder", got)
    };
    if location.len() > LOCATION_BYTES_MAX {
        return Err(malformed(at, format!("{LOCATION_BYTES_MAX} bytes of path"), location.len()));
    }
    let is_inside =
        location.split('/').count() <= NAMES_MAX && location.split('/').all(inside::is_plain);
    if is_inside { Ok(()) } else { Err(outside()) }
}

/// Whether the model's own file has numbers of the tensor.
fn has_numbers(tensor: &TensorProto) -> bool {
    let typed = tensor.float_data.len()
        + tensor.double_data.len()
        + tensor.int32_data.len()
        + tensor.int64_data.len();
    typed != 0 || !tensor.raw_data.is_empty()
}

fn element_bytes(kind: i32) -> Option<usize> {
    match kind {
        data_type::DOUBLE | data_type::INT64 => Some(8),
        data_type::FLOAT | data_type::INT32 => Some(4),
        data_type::FLOAT16 | data_type::BFLOAT16 => Some(2),
        data_type::BOOL | data_type::UINT8 => Some(1),
        _ => None,
    }
}
