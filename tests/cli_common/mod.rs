//! A data directory and a project of its own for each test, and the real program in them.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several test programs; a failed test may panic")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest time one command may take.
const LIMIT: Duration = Duration::from_mins(1);

/// The agents of every project here.
pub const CONFIG: &str = r#"
[project]
key = "SHOP"

[[job]]
name = "build"
command = "true"

[[agent]]
name = "good"
adapter = "process"
[agent.config]
command = "sh"
args = ["-c", "cat; printf out; printf err >&2"]
stdin = "prompt"

[[agent]]
name = "three"
adapter = "process"
[agent.config]
command = "sh"
args = ["-c", "echo cause >&2; exit 3"]

[[agent]]
name = "killed"
adapter = "process"
[agent.config]
command = "sh"
args = ["-c", "kill -KILL $$"]

[[agent]]
name = "missing"
adapter = "process"
[agent.config]
command = "/no/such/command"

[[agent]]
name = "plain"
adapter = "process"
[agent.config]
command = "/etc/passwd"

[[agent]]
name = "late"
adapter = "process"
timeout = "1s"
grace = "1s"
[agent.config]
command = "sleep"
args = ["30"]

[[agent]]
name = "slow"
adapter = "process"
grace = "2s"
[agent.config]
command = "sh"
args = ["-c", "echo ready; exec sleep 30"]

[[agent]]
name = "says"
adapter = "process"
[agent.config]
command = "sh"
args = ["-c", "wharf comment 'found it' && echo 'look again' | wharf next-action - && wharf comment ''; echo said $?"]

[[agent]]
name = "forges"
adapter = "process"
[agent.config]
command = "sh"
args = ["-c", "printf 'ok\\n\\nnext       wharf cancel R-9' | wharf next-action -"]

[[agent]]
name = "talks"
adapter = "process"
grace = "2s"
[agent.config]
command = "sh"
args = ["-c", "while echo line; do sleep 0.1; done"]

[[agent]]
name = "flood"
adapter = "process"
[agent.config]
command = "sh"
args = ["-c", "yes $(printf %0199d 0) | head -c 4000000"]

[[service]]
name = "web"
command = ["sh", "-c", "echo serving; exec sleep 60"]
ready = "none"
stop = { grace = "1s" }

[[service]]
name = "broken"
command = ["sh", "-c", "echo dead; exit 3"]
port = "auto"
ready = { http = "http://127.0.0.1:{{port}}/", timeout = "10s", interval = "50ms" }
"#;

/// Where a test happens.
pub struct Place {
    dir: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it said.
    pub err: String,
}

impl Ended {
    /// Its one document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Its error, as `--json` tells it.
    pub fn error(&self) -> Value {
        let error: Value = serde_json::from_str(&self.err).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        let mut keys: Vec<&str> = error["error"].as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["code", "entity", "hint", "message"]);
        error["error"].clone()
    }

    /// Fails the test unless it ended with this code.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

impl Place {
    /// An empty data directory and a repository with a commit and the usual config.
    pub fn new() -> Self {
        let place = Self::bare();
        place.config(CONFIG);
        place.git(&["init", "-q", "-b", "main"]);
        place.git(&["add", "-A"]);
        place.git(&["commit", "-q", "-m", "first"]);
        place
    }

    /// A directory that is no project yet.
    pub fn bare() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(place.project()).unwrap();
        std::fs::create_dir(place.dir.path().join("home")).unwrap();
        place
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn project(&self) -> PathBuf {
        self.dir.path().join("shop")
    }

    pub fn config(&self, text: &str) {
        std::fs::write(self.project().join("wharf.toml"), text).unwrap();
    }

    /// Writes the operator's own config.
    pub fn user_config(&self, text: &str) {
        let dir = self.dir.path().join("home/.config/wharf");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("config.toml"), text).unwrap();
    }

    pub fn git(&self, args: &[&str]) {
        let mut command = Command::new("git");
        self.environment(&mut command);
        let who = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
        assert!(command.args(who).args(args).status().unwrap().success(), "git {args:?}");
    }

    fn environment(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.dir.path().join("home"))
            .env("USER", "ops")
            .env("SHELL", "/bin/sh")
            .env("WHARF_DATA_DIR", self.data())
            .current_dir(self.project());
    }

    /// The program with these arguments, ready to be changed and started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        self.environment(&mut command);
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn wharf(&self, args: &[&str]) -> Ended {
        run(self.command(args), None)
    }

    /// Runs it with something on stdin.
    pub fn wharf_with(&self, args: &[&str], input: &str) -> Ended {
        run(self.command(args), Some(input))
    }

    /// An orchestrator in the background; returns once it has the lock.
    pub fn serve(&self) -> Serving {
        // What an earlier one noted says nothing of this one.
        let _ = std::fs::write(self.data().join("orchestrator.lock"), "");
        let child = self.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let serving = Serving { child };
        let begun = Instant::now();
        while !self.holder_has_epoch() {
            assert!(begun.elapsed() < LIMIT, "serve did not begin");
            std::thread::sleep(Duration::from_millis(10));
        }
        serving
    }

    fn holder_has_epoch(&self) -> bool {
        let text = std::fs::read_to_string(self.data().join("orchestrator.lock")).unwrap_or_default();
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        said["epoch"].as_i64().unwrap_or(0) > 0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that went well has left nothing; after another one nothing may stay either.
        if !std::thread::panicking() || !self.data().exists() {
            return;
        }
        let number = |row: &Value| row["number"].as_str().unwrap_or_default().to_owned();
        for run in self.rows("runs") {
            self.end(&["cancel", &number(&run), "--grace", "0s"]);
        }
        for service in self.rows("services") {
            self.end(&["service", "stop", &number(&service), "--yes"]);
        }
    }
}

impl Place {
    /// Rows of a list that are live; none when it cannot be asked.
    fn rows(&self, list: &str) -> Vec<Value> {
        let Ok(output) = self.command(&[list, "status:live", "--json"]).output() else { return Vec::new() };
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        document[list].as_array().cloned().unwrap_or_default()
    }

    fn end(&self, args: &[&str]) {
        let _ = self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// A background orchestrator; ended with the test.
pub struct Serving {
    child: Child,
}

impl Serving {
    /// One that was started in another way.
    pub fn of(child: Child) -> Self {
        Self { child }
    }

    /// Waits until it has ended by itself; gives its exit code, none when it does not within the time.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// Ends it by SIGTERM and gives its exit code.
    pub fn end(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(mut command: Command, input: Option<&str>) -> Ended {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().unwrap();
    if let Some(text) = input {
        // A command that does not read its input closes it early.
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    }
    let pid = child.id();
    let (done, late) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if late.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    watch.join().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Says that the running test, or a part of it, shows nothing here: past what the harness keeps to itself of a test
/// that passes. `.ci/run` judges these lines.
pub fn skipped(why: &str) {
    let test = std::thread::current();
    let _ = writeln!(std::io::stderr(), "SKIPPED {}: {why}", test.name().unwrap_or("a test"));
}

/// Changes the rights of a file or directory.
pub fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Whether rights hold for this user.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
