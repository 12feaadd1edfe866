//! What sound models say, and what sound models are refused for.

use super::*;

#[test]
fn a_layer_through_two_calls() {
    let model = read(&Told::new().files()).unwrap();
    let layer = &model.layers()[0];
    assert_eq!(layer.weight(), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    assert_eq!(layer.bias(), Some(&[0.5, -0.5][..]));
    assert_eq!((layer.activation(), model.name()), (Activation::Relu, "told"));
    assert!(model.notes().is_empty());
}

#[test]
fn variables_go_by_what_is_captured_and_not_by_name() {
    let mut told = Told::new();
    for node in &mut told.nodes[1..3] {
        node.attr.clear();
    }
    assert_eq!(read(&told.files()).unwrap().layers()[0].weight()[1], 3.0);
    // The other way round nothing fits.
    let mut swapped = Told::new();
    swapped.captures[0].1 = vec![2, 1];
    error(&swapped.files(), "expected rows of 2 values");
}

#[test]
fn variables_go_by_name_where_nothing_is_captured() {
    let mut told = Told::new();
    told.captures.clear();
    assert_eq!(read(&told.clone().files()).unwrap().layers()[0].weight()[1], 3.0);
    told.names = vec!["w".into(), "w".into(), "b".into()];
    error(&told.files(), "node 'w' (VarHandleOp): no one variable is called 'w'");
}

#[test]
fn the_two_object_graphs_must_agree() {
    let mut told = Told::new();
    told.objects();
    let mut other = told.clone();
    other.names[1] = "v".into();
    // The checkpoint still says 'w'.
    let (files, sound) = (other.files(), told.files());
    let mixed = Memory(HashMap::from([
        (super::super::FILE.into(), files.0[super::super::FILE].clone()),
        (INDEX.into(), sound.0[INDEX].clone()),
        (DATA.into(), sound.0[DATA].clone()),
    ]));
    error(&mixed, "object 1: expected the variable 'v', got 'w' in the checkpoint");
    let mut shaped = Told::new();
    let attribute = AttrValue { shape: shape(&[2, 3]), ..AttrValue::default() };
    shaped.nodes[1] = node("w", "VarHandleOp", &[], &[("shape", attribute)]);
    error(&shaped.files(), "variable 'w': expected shape [2, 3], got [3, 2]");
}

#[test]
fn signatures_are_chosen_or_named() {
    let mut told = Told::new();
    told.signatures[0].key = "only".into();
    told.signatures.push(SignatureEntry { key: "__saved_model_init_op".into(), value: None });
    read(&told.clone().files()).unwrap();
    told.signatures.push(SignatureEntry { key: "another".into(), value: None });
    error(&told.clone().files(), "which of the signatures 'another', 'only' is meant");
    told.signatures.clear();
    error(&told.files(), "signatures: expected one, as 'serving_default', got none");
    let signature = |change: &dyn Fn(&mut SignatureDef)| {
        let mut told = Told::new();
        change(told.signatures[0].value.as_mut().unwrap());
        told.files()
    };
    let two = signature(&|signature| signature.inputs.extend(info("y:0", &[-1, 3])));
    error(&two, "one input is read, and there are 'tensor', 'tensor'");
    error(&signature(&|signature| signature.outputs.clear()), "expected one output, got none");
    error(&signature(&|s| s.inputs = info("x:0", &[-1])), "a row needs a batch axis");
    error(&signature(&|s| s.inputs = info("x:0", &[-1, -1, 3])), "are stated");
    error(&signature(&|s| s.inputs = info("z:0", &[-1, 3])), "the top graph");
    let fixed = read(&signature(&|s| s.inputs = info("x", &[4, 3]))).unwrap();
    assert!(fixed.notes()[0].contains("fixed at 4"), "{:?}", fixed.notes());
    read(&signature(&|s| s.inputs = info("x", &[-1, -1]))).unwrap();
    let mut untagged = Told::new().meta_graph();
    untagged.meta_info_def = Some(MetaInfoDef { tags: vec!["train".into()] });
    let mut files = Told::new().files();
    let file = SavedModel { meta_graphs: vec![untagged.encode_to_vec().into()] };
    files.0.insert(super::super::FILE.into(), file.encode_to_vec().into());
    error(&files, "a graph tagged 'serve', got train");
}

#[test]
fn constants_are_computed_from_constants() {
    let tensor = |numbers: &[f32], sizes: &[i64]| TensorProto {
        dtype: 1,
        tensor_shape: shape(sizes),
        float_val: numbers.to_vec(),
        ..TensorProto::default()
    };
    let mut told = Told::new();
    told.functions[1].node_def.extend([
        // Equal numbers at the end are stated once.
        constant("four", tensor(&[4.0], &[2])),
        node("half", "Rsqrt", &["four:output:0"], &[]),
        node("halved", "Mul", &["read_w:value:0", "half:y:0"], &[]),
    ]);
    told.functions[1].node_def[2].input[1] = "halved:z:0".into();
    let model = read(&told.files()).unwrap();
    assert_eq!(model.layers()[0].weight(), [0.5, 1.5, 2.5, 1.0, 2.0, 3.0]);
}

#[test]
fn what_is_not_run_is_refused_by_its_own_name() {
    let with = |op: &str, inputs: &[&str]| {
        let mut told = Told::new();
        told.functions[1].node_def[4] = node("relu", op, inputs, &[]);
        told.files()
    };
    let product = "product:product:0";
    error(&with("Conv2D", &[product]), "node 'relu' (Conv2D): convolutions");
    error(&with("AddV2", &[product, "sum:output:0"]), "node 'relu' (AddV2): it joins two");
    error(&with("SelectV2", &[product, "sum:output:0", product]), "(SelectV2): it makes no");
    error(&with("ArgMax", &[product]), "export the scores");
    error(&with("MatMul", &["read_w:value:0", product]), "(MatMul): the constant must stand");
    error(&with("Mul", &[product]), "(Mul): input 1 is missing");
    error(&with("Relu", &["nobody"]), "function 'inner': expected inputs that are there");
    error(&with("Relu", &["w"]), "a variable must be read first");
    error(
        &with("Identity", &["read_b:value:0"]),
        "a value computed from the input, got a constant",
    );
}
