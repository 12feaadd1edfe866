//! Stand-ins for backends this build leaves out: they say so instead of being silently gone.

macro_rules! absent {
    ($module:ident, $kind:ident, $feature:literal) => {
        #[cfg(not(feature = $feature))]
        pub(super) mod $module {
            use std::sync::Arc;

            use crate::backend::{BackendError, BackendKind, Device, Finding, OpenOptions};

            const LOOKED_FOR: &str = concat!("this build leaves out feature ", $feature);
            const ADVICE: &str = concat!("build with --features ", $feature);

            pub(in crate::backend) fn open(
                _options: &OpenOptions,
            ) -> Result<Arc<dyn Device>, BackendError> {
                Err(BackendError::Unavailable {
                    backend: BackendKind::$kind,
                    looked_for: LOOKED_FOR.to_owned(),
                    advice: ADVICE.to_owned(),
                })
            }

            pub(in crate::backend) fn survey() -> Vec<Finding> {
                vec![Finding::Missing {
                    backend: BackendKind::$kind,
                    looked_for: LOOKED_FOR.to_owned(),
                    advice: ADVICE.to_owned(),
                }]
            }
        }
    };
}

absent!(cuda, Cuda, "cuda");
absent!(wgpu, Wgpu, "wgpu");
