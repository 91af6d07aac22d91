//! One call to an instance, and its answer in the words of drivers.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::connection::CallError;
use super::message::{RpcError, code};
use super::secrets::Resolved;
use super::worker::Ready;
use crate::environment::driver::Answer;

/// Asks an instance; none when it has no such method.
pub(super) async fn ask(
    ready: &Ready,
    secrets: &Resolved,
    failure: &str,
    name: &str,
    params: &Value,
    limit: Duration,
) -> Answer<Option<Value>> {
    if !ready.hello.has(name) {
        return Answer::Done(None);
    }
    let noted = || ready.connection.notes().words();
    match ready.connection.call(name, params, Some(limit)).await {
        Ok(mut value) => {
            if let Some(id) = value["providerLeaseId"].as_str()
                && secrets.values.iter().any(|secret| secret.len() >= 8 && id.contains(secret))
            {
                return Answer::refused(
                    failure,
                    format!("the plugin's answer to {name} has a secret in providerLeaseId"),
                );
            }
            secrets.redact_value(&mut value);
            Answer::Done(Some(value))
        }
        Err(CallError::Rpc(error)) => no(&error, secrets, failure, name, &noted()),
        Err(CallError::Late(limit)) => {
            let asked = Arc::clone(&ready.connection);
            tokio::spawn(async move { asked.answer_or_die().await });
            Answer::unknown(secrets.redact(&format!(
                "the plugin did not answer {name} within {} ms{}",
                limit.as_millis(),
                noted()
            )))
        }
        Err(CallError::Gone(why)) => {
            Answer::unknown(secrets.redact(&format!("the plugin ended before it answered {name}: {why}{}", noted())))
        }
        Err(CallError::Unsent(why)) => Answer::unknown(format!("{name} was not sent to the plugin: {why}")),
    }
}

fn no(error: &RpcError, secrets: &Resolved, failure: &str, name: &str, noted: &str) -> Answer<Option<Value>> {
    let said = secrets.redact(&error.message);
    match error.code {
        code::NOT_IMPLEMENTED | code::NO_METHOD => Answer::Done(None),
        code::REFUSED | code::PARAMS => {
            let code = error.data["code"].as_str().filter(|code| CODES.contains(code)).unwrap_or(failure);
            let hint = error.data["hint"].as_str().map(|hint| format!("; {}", secrets.redact(hint)));
            Answer::refused(code, format!("the plugin refuses {name}: {said}{}", hint.unwrap_or_default()))
        }
        other => Answer::unknown(format!("the plugin failed at {name}: {said} ({other}){}", secrets.redact(noted))),
    }
}

/// Codes that a plugin may refuse with; another one would mean nothing to a reader.
const CODES: &[&str] = &[
    "lease_acquire_failed",
    "workspace_realization_failed",
    "transport_resolution_failed",
    "lease_release_failed",
    "probe_failed",
    "unsupported_environment",
];
