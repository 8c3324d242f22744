// batch_norm_grad_finish: the gradients of gamma and beta, and the three numbers a channel that give the one of x.
//   grad_beta = Σ sum[g]     grad_gamma = Σ product[g]     k1 = gamma · invstd
//   k2 = -k1 · invstd · grad_gamma / rows     k3 = -k1 · grad_beta / rows - k2 · mean     EVAL: k2 = k3 = 0
// Layout: partials [groups, 2, columns] vec4: sum, product; gamma, grad_* [columns]; statistics [2, columns]: mean, invstd;
//         coefficients [3, columns]: k1, k2, k3.
// Work:   a workgroup does one vec4 column: each of its LANES every LANES-th group, then fold_lanes.
// Needs:  default limits. Variants: LANES 16, 256; EVAL (the statistics are constants); SUBGROUP (subgroups).

// A power of two, at most MOST; chosen from the number of groups.
override LANES: u32 = 64u;
const MOST = 256u;
override SUBGROUP: bool = false;
override EVAL: bool = false;

struct Params { rows: u32, columns: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> gamma: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> statistics: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> grad_gamma: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> grad_beta: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> coefficients: array<vec4f>;

struct Term { sum: vec4f, product: vec4f }

fn combine(a: Term, b: Term) -> Term { return Term(a.sum + b.sum, a.product + b.product); }
// only SUBGROUP: fn exchanged(t: Term, distance: u32) -> Term {
// only SUBGROUP:     return Term(subgroupShuffleXor(t.sum, distance), subgroupShuffleXor(t.product, distance));
// only SUBGROUP: }
// only SUBGROUP: fn alone(t: Term, here: bool) -> Term {
// only SUBGROUP:     let sum = subgroupAdd(select(vec4f(), t.sum, here));
// only SUBGROUP:     return Term(sum, subgroupAdd(select(vec4f(), t.product, here)));
// only SUBGROUP: }

@compute @workgroup_size(LANES)
fn batch_norm_grad_finish(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
// only SUBGROUP:     @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32, @builtin(subgroup_invocation_id) place: u32,
// only SUBGROUP:     @builtin(subgroup_size) size: u32,
) {
    let columns = params.columns;
    let column = group.x + group.y * groups.x;
    if column >= columns {
        return;
    }
    var mine = Term();
    for (var g = lane; g < params.groups; g += LANES) {
        let at = 2u * g * columns + column;
        mine = combine(mine, Term(partials[at], partials[at + columns]));
    }
    let total = fold_lanes(mine, lane); // without SUBGROUP
// only SUBGROUP:     let total = fold_lanes(mine, lane, subgroup, subgroups, place, size);
    if lane > 0u {
        return;
    }
    let mean = statistics[column];
    let invstd = statistics[columns + column];
    let k1 = gamma[column] * invstd;
    var k2 = vec4f();
    var k3 = vec4f();
    if !EVAL {
        k2 = -k1 * invstd * total.product / f32(params.rows);
        k3 = -k1 * total.sum / f32(params.rows) - k2 * mean;
    }
    grad_gamma[column] = total.product;
    grad_beta[column] = total.sum;
    coefficients[column] = k1;
    coefficients[columns + column] = k2;
    coefficients[2u * columns + column] = k3;
}
