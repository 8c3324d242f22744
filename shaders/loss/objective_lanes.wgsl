// objective_lanes: what the lanes of one image do together. Without SPREAD an image has one lane, and nothing is shared.
// Layout: none of its own.
// Work:   trees over the workgroup in fixed order, a barrier a level. Every lane of a workgroup must come here: control flow before it may
//         depend on the image, its label and params, and on nothing else.
// Needs:  of the importer SPREAD, params, labels, scratch and sum_of_lanes. Variants: SPREAD.

const LANES = 1u; // without SPREAD
// only SPREAD: const LANES = 64u;
const LOWEST = -3.4028234e38;

struct Top { value: f32, place: u32 }

fn image_of(group: u32, invocation: u32) -> u32 {
    return group * 64u + invocation; // without SPREAD
// only SPREAD:     return group;
}

// The label's words.
fn label_of(image: u32, lane: u32) -> array<vec4u, 2> {
    return array<vec4u, 2>(labels[2u * image], labels[2u * image + 1u]); // without SPREAD
// only SPREAD:     if lane == 0u { label = array<vec4u, 2>(labels[2u * image], labels[2u * image + 1u]); }
// only SPREAD:     return workgroupUniformLoad(&label);
}

// What the lanes have written to the scratch is there for all of them.
fn share_scratch() {
// only SPREAD:     storageBarrier();
}

// The sum over the lanes, the same in each.
fn total(mine: vec4f, lane: u32) -> vec4f {
    return mine; // without SPREAD
// only SPREAD:     return sum_of_lanes(lane, mine);
}

// The largest over the lanes, the same in each; of equals the first lane's.
fn highest(mine: Top, lane: u32) -> Top {
    return mine; // without SPREAD
// only SPREAD:     tops[lane] = mine;
// only SPREAD:     for (var half = LANES / 2u; half > 0u; half /= 2u) {
// only SPREAD:         workgroupBarrier();
// only SPREAD:         if lane < half && tops[lane + half].value > tops[lane].value { tops[lane] = tops[lane + half]; }
// only SPREAD:     }
// only SPREAD:     return workgroupUniformLoad(&tops[0]);
}

// only SPREAD: var<workgroup> label: array<vec4u, 2>;
// only SPREAD: var<workgroup> tops: array<Top, LANES>;

// Where row `k` of the scratch has its element of `image`.
fn at(k: u32, image: u32) -> u32 {
    return k * params.batch + image;
}

fn log1p(x: f32) -> f32 {
    return select(log(1.0 + x), x * (1.0 - x * (0.5 - x * (0.33333333 - x * 0.25))), x < 0.03);
}

// Replaces E rows of the scratch by their softmax; their maximum, and the logarithm of the sum of what is relative to it.
fn softmax(row: u32, image: u32, lane: u32) -> vec2f {
    let first = at(row + lane, image);
    let end = at(row + params.classes, image);
    var mine = Top(LOWEST, end);
    for (var e = first; e < end; e += LANES * params.batch) {
        if scratch[e] > mine.value {
            mine = Top(scratch[e], e);
        }
    }
    let top = highest(mine, lane);
    var others = 0.0; // without the largest term, which is 1
    for (var e = first; e < end; e += LANES * params.batch) {
        scratch[e] = exp(scratch[e] - top.value);
        others += select(scratch[e], 0.0, e == top.place);
    }
    let rest = total(vec4f(others), lane).x;
    for (var e = first; e < end; e += LANES * params.batch) {
        scratch[e] /= 1.0 + rest;
    }
    return vec2f(top.value, log1p(rest));
}
