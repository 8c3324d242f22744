//! The adapter's peaks that all lines are held against, alone: `cargo bench --bench peaks`.

mod common;

fn main() {
    common::check_peaks();
    if common::is_test() {
        println!("peaks: ok");
    } else {
        println!(
            "{}",
            kinesic::gpu::describe(kernels_tests::harness::gpu().info())
        );
        common::peaks();
    }
}
