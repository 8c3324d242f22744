//! The images' terms and their derivatives.

use super::{Form, LABEL_WORDS, Problem, ScaOn, StopGradient, WORKGROUP};
use crate::gpu::Shader;
use crate::kernels::check::{all_flags, flags};
use crate::kernels::{Access, Call, Kernel, KernelError, narrow, params, shader};

const SHADER: Shader = shader!("loss", "objective_terms", "objective_lanes", "sum_of_lanes");
/// Classes from which on the lanes of a workgroup share an image: where an invocation an image would leave most of a GPU idle.
const MANY: usize = 256;

params!(Params {
    batch: u32,
    width: u32,
    class_column: u32,
    classes: u32,
    unit_column: u32,
    action_units: u32,
    valence: u32,
    valence_arousal: u32,
    cells: u32,
    bernoulli: u32,
    stop_gradient: u32,
    sca_with_expression: u32,
    co_annotate: u32,
    label_smoothing: f32,
});

pub(super) fn call(problem: &Problem, software: bool) -> Result<Call, KernelError> {
    let batch = problem.batch;
    let spread = problem.block.expression.len >= MANY && !software;
    let groups = if spread {
        batch
    } else {
        batch.div_ceil(WORKGROUP)
    };
    let variant = flags(&[("SPREAD", spread)]);
    Ok(
        Call::new(SHADER, variant, &params(problem)?, groups as u64)?
            .bind_stored("logits", Access::Read, batch * problem.width)
            .bind("labels", Access::Read, batch * LABEL_WORDS)
            .bind("tables", Access::Read, problem.block.tables_len())
            .bind("scratch", Access::Write, batch * problem.block.rows())
            .flops(flops(problem)),
    )
}

fn params(problem: &Problem) -> Result<Params, KernelError> {
    let block = problem.block;
    let [valence, valence_arousal] = block.axes()?;
    Ok(Params {
        batch: narrow(SHADER.name, problem.batch)?,
        width: narrow(SHADER.name, problem.width)?,
        class_column: narrow(SHADER.name, block.expression.start)?,
        classes: narrow(SHADER.name, block.expression.len)?,
        unit_column: narrow(SHADER.name, block.action_units.start)?,
        action_units: narrow(SHADER.name, block.action_units.len)?,
        valence,
        valence_arousal,
        cells: narrow(SHADER.name, block.cells())?,
        bernoulli: u32::from(block.form == Form::Bernoulli),
        stop_gradient: match block.stop_gradient {
            StopGradient::None => 0,
            StopGradient::Q => 1,
            StopGradient::P => 2,
        },
        sca_with_expression: u32::from(block.sca_on == ScaOn::AllWithAus),
        co_annotate: u32::from(block.coupled && block.co_annotate_aus),
        label_smoothing: block.label_smoothing,
    })
}

/// About 20 operations a class, 40 an action unit, and 6 a cell of the two tables.
fn flops(problem: &Problem) -> u64 {
    let block = problem.block;
    let (classes, units) = (block.expression.len, block.action_units.len);
    (problem.batch * (20 * classes + 40 * units + 6 * block.cells())) as u64
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        variants: all_flags(&["SPREAD"]),
        ..super::kernel::<Params>(SHADER)
    }
}
