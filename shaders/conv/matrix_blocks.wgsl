// matrix_blocks: products of cooperative matrices in blocks of 16 × 16, shared by the kernels named conv2d_*_matrix.
//   share[64 rows, 16 or 32 columns] += A[64, 16] · B[16, 16 or 32], from `staged`; and its way out through `sums`.
// Layout: `staged` of their type Stored: A, then B; a row of A is A_ROW elements from the next, one of B is B_ROW. TURNED_A and
//         TURNED_B: columns take the place of rows there. `sums` [SHARES, 16 rows, 16 columns and a gap].
// Work:   a subgroup has one share. A block is one matrix where LARGE, which is for f16, else four of side 8.
// Needs:  subgroups and cooperative matrices; of the importer Stored, LARGE, WIDE, A_ROW, B_ROW, TURNED_A, TURNED_B and STAGED elements of `staged`.

const SHARES = 8u;
const PATCH_ROW = 20u;
const PATCH = 16u * PATCH_ROW; // of a share, in `sums`
var<workgroup> sums: array<f32, SHARES * PATCH>;

alias Filters = vec4f; // without LARGE
const UNIT = 1u; // without LARGE
var<workgroup> staged: array<Stored, STAGED>; // without LARGE
fn stage(i: u32, v: vec4<Stored>) { staged[i] = v.x; staged[i + 1u] = v.y; staged[i + 2u] = v.z; staged[i + 3u] = v.w; } // without LARGE
alias MatrixA = coop_mat8x8<Stored, A>; // without LARGE
alias MatrixB = coop_mat8x8<Stored, B>; // without LARGE
alias MatrixC = coop_mat8x8<f32, C>; // without LARGE
// Large matrices are loaded from vectors.
// only LARGE: alias Filters = vec4<f16>;
// only LARGE: const UNIT = 4u;
// only LARGE: var<workgroup> staged: array<vec4<Stored>, STAGED / UNIT>;
// only LARGE: fn stage(i: u32, v: vec4<Stored>) { staged[i / UNIT] = v; }
// only LARGE: alias MatrixA = coop_mat16x16<Stored, A>;
// only LARGE: alias MatrixB = coop_mat16x16<Stored, B>;
// only LARGE: alias MatrixC = coop_mat16x16<f32, C>;

fn load_a(i: u32) -> MatrixA {
    if TURNED_A { return coopLoad<MatrixA>(&staged[i / UNIT], A_ROW / UNIT); }
    return coopLoadT<MatrixA>(&staged[i / UNIT], A_ROW / UNIT);
}
fn load_b(i: u32) -> MatrixB {
    if TURNED_B { return coopLoad<MatrixB>(&staged[i / UNIT], B_ROW / UNIT); }
    return coopLoadT<MatrixB>(&staged[i / UNIT], B_ROW / UNIT);
}
// naga wants every operand of a store to have a name.
fn lay_matrix(m: MatrixC, i: u32) { let stride = PATCH_ROW; coopStoreT(m, &sums[i], stride); }

// Elements from one row or column to the next in A and in B.
const A_DOWN = select(A_ROW, 1u, TURNED_A);
const A_RIGHT = select(1u, A_ROW, TURNED_A);
const B_DOWN = select(B_ROW, 1u, TURNED_B);
const B_RIGHT = select(1u, B_ROW, TURNED_B);

struct BlockA { m00: MatrixA, m01: MatrixA, m10: MatrixA, m11: MatrixA } // without LARGE
struct BlockB { m00: MatrixB, m01: MatrixB, m10: MatrixB, m11: MatrixB } // without LARGE
struct BlockC { m00: MatrixC, m01: MatrixC, m10: MatrixC, m11: MatrixC } // without LARGE
fn block_a(i: u32) -> BlockA { // without LARGE
    let below = i + 8u * A_DOWN; // without LARGE
    return BlockA(load_a(i), load_a(i + 8u * A_RIGHT), load_a(below), load_a(below + 8u * A_RIGHT)); // without LARGE
} // without LARGE
fn block_b(i: u32) -> BlockB { // without LARGE
    let below = i + 8u * B_DOWN; // without LARGE
    return BlockB(load_b(i), load_b(i + 8u * B_RIGHT), load_b(below), load_b(below + 8u * B_RIGHT)); // without LARGE
} // without LARGE
fn two(a0: MatrixA, a1: MatrixA, b0: MatrixB, b1: MatrixB, c: MatrixC) -> MatrixC { // without LARGE
    return coopMultiplyAdd(a1, b1, coopMultiplyAdd(a0, b0, c)); // without LARGE
} // without LARGE
fn product(a: BlockA, b: BlockB, c: BlockC) -> BlockC { // without LARGE
    let m00 = two(a.m00, a.m01, b.m00, b.m10, c.m00); let m01 = two(a.m00, a.m01, b.m01, b.m11, c.m01); // without LARGE
    let m10 = two(a.m10, a.m11, b.m00, b.m10, c.m10); let m11 = two(a.m10, a.m11, b.m01, b.m11, c.m11); // without LARGE
    return BlockC(m00, m01, m10, m11); // without LARGE
} // without LARGE
fn lay(c: BlockC, i: u32) { // without LARGE
    lay_matrix(c.m00, i); lay_matrix(c.m01, i + 8u); // without LARGE
    lay_matrix(c.m10, i + 8u * PATCH_ROW); lay_matrix(c.m11, i + 8u * PATCH_ROW + 8u); // without LARGE
} // without LARGE
// only LARGE: alias BlockA = MatrixA;
// only LARGE: alias BlockB = MatrixB;
// only LARGE: alias BlockC = MatrixC;
// only LARGE: fn block_a(i: u32) -> BlockA { return load_a(i); }
// only LARGE: fn block_b(i: u32) -> BlockB { return load_b(i); }
// only LARGE: fn product(a: BlockA, b: BlockB, c: BlockC) -> BlockC { return coopMultiplyAdd(a, b, c); }
// only LARGE: fn lay(c: BlockC, i: u32) { lay_matrix(c, i); }

// A share's sums: four rows of 16, of one or, where WIDE, two blocks.
struct Row { left: BlockC, right: BlockC }
struct Share { r0: Row, r1: Row, r2: Row, r3: Row }
fn add_row(before: Row, at_a: u32, left: BlockB, right: BlockB) -> Row {
    let a = block_a(at_a);
    var row = before;
    row.left = product(a, left, row.left);
    if WIDE { row.right = product(a, right, row.right); }
    return row;
}
// Adds the products of 16 places of the inner dimension, from these elements of `staged` on.
fn add_products(s: Share, at_a: u32, at_b: u32) -> Share {
    let left = block_b(at_b);
    var right = BlockB();
    if WIDE { right = block_b(at_b + 16u * B_RIGHT); }
    let r0 = add_row(s.r0, at_a, left, right); let r1 = add_row(s.r1, at_a + 16u * A_DOWN, left, right);
    let r2 = add_row(s.r2, at_a + 32u * A_DOWN, left, right); let r3 = add_row(s.r3, at_a + 48u * A_DOWN, left, right);
    return Share(r0, r1, r2, r3);
}
// Four columns of a row of the blocks that were laid.
fn laid(i: u32) -> vec4f { return vec4f(sums[i], sums[i + 1u], sums[i + 2u], sums[i + 3u]); }

// A lane's place: its subgroup's share; the row of the tile and the vec4 column that it finishes, with every eighth row on in the
// same share; where their sums are laid, and whether now. The shares are two times 64 rows in four columns; subgroups that are fewer
// than eight do them in rounds.
const COLUMNS = 16u; // of a share, or twice as many where WIDE
struct Place { share: u32, row: u32, column: u32, laid: u32, finishes: bool }
fn place_of(lane: u32, first_column: u32, round: u32, subgroup: u32, subgroups: u32) -> Place {
    let mine = lane / 32u;
    let column = first_column + mine / 2u * select(COLUMNS, 2u * COLUMNS, WIDE) / 4u + lane % 4u;
    let row = mine % 2u * 64u + lane % 32u / 4u;
    let at = mine * PATCH + lane % 32u / 4u * PATCH_ROW + lane % 4u * 4u;
    return Place(round + subgroup, row, column, at, mine >= round && mine < round + subgroups);
}
// Where a subgroup's share begins in `staged`: its rows of A, and its columns of B from an element on.
fn rows_of(place: Place) -> u32 { return place.share % 2u * 64u * A_DOWN; }
fn columns_of(place: Place, first: u32) -> u32 { return first + place.share / 2u * select(COLUMNS, 2u * COLUMNS, WIDE) * B_RIGHT; }
// Two vectors of each lane, laid in `sums` once its blocks are done with; and number j of the eight that the lane with the same
// column as this one's number, 8 of a share being one column's, has in row i of the share's lanes.
fn lay_pair(lane: u32, a: vec4f, b: vec4f) {
    for (var j = 0u; j < 4u; j++) { sums[8u * lane + j] = a[j]; sums[8u * lane + 4u + j] = b[j]; }
}
fn pair_of(lane: u32, i: u32, j: u32) -> f32 { return sums[lane / 32u * 256u + 32u * i + lane % 32u / 8u * 8u + j]; }
