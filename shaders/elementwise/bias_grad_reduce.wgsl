// bias_grad_reduce: partial column sums, the gradient of a bias that was added to every row.
//   partials[g,c] = Σ grad_y[m,c]     over the group_rows rows m of group g
// Layout: grad_y [rows, columns] vec4; partials [groups, columns] vec4; finished in fixed order by bias_grad_finish.
// Work:   an invocation sums one group's rows of one vec4 column; the last group has fewer rows; invocations beyond the end
//         do nothing.
// Needs:  default limits. Variants: f16 (shader-f16).

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

struct Params { rows: u32, columns: u32, group_rows: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>;

@compute @workgroup_size(64)
fn bias_grad_reduce(
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
    var sum = vec4f();
    for (var row = first; row < last; row++) {
        sum += vec4f(grad_y[row * params.columns + column]);
    }
    partials[i] = sum;
}
