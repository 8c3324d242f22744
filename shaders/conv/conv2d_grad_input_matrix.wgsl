// conv2d_grad_input_matrix: conv2d_grad_input as products of cooperative matrices, and the same epilogue.
//   grad_x[n,iy,ix,c] = Σ_{r,s,k} grad_y[n, (iy + ph - r)/sh, (ix + pw - s)/sw, k] · weight[r,s,c,k]     (whole quotients inside y)
//   MAPPED: grad_y is k1[k] · grad_y + k2[k] · z_y + k3[k]: the gradient of the batch normalisation of z_y, the forward pass's output
//   ADD: grad_x += other     MASK: then grad_x = x > 0 ? grad_x : 0, for a rectified x
//   MASK_MAP: the same for x = max(z · scale[c] + shift[c], 0), which is then not read
//   REDUCE: sum[g,c] = Σ grad_x     product[g,c] = Σ grad_x · (z - mean[c]) · invstd[c]     over the pixels of group g
// Layout: as conv2d_grad_input; where LARGE, weight is f16 (half_filters). Factors are of the type of grad_y, mapped ones too.
// Work:   as conv2d_forward_matrix, for each phase of the stride on its own, as in conv2d_grad_input; weight is staged as it lies,
//         [channels, STEP]. The 64 pixels of a share are a group of the column sums.
// Needs:  cooperative matrices (wgpu's experimental feature) of side 8, or 16 where LARGE, which is for f16 alone; 32 KiB of
//         workgroup memory, where LARGE 48. Variants: f16 (shader-f16), LARGE, WIDE, POINT (1 × 1, stride 1), ADD, MASK, MASK_MAP, REDUCE, MAPPED.

// only f16: enable f16;
enable wgpu_cooperative_matrix;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;
override LARGE: bool = false; override WIDE: bool = true; override POINT: bool = false; override MAPPED: bool = false;
override ADD: bool = false; override MASK: bool = false; override MASK_MAP: bool = false; override REDUCE: bool = false;
const LANES = 256u; const PIXELS = 128u;
const STEP = 16u; // without LARGE
// only LARGE: const STEP = 64u;
const VECTORS = STEP / 4u; const LINES = LANES / VECTORS; const LOADS = PIXELS / LINES;
// A step of grad_y, [128 pixels, STEP], and of weight, [128 channels, STEP], with gaps that spread rows over the memory's banks.
const A_ROW = STEP + 8u; const B_ROW = STEP + 8u;
const TURNED_A = false; const TURNED_B = true;
const WEIGHT = PIXELS * A_ROW; const STAGED = WEIGHT + 128u * B_ROW;

struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    phase_h: u32, phase_w: u32, column_groups: u32, blocks: u32, // of a phase: its sides, and tiles of its pixels
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> weight: array<Filters>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<vec4<Stored>>;
@group(0) @binding(4) var<storage, read_write> other: array<vec4<Stored>>; // without MAPPED
// only MAPPED: @group(0) @binding(4) var<storage, read_write> z_y: array<vec4<Stored>>;
@group(0) @binding(5) var<storage, read_write> x: array<vec4<Stored>>; // without MAPPED
// only MAPPED: @group(0) @binding(5) var<storage, read_write> coefficients: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> z: array<vec4<Stored>>;
@group(0) @binding(7) var<storage, read_write> statistics: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> partials: array<vec4f>;

// Of each pixel of the tile the last of y that it meets, row and column in 16 bits each, and where that is in y, wrapped outside;
// and its own place in grad_x, NOWHERE where it does not exist.
const NOWHERE = 0xffffffffu;
var<workgroup> corners: array<vec2u, PIXELS>;
var<workgroup> places: array<u32, PIXELS>;
fn locate(phase: Phase, lane: u32, pixel: u32) {
    let p = vec3u(pixel / params.phase_w / params.phase_h, pixel / params.phase_w % params.phase_h, pixel % params.phase_w);
    let at = p.yz + phase.offset; let own = p.yz * vec2u(params.stride_h, params.stride_w) + phase.pixel;
    let there = p.x < params.n && own.x < params.h && own.y < params.w;
    corners[lane] = select(vec2u(), vec2u((at.x << 16u) | at.y, ((p.x * params.ho + at.x) * params.wo + at.y) * params.k4), there);
    places[lane] = select(NOWHERE, ((p.x * params.h + own.x) * params.w + own.y) * params.c4, there);
}
// What a lane fetches for a step: a vec4 of (r, s, k) of several pixels, 0 where there is none, and of several channels of weight,
// which beyond the end meet zeros or are not stored. Nothing waits for it before the next step.
struct Fetched { g: array<vec4<Stored>, LOADS>, z: array<vec4<Stored>, LOADS>, w: array<Filters, LOADS>, m: mat3x4f, there: u32 }
fn fetch(phase: Phase, lane: u32, first: u32, tap: vec3u, channel: u32) -> Fetched {
    var next = Fetched(); let more = all(tap.xy < phase.taps); let source = tap.z - (tap.x * params.wo + tap.y) * params.k4;
// only MAPPED:     next.m = mat3x4f(coefficients[tap.z], coefficients[params.k4 + tap.z], coefficients[2u * params.k4 + tap.z]);
    let position = (phase.tap.x + tap.x * params.stride_h) * params.s + phase.tap.y + tap.y * params.stride_w;
    let line = select(0u, position, more) * 4u * params.c4;
    for (var i = 0u; i < LOADS; i++) {
        let corner = corners[lane / VECTORS + i * LINES];
        let there = POINT || ((corner.x >> 16u) - tap.x < params.ho && (corner.x & 0xffffu) - tap.y < params.wo);
        let at = select(corner.y + source, min(first + lane / VECTORS + i * LINES, params.n * params.h * params.w - 1u) * params.k4 + tap.z, POINT);
        if more && there {
            next.g[i] = grad_y[at];
// only MAPPED:             next.z[i] = z_y[at];
            next.there |= 1u << i;
        }
        let c = min(channel + lane / VECTORS + i * LINES, 4u * params.c4 - 1u);
        if WIDE || i < LOADS / 2u { next.w[i] = weight[(line + c) * params.k4 + tap.z]; }
    }
    return next;
}
fn gradient(next: Fetched, i: u32) -> vec4<Stored> {
    if !MAPPED { return next.g[i]; }
    let value = next.m[0] * vec4f(next.g[i]) + next.m[1] * vec4f(next.z[i]) + next.m[2];
    return select(vec4<Stored>(), vec4<Stored>(value), (next.there & (1u << i)) > 0u);
}
fn stage_all(lane: u32, next: Fetched) {
    for (var i = 0u; i < LOADS; i++) {
        let at = (lane / VECTORS + i * LINES) * A_ROW + lane % VECTORS * 4u;
        stage(at, gradient(next, i));
        if WIDE || i < LOADS / 2u { stage(WEIGHT + at, vec4<Stored>(next.w[i])); }
    }
}

// What the epilogue has for each channel, loaded once a column.
struct Channels { mean: vec4f, scale: vec4f, shift: vec4f }
fn channels_of(column: u32) -> Channels {
    let c = min(column, params.c4 - 1u); let map = (2u * params.c4 + 15u) / 16u * 16u + c;
    var it = Channels(); if REDUCE { it.mean = statistics[c]; }
    if MASK_MAP { it.scale = statistics[map]; it.shift = statistics[map + params.c4]; }
    return it;
}
// What the epilogue reads of a pixel; anything of one that does not exist.
struct Beside { other: vec4<Stored>, x: vec4<Stored>, z: vec4<Stored> }
fn beside(pixel: u32, column: u32) -> Beside {
    let at = select(places[pixel], 0u, places[pixel] == NOWHERE) + min(column, params.c4 - 1u);
    var it = Beside();
    if ADD { it.other = other[at]; } if MASK { it.x = x[at]; } // without MAPPED
    if REDUCE { it.z = z[at]; }
    return it;
}
// What follows the sum at one pixel; the result is its share of the column sums.
fn finish(channels: Channels, pixel: u32, column: u32, sum: vec4f, it: Beside) -> mat2x4f {
    if places[pixel] == NOWHERE || column >= params.c4 { return mat2x4f(); }
    var g = sum;
    if ADD { g += vec4f(it.other); } if MASK { g = select(vec4f(), g, vec4f(it.x) > vec4f()); }
    if MASK_MAP { g = select(vec4f(), g, vec4f(it.z) * channels.scale + channels.shift > vec4f()); }
    grad_x[places[pixel] + column] = vec4<Stored>(g);
    return mat2x4f(g, g * (vec4f(it.z) - channels.mean));
}
fn finish_block(place: Place, channels: Channels, row: u32, block: BlockC, b0: Beside, b1: Beside) -> mat2x4f {
    if place.share < SHARES { lay(block, place.share * PATCH); }
    let pixel = place.row + row; var v = mat2x4f();
    workgroupBarrier();
    if place.finishes { v = finish(channels, pixel, place.column, laid(place.laid), b0) + finish(channels, pixel + 8u, place.column, laid(place.laid + 8u * PATCH_ROW), b1); }
    workgroupBarrier();
    return v;
}
// Finishes a share's blocks one below the other; the lanes' shares of the column sums are added in fixed order.
fn finish_half(place: Place, block: u32, lane: u32, b0: BlockC, b1: BlockC, b2: BlockC, b3: BlockC) {
    let group = 2u * block + lane / 32u % 2u; // the 64 pixels of a share
    // Loaded before anything is written: no load may pass a store.
    let p = place.row; let c = place.column; let channels = channels_of(c);
    let i0 = beside(p, c); let i1 = beside(p + 8u, c); let i2 = beside(p + 16u, c); let i3 = beside(p + 24u, c);
    let i4 = beside(p + 32u, c); let i5 = beside(p + 40u, c); let i6 = beside(p + 48u, c); let i7 = beside(p + 56u, c);
    var v = finish_block(place, channels, 0u, b0, i0, i1) + finish_block(place, channels, 16u, b1, i2, i3);
    v = v + finish_block(place, channels, 32u, b2, i4, i5) + finish_block(place, channels, 48u, b3, i6, i7);
    if !REDUCE { return; }
    lay_pair(lane, v[0], v[1]);
    workgroupBarrier();
    // A lane has one of a share's 4 columns × 8 numbers.
    let own = place.column - lane % 4u + lane % 32u / 8u;
    var total = 0.0;
    for (var i = 0u; i < 8u; i++) { total += pair_of(lane, i, lane % 8u); }
    if place.finishes && own < params.c4 {
        if lane % 8u < 4u { partials[2u * group * params.c4 + own][lane % 4u] = total; }
        else { partials[(2u * group + 1u) * params.c4 + own][lane % 4u] = total * statistics[params.c4 + own][lane % 4u]; }
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn conv2d_grad_input_matrix(
    @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32,
) {
    let index = group.x + group.y * groups.x;
    let block = index / params.column_groups; // of all phases
    if block >= params.blocks * params.stride_h * params.stride_w { return; }
    let phase = phase(block / params.blocks);
    let first = block % params.blocks * PIXELS;
    let columns = index % params.column_groups * select(COLUMNS, 2u * COLUMNS, WIDE);
    let by = tap_of(phase, VECTORS);
    if lane < PIXELS { locate(phase, lane, first + lane); }
    workgroupBarrier();
    for (var round = 0u; round < SHARES; round += subgroups) {
        var place = place_of(lane, columns, round, subgroup, subgroups);
        let at_a = rows_of(place); let at_b = columns_of(place, WEIGHT);
        var tap = tap_of(phase, lane % VECTORS);
        var next = fetch(phase, lane, first, tap, 4u * columns);
        var share = Share();
        for (var step = 0u; step < phase.taps.x * phase.taps.y * params.k4; step += VECTORS) {
            workgroupBarrier();
            stage_all(lane, next);
            workgroupBarrier();
            tap = advance(phase, tap, by);
            next = fetch(phase, lane, first, tap, 4u * columns);
            if place.share >= SHARES { continue; }
            for (var k = 0u; k < STEP; k += 16u) { share = add_products(share, at_a + k, at_b + k); }
        }
        finish_half(place, block, lane, share.r0.left, share.r1.left, share.r2.left, share.r3.left);
        place.column += 4u;
        if WIDE { finish_half(place, block, lane, share.r0.right, share.r1.right, share.r2.right, share.r3.right); }
    }
}
