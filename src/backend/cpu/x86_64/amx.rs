//! AMX: eight tiles of 16 rows of 64 bytes, and instructions that multiply two of them into a
//! third.
//!
//! The compiler's intrinsics for it are not stable, so these kernels are written in assembly. Linux
//! saves tiles for processes alone that asked for it, which is done when a device is opened: from
//! then on stacks for signals need 8 KiB more, as [`sigaltstack`'s manual] says.
//!
//! [`sigaltstack`'s manual]: https://man7.org/linux/man-pages/man2/sigaltstack.2.html

#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::mem::offset_of;
use std::ptr::null;

use crate::backend::cpu::blocks::{BlockJob, Blocks, LANES, MultiplyFn, ROWS, STEP_BYTES, agrees};

/// What multiplies blocks of bytes, where processor and kernel have it.
pub(super) fn ints() -> Option<Blocks> {
    let unit = unit("+amx-int8", [[ints_1x1, ints_1x2], [ints_2x1, ints_2x2]]);
    (is_usable(FEATURE_INT8) && agrees::in_ints(&unit)).then_some(unit)
}

/// What multiplies blocks of pairs of bf16, where processor and kernel have it.
pub(super) fn pairs() -> Option<Blocks> {
    let unit = unit("+amx-bf16", [[pairs_1x1, pairs_1x2], [pairs_2x1, pairs_2x2]]);
    (is_usable(FEATURE_BF16) && agrees::in_pairs(&unit)).then_some(unit)
}

fn unit(beside: &'static str, multiply: [[MultiplyFn; 2]; 2]) -> Blocks {
    Blocks { beside, configure, release, multiply }
}

/// Bits of EDX in leaf 7 of CPUID.
const FEATURE_BF16: u32 = 1 << 22;
const FEATURE_TILE: u32 = 1 << 24;
const FEATURE_INT8: u32 = 1 << 25;

/// Whether the processor has tiles as large as they are here, multiplies them so, and the kernel
/// saves them.
fn is_usable(feature: u32) -> bool {
    const FEATURES: u32 = 7;
    const TILES: u32 = 0x1d;
    let last = __cpuid(0).eax;
    if last < TILES
        || __cpuid_count(FEATURES, 0).edx & (FEATURE_TILE | feature) != FEATURE_TILE | feature
    {
        return false;
    }
    let palette = __cpuid_count(TILES, 1);
    let (row_bytes, tiles, rows) = (palette.ebx & 0xffff, palette.ebx >> 16, palette.ecx & 0xffff);
    row_bytes as usize == STEP_BYTES && tiles == 8 && rows as usize == ROWS && ask_for_tiles()
}

/// Asks the kernel to save tiles; whether it does.
#[cfg(target_os = "linux")]
fn ask_for_tiles() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let result: isize;
    // SAFETY: this call reads and writes no memory of the process; a system call overwrites RCX and
    // R11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, nomem),
        );
    }
    result == 0
}

/// Only Linux is known to be asked in this way.
#[cfg(not(target_os = "linux"))]
fn ask_for_tiles() -> bool {
    false
}

/// What `LDTILECFG` loads.
#[repr(C, align(64))]
struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Tiles 0 to 3 are sums, 4 and 5 rows, 6 and 7 weights.
///
/// # Safety
/// The processor has tiles, the kernel saves them, and `rows` is from 1 to 16.
unsafe fn configure(rows: usize) {
    debug_assert!((1..=ROWS).contains(&rows));
    let mut config = TileConfig {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        row_bytes: [0; 16],
        rows: [0; 16],
    };
    config.row_bytes[..8].fill(STEP_BYTES as u16);
    config.rows[..6].fill(rows as u8);
    config.rows[6..8].fill(ROWS as u8);
    // SAFETY: as the caller promises; the configuration is what the processor's palette 1 allows.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly)) }
}

/// # Safety
/// The processor has tiles.
unsafe fn release() {
    // SAFETY: as the caller promises; nobody else uses tiles on this thread meanwhile.
    unsafe { asm!("tilerelease", options(nostack, nomem)) }
}

/// What the kernels read from memory, because there are not registers enough for it.
#[repr(C)]
struct Pointers {
    sums: [*mut u32; 2],
    tail: [*const u8; 2],
    tail_weight: *const u8,
    ahead_lines: usize,
}

/// A kernel: the tiles it sums in, what it loads each step, what it multiplies, what it stores.
///
/// `x` and `x2` are the two blocks' first rows, `xs` the bytes between rows, `w` weights, `ws`
/// the bytes between their rows and between those of sums.
macro_rules! kernel {
    (
        $name:ident, $product:literal, $panels:literal,
        [$($sum:literal)+], [$($load:literal)+], [$($triple:literal)+],
        [$($first:literal)+], [$($second:literal)*]
    ) => {
        /// # Safety
        /// As [`MultiplyFn`]; tiles are configured.
        unsafe fn $name(job: &BlockJob) {
            let (mut pointers, x, weight, steps) = prepare(job, $panels);
            // SAFETY: as the caller promises; the pointers live until the end.
            unsafe {
                asm!(
                    $(concat!("tilezero ", $sum),)+
                    "2:",
                    $(concat!("tileloadd ", $load),)+
                    $(concat!($product, " ", $triple),)+
                    "mov {t}, [{p} + {LINES}]",
                    "test {t}, {t}",
                    "jz 4f",
                    "3:",
                    "prefetcht1 [{ahead}]",
                    "add {ahead}, 64",
                    "dec {t}",
                    "jnz 3b",
                    "4:",
                    "add {x}, 64",
                    "add {x2}, 64",
                    concat!("add {w}, 1024*", $panels),
                    "dec {k}",
                    "jnz 2b",
                    // The tail is one more step, elsewhere; then there is none.
                    "mov {w}, [{p} + {TAIL_WEIGHT}]",
                    "test {w}, {w}",
                    "jz 5f",
                    "mov qword ptr [{p} + {TAIL_WEIGHT}], 0",
                    "mov {x}, [{p} + {TAIL}]",
                    "mov {x2}, [{p} + {TAIL} + 8]",
                    "inc {k}",
                    "jmp 2b",
                    "5:",
                    "mov {t}, [{p} + {SUMS}]",
                    $(concat!("tilestored ", $first),)+
                    "mov {t}, [{p} + {SUMS} + 8]",
                    $(concat!("tilestored ", $second),)*
                    p = in(reg) &raw mut pointers,
                    x = inout(reg) x[0] => _,
                    x2 = inout(reg) x[1] => _,
                    xs = in(reg) job.x_stride,
                    w = inout(reg) weight => _,
                    ws = in(reg) 64_usize * $panels,
                    k = inout(reg) steps => _,
                    ahead = inout(reg) job.ahead => _,
                    t = out(reg) _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    SUMS = const offset_of!(Pointers, sums),
                    TAIL = const offset_of!(Pointers, tail),
                    TAIL_WEIGHT = const offset_of!(Pointers, tail_weight),
                    LINES = const offset_of!(Pointers, ahead_lines),
                    options(nostack),
                );
            }
        }
    };
}

/// What the kernels of one shape have in common, whatever they multiply.
macro_rules! kernels {
    (
        $product:literal,
        $one_by_one:ident, $one_by_two:ident, $two_by_one:ident, $two_by_two:ident
    ) => {
        kernel!(
            $one_by_one, $product, 1,
            ["tmm0"], ["tmm4, [{x} + {xs}]" "tmm6, [{w} + {ws}]"], ["tmm0, tmm4, tmm6"],
            ["[{t} + {ws}], tmm0"], []
        );
        kernel!(
            $one_by_two, $product, 2,
            ["tmm0" "tmm1"],
            ["tmm4, [{x} + {xs}]" "tmm6, [{w} + {ws}]" "tmm7, [{w} + {ws} + 64]"],
            ["tmm0, tmm4, tmm6" "tmm1, tmm4, tmm7"],
            ["[{t} + {ws}], tmm0" "[{t} + {ws} + 64], tmm1"], []
        );
        kernel!(
            $two_by_one, $product, 1,
            ["tmm0" "tmm2"],
            ["tmm4, [{x} + {xs}]" "tmm5, [{x2} + {xs}]" "tmm6, [{w} + {ws}]"],
            ["tmm0, tmm4, tmm6" "tmm2, tmm5, tmm6"],
            ["[{t} + {ws}], tmm0"], ["[{t} + {ws}], tmm2"]
        );
        kernel!(
            $two_by_two, $product, 2,
            ["tmm0" "tmm1" "tmm2" "tmm3"],
            [
                "tmm4, [{x} + {xs}]" "tmm6, [{w} + {ws}]"
                "tmm7, [{w} + {ws} + 64]" "tmm5, [{x2} + {xs}]"
            ],
            ["tmm0, tmm4, tmm6" "tmm1, tmm4, tmm7" "tmm2, tmm5, tmm6" "tmm3, tmm5, tmm7"],
            ["[{t} + {ws}], tmm0" "[{t} + {ws} + 64], tmm1"],
            ["[{t} + {ws}], tmm2" "[{t} + {ws} + 64], tmm3"]
        );
    };
}

kernels!("tdpbusd", ints_1x1, ints_1x2, ints_2x1, ints_2x2);
kernels!("tdpbf16ps", pairs_1x1, pairs_1x2, pairs_2x1, pairs_2x2);

/// What a kernel begins with: pointers, the blocks' first rows, weights, and steps, at least one: a
/// job that has a tail alone begins with that.
fn prepare(job: &BlockJob, panels: usize) -> (Pointers, [*const u8; 2], *const u8, usize) {
    let rows = [job.x, job.x.wrapping_add(job.second * job.x_stride)];
    let sums = [job.sums, job.sums.wrapping_add(ROWS * panels * LANES)];
    let (byte, tail_weight) = job.tail.map_or((0, null()), |tail| (tail.byte, tail.weight));
    let tail = rows.map(|row| row.wrapping_add(byte));
    let pointers = Pointers { sums, tail, tail_weight, ahead_lines: job.ahead_lines };
    match job.steps {
        0 => (Pointers { tail_weight: null(), ..pointers }, tail, tail_weight, 1),
        steps => (pointers, rows, job.weight, steps),
    }
}
