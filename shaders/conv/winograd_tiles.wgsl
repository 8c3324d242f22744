// winograd_tiles: what the transforms of Winograd's tiles share: two activations, or their gradients, as they lie in memory.
// Layout: a pair is one u64 of f32, or one u32 of f16.
// Work:   none of its own.
// Needs:  of the importer word_pairs. Variants: f16.

alias Stored = u64; // only f32
// only f16: alias Stored = u32;
fn widen(v: Stored) -> vec2f { return unpack(v); } // only f32
// only f16: fn widen(v: Stored) -> vec2f { return unpack2x16float(v); }
fn narrow(v: vec2f) -> Stored { return pack(v); } // only f32
// only f16: fn narrow(v: vec2f) -> Stored { return pack2x16float(v); }
