//! `kinesic adapters`.

use super::{Common, Failure};
use crate::gpu::{GpuError, Matrices, takes_software_kernels};
use serde::Serialize;
use std::fmt::Write as _;

#[derive(Serialize)]
struct Adapter {
    index: usize,
    name: String,
    kind: String,
    backend: String,
    driver: String,
    features: Vec<&'static str>,
    max_binding_bytes: u64,
    max_buffer_bytes: u64,
    max_workgroup_storage_bytes: u32,
    subgroup: [u32; 2],
    variant: &'static str,
    matrices: String,
}

const FEATURES: [(wgpu::Features, &str); 5] = [
    (wgpu::Features::SHADER_F16, "f16"),
    (wgpu::Features::SUBGROUP, "subgroups"),
    (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
    (wgpu::Features::PIPELINE_CACHE, "pipeline-cache"),
    (
        wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
        "cooperative-matrices",
    ),
];

pub(super) fn run(common: &Common) -> Result<(), Failure> {
    let found = pollster::block_on(crate::gpu::adapters());
    if found.is_empty() {
        return Err(GpuError::NoAdapter.into());
    }
    let adapters: Vec<_> = found
        .iter()
        .enumerate()
        .map(|(index, adapter)| describe(index, adapter))
        .collect();
    common.report(&adapters, || {
        let mut text = String::new();
        for adapter in &adapters {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{}: {} ({}, {}, {})\n   features: {}\n   limits:   binding {} MiB, buffer {} MiB, workgroup memory {} KiB, subgroups {} to {}\n   matrices: {}\n   kernels:  {}",
                adapter.index, adapter.name, adapter.kind, adapter.backend, adapter.driver,
                if adapter.features.is_empty() { "none beyond the base".to_owned() } else { adapter.features.join(", ") },
                adapter.max_binding_bytes >> 20, adapter.max_buffer_bytes >> 20,
                adapter.max_workgroup_storage_bytes >> 10, adapter.subgroup[0], adapter.subgroup[1], adapter.matrices, adapter.variant,
            );
        }
        text
    })
}

fn describe(index: usize, adapter: &wgpu::Adapter) -> Adapter {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    let variant = if takes_software_kernels(&info, features) {
        "f32, those for software adapters"
    } else {
        "f32"
    };
    Adapter {
        index,
        name: info.name,
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete GPU",
            wgpu::DeviceType::IntegratedGpu => "integrated GPU",
            wgpu::DeviceType::VirtualGpu => "virtual GPU",
            wgpu::DeviceType::Cpu => "software on the CPU",
            wgpu::DeviceType::Other => "unknown kind",
        }
        .to_owned(),
        backend: info.backend.to_string(),
        driver: format!("{} {}", info.driver, info.driver_info)
            .trim()
            .to_owned(),
        features: FEATURES
            .iter()
            .filter(|(f, _)| features.contains(*f))
            .map(|(_, name)| *name)
            .collect(),
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        max_workgroup_storage_bytes: limits.max_compute_workgroup_storage_size,
        subgroup: [info.subgroup_min_size, info.subgroup_max_size],
        variant,
        matrices: Matrices::of(adapter).to_string(),
    }
}
