//! Where programs that wharf runs are looked up: never in a checkout, which agents write in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the operator's path says nothing.
const DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// A directory whose files agents may write.
#[derive(Debug, Clone)]
pub struct Checkout {
    named: PathBuf,
    real: PathBuf,
}

impl Checkout {
    /// The one that an environment's config lies in, by the base of its paths. None where that is the home, the root, or
    /// what holds the home: what lies below is the operator's own.
    pub fn of(base: &Path, operator: &BTreeMap<String, String>) -> Option<Self> {
        let real = base.canonicalize().unwrap_or_else(|_| base.to_owned());
        let homes = operator.get("HOME").map(|home| [Path::new(home).canonicalize().ok(), Some(PathBuf::from(home))]);
        let holds_home =
            homes.into_iter().flatten().flatten().any(|home| home.starts_with(&real) || home.starts_with(base));
        let is_one = real.parent().is_some() && !holds_home;
        is_one.then(|| Self { named: base.to_owned(), real })
    }

    /// Whether a path lies in it, by its name or in truth.
    pub fn holds(&self, path: &Path) -> bool {
        [&self.named, &self.real].into_iter().any(|top| path.starts_with(top))
            || path.canonicalize().is_ok_and(|real| real.starts_with(&self.real))
    }
}

/// Directories of the operator's path that are there, absolute, and outside of the checkout.
pub fn directories(operator: &BTreeMap<String, String>, base: &Path) -> Vec<PathBuf> {
    let checkout = Checkout::of(base, operator);
    let path = operator.get("PATH").map_or(DEFAULT, String::as_str);
    path.split(':')
        .map(PathBuf::from)
        // What is not there yet could be made by anybody, anywhere.
        .filter(|dir| dir.is_absolute() && dir.is_dir())
        .filter(|dir| !checkout.as_ref().is_some_and(|checkout| checkout.holds(dir)))
        .collect()
}

/// The same as a value of `PATH`, never empty: an empty one would mean the directory that a program starts in.
pub fn path(operator: &BTreeMap<String, String>, base: &Path) -> String {
    let all: Vec<String> =
        directories(operator, base).into_iter().filter_map(|dir| dir.into_os_string().into_string().ok()).collect();
    if all.is_empty() { DEFAULT.to_owned() } else { all.join(":") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_looked_up_where_agents_write() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        for dir in ["home/bin", "home/project/node_modules/.bin", "other"] {
            std::fs::create_dir_all(top.join(dir)).unwrap();
        }
        std::os::unix::fs::symlink(top.join("home/project"), top.join("link")).unwrap();
        let at = |name: &str| top.join(name).display().to_string();
        let path_value = [
            &at("home/project/node_modules/.bin"),
            "bin",
            "",
            ".",
            &at("link/node_modules/.bin"),
            &at("other/../home/project"),
            &at("missing"),
            &at("home/bin"),
            &at("other"),
        ]
        .join(":");
        let operator = BTreeMap::from([("PATH".to_owned(), path_value), ("HOME".to_owned(), at("home"))]);
        let safe = format!("{}:{}", at("home/bin"), at("other"));
        for base in ["home/project", "link"] {
            assert_eq!(path(&operator, &top.join(base)), safe, "{base}");
        }
        // At home, above it and at the root all is the operator's.
        for base in [top.join("home"), top.clone(), PathBuf::from("/")] {
            assert!(Checkout::of(&base, &operator).is_none(), "{base:?}");
        }
        let none = BTreeMap::from([("PATH".to_owned(), "bin:".to_owned())]);
        assert_eq!((path(&none, &top).as_str(), directories(&none, &top).len()), (DEFAULT, 0));
    }
}
