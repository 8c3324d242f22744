// conv2d_grad_input_broadcast: conv2d_grad_input for adapters on which a load costs more than arithmetic, with 8 lanes a subgroup.
//   grad_x[n,iy,ix,c] = Σ_{r,s,k} grad_y[n, (iy + ph - r)/sh, (ix + pw - s)/sw, k] · weight[r,s,c,k]     (whole quotients inside y)
//   ADD: grad_x += other     MASK: then grad_x = x > 0 ? grad_x : 0, for a rectified x
// Layout: grad_y [N,Ho,Wo,K/4], weight [R,S,C,K/4], grad_x, other, x [N,H,W,C/4]; a vec4 of f32 travels as two u64, which
//         halves the loads.
// Work:   pixels whose row and column leave the same remainders by the stride (a phase) meet the same filter positions: the 8
//         lanes of a subgroup are 8 pixels of a phase; each does EACH pixels, 8 apart, × COLUMNS vec4s of C. The lanes load the 4 · COLUMNS
//         weight vec4s between them and pass them around by broadcast. The more columns share the loads of grad_y, the better.
// Needs:  subgroup, int64. At most 2²⁴ pixels. Variants: f16, ADD, MASK, EACH (2 or 4), COLUMNS (4 or 16).

override ADD: bool = false;
override MASK: bool = false;
override EACH: u32 = 2;
override COLUMNS: u32 = 4;

struct Params {
    n: u32, h: u32, w: u32, c4: u32,
    ho: u32, wo: u32, k4: u32,
    r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    // Pixels of the largest phase: down, across, and in all images.
    phase_h: u32, phase_w: u32, pixels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<Stored>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec2<u64>>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<Stored>;
@group(0) @binding(4) var<storage, read_write> other: array<Stored>;
@group(0) @binding(5) var<storage, read_write> x: array<Stored>;

// A vec4 of activations, as it lies in memory.
alias Stored = vec2<u64>; // only f32
// only f16: alias Stored = u64;
fn widen(v: Stored) -> vec4f { return unpack(v); } // only f32
// only f16: fn widen(v: Stored) -> vec4f { return vec4f(unpack2x16float(u32(v)), unpack2x16float(u32(v >> 32u))); }
fn narrow(v: vec4f) -> Stored { return pack(v); } // only f32
// only f16: fn narrow(v: vec4f) -> Stored { return u64(pack2x16float(v.xy)) | (u64(pack2x16float(v.zw)) << 32u); }

// Image, row and column of a pixel within its phase.
fn position(index: u32) -> vec3u {
    let pixel = min(index, params.pixels - 1u);
    let row = divide(pixel, params.phase_w);
    let image = divide(row, params.phase_h);
    return vec3u(image, row - image * params.phase_h, pixel - row * params.phase_w);
}

// What the first, and the last, four lanes of a subgroup hold.
fn first_four(v: vec4f) -> mat4x4f {
    return mat4x4f(subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u));
}

fn last_four(v: vec4f) -> mat4x4f {
    return mat4x4f(subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u));
}

// The sums of the pixels × four vec4s of C, for every four of them.
alias Sums = array<mat4x4f, 16>;

// Adds the products with 16 rows of weights, of which lane l has row l (low) and row 8 + l (high), to the four sums from `first` on.
fn add(sums: ptr<function, Sums>, first: u32, g: array<vec4f, 4>, low: vec4f, high: vec4f) {
    let rows = array<mat4x4f, 4>(first_four(low), last_four(low), first_four(high), last_four(high));
    for (var i = 0u; i < 4u; i++) {
        for (var p = 0u; p < EACH; p++) {
            (*sums)[first + p][i] += g[p] * rows[i];
        }
    }
}

// The first vector of the pixel of y under a tap, and 1, or 0 outside y. What lies above or left of y has wrapped, and is as large as
// what lies below or right of it.
fn source(image: u32, tap: vec2u) -> vec2u {
    let inside = tap.x < params.ho && tap.y < params.wo;
    return vec2u(select(0u, ((image * params.ho + tap.x) * params.wo + tap.y) * params.k4, inside), u32(inside));
}

// The pixel of grad_x at a position of a phase, and 1, or 0 beyond the end.
fn destination(index: u32, at: vec3u, phase: vec2u) -> vec2u {
    let iy = at.y * params.stride_h + phase.x;
    let ix = at.z * params.stride_w + phase.y;
    let inside = index < params.pixels && iy < params.h && ix < params.w;
    return vec2u((at.x * params.h + iy) * params.w + ix, u32(inside));
}

// What follows a sum.
fn finish(pixel: vec2u, c: u32, sum: vec4f) {
    if pixel.y == 1u && c < params.c4 {
        let at = pixel.x * params.c4 + c;
        var g = sum;
        if ADD {
            g += widen(other[at]);
        }
        if MASK {
            g = select(vec4f(), g, widen(x[at]) > vec4f());
        }
        grad_x[at] = narrow(g);
    }
}

@compute @workgroup_size(32)
fn conv2d_grad_input_broadcast(
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
    var at: array<vec3u, 4>;
    for (var p = 0u; p < EACH; p++) {
        at[p] = position(first + 8u * p);
    }
    // Tiles of 4 · COLUMNS channels, in each all phases.
    let phases = params.stride_h * params.stride_w;
    let tile = divide(group.z, phases);
    let phase_y = divide(group.z - tile * phases, params.stride_w);
    let phase = vec2u(phase_y, group.z - tile * phases - phase_y * params.stride_w);
    let c = tile * COLUMNS;
    // The phase's first filter position, and the pixel of y that it takes the phase's first pixel to.
    let padded = phase + vec2u(params.pad_h, params.pad_w);
    let shift = vec2u(divide(padded.x, params.stride_h), divide(padded.y, params.stride_w));
    let first_tap = padded - shift * vec2u(params.stride_h, params.stride_w);
    // The lane's rows of weights, 8 apart.
    var rows: array<u32, 8>;
    for (var i = 0u; i < COLUMNS / 2u; i++) {
        rows[i] = min(4u * c + 8u * i + lane, 4u * params.c4 - 1u) * params.k4;
    }

    var sums: Sums;
    var back_y = 0u;
    for (var r = first_tap.x; r < params.r; r += params.stride_h) {
        var back_x = 0u;
        for (var s = first_tap.y; s < params.s; s += params.stride_w) {
            var taps: array<vec2u, 4>;
            for (var p = 0u; p < EACH; p++) {
                taps[p] = source(at[p].x, at[p].yz + shift - vec2u(back_y, back_x));
            }
            let filters = (r * params.s + s) * params.c4 * 4u * params.k4;
            for (var k = 0u; k < params.k4; k++) {
                // All loads before all arithmetic: each is a loop over the lanes, and what is live across it goes to memory.
                var g: array<vec4f, 4>;
                for (var p = 0u; p < EACH; p++) {
                    g[p] = widen(grad_y[taps[p].x + k]);
                }
                var w: array<vec4f, 8>;
                for (var i = 0u; i < COLUMNS / 2u; i++) {
                    w[i] = unpack(weight[filters + rows[i] + k]);
                }
                for (var p = 0u; p < EACH; p++) {
                    g[p] = select(vec4f(), g[p], taps[p].y == 1u);
                }
                add(&sums, 0u, g, w[0], w[1]);
                if COLUMNS > 4u {
                    add(&sums, 4u, g, w[2], w[3]);
                    add(&sums, 8u, g, w[4], w[5]);
                    add(&sums, 12u, g, w[6], w[7]);
                }
            }
            back_x++;
        }
        back_y++;
    }
    for (var p = 0u; p < EACH; p++) {
        let to = destination(first + 8u * p, at[p], phase);
        for (var q = 0u; q < COLUMNS / 4u; q++) {
            let sum = sums[4u * q + p];
            finish(to, c + 4u * q, sum[0]);
            finish(to, c + 4u * q + 1u, sum[1]);
            finish(to, c + 4u * q + 2u, sum[2]);
            finish(to, c + 4u * q + 3u, sum[3]);
        }
    }
}
