//! The crate's kernels, compiled for the processor.

use std::path::{Path, PathBuf};

/// What is compiled to an object of its own: a source, and what its compiler is told.
const OBJECTS: [(&str, &str, &[&str]); 5] = [
    ("launch", "launch.cpp", &[]),
    ("fused_mlp", "kernels.cpp", &["-DFUSED_MLP"]),
    (
        "fused_mlp-sm_90",
        "kernels.cpp",
        &["-DFUSED_MLP", "-DHAS_BULK_COPIES", "-DPREFIX=\"sm_90/\""],
    ),
    ("few_rows", "kernels.cpp", &["-DFEW_ROWS"]),
    ("dense", "kernels.cpp", &["-DDENSE"]),
];

/// Compiles what runs kernels, and the kernels, into a folder.
pub fn compile(build: &cc::Build, folder: &Path) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (sources, kernels) = (root.join("tests/cuda_on_cpu"), root.join("kernels"));
    let running = OBJECTS.map(|(name, source, told)| {
        let object = folder.join(name).with_extension("o");
        let mut command = build.get_compiler().to_command();
        command.args(["-std=c++17", "-fPIC", "-Wno-unknown-pragmas", "-DFUSEWIRE_ON_CPU"]);
        command.arg("-I").arg(&sources).arg("-I").arg(&kernels).args(told);
        command.arg("-c").arg(sources.join(source)).arg("-o").arg(&object);
        (command.spawn().expect("the compiler was found"), object)
    });
    let wait = |(mut compiler, object): (std::process::Child, PathBuf)| {
        let status = compiler.wait().expect("it was started");
        assert!(status.success(), "{} does not compile", object.display());
        object
    };
    running.map(wait).to_vec()
}
