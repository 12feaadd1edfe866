//! Hostile PyTorch files: whatever the bytes, a typed error (or a valid model) comes back, soon.

use std::time::{Duration, Instant};

use fusewire::{Model, ModelError};
use safetensors::tensor::{Dtype, TensorView};
use zip::CompressionMethod;

use super::torch::relu;
use super::torch_file::{Entry, dict, entries, f32s, legacy, pickle, zip, zipped};

/// Reads hostile bytes; what matters is that it returns, and when.
fn read(bytes: &[u8]) -> Result<Model, ModelError> {
    let start = Instant::now();
    let result = Model::from_bytes_with(bytes, &relu());
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "took {took:?}: {:?}", result.map(|_| ()));
    result
}

fn files() -> [(&'static str, Vec<u8>); 3] {
    let data = pickle(&dict(&entries()));
    [
        ("zip", zip(&entries())),
        ("deflated zip", zipped(&data, &entries(), CompressionMethod::Deflated)),
        ("legacy", legacy(&entries())),
    ]
}

#[test]
fn a_torch_file_cut_anywhere_is_an_error() {
    for (kind, bytes) in files() {
        assert!(read(&bytes).is_ok(), "{kind}");
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{kind} cut at {length}");
        }
    }
}

#[test]
fn flipped_bytes_of_torch_files_never_panic() {
    for (_, bytes) in files() {
        for at in 0..bytes.len() {
            for byte in [0, 1, 0x28, 0x2e, 0x52, 0x7f, 0x80, 0xff, !bytes[at], bytes[at] ^ 1] {
                let mut damaged = bytes.clone();
                damaged[at] = byte;
                let _ = read(&damaged);
            }
        }
    }
}

/// In the pickle itself, where no checksum stands before it.
#[test]
fn damaged_pickles_never_panic() {
    let data = pickle(&dict(&entries()));
    for at in 0..data.len() {
        let without = [&data[..at], &data[at + 1..]].concat();
        let _ = read(&zipped(&without, &entries(), CompressionMethod::Stored));
        for byte in [0, 0x28, 0x29, 0x2e, 0x52, 0x74, 0x75, 0x85, 0xff, data[at].wrapping_add(1)] {
            let mut damaged = data.clone();
            damaged[at] = byte;
            let _ = read(&zipped(&damaged, &entries(), CompressionMethod::Stored));
        }
    }
}

fn too_large(bytes: &[u8], part: &str) {
    let error = read(bytes).unwrap_err();
    let is_typed = matches!(error, ModelError::TooLarge { .. });
    assert!(is_typed && error.to_string().contains(part), "{error}");
}

#[test]
fn sizes_that_lie() {
    let one = |entry: Entry| zip(&[entry]);
    let weight = || f32s("weight", "0", &[1, 2], &[1.0, 2.0]);
    let huge = u32::MAX;
    let wide = Entry { shape: vec![huge, huge], stride: vec![0, 0], ..weight() };
    too_large(&one(wide), "bytes of tensors that share storages");
    let far = Entry { shape: vec![2, 2], stride: vec![huge, huge], offset: huge, ..weight() };
    assert!(read(&one(far)).unwrap_err().to_string().contains("a view of 2 elements"));
    let long = Entry { elements: huge, ..weight() };
    assert!(read(&one(long.clone())).unwrap_err().to_string().contains("4294967295 elements"));
    assert!(read(&legacy(&[long])).unwrap_err().to_string().contains("4294967295 elements"));
}

/// A storage of one number, spread over many layers that are each as large as a model may be.
#[test]
fn shared_storages_do_not_multiply() {
    let square =
        |name| Entry { shape: vec![500, 500], stride: vec![0, 0], ..f32s(name, "0", &[1], &[1.0]) };
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    too_large(&zip(&names.map(square)), "bytes of tensors that share storages");
    too_large(&legacy(&[square("a"), square("b")]), "bytes of tensors that share storages");
}

#[test]
fn pickles_that_ask_for_much() {
    let asks = |data: &[u8]| zipped(&pickle(data), &[], CompressionMethod::Deflated);
    too_large(&asks(&b"N".repeat(8_000_000)), "inflated bytes of the torch state_dict");
    too_large(&asks(&b"N".repeat(1_000_000)), "values of the pickle");
    // As a tree, 2^100000 lists.
    let laughs = [b"]".to_vec(), b"q\x000](h\x00h\x00e".repeat(50_000)].concat();
    assert!(read(&asks(&laughs)).unwrap_err().to_string().contains("got a list"));
}

/// As many layers as there may be in a file that knows no order; and a chain, shuffled.
#[test]
fn an_order_is_looked_for_soon() {
    let file = |count: usize, widths: &dyn Fn(usize) -> [usize; 2]| {
        let views: Vec<(String, Vec<usize>, Vec<u8>)> = (0..count)
            .map(|n| (n, widths(n)))
            .map(|(n, [a, b])| (format!("w{:04}", n * 389 % 1024), vec![a, b], vec![0; 4 * a * b]))
            .collect();
        let views = views.iter().map(|(name, shape, bytes)| {
            (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        let format = [(String::from("format"), String::from("pt"))].into_iter().collect();
        safetensors::serialize(views, Some(format)).unwrap()
    };
    let square = read(&file(1024, &|_| [2, 2])).unwrap_err();
    assert!(matches!(square, ModelError::Undeclared { .. }), "{square}");
    // Widths 2, 1, 3, 1, 4, 1, ..: the order is anyone's guess. Falling widths: there is one.
    let star = |n: usize| if n.is_multiple_of(2) { [1, 2 + n / 2] } else { [2 + n / 2, 1] };
    assert!(matches!(read(&file(1024, &star)).unwrap_err(), ModelError::Undeclared { .. }));
    assert_eq!(read(&file(64, &|n| [n + 1, n + 2])).unwrap().layers().len(), 64);
}
