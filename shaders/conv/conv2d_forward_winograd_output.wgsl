// conv2d_forward_winograd_output: the output of a 3 × 3 convolution, in tiles of 4 × 4, from the products of Winograd's F(4×4, 3×3).
//   y[n, 4·ty + a, 4·tx + b, k] = Σ_{i,j} At[a,i] · At[b,j] · m[i,j,t,k],     t = (n, ty, tx)
//   BIAS: y += bias[k]     AFFINE: then y = y · scale[k] + shift[k]     RESIDUAL: then y += residual     RELU: then max(y, 0)
// Layout: m [6,6,T,K/4] in f32, bias [K/4], affine [2,K/4]: scale, shift; y, residual [N,Ho,Wo,K/4]; a vec4 of f32 travels as two
//         u64. T = N·tiles_h·tiles_w. What the variant does not name is not touched.
// Work:   an invocation does one vec4 of K of one tile: 36 loads, up to 16 stores; what lies beyond the image is skipped.
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
@group(0) @binding(1) var<storage, read_write> m: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;
@group(0) @binding(3) var<storage, read_write> bias: array<vec2<u64>>;
@group(0) @binding(4) var<storage, read_write> affine: array<vec2<u64>>;
@group(0) @binding(5) var<storage, read_write> residual: array<Stored>;

fn unpack(v: vec2<u64>) -> vec4f {
    let low = vec2u(v);
    let high = vec2u(v >> vec2u(32u));
    return bitcast<vec4f>(vec4u(low.x, high.x, low.y, high.y));
}

fn pack(v: vec4f) -> vec2<u64> {
    let bits = bitcast<vec4u>(v);
    return vec2<u64>(bits.xz) | (vec2<u64>(bits.yw) << vec2u(32u));
}

// A vec4 of activations, as it lies in memory.
alias Stored = vec2<u64>; // only f32
// only f16: alias Stored = u64;
fn widen(v: Stored) -> vec4f { return unpack(v); } // only f32
// only f16: fn widen(v: Stored) -> vec4f { return vec4f(unpack2x16float(u32(v)), unpack2x16float(u32(v >> 32u))); }
fn narrow(v: vec4f) -> Stored { return pack(v); } // only f32
// only f16: fn narrow(v: vec4f) -> Stored { return u64(pack2x16float(v.xy)) | (u64(pack2x16float(v.zw)) << 32u); }

// a / b for a below 2²⁴: the lanes divide one after the other where integers do.
fn divide(a: u32, b: u32) -> u32 {
    let near = u32(i32(f32(a) / f32(b)));
    let rest = i32(a - near * b);
    return select(select(near, near + 1u, rest >= i32(b)), near - 1u, rest < 0);
}

struct Quad { a: vec4f, b: vec4f, c: vec4f, d: vec4f }

// At · (a, .., f).
fn transform(a: vec4f, b: vec4f, c: vec4f, d: vec4f, e: vec4f, f: vec4f) -> Quad {
    let sum = b + c;
    let rest = b - c;
    let far_sum = d + e;
    let far_rest = d - e;
    return Quad(a + sum + far_sum, rest + 2.0 * far_rest, sum + 4.0 * far_sum, rest + 8.0 * far_rest + f);
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
struct Column { k: u32, offset: vec4f, scale: vec4f, shift: vec4f }

// What follows the sum at one pixel: its row of all images, its column, its vector of channels.
fn finish(row: u32, x: u32, sum: vec4f, column: Column) {
    if x < params.wo {
        let at = (row * params.wo + x) * params.k4 + column.k;
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
            value = max(value, vec4f());
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
    let step = params.tiles * params.k4;
    let at = (group.x + group.y * groups.x) * 64u + local;
    if at >= step {
        return;
    }
    let tile = divide(at, params.k4);
    let line = divide(tile, params.tiles_w);
    let image = divide(line, params.tiles_h);
    let oy = 4u * (line - image * params.tiles_h);
    let ox = 4u * (tile - line * params.tiles_w);
    var out = Column(at - tile * params.k4, vec4f(), vec4f(), vec4f());
    if BIAS {
        out.offset = unpack(bias[out.k]);
    }
    if AFFINE {
        out.scale = unpack(affine[out.k]);
        out.shift = unpack(affine[params.k4 + out.k]);
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
