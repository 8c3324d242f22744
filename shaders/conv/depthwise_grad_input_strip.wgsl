// depthwise_grad_input_strip: depthwise_grad_input of 3 × 3 filters at stride 2, for adapters on which a load costs more than
// arithmetic; at stride 1 depthwise_forward_strip does it with the filter flipped.
//   grad_x[n,iy,ix,c] = Σ_{r,s} grad_y[n, (iy + ph - r)/2, (ix + pw - s)/2, c] · weight[r,s,c]     (whole quotients inside y)
// Layout: grad_y [N,Ho,Wo,C/4], weight [3,3,C/4], grad_x [N,H,W,C/4]; a vec4 of f32 travels as two u64, which halves the loads.
// Work:   an invocation walks down a strip of 4 columns of grad_y and the 8 of grad_x below them, 2u - pw and 2u + 1 - pw for
//         column u, of one vec4 of C with the filter in registers: each row of grad_y is loaded once.
// Needs:  int64. Variants: f16.

struct Params { h: u32, w: u32, c4: u32, ho: u32, wo: u32, pad_h: u32, pad_w: u32, strips: u32, rows: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<Stored>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec2<u64>>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<Stored>;

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
    return Taps(
        unpack(weight[3u * r * params.c4 + c]),
        unpack(weight[(3u * r + 1u) * params.c4 + c]),
        unpack(weight[(3u * r + 2u) * params.c4 + c]),
    );
}

// The gradients of columns u - 1 to u + 3 of a row, 0 outside.
struct Segment { g0: vec4f, g1: vec4f, g2: vec4f, g3: vec4f, g4: vec4f }

fn load(line: u32, ox: u32, inside: bool) -> vec4f {
    let here = inside && ox < params.wo;
    return select(vec4f(), widen(grad_y[select(0u, line + ox * params.c4, here)]), here);
}

fn segment(n: u32, oy: u32, u: u32, c: u32) -> Segment {
    let inside = oy < params.ho;
    let line = (n * params.ho + oy) * params.wo * params.c4 + c;
    return Segment(
        load(line, u - 1u, inside),
        load(line, u, inside),
        load(line, u + 1u, inside),
        load(line, u + 2u, inside),
        load(line, u + 3u, inside),
    );
}

// Eight neighbouring sums: even columns get the filter's first and last column, odd ones the middle.
struct Sums { e0: vec4f, o0: vec4f, e1: vec4f, o1: vec4f, e2: vec4f, o2: vec4f, e3: vec4f, o3: vec4f }

fn add(s: Sums, g: Segment, w: Taps) -> Sums {
    return Sums(
        s.e0 + g.g0 * w.t2 + g.g1 * w.t0, s.o0 + g.g1 * w.t1,
        s.e1 + g.g1 * w.t2 + g.g2 * w.t0, s.o1 + g.g2 * w.t1,
        s.e2 + g.g2 * w.t2 + g.g3 * w.t0, s.o2 + g.g3 * w.t1,
        s.e3 + g.g3 * w.t2 + g.g4 * w.t0, s.o3 + g.g4 * w.t1,
    );
}

fn store(line: u32, ix: u32, inside: bool, value: vec4f) {
    if inside && ix < params.w {
        grad_x[line + ix * params.c4] = narrow(value);
    }
}

fn store_row(n: u32, iy: u32, ix: u32, c: u32, s: Sums) {
    let inside = iy < params.h;
    let line = (n * params.h + iy) * params.w * params.c4 + c;
    store(line, ix, inside, s.e0);
    store(line, ix + 1u, inside, s.o0);
    store(line, ix + 2u, inside, s.e1);
    store(line, ix + 3u, inside, s.o1);
    store(line, ix + 4u, inside, s.e2);
    store(line, ix + 5u, inside, s.o2);
    store(line, ix + 6u, inside, s.e3);
    store(line, ix + 7u, inside, s.o3);
}

@compute @workgroup_size(64)
fn depthwise_grad_input_strip(
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
    let u = (column - n * params.strips) * 4u;
    let w0 = taps(0u, c);
    let w1 = taps(1u, c);
    let w2 = taps(2u, c);
    var before = Sums(); // the last filter row's share in the next even row
    for (var t = 0u; t < params.rows; t++) {
        let row = segment(n, t, u, c);
        // Both may wrap below zero, where nothing is stored.
        let iy = 2u * t - params.pad_h;
        let ix = 2u * u - params.pad_w;
        store_row(n, iy, ix, c, add(before, row, w0));
        store_row(n, iy + 1u, ix, c, add(Sums(), row, w1));
        before = add(Sums(), row, w2);
    }
}
