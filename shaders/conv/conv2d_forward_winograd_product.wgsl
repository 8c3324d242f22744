// conv2d_forward_winograd_product: the products of Winograd's F(4×4, 3×3), 36 matrices side by side, where a load costs more than arithmetic.
//   m[p,t,k] = Σ_c v[p,t,c] · u[p,c,k]     for the 36 positions p
//   TRANSPOSED, of the input's gradient, whose inner sum is over the filters' outputs: u[p,k,c]
// Layout: v [36,T,C/4], u [36,C,K/4], TRANSPOSED [36,K,C/4], m [36,T,K/4], all f32; a vec4 of f32 travels as two u64, which halves
//         the loads.
// Work:   the 8 lanes of a subgroup are 8 tiles t; each does EACH tiles, 8 apart, × 4 vec4s of K. The lanes load the 16 vec4s
//         of u between them, two each, and pass them around by broadcast. A workgroup's z is position and columns.
// Needs:  subgroup, int64. Variants: EACH (1, 2 or 4), TRANSPOSED.

override EACH: u32 = 2;
override TRANSPOSED: bool = false;

struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, pad_h: u32, pad_w: u32,
    tiles_h: u32, tiles_w: u32, tiles: u32, column_groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> v: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> u: array<vec2<u64>>;
@group(0) @binding(3) var<storage, read_write> m: array<vec2<u64>>;

fn unpack(v: vec2<u64>) -> vec4f {
    let low = vec2u(v);
    let high = vec2u(v >> vec2u(32u));
    return bitcast<vec4f>(vec4u(low.x, high.x, low.y, high.y));
}

fn pack(v: vec4f) -> vec2<u64> {
    let bits = bitcast<vec4u>(v);
    return vec2<u64>(bits.xz) | (vec2<u64>(bits.yw) << vec2u(32u));
}

// sum + w · v, added term by term.
fn multiply(sum: vec4f, v: vec4f, w: mat4x4f) -> vec4f {
    return sum + v.x * w[0] + v.y * w[1] + v.z * w[2] + v.w * w[3];
}

fn put(at: u32, k: u32, sum: vec4f) {
    if k < params.k4 {
        m[at + k] = pack(sum);
    }
}

@compute @workgroup_size(32)
fn conv2d_forward_winograd_product(
    @builtin(workgroup_id) group: vec3u,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let first = (group.x * 4u + subgroup) * 8u * EACH + lane;
    // A subgroup wholly beyond the end: with few tiles most would be.
    if first - lane >= params.tiles {
        return;
    }
    let position = group.z / params.column_groups;
    let k = (group.z - position * params.column_groups) * 4u;
    // Where the lane's two vec4s of u are, and how far the next ones.
    let column = min(k + lane % 4u, params.k4 - 1u);
    var at = (position * 4u * params.c4 + lane / 4u) * params.k4 + column;
    var apart = 2u * params.k4;
    var step = 4u * params.k4;
    if TRANSPOSED {
        let last = 4u * params.k4 - 1u;
        let row = min(4u * k + lane, last);
        at = (position * 4u * params.k4 + row) * params.c4;
        apart = (min(4u * k + 8u + lane, last) - row) * params.c4;
        step = 1u;
    }
    var rows: array<u32, 4>;
    for (var p = 0u; p < EACH; p++) {
        rows[p] = (position * params.tiles + min(first + 8u * p, params.tiles - 1u)) * params.c4;
    }
    // The sums of the tiles × four vec4s of K.
    var sums: array<mat4x4f, 4>;
    for (var c = 0u; c < params.c4; c++) {
        // All loads before all arithmetic: each is a loop over the lanes, and what is live across it goes to memory.
        var values: array<vec4f, 4>;
        for (var p = 0u; p < EACH; p++) {
            values[p] = unpack(v[rows[p] + c]);
        }
        let f01 = unpack(u[at]);
        let f23 = unpack(u[at + apart]);
        at += step;
        // Lane l holds row l / 4 (f01) and 2 + l / 4 (f23) of u, column l % 4; TRANSPOSED rows l and 8 + l.
        var w = mat4x4f(subgroupBroadcast(f01, 0u), subgroupBroadcast(f01, 4u), subgroupBroadcast(f23, 0u), subgroupBroadcast(f23, 4u));
        if TRANSPOSED {
            w = transpose(mat4x4f(subgroupBroadcast(f01, 0u), subgroupBroadcast(f01, 1u), subgroupBroadcast(f01, 2u), subgroupBroadcast(f01, 3u)));
        }
        for (var p = 0u; p < EACH; p++) {
            sums[p][0] = multiply(sums[p][0], values[p], w);
        }
        w = mat4x4f(subgroupBroadcast(f01, 1u), subgroupBroadcast(f01, 5u), subgroupBroadcast(f23, 1u), subgroupBroadcast(f23, 5u));
        if TRANSPOSED {
            w = transpose(mat4x4f(subgroupBroadcast(f01, 4u), subgroupBroadcast(f01, 5u), subgroupBroadcast(f01, 6u), subgroupBroadcast(f01, 7u)));
        }
        for (var p = 0u; p < EACH; p++) {
            sums[p][1] = multiply(sums[p][1], values[p], w);
        }
        w = mat4x4f(subgroupBroadcast(f01, 2u), subgroupBroadcast(f01, 6u), subgroupBroadcast(f23, 2u), subgroupBroadcast(f23, 6u));
        if TRANSPOSED {
            w = transpose(mat4x4f(subgroupBroadcast(f23, 0u), subgroupBroadcast(f23, 1u), subgroupBroadcast(f23, 2u), subgroupBroadcast(f23, 3u)));
        }
        for (var p = 0u; p < EACH; p++) {
            sums[p][2] = multiply(sums[p][2], values[p], w);
        }
        w = mat4x4f(subgroupBroadcast(f01, 3u), subgroupBroadcast(f01, 7u), subgroupBroadcast(f23, 3u), subgroupBroadcast(f23, 7u));
        if TRANSPOSED {
            w = transpose(mat4x4f(subgroupBroadcast(f23, 4u), subgroupBroadcast(f23, 5u), subgroupBroadcast(f23, 6u), subgroupBroadcast(f23, 7u)));
        }
        for (var p = 0u; p < EACH; p++) {
            sums[p][3] = multiply(sums[p][3], values[p], w);
        }
    }
    for (var p = 0u; p < EACH; p++) {
        let tile = first + 8u * p;
        if tile < params.tiles {
            let to = (position * params.tiles + tile) * params.k4;
            put(to, k, sums[p][0]);
            put(to, k + 1u, sums[p][1]);
            put(to, k + 2u, sums[p][2]);
            put(to, k + 3u, sums[p][3]);
        }
    }
}
