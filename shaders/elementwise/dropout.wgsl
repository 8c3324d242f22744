// dropout: zeroes elements at random and scales up the others (Srivastava et al. 2014, inverted); on grad_y it is its own
// gradient, as the same counters give the same mask.
//   y[i] = hash(seed, step, stream, i) >= threshold ? x[i] · scale : 0
// Layout: schedule [8] u32, of which [4] is the step and [5] the seed (see the twins of optim); x, y [count] vec4.
// Work:   an invocation does one vec4; invocations beyond the end do nothing.
// Needs:  default limits. Variants: f16 (shader-f16).

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

struct Params { count: u32, stream: u32, threshold: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> schedule: array<u32>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<Stored>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Stored>>;

// The finaliser of MurmurHash3 (Appleby), a bijection in which every input bit flips every output bit with even odds.
fn mix(value: vec4u) -> vec4u {
    var h = value;
    h = (h ^ (h >> vec4u(16u))) * 0x85EBCA6Bu;
    h = (h ^ (h >> vec4u(13u))) * 0xC2B2AE35u;
    return h ^ (h >> vec4u(16u));
}

@compute @workgroup_size(64)
fn dropout(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    if i >= params.count {
        return;
    }
    var hash = mix(4u * i + vec4u(0u, 1u, 2u, 3u));
    hash = mix(hash + params.stream);
    hash = mix(hash + schedule[4]);
    hash = mix(hash + schedule[5]);
    y[i] = vec4<Stored>(select(vec4f(), vec4f(x[i]) * params.scale, hash >= vec4u(params.threshold)));
}
