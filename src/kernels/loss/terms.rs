//! The images' terms and their derivatives.

use super::{Form, LABEL_WORDS, Objective, ScaOn, StopGradient, WORKGROUP};
use crate::gpu::{Shader, Variant};
use crate::kernels::{Access, Call, Kernel, KernelError, narrow, params, shader};

const SHADER: Shader = shader!("loss", "objective_terms");

params!(Params {
    batch: u32,
    width: u32,
    class_column: u32,
    classes: u32,
    unit_column: u32,
    action_units: u32,
    valence: u32,
    valence_arousal: u32,
    coupled: u32,
    bernoulli: u32,
    stop_gradient: u32,
    sca_with_expression: u32,
    co_annotate: u32,
    label_smoothing: f32,
});

pub(super) fn call(problem: &Objective) -> Result<Call, KernelError> {
    let batch = problem.batch;
    let groups = batch.div_ceil(WORKGROUP) as u64;
    Ok(
        Call::new(SHADER, Variant::new(), &params(problem)?, groups)?
            .bind_stored("logits", Access::Read, batch * problem.width)
            .bind("labels", Access::Read, batch * LABEL_WORDS)
            .bind("tables", Access::Read, problem.tables_len())
            .bind("scratch", Access::Write, batch * problem.rows())
            .flops(flops(problem)),
    )
}

fn params(problem: &Objective) -> Result<Params, KernelError> {
    let [valence, valence_arousal] = problem.axes()?;
    Ok(Params {
        batch: narrow(SHADER.name, problem.batch)?,
        width: narrow(SHADER.name, problem.width)?,
        class_column: narrow(SHADER.name, problem.expression.start)?,
        classes: narrow(SHADER.name, problem.expression.len)?,
        unit_column: narrow(SHADER.name, problem.action_units.start)?,
        action_units: narrow(SHADER.name, problem.action_units.len)?,
        valence,
        valence_arousal,
        coupled: u32::from(problem.coupled),
        bernoulli: u32::from(problem.form == Form::Bernoulli),
        stop_gradient: match problem.stop_gradient {
            StopGradient::None => 0,
            StopGradient::Q => 1,
            StopGradient::P => 2,
        },
        sca_with_expression: u32::from(problem.sca_on == ScaOn::AllWithAus),
        co_annotate: u32::from(problem.co_annotate_aus),
        label_smoothing: problem.label_smoothing,
    })
}

/// About 20 operations a class, 40 an action unit, and 6 a cell of the two tables.
fn flops(problem: &Objective) -> u64 {
    let (classes, units) = (problem.expression.len, problem.action_units.len);
    (problem.batch * (20 * classes + 40 * units + 6 * classes * units)) as u64
}

pub(super) fn kernel() -> Kernel {
    super::kernel::<Params>(SHADER)
}
