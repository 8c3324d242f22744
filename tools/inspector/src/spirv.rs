//! Every variant of every kernel as the SPIR-V that wgpu would hand to a Vulkan driver.

use kinesic::gpu::Variant;
use kinesic::kernels::{Kernel, all};
use naga::back::pipeline_constants::process_overrides;
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, Validator};
use naga::{AddressSpace, ShaderStage};

/// Why there is no SPIR-V. Every kernel passes these steps in the tests too, so none is expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpirvError {
    /// No kernel has the name asked for.
    #[error("no kernel is called {asked}; there are: {known}")]
    UnknownKernel {
        /// The name.
        asked: String,
        /// The names that there are.
        known: String,
    },
    /// A step from WGSL to SPIR-V failed.
    #[error("{what} does not become SPIR-V: {message}")]
    Refused {
        /// Kernel and variant.
        what: String,
        /// What naga said.
        message: String,
    },
}

/// A resource of a shader's group 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Its number.
    pub number: u32,
    /// Whether it is a uniform buffer; a storage buffer otherwise.
    pub uniform: bool,
}

/// One variant of one kernel, compiled to SPIR-V.
#[derive(Clone, Debug)]
pub struct Case {
    /// The kernel's name, which is its entry point's too.
    pub kernel: &'static str,
    /// The variant's label.
    pub variant: String,
    /// Whether the text has 64-bit integers: only the variants for software adapters do, which no GPU runs.
    pub software: bool,
    /// The side of its cooperative matrices, if it has any.
    pub matrices: Option<u32>,
    /// SPIR-V.
    pub words: Vec<u32>,
    /// What it binds.
    pub bindings: Vec<Binding>,
}

/// The kernels of these names, or all where none is named.
///
/// # Errors
/// [`SpirvError::UnknownKernel`].
pub fn kernels(names: &[String]) -> Result<Vec<Kernel>, SpirvError> {
    let mut kernels = all();
    if let Some(asked) = names
        .iter()
        .find(|name| !kernels.iter().any(|it| it.shader.name == **name))
    {
        let known: Vec<_> = kernels.iter().map(|it| it.shader.name).collect();
        return Err(SpirvError::UnknownKernel {
            asked: asked.clone(),
            known: known.join(", "),
        });
    }
    if !names.is_empty() {
        kernels.retain(|it| names.iter().any(|name| it.shader.name == name));
    }
    Ok(kernels)
}

/// The cases of a kernel, in the order of its variants.
///
/// # Errors
/// [`SpirvError::Refused`].
pub fn cases(kernel: &Kernel) -> Result<Vec<Case>, SpirvError> {
    let mut cases = Vec::new();
    let mut last: Option<(String, naga::Module, ModuleInfo)> = None;
    for variant in &kernel.variants {
        // Neighbours mostly share their text: it is parsed once.
        let text = kernel.shader.text(variant);
        if last.as_ref().is_none_or(|(parsed, ..)| *parsed != text) {
            let (module, info) = parse(kernel, variant)?;
            last = Some((text.into_owned(), module, info));
        }
        if let Some((_, module, info)) = &last {
            cases.push(case(kernel.shader.name, variant, module, info)?);
        }
    }
    Ok(cases)
}

fn refused(kernel: &str, variant: &Variant, message: impl ToString) -> SpirvError {
    SpirvError::Refused {
        what: format!("{kernel}/{variant}"),
        message: message.to_string(),
    }
}

fn parse(kernel: &Kernel, variant: &Variant) -> Result<(naga::Module, ModuleInfo), SpirvError> {
    let name = kernel.shader.name;
    let text = kernel.shader.text(variant);
    let module = naga::front::wgsl::parse_str(&text)
        .map_err(|error| refused(name, variant, error.emit_to_string(&text)))?;
    let mut validator = Validator::new(Default::default(), Capabilities::all());
    validator
        .subgroup_stages(ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all());
    let info = validator
        .validate(&module)
        .map_err(|error| refused(name, variant, error))?;
    Ok((module, info))
}

/// The values of a variant's constants, as naga wants them.
pub fn constants(variant: &Variant) -> naga::back::PipelineConstants {
    let constants = variant.constants().iter();
    #[allow(clippy::cast_precision_loss)] // small integers
    constants
        .map(|(name, value)| ((*name).to_owned(), *value as f64))
        .collect()
}

fn case(
    kernel: &'static str,
    variant: &Variant,
    module: &naga::Module,
    info: &ModuleInfo,
) -> Result<Case, SpirvError> {
    let entry = Some((ShaderStage::Compute, kernel));
    let (module, info) = process_overrides(module, info, entry, &constants(variant))
        .map_err(|error| refused(kernel, variant, error))?;
    let pipeline = spv::PipelineOptions {
        shader_stage: ShaderStage::Compute,
        entry_point: kernel.to_owned(),
    };
    let words = spv::write_vec(&module, &info, &options(), Some(&pipeline))
        .map_err(|error| refused(kernel, variant, error))?;
    Ok(Case {
        kernel,
        variant: variant.to_string(),
        software: has_long_integers(&module),
        matrices: side_of_matrices(&module),
        words,
        bindings: bindings(&module),
    })
}

/// What wgpu 30 asks of naga for a trusted module without runtime checks on a driver of Vulkan 1.3 or newer.
fn options() -> spv::Options<'static> {
    spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS,
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Unchecked,
            buffer: BoundsCheckPolicy::Unchecked,
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::Native,
        force_loop_bounding: false,
        ray_query_initialization_tracking: false,
        emit_int_div_checks: false,
        ..Default::default()
    }
}

fn has_long_integers(module: &naga::Module) -> bool {
    use naga::{ScalarKind, TypeInner};
    module.types.iter().any(|(_, it)| {
        let (TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. }) = it.inner else {
            return false;
        };
        scalar.width == 8 && matches!(scalar.kind, ScalarKind::Sint | ScalarKind::Uint)
    })
}

fn side_of_matrices(module: &naga::Module) -> Option<u32> {
    let mut sides = module.types.iter().filter_map(|(_, it)| match it.inner {
        naga::TypeInner::CooperativeMatrix { columns, .. } => Some(columns as u32),
        _ => None,
    });
    sides.next()
}

fn bindings(module: &naga::Module) -> Vec<Binding> {
    let variables = module.global_variables.iter();
    variables
        .filter_map(|(_, it)| {
            Some(Binding {
                number: it.binding.as_ref()?.binding,
                uniform: it.space == AddressSpace::Uniform,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_has_a_case_for_each_variant_and_unknown_names_are_refused() {
        let kernels = kernels(&["relu".to_owned()]).unwrap();
        let cases = cases(&kernels[0]).unwrap();
        assert_eq!(cases.len(), kernels[0].variants.len());
        assert_eq!(cases[0].words[0], 0x0723_0203, "SPIR-V's magic number");
        assert!(cases[0].bindings[0].uniform && !cases[0].bindings[1].uniform);
        assert!(!cases[0].software);
        let error = super::kernels(&["rely".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("rely"), "{error}");
    }

    #[test]
    fn the_kernels_for_software_adapters_are_known_by_their_long_integers() {
        let kernels = kernels(&["conv2d_forward_broadcast".to_owned()]).unwrap();
        assert!(cases(&kernels[0]).unwrap().iter().all(|it| it.software));
    }
}
