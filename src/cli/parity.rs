//! `kinesic parity`.

use super::{Common, Failure, print};
use crate::gpu::Precision;
use crate::parity::{Golden, Report};
use anyhow::Context as _;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Example: kinesic parity golden_seed1.json")]
pub(super) struct ParityArgs {
    /// A file of reference values
    golden: PathBuf,
    /// The precision to compare; f16 reports distances without failing on them
    #[arg(long, default_value = "f32", value_parser = ["f32", "f16"])]
    precision: String,
    /// Lists every check, not only the failed ones
    #[arg(long)]
    all: bool,
}

pub(super) fn run(common: &Common, args: &ParityArgs) -> Result<(), Failure> {
    let text = std::fs::read_to_string(&args.golden)
        .with_context(|| args.golden.display().to_string())
        .map_err(Failure::Input)?;
    let golden = Golden::parse(&text).map_err(|error| {
        Failure::Input(anyhow::Error::new(error).context(args.golden.display().to_string()))
    })?;
    let gpu = common.gpu()?;
    let precision = Precision::named(&args.precision).unwrap_or_default();
    if !gpu.can_store(precision) {
        return Err(Failure::Input(anyhow::anyhow!(
            "--precision f16: the adapter has no f16 (shader-f16); choose another adapter"
        )));
    }
    eprintln!("adapter: {}", crate::gpu::describe(gpu.info()));
    let report = gpu.block_on(golden.run(&gpu, precision, |checks| {
        for check in checks.iter().filter(|check| args.all || !check.passed) {
            let verdict = if check.passed { "passed" } else { "FAILED" };
            eprintln!(
                "{verdict} {}: off by {:.2e}, allowed {:.2e}",
                check.name, check.distance, check.tolerance
            );
        }
    }))?;
    report
        .notes
        .iter()
        .for_each(|note| eprintln!("note: {note}"));
    common.report(&report, String::new)?;
    let (passed, failed) = (report.passed(), report.failed());
    if common
        .json
        .as_deref()
        .is_none_or(|path| path.as_os_str() != "-")
    {
        print(&summary(&report))?;
    }
    if failed > 0 && precision == Precision::F32 {
        return Err(Failure::Work(anyhow::anyhow!(
            "{failed} of {} checks failed",
            passed + failed
        )));
    }
    Ok(())
}

/// The closing line that scripts read.
fn summary(report: &Report) -> String {
    format!("{} passed, {} failed\n", report.passed(), report.failed())
}
