//! What `inspect` and `eval` say of weights that were rounded.

use fusewire::{Activation, Dense, Model};

use super::files::{self, Files};
use super::{json, stdout};

/// One weight far above the others of its output, which int8 would leave no steps.
#[test]
fn what_rounding_takes_is_reported() {
    let files = Files::new();
    let layer = |outlier: f32, outputs: usize| {
        let weight = |at: usize| if at % 16 == at / 16 { outlier } else { 0.25 };
        let weights = (0..16 * outputs).map(weight).collect();
        let layer = Dense::new(16, outputs, weights, None, Activation::Identity).unwrap();
        Model::from_layers(vec![layer]).unwrap()
    };
    let inspect = |path: &str, precision: &str| {
        let arguments = ["inspect", path, "--backend", "cpu", "--precision", precision];
        (json(&arguments)["plan"]["rounding"][0].clone(), stdout(&arguments))
    };
    let remedied = files.model("one.safetensors", &layer(1e3, 2));
    let (part, text) = inspect(&remedied, "int8");
    assert_eq!(part["exact_inputs"], serde_json::json!([0, 1]));
    assert_eq!((&part["warning"], &part["layer"]), (&false.into(), &0.into()));
    assert!(text.contains("lost by rounding") && text.contains("in f32"), "{text}");
    let lossy = files.model("many.safetensors", &layer(1e3, 10));
    let (part, text) = inspect(&lossy, "int8");
    assert_eq!((&part["worst"], &part["warning"]), (&1.0.into(), &true.into()));
    assert!(text.contains("warning: in int8, layer 0 loses 100.0 %"), "{text}");
    assert!(!inspect(&lossy, "f32").1.contains("lost by rounding"));

    // Pixels of 1 behind zeros before every outlier: what is lost is all that there is.
    let pixels: Vec<u8> = (0..16).map(|at| if at < 10 { 0 } else { 255 }).collect();
    let images = files.write("images", &files::idx(&[1, 4, 4], &pixels));
    let labels = files.write("labels", &files::idx(&[1], &[0]));
    let eval = ["eval", &lossy, "--images", &images, "--labels", &labels, "--backend", "cpu"];
    let exact = json(&eval);
    assert_eq!(
        (&exact["agreement"]["agrees"], &exact["agreement"]["rows"]),
        (&true.into(), &1.into())
    );
    let int8 = [&eval[..], &["--precision", "int8"]].concat();
    let document = json(&int8);
    assert_eq!(document["agreement"]["agrees"], false);
    assert_eq!(document["agreement"]["max_error_share"], 1.0);
    assert_eq!(document["rounding"][0]["worst"], 1.0);
    let text = stdout(&int8);
    assert!(text.contains("100.000 % off") && text.contains("warning: past the 10 %"), "{text}");
}
