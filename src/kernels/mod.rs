//! A Rust twin for each shader: its parameters, checks, variants and dispatch.
//!
//! A twin turns a problem (shapes, options) into a [`Call`]: which pipeline, which parameter bytes, how many workgroups,
//! and what each binding must hold. It touches no device; the tape's plan or [`run`] gives the buffers.
//!
//! All activations are NHWC with channels padded to a multiple of 4 by zeros ([`padded`]); kernels keep the padding zero.
//! Every storage binding is `read_write` in WGSL, because the plan's tensors share few large buffers and a buffer has one
//! usage in a dispatch; what a kernel really reads and writes is stated by [`Access`].

mod check;
pub mod conv;
pub mod elementwise;
mod error;
pub mod face;
pub mod gemm;
pub mod image;
pub mod loss;
pub mod norm;
pub mod optim;
pub mod pool;

use crate::gpu::{Gpu, GpuError, Pipeline, Precision, Shader, Variant};

pub use error::KernelError;

/// Rounds a channel count up to whole `vec4`s.
pub const fn padded(channels: usize) -> usize {
    channels.next_multiple_of(4)
}

/// What a kernel does to a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Only reads.
    Read,
    /// Writes every element, whatever was there before.
    Write,
    /// Reads and writes: what was there before matters.
    Update,
}

/// The constant of variants that load 64-bit words.
const WORDS: (&str, i64) = ("WORDS", 1);
/// The constant of variants that add among the lanes of a subgroup by shuffles.
const SUBGROUP: (&str, i64) = ("SUBGROUP", 1);

/// One storage binding of a [`Call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The variable's name in the shader.
    pub name: &'static str,
    /// What the kernel does to it.
    pub access: Access,
    /// How many bytes of it the kernel touches; the binding must be at least as large.
    pub bytes: u64,
    /// Whether it holds activations or their gradients, whose precision is the variant's.
    pub activation: bool,
}

/// One dispatch without its buffers.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The shader.
    pub shader: Shader,
    /// Its variant.
    pub variant: Variant,
    /// The bytes of its `Params`, bound as a uniform at binding 0.
    pub params: Vec<u8>,
    /// Its storage bindings from binding 1 on.
    pub extents: Vec<Extent>,
    /// The number of workgroups.
    pub workgroups: [u32; 3],
    /// That of the variant [in words](Self::in_words), where it is another.
    word_workgroups: Option<[u32; 3]>,
    /// Floating-point operations, a multiply-add counted as two.
    pub flops: u64,
}

impl Call {
    /// A call over `groups` workgroups, spread over two dimensions where one does not reach: the shader finds its
    /// position as `workgroup_id.x + workgroup_id.y * num_workgroups.x` and skips what lies beyond the end.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`] beyond 65535² workgroups.
    pub fn new(
        shader: Shader,
        variant: Variant,
        params: &impl Params,
        groups: u64,
    ) -> Result<Self, KernelError> {
        Ok(Self {
            shader,
            variant,
            params: bytemuck::bytes_of(params).to_vec(),
            extents: Vec::new(),
            workgroups: spread(shader.name, groups)?,
            word_workgroups: None,
            flops: 0,
        })
    }

    /// States the number of workgroups of the variant [in words](Self::in_words), whose invocations do more.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`] beyond 65535² workgroups.
    pub fn in_words_over(mut self, groups: u64) -> Result<Self, KernelError> {
        self.word_workgroups = Some(spread(self.shader.name, groups)?);
        Ok(self)
    }

    /// Adds the next storage binding, of `elements` 4-byte elements.
    #[must_use]
    pub fn bind(mut self, name: &'static str, access: Access, elements: usize) -> Self {
        let bytes = 4 * elements as u64;
        self.extents.push(Extent {
            name,
            access,
            bytes,
            activation: false,
        });
        self
    }

    /// Adds the next storage binding, of `elements` activations or gradients of activations.
    #[must_use]
    pub fn bind_stored(self, name: &'static str, access: Access, elements: usize) -> Self {
        let mut call = self.bind(name, access, elements);
        if let Some(extent) = call.extents.last_mut() {
            extent.activation = true;
        }
        call
    }

    /// The same problem with activations in this precision. A call is made for f32; one without activations stays as it is, as
    /// does one that is stored so already.
    #[must_use]
    pub fn stored(mut self, precision: Precision) -> Self {
        let stored = self.variant.precision() == precision;
        if !stored && precision == Precision::F16 && self.shader.has_half() {
            self.variant = self.variant.stored(precision);
            let stored = self.extents.iter_mut().filter(|extent| extent.activation);
            stored.for_each(|extent| extent.bytes /= 2);
        }
        self
    }

    /// The same problem with each `vec4` loaded and stored as two 64-bit words, where the shader has a text for that: for
    /// [software](crate::gpu::Gpu::has_software_kernels) adapters, whose lanes load one after the other. Only in f32.
    #[must_use]
    pub fn in_words(mut self) -> Self {
        let f32 = self.variant.precision() == Precision::F32;
        let words = self.variant.constants().contains(&WORDS);
        if f32 && !words && self.shader.has_words() {
            self.variant = self.variant.set(WORDS.0, WORDS.1);
            self.workgroups = self.word_workgroups.unwrap_or(self.workgroups);
        }
        self
    }

    /// The same problem with the lanes' terms combined within subgroups, where the shader has a text for that: for devices with the
    /// feature `SUBGROUP` that ask for it (`Target::subgroups`). The same problem on the same adapter
    /// has the same bits each time, but other ones than without.
    #[must_use]
    pub fn in_subgroups(mut self) -> Self {
        let already = self.variant.constants().contains(&SUBGROUP);
        if !already && self.shader.has_subgroups() {
            self.variant = self.variant.set(SUBGROUP.0, SUBGROUP.1);
        }
        self
    }

    /// Whether a binding holds f16.
    pub fn is_half(&self, extent: &Extent) -> bool {
        extent.activation && self.variant.precision() == Precision::F16
    }

    /// The bytes of an element of a binding.
    pub fn element_bytes(&self, extent: &Extent) -> u64 {
        if self.is_half(extent) { 2 } else { 4 }
    }

    /// States the floating-point operations.
    #[must_use]
    pub fn flops(mut self, flops: u64) -> Self {
        self.flops = flops;
        self
    }

    /// Bytes read from the bindings.
    pub fn bytes_read(&self) -> u64 {
        self.bytes(|access| access != Access::Write)
    }

    /// Bytes written to the bindings.
    pub fn bytes_written(&self) -> u64 {
        self.bytes(|access| access != Access::Read)
    }

    fn bytes(&self, counts: impl Fn(Access) -> bool) -> u64 {
        self.extents
            .iter()
            .filter(|extent| counts(extent.access))
            .map(|extent| extent.bytes)
            .sum()
    }
}

/// The uniform parameters of a kernel: 4-byte members, named as in the shader's `struct Params`.
pub trait Params: bytemuck::Pod {
    /// The members' names in order.
    const FIELDS: &'static [&'static str];
}

/// Declares a kernel's `Params` once in Rust; a test reflects the shader's and compares names, order and size.
macro_rules! params {
    ($(#[$meta:meta])* $vis:vis $name:ident { $($field:ident: $kind:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        $vis struct $name { $($field: $kind),* }
        impl $crate::kernels::Params for $name {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
        }
    };
}
pub(crate) use params;

/// Names a shader file of `shaders/` as a [`Shader`](crate::gpu::Shader), followed by the files that it shares with others: of
/// its folder, or `../shared/`.
macro_rules! shader {
    ($family:literal, $name:literal $(, $shared:literal)*) => {
        $crate::gpu::Shader {
            name: $name,
            source: concat!(
                include_str!(concat!("../../../shaders/", $family, "/", $name, ".wgsl"))
                $(, "\n", include_str!(concat!("../../../shaders/", $family, "/", $shared, ".wgsl")))*
            ),
        }
    };
}
pub(crate) use shader;

/// A kernel as the lints, the tests and the inspector see it.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The folder under `shaders/`.
    pub family: &'static str,
    /// The shader.
    pub shader: Shader,
    /// The names of its parameters.
    pub params: &'static [&'static str],
    /// Every variant that a twin may choose.
    pub variants: Vec<Variant>,
}

/// Every kernel of the crate.
pub fn all() -> Vec<Kernel> {
    let mut kernels = [
        conv::kernels(),
        elementwise::kernels(),
        face::kernels(),
        image::kernels(),
        loss::kernels(),
        norm::kernels(),
        optim::kernels(),
        pool::kernels(),
    ]
    .concat();
    for kernel in &mut kernels {
        if kernel.shader.has_subgroups() {
            let combined = kernel.variants.iter().cloned();
            let combined: Vec<_> = combined.map(|it| it.set(SUBGROUP.0, SUBGROUP.1)).collect();
            kernel.variants.extend(combined);
        }
        if kernel.shader.has_words() {
            let words = kernel.variants.iter().cloned();
            let words: Vec<_> = words.map(|it| it.set(WORDS.0, WORDS.1)).collect();
            kernel.variants.extend(words);
        }
        if kernel.shader.has_half() {
            let half = kernel.variants.iter().cloned();
            let half = half.filter(|variant| {
                variant.precision() == Precision::F32 && !variant.constants().contains(&WORDS)
            });
            let half: Vec<_> = half.map(|variant| variant.stored(Precision::F16)).collect();
            kernel.variants.extend(half);
        }
    }
    kernels
}

fn spread(kernel: &'static str, groups: u64) -> Result<[u32; 3], KernelError> {
    const LIMIT: u64 = 65535; // WebGPU's default for workgroups a dimension
    let rows = groups.div_ceil(LIMIT).max(1);
    if rows > LIMIT {
        return Err(KernelError::TooLarge {
            kernel,
            asked: groups,
            allowed: LIMIT * LIMIT,
        });
    }
    let columns = groups.div_ceil(rows);
    // Both are at most LIMIT.
    #[allow(clippy::cast_possible_truncation)]
    Ok([columns as u32, rows as u32, 1])
}

/// Narrows a size for a shader.
///
/// # Errors
/// [`KernelError::TooLarge`] beyond 2³² - 1.
pub(crate) fn narrow(kernel: &'static str, value: usize) -> Result<u32, KernelError> {
    u32::try_from(value).map_err(|_| KernelError::TooLarge {
        kernel,
        asked: value as u64,
        allowed: u64::from(u32::MAX),
    })
}

/// A call with its pipeline and buffers, ready to be recorded any number of times.
#[derive(Debug)]
pub struct Bound {
    pipeline: Pipeline,
    group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

impl Bound {
    /// Compiles the call's pipeline and binds its parameters and `buffers`, one for each extent in order.
    ///
    /// # Errors
    /// [`KernelError::Bindings`] when the number or a size does not fit; [`KernelError::Gpu`].
    pub async fn new(
        gpu: &Gpu,
        call: &Call,
        params: wgpu::BufferBinding<'_>,
        buffers: &[wgpu::BufferBinding<'_>],
    ) -> Result<Self, KernelError> {
        check(gpu, call, buffers)?;
        let pipeline = gpu.pipeline(call.shader, &call.variant).await?;
        let entries: Vec<_> = std::iter::once(&params)
            .chain(buffers)
            .zip(0..)
            .map(|(buffer, binding)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(buffer.clone()),
            })
            .collect();
        let group = gpu
            .scoped(call.shader.name, || {
                gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(call.shader.name),
                    layout: &pipeline.layout,
                    entries: &entries,
                })
            })
            .await?;
        Ok(Self {
            pipeline,
            group,
            workgroups: call.workgroups,
        })
    }

    /// Records the dispatch into a pass.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        let [x, y, z] = self.workgroups;
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

fn check(gpu: &Gpu, call: &Call, buffers: &[wgpu::BufferBinding<'_>]) -> Result<(), KernelError> {
    let kernel = call.shader.name;
    if buffers.len() != call.extents.len() {
        return Err(KernelError::Bindings {
            kernel,
            asked: buffers.len(),
            allowed: call.extents.len(),
        });
    }
    let limit = gpu.device.limits().max_storage_buffer_binding_size;
    for (extent, buffer) in call.extents.iter().zip(buffers) {
        let size = buffer
            .size
            .map_or(buffer.buffer.size() - buffer.offset, u64::from);
        if size < extent.bytes {
            return Err(KernelError::Binding {
                kernel,
                binding: extent.name,
                asked: size,
                allowed: extent.bytes,
            });
        }
        if size > limit {
            return Err(KernelError::Gpu(GpuError::Limit {
                what: format!("binding `{}` of {kernel}", extent.name),
                limit: "max_storage_buffer_binding_size",
                needed: size,
                allowed: limit,
            }));
        }
    }
    Ok(())
}

/// Runs one call on whole buffers and submits it: for tests, benches and single uses. A plan records many at once.
///
/// # Errors
/// As [`Bound::new`].
pub async fn run(gpu: &Gpu, call: &Call, buffers: &[&wgpu::Buffer]) -> Result<(), KernelError> {
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
    let size = call.params.len() as u64;
    let params = gpu
        .buffer("params", size.next_multiple_of(16), usage)
        .await?;
    gpu.queue.write_buffer(&params, 0, &call.params);
    let buffers: Vec<_> = buffers
        .iter()
        .map(|buffer| buffer.as_entire_buffer_binding())
        .collect();
    let bound = Bound::new(gpu, call, params.as_entire_buffer_binding(), &buffers).await?;
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    bound.record(&mut encoder.begin_compute_pass(&Default::default()));
    gpu.queue.submit([encoder.finish()]);
    Ok(())
}
