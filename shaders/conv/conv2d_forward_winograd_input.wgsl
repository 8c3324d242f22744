// conv2d_forward_winograd_input: the input of a 3 × 3 convolution, in overlapping windows of 6 × 6, as Winograd's F(4×4, 3×3) multiplies it.
//   v[i,j,t,c] = Σ_{y,x} Bt[i,y] · Bt[j,x] · x[n, 4·ty + y - ph, 4·tx + x - pw, c],     t = (n, ty, tx), 0 outside x
// Layout: x [N,H,W,C/4], v [6,6,T,C/4] in f32; two f32 travel as one u64. T = N·tiles_h·tiles_w.
// Work:   an invocation does two c of one window: 36 loads, 36 stores. Four take longer to compile and are no faster.
// Needs:  int64. At most 2²⁴ invocations. Variants: f16.

struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, pad_h: u32, pad_w: u32,
    tiles_h: u32, tiles_w: u32, tiles: u32, column_groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> v: array<u64>;

struct Six { a: vec2f, b: vec2f, c: vec2f, d: vec2f, e: vec2f, f: vec2f }

// Bt · v.
fn transform(v: Six) -> Six {
    let even = v.e - 2.0 * v.c;
    let odd = NEAR * (v.d - 2.0 * v.b);
    let far_even = v.e - 0.5 * v.c;
    let far_odd = FAR * (v.d - 0.5 * v.b);
    return Six(v.a - 2.5 * v.c + v.e, even + odd, even - odd, far_even + far_odd, far_even - far_odd, v.b - 2.5 * v.d + v.f);
}

// The first pair of an input pixel, and 1, or 0 outside the image. What lies above or left of it has wrapped.
fn tap(image: u32, y: u32, x: u32) -> vec2u {
    let inside = y < params.h && x < params.w;
    return vec2u(select(0u, ((image + y) * params.w + x) * 2u * params.c4, inside), u32(inside));
}

fn masked(value: vec2f, tap: vec2u) -> vec2f {
    return select(vec2f(), value, tap.y == 1u);
}

fn row(image: u32, y: u32, left: u32, c: u32) -> Six {
    let ta = tap(image, y, left);
    let tb = tap(image, y, left + 1u);
    let tc = tap(image, y, left + 2u);
    let td = tap(image, y, left + 3u);
    let te = tap(image, y, left + 4u);
    let tf = tap(image, y, left + 5u);
    let va = widen(x[ta.x + c]);
    let vb = widen(x[tb.x + c]);
    let vc = widen(x[tc.x + c]);
    let vd = widen(x[td.x + c]);
    let ve = widen(x[te.x + c]);
    let vf = widen(x[tf.x + c]);
    return transform(Six(masked(va, ta), masked(vb, tb), masked(vc, tc), masked(vd, td), masked(ve, te), masked(vf, tf)));
}

fn put(at: u32, step: u32, s: Six) {
    v[at] = pack(s.a);
    v[at + 6u * step] = pack(s.b);
    v[at + 12u * step] = pack(s.c);
    v[at + 18u * step] = pack(s.d);
    v[at + 24u * step] = pack(s.e);
    v[at + 30u * step] = pack(s.f);
}

@compute @workgroup_size(64)
fn conv2d_forward_winograd_input(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let pairs = 2u * params.c4;
    let step = params.tiles * pairs;
    let at = (group.x + group.y * groups.x) * 64u + local;
    if at >= step {
        return;
    }
    let tile = divide(at, pairs);
    let c = at - tile * pairs;
    let line = divide(tile, params.tiles_w);
    let image = divide(line, params.tiles_h);
    let top = 4u * (line - image * params.tiles_h) - params.pad_h;
    let left = 4u * (tile - line * params.tiles_w) - params.pad_w;
    let first = image * params.h;
    let p = row(first, top, left, c);
    let q = row(first, top + 1u, left, c);
    let r = row(first, top + 2u, left, c);
    let s = row(first, top + 3u, left, c);
    let t = row(first, top + 4u, left, c);
    let u = row(first, top + 5u, left, c);
    put(at, step, transform(Six(p.a, q.a, r.a, s.a, t.a, u.a)));
    put(at + step, step, transform(Six(p.b, q.b, r.b, s.b, t.b, u.b)));
    put(at + 2u * step, step, transform(Six(p.c, q.c, r.c, s.c, t.c, u.c)));
    put(at + 3u * step, step, transform(Six(p.d, q.d, r.d, s.d, t.d, u.d)));
    put(at + 4u * step, step, transform(Six(p.e, q.e, r.e, s.e, t.e, u.e)));
    put(at + 5u * step, step, transform(Six(p.f, q.f, r.f, s.f, t.f, u.f)));
}
