// batch_norm_finish: the statistics of all rows from those of groups (Chan, Golub and LeVeque 1979), in fixed order.
//   mean, var = m2 / rows;  invstd = 1 / √(var + eps);  scale = gamma · invstd;  shift = beta - mean · scale
//   running_mean += momentum · (mean - running_mean);  running_var += momentum · (m2 / (rows - 1) - running_var)
// Layout: partials [groups, 2, C/4] vec4: mean, m2; gamma, beta, running_* [C/4]; statistics [2, C/4]: mean, invstd;
//         affine [2, C/4]: scale, shift. Padding channels become zero.
// Work:   a workgroup does one vec4 column: each of its LANES every LANES-th group, then fold_lanes.
// Needs:  default limits. Variants: LANES 16, 256; SUBGROUP (subgroups).

// A power of two, at most MOST; chosen from the number of groups.
override LANES: u32 = 64u;
const MOST = 256u;
override SUBGROUP: bool = false;

struct Params { rows: u32, channels: u32, group_rows: u32, groups: u32, eps: f32, momentum: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> gamma: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> beta: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> running_mean: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> running_var: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> statistics: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> affine: array<vec4f>;

struct Moments { mean: vec4f, m2: vec4f, count: u32 }

alias Term = Moments;
fn combine(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    let share = f32(b.count) / f32(max(count, 1u));
    let difference = b.mean - a.mean;
    let between = difference * difference * (f32(a.count) * share);
    return Moments(a.mean + difference * share, a.m2 + b.m2 + between, count);
}
// only SUBGROUP: fn exchanged(t: Moments, distance: u32) -> Moments {
// only SUBGROUP:     let mean = subgroupShuffleXor(t.mean, distance);
// only SUBGROUP:     return Moments(mean, subgroupShuffleXor(t.m2, distance), subgroupShuffleXor(t.count, distance));
// only SUBGROUP: }
// only SUBGROUP: fn alone(t: Moments, here: bool) -> Moments {
// only SUBGROUP:     let mean = subgroupAdd(select(vec4f(), t.mean, here));
// only SUBGROUP:     return Moments(mean, subgroupAdd(select(vec4f(), t.m2, here)), subgroupAdd(select(0u, t.count, here)));
// only SUBGROUP: }

@compute @workgroup_size(LANES)
fn batch_norm_finish(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
// only SUBGROUP:     @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32, @builtin(subgroup_invocation_id) place: u32,
// only SUBGROUP:     @builtin(subgroup_size) size: u32,
) {
    let columns = (params.channels + 3u) / 4u;
    let column = group.x + group.y * groups.x;
    if column >= columns {
        return;
    }
    var sum = Moments(vec4f(), vec4f(), 0u);
    for (var g = lane; g < params.groups; g += LANES) {
        let at = 2u * g * columns + column;
        let count = min(params.group_rows, params.rows - g * params.group_rows);
        sum = combine(sum, Moments(partials[at], partials[at + columns], count));
    }
    let total = fold_lanes(sum, lane); // without SUBGROUP
// only SUBGROUP:     let total = fold_lanes(sum, lane, subgroup, subgroups, place, size);
    if lane > 0u {
        return;
    }
    let mean = total.mean;
    let m2 = total.m2;
    let real = 4u * column + vec4u(0u, 1u, 2u, 3u) < vec4u(params.channels);
    let invstd = select(vec4f(), 1.0 / sqrt(m2 / f32(params.rows) + params.eps), real);
    let scale = gamma[column] * invstd;
    statistics[column] = mean;
    statistics[columns + column] = invstd;
    affine[column] = scale;
    affine[columns + column] = beta[column] - mean * scale;
    running_mean[column] = mix(running_mean[column], mean, params.momentum);
    running_var[column] = mix(running_var[column], m2 / f32(params.rows - 1u), params.momentum);
}
