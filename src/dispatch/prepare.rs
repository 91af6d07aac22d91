//! Reading what a request needs beside the loop: a project's config, what may be removed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wharf_model::config::{ProjectConfig, Retention, WorkspaceMode};
use wharf_model::{ProjectId, RequestKind, RequestRow};
use wharf_store::Reader;

use super::event_loop::Prepare;
use super::input::{ConfigRead, Prepared};
use crate::clock;
use crate::config::find::Found;
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
    fn prepare(&self, row: &RequestRow, known: &BTreeMap<ProjectId, String>) -> Prepared {
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

/// Puts in what a file leaves to the repository it lies in; hashes are those of a completed config.
pub fn complete(config: &mut ProjectConfig, found: &Found) {
    if config.workspace.mode.is_none() {
        let worktrees = found.repository.as_ref().is_some_and(|r| r.has_commit);
        config.workspace.mode = Some(if worktrees { WorkspaceMode::Isolated } else { WorkspaceMode::Shared });
    }
}

/// Reads the config of the project that `path` lies in.
///
/// # Errors
/// A code and words for the operator.
pub fn read(
    remembered: &Remembered,
    path: &Path,
    known: &BTreeMap<ProjectId, String>,
) -> Result<ConfigRead, (&'static str, String)> {
    let found = config::find::find(path).map_err(|e| ("cwd_missing", e.to_string()))?;
    let mut config = remembered.load(&found.config_path()).map_err(|e| ("config_invalid", e.render(None)))?;
    complete(&mut config, &found);
    let place = inspect::inspect(&found.root).map_err(|e| ("cwd_missing", e.to_string()))?;
    let (project_uuid, _made) = project_id::ensure(&place).map_err(|e| ("permission_denied", e.to_string()))?;
    let here = found.root.display().to_string();
    // The same id somewhere else that still stands and still says so: one of the two is a copy.
    let also_at = known.get(&project_uuid).filter(|old| **old != here).filter(|old| {
        inspect::inspect(Path::new(old.as_str()))
            .ok()
            .and_then(|place| project_id::read(&place).ok().flatten())
            .is_some_and(|id| id == project_uuid)
    });
    Ok(ConfigRead {
        path: here,
        project_uuid,
        git_common_dir: found.repository.as_ref().map(|r| r.common_dir.display().to_string()),
        also_at: also_at.cloned(),
        config,
    })
}
