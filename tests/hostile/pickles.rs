//! Pickles that run code when they are unpickled as Python does it: what CVE-2024-2912,
//! CVE-2025-27520, CVE-2025-32375, CVE-2024-37055, CVE-2024-37060 and CVE-2026-96804 came down to.
//! And code in other coats.

use std::path::Path;

use super::wire::zip;
use super::{Attack, put};

pub fn attacks() -> Vec<Attack> {
    vec![
        Attack::file("a pickle that runs a command", |to| put(to, runs_a_command()), "pickle"),
        Attack::file("the same in a PyTorch archive", |to| torch(to, &runs_a_command()), "system"),
        Attack::file(
            "a command by the names of protocol 4",
            |to| torch(to, STACK_GLOBAL),
            "system",
        ),
        Attack::file("a command by the instruction INST", |to| torch(to, INST), "INST"),
        Attack::file("a command by the instruction OBJ", |to| torch(to, OBJ), "system"),
        Attack::file("a function of the registry of extensions", |to| torch(to, EXT), "EXT1"),
        Attack::file("an expression for eval", |to| torch(to, EVAL), "eval"),
        Attack::file("a way to every attribute", |to| torch(to, GETATTR), "getattr"),
        Attack::file("a state set on a function", |to| torch(to, BUILD), "BUILD"),
        Attack::file("a module in place of its weights", |to| torch(to, MODULE), "Sequential"),
        Attack::file("2^100,000 lists within each other", laughs, "got a list"),
        Attack::file("CVE-2024-3660: a Keras layer of marshalled code", lambda, "Lambda"),
        Attack::file("CVE-2025-1550: a Keras layer of any module", any_module, "not executed"),
    ]
}

/// `os.system("touch owned")`, in protocol 2.
pub fn runs_a_command() -> Vec<u8> {
    b"\x80\x02cos\nsystem\nX\x0b\x00\x00\x00touch owned\x85R.".to_vec()
}

const STACK_GLOBAL: &[u8] = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0btouch owned\x85R.";
const INST: &[u8] = b"\x80\x02(K\x01ios\nsystem\n.";
const OBJ: &[u8] = b"\x80\x02(cos\nsystem\nK\x01o.";
const EXT: &[u8] = b"\x80\x02\x82\x01.";
const EVAL: &[u8] = b"\x80\x02c__builtin__\neval\nX\x03\x00\x00\x001+1\x85R.";
const GETATTR: &[u8] = b"\x80\x02c__builtin__\ngetattr\ncos\npath\nX\x02\x00\x00\x00os\x86R.";
const BUILD: &[u8] = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb.";
const MODULE: &[u8] = b"\x80\x02ctorch.nn.modules.container\nSequential\n)\x81}b.";

/// A PyTorch archive of this pickle.
fn torch(folder: &Path, pickle: &[u8]) {
    put(folder, zip(&[("archive/data.pkl", pickle), ("archive/version", b"3\n")]));
}

/// Each list holds the one before it twice.
fn laughs(folder: &Path) {
    let pickle = [b"\x80\x02]".to_vec(), b"q\x000](h\x00h\x00e".repeat(100_000), b".".to_vec()];
    torch(folder, &pickle.concat());
}

/// A Keras archive of one layer.
fn keras(folder: &Path, layer: &str) {
    let layers = format!(r#"[{{"class_name":"InputLayer","config":{{}}}},{layer}]"#);
    let config =
        format!(r#"{{"class_name":"Sequential","config":{{"name":"net","layers":{layers}}}}}"#);
    let metadata = br#"{"keras_version":"3.15.1"}"#;
    put(
        folder,
        zip(&[
            ("metadata.json", metadata),
            ("config.json", config.as_bytes()),
            ("model.weights.h5", include_bytes!("empty.h5")),
        ]),
    );
}

fn lambda(folder: &Path) {
    keras(
        folder,
        r#"{"module":"keras.layers","class_name":"Lambda","config":{"name":"lambda","function":
        {"class_name":"__lambda__","config":{"code":"4wEAAAAA"}}}}"#,
    );
}

fn any_module(folder: &Path) {
    keras(
        folder,
        r#"{"module":"os","class_name":"system","registered_name":"system","config":"touch it"}"#,
    );
}
