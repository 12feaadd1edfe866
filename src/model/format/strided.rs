//! Tensors as PyTorch stores them: a view of a storage, with a step for each axis.

use super::numbers::element_count;

/// Which elements of a storage a tensor consists of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strided<'a> {
    /// The first element.
    pub(super) offset: usize,
    pub(super) shape: &'a [usize],
    /// What a step along each axis is, in elements.
    pub(super) stride: &'a [usize],
}

impl Strided<'_> {
    /// Whether the elements lie in their order and without gaps.
    pub(super) fn is_contiguous(&self) -> bool {
        let mut step = 1_usize;
        self.shape.iter().zip(self.stride).rev().all(|(size, stride)| {
            let fits = *size == 1 || *stride == step;
            step = step.saturating_mul(*size);
            fits
        })
    }

    /// How many elements a storage must have for the last to be one of them; `None` where that does
    /// not fit, or where there is no last.
    pub(super) fn end(&self) -> Option<usize> {
        element_count(self.shape)?;
        let mut last = self.offset;
        for (size, stride) in self.shape.iter().zip(self.stride) {
            last = last.checked_add(size.checked_sub(1)?.checked_mul(*stride)?)?;
        }
        last.checked_add(1)
    }

    /// The elements in their order, each of `width` bytes; the storage is known to reach to
    /// [`Strided::end`].
    pub(super) fn gather(&self, storage: &[u8], width: usize) -> Vec<u8> {
        let count = element_count(self.shape).unwrap_or(0);
        let mut bytes = Vec::with_capacity(count * width);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let steps = index.iter().zip(self.stride).map(|(index, stride)| index * stride);
            let at = (self.offset + steps.sum::<usize>()) * width;
            bytes.extend_from_slice(&storage[at..at + width]);
            for (index, size) in index.iter_mut().zip(self.shape).rev() {
                *index += 1;
                if *index < *size {
                    break;
                }
                *index = 0;
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_by_hand() {
        let view = |offset, shape, stride| Strided { offset, shape, stride };
        let storage: Vec<u8> = (0..24).collect();
        // 2 rows of 3 elements of 2 bytes, then their transpose, a column and a repeated element.
        assert!(view(1, &[2, 3], &[3, 1]).is_contiguous());
        let transposed = view(0, &[3, 2], &[1, 3]);
        assert!(!transposed.is_contiguous());
        assert_eq!(transposed.end(), Some(6));
        assert_eq!(transposed.gather(&storage, 2), [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]);
        assert_eq!(view(2, &[2, 1], &[3, 9]).gather(&storage, 2), [4, 5, 10, 11]);
        assert_eq!(view(5, &[3], &[0]).gather(&storage, 1), [5, 5, 5]);
        assert_eq!(view(7, &[], &[]).gather(&storage, 1), [7]);
    }

    #[test]
    fn ends_that_do_not_fit_are_none() {
        let end = |offset, shape, stride| Strided { offset, shape, stride }.end();
        assert_eq!(end(2, &[2, 3], &[3, 1]), Some(8));
        assert_eq!(end(0, &[0], &[1]), None);
        assert_eq!(end(usize::MAX, &[1], &[1]), None);
        assert_eq!(end(0, &[3], &[usize::MAX]), None);
        assert_eq!(end(0, &[usize::MAX, 2], &[0, 0]), None);
    }
}
