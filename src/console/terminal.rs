//! The terminal: taken over, drawn on, and given back on every way out.

use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste, EnableFocusChange,
    EnableMouseCapture,
};
use crossterm::queue;
use crossterm::style::ResetColor;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::backend::{Backend as _, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Most bytes of one `write`.
pub const WRITE_MAX_BYTES: usize = 64 * 1024;
/// Smallest and largest size that is drawn; a terminal that reports nothing counts as 80×24.
const SIZE_MAX: (u16, u16) = (1000, 500);

/// Whether the terminal is ours at the moment: what the panic hook and the end of the program ask.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal while the console has it.
#[derive(Debug)]
pub struct Terminal {
    mouse: bool,
    /// What the screen shows; none when it has to be drawn whole.
    shown: Option<Buffer>,
    bytes: Vec<u8>,
}

/// Whether standard input and output are terminals.
pub fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Columns and rows.
pub fn size() -> (u16, u16) {
    match crossterm::terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (columns.min(SIZE_MAX.0), rows.min(SIZE_MAX.1)),
        _ => (80, 24),
    }
}

impl Terminal {
    /// Takes the terminal: raw mode, alternate screen, paste and focus reports, and the mouse.
    ///
    /// # Errors
    /// What the terminal says; it is then as it was.
    pub fn take(mouse: bool) -> io::Result<Self> {
        let mut terminal = Self { mouse, shown: None, bytes: Vec::with_capacity(WRITE_MAX_BYTES) };
        terminal.resume()?;
        Ok(terminal)
    }

    /// Takes it again after [`Terminal::give_back`]; everything is drawn anew.
    ///
    /// # Errors
    /// As [`Terminal::take`].
    pub fn resume(&mut self) -> io::Result<()> {
        block()?;
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        self.shown = None;
        let mut out = Vec::new();
        queue!(out, EnterAlternateScreen, Hide, EnableBracketedPaste, EnableFocusChange)?;
        if self.mouse {
            queue!(out, EnableMouseCapture)?;
        }
        write_whole(&mut io::stdout().lock(), &out).inspect_err(|_| give_back())
    }

    /// Draws the next frame: only the cells that differ, in one synchronized update. Nothing is
    /// written when nothing differs; says whether something was.
    ///
    /// # Errors
    /// What the terminal says.
    pub fn draw(&mut self, size: (u16, u16), view: impl FnOnce(&mut Buffer)) -> io::Result<bool> {
        let mut next = Buffer::empty(Rect::new(0, 0, size.0, size.1));
        view(&mut next);
        self.bytes.clear();
        let drawn = encode(&mut self.bytes, self.shown.as_ref(), &next)?;
        if drawn {
            write_whole(&mut io::stdout().lock(), &self.bytes)?;
        }
        // A flood of styles must not keep its room for ever.
        self.bytes.shrink_to(4 * WRITE_MAX_BYTES);
        self.shown = Some(next);
        Ok(drawn)
    }

    /// The next frame is drawn whole.
    pub fn forget(&mut self) {
        self.shown = None;
    }
}

/// Writes an escape that draws nothing: the bell, the clipboard.
///
/// # Errors
/// What the terminal says.
pub fn say(bytes: &[u8]) -> io::Result<()> {
    write_whole(&mut io::stdout().lock(), bytes)
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back as it was found; does nothing when it is not ours. May be called from
/// anywhere, also while panicking.
pub fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = Vec::new();
    // Writing to memory does not fail, and a terminal that is gone needs nothing.
    let _ = queue!(
        out,
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableFocusChange,
        DisableBracketedPaste,
        ResetColor,
        LeaveAlternateScreen,
        Show
    );
    let _ = write_whole(&mut io::stdout().lock(), &out);
    let _ = disable_raw_mode();
}

/// Writes the difference of two frames as one synchronized update; says whether there is any.
fn encode(out: &mut Vec<u8>, shown: Option<&Buffer>, next: &Buffer) -> io::Result<bool> {
    let whole;
    let shown = match shown {
        Some(shown) if shown.area == next.area => shown,
        _ => {
            whole = Buffer::empty(next.area);
            queue!(out, BeginSynchronizedUpdate, ResetColor, Clear(ClearType::All))?;
            &whole
        }
    };
    let changes = shown.diff(next);
    if changes.is_empty() && out.is_empty() {
        return Ok(false);
    }
    if out.is_empty() {
        queue!(out, BeginSynchronizedUpdate)?;
    }
    CrosstermBackend::new(&mut *out).draw(changes.into_iter())?;
    queue!(out, MoveTo(0, 0), EndSynchronizedUpdate)?;
    Ok(true)
}

/// A program that had the terminal may leave it so that a write which has to wait fails instead.
fn block() -> io::Result<()> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    for fd in [stdin.as_fd(), stdout.as_fd()] {
        let flags = rustix::fs::fcntl_getfl(fd)?;
        if flags.contains(rustix::fs::OFlags::NONBLOCK) {
            rustix::fs::fcntl_setfl(fd, flags - rustix::fs::OFlags::NONBLOCK)?;
        }
    }
    Ok(())
}

/// Writes everything in pieces of at most [`WRITE_MAX_BYTES`], one `write` each where the terminal
/// takes it.
fn write_whole(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(WRITE_MAX_BYTES) {
        out.write_all(piece)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use ratatui::style::{Color, Style};

    use super::*;

    #[derive(Default)]
    struct Counting {
        writes: usize,
        bytes: usize,
    }

    impl Write for Counting {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.writes += 1;
            self.bytes += buf.len();
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn frame(columns: u16, rows: u16, letter: char) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
        for y in 0..rows {
            for x in 0..columns {
                // Every cell with a colour of its own: the longest frame there is.
                let style = Style::new().fg(Color::Rgb(x as u8, y as u8, 7)).bg(Color::Rgb(y as u8, x as u8, 9));
                buffer[(x, y)].set_char(letter).set_style(style);
            }
        }
        buffer
    }

    #[test]
    fn a_frame_is_one_write_for_each_64_kib() {
        for (columns, rows) in [(20, 5), (80, 24), (160, 45), (400, 100)] {
            let (before, after) = (frame(columns, rows, 'a'), frame(columns, rows, 'b'));
            for shown in [None, Some(&before)] {
                let mut bytes = Vec::new();
                assert!(encode(&mut bytes, shown, &after).unwrap());
                let mut out = Counting::default();
                write_whole(&mut out, &bytes).unwrap();
                assert_eq!(out.bytes, bytes.len());
                assert!(out.writes <= bytes.len().div_ceil(WRITE_MAX_BYTES), "{} writes of {}", out.writes, out.bytes);
            }
        }
    }

    #[test]
    fn a_frame_is_synchronized_and_an_equal_one_is_not_written() {
        let (before, after) = (frame(20, 5, 'a'), frame(20, 5, 'b'));
        let mut bytes = Vec::new();
        assert!(encode(&mut bytes, Some(&before), &after).unwrap());
        assert!(bytes.starts_with(b"\x1b[?2026h") && bytes.ends_with(b"\x1b[?2026l"));
        bytes.clear();
        assert!(!encode(&mut bytes, Some(&after), &after).unwrap());
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_new_size_is_drawn_whole() {
        let mut bytes = Vec::new();
        assert!(encode(&mut bytes, Some(&frame(20, 5, 'a')), &frame(21, 5, 'a')).unwrap());
        assert!(bytes.windows(4).any(|w| w == b"\x1b[2J"));
        assert!(memchr::memchr_iter(b'a', &bytes).count() >= 105);
    }
}
