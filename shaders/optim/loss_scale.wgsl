// loss_scale: decides whether the optimiser takes this step, and by what the next one's loss is multiplied.
//   broken anywhere: the step is skipped, scale /= 2, at least 1; else the INTERVAL-th good step in a row: scale *= 2, at most 2²⁴
//   correction1 = beta1 · correction1 + (1 - beta1) = 1 - beta1^t after t good steps; correction2 likewise: only good steps count
// Layout: broken [groups] u32; scaling [8] f32: [0] scale, [1] 1 / scale of this step, [2] 1 where it is skipped, [3] good steps in
//         a row, [4] correction1, [5] correction2, [6] 1 / correction1, [7] 1 / √correction2.
// Work:   one workgroup; a lane looks at every LANES-th group.
// Needs:  default limits.

const LANES = 256u;

// rest1, rest2: 1 - beta1 and 1 - beta2, rounded once.
struct Params { groups: u32, interval: f32, beta1: f32, rest1: f32, beta2: f32, rest2: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> broken: array<u32>;
@group(0) @binding(2) var<storage, read_write> scaling: array<f32>;

var<workgroup> found: array<u32, LANES>;

// A step of which the optimiser reads [1], [2], [6] and [7].
fn decide(skip: bool) {
    let scale = scaling[0];
    scaling[1] = 1.0 / scale;
    scaling[2] = f32(skip);
    if skip {
        scaling[0] = max(scale * 0.5, 1.0);
        scaling[3] = 0.0;
        return;
    }
    let streak = scaling[3] + 1.0;
    let grows = streak >= params.interval;
    scaling[0] = select(scale, min(scale * 2.0, 16777216.0), grows);
    scaling[3] = select(streak, 0.0, grows);
    let correction1 = params.beta1 * scaling[4] + params.rest1;
    let correction2 = params.beta2 * scaling[5] + params.rest2;
    scaling[4] = correction1;
    scaling[5] = correction2;
    scaling[6] = 1.0 / correction1;
    scaling[7] = 1.0 / sqrt(correction2);
}

@compute @workgroup_size(LANES)
fn loss_scale(@builtin(local_invocation_index) lane: u32) {
    var any_broken = 0u;
    for (var group = lane; group < params.groups; group += LANES) {
        any_broken |= broken[group];
    }
    found[lane] = any_broken;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            found[lane] |= found[lane + half];
        }
    }
    if lane == 0u {
        decide(found[0] != 0u);
    }
}
