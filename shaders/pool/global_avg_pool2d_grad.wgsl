// global_avg_pool2d_grad: the gradient of global_avg_pool2d.
//   grad_x[n,m,c] = share · grad_y[n,c]     for every pixel m;  share = 1 / pixels
// Layout: grad_y [N, columns] vec4; grad_x [N, pixels, columns] vec4; count = N·columns.
// Work:   an invocation writes one vec4 column of one image; invocations beyond the end do nothing.
// Needs:  default limits. Variants: f16 (shader-f16).

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

struct Params { count: u32, columns: u32, pixels: u32, share: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> grad_x: array<vec4<Stored>>;

@compute @workgroup_size(64)
fn global_avg_pool2d_grad(
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
    let value = vec4f(grad_y[i]) * params.share;
    for (var pixel = 0u; pixel < params.pixels; pixel++) {
        grad_x[first + pixel * params.columns] = vec4<Stored>(value);
    }
}
