// fold_lanes: the terms of a workgroup's lanes combined into one, in an order that the adapter's subgroups fix.
// Layout: none of its own.
// Work:   a tree over the lanes, a barrier a level. SUBGROUP: a tree of shuffles in each subgroup, one barrier, then the subgroups one
//         after the other. The tree is for subgroups that are whole or hold the whole workgroup, in their first places; where a
//         driver packs lanes otherwise, which WGSL leaves open, those of a subgroup come one after the other.
// Needs:  of the importer Term, combine, LANES, a power of two, and MOST, at least that. Variants: SUBGROUP (subgroups), for which
//         the importer has exchanged(term, distance), that of the lane whose place differs by this bit, and alone(term, here), that
//         of the one lane that is here.

// Of both functions lane 0 has the result.
var<workgroup> terms: array<Term, MOST>;

fn fold_lanes(mine: Term, lane: u32) -> Term { // without SUBGROUP
    terms[lane] = mine; // without SUBGROUP
    for (var half = LANES / 2u; half > 0u; half /= 2u) { // without SUBGROUP
        workgroupBarrier(); // without SUBGROUP
        if lane < half { // without SUBGROUP
            terms[lane] = combine(terms[lane], terms[lane + half]); // without SUBGROUP
        } // without SUBGROUP
    } // without SUBGROUP
    return terms[lane]; // without SUBGROUP
} // without SUBGROUP

// Through naga Metal's ballot ends at 32 lanes; wider subgroups there count as packed otherwise.
// only SUBGROUP: fn first_places(count: u32) -> vec4u {
// only SUBGROUP:     let bits = vec4u(clamp(vec4i(i32(count)) - vec4i(0, 32, 64, 96), vec4i(), vec4i(32)));
// only SUBGROUP:     return select((vec4u(1u) << (bits & vec4u(31u))) - 1u, vec4u(0xFFFFFFFFu), bits == vec4u(32u));
// only SUBGROUP: }
// only SUBGROUP: fn fold_subgroup(mine: Term, size: u32) -> Term {
// only SUBGROUP:     let width = min(size, LANES);
// only SUBGROUP:     var sum = mine;
// only SUBGROUP:     if all(subgroupBallot(true) == first_places(width)) {
// only SUBGROUP:         for (var distance = 1u; distance < width; distance *= 2u) {
// only SUBGROUP:             sum = combine(sum, exchanged(sum, distance));
// only SUBGROUP:         }
// only SUBGROUP:         return sum;
// only SUBGROUP:     }
// only SUBGROUP:     let lanes = subgroupAdd(1u);
// only SUBGROUP:     let rank = subgroupExclusiveAdd(1u);
// only SUBGROUP:     sum = alone(mine, rank == 0u);
// only SUBGROUP:     for (var next = 1u; next < lanes; next++) {
// only SUBGROUP:         sum = combine(sum, alone(mine, rank == next));
// only SUBGROUP:     }
// only SUBGROUP:     return sum;
// only SUBGROUP: }
// only SUBGROUP: fn fold_lanes(mine: Term, lane: u32, subgroup: u32, subgroups: u32, place: u32, size: u32) -> Term {
// only SUBGROUP:     let sum = fold_subgroup(mine, size);
// only SUBGROUP:     if place == subgroupBroadcastFirst(place) {
// only SUBGROUP:         terms[subgroup] = sum;
// only SUBGROUP:     }
// only SUBGROUP:     workgroupBarrier();
// only SUBGROUP:     var total = terms[0];
// only SUBGROUP:     for (var next = 1u; lane == 0u && next < subgroups; next++) {
// only SUBGROUP:         total = combine(total, terms[next]);
// only SUBGROUP:     }
// only SUBGROUP:     return total;
// only SUBGROUP: }
