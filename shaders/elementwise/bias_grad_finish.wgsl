// bias_grad_finish: adds the partial sums of bias_grad_reduce in fixed order.
//   grad_bias[c] = Σ partials[g,c]     over the groups g
// Layout: partials [groups, columns] vec4; grad_bias [columns] vec4.
// Work:   a workgroup does one vec4 column: each of its LANES every LANES-th group, then fold_lanes.
// Needs:  default limits. Variants: LANES 16, 256; SUBGROUP (subgroups).

// A power of two, at most MOST; chosen from the number of groups.
override LANES: u32 = 64u;
const MOST = 256u;
override SUBGROUP: bool = false;

struct Params { columns: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> grad_bias: array<vec4f>;

alias Term = vec4f;
fn combine(a: vec4f, b: vec4f) -> vec4f { return a + b; }
// only SUBGROUP: fn exchanged(t: vec4f, distance: u32) -> vec4f { return subgroupShuffleXor(t, distance); }
// only SUBGROUP: fn alone(t: vec4f, here: bool) -> vec4f { return subgroupAdd(select(vec4f(), t, here)); }

@compute @workgroup_size(LANES)
fn bias_grad_finish(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
// only SUBGROUP:     @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32, @builtin(subgroup_invocation_id) place: u32,
// only SUBGROUP:     @builtin(subgroup_size) size: u32,
) {
    let column = group.x + group.y * groups.x;
    if column >= params.columns {
        return;
    }
    var sum = vec4f();
    for (var g = lane; g < params.groups; g += LANES) {
        sum += partials[g * params.columns + column];
    }
    let total = fold_lanes(sum, lane); // without SUBGROUP
// only SUBGROUP:     let total = fold_lanes(sum, lane, subgroup, subgroups, place, size);
    if lane == 0u {
        grad_bias[column] = total;
    }
}
