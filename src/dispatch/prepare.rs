//! Reading what a request needs beside the loop: a project's config, what may be removed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wharf_model::config::Retention;
use wharf_model::rules::checkout;
use wharf_model::{ProjectId, RequestKind, RequestRow};
use wharf_store::Reader;

use super::event_loop::Prepare;
use super::input::{ConfigRead, Known, Prepared};
use crate::clock;
use crate::config::{self, Overrides, Remembered};
use crate::gc::plan;
use crate::workspace::{inspect, project_id};

/// Reads files of projects and of the data directory.
#[derive(Debug)]
pub struct ReadFiles {
    data: PathBuf,
    remembered: Remembered,
}

impl Prepare for ReadFiles {
    fn prepare(&self, row: &RequestRow, known: &BTreeMap<ProjectId, Known>) -> Prepared {
        if RequestKind::parse(&row.kind) == Some(RequestKind::GcRun) {
            return removable(&self.data);
        }
        let Some(path) = row.args.get("path").and_then(Value::as_str) else { return Prepared::Nothing };
        match read(&self.remembered, Path::new(path), known) {
            Ok(read) => Prepared::Config(Box::new(read)),
            Err((code, message)) => Prepared::Failed { code: code.to_owned(), message },
        }
    }
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
    let has_commit = found.repository.as_ref().is_some_and(|r| r.has_commit);
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
        also_at: also_at.map(|old| old.path.clone()),
        gone,
        config,
        mode,
    })
}
