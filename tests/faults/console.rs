//! F1 to F8: the orchestrator and its console die, stop, are replaced, and come back.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wharf::process::identity;
use wharf::process::signal::{self, Signal};
use wharf_model::*;
use wharf_store::log::last_exit_frame;

use super::child::Plan;
use super::ground::{Ground, config, is_exhaustive, within_criterion};
use crate::orchestrator::{LIMIT, Site, WHARF, eventually};
use crate::pty::Console;

#[test]
pub fn f01_a_kill_while_twenty_runs_write() {
    const RUNS: usize = 20;
    let lines = if is_exhaustive() { 100_000 } else { 8_000 };
    let plans: Vec<Plan> = (0..4)
        .map(|n| Plan::new(n).lines(lines, 1_000).batch(100).gate(lines / 2, "gate").exit(n as i32 * 3))
        .collect();
    let agents: Vec<(String, &Plan)> = plans.iter().enumerate().map(|(n, p)| (format!("w{n}"), p)).collect();
    let agents: Vec<(&str, &str, &Plan)> =
        agents.iter().map(|(n, p)| (n.as_str(), "concurrent_runs = 20", *p)).collect();
    let mut ground = Ground::new("f01", 1, &config(&agents));
    ground.reign();
    let runs: Vec<RunId> = (0..4).flat_map(|n| ground.begin(&format!("w{n}"), RUNS / 4)).collect();
    for run in &runs {
        ground.site.wait_at_most(3 * LIMIT, "a start", || ground.site.run(*run).run.process_pid);
    }
    ground.kill_orchestrator();
    let began = Instant::now();
    ground.reign();
    for run in &runs {
        ground.site.wait("its adoption", || (ground.site.noted(*run, "run.adopted") == 1).then_some(()));
    }
    within_criterion("adoption of all", began, Duration::from_secs(1));
    ground.look("after the return");
    ground.open("gate");
    let world = ground.settle(&runs);
    for run in &world.runs {
        let code = (run.row.number - 1) / (RUNS as i64 / 4) * 3;
        assert_eq!(run.row.exit_code.map(i64::from), Some(code), "{}", run.name());
        assert_eq!(run.children.len(), 1, "{} kept its totals", run.name());
    }
}

#[test]
pub fn f03_a_recovery_that_is_killed_again_and_again() {
    let plan = Plan::new(3).lines(4_000, 400).batch(10).pause(Duration::from_millis(2)).gate(3_500, "gate").exit(5);
    let mut ground = Ground::new("f03", 3, &config(&[("patient", "", &plan)]));
    ground.reign();
    let runs = ground.begin("patient", 2);
    for run in &runs {
        ground.site.started(*run);
    }
    ground.kill_orchestrator();
    let (rounds, longest) = if is_exhaustive() { (50, 300) } else { (16, 120) };
    for _ in 0..rounds {
        let it = ground.site.spawn(&[]);
        ground.nemesis.pause(Duration::from_millis(longest));
        ground.nemesis.note("SIGKILL to an orchestrator that recovers");
        it.kill();
    }
    ground.look("after the last death");
    ground.open("gate");
    ground.reign();
    let world = ground.settle(&runs);
    for run in &world.runs {
        assert_eq!((run.row.status, run.row.exit_code, run.row.attempt), (RunStatus::Failed, Some(5), 1));
        assert_eq!(run.children.len(), 1, "one start");
    }
}

const TEN_MINUTES_MS: i64 = 600_000;

#[test]
pub fn f04_runs_end_while_nobody_is_there() {
    let plans: Vec<Plan> = [0, 3, 7].map(|code| Plan::new(4).lines(500, 500).gate(100, "gate").exit(code)).to_vec();
    let killed = Plan::new(4).lines(50, 0).gate(20, "gate").end(super::child::End::Signal(6));
    let agents = [("a", "", &plans[0]), ("b", "", &plans[1]), ("c", "", &plans[2]), ("d", "", &killed)];
    let mut ground = Ground::new("f04", 4, &config(&agents));
    ground.reign();
    let runs: Vec<RunId> = ["a", "b", "c", "d"].iter().flat_map(|name| ground.begin(name, 1)).collect();
    for run in &runs {
        ground.site.started(*run);
    }
    ground.kill_orchestrator();
    ground.open("gate");
    let ends: Vec<_> = runs
        .iter()
        .map(|run| eventually("an exit record", || last_exit_frame(&ground.dir(*run)).ok().flatten()))
        .collect();
    // Ten minutes later, by the clock of whoever finds it: its times are not those of the discovery.
    std::fs::write(ground.site.path("clock"), format!("{TEN_MINUTES_MS} 0\n")).unwrap();
    let clock = ground.site.path("clock");
    let later = UnixMillis(wharf::clock::now().0 + TEN_MINUTES_MS);
    ground.nemesis.note("the clock is set ten minutes ahead");
    let mut it = ground.site.spawn(&[("WHARF_TEST_CLOCK", clock.to_str().unwrap())]);
    assert!(it.wait_until_reigning(), "{}", it.said());
    ground.orchestrator = Some(it);
    let world = ground.settle(&runs);
    let expected = [Some(0), Some(3), Some(7), None];
    for ((run, end), code) in world.runs.iter().zip(&ends).zip(expected) {
        assert_eq!((run.row.exit_code, run.row.finished_at), (code, Some(UnixMillis(end.ended_ms))), "{}", run.name());
        assert_eq!(run.row.process_started_at, Some(UnixMillis(end.started_ms)), "{}", run.name());
        assert!(run.row.finished_at.unwrap().0 + TEN_MINUTES_MS - 5_000 < later.0, "{}", run.name());
        assert!(run.row.updated_at.0 >= later.0, "it was noted when it was found");
    }
    assert_eq!(world.runs[3].row.signal.as_deref(), Some("SIGABRT"));
}

#[test]
pub fn f05_the_holder_is_named_also_while_it_is_stopped() {
    let plan = Plan::new(5).gate(100, "gate");
    let mut ground = Ground::new("f05", 5, &config(&[("one", "", &plan)]));
    ground.reign();
    let runs = ground.begin("one", 1);
    ground.site.started(runs[0]);
    let first = ground.orchestrator.as_ref().unwrap();
    first.signal(Signal::STOP);
    let began = Instant::now();
    let mut second = ground.site.spawn(&[]);
    assert!(!second.wait_until_reigning(), "one reigns already");
    within_criterion("the answer of the second", began, Duration::from_secs(1));
    let said = second.said();
    assert!(said.contains(&first.pid().to_string()), "{said}");
    first.signal(Signal::CONT);
    ground.open("gate");
    let world = ground.settle(&runs);
    assert_eq!(world.runs[0].row.status, RunStatus::Succeeded);
}

#[test]
pub fn f05_the_lock_file_is_deleted_under_the_one_that_reigns() {
    let plan = Plan::new(50).gate(100, "gate").exit(3);
    let mut ground = Ground::new("f05-deleted", 50, &config(&[("one", "", &plan)]));
    ground.reign();
    let before = ground.begin("one", 1);
    ground.site.started(before[0]);
    ground.look("before the lock file goes");
    let lock = ground.site.data.join("orchestrator.lock");
    ground.nemesis.delete(&lock);
    let mut second = ground.site.spawn(&[]);
    let reigns = second.wait_until_reigning();
    let after = ground.begin("one", 1);
    ground.site.started(after[0]);
    let first = ground.orchestrator.as_mut().unwrap();
    if reigns {
        // The epoch in the store keeps the former one from writing; it ends and says why.
        let status = first.wait_for_end();
        assert!(!status.success() && first.said().contains("epoch"), "{status}: {}", first.said());
    } else {
        assert!(!first.has_ended() && !second.said().is_empty());
    }
    ground.open("gate");
    let world = ground.settle(&[before[0], after[0]]);
    assert!(world.runs.iter().all(|r| r.row.exit_code == Some(3) && r.children.len() == 1));
}

#[test]
pub fn f06_the_program_is_replaced_while_runs_live() {
    let plan = Plan::new(6).lines(600, 60).gate(300, "gate").exit(6);
    let mut ground = Ground::new("f06", 6, &config(&[("one", "", &plan)]));
    let program = ground.site.path("wharf");
    let put = || {
        let fresh = ground.site.path("wharf.new");
        std::fs::copy(WHARF, &fresh).unwrap();
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(fresh, &program).unwrap();
    };
    put();
    let argv = [program.to_str().unwrap(), "serve"];
    let mut it = ground.site.spawn_as(&argv, &[]);
    assert!(it.wait_until_reigning());
    let before = ground.begin("one", 1);
    ground.site.started(before[0]);
    // Replaced under the living one, which starts one more shim: its own path leads to a deleted file.
    put();
    let meanwhile = ground.begin("one", 1);
    ground.site.started(meanwhile[0]);
    it.kill();
    let mut next = ground.site.spawn_as(&argv, &[]);
    assert!(next.wait_until_reigning());
    for run in [before[0], meanwhile[0]] {
        ground.site.wait("the adoption", || (ground.site.noted(run, "run.adopted") == 1).then_some(()));
    }
    ground.open("gate");
    let world = ground.settle(&[before[0], meanwhile[0]]);
    assert!(world.runs.iter().all(|r| r.row.exit_code == Some(6) && r.row.attempt == 1));
    drop(next);
}

/// A terminal of the test's own, which it can take away.
struct Terminal {
    master: std::os::fd::OwnedFd,
    console: std::process::Child,
}

impl Terminal {
    /// The console on it, as its controlling terminal; `None` where `setsid` cannot do that.
    fn open(site: &Site) -> Option<Self> {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).ok()?;
        grantpt(&master).ok()?;
        unlockpt(&master).ok()?;
        let size = rustix::termios::Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).ok()?;
        let slave = ptsname(&master, Vec::new()).ok()?;
        let slave = std::fs::File::options().read(true).write(true).open(slave.to_str().ok()?).ok()?;
        let io = || Stdio::from(slave.try_clone().unwrap());
        let console = Command::new("setsid")
            .args(["-c", WHARF])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", site.path("home"))
            .env("XDG_CONFIG_HOME", site.path("config"))
            .env("WHARF_DATA_DIR", &site.data)
            .env("TERM", "xterm-256color")
            .env("LANG", "C.UTF-8")
            .current_dir(&site.project)
            .stdin(io())
            .stdout(io())
            .stderr(io())
            .spawn()
            .ok()?;
        Some(Self { master, console })
    }

    /// Reads what is drawn until these words have come.
    fn see(&mut self, words: &str) {
        let mut seen = Vec::new();
        let mut buffer = vec![0u8; 65_536];
        let master = std::fs::File::from(self.master.try_clone().unwrap());
        eventually(words, || {
            let mut fds = [rustix::event::PollFd::new(&master, rustix::event::PollFlags::IN)];
            let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            if rustix::event::poll(&mut fds, Some(&pause)).unwrap() > 0 {
                let n = (&master).read(&mut buffer).unwrap();
                seen.extend_from_slice(&buffer[..n]);
            }
            String::from_utf8_lossy(&seen).contains(words).then_some(())
        });
    }
}

/// The console is gone; its run is not, and ends as it would have under the next one.
fn goes_on_to_its_end(ground: &mut Ground, runs: &[RunId]) {
    assert!(!ground.site.processes_of(&ground.site.run(runs[0]).run).is_empty(), "the run goes on");
    ground.reign();
    ground.open("gate");
    let world = ground.settle(runs);
    assert_eq!((world.runs[0].row.exit_code, world.runs[0].children.len()), (Some(4), 1));
}

#[test]
pub fn f07_the_terminal_goes_away() {
    let plan = Plan::new(7).lines(400, 40).gate(200, "gate").exit(4);
    let mut ground = Ground::new("f07", 7, &config(&[("one", "", &plan)]));
    let Some(mut terminal) = Terminal::open(&ground.site) else {
        ground.skipped("no terminal could be made for a program of its own session");
        return;
    };
    terminal.see("No runs yet.");
    let runs = ground.begin("one", 1);
    ground.site.started(runs[0]);
    ground.look("before the terminal goes");
    let Terminal { master, mut console } = terminal;
    ground.nemesis.note("the terminal goes away");
    drop(master);
    let status = eventually("the end of the console", || console.try_wait().unwrap());
    // By the signal or by its own exit, and never by a crash.
    assert!(matches!(status.signal(), None | Some(1)), "{status}");
    assert_ne!(status.code(), Some(101), "a panic");
    let log = ground.site.log();
    assert!(!log.contains("panicked"), "{log}");
    goes_on_to_its_end(&mut ground, &runs);
}

#[test]
pub fn f08_a_panic_of_the_screen_ends_no_run() {
    let plan = Plan::new(8).lines(400, 40).gate(200, "gate").exit(4);
    let mut ground = Ground::new("f08", 8, &config(&[("one", "", &plan)]));
    let root = ground.site.root.path().canonicalize().unwrap();
    let mut console = Console::open_at(&root, 120, 40, &[("WHARF_DEBUG_PANIC", "1")], &[]);
    console.see("No runs yet.");
    let runs = ground.begin("one", 1);
    ground.site.started(runs[0]);
    ground.nemesis.note("a panic in the thread of the screen");
    console.send("\x1b[24~");
    assert_eq!(console.wait_end(), 1);
    console.assert_restored();
    assert!(console.screen().contains("this is a defect of it"), "{}", console.screen());
    assert!(ground.site.log().contains("asked for by WHARF_DEBUG_PANIC"));
    goes_on_to_its_end(&mut ground, &runs);
}

#[test]
pub fn f08_an_orchestrator_that_aborts_ends_no_run() {
    let plan = Plan::new(8).lines(400, 40).gate(200, "gate").exit(4);
    let mut ground = Ground::new("f08-abort", 8, &config(&[("one", "", &plan)]));
    ground.reign();
    let runs = ground.begin("one", 1);
    ground.site.started(runs[0]);
    ground.look("before the abort");
    let it = ground.orchestrator.take().unwrap();
    let me = identity::process(it.pid()).unwrap().unwrap();
    for signal in [Signal::ABORT, Signal::KILL] {
        ground.nemesis.note(format!("{signal:?} to the orchestrator"));
        let _gone_already = signal::send(me, signal).unwrap();
    }
    drop(it);
    ground.reign();
    ground.open("gate");
    let world = ground.settle(&runs);
    assert_eq!((world.runs[0].row.exit_code, world.runs[0].children.len()), (Some(4), 1));
}
