// batch_norm_grad_input: the gradient of batch normalisation with respect to x, and to the residual in the variant RESIDUAL.
//   grad_x[m,c] = k1[c] · u[m,c] + k2[c] · x[m,c] + k3[c]     RESIDUAL: grad_residual = u
//   u = grad_y     RELU: u = y > 0 ? grad_y : 0     MAPPED: u = x · scale[c] + shift[c] > 0 ? grad_y : 0
// Layout: grad_y, x, y, grad_x, grad_residual [rows, columns] vec4; coefficients [3, columns]: k1, k2, k3; affine [2,
//         columns]: scale, shift. Without RELU y is not touched, without RESIDUAL grad_residual, without MAPPED affine.
// Work:   an invocation does ROWS rows of one vec4 column; tail rows and invocations beyond the end do nothing.
// Needs:  default limits. Variants: f16 (shader-f16), WORDS (64-bit integers; only f32), RESIDUAL, RELU, MAPPED.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override RESIDUAL: bool = false;
override WORDS: bool = false;
override RELU: bool = false;
override MAPPED: bool = false;
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
@group(0) @binding(1) var<storage, read_write> grad_y: array<Vector>;
@group(0) @binding(2) var<storage, read_write> x: array<Vector>;
@group(0) @binding(3) var<storage, read_write> y: array<Vector>;
@group(0) @binding(4) var<storage, read_write> coefficients: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> grad_x: array<Vector>;
@group(0) @binding(6) var<storage, read_write> grad_residual: array<Vector>;
@group(0) @binding(7) var<storage, read_write> affine: array<vec4f>;

@compute @workgroup_size(64)
fn batch_norm_grad_input(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    let block = i / params.columns;
    let column = i - block * params.columns;
    let k1 = coefficients[column];
    let k2 = coefficients[params.columns + column];
    let k3 = coefficients[2u * params.columns + column];
    let first = block * ROWS;
    let last = min(first + ROWS, params.rows);
    var scale = vec4f();
    var shift = vec4f();
    if MAPPED {
        scale = affine[column];
        shift = affine[params.columns + column];
    }
    for (var row = first; row < last; row++) {
        let at = row * params.columns + column;
        var u = widen(grad_y[at]);
        if RELU {
            u = select(vec4f(), u, widen(y[at]) > vec4f());
        }
        if MAPPED {
            u = select(vec4f(), u, widen(x[at]) * scale + shift > vec4f());
        }
        grad_x[at] = narrow(k1 * u + k2 * widen(x[at]) + k3);
        if RESIDUAL {
            grad_residual[at] = narrow(u);
        }
    }
}
