// conv2d_forward: convolution of an image with filters, as an implicit matrix product, and what follows it in a forward pass.
//   y[n,oy,ox,k] = Σ_{r,s,c} x[n, oy·sh + r - ph, ox·sw + s - pw, c] · weight[r,s,c,k]     (0 outside x)
//   BIAS: y += bias[k]     AFFINE: then y = y · scale[k] + shift[k]     RESIDUAL: then y += residual     RELU: then max(y, 0)
//   STATS: mean[g,k] = Σ y / n     m2[g,k] = Σ (y - mean[g,k])²     over the n pixels of group g, of y as it is written
// Layout: x [N,H,W,C/4], weight [R,S,C,K/4], bias [K/4], affine [2,K/4]: scale, shift; y, residual [N,Ho,Wo,K/4]; partials
//         [groups,2,K/4]: mean, m2; finished by batch_norm_finish. C and K padded with zeros. What the variant does not
//         name is not touched.
// Work:   a workgroup has 8 vec4 columns of K × 16 tiles of 4 output pixels, a group of 64; columns and pixels beyond the end
//         are computed on clamped indices and not stored. The statistics are a lane's sums, then a tree over the tiles: first
//         of y, then of the squared distances from the mean, so that a mean far from zero costs no digits.
// Needs:  default limits. Variants: f16 (shader-f16), BIAS, AFFINE, RESIDUAL, RELU, STATS.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override BIAS: bool = false;
override AFFINE: bool = false;
override RESIDUAL: bool = false;
override RELU: bool = false;
override STATS: bool = false;
const COLUMNS = 8u;
const TILES = 16u;
const LANES = COLUMNS * TILES;
const PIXELS = 4u * TILES;

struct Params {
    n: u32, h: u32, w: u32, c4: u32,
    ho: u32, wo: u32, k4: u32,
    r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    pixels: u32, column_groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Stored>>;
@group(0) @binding(4) var<storage, read_write> bias: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> affine: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> residual: array<vec4<Stored>>;
@group(0) @binding(7) var<storage, read_write> partials: array<vec4f>;

var<workgroup> sums: array<vec4f, LANES>;

// The top left corner of an output pixel's window in the padded image: image, row, column.
fn corner(pixel: u32) -> vec3i {
    let p = min(pixel, params.pixels - 1u);
    let row = p / params.wo;
    let oy = i32((row % params.ho) * params.stride_h) - i32(params.pad_h);
    let ox = i32((p % params.wo) * params.stride_w) - i32(params.pad_w);
    return vec3i(i32(row / params.ho), oy, ox);
}

// The first vector of the input pixel under filter position (r, s), and 1, or 0 outside the image.
fn tap(corner: vec3i, r: u32, s: u32) -> vec2u {
    let iy = u32(corner.y + i32(r));
    let ix = u32(corner.z + i32(s));
    let inside = iy < params.h && ix < params.w;
    let at = ((u32(corner.x) * params.h + iy) * params.w + ix) * params.c4;
    return vec2u(select(0u, at, inside), u32(inside));
}

fn multiply(sum: vec4f, v: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f) -> vec4f {
    return fma(vec4f(v.w), w3, fma(vec4f(v.z), w2, fma(vec4f(v.y), w1, fma(vec4f(v.x), w0, sum))));
}

// What follows the sum at one pixel; the result is what is written, or 0 where nothing is.
fn finish(pixel: u32, column: u32, sum: vec4f) -> vec4f {
    if pixel >= params.pixels || column >= params.k4 {
        return vec4f();
    }
    let at = pixel * params.k4 + column;
    var value = sum;
    if BIAS {
        value += bias[column];
    }
    if AFFINE {
        value = value * affine[column] + affine[params.k4 + column];
    }
    if RESIDUAL {
        value += vec4f(residual[at]);
    }
    if RELU {
        value = max(value, vec4f());
    }
    y[at] = vec4<Stored>(value);
    return value;
}

// The sum of a column's values over the tiles, in fixed order.
fn total(lane: u32, value: vec4f) -> vec4f {
    workgroupBarrier();
    sums[lane] = value;
    for (var half = LANES / 2u; half >= COLUMNS; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sums[lane] += sums[lane + half];
        }
    }
    workgroupBarrier();
    return sums[lane % COLUMNS];
}

@compute @workgroup_size(LANES)
fn conv2d_forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.x + group.y * groups.x;
    let block = index / params.column_groups;
    if block * PIXELS >= params.pixels {
        return;
    }
    let column = (index % params.column_groups) * COLUMNS + lane % COLUMNS;
    let first = block * PIXELS + lane / COLUMNS * 4u;
    let k = min(column, params.k4 - 1u);
    let corner0 = corner(first);
    let corner1 = corner(first + 1u);
    let corner2 = corner(first + 2u);
    let corner3 = corner(first + 3u);
    var sum0 = vec4f();
    var sum1 = vec4f();
    var sum2 = vec4f();
    var sum3 = vec4f();
    // A tile wholly beyond the end has nothing to sum.
    let rows = select(0u, params.r, first < params.pixels);
    for (var r = 0u; r < rows; r++) {
        for (var s = 0u; s < params.s; s++) {
            let tap0 = tap(corner0, r, s);
            let tap1 = tap(corner1, r, s);
            let tap2 = tap(corner2, r, s);
            let tap3 = tap(corner3, r, s);
            var at = (r * params.s + s) * params.c4 * 4u * params.k4 + k;
            for (var c = 0u; c < params.c4; c++) {
                let w0 = weight[at];
                let w1 = weight[at + params.k4];
                let w2 = weight[at + 2u * params.k4];
                let w3 = weight[at + 3u * params.k4];
                at += 4u * params.k4;
                sum0 = multiply(sum0, vec4f(x[tap0.x + c]) * f32(tap0.y), w0, w1, w2, w3);
                sum1 = multiply(sum1, vec4f(x[tap1.x + c]) * f32(tap1.y), w0, w1, w2, w3);
                sum2 = multiply(sum2, vec4f(x[tap2.x + c]) * f32(tap2.y), w0, w1, w2, w3);
                sum3 = multiply(sum3, vec4f(x[tap3.x + c]) * f32(tap3.y), w0, w1, w2, w3);
            }
        }
    }
    let y0 = finish(first, column, sum0);
    let y1 = finish(first + 1u, column, sum1);
    let y2 = finish(first + 2u, column, sum2);
    let y3 = finish(first + 3u, column, sum3);
    if !STATS {
        return;
    }
    let mean = total(lane, y0 + y1 + y2 + y3) / f32(min(params.pixels - block * PIXELS, PIXELS));
    let there = first + vec4u(0u, 1u, 2u, 3u) < vec4u(params.pixels);
    let far0 = select(vec4f(), y0 - mean, there.x);
    let far1 = select(vec4f(), y1 - mean, there.y);
    let far2 = select(vec4f(), y2 - mean, there.z);
    let far3 = select(vec4f(), y3 - mean, there.w);
    let m2 = total(lane, far0 * far0 + far1 * far1 + far2 * far2 + far3 * far3);
    if lane < COLUMNS && column < params.k4 {
        let at = 2u * block * params.k4 + column;
        partials[at] = mean;
        partials[at + params.k4] = m2;
    }
}
