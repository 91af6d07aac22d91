//! One call, to a worker or to an instance, and its answer in the words of drivers.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::connection::CallError;
use super::driver::Plugin;
use super::hello::Hello;
use super::message::{RpcError, code};
use super::params::joined;
use super::worker::{Ready, Unavailable};
use crate::environment::driver::Answer;
use crate::environment::secrets::{self, Resolved};

impl Plugin {
    /// The config with its secrets, and a directory for the plugin.
    ///
    /// # Errors
    /// Why it cannot be asked; a refusal only where asking again changes nothing.
    pub(super) async fn prepare(&self) -> Result<Resolved, Unavailable> {
        let (config, operator, base) =
            (self.config.config.clone(), Arc::clone(&self.site.operator), self.site.base.clone());
        let state = self.state.clone();
        let unknown = |words: String| Unavailable { is_refusal: false, words };
        let prepared = tokio::task::spawn_blocking(move || {
            use std::os::unix::fs::DirBuilderExt as _;
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&state)
                .map_err(|e| unknown(format!("the plugin's directory {} cannot be made: {e}", state.display())))?;
            let resolved = secrets::resolve(&config, &operator, &base)
                .map_err(|why| Unavailable { is_refusal: secrets::is_certain(&why), words: why.to_string() })?;
            for warning in &resolved.warnings {
                tracing::warn!("plugin: {warning}");
            }
            Ok(resolved)
        });
        prepared.await.unwrap_or_else(|gone| Err(unknown(gone.to_string())))
    }

    /// Time that one call may take.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.config.timeout_ms)
    }

    /// Asks the worker; none when it has no such method.
    pub(super) async fn ask(&self, failure: &str, name: &str, params: Value, limit: Duration) -> Answer<Option<Value>> {
        let secrets = match self.prepare().await {
            Ok(secrets) => secrets,
            Err(why) => return why.answer(failure),
        };
        let ready = match self.worker.ready(&secrets).await {
            Ok(ready) => ready,
            Err(why) => return why.redacted(&secrets).answer("unsupported_environment"),
        };
        let params = joined(json!({ "driverKey": self.config.driver, "config": secrets.config }), params);
        ask(&ready, &secrets, failure, name, &params, limit).await
    }

    /// Asks the worker and reads its answer; `absent` says what it means that it has no such method.
    pub(super) async fn ask_read<T>(
        &self,
        failure: &str,
        name: &str,
        params: Value,
        absent: impl FnOnce(Option<Arc<Hello>>) -> Answer<T>,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Answer<T> {
        let answer = self.ask(failure, name, params, self.timeout()).await;
        self.read(name, answer, absent, read)
    }

    /// Reads an answer, as above.
    pub(super) fn read<T>(
        &self,
        name: &str,
        answer: Answer<Option<Value>>,
        absent: impl FnOnce(Option<Arc<Hello>>) -> Answer<T>,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Answer<T> {
        let odd = |why: String| Answer::unknown(format!("the plugin's answer to {name} cannot be used: {why}"));
        match answer {
            Answer::Done(Some(value)) => read(&value).map_or_else(odd, Answer::Done),
            Answer::Done(None) => match absent(self.worker.hello()) {
                Answer::Done(_) if self.lists(name) => Self::contradicts(name),
                answer => answer,
            },
            Answer::Refused { code, hint } => Answer::Refused { code, hint },
            Answer::Unknown { evidence } => Answer::Unknown { evidence },
        }
    }

    /// Whether it says that it has a method.
    pub(super) fn lists(&self, name: &str) -> bool {
        self.worker.hello().is_some_and(|hello| hello.has(name))
    }

    /// What comes of a method that it says it has, and then has not: nothing was done, and perhaps something is to do.
    pub(super) fn contradicts<T>(name: &str) -> Answer<T> {
        Answer::unknown(format!("the plugin has {name} in supportedMethods, and says that there is no such method"))
    }

    /// The refusal of what it has no method for.
    pub(super) fn cannot<T>(&self, name: &str, what: &str) -> Answer<T> {
        let driver = &self.config.driver;
        Answer::refused(
            "unsupported_environment",
            format!("the plugin of driver {driver} has no {name}: it cannot {what}"),
        )
    }
}

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
    let noted = || ready.connection.notes().words(secrets);
    match ready.connection.call(name, params, Some(limit)).await {
        Ok(value) => {
            if let Some(id) = value["providerLeaseId"].as_str()
                && secrets.redact(id) != id
            {
                return Answer::refused(
                    failure,
                    format!("the plugin's answer to {name} has a secret in providerLeaseId"),
                );
            }
            Answer::Done(Some(secrets.redact_value(value)))
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
