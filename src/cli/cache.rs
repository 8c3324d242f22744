//! Where the command line keeps what it can make again.

use std::path::{Path, PathBuf};

/// The folder that `--cache` names or else the user's cache folder; `None` where nothing is to be kept.
pub(super) fn folder(asked: Option<&Path>) -> Option<PathBuf> {
    match asked {
        Some(path) if path.as_os_str() == "none" => None,
        // An empty variable counts as none set.
        Some(path) if !path.as_os_str().is_empty() => Some(path.to_owned()),
        _ => user(|name| std::env::var_os(name).map(PathBuf::from)),
    }
}

/// The user's cache folder as each system has it, with a folder of ours in it.
fn user(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // Relative paths are to be ignored (XDG Base Directory Specification); they would scatter folders.
    let variable = |name: &str| variable(name).filter(|path| path.is_absolute());
    if cfg!(windows) {
        variable("LOCALAPPDATA").map(|path| path.join("kinesic").join("cache"))
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|path| path.join("Library/Caches/kinesic"))
    } else {
        let home = || variable("HOME").map(|path| path.join(".cache"));
        let base = variable("XDG_CACHE_HOME").or_else(home);
        base.map(|path| path.join("kinesic"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_comes_before_the_users_folder() {
        assert_eq!(folder(Some(Path::new("none"))), None);
        let named = Path::new("some/where");
        assert_eq!(folder(Some(named)).as_deref(), Some(named));
        assert_eq!(folder(Some(Path::new(""))), folder(None));
    }

    #[test]
    #[cfg(all(unix, not(target_os = "macos")))]
    fn the_users_folder_is_that_of_the_system() {
        let set = |values: &'static [(&str, &str)]| {
            user(move |name| {
                let found = values.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| PathBuf::from(value))
            })
        };
        let path = |text: &str| Some(PathBuf::from(text));
        let both = &[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(set(both), path("/x/kinesic"));
        assert_eq!(set(&[("HOME", "/h")]), path("/h/.cache/kinesic"));
        let relative = &[("XDG_CACHE_HOME", "x"), ("HOME", "/h")];
        assert_eq!(set(relative), path("/h/.cache/kinesic"));
        assert_eq!(set(&[]), None);
    }
}
