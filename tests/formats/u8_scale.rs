//! What one step of a byte stands for: derived from what stands before the first layer, stated, or
//! unknown, and the same after a model was written and read back.

use fusewire::backend::cpu;
use fusewire::model::PerInput;
use fusewire::{
    Activation, Dense, InputTransform, InputType, Limits, Model, Plan, PlanError, PlanOptions,
    U8Scale,
};

use super::keras::{dense, layers};
use super::onnx_file::{Attribute, File, float, floats, int, numbers};
use super::torch_script_file::forward;

const RAW: U8Scale = U8Scale::File(1.0);
const UNIT: U8Scale = U8Scale::File(Model::U8_SCALE);

/// An operator, and the constant on its right.
type Step<'a> = (&'a str, &'a [f32]);

/// What a graph of these nodes before its layer says; each has one constant of 3 numbers or of 1.
fn front(nodes: &[Step<'_>]) -> U8Scale {
    let mut file = File::new(17, &[-1, 3]).tensor("w", floats(&[3, 1], &[1.0; 3]));
    let mut value = String::from("x");
    for (index, (op, constant)) in nodes.iter().enumerate() {
        let (name, next) = (format!("c{index}"), format!("v{index}"));
        let dims = if constant.len() == 1 { vec![] } else { vec![constant.len() as i64] };
        file = file.tensor(&name, floats(&dims, constant)).node(op, &[&value, &name], &next, &[]);
        value = next;
    }
    scale(&file.node("MatMul", &[&value, "w"], "y", &[]))
}

fn scale(file: &File) -> U8Scale {
    Model::from_bytes(&file.bytes()).unwrap_or_else(|error| panic!("{error}")).u8_scale()
}

fn limits() -> Limits {
    *fusewire::backend::open(fusewire::BackendKind::Cpu).unwrap().limits()
}

#[test]
fn factors_offsets_and_statistics_in_a_graph() {
    let unit: [&[f32]; 2] = [&[0.49, 0.46, 0.41], &[0.23, 0.22, 0.225]];
    let raw: [&[f32]; 2] = [&[124.0, 116.0, 104.0], &[58.0, 57.0, 57.5]];
    let cases: &[(&[Step<'_>], U8Scale)] = &[
        (&[], U8Scale::Assumed),
        (&[("Div", &[255.0])], RAW),
        (&[("Mul", &[1.0 / 256.0])], RAW),
        (&[("Div", &[127.5]), ("Sub", &[1.0])], RAW),
        (&[("Sub", &[127.5]), ("Div", &[127.5])], RAW),
        (&[("Sub", &[128.0]), ("Mul", &[1.0 / 128.0])], RAW),
        (&[("Div", &[255.0]), ("Sub", &[0.1307]), ("Div", &[0.3081])], RAW),
        (&[("Div", &[255.0]), ("Sub", unit[0]), ("Div", unit[1])], RAW),
        (&[("Sub", raw[0]), ("Div", raw[1])], RAW),
        (&[("Sub", raw[0])], RAW),
        (&[("Sub", &[0.1307]), ("Div", &[0.3081])], UNIT),
        (&[("Sub", unit[0]), ("Div", unit[1])], UNIT),
        (&[("Mul", &[2.0]), ("Sub", &[1.0])], UNIT),
        (&[("Sub", &[0.5]), ("Div", &[0.5])], UNIT),
        (&[("Sub", &[0.5])], U8Scale::Unknown),
        (&[("Mul", &[2.0])], U8Scale::Unknown),
        (&[("Sub", &[-3.0, 4.0, 1.0]), ("Div", &[2.0])], U8Scale::Unknown),
        (&[("Sub", &[40.0, 50_000.0, 3.0]), ("Div", &[13.0, 9e3, 1.0])], U8Scale::Unknown),
    ];
    for (nodes, expected) in cases {
        assert_eq!(front(nodes), *expected, "{nodes:?}");
    }
}

/// Statistics are told from what is learned: gamma and beta would hide them.
#[test]
fn a_batch_norm_on_the_input() {
    let learned = |gamma: &[f32], mean: &[f32], variance: &[f32]| {
        let file = File::new(17, &[-1, 3])
            .tensor("g", floats(&[3], gamma))
            .tensor("b", floats(&[3], &[3.0, -1.0, 0.0]))
            .tensor("m", floats(&[3], mean))
            .tensor("v", floats(&[3], variance))
            .tensor("w", floats(&[3, 1], &[1.0; 3]));
        let epsilon = [float("epsilon", 1e-3)];
        let file = file.node("BatchNormalization", &["x", "g", "b", "m", "v"], "n", &epsilon);
        scale(&file.node("MatMul", &["n", "w"], "y", &[]))
    };
    let norm = |mean: &[f32], variance: &[f32]| learned(&[0.05, 1.5, -2.0], mean, variance);
    assert_eq!(norm(&[0.0, 70.0, 110.0], &[0.0, 8000.0, 9000.0]), RAW);
    assert_eq!(norm(&[0.0, 0.3, 0.4], &[0.0, 0.1, 0.12]), UNIT);
    // Rows that were brought to mean 0 and variance 1 before, behind gammas as small as you like.
    for gamma in [[1.0; 3], [-0.05; 3]] {
        let scale = learned(&gamma, &[0.01, -0.02, 0.0], &[1.0, 0.97, 1.02]);
        assert_eq!(scale, U8Scale::Unknown);
    }
}

/// scikit-learn's scalers, as its exporter writes them.
#[test]
fn scalers() {
    let scaler = |offset: &[f32], scale_of: &[f32]| {
        let attributes: [Attribute; 2] = [numbers("offset", offset), numbers("scale", scale_of)];
        let mut file = File::new(17, &[-1, 3]).tensor("w", floats(&[3, 1], &[1.0; 3]));
        file = file.node("Scaler", &["x"], "s", &attributes);
        file.nodes[0].domain = "ai.onnx.ml".into();
        scale(&file.node("MatMul", &["s", "w"], "y", &[]))
    };
    // A pixel that is 0 in every image keeps its scale of 1.
    assert_eq!(scaler(&[0.0, 33.0, 70.0], &[1.0, 1.0 / 70.0, 1.0 / 90.0]), RAW);
    assert_eq!(scaler(&[0.0, 0.13, 0.27], &[1.0, 1.0 / 0.27, 1.0 / 0.35]), UNIT);
    // From the least to the largest value, and by the largest alone.
    assert_eq!(scaler(&[0.0, 2.0, 0.0], &[1.0, 1.0 / 250.0, 1.0 / 255.0]), RAW);
    assert_eq!(scaler(&[0.0; 3], &[1.0, 1.0, 1.0 / 0.9]), U8Scale::Unknown);
    assert_eq!(scaler(&[5.8, 3.1, 3.8], &[1.2, 2.3, 0.57]), RAW);
    assert_eq!(scaler(&[-5.8, 3.1, 3.8], &[1.2, 2.3, 0.57]), U8Scale::Unknown);
}

#[test]
fn a_graph_that_reads_bytes() {
    let file = || File::new(17, &[-1, 3]).tensor("w", floats(&[3, 1], &[1.0; 3]));
    let cast = |file: File| file.node("Cast", &["x"], "c", &[int("to", 1)]);
    let mut plain = cast(file()).node("MatMul", &["c", "w"], "y", &[]);
    plain.element = 2;
    assert_eq!(scale(&plain), RAW);
    let mut divided = cast(file().tensor("s", floats(&[], &[16.0])))
        .node("Div", &["c", "s"], "d", &[])
        .node("MatMul", &["d", "w"], "y", &[]);
    divided.element = 2;
    assert_eq!(scale(&divided), RAW);
}

#[test]
fn keras_layers() {
    let front = |front: &str| {
        let front = front.to_owned();
        let bytes = layers(&[front, dense(5, ""), dense(4, "")]);
        Model::from_bytes(&bytes).unwrap_or_else(|error| panic!("{error}")).u8_scale()
    };
    let layer = |class: &str, config: &str| {
        format!(r#"{{"class_name": "{class}", "config": {{"name": "NAME", {config}}}}}"#)
    };
    let rescaling = |config: &str| front(&layer("Rescaling", config));
    assert_eq!(rescaling(r#""scale": 0.00392156862745098, "offset": 0.0"#), RAW);
    assert_eq!(rescaling(r#""scale": 0.00784313725490196, "offset": -1"#), RAW);
    assert_eq!(rescaling(r#""scale": 2.0, "offset": -1.0"#), UNIT);
    assert_eq!(rescaling(r#""scale": 1.0, "offset": 0.0"#), U8Scale::Assumed);
    let normalization = |config: &str| front(&layer("Normalization", config));
    assert_eq!(normalization(r#""axis": null, "mean": 72.9, "variance": 8100.0"#), RAW);
    assert_eq!(normalization(r#""axis": null, "mean": 0.286, "variance": 0.1246"#), UNIT);
    let each = r#""mean": [0, 30, 60, 90, 120, 150], "variance": [0, 900, 8100, 9000, 9100, 1e4]"#;
    assert_eq!(normalization(&format!(r#""axis": -1, {each}"#)), RAW);
}

#[test]
fn torch_script_code() {
    let front = |lines: &str| {
        let lines = format!("{lines}\nreturn torch.linear(x, self.w, self.b)");
        Model::from_bytes(&forward(&lines)).unwrap_or_else(|error| panic!("{error}")).u8_scale()
    };
    assert_eq!(front("y = x"), U8Scale::Assumed);
    for cast in ["x = torch.to(x, 6)", "x = torch.to(torch.flatten(x, 1), dtype=6)"] {
        assert_eq!(front(cast), U8Scale::Unknown, "{cast}");
        assert_eq!(front(&format!("{cast}\nx = torch.div(x, 255)")), RAW, "{cast}");
    }
    assert_eq!(front("x = torch.div(x, 255.)"), RAW);
    assert_eq!(front("x = torch.div(torch.sub(x, 0.1307), 0.3081)"), UNIT);
    let after = "y = torch.to(torch.linear(x, self.w, self.b), 6)\nreturn y";
    assert_eq!(Model::from_bytes(&forward(after)).unwrap().u8_scale(), U8Scale::Assumed);
}

fn model() -> Model {
    let weight = vec![1.0, 2.0, 3.0, 4.0];
    Model::from_layers(vec![Dense::new(2, 2, weight, None, Activation::Relu).unwrap()]).unwrap()
}

fn transform(scale: f32, offset: f32) -> InputTransform {
    InputTransform { scale: PerInput::Uniform(scale), offset: PerInput::Uniform(offset) }
}

#[test]
fn a_model_that_is_written_and_read_back_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let [safetensors, onnx] = ["m.safetensors", "m.onnx"].map(|name| folder.path().join(name));
    let of = |scale, offset| model().with_transform(transform(scale, offset)).unwrap();
    for (model, expected) in [
        (model(), U8Scale::Assumed),
        (model().with_u8_scale(0.5).unwrap(), U8Scale::File(0.5)),
        (of(1.0 / 255.0, 0.0), RAW),
        (of(1.0 / 0.3081, -0.1307 / 0.3081), UNIT),
        (of(2.0, 0.0), U8Scale::Unknown),
        // What is said goes before what would follow.
        (of(1.0 / 255.0, 0.0).with_u8_scale(2.0).unwrap(), U8Scale::File(2.0)),
    ] {
        model.save(&safetensors).unwrap();
        model.save_onnx(&onnx).unwrap();
        for path in [&safetensors, &onnx] {
            let again = Model::load(path).unwrap();
            assert_eq!(again.u8_scale(), expected, "{path:?}");
            assert_eq!(again.content_hash(), model.content_hash(), "{path:?}");
        }
    }
}

#[test]
fn a_manifest_says_it_or_says_a_transform() {
    let folder = tempfile::tempdir().unwrap();
    model().save(folder.path().join("weights.safetensors")).unwrap();
    for (text, expected) in [
        ("", U8Scale::Assumed),
        ("u8_scale = 0.25", U8Scale::File(0.25)),
        ("[input]\nscale = 0.00392157", RAW),
        ("[input]\nscale = [3.2457, 3.2457]\noffset = -0.4242", UNIT),
        ("[input]\nscale = 2.0", U8Scale::Unknown),
        ("u8_scale = 1.0\n[input]\nscale = 2.0", RAW),
    ] {
        let manifest = format!("weights = 'weights.safetensors'\n{text}");
        std::fs::write(folder.path().join("model.toml"), manifest).unwrap();
        assert_eq!(Model::load(folder.path()).unwrap().u8_scale(), expected, "{text}");
    }
}

#[test]
fn a_transform_keeps_what_the_caller_said() {
    let model = model().with_u8_scale(0.5).unwrap().with_transform(transform(2.0, -1.0)).unwrap();
    assert_eq!(model.u8_scale(), U8Scale::User(0.5));
}

#[test]
fn rows_of_bytes_are_refused_where_it_is_unknown() {
    let unknown = model().with_transform(transform(2.0, 0.0)).unwrap();
    let plan = |model: &Model, input| {
        Plan::new(model, &limits(), &PlanOptions { input, ..PlanOptions::default() })
    };
    let error = plan(&unknown, InputType::U8).unwrap_err();
    assert_eq!(error, PlanError::U8ScaleUnknown);
    let line = error.to_string();
    assert!(line.contains("--u8-scale") && line.contains("with_u8_scale"), "{line}");
    assert!(!line.contains('\n'), "{line}");
    for input in [InputType::F32, InputType::F16, InputType::Bf16] {
        assert!(plan(&unknown, input).is_ok());
    }
    let said = unknown.with_u8_scale(1.0).unwrap();
    assert!(plan(&said, InputType::U8).is_ok());
    let scores = cpu::oracle(&said, fusewire::Rows::U8(&[3, 1]));
    assert_eq!(scores, [6.0 + 4.0, 18.0 + 8.0]);
}
