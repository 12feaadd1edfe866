//! NVIDIA's run-time compiler, where the machine has it.
//!
//! It is looked for by the names that CUDA 12 and 13 give it, or where `FUSEWIRE_NVRTC` says; what
//! `cudarc` has of it knows no library of CUDA 13, and makes PTX only.
//!
//! The compiler loads a second library when it compiles, its builtins, by name alone. That name is
//! found where the compiler itself was found by name; beside a compiler that is named by a path, as
//! in a Python package, it is not. There the builtins are loaded first.

#![allow(unsafe_code)]

use std::env;
use std::ffi::{CStr, CString, OsStr, OsString, c_char, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;

use libloading::Library;

/// The path of the library, or one of the words of [`Wanted`].
const PATH: &str = "FUSEWIRE_NVRTC";
const NAMES: [&str; 5] =
    ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "nvrtc64_130_0.dll", "nvrtc64_120_0.dll"];
/// How the names of the builtins begin, on Linux and on Windows.
const BUILTINS: [&str; 2] = ["libnvrtc-builtins.so", "nvrtc-builtins"];
/// The oldest compiler that knows what kernels are written in.
const OLDEST: (i32, i32) = (12, 0);

type Program = *mut c_void;

macro_rules! functions {
    ($($name:ident = $symbol:literal ($($argument:ty),*) -> $answer:ty;)*) => {
        #[derive(Debug)]
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) -> $answer,)*
        }

        impl Functions {
            fn find(library: &Library) -> Option<Functions> {
                // SAFETY: the types are those of the library's documented interface.
                unsafe {
                    $(let $name = *library.get::<unsafe extern "C" fn($($argument),*) -> $answer>(
                        concat!($symbol, "\0").as_bytes(),
                    ).ok()?;)*
                    Some(Functions { $($name,)* })
                }
            }
        }
    };
}

functions! {
    version = "nvrtcVersion" (*mut i32, *mut i32) -> u32;
    create = "nvrtcCreateProgram" (
        *mut Program, *const c_char, *const c_char, i32, *const *const c_char, *const *const c_char
    ) -> u32;
    compile = "nvrtcCompileProgram" (Program, i32, *const *const c_char) -> u32;
    log_size = "nvrtcGetProgramLogSize" (Program, *mut usize) -> u32;
    log = "nvrtcGetProgramLog" (Program, *mut c_char) -> u32;
    cubin_size = "nvrtcGetCUBINSize" (Program, *mut usize) -> u32;
    cubin = "nvrtcGetCUBIN" (Program, *mut c_char) -> u32;
    destroy = "nvrtcDestroyProgram" (*mut Program) -> u32;
    words = "nvrtcGetErrorString" (u32) -> *const c_char;
}

/// What `FUSEWIRE_NVRTC` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// `off`: no kernels but those that travel with the crate.
    Off,
    /// `kept`: no compiler, but what one made before.
    Kept,
    /// A compiler: the one at this path, or the one of this machine.
    Compiler(Option<PathBuf>),
}

impl Wanted {
    pub(super) fn here() -> Wanted {
        Wanted::of(env::var_os(PATH))
    }

    fn of(value: Option<OsString>) -> Wanted {
        match value {
            Some(word) if word == "off" => Wanted::Off,
            Some(word) if word == "kept" => Wanted::Kept,
            path => Wanted::Compiler(path.filter(|path| !path.is_empty()).map(PathBuf::from)),
        }
    }
}

/// The compiler.
#[derive(Debug)]
pub(super) struct Compiler {
    functions: Functions,
    version: (i32, i32),
    /// Outlives its functions.
    _library: Library,
    /// Those that had to be loaded before; the library finds them in the process.
    _builtins: Vec<Library>,
}

/// A text by its name.
pub(super) type Text = (&'static str, &'static str);

impl Compiler {
    /// The compiler at a path, else the one of this machine, if it has one.
    pub(super) fn find(path: Option<&Path>) -> Option<Compiler> {
        let Some(path) = path else {
            let found = NAMES.into_iter().find_map(|name| open(name.as_ref()).ok());
            return found.and_then(|library| Compiler::of(library, Vec::new()).ok());
        };
        let builtins = builtins_beside(path);
        let builtins = builtins.iter().filter_map(|path| open(path.as_ref()).ok()).collect();
        let library = open(path.as_ref()).map_err(|error| error.to_string());
        let compiler = library.and_then(|library| Compiler::of(library, builtins));
        let failed = |error: &String| {
            tracing::warn!(error, path = %path.display(), "{PATH}: no run-time compiler");
        };
        compiler.inspect_err(failed).ok()
    }

    fn of(library: Library, builtins: Vec<Library>) -> Result<Compiler, String> {
        let functions = Functions::find(&library).ok_or("a function of NVRTC is missing")?;
        let (mut major, mut minor) = (0, 0);
        // SAFETY: it writes the two numbers.
        let code = unsafe { (functions.version)(&mut major, &mut minor) };
        let version = (major, minor);
        if code != 0 || version < OLDEST {
            return Err(format!("NVRTC {major}.{minor} is older than {}.{}", OLDEST.0, OLDEST.1));
        }
        Ok(Compiler { functions, version, _library: library, _builtins: builtins })
    }

    /// Its version.
    pub(super) fn version(&self) -> (i32, i32) {
        self.version
    }

    /// Compiles a source, with texts that it includes, to machine code; the error is what the
    /// compiler says.
    pub(super) fn compile(
        &self,
        (name, source): Text,
        includes: &[Text],
        options: &[String],
    ) -> Result<Vec<u8>, String> {
        let zero_ended = |text: &str| CString::new(text).map_err(|error| error.to_string());
        let all = |texts: &mut dyn Iterator<Item = &str>| {
            texts.map(zero_ended).collect::<Result<Vec<_>, _>>()
        };
        let (source, name) = (zero_ended(source)?, zero_ended(name)?);
        let names = all(&mut includes.iter().map(|(name, _)| *name))?;
        let texts = all(&mut includes.iter().map(|(_, text)| *text))?;
        let options = all(&mut options.iter().map(String::as_str))?;
        let (names, texts, options) = (pointers(&names), pointers(&texts), pointers(&options));
        let mut program = Compiling { functions: &self.functions, program: null_mut() };
        let count = includes.len() as i32;
        // SAFETY: every text ends with a zero and lives until the call is over; it writes the
        // program.
        let created = unsafe {
            let (source, name) = (source.as_ptr(), name.as_ptr());
            let (texts, names) = (texts.as_ptr(), names.as_ptr());
            (self.functions.create)(&mut program.program, source, name, count, texts, names)
        };
        program.check(created)?;
        // SAFETY: the program was created, the options live until the call is over.
        let compiled = unsafe {
            (self.functions.compile)(program.program, options.len() as i32, options.as_ptr())
        };
        program.check(compiled).map_err(|error| {
            let log = program.bytes(self.functions.log_size, self.functions.log);
            let log = String::from_utf8_lossy(&log.unwrap_or_default()).replace('\0', "");
            format!("{error}: {}", log.split_whitespace().collect::<Vec<_>>().join(" "))
        })?;
        program.bytes(self.functions.cubin_size, self.functions.cubin)
    }
}

fn open(name: &OsStr) -> Result<Library, libloading::Error> {
    // SAFETY: the library does nothing but make its functions known when it is loaded.
    unsafe { Library::new(name) }
}

/// The builtins in the folder of a library, and in that of the file it is a link to.
fn builtins_beside(path: &Path) -> Vec<PathBuf> {
    let is_builtins = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        BUILTINS.iter().any(|begin| name.starts_with(begin))
    };
    let mut folders: Vec<PathBuf> = [Some(path.to_owned()), path.canonicalize().ok()]
        .into_iter()
        .filter_map(|path| path?.parent().map(Path::to_owned))
        .filter(|folder| !folder.as_os_str().is_empty())
        .collect();
    folders.dedup();
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_builtins).collect()
}

/// A program, until it is dropped.
struct Compiling<'a> {
    functions: &'a Functions,
    program: Program,
}

impl Compiling<'_> {
    /// What an answer means.
    fn check(&self, code: u32) -> Result<(), String> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: it gives a constant text for every code.
        let words = unsafe { (self.functions.words)(code) };
        if words.is_null() {
            return Err(format!("error {code}"));
        }
        // SAFETY: as above; it ends with a zero.
        Err(unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned())
    }

    /// What one function gives, as large as another says.
    fn bytes(
        &self,
        size: unsafe extern "C" fn(Program, *mut usize) -> u32,
        get: unsafe extern "C" fn(Program, *mut c_char) -> u32,
    ) -> Result<Vec<u8>, String> {
        let mut bytes = 0;
        // SAFETY: the program was created; it writes the number.
        self.check(unsafe { size(self.program, &mut bytes) })?;
        let mut content = vec![0_u8; bytes];
        // SAFETY: there is as much room as was asked for.
        self.check(unsafe { get(self.program, content.as_mut_ptr().cast()) })?;
        Ok(content)
    }
}

impl Drop for Compiling<'_> {
    fn drop(&mut self) {
        if !self.program.is_null() {
            // SAFETY: created, and not destroyed before.
            unsafe { (self.functions.destroy)(&mut self.program) };
        }
    }
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_a_compiler_or_none() {
        let of = |value: &str| Wanted::of(Some(OsString::from(value)));
        assert_eq!((of("off"), of("kept")), (Wanted::Off, Wanted::Kept));
        assert_eq!(of("/here/it.so"), Wanted::Compiler(Some(PathBuf::from("/here/it.so"))));
        assert_eq!((of(""), Wanted::of(None)), (Wanted::Compiler(None), Wanted::Compiler(None)));
    }

    #[test]
    fn builtins_lie_beside_a_library_named_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["libnvrtc.so.13", "libnvrtc-builtins.so.13.0", "libnvrtc-builtins.alt.so.13"];
        for name in names {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        let expected = [folder.path().join("libnvrtc-builtins.so.13.0")];
        assert_eq!(builtins_beside(&folder.path().join("libnvrtc.so.13")), expected);
        for path in ["libnvrtc.so.13", "/no/such/libnvrtc.so"] {
            assert!(builtins_beside(Path::new(path)).is_empty(), "{path}");
        }
    }
}
