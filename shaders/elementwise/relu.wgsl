// relu: the rectifier.
//   y[i] = max(x[i], 0)
// Layout: x, y [count] vec4.
// Work:   an invocation does EACH vec4s, 64 apart so that neighbours read neighbours; those beyond the end are skipped.
// Needs:  default limits. Variants: f16 (shader-f16).

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

const EACH = 4u;

struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<Stored>>;

@compute @workgroup_size(64)
fn relu(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (group.x + group.y * groups.x) * EACH * 64u;
    let last = min(first + EACH * 64u, params.count);
    for (var i = first + lane; i < last; i += 64u) {
        y[i] = vec4<Stored>(max(vec4f(x[i]), vec4f()));
    }
}
