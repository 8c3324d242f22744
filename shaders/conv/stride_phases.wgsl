// stride_phases: what a convolution's stride makes of the gradient of its input, shared by the kernels named conv2d_grad_input*.
//   Pixels (sh · i + fy, sw · j + fx) of phase (fy, fx) meet every sh-th filter row from one on and every sw-th column, and nothing
//   else; so each phase is a convolution of stride 1 with fewer filter positions.
// Layout: the inner dimension of a phase is (r, s, k) with k in vec4s.
// Work:   none of its own.
// Needs:  of the importer `params` with k4, r, s, stride_* and pad_*.

// A phase: its first pixel and filter position, how many of these there are, and where it meets y.
struct Phase { pixel: vec2u, tap: vec2u, taps: vec2u, offset: vec2u }
fn phase(index: u32) -> Phase {
    let stride = vec2u(params.stride_h, params.stride_w);
    let pixel = vec2u(index / stride.y, index % stride.y);
    let start = pixel + vec2u(params.pad_h, params.pad_w);
    let tap = start % stride;
    return Phase(pixel, tap, (max(vec2u(params.r, params.s), tap) - tap + stride - 1u) / stride, start / stride);
}
// The place of a vec4 in a phase's (r, s, k), and the one `by` further on.
fn tap_of(phase: Phase, q: u32) -> vec3u {
    let columns = max(phase.taps.y, 1u);
    return vec3u(q / params.k4 / columns, q / params.k4 % columns, q % params.k4);
}
fn advance(phase: Phase, tap: vec3u, by: vec3u) -> vec3u {
    let sum = tap + by;
    let next = sum + select(vec3u(), vec3u(0u, 1u, 0u - params.k4), sum.z >= params.k4);
    return next + select(vec3u(), vec3u(1u, 0u - phase.taps.y, 0u), next.y >= phase.taps.y);
}
