// conv2d_forward_winograd_output: the output of a 3 × 3 convolution, in tiles of 4 × 4, from the products of Winograd's F(4×4, 3×3).
//   y[n, 4·ty + a, 4·tx + b, k] = Σ_{i,j} At[a,i] · At[b,j] · m[i,j,t,k],     t = (n, ty, tx)
//   BIAS: y += bias[k]     AFFINE: then y = y · scale[k] + shift[k]     RESIDUAL: then y += residual     RELU: then max(y, 0)
// Layout: m [6,6,T,K/4] in f32, bias [K/4], affine [2,K/4]: scale, shift; y, residual [N,Ho,Wo,K/4]; two f32 travel as one
//         u64. T = N·tiles_h·tiles_w. What the variant does not name is not touched.
// Work:   an invocation does two k of one tile: 36 loads, up to 16 stores; what lies beyond the image is skipped. Four take
//         longer to compile and are no faster.
// Needs:  int64. At most 2²⁴ invocations. Variants: f16, BIAS, AFFINE, RESIDUAL, RELU.

override BIAS: bool = false;
override AFFINE: bool = false;
override RESIDUAL: bool = false;
override RELU: bool = false;

struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, pad_h: u32, pad_w: u32,
    tiles_h: u32, tiles_w: u32, tiles: u32, column_groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> m: array<u64>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;
@group(0) @binding(3) var<storage, read_write> bias: array<u64>;
@group(0) @binding(4) var<storage, read_write> affine: array<u64>;
@group(0) @binding(5) var<storage, read_write> residual: array<Stored>;

struct Quad { a: vec2f, b: vec2f, c: vec2f, d: vec2f }

// At · (a, .., f).
fn transform(a: vec2f, b: vec2f, c: vec2f, d: vec2f, e: vec2f, f: vec2f) -> Quad {
    let sum = b + c;
    let rest = NEAR * (b - c);
    let far_sum = d + e;
    let far_rest = FAR * (d - e);
    return Quad(a + sum + far_sum, rest + far_rest, 0.5 * sum + 2.0 * far_sum, 0.5 * rest + 2.0 * far_rest + f);
}

fn column(at: u32, step: u32) -> Quad {
    let a = unpack(m[at]);
    let b = unpack(m[at + 6u * step]);
    let c = unpack(m[at + 12u * step]);
    let d = unpack(m[at + 18u * step]);
    let e = unpack(m[at + 24u * step]);
    let f = unpack(m[at + 30u * step]);
    return transform(a, b, c, d, e, f);
}

// What the epilogue reads for a column.
struct Column { k: u32, offset: vec2f, scale: vec2f, shift: vec2f }

// What follows the sum at one pixel: its row of all images, its column, its pair of channels.
fn finish(row: u32, x: u32, sum: vec2f, column: Column) {
    if x < params.wo {
        let at = (row * params.wo + x) * 2u * params.k4 + column.k;
        var value = sum;
        if BIAS {
            value += column.offset;
        }
        if AFFINE {
            value = value * column.scale + column.shift;
        }
        if RESIDUAL {
            value += widen(residual[at]);
        }
        if RELU {
            value = max(value, vec2f());
        }
        y[at] = narrow(value);
    }
}

fn finish_row(image: u32, oy: u32, ox: u32, values: Quad, column: Column) {
    if oy < params.ho {
        let row = image * params.ho + oy;
        finish(row, ox, values.a, column);
        finish(row, ox + 1u, values.b, column);
        finish(row, ox + 2u, values.c, column);
        finish(row, ox + 3u, values.d, column);
    }
}

@compute @workgroup_size(64)
fn conv2d_forward_winograd_output(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let pairs = 2u * params.k4;
    let step = params.tiles * pairs;
    let at = (group.x + group.y * groups.x) * 64u + local;
    if at >= step {
        return;
    }
    let tile = divide(at, pairs);
    let line = divide(tile, params.tiles_w);
    let image = divide(line, params.tiles_h);
    let oy = 4u * (line - image * params.tiles_h);
    let ox = 4u * (tile - line * params.tiles_w);
    var out = Column(at - tile * pairs, vec2f(), vec2f(), vec2f());
    if BIAS {
        out.offset = unpack(bias[out.k]);
    }
    if AFFINE {
        out.scale = unpack(affine[out.k]);
        out.shift = unpack(affine[pairs + out.k]);
    }
    let p = column(at, step);
    let q = column(at + step, step);
    let r = column(at + 2u * step, step);
    let s = column(at + 3u * step, step);
    let t = column(at + 4u * step, step);
    let u = column(at + 5u * step, step);
    finish_row(image, oy, ox, transform(p.a, q.a, r.a, s.a, t.a, u.a), out);
    finish_row(image, oy + 1u, ox, transform(p.b, q.b, r.b, s.b, t.b, u.b), out);
    finish_row(image, oy + 2u, ox, transform(p.c, q.c, r.c, s.c, t.c, u.c), out);
    finish_row(image, oy + 3u, ox, transform(p.d, q.d, r.d, s.d, t.d, u.d), out);
}
