//! The gradient of the logits.

use super::{LABEL_WORDS, Objective, WORKGROUP};
use crate::gpu::Shader;
use crate::kernels::check::{all_flags, flags};
use crate::kernels::{Access, Call, Kernel, KernelError, narrow, params, shader};

const SHADER: Shader = shader!("loss", "objective_grad");

params!(Params {
    batch: u32,
    width: u32,
    class_column: u32,
    classes: u32,
    unit_column: u32,
    action_units: u32,
    valence: u32,
    valence_arousal: u32,
    rows: u32,
});

pub(super) fn call(problem: &Objective, scaled: bool) -> Result<Call, KernelError> {
    let [valence, valence_arousal] = problem.axes()?;
    let params = Params {
        batch: narrow(SHADER.name, problem.batch)?,
        width: narrow(SHADER.name, problem.width)?,
        class_column: narrow(SHADER.name, problem.expression.start)?,
        classes: narrow(SHADER.name, problem.expression.len)?,
        unit_column: narrow(SHADER.name, problem.action_units.start)?,
        action_units: narrow(SHADER.name, problem.action_units.len)?,
        valence,
        valence_arousal,
        rows: narrow(SHADER.name, problem.rows())?,
    };
    let elements = problem.batch * problem.width;
    let (classes, units) = (problem.expression.len, problem.action_units.len);
    let groups = elements.div_ceil(WORKGROUP) as u64;
    Ok(
        Call::new(SHADER, flags(&[("SCALED", scaled)]), &params, groups)?
            .bind("labels", Access::Read, problem.batch * LABEL_WORDS)
            .bind("tables", Access::Read, problem.tables_len())
            .bind("scratch", Access::Read, problem.scratch_len())
            .bind_stored("grad_logits", Access::Write, elements)
            .bind("scaling", Access::Read, usize::from(scaled))
            .flops((problem.batch * (5 * classes * units + 6 * classes + 5 * units)) as u64),
    )
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        variants: all_flags(&["SCALED"]),
        ..super::kernel::<Params>(SHADER)
    }
}
