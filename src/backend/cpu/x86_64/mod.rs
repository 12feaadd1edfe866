//! x86-64: AVX-512 and AVX2, where the processor has them.

mod amx;
mod avx2;
mod avx512;
mod twice;
mod vnni;

use self::avx2::{Avx2, AvxVnni, Nothing};
use self::avx512::{Alone, Avx512, Bf16};
use self::twice::Twice;
use self::vnni::Vnni;
use super::dots::Dots;
use super::kernels::Kernels;
use super::level::Level;

/// The kernels of a level, where this processor has it.
pub(super) fn kernels(level: Level) -> Option<Kernels> {
    match level {
        Level::Avx512 if is_x86_feature_detected!("avx512f") => {
            let has_dots = is_x86_feature_detected!("avx512vnni");
            let dots = if has_dots {
                Dots::new::<Avx512<Vnni>>().with_blocks(amx::ints())
            } else {
                avx2_dots()
            };
            let kernels = Kernels::new::<Avx512<Alone>>(dots);
            let has_pairs =
                is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512bf16");
            Some(if has_pairs {
                kernels.with_pairs::<Avx512<Alone>, Avx512<Bf16>>().with_blocks(amx::pairs())
            } else {
                kernels
            })
        }
        Level::Avx2 if has_avx2() => Some(Kernels::new::<Avx2<Nothing>>(avx2_dots())),
        _ => None,
    }
}

/// Whether the processor has AVX2 and what every one has beside it.
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

/// The kernels of bytes that AVX2 has, and every processor with AVX-512.
fn avx2_dots() -> Dots {
    if !has_avx2() {
        Dots::plain()
    } else if is_x86_feature_detected!("avxvnni") {
        Dots::new::<Twice<Avx2<AvxVnni>>>()
    } else {
        Dots::new::<Twice<Avx2<Nothing>>>()
    }
}

/// The kernels of a processor with AVX2 that has nothing to multiply bytes with, where this one can
/// stand in for it.
#[cfg(test)]
pub(super) fn without_vnni() -> Option<Kernels> {
    has_avx2().then(|| Kernels::new::<Avx2<Nothing>>(Dots::new::<Twice<Avx2<Nothing>>>()))
}

/// The processor's own name, from CPUID leaves 0x8000_0002 to 0x8000_0004.
pub(super) fn brand() -> Option<String> {
    use std::arch::x86_64::__cpuid;
    const LEAVES: std::ops::RangeInclusive<u32> = 0x8000_0002..=0x8000_0004;
    if __cpuid(0x8000_0000).eax < *LEAVES.end() {
        return None;
    }
    let registers = LEAVES.map(__cpuid).flat_map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]);
    let bytes: Vec<u8> = registers.flat_map(u32::to_le_bytes).take_while(|b| *b != 0).collect();
    let name = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!name.is_empty()).then_some(name)
}
