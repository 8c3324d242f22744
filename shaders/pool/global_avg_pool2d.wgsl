// global_avg_pool2d: the mean of each channel over the whole image.
//   y[n,c] = share · Σ x[n,m,c]     over the pixels m;  share = 1 / pixels
// Layout: x [N, pixels, columns] vec4; y [N, columns] vec4; count = N·columns.
// Work:   an invocation sums one vec4 column of one image; invocations beyond the end do nothing.
// Needs:  default limits. Variants: f16 (shader-f16).

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

struct Params { count: u32, columns: u32, pixels: u32, share: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<Stored>>;

@compute @workgroup_size(64)
fn global_avg_pool2d(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    if i >= params.count {
        return;
    }
    let image = i / params.columns;
    let first = image * params.pixels * params.columns + i - image * params.columns;
    var sum = vec4f();
    for (var pixel = 0u; pixel < params.pixels; pixel++) {
        sum += vec4f(x[first + pixel * params.columns]);
    }
    y[i] = vec4<Stored>(sum * params.share);
}
