//! Holds the f16 variant of a call against the f32 one, which the tests hold against float64.
//!
//! Both do the same arithmetic in f32, so from the same inputs, representable in f16, the one's activations are the other's
//! rounded once, and what is not an activation is the same.

use super::{execute_as_is, gpu};
use half::f16;
use kinesic::gpu::Precision;
use kinesic::kernels::{Access, Call, Extent};

/// Inputs beyond this would overflow f16 in a sum of a few.
const LARGEST: f32 = 8192.0;

/// The bytes of a binding with this contents.
pub(super) fn store(call: &Call, extent: &Extent, values: &[f32]) -> Vec<u8> {
    if call.is_half(extent) {
        let halves = values.iter().map(|&value| f16::from_f32(value));
        return halves.flat_map(f16::to_ne_bytes).collect();
    }
    bytemuck::cast_slice(values).to_vec()
}

/// The contents of a binding's bytes.
pub(super) fn load(call: &Call, extent: &Extent, bytes: &[u8]) -> Vec<f32> {
    if call.is_half(extent) {
        let halves = bytes.chunks_exact(2);
        return halves
            .map(|pair| f16::from_ne_bytes([pair[0], pair[1]]).to_f32())
            .collect();
    }
    bytemuck::pod_collect_to_vec(bytes)
}

/// Runs both precisions on the inputs rounded to f16 and compares.
pub(super) fn check(call: &Call, inputs: &[&[f32]]) {
    let stored = call.clone().stored(Precision::F16);
    let same = stored.variant == call.variant;
    if same || !gpu().can_store(Precision::F16) {
        return;
    }
    let Some(rounded) = rounded(call, inputs) else {
        return;
    };
    let rounded: Vec<&[f32]> = rounded.iter().map(Vec::as_slice).collect();
    let want = execute_as_is(call, &rounded);
    let got = execute_as_is(&stored, &rounded);
    let outputs = || {
        call.extents
            .iter()
            .filter(|extent| extent.access != Access::Read)
    };
    let any_activation = outputs().any(|extent| extent.activation && extent.bytes > 0);
    for ((extent, want), got) in outputs().zip(want).zip(got) {
        // What stands beside activations may be sums of them as they are written.
        let share = if extent.activation || any_activation {
            f32::powi(2.0, -11)
        } else {
            0.0
        };
        compare(call, extent, &got, &want, share);
    }
}

/// `share` of a value is the rounding of its storage; a millionth of the largest is what f32 sums differ by where a compiler
/// contracts one and not the other.
fn compare(call: &Call, extent: &Extent, got: &[f32], want: &[f32], share: f32) {
    let name = format!(
        "{} ({}), f16, `{}`",
        call.shader.name, call.variant, extent.name
    );
    assert_eq!(got.len(), want.len(), "{name}");
    let finite = want.iter().filter(|value| value.is_finite());
    let largest = finite.fold(0.0_f32, |most, value| most.max(value.abs()));
    // Whole numbers travel as bit patterns, which are tiny as f32.
    let whole = largest < 1e-30;
    let beside = if extent.activation { 0.0 } else { share };
    for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
        let same = got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan());
        // 2⁻²⁵: half a step of f16's smallest numbers.
        let allowed = share * want.abs() + (1e-6 + 4.0 * beside) * largest + f32::powi(2.0, -25);
        let close = !whole && (got - want).abs() <= allowed;
        assert!(
            same || close,
            "{name}: element {index} is {got}, in f32 {want}, largest {largest}"
        );
    }
}

/// The inputs with activations rounded to f16; `None` where that is no small change.
fn rounded(call: &Call, inputs: &[&[f32]]) -> Option<Vec<Vec<f32>>> {
    let mut inputs = inputs.iter().filter(|input| !input.is_empty());
    let read = call.extents.iter();
    let read = read.filter(|extent| extent.access != Access::Write && extent.bytes > 0);
    let mut rounded = Vec::new();
    for extent in read {
        let input = inputs.next()?;
        if !extent.activation {
            rounded.push(input.to_vec());
            continue;
        }
        if input.iter().any(|value| value.abs() > LARGEST) {
            return None;
        }
        rounded.push(input.iter().map(|&x| f16::from_f32(x).to_f32()).collect());
    }
    Some(rounded)
}
