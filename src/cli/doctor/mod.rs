//! `wharf doctor`: looks at everything wharf stands on, and says what to do about what is wrong.

mod environments;
mod files;
mod leases;
mod machine;
mod repair;
mod trash;

use std::path::Path;

use clap::Args;
use serde::Serialize;
use wharf_ui::glyph::Class;

use super::context::{Context, print};
use super::error::{Result, exit};
use super::project::find_here;
use super::table::{sgr, tidy};
use crate::config::{Overrides, load_project, load_user, user_config_path};
use crate::dispatch::election;
use crate::dispatch::take_over::Seat;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Ok,
    Warning,
    Failed,
}

/// One check.
#[derive(Debug, Clone, Serialize)]
struct Check {
    name: String,
    level: Level,
    message: String,
    hint: Option<String>,
}

impl Check {
    fn ok(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), level: Level::Ok, message: message.into(), hint: None }
    }
    fn warning(name: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name: name.into(), level: Level::Warning, message: message.into(), hint: Some(hint.into()) }
    }
    fn failed(name: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name: name.into(), level: Level::Failed, message: message.into(), hint: Some(hint.into()) }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    checks: &'a [Check],
    ok: usize,
    warnings: usize,
    failed: usize,
}

/// Options of `wharf doctor`.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Mend what can be mended, with a copy kept aside first
    #[arg(long)]
    pub repair: bool,
}

/// Makes all checks and prints them; mends first, where that was asked.
pub fn doctor(context: &Context, args: &DoctorArgs) -> Result<u8> {
    let data = &context.data;
    let mended = if args.repair { repair::repair(context)? } else { Vec::new() };
    let mut checks = mended;
    checks.push(files::data_directory(data));
    checks.push(files::store(data, args.repair));
    checks.extend(files::journal(data));
    checks.push(files::copies(data));
    checks.extend(files::tidiness(data));
    checks.push(orchestrator(data));
    checks.extend(files::leftovers(data));
    checks.extend(files::missing_shims(data));
    checks.extend(files::logs(data));
    checks.push(machine::processes());
    checks.push(machine::limits());
    let orchestrator = holder_pid(data);
    checks.push(machine::caps(orchestrator));
    checks.extend(machine::left_groups(data, orchestrator));
    checks.push(machine::session());
    checks.push(machine::git());
    checks.push(user_config());
    checks.push(project(context));
    checks.extend(environments::probes(data, is_orchestrated(data)));
    checks.extend(leases::waiting(data));
    checks.extend(trash::strays(data));
    let count = |level| checks.iter().filter(|c| c.level == level).count();
    let (ok, warnings, failed) = (count(Level::Ok), count(Level::Warning), count(Level::Failed));
    if context.global.json {
        context.document(&Document { schema: "wharf.doctor/1", checks: &checks, ok, warnings, failed })?;
    } else {
        let widest = checks.iter().map(|c| c.name.len()).max().unwrap_or(0).max(4);
        for check in &checks {
            let class = match check.level {
                Level::Ok => Class::Good,
                Level::Warning => Class::NeedsPerson,
                Level::Failed => Class::Bad,
            };
            let glyph = tidy(class.glyph(), context.global.ascii);
            let glyph = if context.colour() { format!("\u{1b}[{}m{glyph}\u{1b}[0m", sgr(class)) } else { glyph };
            let message = check.message.replace('\n', "\n      ");
            let message: Vec<String> = message.lines().map(|l| tidy(l, context.global.ascii)).collect();
            print(format!("{glyph} {:<widest$}   {}\n", check.name, message.join("\n")).as_bytes())?;
            if let Some(hint) = &check.hint {
                print(format!("  {:<widest$}   {}\n", "hint", tidy(hint, context.global.ascii)).as_bytes())?;
            }
        }
        let end = if failed > 0 { "; exit code 8" } else { "" };
        context.remark(&format!("{} checks: {ok} ok, {warnings} warnings, {failed} failed{end}", checks.len()));
    }
    Ok(if failed > 0 { exit::THING_FAILED } else { exit::DONE })
}

/// The orchestrator's process, where there is one: its runs are started where it is.
pub(super) fn holder_pid(data: &Path) -> Option<i32> {
    election::holder(data).ok().flatten().flatten().map(|holder| holder.pid)
}

/// Whether somebody orchestrates and does its work.
fn is_orchestrated(data: &Path) -> bool {
    matches!(election::holder(data), Ok(Some(Some(holder))) if Seat::of(Some(holder.clone())).is_healthy())
}

fn orchestrator(data: &Path) -> Check {
    let name = "orchestrator";
    match election::holder(data) {
        Ok(None) => Check::ok(name, "none; the next command that needs one becomes it"),
        Ok(Some(Some(holder))) => {
            let pid = holder.pid;
            let seat = Seat::of(Some(holder));
            if seat.is_healthy() {
                Check::ok(name, seat.words())
            } else {
                Check::failed(name, seat.words(), format!("kill -CONT {pid}, or take over: wharf serve --take-over"))
            }
        }
        Ok(Some(None)) => {
            Check::warning(name, "somebody holds the lock and does not say who", "fuser orchestrator.lock")
        }
        Err(error) => {
            Check::failed(name, format!("the lock cannot be looked at: {error}"), "look at the data directory")
        }
    }
}

fn user_config() -> Check {
    let name = "user config";
    let Some(path) = user_config_path(|name| std::env::var_os(name)) else {
        return Check::ok(name, "none; the defaults hold");
    };
    match load_user(Some(&path), &Overrides::default()) {
        Ok(_) if path.exists() => Check::ok(name, path.display().to_string()),
        Ok(_) => Check::ok(name, format!("none at {}; the defaults hold", path.display())),
        Err(errors) => Check::failed(name, errors.render(Some("the defaults hold meanwhile")), "fix the file"),
    }
}

fn project(context: &Context) -> Check {
    let name = "project";
    let found = match find_here(context) {
        Ok(found) => found,
        Err(error) => return Check::failed(name, error.message.clone(), "go to a directory of a project"),
    };
    if !found.has_config {
        return Check::ok(name, format!("none in {}; wharf init makes one", found.root.display()));
    }
    match load_project(&found.config_path(), &Overrides::default()) {
        Ok(loaded) => Check::ok(
            name,
            format!(
                "{} {}, {}",
                loaded.config.project.key,
                loaded.path.display(),
                wharf_ui::format::plural(loaded.config.agents.len() as u64, "agent")
            ),
        ),
        Err(errors) => Check::failed(name, errors.render(None), "wharf config check"),
    }
}
