// relu: the rectifier.
//   y[i] = max(x[i], 0)
// Layout: x, y [count] vec4.
// Work:   an invocation does EACH vec4s, 64 apart so that neighbours read neighbours; those beyond the end are skipped.
// Needs:  default limits.

const EACH = 4u;

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
    let first = (group.x + group.y * groups.x) * EACH * 64u;
    let last = min(first + EACH * 64u, params.count);
    for (var i = first + lane; i < last; i += 64u) {
        y[i] = max(x[i], vec4f());
    }
}
