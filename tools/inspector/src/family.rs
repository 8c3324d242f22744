//! A process of this program for each GPU family: RADV reads the family's name from the environment once a process.

use crate::baseline::Record;
use crate::disassembly::{Loop, inner_loop};
use crate::radv::{Compiler, RadvError};
use crate::spirv::{SpirvError, cases, kernels};
use crate::statistics::Statistics;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A GPU family and its names in RADV: newer Mesa's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name here.
    pub name: &'static str,
    radv: [&'static str; 2],
}

/// The consumer GPUs that the baseline holds.
pub const FAMILIES: [Family; 2] = [
    Family {
        name: "rdna2",
        radv: ["navi21", "gfx1030"],
    },
    Family {
        name: "rdna3",
        radv: ["navi31", "gfx1100"],
    },
];

/// The exit code of a process whose driver does not know the family's name.
pub const UNKNOWN_FAMILY: u8 = 3;

/// Why a family's figures are not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FamilyError {
    /// RADV is not installed.
    #[error("no RADV (radeon_icd*.json) in {searched}: run tools/install-checkers.sh")]
    NoDriver {
        /// The folders.
        searched: String,
    },
    /// RADV knows none of the family's names.
    #[error("this RADV knows {family} by none of the names {names}")]
    UnknownFamily {
        /// The family.
        family: &'static str,
        /// Its names.
        names: String,
    },
    /// The compiler ended in the middle.
    #[error("{family}: the compiler ended ({status}) {at}{said}")]
    Ended {
        /// The family.
        family: &'static str,
        /// How.
        status: std::process::ExitStatus,
        /// What it was at.
        at: String,
        /// The process's standard error.
        said: String,
    },
    /// The process's output is not what this program writes.
    #[error("{family}: unreadable answer: {source}")]
    Answer {
        /// The family.
        family: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// Starting the process or reading from it failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The kernels themselves.
    #[error(transparent)]
    Spirv(#[from] SpirvError),
    /// The compiler.
    #[error(transparent)]
    Radv(#[from] RadvError),
}

/// What a family's process writes, a line each.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Mesa(String),
    Begins(String),
    Done(Box<Done>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Done {
    kernel: String,
    variant: String,
    software: bool,
    statistics: Statistics,
    inner_loop: Option<Loop>,
    disassembly: Option<String>,
}

/// What to compile.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// The kernels; none is all.
    pub kernels: Vec<String>,
    /// The one variant, where only one is wanted.
    pub variant: Option<String>,
    /// Kernels whose inner loop is wanted.
    pub loops: Vec<String>,
    /// Whether to keep the disassembly.
    pub disassembly: bool,
}

/// One compiled variant.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Names and figures.
    #[serde(flatten)]
    pub record: Record,
    /// The loop with the multiply-adds, where it was asked for and there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner_loop: Option<Loop>,
    /// The disassembly, where it was asked for.
    #[serde(skip)]
    pub disassembly: Option<String>,
}

/// RADV's driver file.
///
/// # Errors
/// [`FamilyError::NoDriver`].
pub fn driver() -> Result<PathBuf, FamilyError> {
    let folders = [
        "/usr/share/vulkan/icd.d",
        "/usr/local/share/vulkan/icd.d",
        "/etc/vulkan/icd.d",
    ];
    let files = folders
        .iter()
        .filter_map(|it| Path::new(it).read_dir().ok());
    let files = files.flatten().flatten().map(|file| file.path());
    let mut found: Vec<_> = files
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("radeon_icd") && name.ends_with(".json")
        })
        .collect();
    found.sort();
    // Debian's multiarch also has files of 32 bits, whose names end in i686.
    let fits = |path: &&PathBuf| !path.to_string_lossy().contains("i686");
    let chosen = found.iter().find(fits).cloned();
    chosen.ok_or_else(|| FamilyError::NoDriver {
        searched: folders.join(", "),
    })
}

/// The driver's version and the compiled variants of one family, from a process of its own.
///
/// # Errors
/// Every [`FamilyError`].
pub fn compile(
    family: Family,
    driver: &Path,
    work: &Work,
) -> Result<(String, Vec<Answer>), FamilyError> {
    for name in family.radv {
        if let Some(found) = compile_as(family, name, driver, work)? {
            return Ok(found);
        }
    }
    Err(FamilyError::UnknownFamily {
        family: family.name,
        names: family.radv.join(", "),
    })
}

/// Nothing where RADV does not know `name`.
fn compile_as(
    family: Family,
    name: &str,
    driver: &Path,
    work: &Work,
) -> Result<Option<(String, Vec<Answer>)>, FamilyError> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--answer");
    for name in &work.kernels {
        command.args(["--kernel", name]);
    }
    for name in &work.loops {
        command.args(["--inner-loop", name]);
    }
    if let (Some(kernel), Some(variant)) = (work.kernels.first(), &work.variant) {
        command.args(["--disassembly", kernel, variant]);
    }
    let mut child = command
        .env("RADV_FORCE_FAMILY", name)
        .env("VK_DRIVER_FILES", driver)
        .env("VK_ICD_FILENAMES", driver) // the loader's older name for the same
        .env("MESA_SHADER_CACHE_DISABLE", "true") // a cached shader is not compiled anew
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = child.stderr.take();
    // Read beside standard output, so that neither pipe fills up.
    let said = std::thread::spawn(move || {
        let mut said = String::new();
        let _ = stderr.map(|mut it| it.read_to_string(&mut said));
        said
    });
    let mut heard = Heard::default();
    for line in child
        .stdout
        .take()
        .map(BufReader::new)
        .into_iter()
        .flat_map(BufReader::lines)
    {
        heard.take(family, &line?)?;
    }
    let status = child.wait()?;
    let said = said.join().unwrap_or_default();
    match status.code() {
        Some(0) => Ok(Some((heard.mesa, heard.answers))),
        Some(code) if code == i32::from(UNKNOWN_FAMILY) => Ok(None),
        _ => Err(FamilyError::Ended {
            family: family.name,
            status,
            at: heard
                .at
                .map_or("before the first kernel".into(), |it| format!("at {it}")),
            said: if said.is_empty() {
                said
            } else {
                format!(":\n{said}")
            },
        }),
    }
}

/// What a family's process has written so far.
#[derive(Debug, Default)]
struct Heard {
    mesa: String,
    at: Option<String>,
    answers: Vec<Answer>,
}

impl Heard {
    fn take(&mut self, family: Family, line: &str) -> Result<(), FamilyError> {
        let message = serde_json::from_str(line).map_err(|source| FamilyError::Answer {
            family: family.name,
            source,
        })?;
        match message {
            Message::Mesa(mesa) => self.mesa = mesa,
            Message::Begins(at) => self.at = Some(at),
            Message::Done(done) => self.answers.push(Answer {
                record: Record {
                    family: family.name,
                    kernel: done.kernel,
                    variant: done.variant,
                    software: done.software,
                    statistics: done.statistics,
                },
                inner_loop: done.inner_loop,
                disassembly: done.disassembly,
            }),
        }
        Ok(())
    }
}

/// The other side: compiles and writes one message a line to standard output.
///
/// # Errors
/// [`FamilyError::Radv`], with [`RadvError::NoDevice`] where the family's name is unknown; [`FamilyError::Spirv`].
pub fn answer(work: &Work) -> Result<(), FamilyError> {
    let compiler = Compiler::open()?;
    say(&Message::Mesa(compiler.mesa().to_owned()))?;
    for kernel in kernels(&work.kernels)? {
        let loops = work.loops.iter().any(|it| it == kernel.shader.name);
        for case in cases(&kernel)? {
            if work.variant.as_ref().is_some_and(|it| *it != case.variant) {
                continue;
            }
            if !compiler.runs(&case) {
                continue;
            }
            say(&Message::Begins(format!(
                "{}/{}",
                case.kernel, case.variant
            )))?;
            let compiled = compiler.compile(&case, loops || work.disassembly)?;
            let text = compiled.disassembly;
            say(&Message::Done(Box::new(Done {
                kernel: case.kernel.to_owned(),
                variant: case.variant,
                software: case.software,
                statistics: compiled.statistics,
                inner_loop: text.as_deref().filter(|_| loops).and_then(inner_loop),
                disassembly: text.filter(|_| work.disassembly),
            })))?;
        }
    }
    Ok(())
}

fn say(message: &Message) -> Result<(), FamilyError> {
    let text = serde_json::to_string(message).map_err(io::Error::from)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?; // the last one names the kernel that the compiler died of
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_records_of_their_family() {
        let mut heard = Heard::default();
        let done = Message::Done(Box::new(Done {
            kernel: "relu".into(),
            variant: "base".into(),
            software: false,
            statistics: Statistics::from_row([1, 2, 3, 4, 5, 6, 7, 8, 9]),
            inner_loop: None,
            disassembly: None,
        }));
        let messages = [
            Message::Mesa("Mesa 25".into()),
            Message::Begins("relu/base".into()),
            done,
        ];
        for message in &messages {
            let line = serde_json::to_string(message).unwrap();
            heard.take(FAMILIES[1], &line).unwrap();
        }
        assert_eq!(heard.mesa, "Mesa 25");
        assert_eq!(heard.at.as_deref(), Some("relu/base"));
        assert_eq!(heard.answers[0].record.what(), "rdna3 relu/base");
        assert_eq!(heard.answers[0].record.statistics.lds, 5);
        assert!(heard.take(FAMILIES[1], "segmentation fault").is_err());
    }
}
