//! The driver without a card: building it, running a test with it, and ordering faults.

use std::env;
use std::ffi::{CString, c_char};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use cudarc::driver::sys;

use crate::kernels::{self, Kernels};

/// The devices that the driver shows: one of each generation that kernels differ for.
pub const DEVICES: &str = "9.0,8.6,7.5";

const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";
/// Which run-time compiler a process finds: none, but where a test is about that.
const COMPILER: &str = "FUSEWIRE_NVRTC";
/// With it, a kernel that stays on the device does not leave because of the time.
pub const CLOCK_STANDS: [(&str, &str); 1] = [("CUDA_ON_CPU_CLOCK_STANDS", "1")];
/// Set where the driver is in the library path.
const WITH_STUB: &str = "FUSEWIRE_TEST_CUDA_ON_CPU";
/// Set where a process runs one test alone; its value is what it was told.
const ALONE: &str = "FUSEWIRE_TEST_ALONE";

/// Builds the driver, without the functions named, into a folder of its own; `None` where there is
/// no compiler, which is a failure where `CI` is set.
pub fn build(left_out: &[&str]) -> Option<PathBuf> {
    let name =
        format!("cuda_on_cpu{}", left_out.iter().map(|it| format!("-{it}")).collect::<String>());
    build_as(&name, left_out, &Kernels::sound())
}

/// The same, into a folder of this name, with these kernels.
pub fn build_as(name: &str, left_out: &[&str], kernels: &Kernels) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
    let build = cpp(&folder);
    let mut compiler = match build.try_get_compiler() {
        Ok(compiler) => compiler.to_command(),
        Err(error) => return skipped(&error.to_string()),
    };
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda_on_cpu");
    compiler.args(["-std=c++17", "-shared", "-fPIC", "-pthread", "-Wl,-soname,libcuda.so.1"]);
    // A function under another name is one that is not there.
    compiler.args(left_out.iter().map(|name| format!("-D{name}=left_out")));
    compiler.arg(sources.join("driver.cpp"));
    // What cannot be opened launches nothing.
    if left_out.is_empty() {
        compiler.args(kernels::compile(&build, kernels, &folder));
    }
    // Moved to its place as a whole: another process may be loading it.
    let fresh = folder.join(format!("fresh-{}", std::process::id()));
    let output = match compiler.arg("-o").arg(&fresh).output() {
        Ok(output) => output,
        Err(error) => return skipped(&error.to_string()),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(fresh, folder.join("libcuda.so.1")).expect("a file of the same folder");
    Some(folder)
}

/// The C++ compiler, told what is the same for all that is built into a folder.
fn cpp(folder: &Path) -> cc::Build {
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let mut build = cc::Build::new();
    build.cpp(true).target(&target).host(&target).opt_level(2).out_dir(folder).warnings(true);
    build.cargo_metadata(false);
    build
}

/// The folder of the driver that this process has.
pub fn folder() -> PathBuf {
    PathBuf::from(env::var_os(LIBRARY_PATH).expect("set where the driver is there"))
}

/// The library that a run-time compiler loads when it compiles.
pub const BUILTINS: &str = "libnvrtc-builtins.so.12.4";

/// Builds a run-time compiler for this process's driver into a folder, and returns its path.
pub fn build_compiler(folder: &Path) -> PathBuf {
    build_compiler_with(folder, &[])
}

/// Builds a run-time compiler that needs its builtins, and the builtins beside it.
pub fn build_compiler_and_builtins(folder: &Path) -> PathBuf {
    let empty = folder.join("builtins.cpp");
    fs::write(&empty, "").expect("a folder for temporary files");
    let name = format!("-Wl,-soname,{BUILTINS}");
    build_library(&empty, &[name], &folder.join(BUILTINS));
    build_compiler_with(folder, &[format!("-DBUILTINS=\"{BUILTINS}\"")])
}

fn build_compiler_with(folder: &Path, also: &[String]) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda_on_cpu");
    let literal = |path: &Path| format!("\"{}\"", path.display());
    let compiler = cpp(folder).get_compiler();
    let told = [
        format!("-DCOMPILER={}", literal(compiler.path())),
        format!("-DSHIM={}", literal(&sources)),
        format!("-DDRIVER={}", literal(&self::folder().join("libcuda.so.1"))),
        String::from("-ldl"),
    ];
    let told = [&told, also].concat();
    build_library(&sources.join("nvrtc.cpp"), &told, &folder.join("libnvrtc.so"))
}

/// Builds a library of one source, told so, and returns where it is.
pub fn build_library(source: &Path, told: &[String], built: &Path) -> PathBuf {
    let folder = built.parent().expect("a file in a folder");
    let mut command = cpp(folder).get_compiler().to_command();
    command.args(["-std=c++17", "-shared", "-fPIC"]).arg(source).args(told);
    let output = command.arg("-o").arg(built).output().expect("the compiler was found");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    built.to_owned()
}

fn skipped(why: &str) -> Option<PathBuf> {
    assert!(env::var_os("CI").is_none(), "no C++ compiler: {why}");
    println!("skipped: no C++ compiler: {why}");
    None
}

/// Whether this process has the driver. Where it has not, the whole program starts anew with it,
/// unless it cannot be built.
pub fn is_there() -> bool {
    if env::var_os(WITH_STUB).is_some() {
        return true;
    }
    let Some(folder) = build(&[]) else { return false };
    let program = env::current_exe().expect("this program's file");
    let mut again = Command::new(program);
    give_driver(again.args(env::args_os().skip(1)), &folder);
    panic!("this program did not start again: {}", again.exec());
}

/// Has a process find the driver in this folder, and no run-time compiler.
fn give_driver(command: &mut Command, folder: &Path) {
    command.env(LIBRARY_PATH, folder).env(WITH_STUB, "1");
    command.env("CUDA_ON_CPU_DEVICES", DEVICES).env(COMPILER, "off");
}

/// What a process of its own is told, where this is one. Where it is not, runs the test of this
/// name once for each of `told`, in processes with the driver and these variables.
pub fn alone(test: &str, told: &[&str], variables: &[(&str, &str)]) -> Option<String> {
    if let Some(told) = self::told() {
        return Some(told);
    }
    if is_there() {
        for told in told {
            run_alone(test, told, |command| {
                command.envs(variables.iter().copied());
            });
        }
    }
    None
}

/// Runs a test in a process that finds the driver in this folder, or nowhere.
pub fn run_with_library(test: &str, told: &str, folder: Option<&Path>) {
    run_alone(test, told, |command| {
        command.env_remove(LIBRARY_PATH).env_remove(WITH_STUB).env(COMPILER, "off");
        folder.map(|folder| command.env(LIBRARY_PATH, folder));
    });
}

/// Whether the test of this name passes in a process that finds the driver in this folder, on a
/// device on which no time goes by.
pub fn passes_with_library(test: &str, told: &str, folder: &Path) -> bool {
    let prepare = |command: &mut Command| {
        give_driver(command, folder);
        command.envs(CLOCK_STANDS);
    };
    run(test, told, prepare).is_ok()
}

/// What this process was told, where it runs a test alone.
pub fn told() -> Option<String> {
    env::var(ALONE).ok()
}

/// Runs a test in a process of its own, which finds what this one does but for what `prepare` says.
pub fn run_alone(test: &str, told: &str, prepare: impl FnOnce(&mut Command)) {
    if let Err(words) = run(test, told, prepare) {
        panic!("told {told:?}\n{words}");
    }
}

/// Runs a test in a process of its own; the error is what it said.
pub fn run(test: &str, told: &str, prepare: impl FnOnce(&mut Command)) -> Result<(), String> {
    let program = env::current_exe().expect("this program's file");
    let mut command = Command::new(program);
    command.args(["--exact", test, "--test-threads=1", "--nocapture"]).env(ALONE, told);
    prepare(&mut command);
    let output = command.output().expect("this program can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && text.contains("1 passed") {
        return Ok(());
    }
    Err(format!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

macro_rules! ask {
    ($name:literal: fn($($argument:ty),*) -> $answer:ty, $($value:expr),*) => {{
        // SAFETY: the process has the stub driver, which has a function of this name and type.
        unsafe {
            let library = sys::culib();
            let function = library.get::<unsafe extern "C" fn($($argument),*) -> $answer>($name);
            function.expect("a function of the stub driver")($($value),*)
        }
    }};
}

/// Lets so many calls of a function go well from now on, and the next one answer `code`.
pub fn fail(function: &str, calls: u32, code: u32) {
    let function = CString::new(function).expect("a name");
    ask!(b"cuda_on_cpu_fail": fn(*const c_char, u32, u32) -> (), function.as_ptr(), calls, code);
}

/// Takes back every fault that was ordered and has not come.
pub fn forget_faults() {
    ask!(b"cuda_on_cpu_forget_faults": fn() -> (),);
}

/// Has the device do nothing any more, or go on.
pub fn hang(hangs: bool) {
    ask!(b"cuda_on_cpu_hang": fn(u32) -> (), u32::from(hangs));
}

/// Calls of a function so far.
pub fn calls(function: &str) -> u32 {
    let function = CString::new(function).expect("a name");
    ask!(b"cuda_on_cpu_calls": fn(*const c_char) -> u32, function.as_ptr())
}

/// Kernels that stay on the device now.
pub fn residents() -> u32 {
    ask!(b"cuda_on_cpu_residents": fn() -> u32,)
}

/// Calls after the first that was told that the device is lost.
pub fn calls_after_fatal() -> u32 {
    ask!(b"cuda_on_cpu_calls_after_fatal": fn() -> u32,)
}

/// What was taken from the driver and not given back.
pub fn live() -> u32 {
    ask!(b"cuda_on_cpu_live": fn() -> u32,)
}
