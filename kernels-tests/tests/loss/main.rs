//! The objective's kernels against their reference and against PyTorch's values.

mod blocks;
mod case;
mod golden;
mod objective;
mod options;
mod tape;
