//! Shaders, their variants and the pipelines made from them.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// How activations and their gradients are stored. Sums, statistics, weights and their gradients are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 4 bytes an element.
    #[default]
    F32,
    /// 2 bytes an element: the adapter needs `shader-f16`.
    F16,
}

impl Precision {
    /// `f32` or `f16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// The precision of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::F32, Self::F16]
            .into_iter()
            .find(|it| it.name() == name)
    }
}

/// A WGSL file: one kernel, with one entry point of the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shader {
    /// The kernel's name: file stem, entry point, label and bench id.
    pub name: &'static str,
    /// The text of the file.
    pub source: &'static str,
}

/// Ends a line of a shader that is left out where activations are f16.
const ONLY_F32: &str = " // only f32";
/// Begins a line of a shader that is a comment unless activations are f16.
const ONLY_F16: &str = "// only f16: ";
/// Ends a line of a shader that is left out where the constant named behind it is set: what `override` does not reach.
const WITHOUT: &str = " // without ";
/// Begins a line of a shader that is a comment unless the constant named behind it is set.
const ONLY: &str = "// only ";
/// What a text with subgroups begins with in a browser.
const ENABLE_SUBGROUPS: &str = "enable subgroups;";

impl Shader {
    /// Whether the file has a text for f16.
    pub fn has_half(&self) -> bool {
        self.source.contains(ONLY_F16)
    }

    /// Whether the file has a text that loads and stores a `vec4` of f32 as two 64-bit words.
    pub fn has_words(&self) -> bool {
        self.source.contains("// only WORDS: ")
    }

    /// Whether the file has a text that adds among the lanes of a subgroup by shuffles.
    pub fn has_subgroups(&self) -> bool {
        self.source.contains("// only SUBGROUP: ")
    }

    /// The text of a variant: the file, its marked lines exchanged. Line numbers stay.
    pub fn text(&self, variant: &Variant) -> Cow<'static, str> {
        let half = variant.precision == Precision::F16;
        let marked = half || self.source.contains(WITHOUT) || self.has_subgroups();
        if !marked {
            return Cow::Borrowed(self.source);
        }
        let set = |name: &str| {
            let mut constants = variant.constants.iter();
            (half && name == "f16")
                || constants.any(|(constant, value)| *constant == name && *value != 0)
        };
        let mut text = String::with_capacity(self.source.len());
        for line in self.source.lines() {
            let left_out = (half && line.ends_with(ONLY_F32))
                || line.rsplit_once(WITHOUT).is_some_and(|(_, name)| set(name));
            let only = line
                .strip_prefix(ONLY)
                .and_then(|rest| rest.split_once(": "));
            match only {
                Some((name, rest)) if set(name) => text.push_str(rest),
                _ if left_out => {}
                _ => text.push_str(line),
            }
            text.push('\n');
        }
        Cow::Owned(text)
    }

    /// [`Shader::text`] for compilers other than naga, which takes what works on subgroups as it is and refuses the directive that
    /// WGSL demands with it. Line numbers stay.
    pub fn text_for_browsers(&self, variant: &Variant) -> Cow<'static, str> {
        let text = self.text(variant);
        let mut code = text.lines().filter(|line| !line.starts_with("//"));
        match code.any(|line| line.contains("@builtin(subgroup_")) {
            true => Cow::Owned(format!("{ENABLE_SUBGROUPS} {text}")),
            false => text,
        }
    }
}

/// How activations are stored and the values of a shader's `override` constants: the one source of specialisation, label and
/// cache key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Variant {
    precision: Precision,
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

    /// Stores activations in this precision.
    #[must_use]
    pub fn stored(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// How activations are stored.
    pub fn precision(&self) -> Precision {
        self.precision
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
        let half = (self.precision == Precision::F16).then(|| "f16".to_owned());
        let constants = self.constants.iter();
        let constants = constants.map(|(name, value)| format!("{}{value}", name.to_lowercase()));
        let parts: Vec<_> = half.into_iter().chain(constants).collect();
        if parts.is_empty() {
            return f.write_str("base");
        }
        f.write_str(&parts.join("_"))
    }
}

/// A compiled pipeline with the layout that its bind group follows: binding 0 the uniform parameters, then the storage
/// buffers in the shader's order.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHADER: Shader = Shader {
        name: "any",
        source: "// only f16: enable f16;\nalias Stored = f32; // only f32\n// only f16: alias Stored = f16;\nrest",
    };

    #[test]
    fn f16_exchanges_the_marked_lines_and_keeps_their_numbers() {
        let half = Variant::new().stored(Precision::F16);
        assert_eq!(SHADER.text(&Variant::new()), SHADER.source);
        assert_eq!(
            SHADER.text(&half),
            "enable f16;\n\nalias Stored = f16;\nrest\n"
        );
        assert!(SHADER.has_half());
    }

    #[test]
    fn a_constant_exchanges_its_lines_too() {
        let shader = Shader {
            name: "any",
            source: "a // without MAP\n// only MAP: b\n// only f16: c",
        };
        let mapped = Variant::new().set("MAP", true);
        assert_eq!(shader.text(&mapped), "\nb\n// only f16: c\n");
        assert_eq!(
            shader.text(&Variant::new().set("MAP", false)),
            format!("{}\n", shader.source)
        );
        assert_eq!(shader.text(&mapped.stored(Precision::F16)), "\nb\nc\n");
    }

    #[test]
    fn browsers_are_told_of_subgroups_where_a_variant_has_them() {
        let shader = Shader {
            name: "any",
            source: "// any: with @builtin(subgroup_size)\n// only SUBGROUP: @builtin(subgroup_size) size: u32",
        };
        let base = Variant::new();
        assert_eq!(shader.text_for_browsers(&base), shader.text(&base));
        let combined = base.set("SUBGROUP", true);
        let text = shader.text_for_browsers(&combined);
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with("enable subgroups; // any"), "{text}");
    }

    #[test]
    fn labels_name_precision_and_constants() {
        let half = Variant::new().stored(Precision::F16);
        assert_eq!(half.to_string(), "f16");
        assert_eq!(half.set("RELU", true).to_string(), "f16_relu1");
        assert_eq!(Variant::new().to_string(), "base");
    }
}
