// batch_norm_fold: the affine map of batch normalisation in evaluation, from the running statistics.
//   invstd = 1 / √(running_var + eps);  scale = gamma · invstd;  shift = beta - running_mean · scale
// Layout: gamma, beta, running_* [C/4] vec4; statistics [2, C/4]: mean, invstd; affine [2, C/4]: scale, shift.
//         Padding channels become zero.
// Work:   an invocation does one vec4; invocations beyond the end do nothing.
// Needs:  default limits.

struct Params { channels: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> gamma: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> beta: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> running_mean: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> running_var: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> statistics: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> affine: array<vec4f>;

@compute @workgroup_size(64)
fn batch_norm_fold(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let columns = (params.channels + 3u) / 4u;
    let column = (group.x + group.y * groups.x) * 64u + lane;
    if column >= columns {
        return;
    }
    let mean = running_mean[column];
    let real = 4u * column + vec4u(0u, 1u, 2u, 3u) < vec4u(params.channels);
    let invstd = select(vec4f(), 1.0 / sqrt(running_var[column] + params.eps), real);
    let scale = gamma[column] * invstd;
    statistics[column] = mean;
    statistics[columns + column] = invstd;
    affine[column] = scale;
    affine[columns + column] = beta[column] - mean * scale;
}
