// batch_norm_stats: mean and centred sum of squares of each column within groups of rows.
//   mean[g,c] = Σ x[m,c] / n     m2[g,c] = Σ (x[m,c] - mean[g,c])²     over the n rows m of group g
// Layout: x [rows, columns] vec4; partials [groups, 2, columns] vec4: mean, m2; finished by batch_norm_finish.
// Work:   an invocation does one group of one vec4 column, with WORDS of four, shifted by the group's first row so that a mean far
//         from zero costs no digits; the last group has fewer rows; invocations beyond the end do nothing.
// Needs:  default limits. Variants: f16 (shader-f16), WORDS (64-bit integers; only f32).

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override WORDS: bool = false;

// A vec4, as it is loaded and stored: WORDS as two u64, which halves what an adapter pays for whose lanes load one after the other.
alias Vector = vec4<Stored>; // without WORDS
// only WORDS: alias Vector = vec2<u64>;
fn widen(v: Vector) -> vec4f { return vec4f(v); } // without WORDS
// only WORDS: fn widen(v: Vector) -> vec4f { return bitcast<vec4f>(vec4u(vec2u(v), vec2u(v >> vec2u(32u))).xzyw); }

// Columns an invocation, side by side: on such an adapter a lane's rows, which lie far apart, cost most.
const EACH: u32 = 1u; // without WORDS
// only WORDS: const EACH: u32 = 4u;

struct Params { rows: u32, columns: u32, group_rows: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<Vector>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>;

// Sums of a column's differences from its shift.
struct Moments { sum: vec4f, squares: vec4f }

fn add(to: Moments, difference: vec4f) -> Moments {
    return Moments(to.sum + difference, to.squares + difference * difference);
}

// A column beyond the end is the last one, and is not written.
fn load(row: u32, column: u32) -> vec4f {
    return widen(x[row * params.columns + min(column, params.columns - 1u)]);
}

fn put(first: u32, column: u32, count: f32, shift: vec4f, moments: Moments) {
    if column < params.columns {
        let mean = moments.sum / count;
        partials[first + column] = shift + mean;
        partials[first + params.columns + column] = max(moments.squares - moments.sum * mean, vec4f());
    }
}

@compute @workgroup_size(64)
fn batch_norm_stats(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    let several = (params.columns + EACH - 1u) / EACH;
    if i >= params.groups * several {
        return;
    }
    let block = i / several;
    let column = EACH * (i - block * several);
    let first = block * params.group_rows;
    let last = min(first + params.group_rows, params.rows);
    // All loads before all arithmetic: there each is a loop over the lanes, and what is live across it goes to memory.
    let shift_a = load(first, column);
// only WORDS: let shift_b = load(first, column + 1u);
// only WORDS: let shift_c = load(first, column + 2u);
// only WORDS: let shift_d = load(first, column + 3u);
    var a = Moments();
// only WORDS: var b = Moments();
// only WORDS: var c = Moments();
// only WORDS: var d = Moments();
    for (var row = first + 1u; row < last; row++) {
        let value_a = load(row, column);
// only WORDS: let value_b = load(row, column + 1u);
// only WORDS: let value_c = load(row, column + 2u);
// only WORDS: let value_d = load(row, column + 3u);
        a = add(a, value_a - shift_a);
// only WORDS: b = add(b, value_b - shift_b);
// only WORDS: c = add(c, value_c - shift_c);
// only WORDS: d = add(d, value_d - shift_d);
    }
    let at = 2u * block * params.columns;
    let count = f32(last - first);
    put(at, column, count, shift_a, a);
// only WORDS: put(at, column + 1u, count, shift_b, b);
// only WORDS: put(at, column + 2u, count, shift_c, c);
// only WORDS: put(at, column + 3u, count, shift_d, d);
}
