//! Tensors out of storages: views with any strides, checked against the bytes that are there.

use bytes::Bytes;

use super::malformed;
use crate::model::ModelError;
use crate::model::format::numbers::element_count;
use crate::model::format::pickle::{StorageRef, TensorRef};
use crate::model::format::strided::Strided;

/// How much more than their storages tensors may be together, because some share one.
const SHARED_MAX: usize = 4;
/// What tensors may be together, however small their storages.
const BYTES_MIN: usize = 1 << 20;

/// Where storages are.
pub(super) trait Storages {
    /// The bytes of a storage.
    fn storage(&mut self, of: &StorageRef<'_>) -> Result<Bytes, ModelError>;

    /// The bytes of all storages that were asked for, each once.
    fn bytes_read(&self) -> usize;
}

/// Gathers tensors, and counts what that takes.
pub(super) struct Gatherer<'s> {
    storages: &'s mut dyn Storages,
    gathered: usize,
}

impl<'s> Gatherer<'s> {
    pub(super) fn new(storages: &'s mut dyn Storages) -> Gatherer<'s> {
        Gatherer { storages, gathered: 0 }
    }

    /// The numbers of a tensor, row-major: a part of its storage where they lie there so.
    pub(super) fn gather(
        &mut self,
        name: &str,
        tensor: &TensorRef<'_>,
    ) -> Result<Bytes, ModelError> {
        let at = || format!("tensor '{}'", name.escape_debug());
        let of = &tensor.storage;
        let bytes = self.storages.storage(of)?;
        if of.elements.checked_mul(of.kind.bytes) != Some(bytes.len()) {
            let at = format!("storage '{}'", of.key.escape_debug());
            let expected = format!("{} elements of {}", of.elements, of.kind.name);
            return Err(malformed(at, expected, format!("{} bytes", bytes.len())));
        }
        let size = element_count(&tensor.shape).and_then(|n| n.checked_mul(of.kind.bytes));
        let limit = self.storages.bytes_read().saturating_mul(SHARED_MAX).max(BYTES_MIN);
        let gathered = self.gathered.saturating_add(size.unwrap_or(usize::MAX));
        if gathered > limit {
            return Err(ModelError::too_large(
                "bytes of tensors that share storages",
                limit,
                gathered,
            ));
        }
        self.gathered = gathered;
        let size = size.unwrap_or(0);
        if size == 0 {
            return Ok(Bytes::new());
        }
        let view = Strided { offset: tensor.offset, shape: &tensor.shape, stride: &tensor.stride };
        let Some(end) = view.end().filter(|end| *end <= of.elements) else {
            let expected = format!("a view of {} elements", of.elements);
            let got = format!(
                "offset {}, shape {:?}, strides {:?}",
                tensor.offset, tensor.shape, tensor.stride
            );
            return Err(malformed(at(), expected, got));
        };
        let width = of.kind.bytes;
        if view.is_contiguous() {
            // Both are elements of the storage, whose bytes are there.
            return Ok(bytes.slice(tensor.offset * width..end * width));
        }
        Ok(Bytes::from(view.gather(&bytes, width)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::format::numbers::Element;
    use crate::model::format::pickle::StorageType;

    const BYTES: StorageType = StorageType { name: "bytes", bytes: 1, element: None };
    const SHORTS: StorageType =
        StorageType { name: "float16", bytes: 2, element: Some(Element::F16) };

    struct One(Bytes);

    impl Storages for One {
        fn storage(&mut self, _: &StorageRef<'_>) -> Result<Bytes, ModelError> {
            Ok(self.0.clone())
        }

        fn bytes_read(&self) -> usize {
            self.0.len()
        }
    }

    fn view(offset: usize, shape: &[usize], stride: &[usize]) -> TensorRef<'static> {
        let storage = StorageRef { kind: &BYTES, key: "0", elements: 6 };
        TensorRef { storage, offset, shape: shape.to_vec(), stride: stride.to_vec() }
    }

    fn gather(tensor: &TensorRef<'_>) -> Result<Bytes, ModelError> {
        Gatherer::new(&mut One(Bytes::from_static(&[0, 1, 2, 3, 4, 5]))).gather("t", tensor)
    }

    #[test]
    fn views_are_gathered_row_by_row() {
        for (offset, shape, stride, expected) in [
            (0, &[2, 3][..], &[3, 1][..], &[0, 1, 2, 3, 4, 5][..]),
            (0, &[3, 2], &[1, 3], &[0, 3, 1, 4, 2, 5]),
            (1, &[2, 2], &[3, 1], &[1, 2, 4, 5]),
            (1, &[1, 5], &[77, 1], &[1, 2, 3, 4, 5]),
            (5, &[3], &[0], &[5, 5, 5]),
            (0, &[2, 1, 2], &[3, 9, 2], &[0, 2, 3, 5]),
            (4, &[], &[], &[4]),
            (9, &[0, 3], &[3, 1], &[]),
        ] {
            let bytes = gather(&view(offset, shape, stride)).unwrap();
            assert_eq!(bytes, expected, "{shape:?} {stride:?}");
        }
        let wide = StorageRef { kind: &SHORTS, key: "0", elements: 3 };
        let column = TensorRef { storage: wide, ..view(0, &[2, 1], &[2, 1]) };
        assert_eq!(gather(&column).unwrap(), [0, 1, 4, 5][..]);
    }

    #[test]
    fn views_outside_their_storage_are_refused() {
        let huge = usize::MAX;
        for (offset, shape, stride) in [
            (1, &[2, 3][..], &[3, 1][..]),
            (6, &[], &[]),
            (0, &[2, 2], &[5, 1]),
            (0, &[2, 1, 2], &[4, 9, 2]),
            (huge, &[2], &[1]),
            (1, &[3], &[huge]),
            (1, &[2], &[huge]),
        ] {
            let error = gather(&view(offset, shape, stride)).unwrap_err().to_string();
            assert!(error.contains("a view of 6 elements"), "{error}");
        }
        for shape in [&[1 << 40][..], &[huge, huge]] {
            let error = gather(&view(0, shape, &vec![0; shape.len()])).unwrap_err();
            assert!(matches!(error, ModelError::TooLarge { .. }), "{error}");
        }
        let mut lies = view(0, &[1], &[1]);
        lies.storage.elements = 7;
        let error = gather(&lies).unwrap_err().to_string();
        assert!(error.contains("storage '0': expected 7 elements of bytes, got 6"), "{error}");
    }

    #[test]
    fn what_shared_storages_come_to_is_bounded() {
        let mut storages = One(Bytes::from_static(&[0; 6]));
        let mut gatherer = Gatherer::new(&mut storages);
        let half = view(0, &[1 << 19], &[0]);
        assert!(gatherer.gather("a", &half).is_ok() && gatherer.gather("b", &half).is_ok());
        assert!(matches!(gatherer.gather("c", &half), Err(ModelError::TooLarge { .. })));
    }
}
