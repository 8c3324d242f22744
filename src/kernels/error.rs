//! What a kernel refuses.

use crate::gpu::GpuError;
use thiserror::Error;

/// An error of the kernel layer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A size does not fit the kernel's indices or the number of workgroups.
    #[error("{kernel}: a size of {asked} is above {allowed}; use a smaller batch or image")]
    TooLarge {
        /// The kernel.
        kernel: &'static str,
        /// The size asked for.
        asked: u64,
        /// The largest that works.
        allowed: u64,
    },
    /// A shape or option that the kernel's formula does not define.
    #[error("{kernel}: {name} = {asked}, but it must be {allowed}")]
    Argument {
        /// The kernel.
        kernel: &'static str,
        /// The argument's name.
        name: &'static str,
        /// Its value.
        asked: i64,
        /// What it may be.
        allowed: &'static str,
    },
    /// A real constant outside the range in which the kernel's formula is defined.
    #[error("{kernel}: {name} = {asked}, but it must be {allowed}")]
    Constant {
        /// The kernel.
        kernel: &'static str,
        /// The constant's name.
        name: &'static str,
        /// Its value.
        asked: f64,
        /// What it may be.
        allowed: &'static str,
    },
    /// The wrong number of buffers.
    #[error("{kernel}: {asked} buffers given, it binds {allowed}")]
    Bindings {
        /// The kernel.
        kernel: &'static str,
        /// How many were given.
        asked: usize,
        /// How many it binds.
        allowed: usize,
    },
    /// A buffer that is too small.
    #[error("{kernel}: `{binding}` has {asked} bytes, {allowed} are needed")]
    Binding {
        /// The kernel.
        kernel: &'static str,
        /// The binding's name.
        binding: &'static str,
        /// The bytes given.
        asked: u64,
        /// The bytes needed.
        allowed: u64,
    },
    /// An error of the device.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}
