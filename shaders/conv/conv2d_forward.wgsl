// conv2d_forward: convolution of an image with filters, as an implicit matrix product.
//   y[n,oy,ox,k] = bias[k] + Σ_{r,s,c} x[n, oy·sh + r - ph, ox·sw + s - pw, c] · weight[r,s,c,k]     (0 outside x)
// Layout: x [N,H,W,C/4], weight [R,S,C,K/4], bias [K/4], y [N,Ho,Wo,K/4]; C and K padded with zeros.
// Work:   a workgroup has 8 vec4 columns of K × 4 output pixels; the pixels' inputs are the same for the whole workgroup;
//         columns and pixels beyond the end are computed on clamped indices and not stored.
// Needs:  default limits. Variants: BIAS.

struct Params {
    n: u32, h: u32, w: u32, c4: u32,
    ho: u32, wo: u32, k4: u32,
    r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    pixels: u32, column_groups: u32,
}

override BIAS: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> bias: array<vec4f>;

// The top left corner of an output pixel's window in the padded image: image, row, column.
fn corner(pixel: u32) -> vec3i {
    let p = min(pixel, params.pixels - 1u);
    let row = p / params.wo;
    let oy = i32((row % params.ho) * params.stride_h) - i32(params.pad_h);
    let ox = i32((p % params.wo) * params.stride_w) - i32(params.pad_w);
    return vec3i(i32(row / params.ho), oy, ox);
}

// The first vector of the input pixel under filter position (r, s), and 1, or 0 outside the image.
fn tap(corner: vec3i, r: u32, s: u32) -> vec2u {
    let iy = u32(corner.y + i32(r));
    let ix = u32(corner.z + i32(s));
    let inside = iy < params.h && ix < params.w;
    let at = ((u32(corner.x) * params.h + iy) * params.w + ix) * params.c4;
    return vec2u(select(0u, at, inside), u32(inside));
}

fn multiply(sum: vec4f, v: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f) -> vec4f {
    return fma(vec4f(v.w), w3, fma(vec4f(v.z), w2, fma(vec4f(v.y), w1, fma(vec4f(v.x), w0, sum))));
}

@compute @workgroup_size(8)
fn conv2d_forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.x + group.y * groups.x;
    let column = (index % params.column_groups) * 8u + lane;
    let first = (index / params.column_groups) * 4u;
    if first >= params.pixels {
        return;
    }
    let k = min(column, params.k4 - 1u);
    let corner0 = corner(first);
    let corner1 = corner(first + 1u);
    let corner2 = corner(first + 2u);
    let corner3 = corner(first + 3u);
    var start = vec4f();
    if BIAS {
        start = bias[k];
    }
    var sum0 = start;
    var sum1 = start;
    var sum2 = start;
    var sum3 = start;
    for (var r = 0u; r < params.r; r++) {
        for (var s = 0u; s < params.s; s++) {
            let tap0 = tap(corner0, r, s);
            let tap1 = tap(corner1, r, s);
            let tap2 = tap(corner2, r, s);
            let tap3 = tap(corner3, r, s);
            var at = (r * params.s + s) * params.c4 * 4u * params.k4 + k;
            for (var c = 0u; c < params.c4; c++) {
                let w0 = weight[at];
                let w1 = weight[at + params.k4];
                let w2 = weight[at + 2u * params.k4];
                let w3 = weight[at + 3u * params.k4];
                at += 4u * params.k4;
                sum0 = multiply(sum0, x[tap0.x + c] * f32(tap0.y), w0, w1, w2, w3);
                sum1 = multiply(sum1, x[tap1.x + c] * f32(tap1.y), w0, w1, w2, w3);
                sum2 = multiply(sum2, x[tap2.x + c] * f32(tap2.y), w0, w1, w2, w3);
                sum3 = multiply(sum3, x[tap3.x + c] * f32(tap3.y), w0, w1, w2, w3);
            }
        }
    }
    if column >= params.k4 {
        return;
    }
    y[first * params.k4 + k] = sum0;
    if first + 1u < params.pixels {
        y[(first + 1u) * params.k4 + k] = sum1;
    }
    if first + 2u < params.pixels {
        y[(first + 2u) * params.k4 + k] = sum2;
    }
    if first + 3u < params.pixels {
        y[(first + 3u) * params.k4 + k] = sum3;
    }
}
