// sum_groups: the second stage of a sum, in fixed order.
//   total[i] = Σ_g partial[g,i]
// Layout: partial [G, count] vec4, total [count] vec4.
// Work:   an invocation sums one vec4 column, four groups at a time so that it waits for four loads at once; invocations beyond
//         the end do nothing.
// Needs:  default limits.

struct Params { count: u32, parts: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> partial: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> total: array<vec4f>;

@compute @workgroup_size(64)
fn sum_groups(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    if i >= params.count {
        return;
    }
    var sum = vec4f();
    var part = 0u;
    for (; part + 4u <= params.parts; part += 4u) {
        let at = part * params.count + i;
        let p01 = partial[at] + partial[at + params.count];
        sum += p01 + (partial[at + 2u * params.count] + partial[at + 3u * params.count]);
    }
    for (; part < params.parts; part++) {
        sum += partial[part * params.count + i];
    }
    total[i] = sum;
}
