//! What Mesa's compiler for AMD GPUs makes of every variant of every kernel: registers, spills, workgroup memory, subgroups a
//! SIMD, instructions, and the compiler's own estimates of latency and inverse throughput. No such GPU is needed.

#![deny(missing_docs)]

mod baseline;
mod disassembly;
mod dump;
mod family;
mod radv;
mod spirv;
mod statistics;
mod table;

use baseline::Baseline;
use clap::Parser;
use family::{Answer, FAMILIES, Family, FamilyError, UNKNOWN_FAMILY, Work};
use radv::RadvError;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The kernels whose work is a matrix product: their inner loops are printed.
const PRODUCTS: [&str; 3] = ["conv2d_forward", "conv2d_grad_input", "conv2d_grad_weight"];

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json");

/// Compiles kinesic's kernels with Mesa's compiler for AMD's RDNA 2 and RDNA 3, without such a GPU, and prints its figures.
///
/// cargo run --release -p kinesic-inspector -- --kernel conv2d_forward
#[derive(Debug, Parser)]
#[command(name = "kinesic-inspector")]
struct Options {
    /// Only this kernel; may be repeated
    #[arg(long = "kernel", value_name = "NAME")]
    kernels: Vec<String>,
    /// Also reads the inner loop of this kernel's disassembly, beside the convolutions'; may be repeated
    #[arg(long = "inner-loop", value_name = "NAME")]
    loops: Vec<String>,
    /// Only this GPU family: rdna2 or rdna3
    #[arg(long, value_parser = ["rdna2", "rdna3"])]
    family: Option<String>,
    /// Writes the figures as JSON (`-` for standard output, instead of the table)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Prints the machine code of one variant, of rdna3 unless --family says otherwise
    #[arg(long, num_args = 2, value_names = ["KERNEL", "VARIANT"])]
    disassembly: Option<Vec<String>>,
    /// Compares with the baseline: exit code 1 on a spill, or on figures more than 10 % worse
    #[arg(long)]
    check: bool,
    /// Writes the baseline
    #[arg(long, conflicts_with_all = ["kernels", "family", "check"])]
    bless: bool,
    /// The baseline's file
    #[arg(long, value_name = "FILE", default_value = BASELINE)]
    baseline: PathBuf,
    /// Writes the kernels' texts, constants and needed features to a folder for other compilers, and ends
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// Is the process of one family (started by this program)
    #[arg(long, hide = true)]
    answer: bool,
}

/// How a run ends early: exit code and message.
struct Failure(u8, String);

impl From<FamilyError> for Failure {
    fn from(error: FamilyError) -> Self {
        let code = match &error {
            FamilyError::Radv(RadvError::NoDevice) => UNKNOWN_FAMILY,
            FamilyError::NoDriver { .. }
            | FamilyError::UnknownFamily { .. }
            | FamilyError::Radv(RadvError::Loader(_))
            | FamilyError::Spirv(spirv::SpirvError::UnknownKernel { .. }) => 2,
            _ => 1,
        };
        Self(code, error.to_string())
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(Failure(code, message)) => {
            eprintln!("kinesic-inspector: {message}");
            ExitCode::from(code)
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, Failure> {
    let work = work(options)?;
    if options.answer {
        family::answer(&work)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(folder) = &options.dump {
        let kernels = spirv::kernels(&options.kernels).map_err(FamilyError::from)?;
        let count = dump::dump(folder, &kernels).map_err(|error| unwritable(folder, &error))?;
        println!("{count} texts in {}", folder.display());
        return Ok(ExitCode::SUCCESS);
    }
    let families: Vec<_> = FAMILIES
        .into_iter()
        .filter(|it| match &options.family {
            Some(name) => it.name == name,
            None => !work.disassembly || it.name == "rdna3",
        })
        .collect();
    let (mesa, answers) = compile(&families, &work)?;
    if work.disassembly {
        return disassembly(&answers);
    }
    write(options, &mesa, &answers)?;
    judge(options, &mesa, &answers)
}

fn work(options: &Options) -> Result<Work, Failure> {
    let mut work = Work {
        kernels: options.kernels.clone(),
        loops: options.loops.clone(),
        ..Default::default()
    };
    if let Some(asked) = &options.disassembly {
        work.kernels = vec![asked[0].clone()];
        work.variant = Some(asked[1].clone());
        work.disassembly = true;
    }
    for name in PRODUCTS.map(str::to_owned) {
        if !work.loops.contains(&name) {
            work.loops.push(name);
        }
    }
    // Refuses unknown names before a process is started for each family.
    spirv::kernels(&work.kernels).map_err(FamilyError::from)?;
    spirv::kernels(&work.loops).map_err(FamilyError::from)?;
    Ok(work)
}

/// Every family in a process of its own, at the same time.
fn compile(families: &[Family], work: &Work) -> Result<(String, Vec<Answer>), Failure> {
    let driver = family::driver()?;
    let found: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = families
            .iter()
            .map(|family| scope.spawn(|| family::compile(*family, &driver, work)))
            .collect();
        threads.into_iter().map(|it| it.join()).collect()
    });
    let mut mesa = String::new();
    let mut answers = Vec::new();
    for found in found {
        let found = found.map_err(|_| Failure(1, "a family's thread ended".into()))?;
        let (version, of_family) = found?;
        mesa = version;
        answers.extend(of_family);
    }
    Ok((mesa, answers))
}

fn disassembly(answers: &[Answer]) -> Result<ExitCode, Failure> {
    let Some(answer) = answers.first() else {
        return Err(Failure(2, "the kernel has no such variant".into()));
    };
    let text = answer.disassembly.as_deref().unwrap_or_default();
    if text.is_empty() {
        return Err(Failure(1, "this Mesa has no disassembler".into()));
    }
    println!("{text}");
    Ok(ExitCode::SUCCESS)
}

fn write(options: &Options, mesa: &str, answers: &[Answer]) -> Result<(), Failure> {
    let json = || {
        let value = serde_json::json!({ "mesa": mesa, "pipelines": answers });
        serde_json::to_string_pretty(&value).map_err(|error| Failure(1, error.to_string()))
    };
    match &options.json {
        Some(file) if file == Path::new("-") => {
            println!("{}", json()?);
            return Ok(());
        }
        Some(file) => std::fs::write(file, json()?).map_err(|error| unwritable(file, &error))?,
        None => {}
    }
    // A check's output is its verdict: it is read in a log.
    if !options.check {
        print!("{}", table::table(mesa, answers));
    }
    print!("{}", table::loops(answers));
    print!("{}", table::worst(mesa, answers));
    Ok(())
}

fn unwritable(file: &Path, error: &std::io::Error) -> Failure {
    Failure(2, format!("{} cannot be written: {error}", file.display()))
}

fn judge(options: &Options, mesa: &str, answers: &[Answer]) -> Result<ExitCode, Failure> {
    let records: Vec<_> = answers.iter().map(|it| it.record.clone()).collect();
    let file = &options.baseline;
    if options.bless {
        std::fs::write(file, Baseline::of(mesa, &records).to_text())
            .map_err(|error| unwritable(file, &error))?;
    }
    if !options.check {
        return Ok(ExitCode::SUCCESS);
    }
    let unreadable = |error: &dyn std::fmt::Display| {
        let advice = "--bless writes it";
        Failure(2, format!("{}: {error}; {advice}", file.display()))
    };
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(&error))?;
    let baseline = Baseline::from_text(&text).map_err(|error| unreadable(&error))?;
    let whole = options.kernels.is_empty() && options.family.is_none();
    let verdict = baseline.compare(mesa, &records, whole);
    verdict
        .warnings
        .iter()
        .for_each(|it| eprintln!("warning: {it}"));
    verdict
        .failures
        .iter()
        .for_each(|it| eprintln!("FAILED: {it}"));
    if verdict.failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "what is meant to be so: cargo run --release -p kinesic-inspector -- --bless, and commit {}",
        file.display()
    );
    Ok(ExitCode::FAILURE)
}
