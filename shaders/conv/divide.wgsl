// divide: a division of integers for software adapters, whose lanes divide one after the other where integers do.
//   divide(a, b) = ⌊a / b⌋
// Layout: none of its own.
// Work:   one division of f32.
// Needs:  a below 2²⁴.

fn divide(a: u32, b: u32) -> u32 {
    let near = u32(i32(f32(a) / f32(b)));
    let rest = i32(a - near * b);
    return select(select(near, near + 1u, rest >= i32(b)), near - 1u, rest < 0);
}
