//! What in a checkout git's config has git run: read-only inside.
//!
//! A hooks directory that is part of the project, a merge driver's script, an included config: whoever writes
//! them decides what git runs outside.

use std::path::{Path, PathBuf};

use super::gitdir::Layout;
use super::mount::{self, Access, Bind};
use crate::workspace::config_paths::{self, Named};

/// Such files and directories of one checkout, at most: each is a mount.
const MAX: usize = 64;

/// What is to be mounted over a checkout, and what people should know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configured {
    /// In order.
    pub binds: Vec<Bind>,
    /// What cannot be protected, and what is read-only for this reason.
    pub notes: Vec<String>,
}

/// Looks what git's config names in the checkout.
///
/// # Errors
/// In words: why the config cannot be read, and more of them than can be protected.
pub fn look(root: &Path, layout: &Layout) -> Result<Configured, String> {
    let mut all = Configured::default();
    if *layout == Layout::None {
        return Ok(all);
    }
    let mut held: Vec<PathBuf> = Vec::new();
    for Named { key, path } in config_paths::below(root)? {
        // A config or a directory of hooks is named by nothing else; the word of a command may be one on the path.
        let directory = key.eq_ignore_ascii_case("core.hookspath");
        let sure = directory || key.to_ascii_lowercase().starts_with("include") || path.parent() != Some(root);
        let shown = path.display();
        if let Some(link) = mount::link_on_the_way(root, root, &path) {
            all.notes.push(format!(
                "{key} in git's config leads over the link {}, which someone inside can change: look at it before git \
                 is used outside",
                link.display()
            ));
            continue;
        }
        match path.symlink_metadata() {
            Ok(meta) if meta.is_file() || (directory && meta.is_dir()) => {
                // What is mounted cannot be renamed: nor must the directories above it be.
                let above = path.ancestors().skip(1).take_while(|dir| *dir != root);
                for dir in above.collect::<Vec<_>>().into_iter().rev() {
                    if !held.iter().any(|known| known == dir) {
                        held.push(dir.to_owned());
                        all.binds.push(Bind::same(dir, Access::Write));
                    }
                }
                all.binds.push(Bind::same(&path, Access::Read));
                all.notes.push(format!("{shown} is read-only: {key} in git's config has git use it outside"));
            }
            _ if !sure => {}
            _ => all.notes.push(format!(
                "{shown} is not there, and {key} in git's config has git use it outside: look at what a run makes there"
            )),
        }
    }
    // What is written comes first, so that nothing read-only is made writable again by what lies above it.
    all.binds.sort_by_key(|bind| bind.access == Access::Read);
    if all.binds.len() > MAX {
        return Err(format!(
            "git's config names more than {MAX} files in {}, which cannot be protected",
            root.display()
        ));
    }
    Ok(all)
}
