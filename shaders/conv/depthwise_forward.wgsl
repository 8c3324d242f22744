// depthwise_forward: convolution of each channel with its own filter.
//   y[n,oy,ox,c] = Σ_{r,s} x[n, oy·sh + r - ph, ox·sw + s - pw, c] · weight[r,s,c]     (0 outside x)
//   BIAS: y += bias[c]     AFFINE: then y = y · scale[c] + shift[c]     RELU: then y = max(y, 0)
// Layout: x [N,H,W,C/4], weight [R,S,C/4], bias [C/4], affine [2,C/4]: scale, shift; y [N,Ho,Wo,C/4]; C padded
//         with zeros. What the variant does not name is not touched.
// Work:   an invocation does one vec4 column of 4 output pixels of a row; what lies beyond the end is not stored.
// Needs:  default limits. Variants: f16 (shader-f16), BIAS, AFFINE, RELU.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override BIAS: bool = false;
override AFFINE: bool = false;
override RELU: bool = false;

struct Params {
    n: u32, h: u32, w: u32, c4: u32,
    ho: u32, wo: u32,
    r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    tiles: u32, count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Stored>>;
@group(0) @binding(4) var<storage, read_write> bias: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> affine: array<vec4f>;

// x at column ix of the row that begins at `line`, or 0 outside the image.
fn load(line: u32, ix: u32, inside: bool) -> vec4f {
    let here = inside && ix < params.w;
    return vec4f(x[select(0u, line + ix * params.c4, here)]) * f32(here);
}

// What follows the sums of a column, as one product and one sum.
struct Map { scale: vec4f, shift: vec4f }

fn map_of(c: u32) -> Map {
    var map = Map(vec4f(1.0), vec4f());
    if BIAS {
        map.shift = bias[c];
    }
    if AFFINE {
        let scale = affine[c];
        map = Map(scale, map.shift * scale + affine[params.c4 + c]);
    }
    return map;
}

fn finish(map: Map, sum: vec4f) -> vec4f {
    var value = sum;
    if BIAS || AFFINE {
        value = value * map.scale + map.shift;
    }
    if RELU {
        value = max(value, vec4f());
    }
    return value;
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
    let map = map_of(c);
    y[at] = vec4<Stored>(finish(map, sum0));
    if ox + 1u < params.wo {
        y[at + params.c4] = vec4<Stored>(finish(map, sum1));
    }
    if ox + 2u < params.wo {
        y[at + 2u * params.c4] = vec4<Stored>(finish(map, sum2));
    }
    if ox + 3u < params.wo {
        y[at + 3u * params.c4] = vec4<Stored>(finish(map, sum3));
    }
}
