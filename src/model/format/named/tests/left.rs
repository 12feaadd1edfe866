//! What an order leaves out: named in a note, or kept by force.

use super::*;

/// A trunk and two heads with all their tensors, in the order of registration.
const HEADS: [(&str, &[usize]); 6] = [
    ("a.weight", &[3, 4]),
    ("a.bias", &[3]),
    ("actor.weight", &[2, 3]),
    ("actor.bias", &[2]),
    ("critic.weight", &[1, 3]),
    ("critic.bias", &[1]),
];

fn say(order: &[&str]) -> LoadOptions {
    LoadOptions { order: ordered(order).order, ..relu() }
}

/// The two layers of `TWO` and these tensors more.
fn two_and(more: &[(&str, &[usize])]) -> NamedTensors {
    torch(&[&TWO, more].concat())
}

/// What a note says is left out of `a, b`.
fn left_out(more: &[(&str, &[usize])]) -> String {
    let model = two_and(more).model(&say(&["a", "b"]), "t");
    let model = model.unwrap_or_else(|error| panic!("{more:?}: {error}"));
    assert_eq!(model.content_hash(), torch(&TWO).model(&relu(), "t").unwrap().content_hash());
    let note = model.notes().iter().find(|note| note.starts_with("left out"));
    note.unwrap_or_else(|| panic!("{more:?}: {:?}", model.notes())).clone()
}

fn kept(more: &[(&str, &[usize])], part: &str) {
    let error = error(two_and(more), &say(&["a", "b"]));
    assert!(error.contains(part), "{more:?}: '{part}' is not in: {error}");
}

#[test]
fn an_order_chooses_a_head() {
    let all = error(torch(&HEADS), &relu());
    assert!(
        all.contains("'actor' and 'critic' are heads") || all.contains("'actor', 'critic'"),
        "{all}"
    );
    for (head, other, architecture) in [("actor", "critic", "4-3-2"), ("critic", "actor", "4-3-1")]
    {
        let model = torch(&HEADS).model(&say(&["a", head]), "t").unwrap();
        assert_eq!(model.architecture(), architecture);
        let note = format!(
            "left out, because the order does not name them: 2 tensors: '{other}.weight', \
             '{other}.bias'"
        );
        assert!(model.notes().contains(&note), "{:?}", model.notes());
    }
    let named = error(torch(&HEADS), &say(&["a", "actr"]));
    assert!(named.contains("modules (a, actor, critic) or activations, got 'actr'"), "{named}");
}

#[test]
fn what_scores_do_not_depend_on_is_left_out_with_a_note() {
    let buffers: [(&str, &[usize]); 2] = [("mean", &[4]), ("std", &[4])];
    assert!(left_out(&buffers).ends_with("2 tensors: 'mean', 'std'"));
    assert!(left_out(&[("class_weights", &[2])]).contains("'class_weights'"));
    assert!(left_out(&[("temperature", &[])]).contains("'temperature'"));
    assert!(left_out(&[("aux.weight", &[7, 3]), ("aux.bias", &[7])]).contains("'aux.bias'"));
    assert!(left_out(&[("conv.weight", &[2, 2, 3, 3])]).contains("'conv.weight'"));
    // A second network with its own norm, mask and adapter.
    let other: [(&str, &[usize]); 6] = [
        ("old.0.weight", &[3, 4]),
        ("old.1.weight", &[3]),
        ("old.1.running_mean", &[3]),
        ("old.1.running_var", &[3]),
        ("old.0.mask", &[3, 4]),
        ("old.2.scale", &[3]),
    ];
    assert!(left_out(&other).contains("6 tensors: 'old.0.weight'"));
    // What stands before the named layers, behind others.
    let before: [(&str, &[usize]); 5] = [
        ("conv.weight", &[3, 1, 2, 2]),
        ("conv.bias", &[3]),
        ("bn.running_mean", &[3]),
        ("bn.running_var", &[3]),
        ("scale", &[3]),
    ];
    let model = torch(&[&before[..], &TWO].concat()).model(&say(&["a", "b"]), "t").unwrap();
    assert!(model.notes().iter().any(|note| note.contains("5 tensors: 'bn.running_mean'")));
    let behind = error(two_and(&before), &say(&["a", "b"]));
    assert!(behind.contains("'bn' (tensor): its 3 values fit between"), "{behind}");
    let beside: [(&str, &[usize]); 3] =
        [("critic.weight", &[3, 3]), ("critic_ln.weight", &[3]), ("critic_ln.bias", &[3])];
    assert!(left_out(&beside).contains("3 tensors"));
    let many: Vec<String> = (0..9).map(|n| format!("other{n}.weight")).collect();
    let many: Vec<(&str, &[usize])> = many.iter().map(|name| (&name[..], &[5, 5][..])).collect();
    assert!(left_out(&many).ends_with("'other5.weight' and 3 more"));
    // Without an order all of it is refused, by name.
    let error = error(two_and(&buffers), &relu());
    assert!(error.contains("'mean'") && error.contains("--order LAYERS leaves out"), "{error}");
}

#[test]
fn counters_are_left_out_with_a_note() {
    let mut tensors = two_and(&[("n_averaged", &[])]);
    for tensor in &mut tensors.tensors[..4] {
        tensor.name.insert_str(0, "module.");
    }
    tensors.tensors[4].kind = Kind::Other(String::from("int64"));
    let model = tensors.model(&relu(), "t").unwrap();
    let note = String::from("left out: 1 counter of batches, which no score depends on");
    assert!(model.notes().contains(&note), "{:?}", model.notes());
    let large = error(two_and(&[("a.num_batches_tracked", &[3])]), &relu());
    assert!(large.contains("'a.num_batches_tracked'"), "{large}");
}

#[test]
fn what_changes_a_named_layer_is_not_left_out() {
    let belongs = "belongs to 'a', which the order names";
    for name in ["a.lora_A", "a.mask", "a.weight_g", "a/scale", "a_mask", "mask_a", "a.sub.weight"]
    {
        kept(&[(name, &[3, 4])], belongs);
    }
    kept(&[("a_lora_A.weight", &[3, 3])], belongs);
    kept(&[("lora_down.weight", &[3, 3])], "belongs to an adapter");
    kept(&[("adapter.down.weight", &[3, 3])], "belongs to an adapter");
    let fits = "values fit between the layers";
    kept(&[("bn.running_mean", &[3]), ("bn.running_var", &[3])], fits);
    kept(&[("bns.0.running_mean", &[4]), ("bns.0.running_var", &[4])], fits);
    kept(&[("ln.weight", &[3]), ("ln.bias", &[3])], fits);
    kept(&[("prelu.weight", &[1])], fits);
    // That both have a bias does not make the norm the other layer's.
    let conv: (&str, &[usize]) = ("conv.bias", &[5]);
    kept(&[("conv.weight", &[5, 2, 1, 1]), conv, ("ln.weight", &[3]), ("ln.bias", &[3])], fits);
    kept(&[("scale", &[3])], "may scale or shift the 3 values");
    kept(&[("offset", &[1, 3])], "may scale or shift the 3 values");
    // A bias under another name is one that the layer lacks.
    let lacks: [(&str, &[usize]); 4] = [TWO[0], TWO[2], TWO[3], ("offset", &[3])];
    let without = error(torch(&lacks), &say(&["a", "b"]));
    assert!(without.contains("it may be the bias of 'a', which has none"), "{without}");
    // A layer that can be run with what belongs to it alone is refused for that reason.
    let normed: [(&str, &[usize]); 5] =
        [("a.weight_g", &[3, 1]), ("a.weight_v", &[3, 4]), TWO[1], TWO[2], TWO[3]];
    let error = error(torch(&normed), &say(&["a", "b"]));
    assert!(error.contains("a weight norm; remove it before saving"), "{error}");
}

#[test]
fn a_final_may_follow_an_order_with_activations() {
    let softmax = Some(Ending::Head(Head::Softmax));
    let options = |order: &[&str]| LoadOptions { ending: softmax, ..ordered(order) };
    let model = torch(&TWO).model(&options(&["a", "ReLU", "b"]), "t").unwrap();
    assert_eq!(model.head(), Head::Softmax);
    assert_eq!(model.layers()[0].activation(), Activation::Relu);
    assert!(model.notes().iter().any(|note| note == "final softmax: said by the caller"));
    let last = LoadOptions {
        ending: Some(Ending::Activation(Activation::Tanh)),
        ..ordered(&["a", "relu", "b"])
    };
    assert_eq!(torch(&TWO).model(&last, "t").unwrap().layers()[1].activation(), Activation::Tanh);
    for order in [&["a", "relu", "b", "softmax"][..], &["a", "relu", "b", "none"]] {
        let twice = error(torch(&TWO), &options(order));
        assert!(twice.contains("final: expected nothing, because the order says what"), "{twice}");
    }
}

#[test]
fn epsilon_is_said_or_noted_where_it_is_assumed() {
    let order = ["0", "1", "relu", "3", "none"];
    let norm = |epsilon| LoadOptions { epsilon, ..ordered(&order) };
    let tensors = || {
        let mut tensors = torch(&NORM);
        tensors.tensors[6].kind = Kind::Other(String::from("int64"));
        tensors
    };
    let model = tensors().model(&norm(Some(0.5)), "n").unwrap();
    // weight 2 and variance 5 of feature 0; the layer's first row is [0, 0.5].
    let scale = 2.0 / (5.0_f64 + 0.5).sqrt();
    assert_eq!(model.layers()[0].weight()[1], (0.5 * scale) as f32);
    let said = "epsilon of each BatchNorm is 0.5: said by the caller";
    assert!(model.notes().iter().any(|note| note == said), "{:?}", model.notes());
    let assumed = tensors().model(&norm(None), "n").unwrap();
    let note = "epsilon of each BatchNorm is 0.00001: assumed";
    assert!(assumed.notes().iter().any(|one| one.starts_with(note)), "{:?}", assumed.notes());
    for (epsilon, part) in [(f32::NAN, "got NaN"), (-1.0, "got -1"), (f32::INFINITY, "got inf")] {
        assert!(error(tensors(), &norm(Some(epsilon))).contains(part));
    }
    let nothing = LoadOptions { epsilon: Some(0.5), ..relu() };
    assert!(
        error(torch(&TWO), &nothing).contains("epsilon: expected nothing, because there is no")
    );
}
