//! `wharf backup` and `wharf restore`: a whole copy of the store, and putting one back.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use wharf_store::StoreError;

use super::context::{Context, print};
use super::desk::{Ask, Desk};
use super::error::{CliError, Result, exit};
use super::vacant;

/// Longest time a backup may take before the command stops waiting for it.
const LIMIT: Duration = Duration::from_mins(10);

/// Options of `wharf backup`.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// File to write; else one in the data directory's backups, of which the newest are kept
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// Options of `wharf restore`.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Do it without asking
    #[arg(long, short)]
    pub yes: bool,
}

/// Copies the store of a living data directory.
pub fn backup(context: &Context, args: &BackupArgs) -> Result<u8> {
    let to = args.path.as_deref().map(target).transpose()?;
    // There is nothing to copy where there is no store; asking for it would make an empty one.
    context.store()?;
    let mut desk = Desk::open(context)?;
    let result = ask(&mut desk, to);
    desk.close();
    let result = result?;
    let path = result["path"].as_str().unwrap_or_default();
    if context.global.json {
        context.document(&json!({ "schema": "wharf.backup/1", "path": path, "bytes": result["bytes"] }))?;
    } else {
        print(format!("{path}\n").as_bytes())?;
        let bytes = result["bytes"].as_u64().unwrap_or(0);
        context.remark(&format!("{}, read through and whole", wharf_ui::format::size(bytes)));
    }
    Ok(exit::DONE)
}

fn ask(desk: &mut Desk, to: Option<String>) -> Result<Value> {
    let row = desk.ask(Ask {
        kind: "store.backup",
        target_type: "store",
        target_id: None,
        args: to.map_or_else(|| json!({}), |to| json!({ "to": to })),
        expect: None,
    })?;
    let number = row.number;
    match desk.finished(&row, LIMIT)? {
        Some(row) => Ok(row.result.unwrap_or_default()),
        None => Err(CliError::new(exit::NO_ANSWER, "orchestrator_absent", "the backup is not made in time")
            .entity(format!("Q-{number}"))
            .next(format!("wharf show Q-{number}"))),
    }
}

/// A file that is not there yet, in a directory that is.
fn target(path: &Path) -> Result<String> {
    let refused = |cause: &str| {
        CliError::new(exit::REFUSED, "illegal_state", format!("{}: no backup can be written here", path.display()))
            .cause(cause)
            .entity(path.display().to_string())
    };
    let path = std::path::absolute(path).map_err(|e| refused(&e.to_string()))?;
    if path.symlink_metadata().is_ok() {
        return Err(refused("something is there already, and a backup replaces nothing").next("name a new file"));
    }
    if !path.parent().is_some_and(Path::is_dir) {
        return Err(refused("its directory is not there").next("make the directory, or name another"));
    }
    path.to_str().map(str::to_owned).ok_or_else(|| refused("its name is no UTF-8").next("name another file"))
}

/// Puts a backup back.
pub fn restore(context: &Context, args: &RestoreArgs) -> Result<u8> {
    let file = std::path::absolute(&args.file).map_err(|e| CliError::usage(format!("{}: {e}", args.file.display())))?;
    if file.symlink_metadata().is_err() {
        return Err(CliError::new(exit::NOT_FOUND, "id_unknown", format!("{} is not there", file.display()))
            .next(format!("name a backup; those of this store are in {}", context.data.join("backups").display()))
            .entity(file.display().to_string()));
    }
    let unusable = |e| no_backup(context, &file, e);
    wharf_store::examine_backup(&context.data, &file).map_err(unusable)?;
    // Nothing is made in a place that has nothing, before it is certain that it is wanted.
    let is_new = !context.data.exists();
    if is_new && !args.yes {
        confirm(context, &file)?;
    }
    wharf_store::prepare_place(&context.data)?;
    let vacant = vacant::hold(context, &format!("wharf restore {}", file.display()))?;
    if !is_new && !args.yes {
        confirm(context, &file)?;
    }
    let restored =
        wharf_store::restore(&context.data, &file, &vacant.restoring(&crate::user::name())).map_err(unusable)?;
    drop(vacant);
    let aside = restored.aside.as_ref().map(|p| p.display().to_string());
    let newest = restored.newest.map(wharf_model::UnixMillis::rfc3339);
    if context.global.json {
        context.document(&json!({
            "schema": "wharf.restored/1",
            "from": file.display().to_string(),
            "runs": restored.runs,
            "newest": newest,
            "runs_lost": restored.runs_lost,
            "aside": aside,
        }))?;
        return Ok(exit::DONE);
    }
    print(format!("{}\n", context.data.join("wharf.db").display()).as_bytes())?;
    let mut lines = vec![format!(
        "put back with {} runs{}",
        restored.runs,
        newest.map(|at| format!(", the last change of {at}")).unwrap_or_default()
    )];
    if let Some(aside) = aside {
        lines.push(format!("the store it replaced is in {aside}"));
    }
    match restored.runs_lost {
        Some(0) => {}
        Some(lost) => lines.push(format!("{lost} runs are only in that one; their logs stay in the data directory")),
        None => lines.push("what it knew beyond the backup cannot be told: it could not be read".to_owned()),
    }
    lines.push("next:\n  wharf doctor".to_owned());
    context.remark(&lines.join("\n"));
    Ok(exit::DONE)
}

/// What is wrong with the backup is said of the backup: the store itself is as it was.
fn no_backup(context: &Context, file: &Path, error: StoreError) -> CliError {
    match error {
        StoreError::Damaged { path, cause } if path == file => {
            let message = format!("{} is no backup that can be put back: {cause}", file.display());
            CliError::new(exit::STORE, "store_damaged", message)
                .next(format!(
                    "name another one; those of this store are in {}",
                    context.data.join("backups").display()
                ))
                .entity(file.display().to_string())
        }
        other => other.into(),
    }
}

/// Asks on a terminal; elsewhere says that `--yes` is needed.
fn confirm(context: &Context, file: &Path) -> Result<()> {
    let error = |cause: &str| {
        CliError::new(exit::NOT_CONFIRMED, "not_confirmed", "the store is not replaced")
            .cause(cause)
            .next(format!("wharf restore {} --yes", file.display()))
    };
    if context.global.json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(error("restoring replaces the store, and nobody confirmed it"));
    }
    let mut err = std::io::stderr().lock();
    let question = format!("Replace the store in {} by {}? [y/N] ", context.data.display(), file.display());
    // A question that cannot be shown is answered with no.
    let asked = err.write_all(question.as_bytes()).and_then(|()| err.flush());
    drop(err);
    let mut answer = String::new();
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(error("the answer was no")) }
}
