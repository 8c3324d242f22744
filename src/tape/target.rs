//! What a recording is compiled for.

use super::recompute::Memory;
use crate::gpu::{Gpu, Matrices, Precision};
use crate::kernels::conv::{Conv2dShape, Pass, Problem, Product, Tuning, Way, Ways};
use std::sync::Arc;

/// What a recording is compiled for. A dry recording needs no device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether to use the kernels for software adapters; see [`Gpu::has_software_kernels`](crate::gpu::Gpu::has_software_kernels).
    pub software: bool,
    /// Whether to combine the lanes of a subgroup by shuffles, which needs `SUBGROUP`. No device takes them unasked: software adapters
    /// win microseconds and lose digits, and AMD's compiler rates them slower (benches/README.md).
    pub subgroups: bool,
    /// The largest range a storage binding may have, in bytes.
    pub max_binding: u64,
    /// The largest buffer, in bytes.
    pub max_buffer: u64,
    /// Whether neighbours are fused; off only to compare the two plans.
    pub fuse: bool,
    /// How activations and their gradients are stored.
    pub precision: Precision,
    /// Whether parameters and states are in the store before the plan is made and stay as they are: what depends on nothing else
    /// is then computed once, when the plan is made. Off where a plan trains, or shares a store with one that does.
    pub fixed: bool,
    /// What is recomputed instead of stored.
    pub memory: Memory,
    /// The device's cooperative matrices.
    pub matrices: Matrices,
    /// Whether convolutions apply the normalisation before them on load, whose output is then never written; `None` to decide by
    /// what it cost where it was measured: only in f16 without cooperative matrices of side 16; never on software adapters.
    pub normalise_on_load: Option<bool>,
    /// The ways that convolutions are computed, where they were measured.
    pub ways: Arc<Ways>,
}

impl Target {
    /// A device without limits, for dry recordings.
    pub fn unlimited() -> Self {
        Self {
            software: false,
            subgroups: false,
            max_binding: u64::MAX,
            max_buffer: u64::MAX,
            fuse: true,
            precision: Precision::F32,
            fixed: false,
            memory: Memory::Fast,
            matrices: Matrices::NONE,
            normalise_on_load: None,
            ways: Arc::default(),
        }
    }

    /// What a device allows, in f32, and the ways that it was [tuned](Gpu::tune) to.
    pub fn of(gpu: &Gpu) -> Self {
        let limits = gpu.limits();
        let tuning = gpu.tuning().and_then(|text| Tuning::read(&text).ok());
        Self {
            software: gpu.has_software_kernels(),
            subgroups: false,
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            fuse: true,
            precision: Precision::F32,
            fixed: false,
            memory: Memory::Fast,
            matrices: gpu.matrices(),
            normalise_on_load: None,
            ways: tuning.map_or_else(Arc::default, |it| Arc::new(Ways::of(&it.convolutions))),
        }
    }

    /// The same device, for a plan whose parameters and states stay as they are; see [`Target::fixed`].
    #[must_use]
    pub fn fixed(self) -> Self {
        Self {
            fixed: true,
            ..self
        }
    }

    /// The same device with activations and their gradients in this precision.
    #[must_use]
    pub fn stored(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same device with this choice of what is recomputed instead of stored.
    #[must_use]
    pub fn within(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// The same device with convolutions computed in these ways.
    #[must_use]
    pub fn in_ways(self, ways: Ways) -> Self {
        Self {
            ways: Arc::new(ways),
            ..self
        }
    }

    /// Whether convolutions apply the normalisation before them on load. It saves a tenth of a step's bytes and more of its memory,
    /// but on the GPU where it was measured a step took 5 % longer in f32, and 19 % in f16 with cooperative matrices, whose
    /// products leave no time for it (benches/README.md). So by default only in f16 without them; never on software adapters,
    /// where loads are what costs.
    pub(super) fn normalises_on_load(&self) -> bool {
        let by_default = self.precision == Precision::F16 && !self.matrices.half16;
        !self.software && self.normalise_on_load.unwrap_or(by_default)
    }

    /// Whether convolutions may be made with matrices that take filters rounded to f16.
    pub(super) fn rounds_filters(&self) -> bool {
        self.precision == Precision::F16 && self.matrices.half16
    }

    /// The way to compute a convolution: the one that was measured; else with cooperative matrices of side 16 where the device has
    /// them and the problem fills them, which are several times as fast (benches/README.md); `None` for the twin's own choice.
    pub(super) fn way(&self, problem: &Problem) -> Option<Way> {
        let large = Matrices {
            half16: self.matrices.half16,
            ..Matrices::NONE
        };
        let fits = || problem.shape.matrices(problem.pass, self.precision, large);
        let measured = self.ways.way(problem);
        measured.or_else(|| fits().map(|_| Way::Matrices))
    }

    /// How the product of a convolution's pass is made in that way.
    pub(super) fn product(&self, pass: Pass, shape: Conv2dShape) -> Product {
        let problem = self.problem(pass, shape);
        match self.way(&problem) {
            Some(Way::Tile(tile)) if !self.software => Product::Tile(tile),
            Some(Way::Matrices) => {
                let side = shape.matrices(pass, self.precision, self.matrices);
                side.map_or(Product::Own, |side| Product::Matrices(self.precision, side))
            }
            _ => Product::Own,
        }
    }

    /// A convolution as a problem of this target.
    pub(super) fn problem(&self, pass: Pass, shape: Conv2dShape) -> Problem {
        Problem {
            pass,
            shape,
            precision: self.precision,
        }
    }
}
