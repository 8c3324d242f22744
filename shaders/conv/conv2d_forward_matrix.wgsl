// conv2d_forward_matrix: conv2d_forward as products of cooperative matrices, and the same epilogue.
//   y[n,oy,ox,k] = Σ_{r,s,c} x[n, oy·sh + r - ph, ox·sw + s - pw, c] · weight[r,s,c,k]     (0 outside x)
//   BIAS: y += bias[k]     AFFINE: then y = y · scale[k] + shift[k]     RESIDUAL: then y += residual     RELU: then max(y, 0)
//   STATS: mean[g,k] = Σ y / n     m2[g,k] = Σ (y - mean[g,k])²     over the n pixels of group g, of y as it is summed
// Layout: as conv2d_forward. Factors are of the type of x, so in f16 the weights are rounded to it; sums are f32.
// Work:   a workgroup makes 64 output pixels × 64 channels, its subgroups 32 × 32 of them each. The sum runs over rows of
//         (r, s, c), STEP at a time: while the subgroups multiply those in workgroup memory, the lanes fetch the next. Two
//         subgroups (64 lanes each) make one half of the channels after the other, four both at once; more only fetch. The
//         sums pass through workgroup memory to the lanes that finish them, 32 channels at a time.
// Needs:  cooperative matrices (wgpu's experimental feature) of side 8, or 16 where LARGE, which is for f16 alone; subgroups of
//         at most 64 lanes. Variants: f16 (shader-f16), LARGE, BIAS, AFFINE, RESIDUAL, RELU, STATS.

// only f16: enable f16;
enable wgpu_cooperative_matrix;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;
alias MatrixA = coop_mat8x8<Stored, A>; // without LARGE
alias MatrixB = coop_mat8x8<Stored, B>; // without LARGE
alias MatrixC = coop_mat8x8<f32, C>; // without LARGE
const SIDE = 8u; // without LARGE
// only LARGE: alias MatrixA = coop_mat16x16<Stored, A>;
// only LARGE: alias MatrixB = coop_mat16x16<Stored, B>;
// only LARGE: alias MatrixC = coop_mat16x16<f32, C>;
// only LARGE: const SIDE = 16u;
override LARGE: bool = false; override STATS: bool = false;
override BIAS: bool = false; override AFFINE: bool = false; override RESIDUAL: bool = false; override RELU: bool = false;
const LANES = 128u;
const STEP = 16u;
const GROUP = 64u; // pixels, and channels
const HALF = 32u; // channels finished at a time, and pixels and channels of a subgroup
// Elements from one row to the next; in f16 there is room for a gap, which spreads the rows over the banks of the memory.
const GAP = 0u; // only f32
// only f16: const GAP = 8u;
const X_ROW = STEP + GAP;
const W_ROW = GROUP + GAP;
const WEIGHT = GROUP * X_ROW;

struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    pixels: u32, column_groups: u32, step_r: u32, step_s: u32, step_c: u32, // STEP as a place in (r, s, c)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Stored>>;
@group(0) @binding(4) var<storage, read_write> bias: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> affine: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> residual: array<vec4<Stored>>;
@group(0) @binding(7) var<storage, read_write> partials: array<vec4f>;

var<workgroup> staged: array<Stored, WEIGHT + STEP * W_ROW>; // of x [64 pixels, STEP rows], of weight [STEP rows, 64 channels]
var<workgroup> sums: array<f32, GROUP * HALF>; // [64 pixels, 32 channels]

// The top left corner of an output pixel's window: row, column, and where it begins in x, wrapped where that is before it.
fn corner(pixel: u32) -> vec3u {
    let p = min(pixel, params.pixels - 1u);
    let row = p / params.wo;
    let top = row % params.ho * params.stride_h - params.pad_h;
    let left = p % params.wo * params.stride_w - params.pad_w;
    return vec3u(top, left, ((row / params.ho * params.h + top) * params.w + left) * params.c4);
}

// The place in (r, s, c) STEP rows on.
fn advance(tap: vec3u) -> vec3u {
    var next = tap + vec3u(params.step_r, params.step_s, params.step_c);
    next += select(vec3u(), vec3u(0u, 1u, 0u - params.c4), next.z >= params.c4);
    return next + select(vec3u(), vec3u(1u, 0u - params.s, 0u), next.y >= params.s);
}

// What a lane fetches for a step, zeros where there is nothing.
struct Fetched { x0: vec4<Stored>, x1: vec4<Stored>, w0: vec4f, w1: vec4f }

fn fetch(corner0: vec3u, corner1: vec3u, tap: vec3u, row: u32, column: u32) -> Fetched {
    let rows = vec2u(corner0.x, corner1.x) + tap.x < vec2u(params.h);
    let columns = vec2u(corner0.y, corner1.y) + tap.y < vec2u(params.w);
    let there = rows & columns & vec2<bool>(tap.x < params.r);
    let source = vec2u(corner0.z, corner1.z) + (tap.x * params.w + tap.y) * params.c4 + tap.z;
    let at = select(vec2u(), source, there);
    let last = 4u * params.r * params.s * params.c4 - 1u;
    let k = min(column, params.k4 - 1u);
    let x0 = select(vec4<Stored>(), x[at.x], there.x); let x1 = select(vec4<Stored>(), x[at.y], there.y);
    // Rows and columns of weight beyond the end meet zeros of x or are not stored.
    return Fetched(x0, x1, weight[min(row, last) * params.k4 + k], weight[min(row + STEP / 2u, last) * params.k4 + k]);
}

fn stage(i: u32, v: vec4<Stored>) { staged[i] = v.x; staged[i + 1u] = v.y; staged[i + 2u] = v.z; staged[i + 3u] = v.w; }
fn put(i: u32, v: vec4f) { sums[i] = v.x; sums[i + 1u] = v.y; sums[i + 2u] = v.z; sums[i + 3u] = v.w; }
fn load(at: u32) -> vec4f { return vec4f(sums[at], sums[at + 1u], sums[at + 2u], sums[at + 3u]); }

// Two by two matrices; a subgroup has one such square of side 16, or four of side 8: y00, and those right of and below it.
struct Square { m00: MatrixC, m01: MatrixC, m10: MatrixC, m11: MatrixC }

// Adds the products of SIDE staged rows from k on for the square from this pixel and channel on.
fn multiply(before: Square, pixel: u32, channel: u32, k: u32) -> Square {
    let at_x = pixel * X_ROW + k; let at_w = WEIGHT + k * W_ROW + channel;
    let a0 = coopLoadT<MatrixA>(&staged[at_x], X_ROW); let a1 = coopLoadT<MatrixA>(&staged[at_x + SIDE * X_ROW], X_ROW);
    let b0 = coopLoadT<MatrixB>(&staged[at_w], W_ROW); let b1 = coopLoadT<MatrixB>(&staged[at_w + SIDE], W_ROW);
    let m00 = coopMultiplyAdd(a0, b0, before.m00); let m01 = coopMultiplyAdd(a0, b1, before.m01);
    let m10 = coopMultiplyAdd(a1, b0, before.m10); let m11 = coopMultiplyAdd(a1, b1, before.m11);
    return Square(m00, m01, m10, m11);
}

// Lays a square's sums where `finish` finds them. naga wants every operand of a store to have a name.
fn lay(square: Square, pixel: u32, channel: u32) {
    let stride = HALF;
    let at = pixel * HALF + channel; let right = at + SIDE; let below = at + SIDE * HALF; let across = below + SIDE;
    let m00 = square.m00; let m01 = square.m01; let m10 = square.m10; let m11 = square.m11;
    coopStoreT(m00, &sums[at], stride); coopStoreT(m01, &sums[right], stride);
    coopStoreT(m10, &sums[below], stride); coopStoreT(m11, &sums[across], stride);
}

// What follows the sum at one pixel; the result is what is written, or 0 where nothing is.
fn finish(pixel: u32, column: u32, at: u32) -> vec4f {
    var value = load(at);
    let place = pixel * params.k4 + column;
    if pixel >= params.pixels || column >= params.k4 { return vec4f(); }
    if BIAS { value += bias[column]; }
    if AFFINE { value = value * affine[column] + affine[params.k4 + column]; }
    if RESIDUAL { value += vec4f(residual[place]); }
    if RELU { value = max(value, vec4f()); }
    y[place] = vec4<Stored>(value);
    return value;
}

// The sum of a vector over the 16 lanes of a column, in fixed order.
fn total(lane: u32, v: vec4f) -> vec4f {
    workgroupBarrier();
    put(4u * lane, v);
    workgroupBarrier();
    for (var i = 8u; i < LANES && lane < 8u; i += 8u) { put(4u * lane, load(4u * lane) + load(4u * (lane + i))); }
    workgroupBarrier();
    return load(4u * (lane % 8u));
}

// Finishes 32 channels: a lane has every 16th pixel of a column.
fn finish_half(lane: u32, first: u32, column: u32) {
    let p = first + lane / 8u;
    let at = lane / 8u * HALF + lane % 8u * 4u;
    let y0 = finish(p, column, at); let y1 = finish(p + 16u, column, at + 16u * HALF);
    let y2 = finish(p + 32u, column, at + 32u * HALF); let y3 = finish(p + 48u, column, at + 48u * HALF);
    if STATS {
        let mean = total(lane, y0 + y1 + y2 + y3) / f32(min(params.pixels - first, GROUP));
        let there = vec4f(p + vec4u(0u, 16u, 32u, 48u) < vec4u(params.pixels));
        let far = mat4x4f(y0 - mean, y1 - mean, y2 - mean, y3 - mean);
        let m2 = total(lane, mat4x4f(far[0] * far[0], far[1] * far[1], far[2] * far[2], far[3] * far[3]) * there);
        let place = first / GROUP * 2u * params.k4 + column;
        if lane < 8u && column < params.k4 { partials[place] = mean; partials[place + params.k4] = m2; }
    }
}

@compute @workgroup_size(LANES)
fn conv2d_forward_matrix(
    @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32,
) {
    let index = group.x + group.y * groups.x;
    let first = index / params.column_groups * GROUP;
    if first >= params.pixels { return; }
    let column = index % params.column_groups * 16u;
    let rows = params.r * params.s * params.c4 * 4u;
    let corner0 = corner(first + lane / 4u); let corner1 = corner(first + HALF + lane / 4u);
    let position = lane % 4u / params.c4;
    let at_x = lane / 4u * X_ROW + lane % 4u * 4u; let at_w = WEIGHT + lane / 16u * W_ROW + lane % 16u * 4u;
    for (var round = 0u; round < 4u; round += subgroups) {
        // Which 32 × 32 of the four the subgroup makes; beyond them, none.
        let share = round + subgroup;
        let pixel = share % 2u * HALF; let channel = share / 2u * HALF;
        var tap = vec3u(position / params.s, position % params.s, lane % 4u % params.c4);
        var next = fetch(corner0, corner1, tap, lane / 16u, column + lane % 16u);
        var y00 = Square(); var y01 = Square(); var y10 = Square(); var y11 = Square();
        for (var step = STEP; step < rows + STEP; step += STEP) {
            workgroupBarrier();
            stage(at_x, next.x0);
            stage(at_x + HALF * X_ROW, next.x1);
            stage(at_w, vec4<Stored>(next.w0));
            stage(at_w + STEP / 2u * W_ROW, vec4<Stored>(next.w1));
            workgroupBarrier();
            tap = advance(tap);
            next = fetch(corner0, corner1, tap, step + lane / 16u, column + lane % 16u);
            for (var k = 0u; k < STEP && share < 4u; k += SIDE) {
                y00 = multiply(y00, pixel, channel, k);
                if LARGE { continue; }
                y01 = multiply(y01, pixel, channel + 16u, k);
                y10 = multiply(y10, pixel + 16u, channel, k);
                y11 = multiply(y11, pixel + 16u, channel + 16u, k);
            }
        }
        for (var half = round / 2u; half < min(2u, (round + subgroups) / 2u); half++) {
            workgroupBarrier();
            if share / 2u == half {
                lay(y00, pixel, 0u);
                if !LARGE { lay(y01, pixel, 16u); lay(y10, pixel + 16u, 0u); lay(y11, pixel + 16u, 16u); }
            }
            workgroupBarrier();
            finish_half(lane, first, column + half * 8u + lane % 8u);
        }
    }
}
