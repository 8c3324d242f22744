// copy: the memory's measured peak, and what sweeps the caches.
//   y[i] = x[i]
// Layout: x, y [n] vec4.
// Work:   an invocation copies EACH vectors, a workgroup's width apart, so that neighbours copy neighbours.
// Needs:  default limits. Variants: EACH.

struct Params {
    n: u32, // vectors
}

override EACH: u32 = 1;
const WIDTH: u32 = 256;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>; // [n]
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>; // [n]

@compute @workgroup_size(WIDTH)
fn copy(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let first = (group.x + group.y * groups.x) * WIDTH * EACH + local;
    for (var i = 0u; i < EACH; i++) {
        let at = first + i * WIDTH;
        if at < params.n {
            y[at] = x[at];
        }
    }
}
