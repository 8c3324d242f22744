// max_pool2d_grad: the gradient of max_pool2d, gathered from the windows that each element is in.
//   grad_x[n,h,w,c] = Σ grad_y[n,p,q,c]     over the windows (p, q) whose winner is (h, w)
// Layout: grad_y vec4 [N,P,Q,columns]; winner [N,P,Q,columns] u32, four bytes, the first the lowest; grad_x [N,H,W,columns] vec4; count = N·H·W·parts.
// Work:   an invocation does every parts-th vec4 of one pixel of grad_x, at most 4, so that the index is divided once;
//         windows in row-major order; invocations beyond the end do nothing.
// Needs:  default limits. Variants: f16 (shader-f16), WORDS (64-bit integers; only f32).

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override WORDS: bool = false;

// A vec4, as it is loaded and stored: WORDS as two u64, which halves what an adapter pays for whose lanes load one after the other.
alias Vector = vec4<Stored>; // without WORDS
// only WORDS: alias Vector = vec2<u64>;
fn widen(v: Vector) -> vec4f { return vec4f(v); } // without WORDS
// only WORDS: fn widen(v: Vector) -> vec4f { return bitcast<vec4f>(vec4u(vec2u(v), vec2u(v >> vec2u(32u))).xzyw); }
fn narrow(v: vec4f) -> Vector { return vec4<Stored>(v); } // without WORDS
// only WORDS: fn narrow(v: vec4f) -> Vector { return vec2<u64>(bitcast<vec4u>(v).xz) | (vec2<u64>(bitcast<vec4u>(v).yw) << vec2u(32u)); }

struct Params {
    count: u32,
    columns: u32,
    parts: u32,
    h: u32,
    w: u32,
    out_h: u32,
    out_w: u32,
    window_h: u32,
    window_w: u32,
    stride_h: u32,
    stride_w: u32,
    padding_h: u32,
    padding_w: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<Vector>;
@group(0) @binding(2) var<storage, read_write> winner: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<Vector>;

// The windows [first, end) that position `at` of the padded axis is in.
fn windows(at: u32, window: u32, stride: u32, count: u32) -> vec2u {
    let passed = select(0u, (at - window) / stride + 1u, at >= window);
    return vec2u(passed, min(at / stride + 1u, count));
}

@compute @workgroup_size(64)
fn max_pool2d_grad(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    if i >= params.count {
        return;
    }
    let pixel = i / params.parts;
    let row = pixel / params.w;
    let image = row / params.h;
    let v = row - image * params.h + params.padding_h;
    let u = pixel - row * params.w + params.padding_w;
    let rows = windows(v, params.window_h, params.stride_h, params.out_h);
    let columns = windows(u, params.window_w, params.stride_w, params.out_w);
    for (var column = i - pixel * params.parts; column < params.columns; column += params.parts) {
        var sum = vec4f();
        for (var p = rows.x; p < rows.y; p++) {
            for (var q = columns.x; q < columns.y; q++) {
                let place = (v - p * params.stride_h) * params.window_w + u - q * params.stride_w;
                let at = ((image * params.out_h + p) * params.out_w + q) * params.columns + column;
                sum += select(vec4f(), widen(grad_y[at]), ((vec4u(winner[at]) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xFFu)) == vec4u(place));
            }
        }
        grad_x[pixel * params.columns + column] = narrow(sum);
    }
}
