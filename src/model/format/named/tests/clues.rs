//! Names that speak against one chain of layers, and names that do not.

use super::*;

/// What stands before square layers and after them.
const FIRST: (&str, &[usize]) = ("fc_in", &[4, 3]);
const LAST: (&str, &[usize]) = ("fc_out", &[2, 4]);

/// Layers with weight and bias, of these names.
fn layers(layers: &[(&str, &[usize])]) -> NamedTensors {
    let tensors = layers.iter().flat_map(|(name, dims)| {
        [
            tensor(&format!("{name}.weight"), dims, 0.0),
            tensor(&format!("{name}.bias"), &dims[..1], 0.0),
        ]
    });
    NamedTensors { tensors: tensors.collect(), ..torch(&[]) }
}

/// Square layers of these names between two others, with biases.
fn squares(names: &[&str]) -> NamedTensors {
    let middle = names.iter().map(|name| (*name, &[4, 4][..]));
    layers(&[FIRST].into_iter().chain(middle).chain([LAST]).collect::<Vec<_>>())
}

/// A tensor more.
fn and(mut tensors: NamedTensors, name: &str, dims: &[usize]) -> NamedTensors {
    tensors.tensors.push(tensor(name, dims, 0.0));
    tensors
}

/// Refused with the option that helps, and with these words; with an order it is read.
fn refused_unless_ordered(names: &[&str], part: &str) {
    let error = error(squares(names), &relu());
    let expected = ["does not say that its layers are one chain", part, "--order"];
    assert!(expected.iter().all(|part| error.contains(part)), "{names:?}: '{part}' in {error}");
    let order: Vec<&str> = [&["fc_in"], names, &["fc_out"]].concat();
    let said = LoadOptions { order: ordered(&order).order, ..relu() };
    squares(names).model(&said, "t").unwrap_or_else(|error| panic!("{names:?}: {error}"));
}

#[test]
fn adapters_are_no_layers() {
    for names in [
        &["fc1.base_layer", "fc1.lora_A.default", "fc1.lora_B.default"][..],
        &["fc1", "fc1_lora_A", "fc1_lora_B"],
        &["lora_down", "lora_up"],
        &["fc1", "adapter"],
        &["fc1", "adapters.0"],
        &["fc1.base_layer"],
        &["fc1", "loraA"],
        &["fc1.adapter.down", "fc1.adapter.up"],
    ] {
        refused_unless_ordered(names, "adapters of other layers");
    }
    let error = error(and(squares(&["fc1"]), "fc1.lora_A", &[4, 4]), &relu());
    assert!(error.contains("'fc1.lora_A' belong to adapters"), "{error}");
}

#[test]
fn second_networks_are_no_layers() {
    for names in [
        &["target_net.0", "target_net.2"][..],
        &["net.fc2", "target.fc2"],
        &["fc2", "fc2_target"],
        &["fc2", "target_fc2"],
        &["q", "q_target"],
        &["policy_net", "target_net"],
        &["eval_net", "target_net"],
        &["critic_local", "critic_target"],
        &["teacher.fc1", "student.fc1"],
        &["teacher.a", "student.b"],
        &["ema.fc1"],
        &["fc1", "fc1_ema"],
        &["ema_model.0", "online_model.0"],
        &["model.0", "model_ema.0"],
        &["module.0", "swa.0"],
        &["old_policy.0", "policy.0"],
        &["fc1", "old_fc1"],
        &["shadow.fc1", "model.fc1"],
        &["momentum_encoder.0", "encoder.0"],
        &["net.0", "net.2", "net_copy.0", "net_copy.2"],
        &["a.0", "a.2", "b.0", "b.2"],
        &["generator.0", "discriminator.0"],
        &["netG", "netD"],
        &["online", "target"],
    ] {
        refused_unless_ordered(names, "network");
    }
}

#[test]
fn attention_gates_and_experts_are_no_chain() {
    for (names, part) in [
        (&["q", "k", "v"][..], "queries, keys and values"),
        (&["query", "key", "value"], "queries, keys and values"),
        (&["W_q", "W_k"], "queries, keys and values"),
        (&["toKeys", "toValues"], "queries, keys and values"),
        (&["q_proj"], "attention"),
        (&["block.v_proj"], "attention"),
        (&["Wq", "Wk"], "attention"),
        (&["to_q", "to_kv"], "attention"),
        (&["qkv"], "attention"),
        (&["self_attn.out"], "attention"),
        (&["gate"], "gates"),
        (&["up", "gate_proj"], "gates"),
        (&["fc1", "fc1_gate"], "gates"),
        (&["glu.fc"], "gates"),
        (&["w_gate"], "gates"),
        (&["mlp.GateProj"], "gates"),
        (&["gru.cell"], "recurrent"),
        (&["LSTM.0"], "recurrent"),
        (&["experts.0", "experts.1"], "experts"),
        (&["router"], "experts"),
        (&["branch1", "branch2"], "side by side"),
        (&["branch_a.0", "branch_b.0"], "side by side"),
        (&["branches.0", "branches.1"], "side by side"),
        (&["user_tower.0", "item_tower.0"], "side by side"),
        (&["left.fc", "right.fc"], "two sides"),
        (&["q1.0", "q2.0"], "side by side"),
        (&["critic1.l1", "critic2.l1"], "side by side"),
        (&["heads.0", "heads.1"], "side by side"),
        (&["class_head", "box_head"], "side by side"),
        (&["head1.0", "head2.0"], "side by side"),
        (&["block.fc", "block.shortcut"], "sum of two branches"),
        (&["skip"], "sum of two branches"),
    ] {
        refused_unless_ordered(names, part);
    }
}

#[test]
fn heads_side_by_side_are_no_chain() {
    for (names, part) in [
        (&["actor", "critic"][..], "side by side"),
        (&["actor_mean.0", "critic.0"], "side by side"),
        (&["mlp_extractor.policy_net.0", "mlp_extractor.value_net.0"], "side by side"),
        (&["action_net", "value_net"], "side by side"),
        (&["advantage", "value"], "side by side"),
        (&["adv_stream", "val_stream"], "side by side"),
        (&["head", "value_head"], "side by side"),
        (&["pi", "v"], "side by side"),
        (&["mu", "logvar"], "variance"),
        (&["fc_mu", "fc_log_var"], "variance"),
        (&["fcMu", "fcLogVar"], "variance"),
        (&["mean", "std"], "variance"),
        (&["z_mean", "z_log_var"], "variance"),
        (&["mu", "log_std"], "variance"),
        (&["enc.mu", "enc.sigma"], "variance"),
    ] {
        refused_unless_ordered(names, part);
    }
}

#[test]
fn what_belongs_to_a_layer_is_no_layer() {
    let under = error(and(squares(&["fc1"]), "fc1.projection", &[4, 4]), &relu());
    assert!(under.contains("'fc1.projection' stand under a layer's own name"), "{under}");
    let mask = error(and(squares(&["fc1"]), "mask", &[4, 4]), &relu());
    assert!(mask.contains("a masked layer"), "{mask}");
    let bare = error(and(squares(&["fc1"]), "anchors", &[4, 4]), &relu());
    assert!(bare.contains("'anchors' is a matrix, and not named like the layers"), "{bare}");
    let mut table = squares(&["embedding", "fc1"]);
    assert!(table.tensors.iter().any(|tensor| tensor.name == "embedding.bias"));
    assert!(squares(&["embedding", "fc1"]).model(&relu(), "t").is_ok());
    table.tensors.retain(|tensor| tensor.name != "embedding.bias");
    assert!(error(table, &relu()).contains("may be tables, of an embedding"));
}

/// Names of real networks that are one chain.
#[test]
fn chains_go_on_loading() {
    for names in [
        &["0", "2", "4"][..],
        &["fc1", "fc2", "fc3"],
        &["layers.0.linear", "layers.1.linear"],
        &["layers.0", "layers.1", "layers.10"],
        &["layer1.0", "layer1.2", "layer2.0", "layer2.2"],
        &["block1.fc1", "block1.fc2", "block2.fc1", "block2.fc2"],
        &["hidden1", "hidden2"],
        &["hidden_layers.0", "hidden_layers.1"],
        &["encoder.0", "encoder.2", "decoder.0", "decoder.2"],
        &["backbone.fc", "head"],
        &["features.0", "classifier"],
        &["module.model.0", "module.model.2"],
        &["linear_relu_stack.0", "linear_relu_stack.2"],
        &["dense", "dense_1", "dense_2"],
        &["mlp.fc_in", "mlp.fc_out"],
        &["mlp.c_fc", "mlp.c_proj"],
        &["mlp.up_proj", "mlp.down_proj"],
        &["in_proj", "out_proj"],
        &["proj", "proj_out"],
        &["projection_head.0", "projection_head.2"],
        &["aggregate", "navigate"],
        &["target_layer"],
        &["hidden", "target"],
        &["teacher_forcing.0", "teacher_forcing.2"],
        &["fc1", "mu"],
        &["trunk", "actor"],
        &["trunk", "value"],
        &["critic_fc1", "critic_fc2"],
        &["q_fc1", "q_fc2", "q_out"],
        &["q1", "q2", "q3"],
        &["stem", "trunk.0", "trunk.2"],
        &["net1.0", "net1.2", "net2.0", "net2.2"],
        &["branch.0", "branch.2"],
        &["key_layer", "lockgate"],
        &["cinema", "schema", "golden"],
        &["Linear_0", "Linear_1"],
        &["policy.0", "policy.2"],
        &["stage1.block.fc", "stage2.block.fc"],
        &["pre_head", "head"],
        &["head1", "head2"],
        &["frozen_backbone.0", "head"],
        &["first.fc", "second.fc"],
        &["embed", "unembed"],
    ] {
        let model = squares(names).model(&relu(), "t");
        let model = model.unwrap_or_else(|error| panic!("{names:?}: {error}"));
        assert_eq!(model.layers().len(), names.len() + 2, "{names:?}");
        let note = &model.notes()[0];
        assert!(note.starts_with("order: as registered in the file"), "{names:?}: {note}");
        assert_eq!(note.contains("--order says it"), names.len() > 1, "{names:?}: {note}");
    }
    // Where all names are those of one network, its mark is no sign of a second.
    for prefix in ["target_net", "critic", "actor", "teacher", "ema_model", "value_net", "swa"] {
        let names = [format!("{prefix}.0"), format!("{prefix}.2")];
        let all: [(&str, &[usize]); 2] = [(&names[0], &[4, 3]), (&names[1], &[2, 4])];
        layers(&all).model(&relu(), "t").unwrap_or_else(|error| panic!("{prefix}: {error}"));
    }
}

#[test]
fn weights_and_biases_pair_by_words() {
    for [first, first_bias, second, second_bias] in [
        ["W1", "b1", "W2", "b2"],
        ["w_1", "b_1", "w_2", "b_2"],
        ["coefs_0", "intercepts_0", "coefs_1", "intercepts_1"],
        ["weights.0", "biases.0", "weights.1", "biases.1"],
        ["fc1_w", "fc1_b", "fc2_w", "fc2_b"],
        ["hidden/W:0", "hidden/b:0", "out/W:0", "out/b:0"],
    ] {
        for bias in [&[3][..], &[3, 1], &[1, 3]] {
            let tensors: [(&str, &[usize]); 4] =
                [(first, &[3, 4]), (first_bias, bias), (second, &[2, 3]), (second_bias, &[2])];
            let model = bare(&tensors).model(&relu(), "t").unwrap();
            assert_eq!(model.architecture(), "4-3-2", "{first}");
            assert_eq!(model.layers()[0].bias().unwrap(), [1.0, 1.5, 2.0], "{first}");
            assert_eq!(model.layers()[1].bias().unwrap(), [3.0, 3.5], "{first}");
        }
    }
    // A single layer with one output: neither is taken for a layer behind the other.
    let one: [(&str, &[usize]); 2] = [("W", &[1, 4]), ("b", &[1, 1])];
    let options = LoadOptions { layout: Some(Layout::OutputsFirst), ..relu() };
    let model = bare(&one).model(&options, "t").unwrap();
    assert_eq!((model.architecture(), model.layers().len()), (String::from("4-1"), 1));
    let column: [(&str, &[usize]); 4] =
        [("a.weight", &[3, 4]), ("a.bias", &[3, 1]), TWO[2], ("b.bias", &[1, 2])];
    let model = torch(&column).model(&relu(), "t").unwrap();
    assert_eq!(model.layers()[0].bias().unwrap(), [1.0, 1.5, 2.0]);
    let wide: [(&str, &[usize]); 2] = [("a.weight", &[4, 4]), ("a.bias", &[2, 2])];
    assert!(error(torch(&wide), &relu()).contains("'a.bias': expected one axis, got [2, 2]"));
    let unnamed: [(&str, &[usize]); 3] = [("x", &[1, 4]), ("y", &[1, 1]), ("z", &[3, 1])];
    assert!(error(bare(&unnamed), &relu()).contains("may be a layer, or the bias of another"));
}

#[test]
fn numbers_in_names_are_weighed_against_the_file() {
    let against = error(squares(&["fc3", "fc2"]), &relu());
    assert!(against.contains("whether 'fc3' comes before 'fc2', as it is registered"), "{against}");
    let ten = error(squares(&["layers.10.fc", "layers.9.fc"]), &relu());
    assert!(ten.contains("'layers.10.fc' comes before 'layers.9.fc'"), "{ten}");
    assert!(squares(&["layers.9.fc", "layers.10.fc"]).model(&relu(), "t").is_ok());
    // Where widths chain in one order alone, numbers may count down.
    let down: [(&str, &[usize]); 3] = [("fc3", &[4, 5]), ("fc2", &[3, 4]), ("fc1", &[2, 3])];
    let model = layers(&down).model(&relu(), "t").unwrap();
    assert_eq!(model.notes()[0], "order: as registered in the file");
    // And where they do not chain in the order of the numbers, those are no order.
    let apart: [(&str, &[usize]); 4] =
        [("fc3", &[4, 5]), ("a", &[4, 4]), ("b", &[4, 4]), ("fc2", &[3, 4])];
    assert!(layers(&apart).model(&relu(), "t").is_ok());
}
