//! The directory of an agent's last session, as it is found on this machine when a run is about to go there.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use wharf_model::Driver;

use crate::dispatch::perform::RunJob;

/// What was found of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionFound {
    /// As it was said.
    pub cwd: String,
    /// Where it really is, links resolved; else why no run can work there, for people.
    pub at: Result<PathBuf, String>,
}

/// Looks for it; none where no run has said one. Reads the disk.
pub(super) fn look(job: &RunJob) -> Option<SessionFound> {
    let cwd = job.session_cwd.clone()?;
    let at = match job.environment.as_ref().filter(|e| e.driver != Driver::Local) {
        // It would be brought there as any plain directory, and what is changed in it might never come back.
        Some(e) => Err(format!("is one of this machine, and this run works in {} ({})", e.name, e.driver)),
        None => resolve(&cwd),
    };
    Some(SessionFound { cwd, at })
}

/// The directory behind a path. What cannot be looked at is not called gone.
fn resolve(cwd: &str) -> Result<PathBuf, String> {
    let failed = |e: &std::io::Error| match e.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => "is gone".to_owned(),
        _ => format!("cannot be looked at ({e})"),
    };
    let at = Path::new(cwd).canonicalize().map_err(|e| failed(&e))?;
    if !at.metadata().map_err(|e| failed(&e))?.is_dir() {
        return Err("is no directory any more".to_owned());
    }
    // Rows hold paths as text; one that is none could not be told from its neighbours.
    if at.to_str().is_none() {
        return Err("leads to a path that is no UTF-8".to_owned());
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_is_one_after_its_links_are_resolved() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name).to_str().unwrap().to_owned();
        std::fs::create_dir(at("there")).unwrap();
        std::fs::write(at("file"), "x").unwrap();
        symlink("there", at("link")).unwrap();
        symlink("file", at("to_file")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        symlink("ring", at("ring")).unwrap();
        let odd = root.join(std::ffi::OsStr::from_bytes(b"\xff"));
        std::fs::create_dir(&odd).unwrap();
        symlink(&odd, at("to_odd")).unwrap();
        let table = [
            ("there", Ok(root.join("there"))),
            ("link", Ok(root.join("there"))),
            ("file", Err("is no directory any more")),
            ("to_file", Err("is no directory any more")),
            ("dangling", Err("is gone")),
            ("none", Err("is gone")),
            ("file/below", Err("is gone")),
            ("to_odd", Err("leads to a path that is no UTF-8")),
        ];
        for (name, expected) in table {
            assert_eq!(resolve(&at(name)), expected.map_err(str::to_owned), "{name}");
        }
        assert!(resolve(&at("ring")).unwrap_err().starts_with("cannot be looked at ("), "unknown is not gone");
    }
}
