// batch_norm_grad_reduce: partial column sums for the gradients of batch normalisation.
//   sum[g,c] = Σ u[m,c]     product[g,c] = Σ u[m,c] · (x[m,c] - mean[c]) · invstd[c]     over the rows m of group g
//   u = grad_y     RELU: u = y > 0 ? grad_y : 0     MAPPED: u = x · scale[c] + shift[c] > 0 ? grad_y : 0
// Layout: grad_y, x, y [rows, columns] vec4; statistics [2, columns]: mean, invstd; partials [groups, 2, columns]:
//         sum, product; finished by batch_norm_grad_finish; affine [2, columns]: scale, shift. Without RELU, y is not touched,
//         without MAPPED affine is not.
// Work:   an invocation sums one group of one vec4 column, with WORDS of four; the last group has fewer rows; invocations beyond
//         the end do nothing.
// Needs:  default limits. Variants: f16 (shader-f16), WORDS (64-bit integers; only f32), RELU, MAPPED.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override RELU: bool = false;
override WORDS: bool = false;
override MAPPED: bool = false;

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
@group(0) @binding(1) var<storage, read_write> grad_y: array<Vector>;
@group(0) @binding(2) var<storage, read_write> x: array<Vector>;
@group(0) @binding(3) var<storage, read_write> y: array<Vector>;
@group(0) @binding(4) var<storage, read_write> statistics: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> partials: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> affine: array<vec4f>;

// A column, and what is known of it before its rows are.
struct Column { at: u32, mean: vec4f, scale: vec4f, shift: vec4f }

// What is loaded of a row of a column.
struct Taken { gradient: vec4f, x: vec4f, y: vec4f }

struct Sums { gradient: vec4f, products: vec4f }

// A column beyond the end is the last one, and is not written.
fn begin(column: u32) -> Column {
    let at = min(column, params.columns - 1u);
    var begun = Column(at, statistics[at], vec4f(), vec4f());
    if MAPPED {
        begun.scale = affine[at];
        begun.shift = affine[params.columns + at];
    }
    return begun;
}

fn take(row: u32, column: Column) -> Taken {
    let at = row * params.columns + column.at;
    var taken = Taken(widen(grad_y[at]), widen(x[at]), vec4f());
    if RELU {
        taken.y = widen(y[at]);
    }
    return taken;
}

fn add(to: Sums, taken: Taken, column: Column) -> Sums {
    var u = taken.gradient;
    if RELU {
        u = select(vec4f(), u, taken.y > vec4f());
    }
    if MAPPED {
        u = select(vec4f(), u, taken.x * column.scale + column.shift > vec4f());
    }
    return Sums(to.gradient + u, to.products + u * (taken.x - column.mean));
}

fn put(first: u32, column: u32, sums: Sums) {
    if column < params.columns {
        partials[first + column] = sums.gradient;
        partials[first + params.columns + column] = sums.products * statistics[params.columns + column];
    }
}

@compute @workgroup_size(64)
fn batch_norm_grad_reduce(
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
    let a = begin(column);
// only WORDS: let b = begin(column + 1u);
// only WORDS: let c = begin(column + 2u);
// only WORDS: let d = begin(column + 3u);
    var sums_a = Sums();
// only WORDS: var sums_b = Sums();
// only WORDS: var sums_c = Sums();
// only WORDS: var sums_d = Sums();
    for (var row = first; row < last; row++) {
        // All loads before all arithmetic: there each is a loop over the lanes, and what is live across it goes to memory.
        let taken_a = take(row, a);
// only WORDS: let taken_b = take(row, b);
// only WORDS: let taken_c = take(row, c);
// only WORDS: let taken_d = take(row, d);
        sums_a = add(sums_a, taken_a, a);
// only WORDS: sums_b = add(sums_b, taken_b, b);
// only WORDS: sums_c = add(sums_c, taken_c, c);
// only WORDS: sums_d = add(sums_d, taken_d, d);
    }
    let at = 2u * block * params.columns;
    put(at, column, sums_a);
// only WORDS: put(at, column + 1u, sums_b);
// only WORDS: put(at, column + 2u, sums_c);
// only WORDS: put(at, column + 3u, sums_d);
}
