//! Repositories in a workspace, beside its own.
//!
//! git runs what the config of a repository says as soon as anyone uses it, or even its surroundings. So those that
//! are there when a workspace is realised are read-only inside, and those that appear while a run works are put
//! out of git's sight afterwards.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, RenameFlags, renameat_with, statat};
use serde::{Deserialize, Serialize};

use super::gitdir::{self, Layout};
use super::mount::{self, Access, Bind};
use super::walk;

const DOT: &str = ".git";
/// What one that appeared is called afterwards.
const AWAY: &str = ".git.from-sandbox";
/// Names that are tried for it.
const NAMES_MAX: usize = 100;
/// Repositories that one workspace can have: each is a mount.
const MAX: usize = 256;

/// A `.git` in a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nested {
    /// Where it is below the root.
    path: PathBuf,
    /// Which file system it is on.
    device: u64,
    /// Its number there.
    inode: u64,
}

/// Every repository that was there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// `.git` that are not the workspace's own.
    nested: Vec<Nested>,
    /// Directories that git takes for repositories by what is in them.
    bare: Vec<PathBuf>,
    /// What could not be looked through; then nothing is known of others.
    troubles: Vec<String>,
}

/// Looks through a workspace.
///
/// # Errors
/// In words: more repositories than can be protected.
pub fn before(root: &Path, layout: &Layout) -> Result<Before, String> {
    let mut before = Before::default();
    before.troubles = walk_through(root, layout, |found, fd| match found {
        Found::Dot(path) => {
            let stat = statat(fd, DOT, AtFlags::SYMLINK_NOFOLLOW);
            before.nested.extend(stat.ok().map(|stat| Nested { path, device: stat.st_dev, inode: stat.st_ino }));
        }
        Found::Bare(path) => before.bare.push(path),
    });
    if before.nested.len() > MAX {
        return Err(format!(
            "{} holds {} repositories, and no more than {MAX} can be protected; work in a smaller directory",
            root.display(),
            before.nested.len()
        ));
    }
    Ok(before)
}

impl Before {
    /// What people should know of it.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.troubles.clone();
        if !self.nested.is_empty() {
            let count = self.nested.len();
            notes.push(format!("git is read-only in the {count} repositories that lie in the workspace"));
        }
        notes
    }

    /// What of them is shown, read-only, over a checkout.
    ///
    /// # Errors
    /// In words: one that was moved since, and cannot be protected where it is.
    pub fn binds(&self, root: &Path, layout: &Layout) -> Result<Vec<Bind>, String> {
        let mut all = Vec::new();
        for nested in &self.nested {
            let path = root.join(&nested.path);
            let there = mount::link_on_the_way(root, root, path.parent().unwrap_or(root)).is_none();
            let stat = there.then(|| rustix::fs::lstat(&path).ok()).flatten();
            let Some(stat) = stat.filter(|stat| (stat.st_dev, stat.st_ino) == (nested.device, nested.inode)) else {
                return Err(format!(
                    "the repository {} was moved, replaced or removed since the workspace was realised; put it back, \
                     or start the run anew",
                    path.display()
                ));
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => all.push(Bind::same(&path, Access::Read)),
                FileType::RegularFile => {
                    all.push(Bind::same(&path, Access::Read));
                    // Where it leads may be written too: below the checkout, or below a worktree's own entry.
                    let entry = if let Layout::Linked { entry, .. } = layout { Some(entry) } else { None };
                    if let Some(dir) = led_to(&path).filter(|dir| {
                        (dir.starts_with(root) && !root.starts_with(dir))
                            || entry.is_some_and(|entry| dir.starts_with(entry) && dir != entry)
                    }) {
                        all.push(Bind::same(&dir, Access::Read));
                    }
                }
                // Mounting would follow it. That it was replaced is seen afterwards.
                _ => {}
            }
        }
        Ok(all)
    }

    /// Puts those out of git's sight that appeared since, and says so.
    pub fn sweep(&self, root: &Path, layout: &Layout) -> (Vec<String>, Vec<String>) {
        let (mut away, mut warnings, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        let troubles = walk_through(root, layout, |found, fd| match found {
            Found::Dot(path) => {
                let Ok(stat) = statat(fd, DOT, AtFlags::SYMLINK_NOFOLLOW) else { return };
                let known = Nested { path, device: stat.st_dev, inode: stat.st_ino };
                if self.nested.contains(&known) {
                    return;
                }
                let shown = root.join(&known.path).display().to_string();
                if !self.troubles.is_empty() {
                    warnings.push(format!(
                        "{shown} may have been made in the sandbox: look at its config and hooks before git is used there"
                    ));
                    return;
                }
                match put_away(fd) {
                    Ok(()) => away.push(shown),
                    Err(error) => warnings.push(format!(
                        "{shown} was made in the sandbox and cannot be renamed ({error}): use no git there or above"
                    )),
                }
            }
            Found::Bare(path) if !self.bare.contains(&path) => bare.push(root.join(path).display().to_string()),
            Found::Bare(_) => {}
        });
        if !away.is_empty() {
            let (named, count) = (super::swept::named(&away), away.len());
            warnings.insert(
                0,
                format!(
                    "{count} repositories were made in the sandbox: git runs what their config says, so each .git was \
                     renamed to {AWAY}; look at it before you rename it back: {named}"
                ),
            );
        }
        if !bare.is_empty() {
            warnings.push(format!(
                "bare repositories were made in the sandbox: use no git in them before you have looked at their \
                 config: {}",
                super::swept::named(&bare)
            ));
        }
        warnings.extend(troubles);
        (away, warnings)
    }
}

enum Found {
    Dot(PathBuf),
    Bare(PathBuf),
}

fn walk_through(root: &Path, layout: &Layout, mut found: impl FnMut(Found, &OwnedFd)) -> Vec<String> {
    walk::through(root, |dir| {
        let is = |name: &str, kind: FileType| dir.entries.iter().any(|(n, k)| n == name && *k == kind);
        let top = dir.path.as_os_str().is_empty();
        if (!top || *layout == Layout::None) && ["objects", "refs"].iter().all(|name| is(name, FileType::Directory)) {
            let head = dir.entries.iter().any(|(name, _)| name == "HEAD");
            if head {
                found(Found::Bare(dir.path.clone()), &dir.fd);
            }
        }
        let Some(at) = dir.entries.iter().position(|(name, _)| name == DOT) else { return };
        let (_, kind) = dir.entries.swap_remove(at);
        let own = top && *layout != Layout::None;
        let path = dir.path.join(DOT);
        let kept = || kind == FileType::RegularFile && leads_to_what_is_kept(&root.join(&path), layout);
        if !own && !kept() {
            found(Found::Dot(path), &dir.fd);
        }
    })
}

/// Whether a file leads to a part of the workspace's own git directory that nobody inside can write: a submodule, or
/// another worktree, which someone outside may make at any time.
fn leads_to_what_is_kept(dot: &Path, layout: &Layout) -> bool {
    let (common, own) = match layout {
        Layout::None => return false,
        Layout::Main { common } => (common, None),
        Layout::Linked { common, entry } => (common, Some(entry)),
    };
    led_to(dot).is_some_and(|dir| {
        let worktrees = common.join("worktrees");
        dir.starts_with(common.join("modules"))
            || dir.parent() == Some(&worktrees)
            || (dir.starts_with(&worktrees) && !own.is_some_and(|own| dir.starts_with(own)))
    })
}

fn led_to(dot: &Path) -> Option<PathBuf> {
    let text = gitdir::pointer(dot).ok()?;
    dot.parent()?.join(text.strip_prefix("gitdir: ")?).canonicalize().ok()
}

fn put_away(dir: &OwnedFd) -> std::io::Result<()> {
    for n in 0..NAMES_MAX {
        let name = if n == 0 { OsString::from(AWAY) } else { format!("{AWAY}-{n}").into() };
        match renameat_with(dir, DOT, dir, OsStr::new(&name), RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => {}
            other => return Ok(other?),
        }
    }
    Err(std::io::Error::other("every name for it is taken"))
}
