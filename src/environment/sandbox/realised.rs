//! A workspace as a sandbox shows it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::gitdir::{self, Layout};
use super::mount::{self, Access, Bind};
use super::{sources, swept};
use crate::environment::driver::{RealiseAsk, Realised, Site};

/// What was asked, kept in the record so that each command is wrapped by what is there then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Root of the checkout, or the directory itself outside of git.
    pub root: PathBuf,
    /// Git's common directory.
    pub git_common_dir: Option<PathBuf>,
}

impl Workspace {
    /// Of a request.
    pub fn of(ask: &RealiseAsk) -> Self {
        let in_git = ask.root.clone().filter(|root| ask.cwd.starts_with(root));
        let git_common_dir = ask.git_common_dir.clone().filter(|_| in_git.is_some());
        Self { root: in_git.unwrap_or_else(|| ask.cwd.clone()), git_common_dir }
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
        let real = self.root.canonicalize().map_err(|e| format!("{} cannot be used: {e}", self.root.display()))?;
        if let Some(why) = sources::too_large(&real, site) {
            return Err(format!("the workspace {why}, and cannot be shown in a sandbox; work in a smaller directory"));
        }
        let layout = gitdir::look(&real, self.git_common_dir.as_deref())?;
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
        all.extend(gitdir::binds(&real, &layout)?);
        if real != self.root && common.is_some() {
            let dot = Bind { source: real.join(".git"), target: self.root.join(".git"), access: Access::Read };
            all.push(dot);
        }
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
    json!({ "workspace": workspace, "git": layout, "mounts": mounts, "notes": notes, "sandbox": more,
        "links_before": swept::links(layout) })
}
