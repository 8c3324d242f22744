//! The values of the objective and the moments of the batch.

use super::{LABEL_WORDS, LOSSES, Problem, TaskWeighting};
use crate::gpu::{Shader, Variant};
use crate::kernels::{Access, Call, Kernel, KernelError, narrow, params, shader};

const SHADER: Shader = shader!("loss", "objective_reduce", "sum_of_lanes");

params!(Params {
    batch: u32,
    rows: u32,
    weight_expression: f32,
    weight_action_units: f32,
    weight_valence_arousal: f32,
    weight_distribution_matching: f32,
    weight_soft_co_annotation: f32,
    uncertainty: u32,
});

pub(super) fn call(problem: &Problem) -> Result<Call, KernelError> {
    let weights = &problem.block.weights;
    let params = Params {
        batch: narrow(SHADER.name, problem.batch)?,
        rows: narrow(SHADER.name, problem.block.rows())?,
        weight_expression: weights.expression,
        weight_action_units: weights.action_units,
        weight_valence_arousal: weights.valence_arousal,
        weight_distribution_matching: weights.distribution_matching,
        weight_soft_co_annotation: weights.soft_co_annotation,
        uncertainty: u32::from(problem.block.task_weighting == TaskWeighting::Uncertainty),
    };
    Ok(Call::new(SHADER, Variant::new(), &params, 1)?
        .bind("labels", Access::Read, problem.batch * LABEL_WORDS)
        .bind("scratch", Access::Update, problem.scratch_len())
        .bind("losses", Access::Write, LOSSES)
        .flops((40 * problem.batch) as u64))
}

pub(super) fn kernel() -> Kernel {
    super::kernel::<Params>(SHADER)
}
