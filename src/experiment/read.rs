//! Reading an experiment's configuration.

use super::check::check;
use super::config::{Comparison, ExperimentConfig};
use crate::train::config::{ConfigError, Source};
use std::path::Path;

impl ExperimentConfig {
    /// Reads a file and applies `--set KEY=VALUE` arguments. Paths are absolute in what is returned.
    ///
    /// # Errors
    /// [`ConfigError`], naming file, line and key.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        let mut source = Source::read(path, sets)?;
        let mut config: Self = source.typed()?;
        check(&config, &source)?;
        for (index, variant) in config.variant.iter().enumerate() {
            config.objective_of(variant).map_err(|(key, reason)| {
                let key = format!("variant.{index}.objective.{key}");
                ConfigError::Format {
                    path: path.to_owned(),
                    line: source.line(&key),
                    reason: format!("variant `{}`, {key}: {reason}", variant.name),
                }
            })?;
        }
        if config.comparison.is_empty() {
            config.comparison = config.against_the_first();
        }
        Ok(config)
    }

    fn against_the_first(&self) -> Vec<Comparison> {
        let mut names = self.variant.iter().map(|variant| variant.name.clone());
        let Some(first) = names.next() else {
            return Vec::new();
        };
        let against = |of| Comparison {
            of,
            to: first.clone(),
        };
        names.map(against).collect()
    }
}
