// conv2d_forward_winograd_product: the products of Winograd's F(4×4, 3×3), 36 matrices side by side, where a load costs more than arithmetic.
//   m[p,t,k] = Σ_c v[p,t,c] · u[p,c,k]     for the 36 positions p
//   TRANSPOSED, of the input's gradient, whose inner sum is over the filters' outputs: u[p,k,c]
// Layout: v [36,T,C/4], u [36,C,K/4], TRANSPOSED [36,K,C/4], m [36,T,K/4], all f32; a vec4 of f32 travels as two u64, which halves
//         the loads.
// Work:   the 8 lanes of a subgroup are 8 tiles t; each does EACH tiles, 8 apart, × COLUMNS vec4s of K. The lanes load the
//         4 · COLUMNS vec4s of u between them and pass them around by broadcast. A workgroup's z is position and columns.
// Needs:  subgroup, int64. Variants: EACH (1, 2 or 4), COLUMNS (4 or 16), TRANSPOSED.

override EACH: u32 = 2;
override COLUMNS: u32 = 4;
override TRANSPOSED: bool = false;

struct Params {
    n: u32, h: u32, w: u32, c4: u32, ho: u32, wo: u32, k4: u32, pad_h: u32, pad_w: u32,
    tiles_h: u32, tiles_w: u32, tiles: u32, column_groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> v: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> u: array<vec2<u64>>;
@group(0) @binding(3) var<storage, read_write> m: array<vec2<u64>>;

// sum + w · v, added term by term.
fn multiply(sum: vec4f, v: vec4f, w: mat4x4f) -> vec4f {
    return sum + v.x * w[0] + v.y * w[1] + v.z * w[2] + v.w * w[3];
}

// Four vec4s of K of u: lane l has row l / 4 (low) and 2 + l / 4 (high), column l % 4.
fn columns(low: vec4f, high: vec4f) -> array<mat4x4f, 4> {
    return array<mat4x4f, 4>(
        mat4x4f(subgroupBroadcast(low, 0u), subgroupBroadcast(low, 4u), subgroupBroadcast(high, 0u), subgroupBroadcast(high, 4u)),
        mat4x4f(subgroupBroadcast(low, 1u), subgroupBroadcast(low, 5u), subgroupBroadcast(high, 1u), subgroupBroadcast(high, 5u)),
        mat4x4f(subgroupBroadcast(low, 2u), subgroupBroadcast(low, 6u), subgroupBroadcast(high, 2u), subgroupBroadcast(high, 6u)),
        mat4x4f(subgroupBroadcast(low, 3u), subgroupBroadcast(low, 7u), subgroupBroadcast(high, 3u), subgroupBroadcast(high, 7u)),
    );
}

// The same, TRANSPOSED: lane l has rows l (low) and 8 + l (high).
fn first_four(v: vec4f) -> mat4x4f {
    return transpose(mat4x4f(subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u)));
}

fn last_four(v: vec4f) -> mat4x4f {
    return transpose(mat4x4f(subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u)));
}

// The sums of the tiles × four vec4s of K, for every four of them.
alias Sums = array<mat4x4f, 16>;

// Adds the products with four vec4s of K to the four sums from `first` on.
fn add(sums: ptr<function, Sums>, first: u32, values: array<vec4f, 4>, low: vec4f, high: vec4f) {
    var w: array<mat4x4f, 4>;
    if TRANSPOSED {
        w = array<mat4x4f, 4>(first_four(low), last_four(low), first_four(high), last_four(high));
    } else {
        w = columns(low, high);
    }
    for (var i = 0u; i < 4u; i++) {
        for (var p = 0u; p < EACH; p++) {
            (*sums)[first + p][i] = multiply((*sums)[first + p][i], values[p], w[i]);
        }
    }
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
    let k = (group.z - position * params.column_groups) * COLUMNS;
    // Where the lane's vec4s of u are, and how far the next ones.
    var starts: array<u32, 8>;
    for (var i = 0u; i < COLUMNS / 2u; i++) {
        let column = min(k + 4u * (i / 2u) + lane % 4u, params.k4 - 1u);
        let row = min(4u * k + 8u * i + lane, 4u * params.k4 - 1u);
        let plain = (position * 4u * params.c4 + 2u * (i % 2u) + lane / 4u) * params.k4 + column;
        starts[i] = select(plain, (position * 4u * params.k4 + row) * params.c4, TRANSPOSED);
    }
    let step = select(4u * params.k4, 1u, TRANSPOSED);
    var rows: array<u32, 4>;
    for (var p = 0u; p < EACH; p++) {
        rows[p] = (position * params.tiles + min(first + 8u * p, params.tiles - 1u)) * params.c4;
    }
    var sums: Sums;
    for (var c = 0u; c < params.c4; c++) {
        // All loads before all arithmetic: each is a loop over the lanes, and what is live across it goes to memory.
        var values: array<vec4f, 4>;
        for (var p = 0u; p < EACH; p++) {
            values[p] = unpack(v[rows[p] + c]);
        }
        var w: array<vec4f, 8>;
        for (var i = 0u; i < COLUMNS / 2u; i++) {
            w[i] = unpack(u[starts[i] + c * step]);
        }
        add(&sums, 0u, values, w[0], w[1]);
        if COLUMNS > 4u {
            add(&sums, 4u, values, w[2], w[3]);
            add(&sums, 8u, values, w[4], w[5]);
            add(&sums, 12u, values, w[6], w[7]);
        }
    }
    for (var p = 0u; p < EACH; p++) {
        let tile = first + 8u * p;
        if tile < params.tiles {
            let to = (position * params.tiles + tile) * params.k4;
            for (var q = 0u; q < COLUMNS / 4u; q++) {
                let sum = sums[4u * q + p];
                put(to, k + 4u * q, sum[0]);
                put(to, k + 4u * q + 1u, sum[1]);
                put(to, k + 4u * q + 2u, sum[2]);
                put(to, k + 4u * q + 3u, sum[3]);
            }
        }
    }
}
