// bias_grad_finish: adds the partial sums of bias_grad_reduce in fixed order.
//   grad_bias[c] = Σ partials[g,c]     over the groups g
// Layout: partials [groups, columns] vec4; grad_bias [columns] vec4.
// Work:   a workgroup does one vec4 column: each of its LANES every LANES-th group, then a tree over the lanes.
// Needs:  default limits. Variants: LANES 16, 256.

// A power of two, at most MOST; chosen from the number of groups.
override LANES: u32 = 64u;
const MOST = 256u;

struct Params { columns: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> grad_bias: array<vec4f>;

var<workgroup> sums: array<vec4f, MOST>;

@compute @workgroup_size(LANES)
fn bias_grad_finish(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let column = group.x + group.y * groups.x;
    if column >= params.columns {
        return;
    }
    var sum = vec4f();
    for (var g = lane; g < params.groups; g += LANES) {
        sum += partials[g * params.columns + column];
    }
    sums[lane] = sum;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sums[lane] += sums[lane + half];
        }
    }
    if lane == 0u {
        grad_bias[column] = sums[0];
    }
}
