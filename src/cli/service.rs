//! `wharf service start`, `stop`, `restart`, `desired`, `show`, `why` and `logs`.

mod desired;
mod many;
mod which;
mod why;

use which::Start;
pub use which::named;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use wharf_model::rules::service_restart::is_parked;
use wharf_model::{Kind, ServiceId, ServiceRow};
use wharf_store::view::ServiceItem;
use wharf_ui::format;

use super::context::{Context, print};
use super::desk::{Ask, Desk};
use super::docs::{ServiceDoc, service_state};
use super::error::{CliError, Result, exit};
use super::logs::{LogsArgs, print_log};
use super::signals::CUT_OFF;
use super::workspace::Asked;
use crate::dispatch::perform::shim_dir;

/// How long a start, with the services it needs, or a stop is waited for.
const LIMIT: Duration = Duration::from_mins(5);
/// Services looked through for a name.
const LOOKED_THROUGH: usize = 1_000;

/// `wharf service …`
#[derive(Debug, Clone, Subcommand)]
pub enum ServiceCommand {
    /// Start a service of the current project, after those it needs, and wait until it answers
    #[command(after_help = "Example:\n  wharf service start web\n  wharf service start --workspace W-7")]
    Start(VerbArgs),
    /// Stop a service and wait until it is gone
    #[command(
        after_help = "Example:\n  wharf service stop S-12\n  wharf service stop web --dry-run\n  wharf service stop db --with-dependents\n\n\
        Where runs use it or services need it, that is asked about: without a terminal --yes is needed, else it ends\n\
        with 9. Services that need it go on without it, unless --with-dependents stops them first."
    )]
    Stop(StopArgs),
    /// Stop a service, if it runs, and start it again; its restarts count anew
    #[command(after_help = "Example:\n  wharf service restart web")]
    Restart(VerbArgs),
    /// Say where a service is meant to be: running, stopped, or as it happens to be
    #[command(after_help = "Example:\n  wharf service desired web running")]
    Desired(desired::DesiredArgs),
    /// Show everything that is known of a service
    #[command(after_help = "Example:\n  wharf service show web")]
    Show(ServiceArgs),
    /// Say why a service is as it is, and what can be done
    #[command(after_help = "Example:\n  wharf service why web")]
    Why(ServiceArgs),
    /// Print what a service printed
    #[command(after_help = "Example:\n  wharf service logs web -f")]
    Logs(LogsArgs),
}

/// Which service.
#[derive(Debug, Clone, Args)]
pub struct ServiceArgs {
    /// Its name in the current project, S-2, its id or a part of it
    pub service: String,
}

/// Which service, or all of which workspace.
#[derive(Debug, Clone, Args)]
pub struct VerbArgs {
    /// Its name in the current project, S-2, its id or a part of it
    #[arg(required_unless_present = "workspace")]
    pub service: Option<String>,
    /// All services of this workspace, or the one that is named: W-7
    #[arg(long, value_name = "W-N")]
    pub workspace: Option<String>,
}

/// What is stopped.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    #[command(flatten)]
    which: VerbArgs,
    /// Stop those that need it first, in the reverse order of their start
    #[arg(long)]
    with_dependents: bool,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    service: ServiceDoc,
}

/// Carries out one of them.
pub fn service(context: &Context, command: &ServiceCommand) -> Result<u8> {
    match command {
        ServiceCommand::Start(args) => verb(context, args, "service.start"),
        ServiceCommand::Stop(args) => stop(context, args),
        ServiceCommand::Restart(args) => verb(context, args, "service.restart"),
        ServiceCommand::Desired(args) => desired::desired(context, args),
        ServiceCommand::Show(args) => {
            let reader = context.reader_for(&args.service)?;
            let item = named(context, &reader, &args.service)?;
            super::show::show(context, &super::show::ShowArgs { id: Kind::Service.number(item.service.number) })
        }
        ServiceCommand::Why(args) => why::why(context, &args.service),
        ServiceCommand::Logs(args) => logs(context, args),
    }
}

fn verb(context: &Context, args: &VerbArgs, kind: &'static str) -> Result<u8> {
    match (&args.workspace, &args.service) {
        (Some(workspace), name) => many::of_workspace(context, workspace, name.as_deref(), kind),
        (None, Some(text)) if kind == "service.start" => start(context, text),
        (None, Some(text)) => change(context, text, kind),
        (None, None) => Err(CliError::usage("no service was named").next("wharf services")),
    }
}

fn start(context: &Context, text: &str) -> Result<u8> {
    let (target_id, args) = match which::to_start(context, text)? {
        Start::Row(id) => (Some(id.text()), json!({})),
        Start::Configured(path) => (None, json!({ "service": text, "path": path })),
    };
    let ask = Ask { kind: "service.start", target_type: "service", target_id, args, expect: None };
    carry_out(context, text, ask, None)
}

/// Stops one, or those of a workspace, once whoever uses them has been told of and that was confirmed.
fn stop(context: &Context, args: &StopArgs) -> Result<u8> {
    if let Some(workspace) = &args.which.workspace {
        return many::stop_in_workspace(context, workspace, args.which.service.as_deref(), args);
    }
    let text = args.which.service.as_deref().unwrap_or_default();
    if args.asked.dry_run {
        return many::would_stop(context, text, args.with_dependents);
    }
    let reader = context.reader_for(text)?;
    let item = named(context, &reader, text)?;
    let id = item.service.id;
    let number = Kind::Service.number(item.service.number);
    let with = if args.with_dependents { " --with-dependents" } else { "" };
    let again = format!("wharf service stop {number}{with} --yes");
    let items = many::stopped_with(&reader, vec![item], args.with_dependents)?;
    let what = if args.with_dependents { many::named_all(&items) } else { number };
    let (args, expect) = many::confirmed(context, &items, &what, &again, args)?;
    let ask = Ask { kind: "service.stop", target_type: "service", target_id: Some(id.text()), args, expect };
    carry_out(context, text, ask, Some(id))
}

fn change(context: &Context, text: &str, kind: &'static str) -> Result<u8> {
    let reader = context.reader_for(text)?;
    let item = named(context, &reader, text)?;
    let id = item.service.id;
    let ask = Ask { kind, target_type: "service", target_id: Some(id.text()), args: json!({}), expect: None };
    carry_out(context, text, ask, Some(id))
}

fn carry_out(context: &Context, text: &str, ask: Ask, id: Option<ServiceId>) -> Result<u8> {
    let starts = ask.kind != "service.stop";
    let mut desk = if starts { Desk::open_to_start(context)? } else { Desk::open(context)? };
    let result = (|| {
        let row = desk.ask(ask)?;
        let answered = row.result.as_ref().and_then(|r| r["service_id"].as_str()).and_then(|t| t.parse().ok());
        let id: ServiceId = id.or(answered).ok_or_else(|| CliError::internal("the answer names no service"))?;
        let finished = desk.finished(&row, LIMIT);
        let item = desk
            .reader
            .service(id)?
            .ok_or_else(|| CliError::internal(format!("{text} is not in the store any more")))?;
        let number = Kind::Service.number(item.service.number);
        match finished {
            Ok(Some(_)) => Ok(item),
            Ok(None) => Err(CliError::new(
                exit::NO_ANSWER,
                "timeout",
                format!("{number} {} is not there yet", item.service.name),
            )
            .next(format!("wharf show {number}"))
            .entity(number)),
            Err(error) if error.code == CUT_OFF => Err(error),
            // It was accepted and then failed: the thing itself is not as wanted.
            Err(error) => Err(failed(error, &item.service)),
        }
    })();
    desk.close();
    let item = result?;
    if context.global.json {
        context.document(&Document { schema: "wharf.service/1", service: ServiceDoc::new(&item) })?;
    } else {
        print_line(context, &item)?;
    }
    Ok(exit::DONE)
}

/// A service in one line.
fn print_line(context: &Context, item: &ServiceItem) -> Result<()> {
    let (class, word) = service_state(&item.service);
    let url = item.service.url.as_ref().filter(|_| item.service.status.is_live());
    let url = url.map_or_else(String::new, |u| format!("  {u}"));
    let line =
        format!("{}  {}  {} {word}{url}", Kind::Service.number(item.service.number), item.service.name, class.glyph());
    print(format!("{}\n", super::table::tidy(&line, context.global.ascii)).as_bytes())
}

/// What was asked for was accepted, and came to nothing.
fn failed(mut error: CliError, service: &ServiceRow) -> CliError {
    let number = Kind::Service.number(service.number);
    // What came first is the reason, what follows are its circumstances.
    let (what, more) = match error.message.split_once("; ") {
        Some((what, more)) => (what.to_owned(), Some(more.to_owned())),
        None => (error.message.clone(), None),
    };
    error.message = format!("{number} {} failed: {what}", service.name);
    error.exit = exit::THING_FAILED;
    if let (Some(more), None) = (more, &error.cause) {
        error = error.cause(more);
    }
    let again = if is_parked(service) { format!("    wharf service restart {number}") } else { String::new() };
    error.next(format!("wharf service logs {number}    wharf service why {number}{again}")).entity(number)
}

fn logs(context: &Context, args: &LogsArgs) -> Result<u8> {
    let reader = context.reader_for(&args.run)?;
    let item = named(context, &reader, &args.run)?;
    print_its_log(context, args, &item.service)
}

/// Prints the log of a service's newest start, or of the one that is asked for.
pub fn print_its_log(context: &Context, args: &LogsArgs, service: &ServiceRow) -> Result<u8> {
    let number = Kind::Service.number(service.number);
    let starts = service.generation;
    if let Some(start) = args.start.filter(|n| *n > starts) {
        let cause = match starts {
            0 => "it has never been started".to_owned(),
            n => format!("it has been started {}", format::plural(n.into(), "time")),
        };
        let message = format!("{number} {} has no start {start}", service.name);
        return Err(CliError::new(exit::NOT_FOUND, "id_unknown", message)
            .cause(cause)
            .next(format!("wharf service logs {number}"))
            .entity(number));
    }
    let start = args.start.unwrap_or(starts);
    let own = (start > 0).then(|| shim_dir("service", &service.id.text(), start)).flatten();
    // The newest start's log, also when the row still names the one before.
    let named = service.log_ref.clone().filter(|_| args.start.is_none());
    let place: Option<PathBuf> = [own, named].into_iter().flatten().map(|p| context.data.join(p)).find(|p| p.exists());
    if args.start.is_none() && starts > 1 {
        let kept = |n: &u32| service.log_deleted_generation.is_none_or(|gone| *n > gone);
        if let Some(first) = (1..starts).find(kept) {
            let before = if first == starts - 1 { format!("{first}") } else { format!("{first} to {}", starts - 1) };
            context.remark(&format!("start {starts} of {number}; --start {before} reads what it printed before"));
        }
    }
    match place {
        Some(place) => print_log(context, args, &place),
        None if service.log_deleted_generation >= Some(start.max(1)) => {
            let at = service.log_deleted_at.unwrap_or(service.updated_at);
            super::logs::removed(context, args, at, service.log_deleted_reason.clone())
        }
        None => {
            let what =
                if args.start.is_some() { format!("start {start} of {}", service.name) } else { service.name.clone() };
            context.remark(&format!("{what} has printed nothing, it is {}", service.status));
            super::logs::nothing(context, args)
        }
    }
}
