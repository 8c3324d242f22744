//! The `kinesic` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    kinesic::cli::main()
}
