//! The beginning of an instance: it is started and introduces itself, or it is of no use.

use std::path::Path;

use super::READY_LIMIT;
use super::connection::{CallError, Connection};
use super::hello::{self, Hello, Unfit, method};
use super::message::code;
use super::notes::Notes;
use super::process::Launch;
use crate::environment::driver::Answer;
use crate::environment::secrets::Resolved;

/// Why a worker cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// Trying again changes nothing: it does not fit, or is not there.
    pub is_refusal: bool,
    /// In words, with the end of its error output.
    pub words: String,
}

impl Unavailable {
    /// The answer to whoever wanted to ask it; `failure` is the code of a refusal.
    pub fn answer<T>(self, failure: &str) -> Answer<T> {
        if self.is_refusal { Answer::refused(failure, self.words) } else { Answer::unknown(self.words) }
    }

    /// The same without the values of secrets.
    pub fn redacted(self, secrets: &Resolved) -> Self {
        Self { words: secrets.redact(&self.words), ..self }
    }
}

/// Starts an instance and has it introduce itself.
///
/// # Errors
/// Why it cannot be used, with what was noted; it is gone then.
pub async fn begin(
    launch: &Launch,
    driver: &str,
    state: &Path,
    secrets: &Resolved,
    notes: Notes,
) -> Result<(Connection, Hello), (Unavailable, Notes)> {
    let connection = match Connection::start(launch, notes.clone()).await {
        Ok(connection) => connection,
        Err(why) => return Err((Unavailable { is_refusal: why.is_refusal(), words: why.to_string() }, notes)),
    };
    let asked =
        connection.call(method::INITIALIZE, &hello::params(driver, &secrets.config, state), Some(READY_LIMIT)).await;
    let why = match asked {
        // Some of it is remembered in a file, and told.
        Ok(answer) => match Hello::read(&secrets.redact_value(answer)) {
            Ok(hello) => match hello.driver(driver).map(|_| ()) {
                Ok(()) => return Ok((connection, hello)),
                Err(words) => Unavailable { is_refusal: true, words },
            },
            Err(why) => Unavailable { is_refusal: matches!(why, Unfit::Refusal(_)), words: why.to_string() },
        },
        Err(CallError::Rpc(error)) => {
            let is_refusal =
                matches!(error.code, code::REFUSED | code::PARAMS | code::NOT_IMPLEMENTED | code::NO_METHOD);
            let what = if is_refusal { "refuses" } else { "fails" };
            Unavailable { is_refusal, words: format!("it {what} to begin: {} ({})", error.message, error.code) }
        }
        Err(CallError::Late(limit)) => {
            let words = format!("it did not answer initialize within {} s", limit.as_secs());
            Unavailable { is_refusal: false, words }
        }
        Err(CallError::Gone(words) | CallError::Unsent(words)) => Unavailable { is_refusal: false, words },
    };
    connection.kill("it cannot be used");
    connection.wait().await;
    let notes = connection.notes();
    let words = format!("the plugin {} cannot be used: {}{}", launch.shown(), why.words, notes.words(secrets));
    Err((Unavailable { words, ..why }.redacted(secrets), notes))
}
