// relu_grad: the gradient of the rectifier, by the sign of its output.
//   grad_x[i] = y[i] > 0 ? grad_y[i] : 0
// Layout: grad_y, y, grad_x [count] vec4.
// Work:   an invocation does EACH vec4s, 64 apart so that neighbours read neighbours; those beyond the end are skipped.
// Needs:  default limits. Variants: f16 (shader-f16).

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

const EACH = 4u;

struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<vec4<Stored>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<Stored>>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<vec4<Stored>>;

@compute @workgroup_size(64)
fn relu_grad(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (group.x + group.y * groups.x) * EACH * 64u;
    let last = min(first + EACH * 64u, params.count);
    for (var i = first + lane; i < last; i += 64u) {
        grad_x[i] = vec4<Stored>(select(vec4f(), vec4f(grad_y[i]), vec4f(y[i]) > vec4f()));
    }
}
