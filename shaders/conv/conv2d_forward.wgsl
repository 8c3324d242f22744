// conv2d_forward: convolution of an image with filters, as an implicit matrix product, and what follows it in a forward pass.
//   y[n,oy,ox,k] = Σ_{r,s,c} x[n, oy·sh + r - ph, ox·sw + s - pw, c] · weight[r,s,c,k]     (0 outside x)
//   BIAS: y += bias[k]     AFFINE: then y = y · scale[k] + shift[k]     RESIDUAL: then y += residual     RELU: then max(y, 0)
//   STATS: mean[g,k] = Σ y / n     m2[g,k] = Σ (y - mean[g,k])²     over the n pixels of group g, of y as it is written
//   NORMALISED: x is z, and x is made of it on load, as `normalised` has it; never with AFFINE
// Layout: x [N,H,W,C/4], weight [R,S,C,K/4], bias [K/4], affine [2,K/4] (NORMALISED: [2,C/4]): scale, shift; y, residual [N,Ho,Wo,K/4]; partials
//         [groups,2,K/4]: mean, m2; finished by batch_norm_finish. C, K padded with zeros. What is not named is not touched.
// Work:   a workgroup makes a tile of 64 output pixels (TALL: 128) × 16 vec4 columns of K (WIDE: 32); a lane has four pixels of
//         each 64 and every 16th column. The sum runs over the vec4s of (r, s, c), STEP at a time: half of the lanes fetch x, four
//         pixels each, and turn them so that pixels are vectors; the others fetch weight. While all work on a step in workgroup
//         memory they fetch the next into registers. What is beyond the end is 0, or clamped and not stored. A group of the
//         statistics is 64 pixels: a lane's sums, then those of a column's 16 lanes; first of y, then of the squared distances
//         from the mean, so that a mean far from zero costs no digits.
// Needs:  default limits. Variants: f16 (shader-f16), TALL, WIDE, POINT (1 × 1, stride 1, no padding, C a multiple of SIDE), BIAS,
//         AFFINE, RESIDUAL, RELU, STATS, NORMALISED, RECTIFIED.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override TALL: bool = true; override WIDE: bool = true; override POINT: bool = false; override STATS: bool = false;
override BIAS: bool = false; override AFFINE: bool = false; override RESIDUAL: bool = false; override RELU: bool = false;
// Lanes along either side of a tile; a step is as many rows of weight, STEP vec4s of (r, s, c).
const SIDE = 16u; const SHUFFLED = true;
const GROUP = 4u * SIDE;

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

// The top left corner of an output pixel's window: row, column, and where it begins in x, wrapped where that is before it.
fn corner(pixel: u32) -> vec3u {
    let p = min(pixel, params.pixels - 1u); let row = p / params.wo; if POINT { return vec3u(0u, 0u, p * params.c4); }
    let top = row % params.ho * params.stride_h - params.pad_h;
    let left = p % params.wo * params.stride_w - params.pad_w;
    return vec3u(top, left, ((row / params.ho * params.h + top) * params.w + left) * params.c4);
}

// The place in (r, s, c) STEP vec4s on.
fn advance(tap: vec3u) -> vec3u {
    if POINT { return tap + vec3u(0u, 0u, STEP); }
    var next = tap + vec3u(params.step_r, params.step_s, params.step_c);
    next += select(vec3u(), vec3u(0u, 1u, 0u - params.c4), next.z >= params.c4);
    return next + select(vec3u(), vec3u(1u, 0u - params.s, 0u), next.y >= params.s);
}

// What a lane fetches for a step: a vec4 of (r, s, c) of four pixels, or a column of rows of weight. Nothing waits for it.
fn is_there(at: vec3u, tap: vec3u) -> bool { return at.x + tap.x < params.h && at.y + tap.y < params.w && tap.x < params.r; }
fn fetch_pixel(corner: vec3u, tap: vec3u, source: u32) -> vec4f {
    var v = vec4<Stored>(); if is_there(corner, tap) { v = x[corner.z + source]; }
    return vec4f(v);
}
fn fetch_row(row: u32, column: u32) -> vec4f { return weight[min(row, 4u * params.r * params.s * params.c4 - 1u) * params.k4 + min(column, params.k4 - 1u)]; }
struct Corners { c0: vec3u, c1: vec3u, c2: vec3u, c3: vec3u }
fn fetch(lane: u32, corners: Corners, tap: vec3u, step: u32, line: u32, column: u32) -> mat4x4f {
    if POINT && lane < LANES / 2u {
        let z = min(tap.z, params.c4 - 1u);
        return mat4x4f(vec4f(x[corners.c0.z + z]), vec4f(x[corners.c1.z + z]), vec4f(x[corners.c2.z + z]), vec4f(x[corners.c3.z + z]));
    }
    if POINT {
        let at = (min(step, 4u * params.c4 - SIDE) + line) * params.k4 + min(column, params.k4 - 1u);
        if !WIDE { return mat4x4f(weight[at], weight[at + 8u * params.k4], vec4f(), vec4f()); }
        return mat4x4f(weight[at], weight[at + 4u * params.k4], weight[at + 8u * params.k4], weight[at + 12u * params.k4]);
    }
    if lane < LANES / 2u {
        let source = (tap.x * params.w + tap.y) * params.c4 + tap.z;
        return mat4x4f(fetch_pixel(corners.c0, tap, source), fetch_pixel(corners.c1, tap, source),
            fetch_pixel(corners.c2, tap, source), fetch_pixel(corners.c3, tap, source));
    }
    let row = step + line;
    if !WIDE { return mat4x4f(fetch_row(row, column), fetch_row(row + 8u, column), vec4f(), vec4f()); }
    return mat4x4f(fetch_row(row, column), fetch_row(row + 4u, column), fetch_row(row + 8u, column), fetch_row(row + 12u, column));
}
// The map of the vec4 of C that a lane fetches of x, and what that makes of the four pixels.
fn fetch_map(lane: u32, tap: vec3u) -> mat2x4f {
    if !NORMALISED || lane >= LANES / 2u { return mat2x4f(); }
    let c = min(tap.z, params.c4 - 1u); return mat2x4f(affine[c], affine[params.c4 + c]);
}
fn normalised_four(lane: u32, v: mat4x4f, map: mat2x4f, at: Corners, tap: vec3u) -> mat4x4f {
    if !NORMALISED || lane >= LANES / 2u { return v; }
    return mat4x4f(normalised(v[0], map, is_there(at.c0, tap)), normalised(v[1], map, is_there(at.c1, tap)),
        normalised(v[2], map, is_there(at.c2, tap)), normalised(v[3], map, is_there(at.c3, tap)));
}
fn stage(lane: u32, v: mat4x4f) {
    if lane < LANES / 2u {
        if TALL || lane < LANES / 4u { stage_turned(lane % STEP * 4u, lane / STEP, v); }
        return;
    }
    let columns = select(SIDE, ROW, WIDE); let i = lane - LANES / 2u;
    let at = FACTOR + i / columns * ROW + i % columns; let rows = LANES / 2u / columns * ROW;
    staged[at] = v[0]; staged[at + rows] = v[1];
    if WIDE { staged[at + 2u * rows] = v[2]; staged[at + 3u * rows] = v[3]; }
}

// What an epilogue has for each channel, loaded once a column.
struct Channels { bias: vec4f, scale: vec4f, shift: vec4f }
fn channels_of(column: u32) -> Channels {
    let k = min(column, params.k4 - 1u); var it = Channels();
    if BIAS { it.bias = bias[k]; } if AFFINE { it.scale = affine[k]; it.shift = affine[params.k4 + k]; }
    return it;
}
fn residual_at(pixel: u32, column: u32) -> vec4<Stored> {
    if !RESIDUAL || pixel >= params.pixels || column >= params.k4 { return vec4<Stored>(); }
    return residual[pixel * params.k4 + column];
}
// What follows the sum at one pixel; the result is what is written, or 0 where nothing is.
fn finish(channels: Channels, pixel: u32, column: u32, sum: vec4f, beside: vec4<Stored>) -> vec4f {
    if pixel >= params.pixels || column >= params.k4 { return vec4f(); }
    var value = sum; if BIAS { value += channels.bias; }
    if AFFINE { value = value * channels.scale + channels.shift; }
    if RESIDUAL { value += vec4f(beside); } if RELU { value = max(value, vec4f()); }
    y[pixel * params.k4 + column] = vec4<Stored>(value);
    return value;
}
// All that four pixels need is loaded before the first is written: no load may pass a store.
fn finish_four(p: u32, column: u32, v: mat4x4f) -> mat4x4f {
    let it = channels_of(column);
    let r0 = residual_at(p, column); let r1 = residual_at(p + 1u, column);
    let r2 = residual_at(p + 2u, column); let r3 = residual_at(p + 3u, column);
    let y01 = mat2x4f(finish(it, p, column, v[0], r0), finish(it, p + 1u, column, v[1], r1));
    return mat4x4f(y01[0], y01[1], finish(it, p + 2u, column, v[2], r2), finish(it, p + 3u, column, v[3], r3));
}

// The sums of two vectors over the lanes of a column, in fixed order.
fn totals(lane: u32, v0: vec4f, v1: vec4f) -> mat2x4f {
    workgroupBarrier();
    staged[lane] = v0; staged[LANES + lane] = v1;
    workgroupBarrier();
    let at = lane / SIDE * LANES + lane % SIDE;
    for (var i = 1u; i < SIDE && lane < 2u * SIDE; i++) { staged[at] += staged[at + i * SIDE]; }
    workgroupBarrier();
    return mat2x4f(staged[lane % SIDE], staged[LANES + lane % SIDE]);
}

// The squared distances of four pixels' values from their mean, without pixels that do not exist.
fn squares(pixel: u32, v: mat4x4f, mean: vec4f) -> vec4f {
    let far = v - mat4x4f(mean, mean, mean, mean);
    let there = vec4f(pixel + vec4u(0u, 1u, 2u, 3u) < vec4u(params.pixels));
    return mat4x4f(far[0] * far[0], far[1] * far[1], far[2] * far[2], far[3] * far[3]) * there;
}

fn statistics(lane: u32, first: u32, column: u32, y: Sums) {
    let p = first + lane / SIDE * 4u;
    let count = f32(clamp(i32(params.pixels - first), 1, i32(GROUP)));
    let mean = totals(lane, y.y0 * vec4f(1.0), y.y1 * vec4f(1.0)) * (1.0 / count);
    let m2 = totals(lane, squares(p, y.y0, mean[0]), squares(p, y.y1, mean[1]));
    for (var i = 0u; i < select(1u, 2u, WIDE) && lane < SIDE && first < params.pixels; i++) {
        let at = first / GROUP * 2u * params.k4 + column + i * SIDE;
        if column + i * SIDE < params.k4 {
            partials[at] = mean[i]; partials[at + params.k4] = m2[i];
        }
    }
}

@compute @workgroup_size(LANES)
fn conv2d_forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.x + group.y * groups.x;
    let first = index / params.column_groups * select(GROUP, 2u * GROUP, TALL);
    if first >= params.pixels { return; }
    let pixel = first + lane / SIDE * 4u; let columns = index % params.column_groups * select(SIDE, ROW, WIDE);
    let column = columns + lane % SIDE;
    let rows = params.r * params.s * params.c4 * 4u;
    let mine = first + lane / STEP * 4u; // the pixels that the lane fetches, or its row and column of weight
    let corners = Corners(corner(mine), corner(mine + 1u), corner(mine + 2u), corner(mine + 3u));
    let line = (lane - LANES / 2u) / select(SIDE, ROW, WIDE);
    let source = columns + lane % select(SIDE, ROW, WIDE);
    let position = lane % STEP / params.c4;
    var tap = vec3u(position / params.s, position % params.s, lane % STEP % params.c4);
    var next = fetch(lane, corners, tap, 0u, line, source); var map = fetch_map(lane, tap);
    var tile = Tile();
    for (var step = SIDE; step < rows + SIDE; step += SIDE) {
        workgroupBarrier();
        stage(lane, normalised_four(lane, next, map, corners, tap));
        workgroupBarrier();
        tap = advance(tap);
        next = fetch(lane, corners, tap, step, line, source); map = fetch_map(lane, tap);
        tile = consume_all(tile, lane);
    }
    tile.upper.y0 = finish_four(pixel, column, tile.upper.y0);
    if WIDE { tile.upper.y1 = finish_four(pixel, column + SIDE, tile.upper.y1); }
    if TALL { tile.lower.y0 = finish_four(pixel + GROUP, column, tile.lower.y0); }
    if TALL && WIDE { tile.lower.y1 = finish_four(pixel + GROUP, column + SIDE, tile.lower.y1); }
    if STATS { statistics(lane, first, column, tile.upper); }
    if STATS && TALL { statistics(lane, first + GROUP, column, tile.lower); }
}
