//! `wharf shell`: an interactive shell where a run works.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use wharf_model::{Kind, RunId, WorkspaceId, WorkspaceRow};
use wharf_store::view::EntityKind;

use super::context::Context;
use super::error::{CliError, Result, exit};
use super::logs::parse_name;

/// Options of `wharf shell`.
#[derive(Debug, Clone, Args)]
pub struct ShellArgs {
    /// A run or a workspace: R-12, W-9, an id or a part of one
    pub id: String,
}

/// Becomes a shell.
pub fn shell(context: &Context, args: &ShellArgs) -> Result<u8> {
    let reader = context.reader_for(&args.id)?;
    let found = reader.resolve(&parse_name(&args.id)?, None)?;
    let mut variables: Vec<(&str, String)> = Vec::new();
    let workspace: Option<WorkspaceRow> = match found.kind {
        EntityKind::Workspace => reader.workspace(WorkspaceId(found.id))?.map(|w| w.workspace),
        EntityKind::Run => {
            let detail = reader.run_detail(RunId(found.id))?;
            if let Some(detail) = &detail {
                variables.push(("WHARF_RUN_ID", detail.run.id.text()));
                variables.push(("WHARF_RUN_NUMBER", Kind::Run.number(detail.run.number)));
                variables.push(("WHARF_AGENT_NAME", detail.line.agent.clone().unwrap_or_default()));
                if let Some(issue) = &detail.line.issue {
                    variables.push(("WHARF_ISSUE_IDENTIFIER", issue.clone()));
                }
            }
            detail.and_then(|d| d.workspace)
        }
        other => {
            return Err(CliError::usage(format!(
                "{} is a {other}; a shell opens in a run or a workspace",
                found.label
            ))
            .next("wharf workspaces")
            .entity(found.label));
        }
    };
    let Some(workspace) = workspace else {
        return Err(CliError::new(exit::REFUSED, "illegal_state", format!("{} has no workspace", found.label))
            .cause("none was realised for it")
            .entity(found.label));
    };
    let number = Kind::Workspace.number(workspace.number);
    let Some(directory) = workspace.cwd.clone().map(PathBuf::from).filter(|d| d.is_dir()) else {
        return Err(CliError::new(exit::REFUSED, "cwd_missing", format!("{number} has no directory here any more"))
            .cause(workspace.cwd.map_or_else(|| format!("it is {}", workspace.status), |cwd| format!("{cwd} is gone")))
            .next("wharf workspaces")
            .entity(number));
    };
    variables.push(("WHARF_WORKSPACE_ID", workspace.id.text()));
    variables.push(("WHARF_WORKSPACE_CWD", directory.display().to_string()));
    variables.push(("WHARF_DATA_DIR", context.data.display().to_string()));
    if let Some(branch) = &workspace.branch_name {
        variables.push(("WHARF_WORKSPACE_BRANCH", branch.clone()));
    }
    if let Some(project) = reader.project(workspace.project_id)? {
        variables.push(("WHARF_PROJECT_ID", project.id.text()));
        variables.push(("WHARF_PROJECT_KEY", project.key));
    }
    drop(reader);
    let shell = std::env::var_os("SHELL").filter(|s| !s.is_empty()).unwrap_or_else(|| "/bin/sh".into());
    context.remark(&format!("{number} in {}; exit comes back", directory.display()));
    // Only comes back when it fails.
    let error = Command::new(&shell).current_dir(&directory).envs(variables).exec();
    let code = if error.kind() == std::io::ErrorKind::NotFound { "command_not_found" } else { "exec_failed" };
    Err(CliError::new(exit::INTERNAL, code, format!("{} cannot be started", shell.display()))
        .cause(error.to_string())
        .next("set SHELL to a shell that is there"))
}
