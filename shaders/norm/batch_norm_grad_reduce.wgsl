// batch_norm_grad_reduce: partial column sums for the gradients of batch normalisation.
//   sum[g,c] = Σ u[m,c]     product[g,c] = Σ u[m,c] · (x[m,c] - mean[c]) · invstd[c]     over the rows m of group g
//   u = grad_y     RELU: u = y > 0 ? grad_y : 0     MAPPED: u = x · scale[c] + shift[c] > 0 ? grad_y : 0
// Layout: grad_y, x, y [rows, columns] vec4; statistics [2, columns]: mean, invstd; partials [groups, 2, columns]:
//         sum, product; finished by batch_norm_grad_finish; affine [2, columns]: scale, shift. Without RELU, y is not touched,
//         without MAPPED affine is not.
// Work:   an invocation sums one group of one vec4 column; the last group has fewer rows; invocations beyond the end do
//         nothing.
// Needs:  default limits. Variants: f16 (shader-f16), WORDS (64-bit integers; only f32), RELU, MAPPED.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override RELU: bool = false;
override WORDS: bool = false;
override MAPPED: bool = false;

// A vec4, as it is loaded and stored: WORDS as two u64, which halves what an adapter pays for whose lanes load one after the other.
alias Vector = vec4<Stored>; // without WORDS
// only WORDS: alias Vector = vec2<u64>;
fn widen(v: Vector) -> vec4f { return vec4f(v); } // without WORDS
// only WORDS: fn widen(v: Vector) -> vec4f { return bitcast<vec4f>(vec4u(vec2u(v), vec2u(v >> vec2u(32u))).xzyw); }

struct Params { rows: u32, columns: u32, group_rows: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<Vector>;
@group(0) @binding(2) var<storage, read_write> x: array<Vector>;
@group(0) @binding(3) var<storage, read_write> y: array<Vector>;
@group(0) @binding(4) var<storage, read_write> statistics: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> partials: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> affine: array<vec4f>;

@compute @workgroup_size(64)
fn batch_norm_grad_reduce(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    if i >= params.groups * params.columns {
        return;
    }
    let block = i / params.columns;
    let column = i - block * params.columns;
    let first = block * params.group_rows;
    let last = min(first + params.group_rows, params.rows);
    let mean = statistics[column];
    var sum = vec4f();
    var products = vec4f();
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
        sum += u;
        products += u * (widen(x[at]) - mean);
    }
    let at = 2u * block * params.columns + column;
    partials[at] = sum;
    partials[at + params.columns] = products * statistics[params.columns + column];
}
