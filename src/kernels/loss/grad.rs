//! The gradient of the logits.

use super::{LABEL_WORDS, Problem, WORKGROUP};
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
    coupled: u32,
    padding: u32,
    padded: u32,
    rows: u32,
});

pub(super) fn call(problem: &Problem, scaled: bool) -> Result<Call, KernelError> {
    let block = problem.block;
    let [valence, valence_arousal] = block.axes()?;
    let params = Params {
        batch: narrow(SHADER.name, problem.batch)?,
        width: narrow(SHADER.name, problem.width)?,
        class_column: narrow(SHADER.name, block.expression.start)?,
        classes: narrow(SHADER.name, block.expression.len)?,
        unit_column: narrow(SHADER.name, block.action_units.start)?,
        action_units: narrow(SHADER.name, block.action_units.len)?,
        valence,
        valence_arousal,
        coupled: u32::from(block.coupled),
        padding: narrow(SHADER.name, block.padding.start)?,
        padded: narrow(SHADER.name, block.padding.len)?,
        rows: narrow(SHADER.name, block.rows())?,
    };
    let elements = problem.batch * problem.width;
    let (classes, units) = (block.expression.len, block.action_units.len);
    let groups = (problem.batch * block.own()).div_ceil(WORKGROUP) as u64;
    // What other blocks write is kept.
    let access = if problem.alone {
        Access::Write
    } else {
        Access::Update
    };
    Ok(
        Call::new(SHADER, flags(&[("SCALED", scaled)]), &params, groups)?
            .bind("labels", Access::Read, problem.batch * LABEL_WORDS)
            .bind("tables", Access::Read, block.tables_len())
            .bind("scratch", Access::Read, problem.scratch_len())
            .bind_stored("grad_logits", access, elements)
            .bind("scaling", Access::Read, usize::from(scaled))
            .flops((problem.batch * (5 * block.cells() + 6 * classes + 5 * units)) as u64),
    )
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        variants: all_flags(&["SCALED"]),
        ..super::kernel::<Params>(SHADER)
    }
}
