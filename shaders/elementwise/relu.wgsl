// relu: the rectifier.
//   y[i] = max(x[i], 0)
// Layout: x, y [count] vec4.
// Work:   an invocation does one vec4; invocations beyond the end do nothing.
// Needs:  default limits.

struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn relu(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    if i >= params.count {
        return;
    }
    y[i] = max(x[i], vec4f());
}
