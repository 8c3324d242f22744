// avg_pool2d: the mean of each window; there is no padding.
//   y[n,p,q,c] = share · Σ x[n, p·stride + r, q·stride + s, c]     over r, s;  share = 1 / (window_h · window_w)
// Layout: x [N,H,W,columns] vec4; y [N,P,Q,columns] vec4; count = N·P·Q·parts.
// Work:   an invocation does every parts-th vec4 of one pixel of y, at most 4, so that the index is divided once;
//         invocations beyond the end do nothing.
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
@group(0) @binding(1) var<storage, read_write> x: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<Stored>>;

@compute @workgroup_size(64)
fn avg_pool2d(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    if i >= params.count {
        return;
    }
    let pixel = i / params.parts;
    let row = pixel / params.out_w;
    let image = row / params.out_h;
    let top = (row - image * params.out_h) * params.stride_h;
    let left = (pixel - row * params.out_w) * params.stride_w;
    for (var column = i - pixel * params.parts; column < params.columns; column += params.parts) {
        var sum = vec4f();
        for (var r = 0u; r < params.window_h; r++) {
            let source = (image * params.h + top + r) * params.w + left;
            for (var s = 0u; s < params.window_w; s++) {
                sum += vec4f(x[(source + s) * params.columns + column]);
            }
        }
        y[pixel * params.columns + column] = vec4<Stored>(sum * params.share);
    }
}
