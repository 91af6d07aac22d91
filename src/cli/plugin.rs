//! `wharf plugin`: what the author of a plugin needs.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;
use wharf_ui::glyph::Class;

use super::context::{Context, print};
use super::error::{CliError, Result, exit};
use super::signals::{Caught, Signals};
use super::table::{Cell, Table};
use crate::environment::driver::{Check, Level};
use crate::environment::plugin::check::{self, Plan};
use crate::environment::plugin::process::Launch;
use crate::environment::secrets;

/// What is done with plugins.
#[derive(Debug, Clone, Subcommand)]
pub enum PluginCommand {
    /// Try every call of the protocol on a plugin
    #[command(after_help = "Example:\n  wharf plugin check ./my-plugin --config '{\"size\": \"small\"}'\n\n\
        It obtains a place, runs commands in it and gives it back, so it costs what that costs. Exit code 8 when\n\
        something is wrong.")]
    Check(CheckArgs),
    /// Print the protocol that plugins speak
    #[command(after_help = "Example:\n  wharf plugin protocol | less")]
    Protocol,
    /// Print a whole plugin in Python, to begin with
    #[command(after_help = "Example:\n  wharf plugin example > my-plugin && chmod +x my-plugin")]
    Example,
}

/// Carries out what is asked.
pub fn plugin(context: &Context, command: &PluginCommand) -> Result<u8> {
    match command {
        PluginCommand::Check(args) => return check(context, args),
        PluginCommand::Protocol => print(include_bytes!("../../assets/plugins/PROTOCOL.md"))?,
        PluginCommand::Example => print(include_bytes!("../../assets/plugins/places.py"))?,
    }
    Ok(exit::DONE)
}

/// Options of `wharf plugin check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The plugin, and its arguments after `--`
    #[arg(required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Which of its drivers; its only one when it is not given
    #[arg(long, value_name = "KEY")]
    pub driver: Option<String>,
    /// Its config, as JSON; values may be secret references such as {"env": "TOKEN"}
    #[arg(long, value_name = "JSON")]
    pub config: Option<String>,
    /// Seconds that each call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    command: String,
    checks: &'a [Check],
    ok: usize,
    warnings: usize,
    errors: usize,
}

/// Tries it out and prints what was found.
fn check(context: &Context, args: &CheckArgs) -> Result<u8> {
    let unforeseen = |e: std::io::Error| CliError::internal("the check cannot be prepared").cause(e.to_string());
    let here = std::env::current_dir().map_err(unforeseen)?;
    let config: Value = match &args.config {
        None => Value::Object(serde_json::Map::new()),
        Some(text) => serde_json::from_str(text)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| CliError::usage("--config is no JSON object").next("--config '{\"key\": \"value\"}'"))?,
    };
    let operator =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
    let secrets = secrets::resolve(&config, &operator, &here).map_err(|why| {
        CliError::new(exit::CONFIG, "secret_missing", "the config's secrets cannot be read").cause(why.to_string())
    })?;
    let place = Place::new().map_err(unforeseen)?;
    let driver = args.driver.clone();
    let plan = Plan {
        launch: Launch::new(&args.command, &here, &operator, driver.as_deref().unwrap_or_default()),
        driver,
        secrets,
        state: place.0.join("state"),
        project: place.0.join("project"),
        timeout: Duration::from_secs(args.timeout),
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(unforeseen)?;
    let (checks, caught) = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let mut caught = None;
        let checks = check::run(plan, async { caught = Some(signals.next(false).await) }).await;
        Ok::<_, CliError>((checks, caught))
    })?;
    drop(runtime);
    report(context, args, &checks).map(|code| caught.map_or(code, Caught::code))
}

fn report(context: &Context, args: &CheckArgs, checks: &[Check]) -> Result<u8> {
    let count = |level| checks.iter().filter(|c| c.level == level).count();
    let (ok, warnings, errors) = (count(Level::Ok), count(Level::Warn), count(Level::Error));
    if context.global.json {
        let command = args.command.join(" ");
        context.document(&Document { schema: "wharf.plugin_check/1", command, checks, ok, warnings, errors })?;
    } else {
        let mut table = Table::new(&["CHECK", "RESULT", "FOUND", "HINT"]);
        for check in checks {
            let state = match check.level {
                Level::Ok => Cell::state(Class::Good, "ok"),
                Level::Warn => Cell::state(Class::NeedsPerson, "warn"),
                Level::Error => Cell::state(Class::Bad, "error"),
            };
            table.row(vec![
                Cell::text(&check.code),
                state,
                Cell::text(&check.message),
                Cell::text(check.hint.clone().unwrap_or_default()),
            ]);
        }
        table.print(context, true)?;
        let end = if errors > 0 { "; exit code 8" } else { "" };
        context.remark(&format!("{} checks: {ok} ok, {warnings} warnings, {errors} errors{end}", checks.len()));
    }
    Ok(if errors > 0 { exit::THING_FAILED } else { exit::DONE })
}

/// A directory for the time of the check.
struct Place(std::path::PathBuf);

impl Place {
    fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let name = format!("wharf-plugin-check-{}", uuid::Uuid::now_v7().simple());
        let place = Self(std::env::temp_dir().canonicalize()?.join(name));
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700).create(&place.0)?;
        builder.create(place.0.join("state"))?;
        builder.create(place.0.join("project"))?;
        std::fs::write(place.0.join("project/README"), "A project for the time of a check.\n")?;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _left = crate::environment::sandbox::tree::remove_tree(&self.0);
    }
}
