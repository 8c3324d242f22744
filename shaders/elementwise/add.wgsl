// add: the sum of two tensors, rectified in the variant RELU.
//   y[i] = a[i] + b[i]     RELU: y[i] = max(a[i] + b[i], 0)
// Layout: a, b, y [count] vec4.
// Work:   an invocation does one vec4; invocations beyond the end do nothing.
// Needs:  default limits. Variants: RELU.

override RELU: bool = false;

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
    let i = (group.x + group.y * groups.x) * 64u + lane;
    if i >= params.count {
        return;
    }
    var sum = a[i] + b[i];
    if RELU {
        sum = max(sum, vec4f());
    }
    y[i] = sum;
}
