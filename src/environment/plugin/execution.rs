//! Following one command in a place to its end, over as many instances of the plugin as that takes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::begin::begin;
use super::following::{Once, One};
use super::hello::method;
use super::life::{Event, Life, State};
use super::notes::Notes;
use super::now_ms;
use super::target::Block;
use crate::environment::secrets::Resolved;

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
    let (mut life, mut offsets, mut stop) = (Life::default(), [0, 0], None);
    let mut is_begun = false;
    let secrets = Resolved::told(block.config.clone(), &block.secrets);
    loop {
        life.take(Event::Due, now_ms());
        life.take(Event::Start, now_ms());
        let begun = begin(&block.launch, &block.driver, &block.state, &secrets, Notes::default()).await;
        let why = match begun {
            Err((why, _)) if !is_begun => return Err(why.words),
            // What fits no more may fit again: the command goes on meanwhile.
            Err((why, _)) => why.words,
            Ok((connection, hello)) => {
                life.take(Event::Ready, now_ms());
                if !hello.has(method::EXECUTE) {
                    connection.shutdown().await;
                    return Err("the plugin has no environmentExecute: it cannot run commands".to_owned());
                }
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
                        let words = format!("{why}{}", connection.notes().words(&secrets));
                        connection.shutdown().await;
                        return Err(words);
                    }
                    Once::Broken(why) => {
                        connection.kill(&why);
                        connection.wait().await;
                        let why = format!("{why}{}", connection.notes().words(&secrets));
                        if !hello.driver(&block.driver).is_ok_and(|driver| driver.resumes_executions) {
                            return Err(format!(
                                "the plugin broke off while the command ran, and cannot follow it on; it may still run: \
                                 {why}"
                            ));
                        }
                        why
                    }
                }
            }
        };
        life.take(Event::Ended { chance: 0.5 }, now_ms());
        let State::Backoff { until } = life.state else {
            return Err(format!("the plugin broke off too often while the command ran; it may still run: {why}"));
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
