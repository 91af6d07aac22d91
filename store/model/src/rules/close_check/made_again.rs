//! Ignored files that a build or a tool makes again whenever they are not there.

/// Directories that build tools and package managers fill, whatever is in them.
const DIRECTORIES: &[&str] = &[
    "target",
    "node_modules",
    "__pycache__",
    ".venv",
    "build",
    "dist",
    ".eggs",
    ".gradle",
    ".next",
    ".nuxt",
    ".svelte-kit",
    ".turbo",
    ".parcel-cache",
    ".cache",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
    ".nox",
    ".nyc_output",
    ".zig-cache",
    "zig-out",
    ".terraform",
    ".dart_tool",
];
/// Files that compilers and desktops leave everywhere.
const FILES: &[&str] = &[".DS_Store", "Thumbs.db", ".eslintcache", ".coverage"];
/// Ends of names of the same.
const ENDINGS: &[&str] = &[".pyc", ".pyo", ".o", ".class", ".tsbuildinfo"];

/// Whether an ignored path (`a/target/`, `x.pyc`) plainly is the output of a tool: it lies in a directory with one of
/// the usual names, or its own name says so. Everything else may be somebody's only copy: a key, a data file, notes.
pub fn is_made_again(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let name = path.rsplit('/').next().unwrap_or(path);
    path.split('/').any(|part| DIRECTORIES.contains(&part) || part.ends_with(".egg-info"))
        || FILES.contains(&name)
        || ENDINGS.iter().any(|end| name.len() > end.len() && name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_tools_fill_is_made_again() {
        for path in [
            "target/",
            "web/node_modules",
            "a/__pycache__/",
            "x/target/debug/app",
            "a/b.pyc",
            "z.egg-info/",
            ".DS_Store",
        ] {
            assert!(is_made_again(path), "{path}");
        }
        for path in ["secret.env", "data/", "targets", ".pyc", "notes/build.md", "out.log", ".env", "local/target.db"] {
            assert!(!is_made_again(path), "{path}");
        }
    }
}
