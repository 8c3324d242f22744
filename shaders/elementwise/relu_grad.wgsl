// relu_grad: the gradient of the rectifier, by the sign of its output.
//   grad_x[i] = y[i] > 0 ? grad_y[i] : 0
// Layout: grad_y, y, grad_x [count] vec4.
// Work:   an invocation does one vec4; invocations beyond the end do nothing.
// Needs:  default limits.

struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<vec4f>;

@compute @workgroup_size(64)
fn relu_grad(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    if i >= params.count {
        return;
    }
    grad_x[i] = select(vec4f(), grad_y[i], y[i] > vec4f());
}
