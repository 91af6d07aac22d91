//! A workspace as a sandbox shows it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::gitdir::{self, Layout};
use super::mount::{self, Access, Bind};
use super::{configured, nested, sources, swept};
use crate::environment::driver::{RealiseAsk, Realised, Site};

/// What was asked, kept in the record so that each command is wrapped by what is there then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Root of the checkout, or the directory itself outside of git.
    pub root: PathBuf,
    /// Git's common directory.
    pub git_common_dir: Option<PathBuf>,
    /// Repositories in it when it was realised; none in records of before these were looked for.
    #[serde(default)]
    pub nested: Option<nested::Before>,
}

impl Workspace {
    /// Of a request.
    pub fn of(ask: &RealiseAsk) -> Self {
        let in_git = ask.root.clone().filter(|root| ask.cwd.starts_with(root));
        let git_common_dir = ask.git_common_dir.clone().filter(|_| in_git.is_some());
        Self { root: in_git.unwrap_or_else(|| ask.cwd.clone()), git_common_dir, nested: None }
    }

    /// The same with what is in it now: to be kept in the record.
    ///
    /// # Errors
    /// In words: what is not as git leaves it, and more repositories than can be protected.
    pub fn looked_through(self, site: &Site) -> Result<Self, String> {
        let (real, layout) = self.look(site)?;
        Ok(Self { nested: Some(nested::before(&real, &layout)?), ..self })
    }

    fn look(&self, site: &Site) -> Result<(PathBuf, Layout), String> {
        let real = self.root.canonicalize().map_err(|e| format!("{} cannot be used: {e}", self.root.display()))?;
        if let Some(why) = sources::too_large(&real, site) {
            return Err(format!("the workspace {why}, and cannot be shown in a sandbox; work in a smaller directory"));
        }
        let layout = gitdir::look(&real, self.git_common_dir.as_deref())?;
        Ok((real, layout))
    }

    /// Of a record that [`record`] made.
    pub fn of_record(realised: Option<&Realised>) -> Option<Self> {
        serde_json::from_value(realised?.record.get("workspace")?.clone()).ok()
    }

    /// How it keeps its git directory, and everything of it that is shown together with the config's mounts: in
    /// the order in which it is to be mounted.
    ///
    /// # Errors
    /// In words: what cannot be shown, or would let someone inside change what runs outside.
    pub fn binds(&self, mounts: &[Bind], site: &Site) -> Result<(Layout, Vec<Bind>), String> {
        let (real, layout) = self.look(site)?;
        let common = match &layout {
            Layout::None => None,
            Layout::Main { common } | Layout::Linked { common, .. } => Some(common),
        };
        for mount in mounts {
            let said = mount.target.display();
            if let Some(common) = common {
                if mount.access == Access::Write
                    && (common.starts_with(&mount.source) || mount.source.starts_with(common))
                {
                    return Err(format!(
                        "mount {said}: a writable {} holds {}, and who writes there decides what git runs outside; \
                         mount a smaller part of it, or read-only",
                        mount.source.display(),
                        common.display()
                    ));
                }
                if mount.target.starts_with(common) || mount.target.starts_with(real.join(".git")) {
                    return Err(format!("mount {said}: its target is in git's directory; choose another"));
                }
            }
            if let Some(link) = mount::link_on_the_way(&real, &self.root, &mount.target) {
                return Err(format!("mount {said}: {} is a link, and nothing is mounted over one", link.display()));
            }
        }
        let (within, around): (Vec<&Bind>, Vec<&Bind>) =
            mounts.iter().partition(|m| m.target.starts_with(&self.root) && m.target != self.root);
        let mut all: Vec<Bind> = around.into_iter().cloned().collect();
        all.push(Bind { source: real.clone(), target: self.root.clone(), access: Access::Write });
        if real != self.root {
            all.push(Bind::same(&real, Access::Write));
        }
        // First, since what of it is writable lies above what the others protect.
        let mut kept = configured::look(&real, &layout)?.binds;
        kept.extend(gitdir::binds(&real, &layout)?);
        if let Some(nested) = &self.nested {
            kept.extend(nested.binds(&real, &layout)?);
        }
        if real != self.root {
            // What is read-only by one name of the workspace must not be writable by the other.
            let again = |bind: &Bind| {
                let rest = bind.target.strip_prefix(&real).ok()?;
                Some(Bind { source: bind.source.clone(), target: self.root.join(rest), access: bind.access })
            };
            kept.extend(kept.iter().filter_map(again).collect::<Vec<_>>());
        }
        all.extend(kept);
        all.extend(within.into_iter().cloned());
        Ok((layout, all))
    }
}

/// Links that were where git writes before, by a record that [`record`] made.
pub fn links_before(realised: &Realised) -> Vec<String> {
    let list = realised.record["links_before"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|link| link.as_str().map(str::to_owned)).collect()
}

/// What is kept of a realisation.
pub fn record(workspace: &Workspace, layout: &Layout, binds: &[Bind], note: Option<&str>, more: Value) -> Value {
    let mut notes: Vec<&str> = note.into_iter().collect();
    match layout {
        Layout::Main { .. } => notes.push(
            "this is the main checkout: git is read-only in it, so nothing can be committed or staged from inside; \
             isolated workspaces can commit",
        ),
        Layout::Linked { .. } => notes.push(
            "deleting a ref (git branch -d, the end of a cherry-pick or revert) fails inside: git would have to \
             write beside its config for it",
        ),
        Layout::None => {}
    }
    let mounts: Vec<Value> = binds
        .iter()
        .map(|b| {
            json!({ "source": b.source.display().to_string(), "target": b.target.display().to_string(), "access": b.access })
        })
        .collect();
    let real = workspace.root.canonicalize().unwrap_or_else(|_| workspace.root.clone());
    let of_config = configured::look(&real, layout).map_or_else(|why| vec![why], |configured| configured.notes);
    notes.extend(of_config.iter().map(String::as_str));
    let of_nested = workspace.nested.as_ref().map(nested::Before::notes).unwrap_or_default();
    notes.extend(of_nested.iter().map(String::as_str));
    json!({ "workspace": workspace, "git": layout, "mounts": mounts, "notes": notes, "sandbox": more,
        "links_before": swept::links(layout) })
}
