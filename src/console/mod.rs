//! The console: the screens' shell. It reads keys, answers the screens' questions beside the screen,
//! writes what the operator wants as request rows, and hands the terminal over.
//!
//! One thread owns the screens and the terminal and never waits for anything but its queue. All that
//! takes time is done by others, which send their answers: keys ([`input`]), rows and output
//! ([`questions`]), requests ([`requests`]), the change signal ([`changes`]), growth of the log on
//! the screen ([`live`]), and the orchestrator, when this console is it ([`reign`]).

mod changes;
mod events;
mod handover;
mod input;
mod live;
pub mod logging;
mod output;
mod panic;
mod questions;
mod reign;
mod requests;
mod settings;
mod shell;
mod signals;
mod terminal;

use std::io::Write as _;
use std::path::PathBuf;

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
}

/// Opens the console and stays in it until the operator leaves. Needs a terminal: without one, or
/// when it cannot be had, says so and ends with code 2.
pub fn open(options: Options) -> u8 {
    if !terminal::is_there() {
        let words = "wharf: the console needs a terminal, and standard input or output is none; \
                     `wharf --help` lists what works without one, `wharf runs` for example";
        let _ = writeln!(std::io::stderr(), "{words}");
        return 2;
    }
    panic::set_hook();
    match shell::Shell::start(options) {
        Ok(shell) => shell.run(),
        Err(error) => {
            terminal::give_back();
            let _ = writeln!(std::io::stderr(), "wharf: the console cannot start: {error}");
            1
        }
    }
}
