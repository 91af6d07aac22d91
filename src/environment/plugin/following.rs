//! One instance that follows a command: its output placed, its stops passed on, its end judged.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::connection::{CallError, Connection, Output};
use super::execution::{Command, Ended, Sink};
use super::hello::method;
use super::message::{code, encode};
use super::target::Block;

/// Silence after which a plugin is asked whether it is well.
const QUIET: Duration = Duration::from_secs(30);
/// Time beyond the grace in which a stopped command must be told to have ended.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Pause after a grace, and between two further asks.
const FORCE_PAUSE: Duration = Duration::from_secs(2);
/// Pause between two looks at what is due.
const LOOK: Duration = Duration::from_secs(1);

/// How one instance came to an end for us.
pub(super) enum Once {
    Ended(Ended),
    /// Nothing more can be done.
    Failed(String),
    /// The instance is gone, or of no use; another may know more.
    Broken(String),
}

/// Where each stream stands: stdout, stderr.
pub(super) type Offsets = [u64; 2];

/// An end that was asked for.
struct Stopping {
    /// Asked for again, by force.
    force_at: Instant,
    /// Waited for no longer.
    give_up_at: Instant,
}

/// One instance that follows the command.
pub(super) struct One<'a> {
    pub(super) block: &'a Block,
    pub(super) command: &'a Command,
    pub(super) connection: &'a Arc<Connection>,
    pub(super) offsets: &'a mut Offsets,
    pub(super) stop: &'a mut Option<Duration>,
}

impl One<'_> {
    /// Follows it to its end, or to that of the instance.
    pub(super) async fn follow(&mut self, sink: &mut impl Sink, stops: &mut mpsc::Receiver<Duration>) -> Once {
        let connection = Arc::clone(self.connection);
        let mut outputs = connection.outputs(&self.command.execution_id);
        // Asked before anything else is, so that no stop overtakes it.
        let call = match connection.send(method::EXECUTE, &self.params()).await {
            Ok(call) => call.answer(),
            Err(error) => return self.judge(Err(error)),
        };
        tokio::pin!(call);
        let mut stopping = self.stop.map(|grace| self.cancel(grace));
        let mut asked_at = Instant::now();
        let mut look = tokio::time::interval(LOOK);
        let answer = loop {
            tokio::select! {
                Some(grace) = stops.recv() => stopping = Some(self.cancel(grace)),
                Some(output) = outputs.recv() => {
                    if let Err(over) = self.put(&output, sink, stops, &mut stopping).await {
                        return over;
                    }
                }
                answer = &mut call => break answer,
                _ = look.tick() => {
                    if let Some(over) = self.overdue(&mut stopping) {
                        return over;
                    }
                    if connection.silent_for() >= QUIET && asked_at.elapsed() >= QUIET {
                        asked_at = Instant::now();
                        let asked = Arc::clone(&connection);
                        tokio::spawn(async move { asked.answer_or_die().await });
                    }
                }
            }
        };
        // All that came before the answer is here already.
        while let Ok(output) = outputs.try_recv() {
            if let Err(over) = self.put(&output, sink, stops, &mut stopping).await {
                return over;
            }
        }
        self.judge(answer)
    }

    /// Gives output on; a sink that does not take it holds up no stop.
    async fn put(
        &mut self,
        output: &Output,
        sink: &mut impl Sink,
        stops: &mut mpsc::Receiver<Duration>,
        stopping: &mut Option<Stopping>,
    ) -> Result<(), Once> {
        let at = &mut self.offsets[usize::from(output.is_stderr)];
        let Some(known) = at.checked_sub(output.offset) else {
            let words = format!("its output has a hole: byte {} was due, {} came", *at, output.offset);
            return Err(Once::Broken(words));
        };
        let new = output.bytes.get(known as usize..).unwrap_or_default();
        if new.is_empty() {
            return Ok(());
        }
        *at += new.len() as u64;
        let taking = sink.take(output.is_stderr, new);
        tokio::pin!(taking);
        loop {
            tokio::select! {
                taken = &mut taking => return taken.map_err(|error| {
                    self.cancel(Duration::ZERO);
                    Once::Failed(format!("the command's output cannot be written on: {error}"))
                }),
                Some(grace) = stops.recv() => *stopping = Some(self.cancel(grace)),
            }
        }
    }

    /// Asks again for an end that does not come, and waits no longer once its time is over.
    fn overdue(&mut self, stopping: &mut Option<Stopping>) -> Option<Once> {
        let now = Instant::now();
        let due = stopping.as_ref()?;
        if now >= due.give_up_at {
            let words = "the command was asked to end, and the plugin does not say that it has";
            return Some(Once::Failed(words.to_owned()));
        }
        if now >= due.force_at {
            // The first may have come before the command was there.
            let give_up_at = due.give_up_at;
            *stopping = Some(Stopping { give_up_at, force_at: now + FORCE_PAUSE });
            self.cancel(Duration::ZERO);
        }
        None
    }

    fn params(&self) -> Value {
        let (program, args) = self.command.argv.split_first().map_or(("", &[][..]), |(p, args)| (p.as_str(), args));
        json!({
            "driverKey": self.block.driver,
            "config": self.block.config,
            "lease": self.block.lease,
            "target": self.block.target,
            "executionId": self.command.execution_id,
            "tag": self.command.tag,
            "command": program,
            "args": args,
            "cwd": self.command.cwd,
            "env": self.command.env,
            "stdinBase64": encode(&self.command.stdin),
            "fromOffset": { "stdout": self.offsets[0], "stderr": self.offsets[1] },
        })
    }

    /// Asks for the end of the command.
    fn cancel(&mut self, grace: Duration) -> Stopping {
        *self.stop = Some(grace);
        let params = json!({
            "driverKey": self.block.driver,
            "config": self.block.config,
            "lease": self.block.lease,
            "executionId": self.command.execution_id,
            "tag": self.command.tag,
            "graceMs": grace.as_millis() as u64,
        });
        let (asked, limit) = (Arc::clone(self.connection), grace + Duration::from_millis(self.block.timeout_ms));
        tokio::spawn(async move {
            // What counts is the end of the execution, which its own answer tells.
            let _said = asked.call(method::CANCEL, &params, Some(limit)).await;
        });
        let over = Instant::now() + grace;
        Stopping { force_at: over + FORCE_PAUSE, give_up_at: over + STOP_LIMIT }
    }

    fn judge(&self, answer: Result<Value, CallError>) -> Once {
        let value = match answer {
            Ok(value) => value,
            Err(CallError::Rpc(error)) if error.code == code::NOT_IMPLEMENTED || error.code == code::NO_METHOD => {
                return Once::Failed("the plugin has no environmentExecute: it cannot run commands".to_owned());
            }
            Err(CallError::Rpc(error)) => {
                let hint = error.data["hint"].as_str().map(|hint| format!("; {hint}")).unwrap_or_default();
                return Once::Failed(format!(
                    "the plugin could not run the command: {} ({}){hint}",
                    error.message, error.code
                ));
            }
            Err(CallError::Gone(why)) => return Once::Broken(why),
            Err(CallError::Unsent(why)) => return Once::Failed(why),
            Err(CallError::Late(_)) => return Once::Broken("it did not answer".to_owned()),
        };
        for (name, got) in [("stdoutBytes", self.offsets[0]), ("stderrBytes", self.offsets[1])] {
            if let Some(said) = value[name].as_u64()
                && said != got
            {
                return Once::Failed(format!("the plugin says that {name} is {said}, and {got} came: output is lost"));
            }
        }
        let signal = match &value["signal"] {
            Value::String(name) => crate::process::signal::parse(name).map(rustix::process::Signal::as_raw),
            other => other.as_i64().and_then(|n| i32::try_from(n).ok()).filter(|n| (1..=64).contains(n)),
        };
        match (value["exitCode"].as_u64().and_then(|code| u8::try_from(code).ok()), signal) {
            (_, Some(number)) => Once::Ended(Ended::Signal(number)),
            (Some(code), None) => Once::Ended(Ended::Code(code)),
            (None, None) => {
                Once::Failed("the plugin tells neither exitCode nor signal of the command's end".to_owned())
            }
        }
    }
}
