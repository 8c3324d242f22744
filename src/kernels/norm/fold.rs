//! The affine maps of evaluation for a whole network at once.

use super::kernel;
use super::stats::check_eps;
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{elements, positive, rule};
use crate::kernels::{Access, Call, Kernel, KernelError, Params, narrow, padded, params, shader};

const FOLD_LAYERS: Shader = shader!("norm", "batch_norm_fold_layers");

params!(FoldLayersParams { layers: u32 });

/// One layer of [`BatchNormFoldLayers`]: where its rows of channels begin, each a multiple of 4 elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoldedLayer {
    /// The first element of gamma in `parameters`.
    pub gamma: usize,
    /// The first element of beta in `parameters`.
    pub beta: usize,
    /// The first element of the running mean in `states`.
    pub mean: usize,
    /// The first element of the running variance in `states`.
    pub variance: usize,
    /// The first element of scale and shift, `[2, C]`, in `affine`.
    pub affine: usize,
    /// The number of channels C, before padding.
    pub channels: usize,
    /// Added to the variance under the root; above 0.
    pub eps: f32,
}

/// What [`BatchNormFold`](super::BatchNormFold) does, for many layers in one dispatch; only the affine maps. Binds `layers`, the
/// [`table`](Self::table), and the flat `parameters`, `states` and `affine`, which reach at least as far as the layers say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormFoldLayers<'a> {
    /// The layers.
    pub layers: &'a [FoldedLayer],
}

impl BatchNormFoldLayers<'_> {
    /// The dispatch. The extents of the flat bindings are the elements of the layers, not the gaps between them.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for no layers, no channels, or a row that does not begin at a multiple of 4;
    /// [`KernelError::Constant`] for `eps` out of range; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let name = FOLD_LAYERS.name;
        positive(name, &[("layers", self.layers.len())])?;
        let mut width = 0_usize;
        for layer in self.layers {
            positive(name, &[("channels", layer.channels)])?;
            check_eps(name, layer.eps)?;
            width = width.saturating_add(elements(name, &[layer.channels]).map(padded)?);
        }
        let table = self.table()?;
        let rows = elements(name, &[2, width])?;
        let params = FoldLayersParams {
            layers: narrow(name, self.layers.len())?,
        };
        let groups = self.layers.len() as u64;
        Ok(Call::new(FOLD_LAYERS, Variant::new(), &params, groups)?
            .bind("layers", Access::Read, table.len())
            .bind("parameters", Access::Read, rows)
            .bind("states", Access::Read, rows)
            .bind("affine", Access::Write, rows)
            .flops(6 * width as u64))
    }

    /// The words of `layers`.
    ///
    /// # Errors
    /// As [`BatchNormFoldLayers::call`].
    pub fn table(&self) -> Result<Vec<u32>, KernelError> {
        let name = FOLD_LAYERS.name;
        let mut words = Vec::new();
        for layer in self.layers {
            let FoldedLayer { gamma, beta, .. } = *layer;
            for first in [gamma, beta, layer.mean, layer.variance, layer.affine] {
                let whole = first.is_multiple_of(4);
                rule(name, "layers", first, whole, "a multiple of 4")?;
                words.push(narrow(name, first / 4)?);
            }
            words.push(narrow(name, layer.channels)?);
            words.push(layer.eps.to_bits());
        }
        Ok(words)
    }
}

pub(super) fn kernels() -> [Kernel; 1] {
    [kernel(
        FOLD_LAYERS,
        FoldLayersParams::FIELDS,
        vec![Variant::new()],
    )]
}
