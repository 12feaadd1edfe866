//! Zips as different programs write them: names of every length, records of zip64, lengths behind
//! the members.

use fusewire::model::LoadOptions;
use fusewire::{Model, ModelError};
use zip::CompressionMethod;

use super::{keras, npy, torch, torch_file, torch_script_file};

type Member<'a> = (&'a str, Vec<u8>);

/// How a zip is written.
#[derive(Clone, Copy, Debug)]
struct Style {
    /// A member's length and checksum stand behind it.
    descriptors: bool,
    /// The end record has a twin of zip64 before it.
    zip64: bool,
    /// Bytes of zeros that every member begins at a multiple of; 1 for none.
    alignment: usize,
}

/// As PyTorch writes.
const TORCH: Style = Style { descriptors: true, zip64: true, alignment: 64 };

const STYLES: [Style; 4] = [
    TORCH,
    Style { alignment: 1, ..TORCH },
    Style { descriptors: false, ..TORCH },
    Style { descriptors: false, zip64: false, alignment: 1 },
];

fn short(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap().to_le_bytes()
}

fn word(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}

fn long(number: usize) -> [u8; 8] {
    (number as u64).to_le_bytes()
}

/// A zip of stored members.
fn zip(members: &[Member<'_>], style: Style) -> Vec<u8> {
    let flags = short(if style.descriptors { 0x0808 } else { 0x0800 });
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let start = zip.len();
        let known = [crc32fast::hash(content).to_le_bytes(), word(content.len())];
        let sizes = [known[0], known[1], known[1]].concat();
        let local = if style.descriptors { vec![0; 12] } else { sizes.clone() };
        // Padding is an extra field: an identifier, a length, and zeros.
        let data = start + 30 + name.len() + 4;
        let padding = data.next_multiple_of(style.alignment) - data;
        zip.extend([&b"PK\x03\x04\0\0"[..], &flags, &[0; 6], &local].concat());
        zip.extend([short(name.len()), short(4 + padding), *b"FB", short(padding)].concat());
        // The name stands between the lengths and the extra field.
        zip.splice(zip.len() - 4..zip.len() - 4, name.bytes());
        zip.extend([&vec![0; padding][..], content].concat());
        if style.descriptors {
            zip.extend([&b"PK\x07\x08"[..], &sizes].concat());
        }
        directory.extend([&b"PK\x01\x02\0\0\0\0"[..], &flags, &[0; 6], &sizes].concat());
        directory.extend([&short(name.len())[..], &[0; 12], &word(start)].concat());
        directory.extend(name.bytes());
    }
    let (start, length, count) = (zip.len(), directory.len(), members.len());
    zip.extend(directory);
    if style.zip64 {
        let end = zip.len();
        zip.extend([&b"PK\x06\x06"[..], &long(44), &short(45), &short(45), &[0; 8]].concat());
        zip.extend([long(count), long(count), long(length), long(start)].concat());
        zip.extend([&b"PK\x06\x07"[..], &word(0), &long(end), &word(1)].concat());
    }
    zip.extend([&b"PK\x05\x06\0\0\0\0"[..], &short(count), &short(count)].concat());
    zip.extend([&word(length)[..], &word(start), &[0; 2]].concat());
    zip
}

/// The members of a kind of file, and what the caller has to say of it.
type Kind = (&'static str, Vec<(String, Vec<u8>)>, LoadOptions);

fn kinds() -> Vec<Kind> {
    let owned = |members: Vec<Member<'_>>| {
        members.into_iter().map(|(name, content)| (name.to_owned(), content)).collect::<Vec<_>>()
    };
    let entries = torch_file::entries();
    let mut torch =
        vec![(String::from("data.pkl"), torch_file::pickle(&torch_file::dict(&entries)))];
    torch.extend(entries.into_iter().map(|entry| (format!("data/{}", entry.key), entry.storage)));
    vec![
        ("state_dict", torch, torch::relu()),
        ("torchscript", owned(torch_script_file::members()), LoadOptions::default()),
        ("keras", owned(keras::members()), LoadOptions::default()),
    ]
}

fn load(
    members: &[(String, Vec<u8>)],
    style: Style,
    said: &LoadOptions,
) -> Result<Model, ModelError> {
    let members: Vec<Member<'_>> =
        members.iter().map(|(name, content)| (&name[..], content.clone())).collect();
    Model::from_bytes_with(&zip(&members, style), said)
}

#[test]
fn a_first_name_may_be_of_any_length() {
    for (kind, members, said) in kinds() {
        let hash = load(&members, STYLES[3], &said).unwrap().content_hash();
        for style in STYLES {
            for length in 1..=64 {
                let mut longer = members.clone();
                longer.insert(0, ("f".repeat(length), b"filler".to_vec()));
                let read = load(&longer, style, &said);
                let read =
                    read.unwrap_or_else(|error| panic!("{kind} {length} {style:?}: {error}"));
                assert_eq!(read.content_hash(), hash, "{kind} {length} {style:?}");
            }
        }
    }
}

#[test]
fn a_root_folder_may_be_of_any_length() {
    for (kind, members, said) in kinds().into_iter().filter(|(kind, ..)| *kind != "keras") {
        let hash = load(&members, STYLES[3], &said).unwrap().content_hash();
        for style in STYLES {
            for length in 1..=55 {
                let root = "r".repeat(length);
                let below =
                    |(name, content): &(_, Vec<u8>)| (format!("{root}/{name}"), content.clone());
                let longer: Vec<_> = members.iter().map(below).collect();
                let read = load(&longer, style, &said);
                let read =
                    read.unwrap_or_else(|error| panic!("{kind} {length} {style:?}: {error}"));
                assert_eq!(read.content_hash(), hash, "{kind} {length} {style:?}");
            }
        }
    }
}

#[test]
fn an_array_may_have_a_name_of_any_length() {
    let said = LoadOptions::default();
    for style in STYLES {
        for length in 13..=64 {
            let name = format!("0-WEIGHT{}.npy", "-".repeat(length - 12));
            let weight = npy::f4("(2, 3)", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            let members =
                [(name, weight), (String::from("1-BIAS.npy"), npy::f4("(2,)", &[1.0, 2.0]))];
            let read = load(&members, style, &said);
            let read = read.unwrap_or_else(|error| panic!("{length} {style:?}: {error}"));
            assert_eq!(read.layers()[0].bias().unwrap(), [1.0, 2.0], "{length} {style:?}");
        }
    }
}

/// Offsets may count from the first member in place of the file's beginning.
#[test]
fn a_zip_behind_another_is_read() {
    let sound = npy::npz(&npy::members(), CompressionMethod::Deflated);
    let hash = Model::from_bytes(&sound).unwrap().content_hash();
    let prefixed = [&b"PK\x03\x04 begins like a zip, and is a prefix"[..], &sound].concat();
    assert_eq!(Model::from_bytes(&prefixed).unwrap().content_hash(), hash);
}
