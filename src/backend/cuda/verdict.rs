//! What a driver's answer means for the device it came from.

use super::driver::Code;

/// The call did what it was asked for.
pub(super) const SUCCESS: Code = 0;
/// What an event was asked about has not happened yet.
pub(super) const NOT_READY: Code = 600;

/// What an answer other than [`SUCCESS`] means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Memory ran out; the device lives.
    OutOfMemory,
    /// The call was refused and did nothing; the device lives, and it may be called again.
    Refused,
    /// The device, or its context, is of no more use.
    Fatal,
}

/// Answers to calls that did nothing and left the context as it was. Of all others, also those
/// that are not known yet, nothing good is assumed.
const REFUSALS: [Code; 13] = [
    1,   // CUDA_ERROR_INVALID_VALUE
    200, // CUDA_ERROR_INVALID_IMAGE
    209, // CUDA_ERROR_NO_BINARY_FOR_GPU
    218, // CUDA_ERROR_INVALID_PTX
    221, // CUDA_ERROR_JIT_COMPILER_NOT_FOUND
    222, // CUDA_ERROR_UNSUPPORTED_PTX_VERSION
    223, // CUDA_ERROR_JIT_COMPILATION_DISABLED
    300, // CUDA_ERROR_INVALID_SOURCE
    400, // CUDA_ERROR_INVALID_HANDLE
    500, // CUDA_ERROR_NOT_FOUND
    701, // CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
    801, // CUDA_ERROR_NOT_SUPPORTED
    NOT_READY,
];

/// The meaning of an answer other than [`SUCCESS`].
pub(super) fn verdict(code: Code) -> Verdict {
    match code {
        2 => Verdict::OutOfMemory,
        code if REFUSALS.contains(&code) => Verdict::Refused,
        _ => Verdict::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_to_be_harmless_is_fatal() {
        assert_eq!(verdict(2), Verdict::OutOfMemory);
        assert_eq!([1, 222, 701].map(verdict), [Verdict::Refused; 3]);
        // Launch failed, illegal address, uncorrectable ECC error, device unavailable, unknown.
        assert_eq!([719, 700, 214, 46, 999, 123_456].map(verdict), [Verdict::Fatal; 6]);
    }
}
