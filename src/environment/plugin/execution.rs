//! Following one command in a place to its end, over as many instances of the plugin as that takes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::connection::{CallError, Connection, Output};
use super::hello::method;
use super::life::{Event, Life, State};
use super::message::{code, encode};
use super::notes::Notes;
use super::target::Block;
use super::{now_ms, worker};

/// Silence after which a plugin is asked whether it is well.
const QUIET: Duration = Duration::from_secs(30);
/// Time beyond the grace in which a stopped command must be told to have ended.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A command that runs in a place.
#[derive(Clone)]
pub struct Command {
    /// The same over every instance.
    pub execution_id: String,
    /// `run/<uuid>/<attempt>`.
    pub tag: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Directory there.
    pub cwd: String,
    /// Its variables.
    pub env: BTreeMap<String, String>,
    /// Its whole input.
    pub stdin: Vec<u8>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Code(u8),
    /// By a signal, by number.
    Signal(i32),
}

/// Takes output in order.
pub trait Sink: Send {
    /// Takes some; what was taken is not sent again.
    fn take(&mut self, is_stderr: bool, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
}

/// How one instance came to an end for us.
enum Once {
    Ended(Ended),
    /// Nothing more can be done.
    Failed(String),
    /// The instance is gone, or of no use; another may know more.
    Broken(String),
}

/// Where each stream stands: stdout, stderr.
type Offsets = [u64; 2];

/// Runs a command and gives its output to a sink. Each message of `stops` asks for its end, with this grace.
///
/// # Errors
/// In words: it could not be run, or nothing is known of its end. Never a success.
pub async fn follow(
    block: &Block,
    command: &Command,
    sink: &mut impl Sink,
    stops: &mut mpsc::Receiver<Duration>,
) -> Result<Ended, String> {
    let (mut life, mut offsets, mut notes, mut stop) = (Life::default(), [0, 0], Notes::default(), None);
    let mut is_begun = false;
    loop {
        life.take(Event::Due, now_ms());
        life.take(Event::Start, now_ms());
        let begun = worker::begin(&block.launch, &block.driver, &block.state, &block.config, notes.clone()).await;
        let why = match begun {
            Err((why, _)) if why.is_refusal || !is_begun => return Err(why.words),
            Err((why, noted)) => {
                notes = noted;
                why.words
            }
            Ok((connection, hello)) => {
                life.take(Event::Ready, now_ms());
                if !hello.has(method::EXECUTE) {
                    connection.shutdown().await;
                    return Err("the plugin has no environmentExecute: it cannot run commands".to_owned());
                }
                let resumes = hello.driver(&block.driver).is_ok_and(|driver| driver.resumes_executions);
                let connection = Arc::new(connection);
                let mut one = One { block, command, connection: &connection, offsets: &mut offsets, stop: &mut stop };
                let once = one.follow(sink, stops).await;
                is_begun = true;
                match once {
                    Once::Ended(ended) => {
                        connection.shutdown().await;
                        return Ok(ended);
                    }
                    Once::Failed(why) => {
                        let words = format!("{why}{}", connection.notes().words());
                        connection.shutdown().await;
                        return Err(words);
                    }
                    Once::Broken(why) => {
                        connection.kill(&why);
                        let why = connection.wait().await;
                        notes = connection.notes();
                        if !resumes {
                            let noted = notes.words();
                            return Err(format!(
                                "the plugin broke off while the command ran ({why}), and cannot follow it on{noted}"
                            ));
                        }
                        why
                    }
                }
            }
        };
        life.take(Event::Ended { chance: 0.5 }, now_ms());
        let State::Backoff { until } = life.state else {
            return Err(format!("the plugin broke off too often while the command ran ({why}){}", notes.words()));
        };
        let due = Instant::now() + Duration::from_millis(until.saturating_sub(now_ms()));
        while let Ok(asked) = tokio::time::timeout_at(due, stops.recv()).await {
            match asked {
                Some(grace) => stop = Some(grace),
                None => tokio::time::sleep_until(due).await,
            }
        }
    }
}

/// One instance that follows the command.
struct One<'a> {
    block: &'a Block,
    command: &'a Command,
    connection: &'a Arc<Connection>,
    offsets: &'a mut Offsets,
    stop: &'a mut Option<Duration>,
}

impl One<'_> {
    async fn follow(&mut self, sink: &mut impl Sink, stops: &mut mpsc::Receiver<Duration>) -> Once {
        let mut outputs = self.connection.outputs(&self.command.execution_id);
        let params = self.params();
        let connection = Arc::clone(self.connection);
        let call = connection.call(method::EXECUTE, &params, None);
        tokio::pin!(call);
        let mut given_up = self.stop.map(|grace| self.cancel(grace));
        let mut asked_at = Instant::now();
        let mut look = tokio::time::interval(Duration::from_secs(5));
        let answer = loop {
            tokio::select! {
                biased;
                Some(grace) = stops.recv() => given_up = Some(self.cancel(grace)),
                Some(output) = outputs.recv() => {
                    let taking = self.take(&output, sink);
                    let taken = match taking {
                        Err(why) => Err(Once::Broken(why)),
                        Ok(None) => Ok(()),
                        Ok(Some(bytes)) => {
                            let taking = sink.take(output.is_stderr, bytes);
                            tokio::pin!(taking);
                            loop {
                                tokio::select! {
                                    taken = &mut taking => break taken.map_err(|e| self.unread(&e)),
                                    Some(grace) = stops.recv() => given_up = Some(self.cancel(grace)),
                                }
                            }
                        }
                    };
                    if let Err(over) = taken {
                        return over;
                    }
                }
                answer = &mut call => break answer,
                _ = look.tick() => {
                    if given_up.is_some_and(|at| Instant::now() >= at) {
                        return Once::Failed("the command was asked to end, and the plugin does not say that it has".to_owned());
                    }
                    if self.connection.silent_for() >= QUIET && asked_at.elapsed() >= QUIET {
                        asked_at = Instant::now();
                        let asked = Arc::clone(self.connection);
                        tokio::spawn(async move { asked.answer_or_die().await });
                    }
                }
            }
        };
        // All that came before the answer is here already.
        while let Ok(output) = outputs.try_recv() {
            match self.take(&output, sink) {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    if let Err(error) = sink.take(output.is_stderr, bytes).await {
                        return self.unread(&error);
                    }
                }
                Err(why) => return Once::Broken(why),
            }
        }
        self.judge(answer)
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

    /// Places output: what of it is new, none when nothing is.
    fn take<'o>(&mut self, output: &'o Output, _sink: &impl Sink) -> Result<Option<&'o [u8]>, String> {
        let at = &mut self.offsets[usize::from(output.is_stderr)];
        let Some(known) = at.checked_sub(output.offset) else {
            return Err(format!("its output has a hole: byte {} was expected, {} came", *at, output.offset));
        };
        let new = output.bytes.get(known as usize..).unwrap_or_default();
        *at += new.len() as u64;
        Ok(Some(new).filter(|new| !new.is_empty()))
    }

    /// Asks for the end of the command; when to wait no longer.
    fn cancel(&mut self, grace: Duration) -> Instant {
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
        Instant::now() + grace + STOP_LIMIT
    }

    fn unread(&mut self, error: &io::Error) -> Once {
        self.cancel(Duration::ZERO);
        Once::Failed(format!("the command's output cannot be written on: {error}"))
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
            Value::String(name) => crate::process::signal::parse(name).map(|signal| signal.as_raw()),
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
