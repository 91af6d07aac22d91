//! `wharf workspace …`: what becomes of workspaces after their runs. `wharf workspaces --reap` archives those of
//! finished issues.

mod archive;
mod check;
mod job;
mod keep;
mod reap;

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::{Args, Subcommand};
use wharf_model::{Kind, SnapshotRow, WorkspaceId};
use wharf_store::Reader;
use wharf_store::view::EntityKind;

use super::context::{Context, say};
use super::error::{CliError, Result, exit};
use super::logs::named_one;

pub use reap::{ReapArgs, reap};

/// `wharf workspace …`
#[derive(Debug, Clone, Subcommand)]
pub enum WorkspaceCommand {
    /// Show one workspace: why it is as it is, its operations, what is kept of it
    #[command(after_help = "Example:\n  wharf workspace show W-7")]
    Show(ShowArgs),
    /// Archive workspaces: their commands, a snapshot of all of it, then the directory into the trash beside it
    #[command(after_help = "Example:\n  wharf workspace archive W-7 --dry-run\n\n\
        Everything is kept as long as [retention] in the user's own file says, and wharf workspace restore brings it\n\
        back until then. What blocks is told and ends with 4; without a terminal --yes is needed, else it ends with 9.")]
    Archive(archive::ArchiveArgs),
    /// Keep the state of a workspace as a commit under a private ref, whoever works in it
    #[command(after_help = "Example:\n  wharf workspace snapshot W-7 --reason 'before the rebase'")]
    Snapshot(keep::SnapshotArgs),
    /// Bring an archived workspace back, or put a snapshot into one that is there
    #[command(after_help = "Example:\n  wharf workspace restore W-7\n  wharf workspace restore W-7.2\n  \
        wharf workspace restore W-7 --trash 9f3a61c2\n\n\
        What is there before a snapshot is put into it is kept as a snapshot of its own. That is asked about: without\n\
        a terminal --yes is needed, else it ends with 9.")]
    Restore(keep::RestoreArgs),
    /// Run a job of the project's wharf.toml in a workspace, or stop one that runs
    #[command(after_help = "Example:\n  wharf workspace job W-7 migrate\n  wharf workspace job W-7 migrate --stop\n\n\
        The exit code is the job's own; 128+n when signal n killed it, 124 after its time limit, 130 when somebody\n\
        stopped it, 125 when it could not be run. Its output is kept: wharf logs O-12")]
    Job(job::JobArgs),
}

/// Options of `wharf workspace show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The workspace: W-7, its id or a part of it
    pub workspace: String,
}

/// Which workspaces, and how they are asked about.
#[derive(Debug, Clone, Args)]
pub struct Asked {
    /// Only say what it would do
    #[arg(long)]
    pub dry_run: bool,
    /// Do it without asking
    #[arg(long, short, conflicts_with = "dry_run")]
    pub yes: bool,
}

/// Carries out one of them.
pub fn workspace(context: &Context, command: &WorkspaceCommand) -> Result<u8> {
    match command {
        WorkspaceCommand::Show(args) => {
            let reader = context.reader_for(&args.workspace)?;
            super::show::workspace(context, &reader, named(&reader, &args.workspace)?)
        }
        WorkspaceCommand::Archive(args) => archive::archive(context, args),
        WorkspaceCommand::Snapshot(args) => keep::snapshot(context, args),
        WorkspaceCommand::Restore(args) => keep::restore(context, args),
        WorkspaceCommand::Job(args) => job::job(context, args),
    }
}

/// The workspace that was named.
fn named(reader: &Reader, text: &str) -> Result<WorkspaceId> {
    Ok(WorkspaceId(named_one(reader, text, EntityKind::Workspace)?.id))
}

/// The workspace that was named, and one of its snapshots where the name has a second part: `W-7.2`.
fn named_snapshot(reader: &Reader, text: &str) -> Result<(WorkspaceId, Option<SnapshotRow>)> {
    let Some((of, ordinal)) = text.split_once('.') else { return Ok((named(reader, text)?, None)) };
    let id = named(reader, of)?;
    let all = reader.kept_snapshots(id)?;
    let wanted = ordinal.parse::<i64>().ok();
    match all.iter().find(|s| Some(s.ordinal) == wanted) {
        Some(found) => Ok((id, Some(found.clone()))),
        None => {
            let number = reader.workspace(id)?.map_or(0, |w| w.workspace.number);
            let names: Vec<String> =
                all.iter().map(|s| format!("{}.{}", Kind::Workspace.number(number), s.ordinal)).collect();
            let cause = if names.is_empty() {
                "no snapshot of it is kept".to_owned()
            } else {
                format!("kept are {}", names.join(", "))
            };
            Err(CliError::new(exit::NOT_FOUND, "id_unknown", format!("{text} names no snapshot"))
                .cause(cause)
                .entity(text))
        }
    }
}

/// Asks on a terminal; elsewhere says that `--yes` is needed. What is asked about was shown before.
pub fn confirm(context: &Context, question: &str, what: &str, again: &str) -> Result<()> {
    let not = |message: String, cause: &str| {
        CliError::new(exit::NOT_CONFIRMED, "not_confirmed", message).cause(cause).next(again.to_owned()).entity(what)
    };
    if context.global.json {
        return Err(not(format!("{what} stays as it is"), "nobody confirmed it"));
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(not(format!("{what} stays as it is"), "there is no terminal to ask on"));
    }
    let mut err = std::io::stderr().lock();
    // A question that cannot be shown is answered with no.
    let asked = write!(err, "{question} [y/N] ").and_then(|()| err.flush());
    drop(err);
    let mut answer = String::new();
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(not(format!("{what} stays as it is"), "the answer was no"))
}

/// Says what is no data, tidied for the terminal.
fn tell(context: &Context, text: &str) {
    for line in text.lines() {
        say(&super::table::tidy(line, context.global.ascii));
    }
}
