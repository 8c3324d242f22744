//! Cooperative matrices: the small products that the lanes of a subgroup make together.

use super::Precision;
use std::fmt;

/// Which products of cooperative matrices a device makes, of those that kernels use: `C += A · B`, all three square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Matrices {
    /// 16×16 of f16, summed in f32: NVIDIA since Volta, AMD since RDNA 3.
    pub half16: bool,
    /// 8×8 of f16, summed in f32: Mesa's software adapter from 26 on.
    pub half8: bool,
    /// 8×8 of f32: Apple's.
    pub single8: bool,
}

impl Matrices {
    /// None: what a device has that was made without the feature.
    pub const NONE: Self = Self {
        half16: false,
        half8: false,
        single8: false,
    };

    /// Those of an adapter.
    pub fn of(adapter: &wgpu::Adapter) -> Self {
        use wgpu::CooperativeScalarType::{F16, F32};
        let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SUBGROUP;
        // A workgroup of 128 lanes must have two subgroups.
        let narrow = adapter.get_info().subgroup_max_size <= 64;
        if !narrow || !adapter.features().contains(needed) {
            return Self::NONE;
        }
        let found = adapter.cooperative_matrix_properties();
        let has = |side, ab, cr| {
            found.iter().any(|it| {
                [it.m_size, it.n_size, it.k_size] == [side; 3]
                    && (it.ab_type, it.cr_type) == (ab, cr)
            })
        };
        let half = adapter.features().contains(wgpu::Features::SHADER_F16);
        // What the kernels stage.
        let memory = adapter.limits().max_compute_workgroup_storage_size >> 10;
        Self {
            half16: half && memory >= 48 && has(16, F16, F32),
            half8: half && memory >= 32 && has(8, F16, F32),
            single8: memory >= 32 && has(8, F32, F32),
        }
    }

    /// The side of the largest matrices for activations of this precision.
    pub fn side(self, precision: Precision) -> Option<usize> {
        let (half, single) = (precision == Precision::F16, precision == Precision::F32);
        let sides = [
            (half && self.half16, 16),
            ((half && self.half8) || (single && self.single8), 8),
        ];
        sides.into_iter().find(|it| it.0).map(|it| it.1)
    }
}

impl fmt::Display for Matrices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.half16, "16x16x16 f16 to f32"),
            (self.half8, "8x8x8 f16 to f32"),
            (self.single8, "8x8x8 f32"),
        ];
        let names: Vec<_> = kinds.iter().filter(|it| it.0).map(|it| it.1).collect();
        if names.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&names.join(", "))
    }
}

/// What a device is asked for beside its features.
pub(super) fn experimental(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if !features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: wgpu asks to be told that its validation of such features has gaps: here, that it holds neither the kind of a
    // matrix against the adapter's list nor the extent of a load against its array, and that it enforces no uniform control
    // flow. The only shaders of this device that have matrices are this crate's; they are made for kinds on the adapter's
    // list, load and store only whole tiles of workgroup memory, and branch around them on what a subgroup shares. All other
    // shaders are compiled to the same code as without the feature.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_there_is() {
        let some = Matrices {
            half16: true,
            single8: true,
            ..Matrices::NONE
        };
        assert_eq!(some.to_string(), "16x16x16 f16 to f32, 8x8x8 f32");
        assert_eq!(Matrices::NONE.to_string(), "none");
        assert_eq!(some.side(Precision::F16), Some(16));
        assert_eq!(some.side(Precision::F32), Some(8));
        assert_eq!(Matrices::NONE.side(Precision::F16), None);
    }

    #[test]
    fn experiments_are_asked_for_only_with_matrices() {
        let without = experimental(wgpu::Features::SHADER_F16);
        assert!(!without.is_enabled());
        assert!(experimental(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX).is_enabled());
    }
}
