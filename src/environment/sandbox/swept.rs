//! After a run: links and special files that appeared where git writes are taken away, and repositories that
//! appeared in the workspace are put out of git's sight.
//!
//! git never makes any links there. One in place of a log or a directory of objects would lead git's next write
//! outside to somewhere else.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, unlinkat};
use serde_json::json;

use super::gitdir::{self, Layout};
use super::realised::Workspace;
use super::walk;
use crate::environment::driver::Collected;

/// Ones that are told by name.
const NAMED_MAX: usize = 20;
/// Links that are kept in a record.
const RECORD_MAX: usize = 10_000;
/// A socket that git itself makes, and asks only where the config says so.
const GITS_OWN: &str = "fsmonitor--daemon.ipc";

/// Looks through what a run in this workspace could write of git, removes what was not there `before`, and says
/// so. Nothing has to be brought back: the files are this machine's.
pub fn collected(workspace: Option<&Workspace>, before: &[String]) -> Collected {
    let Some(workspace) = workspace else { return Collected::default() };
    let looked = workspace.root.canonicalize().map_err(|e| e.to_string());
    let looked =
        looked.and_then(|root| gitdir::look(&root, workspace.git_common_dir.as_deref()).map(|layout| (root, layout)));
    let (root, layout) = match looked {
        Ok(looked) => looked,
        Err(why) => {
            let warnings = vec![format!("what git keeps cannot be looked through: {why}")];
            return Collected { warnings, ..Collected::default() };
        }
    };
    // A record that is full names not all of those that were there.
    let full = before.len() >= RECORD_MAX;
    let (mut removed, mut left, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let troubles = look(&layout, |top, dir, name| {
        let path = top.join(&dir.path).join(name);
        let shown = path.display().to_string();
        if before.iter().any(|known| Path::new(known) == path) {
            return;
        }
        if full {
            left.push(shown);
            return;
        }
        match unlinkat(&dir.fd, name, AtFlags::empty()) {
            Ok(()) => removed.push(shown),
            Err(error) => failed.push(format!("{shown} cannot be removed: {error}")),
        }
    });
    let count = removed.len();
    let mut warnings = Vec::new();
    if count > 0 {
        let named = named(&removed);
        warnings.push(format!("links or special files were made where git writes, and {count} removed: {named}"));
    }
    if !left.is_empty() {
        warnings.push(format!(
            "links or special files lie where git writes, and were left since too many were there before: {}",
            named(&left)
        ));
    }
    if failed.len() > NAMED_MAX {
        let more = failed.len() - NAMED_MAX;
        failed.truncate(NAMED_MAX);
        failed.push(format!("{more} more cannot be removed"));
    }
    warnings.extend(failed);
    warnings.extend(troubles);
    let (renamed, more) = workspace.nested.as_ref().map(|nested| nested.sweep(&root, &layout)).unwrap_or_default();
    warnings.extend(more);
    let told = |list: &[String]| json!(list.iter().take(RECORD_MAX).collect::<Vec<_>>());
    let record = json!({ "removed": told(&removed), "removed_count": count, "renamed": told(&renamed) });
    Collected { changed: false, record, warnings }
}

/// Some of them by name, and how many more there are.
pub fn named(all: &[String]) -> String {
    let some = all.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED_MAX) {
        0 => some,
        more => format!("{some} and {more} more"),
    }
}

/// Links and special files that are there now.
pub fn links(layout: &Layout) -> Vec<String> {
    let mut all = Vec::new();
    look(layout, |top, dir, name| {
        if all.len() < RECORD_MAX {
            all.push(top.join(&dir.path).join(name).display().to_string());
        }
    });
    all
}

/// Shows each link and special file where a run could write of git; says what could not be looked through.
fn look(layout: &Layout, mut found: impl FnMut(&Path, &walk::Seen, &std::ffi::OsStr)) -> Vec<String> {
    let Layout::Linked { common, entry } = layout else { return Vec::new() };
    let mut tops: Vec<PathBuf> = ["refs", "logs", "objects"].map(|name| common.join(name)).to_vec();
    tops.push(entry.clone());
    let mut troubles = Vec::new();
    for top in tops {
        troubles.extend(walk::through(&top, |dir| {
            for (name, kind) in &dir.entries {
                if !matches!(kind, FileType::Directory | FileType::RegularFile) && name != GITS_OWN {
                    found(&top, dir, name);
                }
            }
        }));
    }
    troubles
}
