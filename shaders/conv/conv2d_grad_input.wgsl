// conv2d_grad_input: the gradient of a convolution with respect to its input, and what follows it in a backward pass.
//   grad_x[n,iy,ix,c] = Σ_{r,s,k} grad_y[n, (iy + ph - r)/sh, (ix + pw - s)/sw, k] · weight[r,s,c,k]     (whole quotients inside y)
//   MAPPED: grad_y is k1[k] · grad_y + k2[k] · z_y + k3[k]: the gradient of the batch normalisation of z_y, the forward pass's output
//   ADD: grad_x += other     MASK: then grad_x = x > 0 ? grad_x : 0, for a rectified x
//   MASK_MAP: the same for x = max(z · scale[c] + shift[c], 0), which is then not read
//   REDUCE: sum[g,c] = Σ grad_x     product[g,c] = Σ grad_x · (z - mean[c]) · invstd[c]     over the pixels of group g
// Layout: grad_y, z_y [N,Ho,Wo,K/4], coefficients [3,K/4]: k1, k2, k3; weight [R,S,C,K/4]; grad_x, other, x, z [N,H,W,C/4];
//         statistics [2,C/4]: mean, invstd, and from the next multiple of 16 on [2,C/4]: scale, shift; partials [groups,2,C/4]: sum,
//         product; finished by batch_norm_grad_finish. C and K padded with zeros. What is not named is not touched; MAPPED has no
//         other and x, as 8 buffers are all that WebGPU grants.
// Work:   as conv2d_forward, for each phase of the stride on its own: the pixels (sh · i + fy, sw · j + fx), which meet every sh-th
//         filter row from one on and every sw-th column, and nothing else. A tile is a group of the column sums.
// Needs:  default limits. Variants: f16 (shader-f16), TALL, WIDE, ADD, MASK, MASK_MAP, REDUCE, MAPPED.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;
override TALL: bool = true; override WIDE: bool = true; override MAPPED: bool = false;
override ADD: bool = false; override MASK: bool = false; override MASK_MAP: bool = false; override REDUCE: bool = false;
// Lanes along either side of a tile; a step is STEP vec4s of (r, s, k).
const SIDE = 16u; const LANES = SIDE * SIDE;
const STEP = SIDE / 4u;
const HALF = 4u * SIDE; // of a tall tile's pixels, or a wide one's channels
struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    phase_h: u32, phase_w: u32, column_groups: u32, blocks: u32, // of a phase: its sides, and tiles of its pixels
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<vec4<Stored>>;
@group(0) @binding(4) var<storage, read_write> other: array<vec4<Stored>>; // without MAPPED
// only MAPPED: @group(0) @binding(4) var<storage, read_write> z_y: array<vec4<Stored>>;
@group(0) @binding(5) var<storage, read_write> x: array<vec4<Stored>>; // without MAPPED
// only MAPPED: @group(0) @binding(5) var<storage, read_write> coefficients: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> z: array<vec4<Stored>>;
@group(0) @binding(7) var<storage, read_write> statistics: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> partials: array<vec4f>;

// A step of grad_y, [2, 64 pixels, STEP], then of weight, [2, 4 channels, STEP, 16 columns], shuffled so that no two share a bank.
var<workgroup> staged: array<vec4f, 4u * LANES>;
// A pixel of a phase: image, row and column there.
fn position(pixel: u32) -> vec3u {
    return vec3u(pixel / params.phase_w / params.phase_h, pixel / params.phase_w % params.phase_h, pixel % params.phase_w);
}
// The last pixel of y that one of a phase meets: row, column, and where it begins in y, wrapped where that is before it.
fn corner(phase: Phase, pixel: u32) -> vec3u {
    let p = position(min(pixel, params.n * params.phase_h * params.phase_w - 1u));
    let at = p.yz + phase.offset;
    return vec3u(at, ((p.x * params.ho + at.x) * params.wo + at.y) * params.k4);
}
// What is fetched of a pixel of y, and what becomes of it; m holds the coefficients.
struct Value { there: bool, g: vec4<Stored> } // without MAPPED
fn load(there: bool, at: u32) -> Value { return Value(there, grad_y[at]); } // without MAPPED
fn map(k: u32) -> mat3x4f { return mat3x4f(); } // without MAPPED
fn gradient(v: Value, m: mat3x4f) -> vec4f { return select(vec4f(), vec4f(v.g), v.there); } // without MAPPED
// only MAPPED: struct Value { there: bool, g: vec4<Stored>, z: vec4<Stored> }
// only MAPPED: fn load(there: bool, at: u32) -> Value { return Value(there, grad_y[at], z_y[at]); }
// only MAPPED: fn map(k: u32) -> mat3x4f { return mat3x4f(coefficients[k], coefficients[params.k4 + k], coefficients[2u * params.k4 + k]); }
// only MAPPED: fn gradient(v: Value, m: mat3x4f) -> vec4f { return select(vec4f(), m[0] * vec4f(v.g) + m[1] * vec4f(v.z) + m[2], v.there); }
// What a lane fetches for a step: nothing waits for it before the next.
struct Fetched { v0: Value, v1: Value, m: mat3x4f, w0: vec4f, w1: vec4f }
fn fetch(phase: Phase, corner0: vec3u, corner1: vec3u, tap: vec3u, channel: u32) -> Fetched {
    var next = Fetched();
    let size = vec2u(params.ho, params.wo);
    let more = all(tap.xy < phase.taps);
    let there = vec2<bool>(more && all(corner0.xy - tap.xy < size), more && all(corner1.xy - tap.xy < size));
    let source = tap.z - (tap.x * size.y + tap.y) * params.k4;
    let at = select(vec2u(), vec2u(corner0.z, corner1.z) + source, there);
    next.m = map(tap.z);
    next.v0 = load(there.x, at.x);
    if TALL { next.v1 = load(there.y, at.y); }
    let position = (phase.tap.x + tap.x * params.stride_h) * params.s + phase.tap.y + tap.y * params.stride_w;
    let line = select(0u, position, more) * 4u * params.c4;
    next.w0 = weight[(line + min(channel, 4u * params.c4 - 1u)) * params.k4 + tap.z];
    if WIDE { next.w1 = weight[(line + min(channel + HALF, 4u * params.c4 - 1u)) * params.k4 + tap.z]; }
    return next;
}

// A lane's sums at four pixels, 16 apart, in its one or two columns; and of both halves of its pixels.
struct Sums { y0: mat4x4f, y1: mat4x4f }
struct Tile { upper: Sums, lower: Sums }
// Adds the products of one staged vec4 of (r, s, k) with its four rows of weight.
fn consume(before: Tile, lane: u32, q: u32) -> Tile {
    var tile = before;
    let at = lane / SIDE * STEP + q;
    let w0 = filters(2u * LANES + SIDE * q + ((lane % SIDE) ^ (2u * q)));
    let w1 = filters(3u * LANES + SIDE * q + ((lane % SIDE) ^ (2u * q)));
    tile.upper = multiply(tile.upper, at, w0, w1);
    if TALL { tile.lower = multiply(tile.lower, LANES + at, w0, w1); }
    return tile;
}
fn filters(at: u32) -> mat4x4f {
    return transpose(mat4x4f(staged[at], staged[at + HALF], staged[at + 2u * HALF], staged[at + 3u * HALF]));
}
// Pixel by pixel, so that few values lie in registers at a time.
fn multiply(before: Sums, at: u32, w0: mat4x4f, w1: mat4x4f) -> Sums {
    var sums = before;
    sums.y0[0] = product(sums.y0[0], staged[at], w0); if WIDE { sums.y1[0] = product(sums.y1[0], staged[at], w1); }
    sums.y0[1] = product(sums.y0[1], staged[at + HALF], w0); if WIDE { sums.y1[1] = product(sums.y1[1], staged[at + HALF], w1); }
    sums.y0[2] = product(sums.y0[2], staged[at + 2u * HALF], w0); if WIDE { sums.y1[2] = product(sums.y1[2], staged[at + 2u * HALF], w1); }
    sums.y0[3] = product(sums.y0[3], staged[at + 3u * HALF], w0); if WIDE { sums.y1[3] = product(sums.y1[3], staged[at + 3u * HALF], w1); }
    return sums;
}
fn product(sum: vec4f, v: vec4f, w: mat4x4f) -> vec4f {
    return fma(vec4f(v.w), w[3], fma(vec4f(v.z), w[2], fma(vec4f(v.y), w[1], fma(vec4f(v.x), w[0], sum))));
}
// What the epilogue has for each channel, loaded once a column; and what it reads of a pixel, NOWHERE where that does not exist.
struct Channels { mean: vec4f, scale: vec4f, shift: vec4f }
fn channels_of(column: u32) -> Channels {
    let c = min(column, params.c4 - 1u);
    let map = (2u * params.c4 + 15u) / 16u * 16u + c;
    var it = Channels();
    if REDUCE { it.mean = statistics[c]; }
    if MASK_MAP { it.scale = statistics[map]; it.shift = statistics[map + params.c4]; }
    return it;
}
const NOWHERE = 0xffffffffu;
struct Beside { at: u32, other: vec4<Stored>, x: vec4<Stored>, z: vec4<Stored> }
fn beside(phase: Phase, pixel: u32, column: u32) -> Beside {
    let p = position(pixel);
    let at = p.yz * vec2u(params.stride_h, params.stride_w) + phase.pixel;
    var it = Beside();
    it.at = NOWHERE;
    if p.x >= params.n || at.x >= params.h || at.y >= params.w || column >= params.c4 { return it; }
    it.at = ((p.x * params.h + at.x) * params.w + at.y) * params.c4 + column;
    if ADD { it.other = other[it.at]; } // without MAPPED
    if MASK { it.x = x[it.at]; } // without MAPPED
    if REDUCE { it.z = z[it.at]; }
    return it;
}
// What follows the sum at one pixel; the result is its share of the column sums.
fn finish(channels: Channels, it: Beside, sum: vec4f) -> mat2x4f {
    if it.at == NOWHERE { return mat2x4f(); }
    var g = sum;
    if ADD { g += vec4f(it.other); }
    if MASK { g = select(vec4f(), g, vec4f(it.x) > vec4f()); }
    if MASK_MAP { g = select(vec4f(), g, vec4f(it.z) * channels.scale + channels.shift > vec4f()); }
    grad_x[it.at] = vec4<Stored>(g);
    return mat2x4f(g, g * (vec4f(it.z) - channels.mean));
}
// All that four pixels need is loaded before the first is written: no load may pass a store.
fn finish_four(phase: Phase, channels: Channels, p: u32, column: u32, v: mat4x4f) -> mat2x4f {
    let b0 = beside(phase, p, column); let b1 = beside(phase, p + SIDE, column);
    let b2 = beside(phase, p + 2u * SIDE, column); let b3 = beside(phase, p + 3u * SIDE, column);
    return finish(channels, b0, v[0]) + finish(channels, b1, v[1]) + finish(channels, b2, v[2]) + finish(channels, b3, v[3]);
}
// What follows the sums of a column; the lanes' shares of the column sums are added in fixed order.
fn finish_column(phase: Phase, lane: u32, group: u32, p: u32, column: u32, upper: mat4x4f, lower: mat4x4f) {
    let channels = channels_of(column);
    var share = finish_four(phase, channels, p, column, upper);
    if TALL { share += finish_four(phase, channels, p + HALF, column, lower); }
    if !REDUCE { return; }
    workgroupBarrier();
    staged[lane] = share[0];
    staged[LANES + lane] = share[1];
    workgroupBarrier();
    if lane >= 2u * SIDE || column >= params.c4 { return; }
    var sum = vec4f();
    for (var i = 0u; i < SIDE; i++) { sum += staged[lane / SIDE * LANES + lane % SIDE + i * SIDE]; }
    if lane >= SIDE { sum *= statistics[params.c4 + column]; }
    partials[(2u * group + lane / SIDE) * params.c4 + column] = sum;
}

@compute @workgroup_size(LANES)
fn conv2d_grad_input(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.x + group.y * groups.x;
    let block = index / params.column_groups; // of all phases
    if block >= params.blocks * params.stride_h * params.stride_w { return; }
    let phase = phase(block / params.blocks);
    let first = block % params.blocks * select(HALF, 2u * HALF, TALL);
    let columns = index % params.column_groups * select(SIDE, 2u * SIDE, WIDE);
    let corner0 = corner(phase, first + lane / STEP);
    let corner1 = corner(phase, first + HALF + lane / STEP);
    let by = tap_of(phase, STEP);
    var tap = tap_of(phase, lane % STEP);
    let channel = 4u * (columns + lane / STEP % SIDE) + lane / HALF; // of the weight that the lane fetches
    let slot = 2u * LANES + lane / HALF * HALF + lane % STEP * SIDE + ((lane / STEP % SIDE) ^ (lane % STEP * 2u));
    var next = fetch(phase, corner0, corner1, tap, channel);
    var tile = Tile();
    for (var step = 0u; step < phase.taps.x * phase.taps.y * params.k4; step += STEP) {
        workgroupBarrier();
        staged[lane] = gradient(next.v0, next.m);
        if TALL { staged[LANES + lane] = gradient(next.v1, next.m); }
        staged[slot] = next.w0;
        if WIDE { staged[LANES + slot] = next.w1; }
        workgroupBarrier();
        tap = advance(phase, tap, by);
        next = fetch(phase, corner0, corner1, tap, channel);
        tile = consume(consume(consume(consume(tile, lane, 0u), lane, 1u), lane, 2u), lane, 3u);
    }
    let column = columns + lane % SIDE;
    finish_column(phase, lane, block, first + lane / SIDE, column, tile.upper.y0, tile.lower.y0);
    if WIDE { finish_column(phase, lane, block, first + lane / SIDE, column + SIDE, tile.upper.y1, tile.lower.y1); }
}
