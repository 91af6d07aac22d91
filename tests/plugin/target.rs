//! Commands in a plugin's place, through the command of this machine that stands for them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use wharf::environment::driver::{Driver, Held, Outcome};
use wharf::environment::target::{Inside, Wrapped};

use crate::bench::*;

/// A lease to run commands with.
struct Ground {
    bench: Bench,
    driver: Arc<dyn Driver>,
    held: Held,
    runtime: tokio::runtime::Runtime,
}

impl Ground {
    fn new(make: impl FnOnce(&Bench) -> Arc<dyn Driver>) -> Self {
        let bench = Bench::new();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (driver, held) = runtime.block_on(async {
            let driver = make(&bench);
            let asked = ask();
            let place = acquire(&*driver, &asked).await;
            (driver, held(&asked, &place))
        });
        Self { bench, driver, held, runtime }
    }

    fn places() -> Self {
        Self::new(|bench| bench.places(json!({})))
    }

    fn wrapped(&self, script: &str, tag: &str) -> Wrapped {
        let target = done(self.runtime.block_on(self.driver.target(&self.held, None)));
        let own = BTreeMap::from([("WHARF_TAG".into(), tag.to_owned()), ("KEY".into(), "hidden-value".into())]);
        let allowed =
            BTreeMap::from([("PATH".into(), std::env::var("PATH").unwrap()), ("HOME".into(), "/here".into())]);
        let argv = ["sh", "-c", script].map(str::to_owned);
        let inside = Inside { argv: &argv, cwd: "/tmp", allowed: &allowed, own: &own, tty: false, here: "/" };
        target.wrap(&inside)
    }

    fn start(&self, script: &str, tag: &str, stdin: &[u8]) -> Child {
        let wrapped = self.wrapped(script, tag);
        assert!(!wrapped.argv.join(" ").contains("hidden-value"), "{wrapped:?}");
        let mut command = Command::new(&wrapped.argv[0]);
        command.args(&wrapped.argv[1..]).current_dir(&wrapped.cwd).env_clear().envs(&wrapped.env);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(wrapped.first_line.unwrap().as_bytes()).unwrap();
        input.write_all(stdin).unwrap();
        child
    }

    fn run(&self, script: &str) -> Output {
        self.start(script, "run/x/1", b"").wait_with_output().unwrap()
    }

    fn list(&self, tag: &str) -> usize {
        done(self.runtime.block_on(self.driver.list(&self.held, tag))).len()
    }

    /// Ends everything and sees that nothing is left.
    fn end(self) {
        done(self.runtime.block_on(self.driver.release(&self.held, Outcome::Released)));
        self.runtime.block_on(self.bench.plugins.close());
        self.bench.all_gone();
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_command_there_is_like_one_here() {
    if !has_python() {
        return;
    }
    let ground = Ground::places();
    let mut child =
        ground.start("cat; printf '%s %s' \"$KEY\" \"$PWD\"; printf err >&2; exit 7", "run/x/1", b"a\0\xffb");
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), out.as_slice()), (Some(7), &b"a\0\xffbhidden-value /tmp"[..]));
    assert_eq!(text(&output.stderr), "err");
    let output = ground.run("kill -SEGV $$");
    assert_eq!(output.status.signal(), Some(11), "{output:?}");
    let output = ground.run("printf '%s' \"$HOME\"");
    assert_ne!(text(&output.stdout), "/here", "who we are here means nothing there");
    let output = ground.run("exec no-such-program-there");
    assert_eq!(output.status.code(), Some(127), "{output:?}");
    ground.end();
}

#[test]
fn output_comes_as_it_is_written_and_longer_than_a_call_may_take() {
    if !has_python() {
        return;
    }
    let ground = Ground::new(|bench| {
        let config = json!({ "command": "./places.py", "driver": "places", "timeout": "900ms" });
        wharf::environment::registry::driver(wharf_model::Driver::Plugin, &config, &bench.site()).unwrap()
    });
    let mut child = ground.start("echo one; sleep 1; echo two; sleep 2; exit 3", "run/x/1", b"");
    let mut out = child.stdout.take().unwrap();
    let mut bytes = [0; 8];
    out.read_exact(&mut bytes).unwrap();
    let seen = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(text(&bytes), "one\ntwo\n");
    assert!(seen.elapsed() >= Duration::from_secs(1), "the last line came {:?} before the end", seen.elapsed());
    ground.end();
}

#[test]
fn it_is_stopped_as_a_command_here_is() {
    if !has_python() {
        return;
    }
    let ground = Ground::places();
    let ready = |script: &str| {
        let mut child = ground.start(script, "run/x/1", b"");
        let mut line = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        child
    };
    let mut child = ready("echo ready; exec sleep 60");
    assert_eq!(ground.list("run/x/1"), 1);
    assert_eq!(ground.list("run/x/2"), 0);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    assert_eq!(ground.list("run/x/1"), 0);

    let mut child = ready("trap '' TERM; echo ready; sleep 60; sleep 60; sleep 60");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    // Whoever asks again does not want to wait.
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert_eq!(ground.list("run/x/1"), 0);
    ground.end();
}

/// The plugin of a command dies, again and again; the next instance goes on at the byte.
#[test]
fn a_plugin_that_dies_loses_no_byte_and_begins_nothing_twice() {
    if !has_python() {
        return;
    }
    let ground = Ground::places();
    let before = ground.bench.processes();
    let begun = ground.bench.path("begun");
    let script = format!(
        "echo begun >> {}; i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; sleep 0.1; done; exit 5",
        begun.display()
    );
    let mut child = ground.start(&script, "run/x/1", b"");
    let mut out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = String::new();
        out.read_to_string(&mut all).unwrap();
        all
    });
    for _ in 0..2 {
        until("the command's own instance runs", || {
            ground.list("run/x/1") > 0 && plugin_of(&ground.bench, &before, &child).is_some()
        });
        let plugin = plugin_of(&ground.bench, &before, &child).unwrap();
        kill_process(Pid::from_raw(plugin).unwrap(), Signal::KILL).unwrap();
        until("it is gone", || plugin_of(&ground.bench, &before, &child) != Some(plugin));
    }
    assert_eq!(child.wait().unwrap().code(), Some(5));
    let expected: String = (1..=40).map(|i| format!("line {i}\n")).collect();
    assert_eq!(reader.join().unwrap(), expected);
    assert_eq!(std::fs::read_to_string(&begun).unwrap(), "begun\n");
    ground.end();
}

/// The instance of the plugin that a target has started: its child.
fn plugin_of(bench: &Bench, before: &[i32], target: &Child) -> Option<i32> {
    let is_child = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse::<u32>().ok());
        parent == Some(target.id())
    };
    bench.processes().into_iter().filter(|pid| !before.contains(pid)).find(is_child)
}

/// The console is killed: what it started goes on. Its target is killed: the place still knows what runs there.
#[test]
fn what_runs_there_outlives_whoever_watched_it() {
    if !has_python() {
        return;
    }
    let ground = Ground::places();
    let wrapped = ground.wrapped("echo one; sleep 1; echo two", "run/x/1");
    let (input, output) = (ground.bench.path("input"), ground.bench.path("output"));
    std::fs::write(&input, wrapped.first_line.unwrap()).unwrap();
    // The shell gives what is in the background no input of its own.
    let script = "exec 3<&0; \"$@\" <&3 & wait";
    let mut console = {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).args(&wrapped.argv).env_clear().envs(&wrapped.env).process_group(0);
        command.stdin(std::fs::File::open(&input).unwrap()).stdout(std::fs::File::create(&output).unwrap());
        command.spawn().unwrap()
    };
    let written = || std::fs::read_to_string(&output).unwrap();
    until("it has begun", || written() == "one\n");
    kill_process(Pid::from_child(&console), Signal::KILL).unwrap();
    console.wait().unwrap();
    until("it has gone on", || written() == "one\ntwo\n");

    let mut child = ground.start("echo ready; sleep 60", "run/y/1", b"");
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ground.list("run/y/1"), 2, "it still runs, and the place says so");
    let stop = ground.driver.stop(&ground.held, "run/y/1", Duration::from_millis(500));
    assert_eq!(done(ground.runtime.block_on(stop)), []);
    ground.end();
}

#[test]
fn what_is_not_known_is_never_a_success() {
    if !has_python() {
        return;
    }
    for (mode, words) in [
        ("die-in-execute", "broke off while the command ran"),
        ("hole", "its output has a hole"),
        ("lost", "output is lost"),
        ("no-end", "neither exitCode nor signal"),
    ] {
        let ground = Ground::new(|bench| bench.bad(mode));
        let output = ground.run("true");
        assert_eq!(output.status.code(), Some(125), "{mode}: {output:?}");
        assert!(text(&output.stderr).contains(words), "{mode}: {output:?}");
        assert!(!text(&output.stderr).contains("quoted"), "{output:?}");
    }
    let ground = Ground::new(|bench| bench.bad("twice"));
    let output = ground.run("true");
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), "one two three"),
        "what came twice is written once"
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_wharf"));
    child.args(["target", "plugin", "--cwd", "/", "--", "true"]).stdin(Stdio::null());
    let output = child.output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
}
