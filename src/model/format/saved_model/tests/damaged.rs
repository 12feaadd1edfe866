//! Files that were cut, flipped, or written to harm.

use super::*;

/// A linear congruential generator: reproducible, and good enough to choose bytes.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let files = Told::new().files();
    for name in [crate::model::format::saved_model::FILE, INDEX, DATA] {
        for length in 0..files.0[name].len() {
            let mut cut = files.clone();
            cut.0.insert(name.into(), files.0[name].slice(..length));
            assert!(read(&cut).is_err(), "{name} cut at {length}");
        }
    }
}

#[test]
fn flipped_bytes_never_panic_and_never_change_a_number() {
    let files = Told::new().files();
    let hash = read(&files).unwrap().content_hash();
    let mut random = Random(1);
    for name in [crate::model::format::saved_model::FILE, INDEX, DATA] {
        for _ in 0..4000 {
            let mut bytes = files.0[name].to_vec();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.below(256) as u8;
            }
            let mut flipped = files.clone();
            flipped.0.insert(name.into(), bytes.into());
            // A graph has no checksum, and may say something else that is sound.
            let model = read(&flipped);
            let is_same = model.is_ok_and(|model| model.content_hash() == hash);
            let is_refused = read(&flipped).is_err();
            assert!(is_same || is_refused || name == super::super::FILE, "{name}");
        }
    }
}

#[test]
fn entries_that_lie() {
    let lie = |change: &dyn Fn(&mut BundleEntry)| Told::new().lie("model/w", change).files();
    error(&lie(&|entry| entry.size = 1 << 40), "a place inside");
    error(&lie(&|entry| entry.offset = -1), "a place inside");
    error(&lie(&|entry| entry.offset = i64::MAX), "a place inside");
    error(&lie(&|entry| entry.offset = 4), "a checksum of");
    error(&lie(&|entry| entry.crc32c ^= 1), "the file is damaged");
    error(&lie(&|entry| entry.shard_id = 1), "expected one of 1 shards, got 1");
    error(&lie(&|entry| entry.shard_id = -1), "got -1");
    error(&lie(&|entry| entry.shape = shape(&[3, 3])), "expected the bytes of [3, 3]");
    error(&lie(&|entry| entry.shape = shape(&[1 << 62, 1 << 62])), "expected the bytes of");
    error(&lie(&|entry| entry.shape = shape(&[-1, 2])), "a known shape, got -1");
    error(&lie(&|entry| entry.shape = shape(&[1; 17])), "axes: at most 16");
    error(&lie(&|entry| entry.dtype = 3), "got type 3");
    error(&lie(&|entry| entry.slices = vec![Bytes::new()]), "partitioned variable");
    let overlapping = Told::new().lie("model/b", |entry| {
        (entry.offset, entry.size, entry.shape) = (0, 24, shape(&[3, 2]));
        let weight: Vec<u8> = WEIGHT.iter().flat_map(|number| number.to_le_bytes()).collect();
        entry.crc32c = checksum::of(&[&weight]);
    });
    error(&overlapping.files(), "tensors that do not overlap");
    let mut missing = Told::new();
    missing.keys[1] = "../../secret".into();
    error(&missing.files(), "the key '../../secret', got none");
    let mut nobody = Told::new();
    nobody.captures[0].1 = vec![77, -1];
    error(&nobody.files(), "expected a variable, got none");
}

#[test]
fn headers_that_lie() {
    let with = |num_shards, endianness| {
        let mut told = Told::new();
        let header = BundleHeader { num_shards, endianness };
        told.entries.insert(Vec::new(), header.encode_to_vec());
        told.files()
    };
    error(&with(0, 0), "expected one of 0 shards");
    error(&with(-5, 0), "expected one of -5 shards");
    error(&with(2, 0), "variables/variables.data-00000-of-00002: expected a file");
    error(&with(1, 1), "little-endian numbers");
}

#[test]
fn calls_in_circles() {
    let mut own = Told::new();
    own.functions[1].node_def[4] = call("relu", "inner", &["sum:output:0", "w", "b"]);
    error(&own.files(), "calls without cycles, got 'inner' again");
    let mut circle = Told::new();
    circle.functions[1].node_def[4] = call("relu", "outer", &["sum:output:0", "w", "b"]);
    error(&circle.files(), "calls without cycles, got 'outer' again");
    let mut nodes = Told::new();
    nodes.functions[1].node_def[3].input[0] = "relu:activations:0".into();
    error(&nodes.files(), "a graph without cycles");
    let mut same = Told::new();
    same.functions[1].node_def[4] = node("relu", "Identity", &["relu:output:0"], &[]);
    error(&same.files(), "steps through the SavedModel's functions");
    let mut few = Told::new();
    few.nodes[3].input.pop();
    error(&few.files(), "expected 3 arguments for 'outer', got 2");
    let mut nobody = Told::new();
    nobody.nodes[3] = call("call", "nobody", &["x", "w", "b"]);
    error(&nobody.files(), "function 'nobody': expected one, got none");
}

#[test]
fn calls_that_double() {
    // Each function calls the next one twice: 2^30 calls, and deeper than any model.
    let tower = |height: usize| {
        let mut told = Told::new();
        for level in 0..height {
            let next = if level + 1 == height { "inner".into() } else { format!("{}", level + 1) };
            let first = call("one", &next, &["x", "w", "b"]);
            let second = call("two", &next, &["one:output:0", "w", "b"]);
            let arguments = ["x", "w", "b"];
            told.functions.push(function(
                &level.to_string(),
                &arguments,
                vec![first, second],
                "two:output:0",
            ));
        }
        told.nodes[3] = call("call", "0", &arguments_of_top());
        told.captures = vec![("0".into(), vec![1, 2])];
        told.tensor("model/w", &[2, 2], &[1.0; 4]);
        told.signatures[0].value.as_mut().unwrap().inputs = info("x:0", &[-1, 2]);
        told.files()
    };
    assert_eq!(read(&tower(3)).unwrap().layers().len(), 8);
    error(&tower(30), "calls of functions");
    error(&tower(40), "calls in calls");
}

fn arguments_of_top() -> [&'static str; 3] {
    ["x", "w", "b"]
}

#[test]
fn deep_and_wide_graphs() {
    let mut long = Told::new();
    let nodes = &mut long.functions[1].node_def;
    for number in 0..20_000 {
        let before = nodes.last().unwrap().name.clone() + ":y:0";
        nodes.push(node(&format!("n{number}"), "Neg", &[&before], &[]));
    }
    long.functions[1].ret[0].value = "n19999:y:0".into();
    error(&long.files(), "operators in the chain");
    let mut wide = Told::new();
    let inputs = vec!["sum:output:0"; 100_000];
    wide.functions[1].node_def[4] = node("relu", "Pack", &inputs, &[]);
    error(&wide.files(), "inputs of node 'relu'");
    let mut many = Told::new();
    many.nodes.extend((0..300_000).map(|_| NodeDef::default()));
    error(&many.files(), "parts of the SavedModel's graphs");
    let mut twice = Told::new();
    twice.nodes.extend([NodeDef::default(), NodeDef::default()]);
    error(&twice.files(), "expected one of the name, got two");
}

#[test]
fn constants_that_are_larger_than_the_file() {
    let with = |sizes: &[i64]| {
        let mut told = Told::new();
        let tensor = TensorProto { dtype: 1, tensor_shape: shape(sizes), ..<_>::default() };
        told.functions[1].node_def.push(constant("huge", tensor));
        told.functions[1].node_def[4] = node("relu", "Mul", &["sum:z:0", "huge:output:0"], &[]);
        told.files()
    };
    error(&with(&[1 << 40]), "numbers that constants repeat");
    error(&with(&[1 << 62, 1 << 62]), "a size that fits memory");
    error(&with(&[-1]), "a known shape");
    // Rows and columns that stretch to a product of their lengths.
    let mut told = Told::new();
    let vector = |sizes: &[i64]| TensorProto {
        dtype: 1,
        tensor_shape: shape(sizes),
        ..TensorProto::default()
    };
    told.functions[1].node_def.extend([
        constant("row", vector(&[1, 30_000])),
        constant("column", vector(&[30_000, 1])),
        node("matrix", "AddV2", &["row:output:0", "column:output:0"], &[]),
    ]);
    told.functions[1].node_def[4] = node("relu", "Mul", &["sum:z:0", "matrix:z:0"], &[]);
    error(&told.files(), "numbers in constants, each use counted");
}

fn with_index(index: Vec<u8>) -> Memory {
    let mut files = Told::new().files();
    files.0.insert(INDEX.into(), index.into());
    files
}

#[test]
fn tables_that_lie() {
    let entry = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
    let sound = block(&[entry(b"", b"\x08\x01")]);
    error(&with_index(table(&[&sound])), "_CHECKPOINTABLE_OBJECT_GRAPH");
    error(&with_index(table(&[])), "checkpoint header: expected one, got none");
    error(&with_index(table(&[&sound, &sound])), "keys in ascending order");
    let doubled = block(&[entry(b"a", b""), entry(b"a", b"")]);
    error(&with_index(table(&[&doubled])), "keys in ascending order");
    error(&with_index(vec![0; 48]), "a table's magic number");
    // An index that is its own data, and one that names a block twice.
    let mut file = Vec::new();
    let handle = append(&mut file, &sound);
    let index = append(&mut file, &block(&[entry(b"a", &handle), entry(b"b", &handle)]));
    error(&with_index(with_footer(file, &index)), "a block from byte");
    let mut file = Vec::new();
    let own = block(&[entry(b"a", &[0, 40])]);
    let index = append(&mut file, &own);
    error(&with_index(with_footer(file, &index)), "a block from byte 0 on, got one at byte 0");
    for damaged in [
        &[1, 1, 0, b'a', 0, 0, 0, 0][..],
        &[0, 9, 0, b'a', 0, 0, 0, 0],
        &[0, 1, 9, b'a', 0, 0, 0, 0],
        &[0xff; 12],
        &[0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        &[0],
        &[],
    ] {
        assert!(read(&with_index(table(&[damaged]))).is_err(), "{damaged:?}");
    }
    let mut snappy = table(&[&sound]);
    snappy[sound.len()] = 1;
    let sum = checksum::of(&[&sound, &[1]]).to_le_bytes();
    snappy[sound.len() + 1..sound.len() + 5].copy_from_slice(&sum);
    error(&with_index(snappy), "(snappy): compressed indices are not read");
}

#[test]
fn keys_that_share_a_long_beginning() {
    // 60,000 keys of 64 KiB from a file of 500 KiB.
    let mut body = Vec::new();
    for number in [0, 1 << 16, 0] {
        prost::encoding::encode_varint(number, &mut body);
    }
    body.extend(vec![b'a'; 1 << 16]);
    for number in 0..60_000_u32 {
        prost::encoding::encode_varint(1 << 16, &mut body);
        body.extend([4, 0]);
        body.extend(number.to_be_bytes());
    }
    body.extend([0; 4]);
    error(&with_index(table(&[&body])), "bytes in keys of the checkpoint index");
    let many: Vec<_> =
        (0..70_000_u32).map(|number| (number.to_be_bytes().to_vec(), Vec::new())).collect();
    error(&with_index(table(&[&block(&many)])), "entries of the checkpoint index");
}
