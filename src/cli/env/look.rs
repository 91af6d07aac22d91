//! `wharf env probe` and `wharf env test`.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};
use wharf_model::{Driver, RequestRow, RequestStatus};
use wharf_store::Reader;
use wharf_ui::format;
use wharf_ui::glyph::Class;

use super::doc::ProbeDoc;
use super::settings::{SettingsArgs, judge};
use super::{company, edit, named};
use crate::cli::context::{Context, print};
use crate::cli::desk::{Ask, Desk};
use crate::cli::error::{CliError, Result, exit};
use crate::cli::project::find_here;
use crate::cli::table::{sgr, tidy};

/// Help of `wharf env probe`.
pub const HELP_PROBE: &str = "Example:\n  wharf env probe box-1\n  wharf env probe --driver ssh --set host=box-2\n\n\
    The exit code is 8 when something stands in the way. What is seen of an environment that is saved is kept.";
/// Time that a probe is waited for: a little more than it may take.
const PROBE_LIMIT: Duration = Duration::from_secs(150);
/// Time that a test, with its place, is waited for.
const TEST_LIMIT: Duration = Duration::from_mins(16);

/// Options of `wharf env probe`.
#[derive(Debug, Clone, Args)]
pub struct ProbeArgs {
    /// Its name in the company, E-2, its id or a part of it
    #[arg(value_name = "ENVIRONMENT", required_unless_present = "driver", conflicts_with_all = ["driver", "set", "config"])]
    pub environment: Option<String>,
    /// Look at settings of this driver that are not saved
    #[arg(long, value_name = "DRIVER", value_parser = ["local", "ssh", "sandbox", "plugin"])]
    pub driver: Option<String>,
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Options of `wharf env test`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Its name in the company, E-2, its id or a part of it
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: String,
    /// The agent of the current project, or an agent's id
    #[arg(long, value_name = "AGENT", required_unless_present = "adapter", conflicts_with = "adapter")]
    pub agent: Option<String>,
    /// An adapter alone, such as process
    #[arg(long, value_name = "ADAPTER")]
    pub adapter: Option<String>,
}

/// The store, where there is one: the first look at an environment makes it.
fn store(context: &Context) -> Option<Reader> {
    Reader::open(&context.data).ok()
}

/// What a request about an environment names: the row where it is known, else its name.
fn target(context: &Context, text: &str) -> Result<(Option<String>, String)> {
    let reader = store(context);
    // The company's own is made when it is first named.
    if text == "Local" {
        return Ok((Some(text.to_owned()), company(context, reader.as_ref())?));
    }
    let Some(reader) = reader else { return Err(context.reader_for(text).err().unwrap_or_else(|| missing(text))) };
    let (company, item) = named(context, &reader, text)?;
    Ok((Some(item.environment.id.text()), company))
}

fn missing(text: &str) -> CliError {
    CliError::new(exit::NOT_FOUND, "environment_not_found", format!("no environment is called {text}")).entity(text)
}

/// Looks at an environment.
pub fn probe(context: &Context, args: &ProbeArgs) -> Result<u8> {
    let mut asked = Map::new();
    let (target_id, company, what) = match (&args.environment, &args.driver) {
        (Some(text), _) => {
            let (target, company) = target(context, text)?;
            (target, company, text.clone())
        }
        (None, driver) => {
            let driver = driver.clone().unwrap_or_default();
            let what = format!("what is given of driver {driver}");
            let config = args.settings.read(&Map::new())?;
            judge(Driver::parse(&driver).unwrap_or(Driver::Local), &Map::new(), &config, &what)?;
            asked.insert("driver".into(), json!(driver));
            asked.insert("config".into(), Value::Object(config));
            edit::base(&mut asked);
            let company = company(context, store(context).as_ref())?;
            (None, company, what)
        }
    };
    asked.insert("company".into(), json!(company));
    let row = ask(context, "environment.probe", target_id, asked, PROBE_LIMIT, &what)?;
    let result = row.result.clone().unwrap_or_default();
    if row.status != RequestStatus::Done && !result["checks"].is_array() {
        return Err(CliError::answer(row.error_code.as_deref(), row.error.as_deref()).entity(what));
    }
    let probe = ProbeDoc::new(&result);
    let ok = result["ok"].as_bool() == Some(true);
    if context.global.json {
        context.document(&json!({
            "schema": "wharf.environment_probe/1", "environment": result["environment"], "name": result["name"],
            "saved": args.environment.is_some(), "probe": probe,
        }))?;
    } else {
        let title = match result["environment"].as_str() {
            Some(number) => format!("{number} {}", result["name"].as_str().unwrap_or_default()),
            None => what,
        };
        print_checks(context, &title, &result)?;
    }
    Ok(if ok { exit::DONE } else { exit::THING_FAILED })
}

/// Tries an agent in an environment.
pub fn test(context: &Context, args: &TestArgs) -> Result<u8> {
    let (target_id, company) = target(context, &args.environment)?;
    let mut asked = Map::new();
    asked.insert("company".into(), json!(company));
    if let Some(agent) = &args.agent {
        asked.insert("agent".into(), json!(agent_id(context, agent)?));
    }
    if let Some(adapter) = &args.adapter {
        asked.insert("adapter".into(), json!(adapter));
    }
    let row = ask(context, "environment.test", target_id, asked, TEST_LIMIT, &args.environment)?;
    let result = row.result.clone().unwrap_or_default();
    if row.status != RequestStatus::Done && !result["checks"].is_array() {
        return Err(CliError::answer(row.error_code.as_deref(), row.error.as_deref())
            .entity(result["environment"].as_str().unwrap_or(&args.environment)));
    }
    let who = args.agent.as_deref().or(args.adapter.as_deref()).unwrap_or_default();
    if context.global.json {
        context.document(&json!({
            "schema": "wharf.environment_test/1", "environment": result["environment"], "name": result["name"],
            "agent": args.agent, "adapter": result["adapter"], "lease": result["lease"],
            "test": ProbeDoc::new(&result),
        }))?;
    } else {
        let title = format!(
            "{who} in {} {}, with {} for it",
            result["environment"].as_str().unwrap_or_default(),
            result["name"].as_str().unwrap_or_default(),
            result["lease"].as_str().unwrap_or_default(),
        );
        print_checks(context, &title, &result)?;
    }
    Ok(if row.status == RequestStatus::Done { exit::DONE } else { exit::THING_FAILED })
}

/// The agent that is meant: of the current project by name, else as it was given.
fn agent_id(context: &Context, text: &str) -> Result<String> {
    let Some(reader) = store(context) else { return Ok(text.to_owned()) };
    let Ok(found) = find_here(context) else { return Ok(text.to_owned()) };
    let project = reader.project_at(&found.root.display().to_string())?;
    let agent = match project {
        Some(project) => reader.agent_named(project.id, text)?,
        None => None,
    };
    Ok(agent.map_or_else(|| text.to_owned(), |a| a.id.text()))
}

/// Asks, and waits until it has ended, well or not.
fn ask(
    context: &Context,
    kind: &'static str,
    target_id: Option<String>,
    args: Map<String, Value>,
    limit: Duration,
    what: &str,
) -> Result<RequestRow> {
    let mut desk = Desk::open(context)?;
    let ask = Ask { kind, target_type: "environment", target_id, args: Value::Object(args), expect: None };
    let row = desk.ask_whole(ask)?;
    let ended = if row.status.is_terminal() { Some(row) } else { desk.ended(&row, limit)? };
    desk.close();
    ended.ok_or_else(|| {
        CliError::new(exit::NO_ANSWER, "timeout", format!("{what} did not answer in time"))
            .next("wharf activity 'kind:environment.*'")
    })
}

/// The checks, one a line, with what to do about those that are not as they should be.
pub fn print_checks(context: &Context, title: &str, probe: &Value) -> Result<()> {
    let checks = probe["checks"].as_array().cloned().unwrap_or_default();
    let took = probe["took_ms"].as_i64().map_or_else(String::new, |ms| format!(" in {}", format::fine(ms)));
    let all = checks.len() as u64;
    let mut out = tidy(&format!("{title}: {}{took}", format::plural(all, "check")), context.global.ascii) + "\n";
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let widest = checks.iter().map(|c| wharf_ui::text::width(&text(c, "code"))).max().unwrap_or(0).max(4);
    for check in &checks {
        let class = match check["level"].as_str() {
            Some("ok") => Class::Good,
            Some("warn") => Class::NeedsPerson,
            _ => Class::Bad,
        };
        let glyph = tidy(class.glyph(), context.global.ascii);
        let glyph = if context.colour() { format!("\u{1b}[{}m{glyph}\u{1b}[0m", sgr(class)) } else { glyph };
        let code = tidy(&text(check, "code"), context.global.ascii);
        let message = tidy(&text(check, "message").replace(['\n', '\r'], " "), context.global.ascii);
        out.push_str(&format!("{glyph} {code:<widest$}   {message}\n"));
        if let Some(hint) = check["hint"].as_str() {
            out.push_str(&format!("  {:<widest$}   {}\n", "hint", tidy(hint, context.global.ascii)));
        }
    }
    print(out.as_bytes())
}
