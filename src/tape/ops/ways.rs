//! A convolution in the way that was measured to be fastest, or that its kernels choose by themselves.

use crate::kernels::conv as kernels;
use crate::kernels::conv::{Pass, Product, Way};
use crate::kernels::{Call, KernelError};
use crate::tape::{Lowering, Operand, TapeError, Target};

/// The convolution in one dispatch; where it cannot be done in the way asked for, in the twin's own.
pub(super) fn in_one_dispatch(
    target: &Target,
    kernel: &kernels::Conv2dForward,
) -> Result<Call, KernelError> {
    match target.product(Pass::Forward, kernel.shape) {
        Product::Tile(tile) => kernel.call_in(tile),
        Product::Matrices(precision, side) => kernel.call_in_matrices(precision, side),
        Product::Own => kernel.call(),
    }
}

/// The kernels of Winograd's method, where they pay or are asked for and their operands fit into bindings.
pub(super) fn winograd_pays(
    target: &Target,
    kernel: Option<kernels::Winograd>,
    way: Option<Way>,
) -> Option<kernels::Winograd> {
    let kernel = kernel.filter(|_| target.software)?;
    let lens = kernel.scratch_lens().ok()?;
    let fit = lens.iter().all(|&len| 4 * len as u64 <= target.max_binding);
    let wanted = match way {
        Some(way) => way == Way::Winograd,
        None => kernel.pays(),
    };
    (fit && wanted).then_some(kernel)
}

/// A convolution in four dispatches: of `[x, weight, y]`, with what the third call binds behind y.
pub(super) fn by_winograd(
    lowering: &mut Lowering<'_>,
    kernel: kernels::Winograd,
    [x, weight, y]: [Operand; 3],
    behind: [Operand; 3],
) -> Result<(), TapeError> {
    let lens = lowering.check(kernel.scratch_lens())?;
    let [u, v, m] = lens.map(|len| lowering.scratch(len));
    let [first, second, third] = lowering.check(kernel.calls())?;
    lowering.call_on_parameters(kernel.filter(), &[weight, u])?;
    lowering.call(Ok(first), &[x, v])?;
    lowering.call(Ok(second), &[v, u, m])?;
    lowering.call(Ok(third), &[&[m, y], &behind[..]].concat())
}
