//! Writes the kernels' texts for another WebGPU compiler.

use crate::spirv::{Case, SpirvError, cases};
use kinesic::gpu::{Precision, Variant};
use kinesic::kernels::Kernel;
use serde_json::{Value, json};
use std::io;
use std::path::Path;

/// Writes `DIR/kernel.variant.wgsl` for each variant and `DIR/kernels.json`: a list of the files, each with its entry point,
/// the values of its constants and the features that it needs. The number of files is returned.
///
/// # Errors
/// Those of writing.
pub fn dump(folder: &Path, kernels: &[Kernel]) -> io::Result<usize> {
    std::fs::create_dir_all(folder)?;
    let mut list = Vec::new();
    for kernel in kernels {
        let cases = cases(kernel).map_err(|error: SpirvError| io::Error::other(error))?;
        for variant in &kernel.variants {
            let label = variant.to_string();
            let case = cases.iter().find(|it| it.variant == label);
            let text = kernel.shader.text_for_browsers(variant);
            let file = format!("{}.{label}.wgsl", kernel.shader.name);
            std::fs::write(folder.join(&file), text.as_bytes())?;
            list.push(entry(kernel, variant, &file, case, &text));
        }
    }
    std::fs::write(
        folder.join("kernels.json"),
        serde_json::to_string_pretty(&list)?,
    )?;
    Ok(list.len())
}

fn entry(kernel: &Kernel, variant: &Variant, file: &str, case: Option<&Case>, text: &str) -> Value {
    let mut features = Vec::new();
    if variant.precision() == Precision::F16 {
        features.push("shader-f16");
    }
    if text.starts_with("enable subgroups;") {
        features.push("subgroups");
    }
    if text.contains("u64") {
        features.push("shader-int64"); // wgpu's own, no feature of WebGPU
    }
    if case.is_some_and(|it| it.matrices.is_some()) {
        features.push("wgpu-cooperative-matrix"); // likewise
    }
    let constants = variant.constants().iter();
    let constants: serde_json::Map<_, _> = constants
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    json!({
        "file": file,
        "kernel": kernel.shader.name,
        "variant": variant.to_string(),
        "features": features,
        "constants": constants,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spirv::kernels;

    #[test]
    fn each_variant_has_a_file_and_a_line_of_what_it_needs() {
        let names = ["relu", "conv2d_forward_broadcast"].map(str::to_owned);
        let kernels = kernels(&names).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let count = dump(folder.path(), &kernels).unwrap();
        let list = std::fs::read(folder.path().join("kernels.json")).unwrap();
        let list: Vec<Value> = serde_json::from_slice(&list).unwrap();
        assert_eq!(list.len(), count);
        for it in &list {
            assert!(folder.path().join(it["file"].as_str().unwrap()).exists());
        }
        let find = |file: &str| list.iter().find(|it| it["file"] == file).unwrap();
        assert_eq!(find("relu.base.wgsl")["features"], json!([]));
        assert_eq!(find("relu.f16.wgsl")["features"], json!(["shader-f16"]));
        let half = std::fs::read_to_string(folder.path().join("relu.f16.wgsl")).unwrap();
        assert!(half.contains("\nenable f16;"), "{half}");
        let software = list.iter().find(|it| it["kernel"] == names[1]).unwrap();
        let needs = software["features"].as_array().unwrap();
        assert!(needs.contains(&json!("shader-int64")), "{software}");
    }
}
