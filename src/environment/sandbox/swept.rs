//! After a run: links and special files that appeared where git writes are taken away.
//!
//! git never makes any there. A link in place of a log or a directory of objects would lead git's next write
//! outside to somewhere else.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::gitdir::{self, Layout};
use super::realised::Workspace;
use crate::environment::driver::Collected;

/// Directories that are looked through, at most; a repository has as many as branches and objects have.
const DIRECTORIES_MAX: usize = 200_000;
/// Removed ones that are told by name.
const NAMED_MAX: usize = 20;

/// Looks through what a run in this workspace could write of git, removes what was not there `before`, and says
/// so. Nothing has to be brought back: the files are this machine's.
pub fn collected(workspace: Option<&Workspace>, before: &[String]) -> Collected {
    let Some(workspace) = workspace else { return Collected::default() };
    let layout = workspace.root.canonicalize().map_err(|e| e.to_string());
    let layout = layout.and_then(|root| gitdir::look(&root, workspace.git_common_dir.as_deref()));
    let layout = match layout {
        Ok(layout) => layout,
        Err(why) => {
            let warnings = vec![format!("what git keeps cannot be looked through: {why}")];
            return Collected { warnings, ..Collected::default() };
        }
    };
    let mut found = look(&layout);
    let mut removed = Vec::new();
    for path in found.links.iter().filter(|path| !before.iter().any(|known| Path::new(known) == path.as_path())) {
        match fs::remove_file(path) {
            Ok(()) => removed.push(path.display().to_string()),
            Err(error) => found.failed.push(format!("{} cannot be removed: {error}", path.display())),
        }
    }
    let mut warnings = found.failed;
    if !removed.is_empty() {
        let named = removed.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        let count = removed.len();
        warnings.insert(0, format!("links or special files were made where git writes, and {count} removed: {named}"));
    }
    Collected { changed: false, record: json!({ "removed": removed }), warnings }
}

/// Links and special files that are there now.
pub fn links(layout: &Layout) -> Vec<String> {
    look(layout).links.iter().map(|path| path.display().to_string()).collect()
}

fn look(layout: &Layout) -> Found {
    let mut found = Found::default();
    if let Layout::Linked { common, entry } = layout {
        for dir in ["refs", "logs", "objects"].map(|name| common.join(name)).iter().chain([entry]) {
            found.look_through(dir);
        }
    }
    found
}

#[derive(Default)]
struct Found {
    links: Vec<PathBuf>,
    failed: Vec<String>,
}

impl Found {
    fn look_through(&mut self, top: &Path) {
        let mut todo = vec![top.to_owned()];
        let mut seen = 0;
        while let Some(dir) = todo.pop() {
            seen += 1;
            if seen > DIRECTORIES_MAX {
                self.failed.push(format!("{} has too many directories to be looked through", top.display()));
                return;
            }
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    self.failed.push(format!("{} cannot be looked through: {error}", dir.display()));
                    continue;
                }
            };
            for entry in entries.flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => todo.push(entry.path()),
                    Ok(kind) if kind.is_file() => {}
                    Ok(_) => self.links.push(entry.path()),
                    Err(_) => {}
                }
            }
        }
    }
}
