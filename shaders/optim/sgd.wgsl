// sgd: a step of gradient descent with momentum as PyTorch defines it, Nesterov's in the variant NESTEROV.
//   g = gradient + weight_decay · p;  b = first ? g : momentum · b + g
//   p -= lr · b     NESTEROV: p -= lr · (g + momentum · b)
//   SCALED: gradient is divided by the loss's scale, and a skipped step touches nothing
// Layout: schedule [8] f32: [0] lr, [3] first, not 0 in the first step; scaling [8] f32, see loss_scale; gradient, parameter, moment1 (b) [count] vec4.
// Work:   an invocation does one vec4; invocations beyond the end do nothing.
// Needs:  default limits. Variants: NESTEROV, SCALED.

override NESTEROV: bool = false;
override SCALED: bool = false;

struct Params { count: u32, momentum: f32, weight_decay: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> schedule: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> parameter: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> moment1: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> scaling: array<f32>;

@compute @workgroup_size(64)
fn sgd(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    if i >= params.count {
        return;
    }
    let p = parameter[i];
    var g = gradient[i];
    if SCALED {
        if scaling[2] != 0.0 {
            return;
        }
        g *= scaling[1];
    }
    g += params.weight_decay * p;
    var b = g;
    if schedule[3] == 0.0 {
        b += params.momentum * moment1[i];
    }
    moment1[i] = b;
    if NESTEROV {
        b = g + params.momentum * b;
    }
    parameter[i] = p - schedule[0] * b;
}
