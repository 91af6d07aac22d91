//! The operator's terminal while attached: raw, showing a screen that wharf draws, given back on every way out.
//!
//! The run's bytes never reach the terminal: they go through a screen model, and what differs is drawn.

use std::io::{self, Write};

use rustix::termios::Termios;
use wharf_model::shim::TtySize;

use crate::process::terminal;

const ENTER: &[u8] = b"\x1b[?1049h\x1b[2J\x1b[H";
/// Everything that drawing can have switched on is switched off.
const LEAVE: &[u8] = b"\x1b[0m\x1b[?1l\x1b>\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?2004l\x1b[?25h\x1b[?1049l";

/// Size where the terminal reports none.
const USUAL: TtySize = TtySize { rows: 24, cols: 80 };

/// The terminal. Dropping it gives it back, also while panicking.
pub struct Screen {
    before: Termios,
    model: vt100::Parser,
    shown: vt100::Screen,
}

impl Screen {
    /// Takes the terminal of standard input and output.
    ///
    /// # Errors
    /// What the terminal says; it is then as it was.
    pub fn take() -> io::Result<Self> {
        let size = size();
        let model = vt100::Parser::new(size.rows, size.cols, 0);
        let shown = model.screen().clone();
        let before = terminal::make_raw(io::stdin())?;
        let screen = Self { before, model, shown };
        say(ENTER)?;
        Ok(screen)
    }

    /// Takes what the run printed; shown by the next [`Screen::draw`].
    pub fn print(&mut self, bytes: &[u8]) {
        self.model.process(bytes);
    }

    /// Draws what has changed.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self) -> io::Result<()> {
        let now = self.model.screen().clone();
        let changes = now.state_diff(&self.shown);
        self.shown = now;
        if changes.is_empty() { Ok(()) } else { say(&changes) }
    }

    /// Draws everything in the terminal's present size, and gives that size.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn resized(&mut self) -> io::Result<TtySize> {
        let size = size();
        self.model.screen_mut().set_size(size.rows, size.cols);
        self.shown = self.model.screen().clone();
        say(b"\x1b[0m\x1b[2J")?;
        say(&self.shown.state_formatted())?;
        Ok(size)
    }

    /// Rings: a key was not taken.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn ring(&self) -> io::Result<()> {
        say(b"\x07")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = say(LEAVE);
        let _ = terminal::restore(io::stdin(), &self.before);
    }
}

fn size() -> TtySize {
    terminal::size(io::stdout()).unwrap_or(USUAL)
}

fn say(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
}
