//! A console in a pseudo-terminal: keys go in, the screen is read as an emulator shows it, and
//! every wait ends with what it waits for or fails with the screen as it was then.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// The longest wait for anything.
pub const LIMIT: Duration = Duration::from_secs(15);

/// A data directory and a project with a repository, of which nothing is left alive at the end.
pub struct Place {
    root: tempfile::TempDir,
    /// Canonical path of the root.
    pub path: PathBuf,
}

impl Place {
    /// A project with this `wharf.toml` (none: without one), committed.
    pub fn new(config: Option<&str>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().canonicalize().unwrap();
        let place = Self { root, path };
        let project = place.project();
        std::fs::create_dir(&project).unwrap();
        let git = git2::Repository::init(&project).unwrap();
        std::fs::write(project.join("README"), "a project\n").unwrap();
        if let Some(config) = config {
            std::fs::write(project.join("wharf.toml"), config).unwrap();
        }
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        let mut index = git.index().unwrap();
        index.add_all(["."], git2::IndexAddOption::DEFAULT, None).unwrap();
        index.write().unwrap();
        let tree = git.find_tree(index.write_tree().unwrap()).unwrap();
        git.commit(Some("HEAD"), &who, &who, "first", &tree, &[]).unwrap();
        drop(tree);
        place
    }

    pub fn project(&self) -> PathBuf {
        self.path.join("shop")
    }

    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Processes that belong here: by a command line or a directory inside.
    pub fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
            if pid == std::process::id().cast_signed() {
                continue;
            }
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).into_owned();
            let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            let zombie = std::fs::read_to_string(entry.path().join("stat")).is_ok_and(|s| s.contains(") Z "));
            if !zombie && (command.contains(self.path.to_str().unwrap()) || cwd.starts_with(&self.path)) {
                found.push(pid);
            }
        }
        found
    }

    /// Waits until nothing belongs here any more.
    pub fn wait_empty(&self) {
        until(|| self.processes().is_empty().then_some(()), || format!("{:?} are alive", self.processes()));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Children may be born while others are ended: a few rounds find them all.
        for _ in 0..20 {
            let alive = self.processes();
            if alive.is_empty() {
                return;
            }
            for pid in alive {
                if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Waits for something that can only be asked for.
pub fn until<T>(mut ask: impl FnMut() -> Option<T>, words: impl FnOnce() -> String) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain: {}", words());
        std::thread::sleep(Duration::from_millis(10));
    }
}

struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
    over: bool,
}

/// A command that prints a line every 50 ms, longer than any test lasts.
pub const PRINTER: &str = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; sleep 0.05; done";

/// What is typed before a dialog can have been read is dropped: this lets that time pass.
pub fn read() {
    std::thread::sleep(Duration::from_millis(250));
}

/// A program in a pseudo-terminal.
pub struct Console {
    pub child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    termios: String,
}

impl Console {
    /// Opens the console in the project.
    pub fn open(place: &Place, columns: u16, rows: u16) -> Self {
        Self::open_with(place, columns, rows, &[])
    }

    pub fn open_with(place: &Place, columns: u16, rows: u16, vars: &[(&str, &str)]) -> Self {
        Self::open_as(place, columns, rows, vars, &[])
    }

    /// Opens it by a command of the program.
    pub fn open_as(place: &Place, columns: u16, rows: u16, vars: &[(&str, &str)], args: &[&str]) -> Self {
        Self::open_at(&place.path, columns, rows, vars, args)
    }

    /// Opens it in a place that somebody else keeps: a project `shop` beside its `data`.
    pub fn open_at(root: &Path, columns: u16, rows: u16, vars: &[(&str, &str)], args: &[&str]) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let termios = format!("{:?}", pair.master.get_termios());
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_wharf"));
        command.args(args);
        command.cwd(root.join("shop"));
        command.env("WHARF_DATA_DIR", root.join("data"));
        command.env("HOME", root);
        command.env("XDG_CONFIG_HOME", root.join("config"));
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env_remove("LC_ALL");
        command.env("SHELL", "/bin/sh");
        command.env("USER", "ada");
        for (name, value) in vars {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let parser = vt100::Parser::new(rows, columns, 0);
        let seen = Arc::new((Mutex::new(Seen { parser, bytes: Vec::new(), over: false }), Condvar::new()));
        let writer = Arc::new(Mutex::new(pair.master.take_writer().unwrap()));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (theirs, answers) = (Arc::clone(&seen), Arc::clone(&writer));
        std::thread::spawn(move || {
            let mut buffer = vec![0u8; 65_536];
            loop {
                let n = reader.read(&mut buffer).unwrap_or(0);
                let mut seen = theirs.0.lock().unwrap();
                if n == 0 {
                    seen.over = true;
                    theirs.1.notify_all();
                    return;
                }
                seen.parser.process(&buffer[..n]);
                seen.bytes.extend_from_slice(&buffer[..n]);
                if buffer[..n].windows(4).any(|w| w == b"\x1b[6n") {
                    let (row, column) = seen.parser.screen().cursor_position();
                    let _ = write!(answers.lock().unwrap(), "\x1b[{};{}R", row + 1, column + 1);
                }
                theirs.1.notify_all();
            }
        });
        Self { child, master: pair.master, writer, seen, termios }
    }

    pub fn pid(&self) -> i32 {
        self.child.process_id().unwrap().cast_signed()
    }

    /// Types.
    pub fn send(&self, keys: &str) {
        let mut writer = self.writer.lock().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    /// Starts the first agent of the project by the new-run dialog.
    pub fn start_run(&self) {
        self.send("n");
        self.see("New run");
        self.see("slots used");
        self.send("do something");
        self.see("do something");
        self.send("\r");
        self.gone("New run");
    }

    /// Cancels the selected run: says yes once what is shown has been read, again where it was shown anew.
    pub fn cancel(&self, run: &str) {
        let asks = format!("y cancel {run}");
        self.wait("the run under the cursor", |s| s.lines().any(|l| l.starts_with('▸') && l.contains(run)));
        self.send("x");
        self.see(&asks);
        until(
            || {
                read();
                if self.screen().contains(&asks) {
                    self.send("y");
                    None
                } else {
                    Some(())
                }
            },
            || self.screen(),
        );
    }

    /// Quits where nothing is live any more: else it would ask what becomes of a run that it still counts.
    pub fn quit(&mut self) {
        self.see("0 running");
        self.send("q");
        assert_eq!(self.wait_end(), 0);
    }

    /// Everything that was sent to the terminal.
    pub fn sent(&self) -> Vec<u8> {
        self.seen.0.lock().unwrap().bytes.clone()
    }

    pub fn screen(&self) -> String {
        self.seen.0.lock().unwrap().parser.screen().contents()
    }

    /// Waits for a screen.
    pub fn wait(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + LIMIT;
        let mut seen = self.seen.0.lock().unwrap();
        loop {
            let screen = seen.parser.screen().contents();
            if holds(&screen) {
                return screen;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !seen.over, "waited in vain for {what}; the screen was\n{screen}");
            seen = self.seen.1.wait_timeout(seen, left).unwrap().0;
        }
    }

    /// Waits for words on the screen.
    pub fn see(&self, words: &str) -> String {
        self.wait(words, |screen| screen.contains(words))
    }

    /// Waits until words have gone from the screen.
    pub fn gone(&self, words: &str) -> String {
        self.wait(&format!("the end of {words:?}"), |screen| !screen.contains(words))
    }

    /// Another size, as a terminal tells it.
    pub fn resize(&self, columns: u16, rows: u16) {
        // Cleared by hand, so that only what is drawn from now on counts.
        {
            let mut seen = self.seen.0.lock().unwrap();
            seen.parser.screen_mut().set_size(rows, columns);
            seen.parser.process(b"\x1b[2J");
        }
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
    }

    /// Waits for the end; gives the exit code.
    pub fn wait_end(&mut self) -> u32 {
        let code = until(|| self.child.try_wait().unwrap(), || "the console goes on".to_owned()).exit_code();
        let end = Instant::now() + LIMIT;
        let mut seen = self.seen.0.lock().unwrap();
        while !seen.over && Instant::now() < end {
            seen = self.seen.1.wait_timeout(seen, Duration::from_millis(100)).unwrap().0;
        }
        code
    }

    /// Whether the terminal is as it was before: its line discipline, its screen, its modes.
    pub fn assert_given_back(&self) {
        assert_eq!(format!("{:?}", self.master.get_termios()), self.termios, "the line discipline");
        let seen = self.seen.0.lock().unwrap();
        let screen = seen.parser.screen();
        assert!(!screen.alternate_screen(), "the alternate screen is left");
        assert!(!screen.hide_cursor(), "the cursor is shown");
        assert!(!screen.bracketed_paste(), "pastes are not marked any more");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None, "the mouse is given back");
    }

    /// [`Console::assert_given_back`], and its reports.
    pub fn assert_restored(&self) {
        self.assert_given_back();
        let seen = self.seen.0.lock().unwrap();
        let last = |on: &[u8], off: &[u8]| {
            let find = |what: &[u8]| seen.bytes.windows(what.len()).rposition(|w| w == what);
            (find(on), find(off))
        };
        let (on, off) = last(b"\x1b[?1004h", b"\x1b[?1004l");
        assert!(on.is_some() && off > on, "focus is not reported any more");
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `wharf.toml` with agents of the process adapter, each running a shell command.
pub fn config(agents: &[(&str, &str)]) -> String {
    let mut text = "[project]\nkey = \"SHOP\"\n".to_owned();
    for (name, command) in agents {
        text.push_str(&format!(
            "[[agent]]\nname = \"{name}\"\nadapter = \"process\"\ngrace = \"2s\"\n[agent.config]\ncommand = '''{command}'''\nshell = true\n"
        ));
    }
    text
}

/// Bytes of a stream of a run's log, whole.
pub fn stream(dir: &Path, stream: wharf_store::log::Stream) -> Vec<u8> {
    use wharf_store::log::{LogReader, StreamSet, copy_to};
    let mut reader = LogReader::open(dir).unwrap();
    let mut out = Vec::new();
    let start = reader.start();
    copy_to(&mut reader, &mut out, StreamSet::of(&[stream]), start, u64::MAX).unwrap();
    out
}
