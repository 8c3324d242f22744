// batch_norm_apply: normalises, with the sum and the rectifier that end a residual block as variants.
//   y[m,c] = x[m,c] · scale[c] + shift[c]     RESIDUAL: + residual[m,c]     RELU: max(·, 0)
//   MAPPED: the residual is the input of another normalisation, whose map is applied to it: + residual · scale' + shift'
// Layout: x, residual, y [rows, columns] vec4; affine, residual_affine [2, columns]: scale, shift. What the variant does not name is
//         not touched.
// Work:   an invocation does ROWS rows of one vec4 column, so that the map is loaded and the index divided once; tail rows
//         and invocations beyond the end do nothing.
// Needs:  default limits. Variants: f16 (shader-f16), WORDS (64-bit integers; only f32), RESIDUAL, MAPPED, RELU.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override RESIDUAL: bool = false;
override WORDS: bool = false;
override MAPPED: bool = false;
override RELU: bool = false;
const ROWS = 8u;

// A vec4, as it is loaded and stored: WORDS as two u64, which halves what an adapter pays for whose lanes load one after the other.
alias Vector = vec4<Stored>; // without WORDS
// only WORDS: alias Vector = vec2<u64>;
fn widen(v: Vector) -> vec4f { return vec4f(v); } // without WORDS
// only WORDS: fn widen(v: Vector) -> vec4f { return bitcast<vec4f>(vec4u(vec2u(v), vec2u(v >> vec2u(32u))).xzyw); }
fn narrow(v: vec4f) -> Vector { return vec4<Stored>(v); } // without WORDS
// only WORDS: fn narrow(v: vec4f) -> Vector { return vec2<u64>(bitcast<vec4u>(v).xz) | (vec2<u64>(bitcast<vec4u>(v).yw) << vec2u(32u)); }

struct Params { rows: u32, columns: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<Vector>;
@group(0) @binding(2) var<storage, read_write> residual: array<Vector>;
@group(0) @binding(3) var<storage, read_write> affine: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<Vector>;
@group(0) @binding(5) var<storage, read_write> residual_affine: array<vec4f>;

@compute @workgroup_size(64)
fn batch_norm_apply(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    let block = i / params.columns;
    let column = i - block * params.columns;
    let scale = affine[column];
    let shift = affine[params.columns + column];
    var residual_scale = vec4f(1.0);
    var residual_shift = vec4f();
    if MAPPED {
        residual_scale = residual_affine[column];
        residual_shift = residual_affine[params.columns + column];
    }
    let first = block * ROWS;
    let last = min(first + ROWS, params.rows);
    for (var row = first; row < last; row++) {
        let at = row * params.columns + column;
        var value = widen(x[at]) * scale + shift;
        if RESIDUAL {
            value += widen(residual[at]) * residual_scale + residual_shift;
        }
        if RELU {
            value = max(value, vec4f());
        }
        y[at] = narrow(value);
    }
}
