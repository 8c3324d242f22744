//! The compiler's figures of one shader.

use serde::{Deserialize, Serialize};

/// The driver does not tell a figure.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("this Mesa's statistics have no \"{missing}\"; they have: {found}")]
pub struct StatisticsError {
    /// The figure's name in RADV.
    pub missing: &'static str,
    /// The names that there are.
    pub found: String,
}

/// What RADV tells of a shader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Vector registers of an invocation.
    pub vgprs: u64,
    /// Scalar registers of a subgroup.
    pub sgprs: u64,
    /// Vector registers that went to memory.
    pub spilled_vgprs: u64,
    /// Scalar registers that went to vector registers.
    pub spilled_sgprs: u64,
    /// Workgroup memory in bytes.
    pub lds: u64,
    /// Subgroups that a SIMD holds at once.
    pub subgroups: u64,
    /// Instructions in the text.
    pub instructions: u64,
    /// The compiler's estimate of the cycles that a subgroup takes.
    pub latency: u64,
    /// Its estimate of the cycles between two subgroups where many run.
    pub inverse_throughput: u64,
}

/// The members' names in RADV, in order.
const NAMES: [&str; 9] = [
    "VGPRs",
    "SGPRs",
    "Spilled VGPRs",
    "Spilled SGPRs",
    "LDS size",
    "Subgroups per SIMD",
    "Instructions",
    "Latency",
    "Inverse Throughput",
];

impl Statistics {
    /// Picks the members out of the driver's list.
    ///
    /// # Errors
    /// [`StatisticsError`] where one is not there: a 0 in its place would look like a good shader.
    pub fn read<'a>(
        found: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> Result<Self, StatisticsError> {
        let found: Vec<_> = found.into_iter().collect();
        let mut values = [0; NAMES.len()];
        for (value, missing) in values.iter_mut().zip(NAMES) {
            let it = found.iter().find(|(name, _)| *name == missing);
            *value = it.map(|(_, value)| *value).ok_or_else(|| {
                let names: Vec<_> = found.iter().map(|(name, _)| *name).collect();
                StatisticsError {
                    missing,
                    found: names.join(", "),
                }
            })?;
        }
        Ok(Self::from_row(values))
    }

    /// The members in the order of RADV's names above.
    pub fn row(&self) -> [u64; NAMES.len()] {
        [
            self.vgprs,
            self.sgprs,
            self.spilled_vgprs,
            self.spilled_sgprs,
            self.lds,
            self.subgroups,
            self.instructions,
            self.latency,
            self.inverse_throughput,
        ]
    }

    /// The reverse of [`Statistics::row`].
    pub fn from_row(row: [u64; NAMES.len()]) -> Self {
        let [
            vgprs,
            sgprs,
            spilled_vgprs,
            spilled_sgprs,
            lds,
            subgroups,
            instructions,
            latency,
            inverse_throughput,
        ] = row;
        Self {
            vgprs,
            sgprs,
            spilled_vgprs,
            spilled_sgprs,
            lds,
            subgroups,
            instructions,
            latency,
            inverse_throughput,
        }
    }

    /// Registers that did not fit.
    pub fn spilled(&self) -> u64 {
        self.spilled_vgprs + self.spilled_sgprs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_name_in_any_order() {
        let mut found: Vec<_> = NAMES.iter().copied().zip(1..).collect();
        found.reverse();
        found.insert(3, ("Code size", 999));
        let read = Statistics::read(found).unwrap();
        assert_eq!(read, Statistics::from_row([1, 2, 3, 4, 5, 6, 7, 8, 9]));
        assert_eq!(
            (read.vgprs, read.inverse_throughput, read.spilled()),
            (1, 9, 7)
        );
        assert_eq!(read.row(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_missing_figure_is_an_error_and_not_a_zero() {
        let found = NAMES
            .iter()
            .copied()
            .filter(|name| *name != "Spilled VGPRs");
        let error = Statistics::read(found.map(|name| (name, 0))).unwrap_err();
        assert_eq!(error.missing, "Spilled VGPRs");
    }
}
