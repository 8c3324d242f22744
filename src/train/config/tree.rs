//! A configuration as a tree of TOML values that knows the lines of its keys.

use super::error::{ConfigError, Line};
use super::{Config, DataConfig, ModelConfig, TrainConfig};
use crate::data::nearest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

/// The lists of a configuration.
const LISTS: [&str; 2] = ["data", "validation"];

/// A configuration's file with what `--set` changes.
#[derive(Debug)]
pub(super) struct Source<'a> {
    path: &'a Path,
    tree: Value,
    /// The line of every dotted key of the file that `--set` did not change.
    lines: BTreeMap<String, usize>,
}

impl<'a> Source<'a> {
    /// Reads the text of a file; its paths are then relative to its folder, made absolute.
    pub(super) fn parse(path: &'a Path, text: &str) -> Result<Self, ConfigError> {
        let format = |error: toml::de::Error| ConfigError::Format {
            path: path.to_owned(),
            line: Line(error.span().map(|span| line_of(text, span.start))),
            reason: error.message().to_owned(),
        };
        let document = DeTable::parse(text).map_err(format)?;
        let mut lines = BTreeMap::new();
        table_lines(text, document.get_ref(), "", &mut lines);
        let mut source = Self {
            path,
            tree: toml::from_str(text).map_err(format)?,
            lines,
        };
        source.check_keys()?;
        // The file's own errors have lines; those of the tree that `--set` changed have none.
        let _: Config = toml::from_str(text).map_err(format)?;
        source.each_path(&absolute(path.parent().unwrap_or(Path::new(""))));
        Ok(source)
    }

    /// Applies `a.b.0.c=value`; a value that is not TOML is text.
    pub(super) fn set(&mut self, set: &str) -> Result<(), ConfigError> {
        let error = |reason: &str| ConfigError::Set {
            text: set.to_owned(),
            reason: reason.to_owned(),
        };
        let (key, text) = set
            .split_once('=')
            .ok_or_else(|| error("it must be KEY=VALUE"))?;
        let value = toml::from_str::<toml::Table>(&format!("value = {text}"))
            .ok()
            .filter(|table| table.len() == 1)
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| Value::String(text.to_owned()));
        *place(&mut self.tree, key).map_err(|reason| error(&reason))? = value;
        let below = format!("{key}.");
        self.lines
            .retain(|known, _| known != key && !known.starts_with(&below));
        self.check_keys()
    }

    /// The configuration, with absolute paths.
    pub(super) fn typed(&mut self) -> Result<Config, ConfigError> {
        self.each_path(&absolute(Path::new("")));
        self.tree
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError::Format {
                path: self.path.to_owned(),
                line: Line(None),
                reason: format!("with --set: {}", error.to_string().trim_end()),
            })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.path.to_owned()
    }

    /// The line of a dotted key, or of what it stands in.
    pub(super) fn line(&self, key: &str) -> Line {
        Line(self.lines.get(key).copied())
    }

    /// Joins the paths of the tree to a folder, which leaves absolute ones as they are.
    fn each_path(&mut self, folder: &Path) {
        let join = |value: &mut Value| {
            if let Value::String(text) = value
                && !text.is_empty()
            {
                *text = folder.join(&*text).display().to_string();
            }
        };
        for list in LISTS {
            let entries = self.tree.get_mut(list).and_then(Value::as_array_mut);
            let paths = entries.into_iter().flatten();
            paths
                .filter_map(|entry| entry.get_mut("path"))
                .for_each(join);
        }
        let mut one = |table: &str, key: &str, is_path: fn(&str) -> bool| {
            let value = self.tree.get_mut(table).and_then(|t| t.get_mut(key));
            let value = value.filter(|value| value.as_str().is_some_and(is_path));
            value.into_iter().for_each(join);
        };
        one("model", "pretrained", |_| true);
        one("train", "cache_dir", |_| true);
        // Without the ending it is the name of a table that comes with the program.
        one("objective", "relatedness", |name| name.ends_with(".toml"));
    }

    /// Refuses keys that nothing reads, with the nearest one that something does.
    fn check_keys(&self) -> Result<(), ConfigError> {
        let keys = known_keys();
        let mut unknown = None;
        walk(&self.tree, "", "", &mut |known, exact| {
            if unknown.is_none() && !keys.iter().any(|key| key == known) {
                unknown = Some((known.to_owned(), exact.to_owned()));
            }
        });
        let Some((known, key)) = unknown else {
            return Ok(());
        };
        let candidates: Vec<&str> = keys.iter().map(String::as_str).collect();
        let nearest = nearest(&known, &candidates).unwrap_or_default();
        Err(ConfigError::UnknownKey {
            path: self.path(),
            line: self.line(&key),
            key,
            nearest: nearest.replace(".[]", ""),
        })
    }
}

/// A folder from the root; as it is where there is no current directory.
fn absolute(folder: &Path) -> PathBuf {
    std::env::current_dir().map_or_else(|_| folder.to_owned(), |here| here.join(folder))
}

/// The value at a dotted key, made where it is not there; list entries by index.
fn place<'t>(tree: &'t mut Value, key: &str) -> Result<&'t mut Value, String> {
    let mut place = tree;
    for part in key.split('.') {
        if part.is_empty() {
            return Err("a part of the key is empty".to_owned());
        }
        place = match (place, part.parse::<usize>()) {
            (Value::Array(list), Ok(index)) => {
                let len = list.len();
                if index == len {
                    list.push(Value::Table(toml::Table::new()));
                }
                list.get_mut(index)
                    .ok_or_else(|| format!("the list has {len} entries, the first is 0"))?
            }
            (Value::Array(_), Err(_)) => {
                return Err(format!(
                    "`{part}` must be the number of a list's entry, from 0"
                ));
            }
            (Value::Table(table), _) => {
                let fresh = if LISTS.contains(&part) {
                    Value::Array(Vec::new())
                } else {
                    Value::Table(toml::Table::new())
                };
                table.entry(part).or_insert(fresh)
            }
            _ => return Err(format!("`{part}` is below a value")),
        };
    }
    Ok(place)
}

/// All keys of a configuration with every option given, dotted; entries of lists as `[]`.
fn known_keys() -> Vec<String> {
    let data = || {
        vec![DataConfig {
            split: Some(String::new()),
            weight: Some(1.0),
            ..DataConfig::default()
        }]
    };
    let full = Config {
        model: ModelConfig {
            pretrained: Some(PathBuf::new()),
            ..ModelConfig::default()
        },
        data: data(),
        validation: data(),
        train: TrainConfig {
            steps: Some(1),
            max_seconds: Some(1.0),
            cache_dir: Some(PathBuf::new()),
            ..TrainConfig::default()
        },
        ..Config::default()
    };
    let mut keys = Vec::new();
    if let Ok(tree) = Value::try_from(&full) {
        walk(&tree, "", "", &mut |known, _| keys.push(known.to_owned()));
    }
    keys
}

fn dotted(prefix: &str, part: &str) -> String {
    match prefix {
        "" => part.to_owned(),
        prefix => format!("{prefix}.{part}"),
    }
}

/// Calls `visit(key with [] for indices, key with indices)` for every key.
fn walk(tree: &Value, known: &str, exact: &str, visit: &mut dyn FnMut(&str, &str)) {
    match tree {
        Value::Table(table) => {
            for (name, value) in table {
                let (known, exact) = (dotted(known, name), dotted(exact, name));
                visit(&known, &exact);
                walk(value, &known, &exact, visit);
            }
        }
        Value::Array(list) => {
            let tables = list.iter().enumerate().filter(|(_, v)| v.is_table());
            for (index, value) in tables {
                let (known, exact) = (dotted(known, "[]"), dotted(exact, &index.to_string()));
                walk(value, &known, &exact, visit);
            }
        }
        _ => {}
    }
}

/// The line of a byte, counted from 1.
fn line_of(text: &str, byte: usize) -> usize {
    let before = &text.as_bytes()[..byte.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// The lines of all keys of a table.
fn table_lines(text: &str, table: &DeTable<'_>, prefix: &str, lines: &mut BTreeMap<String, usize>) {
    for (name, value) in table {
        let key = dotted(prefix, name.get_ref());
        value_lines(text, value, &key, lines);
        lines.insert(key, line_of(text, name.span().start));
    }
}

fn value_lines(
    text: &str,
    value: &Spanned<DeValue<'_>>,
    key: &str,
    lines: &mut BTreeMap<String, usize>,
) {
    match value.get_ref() {
        DeValue::Table(table) => table_lines(text, table, key, lines),
        DeValue::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                let key = dotted(key, &index.to_string());
                value_lines(text, value, &key, lines);
                lines.insert(key, line_of(text, value.span().start));
            }
        }
        _ => {}
    }
}
