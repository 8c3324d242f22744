//! Checks and choices that many twins share.

use super::{KernelError, padded};
use crate::gpu::Variant;

/// Refuses a size of zero.
///
/// # Errors
/// [`KernelError::Argument`] naming the first one that is zero.
pub(super) fn positive(
    kernel: &'static str,
    sizes: &[(&'static str, usize)],
) -> Result<(), KernelError> {
    sizes
        .iter()
        .try_for_each(|&(name, size)| rule(kernel, name, size, size > 0, "at least 1"))
}

/// Refuses a size for which a rule does not hold.
///
/// # Errors
/// [`KernelError::Argument`].
pub(super) fn rule(
    kernel: &'static str,
    name: &'static str,
    asked: usize,
    holds: bool,
    allowed: &'static str,
) -> Result<(), KernelError> {
    if holds {
        return Ok(());
    }
    Err(KernelError::Argument {
        kernel,
        name,
        asked: i64::try_from(asked).unwrap_or(i64::MAX),
        allowed,
    })
}

/// Refuses a real constant for which a rule does not hold; the rule is false for NaN.
///
/// # Errors
/// [`KernelError::Constant`].
pub(super) fn constant(
    kernel: &'static str,
    name: &'static str,
    asked: f64,
    holds: bool,
    allowed: &'static str,
) -> Result<(), KernelError> {
    if holds {
        return Ok(());
    }
    Err(KernelError::Constant {
        kernel,
        name,
        asked,
        allowed,
    })
}

/// The number of elements of a tensor with these dimensions.
///
/// # Errors
/// [`KernelError::TooLarge`] from 2³² on: shaders count elements in u32.
pub(super) fn elements(kernel: &'static str, dims: &[usize]) -> Result<usize, KernelError> {
    let product = dims
        .iter()
        .try_fold(1_usize, |product, &dim| product.checked_mul(dim));
    match product {
        Some(len) if u32::try_from(len).is_ok() => Ok(len),
        _ => Err(KernelError::TooLarge {
            kernel,
            asked: product.map_or(u64::MAX, |len| len as u64),
            allowed: u64::from(u32::MAX),
        }),
    }
}

/// The `vec4`s of a tensor taken as `len` elements, padding included.
///
/// # Errors
/// [`KernelError::Argument`] unless `len` is a positive multiple of 4; [`KernelError::TooLarge`].
pub(super) fn vectors(kernel: &'static str, len: usize) -> Result<usize, KernelError> {
    let whole = len > 0 && len.is_multiple_of(4);
    rule(kernel, "len", len, whole, "a positive multiple of 4")?;
    Ok(elements(kernel, &[len])? / 4)
}

/// The `vec4` columns and the elements of `rows` padded rows of channels.
///
/// # Errors
/// [`KernelError::Argument`] for a size of 0; [`KernelError::TooLarge`].
pub(super) fn matrix(
    kernel: &'static str,
    rows: usize,
    channels: usize,
) -> Result<(usize, usize), KernelError> {
    positive(kernel, &[("rows", rows), ("channels", channels)])?;
    let width = elements(kernel, &[channels]).map(padded)?;
    Ok((width / 4, elements(kernel, &[rows, width])?))
}

/// The workgroups of 64 for a number of invocations.
pub(super) const fn workgroups(invocations: usize) -> u64 {
    invocations.div_ceil(64) as u64
}

/// The variant in which the named boolean constants that hold are set, in the given order.
pub(super) fn flags(options: &[(&'static str, bool)]) -> Variant {
    options
        .iter()
        .filter(|(_, set)| *set)
        .fold(Variant::new(), |variant, (name, _)| variant.set(name, 1))
}

/// All variants of the named boolean constants, the base variant first.
pub(super) fn all_flags(names: &[&'static str]) -> Vec<Variant> {
    (0..1_usize << names.len())
        .map(|bits| {
            let options: Vec<_> = names
                .iter()
                .enumerate()
                .map(|(index, &name)| (name, bits >> index & 1 == 1))
                .collect();
            flags(&options)
        })
        .collect()
}

/// How a column reduction splits its rows: an invocation sums `each` rows of one `vec4` column, the last group what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowGroups {
    /// Rows a group.
    pub each: usize,
    /// The number of groups.
    pub count: usize,
}

impl RowGroups {
    /// From the shape alone, so that every adapter adds in the same order: some 2¹⁶ invocations keep a large GPU's memory
    /// busy, and fewer than 32 rows each would cost more in partial sums and overhead than they save.
    pub fn new(rows: usize, columns: usize) -> Self {
        let each = rows.saturating_mul(columns).div_ceil(1 << 16);
        let each = each.max(32).min(rows.max(1));
        Self {
            each,
            count: rows.div_ceil(each),
        }
    }

    /// The lanes that finish a column, for a shader whose default is 64: fewer where few groups are left to add, as each halving of
    /// the lanes costs a barrier; more where there are many, as each lane waits for one load after the other.
    pub fn finish(&self, variant: Variant) -> Variant {
        match self.count {
            0..=128 => variant.set("LANES", 16),
            129..=512 => variant,
            _ => variant.set("LANES", 256),
        }
    }
}

/// The variants that [`RowGroups::finish`] makes of these.
pub(super) fn all_finishes(variants: &[Variant]) -> Vec<Variant> {
    let others = [16, 256].into_iter().flat_map(|lanes| {
        let each = variants.iter().cloned();
        each.map(move |variant| variant.set("LANES", lanes))
    });
    variants.iter().cloned().chain(others).collect()
}
