// conv2d_forward_matrix: conv2d_forward as products of cooperative matrices, and the same epilogue.
//   y[n,oy,ox,k] = Σ_{r,s,c} x[n, oy·sh + r - ph, ox·sw + s - pw, c] · weight[r,s,c,k]     (0 outside x)
//   BIAS: y += bias[k]     AFFINE: then y = y · scale[k] + shift[k]     RESIDUAL: then y += residual     RELU: then max(y, 0)
//   STATS: mean[g,k] = Σ y / n     m2[g,k] = Σ (y - mean[g,k])²     over the n pixels of group g, of y as it is summed
//   NORMALISED: x is z, and x is made of it on load, as `normalised` has it; never with AFFINE
// Layout: as conv2d_forward; where LARGE, weight is f16 (half_filters). Factors are of the type of x, made of z too; sums are f32.
// Work:   a workgroup makes 128 output pixels × 64 channels (WIDE: 128) in eight shares of 64 pixels × 16 (WIDE: 32) channels, a
//         subgroup each; with fewer than eight subgroups in several rounds, with more some only fetch. The sum runs over rows of
//         (r, s, c), STEP at a time: while the subgroups multiply those in workgroup memory, the lanes fetch the next. Then the
//         sums pass through workgroup memory to the lanes that finish them, 16 pixels × 16 channels of each share at a time. A
//         lane finishes every eighth pixel of a share, whose 64 pixels are a group of the statistics.
// Needs:  cooperative matrices (wgpu's experimental feature) of side 8, or 16 where LARGE, which is for f16 alone; 32 KiB of
//         workgroup memory, where LARGE 48. Variants: f16 (shader-f16), LARGE, WIDE, POINT (1 × 1, stride 1), those of conv2d_forward.

// only f16: enable f16;
enable wgpu_cooperative_matrix;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;
override LARGE: bool = false; override WIDE: bool = true; override POINT: bool = false; override STATS: bool = false;
override BIAS: bool = false; override AFFINE: bool = false; override RESIDUAL: bool = false; override RELU: bool = false;
const LANES = 256u; const PIXELS = 128u; const GROUP = 64u; // pixels of the statistics, and of a share
const STEP = 16u; // without LARGE
// only LARGE: const STEP = 64u;
// A step of x, [128 pixels, STEP], and of weight, [STEP, 128 channels], with gaps that spread rows over the banks of the memory.
const A_ROW = STEP + 8u; const B_ROW = 128u + 8u; const TURNED_A = false; const TURNED_B = false;
const WEIGHT = PIXELS * A_ROW; const STAGED = WEIGHT + STEP * B_ROW;

struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    pixels: u32, column_groups: u32, step_r: u32, step_s: u32, step_c: u32, // STEP as a place in (r, s, c)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> weight: array<Filters>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Stored>>;
@group(0) @binding(4) var<storage, read_write> bias: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> affine: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> residual: array<vec4<Stored>>;
@group(0) @binding(7) var<storage, read_write> partials: array<vec4f>;

// Of each pixel the top left of its window without padding, row and column in 16 bits each, and where that is in x.
var<workgroup> corners: array<vec2u, PIXELS>;
fn corner(pixel: u32) -> vec2u {
    let p = min(pixel, params.pixels - 1u); let row = p / params.wo;
    let at = vec2u(row % params.ho * params.stride_h, p % params.wo * params.stride_w);
    return vec2u((at.x << 16u) | at.y, ((row / params.ho * params.h + at.x) * params.w + at.y) * params.c4);
}
// The place in (r, s, c) STEP rows on.
fn advance(tap: vec3u) -> vec3u {
    var next = tap + vec3u(params.step_r, params.step_s, params.step_c);
    next += select(vec3u(), vec3u(0u, 1u, 0u - params.c4), next.z >= params.c4);
    return next + select(vec3u(), vec3u(1u, 0u - params.s, 0u), next.y >= params.s);
}

// What a lane fetches for a step: a vec4 of (r, s, c) of several pixels, 0 where there is none, and a column of several rows of
// weight, which beyond the end meet zeros of x or are not stored. `there`: a bit a pixel. Nothing waits for it before the next step.
const VECTORS = STEP / 4u; const X_LOADS = PIXELS * VECTORS / LANES; const X_LINES = LANES / VECTORS; const W_LOADS = STEP / 8u;
struct Fetched { x: array<vec4<Stored>, X_LOADS>, w: array<Filters, W_LOADS>, map: mat2x4f, there: u32 }
fn fetch(lane: u32, first: u32, tap: vec3u, first_row: u32, first_column: u32) -> Fetched {
    var next = Fetched();
    let shift = tap.xy - vec2u(params.pad_h, params.pad_w);
    let source = (shift.x * params.w + shift.y) * params.c4 + tap.z;
    if NORMALISED { next.map = mat2x4f(affine[tap.z], affine[params.c4 + tap.z]); }
    for (var i = 0u; POINT && i < X_LOADS && tap.x == 0u; i++) {
        next.there |= 1u << i;
        next.x[i] = x[min(first + lane / VECTORS + i * X_LINES, params.pixels - 1u) * params.c4 + tap.z];
    }
    for (var i = 0u; !POINT && i < X_LOADS; i++) {
        let corner = corners[lane / VECTORS + i * X_LINES];
        let there = (corner.x >> 16u) + shift.x < params.h && (corner.x & 0xffffu) + shift.y < params.w;
        if there && tap.x < params.r { next.x[i] = x[corner.y + source]; next.there |= 1u << i; }
    }
    let columns = select(16u, 32u, WIDE);
    let column = min(first_column + lane % columns, params.k4 - 1u);
    for (var i = 0u; i < select(W_LOADS / 2u, W_LOADS, WIDE); i++) {
        let row = min(first_row + lane / columns + i * (LANES / columns), 4u * params.r * params.s * params.c4 - 1u);
        next.w[i] = weight[row * params.k4 + column];
    }
    return next;
}
fn stage_all(lane: u32, next: Fetched) {
    for (var i = 0u; i < X_LOADS; i++) {
        let there = (next.there & (1u << i)) > 0u;
        stage((lane / VECTORS + i * X_LINES) * A_ROW + lane % VECTORS * 4u, normalised_stored(next.x[i], next.map, there));
    }
    let columns = select(16u, 32u, WIDE);
    for (var i = 0u; i < select(W_LOADS / 2u, W_LOADS, WIDE); i++) {
        stage(WEIGHT + (lane / columns + i * (LANES / columns)) * B_ROW + lane % columns * 4u, vec4<Stored>(next.w[i]));
    }
}

// What an epilogue has for each channel, loaded once a column.
struct Channels { bias: vec4f, scale: vec4f, shift: vec4f }
fn channels_of(column: u32) -> Channels {
    let k = min(column, params.k4 - 1u);
    var it = Channels();
    if BIAS { it.bias = bias[k]; } if AFFINE { it.scale = affine[k]; it.shift = affine[params.k4 + k]; }
    return it;
}
fn residual_at(pixel: u32, column: u32) -> vec4<Stored> {
    if !RESIDUAL { return vec4<Stored>(); }
    return residual[min(pixel, params.pixels - 1u) * params.k4 + min(column, params.k4 - 1u)];
}
// What follows the sum at one pixel; the result is what is written, or 0 where nothing is.
fn finish(channels: Channels, pixel: u32, column: u32, sum: vec4f, beside: vec4<Stored>) -> vec4f {
    var value = sum;
    if pixel >= params.pixels || column >= params.k4 { return vec4f(); }
    if BIAS { value += channels.bias; }
    if AFFINE { value = value * channels.scale + channels.shift; }
    if RESIDUAL { value += vec4f(beside); } if RELU { value = max(value, vec4f()); }
    y[pixel * params.k4 + column] = vec4<Stored>(value);
    return value;
}
fn finish_block(place: Place, channels: Channels, block: BlockC, row: u32, r0: vec4<Stored>, r1: vec4<Stored>) -> mat2x4f {
    if place.share < SHARES { lay(block, place.share * PATCH); }
    workgroupBarrier();
    var v = mat2x4f();
    if place.finishes {
        v[0] = finish(channels, place.row + row, place.column, laid(place.laid), r0);
        v[1] = finish(channels, place.row + row + 8u, place.column, laid(place.laid + 8u * PATCH_ROW), r1);
    }
    workgroupBarrier();
    return v;
}
// Finishes a share's blocks one below the other: a lane has every eighth of 64 pixels.
fn finish_half(place: Place, lane: u32, b0: BlockC, b1: BlockC, b2: BlockC, b3: BlockC) {
    // Loaded before anything is written: no load may pass a store.
    let p = place.row; let c = place.column; let channels = channels_of(c);
    let r0 = residual_at(p, c); let r1 = residual_at(p + 8u, c); let r2 = residual_at(p + 16u, c); let r3 = residual_at(p + 24u, c);
    let r4 = residual_at(p + 32u, c); let r5 = residual_at(p + 40u, c); let r6 = residual_at(p + 48u, c); let r7 = residual_at(p + 56u, c);
    let v0 = finish_block(place, channels, b0, 0u, r0, r1); let v1 = finish_block(place, channels, b1, 16u, r2, r3);
    let v2 = finish_block(place, channels, b2, 32u, r4, r5); let v3 = finish_block(place, channels, b3, 48u, r6, r7);
    if STATS { statistics(place, lane, v0, v1, v2, v3); }
}

// The pixels of every eighth from one on that there are; squared distances where there is a pixel.
fn count_of(left: u32) -> u32 { return min((left + 7u) / 8u, 8u); }
fn squares(v: mat2x4f, mean: vec4f, count: u32, before: u32) -> vec4f {
    let far = v - mat2x4f(mean, mean);
    return select(vec4f(), far[0] * far[0], before < count) + select(vec4f(), far[1] * far[1], before + 1u < count);
}
// Mean and m2 of a lane's eight pixels, then of the eight lanes of a column (Chan, Golub and LeVeque 1979): a lane has one of a
// share's 4 columns × 8 numbers.
fn statistics(place: Place, lane: u32, v0: mat2x4f, v1: mat2x4f, v2: mat2x4f, v3: mat2x4f) {
    let own = count_of(params.pixels - min(place.row, params.pixels)); let sum = v0 + v1 + v2 + v3;
    let far = (sum[0] + sum[1]) / f32(max(own, 1u));
    let near = squares(v0, far, own, 0u) + squares(v1, far, own, 2u) + squares(v2, far, own, 4u) + squares(v3, far, own, 6u);
    lay_pair(lane, far, near);
    workgroupBarrier();
    let first = place.row - lane % 32u / 4u; // pixel of the share
    let there = min(params.pixels - min(first, params.pixels), GROUP);
    let column = place.column - lane % 4u + lane % 32u / 8u;
    var mean = 0.0; var m2 = 0.0;
    for (var i = 0u; i < 8u; i++) { mean += pair_of(lane, i, lane % 4u) * f32(count_of(there - min(there, i))); }
    mean /= f32(max(there, 1u));
    for (var i = 0u; i < 8u; i++) {
        let between = pair_of(lane, i, lane % 4u) - mean;
        m2 += pair_of(lane, i, 4u + lane % 4u) + between * between * f32(count_of(there - min(there, i)));
    }
    let group = first / GROUP * 2u * params.k4 + column;
    if place.finishes && there > 0u && column < params.k4 {
        if lane % 8u < 4u { partials[group][lane % 4u] = mean; } else { partials[group + params.k4][lane % 4u] = m2; }
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn conv2d_forward_matrix(
    @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32,
) {
    let index = group.x + group.y * groups.x;
    let first = index / params.column_groups * PIXELS;
    if first >= params.pixels { return; }
    let columns = index % params.column_groups * select(COLUMNS, 2u * COLUMNS, WIDE);
    let rows = params.r * params.s * params.c4 * 4u;
    if !POINT && lane < PIXELS { corners[lane] = corner(first + lane); }
    workgroupBarrier();
    for (var round = 0u; round < SHARES; round += subgroups) {
        var place = place_of(lane, columns, round, subgroup, subgroups);
        place.row += first; let at_a = rows_of(place); let at_b = columns_of(place, WEIGHT);
        let position = lane % VECTORS / params.c4;
        var tap = vec3u(position / params.s, position % params.s, lane % VECTORS % params.c4);
        var next = fetch(lane, first, tap, 0u, columns);
        var share = Share();
        for (var step = STEP; step < rows + STEP; step += STEP) {
            workgroupBarrier();
            stage_all(lane, next);
            workgroupBarrier();
            tap = advance(tap);
            next = fetch(lane, first, tap, step, columns);
            if place.share >= SHARES { continue; }
            for (var k = 0u; k < STEP; k += 16u) { share = add_products(share, at_a + k, at_b + k * B_ROW); }
        }
        finish_half(place, lane, share.r0.left, share.r1.left, share.r2.left, share.r3.left);
        place.column += 4u; if WIDE { finish_half(place, lane, share.r0.right, share.r1.right, share.r2.right, share.r3.right); }
    }
}
