// gradient_check: whether gradients are finite.
//   broken[first + g] = 1 where any value of group g is infinite or not a number, else 0
// Layout: gradient [count] vec4; broken [.., first + groups] u32; finished by loss_scale.
// Work:   a workgroup does a group of 64 × ROWS vec4s; vec4s beyond the end count as finite.
// Needs:  default limits.

const ROWS = 16u;
// An exponent of ones: what compilers may assume never to see is asked for in integers.
const EXPONENT = vec4u(0x7F800000u);

struct Params { count: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> gradient: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> broken: array<u32>;

var<workgroup> found: array<u32, 64>;

@compute @workgroup_size(64)
fn gradient_check(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.x + group.y * groups.x;
    if index * 64u * ROWS >= params.count {
        return;
    }
    var any_broken = false;
    for (var row = 0u; row < ROWS; row++) {
        let i = (index * ROWS + row) * 64u + lane;
        if i < params.count {
            any_broken = any_broken || any((gradient[i] & EXPONENT) == EXPONENT);
        }
    }
    found[lane] = u32(any_broken);
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            found[lane] |= found[lane + half];
        }
    }
    if lane == 0u {
        broken[params.first + index] = found[0];
    }
}
