// objective_reduce: the values of the objective from the images' terms, and what every gradient must know of the batch.
//   loss[t] = Σ_images term[t] / Σ_images share[t]      total = Σ_t weight[t] loss[t], for uncertainty the first three as
//   weight[t] (loss[t] / m + log m), m = max(loss[t], 1e-3), where an image carries them
//   L_va = 1 - (CCC_valence + CCC_arousal) / 2 over the labelled images, 0 for fewer than two;  CCC = 2 cov(y, p) / D,
//   D = max(var(y) + var(p) + (mean(y) - mean(p))², 1e-8), population moments
// Layout: labels and scratch as objective_terms has them; losses [8]: expression, action units, valence and arousal,
//         distribution matching, soft co-annotation, co-annotated action units, total, images present. Writes 16 after the
//         scratch's rows: 5 factors ∂total/∂loss[t] / Σ share[t], 3 unused, and for each axis mean(y), CCC, -∂total/∂L_va / (n D), unused.
// Work:   one workgroup; a lane sums every 64th image, then a tree in fixed order; moments in two passes, mean first.
// Needs:  default limits.

struct Params {
    batch: u32,
    rows: u32,
    weight_expression: f32,
    weight_action_units: f32,
    weight_valence_arousal: f32,
    weight_distribution_matching: f32,
    weight_soft_co_annotation: f32,
    uncertainty: u32,
}

const LANES = 64u;
const GUARD = 1e-8; // of D, where every label and prediction is the same
const FLOOR = 1e-3; // below it a task's weight by uncertainty grows no more

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> labels: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> scratch: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;

// Four rows of the scratch from `k` on, at an image.
fn rows(k: u32, image: u32) -> vec4f {
    let first = k * params.batch + image;
    return vec4f(
        scratch[first],
        scratch[first + params.batch],
        scratch[first + 2u * params.batch],
        scratch[first + 3u * params.batch],
    );
}

fn labelled(image: u32) -> vec2f {
    return bitcast<vec2f>(labels[2u * image + 1u].zw);
}

fn predicted(image: u32) -> vec2f {
    return rows(10u, image).yz;
}

@compute @workgroup_size(64)
fn objective_reduce(@builtin(local_invocation_index) lane: u32) {
    var terms = vec4f();
    var shares = vec4f();
    var others = vec4f(); // term and share of co-annotated action units, images with valence and arousal
    var means = vec4f(); // y, p
    for (var image = lane; image < params.batch; image += LANES) {
        terms += rows(0u, image);
        shares += rows(5u, image);
        let last = rows(9u, image);
        others += vec4f(rows(4u, image).x, last.xy, 0.0);
        if last.y > 0.0 {
            means += vec4f(labelled(image), predicted(image));
        }
    }
    terms = sum_of_lanes(lane, terms);
    shares = sum_of_lanes(lane, shares);
    others = sum_of_lanes(lane, others);
    means = sum_of_lanes(lane, means) / max(others.z, 1.0);

    var squares = vec4f(); // of y and p about their means
    var products = vec4f(); // y with p about their means; the square of y - p
    for (var image = lane; image < params.batch; image += LANES) {
        if scratch[10u * params.batch + image] > 0.0 {
            let y = labelled(image) - means.xy;
            let p = predicted(image) - means.zw;
            let off = labelled(image) - predicted(image);
            squares += vec4f(y * y, p * p);
            products += vec4f(y * p, off * off);
        }
    }
    squares = sum_of_lanes(lane, squares) / max(others.z, 1.0);
    products = sum_of_lanes(lane, products) / max(others.z, 1.0);
    if lane > 0u {
        return;
    }

    let apart = means.xy - means.zw;
    let whole = squares.xy + squares.zw + apart * apart;
    let guarded = whole < vec2f(GUARD);
    let divisor = max(whole, vec2f(GUARD));
    let ccc = 2.0 * products.xy / divisor;
    // 1 - CCC = mean (y - p)² / D keeps its digits where CCC is almost 1.
    let unlike = select(products.zw / divisor, 1.0 - ccc, guarded);
    let slope = select(ccc, vec2f(), guarded); // a guarded divisor does not move
    let moves = others.z >= 2.0;
    let factors = select(vec4f(), 1.0 / shares, shares > vec4f());
    let values = terms * factors;
    let co_factor = select(0.0, 1.0 / others.y, others.y > 0.0);
    let co_value = others.x * co_factor;
    let valence_arousal = select(0.0, 0.5 * (unlike.x + unlike.y), moves);

    // The labelled tasks: their slopes in the total, and their parts of it.
    let tasks = vec3f(values.xy, valence_arousal);
    var slopes = vec3f(params.weight_expression, params.weight_action_units, params.weight_valence_arousal);
    var parts = slopes * tasks;
    if params.uncertainty > 0u {
        let carried = vec3<bool>(shares.x > 0.0, shares.y > 0.0, moves);
        let floored = max(tasks, vec3f(FLOOR));
        parts = select(vec3f(), slopes * (tasks / floored + log(floored)), carried);
        slopes /= floored;
    }
    let weights = vec4f(
        slopes.xy,
        params.weight_distribution_matching,
        params.weight_soft_co_annotation,
    );
    let scale = select(vec2f(), -slopes.z / (divisor * others.z), moves);
    losses[0] = values.x;
    losses[1] = values.y;
    losses[2] = valence_arousal;
    losses[3] = values.z;
    losses[4] = values.w;
    losses[5] = co_value;
    losses[6] = parts.x + parts.y + parts.z + dot(weights.zw, values.zw) + weights.w * co_value;
    losses[7] = shares.z;

    let head = params.rows * params.batch;
    for (var term = 0u; term < 4u; term++) {
        scratch[head + term] = weights[term] * factors[term];
        scratch[head + 4u + term] = select(0.0, weights.w * co_factor, term == 0u);
    }
    for (var axis = 0u; axis < 2u; axis++) {
        scratch[head + 8u + 4u * axis] = means[axis];
        scratch[head + 9u + 4u * axis] = slope[axis];
        scratch[head + 10u + 4u * axis] = scale[axis];
        scratch[head + 11u + 4u * axis] = 0.0;
    }
}
