// depthwise_forward_strip: depthwise_forward with 3 × 3 filters, for adapters on which a load costs more than arithmetic.
//   y[n,oy,ox,c] = Σ_{r,s} x[n, oy·STRIDE + r - ph, ox·STRIDE + s - pw, c] · weight[r,s,c]     (0 outside x)
//   BIAS: y += bias[c]     AFFINE: then y = y · scale[c] + shift[c]     RELU: then y = max(y, 0)
// Layout: x [N,H,W,C/4], weight [3,3,C/4], bias [C/4], affine [2,C/4]: scale, shift; y [N,Ho,Wo,C/4]; a vec4 of f32
//         travels as two u64, which halves the loads. What the variant does not name is not touched.
//         FLIP takes weight[2-r,2-s,c]: so the gradient with respect to x is computed at stride 1.
// Work:   an invocation walks down a strip of 4 output columns of one vec4 of C with the filter in registers: each input
//         vector is loaded once and added to all the output rows that it belongs to.
// Needs:  int64. Variants: f16, STRIDE (1 or 2), FLIP, BIAS, AFFINE, RELU.

struct Params { h: u32, w: u32, c4: u32, ho: u32, wo: u32, pad_h: u32, pad_w: u32, strips: u32, count: u32 }

override STRIDE: u32 = 1;
override FLIP: bool = false;
override BIAS: bool = false;
override AFFINE: bool = false;
override RELU: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec2<u64>>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;
@group(0) @binding(4) var<storage, read_write> bias: array<vec2<u64>>;
@group(0) @binding(5) var<storage, read_write> affine: array<vec2<u64>>;

// A vec4 of activations, as it lies in memory.
alias Stored = vec2<u64>; // only f32
// only f16: alias Stored = u64;
fn widen(v: Stored) -> vec4f { return unpack(v); } // only f32
// only f16: fn widen(v: Stored) -> vec4f { return vec4f(unpack2x16float(u32(v)), unpack2x16float(u32(v >> 32u))); }
fn narrow(v: vec4f) -> Stored { return pack(v); } // only f32
// only f16: fn narrow(v: vec4f) -> Stored { return u64(pack2x16float(v.xy)) | (u64(pack2x16float(v.zw)) << 32u); }

// One row of the filter.
struct Taps { t0: vec4f, t1: vec4f, t2: vec4f }

fn taps(r: u32, c: u32) -> Taps {
    let row = select(r, 2u - r, FLIP) * 3u;
    return Taps(
        unpack(weight[(row + select(0u, 2u, FLIP)) * params.c4 + c]),
        unpack(weight[(row + 1u) * params.c4 + c]),
        unpack(weight[(row + select(2u, 0u, FLIP)) * params.c4 + c]),
    );
}

// The input vectors of a row under a strip: 6 at stride 1, 9 at stride 2.
struct Segment { x0: vec4f, x1: vec4f, x2: vec4f, x3: vec4f, x4: vec4f, x5: vec4f, x6: vec4f, x7: vec4f, x8: vec4f }

// x at column ix of the row that begins at `line`, or 0 outside the image.
fn load(line: u32, ix: u32, inside: bool) -> vec4f {
    let here = inside && ix < params.w;
    return select(vec4f(), widen(x[select(0u, line + ix * params.c4, here)]), here);
}

// Row iy of image n from column ix on; both have wrapped where they lie above or left of the image.
fn segment(n: u32, iy: u32, ix: u32, c: u32) -> Segment {
    let inside = iy < params.h;
    let line = (n * params.h + iy) * params.w * params.c4 + c;
    var s = Segment();
    s.x0 = load(line, ix, inside);
    s.x1 = load(line, ix + 1u, inside);
    s.x2 = load(line, ix + 2u, inside);
    s.x3 = load(line, ix + 3u, inside);
    s.x4 = load(line, ix + 4u, inside);
    s.x5 = load(line, ix + 5u, inside);
    if STRIDE == 2u {
        s.x6 = load(line, ix + 6u, inside);
        s.x7 = load(line, ix + 7u, inside);
        s.x8 = load(line, ix + 8u, inside);
    }
    return s;
}

// Sums of four neighbouring outputs.
struct Sums { s0: vec4f, s1: vec4f, s2: vec4f, s3: vec4f }

fn add(sums: Sums, x: Segment, w: Taps) -> Sums {
    let s0 = sums.s0 + x.x0 * w.t0 + x.x1 * w.t1 + x.x2 * w.t2;
    if STRIDE == 2u {
        return Sums(
            s0,
            sums.s1 + x.x2 * w.t0 + x.x3 * w.t1 + x.x4 * w.t2,
            sums.s2 + x.x4 * w.t0 + x.x5 * w.t1 + x.x6 * w.t2,
            sums.s3 + x.x6 * w.t0 + x.x7 * w.t1 + x.x8 * w.t2,
        );
    }
    return Sums(
        s0,
        sums.s1 + x.x1 * w.t0 + x.x2 * w.t1 + x.x3 * w.t2,
        sums.s2 + x.x2 * w.t0 + x.x3 * w.t1 + x.x4 * w.t2,
        sums.s3 + x.x3 * w.t0 + x.x4 * w.t1 + x.x5 * w.t2,
    );
}

// What follows the sums of a column, as one product and one sum.
struct Map { scale: vec4f, shift: vec4f }

fn map_of(c: u32) -> Map {
    var map = Map(vec4f(1.0), vec4f());
    if BIAS {
        map.shift = unpack(bias[c]);
    }
    if AFFINE {
        let scale = unpack(affine[c]);
        map = Map(scale, map.shift * scale + unpack(affine[params.c4 + c]));
    }
    return map;
}

fn finish(map: Map, sum: vec4f) -> vec4f {
    var value = sum;
    if BIAS || AFFINE {
        value = value * map.scale + map.shift;
    }
    if RELU {
        value = max(value, vec4f());
    }
    return value;
}

fn store(at: u32, ox: u32, map: Map, sums: Sums) {
    y[at] = narrow(finish(map, sums.s0));
    if ox + 1u < params.wo {
        y[at + params.c4] = narrow(finish(map, sums.s1));
    }
    if ox + 2u < params.wo {
        y[at + 2u * params.c4] = narrow(finish(map, sums.s2));
    }
    if ox + 3u < params.wo {
        y[at + 3u * params.c4] = narrow(finish(map, sums.s3));
    }
}

@compute @workgroup_size(64)
fn depthwise_forward_strip(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (group.x + group.y * groups.x) * 64u + lane;
    if index >= params.count {
        return;
    }
    let column = index / params.c4;
    let c = index - column * params.c4;
    let n = column / params.strips;
    let ox = (column - n * params.strips) * 4u;
    let ix = ox * STRIDE - params.pad_w;
    let w0 = taps(0u, c);
    let w1 = taps(1u, c);
    let w2 = taps(2u, c);
    let map = map_of(c);
    let step = params.wo * params.c4;
    var at = (n * params.ho * params.wo + ox) * params.c4 + c;
    var next = Sums(); // the row that the next input row finishes
    if STRIDE == 2u {
        // Input row 2t is the last of output row t - 1 and the first of t, row 2t + 1 the middle of t.
        for (var t = 0u; t <= params.ho; t++) {
            let even = segment(n, 2u * t - params.pad_h, ix, c);
            if t > 0u {
                store(at, ox, map, add(next, even, w2));
                at += step;
            }
            let odd = segment(n, 2u * t + 1u - params.pad_h, ix, c);
            next = add(add(Sums(), even, w0), odd, w1);
        }
    } else {
        // Input row t is the last of output row t - 2, the middle of t - 1 and the first of t.
        var after = Sums();
        for (var t = 0u; t < params.ho + 2u; t++) {
            let row = segment(n, t - params.pad_h, ix, c);
            if t > 1u {
                store(at, ox, map, add(next, row, w2));
                at += step;
            }
            next = add(after, row, w1);
            after = add(Sums(), row, w0);
        }
    }
}
