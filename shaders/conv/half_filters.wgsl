// half_filters: filters rounded to f16, for the kernels that multiply them as such.
//   half[i] = f16(weight[i])
// Layout: weight [count] vec4; half [count], four f16 in two words.
// Work:   an invocation rounds EACH vec4s, LANES apart; those beyond the end are skipped.
// Needs:  default limits.

const LANES = 64u;
const EACH = 4u;

struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> half: array<vec2u>;

@compute @workgroup_size(LANES)
fn half_filters(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (group.x + group.y * groups.x) * LANES * EACH + lane;
    for (var i = 0u; i < EACH; i++) {
        let at = first + i * LANES;
        if at < params.count {
            let w = weight[at];
            half[at] = vec2u(pack2x16float(w.xy), pack2x16float(w.zw));
        }
    }
}
