//! What git says about a checkout: HEAD, what is under way, changes, stashes.

use git2::{Repository, RepositoryState, Status, StatusOptions, StatusShow};
use wharf_model::rules::close_check::Listed;

use super::super::survey::{ASSUME_UNCHANGED, GITLINK, SKIP_WORKTREE, Survey, Tracked, shown, stage};

/// HEAD of a checkout: its commit, and the branch it is on.
pub(crate) fn head(repo: &Repository) -> Result<(Option<git2::Oid>, Option<String>), git2::Error> {
    let reference = repo.find_reference("HEAD")?;
    let target = reference.symbolic_target_bytes().map(|t| String::from_utf8_lossy(t).into_owned());
    let branch = target.as_deref().map(|t| t.strip_prefix("refs/heads/").unwrap_or(t).to_owned());
    match repo.head() {
        Ok(head) => Ok((Some(head.peel_to_commit()?.id()), branch)),
        Err(e) if e.code() == git2::ErrorCode::UnbornBranch => Ok((None, branch)),
        Err(e) => Err(e),
    }
}

/// What git is in the middle of.
pub(crate) fn under_way(repo: &Repository) -> Option<&'static str> {
    match repo.state() {
        RepositoryState::Clean => None,
        RepositoryState::Merge => Some("merge"),
        RepositoryState::Revert | RepositoryState::RevertSequence => Some("revert"),
        RepositoryState::CherryPick | RepositoryState::CherryPickSequence => Some("cherry-pick"),
        RepositoryState::Bisect => Some("bisect"),
        RepositoryState::Rebase | RepositoryState::RebaseInteractive | RepositoryState::RebaseMerge => Some("rebase"),
        RepositoryState::ApplyMailbox | RepositoryState::ApplyMailboxOrRebase => Some("am"),
    }
}

/// Tracked paths that differ from HEAD, and those in conflict.
pub(crate) fn changes(repo: &Repository, tracked: &Tracked, survey: &Survey) -> Result<(Listed, Listed), git2::Error> {
    let mut options = StatusOptions::new();
    options.show(StatusShow::IndexAndWorkdir).include_untracked(false).include_ignored(false);
    options.exclude_submodules(true).update_index(false);
    let statuses = repo.statuses(Some(&mut options))?;
    let mut changed: Vec<String> = Vec::new();
    let mut conflicted = Vec::new();
    for entry in statuses.iter().filter(|e| e.status() != Status::CURRENT) {
        let left_out = || tracked.plain(entry.path_bytes()).is_some_and(|e| e.flags_extended & SKIP_WORKTREE != 0);
        // Not there because a sparse checkout leaves it out.
        if entry.status() == Status::WT_DELETED && left_out() {
            continue;
        }
        let path = shown(entry.path_bytes());
        if entry.status().is_conflicted() {
            conflicted.push(path.clone());
        }
        changed.push(path);
    }
    for (path, entries) in tracked.entries.iter().filter(|(_, all)| all.iter().any(|e| stage(e) > 0)) {
        let path = shown(path);
        debug_assert!(!entries.is_empty());
        if !conflicted.contains(&path) {
            conflicted.push(path.clone());
            changed.push(path);
        }
    }
    changed.extend(hidden(repo, tracked, survey)?);
    changed.extend(moved_links(repo, tracked)?);
    changed.sort();
    changed.dedup();
    conflicted.sort();
    Ok((Listed::of(changed), Listed::of(conflicted)))
}

/// Changes that git was told not to look for: an edit of a file that is assumed unchanged is lost like any other.
fn hidden(repo: &Repository, tracked: &Tracked, survey: &Survey) -> Result<Vec<String>, git2::Error> {
    let mut all = Vec::new();
    for item in &survey.items {
        let Some(entry) = tracked.plain(&item.path) else { continue };
        let flagged = entry.flags & ASSUME_UNCHANGED != 0 || entry.flags_extended & SKIP_WORKTREE != 0;
        if !flagged || item.is_as_indexed(entry, tracked.written) || item.link {
            continue;
        }
        let path = repo
            .workdir()
            .unwrap_or(repo.path())
            .join(std::path::Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&item.path)));
        if git2::Oid::hash_file_ext(git2::ObjectType::Blob, path, repo.object_format())? != entry.id
            || item.git_mode() != entry.mode
        {
            all.push(shown(&item.path));
        }
    }
    Ok(all)
}

/// Submodules whose staged commit differs from HEAD's.
fn moved_links(repo: &Repository, tracked: &Tracked) -> Result<Vec<String>, git2::Error> {
    let tree = match repo.head() {
        Ok(head) => Some(head.peel_to_tree()?),
        Err(_) => None,
    };
    let mut all = Vec::new();
    for (path, entries) in &tracked.entries {
        let Some(entry) = entries.iter().find(|e| stage(e) == 0 && e.mode == GITLINK) else { continue };
        let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path);
        let in_head = tree.as_ref().and_then(|t| t.get_path(std::path::Path::new(name)).ok());
        if in_head.map(|e| e.id()) != Some(entry.id) {
            all.push(shown(path));
        }
    }
    Ok(all)
}

/// Stashes that were made on this branch, or off every branch: `stash@{0}: WIP on b: 1a2b3c4 subject`.
pub(crate) fn stashes(repo: &mut Repository, branch: Option<&str>) -> Result<Listed, git2::Error> {
    if repo.find_reference("refs/stash").is_err() {
        return Ok(Listed::default());
    }
    let on = branch.unwrap_or("(no branch)").to_owned();
    let mut listed = Listed::default();
    let mut any = false;
    repo.stash_foreach(|number, message, _| {
        any = true;
        let rest = message.strip_prefix("WIP on ").or_else(|| message.strip_prefix("On "));
        // A message that says no branch may be of any.
        if rest.is_none_or(|rest| rest.strip_prefix(on.as_str()).is_some_and(|r| r.starts_with(':'))) {
            listed.add(format!("stash@{{{number}}}: {message}"));
        }
        true
    })?;
    if !any {
        listed.add("refs/stash".to_owned());
    }
    Ok(listed)
}
