//! What `wharf` can say inside a run, through the socket of its shim: `comment`, `next-action`, `report-service`,
//! `session`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use wharf_model::rules::session as rules;
use wharf_model::shim::AgentMessage;

use super::context::Context;
use super::error::{CliError, Result, exit, exit_of};
use crate::process::client::{AgentClient, ClientError};

/// Longest text, in bytes: a message has at most 64 KiB, and escapes make it longer.
const TEXT_MAX: u64 = 30 * 1024;
/// How long the shim may take to store it.
const LIMIT: Duration = Duration::from_secs(10);

/// A text for the operator.
#[derive(Debug, Clone, Args)]
pub struct SayArgs {
    /// The text; `-` reads it from stdin
    pub text: String,
}

/// A service that the run's adapter keeps.
#[derive(Debug, Clone, Args)]
pub struct ReportServiceArgs {
    /// Its name
    pub name: String,
    /// What it is: running, starting, stopping, stopped, failed
    #[arg(long, default_value = "running", value_parser = ["running", "starting", "stopping", "stopped", "failed"])]
    pub status: String,
    /// How it is; else as its status says
    #[arg(long, value_parser = ["healthy", "unhealthy", "unknown"])]
    pub health: Option<String>,
    /// Where it is reached
    #[arg(long)]
    pub url: Option<String>,
    /// Its port
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// For whom it is there; it ends with the run when that is the run
    #[arg(long, default_value = "run", value_parser = ["run", "agent", "execution_workspace", "project_workspace"])]
    pub scope: String,
    /// Its id: the same one again is the same service
    #[arg(long)]
    pub id: Option<String>,
    /// The adapter's own name for it
    #[arg(long)]
    pub provider_ref: Option<String>,
    /// What runs
    #[arg(long)]
    pub command: Option<String>,
}

/// The session that the agent works in.
#[derive(Debug, Clone, Args)]
pub struct SessionArgs {
    /// Its id, as the agent's own program calls it
    #[arg(required_unless_present = "clear")]
    pub id: Option<String>,
    /// The directory that it belongs to; else the current one
    #[arg(long, value_name = "DIR", conflicts_with = "clear")]
    pub cwd: Option<PathBuf>,
    /// The session is over: id and directory are forgotten
    #[arg(long, conflicts_with = "id")]
    pub clear: bool,
}

/// Tells which session the agent works in, or that it is over.
pub fn session(context: &Context, args: &SessionArgs) -> Result<u8> {
    let Some(id) = args.id.as_deref().filter(|_| !args.clear) else {
        return send(context, "session", json!({ "clear": true }));
    };
    rules::check_id(id).map_err(|why| CliError::usage("the session's id cannot be taken").cause(why))?;
    // Where it really is: the next run must not depend on links that somebody changes.
    let named = args.cwd.clone().unwrap_or_else(|| PathBuf::from("."));
    let no_directory = |cause: String| {
        CliError::usage(format!("the session's directory {} cannot be taken", named.display())).cause(cause)
    };
    let cwd = named.canonicalize().map_err(|e| no_directory(e.to_string()))?;
    if !cwd.is_dir() {
        return Err(no_directory("it is no directory".to_owned()));
    }
    let cwd = cwd.to_str().ok_or_else(|| no_directory("it is no UTF-8".to_owned()))?;
    rules::check_cwd(cwd).map_err(no_directory)?;
    send(context, "session", json!({ "id": id, "cwd": cwd }))
}

/// Tells that the run's adapter keeps a service, or how it goes with one.
pub fn report_service(context: &Context, args: &ReportServiceArgs) -> Result<u8> {
    let url = args.url.as_deref().map(str::trim).filter(|url| !url.is_empty());
    crate::service::report::check(args.name.trim(), url)
        .map_err(|why| CliError::usage(format!("this cannot be reported: {why}")))?;
    let cwd = std::env::current_dir().ok().map(|d| d.display().to_string());
    let body = json!({
        "name": args.name, "status": args.status, "health": args.health, "url": args.url, "port": args.port,
        "scope": args.scope, "id": args.id, "provider_ref": args.provider_ref, "command": args.command, "cwd": cwd,
    });
    send(context, "report_service", body)
}

/// Sends a text of a kind and waits until it is stored.
pub fn tell(context: &Context, kind: &str, args: &SayArgs) -> Result<u8> {
    send(context, kind, json!({ "text": text(&args.text)? }))
}

fn send(context: &Context, kind: &str, body: serde_json::Value) -> Result<u8> {
    let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let (Some(socket), Some(token)) = (set("WHARF_AGENT_SOCKET"), set("WHARF_TOKEN")) else {
        return Err(CliError::new(exit::REFUSED, "permission_denied", "this works only inside a run")
            .cause("WHARF_AGENT_SOCKET and WHARF_TOKEN are not set")
            .next("start it from an agent's command"));
    };
    let message_id = uuid::Uuid::now_v7().hyphenated().to_string();
    let message = AgentMessage { v: 1, token, message_id: message_id.clone(), kind: kind.to_owned(), body };
    AgentClient::connect(Path::new(&socket), LIMIT)
        .and_then(|mut client| client.send(&message))
        .map_err(|e| failed(&e))?;
    if context.global.json {
        context
            .document(&json!({ "schema": "wharf.said/1", "kind": kind, "message_id": message_id, "stored": true }))?;
    }
    Ok(exit::DONE)
}

fn text(given: &str) -> Result<String> {
    let mut text = given.to_owned();
    if given == "-" {
        text.clear();
        std::io::stdin()
            .lock()
            .take(TEXT_MAX + 1)
            .read_to_string(&mut text)
            .map_err(|e| CliError::usage("the text cannot be read from stdin").cause(e.to_string()))?;
    }
    if given == "-" {
        // The last line's end belongs to the pipe, not to the text.
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
    }
    if text.len() as u64 > TEXT_MAX {
        return Err(CliError::usage(format!("the text is longer than {TEXT_MAX} bytes"))
            .next("put the long part into a file and name that"));
    }
    if text.trim().is_empty() {
        return Err(CliError::usage("there is no text"));
    }
    Ok(text)
}

fn failed(error: &ClientError) -> CliError {
    let (code, exit) = match error {
        ClientError::Refused { code, .. } => (code.as_str(), exit_of(code)),
        ClientError::NoAnswer(_) | ClientError::Unreachable { .. } | ClientError::Closed => {
            ("shim_unreachable", exit::NO_ANSWER)
        }
        ClientError::Garbled(_) | ClientError::Io(_) => ("internal", exit::INTERNAL),
    };
    CliError::new(exit, code, "the run's shim did not take it").cause(error.to_string())
}
