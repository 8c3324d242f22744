// conv2d_forward_winograd_filter: the filters of a 3 × 3 convolution as Winograd's F(4×4, 3×3) multiplies them (Lavin and Gray, arXiv:1509.09308).
//   u[i,j,c,k] = Σ_{r,s} G[i,r] · G[j,s] · weight[r,s,c,k],     G the 6 × 3 matrix for the points 0, ±√½, ±√2, ∞
// Layout: weight [3,3,C,K/4], u [6,6,C,K/4]; two f32 travel as one u64.
// Work:   an invocation does two k of one c: 9 loads, 36 stores. Four take longer to compile and are no faster.
// Needs:  int64.

struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, pad_h: u32, pad_w: u32,
    tiles_h: u32, tiles_w: u32, tiles: u32, column_groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> weight: array<u64>;
@group(0) @binding(2) var<storage, read_write> u: array<u64>;

struct Six { a: vec2f, b: vec2f, c: vec2f, d: vec2f, e: vec2f, f: vec2f }

// G · (a, b, c).
fn transform(a: vec2f, b: vec2f, c: vec2f) -> Six {
    let even = -2.0 / 3.0 * (a + 0.5 * c);
    let odd = 2.0 / 3.0 * NEAR * b;
    let far_even = 1.0 / 6.0 * a + 1.0 / 3.0 * c;
    let far_odd = 1.0 / 6.0 * FAR * b;
    return Six(a, even - odd, even + odd, far_even + far_odd, far_even - far_odd, c);
}

// Filter position `tap` of the invocation's two k.
fn filter_at(at: u32, tap: u32) -> vec2f {
    return unpack(weight[tap * 8u * params.c4 * params.k4 + at]);
}

fn column(at: u32, s: u32) -> Six {
    return transform(filter_at(at, s), filter_at(at, s + 3u), filter_at(at, s + 6u));
}

fn put(at: u32, step: u32, v: Six) {
    u[at] = pack(v.a);
    u[at + step] = pack(v.b);
    u[at + 2u * step] = pack(v.c);
    u[at + 3u * step] = pack(v.d);
    u[at + 4u * step] = pack(v.e);
    u[at + 5u * step] = pack(v.f);
}

@compute @workgroup_size(64)
fn conv2d_forward_winograd_filter(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let step = 8u * params.c4 * params.k4;
    let at = (group.x + group.y * groups.x) * 64u + local;
    if at >= step {
        return;
    }
    let p = column(at, 0u);
    let q = column(at, 1u);
    let r = column(at, 2u);
    put(at, step, transform(p.a, q.a, r.a));
    put(at + 6u * step, step, transform(p.b, q.b, r.b));
    put(at + 12u * step, step, transform(p.c, q.c, r.c));
    put(at + 18u * step, step, transform(p.d, q.d, r.d));
    put(at + 24u * step, step, transform(p.e, q.e, r.e));
    put(at + 30u * step, step, transform(p.f, q.f, r.f));
}
