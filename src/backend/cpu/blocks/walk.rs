//! Rows split into blocks, two at a time.

/// Blocks of one size over any number of rows that is at least that, two at a time. The last block
/// begins early where rows are no multiple of a block: it takes some again that were taken before.
#[derive(Clone, Debug)]
pub(in crate::backend::cpu) struct Walk {
    rows: usize,
    size: usize,
    next: usize,
}

/// One or two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend::cpu) struct Step {
    /// The first block's first row.
    pub(in crate::backend::cpu) first: usize,
    /// Rows from there to the second block's first, where there are two.
    pub(in crate::backend::cpu) second: Option<usize>,
    /// Rows of the last block that were taken before.
    pub(in crate::backend::cpu) again: usize,
}

impl Walk {
    /// Over `rows` rows, at least `size`.
    pub(super) fn new(rows: usize, size: usize) -> Walk {
        debug_assert!(1 <= size && size <= rows, "{rows} rows are less than a block of {size}");
        Walk { rows, size, next: 0 }
    }
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let (first, size) = (self.next, self.size);
        let left = self.rows - first;
        if left == 0 {
            return None;
        }
        let taken = left.min(2 * size);
        self.next += taken;
        Some(if left > size {
            Step { first, second: Some(taken - size), again: 2 * size - taken }
        } else {
            Step { first: self.rows - size, second: None, again: size - left }
        })
    }
}

impl Step {
    /// The number of blocks.
    pub(in crate::backend::cpu) fn blocks(&self) -> usize {
        1 + usize::from(self.second.is_some())
    }

    /// Each block's first row, and how many of its rows were taken before.
    pub(in crate::backend::cpu) fn each(self) -> impl Iterator<Item = (usize, usize)> {
        let alone = self.second.is_none();
        let first = (self.first, if alone { self.again } else { 0 });
        let second = self.second.map(|second| (self.first + second, self.again));
        std::iter::once(first).chain(second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_taken_and_nothing_beyond() {
        for size in 1..=16 {
            for rows in size..100 {
                let (mut next, walk) = (0, Walk::new(rows, size));
                for (first, again) in walk.flat_map(Step::each) {
                    assert_eq!(first + again, next, "{rows} rows in blocks of {size}");
                    assert!(again < size && first + size <= rows);
                    next = first + size;
                }
                assert_eq!(next, rows, "blocks of {size}");
            }
        }
    }
}
