//! Kernels for one stage alone, where the machine has a compiler: the stage's numbers are constants
//! in them, loops over its layers are gone, and of all activations its own are left.
//!
//! What was compiled is kept in a folder, so that the next process finds it: `FUSEWIRE_CACHE`, else
//! the user's own folder for such things. A file's name is a digest of everything that its content
//! follows from but the compiler (the sources and the options, which have the stage and the compute
//! capability), and then the compiler's version. A process with a compiler takes what that version
//! made. One without takes what any version made, the newest first: kernels that were compiled on
//! one machine serve on others that have a driver alone. The driver's version is no part of it; an
//! image that a driver refuses is replaced by the kernel that travels with the crate.

use std::env;
use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::nvrtc::{Compiler, Text, Wanted};
use crate::model::replace::replace;

const CACHE: &str = "FUSEWIRE_CACHE";
/// Bytes of a digest, which precedes what is kept.
const DIGEST_BYTES: usize = 32;
/// What the names of kept files end with.
const IMAGE: &str = "cubin";

const FUSED_MLP: Text = ("fused_mlp.cu", include_str!("../../../kernels/fused_mlp.cu"));
const FEW_ROWS: Text = ("few_rows.cu", include_str!("../../../kernels/few_rows.cu"));
const PERSISTENT: Text = ("persistent.cu", include_str!("../../../kernels/persistent.cu"));
const INCLUDES: [Text; 8] = [
    ("activation.cuh", include_str!("../../../kernels/activation.cuh")),
    ("block.cuh", include_str!("../../../kernels/block.cuh")),
    ("device.cuh", include_str!("../../../kernels/device.cuh")),
    ("epilogue.cuh", include_str!("../../../kernels/epilogue.cuh")),
    ("mail.cuh", include_str!("../../../kernels/mail.cuh")),
    ("product.cuh", include_str!("../../../kernels/product.cuh")),
    ("rows.cuh", include_str!("../../../kernels/rows.cuh")),
    ("stage.cuh", include_str!("../../../kernels/stage.cuh")),
];

/// What makes kernels for one stage.
#[derive(Debug)]
pub(super) struct Specialist {
    /// `None` where there are only kept kernels.
    compiler: Option<Compiler>,
    /// Where they are kept, if anywhere.
    folder: Option<PathBuf>,
}

/// A stage as a compiler is told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) layers: usize,
    /// The value of `Stage` in C++.
    pub(super) value: String,
}

impl Specialist {
    /// One for this machine, where it has a compiler or kept kernels.
    pub(super) fn find() -> Option<Specialist> {
        let compiler = match Wanted::here() {
            Wanted::Off => return None,
            Wanted::Kept => None,
            Wanted::Compiler(path) => Compiler::find(path.as_deref()),
        };
        let folder = folder();
        let has_kernels = compiler.is_some() || folder.as_deref().is_some_and(Path::is_dir);
        has_kernels.then_some(Specialist { compiler, folder })
    }

    /// Where kernels come from, for people.
    pub(super) fn name(&self) -> String {
        match &self.compiler {
            Some(compiler) => format!("NVRTC {}", version_of(compiler)),
            None => String::from("kept kernels"),
        }
    }

    /// A module with the kernel of this name and these threads, for a stage and the devices of a
    /// compute capability: the one that was kept, or a new one.
    pub(super) fn module(
        &self,
        kernel: &str,
        threads: u32,
        fixed: &Fixed,
        (major, minor): (i32, i32),
    ) -> Result<Vec<u8>, NotMade> {
        let (source, mut options) = told(kernel).ok_or(NotMade::NoGain)?;
        options.push(format!("--gpu-architecture=sm_{major}{minor}"));
        options.extend(["--std=c++17", "-default-device"].map(String::from));
        options.push(format!("--define-macro=NAME={kernel}"));
        options.push(format!("--define-macro=MOST_THREADS={threads}"));
        options.push(format!("--define-macro=LAYERS={}", fixed.layers));
        options.push(format!("--define-macro=FIXED_STAGE={}", fixed.value));
        let digest = digest(source, &options);
        let Some(compiler) = &self.compiler else {
            let kept = self.folder.as_deref().and_then(|folder| newest(folder, &digest));
            return kept.ok_or(NotMade::NotKept);
        };
        let name = format!("{digest}-{}.{IMAGE}", version_of(compiler));
        let path = self.folder.as_ref().map(|folder| folder.join(name));
        if let Some(kept) = path.as_deref().and_then(read) {
            return Ok(kept);
        }
        let image = compiler.compile(source, &INCLUDES, &options).map_err(NotMade::Failed)?;
        if let Some(path) = path {
            // What cannot be kept is made again.
            if let Err(error) = keep(&path, &image) {
                tracing::info!(%error, path = %path.display(), "compiled kernel not kept");
            }
        }
        Ok(image)
    }
}

/// Why there is no kernel for one stage alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotMade {
    /// The kernel that travels with the crate is as good.
    NoGain,
    /// There is no compiler, and none was kept.
    NotKept,
    /// What the compiler says.
    Failed(String),
}

impl fmt::Display for NotMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotMade::NoGain => "the kernel that travels with the crate is as good",
            NotMade::NotKept => "not among the kept kernels, and there is no compiler",
            NotMade::Failed(words) => words,
        })
    }
}

fn version_of(compiler: &Compiler) -> String {
    let (major, minor) = compiler.version();
    format!("{major}.{minor}")
}

/// The digest of what a kernel is made from.
fn digest(source: Text, options: &[String]) -> String {
    let mut all = Sha256::new();
    let mut add = |text: &str| {
        all.update((text.len() as u64).to_le_bytes());
        all.update(text);
    };
    options.iter().for_each(|option| add(option));
    for (name, text) in [source].iter().chain(&INCLUDES) {
        add(name);
        add(text);
    }
    let mut name = String::new();
    for byte in all.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// What the newest compiler made and kept of a digest, where it is whole.
fn newest(folder: &Path, digest: &str) -> Option<Vec<u8>> {
    let version = |name: &str| {
        let version = name.strip_prefix(digest)?.strip_prefix('-')?.strip_suffix(IMAGE)?;
        let (major, minor) = version.strip_suffix('.')?.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let kept = fs::read_dir(folder).ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        Some((version(&name)?, name))
    });
    let mut kept: Vec<((u32, u32), String)> = kept.collect();
    kept.sort();
    kept.iter().rev().find_map(|(_, name)| read(&folder.join(name)))
}

/// The source of a kernel, and what a compiler is told to make it; `None` for those that are as
/// good as they are.
fn told(kernel: &str) -> Option<(Text, Vec<String>)> {
    // What their names begin with, their source, and the macro of their size, where they have one.
    let kinds = [
        ("fused_mlp_", FUSED_MLP, Some("TILES")),
        ("few_rows_", FEW_ROWS, Some("ROWS")),
        ("persistent_", PERSISTENT, None),
    ];
    let named = |(name, source, size)| Some((kernel.strip_prefix(name)?, source, size));
    let (types, source, size) = kinds.into_iter().find_map(named)?;
    let mut parts = types.split('_');
    let row = match parts.next()? {
        "f32" => "float",
        "u8" => "unsigned char",
        "f16" => "F16",
        "bf16" => "Bf16",
        _ => return None,
    };
    let weights = match parts.next()? {
        "f32" => "F32",
        "f16" => "F16",
        "bf16" => "Bf16",
        _ => return None,
    };
    let mut defined = vec![("ROW", row), ("WEIGHTS", weights)];
    if let Some(size) = size {
        defined.push((size, parts.next()?));
    }
    let options = defined.iter().map(|(name, value)| format!("--define-macro={name}={value}"));
    Some((source, options.collect()))
}

/// Where compiled kernels are kept.
fn folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(CACHE).or_else(|| {
        let of_home = || set("HOME").map(|home| home.join(".cache"));
        let users = set("XDG_CACHE_HOME").or_else(|| set("LOCALAPPDATA")).or_else(of_home);
        users.map(|users| users.join("fusewire"))
    })
}

/// What was kept in a file, where it is whole.
fn read(path: &Path) -> Option<Vec<u8>> {
    let content = fs::read(path).ok()?;
    let (digest, image) = content.split_at_checked(DIGEST_BYTES)?;
    (Sha256::digest(image)[..] == *digest).then(|| image.to_vec())
}

/// Keeps what was compiled; other processes see all of it or nothing.
fn keep(path: &Path, image: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    replace(path, |to| {
        to.write_all(&Sha256::digest(image))?;
        to.write_all(image)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_told_what_their_names_say() {
        let (source, options) = told("fused_mlp_u8_bf16_16").unwrap();
        assert_eq!(source.0, "fused_mlp.cu");
        let expected = ["ROW=unsigned char", "WEIGHTS=Bf16", "TILES=16"];
        assert_eq!(options, expected.map(|it| format!("--define-macro={it}")));
        let (source, options) = told("few_rows_f32_f32_1").unwrap();
        assert_eq!((source.0, options[2].as_str()), ("few_rows.cu", "--define-macro=ROWS=1"));
        let (source, options) = told("persistent_u8_f32").unwrap();
        assert_eq!((source.0, options.len()), ("persistent.cu", 2));
        let (_, options) = told("fused_mlp_bf16_f32_2").unwrap();
        assert_eq!(
            options[..2],
            ["ROW=Bf16", "WEIGHTS=F32"].map(|it| format!("--define-macro={it}"))
        );
        assert_eq!((told("head"), told("dense_f32_f32")), (None, None));
    }

    #[test]
    fn what_is_kept_is_found_as_long_as_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/it.cubin");
        assert_eq!(read(&path), None);
        keep(&path, b"machine code").unwrap();
        assert_eq!(read(&path).unwrap(), b"machine code");
        let mut content = fs::read(&path).unwrap();
        content[DIGEST_BYTES + 3] ^= 1;
        fs::write(&path, &content).unwrap();
        assert_eq!(read(&path), None);
        fs::write(&path, b"short").unwrap();
        assert_eq!(read(&path), None);
        keep(&path, b"again").unwrap();
        assert_eq!(read(&path).unwrap(), b"again");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn without_a_compiler_the_newest_that_was_kept_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        assert_eq!(newest(folder.path(), "ab"), None);
        // Of another digest, or by no version.
        for name in ["abc-13.9.cubin", "ab-new.cubin", "ab.cubin", "ab-13.cubin"] {
            keep(&place(name), b"other").unwrap();
        }
        assert_eq!(newest(folder.path(), "ab"), None);
        for version in ["12.9", "12.10", "9.4"] {
            keep(&place(&format!("ab-{version}.cubin")), version.as_bytes()).unwrap();
        }
        assert_eq!(newest(folder.path(), "ab").unwrap(), b"12.10");
        fs::write(place("ab-12.10.cubin"), b"spoilt").unwrap();
        assert_eq!(newest(folder.path(), "ab").unwrap(), b"12.9");
    }

    /// Kernels for another stage or another generation of devices are others.
    #[test]
    fn a_digest_follows_from_sources_and_options() {
        let options = |last: &str| [String::from("--std=c++17"), String::from(last)];
        let one = digest(FUSED_MLP, &options("--gpu-architecture=sm_90"));
        assert_eq!(one, digest(FUSED_MLP, &options("--gpu-architecture=sm_90")));
        assert_ne!(one, digest(FUSED_MLP, &options("--gpu-architecture=sm_86")));
        assert_ne!(one, digest(FEW_ROWS, &options("--gpu-architecture=sm_90")));
        assert_eq!(one.len(), 2 * DIGEST_BYTES);
    }
}
