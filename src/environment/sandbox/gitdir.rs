//! What of git is seen inside, and what of it may be written.
//!
//! Whoever writes git's `config`, `hooks`, `commondir` or a worktree's `.git` decides what git runs the next
//! time that anyone uses it outside. So a worktree's run writes what a commit needs (objects, refs, logs and
//! its own entry below `worktrees`) and nothing else; a run in the main checkout, whose index and head lie
//! beside those files, writes nothing of git at all. `packed-refs` is replaced by renaming a file beside
//! it, which would need the directory itself: so it is read-only too, and deleting a ref fails inside.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::mount::{Access, Bind};

/// Largest file of git's that says where another is.
const POINTER_MAX: u64 = 16 * 1024;

/// How a checkout keeps its git directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// It is none.
    None,
    /// The main one: its git directory is its own.
    Main {
        /// The git directory.
        common: PathBuf,
    },
    /// One of several.
    Linked {
        /// The git directory of the main one.
        common: PathBuf,
        /// Its own entry there.
        entry: PathBuf,
    },
}

/// Looks how a checkout keeps its git directory. Everything that is told by a file is looked at from both ends.
///
/// # Errors
/// In words: what is not as git leaves it.
pub fn look(root: &Path, common: Option<&Path>) -> Result<Layout, String> {
    let Some(common) = common else { return Ok(Layout::None) };
    let common = real(common)?;
    let dot = root.join(".git");
    let kind = dot.symlink_metadata().map_err(|e| format!("{} cannot be looked at: {e}", dot.display()))?.file_type();
    if kind.is_symlink() {
        return Err(format!("{} is a link, which a sandbox cannot protect; make it a directory", dot.display()));
    }
    if kind.is_dir() {
        return if real(&dot)? == common {
            Ok(Layout::Main { common })
        } else {
            Err(format!("{} is another repository than {}", dot.display(), common.display()))
        };
    }
    let text = pointer(&dot)?;
    let named = text.strip_prefix("gitdir: ").ok_or_else(|| format!("{} names no git directory", dot.display()))?;
    let entry = real(&root.join(named))?;
    if entry == common {
        return Ok(Layout::Main { common });
    }
    let back = |file: &str| pointer(&entry.join(file)).and_then(|text| real(&entry.join(text)));
    if entry.parent() != Some(&common.join("worktrees")) || back("commondir")? != common {
        return Err(format!(
            "{} leads to {}, which is no worktree of {}",
            dot.display(),
            entry.display(),
            common.display()
        ));
    }
    if back("gitdir")? != real(&dot)? {
        return Err(format!("{} belongs to another checkout; try git worktree repair", entry.display()));
    }
    Ok(Layout::Linked { common, entry })
}

/// Makes what must be there to be protected, and says what is seen inside: to be laid over the checkout itself.
///
/// # Errors
/// In words: what is not a plain directory or file, or cannot be made.
pub fn binds(root: &Path, layout: &Layout) -> Result<Vec<Bind>, String> {
    let mut all = Vec::new();
    let read = |path: PathBuf| Bind::same(&path, Access::Read);
    let write = |path: PathBuf| Bind::same(&path, Access::Write);
    match layout {
        Layout::None => return Ok(all),
        Layout::Main { common } => all.extend([read(common.clone()), read(root.join(".git"))]),
        Layout::Linked { common, entry } => {
            all.push(read(root.join(".git")));
            all.push(read(common.clone()));
            for name in ["objects", "objects/info", "refs", "logs"] {
                directory(&common.join(name))?;
            }
            file(&common.join("logs/HEAD"))?;
            file(&entry.join("config.worktree"))?;
            all.extend(["objects", "refs", "logs"].map(|name| write(common.join(name))));
            if common.join("reftable").is_dir() {
                directory(&common.join("reftable"))?;
                all.push(write(common.join("reftable")));
            }
            // Alternates lie in the one; the head of the main checkout writes to the other.
            all.extend(["objects/info", "logs/HEAD"].map(|name| read(common.join(name))));
            directory(entry)?;
            all.push(write(entry.clone()));
            for name in ["commondir", "gitdir", "config.worktree", "locked", crate::workspace::mark::WORKTREE_FILE] {
                let path = entry.join(name);
                if path.symlink_metadata().is_ok() {
                    file(&path)?;
                    all.push(read(path));
                }
            }
        }
    }
    all.dedup();
    all.extend(others(root, layout)?);
    Ok(all)
}

/// Other worktrees of the repository that lie in this checkout: another run's, or the operator's.
fn others(root: &Path, layout: &Layout) -> Result<Vec<Bind>, String> {
    let (common, own) = match layout {
        Layout::None => return Ok(Vec::new()),
        Layout::Main { common } => (common, None),
        Layout::Linked { common, entry } => (common, Some(entry)),
    };
    let entries = match fs::read_dir(common.join("worktrees")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{} cannot be read: {error}", common.join("worktrees").display())),
    };
    let mut all = Vec::new();
    for entry in entries.flatten().map(|e| e.path()).filter(|path| Some(path) != own) {
        let Some(dot) = pointer(&entry.join("gitdir")).ok().and_then(|text| real(&entry.join(text)).ok()) else {
            continue;
        };
        if let Some(other) = dot.parent().filter(|other| other.starts_with(root) && *other != root) {
            all.push(Bind::same(other, Access::Read));
        }
    }
    Ok(all)
}

fn real(path: &Path) -> Result<PathBuf, String> {
    path.canonicalize().map_err(|error| format!("{} cannot be resolved: {error}", path.display()))
}

/// The one line of a file that says where something is.
pub(super) fn pointer(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    if path.symlink_metadata().map_err(failed)?.len() > POINTER_MAX {
        return Err(format!("{} is too long", path.display()));
    }
    fs::read_to_string(path).map(|text| text.trim_end_matches(['\n', '\r']).to_owned()).map_err(failed)
}

fn directory(path: &Path) -> Result<(), String> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(format!("{} is no plain directory, which a sandbox cannot protect", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir(path).map_err(|error| format!("{} cannot be made: {error}", path.display()))
        }
        Err(error) => Err(format!("{} cannot be looked at: {error}", path.display())),
    }
}

fn file(path: &Path) -> Result<(), String> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_file() => Ok(()),
        Ok(_) => Err(format!("{} is no plain file, which a sandbox cannot protect", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
            made.map(drop).map_err(|error| format!("{} cannot be made: {error}", path.display()))
        }
        Err(error) => Err(format!("{} cannot be looked at: {error}", path.display())),
    }
}
