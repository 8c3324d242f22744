// conv2d_grad_input: the gradient of a convolution with respect to its input.
//   grad_x[n,iy,ix,c] = Σ_{r,s,k} grad_y[n, (iy + ph - r)/sh, (ix + pw - s)/sw, k] · weight[r,s,c,k]     (whole quotients inside y)
// Layout: grad_y [N,Ho,Wo,K/4], weight [R,S,C,K/4], grad_x [N,H,W,C/4]; C and K padded with zeros.
// Work:   a workgroup has 8 vec4 columns of C × 4 input pixels of one row, sw apart, so that the same filter columns meet
//         all four; what lies beyond the end is computed on clamped indices and not stored.
// Needs:  default limits.

struct Params {
    n: u32, h: u32, w: u32, c4: u32,
    ho: u32, wo: u32, k4: u32,
    r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    column_groups: u32, tiles: u32, groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<vec4f>;

// The first vector of grad_y at (oy, ox) of an image, and 1, or 0 outside.
fn tap(row: u32, inside: bool, ox: i32) -> vec2u {
    let here = inside && u32(ox) < params.wo;
    return vec2u(select(0u, (row + u32(ox)) * params.k4, here), u32(here));
}

fn multiply(sum: vec4f, g: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f) -> vec4f {
    return sum + vec4f(dot(g, w0), dot(g, w1), dot(g, w2), dot(g, w3));
}

@compute @workgroup_size(8)
fn conv2d_grad_input(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.x + group.y * groups.x;
    if index >= params.groups {
        return;
    }
    let column = (index % params.column_groups) * 8u + lane;
    let c = min(column, params.c4 - 1u);
    // Tiles of a row: for each phase of the stride, runs of four pixels sw apart.
    let tile = (index / params.column_groups) % params.tiles;
    let row = index / (params.column_groups * params.tiles);
    let phase = tile % params.stride_w;
    let ix = (tile / params.stride_w) * 4u * params.stride_w + phase;
    let iy = row % params.h;
    let n = row / params.h;
    let y = iy + params.pad_h;
    let x = ix + params.pad_w;
    var sum0 = vec4f();
    var sum1 = vec4f();
    var sum2 = vec4f();
    var sum3 = vec4f();
    for (var r = y % params.stride_h; r < params.r; r += params.stride_h) {
        let oy = (i32(y) - i32(r)) / i32(params.stride_h);
        let inside = oy >= 0 && y >= r && u32(oy) < params.ho;
        let start = (n * params.ho + u32(oy)) * params.wo;
        for (var s = x % params.stride_w; s < params.s; s += params.stride_w) {
            // x - s is a multiple of the stride, so the quotient is exact where negative, too.
            let ox = (i32(x) - i32(s)) / i32(params.stride_w);
            let tap0 = tap(start, inside, ox);
            let tap1 = tap(start, inside, ox + 1);
            let tap2 = tap(start, inside, ox + 2);
            let tap3 = tap(start, inside, ox + 3);
            let at = ((r * params.s + s) * params.c4 + c) * 4u * params.k4;
            for (var k = 0u; k < params.k4; k++) {
                let w0 = weight[at + k];
                let w1 = weight[at + params.k4 + k];
                let w2 = weight[at + 2u * params.k4 + k];
                let w3 = weight[at + 3u * params.k4 + k];
                sum0 = multiply(sum0, grad_y[tap0.x + k] * f32(tap0.y), w0, w1, w2, w3);
                sum1 = multiply(sum1, grad_y[tap1.x + k] * f32(tap1.y), w0, w1, w2, w3);
                sum2 = multiply(sum2, grad_y[tap2.x + k] * f32(tap2.y), w0, w1, w2, w3);
                sum3 = multiply(sum3, grad_y[tap3.x + k] * f32(tap3.y), w0, w1, w2, w3);
            }
        }
    }
    if column >= params.c4 {
        return;
    }
    let at = row * params.w * params.c4 + c;
    if ix < params.w {
        grad_x[at + ix * params.c4] = sum0;
    }
    if ix + params.stride_w < params.w {
        grad_x[at + (ix + params.stride_w) * params.c4] = sum1;
    }
    if ix + 2u * params.stride_w < params.w {
        grad_x[at + (ix + 2u * params.stride_w) * params.c4] = sum2;
    }
    if ix + 3u * params.stride_w < params.w {
        grad_x[at + (ix + 3u * params.stride_w) * params.c4] = sum3;
    }
}
