// sum_of_lanes: a sum over the 64 lanes of a workgroup.
// Layout: none of its own.
// Work:   a tree in fixed order, a barrier a level: every lane of the workgroup must come here.
// Needs:  nothing of the importer.

var<workgroup> sums: array<vec4f, 64>;

// The sum of `value` over the workgroup, the same in every lane.
fn sum_of_lanes(lane: u32, value: vec4f) -> vec4f {
    sums[lane] = value;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half >>= 1u) {
        if lane < half {
            sums[lane] += sums[lane + half];
        }
        workgroupBarrier();
    }
    let result = sums[0];
    workgroupBarrier();
    return result;
}
