// adam: a step of Adam (Kingma and Ba 2015), or of AdamW (Loshchilov and Hutter 2019) in the variant DECOUPLED.
//   g = grad + weight_decay · p                    DECOUPLED: g = grad, p -= lr · weight_decay · p
//   m = beta1 · m + (1 - beta1) · g;  v = beta2 · v + (1 - beta2) · g²
//   p -= lr · (m · inverse1) / (√v · inverse2 + eps)     inverse1 = 1 / (1 - beta1^t), inverse2 = 1 / √(1 - beta2^t)
//   SCALED: g is divided by the loss's scale, inverse1 and inverse2 count good steps only, and a skipped step touches nothing
// Layout: schedule [8] f32: [0] lr, [1] inverse1, [2] inverse2; scaling [8] f32, see loss_scale; gradient, parameter, moment1, moment2 [count] vec4.
// Work:   an invocation does one vec4; invocations beyond the end do nothing.
// Needs:  default limits. Variants: DECOUPLED, SCALED.

override DECOUPLED: bool = false;
override SCALED: bool = false;

// rest1, rest2: 1 - beta1 and 1 - beta2, rounded once.
struct Params {
    count: u32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    eps: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> schedule: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> parameter: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> moment1: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> moment2: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> scaling: array<f32>;

@compute @workgroup_size(64)
fn adam(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    if i >= params.count {
        return;
    }
    let rate = schedule[0];
    var inverse = vec2f(schedule[1], schedule[2]);
    var p = parameter[i];
    var g = gradient[i];
    if SCALED {
        if scaling[2] != 0.0 {
            return;
        }
        g *= scaling[1];
        inverse = vec2f(scaling[6], scaling[7]);
    }
    if DECOUPLED {
        p -= rate * params.weight_decay * p;
    } else {
        g += params.weight_decay * p;
    }
    let m = params.beta1 * moment1[i] + params.rest1 * g;
    let v = params.beta2 * moment2[i] + params.rest2 * g * g;
    moment1[i] = m;
    moment2[i] = v;
    parameter[i] = p - rate * (m * inverse.x) / (sqrt(v) * inverse.y + params.eps);
}
