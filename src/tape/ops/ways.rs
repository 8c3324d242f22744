//! A convolution in the way that was measured to be fastest, or that its kernels choose by themselves.

use crate::kernels::conv as kernels;
use crate::kernels::conv::{Product, Way};
use crate::kernels::{Call, KernelError};
use crate::tape::{Lowering, Operand, TapeError, Target};

/// The filters of a convolution as the kernel binds them: as they are, or rounded to f16.
pub(super) fn filters(
    lowering: &mut Lowering<'_>,
    weight: Operand,
    product: Product,
) -> Result<Operand, TapeError> {
    if !matches!(product, Product::Matrices(_, 16)) {
        return Ok(weight);
    }
    lowering.half(weight)
}

/// The convolution in one dispatch; where it cannot be done in the way asked for, in the twin's own.
pub(super) fn in_one_dispatch(
    kernel: &kernels::Conv2dForward,
    product: Product,
) -> Result<Call, KernelError> {
    match product {
        Product::Tile(tile) => kernel.call_in(tile),
        Product::Matrices(precision, side) => kernel.call_in_matrices(precision, side),
        Product::Own => kernel.call(),
    }
}

/// Whether to take Winograd's method: where it pays or is asked for, and what passes between its dispatches fits into bindings.
fn winograd_pays(
    target: &Target,
    pays: bool,
    lens: Result<[usize; 3], KernelError>,
    way: Option<Way>,
) -> bool {
    let most = |lens: [usize; 3]| lens.into_iter().max().unwrap_or_default() as u64;
    let fits = lens.is_ok_and(|lens| 4 * most(lens) <= target.max_binding);
    let wanted = way.map_or(pays, |way| way == Way::Winograd);
    target.software && fits && wanted
}

/// The forward pass by Winograd's method, where that is to be taken.
pub(super) fn forward_by_winograd(
    target: &Target,
    kernel: &kernels::Conv2dForward,
    way: Option<Way>,
) -> Option<kernels::Winograd> {
    kernels::Winograd::forward(kernel.shape, kernel.epilogue)
        .filter(|_| !kernel.input.is_mapped())
        .filter(|it| winograd_pays(target, it.pays(), it.scratch_lens(), way))
}

/// The input's gradient by Winograd's method, where that is to be taken.
pub(super) fn grad_input_by_winograd(
    target: &Target,
    kernel: &kernels::Conv2dGradInput,
    way: Option<Way>,
) -> Option<kernels::WinogradGradInput> {
    kernels::WinogradGradInput::new(kernel.shape, kernel.epilogue)
        .filter(|_| !kernel.mapped)
        .filter(|it| winograd_pays(target, it.pays(), it.scratch_lens(), way))
}

/// The filters' gradient by Winograd's method, where that is to be taken.
pub(super) fn grad_weight_by_winograd(
    target: &Target,
    kernel: &kernels::Conv2dGradWeight,
    way: Option<Way>,
) -> Option<kernels::WinogradGradWeight> {
    kernels::WinogradGradWeight::new(kernel.shape)
        .filter(|_| !kernel.mapped)
        .filter(|it| winograd_pays(target, it.pays(), it.scratch_lens(), way))
}

/// The dispatches of a forward pass, or of an input's gradient, with what lies between them: of `[x, weight, y]` and what the last one
/// binds behind y.
pub(super) fn by_winograd(
    lowering: &mut Lowering<'_>,
    filter: Result<Call, KernelError>,
    calls: Result<[Call; 3], KernelError>,
    lens: Result<[usize; 3], KernelError>,
    [x, weight, y]: [Operand; 3],
    behind: &[Operand],
) -> Result<(), TapeError> {
    let [u, v, m] = lowering.check(lens)?.map(|len| lowering.scratch(len));
    let [first, second, third] = lowering.check(calls)?;
    lowering.call_on_parameters(filter, &[weight, u])?;
    lowering.call(Ok(first), &[x, v])?;
    lowering.call(Ok(second), &[v, u, m])?;
    lowering.call(Ok(third), &[&[m, y], behind].concat())
}

/// The dispatches of the filters' gradient.
pub(super) fn filters_by_winograd(
    lowering: &mut Lowering<'_>,
    kernel: &kernels::WinogradGradWeight,
) -> Result<(), TapeError> {
    let lens = lowering.check(kernel.scratch_lens())?;
    let [v, w, partial] = lens.map(|len| lowering.scratch(len));
    let (x, grad_y, grad) = (lowering.input(0), lowering.input(1), lowering.output(0));
    let [input, transform, product, filter] = lowering.check(kernel.calls())?;
    lowering.call(Ok(input), &[x, v])?;
    lowering.call(Ok(transform), &[grad_y, w])?;
    lowering.call(Ok(product), &[v, w, partial])?;
    lowering.call(Ok(filter), &[partial, grad])
}
