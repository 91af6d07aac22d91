//! Reading what a request needs beside the loop: a project's config, what may be removed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wharf_model::config::Retention;
use wharf_model::rules::checkout;
use wharf_model::{IssueId, Kind, ProjectId, RequestKind, RequestRow, ServiceId, WorkspaceId};
use wharf_store::{Reader, StoreError};

use super::closing;
use super::event_loop::Prepare;
use super::input::{CloseRead, ConfigRead, Known, Prepared, ReapCandidate, ReapRead};
use crate::clock;
use crate::config::{self, Overrides, Remembered};
use crate::gc::plan;
use crate::workspace::{clone, inspect, project_id};

/// Reads files of projects and of the data directory.
#[derive(Debug)]
pub struct ReadFiles {
    data: PathBuf,
    remembered: Remembered,
}

impl Prepare for ReadFiles {
    fn prepare(&self, row: &RequestRow, known: &BTreeMap<ProjectId, Known>) -> Prepared {
        match RequestKind::parse(&row.kind) {
            Some(RequestKind::GcRun) => return removable(&self.data),
            Some(RequestKind::WorkspaceArchive) => return with_retention(|kept| close(&self.data, row, kept)),
            Some(RequestKind::WorkspaceReap) => return with_retention(|kept| reap(&self.data, row, kept)),
            Some(RequestKind::WorkspaceSnapshot | RequestKind::WorkspaceRestore) => {
                return with_retention(|kept| Ok(Prepared::Kept(kept)));
            }
            _ => {}
        }
        if RequestKind::parse(&row.kind) == Some(RequestKind::IssueUpdate) {
            return issue(&self.data, row);
        }
        let Some(path) = row.args.get("path").and_then(Value::as_str) else {
            return without_directory(&self.data, row).unwrap_or(Prepared::Nothing);
        };
        match read(&self.remembered, Path::new(path), known) {
            Ok(read) => Prepared::Config(Box::new(read)),
            Err((code, message)) => Prepared::Failed { code: code.to_owned(), message },
        }
    }
}

/// The issue that a request is about, as it stands in the store.
fn issue(data: &Path, row: &RequestRow) -> Prepared {
    let Some(id) = row.target_id.as_deref().and_then(|t| t.parse::<IssueId>().ok()) else { return Prepared::Nothing };
    match Reader::open(data).and_then(|reader| reader.issue(id)) {
        Ok(Some(item)) => Prepared::Issue(Box::new(item.issue)),
        Ok(None) => Prepared::Nothing,
        Err(error) => Prepared::Failed { code: "internal".to_owned(), message: error.to_string() },
    }
}

/// Why a service that is named by its id cannot be started: the directory that it runs in is not there. One that
/// runs is not stopped for a start that cannot be.
fn without_directory(data: &Path, row: &RequestRow) -> Option<Prepared> {
    let starts = matches!(RequestKind::parse(&row.kind), Some(RequestKind::ServiceStart | RequestKind::ServiceRestart));
    let id = row.target_id.as_deref().filter(|_| starts)?.parse::<ServiceId>().ok()?;
    // What cannot be read is judged by whoever starts it.
    let service = Reader::open(data).ok()?.service(id).ok()??.service;
    let gone = !service.cwd.is_empty() && Path::new(&service.cwd).try_exists().is_ok_and(|there| !there);
    gone.then(|| Prepared::Failed {
        code: "cwd_missing".to_owned(),
        message: format!(
            "{} {} cannot be started: its directory {} is not there any more; what runs of it can still be stopped",
            Kind::Service.number(service.number),
            service.name,
            service.cwd
        ),
    })
}

/// What may be removed now by the operator's own config.
fn removable(data: &Path) -> Prepared {
    let keep_ms = match retention() {
        Ok(retention) => retention.run_logs_ms,
        // Never by another rule than the one that was meant.
        Err(message) => return Prepared::Failed { code: "config_invalid".to_owned(), message },
    };
    let planned = Reader::open(data).and_then(|reader| plan::plan(data, &reader, clock::now(), keep_ms));
    match planned {
        Ok(plan) => Prepared::Gc(Box::new(plan)),
        Err(error) => Prepared::Failed { code: "internal".to_owned(), message: error.to_string() },
    }
}

/// Reads something together with how long things are kept.
fn with_retention(read: impl FnOnce(Retention) -> Result<Prepared, StoreError>) -> Prepared {
    let retention = match retention() {
        Ok(retention) => retention,
        // Never by another rule than the one that was meant.
        Err(message) => return Prepared::Failed { code: "config_invalid".to_owned(), message },
    };
    read(retention).unwrap_or_else(|error| Prepared::Failed { code: "internal".to_owned(), message: error.to_string() })
}

/// What is in the workspace that a request wants archived.
fn close(data: &Path, row: &RequestRow, retention: Retention) -> Result<Prepared, StoreError> {
    let id = row.target_id.as_deref().and_then(|t| t.parse::<WorkspaceId>().ok());
    let reader = Reader::open(data)?;
    let Some(rows) = id.map(|id| reader.close_rows(id)).transpose()?.flatten() else {
        // Refused by the decision, in its own words.
        return Ok(Prepared::Nothing);
    };
    let found = closing::look(&rows, closing::never(&reader)?);
    Ok(Prepared::Close(Box::new(CloseRead { found, retention })))
}

/// What may be archived by itself: in the project that was named, or in all.
fn reap(data: &Path, row: &RequestRow, retention: Retention) -> Result<Prepared, StoreError> {
    let project = row.args.get("project").and_then(Value::as_str).and_then(|p| p.parse().ok());
    let judged = closing::reapable(&Reader::open(data)?, project, None, &retention, clock::now())?;
    let candidates = judged
        .into_iter()
        .map(|one| ReapCandidate {
            workspace: one.rows.workspace.id,
            version: one.rows.workspace.version,
            closed_at: one.closed_at,
            eligible_at: one.eligible_at,
            found: one.found,
            stays: one.stays,
        })
        .collect();
    Ok(Prepared::Reap(Box::new(ReapRead { candidates, retention })))
}

/// How long things are kept on this machine.
///
/// # Errors
/// The operator's config is wrong, in words.
pub fn retention() -> Result<Retention, String> {
    let path = config::user_config_path(|name| std::env::var_os(name));
    config::load_user(path.as_deref(), &Overrides::default())
        .map(|loaded| loaded.config.retention)
        .map_err(|errors| errors.render(None))
}

impl ReadFiles {
    /// Reads below this data directory, and wherever projects are.
    pub fn new(data: PathBuf) -> Self {
        Self { data, remembered: Remembered::default() }
    }
}

/// Reads the config of the project that `path` lies in.
///
/// # Errors
/// A code and words for the operator.
pub fn read(
    remembered: &Remembered,
    path: &Path,
    known: &BTreeMap<ProjectId, Known>,
) -> Result<ConfigRead, (&'static str, String)> {
    let found = config::find::find(path).map_err(|e| ("cwd_missing", e.to_string()))?;
    let config = remembered.load(&found.config_path()).map_err(|e| ("config_invalid", e.render(None)))?;
    let cloned = found.repository.is_none() && config.workspace.repo_url.is_some();
    // What will be cloned is taken to have something to start from.
    let has_commit = cloned || found.repository.as_ref().is_some_and(|r| r.has_commit);
    let mode = checkout::mode(config.workspace.mode, config.workspace.strategy, has_commit);
    let place = inspect::inspect(&found.root).map_err(|e| ("cwd_missing", e.to_string()))?;
    let here = found.root.display().to_string();
    let failed = |e: crate::workspace::WorkspaceError| ("permission_denied", e.to_string());
    let stood_at = |id: ProjectId| known.get(&id).map(|k| Path::new(&k.path));
    project_id::keep_apart(&place, stood_at).map_err(failed)?;
    // A directory that was cleared and cloned anew goes on as the project it was.
    let before = known.iter().find(|(_, k)| !k.removed && k.path == here && k.key == config.project.key);
    let (project_uuid, _made) = project_id::ensure(&place, before.map(|(id, _)| *id)).map_err(failed)?;
    // The same id somewhere else that still stands and still says so: one of the two is a copy.
    let also_at = known
        .get(&project_uuid)
        .filter(|old| old.path != here && project_id::stands(Path::new(&old.path), project_uuid) == Some(true));
    let is_gone = |id: ProjectId, other: &Known| {
        let at_stake = id != project_uuid && !other.removed;
        let gone = || project_id::stands(Path::new(&other.path), id) == Some(false);
        at_stake && (other.path == here || (other.key == config.project.key && gone()))
    };
    let gone = known.iter().filter(|(id, other)| is_gone(**id, other)).map(|(id, _)| *id).collect();
    Ok(ConfigRead {
        path: here,
        project_uuid,
        git_common_dir: found.repository.as_ref().map(|r| r.common_dir.display().to_string()),
        repo_url: config.workspace.repo_url.clone().or_else(|| origin(&place)),
        also_at: also_at.map(|old| old.path.clone()),
        gone,
        config,
        mode,
    })
}

/// Url of a repository's `origin`, without the user and password that somebody may have put into it.
fn origin(place: &inspect::Place) -> Option<String> {
    let inspect::Place::Repository(repository) = place else { return None };
    repository.origin_url.as_deref().map(clone::without_secret)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use wharf_model::config::WorkspaceMode::{Isolated, Shared};

    use super::*;

    type Projects = BTreeMap<ProjectId, Known>;

    fn repository(top: &Path) -> git2::Repository {
        let git = git2::Repository::init(top).unwrap();
        fs::write(top.join("wharf.toml"), "[project]\nkey = \"SHOP\"\n").unwrap();
        git
    }

    fn look(path: &Path, known: &Projects) -> ConfigRead {
        read(&Remembered::default(), path, known).unwrap()
    }

    fn known(read: &ConfigRead) -> Projects {
        let key = read.config.project.key.clone();
        BTreeMap::from([(read.project_uuid, Known { path: read.path.clone(), key, removed: false })])
    }

    #[test]
    fn a_directory_that_is_cloned_anew_goes_on_as_its_project() {
        let dir = tempfile::tempdir().unwrap();
        let shop = dir.path().join("shop");
        repository(&shop);
        let first = look(&shop, &BTreeMap::new());
        fs::remove_dir_all(&shop).unwrap();
        repository(&shop);
        let again = look(&shop, &known(&first));
        assert_eq!((again.project_uuid, again.gone.len()), (first.project_uuid, 0));
        // With another key it is another project, and nothing is left of the one before.
        fs::remove_dir_all(&shop).unwrap();
        repository(&shop);
        fs::write(shop.join("wharf.toml"), "[project]\nkey = \"STORE\"\n").unwrap();
        let other = look(&shop, &known(&first));
        assert_ne!(other.project_uuid, first.project_uuid);
        assert_eq!(other.gone, [first.project_uuid]);
    }

    #[test]
    fn only_a_project_that_is_gone_gives_its_key_up() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        repository(&old);
        repository(&new);
        let first = look(&old, &BTreeMap::new());
        assert_eq!(look(&new, &known(&first)).gone, []);
        fs::remove_dir_all(&old).unwrap();
        assert_eq!(look(&new, &known(&first)).gone, [first.project_uuid]);
        // Moved, it is the same, and nothing is gone.
        fs::rename(&new, &old).unwrap();
        let there = look(&old, &BTreeMap::new());
        fs::rename(&old, &new).unwrap();
        let moved = look(&new, &known(&there));
        assert_eq!((moved.project_uuid, moved.also_at, moved.gone.len()), (there.project_uuid, None, 0));
    }

    #[test]
    fn a_first_commit_changes_the_mode_and_not_what_was_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let git = repository(dir.path());
        let before = look(dir.path(), &BTreeMap::new());
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        let tree = git.find_tree(git.index().unwrap().write_tree().unwrap()).unwrap();
        git.commit(Some("HEAD"), &who, &who, "first", &tree, &[]).unwrap();
        let after = look(dir.path(), &BTreeMap::new());
        assert_eq!((before.mode, after.mode), (Shared, Isolated));
        assert_eq!(before.executable_hash(), after.executable_hash());
    }
}
