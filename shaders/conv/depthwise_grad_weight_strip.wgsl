// depthwise_grad_weight_strip: depthwise_grad_weight of 3 × 3 filters, for adapters on which a load costs more than arithmetic.
//   partial[g,r,s,c] = Σ over the output pixels of group g of x[n, oy·STRIDE + r - ph, ox·STRIDE + s - pw, c] · grad_y[n,oy,ox,c]
// Layout: x [N,H,W,C/4], grad_y [N,Ho,Wo,C/4], partial [G,3,3,C/4]; a vec4 of f32 travels as two u64, which halves the loads.
//         Summed over g in fixed order by sum_groups.
// Work:   an invocation walks down the strips of 4 output columns of one group for one vec4 of C: each input and each
//         gradient is loaded once and kept for all the filter positions at which they meet.
// Needs:  int64. Variants: f16, STRIDE (1 or 2).

struct Params {
    h: u32, w: u32, c4: u32, ho: u32, wo: u32, pad_h: u32, pad_w: u32,
    // Strips an image, of all images, and a group; invocations.
    strips: u32, all_strips: u32, group_strips: u32, count: u32,
}

override STRIDE: u32 = 1;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> grad_y: array<Stored>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec2<u64>>;

// A vec4 of activations, as it lies in memory.
alias Stored = vec2<u64>; // only f32
// only f16: alias Stored = u64;
fn widen(v: Stored) -> vec4f { return unpack(v); } // only f32
// only f16: fn widen(v: Stored) -> vec4f { return vec4f(unpack2x16float(u32(v)), unpack2x16float(u32(v >> 32u))); }

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

// The gradients of four neighbouring outputs, 0 beyond the end of the row or the image.
struct Gradients { g0: vec4f, g1: vec4f, g2: vec4f, g3: vec4f }

fn gradient(line: u32, ox: u32, inside: bool) -> vec4f {
    let here = inside && ox < params.wo;
    return select(vec4f(), widen(grad_y[select(0u, line + ox * params.c4, here)]), here);
}

fn gradients(n: u32, oy: u32, ox: u32, c: u32) -> Gradients {
    let inside = oy < params.ho;
    let line = (n * params.ho + oy) * params.wo * params.c4 + c;
    return Gradients(
        gradient(line, ox, inside),
        gradient(line, ox + 1u, inside),
        gradient(line, ox + 2u, inside),
        gradient(line, ox + 3u, inside),
    );
}

// Sums for one row of the filter.
struct Taps { t0: vec4f, t1: vec4f, t2: vec4f }

fn add(sums: Taps, x: Segment, g: Gradients) -> Taps {
    if STRIDE == 2u {
        return Taps(
            sums.t0 + x.x0 * g.g0 + x.x2 * g.g1 + x.x4 * g.g2 + x.x6 * g.g3,
            sums.t1 + x.x1 * g.g0 + x.x3 * g.g1 + x.x5 * g.g2 + x.x7 * g.g3,
            sums.t2 + x.x2 * g.g0 + x.x4 * g.g1 + x.x6 * g.g2 + x.x8 * g.g3,
        );
    }
    return Taps(
        sums.t0 + x.x0 * g.g0 + x.x1 * g.g1 + x.x2 * g.g2 + x.x3 * g.g3,
        sums.t1 + x.x1 * g.g0 + x.x2 * g.g1 + x.x3 * g.g2 + x.x4 * g.g3,
        sums.t2 + x.x2 * g.g0 + x.x3 * g.g1 + x.x4 * g.g2 + x.x5 * g.g3,
    );
}

fn store(at: u32, sums: Taps) {
    partial[at] = pack(sums.t0);
    partial[at + params.c4] = pack(sums.t1);
    partial[at + 2u * params.c4] = pack(sums.t2);
}

@compute @workgroup_size(64)
fn depthwise_grad_weight_strip(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (group.x + group.y * groups.x) * 64u + lane;
    if index >= params.count {
        return;
    }
    let part = index / params.c4;
    let c = index - part * params.c4;
    var sums0 = Taps();
    var sums1 = Taps();
    var sums2 = Taps();
    let last = min((part + 1u) * params.group_strips, params.all_strips);
    for (var strip = part * params.group_strips; strip < last; strip++) {
        let n = strip / params.strips;
        let ox = (strip - n * params.strips) * 4u;
        let ix = ox * STRIDE - params.pad_w;
        var before = Gradients();
        if STRIDE == 2u {
            // Input row 2t is the last of output row t - 1 and the first of t, row 2t + 1 the middle of t.
            for (var t = 0u; t <= params.ho; t++) {
                let here = gradients(n, t, ox, c);
                let even = segment(n, 2u * t - params.pad_h, ix, c);
                sums2 = add(sums2, even, before);
                sums0 = add(sums0, even, here);
                sums1 = add(sums1, segment(n, 2u * t + 1u - params.pad_h, ix, c), here);
                before = here;
            }
        } else {
            // Input row t is the last of output row t - 2, the middle of t - 1 and the first of t.
            var earlier = Gradients();
            for (var t = 0u; t < params.ho + 2u; t++) {
                let here = gradients(n, t, ox, c);
                let row = segment(n, t - params.pad_h, ix, c);
                sums2 = add(sums2, row, earlier);
                sums1 = add(sums1, row, before);
                sums0 = add(sums0, row, here);
                earlier = before;
                before = here;
            }
        }
    }
    let at = part * 9u * params.c4 + c;
    store(at, sums0);
    store(at + 3u * params.c4, sums1);
    store(at + 6u * params.c4, sums2);
}
