//! What the tape refuses.

use crate::gpu::GpuError;
use crate::kernels::KernelError;
use thiserror::Error;

/// An error of the tape, with the layer and the shapes at fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TapeError {
    /// Inputs whose shapes do not belong together.
    #[error("layer `{layer}`, {op}: input `{input}` has shape {asked:?}, but {allowed}")]
    Shape {
        /// The layer.
        layer: String,
        /// The operation.
        op: &'static str,
        /// The input's role.
        input: &'static str,
        /// The shape given.
        asked: Vec<usize>,
        /// What it must be.
        allowed: String,
    },
    /// A window that does not fit its padded input.
    #[error(
        "layer `{layer}`, {op}: a window of {window:?} with padding {padding:?} does not fit an input of {input:?}; use larger images"
    )]
    Window {
        /// The layer.
        layer: String,
        /// The operation.
        op: &'static str,
        /// The window's height and width.
        window: [usize; 2],
        /// The padding's height and width.
        padding: [usize; 2],
        /// The input's height and width.
        input: [usize; 2],
    },
    /// Two parameters of one name.
    #[error("the parameter `{name}` is declared twice")]
    DuplicateParameter {
        /// The name.
        name: String,
    },
    /// An operation through which no gradient passes stands between the loss and a parameter.
    #[error("layer `{layer}`: {op} has no gradient")]
    NoGradient {
        /// The layer.
        layer: String,
        /// The operation.
        op: &'static str,
    },
    /// Data of another length than the value it is meant for.
    #[error("`{name}` takes {allowed} bytes, {asked} were given")]
    Length {
        /// The value's name.
        name: String,
        /// The bytes given.
        asked: usize,
        /// The bytes it takes.
        allowed: usize,
    },
    /// Two dispatches mean different storage by one operand: a kernel lacks a text for f16.
    #[error(
        "layer `{layer}`: `{binding}` of {kernel} is stored in another precision than its neighbours use; train in f32"
    )]
    Storage {
        /// The layer.
        layer: String,
        /// The kernel.
        kernel: &'static str,
        /// The binding.
        binding: &'static str,
    },
    /// A kernel refused a layer's problem.
    #[error("layer `{layer}`: {source}")]
    Kernel {
        /// The layer.
        layer: String,
        /// The kernel's error.
        source: KernelError,
    },
    /// An error of the device.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}
