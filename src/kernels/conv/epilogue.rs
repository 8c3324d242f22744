//! What a convolution does to its sums before it writes them.

use super::Input;
use crate::gpu::Variant;
use crate::kernels::check::{all_flags, flags};

/// What is done to the sums before they are written, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardEpilogue {
    /// Whether a bias is added.
    pub bias: bool,
    /// Whether each channel is scaled and shifted: what batch normalisation does in evaluation.
    pub affine: bool,
    /// Whether a residual is added.
    pub residual: bool,
    /// Whether the result is rectified.
    pub relu: bool,
    /// Whether the statistics of groups of pixels are written, of what is written to `y`: what batch normalisation begins with in
    /// training.
    pub stats: bool,
}

impl ForwardEpilogue {
    const FLAGS: [&'static str; 5] = ["BIAS", "AFFINE", "RESIDUAL", "RELU", "STATS"];

    pub(super) fn variant(self) -> Variant {
        let [bias, affine, residual, relu, stats] = Self::FLAGS;
        flags(&[
            (bias, self.bias),
            (affine, self.affine),
            (residual, self.residual),
            (relu, self.relu),
            (stats, self.stats),
        ])
    }

    /// The variants that plans choose: statistics come with nothing but a bias, as what follows them is not known yet; a kernel that
    /// maps its input does nothing else but gather statistics.
    pub(super) fn planned() -> Vec<Variant> {
        let mut variants = Self::variants_without_stats();
        for bias in [false, true] {
            let epilogue = Self {
                bias,
                stats: true,
                ..Self::default()
            };
            variants.push(epilogue.variant());
        }
        Input::variants(variants, "STATS")
    }

    /// Every variant of a shader that knows no statistics.
    pub(super) fn variants_without_stats() -> Vec<Variant> {
        all_flags(&Self::FLAGS[..4])
    }
}

/// What is done to the gradient before it is written, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GradInputEpilogue {
    /// Whether another gradient of the same input is added: where a residual joins.
    pub add: bool,
    /// Whether the gradient passes only where the convolution's input is above 0: what a rectifier before it does.
    pub mask: bool,
    /// Whether it passes only where the normalised `z` is above 0: the same where the input is that and rectified, without a
    /// residual. Only with `reduce`, which reads z and its statistics.
    pub mask_map: bool,
    /// Whether the column sums for the gradient of a batch normalisation before it are written.
    pub reduce: bool,
}

impl GradInputEpilogue {
    const FLAGS: [&'static str; 4] = ["ADD", "MASK", "MASK_MAP", "REDUCE"];

    pub(super) fn variant(self) -> Variant {
        let [add, mask, mask_map, reduce] = Self::FLAGS;
        flags(&[
            (add, self.add),
            (mask, self.mask),
            (mask_map, self.mask_map),
            (reduce, self.reduce),
        ])
    }

    /// Every epilogue that makes sense.
    pub(super) fn all() -> Vec<Self> {
        let any = |bits: usize| Self {
            add: bits & 1 > 0,
            mask: bits & 2 > 0,
            mask_map: bits & 4 > 0,
            reduce: bits & 8 > 0,
        };
        (0..16).map(any).filter(|it| it.holds()).collect()
    }

    /// The variant where `grad_y` is mapped, or not.
    pub(super) fn mapped(self, mapped: bool) -> Variant {
        let variant = self.variant();
        if mapped {
            variant.set("MAPPED", true)
        } else {
            variant
        }
    }

    /// Every variant of a shader that maps; where it does, there are no bindings for `add` and `mask`.
    pub(super) fn all_mapped() -> Vec<Variant> {
        let all = Self::all();
        let plain = all.iter().map(|epilogue| epilogue.variant());
        let free = all.iter().filter(|it| !it.add && !it.mask);
        plain.chain(free.map(|it| it.mapped(true))).collect()
    }

    /// A mask from z needs z, and is the only one.
    pub(super) fn holds(self) -> bool {
        !self.mask_map || (self.reduce && !self.mask)
    }

    /// Every variant of a shader that knows no column sums.
    pub(super) fn variants_without_sums() -> Vec<Variant> {
        all_flags(&Self::FLAGS[..2])
    }
}

/// What a depthwise convolution does to its sums, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DepthwiseEpilogue {
    /// Whether a bias is added.
    pub bias: bool,
    /// Whether each channel is scaled and shifted: what batch normalisation does in evaluation.
    pub affine: bool,
    /// Whether the result is rectified.
    pub relu: bool,
}

impl DepthwiseEpilogue {
    const FLAGS: [&'static str; 3] = ["BIAS", "AFFINE", "RELU"];

    pub(super) fn variant(self) -> Variant {
        let [bias, affine, relu] = Self::FLAGS;
        flags(&[(bias, self.bias), (affine, self.affine), (relu, self.relu)])
    }

    /// Every variant of a shader with this epilogue.
    pub(super) fn variants() -> Vec<Variant> {
        all_flags(&Self::FLAGS)
    }
}

/// The elements that an epilogue touches of a binding: none where it does not use it.
pub(super) fn when(used: bool, len: usize) -> usize {
    if used { len } else { 0 }
}
