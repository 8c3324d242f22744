// conv2d_grad_input_winograd_output: the input's gradient of a 3 × 3 convolution from the products of Winograd's F(4×4, 3×3), whose windows overlap.
//   grad_x[n,y,x,c] = Σ over the tiles t whose windows have the pixel of Σ_{i,j} Bt[i, y - 4·ty + ph] · Bt[j, x - 4·tx + pw] · m[i,j,t,c]
//   ADD: grad_x += other     MASK: then x > 0 ? grad_x : 0
// Layout: m [6,6,T,C/4] in f32, t = (n, ty, tx); grad_x, other, x [N,H,W,C/4]; two f32 travel as one u64. T =
//         N·tiles_h·tiles_w. What the variant does not name is not touched.
// Work:   an invocation does two c of the inner 4 × 4 pixels of one tile's window of 6 × 6: 36 loads, 28 of the tiles beside it, which
//         share the edges of the 4 × 4; up to 16 stores. With a border of zeros every pixel is an inner one.
// Needs:  int64. ph and pw at least 1; at most 2²⁴ invocations. Variants: f16, ADD, MASK.

override ADD: bool = false;
override MASK: bool = false;

struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, pad_h: u32, pad_w: u32,
    tiles_h: u32, tiles_w: u32, tiles: u32, column_groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> m: array<u64>;
@group(0) @binding(2) var<storage, read_write> grad_x: array<Stored>;
@group(0) @binding(3) var<storage, read_write> other: array<Stored>;
@group(0) @binding(4) var<storage, read_write> x: array<Stored>;

struct Quad { a: vec2f, b: vec2f, c: vec2f, d: vec2f }

// The inner four of B · (a, .., f), with the last of the window before and the first of the one behind.
fn transform(a: vec2f, b: vec2f, c: vec2f, d: vec2f, e: vec2f, f: vec2f, before: vec2f, behind: vec2f) -> Quad {
    let near = b + c;
    let far = d + e;
    let near_rest = NEAR * (c - b);
    let far_rest = FAR * (d - e);
    return Quad(
        2.0 * near_rest - 0.5 * far_rest + f + before,
        -2.5 * a - 2.0 * near - 0.5 * far,
        far_rest - near_rest - 2.5 * f,
        a + near + far + behind,
    );
}

// A tile, the step from it to those above and below, and whether there are any; the step from one position to the next.
struct Place { line: u32, above: bool, below: bool, step: u32 }

fn value(at: u32, inside: bool) -> vec2f {
    return select(vec2f(), unpack(m[select(0u, at, inside)]), inside);
}

// Column `at` of positions: that of a tile, or of one beside it, if there is one.
fn column(at: u32, inside: bool, place: Place) -> Quad {
    let step = place.step;
    let a = value(at, inside);
    let b = value(at + 6u * step, inside);
    let c = value(at + 12u * step, inside);
    let d = value(at + 18u * step, inside);
    let e = value(at + 24u * step, inside);
    let f = value(at + 30u * step, inside);
    let before = value(at + 30u * step - place.line, inside && place.above);
    let behind = value(at + place.line, inside && place.below);
    return transform(a, b, c, d, e, f, before, behind);
}

// What follows the sum at one pixel: its row of all images, its column, its pair of channels.
fn finish(row: u32, at_x: u32, c: u32, sum: vec2f) {
    // What lies left of the image has wrapped.
    if at_x < params.w {
        let at = (row * params.w + at_x) * 2u * params.c4 + c;
        var value = sum;
        if ADD {
            value += widen(other[at]);
        }
        if MASK {
            value = select(vec2f(), value, widen(x[at]) > vec2f());
        }
        grad_x[at] = narrow(value);
    }
}

fn finish_row(image: u32, at_y: u32, at_x: u32, c: u32, values: Quad) {
    if at_y < params.h {
        let row = image * params.h + at_y;
        finish(row, at_x, c, values.a);
        finish(row, at_x + 1u, c, values.b);
        finish(row, at_x + 2u, c, values.c);
        finish(row, at_x + 3u, c, values.d);
    }
}

@compute @workgroup_size(64)
fn conv2d_grad_input_winograd_output(
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
    let ty = line - image * params.tiles_h;
    let tx = tile - line * params.tiles_w;
    let place = Place(params.tiles_w * pairs, ty > 0u, ty + 1u < params.tiles_h, step);
    let p = column(at, true, place);
    let q = column(at + step, true, place);
    let r = column(at + 2u * step, true, place);
    let s = column(at + 3u * step, true, place);
    let t = column(at + 4u * step, true, place);
    let u = column(at + 5u * step, true, place);
    let left = column(at + 5u * step - pairs, tx > 0u, place);
    let right = column(at + pairs, tx + 1u < params.tiles_w, place);
    let at_y = 4u * ty + 1u - params.pad_h;
    let at_x = 4u * tx + 1u - params.pad_w;
    finish_row(image, at_y, at_x, c, transform(p.a, q.a, r.a, s.a, t.a, u.a, left.a, right.a));
    finish_row(image, at_y + 1u, at_x, c, transform(p.b, q.b, r.b, s.b, t.b, u.b, left.b, right.b));
    finish_row(image, at_y + 2u, at_x, c, transform(p.c, q.c, r.c, s.c, t.c, u.c, left.c, right.c));
    finish_row(image, at_y + 3u, at_x, c, transform(p.d, q.d, r.d, s.d, t.d, u.d, left.d, right.d));
}
