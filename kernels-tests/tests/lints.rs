//! Lints over every shader: what a reader and a driver may rely on.

use kinesic::gpu::{Precision, Variant};
use kinesic::kernels::{Kernel, all};
use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn parse(kernel: &Kernel) -> naga::Module {
    parsed(kernel.shader.source)
}

fn parsed(text: &str) -> naga::Module {
    naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(text)))
}

/// What the line `Needs:` of a shader's header allows its base variant beyond WebGPU's core; what comes behind `Variants:` is for others.
fn named_capabilities(kernel: &Kernel) -> Capabilities {
    let needs = kernel.shader.source.lines();
    let needs: String = needs
        .filter(|line| line.starts_with("// Needs: "))
        .filter_map(|line| line.split("Variants:").next())
        .collect();
    [
        ("subgroup", Capabilities::SUBGROUP),
        ("int64", Capabilities::SHADER_INT64),
        ("cooperative matrices", Capabilities::COOPERATIVE_MATRIX),
    ]
    .into_iter()
    .filter(|(name, _)| needs.contains(name))
    .map(|(_, capability)| capability)
    // A subgroup's index is asked for by whoever makes matrices with it.
    .chain(
        needs
            .contains("cooperative matrices")
            .then_some(Capabilities::SUBGROUP),
    )
    .collect()
}

#[test]
fn shaders_validate_with_the_capabilities_that_they_name() {
    for kernel in all() {
        let named = named_capabilities(&kernel);
        validates(kernel.shader.name, kernel.shader.source, named)
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn variants_for_subgroups_name_them_and_need_nothing_else() {
    let combined = Variant::new().set("SUBGROUP", true);
    let kernels = all();
    let combining = kernels.iter().filter(|it| it.shader.has_subgroups());
    assert!(combining.clone().count() > 0);
    for kernel in combining {
        let name = kernel.shader.name;
        assert!(
            kernel.shader.source.contains("SUBGROUP (subgroups)"),
            "{name}"
        );
        let text = kernel.shader.text(&combined);
        let named = named_capabilities(kernel);
        validates(name, &text, named).expect_err("no text for subgroups needs no subgroups");
        validates(name, &text, named | Capabilities::SUBGROUP)
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Whether naga takes a text with these capabilities beside WebGPU's core.
fn validates(name: &str, text: &str, capabilities: Capabilities) -> Result<(), String> {
    // Core WebGPU packs halves into words; to naga that is a capability, as old GL cannot.
    let core = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let mut validator = Validator::new(ValidationFlags::all(), capabilities | core);
    if capabilities.contains(Capabilities::SUBGROUP) {
        validator
            .subgroup_stages(ShaderStages::COMPUTE)
            .subgroup_operations(SubgroupOperationSet::all());
    }
    let validated = validator.validate(&parsed(text));
    let refused = |error: naga::WithSpan<_>| format!("{name}: {}", error.emit_to_string(text));
    validated.map(|_| ()).map_err(refused)
}

#[test]
fn texts_for_f16_store_activations_in_half_the_bytes() {
    let half = Variant::new().stored(Precision::F16);
    for kernel in all().iter().filter(|kernel| kernel.shader.has_half()) {
        let name = kernel.shader.name;
        let module = parsed(&kernel.shader.text(&half));
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        validator
            .subgroup_stages(ShaderStages::COMPUTE)
            .subgroup_operations(SubgroupOperationSet::all());
        let validated = validator.validate(&module);
        validated.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let strides = [parse(kernel), module].map(|module| strides(&module));
        assert_eq!(strides[0].len(), strides[1].len(), "{name}");
        let halved = strides[0].iter().zip(&strides[1]);
        let halved: Vec<_> = halved
            .filter(|(full, half)| *full == &(2 * **half))
            .collect();
        let equal = strides[0]
            .iter()
            .zip(&strides[1])
            .filter(|(full, half)| full == half);
        assert_eq!(halved.len() + equal.count(), strides[0].len(), "{name}");
        assert!(!halved.is_empty(), "{name}: no binding is half as large");
    }
}

/// The bytes of an element of each storage binding.
fn strides(module: &naga::Module) -> Vec<u32> {
    let storage = module.global_variables.iter();
    let storage = storage
        .filter(|(_, variable)| matches!(variable.space, naga::AddressSpace::Storage { .. }));
    storage
        .map(|(_, variable)| match module.types[variable.ty].inner {
            naga::TypeInner::Array { stride, .. } => stride,
            _ => 0,
        })
        .collect()
}

#[test]
fn shaders_that_need_a_capability_have_a_base_without() {
    let base: Vec<_> = all()
        .into_iter()
        .filter(|kernel| named_capabilities(kernel).is_empty())
        .map(|kernel| kernel.shader.name)
        .collect();
    for kernel in all() {
        let name = kernel.shader.name;
        // `conv2d_forward_broadcast` is a `conv2d_forward`, and so are the parts of `conv2d_forward_winograd`.
        let mut stems = name.match_indices('_').map(|(end, _)| &name[..end]);
        assert!(
            base.contains(&name) || stems.any(|stem| base.contains(&stem)),
            "{name}: no kernel, named by how that begins, that runs everywhere"
        );
    }
}

#[test]
fn params_of_rust_and_wgsl_are_the_same() {
    for kernel in all() {
        let module = parse(&kernel);
        let found = module.types.iter().find_map(|(_, kind)| match &kind.inner {
            naga::TypeInner::Struct { members, span } if kind.name.as_deref() == Some("Params") => {
                Some((members.clone(), *span))
            }
            _ => None,
        });
        let (members, span) = found.unwrap_or_else(|| panic!("{}: no Params", kernel.shader.name));
        let names: Vec<_> = members.iter().map(|m| m.name.clone().unwrap()).collect();
        assert_eq!(names, kernel.params, "{}", kernel.shader.name);
        for (index, member) in members.iter().enumerate() {
            assert_eq!(
                member.offset as usize,
                4 * index,
                "{}: {:?}",
                kernel.shader.name,
                member.name
            );
        }
        assert_eq!(span as usize, 4 * members.len(), "{}", kernel.shader.name);
    }
}

#[test]
fn entry_points_bear_the_name_of_the_file_and_headers_are_complete() {
    for kernel in all() {
        let name = kernel.shader.name;
        let module = parse(&kernel);
        let entries: Vec<_> = module
            .entry_points
            .iter()
            .map(|entry| &entry.name)
            .collect();
        assert_eq!(entries, [name]);
        let source = kernel.shader.source;
        assert!(
            source.starts_with(&format!("// {name}: ")),
            "{name}: the header's first line"
        );
        for part in ["\n// Layout: ", "\n// Work:   ", "\n// Needs:  "] {
            assert!(
                source.contains(part),
                "{name}: the header lacks `{}`",
                part.trim()
            );
        }
    }
    for (name, text) in files() {
        let lines = text.lines().count();
        assert!(lines <= 200, "{name}: {lines} lines, more than 200");
    }
}

/// The texts of all files under `shaders/`, by family and name.
fn files() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shaders");
    let families = std::fs::read_dir(root).unwrap();
    let families = families.map(|family| family.unwrap().path());
    let paths = families.flat_map(|family| std::fs::read_dir(family).unwrap());
    let named = paths.map(|file| {
        let path = file.unwrap().path();
        let family = path.parent().unwrap().file_name().unwrap();
        let name = Path::new(family).join(path.file_stem().unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        (name.to_str().unwrap().to_owned(), text)
    });
    named.collect()
}

#[test]
fn storage_bindings_are_read_write_and_follow_params_without_gaps() {
    for kernel in all() {
        let module = parse(&kernel);
        let mut bindings = BTreeSet::new();
        for (_, variable) in module.global_variables.iter() {
            match variable.space {
                naga::AddressSpace::Uniform => assert_eq!(variable.binding.unwrap().binding, 0),
                naga::AddressSpace::Storage { access } => {
                    assert!(
                        access.contains(naga::StorageAccess::LOAD | naga::StorageAccess::STORE),
                        "{}: `{:?}` is not read_write; one buffer has one usage in a dispatch",
                        kernel.shader.name,
                        variable.name
                    );
                    bindings.insert(variable.binding.unwrap().binding);
                }
                _ => {}
            }
        }
        let expected: BTreeSet<_> = (1..=bindings.len() as u32).collect();
        assert_eq!(bindings, expected, "{}", kernel.shader.name);
        assert!(
            bindings.len() <= 8,
            "{}: WebGPU's default is 8 storage buffers",
            kernel.shader.name
        );
    }
}

#[test]
fn no_atomics() {
    for kernel in all() {
        assert!(
            !kernel.shader.source.contains("atomic"),
            "{}: sums must have a fixed order",
            kernel.shader.name
        );
    }
}

#[test]
fn workgroup_memory_and_size_stay_within_the_default_limits() {
    for kernel in all() {
        let module = parse(&kernel);
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let bytes: u32 = module
            .global_variables
            .iter()
            .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
            .map(|(_, variable)| layouter[variable.ty].size)
            .sum();
        // Devices with cooperative matrices are asked for more; see `Matrices::of`.
        let matrices = named_capabilities(&kernel).contains(Capabilities::COOPERATIVE_MATRIX);
        assert!(
            bytes <= if matrices { 49152 } else { 16384 },
            "{}: {bytes} bytes of workgroup memory",
            kernel.shader.name
        );
        let [x, y, z] = module.entry_points[0].workgroup_size;
        assert!(
            x * y * z <= 256,
            "{}: {x} x {y} x {z} invocations",
            kernel.shader.name
        );
    }
}

#[test]
fn every_shader_file_is_registered() {
    let registered: BTreeSet<_> = all()
        .iter()
        .map(|kernel| format!("{}/{}", kernel.family, kernel.shader.name))
        .collect();
    let files = files();
    for (name, text) in &files {
        let shared = || {
            all()
                .iter()
                .any(|it| it.shader.source.contains(text.as_str()))
        };
        assert!(
            registered.contains(name) || shared(),
            "{name}: no kernel has it"
        );
    }
    assert!(registered.iter().all(|name| files.contains_key(name)));
}
