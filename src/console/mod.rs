//! The console: the screens' shell. It reads keys, answers the screens' questions beside the screen,
//! writes what the operator wants as request rows, and hands the terminal over.
//!
//! One thread owns the screens and the terminal and never waits for anything but its queue. All that
//! takes time is done by others, which send their answers: keys (`input`), rows and output
//! (`questions`), requests (`requests`), the change signal (`changes`), growth of the log on
//! the screen (`live`), and the orchestrator, when this console is it (`reign`).

mod background;
mod changes;
mod checkouts;
mod events;
mod ground;
mod handover;
mod input;
mod live;
pub mod logging;
mod output;
mod panic;
mod questions;
mod reign;
mod reigning;
mod requests;
mod retry;
mod service_looks;
mod settings;
mod shell;
mod signals;
mod terminal;

pub(crate) use live::last_output;
pub(crate) use questions::preview::lease as lease_preview;
pub(crate) use questions::preview::with_dependents as services_with_dependents;
pub(crate) use questions::preview::workspace as workspace_preview;

/// What is known of a lease, in the operator's words.
pub(crate) mod lease_facts {
    pub(crate) use super::questions::places::without_secrets;
    pub(crate) use super::questions::rows::{lease, lease_detail, realisation, waits};
}

/// What is known of a workspace, in the operator's words.
pub(crate) mod workspace_facts {
    pub(crate) use super::checkouts::Known;
    pub(crate) use super::questions::rows::{is_shared, operation, workspace_state};
    pub(crate) use super::questions::workspaces::{RestoreFrom, detail, restore_preview, stock};
}
pub(crate) use questions::rows::{halted_now, has_terminal_now, restarts as service_restarts, run as run_line};
use std::path::PathBuf;

pub(crate) use questions::rows::{health_words, wants_past_services};
pub use settings::Look;

/// What the console is opened with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Data directory.
    pub data: PathBuf,
    /// Directory whose project is opened.
    pub directory: PathBuf,
    /// What the command line says about the look.
    pub look: Look,
    /// What lives was begun for this very console a moment ago: that it is found is not put before the operator.
    pub prepared: bool,
}

/// Why the console was not opened.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    /// Standard input or output is no terminal.
    #[error("the console needs a terminal, and standard input or output is none")]
    NoTerminal,
    /// The terminal cannot be had, or the project's directory cannot be entered.
    #[error("the console cannot start: {0}")]
    Failed(#[from] std::io::Error),
}

/// Opens the console and stays in it until the operator leaves; gives the exit code of the program.
///
/// # Errors
/// It could not be opened; the terminal is then as it was.
pub fn open(options: Options) -> Result<u8, NotOpened> {
    if !terminal::is_there() {
        return Err(NotOpened::NoTerminal);
    }
    panic::set_hook();
    match shell::Shell::start(options) {
        Ok(shell) => Ok(shell.run()),
        Err(error) => {
            terminal::give_back();
            Err(NotOpened::Failed(error))
        }
    }
}
