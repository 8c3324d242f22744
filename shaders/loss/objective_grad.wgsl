// objective_grad: the gradient of the objective with respect to the logits.
//   grad z_e = f_expression ∂expression_e + f_soft ∂soft_e + f_matching p_e Σ_i ∂H/∂q_i (R[e][i] - q_i)
//   grad z_i = f_units ∂units_i + f_co ∂co-annotated_i + f_matching ∂H/∂z_i      f_t = weight[t] / Σ_images share[t]
//   grad p   = -w_va / (n D) ((y - mean(y)) - CCC (p - mean(y))), times 1 - p² where p is a tanh
//   SCALED: times the loss's scale
// Layout: labels, tables, scratch as objective_terms and objective_reduce have them; grad_logits [N, WIDTH], 0 in the padding;
//         scaling [0] the scale, see loss_scale; not touched without SCALED. Other columns are other problems', and stay.
// Work:   an invocation does one element of the problem's own columns.
// Needs:  default limits. Variants: f16 (shader-f16), SCALED.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override SCALED: bool = false;

struct Params {
    batch: u32,
    width: u32,
    class_column: u32,
    classes: u32,
    unit_column: u32,
    action_units: u32,
    valence: u32,
    valence_arousal: u32, // 0 no such task, 1 linear, 2 tanh
    coupled: u32,
    padding: u32, // the first column of the padding
    padded: u32, // how many there are
    rows: u32,
}

const ROWS = 13u; // before those of the classes

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> labels: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> tables: array<f32>;
@group(0) @binding(3) var<storage, read_write> scratch: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad_logits: array<Stored>;
@group(0) @binding(5) var<storage, read_write> scaling: array<f32>;

fn at(k: u32, image: u32) -> u32 {
    return k * params.batch + image;
}

fn of_batch(k: u32) -> f32 {
    return scratch[params.rows * params.batch + k];
}

fn of_class(image: u32, e: u32) -> f32 {
    var slope = 0.0;
    for (var i = 0u; i < select(0u, params.action_units, params.coupled == 1u); i++) {
        let row = ROWS + 3u * params.classes + 3u * params.action_units + i;
        let q = scratch[at(row + params.action_units, image)];
        let r = tables[e * params.action_units + i];
        // R - q is taken as (R - 1) + (1 - q) where q is almost 1; 1 - q comes as its negative.
        slope += scratch[at(row, image)] * select(r - q, (r - 1.0) - q, q < 0.0);
    }
    let row = ROWS + e;
    return of_batch(0u) * scratch[at(row + params.classes, image)]
        + of_batch(3u) * scratch[at(row + 2u * params.classes, image)]
        + of_batch(2u) * scratch[at(row, image)] * slope;
}

fn of_unit(image: u32, i: u32) -> f32 {
    let row = ROWS + 3u * params.classes + i;
    return of_batch(1u) * scratch[at(row, image)]
        + of_batch(4u) * scratch[at(row + params.action_units, image)]
        + of_batch(2u) * scratch[at(row + 2u * params.action_units, image)];
}

fn of_axis(image: u32, axis: u32) -> f32 {
    if scratch[at(10u, image)] == 0.0 {
        return 0.0;
    }
    let y = bitcast<f32>(labels[2u * image + 1u][2u + axis]);
    let p = scratch[at(11u + axis, image)];
    let mean = of_batch(8u + 4u * axis);
    let slope = (y - mean) - of_batch(9u + 4u * axis) * (p - mean);
    return of_batch(10u + 4u * axis) * slope * select(1.0, 1.0 - p * p, params.valence_arousal == 2u);
}

@compute @workgroup_size(64)
fn objective_grad(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = (group.x + group.y * groups.x) * 64u + lane;
    let axes = select(0u, 2u, params.valence_arousal > 0u);
    let own = params.classes + params.action_units + axes + params.padded;
    if element >= params.batch * own {
        return;
    }
    let image = element / own;
    // Unsigned differences: before a task's first output they wrap to a large number.
    let e = element % own;
    let i = e - params.classes;
    let axis = i - params.action_units;
    var column = params.padding + axis - axes;
    var grad = 0.0;
    if e < params.classes {
        column = params.class_column + e;
        grad = of_class(image, e);
    } else if i < params.action_units {
        column = params.unit_column + i;
        grad = of_unit(image, i);
    } else if axis < axes {
        column = params.valence + axis;
        grad = of_axis(image, axis);
    }
    if SCALED {
        grad *= scaling[0];
    }
    grad_logits[image * params.width + column] = Stored(grad);
}
