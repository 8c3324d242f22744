//! Which adapter to use.

use super::GpuError;

/// How an adapter is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// Discrete before integrated before virtual before software; Vulkan, Metal and DX12 before GL.
    #[default]
    Best,
    /// By position in [`adapters`].
    Index(usize),
    /// By a part of the name, the driver or the backend, case ignored.
    Name(String),
}

impl AdapterChoice {
    /// Reads `--adapter`: a number is an index, anything else a part of a name, nothing is [`AdapterChoice::Best`].
    pub fn parse(text: Option<&str>) -> Self {
        match text.map(str::trim) {
            None | Some("") => Self::Best,
            Some(text) => text
                .parse()
                .map_or_else(|_| Self::Name(text.to_owned()), Self::Index),
        }
    }
}

pub(super) fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle())
}

/// All adapters of this machine, best first; the order is stable and its positions are the indices of `--adapter`.
pub async fn adapters() -> Vec<wgpu::Adapter> {
    let mut found = instance().enumerate_adapters(wgpu::Backends::all()).await;
    found.retain(|adapter| {
        adapter
            .get_downlevel_capabilities()
            .flags
            .contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
    });
    found.sort_by_key(|adapter| rank(&adapter.get_info()));
    found
}

fn rank(info: &wgpu::AdapterInfo) -> (u8, u8) {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    let backend = u8::from(info.backend == wgpu::Backend::Gl);
    // A software Vulkan driver is preferred to GL on the same software, and GL on a real GPU to both.
    (kind, backend)
}

/// The adapter that `choice` names.
///
/// # Errors
/// [`GpuError::NoAdapter`] or [`GpuError::UnknownAdapter`].
pub async fn choose(choice: &AdapterChoice) -> Result<wgpu::Adapter, GpuError> {
    let mut found = adapters().await;
    if found.is_empty() {
        return Err(GpuError::NoAdapter);
    }
    let position = match choice {
        AdapterChoice::Best => Some(0),
        AdapterChoice::Index(index) => Some(*index).filter(|index| *index < found.len()),
        AdapterChoice::Name(name) => {
            let name = name.to_lowercase();
            found
                .iter()
                .position(|adapter| describe(&adapter.get_info()).to_lowercase().contains(&name))
        }
    };
    match position {
        Some(position) => Ok(found.swap_remove(position)),
        None => Err(GpuError::UnknownAdapter {
            asked: match choice {
                AdapterChoice::Index(index) => index.to_string(),
                AdapterChoice::Name(name) => name.clone(),
                AdapterChoice::Best => "best".to_owned(),
            },
            available: found
                .iter()
                .enumerate()
                .map(|(index, adapter)| format!("{index}: {}", describe(&adapter.get_info())))
                .collect(),
        }),
    }
}

/// One line about an adapter: name, backend, driver.
pub fn describe(info: &wgpu::AdapterInfo) -> String {
    format!(
        "{} ({}, {} {})",
        info.name, info.backend, info.driver, info.driver_info
    )
}
