//! The `kinesic` command.
fn main() {}
