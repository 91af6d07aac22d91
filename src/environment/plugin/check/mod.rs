//! Trying a plugin out, call by call, as wharf would use it and as nobody should: what its author runs.

mod basics;
mod commands;
mod leases;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::connection::{CallError, Connection};
use super::hello::{self, Hello};
use super::message::code;
use super::notes::Notes;
use super::params::joined;
use super::process::Launch;
use crate::environment::driver::Check;
use crate::environment::secrets::Resolved;

/// Instances that may be lost before the rest is left out.
const LIVES: u32 = 5;

/// What is tried.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How the plugin is started.
    pub launch: Launch,
    /// Which of its drivers; its only one when none is named.
    pub driver: Option<String>,
    /// Its config, with its secrets.
    pub secrets: Resolved,
    /// A directory for the plugin, empty.
    pub state: PathBuf,
    /// A directory with a few files that stands for a project's checkout.
    pub project: PathBuf,
    /// Time that each call may take.
    pub timeout: Duration,
}

/// Tries everything; the plugin has ended afterwards. When `stop` comes about first, the place is given back and the
/// rest left out.
pub async fn run(plan: Plan, stop: impl Future<Output = ()>) -> Vec<Check> {
    let mut bench = Bench {
        plan,
        driver: String::new(),
        hello: Hello::default(),
        checks: Vec::new(),
        up: None,
        lives: LIVES,
        held: None,
    };
    let is_whole = tokio::select! {
        () = all(&mut bench) => true,
        () = stop => false,
    };
    if !is_whole {
        bench.lives = bench.lives.max(1);
        leases::abandon(&mut bench).await;
    }
    basics::end(&mut bench).await;
    let secrets = bench.plan.secrets;
    let clean = |check: Check| Check { message: secrets.redact(&check.message), ..check };
    bench.checks.into_iter().map(clean).collect()
}

async fn all(bench: &mut Bench) {
    if !basics::begin(bench).await {
        return;
    }
    basics::manners(bench).await;
    let Some(lease) = leases::obtain(bench).await else { return };
    let cwd = leases::prepare(bench, &lease).await;
    if bench.has(hello::method::EXECUTE) {
        commands::run(bench, &lease, &cwd).await;
        commands::stop(bench, &lease, &cwd).await;
        commands::survive(bench, &lease, &cwd).await;
    } else {
        bench.warn("execute", "it has no environmentExecute", "no agent can run in its places");
    }
    leases::give_back(bench, &lease, &cwd).await;
}

/// A plugin that is tried, and what was found.
struct Bench {
    plan: Plan,
    driver: String,
    hello: Hello,
    checks: Vec<Check>,
    up: Option<Arc<Connection>>,
    lives: u32,
    /// What must be given back.
    held: Option<leases::Tried>,
}

/// What came of a call: none when it is not supported.
type Asked = Result<Option<Value>, String>;

impl Bench {
    fn ok(&mut self, code: &str, message: impl Into<String>) {
        self.checks.push(Check::ok(code, message));
    }

    fn warn(&mut self, code: &str, message: impl Into<String>, hint: &str) {
        self.checks.push(Check::warn(code, message, hint));
    }

    fn error(&mut self, code: &str, message: impl Into<String>, hint: &str) {
        self.checks.push(Check::error(code, message, hint));
    }

    /// Notes that something is so, or what is wrong about it.
    fn note(&mut self, code: &str, found: Result<String, String>, hint: &str) {
        match found {
            Ok(message) => self.ok(code, message),
            Err(message) => self.error(code, message, hint),
        }
    }

    fn has(&self, method: &str) -> bool {
        self.hello.has(method)
    }

    /// Members that go with every call of a driver.
    fn params(&self, more: Value) -> Value {
        joined(json!({ "driverKey": self.driver, "config": self.plan.secrets.config }), more)
    }

    /// A running instance that has introduced itself.
    ///
    /// # Errors
    /// In words; how often it may be started anew has an end.
    async fn up(&mut self) -> Result<Arc<Connection>, String> {
        if let Some(up) = self.up.as_ref().filter(|up| up.ended().is_none()) {
            return Ok(Arc::clone(up));
        }
        self.lives = self.lives.checked_sub(1).ok_or("it ended too often to be tried further")?;
        let notes = self.up.take().map_or_else(Notes::default, |up| up.notes());
        let connection = Arc::new(Connection::start(&self.plan.launch, notes).await.map_err(|e| e.to_string())?);
        let driver =
            if self.driver.is_empty() { self.plan.driver.clone().unwrap_or_default() } else { self.driver.clone() };
        let params = hello::params(&driver, &self.plan.secrets.config, &self.plan.state);
        let answer = connection.call(hello::method::INITIALIZE, &params, Some(super::READY_LIMIT)).await;
        let words = |words: String| format!("{words}{}", connection.notes().words(&self.plan.secrets));
        self.hello = answer
            .map_err(told)
            .and_then(|answer| Hello::read(&answer).map_err(|why| why.to_string()))
            .map_err(words)?;
        self.up = Some(Arc::clone(&connection));
        Ok(connection)
    }

    async fn ask(&mut self, method: &str, params: Value) -> Asked {
        let up = self.up().await?;
        match up.call(method, &self.params(params), Some(self.plan.timeout)).await {
            Ok(value) => Ok(Some(value)),
            Err(CallError::Rpc(error)) if error.code == code::NOT_IMPLEMENTED || error.code == code::NO_METHOD => {
                Ok(None)
            }
            Err(CallError::Gone(why)) => Err(format!("it ended: {why}{}", up.notes().words(&self.plan.secrets))),
            Err(error) => Err(told(error)),
        }
    }

    /// Asks for something that it says it has; none, with a check, where it has not or fails.
    async fn want(&mut self, code: &str, method: &str, params: Value) -> Option<Value> {
        if !self.has(method) {
            return None;
        }
        match self.ask(method, params).await {
            Ok(Some(value)) => return Some(value),
            Ok(None) => {
                self.error(
                    code,
                    format!("{method} is in supportedMethods and not implemented"),
                    "leave it out, or add it",
                );
            }
            Err(words) => self.error(code, format!("{method}: {words}"), "see PROTOCOL.md"),
        }
        None
    }
}

fn told(error: CallError) -> String {
    match error {
        CallError::Rpc(error) => format!("{} ({})", error.message, error.code),
        CallError::Late(limit) => format!("no answer within {} ms", limit.as_millis()),
        CallError::Gone(why) | CallError::Unsent(why) => why,
    }
}
