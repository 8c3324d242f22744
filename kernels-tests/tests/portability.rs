//! Every variant of every kernel in the languages of the other drivers: SPIR-V for Vulkan, MSL for Metal, HLSL for DX12.

use kinesic::gpu::Variant;
use kinesic::kernels::all;
use naga::ShaderStage;
use naga::back::pipeline_constants::process_overrides;
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, Validator};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Hands each variant, its constants replaced by their values, to `write`.
fn each(write: impl Fn(&str, &str, &naga::Module, &ModuleInfo)) {
    for kernel in all() {
        let name = kernel.shader.name;
        for variant in &kernel.variants {
            let (module, info) = parse(&kernel.shader.text(variant));
            let what = format!("{name}, {variant}");
            let constants = constants(variant);
            let entry = Some((ShaderStage::Compute, name));
            let (module, info) = process_overrides(&module, &info, entry, &constants)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            write(&what, name, &module, &info);
        }
    }
}

fn parse(text: &str) -> (naga::Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(text)));
    let mut validator = Validator::new(Default::default(), Capabilities::all());
    validator
        .subgroup_stages(ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all());
    let info = validator.validate(&module).unwrap();
    (module, info)
}

#[allow(clippy::cast_precision_loss)] // small integers
fn constants(variant: &Variant) -> naga::back::PipelineConstants {
    let constants = variant.constants().iter();
    constants
        .map(|(name, value)| ((*name).to_owned(), *value as f64))
        .collect()
}

#[test]
fn spirv_is_valid() {
    let checker = Command::new("spirv-val").arg("--version").output();
    if checker.is_err() {
        eprintln!("spirv-val is not installed: SPIR-V is written, but not checked by it");
    }
    each(|what, name, module, info| {
        let options = spv::Options {
            lang_version: (1, 3),
            ..Default::default()
        };
        let pipeline = spv::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: name.to_owned(),
        };
        let words = spv::write_vec(module, info, &options, Some(&pipeline))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(words[0], 0x0723_0203, "{what}: SPIR-V's magic number");
        // The checker of Debian 12 does not know the capability; drivers that have it take the words.
        if checker.is_ok() && !has_matrices(module, None) {
            validate(what, &words);
        }
    });
}

/// Whether a module has cooperative matrices, of this scalar or of any.
fn has_matrices(module: &naga::Module, of: Option<naga::Scalar>) -> bool {
    module.types.iter().any(|(_, it)| match it.inner {
        naga::TypeInner::CooperativeMatrix { scalar, .. } => of.is_none_or(|of| of == scalar),
        _ => false,
    })
}

fn validate(what: &str, words: &[u32]) {
    let mut child = Command::new("spirv-val")
        .args(["--target-env", "vulkan1.1", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(bytemuck::cast_slice(words)).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
}

#[test]
fn metal_has_every_variant() {
    each(|what, name, module, info| {
        if has_matrices(module, Some(naga::Scalar::F16)) {
            return; // none there
        }
        let options = msl::Options {
            lang_version: (2, 4),
            ..Default::default()
        };
        let pipeline = msl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, name.to_owned())),
            ..Default::default()
        };
        let (text, _) = msl::write_string(module, info, &options, &pipeline)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(text.contains("kernel void"), "{what}: no kernel in {text}");
    });
}

#[test]
fn direct3d_has_every_variant() {
    each(|what, name, module, info| {
        if has_matrices(module, None) {
            return; // none there
        }
        let options = hlsl::Options {
            shader_model: hlsl::ShaderModel::V6_2,
            ..Default::default()
        };
        let pipeline = hlsl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, name.to_owned())),
        };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(module, info, None)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(text.contains("[numthreads("), "{what}: no kernel in {text}");
    });
}
