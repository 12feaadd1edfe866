//! Tensors by hand, under the names that frameworks give them.

use super::*;
use crate::model::{Activation, Ending, Head};

mod clues;
mod left;

/// A tensor of these dimensions; numbers count up from `first` in halves.
fn tensor(name: &str, dims: &[usize], first: f32) -> NamedTensor {
    let count = dims.iter().product::<usize>();
    let bytes: Vec<u8> = (0..count).flat_map(|n| (first + 0.5 * n as f32).to_le_bytes()).collect();
    let kind = Kind::Number(Element::F32);
    NamedTensor { name: name.to_owned(), dims: dims.to_vec(), kind, bytes: bytes.into() }
}

fn torch(tensors: &[(&str, &[usize])]) -> NamedTensors {
    let tensor = |(at, (name, dims)): (usize, &(&str, &[usize]))| tensor(name, dims, at as f32);
    NamedTensors {
        format: Format::TorchStateDict,
        tensors: tensors.iter().enumerate().map(tensor).collect(),
        is_registered: true,
        layout: Some(Layout::OutputsFirst),
    }
}

/// The same tensors in a file that knows neither order nor layout.
fn bare(tensors: &[(&str, &[usize])]) -> NamedTensors {
    NamedTensors { format: Format::Npz, is_registered: false, layout: None, ..torch(tensors) }
}

fn relu() -> LoadOptions {
    LoadOptions {
        activation: Some(Activation::Relu),
        ending: Some(Ending::Activation(Activation::Identity)),
        ..LoadOptions::default()
    }
}

fn ordered(order: &[&str]) -> LoadOptions {
    let order = Some(order.iter().map(|name| (*name).to_owned()).collect());
    LoadOptions { order, ..LoadOptions::default() }
}

fn error(tensors: NamedTensors, options: &LoadOptions) -> String {
    let error = tensors.model(options, "test").unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

/// 4-3-2, registered in that order.
const TWO: [(&str, &[usize]); 4] =
    [("a.weight", &[3, 4]), ("a.bias", &[3]), ("b.weight", &[2, 3]), ("b.bias", &[2])];

#[test]
fn two_layers_with_what_the_caller_says() {
    let model = torch(&TWO).model(&relu(), "two").unwrap();
    assert_eq!((model.architecture(), model.name()), (String::from("4-3-2"), "two"));
    assert_eq!(model.layers()[0].activation(), Activation::Relu);
    assert_eq!(model.layers()[0].weight()[..2], [0.0, 0.5]);
    assert_eq!(model.layers()[1].activation(), Activation::Identity);
    assert_eq!(model.layers()[1].bias().unwrap(), [3.0, 3.5]);
    assert_eq!(
        model.notes(),
        ["order: as registered in the file", "activations relu, final none: said by the caller"]
    );
    let softmax = LoadOptions { ending: Some(Ending::Head(Head::Softmax)), ..relu() };
    assert_eq!(torch(&TWO).model(&softmax, "two").unwrap().head(), Head::Softmax);
}

#[test]
fn what_nobody_says_is_not_guessed() {
    let silent = error(torch(&TWO), &LoadOptions::default());
    assert!(silent.contains("does not say which activations follow its layers"), "{silent}");
    assert!(silent.contains("--activation relu --final none"), "{silent}");
    assert!(silent.contains("model.toml") && silent.contains("LoadOptions"), "{silent}");
    let no_ending = LoadOptions { ending: None, ..relu() };
    assert!(error(torch(&TWO), &no_ending).contains("what follows its last layer"));
    let no_activation = LoadOptions { activation: None, ..relu() };
    assert!(error(torch(&TWO), &no_activation).contains("follows each layer but the last"));
    let one = || torch(&TWO[..2]);
    assert!(one().model(&no_activation, "one").is_ok());
    assert!(error(one(), &no_ending).contains("what follows its last layer"));
}

#[test]
fn an_order_names_modules_once() {
    let order = ["a", "tanh", "b", "softmax"];
    let model = torch(&TWO).model(&ordered(&order), "two").unwrap();
    assert_eq!(model.layers()[0].activation(), Activation::Tanh);
    assert_eq!(model.head(), Head::Softmax);
    for (order, part) in [
        (&["a", "a", "b"][..], "'a' once"),
        (&["relu"], "the name of a layer, got none"),
        (&["a", "relu", "c"], "modules (a, b) or activations, got 'c'"),
        (&["relu", "a", "b"], "a layer before the activation"),
        (&["a", "relu", "tanh", "b"], "one activation after a layer"),
        (&["a", "softmax", "b"], "a head at the end alone"),
        (&["b", "relu", "a"], "it reads 4 values, and 'b' before it writes 2"),
        (&["a", "b"], "which activations follow its layers"),
    ] {
        assert!(error(torch(&TWO), &ordered(order)).contains(part), "{order:?}: {part}");
    }
    let twice = LoadOptions { order: ordered(&["a", "relu", "b"]).order, ..relu() };
    assert!(error(torch(&TWO), &twice).contains("activation: expected nothing"));
    let plain = LoadOptions { order: ordered(&["a", "b"]).order, ..relu() };
    assert!(torch(&TWO).model(&plain, "two").unwrap().notes()[0].contains("said by the caller"));
}

#[test]
fn widths_give_the_order_where_only_one_chains() {
    let shuffled = [TWO[2], TWO[3], TWO[0], TWO[1]];
    for tensors in [torch(&shuffled), bare(&shuffled)] {
        let model = tensors.model(&relu(), "two").unwrap();
        assert_eq!(model.architecture(), "4-3-2");
        assert!(model.notes()[0].contains("the only one in which widths chain"));
    }
    let square: [(&str, &[usize]); 8] = [
        TWO[0],
        TWO[1],
        ("s.weight", &[3, 3]),
        ("s.bias", &[3]),
        ("t.weight", &[3, 3]),
        ("t.bias", &[3]),
        TWO[2],
        TWO[3],
    ];
    let many = error(bare(&square), &relu());
    assert!(many.contains("does not say which of 's' and 't' comes first"), "{many}");
    assert!(many.contains("model.toml") && many.contains("LoadOptions::order"), "{many}");
    assert_eq!(torch(&square).model(&relu(), "t").unwrap().architecture(), "4-3-3-3-2");
    let options = LoadOptions { order: ordered(&["a", "t", "s", "b"]).order, ..relu() };
    let model = bare(&square).model(&options, "t").unwrap();
    assert_eq!(model.layers()[1].weight()[0], 4.0);
    let apart: [(&str, &[usize]); 2] = [("a.weight", &[3, 4]), ("b.weight", &[2, 5])];
    assert!(error(torch(&apart), &relu()).contains("a 4-3, b 5-2"));
}

#[test]
fn the_layout_is_the_only_one_that_fits() {
    let keras: [(&str, &[usize]); 4] =
        [("d/kernel:0", &[4, 3]), ("d/bias:0", &[3]), ("e/kernel:0", &[3, 2]), ("e/bias:0", &[2])];
    let model = bare(&keras).model(&relu(), "keras").unwrap();
    assert_eq!(model.architecture(), "4-3-2");
    assert_eq!(model.layers()[0].weight()[..2], [0.0, 1.5]);
    assert!(model.notes()[0].contains("[inputs, outputs]"));
    // Without biases a chain can be read backwards.
    let no_bias: [(&str, &[usize]); 2] = [("a", &[3, 4]), ("b", &[2, 3])];
    assert!(error(bare(&no_bias), &relu()).contains("which axis of its weights comes first"));
    let said = |layout| LoadOptions { layout: Some(layout), ..relu() };
    let model = bare(&no_bias).model(&said(Layout::OutputsFirst), "n").unwrap();
    assert_eq!(model.architecture(), "4-3-2");
    assert!(model.notes().contains(&String::from("there are no biases")));
    let model = bare(&no_bias).model(&said(Layout::InputsFirst), "n").unwrap();
    assert_eq!(model.architecture(), "2-3-4");
    // An order alone says it as well.
    let options = LoadOptions { order: ordered(&["b", "a"]).order, ..relu() };
    assert_eq!(bare(&no_bias).model(&options, "n").unwrap().architecture(), "2-3-4");
    let model = torch(&TWO[..3]).model(&relu(), "n").unwrap();
    assert!(model.notes().contains(&String::from("'b' has no bias")), "{:?}", model.notes());
    let wrong: [(&str, &[usize]); 2] = [("a.weight", &[3, 4]), ("a.bias", &[5])];
    assert!(error(bare(&wrong), &relu()).contains("tensor 'a.bias': expected [3], got [5]"));
}

/// 2-2-1 with a norm behind the first layer.
const NORM: [(&str, &[usize]); 9] = [
    ("0.weight", &[2, 2]),
    ("0.bias", &[2]),
    ("1.weight", &[2]),
    ("1.bias", &[2]),
    ("1.running_mean", &[2]),
    ("1.running_var", &[2]),
    ("1.num_batches_tracked", &[]),
    ("3.weight", &[1, 2]),
    ("3.bias", &[1]),
];

#[test]
fn a_norm_is_folded_where_the_order_says_it_stands() {
    let norm = || {
        let mut tensors = torch(&NORM);
        tensors.tensors[6].kind = Kind::Other(String::from("int64"));
        tensors
    };
    let part = "whether the norm '1' stands before or after relu";
    assert!(error(norm(), &relu()).contains(part));
    let model = norm().model(&ordered(&["0", "1", "relu", "3", "none"]), "n").unwrap();
    assert_eq!(model.architecture(), "2-2-1");
    // weight 2, bias 3, mean 4 and variance 5 of feature 0; the layer's first row is [0, 0.5].
    let scale = 2.0 / (5.0_f64 + 1e-5).sqrt();
    assert_eq!(model.layers()[0].weight()[1], (0.5 * scale) as f32);
    assert_eq!(model.layers()[0].bias().unwrap()[0], ((1.0 - 4.0) * scale + 3.0) as f32);
    assert_eq!(model.layers()[0].activation(), Activation::Relu);
    assert!(model.notes().iter().any(|note| note.contains("epsilon of each BatchNorm is 0.00001")));
    let after = norm().model(&ordered(&["0", "relu", "1", "3", "none"]), "n").unwrap();
    assert_ne!(after.content_hash(), model.content_hash());
    // Between affine steps alone there is nothing to say.
    let identity = LoadOptions { activation: Some(Activation::Identity), ..relu() };
    assert!(norm().model(&identity, "n").is_ok());
    let unordered = NamedTensors { is_registered: false, ..norm() };
    assert!(error(unordered, &identity).contains("where its norms stand"));
}

#[test]
fn norms_by_keras_names_and_without_parameters() {
    let keras: [(&str, &[usize]); 5] = [
        ("d/kernel", &[2, 1]),
        ("d/bias", &[1]),
        ("n/beta", &[1]),
        ("n/moving_mean", &[1]),
        ("n/moving_variance", &[1]),
    ];
    let model = bare(&keras).model(&ordered(&["d", "n", "none"]), "k").unwrap();
    // beta 2, mean 3 and variance 4; the kernel is [0, 0.5] and the bias 1.
    let scale = 1.0 / (4.0_f64 + f64::from(1e-3_f32)).sqrt();
    assert_eq!(model.layers()[0].weight()[1], (0.5 * scale) as f32);
    assert_eq!(model.layers()[0].bias().unwrap(), [((1.0 - 3.0) * scale + 2.0) as f32]);
}

#[test]
fn names_at_the_top_and_behind_wrappers() {
    let options = LoadOptions { activation: None, ..relu() };
    let top: [(&str, &[usize]); 2] = [("weight", &[2, 3]), ("bias", &[2])];
    assert_eq!(torch(&top).model(&options, "t").unwrap().architecture(), "3-2");
    let lone: [(&str, &[usize]); 1] = [("anything", &[2, 3])];
    assert_eq!(torch(&lone).model(&options, "t").unwrap().architecture(), "3-2");
    let wrapped: [(&str, &[usize]); 3] = [
        ("module.model.a.weight", &[2, 3]),
        ("module.model.a.bias", &[2]),
        ("module.model.b", &[1, 2]),
    ];
    let named = LoadOptions { order: ordered(&["a", "b"]).order, ..relu() };
    let model = torch(&wrapped).model(&named, "t").unwrap();
    for wrapper in ["'module.'", "'model.'"] {
        let note = format!("{wrapper} before all names was left out");
        assert!(model.notes().contains(&note), "{:?}", model.notes());
    }
}

#[test]
fn what_is_no_layer_is_refused_by_name() {
    for (tensors, part) in [
        (
            &[("a.weight", &[2, 3, 1, 1][..])][..],
            "'a.weight' (tensor): a weight of shape [2, 3, 1, 1]",
        ),
        (&[("n.weight", &[2]), ("n.bias", &[2])], "a LayerNorm"),
        (&[("a.bias", &[2])], "there is no weight beside it"),
        (&[("a.weight_g", &[2, 1]), ("a.weight_v", &[2, 3])], "a weight norm"),
        (&[("r.weight_ih_l0", &[2, 3])], "a recurrent layer"),
        (&[("b1", &[2])], "names are P.weight and P.bias"),
        (&[("n.running_mean", &[2])], "without a running mean and variance"),
        (&[("n.running_mean", &[2]), ("n.running_var", &[3])], "expected [2], got [3]"),
        (&[("n.running_mean", &[2, 1]), ("n.running_var", &[2, 1])], "expected one axis"),
        (&[("n.running_mean", &[2]), ("n.running_var", &[2])], "a layer's weight, got none"),
        (&[("a.weight", &[2, 2]), ("a.kernel", &[2, 2])], "one of 'a.kernel' and 'a.weight'"),
        (&[], "a layer's weight, got none"),
        (&[("a\n.weight", &[2, 2])], "'a\\n.weight..'"),
        (&[("a.weight", &[0, 2])], "layer outputs: expected at least 1"),
    ] {
        let error = error(torch(tensors), &relu());
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
    let mut short = torch(&TWO);
    short.tensors[0].bytes.truncate(40);
    assert!(error(short, &relu()).contains("as many bytes as shape [3, 4] needs, got 40"));
    let mut other = torch(&TWO);
    other.tensors[1].kind = Kind::Other(String::from("int8"));
    assert!(error(other, &relu()).contains("'a.bias' (int8): weights are read from f16"));
    let names: Vec<String> = (0..1025).map(|n| n.to_string()).collect();
    let layers: Vec<(&str, &[usize])> = names.iter().map(|name| (&name[..], &[1, 1][..])).collect();
    assert!(error(torch(&layers), &relu()).contains("layers: at most 1024, got 1025"));
    let many: Vec<_> = (0..9000).map(|_| TWO[0]).collect();
    assert!(error(torch(&many), &relu()).contains("tensors of the torch state_dict: at most 8192"));
}
