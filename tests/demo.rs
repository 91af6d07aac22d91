//! The demo, played by the real program: what it prints, and that nothing of it is left.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/pty.rs"]
mod pty;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Time that anything here may take.
const LIMIT: Duration = Duration::from_secs(90);

/// A machine of its own: a home with settings that would spoil a commit or the play, and a place for temporary files.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["home/hooks", "config/wharf", "tmp"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let home = dir.path().join("home");
        let hook = home.join("hooks/pre-commit");
        std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
        std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let git = format!("[commit]\n\tgpgsign = true\n[core]\n\thooksPath = {}/hooks\n", home.display());
        std::fs::write(home.join(".gitconfig"), git).unwrap();
        let user = "[limits]\nconcurrent_runs = 1\nrun_log_quota = \"1MiB\"\n";
        std::fs::write(dir.path().join("config/wharf/config.toml"), user).unwrap();
        Self { dir }
    }

    fn demo(&self, args: &[&str]) -> Command {
        let at = |name: &str| self.dir.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        command.arg("demo").args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("HOME", at("home")).env("TMPDIR", at("tmp")).env("WHARF_DATA_DIR", at("data"));
        command.env("XDG_CONFIG_HOME", at("config")).env_remove("XDG_DATA_HOME");
        // As in a hook of git, where these would lead to another repository.
        command.env("GIT_DIR", at("nowhere")).env("GIT_WORK_TREE", at("nowhere"));
        command
    }

    /// Processes that were started with this place for temporary files, or keep something in it.
    fn living(&self) -> Vec<String> {
        let place = self.dir.path().as_os_str().as_bytes();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let of_it = |file: &str| {
                let mut bytes = Vec::new();
                // One that is gone has nothing to tell.
                let opened = std::fs::File::open(entry.path().join(file));
                let _ = opened.and_then(|file| file.take(1 << 20).read_to_end(&mut bytes));
                bytes.windows(place.len()).any(|w| w == place).then(|| {
                    let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    String::from_utf8_lossy(&command).replace('\0', " ")
                })
            };
            let is_process = entry.file_name().to_string_lossy().chars().all(|c| c.is_ascii_digit());
            if is_process && let Some(text) = of_it("cmdline").or_else(|| of_it("environ")) {
                found.push(format!("{}: {}", entry.file_name().to_string_lossy(), text));
            }
        }
        found
    }

    fn is_empty(&self, name: &str) -> bool {
        std::fs::read_dir(self.dir.path().join(name)).map_or(true, |mut entries| entries.next().is_none())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A test that fails leaves nothing either; a few rounds also find who was born meanwhile.
        for _ in 0..20 {
            let living = self.living();
            if living.is_empty() {
                return;
            }
            for pid in living.iter().filter_map(|p| p.split(':').next()?.parse().ok()) {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn played_to_its_end_it_prints_the_ledger_and_leaves_nothing() {
    let machine = Machine::new();
    let output = machine.demo(&["--headless", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(machine.living(), Vec::<String>::new());
    assert!(machine.is_empty("tmp") && machine.is_empty("data"));

    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], "wharf.demo/1");
    assert_eq!((&document["next"], document["hidden"].as_i64()), (&Value::Null, Some(0)));
    let runs = document["runs"].as_array().unwrap();
    let mut ended: BTreeMap<String, usize> = BTreeMap::new();
    for run in runs {
        let agent = run["agent"].as_str().unwrap();
        let status = run["status"].as_str().unwrap();
        *ended.entry(format!("{agent} {status}")).or_default() += 1;
        assert_eq!(run["log_sha256"].as_str().map(str::len), Some(64), "{run}");
        assert!(run["finished_at"].is_string() && run["workspace"].is_string(), "{run}");
        match agent {
            "builder" => assert_eq!(run["exit_code"], 3),
            "flood" => assert_eq!(run["stdout_bytes"], 32 << 20),
            "quiet" => assert_eq!((run["stdout_bytes"].as_i64(), run["stderr_bytes"].as_i64()), (Some(0), Some(0))),
            "stubborn" => {
                assert_eq!((run["signal"].as_str(), run["stop_reason"].as_str()), (Some("SIGKILL"), Some("operator")));
            }
            "fixer" => assert_eq!(run["issue"], "PIER-1"),
            _ => {}
        }
    }
    let expected = [
        ("builder failed", 1),
        ("fixer succeeded", 1),
        ("flood succeeded", 1),
        ("painter succeeded", 1),
        ("quiet succeeded", 1),
        ("stubborn cancelled", 1),
        ("visitor succeeded", 2),
    ];
    assert_eq!(ended, expected.map(|(key, count)| (key.to_owned(), count)).into());
}

#[test]
fn what_it_leaves_because_it_could_not_print_is_named() {
    let machine = Machine::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = machine.demo(&["--headless"]).stdout(full).output().unwrap();
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let place = said.lines().find_map(|l| l.trim().strip_prefix("wharf demo --remove ")).unwrap_or_default();
    assert!(Path::new(place).is_dir(), "{said}");
    assert!(machine.demo(&["--remove", place]).output().unwrap().status.success());
    assert!(!Path::new(place).exists());
}

#[test]
fn interrupted_it_ends_what_it_began() {
    let machine = Machine::new();
    let child = machine.demo(&["--headless", "--json"]).spawn().unwrap();
    let until = Instant::now() + LIMIT;
    while machine.living().iter().filter(|p| p.contains("wharf shim")).count() < 3 {
        assert!(Instant::now() < until, "nothing was started: {:?}", machine.living());
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", errors(&output));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((error["error"]["code"].as_str(), output.stdout.len()), (Some("cancelled"), 0));
    assert_eq!(machine.living(), Vec::<String>::new());
    assert!(machine.is_empty("tmp"));
}

#[test]
fn a_wrong_place_or_none_to_watch_at_is_refused() {
    let machine = Machine::new();
    let mine = machine.dir.path().join("home");
    let mine = mine.to_str().unwrap();
    let table: [(&[&str], i32, &str); 4] = [
        (&[], 2, "needs a terminal"),
        (&["--headless", "--dir", mine], 4, "is not empty"),
        (&["--remove", mine], 4, "nothing is removed"),
        (&["--remove", mine, "--headless"], 2, "cannot be used with"),
    ];
    for (args, code, words) in table {
        let output = machine.demo(args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(errors(&output).contains(words), "{args:?}: {}", errors(&output));
    }
    assert!(Path::new(mine).join(".gitconfig").exists() && machine.is_empty("tmp"));
}

#[test]
fn watched_it_opens_the_console_on_living_runs_and_is_removed_when_all_is_stopped() {
    let machine = Machine::new();
    let place = pty::Place::new(None);
    let tmp = machine.dir.path().join("tmp");
    let vars = [("TMPDIR", tmp.to_str().unwrap())];
    let mut console = pty::Console::open_as(&place, 140, 40, &vars, &["demo"]);
    console.see("8 running");
    console.see("1 service");
    assert!(!console.screen().contains("Recovered"), "what was begun for it is no surprise: {}", console.screen());
    console.send("q");
    console.see("Quit wharf?");
    console.send("s");
    console.see("y stop all and quit");
    // What is typed before it can have been read is dropped.
    std::thread::sleep(std::time::Duration::from_millis(200));
    console.send("y");
    assert_eq!(console.wait_end(), 0);
    console.assert_restored();
    console.see("the demo has ended and is removed");
    assert_eq!(machine.living(), Vec::<String>::new());
    assert!(machine.is_empty("tmp") && !place.data().exists(), "the operator's own data directory is left alone");
}

#[test]
fn left_running_it_says_how_to_come_back_and_is_removed_by_its_own_word() {
    let machine = Machine::new();
    let place = pty::Place::new(None);
    let tmp = machine.dir.path().join("tmp");
    let vars = [("TMPDIR", tmp.to_str().unwrap())];
    // Wide enough for each of the lines it leaves.
    let mut console = pty::Console::open_as(&place, 250, 40, &vars, &["demo"]);
    console.see("8 running");
    // A run is called running from its first step on; here its processes are to go on. Others keep
    // the set-up of its workspace for a moment.
    let shims = || machine.living().iter().filter(|p| p.contains("wharf shim") && p.contains("/data/runs/")).count();
    // A shim that was not handed its start message yet would end without a trace, to be started anew later.
    let begun = || {
        let living = machine.living();
        let of = |name: &str| living.iter().filter(|p| p.contains(&format!("agents/{name}.sh"))).count();
        let cast = ["fixer", "stubborn", "flood", "quiet", "painter", "builder"];
        cast.iter().all(|name| of(name) > 0) && of("visitor") > 1
    };
    pty::until(|| (shims() == 8 && begun()).then_some(()), || format!("{:?}", machine.living()));
    console.send("q");
    console.see("Leave them running");
    console.send("l");
    assert_eq!(console.wait_end(), 0);
    let said = console.see("remove: wharf demo --remove ");
    let line = |word: &str| {
        let found = said.lines().find_map(|l| l.strip_prefix(word));
        found.unwrap_or_else(|| panic!("no {word:?} in\n{said}")).trim().to_owned()
    };
    let dir = line("remove: wharf demo --remove ");
    assert_eq!(shims(), 8, "{:?}", machine.living());
    let open = line("open:   wharf ");
    let shown =
        Command::new(env!("CARGO_BIN_EXE_wharf")).args(open.split(' ')).args(["runs", "--json"]).output().unwrap();
    let runs: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(8), "{}", errors(&shown));

    let removed = machine.demo(&["--remove", &dir]).output().unwrap();
    assert_eq!(removed.status.code(), Some(0), "{}", errors(&removed));
    assert_eq!(machine.living(), Vec::<String>::new());
    assert!(machine.is_empty("tmp"));
}
