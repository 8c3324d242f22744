// conv2d_grad_weight: the gradient of a convolution with respect to its filters, in partial sums over groups of output pixels.
//   partial[g,r,s,c,k] = Σ_{(n,oy,ox) in group g} x[n, oy·sh + r - ph, ox·sw + s - pw, c] · grad_y[n,oy,ox,k]     (0 outside x)
//   MAPPED: grad_y is k1[k] · grad_y + k2[k] · z_y + k3[k]: the gradient of the batch normalisation of z_y, the forward pass's output
//   NORMALISED: x is z, and x is made of it on load, as `normalised` has it
// Layout: x [N,H,W,C/4]; grad_y, z_y [N,Ho,Wo,K/4]; coefficients [3,K/4]: k1, k2, k3; partial [G,R,S,C,K/4]; summed over g in fixed
//         order by sum_groups. Without MAPPED, z_y and coefficients are not touched, and without NORMALISED affine [2,C/4] is not.
// Work:   a workgroup makes a tile of 16 vec4 rows of (r, s, c) (TALL: 32) × 16 vec4 columns of K (WIDE: 32) over one group of
//         pixels; a lane has every 16th row and column of it. The sum takes 16 pixels at a time, a lane fetching its row and its
//         column of one of them: while the lanes work on those in workgroup memory they fetch the next into registers. What is
//         beyond the end is computed on clamped indices and not stored; pixels beyond the end count as 0.
// Needs:  default limits. Variants: f16 (shader-f16), TALL, WIDE, POINT (1 × 1, stride 1, no padding), MAPPED, NORMALISED, RECTIFIED.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override TALL: bool = true; override WIDE: bool = true; override POINT: bool = false; override MAPPED: bool = false;
// Lanes along either side of a tile, and pixels a step.
const SIDE = 16u;
const SHUFFLED = false;

struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    pixels: u32, group_pixels: u32, row_groups: u32, column_groups: u32,
    step_n: u32, step_h: u32, step_w: u32, // SIDE pixels as a place in (n, oy, ox)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> grad_y: array<vec4<Stored>>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> z_y: array<vec4<Stored>>;
@group(0) @binding(5) var<storage, read_write> coefficients: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> affine: array<vec4f>;

// A row of the gradient: the filter position less the padding, wrapped where that is below zero, and the vec4 of C.
fn source(row: u32) -> vec3u {
    let m = min(row, params.r * params.s * params.c4 - 1u);
    let tap = m / params.c4;
    return vec3u(tap / params.s - params.pad_h, tap % params.s - params.pad_w, m % params.c4);
}

// The pixel SIDE on: image, row and column of y.
fn advance(pixel: vec3u) -> vec3u {
    var next = pixel + vec3u(params.step_n, params.step_h, params.step_w);
    next += select(vec3u(), vec3u(0u, 1u, 0u - params.wo), next.z >= params.wo);
    return next + select(vec3u(), vec3u(1u, 0u - params.ho, 0u), next.y >= params.ho);
}

// What a lane fetches for a step; `there` says which of its rows have a pixel in the image.
struct Fetched {
    there: vec2<bool>,
    x0: vec4<Stored>, x1: vec4<Stored>, g0: vec4<Stored>, g1: vec4<Stored>, z0: vec4<Stored>, z1: vec4<Stored>,
}

// Without branches, and what is not there is zeroed only when it is staged: nothing waits for a load before the next step.
fn fetch(source0: vec3u, source1: vec3u, pixel: vec3u, at: u32, end: u32, column: u32) -> Fetched {
    var next = Fetched();
    let corner = pixel.yz * vec2u(params.stride_h, params.stride_w);
    let size = vec2u(params.h, params.w);
    let place0 = corner + source0.xy;
    let place1 = corner + source1.xy;
    next.there = vec2<bool>(at < end && all(place0 < size), at < end && all(place1 < size));
    let image = pixel.x * params.h;
    let x0 = ((image + place0.x) * params.w + place0.y) * params.c4 + source0.z;
    let point = min(at, params.pixels - 1u) * params.c4;
    if POINT {
        next.there = vec2<bool>(at < end);
        next.x0 = x[point + source0.z];
        if TALL { next.x1 = x[point + source1.z]; }
    } else {
        next.x0 = x[select(0u, x0, next.there.x)];
    }
    if TALL && !POINT {
        let x1 = ((image + place1.x) * params.w + place1.y) * params.c4 + source1.z;
        next.x1 = x[select(0u, x1, next.there.y)];
    }
    let line = min(at, params.pixels - 1u) * params.k4;
    let k0 = line + min(column, params.k4 - 1u);
    let k1 = line + min(column + SIDE, params.k4 - 1u);
    next.g0 = grad_y[k0];
    if WIDE { next.g1 = grad_y[k1]; }
    if MAPPED { next.z0 = z_y[k0]; }
    if MAPPED && WIDE { next.z1 = z_y[k1]; }
    return next;
}

// The gradient behind the batch normalisation in a column of K.
fn coefficients_of(column: u32) -> mat3x4f {
    if !MAPPED { return mat3x4f(); }
    let k = min(column, params.k4 - 1u);
    return mat3x4f(coefficients[k], coefficients[params.k4 + k], coefficients[2u * params.k4 + k]);
}
fn gradient(g: vec4<Stored>, z: vec4<Stored>, m: mat3x4f) -> vec4f {
    if MAPPED { return m[0] * vec4f(g) + m[1] * vec4f(z) + m[2]; }
    return vec4f(g);
}
// The map of a vec4 of C; and a row of x, 0 where it has no pixel.
fn map_of(c: u32) -> mat2x4f {
    if !NORMALISED { return mat2x4f(); }
    return mat2x4f(affine[c], affine[params.c4 + c]);
}
fn factor(v: vec4<Stored>, map: mat2x4f, there: bool) -> vec4f {
    return select(vec4f(), normalised(vec4f(v), map, there), there);
}

// The first row of a group of pixels' gradient is `first`.
fn finish(first: u32, row: u32, column: u32, sum: mat4x4f) {
    if row >= params.r * params.s * params.c4 || column >= params.k4 { return; }
    let at = (first + 4u * row) * params.k4 + column;
    partial[at] = sum[0];
    partial[at + params.k4] = sum[1];
    partial[at + 2u * params.k4] = sum[2];
    partial[at + 3u * params.k4] = sum[3];
}

@compute @workgroup_size(LANES)
fn conv2d_grad_weight(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.x + group.y * groups.x;
    let tiles = params.row_groups * params.column_groups;
    let part = index / tiles;
    let begin = part * params.group_pixels;
    if begin >= params.pixels { return; }
    let end = min(begin + params.group_pixels, params.pixels);
    let rows = index % tiles / params.column_groups * select(SIDE, 2u * SIDE, TALL);
    let columns = index % params.column_groups * select(SIDE, 2u * SIDE, WIDE);
    let column = columns + lane % SIDE;
    let source0 = source(rows + lane % SIDE);
    let source1 = source(rows + lane % SIDE + SIDE);
    let m0 = coefficients_of(column);
    let m1 = coefficients_of(column + SIDE);
    let map0 = map_of(source0.z);
    let map1 = map_of(source1.z);
    let place = lane / SIDE * ROW + lane % SIDE; // in `staged`, of a pixel and a row or column
    var at = begin + lane / SIDE;
    var pixel = vec3u(at / params.wo / params.ho, at / params.wo % params.ho, at % params.wo);
    var next = fetch(source0, source1, pixel, at, end, column);
    var tile = Tile();
    for (var step = begin; step < end; step += SIDE) {
        workgroupBarrier();
        staged[place] = factor(next.x0, map0, next.there.x);
        if TALL { staged[place + SIDE] = factor(next.x1, map1, next.there.y); }
        staged[FACTOR + place] = gradient(next.g0, next.z0, m0);
        if WIDE { staged[FACTOR + place + SIDE] = gradient(next.g1, next.z1, m1); }
        workgroupBarrier();
        pixel = advance(pixel);
        at += SIDE;
        next = fetch(source0, source1, pixel, at, end, column);
        tile = consume_all(tile, lane);
    }
    let first = part * params.r * params.s * params.c4 * 4u;
    let row = rows + lane / SIDE;
    finish(first, row, column, tile.upper.y0);
    if WIDE { finish(first, row, column + SIDE, tile.upper.y1); }
    if TALL { finish(first, row + SIDE, column, tile.lower.y0); }
    if TALL && WIDE { finish(first, row + SIDE, column + SIDE, tile.lower.y1); }
}
