//! The crate's kernels, compiled for the processor.

use std::path::{Path, PathBuf};
use std::process::Child;

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

/// The kernels to compile.
pub struct Kernels {
    /// Where their sources lie.
    pub folder: PathBuf,
    /// The one file that is not as it should be, and the folder where the others were compiled.
    pub mutant: Option<(&'static str, PathBuf)>,
}

impl Kernels {
    /// As they are.
    pub fn sound() -> Kernels {
        Kernels { folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels"), mutant: None }
    }

    /// Where an object was compiled that the mutant is no part of.
    fn compiled(&self, object: &str) -> Option<PathBuf> {
        let (file, folder) = self.mutant.as_ref()?;
        let is_part = match file.strip_suffix(".cu") {
            Some(stem) => object.starts_with(stem),
            None => *file != "block.cuh" || object.starts_with("few_rows"),
        };
        (!is_part).then(|| folder.join(object).with_extension("o"))
    }
}

/// Compiles what runs kernels, and the kernels, into a folder.
pub fn compile(build: &cc::Build, kernels: &Kernels, folder: &Path) -> Vec<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda_on_cpu");
    let running = OBJECTS.map(|(name, source, told)| {
        if let Some(object) = kernels.compiled(name) {
            return (None, object);
        }
        let object = folder.join(name).with_extension("o");
        let mut command = build.get_compiler().to_command();
        command.args(["-std=c++17", "-fPIC", "-Wno-unknown-pragmas", "-DFUSEWIRE_ON_CPU"]);
        command.arg("-I").arg(&sources).arg("-I").arg(&kernels.folder).args(told);
        command.args(kernels.mutant.iter().map(|_| "-w"));
        command.arg("-c").arg(sources.join(source)).arg("-o").arg(&object);
        (Some(command.spawn().expect("the compiler was found")), object)
    });
    let wait = |(compiler, object): (Option<Child>, PathBuf)| {
        if let Some(mut compiler) = compiler {
            let status = compiler.wait().expect("it was started");
            assert!(status.success(), "{} does not compile", object.display());
        }
        object
    };
    running.map(wait).to_vec()
}
