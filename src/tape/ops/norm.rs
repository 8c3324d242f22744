//! Batch normalisation.

use super::{OpSpec, no_gradient};
use crate::kernels::norm as kernels;
use crate::kernels::norm::Mask;
use crate::kernels::padded;
use crate::tape::graph::ALIGN;
use crate::tape::{Flat, Graph, Lowering, Node, Operand, Shape, TapeError, Value};

/// Batch normalisation over all dimensions but the channels, with what fusion put into its pass. Inputs `x`, `gamma`, `beta`,
/// `running_mean`, `running_var`, with `residual` the residual and, with `reduced`, the statistics of groups of rows. Outputs `y`
/// and, in one value, the statistics used, mean and inverse deviation `[2, C]`, and from the next multiple of 64 elements on the
/// map, scale and shift `[2, C]`. In training the running statistics are updated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Whether the batch's statistics are used, and the running ones moved towards them.
    pub training: bool,
    /// Added to the variance.
    pub eps: f32,
    /// The share of the batch in the new running statistics.
    pub momentum: f32,
    /// Whether a residual is added.
    pub residual: bool,
    /// Whether the residual is the input of another normalisation, whose statistics and map are the next input.
    pub mapped: bool,
    /// Whether y is not made: another pass applies the map.
    pub map_only: bool,
    /// Whether the result is rectified.
    pub relu: bool,
    /// The rows of each group whose statistics `[groups, 2, C]` the pass that made `x` has left; only in training.
    pub reduced: Option<usize>,
}

/// The affine maps of all batch normalisations in evaluation that convolutions apply, from the flat parameters and states. No
/// inputs; output the maps at the layers' offsets.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormFold {
    /// The layers.
    pub layers: Vec<kernels::FoldedLayer>,
}

/// Where the map begins in a batch normalisation's second output, behind the statistics: ranges begin at multiples of 64 elements.
pub(in crate::tape) fn map_offset(channels: usize) -> usize {
    (2 * padded(channels)).next_multiple_of(ALIGN)
}

/// The map in input number `index`, the second output of a batch normalisation.
pub(super) fn map_part(lowering: &Lowering<'_>, index: usize, channels: usize) -> Operand {
    lowering.part(index, map_offset(channels), 2 * padded(channels))
}

impl BatchNorm {
    /// PyTorch's defaults: eps 1e-5, momentum 0.1.
    pub fn new(training: bool) -> Self {
        Self {
            training,
            eps: 1e-5,
            momentum: 0.1,
            residual: false,
            mapped: false,
            map_only: false,
            relu: false,
            reduced: None,
        }
    }

    /// The partial statistics: those left by the pass that made `x`, or this node's own.
    fn partials(&self, lowering: &mut Lowering<'_>) -> Result<Operand, TapeError> {
        if self.reduced.is_some() {
            return Ok(lowering.input(lowering.input_count() - 1));
        }
        let shape = lowering.input_shape(0);
        let (rows, channels) = (shape.row_count(), shape.channels());
        let partials = lowering.check(kernels::partials_len(rows, channels))?;
        let partials = lowering.scratch(partials);
        let stats = kernels::BatchNormStats { rows, channels };
        lowering.call(stats.call(), &[lowering.input(0), partials])?;
        Ok(partials)
    }
}

/// The gradients of batch normalisation. Inputs `grad_y`, `x`, `gamma`, the statistics and, with [`Mask::Output`], the rectified `y` or,
/// with `reduced`, the column sums `[groups, 2, C]` that the pass which made `grad_y` has left; outputs `grad_x`, `grad_gamma`, `grad_beta` and, with `residual`, the gradient behind the mask of `y`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormGrad {
    /// Whether the statistics were the batch's.
    pub training: bool,
    /// Where the gradient passes.
    pub mask: Mask,
    /// Whether the masked gradient is written out, too.
    pub residual: bool,
    /// Whether the column sums come from elsewhere; never with a mask.
    pub reduced: bool,
    /// Whether `grad_x` is not made, but the coefficients `[3, C]` by which other passes make it on load; never with a mask.
    pub coefficients_only: bool,
}

impl OpSpec for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn outputs(&self, layer: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        let channels = inputs[0].channels();
        for (input, name) in
            inputs[1..5]
                .iter()
                .zip(["gamma", "beta", "running_mean", "running_var"])
        {
            if input.dims() != [channels] {
                return Err(TapeError::Shape {
                    layer: layer.to_owned(),
                    op: self.name(),
                    input: name,
                    asked: input.dims().to_vec(),
                    allowed: format!("it must be [{channels}], the channels of x"),
                });
            }
        }
        Ok(vec![
            inputs[0].clone(),
            Shape::raw(2 * map_offset(channels)),
        ])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        upstream: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        let Some(grad_y) = upstream[0] else {
            return Ok(vec![None; node.inputs.len()]);
        };
        // Fusion comes after the gradients, so the node is still plain.
        let grad = BatchNormGrad {
            training: self.training,
            mask: Mask::None,
            residual: false,
            reduced: false,
            coefficients_only: false,
        };
        let inputs = [grad_y, node.inputs[0], node.inputs[1], node.outputs[1]];
        let grads = graph.record(grad, &inputs)?;
        Ok(vec![
            Some(grads[0]),
            Some(grads[1]),
            Some(grads[2]),
            None,
            None,
        ])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let shape = lowering.input_shape(0);
        let (rows, channels) = (shape.row_count(), shape.channels());
        let [x, gamma, beta, mean, var] = [0, 1, 2, 3, 4].map(|index| lowering.input(index));
        let (y, rows_of_two) = (lowering.output(0), 2 * padded(channels));
        let statistics = lowering.output_part(1, 0, rows_of_two);
        let affine = lowering.output_part(1, map_offset(channels), rows_of_two);
        if self.training {
            let partials = self.partials(lowering)?;
            let finish = kernels::BatchNormFinish {
                rows,
                channels,
                eps: self.eps,
                momentum: self.momentum,
                group_rows: self.reduced,
            };
            let operands = [partials, gamma, beta, mean, var, statistics, affine];
            lowering.call(finish.call(), &operands)?;
        } else {
            let fold = kernels::BatchNormFold {
                channels,
                eps: self.eps,
            };
            lowering.call(fold.call(), &[gamma, beta, mean, var, statistics, affine])?;
        }
        if self.map_only {
            return Ok(());
        }
        let apply = kernels::BatchNormApply {
            rows,
            channels,
            residual: self.residual,
            mapped: self.mapped,
            relu: self.relu,
        };
        let residual = if self.residual {
            lowering.input(5)
        } else {
            lowering.scratch(4)
        };
        let map = if self.mapped {
            map_part(lowering, 6, channels)
        } else {
            lowering.scratch(4)
        };
        lowering.call(apply.call(), &[x, residual, affine, y, map])
    }
}

impl BatchNormFold {
    /// The elements that the layers' maps reach to.
    fn len(&self) -> usize {
        let ends = self.layers.iter();
        let ends = ends.map(|layer| layer.affine + 2 * padded(layer.channels));
        ends.max().unwrap_or_default()
    }
}

impl OpSpec for BatchNormFold {
    fn name(&self) -> &'static str {
        "batch_norm_fold"
    }

    fn outputs(&self, _: &str, _: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        Ok(vec![Shape::raw(self.len())])
    }

    fn gradient(
        &self,
        _: &mut Graph,
        node: &Node,
        _: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        Err(no_gradient(node))
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let layers = &self.layers;
        let kernel = kernels::BatchNormFoldLayers { layers };
        let table = lowering.check(kernel.table())?;
        let flat = |flat, len| Operand::Flat {
            flat,
            offset: 0,
            len,
        };
        let operands = [
            lowering.constant(table),
            flat(Flat::Parameters, lowering.parameter_len()),
            flat(Flat::States, lowering.state_len()),
            lowering.output(0),
        ];
        lowering.call_on_parameters(kernel.call(), &operands)
    }
}

impl OpSpec for BatchNormGrad {
    fn name(&self) -> &'static str {
        "batch_norm_grad"
    }

    fn outputs(&self, _: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        let mut outputs = vec![inputs[1].clone(), inputs[2].clone(), inputs[2].clone()];
        if self.residual {
            outputs.push(inputs[0].clone());
        }
        Ok(outputs)
    }

    fn gradient(
        &self,
        _: &mut Graph,
        node: &Node,
        _: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        Err(no_gradient(node))
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let shape = lowering.input_shape(1);
        let (rows, channels) = (shape.row_count(), shape.channels());
        let [grad_y, x, gamma] = [0, 1, 2].map(|index| lowering.input(index));
        let statistics = lowering.part(3, 0, 2 * padded(channels));
        let [grad_x, grad_gamma, grad_beta] = [0, 1, 2].map(|index| lowering.output(index));
        let coefficients = match self.coefficients_only {
            true => grad_x,
            false => lowering.scratch(3 * lowering.len(gamma)),
        };
        let [y, map] = match self.mask {
            Mask::None => [lowering.scratch(4), lowering.scratch(4)],
            Mask::Output => [lowering.input(4), lowering.scratch(4)],
            Mask::Map => [lowering.scratch(4), map_part(lowering, 3, channels)],
        };
        let (partials, groups) = if self.reduced {
            // Two rows of channels a group.
            let groups = lowering.input_shape(4).row_count() / 2;
            (lowering.input(4), Some(groups))
        } else {
            let len = lowering.check(kernels::partials_len(rows, channels))?;
            let partials = lowering.scratch(len);
            let reduce = kernels::BatchNormGradReduce {
                rows,
                channels,
                mask: self.mask,
            };
            let operands = [grad_y, x, y, statistics, partials, map];
            lowering.call(reduce.call(), &operands)?;
            (partials, None)
        };
        let finish = kernels::BatchNormGradFinish {
            rows,
            channels,
            training: self.training,
            groups,
        };
        let operands = [
            partials,
            gamma,
            statistics,
            grad_gamma,
            grad_beta,
            coefficients,
        ];
        lowering.call(finish.call(), &operands)?;
        if self.coefficients_only {
            return Ok(());
        }
        let input = kernels::BatchNormGradInput {
            rows,
            channels,
            residual: self.residual,
            mask: self.mask,
        };
        let residual = if self.residual {
            lowering.output(3)
        } else {
            lowering.scratch(4)
        };
        lowering.call(
            input.call(),
            &[grad_y, x, y, coefficients, grad_x, residual, map],
        )
    }
}
