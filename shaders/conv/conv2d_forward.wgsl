// conv2d_forward: convolution of an image with filters, as an implicit matrix product, and what follows it in a forward pass.
//   y[n,oy,ox,k] = Σ_{r,s,c} x[n, oy·sh + r - ph, ox·sw + s - pw, c] · weight[r,s,c,k]     (0 outside x)
//   BIAS: y += bias[k]     AFFINE: then y = y · scale[k] + shift[k]     RESIDUAL: then y += residual     RELU: then max(y, 0)
//   STATS: mean[g,k] = Σ y / n     m2[g,k] = Σ (y - mean[g,k])²     over the n pixels of group g, of y as it is written
// Layout: x [N,H,W,C/4], weight [R,S,C,K/4], bias [K/4], affine [2,K/4]: scale, shift; y, residual [N,Ho,Wo,K/4]; partials
//         [groups,2,K/4]: mean, m2; finished by batch_norm_finish. C, K padded with zeros. What is not named is not touched.
// Work:   a workgroup makes a tile of 64 output pixels (TALL: 128) × 16 vec4 columns of K (WIDE: 32); a lane has every 16th
//         pixel and column of it. The sum runs over the vec4s of (r, s, c), STEP at a time: while the lanes work on those in
//         workgroup memory they fetch the next into registers. What is beyond the end is computed on clamped indices and not
//         stored. A group of the statistics is 64 pixels: a lane's sums, then those of a column's 16 lanes; first of y, then
//         of the squared distances from the mean, so that a mean far from zero costs no digits.
// Needs:  default limits. Variants: f16 (shader-f16), TALL, WIDE, BIAS, AFFINE, RESIDUAL, RELU, STATS.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override TALL: bool = true; override WIDE: bool = true;
override BIAS: bool = false; override AFFINE: bool = false; override RESIDUAL: bool = false; override RELU: bool = false;
override STATS: bool = false;
// Lanes along either side of a tile; a step is as many rows of weight, STEP vec4s of (r, s, c).
const SIDE = 16u;
const LANES = SIDE * SIDE;
const STEP = SIDE / 4u;
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

// A step of x, [2 halves of the pixels, 64 pixels, STEP], then of weight, [2 halves of the columns, 16 rows, 16 columns].
var<workgroup> staged: array<vec4f, 4u * LANES>;

// The top left corner of an output pixel's window: row, column, and where it begins in x, wrapped where that is before it.
fn corner(pixel: u32) -> vec3u {
    let p = min(pixel, params.pixels - 1u);
    let row = p / params.wo;
    let top = row % params.ho * params.stride_h - params.pad_h;
    let left = p % params.wo * params.stride_w - params.pad_w;
    return vec3u(top, left, ((row / params.ho * params.h + top) * params.w + left) * params.c4);
}

// The place in (r, s, c) STEP vec4s on.
fn advance(tap: vec3u) -> vec3u {
    var next = tap + vec3u(params.step_r, params.step_s, params.step_c);
    next += select(vec3u(), vec3u(0u, 1u, 0u - params.c4), next.z >= params.c4);
    return next + select(vec3u(), vec3u(1u, 0u - params.s, 0u), next.y >= params.s);
}

// What a lane fetches for a step; `there` says which of its pixels lie in the image.
struct Fetched { there: vec2<bool>, x0: vec4<Stored>, x1: vec4<Stored>, w0: vec4f, w1: vec4f }

// Without branches, and what is not there is zeroed only when it is staged: nothing waits for a load before the next step.
fn fetch(corner0: vec3u, corner1: vec3u, tap: vec3u, row: u32, column: u32) -> Fetched {
    var next = Fetched();
    let rows = vec2u(corner0.x, corner1.x) + tap.x < vec2u(params.h);
    let columns = vec2u(corner0.y, corner1.y) + tap.y < vec2u(params.w);
    next.there = rows & columns & vec2<bool>(tap.x < params.r);
    let source = (tap.x * params.w + tap.y) * params.c4 + tap.z;
    let at = select(vec2u(), vec2u(corner0.z, corner1.z) + source, next.there);
    next.x0 = x[at.x];
    if TALL { next.x1 = x[at.y]; }
    let line = min(row, 4u * params.r * params.s * params.c4 - 1u) * params.k4;
    next.w0 = weight[line + min(column, params.k4 - 1u)];
    if WIDE { next.w1 = weight[line + min(column + SIDE, params.k4 - 1u)]; }
    return next;
}

// A lane's sums at four pixels, 16 apart, in its one or two columns; and of both halves of its pixels.
struct Sums { y0: mat4x4f, y1: mat4x4f }
struct Tile { upper: Sums, lower: Sums }

// Adds the products of one staged vec4 of (r, s, c) with its four rows of weight.
fn consume(before: Tile, lane: u32, q: u32) -> Tile {
    var tile = before;
    let at = lane / SIDE * STEP + q;
    let w0 = filters(2u * LANES + 4u * SIDE * q + lane % SIDE);
    let w1 = filters(3u * LANES + 4u * SIDE * q + lane % SIDE);
    tile.upper = multiply(tile.upper, at, w0, w1);
    if TALL { tile.lower = multiply(tile.lower, LANES + at, w0, w1); }
    return tile;
}
fn filters(at: u32) -> mat4x4f {
    return mat4x4f(staged[at], staged[at + SIDE], staged[at + 2u * SIDE], staged[at + 3u * SIDE]);
}

// Pixel by pixel, so that few values lie in registers at a time.
fn multiply(before: Sums, at: u32, w0: mat4x4f, w1: mat4x4f) -> Sums {
    var sums = before;
    sums.y0[0] = product(sums.y0[0], staged[at], w0);
    if WIDE { sums.y1[0] = product(sums.y1[0], staged[at], w1); }
    sums.y0[1] = product(sums.y0[1], staged[at + GROUP], w0);
    if WIDE { sums.y1[1] = product(sums.y1[1], staged[at + GROUP], w1); }
    sums.y0[2] = product(sums.y0[2], staged[at + 2u * GROUP], w0);
    if WIDE { sums.y1[2] = product(sums.y1[2], staged[at + 2u * GROUP], w1); }
    sums.y0[3] = product(sums.y0[3], staged[at + 3u * GROUP], w0);
    if WIDE { sums.y1[3] = product(sums.y1[3], staged[at + 3u * GROUP], w1); }
    return sums;
}
fn product(sum: vec4f, v: vec4f, w: mat4x4f) -> vec4f {
    return fma(vec4f(v.w), w[3], fma(vec4f(v.z), w[2], fma(vec4f(v.y), w[1], fma(vec4f(v.x), w[0], sum))));
}

// What follows the sum at one pixel; the result is what is written, or 0 where nothing is.
fn finish(pixel: u32, column: u32, sum: vec4f) -> vec4f {
    var value = sum;
    let at = pixel * params.k4 + column;
    if pixel >= params.pixels || column >= params.k4 { return vec4f(); }
    if BIAS { value += bias[column]; }
    if AFFINE { value = value * affine[column] + affine[params.k4 + column]; }
    if RESIDUAL { value += vec4f(residual[at]); }
    if RELU { value = max(value, vec4f()); }
    y[at] = vec4<Stored>(value);
    return value;
}
fn finish_four(p: u32, column: u32, v: mat4x4f) -> mat4x4f {
    let y01 = mat2x4f(finish(p, column, v[0]), finish(p + SIDE, column, v[1]));
    return mat4x4f(y01[0], y01[1], finish(p + 2u * SIDE, column, v[2]), finish(p + 3u * SIDE, column, v[3]));
}

// The sums of two vectors over the lanes of a column, in fixed order.
fn totals(lane: u32, v0: vec4f, v1: vec4f) -> mat2x4f {
    workgroupBarrier();
    staged[lane] = v0;
    staged[LANES + lane] = v1;
    workgroupBarrier();
    let at = lane / SIDE * LANES + lane % SIDE;
    for (var i = 1u; i < SIDE && lane < 2u * SIDE; i++) { staged[at] += staged[at + i * SIDE]; }
    workgroupBarrier();
    return mat2x4f(staged[lane % SIDE], staged[LANES + lane % SIDE]);
}

// The squared distances of four pixels' values from their mean, without pixels that do not exist.
fn squares(pixel: u32, v: mat4x4f, mean: vec4f) -> vec4f {
    let far = v - mat4x4f(mean, mean, mean, mean);
    let there = vec4f(pixel + vec4u(0u, SIDE, 2u * SIDE, 3u * SIDE) < vec4u(params.pixels));
    return mat4x4f(far[0] * far[0], far[1] * far[1], far[2] * far[2], far[3] * far[3]) * there;
}

fn statistics(lane: u32, first: u32, column: u32, y: Sums) {
    let p = first + lane / SIDE;
    let count = f32(clamp(i32(params.pixels - first), 1, i32(GROUP)));
    let mean = totals(lane, y.y0 * vec4f(1.0), y.y1 * vec4f(1.0)) * (1.0 / count);
    let m2 = totals(lane, squares(p, y.y0, mean[0]), squares(p, y.y1, mean[1]));
    for (var i = 0u; i < select(1u, 2u, WIDE) && lane < SIDE && first < params.pixels; i++) {
        let at = first / GROUP * 2u * params.k4 + column + i * SIDE;
        if column + i * SIDE < params.k4 {
            partials[at] = mean[i];
            partials[at + params.k4] = m2[i];
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
    let pixel = first + lane / SIDE;
    let column = index % params.column_groups * select(SIDE, 2u * SIDE, WIDE) + lane % SIDE;
    let rows = params.r * params.s * params.c4 * 4u;
    let corner0 = corner(first + lane / STEP);
    let corner1 = corner(first + GROUP + lane / STEP);
    let position = lane % STEP / params.c4;
    var tap = vec3u(position / params.s, position % params.s, lane % STEP % params.c4);
    var next = fetch(corner0, corner1, tap, lane / SIDE, column);
    var tile = Tile();
    for (var step = SIDE; step < rows + SIDE; step += SIDE) {
        workgroupBarrier();
        staged[lane] = select(vec4f(), vec4f(next.x0), next.there.x);
        if TALL { staged[LANES + lane] = select(vec4f(), vec4f(next.x1), next.there.y); }
        staged[2u * LANES + lane] = next.w0;
        if WIDE { staged[3u * LANES + lane] = next.w1; }
        workgroupBarrier();
        tap = advance(tap);
        next = fetch(corner0, corner1, tap, step + lane / SIDE, column);
        tile = consume(consume(consume(consume(tile, lane, 0u), lane, 1u), lane, 2u), lane, 3u);
    }
    tile.upper.y0 = finish_four(pixel, column, tile.upper.y0);
    if WIDE { tile.upper.y1 = finish_four(pixel, column + SIDE, tile.upper.y1); }
    if TALL { tile.lower.y0 = finish_four(pixel + GROUP, column, tile.lower.y0); }
    if TALL && WIDE { tile.lower.y1 = finish_four(pixel + GROUP, column + SIDE, tile.lower.y1); }
    if STATS { statistics(lane, first, column, tile.upper); }
    if STATS && TALL { statistics(lane, first + GROUP, column, tile.lower); }
}
