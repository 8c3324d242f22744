// conv2d_grad_weight_winograd_product: the products of the filters' gradient by Winograd's F(4×4, 3×3), 36 matrices side by side.
//   partial[g,p,c,k] = Σ over the tiles t of group g of v[p,t,c] · w[p,t,k]     for the 36 positions p
// Layout: v [36,T,C/4], w [36,T,K/4], partial [G,36,C,K/4], all f32; a vec4 of f32 travels as two u64, which halves the loads.
//         Summed over g in fixed order by conv2d_grad_weight_winograd_filter.
// Work:   a subgroup does one group of tiles at one position: its 8 lanes are 8 vec4s of K, each with 16 channels c, 32 in the
//         variant WIDE. For 8 tiles the lanes load v, one tile each, and pass it around by broadcast. A workgroup's z is position,
//         channels and columns.
// Needs:  subgroup, int64. Variants: WIDE.

override WIDE: bool = false;

struct Params { c4: u32, k4: u32, tiles: u32, group_tiles: u32, blocks: u32, column_groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> v: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> w: array<vec2<u64>>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec2<u64>>;

// w of a lane's column at 8 tiles.
struct Tiles { g0: vec4f, g1: vec4f, g2: vec4f, g3: vec4f, g4: vec4f, g5: vec4f, g6: vec4f, g7: vec4f }

// The sums of four channels × one vec4 of K.
struct Rows { r0: vec4f, r1: vec4f, r2: vec4f, r3: vec4f }

// Adds the product of one channel and 4 outputs of 8 tiles, of which each lane has one tile's channel. A channel at a time, so
// that its sums stay in registers.
fn add_channel(sum: vec4f, x: f32, g: Tiles) -> vec4f {
    var s = sum + subgroupBroadcast(x, 0u) * g.g0;
    s += subgroupBroadcast(x, 1u) * g.g1;
    s += subgroupBroadcast(x, 2u) * g.g2;
    s += subgroupBroadcast(x, 3u) * g.g3;
    s += subgroupBroadcast(x, 4u) * g.g4;
    s += subgroupBroadcast(x, 5u) * g.g5;
    s += subgroupBroadcast(x, 6u) * g.g6;
    return s + subgroupBroadcast(x, 7u) * g.g7;
}

fn add(sum: Rows, x: vec4f, g: Tiles) -> Rows {
    return Rows(add_channel(sum.r0, x.x, g), add_channel(sum.r1, x.y, g), add_channel(sum.r2, x.z, g), add_channel(sum.r3, x.w, g));
}

// Where v has the tile of a lane, one vec4 of C: `row` is the tile's first, `counts` whether it is of the group.
fn load(row: u32, c: u32, counts: bool) -> vec4f {
    return select(vec4f(), unpack(v[row + min(c, params.c4 - 1u)]), counts);
}

fn store(first: u32, c: u32, k: u32, sum: Rows) {
    if c < params.c4 && k < params.k4 {
        let at = (first + 4u * c) * params.k4 + k;
        partial[at] = pack(sum.r0);
        partial[at + params.k4] = pack(sum.r1);
        partial[at + 2u * params.k4] = pack(sum.r2);
        partial[at + 3u * params.k4] = pack(sum.r3);
    }
}

var<private> sum0: Rows;
var<private> sum1: Rows;
var<private> sum2: Rows;
var<private> sum3: Rows;
var<private> sum4: Rows;
var<private> sum5: Rows;
var<private> sum6: Rows;
var<private> sum7: Rows;

@compute @workgroup_size(8)
fn conv2d_grad_weight_winograd_product(
    @builtin(workgroup_id) group: vec3u,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let part = group.x;
    let block = group.z / params.column_groups;
    let position = block / params.blocks;
    let column = (group.z - block * params.column_groups) * 8u + lane;
    let k = min(column, params.k4 - 1u);
    let c = select(4u, 8u, WIDE) * (block - position * params.blocks);
    let begin = part * params.group_tiles;
    let end = min(begin + params.group_tiles, params.tiles);
    let first = position * params.tiles;
    for (var t = begin; t < end; t += 8u) {
        // All loads before all arithmetic: each is a loop over the lanes, and what is live across it goes to memory.
        let counts = t + lane < end;
        let row = (first + min(t + lane, end - 1u)) * params.c4;
        let v0 = load(row, c, counts);
        let v1 = load(row, c + 1u, counts);
        let v2 = load(row, c + 2u, counts);
        let v3 = load(row, c + 3u, counts);
        var far = Rows();
        if WIDE {
            far = Rows(load(row, c + 4u, counts), load(row, c + 5u, counts), load(row, c + 6u, counts), load(row, c + 7u, counts));
        }
        let at = (first + t) * params.k4 + k;
        // Tiles beyond the end count nothing, but must not be read outside w.
        let last = (first + end - 1u) * params.k4 + k;
        let g = Tiles(
            unpack(w[at]), unpack(w[min(at + params.k4, last)]),
            unpack(w[min(at + 2u * params.k4, last)]), unpack(w[min(at + 3u * params.k4, last)]),
            unpack(w[min(at + 4u * params.k4, last)]), unpack(w[min(at + 5u * params.k4, last)]),
            unpack(w[min(at + 6u * params.k4, last)]), unpack(w[min(at + 7u * params.k4, last)]),
        );
        sum0 = add(sum0, v0, g);
        sum1 = add(sum1, v1, g);
        sum2 = add(sum2, v2, g);
        sum3 = add(sum3, v3, g);
        if WIDE {
            sum4 = add(sum4, far.r0, g);
            sum5 = add(sum5, far.r1, g);
            sum6 = add(sum6, far.r2, g);
            sum7 = add(sum7, far.r3, g);
        }
    }
    let to = (part * 36u + position) * 4u * params.c4;
    store(to, c, column, sum0);
    store(to, c + 1u, column, sum1);
    store(to, c + 2u, column, sum2);
    store(to, c + 3u, column, sum3);
    if WIDE {
        store(to, c + 4u, column, sum4);
        store(to, c + 5u, column, sum5);
        store(to, c + 6u, column, sum6);
        store(to, c + 7u, column, sum7);
    }
}
