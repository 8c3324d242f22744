// batch_norm_grad_finish: the gradients of gamma and beta, and the three numbers a channel that give the one of x.
//   grad_beta = Σ sum[g]     grad_gamma = Σ product[g]     k1 = gamma · invstd
//   k2 = -k1 · invstd · grad_gamma / rows     k3 = -k1 · grad_beta / rows - k2 · mean     EVAL: k2 = k3 = 0
// Layout: partials [groups, 2, columns] vec4: sum, product; gamma, grad_* [columns]; statistics [2, columns]: mean, invstd;
//         coefficients [3, columns]: k1, k2, k3.
// Work:   a workgroup does one vec4 column: each of its LANES every LANES-th group, then a tree over the lanes.
// Needs:  default limits. Variants: LANES 16, 256; EVAL (the statistics are constants).

// A power of two, at most MOST; chosen from the number of groups.
override LANES: u32 = 64u;
const MOST = 256u;
override EVAL: bool = false;

struct Params { rows: u32, columns: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> gamma: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> statistics: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> grad_gamma: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> grad_beta: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> coefficients: array<vec4f>;

var<workgroup> sums: array<vec4f, MOST>;
var<workgroup> products: array<vec4f, MOST>;

@compute @workgroup_size(LANES)
fn batch_norm_grad_finish(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let columns = params.columns;
    let column = group.x + group.y * groups.x;
    if column >= columns {
        return;
    }
    var sum = vec4f();
    var product = vec4f();
    for (var g = lane; g < params.groups; g += LANES) {
        let at = 2u * g * columns + column;
        sum += partials[at];
        product += partials[at + columns];
    }
    sums[lane] = sum;
    products[lane] = product;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sums[lane] += sums[lane + half];
            products[lane] += products[lane + half];
        }
    }
    if lane > 0u {
        return;
    }
    let mean = statistics[column];
    let invstd = statistics[columns + column];
    let k1 = gamma[column] * invstd;
    var k2 = vec4f();
    var k3 = vec4f();
    if !EVAL {
        k2 = -k1 * invstd * products[0] / f32(params.rows);
        k3 = -k1 * sums[0] / f32(params.rows) - k2 * mean;
    }
    grad_gamma[column] = products[0];
    grad_beta[column] = sums[0];
    coefficients[column] = k1;
    coefficients[columns + column] = k2;
    coefficients[2u * columns + column] = k3;
}
