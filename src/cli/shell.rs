//! `wharf shell`: an interactive shell where a run works, or would work with a lease.

mod attend;
mod place;
mod there;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use wharf_model::{Driver, Kind, LeaseId, RunId, WorkspaceId, WorkspaceRow};
use wharf_store::Reader;
use wharf_store::view::{EntityKind, RunDetail};

use super::context::Context;
use super::error::{CliError, Result, exit};
use super::logs::parse_name;

/// Options of `wharf shell`.
#[derive(Debug, Clone, Args)]
pub struct ShellArgs {
    /// A run, a workspace or a lease: R-12, W-9, L-4, an id or a part of one
    pub id: String,
    /// Exit with 0 whatever the shell's own code is, once it was opened
    #[arg(long, hide = true)]
    pub ignore_status: bool,
}

/// Becomes a shell.
pub fn shell(context: &Context, args: &ShellArgs) -> Result<u8> {
    let code = open(context, args)?;
    Ok(if args.ignore_status { exit::DONE } else { code })
}

/// Refuses where a run has no place of its own yet: a shell on this machine would not be where it works.
fn beside(reader: &Reader, detail: &RunDetail, number: &str) -> Result<()> {
    let Some(id) = detail.run.environment_id else { return Ok(()) };
    let item = reader.environment(id)?.filter(|e| e.environment.driver != Driver::Local);
    let Some(item) = item else { return Ok(()) };
    Err(CliError::new(exit::REFUSED, "illegal_state", format!("no shell can be opened where {number} works"))
        .cause(format!("it runs in {}, and holds no lease of it now", item.environment.name))
        .next(format!("wharf show {number}"))
        .entity(number))
}

fn open(context: &Context, args: &ShellArgs) -> Result<u8> {
    let reader = context.reader_for(&args.id)?;
    let found = reader.resolve(&parse_name(&args.id)?, None)?;
    let mut variables: Vec<(&str, String)> = Vec::new();
    let workspace: Option<WorkspaceRow> = match found.kind {
        EntityKind::Lease => return there::shell(context, &reader, LeaseId(found.id), &found.label),
        EntityKind::Workspace => reader.workspace(WorkspaceId(found.id))?.map(|w| w.workspace),
        EntityKind::Run => {
            let detail = reader.run_detail(RunId(found.id))?;
            // Where the run works, never on this machine in its stead.
            if let Some(lease) =
                detail.as_ref().and_then(|d| d.lease.as_ref()).filter(|l| l.driver != Some(Driver::Local))
            {
                return there::shell(context, &reader, lease.lease.id, &Kind::Lease.number(lease.lease.number));
            }
            if let Some(detail) = &detail {
                beside(&reader, detail, &found.label)?;
                variables.push(("WHARF_RUN_ID", detail.run.id.text()));
                variables.push(("WHARF_RUN_NUMBER", Kind::Run.number(detail.run.number)));
                variables.push(("WHARF_AGENT_NAME", detail.line.agent.clone().unwrap_or_default()));
                if let Some(issue) = &detail.line.issue {
                    variables.push(("WHARF_ISSUE_IDENTIFIER", issue.clone()));
                }
            }
            // A guest works where its session lies in the workspace.
            let guest_at = detail.as_ref().and_then(|d| crate::why::guest_at(&d.steps));
            detail.and_then(|d| d.workspace).map(|w| WorkspaceRow { cwd: guest_at.or(w.cwd), ..w })
        }
        other => {
            return Err(CliError::usage(format!(
                "{} is a {other}; a shell opens in a run, a workspace or a lease",
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
