//! The compiler itself: a Vulkan device of Mesa's RADV, which needs no hardware where RADV_FORCE_FAMILY names a GPU.
//!
//! Nothing but pipelines is made on it, and nothing runs.

use crate::spirv::Case;
use crate::statistics::{Statistics, StatisticsError};
use ash::vk;
use std::ffi::CStr;

/// Why the compiler gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RadvError {
    /// The Vulkan loader is missing.
    #[error("libvulkan.so.1 cannot be loaded ({0}): run tools/install-checkers.sh")]
    Loader(#[from] ash::LoadingError),
    /// The driver refused a call.
    #[error("{what}: {result}")]
    Vulkan {
        /// What was asked of it.
        what: &'static str,
        /// Its answer.
        result: vk::Result,
    },
    /// There is no device: this driver does not know the family's name.
    #[error("no RADV device")]
    NoDevice,
    /// The driver's statistics lack something.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
}

/// Carries a driver's refusal with what was asked.
fn asked<T>(what: &'static str, result: Result<T, vk::Result>) -> Result<T, RadvError> {
    result.map_err(|result| RadvError::Vulkan { what, result })
}

/// What came of one pipeline.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The compiler's figures.
    pub statistics: Statistics,
    /// The disassembly, where it was asked for.
    pub disassembly: Option<String>,
}

/// A device without hardware. It is never destroyed: the process ends with it.
pub struct Compiler {
    // Keeps the loader's library.
    _entry: ash::Entry,
    device: ash::Device,
    executables: ash::khr::pipeline_executable_properties::Device,
    mesa: String,
    matrices: bool,
}

impl Compiler {
    /// Opens the device that the environment asks for.
    ///
    /// # Errors
    /// [`RadvError::Loader`], [`RadvError::NoDevice`] or [`RadvError::Vulkan`].
    pub fn open() -> Result<Self, RadvError> {
        // SAFETY: the loader is the system's; nothing else in this process uses Vulkan.
        let entry = unsafe { ash::Entry::load()? };
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let create = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: the structures are filled in by their builders and live during the call.
        let instance = unsafe { entry.create_instance(&create, None) };
        let instance = match instance {
            Err(vk::Result::ERROR_INCOMPATIBLE_DRIVER) => return Err(RadvError::NoDevice),
            other => asked("vkCreateInstance", other)?,
        };
        // SAFETY: the instance is alive.
        let devices = unsafe { instance.enumerate_physical_devices() };
        let physical = devices.ok().and_then(|them| them.first().copied());
        let physical = physical.ok_or(RadvError::NoDevice)?;
        let mesa = driver(&instance, physical)?;
        let matrices = asked("its extensions", has_matrices(&instance, physical))?;
        let device = asked("vkCreateDevice", device(&instance, physical, matrices))?;
        let executables = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
        Ok(Self {
            _entry: entry,
            device,
            executables,
            mesa,
            matrices,
        })
    }

    /// Whether the GPU can run a case: RDNA 2 has no cooperative matrices, RDNA 3 those of side 16.
    pub fn runs(&self, case: &Case) -> bool {
        case.matrices.is_none_or(|side| self.matrices && side == 16)
    }

    /// The driver's version, as `Mesa 25.0.7-2`.
    pub fn mesa(&self) -> &str {
        &self.mesa
    }

    /// Compiles a case.
    ///
    /// # Errors
    /// [`RadvError::Vulkan`] when the driver refuses it, [`RadvError::Statistics`].
    pub fn compile(&self, case: &Case, disassemble: bool) -> Result<Compiled, RadvError> {
        let pipeline = asked("the pipeline", self.pipeline(case, disassemble))?;
        let executable = vk::PipelineExecutableInfoKHR::default()
            .pipeline(pipeline)
            .executable_index(0);
        // SAFETY: the pipeline was made with CAPTURE_STATISTICS and has one executable, its compute shader.
        let found = unsafe {
            self.executables
                .get_pipeline_executable_statistics(&executable)
        };
        let found = asked("the statistics", found)?;
        let found = found.iter().filter_map(|it| {
            let name = it.name_as_c_str().ok()?.to_str().ok()?;
            Some((name, number(it)))
        });
        let statistics = Statistics::read(found)?;
        let disassembly = disassemble
            .then(|| asked("the disassembly", self.disassembly(&executable)))
            .transpose()?;
        // SAFETY: nothing uses the pipeline any more.
        unsafe { self.device.destroy_pipeline(pipeline, None) };
        Ok(Compiled {
            statistics,
            disassembly,
        })
    }

    /// Its modules and layouts are left to the end of the process: some hundred small objects.
    fn pipeline(&self, case: &Case, disassemble: bool) -> Result<vk::Pipeline, vk::Result> {
        let bindings: Vec<_> = case.bindings.iter().map(layout_binding).collect();
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        let module = vk::ShaderModuleCreateInfo::default().code(&case.words);
        let name = format!("{}\0", case.kernel);
        let name = CStr::from_bytes_with_nul(name.as_bytes()).unwrap_or(c"main");
        let mut flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR;
        if disassemble {
            flags |= vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        }
        // SAFETY: the SPIR-V is naga's own from a validated module, the layout has every binding of it, and all
        // structures live to the end of the calls.
        unsafe {
            let set = self.device.create_descriptor_set_layout(&set, None)?;
            let sets = [set];
            let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = self.device.create_pipeline_layout(&layout, None)?;
            let module = self.device.create_shader_module(&module, None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(name);
            let create = vk::ComputePipelineCreateInfo::default()
                .flags(flags)
                .stage(stage)
                .layout(layout);
            let cache = vk::PipelineCache::null();
            let made = self
                .device
                .create_compute_pipelines(cache, &[create], None)
                .map_err(|(_, result)| result)?;
            Ok(made[0])
        }
    }

    fn disassembly(
        &self,
        executable: &vk::PipelineExecutableInfoKHR<'_>,
    ) -> Result<String, vk::Result> {
        // Asked twice, as Vulkan's lists are: first for the sizes, then with room for the texts.
        // SAFETY: the pipeline was made with CAPTURE_INTERNAL_REPRESENTATIONS, and each text has the room it asked for.
        unsafe {
            let get = self
                .executables
                .fp()
                .get_pipeline_executable_internal_representations_khr;
            let device = self.device.handle();
            let mut count = 0;
            get(device, executable, &mut count, std::ptr::null_mut()).result()?;
            let mut found =
                vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            get(device, executable, &mut count, found.as_mut_ptr()).result()?;
            let mut texts: Vec<Vec<u8>> = Vec::new();
            for it in &mut found {
                texts.push(vec![0; it.data_size]);
                if let Some(text) = texts.last_mut() {
                    it.p_data = text.as_mut_ptr().cast();
                }
            }
            get(device, executable, &mut count, found.as_mut_ptr()).result()?;
            let at = found.iter().position(|it| {
                let name = it.name_as_c_str().ok().and_then(|it| it.to_str().ok());
                name.is_some_and(|it| it == "Assembly")
            });
            let text = at.map(|at| String::from_utf8_lossy(&texts[at]).into_owned());
            Ok(text.unwrap_or_default().trim_end_matches('\0').to_owned())
        }
    }
}

/// What a driver measured, whatever its type.
fn number(it: &vk::PipelineExecutableStatisticKHR<'_>) -> u64 {
    // SAFETY: the format says which member of the union the driver wrote.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // counts, none negative
    unsafe {
        match it.format {
            vk::PipelineExecutableStatisticFormatKHR::BOOL32 => u64::from(it.value.b32),
            vk::PipelineExecutableStatisticFormatKHR::INT64 => it.value.i64 as u64,
            vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => it.value.f64 as u64,
            _ => it.value.u64,
        }
    }
}

fn layout_binding(binding: &crate::spirv::Binding) -> vk::DescriptorSetLayoutBinding<'static> {
    let kind = if binding.uniform {
        vk::DescriptorType::UNIFORM_BUFFER
    } else {
        vk::DescriptorType::STORAGE_BUFFER
    };
    vk::DescriptorSetLayoutBinding::default()
        .binding(binding.number)
        .descriptor_type(kind)
        .descriptor_count(1)
        .stage_flags(vk::ShaderStageFlags::COMPUTE)
}

fn driver(instance: &ash::Instance, physical: vk::PhysicalDevice) -> Result<String, RadvError> {
    let mut driver = vk::PhysicalDeviceDriverProperties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
    // SAFETY: the chain is well formed and the device is the instance's.
    unsafe { instance.get_physical_device_properties2(physical, &mut properties) };
    if driver.driver_id != vk::DriverId::MESA_RADV {
        return Err(RadvError::NoDevice);
    }
    let info = driver.driver_info_as_c_str().unwrap_or(c"Mesa");
    Ok(info.to_string_lossy().into_owned())
}

fn has_matrices(
    instance: &ash::Instance,
    physical: vk::PhysicalDevice,
) -> Result<bool, vk::Result> {
    // SAFETY: the device is the instance's.
    let found = unsafe { instance.enumerate_device_extension_properties(physical) }?;
    let name = ash::khr::cooperative_matrix::NAME;
    Ok(found
        .iter()
        .any(|it| it.extension_name_as_c_str() == Ok(name)))
}

/// A device with every feature that the driver offers, so that no shader lacks one, and the robust buffer access that
/// wgpu asks for where it is offered.
fn device(
    instance: &ash::Instance,
    physical: vk::PhysicalDevice,
    matrices: bool,
) -> Result<ash::Device, vk::Result> {
    let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
    let mut executable = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default();
    let mut v11 = vk::PhysicalDeviceVulkan11Features::default();
    let mut v12 = vk::PhysicalDeviceVulkan12Features::default();
    let mut v13 = vk::PhysicalDeviceVulkan13Features::default();
    let mut features = vk::PhysicalDeviceFeatures2::default()
        .push_next(&mut robust)
        .push_next(&mut executable)
        .push_next(&mut v11)
        .push_next(&mut v12)
        .push_next(&mut v13);
    let mut cooperative = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default();
    if matrices {
        features = features.push_next(&mut cooperative);
    }
    // SAFETY: a well-formed chain, filled by the driver and handed back as it is; all of it lives to the end of the calls.
    unsafe {
        instance.get_physical_device_features2(physical, &mut features);
        let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
        let mut extensions = vec![
            ash::khr::pipeline_executable_properties::NAME.as_ptr(),
            ash::ext::robustness2::NAME.as_ptr(),
        ];
        if matrices {
            extensions.push(ash::khr::cooperative_matrix::NAME.as_ptr());
        }
        let create = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&extensions)
            .push_next(&mut features);
        instance.create_device(physical, &create, None)
    }
}
