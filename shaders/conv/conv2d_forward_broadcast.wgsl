// conv2d_forward_broadcast: conv2d_forward for adapters on which a load costs more than arithmetic, with 8 lanes a subgroup.
//   y[n,oy,ox,k] = Σ_{r,s,c} x[n, oy·sh + r - ph, ox·sw + s - pw, c] · weight[r,s,c,k]     (0 outside x)
//   BIAS: y += bias[k]     AFFINE: then y = y · scale[k] + shift[k]     RESIDUAL: then y += residual     RELU: then max(y, 0)
// Layout: x [N,H,W,C/4], weight [R,S,C,K/4], bias [K/4], affine [2,K/4]: scale, shift; y, residual [N,Ho,Wo,K/4]; a vec4 of f32
//         travels as two u64, which halves the loads. What the variant does not name is not touched.
// Work:   the 8 lanes of a subgroup are 8 output pixels; each does EACH pixels, 8 apart, × COLUMNS vec4s of K. The lanes
//         load the 4 · COLUMNS vec4s of weights between them and pass them around by broadcast; so also bias and affine.
// Needs:  subgroup, int64. At most 2²⁴ pixels. Variants: f16, BIAS, AFFINE, RESIDUAL, RELU, EACH (2 or 4), COLUMNS (4 or 16).

override BIAS: bool = false;
override AFFINE: bool = false;
override RESIDUAL: bool = false;
override RELU: bool = false;
override EACH: u32 = 2;
override COLUMNS: u32 = 4;

struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32, pixels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec2<u64>>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;
@group(0) @binding(4) var<storage, read_write> bias: array<vec2<u64>>;
@group(0) @binding(5) var<storage, read_write> affine: array<vec2<u64>>;
@group(0) @binding(6) var<storage, read_write> residual: array<Stored>;

// A vec4 of activations, as it lies in memory.
alias Stored = vec2<u64>; // only f32
// only f16: alias Stored = u64;
fn widen(v: Stored) -> vec4f { return unpack(v); } // only f32
// only f16: fn widen(v: Stored) -> vec4f { return vec4f(unpack2x16float(u32(v)), unpack2x16float(u32(v >> 32u))); }
fn narrow(v: vec4f) -> Stored { return pack(v); } // only f32
// only f16: fn narrow(v: vec4f) -> Stored { return u64(pack2x16float(v.xy)) | (u64(pack2x16float(v.zw)) << 32u); }

// The top left corner of an output pixel's window: its image's first row, its row and column, less the padding (may wrap).
fn corner(index: u32) -> vec3u {
    let pixel = min(index, params.pixels - 1u);
    let row = divide(pixel, params.wo);
    let image = divide(row, params.ho);
    let oy = row - image * params.ho;
    let ox = pixel - row * params.wo;
    return vec3u(image * params.h, oy * params.stride_h - params.pad_h, ox * params.stride_w - params.pad_w);
}

// The first vector of the input pixel under filter position (r, s), and 1, or 0 outside the image. What lies above or left of the
// image has wrapped, and is as large as what lies below or right of it.
fn tap(corner: vec3u, r: u32, s: u32) -> vec2u {
    let at = corner.yz + vec2u(r, s);
    let inside = at.x < params.h && at.y < params.w;
    return vec2u(select(0u, ((corner.x + at.x) * params.w + at.y) * params.c4, inside), u32(inside));
}

// sum + w · v, added term by term.
fn multiply(sum: vec4f, v: vec4f, w: mat4x4f) -> vec4f {
    return sum + v.x * w[0] + v.y * w[1] + v.z * w[2] + v.w * w[3];
}

// What the first, and the last, four lanes of a subgroup hold.
fn first_four(v: vec4f) -> mat4x4f {
    return mat4x4f(subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u));
}

fn last_four(v: vec4f) -> mat4x4f {
    return mat4x4f(subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u));
}

// The sums of the pixels × four vec4s of K, for every four of them.
alias Sums = array<mat4x4f, 16>;

// Adds the products with four vec4s of K to the four sums from `first` on. Lane l holds row l / 4 (low) and 2 + l / 4 (high) of the
// weights, column l % 4.
fn add(sums: ptr<function, Sums>, first: u32, v: array<vec4f, 4>, low: vec4f, high: vec4f) {
    let w = array<mat4x4f, 4>(
        mat4x4f(subgroupBroadcast(low, 0u), subgroupBroadcast(low, 4u), subgroupBroadcast(high, 0u), subgroupBroadcast(high, 4u)),
        mat4x4f(subgroupBroadcast(low, 1u), subgroupBroadcast(low, 5u), subgroupBroadcast(high, 1u), subgroupBroadcast(high, 5u)),
        mat4x4f(subgroupBroadcast(low, 2u), subgroupBroadcast(low, 6u), subgroupBroadcast(high, 2u), subgroupBroadcast(high, 6u)),
        mat4x4f(subgroupBroadcast(low, 3u), subgroupBroadcast(low, 7u), subgroupBroadcast(high, 3u), subgroupBroadcast(high, 7u)),
    );
    for (var i = 0u; i < 4u; i++) {
        for (var p = 0u; p < EACH; p++) {
            (*sums)[first + p][i] = multiply((*sums)[first + p][i], v[p], w[i]);
        }
    }
}

// What the epilogue reads for four columns: bias, scale and shift.
struct Columns { offset: mat4x4f, scale: mat4x4f, shift: mat4x4f }

// What follows the sum at one pixel and column.
fn finish(pixel: u32, k: u32, sum: vec4f, offset: vec4f, scale: vec4f, shift: vec4f) {
    if k < params.k4 {
        let at = pixel * params.k4 + k;
        var value = sum;
        if BIAS { value += offset; }
        if AFFINE { value = value * scale + shift; }
        if RESIDUAL { value += widen(residual[at]); }
        if RELU { value = max(value, vec4f()); }
        y[at] = narrow(value);
    }
}

// One branch for a pixel: eight, each for both conditions, cost two per cent of a network.
fn finish_pixel(pixel: u32, k: u32, sums: mat4x4f, columns: Columns) {
    if pixel < params.pixels {
        finish(pixel, k, sums[0], columns.offset[0], columns.scale[0], columns.shift[0]);
        finish(pixel, k + 1u, sums[1], columns.offset[1], columns.scale[1], columns.shift[1]);
        finish(pixel, k + 2u, sums[2], columns.offset[2], columns.scale[2], columns.shift[2]);
        finish(pixel, k + 3u, sums[3], columns.offset[3], columns.scale[3], columns.shift[3]);
    }
}

@compute @workgroup_size(32)
fn conv2d_forward_broadcast(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let first = ((group.x + group.y * groups.x) * 4u + subgroup) * 8u * EACH + lane;
    // A subgroup wholly beyond the end: with few pixels most would be.
    if first - lane >= params.pixels {
        return;
    }
    var corners: array<vec3u, 4>;
    for (var p = 0u; p < EACH; p++) {
        corners[p] = corner(first + 8u * p);
    }
    let k = group.z * COLUMNS;
    // Where the lane's vec4s of weights are.
    var starts: array<u32, 8>;
    for (var i = 0u; i < COLUMNS / 2u; i++) {
        starts[i] = (2u * (i % 2u) + lane / 4u) * params.k4 + min(k + 4u * (i / 2u) + lane % 4u, params.k4 - 1u);
    }
    var at = 0u;
    var sums: Sums;
    for (var r = 0u; r < params.r; r++) {
        for (var s = 0u; s < params.s; s++) {
            var taps: array<vec2u, 4>;
            for (var p = 0u; p < EACH; p++) {
                taps[p] = tap(corners[p], r, s);
            }
            for (var c = 0u; c < params.c4; c++) {
                // All loads before all arithmetic: each is a loop over the lanes, and what is live across it goes to memory.
                var v: array<vec4f, 4>;
                for (var p = 0u; p < EACH; p++) {
                    v[p] = widen(x[taps[p].x + c]);
                }
                var w: array<vec4f, 8>;
                for (var i = 0u; i < COLUMNS / 2u; i++) {
                    w[i] = unpack(weight[starts[i] + at]);
                }
                at += 4u * params.k4;
                for (var p = 0u; p < EACH; p++) {
                    v[p] = select(vec4f(), v[p], taps[p].y == 1u);
                }
                add(&sums, 0u, v, w[0], w[1]);
                if COLUMNS > 4u {
                    add(&sums, 4u, v, w[2], w[3]);
                    add(&sums, 8u, v, w[4], w[5]);
                    add(&sums, 12u, v, w[6], w[7]);
                }
            }
        }
    }
    for (var q = 0u; q < COLUMNS / 4u; q++) {
        // Lane l holds the bias of column l % 4; the first four lanes hold scales, the others shifts.
        let column = min(k + 4u * q + lane % 4u, params.k4 - 1u);
        var offset = vec4f();
        if BIAS { offset = unpack(bias[column]); }
        var map = vec4f();
        if AFFINE { map = unpack(affine[lane / 4u * params.k4 + column]); }
        let columns = Columns(first_four(offset), first_four(map), last_four(map));
        for (var p = 0u; p < EACH; p++) {
            finish_pixel(first + 8u * p, k + 4u * q, sums[4u * q + p], columns);
        }
    }
}
