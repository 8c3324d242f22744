// conv2d_forward_broadcast: conv2d_forward for adapters on which a load costs more than arithmetic, with 8 lanes a subgroup.
//   y[n,oy,ox,k] = bias[k] + Σ_{r,s,c} x[n, oy·sh + r - ph, ox·sw + s - pw, c] · weight[r,s,c,k]     (0 outside x)
// Layout: x [N,H,W,C/4], weight [R,S,C,K/4], bias [K/4], y [N,Ho,Wo,K/4]; a vec4 of f32 travels as two u64, which halves the loads.
// Work:   the 8 lanes of a subgroup are 8 output pixels; each does 2 pixels, 8 apart, × 4 vec4s of K. The lanes load the 16
//         vec4s of weights between them, two each, and pass them around by broadcast.
// Needs:  subgroup, int64. At most 2²⁴ pixels. Variants: BIAS.

struct Params {
    n: u32, h: u32, w: u32, c4: u32,
    ho: u32, wo: u32, k4: u32,
    r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    pixels: u32,
}

override BIAS: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec2<u64>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec2<u64>>;
@group(0) @binding(4) var<storage, read_write> bias: array<vec2<u64>>;

fn unpack(v: vec2<u64>) -> vec4f {
    let low = vec2u(v);
    let high = vec2u(v >> vec2u(32u));
    return bitcast<vec4f>(vec4u(low.x, high.x, low.y, high.y));
}

fn pack(v: vec4f) -> vec2<u64> {
    let bits = bitcast<vec4u>(v);
    return vec2<u64>(bits.xz) | (vec2<u64>(bits.yw) << vec2u(32u));
}

// a / b for a below 2²⁴: the lanes divide one after the other where integers do.
fn divide(a: u32, b: u32) -> u32 {
    let near = u32(i32(f32(a) / f32(b)));
    let rest = i32(a - near * b);
    return select(select(near, near + 1u, rest >= i32(b)), near - 1u, rest < 0);
}

// The top left corner of an output pixel's window: its image's first row, its row and column, less the padding (may wrap).
fn corner(pixel: u32) -> vec3u {
    let row = divide(pixel, params.wo);
    let image = divide(row, params.ho);
    let oy = row - image * params.ho;
    let ox = pixel - row * params.wo;
    return vec3u(image * params.h, oy * params.stride_h - params.pad_h, ox * params.stride_w - params.pad_w);
}

// The sums of two pixels × four vec4s of K.
struct Block { a0: vec4f, a1: vec4f, a2: vec4f, a3: vec4f, b0: vec4f, b1: vec4f, b2: vec4f, b3: vec4f }

fn multiply(sum: vec4f, v: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f) -> vec4f {
    return sum + v.x * w0 + v.y * w1 + v.z * w2 + v.w * w3;
}

// Adds the product of four channels of two pixels, a and b, with 4 × 4 vec4s of weights, which lane l holds of row l / 4 (f01)
// and 2 + l / 4 (f23), column l % 4.
fn accumulate(s: ptr<function, Block>, f01: vec4f, f23: vec4f, a: vec4f, b: vec4f) {
    var w0 = subgroupBroadcast(f01, 0u);
    var w1 = subgroupBroadcast(f01, 4u);
    var w2 = subgroupBroadcast(f23, 0u);
    var w3 = subgroupBroadcast(f23, 4u);
    (*s).a0 = multiply((*s).a0, a, w0, w1, w2, w3);
    (*s).b0 = multiply((*s).b0, b, w0, w1, w2, w3);
    w0 = subgroupBroadcast(f01, 1u);
    w1 = subgroupBroadcast(f01, 5u);
    w2 = subgroupBroadcast(f23, 1u);
    w3 = subgroupBroadcast(f23, 5u);
    (*s).a1 = multiply((*s).a1, a, w0, w1, w2, w3);
    (*s).b1 = multiply((*s).b1, b, w0, w1, w2, w3);
    w0 = subgroupBroadcast(f01, 2u);
    w1 = subgroupBroadcast(f01, 6u);
    w2 = subgroupBroadcast(f23, 2u);
    w3 = subgroupBroadcast(f23, 6u);
    (*s).a2 = multiply((*s).a2, a, w0, w1, w2, w3);
    (*s).b2 = multiply((*s).b2, b, w0, w1, w2, w3);
    w0 = subgroupBroadcast(f01, 3u);
    w1 = subgroupBroadcast(f01, 7u);
    w2 = subgroupBroadcast(f23, 3u);
    w3 = subgroupBroadcast(f23, 7u);
    (*s).a3 = multiply((*s).a3, a, w0, w1, w2, w3);
    (*s).b3 = multiply((*s).b3, b, w0, w1, w2, w3);
}

fn store(pixel: u32, k: u32, sum: vec4f) {
    if k < params.k4 {
        var value = sum;
        if BIAS {
            value += unpack(bias[k]);
        }
        y[pixel * params.k4 + k] = pack(value);
    }
}

fn store_pixel(pixel: u32, k: u32, s0: vec4f, s1: vec4f, s2: vec4f, s3: vec4f) {
    if pixel < params.pixels {
        store(pixel, k, s0);
        store(pixel, k + 1u, s1);
        store(pixel, k + 2u, s2);
        store(pixel, k + 3u, s3);
    }
}

@compute @workgroup_size(32)
fn conv2d_forward_broadcast(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let first = (group.x + group.y * groups.x) * 64u + subgroup * 16u + lane;
    let a = min(first, params.pixels - 1u);
    let b = min(first + 8u, params.pixels - 1u);
    let corner_a = corner(a);
    let corner_b = corner(b);
    let k = group.z * 4u;
    var at = lane / 4u * params.k4 + min(k + lane % 4u, params.k4 - 1u);
    var sums = Block();
    for (var r = 0u; r < params.r; r++) {
        for (var s = 0u; s < params.s; s++) {
            // What lies above or left of the image has wrapped, and is as large as what lies below or right of it.
            let tap_a = corner_a.yz + vec2u(r, s);
            let tap_b = corner_b.yz + vec2u(r, s);
            let inside_a = tap_a.x < params.h && tap_a.y < params.w;
            let inside_b = tap_b.x < params.h && tap_b.y < params.w;
            let from_a = select(0u, ((corner_a.x + tap_a.x) * params.w + tap_a.y) * params.c4, inside_a);
            let from_b = select(0u, ((corner_b.x + tap_b.x) * params.w + tap_b.y) * params.c4, inside_b);
            for (var c = 0u; c < params.c4; c++) {
                // All loads before all arithmetic: each is a loop over the lanes, and what is live across it goes to memory.
                let va = unpack(x[from_a + c]);
                let vb = unpack(x[from_b + c]);
                let f01 = unpack(weight[at]);
                let f23 = unpack(weight[at + 2u * params.k4]);
                at += 4u * params.k4;
                accumulate(&sums, f01, f23, select(vec4f(), va, inside_a), select(vec4f(), vb, inside_b));
            }
        }
    }
    store_pixel(first, k, sums.a0, sums.a1, sums.a2, sums.a3);
    store_pixel(first + 8u, k, sums.b0, sums.b1, sums.b2, sums.b3);
}
