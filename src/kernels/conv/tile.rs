//! The share of a matrix product that a workgroup of a base kernel makes.

use crate::gpu::Variant;
use serde::{Deserialize, Serialize};

/// What a workgroup of a base kernel makes of the product: 64 rows, or 128 where it is tall, of 64 columns, or 128 where it is
/// wide. A lane has 4 or 8 of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tile {
    /// Whether it has 128 rows.
    pub tall: bool,
    /// Whether it has 128 columns.
    pub wide: bool,
}

impl Tile {
    /// Those that the kernels have.
    pub const ALL: [Self; 3] = [
        Self {
            tall: true,
            wide: true,
        },
        Self {
            tall: true,
            wide: false,
        },
        Self {
            tall: false,
            wide: false,
        },
    ];

    /// Workgroups that are enough to fill a large GPU.
    const ENOUGH: usize = 256;

    /// The largest tile that fills a GPU, else the smallest; from the shape alone, as sums over tiles must not depend on the
    /// machine. A larger tile loads less for each product (8 values for 16 of them, 12 for 32, 16 for 64), but is not taken
    /// where its blank rows or columns were more than an eighth of the smaller one's work.
    pub(super) fn new(rows: usize, columns: usize) -> Self {
        Self::filling(rows, columns, Self::ENOUGH)
    }

    /// The largest tile of which a product has so many, by the same rule of blank rows and columns; else the smallest.
    pub(super) fn filling(rows: usize, columns: usize, enough: usize) -> Self {
        let fits = |size: usize, side: usize| {
            let covered = size.next_multiple_of(side);
            8 * (covered - size.next_multiple_of(side / 2)) <= covered
        };
        let mut tiles = [(true, true), (true, false)].into_iter();
        let fitting = tiles.find_map(|(tall, wide)| {
            let tile = Self { tall, wide };
            let fits = (!tall || fits(rows, 128)) && (!wide || fits(columns, 128));
            (fits && tile.workgroups(rows, columns) >= enough).then_some(tile)
        });
        fitting.unwrap_or_default()
    }

    /// Rows of the product a workgroup.
    pub fn rows(self) -> usize {
        if self.tall { 128 } else { 64 }
    }

    /// Columns of the product a workgroup.
    pub fn columns(self) -> usize {
        if self.wide { 128 } else { 64 }
    }

    /// Workgroups of a product.
    pub(super) fn workgroups(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.rows()) * columns.div_ceil(self.columns())
    }

    /// The variant for this tile; the base is the large one.
    pub(super) fn of(self, variant: Variant) -> Variant {
        let sides = [("TALL", self.tall), ("WIDE", self.wide)];
        let short = sides.into_iter().filter(|(_, long)| !*long);
        short.fold(variant, |variant, (name, _)| variant.set(name, 0))
    }

    /// Each variant for every tile.
    pub(super) fn all(variants: &[Variant]) -> Vec<Variant> {
        let each = Self::ALL.iter().flat_map(|tile| {
            let variants = variants.iter().cloned();
            variants.map(|variant| tile.of(variant))
        });
        each.collect()
    }
}
