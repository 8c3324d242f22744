// add: the sum of two tensors, rectified in the variant RELU.
//   y[i] = a[i] + b[i]     RELU: y[i] = max(a[i] + b[i], 0)
// Layout: a, b, y [count] vec4.
// Work:   an invocation does EACH vec4s, 64 apart so that neighbours read neighbours; those beyond the end are skipped.
// Needs:  default limits. Variants: RELU.

override RELU: bool = false;
const EACH = 4u;

struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> a: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn add(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (group.x + group.y * groups.x) * EACH * 64u;
    let last = min(first + EACH * 64u, params.count);
    for (var i = first + lane; i < last; i += 64u) {
        var sum = a[i] + b[i];
        if RELU {
            sum = max(sum, vec4f());
        }
        y[i] = sum;
    }
}
