//! `initialize`: what we say of ourselves, and what a plugin says it can do.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::API_VERSION;
use crate::environment::driver::Capabilities;

/// Names of the methods, as they go over the line.
pub mod method {
    #![allow(missing_docs, reason = "the protocol's own words, described in assets/plugins/PROTOCOL.md")]
    pub const INITIALIZE: &str = "initialize";
    pub const HEALTH: &str = "health";
    pub const SHUTDOWN: &str = "shutdown";
    pub const VALIDATE: &str = "environmentValidateConfig";
    pub const PROBE: &str = "environmentProbe";
    pub const ACQUIRE: &str = "environmentAcquireLease";
    pub const RESUME: &str = "environmentResumeLease";
    pub const RELEASE: &str = "environmentReleaseLease";
    pub const DESTROY: &str = "environmentDestroyLease";
    pub const REALISE: &str = "environmentRealizeWorkspace";
    pub const TARGET: &str = "environmentExecutionTarget";
    pub const EXECUTE: &str = "environmentExecute";
    pub const CANCEL: &str = "environmentCancel";
    pub const LIST: &str = "environmentListExecutions";
    pub const OBSERVE: &str = "environmentObserve";
    pub const EXTEND: &str = "environmentExtendLease";
    pub const COLLECT: &str = "environmentCollect";
}

/// One driver of a plugin.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DriverInfo {
    /// Its key.
    pub driver_key: String,
    /// Its name for people.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Its places see the files of this machine where they are.
    pub shared_files: bool,
    /// What runs there outlives the plugin's process.
    pub persistent: bool,
    /// An execution can be followed on by another instance, from an offset.
    pub resumes_executions: bool,
}

/// What a plugin answered to `initialize`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hello {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Version of the protocol that it speaks.
    pub api_version: u64,
    /// Methods it has beside the three that all have.
    pub supported_methods: BTreeSet<String>,
    /// Its drivers.
    pub drivers: Vec<DriverInfo>,
}

/// Why an answer to `initialize` is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is not what a plugin answers: nothing is known of it.
    #[error("its answer to initialize cannot be read: {0}")]
    Unreadable(String),
    /// It says itself that it cannot be used, or speaks another version.
    #[error("{0}")]
    Refusal(String),
}

/// What goes with `initialize`.
pub fn params(driver: &str, config: &Value, state: &Path) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "instance": { "hostVersion": env!("CARGO_PKG_VERSION"), "stateDir": state },
        "driverKey": driver,
        "config": config,
    })
}

impl Hello {
    /// Reads the answer.
    ///
    /// # Errors
    /// What is missing or does not fit.
    pub fn read(answer: &Value) -> Result<Self, Unfit> {
        if answer["ok"] == Value::Bool(false) {
            let why = answer["error"].as_str().unwrap_or("it does not say why");
            return Err(Unfit::Refusal(format!("it refuses to begin: {why}")));
        }
        let hello: Self = serde_json::from_value(answer.clone()).map_err(|e| Unfit::Unreadable(e.to_string()))?;
        if hello.api_version != API_VERSION {
            let words = format!("it speaks version {} of the protocol, wharf speaks {API_VERSION}", hello.api_version);
            return Err(Unfit::Refusal(words));
        }
        if hello.drivers.iter().any(|d| d.driver_key.is_empty()) {
            return Err(Unfit::Unreadable("one of its drivers has no driverKey".to_owned()));
        }
        Ok(hello)
    }

    /// What was remembered of an earlier process; none when that cannot be read.
    pub fn recall(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Remembers it for later processes, which are asked what it can do before they have asked it themselves.
    pub fn remember(&self, path: &Path) -> std::io::Result<()> {
        let new = path.with_extension("new");
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(&new, serde_json::to_vec(self)?)?;
        std::fs::rename(&new, path)
    }

    /// The driver of this key.
    ///
    /// # Errors
    /// In words, naming those it has.
    pub fn driver(&self, key: &str) -> Result<&DriverInfo, String> {
        self.drivers.iter().find(|d| d.driver_key == key).ok_or_else(|| {
            let all: Vec<&str> = self.drivers.iter().map(|d| d.driver_key.as_str()).collect();
            format!("it has no driver {key:?}; it has {}", if all.is_empty() { "none".into() } else { all.join(", ") })
        })
    }

    /// Whether it has a method.
    pub fn has(&self, method: &str) -> bool {
        self.supported_methods.contains(method)
    }

    /// What its driver can do: what it has no method for, it cannot.
    pub fn capabilities(&self, key: &str) -> Capabilities {
        let none = DriverInfo::default();
        let info = self.driver(key).unwrap_or(&none);
        Capabilities {
            execute: self.has(method::EXECUTE),
            resume: self.has(method::RESUME),
            extend: self.has(method::EXTEND),
            list: self.has(method::LIST),
            tty: false,
            persistent: info.persistent,
            shared_files: info.shared_files,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_supported_is_no_capability() {
        let answer = json!({
            "ok": true, "apiVersion": 1, "name": "p",
            "supportedMethods": ["environmentExecute", "environmentExtendLease", "somethingElse"],
            "drivers": [{ "driverKey": "pool", "sharedFiles": true, "configSchema": {} }],
        });
        let hello = Hello::read(&answer).unwrap();
        let can = hello.capabilities("pool");
        assert_eq!((can.execute, can.resume, can.extend, can.list, can.shared_files), (true, false, true, false, true));
        assert!(hello.driver("other").unwrap_err().contains("it has pool"));
    }

    #[test]
    fn answers_that_cannot_be_used_are_told() {
        let table = [
            (json!({ "ok": false, "error": "no licence" }), "no licence"),
            (json!({ "apiVersion": 2 }), "version 2"),
            (json!({ "apiVersion": 1, "drivers": [{}] }), "driverKey"),
            (json!({ "apiVersion": 1, "drivers": 7 }), "cannot be read"),
            (json!("hello"), "cannot be read"),
            (Value::Null, "cannot be read"),
        ];
        for (answer, words) in table {
            let error = Hello::read(&answer).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
