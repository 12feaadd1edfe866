//! Pickles by hand, byte for byte.

use super::*;

const READER: Reader<'_> =
    Reader { format: Format::TorchStateDict, source: "data.pkl", objects: false };

fn read(bytes: &[u8]) -> Result<Pickle<'_>, ModelError> {
    READER.read(bytes)
}

/// The pickle's value as text, shared values written out.
fn shown(bytes: &[u8]) -> String {
    let pickle = read(bytes).unwrap();
    show(&pickle, pickle.root())
}

fn show(pickle: &Pickle<'_>, id: Id) -> String {
    let all = |ids: &[Id]| ids.iter().map(|id| show(pickle, *id)).collect::<Vec<_>>().join(" ");
    match pickle.get(id) {
        Value::None => String::from("None"),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Long(bytes) | Value::Bytes(bytes) => format!("{bytes:?}"),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(text) => format!("'{text}'"),
        Value::List(ids) => format!("[{}]", all(ids)),
        Value::Tuple(ids) => format!("({})", all(ids)),
        Value::Dict(entries) => {
            let entry = |(key, value): &(Id, Id)| all(&[*key, *value]).replacen(' ', ": ", 1);
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Storage(storage) => format!("storage {}", storage.key),
        Value::Tensor(tensor) => format!(
            "{}@{}+{}{:?}/{:?}",
            tensor.storage.kind.name,
            tensor.storage.key,
            tensor.offset,
            tensor.shape,
            tensor.stride
        ),
        Value::Global(global) => format!("{global:?}"),
        Value::Object { class, state } => {
            format!("{class}{}", state.map_or(String::new(), |state| show(pickle, state)))
        }
    }
}

fn error(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

#[test]
fn plain_data_of_every_protocol() {
    for (bytes, expected) in [
        (&b"N."[..], "None"),
        (b"\x80\x02\x88.", "true"),
        (b"\x80\x02\x89.", "false"),
        (b"K\xff.", "255"),
        (b"M\x00\x01.", "256"),
        (b"J\xff\xff\xff\xff.", "-1"),
        (b"\x8a\x00.", "0"),
        (b"\x8a\x01\xff.", "-1"),
        (b"\x8a\x05\x00\x00\x00\x00\x01.", "4294967296"),
        (b"\x8b\x02\x00\x00\x00\x00\x80.", "-32768"),
        (b"\x8a\x09123456789.", "[49, 50, 51, 52, 53, 54, 55, 56, 57]"),
        (b"G\x3f\xf8\x00\x00\x00\x00\x00\x00.", "1.5"),
        (b"X\x02\x00\x00\x00ab.", "'ab'"),
        (b"T\x02\x00\x00\x00ab.", "'ab'"),
        (b"U\x02ab.", "'ab'"),
        (b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x02ab\x94.", "'ab'"),
        (b"\x8d\x02\x00\x00\x00\x00\x00\x00\x00ab.", "'ab'"),
        (b"C\x01a.", "[97]"),
        (b"\x96\x01\x00\x00\x00\x00\x00\x00\x00a.", "[97]"),
        (b"]q\x00(K\x01K\x02e.", "[1 2]"),
        (b"]K\x01a.", "[1]"),
        (b"\x8f(K\x01K\x02\x90.", "[1 2]"),
        (b"(K\x01\x91.", "[1]"),
        (b"(K\x01t.", "(1)"),
        (b"K\x01\x85q\x05h\x05\x86.", "((1) (1))"),
        (b"}(K\x01NK\x02)u.", "{1: None, 2: ()}"),
        (b"}K\x01Ns.", "{1: None}"),
        (b"NK\x010.", "None"),
        (b"N(K\x01K\x021.", "None"),
        (b"N2\x86.", "(None None)"),
    ] {
        assert_eq!(shown(bytes), expected, "{}", bytes.escape_ascii());
    }
}

/// `('storage', torch.FloatStorage, '0', 'cpu', 6)`, read as a storage, and what is made of it.
fn tensor(storage: &str, shape: &[u8]) -> Vec<u8> {
    let storage = format!("(U\x07storagectorch\n{storage}\nU\x010U\x03cpuK\x06tQ");
    [b"ctorch._utils\n_rebuild_tensor_v2\n(", storage.as_bytes(), b"K\x00", shape].concat()
}

/// An ordered dictionary of a tensor of two rows, as `torch.save` writes it.
fn state_dict() -> Vec<u8> {
    let head = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01U\x01w";
    let shape = b"K\x02K\x03\x86K\x03K\x01\x86\x89h\x00)RtR";
    [&head[..], &tensor("FloatStorage", shape), b"s}U\x09_metadatah\x00)Rsb."].concat()
}

#[test]
fn a_state_dict() {
    assert_eq!(shown(&state_dict()), "{'w': float32@0+0[2, 3]/[3, 1]}");
    let pickle = state_dict();
    let longer = [&pickle[..], b"rest"].concat();
    assert_eq!(read(&longer).unwrap().length(), pickle.len());
}

#[test]
fn classes_that_checkpoints_hold() {
    let parameter = [
        &b"ctorch._utils\n_rebuild_parameter\n"[..],
        &tensor("HalfStorage", b"K\x06\x85K\x01\x85\x89)tR"),
        b"\x88)\x87R.",
    ];
    assert_eq!(shown(&parameter.concat()), "float16@0+0[6]/[1]");
    for (bytes, expected) in [
        (&b"ccollections\nOrderedDict\n](K\x01N\x86K\x02N\x86e\x85R."[..], "{1: None, 2: None}"),
        (b"ccollections\ndefaultdict\nc__builtin__\ndict\n\x85R.", "{}"),
        (b"ccollections\nCounter\n}K\x01Ns\x85R.", "{1: None}"),
        (b"c__builtin__\nset\n]K\x01a\x85R.", "[1]"),
        (b"ctorch\nSize\nK\x01K\x02\x86\x85R.", "(1 2)"),
        (b"ctorch\ndevice\nU\x03cpu\x85R.", "torch.device('cpu')"),
        (b"\x8c\x05torch\x8c\x07float32\x93.", "Constant(\"float32\")"),
    ] {
        assert_eq!(shown(bytes), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_would_be_called_is_refused_by_name() {
    let system = "a pickle that calls posix.system, which is never executed";
    assert!(error(b"\x80\x02cposix\nsystem\nU\x02id\x85R.").contains(system));
    assert!(error(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.").contains(system));
    // It is refused where it is named, called or not.
    assert!(error(b"cposix\nsystem\n.").contains(system));
    assert!(error(b"c__main__\nNet\n)\x81.").contains("calls __main__.Net, which is"));
    assert!(error(b"ctorch.nn.modules.linear\nLinear\n)\x81.").contains("model.state_dict()"));
    assert!(error(b"cbuiltins\neval\nU\x02id\x85R.").contains("builtins.eval"));
    assert!(error(b"ctorch\nload\n.").contains("torch.load"));
    assert!(error(b"c__torch__\nNet\n)\x81.").contains("__torch__.Net"));
    assert!(error(b"ca\nb\x1b[31m\n.").contains("a.b\\u{1b}[31m"));
}

#[test]
fn instructions_are_refused_by_name() {
    for (number, name) in [
        (b'i', "INST"),
        (b'o', "OBJ"),
        (b'P', "PERSID"),
        (b'I', "INT"),
        (b'g', "GET"),
        (0x82, "EXT1"),
        (0x92, "NEWOBJ_EX"),
        (0x97, "NEXT_BUFFER"),
        (0x0a, "0x0a"),
    ] {
        let error = error(&[b'N', number, b'.']);
        assert!(error.contains(&format!("opcode {name})")), "{error}");
        assert!(error.contains("data.pkl at byte 1"), "{error}");
    }
    assert!(error(b"K\x01}b.").contains("opcode BUILD"));
}

#[test]
fn instances_of_torchscript_where_they_are_asked_for() {
    let bytes = b"\x80\x02c__torch__.net\nNet\n)\x81}U\x01aK\x01sb.";
    let pickle = Reader { objects: true, ..READER }.read(bytes).unwrap();
    assert_eq!(show(&pickle, pickle.root()), "__torch__.net.Net{'a': 1}");
    let list = b"ctorch.jit._pickle\nbuild_intlist\n]K\x01a\x85R.";
    assert_eq!(shown(list), "[1]");
    let main = Reader { objects: true, ..READER }.read(b"c__main__\nNet\n)\x81.");
    assert!(main.unwrap_err().to_string().contains("__main__.Net"));
}

#[test]
fn calls_are_checked() {
    for (bytes, part) in [
        (&b"ctorch._utils\n_rebuild_tensor_v2\n)R."[..], "the arguments of the call, got 0"),
        (b"ctorch._utils\n_rebuild_tensor_v2\nN(NNNNtR.", "something to call, got None"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(NNNNtR.", "a tensor's storage, got None"),
        (b"ctorch._utils\n_rebuild_tensor_v2\nNR.", "a tuple of arguments, got None"),
        (b"ccollections\nOrderedDict\n]Na\x85R.", "a list of pairs"),
        (b"ccollections\nOrderedDict\nK\x01\x85R.", "entries of a dictionary, got an integer"),
        (b"NQ.", "a tuple of arguments"),
        (b")Q.", "a storage's persistent id"),
        (b"(U\x07storageNNNNtQ.", "class, key and length"),
        (b"(U\x07storagectorch\nFloatStorage\nU\x010NJ\xff\xff\xff\xfftQ.", "length from 0 up"),
        (b"(U\x07storagectorch\nFloatStorage\nU\x010NK\x01K\x01tQ.", "a view of another storage"),
        (b"(U\x06moduletQ.", "a storage's persistent id"),
    ] {
        assert!(error(bytes).contains(part), "{}: {}", bytes.escape_ascii(), error(bytes));
    }
    let shaped = |shape: &[u8]| error(&[&tensor("FloatStorage", shape)[..], b"."].concat());
    assert!(shaped(b"J\xff\xff\xff\xff\x85K\x01\x85tR").contains("a size from 0 up, got -1"));
    assert!(shaped(b"N\x85K\x01\x85tR").contains("a size, got None"));
    assert!(shaped(b"(K\x01K\x01tK\x01\x85tR").contains("as many strides as axes, 2, got 1"));
    assert!(shaped(b"(NNNNNNNNNtK\x01\x85tR").contains("at most 8 axes, got 9"));
}

#[test]
fn a_stack_that_is_not_there() {
    for bytes in [
        &b"."[..],
        b"0.",
        b"1.",
        b"2.",
        b"t.",
        b"N\x86.",
        b"Na.",
        b"Ns.",
        b"Nu.",
        b"Nb.",
        b"NR.",
        b"h\x00.",
        b"j\xff\xff\xff\xff.",
        b"q\x00.",
        b"\x94.",
        b"\x93.",
        b"N\x93.",
        b"(q\x00.",
        b"N(.",
        b"NN.",
        b"](Ne(.",
        b"N(\x85.",
        b"}(Nu.",
        b"\x80\x06N.",
        b"cab.",
        b"ca\nb.",
        b"X\xff\xff\xff\xff.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"U\x01\xff.",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\xffN.",
        b"\x8b\xff\xff\xff\xff.",
    ] {
        let error = read(bytes).unwrap_err();
        let is_typed = matches!(error, ModelError::Malformed { .. });
        assert!(is_typed, "{}: {error}", bytes.escape_ascii());
    }
}

#[test]
fn a_pickle_cut_anywhere_is_an_error() {
    let bytes = state_dict();
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn any_byte_anywhere_never_panics() {
    let bytes = state_dict();
    for at in 0..bytes.len() {
        for byte in 0..=255 {
            let mut damaged = bytes.clone();
            damaged[at] = byte;
            let _ = read(&damaged);
        }
    }
}

/// Lists of the list before, twice: 2^1000 values as a tree, 1000 here.
#[test]
fn what_is_shared_stays_shared() {
    let laughs = [b"]".to_vec(), b"q\x000](h\x00h\x00e".repeat(1000), b".".to_vec()].concat();
    assert_eq!(read(&laughs).unwrap().values.len(), 1001);
    let own = b"]q\x00h\x00a.";
    let pickle = read(own).unwrap();
    assert_eq!(*pickle.get(pickle.root()), Value::List(vec![pickle.root()]));
}

#[test]
fn more_than_any_model_holds_is_refused() {
    let repeated = |before: &[u8], piece: &[u8], count: usize| {
        let bytes = [before, &piece.repeat(count)].concat();
        let error = read(&bytes).unwrap_err();
        assert!(matches!(error, ModelError::TooLarge { .. }), "{error}");
        error.to_string()
    };
    assert!(repeated(b"", b"N", 600_000).contains("values of the pickle"));
    assert!(repeated(b"N", b"2", 3_000_000).contains("instructions of the pickle"));
    let storage = b"(U\x07storagectorch\nFloatStorage\nU\x010NK\x01tq\x000";
    assert!(repeated(storage, b"h\x00Q", 70_000).contains("tensors of the pickle"));
    // A list of 60,000 pairs, made into a dictionary again and again.
    let pairs = [&b"](NN\x86q\x00"[..], &b"h\x00".repeat(60_000), b"e\x85q\x01"].concat();
    let copies = repeated(&pairs, b"ccollections\nOrderedDict\nh\x01R", 1000);
    assert!(copies.contains("instructions of the pickle"), "{copies}");
    assert!(error(b"Nr\xff\xff\xff\xff.").contains("memo of the pickle"));
}

#[test]
fn a_value_is_small() {
    assert!(size_of::<Value<'_>>() <= 32, "{}", size_of::<Value<'_>>());
}
