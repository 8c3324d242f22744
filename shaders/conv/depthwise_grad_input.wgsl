// depthwise_grad_input: the gradient of a depthwise convolution with respect to its input.
//   grad_x[n,iy,ix,c] = Σ_{r,s} grad_y[n, (iy + ph - r)/sh, (ix + pw - s)/sw, c] · weight[r,s,c]     (whole quotients inside y)
// Layout: grad_y [N,Ho,Wo,C/4], weight [R,S,C/4], grad_x [N,H,W,C/4]; C padded with zeros.
// Work:   an invocation does one vec4 column of 4 input pixels of a row, sw apart, so that the same filter columns meet all
//         four; what lies beyond the end is not stored.
// Needs:  default limits. Variants: f16 (shader-f16).

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

struct Params {
    n: u32, h: u32, w: u32, c4: u32,
    ho: u32, wo: u32,
    r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    tiles: u32, count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<vec4<Stored>>;

// grad_y at column ox of the row that begins at `line`, or 0 outside.
fn load(line: u32, ox: i32, inside: bool) -> vec4f {
    let here = inside && u32(ox) < params.wo;
    return vec4f(grad_y[select(0u, line + u32(ox) * params.c4, here)]) * f32(here);
}

@compute @workgroup_size(64)
fn depthwise_grad_input(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (group.x + group.y * groups.x) * 64u + lane;
    if index >= params.count {
        return;
    }
    let c = index % params.c4;
    let tile = (index / params.c4) % params.tiles;
    let row = index / (params.c4 * params.tiles);
    // Tiles of a row: for each phase of the stride, runs of four pixels sw apart.
    let ix = (tile / params.stride_w) * 4u * params.stride_w + tile % params.stride_w;
    let n = row / params.h;
    let y = row % params.h + params.pad_h;
    let x = ix + params.pad_w;
    var sum0 = vec4f();
    var sum1 = vec4f();
    var sum2 = vec4f();
    var sum3 = vec4f();
    for (var r = y % params.stride_h; r < params.r; r += params.stride_h) {
        let oy = (i32(y) - i32(r)) / i32(params.stride_h); // exact, negative ones too
        let inside = u32(oy) < params.ho;
        let line = (n * params.ho + u32(oy)) * params.wo * params.c4 + c;
        for (var s = x % params.stride_w; s < params.s; s += params.stride_w) {
            let w = weight[(r * params.s + s) * params.c4 + c];
            let ox = (i32(x) - i32(s)) / i32(params.stride_w);
            sum0 = fma(load(line, ox, inside), w, sum0);
            sum1 = fma(load(line, ox + 1, inside), w, sum1);
            sum2 = fma(load(line, ox + 2, inside), w, sum2);
            sum3 = fma(load(line, ox + 3, inside), w, sum3);
        }
    }
    let at = row * params.w * params.c4 + c;
    if ix < params.w {
        grad_x[at + ix * params.c4] = vec4<Stored>(sum0);
    }
    if ix + params.stride_w < params.w {
        grad_x[at + (ix + params.stride_w) * params.c4] = vec4<Stored>(sum1);
    }
    if ix + 2u * params.stride_w < params.w {
        grad_x[at + (ix + 2u * params.stride_w) * params.c4] = vec4<Stored>(sum2);
    }
    if ix + 3u * params.stride_w < params.w {
        grad_x[at + (ix + 3u * params.stride_w) * params.c4] = vec4<Stored>(sum3);
    }
}
