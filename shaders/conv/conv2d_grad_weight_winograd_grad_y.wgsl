// conv2d_grad_weight_winograd_grad_y: the output's gradient of a 3 × 3 convolution, in tiles of 4 × 4, as both gradients by Winograd's F(4×4, 3×3) multiply it.
//   w[i,j,t,k] = Σ_{a,b} A[i,a] · A[j,b] · grad_y[n, 4·ty + a, 4·tx + b, k],     t = (n, ty, tx), 0 outside grad_y
// Layout: grad_y [N,Ho,Wo,K/4], w [6,6,T,K/4] in f32; two f32 travel as one u64. T = N·tiles_h·tiles_w.
// Work:   an invocation does two k of one tile: 16 loads, 36 stores.
// Needs:  int64. At most 2²⁴ invocations. Variants: f16.

struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, pad_h: u32, pad_w: u32,
    tiles_h: u32, tiles_w: u32, tiles: u32, column_groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<Stored>;
@group(0) @binding(2) var<storage, read_write> w: array<u64>;

struct Six { a: vec2f, b: vec2f, c: vec2f, d: vec2f, e: vec2f, f: vec2f }

// A · (a, b, c, d).
fn transform(a: vec2f, b: vec2f, c: vec2f, d: vec2f) -> Six {
    let even = a + 0.5 * c;
    let odd = NEAR * (b + 0.5 * d);
    let far_even = a + 2.0 * c;
    let far_odd = FAR * (b + 2.0 * d);
    return Six(a, even + odd, even - odd, far_even + far_odd, far_even - far_odd, d);
}

// A pixel of a row that begins at vector `row`, or 0 outside the image.
fn pixel(row: u32, x: u32, k: u32, inside: bool) -> vec2f {
    let counts = inside && x < params.wo;
    let at = select(0u, (row + x) * 2u * params.k4, counts);
    return select(vec2f(), widen(grad_y[at + k]), counts);
}

fn row(image: u32, y: u32, left: u32, k: u32) -> Six {
    let inside = y < params.ho;
    let first = (image + y) * params.wo;
    let a = pixel(first, left, k, inside);
    let b = pixel(first, left + 1u, k, inside);
    let c = pixel(first, left + 2u, k, inside);
    let d = pixel(first, left + 3u, k, inside);
    return transform(a, b, c, d);
}

fn put(at: u32, step: u32, s: Six) {
    w[at] = pack(s.a);
    w[at + 6u * step] = pack(s.b);
    w[at + 12u * step] = pack(s.c);
    w[at + 18u * step] = pack(s.d);
    w[at + 24u * step] = pack(s.e);
    w[at + 30u * step] = pack(s.f);
}

@compute @workgroup_size(64)
fn conv2d_grad_weight_winograd_grad_y(
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
    let k = at - tile * pairs;
    let line = divide(tile, params.tiles_w);
    let image = divide(line, params.tiles_h);
    let top = 4u * (line - image * params.tiles_h);
    let left = 4u * (tile - line * params.tiles_w);
    let first = image * params.ho;
    let p = row(first, top, left, k);
    let q = row(first, top + 1u, left, k);
    let r = row(first, top + 2u, left, k);
    let s = row(first, top + 3u, left, k);
    put(at, step, transform(p.a, q.a, r.a, s.a));
    put(at + step, step, transform(p.b, q.b, r.b, s.b));
    put(at + 2u * step, step, transform(p.c, q.c, r.c, s.c));
    put(at + 3u * step, step, transform(p.d, q.d, r.d, s.d));
    put(at + 4u * step, step, transform(p.e, q.e, r.e, s.e));
    put(at + 5u * step, step, transform(p.f, q.f, r.f, s.f));
}
