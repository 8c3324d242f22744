//! What a convolution reads as its input.

use crate::gpu::Variant;
use crate::kernels::check::flags;

/// What the binding `x` of a convolution and of its filters' gradient holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Input {
    /// The input itself.
    #[default]
    Stored,
    /// The input of the batch normalisation before it: scale and shift of each channel, `[2, C]` in the binding `affine`, are applied
    /// on load. Where padding is, the convolution's input is 0 all the same. Not by the kernels for software adapters, where loads are what costs.
    Normalised,
    /// The same with a rectifier behind the map.
    Rectified,
}

impl Input {
    /// Whether a map is applied on load.
    pub fn is_mapped(self) -> bool {
        self != Self::Stored
    }

    /// The variant of a shader with this input.
    pub(super) fn of(self, variant: Variant) -> Variant {
        match self {
            Self::Stored => variant,
            Self::Normalised => variant.set("NORMALISED", true),
            Self::Rectified => variant.set("NORMALISED", true).set("RECTIFIED", true),
        }
    }

    /// Every variant of a shader that maps its input: all of what it is without, and those of `mapped` with either map.
    pub(super) fn variants(all: Vec<Variant>, mapped: &'static str) -> Vec<Variant> {
        let either = [false, true].map(|set| flags(&[(mapped, set)]));
        let either = either.iter().flat_map(|variant| {
            let inputs = [Self::Normalised, Self::Rectified];
            inputs.map(|input| input.of(variant.clone()))
        });
        all.into_iter().chain(either).collect()
    }
}
