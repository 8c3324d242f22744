// objective_terms: every per-image term of the objective, and its derivatives by the logits before any mean over images.
//   -log p_e = max z - z_e + log Σ exp(z - max z)      q_i = Σ_e p_e R[e][i]      s_e = Σ_i W[e][i] [i annotated and on]
//   terms: expression, action units, Σ_i H(p_i, q_i), -Σ_e softmax(s)_e log p_e, co-annotated action units
// Layout: logits [N, WIDTH]; labels [N] of 8 words: flags (1 present, 2 valence and arousal), class, unit mask (2 words), units
//         on (2), valence, arousal; tables R [E][A], W [E][A] (both only where coupled), Σ_i W [E], class weights [E],
//         positive weights [A];
//         scratch rows of N: 5 terms, 5 shares of the image in their means, valence and arousal (labelled, p, p), then
//         p [E], ∂expression [E], ∂soft co-annotation [E], ∂units [A], ∂co-annotated [A], ∂H/∂z_i [A], ∂H/∂q [A], q [A].
// Work:   an invocation does one image: the one read of its logits. SPREAD, for many classes: a workgroup does one image, a lane
//         every 64th class and one action unit; see objective_lanes.
// Needs:  default limits. Variants: f16 (shader-f16), SPREAD.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

struct Params {
    batch: u32,
    width: u32,
    class_column: u32,
    classes: u32,
    unit_column: u32,
    action_units: u32,
    valence: u32,
    valence_arousal: u32, // 0 no such task, 1 linear, 2 tanh
    cells: u32, // E A where tables couple the classes and the units, else 0
    bernoulli: u32,
    stop_gradient: u32, // 0 none, 1 at q, 2 at p
    sca_with_expression: u32,
    co_annotate: u32,
    label_smoothing: f32,
}

override SPREAD: bool = false;
const CLAMP = 1e-6; // q lies within [CLAMP, 1 - CLAMP]
const ROWS = 13u; // before those of the classes

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<Stored>;
@group(0) @binding(2) var<storage, read_write> labels: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> tables: array<f32>;
@group(0) @binding(4) var<storage, read_write> scratch: array<f32>;

fn bit(words: vec2u, i: u32) -> bool {
    return ((select(words.x, words.y, i >= 32u) >> (i & 31u)) & 1u) == 1u;
}

// H(p_i, q_i), and its derivatives by the logit of p_i and by q_i into the scratch.
fn matching(image: u32, i: u32, p: f32, not_p: f32) -> f32 {
    var q = 0.0;
    var not_q = 0.0; // summed on its own: 1 - q would lose its digits where q is almost 1
    for (var e = 0u; e < params.classes; e++) {
        let r = tables[e * params.action_units + i];
        let p_e = scratch[at(ROWS + e, image)];
        q += p_e * r;
        not_q += p_e * (1.0 - r);
    }
    let clamped = min(q, not_q) < CLAMP;
    q = clamp(q, CLAMP, 1.0 - CLAMP);
    not_q = clamp(not_q, CLAMP, 1.0 - CLAMP);
    let other = f32(params.bernoulli);
    let log_q = log(q);
    let log_not_q = other * log(not_q);
    let row = ROWS + 3u * params.classes + 2u * params.action_units + i;
    let grad_q = other * not_p / not_q - p / q;
    scratch[at(row, image)] = select((log_not_q - log_q) * p * not_p, 0.0, params.stop_gradient == 2u);
    scratch[at(row + params.action_units, image)] = select(grad_q, 0.0, clamped || params.stop_gradient == 1u);
    scratch[at(row + 2u * params.action_units, image)] = select(q, -not_q, q > 0.5); // 1 - q as its negative
    return -p * log_q - not_p * log_not_q;
}

// Terms and derivatives of the action units, matching and co-annotation; `on` are those annotated and on.
fn action_units(image: u32, label: vec4u, on: vec2u, lane: u32) -> vec3f {
    let annotated = f32(countOneBits(label.z) + countOneBits(label.w));
    let co_annotated = params.co_annotate == 1u && label.y < params.classes && annotated == 0.0;
    let wanted = select(0.0, tables[2u * params.cells + min(label.y, max(params.classes, 1u) - 1u)], co_annotated);
    var terms = vec3f();
    for (var i = lane; i < params.action_units; i += LANES) {
        let z = f32(logits[image * params.width + params.unit_column + i]);
        let tail = exp(-abs(z));
        let p = select(tail, 1.0, z >= 0.0) / (1.0 + tail);
        let not_p = select(1.0, tail, z >= 0.0) / (1.0 + tail);
        let if_on = max(-z, 0.0) + log1p(tail); // -log p
        let if_off = max(z, 0.0) + log1p(tail); // -log (1 - p)
        let row = ROWS + 3u * params.classes + i;
        if bit(label.zw, i) {
            let positive = tables[2u * (params.cells + params.classes) + i];
            terms.x += select(if_off, positive * if_on, bit(on, i)) / annotated;
            scratch[at(row, image)] = select(p, -positive * not_p, bit(on, i)) / annotated;
        }
        if params.cells > 0u {
            terms.y += matching(image, i, p, not_p);
        }
        if wanted > 0.0 {
            let weight = tables[params.cells + label.y * params.action_units + i] / wanted;
            terms.z += weight * if_on;
            scratch[at(row + params.action_units, image)] = -weight * not_p;
        }
    }
    if lane == 0u {
        scratch[at(6u, image)] = f32(annotated > 0.0);
        scratch[at(9u, image)] = f32(wanted > 0.0);
    }
    return terms;
}

// The weighted, smoothed label of class `e` where the label is `class_label`.
fn wished(e: u32, class_label: u32) -> f32 {
    let weight = tables[2u * params.cells + params.classes + e];
    let even = params.label_smoothing / f32(params.classes);
    return weight * (even + select(0.0, 1.0 - params.label_smoothing, e == class_label));
}

// Terms and derivatives of the expressions and of soft co-annotation.
fn expressions(image: u32, label: vec4u, on: vec2u, lane: u32) -> vec2f {
    let has_class = label.y < params.classes;
    let soft = params.cells > 0u && any(label.zw != vec2u()) && (!has_class || params.sca_with_expression == 1u);
    let soft_row = ROWS + 2u * params.classes;
    var mine = 0.0;
    for (var e = lane; e < params.classes; e += LANES) {
        scratch[at(ROWS + e, image)] = f32(logits[image * params.width + params.class_column + e]);
        mine += select(0.0, wished(e, label.y), has_class);
        var wanted = 0.0;
        for (var i = 0u; i < select(0u, params.action_units, soft); i++) {
            let weight = tables[params.cells + e * params.action_units + i];
            wanted += select(0.0, weight, bit(on, i));
        }
        scratch[at(soft_row + e, image)] = wanted;
    }
    let mass = total(vec4f(mine), lane).x; // of the label
    let norm = softmax(ROWS, image, lane);
    if soft { _ = softmax(soft_row, image, lane); }
    var terms = vec2f();
    for (var e = lane; e < params.classes; e += LANES) {
        let loss = (norm.x - f32(logits[image * params.width + params.class_column + e])) + norm.y; // -log p_e
        let p = scratch[at(ROWS + e, image)];
        let q = scratch[at(soft_row + e, image)];
        let own = select(0.0, wished(e, label.y), has_class);
        terms += vec2f(own, select(0.0, q, soft)) * loss;
        scratch[at(ROWS + params.classes + e, image)] = mass * p - own;
        scratch[at(soft_row + e, image)] = select(0.0, p - q, soft);
    }
    if lane == 0u {
        scratch[at(5u, image)] = select(0.0, tables[2u * params.cells + params.classes + min(label.y, params.classes - 1u)], has_class);
        scratch[at(8u, image)] = f32(soft);
    }
    return terms;
}

@compute @workgroup_size(64)
fn objective_terms(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) invocation: u32,
) {
    let place = group.x + group.y * groups.x;
    let image = image_of(place, invocation);
    let lane = invocation % LANES;
    if image >= params.batch {
        return;
    }
    let end = at(ROWS + 3u * params.classes + 5u * params.action_units, 0u);
    for (var element = at(lane, image); element < end; element += LANES * params.batch) {
        scratch[element] = 0.0;
    }
    share_scratch();
    let label = label_of(image, lane);
    if (label[0].x & 1u) == 0u {
        return;
    }
    let on = label[0].zw & label[1].xy;
    var classes = vec2f();
    if params.classes > 0u {
        classes = expressions(image, label[0], on, lane);
        share_scratch();
    }
    let units = action_units(image, label[0], on, lane);
    let terms = total(vec4f(classes.x, units.xy, classes.y), lane);
    let co_annotated = total(vec4f(units.z), lane).x;
    if lane > 0u {
        return;
    }
    for (var term = 0u; term < 4u; term++) {
        scratch[at(term, image)] = terms[term];
    }
    scratch[at(4u, image)] = co_annotated;
    scratch[at(7u, image)] = 1.0;
    if params.valence_arousal > 0u && (label[0].x & 2u) == 2u {
        scratch[at(10u, image)] = 1.0;
        for (var axis = 0u; axis < 2u; axis++) {
            // Beyond ±10 tanh is ±1 in f32, and some drivers overflow in it.
            let x = f32(logits[image * params.width + params.valence + axis]);
            scratch[at(11u + axis, image)] = select(x, tanh(clamp(x, -10.0, 10.0)), params.valence_arousal == 2u);
        }
    }
}
