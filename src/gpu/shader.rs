//! Shaders, their variants and the pipelines made from them.

use std::fmt;

/// A WGSL file: one kernel, with one entry point of the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shader {
    /// The kernel's name: file stem, entry point, label and bench id.
    pub name: &'static str,
    /// The text of the file.
    pub source: &'static str,
}

/// The values of a shader's `override` constants: the one source of specialisation, label and cache key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Variant {
    constants: Vec<(&'static str, i64)>,
}

impl Variant {
    /// The variant that leaves every constant at its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an integer (or, as 0 and 1, a boolean) constant.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: impl Into<i64>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    /// The constants and their values, in the order in which they were set.
    pub fn constants(&self) -> &[(&'static str, i64)] {
        &self.constants
    }

    pub(super) fn as_wgpu(&self) -> Vec<(&'static str, f64)> {
        // All constants are small integers, so f64 holds them exactly.
        #[allow(clippy::cast_precision_loss)]
        self.constants
            .iter()
            .map(|(name, value)| (*name, *value as f64))
            .collect()
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.constants.is_empty() {
            return f.write_str("base");
        }
        for (index, (name, value)) in self.constants.iter().enumerate() {
            if index > 0 {
                f.write_str("_")?;
            }
            write!(f, "{}{value}", name.to_lowercase())?;
        }
        Ok(())
    }
}

/// A compiled pipeline with the layout that its bind group follows: binding 0 the uniform parameters, then the storage
/// buffers in the shader's order.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
}
