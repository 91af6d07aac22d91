//! The beginning of an instance: it is started and introduces itself, or it is of no use.

use std::path::Path;

use serde_json::Value;

use super::READY_LIMIT;
use super::connection::{CallError, Connection};
use super::hello::{self, Hello, method};
use super::notes::Notes;
use super::process::Launch;

/// Why a worker cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// Trying again changes nothing: it does not fit, or is not there.
    pub is_refusal: bool,
    /// In words, with the end of its error output.
    pub words: String,
}

/// Starts an instance and has it introduce itself.
///
/// # Errors
/// Why it cannot be used, with what was noted; it is gone then.
pub async fn begin(
    launch: &Launch,
    driver: &str,
    state: &Path,
    config: &Value,
    notes: Notes,
) -> Result<(Connection, Hello), (Unavailable, Notes)> {
    let refused = |words: String| Unavailable { is_refusal: true, words };
    let connection = match Connection::start(launch, notes.clone()).await {
        Ok(connection) => connection,
        Err(words) => return Err((refused(words), notes)),
    };
    let asked = connection.call(method::INITIALIZE, &hello::params(driver, config, state), Some(READY_LIMIT)).await;
    let why = match asked {
        Ok(answer) => match Hello::read(&answer).and_then(|hello| hello.driver(driver).map(|_| ()).map(|()| hello)) {
            Ok(hello) => return Ok((connection, hello)),
            Err(words) => refused(words),
        },
        Err(CallError::Rpc(error)) => refused(format!("it refuses to begin: {} ({})", error.message, error.code)),
        Err(CallError::Late(limit)) => {
            let words = format!("it did not answer initialize within {} s", limit.as_secs());
            Unavailable { is_refusal: false, words }
        }
        Err(CallError::Gone(words) | CallError::Unsent(words)) => Unavailable { is_refusal: false, words },
    };
    connection.kill("it cannot be used");
    connection.wait().await;
    let notes = connection.notes();
    let words = format!("the plugin {} cannot be used: {}{}", launch.shown(), why.words, notes.words());
    Err((Unavailable { words, ..why }, notes))
}
