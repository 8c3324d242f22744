// register_tile: the products of a tile in registers, shared by conv2d_forward and conv2d_grad_weight.
//   tile[64 or 128 rows, 64 or 128 columns] += A[rows, SIDE] · B[SIDE, columns], from `staged`
// Layout: `staged` [SIDE, 32 vec4s of rows] of A, then [SIDE, 32 vec4s of columns] of B. Where SHUFFLED, the vec4s of A lie at
//         `shuffled` places, so that no two lanes that turn vectors of the inner dimension on their way share a bank.
// Work:   a lane has four rows of each 64, one vec4, and every 16th vec4 of columns: 4 × 4 to 8 × 8 sums.
// Needs:  default limits; of the importer SIDE lanes along either side of a tile, TALL, WIDE and SHUFFLED.

const LANES = SIDE * SIDE;
const STEP = SIDE / 4u; // vec4s of the inner dimension
const ROW = 2u * SIDE;
const FACTOR = SIDE * ROW; // where B begins
var<workgroup> staged: array<vec4f, 4u * LANES>;

fn shuffled(place: u32, k: u32) -> u32 { return select(place, place ^ (k / 4u * 2u), SHUFFLED); }
// Stages four places of the inner dimension, from k on, of four rows, whose vectors v are along it.
fn stage_turned(k: u32, place: u32, v: mat4x4f) {
    let at = k * ROW + shuffled(place, k);
    let turned = transpose(v);
    staged[at] = turned[0]; staged[at + ROW] = turned[1]; staged[at + 2u * ROW] = turned[2]; staged[at + 3u * ROW] = turned[3];
}

// A lane's sums of four rows in its one or two vec4s of columns; and of both halves of its rows.
struct Sums { y0: mat4x4f, y1: mat4x4f }
struct Tile { upper: Sums, lower: Sums }
// Adds the products of one staged row, and of all.
fn consume(before: Tile, lane: u32, k: u32) -> Tile {
    var tile = before;
    let at = k * ROW + shuffled(lane / SIDE, k);
    let w = FACTOR + k * ROW + lane % SIDE;
    let upper = staged[at];
    tile.upper.y0 = outer(tile.upper.y0, upper, staged[w]);
    if WIDE { tile.upper.y1 = outer(tile.upper.y1, upper, staged[w + SIDE]); }
    if !TALL { return tile; }
    let lower = staged[at + SIDE];
    tile.lower.y0 = outer(tile.lower.y0, lower, staged[w]);
    if WIDE { tile.lower.y1 = outer(tile.lower.y1, lower, staged[w + SIDE]); }
    return tile;
}
fn outer(s: mat4x4f, v: vec4f, w: vec4f) -> mat4x4f {
    return mat4x4f(fma(vec4f(v.x), w, s[0]), fma(vec4f(v.y), w, s[1]), fma(vec4f(v.z), w, s[2]), fma(vec4f(v.w), w, s[3]));
}
fn consume_four(tile: Tile, lane: u32, k: u32) -> Tile {
    return consume(consume(consume(consume(tile, lane, k), lane, k + 1u), lane, k + 2u), lane, k + 3u);
}
fn consume_all(tile: Tile, lane: u32) -> Tile {
    return consume_four(consume_four(consume_four(consume_four(tile, lane, 0u), lane, 4u), lane, 8u), lane, 12u);
}
