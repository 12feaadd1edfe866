//! What a group links to, looked at before the parser lists it.
//!
//! The parser follows soft links, each along a path of any length, and copies a name as often as it
//! is linked to. Keras writes neither soft links nor long names, so that both are refused here.

use hdf5_reader::error::{Error, Result};
use hdf5_reader::fractal_heap::{FractalHeap, FractalHeapDirectBlockCache};
use hdf5_reader::group::Group;
use hdf5_reader::io::Cursor;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::link::{LinkMessage, LinkTarget};
use hdf5_reader::messages::link_info::LinkInfoMessage;
use hdf5_reader::messages::symbol_table_msg::SymbolTableMessage;
use hdf5_reader::symbol_table::SymbolTableNode;
use hdf5_reader::{Hdf5File, btree_v1, btree_v2};

/// The longest name of a group or an array.
const NAME_BYTES_MAX: usize = 255;
/// The longest link: its name, and where it leads to.
const LINK_BYTES_MAX: usize = NAME_BYTES_MAX + 64;
/// The most links of one group.
const LINKS_MAX: usize = 1 << 14;
/// How an old group marks a soft link.
const SOFT: u32 = 2;

/// A child of a group.
pub(super) struct Link {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a link leads to.
pub(super) enum Kind {
    Group,
    Array,
    Other,
}

/// The links of a group, none of them soft.
pub(super) fn of(file: &Hdf5File, group: &Group) -> Result<Vec<Link>> {
    let mut names: Vec<(String, u64)> = Vec::new();
    for message in &file.get_or_parse_header(group.address())?.messages {
        match message {
            HdfMessage::SymbolTable(table) => old(group, table, &mut names)?,
            HdfMessage::Link(link) => push(&mut names, &link.name, hard(link)?)?,
            HdfMessage::LinkInfo(info) => dense(group, info, &mut names)?,
            _ => {}
        }
    }
    names.into_iter().map(|(name, address)| Ok(Link { kind: kind(file, address)?, name })).collect()
}

fn push(names: &mut Vec<(String, u64)>, name: &str, address: u64) -> Result<()> {
    let is_odd = |letter: char| letter == '/' || letter.is_control();
    if name.len() > NAME_BYTES_MAX || name.contains(is_odd) || name.is_empty() {
        return Err(limit(format!("a name has at most {NAME_BYTES_MAX} printable bytes, no '/'")));
    }
    if names.len() == LINKS_MAX {
        return Err(limit(format!("a group has at most {LINKS_MAX} links")));
    }
    names.push((name.to_owned(), address));
    Ok(())
}

fn hard(link: &LinkMessage) -> Result<u64> {
    match link.target {
        LinkTarget::Hard { address } => Ok(address),
        _ => Err(soft()),
    }
}

fn soft() -> Error {
    limit(String::from("soft and external links are not followed"))
}

fn limit(what: String) -> Error {
    Error::ResourceLimit(what)
}

/// The links of a group in the file format's first version: a tree of nodes, names in a heap.
fn old(group: &Group, table: &SymbolTableMessage, names: &mut Vec<(String, u64)>) -> Result<()> {
    let (storage, offsets, lengths) = (group.storage(), group.offset_size(), group.length_size());
    let heap = LocalHeap::parse_at_storage(storage, table.heap_address, offsets, lengths)?;
    let leaves = btree_v1::collect_btree_v1_leaves_storage(
        storage,
        table.btree_address,
        offsets,
        lengths,
        None,
        &[],
        None,
    )?;
    let segment_bytes = usize::try_from(heap.data_segment_size)
        .map_err(|_| limit(String::from("a heap is longer than memory")))?;
    let segment = match leaves.is_empty() {
        true => None,
        false => Some(storage.read_range(heap.data_segment_address, segment_bytes)?),
    };
    for (_, address) in &leaves {
        let count = storage.read_range(*address, 8)?;
        let entries = match count.get(6..8) {
            Some([low, high]) => usize::from(u16::from_le_bytes([*low, *high])),
            _ => 0,
        };
        let node = 8 + entries * (2 * usize::from(offsets) + 24);
        let bytes = storage.read_range(*address, node)?;
        let node = SymbolTableNode::parse(&mut Cursor::new(&bytes), offsets, lengths)?;
        for entry in &node.entries {
            if entry.cache_type == SOFT {
                return Err(soft());
            }
            let name = segment.as_deref().and_then(|bytes| text(bytes, entry.link_name_offset));
            let name = name.ok_or_else(|| limit(String::from("a name is no short text")))?;
            push(names, name, entry.object_header_address)?;
        }
    }
    Ok(())
}

/// The text at an offset of a heap, up to its end mark.
fn text(heap: &[u8], offset: u64) -> Option<&str> {
    let bytes = heap.get(usize::try_from(offset).ok()?..)?;
    let bytes = bytes.get(..NAME_BYTES_MAX + 1).unwrap_or(bytes);
    let length = bytes.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(bytes.get(..length)?).ok()
}

/// The links of a group that has many: messages in a heap, found through a tree.
fn dense(group: &Group, info: &LinkInfoMessage, names: &mut Vec<(String, u64)>) -> Result<()> {
    let (storage, offsets, lengths) = (group.storage(), group.offset_size(), group.length_size());
    if Cursor::is_undefined_offset(info.fractal_heap_address, offsets) {
        return Ok(());
    }
    let heap = FractalHeap::parse_at_storage(storage, info.fractal_heap_address, offsets, lengths)?;
    let tree = info.btree_name_index_address;
    let tree = btree_v2::BTreeV2Header::parse_at_storage(storage, tree, offsets, lengths)?;
    let records = btree_v2::collect_btree_v2_records_storage(
        storage,
        &tree,
        offsets,
        lengths,
        None,
        &[],
        None,
    )?;
    let mut blocks = FractalHeapDirectBlockCache::default();
    for record in &records {
        let (btree_v2::BTreeV2Record::LinkNameHash { heap_id, .. }
        | btree_v2::BTreeV2Record::CreationOrder { heap_id, .. }) = record
        else {
            continue;
        };
        let bytes =
            heap.get_object_storage_cached(heap_id, storage, offsets, lengths, &mut blocks)?;
        // Thousands of records may state the same bytes, and each copies them.
        if bytes.len() > LINK_BYTES_MAX {
            return Err(limit(format!("a link has at most {LINK_BYTES_MAX} bytes")));
        }
        let link = hdf5_reader::messages::link::parse(
            &mut Cursor::new(&bytes),
            offsets,
            lengths,
            bytes.len(),
        )?;
        push(names, &link.name, hard(&link)?)?;
    }
    Ok(())
}

fn kind(file: &Hdf5File, address: u64) -> Result<Kind> {
    let header = file.get_or_parse_header(address)?;
    let has = |wanted: fn(&HdfMessage) -> bool| header.messages.iter().any(wanted);
    if has(|message| matches!(message, HdfMessage::DataLayout(_))) {
        return Ok(Kind::Array);
    }
    let is_group = has(|message| {
        matches!(
            message,
            HdfMessage::SymbolTable(_) | HdfMessage::Link(_) | HdfMessage::LinkInfo(_)
        )
    });
    Ok(if is_group { Kind::Group } else { Kind::Other })
}
