// conv2d_grad_weight_matrix: conv2d_grad_weight as products of cooperative matrices.
//   partial[g,r,s,c,k] = Σ_{(n,oy,ox) in group g} x[n, oy·sh + r - ph, ox·sw + s - pw, c] · grad_y[n,oy,ox,k]     (0 outside x)
//   MAPPED: grad_y is k1[k] · grad_y + k2[k] · z_y + k3[k]: the gradient of the batch normalisation of z_y, the forward pass's output
//   NORMALISED: x is z, and x is made of it on load, as `normalised` has it
// Layout: as conv2d_grad_weight. Factors are of the type of x, so in f16 what is mapped is rounded to it; sums are f32.
// Work:   a workgroup makes 128 rows of (r, s, c) × 64 (WIDE: 128) columns of K over one group of pixels, in eight shares of 64 rows ×
//         16 (WIDE: 32) columns, a subgroup each; with fewer than eight subgroups in several rounds, with more some only fetch. The sum
//         runs over STEP pixels at a time, staged as they lie: while the subgroups multiply those in workgroup memory, the lanes
//         fetch the next. Pixels beyond the end count as 0; rows and columns beyond it are not stored.
// Needs:  cooperative matrices (wgpu's experimental feature) of side 8, or 16 where LARGE, which is for f16 alone; 32 KiB of
//         workgroup memory, where LARGE 48. Variants: f16 (shader-f16), LARGE, WIDE, POINT (1 × 1, stride 1), MAPPED, NORMALISED,
//         RECTIFIED.

// only f16: enable f16;
enable wgpu_cooperative_matrix;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;
override LARGE: bool = false; override WIDE: bool = true; override POINT: bool = false; override MAPPED: bool = false;
const LANES = 256u;
const ROWS = 128u;
const STEP = 16u; // without LARGE
// only LARGE: const STEP = 64u;
const LOADS = STEP / 8u;
// A step of x, [STEP pixels, 128 rows], and of grad_y, [STEP pixels, 128 columns], with gaps that spread pixels over the memory's banks.
const A_ROW = ROWS + 8u;
const B_ROW = 128u + 8u;
const TURNED_A = true;
const TURNED_B = false;
const GRADIENT = STEP * A_ROW;
const STAGED = GRADIENT + STEP * B_ROW;

struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    pixels: u32, group_pixels: u32, row_groups: u32, column_groups: u32,
    step_n: u32, step_h: u32, step_w: u32, // STEP pixels as a place in (n, oy, ox)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> grad_y: array<vec4<Stored>>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> z_y: array<vec4<Stored>>;
@group(0) @binding(5) var<storage, read_write> coefficients: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> affine: array<vec4f>;

// Of each pixel of a step the top left of its window without padding, row and column in 16 bits each, and where that is in x. Where
// there is no pixel, both are so large that no window has them.
const NOWHERE = 0xffffffffu;
var<workgroup> corners: array<vec2u, STEP>;
fn corner(pixel: vec3u, there: bool) -> vec2u {
    let at = pixel.yz * vec2u(params.stride_h, params.stride_w);
    let place = ((pixel.x * params.h + at.x) * params.w + at.y) * params.c4;
    return vec2u(select(NOWHERE, (at.x << 16u) | at.y, there), place);
}
// The pixel STEP on: image, row and column of y.
fn advance(pixel: vec3u) -> vec3u {
    var next = pixel + vec3u(params.step_n, params.step_h, params.step_w);
    next += select(vec3u(), vec3u(0u, 1u, 0u - params.wo), next.z >= params.wo);
    return next + select(vec3u(), vec3u(1u, 0u - params.ho, 0u), next.y >= params.ho);
}

// A vec4 of (r, s, c): its place in a window less the padding, wrapped where that is below zero, and how far that is in x.
struct Source { shift: vec2u, offset: u32 }
fn source(row: u32) -> Source {
    let m = min(row, params.r * params.s * params.c4 - 1u);
    let tap = m / params.c4;
    let shift = vec2u(tap / params.s - params.pad_h, tap % params.s - params.pad_w);
    return Source(shift, (shift.x * params.w + shift.y) * params.c4 + m % params.c4);
}

// What a lane fetches for a step: its row of (r, s, c) at several pixels, 0 where there is none, and its column of several
// pixels of grad_y. Nothing waits for it before the next step. `there` says bit by bit which pixels of x there are.
struct Fetched { x: array<vec4<Stored>, LOADS>, g: array<vec4<Stored>, LOADS>, z: array<vec4<Stored>, LOADS>, there: u32 }
fn fetch(lane: u32, source: Source, first: u32, end: u32, column: u32) -> Fetched {
    var next = Fetched();
    for (var i = 0u; POINT && i < LOADS; i++) {
        let pixel = first + lane / 32u + i * 8u;
        if pixel < end {
            next.x[i] = x[pixel * params.c4 + source.offset];
            next.there |= 1u << i;
        }
    }
    for (var i = 0u; !POINT && i < LOADS; i++) {
        let corner = corners[lane / 32u + i * 8u];
        let there = (corner.x >> 16u) + source.shift.x < params.h && (corner.x & 0xffffu) + source.shift.y < params.w;
        if there {
            next.x[i] = x[corner.y + source.offset];
            next.there |= 1u << i;
        }
    }
    let columns = select(16u, 32u, WIDE);
    for (var i = 0u; i < select(LOADS / 2u, LOADS, WIDE); i++) {
        let at = min(first + lane / columns + i * (LANES / columns), params.pixels - 1u) * params.k4 + column;
        next.g[i] = grad_y[at];
        if MAPPED { next.z[i] = z_y[at]; }
    }
    return next;
}
// The gradient behind the batch normalisation in a column of K.
fn coefficients_of(k: u32) -> mat3x4f {
    if !MAPPED { return mat3x4f(); }
    return mat3x4f(coefficients[k], coefficients[params.k4 + k], coefficients[2u * params.k4 + k]);
}
// The map of a vec4 of C.
fn map_of(c: u32) -> mat2x4f {
    if !NORMALISED { return mat2x4f(); }
    return mat2x4f(affine[c], affine[params.c4 + c]);
}
fn stage_all(lane: u32, next: Fetched, m: mat3x4f, map: mat2x4f) {
    for (var i = 0u; i < LOADS; i++) {
        let there = (next.there & (1u << i)) > 0u;
        stage((lane / 32u + i * 8u) * A_ROW + lane % 32u * 4u, normalised_stored(next.x[i], map, there));
    }
    let columns = select(16u, 32u, WIDE);
    for (var i = 0u; i < select(LOADS / 2u, LOADS, WIDE); i++) {
        var g = next.g[i];
        if MAPPED { g = vec4<Stored>(m[0] * vec4f(g) + m[1] * vec4f(next.z[i]) + m[2]); }
        stage(GRADIENT + (lane / columns + i * (LANES / columns)) * B_ROW + lane % columns * 4u, g);
    }
}

fn write(first: u32, row: u32, column: u32, sum: vec4f) {
    if row >= 4u * params.r * params.s * params.c4 || column >= params.k4 { return; }
    partial[(first + row) * params.k4 + column] = sum;
}
fn finish_block(place: Place, first: u32, block: BlockC, row: u32) {
    if place.share < SHARES { lay(block, place.share * PATCH); }
    workgroupBarrier();
    if place.finishes {
        write(first, place.row + row, place.column, laid(place.laid));
        write(first, place.row + row + 8u, place.column, laid(place.laid + 8u * PATCH_ROW));
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn conv2d_grad_weight_matrix(
    @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32,
) {
    let index = group.x + group.y * groups.x;
    let part = index / (params.row_groups * params.column_groups);
    let begin = part * params.group_pixels;
    if begin >= params.pixels { return; }
    let end = min(begin + params.group_pixels, params.pixels);
    let rows = index / params.column_groups % params.row_groups * (ROWS / 4u);
    let channels = select(COLUMNS, 2u * COLUMNS, WIDE);
    let columns = index % params.column_groups * channels;
    let source = source(rows + lane % 32u);
    let column = min(columns + lane % channels, params.k4 - 1u);
    let m = coefficients_of(column);
    let map = map_of((rows + lane % 32u) % params.c4);
    let first = part * params.r * params.s * params.c4 * 4u; // row of the group's gradient
    for (var round = 0u; round < SHARES; round += subgroups) {
        var place = place_of(lane, columns, round, subgroup, subgroups);
        place.row += 4u * rows;
        let at_a = rows_of(place);
        let at_b = columns_of(place, GRADIENT);
        var at = begin + lane; // the pixel whose corner the lane finds
        var pixel = vec3u(at / params.wo / params.ho, at / params.wo % params.ho, at % params.wo);
        if !POINT && lane < STEP { corners[lane] = corner(pixel, at < end); }
        workgroupBarrier();
        var next = fetch(lane, source, begin, end, column);
        var share = Share();
        for (var step = begin; step < end; step += STEP) {
            workgroupBarrier();
            stage_all(lane, next, m, map);
            pixel = advance(pixel);
            at += STEP;
            if !POINT && lane < STEP { corners[lane] = corner(pixel, at < end); }
            workgroupBarrier();
            next = fetch(lane, source, step + STEP, end, column);
            if place.share >= SHARES { continue; }
            for (var k = 0u; k < STEP; k += 16u) { share = add_products(share, at_a + k * A_ROW, at_b + k * B_ROW); }
        }
        finish_block(place, first, share.r0.left, 0u); finish_block(place, first, share.r1.left, 16u);
        finish_block(place, first, share.r2.left, 32u); finish_block(place, first, share.r3.left, 48u);
        place.column += 4u;
        if !WIDE { continue; }
        finish_block(place, first, share.r0.right, 0u); finish_block(place, first, share.r1.right, 16u);
        finish_block(place, first, share.r2.right, 32u); finish_block(place, first, share.r3.right, 48u);
    }
}
