// adam: a step of Adam (Kingma and Ba 2015), or of AdamW (Loshchilov and Hutter 2019) in the variant DECOUPLED.
//   g = grad + weight_decay · p                    DECOUPLED: g = grad, p -= lr · weight_decay · p
//   m = beta1 · m + (1 - beta1) · g;  v = beta2 · v + (1 - beta2) · g²
//   p -= lr · (m · inverse1) / (√v · inverse2 + eps)     inverse1 = 1 / (1 - beta1^t), inverse2 = 1 / √(1 - beta2^t)
//   SCALED: g is divided by the loss's scale, inverse1 and inverse2 count good steps only, and a skipped step touches nothing
// Layout: schedule [8] f32: [0] lr, [1] inverse1, [2] inverse2; scaling [8] f32, see loss_scale; gradient, parameter, moment1, moment2 [count] vec4.
// Work:   an invocation does one vec4; invocations beyond the end do nothing.
// Needs:  default limits. Variants: DECOUPLED, SCALED, WORDS (64-bit integers).

override DECOUPLED: bool = false;
override SCALED: bool = false;
override WORDS: bool = false;

// A vec4, as it is loaded and stored: WORDS as two u64, which halves what an adapter pays for whose lanes load one after the other.
alias Vector = vec4f; // without WORDS
// only WORDS: alias Vector = vec2<u64>;
fn widen(v: Vector) -> vec4f { return v; } // without WORDS
// only WORDS: fn widen(v: Vector) -> vec4f { return bitcast<vec4f>(vec4u(vec2u(v), vec2u(v >> vec2u(32u))).xzyw); }
fn narrow(v: vec4f) -> Vector { return v; } // without WORDS
// only WORDS: fn narrow(v: vec4f) -> Vector { return vec2<u64>(bitcast<vec4u>(v).xz) | (vec2<u64>(bitcast<vec4u>(v).yw) << vec2u(32u)); }

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
@group(0) @binding(2) var<storage, read_write> gradient: array<Vector>;
@group(0) @binding(3) var<storage, read_write> parameter: array<Vector>;
@group(0) @binding(4) var<storage, read_write> moment1: array<Vector>;
@group(0) @binding(5) var<storage, read_write> moment2: array<Vector>;
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
    var p = widen(parameter[i]);
    var g = widen(gradient[i]);
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
    let m = params.beta1 * widen(moment1[i]) + params.rest1 * g;
    let v = params.beta2 * widen(moment2[i]) + params.rest2 * g * g;
    moment1[i] = narrow(m);
    moment2[i] = narrow(v);
    parameter[i] = narrow(p - rate * (m * inverse.x) / (sqrt(v) * inverse.y + params.eps));
}
