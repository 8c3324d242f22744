// depthwise_forward: convolution of each channel with its own filter.
//   y[n,oy,ox,c] = Σ_{r,s} x[n, oy·sh + r - ph, ox·sw + s - pw, c] · weight[r,s,c]     (0 outside x)
// Layout: x [N,H,W,C/4], weight [R,S,C/4], y [N,Ho,Wo,C/4]; C padded with zeros.
// Work:   an invocation does one vec4 column of 4 output pixels of a row; what lies beyond the end is not stored.
// Needs:  default limits.

struct Params {
    n: u32, h: u32, w: u32, c4: u32,
    ho: u32, wo: u32,
    r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    tiles: u32, count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;

// x at column ix of the row that begins at `line`, or 0 outside the image.
fn load(line: u32, ix: u32, inside: bool) -> vec4f {
    let here = inside && ix < params.w;
    return x[select(0u, line + ix * params.c4, here)] * f32(here);
}

@compute @workgroup_size(64)
fn depthwise_forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (group.x + group.y * groups.x) * 64u + lane;
    if index >= params.count {
        return;
    }
    let c = index % params.c4;
    let ox = ((index / params.c4) % params.tiles) * 4u;
    let row = index / (params.c4 * params.tiles);
    let n = row / params.ho;
    var sum0 = vec4f();
    var sum1 = vec4f();
    var sum2 = vec4f();
    var sum3 = vec4f();
    for (var r = 0u; r < params.r; r++) {
        let iy = (row % params.ho) * params.stride_h + r - params.pad_h; // wraps below zero
        let inside = iy < params.h;
        let line = (n * params.h + iy) * params.w * params.c4 + c;
        for (var s = 0u; s < params.s; s++) {
            let w = weight[(r * params.s + s) * params.c4 + c];
            let ix = ox * params.stride_w + s - params.pad_w;
            sum0 = fma(load(line, ix, inside), w, sum0);
            sum1 = fma(load(line, ix + params.stride_w, inside), w, sum1);
            sum2 = fma(load(line, ix + 2u * params.stride_w, inside), w, sum2);
            sum3 = fma(load(line, ix + 3u * params.stride_w, inside), w, sum3);
        }
    }
    let at = (row * params.wo + ox) * params.c4 + c;
    y[at] = sum0;
    if ox + 1u < params.wo {
        y[at + params.c4] = sum1;
    }
    if ox + 2u < params.wo {
        y[at + 2u * params.c4] = sum2;
    }
    if ox + 3u < params.wo {
        y[at + 3u * params.c4] = sum3;
    }
}
