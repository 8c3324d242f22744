//! Pipelines: compiled ahead of their use, refused with a reason, kept between devices.

use kernels_tests::harness::gpu;
use kinesic::gpu::{AdapterChoice, Gpu, GpuError, Shader, Variant};
use kinesic::kernels;
use kinesic::wgpu::Features;

/// A device of its own: what was compiled by other tests does not count.
fn fresh() -> Gpu {
    let choice = AdapterChoice::parse(std::env::var("KINESIC_ADAPTER").ok().as_deref());
    gpu().block_on(Gpu::new(&choice)).unwrap()
}

/// Every variant of a family that the device can run.
fn wanted(gpu: &Gpu, family: &str) -> Vec<(Shader, Variant)> {
    let kernels = kernels::all();
    let of = kernels.iter().filter(|kernel| kernel.family == family);
    let pairs = of.flat_map(|kernel| kernel.variants.iter().map(|v| (kernel.shader, v.clone())));
    // What loads 64-bit words is for software adapters.
    let words = |variant: &Variant| variant.constants().contains(&("WORDS", 1));
    pairs
        .filter(|(_, v)| gpu.can_store(v.precision()))
        .filter(|(_, v)| gpu.has_software_kernels() || !words(v))
        .collect()
}

fn ahead(gpu: &Gpu, pairs: &[(Shader, Variant)]) -> usize {
    let ahead = gpu.compile_ahead(pairs.iter().map(|(shader, variant)| (*shader, variant)));
    let count = ahead.len();
    ahead.finish();
    count
}

#[test]
fn each_pair_is_compiled_once_ahead_or_at_its_use() {
    let gpu = fresh();
    let pairs = wanted(&gpu, "pool");
    let twice = [&pairs[..], &pairs].concat();
    assert!(pairs.len() > 3);
    assert_eq!(ahead(&gpu, &twice), pairs.len());
    for (shader, variant) in &pairs {
        gpu.block_on(gpu.pipeline(*shader, variant)).unwrap();
    }
    assert_eq!(gpu.compiled().pipelines, pairs.len());
    assert_eq!(ahead(&gpu, &pairs), 0);
}

#[test]
fn ending_the_work_ahead_leaves_it_to_those_who_use_it() {
    let gpu = fresh();
    let pairs = wanted(&gpu, "elementwise");
    drop(gpu.compile_ahead(pairs.iter().map(|(shader, variant)| (*shader, variant))));
    for (shader, variant) in &pairs {
        gpu.block_on(gpu.pipeline(*shader, variant)).unwrap();
    }
    assert_eq!(gpu.compiled().pipelines, pairs.len());
}

#[test]
fn a_broken_shader_says_why_each_time_it_is_asked_for() {
    let gpu = fresh();
    let shader = Shader {
        name: "broken",
        source: "@compute @workgroup_size(1) fn broken() { let x: f32 = vec4f(); }",
    };
    let variants = [Variant::new(), Variant::new().set("N", 3)];
    let pairs = variants.clone().map(|variant| (shader, variant));
    ahead(&gpu, &pairs);
    for variant in [&variants[0], &variants[1], &variants[0]] {
        let error = gpu.block_on(gpu.pipeline(shader, variant)).unwrap_err();
        let GpuError::Refused { what, description } = &error else {
            panic!("{error}");
        };
        assert_eq!(*what, format!("broken/{variant}"));
        assert!(description.contains("let x: f32"), "{description}");
    }
    gpu.check().unwrap();
    assert_eq!(gpu.compiled().pipelines, 0);
}

#[test]
fn what_one_device_kept_another_takes() {
    let first = fresh();
    assert!(first.kept_pipelines().is_none(), "nothing is kept unasked");
    let can = first.device.features().contains(Features::PIPELINE_CACHE);
    for bytes in [&b""[..], b"of something else"] {
        assert_eq!(first.block_on(first.keep_pipelines(bytes)).unwrap(), can);
    }
    if !can {
        println!("skipped: the adapter has no pipeline cache");
        return;
    }
    let pairs = wanted(&first, "pool");
    ahead(&first, &pairs);
    let kept = first.kept_pipelines().unwrap();
    let second = fresh();
    assert!(second.block_on(second.keep_pipelines(&kept)).unwrap());
    ahead(&second, &pairs);
    second.check().unwrap();
    assert!(second.kept_pipelines().unwrap().len() >= kept.len());
}

/// Modules were shared by precision alone, so that whichever variant came first gave all others its text.
#[test]
fn variants_whose_constants_choose_lines_have_modules_of_their_own() {
    let gpu = fresh();
    let shader = Shader {
        name: "chosen",
        // The variant that is not set refers to nothing and does not compile; the other one does.
        source: "@compute @workgroup_size(1) fn chosen() {\n    let x = missing; // without HAS\n}\noverride HAS: bool = false;\n",
    };
    let without = Variant::new();
    let with = Variant::new().set("HAS", true);
    assert_ne!(shader.text(&without), shader.text(&with));
    for _ in 0..2 {
        gpu.block_on(gpu.pipeline(shader, &without)).unwrap_err();
        gpu.block_on(gpu.pipeline(shader, &with)).unwrap();
    }
    // The other way round: a text that compiles is not handed to one that does not.
    let gpu = fresh();
    gpu.block_on(gpu.pipeline(shader, &with)).unwrap();
    gpu.block_on(gpu.pipeline(shader, &without)).unwrap_err();
}
