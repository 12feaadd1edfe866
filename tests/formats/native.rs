//! The native format: exact round trips, stable bytes, errors that say what is missing.

use fusewire::model::PerInput;
use fusewire::{Activation, Dense, Head, InputTransform, Model, ModelError, U8Scale};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};

/// Any finite f32, subnormals and negative zero included.
fn number() -> impl Strategy<Value = f32> {
    any::<f32>().prop_filter("finite", |number| number.is_finite())
}

fn activation() -> impl Strategy<Value = Activation> {
    let bound = prop_oneof![number(), Just(f32::INFINITY), Just(f32::NEG_INFINITY)];
    let clip = [bound.clone(), bound].prop_map(|[min, max]| Activation::Clip { min, max });
    let any = (prop::sample::select(Activation::ALL.to_vec()), [1e-3_f32..9.0, -9.0_f32..9.0]);
    prop_oneof![any.prop_map(|(activation, p)| activation.with_parameters(p)), clip]
}

fn per_input(inputs: usize) -> impl Strategy<Value = PerInput> {
    let each = prop::collection::vec(number(), inputs).prop_map(PerInput::Each);
    prop_oneof![number().prop_map(PerInput::Uniform), each]
}

fn layer(inputs: usize, outputs: usize) -> impl Strategy<Value = Dense> {
    let weight = prop::collection::vec(number(), inputs * outputs);
    let bias = prop::option::of(prop::collection::vec(number(), outputs));
    (weight, bias, activation()).prop_map(move |(weight, bias, activation)| {
        Dense::new(inputs, outputs, weight, bias, activation).unwrap()
    })
}

/// Any sound model of a few narrow layers.
pub fn model() -> impl Strategy<Value = Model> {
    let widths = prop::collection::vec(1_usize..6, 2..6);
    let chain = widths.prop_flat_map(|widths| {
        let layers: Vec<_> = widths.windows(2).map(|pair| layer(pair[0], pair[1])).collect();
        let classes = widths[widths.len() - 1];
        let labels = prop::option::of(prop::collection::vec(".{0,8}", classes));
        (layers, per_input(widths[0]), per_input(widths[0]), labels)
    });
    let heads = prop::sample::select(vec![Head::Logits, Head::Softmax, Head::LogSoftmax]);
    let u8_scale = number().prop_filter("not 0", |scale| *scale != 0.0);
    (chain, heads, ".{0,12}", u8_scale).prop_map(|(chain, head, name, u8_scale)| {
        let (layers, scale, offset, labels) = chain;
        let model = Model::from_layers(layers).unwrap().with_name(name).with_head(head);
        let model = model.with_transform(InputTransform { scale, offset }).unwrap();
        let model = model.with_u8_scale(u8_scale).unwrap();
        match labels {
            Some(labels) => model.with_labels(labels).unwrap(),
            None => model,
        }
    })
}

fn saved(model: &Model) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    model.save(&path).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary is left");
    std::fs::read(path).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_model_comes_back_as_it_was(model in model()) {
        let bytes = saved(&model);
        let again = Model::from_bytes(&bytes).unwrap();
        prop_assert_eq!(again.content_hash(), model.content_hash());
        prop_assert_eq!(again.layers(), model.layers());
        prop_assert_eq!(again.transform(), model.transform());
        prop_assert_eq!(again.u8_scale(), U8Scale::File(model.u8_scale().value().unwrap()));
        prop_assert_eq!(again.head(), model.head());
        prop_assert_eq!(again.name(), model.name());
        prop_assert_eq!(again.labels(), model.labels());
        prop_assert_eq!(saved(&again), bytes, "the same model gives the same bytes");
    }
}

fn small() -> Model {
    let layer = Dense::new(2, 1, vec![1.0, 2.0], Some(vec![3.0]), Activation::Relu).unwrap();
    Model::from_layers(vec![layer]).unwrap().with_name("small")
}

#[test]
fn the_reference_reader_accepts_what_is_written() {
    let bytes = saved(&small());
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let weight = file.tensor("0.weight").unwrap();
    assert_eq!((weight.dtype(), weight.shape()), (Dtype::F32, &[1, 2][..]));
    assert_eq!(weight.data(), bytemuck::cast_slice::<f32, u8>(&[1.0, 2.0]));
    assert_eq!(file.tensor("0.bias").unwrap().shape(), [1]);
}

/// A file of one 2-1 layer whose weight is stored as `dtype`, with this metadata.
fn file(dtype: Dtype, weight: &[u8], metadata: &[(&str, &str)]) -> Vec<u8> {
    let view = TensorView::new(dtype, vec![1, 2], weight).unwrap();
    let pairs = metadata.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    safetensors::serialize([("w", view)], Some(pairs.collect())).unwrap()
}

const LAYERS: (&str, &str) = ("fusewire.layers", r#"[{"weight":"w","activation":"relu"}]"#);
const VERSION: (&str, &str) = ("fusewire.version", "1");

#[test]
fn every_float_type_is_read() {
    let half = [half::f16::from_f32(0.5), half::f16::from_f32(-2.0)];
    let brain = [half::bf16::from_f32(0.5), half::bf16::from_f32(-2.0)];
    let stored: [(Dtype, &[u8]); 4] = [
        (Dtype::F32, bytemuck::cast_slice(&[0.5_f32, -2.0])),
        (Dtype::F64, bytemuck::cast_slice(&[0.5_f64, -2.0])),
        (Dtype::F16, bytemuck::cast_slice(&half)),
        (Dtype::BF16, bytemuck::cast_slice(&brain)),
    ];
    for (dtype, bytes) in stored {
        let model = Model::from_bytes(&file(dtype, bytes, &[VERSION, LAYERS])).unwrap();
        assert_eq!(model.layers()[0].weight(), [0.5, -2.0], "{dtype}");
        assert_eq!((model.head(), model.u8_scale()), (Head::Logits, U8Scale::Assumed));
    }
    let integers = file(Dtype::I32, &[0; 8], &[VERSION, LAYERS]);
    let error = Model::from_bytes(&integers).unwrap_err().to_string();
    assert_eq!(error, "safetensors: tensor 'w': expected F32, F16, BF16 or F64, got I32");
}

#[test]
fn what_the_file_does_not_say_is_not_guessed() {
    let weight = [0_u8; 8];
    let error = |metadata: &[_]| {
        Model::from_bytes(&file(Dtype::F32, &weight, metadata)).unwrap_err().to_string()
    };
    assert!(error(&[]).contains("which axis of its weights comes first"), "{}", error(&[]));
    assert!(error(&[("format", "pt")]).contains("does not say what follows its last layer"));
    assert!(error(&[LAYERS]).contains("expected fusewire.version"));
    assert!(error(&[VERSION]).contains("expected fusewire.layers"));
    assert!(error(&[("fusewire.version", "2"), LAYERS]).contains("expected 1, got 2"));
    assert!(error(&[VERSION, LAYERS, ("fusewire.new", "")]).contains("fusewire.new"));
    for (layers, part) in [
        (r#"[{"weight":"v","activation":"relu"}]"#, "every tensor in a layer"),
        (r#"[{"weight":"w","activation":"cube"}]"#, "cube"),
        (r#"[{"weight":"w","activation":"relu","parameters":[1]}]"#, "0 parameters"),
        (r#"[{"weight":"w","activation":"relu","extra":1}]"#, "extra"),
        (r#"[{"weight":"w","bias":"w","activation":"relu"}]"#, "each tensor once"),
        (r#"[]"#, "every tensor in a layer"),
    ] {
        let error = error(&[VERSION, ("fusewire.layers", layers)]);
        assert!(error.contains(part), "{layers}: {error}");
    }
}

/// A header of 0x280 bytes begins with the two bytes of a Python pickle.
#[test]
fn a_header_length_that_looks_like_another_magic_number() {
    let length_of = |model: &Model| u64::from_le_bytes(*saved(model).first_chunk().unwrap());
    let name = |length: usize| small().with_name("n".repeat(length));
    let padding = (0..0x280).find(|padding| length_of(&name(*padding)) == 0x280).unwrap();
    assert_eq!(Model::from_bytes(&saved(&name(padding))).unwrap().architecture(), "2-1");
}

#[test]
fn a_failed_save_names_the_path() {
    let path = std::path::Path::new("/nonexistent/model.safetensors");
    let error = small().save(path).unwrap_err();
    assert!(matches!(&error, ModelError::Io { path: at, .. } if at == path), "{error}");
}
