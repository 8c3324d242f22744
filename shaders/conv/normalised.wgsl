// normalised: a convolution's x as the batch normalisation before it makes it, of that one's own input z: then x is never written.
//   NORMALISED: x = z · scale[c] + shift[c]     RECTIFIED: then max(x, 0)     0 outside z: padding comes behind the map
// Layout: scale and shift, [2,C/4] in the importer's binding `affine`, are the columns of `map`.
// Work:   none of its own.
// Needs:  default limits; of the importer Stored.

override NORMALISED: bool = false; override RECTIFIED: bool = false;

// The x of a z that was loaded; without NORMALISED that is x. The second is of the type that x is stored in, and rounded to it.
fn normalised(z: vec4f, map: mat2x4f, there: bool) -> vec4f {
    if !NORMALISED { return z; }
    let x = z * map[0] + map[1];
    return select(vec4f(), select(x, max(x, vec4f()), RECTIFIED), there);
}
fn normalised_stored(z: vec4<Stored>, map: mat2x4f, there: bool) -> vec4<Stored> {
    if !NORMALISED { return z; }
    return vec4<Stored>(normalised(vec4f(z), map, there));
}
