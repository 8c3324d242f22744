// conv2d_grad_weight_broadcast: conv2d_grad_weight for adapters on which a load costs more than arithmetic, with 8 lanes a subgroup.
//   partial[g,r,s,c,k] = Σ over the output pixels (n,oy,ox) of group g of x[n, oy·sh + r - ph, ox·sw + s - pw, c] · grad_y[n,oy,ox,k]
// Layout: x [N,H,W,C/4], grad_y [N,Ho,Wo,K/4], partial [G,R,S,C,K/4]; a vec4 of f32 travels as two u64, which halves the loads.
//         Summed over g in fixed order by sum_groups.
// Work:   a subgroup does one group of pixels: its 8 lanes are 8 vec4s of K, each with 16 rows (r,s,c) of the weight, 32 in the
//         variant WIDE. For 8 pixels
//         the lanes load x, one pixel each, and pass it around by broadcast.
// Needs:  subgroup, int64. At most 2²⁴ pixels. Variants: f16, WIDE.

override WIDE: bool = false;

struct Params {
    n: u32, h: u32, w: u32, c4: u32,
    ho: u32, wo: u32, k4: u32,
    r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    // Output pixels, how many a group, and tiles of 8 vec4s of K.
    pixels: u32, group_pixels: u32, column_groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> grad_y: array<Stored>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec2<u64>>;

// A vec4 of activations, as it lies in memory.
alias Stored = vec2<u64>; // only f32
// only f16: alias Stored = u64;
fn widen(v: Stored) -> vec4f { return unpack(v); } // only f32
// only f16: fn widen(v: Stored) -> vec4f { return vec4f(unpack2x16float(u32(v)), unpack2x16float(u32(v >> 32u))); }

// Four channels of x at one filter position: what is added to an output pixel's corner, and which vec4 of C.
struct Source { tap: vec2u, c: u32 }

fn source(index: u32) -> Source {
    let last = params.r * params.s * params.c4 - 1u;
    let at = min(index, last);
    let tap = divide(at, params.c4);
    let r = divide(tap, params.s);
    return Source(vec2u(r, tap - r * params.s) - vec2u(params.pad_h, params.pad_w), at - tap * params.c4);
}

// x at a source of an output pixel (n, oy, ox), 0 outside the image and where the pixel is not of the group.
fn load(s: Source, at: vec3u, counts: bool) -> vec4f {
    let i = at.yz * vec2u(params.stride_h, params.stride_w) + s.tap;
    let inside = counts && i.x < params.h && i.y < params.w;
    let pixel = select(0u, (at.x * params.h + i.x) * params.w + i.y, inside);
    return select(vec4f(), widen(x[pixel * params.c4 + s.c]), inside);
}

// grad_y of a lane's column at 8 pixels.
struct Pixels { g0: vec4f, g1: vec4f, g2: vec4f, g3: vec4f, g4: vec4f, g5: vec4f, g6: vec4f, g7: vec4f }

// x at a lane's pixel and four more sources.
struct Sources { v4: vec4f, v5: vec4f, v6: vec4f, v7: vec4f }

// The sums of four channels × one vec4 of K.
struct Rows { r0: vec4f, r1: vec4f, r2: vec4f, r3: vec4f }

// Adds the product of one channel and 4 outputs of 8 pixels, of which each lane has one pixel's channel. A channel at a time, so
// that its sums stay in registers.
fn add_channel(sum: vec4f, v: f32, g: Pixels) -> vec4f {
    var s = sum + subgroupBroadcast(v, 0u) * g.g0;
    s += subgroupBroadcast(v, 1u) * g.g1;
    s += subgroupBroadcast(v, 2u) * g.g2;
    s += subgroupBroadcast(v, 3u) * g.g3;
    s += subgroupBroadcast(v, 4u) * g.g4;
    s += subgroupBroadcast(v, 5u) * g.g5;
    s += subgroupBroadcast(v, 6u) * g.g6;
    return s + subgroupBroadcast(v, 7u) * g.g7;
}

fn add(sum: Rows, v: vec4f, g: Pixels) -> Rows {
    return Rows(add_channel(sum.r0, v.x, g), add_channel(sum.r1, v.y, g), add_channel(sum.r2, v.z, g), add_channel(sum.r3, v.w, g));
}

fn store(index: u32, part: u32, k: u32, sum: Rows) {
    let sources = params.r * params.s * params.c4;
    if index < sources && k < params.k4 {
        let at = (part * sources + index) * 4u * params.k4 + k;
        partial[at] = pack(sum.r0);
        partial[at + params.k4] = pack(sum.r1);
        partial[at + 2u * params.k4] = pack(sum.r2);
        partial[at + 3u * params.k4] = pack(sum.r3);
    }
}

var<private> sum0: Rows;
var<private> sum1: Rows;
var<private> sum2: Rows;
var<private> sum3: Rows;
var<private> sum4: Rows;
var<private> sum5: Rows;
var<private> sum6: Rows;
var<private> sum7: Rows;

fn gradient(m: u32, k: u32) -> vec4f {
    return widen(grad_y[min(m, params.pixels - 1u) * params.k4 + k]);
}

@compute @workgroup_size(8)
fn conv2d_grad_weight_broadcast(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let part = group.x + group.y * groups.x;
    let block = divide(group.z, params.column_groups);
    let column = (group.z - block * params.column_groups) * 8u + lane;
    let k = min(column, params.k4 - 1u);
    let first = select(4u, 8u, WIDE) * block;
    let source0 = source(first);
    let source1 = source(first + 1u);
    let source2 = source(first + 2u);
    let source3 = source(first + 3u);
    let source4 = source(first + 4u);
    let source5 = source(first + 5u);
    let source6 = source(first + 6u);
    let source7 = source(first + 7u);
    let begin = min(part * params.group_pixels, params.pixels);
    let end = min(begin + params.group_pixels, params.pixels);

    // The lane's pixel, and what a step of 8 pixels adds to its image, row and column.
    let line = divide(begin + lane, params.wo);
    let image = divide(line, params.ho);
    var at = vec3u(image, line - image * params.ho, begin + lane - line * params.wo);
    let step_lines = divide(8u, params.wo);
    let step_images = divide(step_lines, params.ho);
    let step = vec3u(step_images, step_lines - step_images * params.ho, 8u - step_lines * params.wo);

    for (var m = begin; m < end; m += 8u) {
        // All loads before all arithmetic: each is a loop over the lanes, and what is live across it goes to memory.
        let counts = m + lane < end;
        let v0 = load(source0, at, counts);
        let v1 = load(source1, at, counts);
        let v2 = load(source2, at, counts);
        let v3 = load(source3, at, counts);
        var w = Sources();
        if WIDE {
            w = Sources(load(source4, at, counts), load(source5, at, counts), load(source6, at, counts), load(source7, at, counts));
        }
        let g = Pixels(
            gradient(m, k), gradient(m + 1u, k), gradient(m + 2u, k), gradient(m + 3u, k),
            gradient(m + 4u, k), gradient(m + 5u, k), gradient(m + 6u, k), gradient(m + 7u, k),
        );
        sum0 = add(sum0, v0, g);
        sum1 = add(sum1, v1, g);
        sum2 = add(sum2, v2, g);
        sum3 = add(sum3, v3, g);
        if WIDE {
            sum4 = add(sum4, w.v4, g);
            sum5 = add(sum5, w.v5, g);
            sum6 = add(sum6, w.v6, g);
            sum7 = add(sum7, w.v7, g);
        }
        at += step;
        let next_line = at.z >= params.wo;
        at.z -= select(0u, params.wo, next_line);
        at.y += u32(next_line);
        let next_image = at.y >= params.ho;
        at.y -= select(0u, params.ho, next_image);
        at.x += u32(next_image);
    }
    store(first, part, column, sum0);
    store(first + 1u, part, column, sum1);
    store(first + 2u, part, column, sum2);
    store(first + 3u, part, column, sum3);
    if WIDE {
        store(first + 4u, part, column, sum4);
        store(first + 5u, part, column, sum5);
        store(first + 6u, part, column, sum6);
        store(first + 7u, part, column, sum7);
    }
}
