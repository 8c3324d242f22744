// avg_pool2d_grad: the gradient of avg_pool2d, gathered from the windows that each element is in.
//   grad_x[n,h,w,c] = share · Σ grad_y[n,p,q,c]     over the windows (p, q) with (h, w) in them
// Layout: grad_y [N,P,Q,columns] vec4; grad_x [N,H,W,columns] vec4; count = N·H·W·parts.
// Work:   an invocation does every parts-th vec4 of one pixel of grad_x, at most 4, so that the index is divided once;
//         windows in row-major order; invocations beyond the end do nothing.
// Needs:  default limits. Variants: f16 (shader-f16).

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

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
    share: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> grad_x: array<vec4<Stored>>;

// The windows [first, end) that position `at` of the axis is in.
fn windows(at: u32, window: u32, stride: u32, count: u32) -> vec2u {
    let passed = select(0u, (at - window) / stride + 1u, at >= window);
    return vec2u(passed, min(at / stride + 1u, count));
}

@compute @workgroup_size(64)
fn avg_pool2d_grad(
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
    let v = row - image * params.h;
    let u = pixel - row * params.w;
    let rows = windows(v, params.window_h, params.stride_h, params.out_h);
    let columns = windows(u, params.window_w, params.stride_w, params.out_w);
    for (var column = i - pixel * params.parts; column < params.columns; column += params.parts) {
        var sum = vec4f();
        for (var p = rows.x; p < rows.y; p++) {
            for (var q = columns.x; q < columns.y; q++) {
                sum += vec4f(grad_y[((image * params.out_h + p) * params.out_w + q) * params.columns + column]);
            }
        }
        grad_x[pixel * params.columns + column] = vec4<Stored>(sum * params.share);
    }
}
