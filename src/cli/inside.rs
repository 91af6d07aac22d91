//! What `wharf` can say inside a run, through the socket of its shim: `comment` and `next-action`.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::json;
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

/// Sends a text of a kind and waits until it is stored.
pub fn tell(context: &Context, kind: &str, args: &SayArgs) -> Result<u8> {
    let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let (Some(socket), Some(token)) = (set("WHARF_AGENT_SOCKET"), set("WHARF_TOKEN")) else {
        return Err(CliError::new(exit::REFUSED, "permission_denied", "this works only inside a run")
            .cause("WHARF_AGENT_SOCKET and WHARF_TOKEN are not set")
            .next("start it from an agent's command"));
    };
    let text = text(&args.text)?;
    let message_id = uuid::Uuid::now_v7().hyphenated().to_string();
    let message = AgentMessage {
        v: 1,
        token,
        message_id: message_id.clone(),
        kind: kind.to_owned(),
        body: json!({ "text": text }),
    };
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
