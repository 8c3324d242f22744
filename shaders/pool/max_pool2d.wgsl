// max_pool2d: the largest element of each window, and its place for the gradient.
//   y[n,p,q,c] = max over r, s of x[n, p·stride + r - padding, q·stride + s - padding, c];  winner = r·window_w + s
//   MAPPED: of max(x · scale[c] + shift[c], 0): a normalisation and a rectifier before the pooling
//   What lies outside the image does not take part. Of equal elements the first wins and NaN wins over all, as in PyTorch.
// Layout: x [N,H,W,columns] vec4; y vec4 [N,P,Q,columns]; winner [N,P,Q,columns] u32, four bytes, the first the lowest; affine
//         [2,columns] vec4: scale, shift, not touched without MAPPED; count = N·P·Q·parts.
// Work:   an invocation does every parts-th vec4 of one pixel of y, at most 4, so that the index is divided once;
//         invocations beyond the end do nothing.
// Needs:  default limits. Variants: f16 (shader-f16), MAPPED.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override MAPPED: bool = false;

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
@group(0) @binding(1) var<storage, read_write> x: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<Stored>>;
@group(0) @binding(3) var<storage, read_write> winner: array<u32>;
@group(0) @binding(4) var<storage, read_write> affine: array<vec4f>;

// By its bits: a compiler may take floating-point comparisons to never see NaN.
fn is_nan(value: vec4f) -> vec4<bool> {
    return (bitcast<vec4u>(value) & vec4u(0x7FFFFFFFu)) > vec4u(0x7F800000u);
}

@compute @workgroup_size(64)
fn max_pool2d(
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
    // The window in the padded image, and the part of it that lies on the image.
    let top = (row - image * params.out_h) * params.stride_h;
    let left = (pixel - row * params.out_w) * params.stride_w;
    let first_y = max(top, params.padding_h);
    let first_x = max(left, params.padding_w);
    let last_y = min(top + params.window_h, params.padding_h + params.h);
    let last_x = min(left + params.window_w, params.padding_w + params.w);
    for (var column = i - pixel * params.parts; column < params.columns; column += params.parts) {
        var scale = vec4f();
        var shift = vec4f();
        if MAPPED {
            scale = affine[column];
            shift = affine[params.columns + column];
        }
        var best = vec4f();
        var place = vec4u();
        for (var v = first_y; v < last_y; v++) {
            let source = (image * params.h + v - params.padding_h) * params.w;
            for (var u = first_x; u < last_x; u++) {
                var value = vec4f(x[(source + u - params.padding_w) * params.columns + column]);
                if MAPPED {
                    value = select(max(value * scale + shift, vec4f()), value, is_nan(value));
                }
                let first = v == first_y && u == first_x;
                let wins = vec4<bool>(first) | (value > best) | is_nan(value);
                best = select(best, value, wins);
                place = select(place, vec4u((v - top) * params.window_w + u - left), wins);
            }
        }
        y[pixel * params.columns + column] = vec4<Stored>(best);
        let bytes = place << vec4u(0u, 8u, 16u, 24u);
        winner[pixel * params.columns + column] = bytes.x | bytes.y | bytes.z | bytes.w;
    }
}
