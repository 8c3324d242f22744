// bias_add: a bias on every row, rectified in the variant RELU.
//   y[m,c] = x[m,c] + bias[c]     RELU: y[m,c] = max(x[m,c] + bias[c], 0)
// Layout: x, y [rows, columns] vec4; bias [columns] vec4.
// Work:   an invocation does ROWS rows of one vec4 column, so that the bias is loaded and the index divided once; tail rows
//         and invocations beyond the end do nothing.
// Needs:  default limits. Variants: f16 (shader-f16), RELU.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override RELU: bool = false;
const ROWS = 8u;

struct Params { rows: u32, columns: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Stored>>;

@compute @workgroup_size(64)
fn bias_add(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    let block = i / params.columns;
    let column = i - block * params.columns;
    let first = block * ROWS;
    let last = min(first + ROWS, params.rows);
    let offset = bias[column];
    for (var row = first; row < last; row++) {
        let at = row * params.columns + column;
        var sum = vec4f(x[at]) + offset;
        if RELU {
            sum = max(sum, vec4f());
        }
        y[at] = vec4<Stored>(sum);
    }
}
