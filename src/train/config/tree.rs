//! A configuration as a tree of TOML values that knows the lines of its keys.

use super::error::{ConfigError, Line};
use crate::data::nearest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

/// What a tree of values is read as.
pub(crate) trait Schema: Serialize + DeserializeOwned {
    /// The keys of lists of tables.
    const LISTS: &'static [&'static str];

    /// A configuration with every optional key given and an entry in each list: it has all keys there are.
    fn full() -> Self;

    /// Whether the text at a dotted key (entries of lists as `[]`) is a path.
    fn is_path(key: &str, text: &str) -> bool;
}

/// A configuration's file with what `--set` changes.
#[derive(Debug)]
pub(crate) struct Source<'a, S> {
    path: &'a Path,
    tree: Value,
    /// The line of every dotted key of the file that `--set` did not change.
    lines: BTreeMap<String, usize>,
    schema: PhantomData<S>,
}

impl<'a, S: Schema> Source<'a, S> {
    /// Reads a file and applies `--set` arguments.
    pub(crate) fn read(path: &'a Path, sets: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut source = Self::parse(path, &text)?;
        for set in sets {
            source.set(set)?;
        }
        Ok(source)
    }

    /// Reads the text of a file; its paths are then relative to its folder, made absolute.
    fn parse(path: &'a Path, text: &str) -> Result<Self, ConfigError> {
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
            schema: PhantomData,
        };
        source.check_keys()?;
        // The file's own errors have lines; those of the tree that `--set` changed have none.
        let _: S = toml::from_str(text).map_err(format)?;
        source.each_path(&absolute(path.parent().unwrap_or(Path::new(""))));
        Ok(source)
    }

    /// Applies `a.b.0.c=value`; a value that is not TOML is text.
    fn set(&mut self, set: &str) -> Result<(), ConfigError> {
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
        *place(&mut self.tree, key, S::LISTS).map_err(|reason| error(&reason))? = value;
        let below = format!("{key}.");
        self.lines
            .retain(|known, _| known != key && !known.starts_with(&below));
        self.check_keys()
    }

    /// The configuration, with absolute paths.
    pub(crate) fn typed(&mut self) -> Result<S, ConfigError> {
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

    pub(crate) fn path(&self) -> PathBuf {
        self.path.to_owned()
    }

    /// The line of a dotted key, or of what it stands in.
    pub(crate) fn line(&self, key: &str) -> Line {
        Line(self.lines.get(key).copied())
    }

    /// Joins the paths of the tree to a folder, which leaves absolute ones as they are.
    fn each_path(&mut self, folder: &Path) {
        each_text(&mut self.tree, "", &mut |key, text| {
            if !text.is_empty() && S::is_path(key, text) {
                *text = folder.join(&*text).display().to_string();
            }
        });
    }

    /// Refuses keys that nothing reads, with the nearest one that something does.
    fn check_keys(&self) -> Result<(), ConfigError> {
        let keys = known_keys::<S>();
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
fn place<'t>(tree: &'t mut Value, key: &str, lists: &[&str]) -> Result<&'t mut Value, String> {
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
                let fresh = if lists.contains(&part) {
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

/// All keys of a configuration, dotted; entries of lists as `[]`.
fn known_keys<S: Schema>() -> Vec<String> {
    let mut keys = Vec::new();
    if let Ok(tree) = Value::try_from(S::full()) {
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

/// Calls `change(key with [] for indices, text)` for every text.
fn each_text(tree: &mut Value, key: &str, change: &mut dyn FnMut(&str, &mut String)) {
    match tree {
        Value::Table(table) => {
            for (name, value) in table {
                each_text(value, &dotted(key, name), change);
            }
        }
        Value::Array(list) => {
            for value in list {
                each_text(value, &dotted(key, "[]"), change);
            }
        }
        Value::String(text) => change(key, text),
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
