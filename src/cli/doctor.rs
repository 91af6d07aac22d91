//! `wharf doctor`: looks at everything wharf stands on, and says what to do about what is wrong.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;
use wharf_store::{Access, Store, StoreError};
use wharf_ui::format;
use wharf_ui::glyph::Class;

use super::context::{Context, print};
use super::error::{Result, exit};
use super::project::find_here;
use super::table::{sgr, tidy};
use crate::config::{Overrides, load_project, load_user, user_config_path};
use crate::dispatch::election;
use crate::dispatch::take_over::Seat;

/// Free space below which runs may soon stop at a full disk.
const LITTLE_SPACE: u64 = 1_000_000_000;
/// Oldest git whose worktree commands do what is needed.
const GIT_NEEDED: (u32, u32) = (2, 31);

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
    name: &'static str,
    level: Level,
    message: String,
    hint: Option<String>,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, level: Level::Ok, message: message.into(), hint: None }
    }
    fn warning(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, level: Level::Warning, message: message.into(), hint: Some(hint.into()) }
    }
    fn failed(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, level: Level::Failed, message: message.into(), hint: Some(hint.into()) }
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

/// Makes all checks and prints them.
pub fn doctor(context: &Context) -> Result<u8> {
    let mut checks = vec![data_directory(&context.data)];
    checks.push(store(&context.data));
    checks.push(orchestrator(&context.data));
    checks.extend(leftovers(&context.data));
    checks.push(processes());
    checks.push(session());
    checks.push(git());
    checks.push(user_config());
    checks.push(project(context));
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

fn data_directory(data: &Path) -> Check {
    let name = "data directory";
    // What is not there yet will be made; its parent decides where.
    let mut nearest: &Path = data;
    while !nearest.exists() {
        match nearest.parent() {
            Some(parent) => nearest = parent,
            None => return Check::failed(name, format!("{} cannot be made", data.display()), "set WHARF_DATA_DIR"),
        }
    }
    let writable = rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    if let Err(error) = writable {
        return Check::failed(
            name,
            format!("{} cannot be written: {error}", nearest.display()),
            "make it writable for this user, or set WHARF_DATA_DIR",
        );
    }
    let free = rustix::fs::statvfs(nearest).map(|s| s.f_bavail.saturating_mul(s.f_frsize));
    match free {
        Ok(free) if free < LITTLE_SPACE => Check::warning(
            name,
            format!("{}, only {} free", data.display(), format::size(free)),
            "free some space: a full disk stops runs",
        ),
        Ok(free) => Check::ok(name, format!("{}, {} free", data.display(), format::size(free))),
        Err(error) => Check::failed(name, format!("{}: {error}", data.display()), "set WHARF_DATA_DIR to a local disk"),
    }
}

fn store(data: &Path) -> Check {
    let name = "store";
    match Store::open(data, Access::ReadOnly) {
        Ok(store) => match store.quick_check() {
            Ok(()) => Check::ok(name, "sound"),
            Err(error) => store_failed(name, &error),
        },
        Err(StoreError::Missing { .. }) => Check::ok(name, "none yet; the first run makes it"),
        Err(error) => store_failed(name, &error),
    }
}

fn store_failed(name: &'static str, error: &StoreError) -> Check {
    let all = error.to_string();
    match all.split_once("; ") {
        Some((message, hint)) => Check::failed(name, message, hint),
        None => Check::failed(name, all, "wharf --version, and the log in the data directory"),
    }
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

/// Links to shims that the store knows nothing of (contracts 6.5).
fn leftovers(data: &Path) -> Option<Check> {
    let entries = std::fs::read_dir(data.join("live")).ok()?;
    let reader = wharf_store::Reader::open(data).ok()?;
    let mut unknown = Vec::new();
    for entry in entries.take(10_000).flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((kind, rest)) = name.split_once('-') else { continue };
        let Some(id) = rest.get(..36).and_then(|id| uuid::Uuid::parse_str(id).ok()) else { continue };
        let known = reader.resolve(&wharf_model::Named::Whole(id), None).is_ok();
        if !known {
            unknown.push(format!("{kind} {id}"));
        }
    }
    (!unknown.is_empty()).then(|| {
        Check::warning(
            "leftovers",
            format!("{} shims in live/ that the store does not know: {}", unknown.len(), unknown.join(", ")),
            "look at their directories; they are never stopped by themselves",
        )
    })
}

fn processes() -> Check {
    let name = "processes";
    let mut missing = Vec::new();
    let me = rustix::process::getpid();
    if rustix::process::pidfd_open(me, rustix::process::PidfdFlags::empty()).is_err() {
        missing.push("pidfd (Linux 5.3)");
    }
    if rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC).is_err() {
        missing.push("inotify (fs.inotify.max_user_instances may be used up)");
    }
    if crate::process::identity::boot_id().is_err() || crate::process::identity::this_process().is_err() {
        missing.push("/proc");
    }
    if missing.is_empty() {
        Check::ok(name, "pidfd, inotify, /proc")
    } else {
        Check::failed(name, format!("missing: {}", missing.join(", ")), "wharf needs Linux 5.3 or later with /proc")
    }
}

/// Whether the end of the login would end runs too.
fn session() -> Check {
    use crate::session::{Logout, Why};
    let name = "session";
    let hint = "loginctl enable-linger, or run wharf as a service of its own: wharf serve --print-unit";
    match crate::session::look() {
        it @ (Logout::GoOn(_) | Logout::Ends(Why::Container)) => Check::ok(name, it.words()),
        it @ Logout::Ends(Why::FirstProcess) => {
            Check::warning(name, it.words(), "start wharf under an init process of the container")
        }
        it @ (Logout::Ends(_) | Logout::Unknown) => Check::warning(name, it.words(), hint),
    }
}

fn git() -> Check {
    let name = "git";
    let hint = "install git 2.31 or later; without it runs share one directory";
    let output = Command::new("git").arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let text = match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(output) => return Check::failed(name, format!("git --version ended with {}", output.status), hint),
        Err(error) => return Check::failed(name, format!("cannot be started: {error}"), hint),
    };
    let version = text.strip_prefix("git version ").unwrap_or(&text).to_owned();
    match numbers(&version) {
        Some(found) if found < GIT_NEEDED => Check::warning(name, format!("{version} is old"), hint),
        _ => Check::ok(name, version),
    }
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(['.', ' ']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
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
            format!("{} {}, {} agents", loaded.config.project.key, loaded.path.display(), loaded.config.agents.len()),
        ),
        Err(errors) => Check::failed(name, errors.render(None), "wharf config check"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_git() {
        assert_eq!(numbers("2.43.0"), Some((2, 43)));
        assert_eq!(numbers("2.30.1 (Apple Git-130)"), Some((2, 30)));
        assert_eq!(numbers("unknown"), None);
    }
}
