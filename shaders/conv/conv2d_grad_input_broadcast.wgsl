// conv2d_grad_input_broadcast: conv2d_grad_input for adapters on which a load costs more than arithmetic, with 8 lanes a subgroup.
//   grad_x[n,iy,ix,c] = Σ_{r,s,k} grad_y[n, (iy + ph - r)/sh, (ix + pw - s)/sw, k] · weight[r,s,c,k]     (whole quotients inside y)
// Layout: grad_y [N,Ho,Wo,K/4], weight [R,S,C,K/4], grad_x [N,H,W,C/4]; a vec4 of f32 travels as two u64, which halves the loads.
// Work:   pixels whose row and column leave the same remainders by the stride (a phase) meet the same filter positions: the 8
//         lanes of a subgroup are 8 pixels of a phase; each does 2 pixels, 8 apart, × 4 vec4s of C. The lanes load the 16
//         weight vec4s between them, two each, and pass them around by broadcast.
// Needs:  subgroup, int64. At most 2²⁴ pixels.

struct Params {
    n: u32, h: u32, w: u32, c4: u32,
    ho: u32, wo: u32, k4: u32,
    r: u32, s: u32,
    stride_h: u32, stride_w: u32, pad_h: u32, pad_w: u32,
    // Pixels of the largest phase: down, across, and in all images.
    phase_h: u32, phase_w: u32, pixels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> grad_y: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec2<u64>>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<vec2<u64>>;

fn unpack(v: vec2<u64>) -> vec4f {
    let low = vec2u(v);
    let high = vec2u(v >> vec2u(32u));
    return bitcast<vec4f>(vec4u(low.x, high.x, low.y, high.y));
}

fn pack(v: vec4f) -> vec2<u64> {
    let bits = bitcast<vec4u>(v);
    return vec2<u64>(bits.xz) | (vec2<u64>(bits.yw) << vec2u(32u));
}

// a / b for a below 2²⁴: the lanes divide one after the other where integers do.
fn divide(a: u32, b: u32) -> u32 {
    let near = u32(i32(f32(a) / f32(b)));
    let rest = i32(a - near * b);
    return select(select(near, near + 1u, rest >= i32(b)), near - 1u, rest < 0);
}

// Image, row and column of a pixel within its phase.
fn position(pixel: u32) -> vec3u {
    let row = divide(pixel, params.phase_w);
    let image = divide(row, params.phase_h);
    return vec3u(image, row - image * params.phase_h, pixel - row * params.phase_w);
}

// The sums of two pixels × four vec4s of C.
struct Block { a0: vec4f, a1: vec4f, a2: vec4f, a3: vec4f, b0: vec4f, b1: vec4f, b2: vec4f, b3: vec4f }

fn multiply(sum: vec4f, g: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f) -> vec4f {
    return sum + vec4f(dot(g, w0), dot(g, w1), dot(g, w2), dot(g, w3));
}

// Adds the product of four channels of grad_y of two pixels, a and b, with 16 rows of weights, of which lane l holds row l (low)
// and 8 + l (high).
fn accumulate(s: ptr<function, Block>, low: vec4f, high: vec4f, a: vec4f, b: vec4f) {
    var w0 = subgroupBroadcast(low, 0u);
    var w1 = subgroupBroadcast(low, 1u);
    var w2 = subgroupBroadcast(low, 2u);
    var w3 = subgroupBroadcast(low, 3u);
    (*s).a0 = multiply((*s).a0, a, w0, w1, w2, w3);
    (*s).b0 = multiply((*s).b0, b, w0, w1, w2, w3);
    w0 = subgroupBroadcast(low, 4u);
    w1 = subgroupBroadcast(low, 5u);
    w2 = subgroupBroadcast(low, 6u);
    w3 = subgroupBroadcast(low, 7u);
    (*s).a1 = multiply((*s).a1, a, w0, w1, w2, w3);
    (*s).b1 = multiply((*s).b1, b, w0, w1, w2, w3);
    w0 = subgroupBroadcast(high, 0u);
    w1 = subgroupBroadcast(high, 1u);
    w2 = subgroupBroadcast(high, 2u);
    w3 = subgroupBroadcast(high, 3u);
    (*s).a2 = multiply((*s).a2, a, w0, w1, w2, w3);
    (*s).b2 = multiply((*s).b2, b, w0, w1, w2, w3);
    w0 = subgroupBroadcast(high, 4u);
    w1 = subgroupBroadcast(high, 5u);
    w2 = subgroupBroadcast(high, 6u);
    w3 = subgroupBroadcast(high, 7u);
    (*s).a3 = multiply((*s).a3, a, w0, w1, w2, w3);
    (*s).b3 = multiply((*s).b3, b, w0, w1, w2, w3);
}

fn store(pixel: u32, c: u32, sum: vec4f) {
    if c < params.c4 {
        grad_x[pixel * params.c4 + c] = pack(sum);
    }
}

fn store_pixel(index: u32, at: vec3u, phase: vec2u, c: u32, s0: vec4f, s1: vec4f, s2: vec4f, s3: vec4f) {
    let iy = at.y * params.stride_h + phase.x;
    let ix = at.z * params.stride_w + phase.y;
    if index < params.pixels && iy < params.h && ix < params.w {
        let pixel = (at.x * params.h + iy) * params.w + ix;
        store(pixel, c, s0);
        store(pixel, c + 1u, s1);
        store(pixel, c + 2u, s2);
        store(pixel, c + 3u, s3);
    }
}

@compute @workgroup_size(32)
fn conv2d_grad_input_broadcast(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let first = (group.x + group.y * groups.x) * 64u + subgroup * 16u + lane;
    let a = min(first, params.pixels - 1u);
    let b = min(first + 8u, params.pixels - 1u);
    let at_a = position(a);
    let at_b = position(b);
    // Tiles of 16 channels, in each all phases.
    let phases = params.stride_h * params.stride_w;
    let tile = divide(group.z, phases);
    let phase_y = divide(group.z - tile * phases, params.stride_w);
    let phase = vec2u(phase_y, group.z - tile * phases - phase_y * params.stride_w);
    let c = tile * 4u;
    // The phase's first filter position, and the pixel of y that it takes the phase's first pixel to.
    let padded = phase + vec2u(params.pad_h, params.pad_w);
    let shift = vec2u(divide(padded.x, params.stride_h), divide(padded.y, params.stride_w));
    let first_tap = padded - shift * vec2u(params.stride_h, params.stride_w);
    let row0 = min(4u * c + lane, 4u * params.c4 - 1u) * params.k4;
    let row1 = min(4u * c + 8u + lane, 4u * params.c4 - 1u) * params.k4;

    var sums = Block();
    var back_y = 0u;
    for (var r = first_tap.x; r < params.r; r += params.stride_h) {
        var back_x = 0u;
        for (var s = first_tap.y; s < params.s; s += params.stride_w) {
            // What lies above or left of y wraps, and is as large as what lies below or right of it.
            let tap_a = at_a.yz + shift - vec2u(back_y, back_x);
            let tap_b = at_b.yz + shift - vec2u(back_y, back_x);
            let inside_a = tap_a.x < params.ho && tap_a.y < params.wo;
            let inside_b = tap_b.x < params.ho && tap_b.y < params.wo;
            let from_a = select(0u, ((at_a.x * params.ho + tap_a.x) * params.wo + tap_a.y) * params.k4, inside_a);
            let from_b = select(0u, ((at_b.x * params.ho + tap_b.x) * params.wo + tap_b.y) * params.k4, inside_b);
            let filters = (r * params.s + s) * params.c4 * 4u * params.k4;
            for (var k = 0u; k < params.k4; k++) {
                // All loads before all arithmetic: each is a loop over the lanes, and what is live across it goes to memory.
                let ga = unpack(grad_y[from_a + k]);
                let gb = unpack(grad_y[from_b + k]);
                let low = unpack(weight[filters + row0 + k]);
                let high = unpack(weight[filters + row1 + k]);
                accumulate(&sums, low, high, select(vec4f(), ga, inside_a), select(vec4f(), gb, inside_b));
            }
            back_x++;
        }
        back_y++;
    }
    store_pixel(first, at_a, phase, c, sums.a0, sums.a1, sums.a2, sums.a3);
    store_pixel(first + 8u, at_b, phase, c, sums.b0, sums.b1, sums.b2, sums.b3);
}
