//! Where a user's files lie.

use std::ffi::OsString;
use std::path::PathBuf;

/// The folder for what can be made again, `kinesic` in the system's place for that: `$XDG_CACHE_HOME` or `~/.cache`,
/// `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows. Nothing where the environment names none.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    of(std::env::consts::OS, |name| std::env::var_os(name))
}

fn of(system: &str, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The standard says to ignore relative ones.
    let absolute = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let caches = match system {
        "windows" => absolute("LOCALAPPDATA"),
        "macos" => absolute("HOME").map(|home| home.join("Library/Caches")),
        _ => {
            absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        }
    };
    caches.map(|caches| caches.join("kinesic"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_place() {
        let home = |name: &str| (name == "HOME").then(|| OsString::from("/home/ada"));
        let both = |name: &str| match name {
            "XDG_CACHE_HOME" => Some(OsString::from("/fast")),
            _ => home(name),
        };
        let relative = |name: &str| match name {
            "XDG_CACHE_HOME" => Some(OsString::from("fast")),
            _ => home(name),
        };
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(of("linux", home), path("/home/ada/.cache/kinesic"));
        assert_eq!(of("linux", both), path("/fast/kinesic"));
        assert_eq!(of("linux", relative), path("/home/ada/.cache/kinesic"));
        assert_eq!(of("macos", both), path("/home/ada/Library/Caches/kinesic"));
        assert_eq!(of("windows", home), None);
        assert_eq!(of("linux", |_| None), None);
    }
}
