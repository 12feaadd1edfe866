//! Rows split into tiles.

/// Rows split into as few tiles as can be, as even as can be: two tiles of 7 and 6 rows keep more
/// sums in flight than two of 12 and 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    /// The number of tiles.
    pub(super) tiles: usize,
    /// Rows of the largest tile.
    pub(super) most: usize,
    /// Tiles of that many rows; the others have one row less.
    full: usize,
}

impl Split {
    /// Splits at least one row.
    pub(super) fn new(rows: usize, rows_max: usize) -> Split {
        debug_assert!(rows >= 1 && rows_max >= 1);
        if rows <= rows_max {
            return Split { tiles: 1, most: rows, full: 1 };
        }
        let tiles = rows.div_ceil(rows_max);
        let most = rows.div_ceil(tiles);
        Split { tiles, most, full: rows - (most - 1) * tiles }
    }

    /// Rows of tile `index`.
    pub(super) fn rows(&self, index: usize) -> usize {
        if index < self.full { self.most } else { self.most - 1 }
    }
}
