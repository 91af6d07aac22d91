//! One look at a service: what is asked, and whether the answer is good.

mod command;
mod http;
mod log_line;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub use self::command::CommandProbe;
pub use self::http::{MAX_BODY_BYTES, MAX_REDIRECTS};
pub use self::log_line::LogLine;

/// Most characters of an answer that are told.
const MAX_WORDS: usize = 300;

/// What is tried.
#[derive(Debug, Clone)]
pub enum Probe {
    /// GET this url; good when it answers 2xx and the answer ends (or passes [`MAX_BODY_BYTES`]).
    Http(String),
    /// Connect to `host:port`; good when the connection is made.
    Tcp(String),
    /// Run this; good when it ends with 0.
    Command(Arc<CommandProbe>),
    /// Read on in its log; good once a line of its output has held the text.
    LogLine(Arc<Mutex<LogLine>>),
}

/// A check that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCheck {
    /// Not a plain http url.
    #[error("readiness url {url:?} {why}; write it like http://127.0.0.1:{{{{port}}}}/")]
    Url {
        /// As written, rendered.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// Not `host:port`.
    #[error("readiness address {0:?} is not of the form host:port")]
    Address(String),
}

/// Why a look has no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// In words.
    pub words: String,
    /// This machine had nothing left to ask with: it says nothing about who was to be asked.
    pub is_ours: bool,
    /// Asking again would not help: there is nothing that could be asked with.
    pub is_final: bool,
}

impl Miss {
    /// What came was no good answer.
    fn bad(words: String) -> Self {
        Self { words, is_ours: false, is_final: false }
    }

    /// The same for an error of a system call, which may be about us.
    fn of(error: &io::Error, words: String) -> Self {
        Self { words, is_ours: is_ours(error), is_final: false }
    }
}

/// Whether an error says that this process could not ask at all.
fn is_ours(error: &io::Error) -> bool {
    const OURS: &[i32] = &[libc::EMFILE, libc::ENFILE, libc::EAGAIN, libc::ENOMEM, libc::ENOBUFS, libc::EADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|code| OURS.contains(&code))
}

impl Probe {
    /// Whether it can be carried out at all.
    pub fn validate(&self) -> Result<(), InvalidCheck> {
        match self {
            Self::Http(url) => http::validate(url),
            Self::Tcp(address) => {
                let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
                if port.is_some_and(|p| p.parse::<u16>().is_ok_and(|p| p != 0)) {
                    Ok(())
                } else {
                    Err(InvalidCheck::Address(address.clone()))
                }
            }
            Self::Command(_) | Self::LogLine(_) => Ok(()),
        }
    }

    /// What is asked, for people: the subject of a sentence.
    pub fn asked(&self) -> String {
        match self {
            Self::Http(url) => url.clone(),
            Self::Tcp(address) => address.clone(),
            Self::Command(command) => format!("the check `{}`", command.shown),
            Self::LogLine(line) => line.lock().map_or_else(|_| "its log".to_owned(), |l| l.asked()),
        }
    }

    /// Looks once, for at most `limit` (a command may need a moment more to be ended); the error says what came
    /// instead of a good answer.
    ///
    /// One that is not waited for to its end goes on in a blocking thread until its own limit.
    pub async fn attempt(&self, limit: Duration) -> Result<(), Miss> {
        match self {
            Self::Tcp(address) => match timeout_at(Instant::now() + limit, TcpStream::connect(address)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(e)) => Err(Miss::of(&e, format!("cannot connect to {address}: {e}"))),
                Err(_) => Err(Miss::bad(format!("no connection to {address} within {} ms", limit.as_millis()))),
            },
            Self::Http(url) => {
                let url = url.clone();
                beside(move || http::get(&url, limit)).await
            }
            Self::Command(command) => {
                let command = Arc::clone(command);
                beside(move || command.run(limit)).await
            }
            Self::LogLine(line) => {
                let line = Arc::clone(line);
                beside(move || {
                    let mut line =
                        line.lock().map_err(|_| Miss::bad("reading its log has failed before".to_owned()))?;
                    line.look(limit).map_err(Miss::bad)
                })
                .await
            }
        }
    }
}

async fn beside(work: impl FnOnce() -> Result<(), Miss> + Send + 'static) -> Result<(), Miss> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| {
        Err(Miss { words: format!("the check itself failed: {e}"), is_ours: true, is_final: false })
    })
}

/// That nothing came in time.
pub(super) fn no_answer(limit: Duration) -> String {
    format!("no complete answer within {} ms", limit.as_millis())
}

/// A text of somebody else's in one line, shortened, without control characters: the last of it counts.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let clean: String = lines.join(" / ").chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    crate::run::operation::last_chars(&clean, MAX_WORDS)
}

#[cfg(test)]
mod tests;
