// conv2d_grad_weight_winograd_filter: the gradient of 3 × 3 filters from the products of Winograd's F(4×4, 3×3), groups of tiles in fixed order.
//   grad_weight[r,s,c,k] = Σ_g Σ_{i,j} G[i,r] · G[j,s] · partial[g,i,j,c,k],     G the 6 × 3 matrix for the points 0, ±√½, ±√2, ∞
// Layout: partial [G,6,6,C,K/4], grad_weight [3,3,C,K/4]; two f32 travel as one u64. `pairs` is C·K / 2.
// Work:   an invocation does two k of one c: 36 loads a group, 9 stores.
// Needs:  int64.

struct Params { pairs: u32, parts: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partial: array<u64>;
@group(0) @binding(2) var<storage, read_write> grad_weight: array<u64>;

struct Three { a: vec2f, b: vec2f, c: vec2f }

// Gt · (a, .., f).
fn transform(a: vec2f, b: vec2f, c: vec2f, d: vec2f, e: vec2f, f: vec2f) -> Three {
    let near = 2.0 / 3.0 * (b + c);
    let far = 1.0 / 6.0 * (d + e);
    let rest = 2.0 / 3.0 * NEAR * (c - b) + 1.0 / 6.0 * FAR * (d - e);
    return Three(a - near + far, rest, 2.0 * far - 0.5 * near + f);
}

fn column(at: u32) -> Three {
    let step = params.pairs;
    let a = unpack(partial[at]);
    let b = unpack(partial[at + 6u * step]);
    let c = unpack(partial[at + 12u * step]);
    let d = unpack(partial[at + 18u * step]);
    let e = unpack(partial[at + 24u * step]);
    let f = unpack(partial[at + 30u * step]);
    return transform(a, b, c, d, e, f);
}

fn plus(a: Three, b: Three) -> Three {
    return Three(a.a + b.a, a.b + b.b, a.c + b.c);
}

fn put(at: u32, s: Three) {
    grad_weight[at] = pack(s.a);
    grad_weight[at + params.pairs] = pack(s.b);
    grad_weight[at + 2u * params.pairs] = pack(s.c);
}

@compute @workgroup_size(64)
fn conv2d_grad_weight_winograd_filter(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let at = (group.x + group.y * groups.x) * 64u + local;
    if at >= params.pairs {
        return;
    }
    var top = Three();
    var middle = Three();
    var bottom = Three();
    for (var part = 0u; part < params.parts; part++) {
        let first = part * 36u * params.pairs + at;
        let p = column(first);
        let q = column(first + params.pairs);
        let r = column(first + 2u * params.pairs);
        let s = column(first + 3u * params.pairs);
        let t = column(first + 4u * params.pairs);
        let u = column(first + 5u * params.pairs);
        top = plus(top, transform(p.a, q.a, r.a, s.a, t.a, u.a));
        middle = plus(middle, transform(p.b, q.b, r.b, s.b, t.b, u.b));
        bottom = plus(bottom, transform(p.c, q.c, r.c, s.c, t.c, u.c));
    }
    put(at, top);
    put(at + 3u * params.pairs, middle);
    put(at + 6u * params.pairs, bottom);
}
