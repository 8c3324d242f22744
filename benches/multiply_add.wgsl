// multiply_add: the arithmetic's measured peak.
//   y[i] = Σ over 4 · CHAINS independent chains of  s ← s · a + b,  STEPS · rounds times from s = 0
// Layout: x [2]: a and b, which the compiler must not know; y [n].
// Work:   an invocation keeps its chains in registers; nothing is loaded or stored in the loop.
// Needs:  default limits. Variants: CHAINS (2, 4 or 8 vectors), FUSED (fma, or a product and a sum).

struct Params {
    n: u32,      // invocations
    rounds: u32, // of STEPS multiply-adds a chain
}

override CHAINS: u32 = 4;
override FUSED: bool = true;
const STEPS: u32 = 4;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>; // [2]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [n]

fn next(s: vec4f, a: vec4f, b: vec4f) -> vec4f {
    if FUSED {
        return fma(s, a, b);
    }
    return s * a + b;
}

@compute @workgroup_size(64)
fn multiply_add(@builtin(global_invocation_id) id: vec3u) {
    let a = vec4f(x[0]);
    let b = vec4f(x[1]);
    var s0 = vec4f();
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    var s4 = vec4f();
    var s5 = vec4f();
    var s6 = vec4f();
    var s7 = vec4f();
    // Chains that begin alike would be one to an optimiser.
    if id.x == params.n {
        s1 = a;
        s2 = b;
        s3 = a + b;
        s4 = a - b;
        s5 = 2.0 * a;
        s6 = 2.0 * b;
        s7 = a + 2.0 * b;
    }
    for (var round = 0u; round < params.rounds; round++) {
        for (var step = 0u; step < STEPS; step++) {
            s0 = next(s0, a, b);
            s1 = next(s1, a, b);
            if CHAINS > 2 {
                s2 = next(s2, a, b);
                s3 = next(s3, a, b);
            }
            if CHAINS > 4 {
                s4 = next(s4, a, b);
                s5 = next(s5, a, b);
                s6 = next(s6, a, b);
                s7 = next(s7, a, b);
            }
        }
    }
    let sums = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
    if id.x < params.n {
        y[id.x] = sums.x + sums.y + sums.z + sums.w;
    }
}
