// conv2d_grad_weight: the gradient of a convolution with respect to its filters, in partial sums over groups of output rows.
//   partial[g,r,s,c,k] = Σ_{(n,oy) in group g} Σ_ox x[n, oy·sh + r - ph, ox·sw + s - pw, c] · grad_y[n,oy,ox,k]
//   MAPPED: grad_y is k1[k] · grad_y + k2[k] · z_y + k3[k]: the gradient of the batch normalisation of z_y, the forward pass's output
// Layout: x [N,H,W,C/4]; grad_y, z_y [N,Ho,Wo,K/4]; coefficients [3,K/4]: k1, k2, k3; partial [G,R,S,C,K/4]; summed over g in fixed
//         order by sum_groups. Without MAPPED, z_y and coefficients are not touched.
// Work:   a workgroup has 8 vec4 columns of K × 4 channels of C, for one filter position and one group of `rows` output rows.
// Needs:  default limits. Variants: f16 (shader-f16), MAPPED.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override MAPPED: bool = false;

struct Params {
    n: u32, h: u32, w: u32, c4: u32,
    ho: u32, wo: u32, k4: u32,
    r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    column_groups: u32, rows: u32, groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> grad_y: array<vec4<Stored>>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> z_y: array<vec4<Stored>>;
@group(0) @binding(5) var<storage, read_write> coefficients: array<vec4f>;

@compute @workgroup_size(8)
fn conv2d_grad_weight(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.x + group.y * groups.x;
    if index >= params.groups {
        return;
    }
    let column = (index % params.column_groups) * 8u + lane;
    let k = min(column, params.k4 - 1u);
    let filters = index / params.column_groups;
    let c = filters % params.c4;
    let s = (filters / params.c4) % params.s;
    let r = (filters / (params.c4 * params.s)) % params.r;
    let part = filters / (params.c4 * params.s * params.r);
    // Output columns whose input column ox·sw + s - pw lies within the image.
    let left = max(0, i32(params.pad_w) - i32(s) + i32(params.stride_w) - 1) / i32(params.stride_w);
    let right = i32(params.w) - 1 + i32(params.pad_w) - i32(s);
    let end = select(0, min(i32(params.wo), right / i32(params.stride_w) + 1), right >= 0);
    let last = min((part + 1u) * params.rows, params.n * params.ho);
    var k1 = vec4f();
    var k2 = vec4f();
    var k3 = vec4f();
    if MAPPED {
        k1 = coefficients[k];
        k2 = coefficients[params.k4 + k];
        k3 = coefficients[2u * params.k4 + k];
    }
    var sum0 = vec4f();
    var sum1 = vec4f();
    var sum2 = vec4f();
    var sum3 = vec4f();
    for (var row = part * params.rows; row < last; row++) {
        let iy = (row % params.ho) * params.stride_h + r - params.pad_h;
        if iy >= params.h {
            continue; // outside, or below zero and wrapped
        }
        let step = params.stride_w * params.c4;
        let line = ((row / params.ho) * params.h + iy) * params.w;
        var source = (line + u32(left) * params.stride_w + s - params.pad_w) * params.c4 + c;
        var gradient = (row * params.wo + u32(left)) * params.k4 + k;
        for (var ox = left; ox < end; ox++) {
            let v = vec4f(x[source]);
            var g = vec4f(grad_y[gradient]);
            if MAPPED {
                g = k1 * g + k2 * vec4f(z_y[gradient]) + k3;
            }
            sum0 = fma(vec4f(v.x), g, sum0);
            sum1 = fma(vec4f(v.y), g, sum1);
            sum2 = fma(vec4f(v.z), g, sum2);
            sum3 = fma(vec4f(v.w), g, sum3);
            source += step;
            gradient += params.k4;
        }
    }
    if column >= params.k4 {
        return;
    }
    let at = filters * 4u * params.k4 + k;
    partial[at] = sum0;
    partial[at + params.k4] = sum1;
    partial[at + 2u * params.k4] = sum2;
    partial[at + 3u * params.k4] = sum3;
}
