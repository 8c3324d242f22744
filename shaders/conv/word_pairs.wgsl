// word_pairs: two f32 as one u64, which halves the loads where each costs more than arithmetic.
// Layout: the first f32 is the low half.
// Work:   none of its own.
// Needs:  int64.

fn unpack(v: u64) -> vec2f {
    return bitcast<vec2f>(vec2u(u32(v), u32(v >> 32u)));
}

fn pack(v: vec2f) -> u64 {
    let bits = bitcast<vec2u>(v);
    return u64(bits.x) | (u64(bits.y) << 32u);
}
