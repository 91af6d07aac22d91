//! A project that stands at another path than before: its workspaces have moved with it.

use std::path::Path;

use wharf_model::rules::trash;
use wharf_model::{ProjectId, WorkspaceRow};

use crate::dispatch::decide::Deciding;

/// Where a repository's files are: its directory, which holds worktrees and trash as well.
fn root<'a>(path: &'a str, git_common_dir: Option<&'a str>) -> &'a Path {
    let path = Path::new(path);
    let main = git_common_dir.map(Path::new).filter(|c| c.ends_with(".git")).and_then(Path::parent);
    main.filter(|main| path.starts_with(main)).unwrap_or(path)
}

/// Where one stands, as its path and the git directory of its repository tell.
pub(crate) type Stand<'a> = (&'a str, Option<&'a str>);

/// Paths of workspaces below the old place of a project are those below the new one; others stay as they are.
pub(crate) fn follow(d: &mut Deciding<'_, '_>, project: ProjectId, from: Stand<'_>, to: Stand<'_>) {
    let (from, to) = (root(from.0, from.1), root(to.0, to.1));
    let now_at = |path: &str| -> Option<String> {
        let below = Path::new(path).strip_prefix(from).ok()?;
        let new = if below.as_os_str().is_empty() { to.to_owned() } else { to.join(below) };
        new.to_str().map(str::to_owned)
    };
    let rows: Vec<WorkspaceRow> = d.state().workspaces.values().filter(|w| w.project_id == project).cloned().collect();
    for mut row in rows {
        let mut any = trash::relocate(&mut row, now_at);
        for path in [&mut row.cwd, &mut row.repo_root, &mut row.provider_ref] {
            if let Some(new) = path.as_deref().and_then(now_at) {
                *path = Some(new);
                any = true;
            }
        }
        if any {
            d.tx.update::<WorkspaceRow>(row.id, |w| {
                w.cwd.clone_from(&row.cwd);
                w.repo_root.clone_from(&row.repo_root);
                w.provider_ref.clone_from(&row.provider_ref);
                w.trash_path.clone_from(&row.trash_path);
                w.trash_more.clone_from(&row.trash_more);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_that_of_the_repository() {
        let table = [
            (("/a/shop", Some("/a/shop/.git")), "/a/shop"),
            (("/a/shop/web", Some("/a/shop/.git")), "/a/shop"),
            (("/a/shop", None), "/a/shop"),
            (("/a/linked", Some("/b/main/.git")), "/a/linked"),
            (("/a/x", Some("/a/bare.git")), "/a/x"),
        ];
        for ((path, common), expected) in table {
            assert_eq!(root(path, common), Path::new(expected), "{path} {common:?}");
        }
    }
}
