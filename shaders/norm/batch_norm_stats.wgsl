// batch_norm_stats: mean and centred sum of squares of each column within groups of rows.
//   mean[g,c] = Σ x[m,c] / n     m2[g,c] = Σ (x[m,c] - mean[g,c])²     over the n rows m of group g
// Layout: x [rows, columns] vec4; partials [groups, 2, columns] vec4: mean, m2; finished by batch_norm_finish.
// Work:   an invocation does one group of one vec4 column, shifted by the group's first row so that a mean far from zero
//         costs no digits; the last group has fewer rows; invocations beyond the end do nothing.
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

struct Params { rows: u32, columns: u32, group_rows: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<Vector>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>;

@compute @workgroup_size(64)
fn batch_norm_stats(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    if i >= params.groups * params.columns {
        return;
    }
    let block = i / params.columns;
    let column = i - block * params.columns;
    let first = block * params.group_rows;
    let last = min(first + params.group_rows, params.rows);
    let shift = widen(x[first * params.columns + column]);
    var sum = vec4f();
    var squares = vec4f();
    for (var row = first + 1u; row < last; row++) {
        let difference = widen(x[row * params.columns + column]) - shift;
        sum += difference;
        squares += difference * difference;
    }
    let mean = sum / f32(last - first);
    let at = 2u * block * params.columns + column;
    partials[at] = shift + mean;
    partials[at + params.columns] = max(squares - sum * mean, vec4f());
}
