// word_quads: a vec4 of f32 as two u64, which halves the loads where each costs more than arithmetic.
// Layout: the first f32 of two is the low half.
// Work:   none of its own.
// Needs:  int64.

fn unpack(v: vec2<u64>) -> vec4f {
    let low = vec2u(v);
    let high = vec2u(v >> vec2u(32u));
    return bitcast<vec4f>(vec4u(low.x, high.x, low.y, high.y));
}

fn pack(v: vec4f) -> vec2<u64> {
    let bits = bitcast<vec4u>(v);
    return vec2<u64>(bits.xz) | (vec2<u64>(bits.yw) << vec2u(32u));
}
