// conv2d_grad_input: the gradient of a convolution with respect to its input, and what follows it in a backward pass.
//   grad_x[n,iy,ix,c] = Σ_{r,s,k} grad_y[n, (iy + ph - r)/sh, (ix + pw - s)/sw, k] · weight[r,s,c,k]     (whole quotients inside y)
//   MAPPED: grad_y is k1[k] · grad_y + k2[k] · z_y + k3[k]: the gradient of the batch normalisation of z_y, the forward pass's output
//   ADD: grad_x += other     MASK: then grad_x = x > 0 ? grad_x : 0, for a rectified x
//   MASK_MAP: the same for x = max(z · scale[c] + shift[c], 0), which is then not read
//   REDUCE: sum[g,c] = Σ grad_x     product[g,c] = Σ grad_x · (z - mean[c]) · invstd[c]     over the pixels of group g
// Layout: grad_y, z_y [N,Ho,Wo,K/4], coefficients [3,K/4]: k1, k2, k3; weight [R,S,C,K/4]; grad_x, other, x, z [N,H,W,C/4];
//         statistics [2,C/4]: mean, invstd, and from the next multiple of 16 on [2,C/4]: scale, shift; partials [groups,2,C/4]: sum,
//         product; finished by batch_norm_grad_finish. C and K padded with zeros. What the variant does not name is not touched;
//         MAPPED has no other and x, as 8 buffers are all that WebGPU grants.
// Work:   a workgroup has 8 vec4 columns of C × 16 tiles of 4 input pixels of one row, sw apart, so that the same filter
//         columns meet all four; what lies beyond the end is computed on clamped indices and not stored. The column sums are
//         a lane's, then a tree over the tiles.
// Needs:  default limits. Variants: f16 (shader-f16), ADD, MASK, MASK_MAP, REDUCE, MAPPED.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override ADD: bool = false;
override MASK: bool = false;
override MASK_MAP: bool = false;
override REDUCE: bool = false;
override MAPPED: bool = false;
const COLUMNS = 8u;
const TILES = 16u;
const LANES = COLUMNS * TILES;

struct Params {
    n: u32, h: u32, w: u32, c4: u32,
    ho: u32, wo: u32, k4: u32,
    r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    // Tiles of a row, and of all rows.
    column_groups: u32, tiles: u32, all_tiles: u32,
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

var<workgroup> sums: array<vec4f, LANES>;
var<workgroup> products: array<vec4f, LANES>;

fn residual(at: u32) -> vec4f { return vec4f(other[at]); } // without MAPPED
// only MAPPED: fn residual(at: u32) -> vec4f { return vec4f(); }
fn rectified(at: u32) -> vec4f { return vec4f(x[at]); } // without MAPPED
// only MAPPED: fn rectified(at: u32) -> vec4f { return vec4f(); }

// grad_y under a tap; MAPPED: k holds the column's coefficients.
struct Map { k1: vec4f, k2: vec4f, k3: vec4f }
fn map(k: u32) -> Map { return Map(); } // without MAPPED
// only MAPPED: fn map(k: u32) -> Map { return Map(coefficients[k], coefficients[params.k4 + k], coefficients[2u * params.k4 + k]); }
fn gradient(m: Map, tap: vec2u, k: u32) -> vec4f { return vec4f(grad_y[tap.x + k]) * f32(tap.y); } // without MAPPED
// only MAPPED: fn gradient(m: Map, tap: vec2u, k: u32) -> vec4f {
// only MAPPED:     return (m.k1 * vec4f(grad_y[tap.x + k]) + m.k2 * vec4f(z_y[tap.x + k]) + m.k3) * f32(tap.y);
// only MAPPED: }

// The first vector of grad_y at (oy, ox) of an image, and 1, or 0 outside.
fn tap(row: u32, inside: bool, ox: i32) -> vec2u {
    let here = inside && u32(ox) < params.wo;
    return vec2u(select(0u, (row + u32(ox)) * params.k4, here), u32(here));
}

fn multiply(sum: vec4f, g: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f) -> vec4f {
    return sum + vec4f(dot(g, w0), dot(g, w1), dot(g, w2), dot(g, w3));
}

// A lane's column sums.
struct Totals { sum: vec4f, product: vec4f }

// What a column's normalisation needs.
struct Column { mean: vec4f, scale: vec4f, shift: vec4f }

// What follows the sum at one pixel.
fn finish(totals: ptr<function, Totals>, at: u32, column: Column, sum: vec4f) {
    var g = sum;
    if ADD {
        g += residual(at);
    }
    if MASK {
        g = select(vec4f(), g, rectified(at) > vec4f());
    }
    if MASK_MAP {
        g = select(vec4f(), g, vec4f(z[at]) * column.scale + column.shift > vec4f());
    }
    grad_x[at] = vec4<Stored>(g);
    if REDUCE {
        (*totals).sum += g;
        (*totals).product += g * (vec4f(z[at]) - column.mean);
    }
}

@compute @workgroup_size(LANES)
fn conv2d_grad_input(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.x + group.y * groups.x;
    let block = index / params.column_groups;
    if block * TILES >= params.all_tiles {
        return;
    }
    let column = (index % params.column_groups) * COLUMNS + lane % COLUMNS;
    let c = min(column, params.c4 - 1u);
    // Tiles of a row: for each phase of the stride, runs of four pixels sw apart.
    let own = block * TILES + lane / COLUMNS;
    let here = min(own, params.all_tiles - 1u);
    let tile = here % params.tiles;
    let row = here / params.tiles;
    let phase = tile % params.stride_w;
    let ix = (tile / params.stride_w) * 4u * params.stride_w + phase;
    let iy = row % params.h;
    let n = row / params.h;
    let top = iy + params.pad_h;
    let left = ix + params.pad_w;
    var sum0 = vec4f();
    var sum1 = vec4f();
    var sum2 = vec4f();
    var sum3 = vec4f();
    for (var r = top % params.stride_h; r < params.r; r += params.stride_h) {
        let oy = (i32(top) - i32(r)) / i32(params.stride_h);
        let inside = oy >= 0 && top >= r && u32(oy) < params.ho;
        let start = (n * params.ho + u32(oy)) * params.wo;
        for (var s = left % params.stride_w; s < params.s; s += params.stride_w) {
            // left - s is a multiple of the stride, so the quotient is exact where negative, too.
            let ox = (i32(left) - i32(s)) / i32(params.stride_w);
            let tap0 = tap(start, inside, ox);
            let tap1 = tap(start, inside, ox + 1);
            let tap2 = tap(start, inside, ox + 2);
            let tap3 = tap(start, inside, ox + 3);
            let at = ((r * params.s + s) * params.c4 + c) * 4u * params.k4;
            for (var k = 0u; k < params.k4; k++) {
                let m = map(k);
                let w0 = weight[at + k];
                let w1 = weight[at + params.k4 + k];
                let w2 = weight[at + 2u * params.k4 + k];
                let w3 = weight[at + 3u * params.k4 + k];
                sum0 = multiply(sum0, gradient(m, tap0, k), w0, w1, w2, w3);
                sum1 = multiply(sum1, gradient(m, tap1, k), w0, w1, w2, w3);
                sum2 = multiply(sum2, gradient(m, tap2, k), w0, w1, w2, w3);
                sum3 = multiply(sum3, gradient(m, tap3, k), w0, w1, w2, w3);
            }
        }
    }
    var totals = Totals();
    if own < params.all_tiles && column < params.c4 {
        var norm = Column();
        if REDUCE {
            norm.mean = statistics[c];
        }
        if MASK_MAP {
            let first = (2u * params.c4 + 15u) / 16u * 16u;
            norm.scale = statistics[first + c];
            norm.shift = statistics[first + params.c4 + c];
        }
        let at = (row * params.w + ix) * params.c4 + c;
        let step = params.stride_w * params.c4;
        if ix < params.w {
            finish(&totals, at, norm, sum0);
        }
        if ix + params.stride_w < params.w {
            finish(&totals, at + step, norm, sum1);
        }
        if ix + 2u * params.stride_w < params.w {
            finish(&totals, at + 2u * step, norm, sum2);
        }
        if ix + 3u * params.stride_w < params.w {
            finish(&totals, at + 3u * step, norm, sum3);
        }
    }
    if !REDUCE {
        return;
    }
    sums[lane] = totals.sum;
    products[lane] = totals.product;
    for (var half = LANES / 2u; half >= COLUMNS; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sums[lane] += sums[lane + half];
            products[lane] += products[lane + half];
        }
    }
    if lane < COLUMNS && column < params.c4 {
        let at = 2u * block * params.c4 + c;
        partials[at] = sums[lane];
        partials[at + params.c4] = products[lane] * statistics[params.c4 + c];
    }
}
