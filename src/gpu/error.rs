//! What can go wrong between kinesic and a device.

use thiserror::Error;

/// An error of the device layer. Each names what was asked and what the device allows.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The machine offers no adapter at all.
    #[error(
        "no GPU adapter found: install a Vulkan, Metal or DX12 driver (on Debian or Ubuntu, `tools/install-driver.sh` installs Mesa's software driver)"
    )]
    NoAdapter,
    /// No adapter answers to the given name or index.
    #[error("no adapter matches `{asked}`; there are: {}", available.join(", "))]
    UnknownAdapter {
        /// The name or index that was asked for.
        asked: String,
        /// The adapters that can be chosen, as `index: name (backend)`.
        available: Vec<String>,
    },
    /// The adapter refuses to make a device.
    #[error("adapter `{adapter}` gives no device: {source}")]
    NoDevice {
        /// The adapter's name.
        adapter: String,
        /// wgpu's reason.
        source: wgpu::RequestDeviceError,
    },
    /// A limit of the device is below what the work needs.
    #[error(
        "{what} needs {limit} = {needed}, but the device allows {allowed}; use a smaller batch or image, or another adapter"
    )]
    Limit {
        /// What was to be made.
        what: String,
        /// The limit's name in WebGPU.
        limit: &'static str,
        /// The value that is needed.
        needed: u64,
        /// The value that the device has.
        allowed: u64,
    },
    /// The device has no memory left for an allocation.
    #[error(
        "the device is out of memory while making {what}; use a smaller batch or image, or another adapter"
    )]
    OutOfMemory {
        /// What was to be made.
        what: String,
    },
    /// wgpu or the driver refused a call: a defect of kinesic or of the driver.
    #[error("the device refused {what}: {description}")]
    Refused {
        /// What was to be done.
        what: String,
        /// wgpu's description.
        description: String,
    },
    /// The device was lost: driver reset, removal, or a time-out.
    #[error(
        "the device was lost: {reason}; start again (`--resume` continues from the last checkpoint)"
    )]
    Lost {
        /// The driver's reason.
        reason: String,
    },
    /// A buffer could not be mapped for reading.
    #[error("a buffer could not be read back: {source}")]
    ReadBack {
        /// wgpu's reason.
        source: wgpu::BufferAsyncError,
    },
    /// A buffer could not be mapped for writing.
    #[error("a buffer could not be mapped for an upload: {source}")]
    Upload {
        /// wgpu's reason.
        source: wgpu::BufferAsyncError,
    },
}
