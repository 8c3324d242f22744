// batch_norm_fold_layers: the affine maps of all batch normalisations of a network in evaluation, for the convolutions before them.
//   invstd = 1 / √(running_var + eps);  scale = gamma · invstd;  shift = beta - running_mean · scale
// Layout: parameters, states, affine flat, vec4; layers: for each where its gamma, beta, running_mean and running_var begin and
//         where its affine [2, C/4] goes, in vec4s. Padding channels become zero.
// Work:   a workgroup does one layer, its lanes every 64th vec4 column.
// Needs:  default limits.

struct Params { layers: u32 }

struct Layer { gamma: u32, beta: u32, mean: u32, variance: u32, affine: u32, channels: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> layers: array<Layer>;
@group(0) @binding(2) var<storage, read_write> parameters: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> states: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> affine: array<vec4f>;

@compute @workgroup_size(64)
fn batch_norm_fold_layers(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.x + group.y * groups.x;
    if index >= params.layers {
        return;
    }
    let layer = layers[index];
    let columns = (layer.channels + 3u) / 4u;
    for (var column = lane; column < columns; column += 64u) {
        let real = 4u * column + vec4u(0u, 1u, 2u, 3u) < vec4u(layer.channels);
        let invstd = select(vec4f(), 1.0 / sqrt(states[layer.variance + column] + layer.eps), real);
        let scale = parameters[layer.gamma + column] * invstd;
        affine[layer.affine + column] = scale;
        affine[layer.affine + columns + column] = parameters[layer.beta + column] - states[layer.mean + column] * scale;
    }
}
