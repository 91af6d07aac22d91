//! Reading a project's config for a request that needs it, beside the loop.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use wharf_model::config::WorkspaceMode;
use wharf_model::{ProjectId, RequestRow};

use super::event_loop::Prepare;
use super::input::{ConfigRead, Prepared};
use crate::config::{self, Remembered};
use crate::workspace::{inspect, project_id};

/// Reads files of projects.
#[derive(Debug, Default)]
pub struct ReadConfig {
    remembered: Remembered,
}

impl Prepare for ReadConfig {
    fn prepare(&self, row: &RequestRow, known: &BTreeMap<ProjectId, String>) -> Prepared {
        let Some(path) = row.args.get("path").and_then(Value::as_str) else { return Prepared::Nothing };
        match self.read(Path::new(path), known) {
            Ok(read) => Prepared::Config(Box::new(read)),
            Err((code, message)) => Prepared::Failed { code: code.to_owned(), message },
        }
    }
}

impl ReadConfig {
    /// Reads the config of the project that `path` lies in.
    pub fn read(&self, path: &Path, known: &BTreeMap<ProjectId, String>) -> Result<ConfigRead, (&'static str, String)> {
        let found = config::find::find(path).map_err(|e| ("cwd_missing", e.to_string()))?;
        let mut config = self.remembered.load(&found.config_path()).map_err(|e| ("config_invalid", e.render(None)))?;
        if config.workspace.mode.is_none() {
            let worktrees = found.repository.as_ref().is_some_and(|r| r.has_commit);
            config.workspace.mode = Some(if worktrees { WorkspaceMode::Isolated } else { WorkspaceMode::Shared });
        }
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
}
