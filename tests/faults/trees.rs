//! F9 to F20: shims die, trees of processes resist, and starts go wrong.

use std::io::BufRead as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use wharf::process::identity;
use wharf::process::signal::{self, Signal};
use wharf_model::shim::{LimitsReport, limit};
use wharf_model::*;
use wharf_store::log::LogReader;

use super::child::{Also, End, Plan};
use super::ground::{Ground, Note, config, is_exhaustive, is_quiet, within_criterion};
use crate::orchestrator::{Site, WHARF, agent, eventually};

/// Control records of a run's log with their times, nanoseconds since the shim's start.
fn records(ground: &Ground, run: RunId, t: &str) -> Vec<(u64, Value)> {
    let mut log = LogReader::open(&ground.dir(run)).unwrap();
    let start = log.start();
    let frames = log.control_frames(start, 10_000).unwrap().frames;
    frames.into_iter().filter(|f| f.t() == Some(t)).map(|f| (f.ns, f.body.unwrap())).collect()
}

/// Milliseconds between two records, and whether they are as a criterion says (more is allowed on a busy machine).
fn assert_between(from: u64, to: u64, ms: std::ops::RangeInclusive<u64>) {
    let took = to.saturating_sub(from) / 1_000_000;
    let most = if is_quiet() { *ms.end() } else { ms.end() + 3_000 };
    assert!((*ms.start()..=most).contains(&took), "{took} ms, {ms:?} are right");
}

#[test]
pub fn f09_a_shim_that_is_killed_during_output() {
    let flood = Plan::new(9).flood().also(Also::Setsid).also(Also::Deaf);
    let other = Plan::new(10).lines(2_000, 200).batch(10).pause(Duration::from_millis(10)).exit(3);
    let mut ground = Ground::new("f09", 9, &config(&[("flood", "grace = \"300ms\"", &flood), ("other", "", &other)]));
    ground.reign();
    let (flood, other) = (ground.begin("flood", 1)[0], ground.begin("other", 1)[0]);
    ground.site.started(other);
    ground.wrote(flood, 2_000_000);
    ground.look("before the death");
    let began = Instant::now();
    ground.signal_shim(flood, Signal::KILL);
    let row = ground.site.run(flood).run;
    eventually("the end of its tree", || ground.site.processes_of(&row).is_empty().then_some(()));
    within_criterion("the end of its tree", began, Duration::from_secs(2));
    let world = ground.settle(&[flood, other]);
    let [lost, whole] = &world.runs[..] else { panic!("two runs") };
    assert_eq!((lost.row.status, lost.row.error_code.as_deref()), (RunStatus::Lost, Some("process_lost")));
    assert!(lost.row.stdout_bytes.unwrap() > 1_000_000, "what was written until then is kept");
    assert_eq!((ground.site.noted(flood, "run.lost"), ground.site.noted(flood, "run.ended")), (1, 1));
    assert_eq!(ground.site.run(flood).lease.unwrap().lease.status, LeaseStatus::Failed);
    assert_eq!((whole.row.exit_code, whole.children.len()), (Some(3), 1));
}

#[test]
pub fn f09_a_shim_that_is_killed_while_nobody_is_there() {
    let flood = Plan::new(9).flood().also(Also::Setsid);
    let mut ground = Ground::new("f09-alone", 9, &config(&[("flood", "grace = \"300ms\"", &flood)]));
    ground.reign();
    let runs = ground.begin("flood", 1);
    ground.wrote(runs[0], 1_000_000);
    ground.kill_orchestrator();
    ground.signal_shim(runs[0], Signal::KILL);
    ground.reign();
    let world = ground.settle(&runs);
    assert_eq!(world.runs[0].row.status, RunStatus::Lost);
}

#[test]
pub fn f09_a_shim_that_is_stopped_is_not_taken_for_lost() {
    let plan = Plan::new(9).gate(50, "gate").exit(4);
    let mut ground = Ground::new("f09-stopped", 9, &config(&[("one", "", &plan)]));
    ground.reign();
    let runs = ground.begin("one", 1);
    ground.site.started(runs[0]);
    ground.kill_orchestrator();
    ground.signal_shim(runs[0], Signal::STOP);
    ground.reign();
    // It holds its lock and says nothing: that is no end.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(ground.site.run(runs[0]).run.status, RunStatus::Running);
    ground.signal_shim(runs[0], Signal::CONT);
    ground.open("gate");
    let world = ground.settle(&runs);
    assert_eq!((world.runs[0].row.exit_code, world.runs[0].children.len()), (Some(4), 1));
}

/// Every kill point of a shim; the tests of F10 die at each.
pub const SHIM_POINTS: [&str; 11] = [
    "shim.locked",
    "shim.id_written",
    "shim.child_spawned",
    "shim.child_id_written",
    "shim.first_frame",
    "shim.exit_frame_written",
    "shim.exit_synced",
    "shim.exit_json",
    "shim.stop_recorded",
    "shim.term_sent",
    "shim.kill_sent",
];

#[test]
pub fn f10_a_shim_that_dies_while_it_stops_its_child() {
    let _note = Note::begin("f10-stop");
    std::thread::scope(|scope| {
        for point in &SHIM_POINTS[8..] {
            scope.spawn(move || {
                let plan = Plan::new(10).end(End::Never).also(Also::Deaf).also(Also::Setsid);
                let mut ground = Ground::new("f10-stopped", 10, &config(&[("one", "", &plan)]));
                let mut it = ground.site.spawn(&[("WHARF_KILL_POINT", point)]);
                assert!(it.wait_until_reigning(), "{point}");
                ground.nemesis.note(format!("SIGKILL at {point}"));
                let runs = ground.begin("one", 1);
                ground.wrote(runs[0], 20_000);
                let request = ground.site.cancel(runs[0], 200);
                let world = ground.settle(&runs);
                let row = &world.runs[0].row;
                assert_eq!((row.status, row.attempt), (RunStatus::Lost, 1), "{point}: {:?}", row.error);
                assert_eq!(ground.site.finished(request).status, RequestStatus::Done, "{point}");
            });
        }
    });
}

#[test]
pub fn f10_a_shim_that_dies_between_two_of_its_steps() {
    // Where it dies, whether the child has run then, and what is known of its end.
    let cases = [
        ("shim.locked", false, RunStatus::Lost, None),
        ("shim.id_written", false, RunStatus::Lost, None),
        ("shim.child_spawned", false, RunStatus::Lost, None),
        ("shim.child_id_written", false, RunStatus::Lost, None),
        ("shim.first_frame", true, RunStatus::Lost, None),
        ("shim.exit_frame_written", true, RunStatus::Failed, Some(7)),
        ("shim.exit_synced", true, RunStatus::Failed, Some(7)),
        ("shim.exit_json", true, RunStatus::Failed, Some(7)),
    ];
    assert!(cases.iter().all(|case| SHIM_POINTS[..8].contains(&case.0)) && cases.len() == 8);
    let _note = Note::begin("f10");
    std::thread::scope(|scope| {
        for (point, runs, status, code) in cases {
            scope.spawn(move || {
                let plan = Plan::new(10).lines(50, 10).exit(7);
                let mut ground = Ground::new("f10-point", 10, &config(&[("one", "grace = \"100ms\"", &plan)]));
                let mut it = ground.site.spawn(&[("WHARF_KILL_POINT", point)]);
                assert!(it.wait_until_reigning(), "{point}");
                ground.nemesis.note(format!("SIGKILL at {point}"));
                let begun = ground.begin("one", 1);
                let world = ground.settle(&begun);
                let run = &world.runs[0];
                assert_eq!((run.row.status, run.row.exit_code), (status, code), "{point}: {:?}", run.row.error);
                // One that dies with its first frame may take the child along before it counts anything.
                assert!(runs || run.children.is_empty(), "{point}: the child ran");
                assert_eq!(run.row.attempt, 1, "{point}: started once");
                // The next one finds nothing left to do.
                drop(it);
                ground.reign();
                ground.at_rest();
                assert_eq!(ground.site.all_runs().len(), 1, "{point}");
            });
        }
    });
}

#[test]
pub fn f11_a_child_that_ignores_the_request() {
    let deaf = Plan::new(11).end(End::Never).also(Also::Deaf);
    let mut ground = Ground::new("f11", 11, &config(&[("deaf", "", &deaf)]));
    ground.reign();
    let runs = ground.begin("deaf", 1);
    ground.wrote(runs[0], 20_000);
    ground.site.cancel(runs[0], 500);
    let world = ground.settle(&runs);
    let row = &world.runs[0].row;
    assert_eq!((row.status, row.signal.as_deref()), (RunStatus::Cancelled, Some("SIGKILL")));
    assert!(row.error.as_ref().is_some_and(|e| e.contains("1 killed after the grace")), "{:?}", row.error);
    let asked = records(&ground, runs[0], "stop_requested")[0].0;
    let killed = records(&ground, runs[0], "signal_sent");
    let (killed, _) = killed.iter().find(|(_, r)| r["signal"] == "SIGKILL").unwrap_or_else(|| panic!("{killed:?}"));
    assert_between(asked, *killed, 495..=600);
}

#[test]
pub fn f12_a_tree_that_hides_in_every_way() {
    let tree = Plan::new(12).end(End::Never).also(Also::Deaf).also(Also::Daemon).also(Also::Setsid).also(Also::Holder);
    let mut ground = Ground::new("f12", 12, &config(&[("tree", "", &tree)]));
    ground.reign();
    let runs = ground.begin("tree", 1);
    ground.wrote(runs[0], 20_000);
    let row = ground.site.run(runs[0]).run;
    // The child, and two shells with a sleep each.
    eventually("the tagged tree", || (ground.site.processes_of(&row).len() >= 5).then_some(()));
    // The one with another name has written over its environment too: no tag tells of it, only its descent.
    let daemon = eventually("the daemon", || {
        let pid = ground.site.lines("daemon").first()?.parse().ok()?;
        std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().filter(|comm| comm == "innocent\n")?;
        identity::process(pid).unwrap()
    });
    ground.site.cancel(runs[0], 300);
    let world = ground.settle(&runs);
    assert_eq!(world.runs[0].row.status, RunStatus::Cancelled);
    assert!(!identity::is_alive(daemon).unwrap(), "the daemon lives");
    let asked = records(&ground, runs[0], "stop_requested")[0].0;
    let over = records(&ground, runs[0], "exit")[0].0;
    assert_between(asked, over, 300..=1_300);
}

#[test]
pub fn f13_a_bounded_fork_bomb_is_ended() {
    // Each of them renews itself as fast as it can and ignores the request; their number is bounded.
    let many = if is_exhaustive() { 400 } else { 80 };
    let bomb = format!(
        "$SIG{{TERM}} = \"IGNORE\"; $SIG{{CHLD}} = \"IGNORE\"; for (1..{many}) {{ last unless fork }} \
         while (1) {{ my $p = fork; next unless defined $p; if ($p) {{ exit }} select undef, undef, undef, 0.02 }}"
    );
    let mut ground = Ground::new("f13", 13, &agent("bomb", "", &format!("exec perl -e '{bomb}'")));
    ground.reign();
    let runs = ground.begin("bomb", 1);
    ground.site.started(runs[0]);
    let row = ground.site.run(runs[0]).run;
    eventually("the bomb", || {
        let row = ground.site.run(runs[0]).run;
        (row.status.is_terminal() || ground.site.processes_of(&row).len() >= 10).then_some(())
    });
    let began = Instant::now();
    ground.site.cancel(runs[0], 100);
    ground.settle(&runs);
    assert_eq!(ground.site.processes_of(&row), Vec::<String>::new());
    within_criterion("the end of the bomb", began, Duration::from_secs(3));
}

#[test]
pub fn f14_a_grandchild_that_holds_the_output_open() {
    let holder = Plan::new(14).lines(100, 10).exit(6).also(Also::Holder);
    let late = agent("late", "", "(trap 'echo late; exit' TERM; while :; do sleep 0.02; done) & echo done; exit 3");
    let mut ground = Ground::new("f14", 14, &(config(&[("holder", "", &holder)]) + &late));
    ground.reign();
    let (holder, late) = (ground.begin("holder", 1)[0], ground.begin("late", 1)[0]);
    let world = ground.settle(&[holder, late]);
    for (run, code) in world.runs.iter().zip([6, 3]) {
        assert_eq!((run.row.exit_code, run.row.leaky, run.row.status), (Some(code), true, RunStatus::Failed));
        let exited = records(&ground, run.row.id, "child_exited")[0].0;
        assert_between(exited, records(&ground, run.row.id, "leaky")[0].0, 0..=300);
    }
    let text = crate::pty::stream(&ground.dir(late), wharf_store::log::Stream::Stdout);
    assert_eq!(String::from_utf8_lossy(&text), "done\nlate\n", "what came until it was stopped is kept");
}

/// A process that is none of wharf's, and notes every signal it gets.
struct Stranger {
    child: std::process::Child,
    note: std::path::PathBuf,
}

impl Stranger {
    fn new(site: &Site) -> Self {
        let note = site.path("signals");
        let script = "for s in HUP INT QUIT USR1 USR2 PIPE ALRM TERM CONT; do trap \"echo $s >> $NOTE\" $s; done; \
                      echo up >> $NOTE; while :; do sleep 0.05; done";
        let mut command = Command::new("sh");
        command.args(["-c", script]).env_remove("WHARF_TAG").env("NOTE", &note).stdin(Stdio::null());
        let child = std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn().unwrap();
        eventually("the stranger", || note.exists().then_some(()));
        Self { child, note }
    }

    fn assert_untouched(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "it was ended");
        assert_eq!(std::fs::read_to_string(&self.note).unwrap(), "up\n", "it got signals");
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes the shim and its whole tree away while nobody reigns, and lets `forge` rewrite what it noted of itself.
fn dead_run(ground: &mut Ground, forge: impl FnOnce(&mut Value)) -> RunId {
    ground.reign();
    let run = ground.begin("one", 1)[0];
    ground.wrote(run, 5_000);
    let row = ground.site.started(run);
    ground.kill_orchestrator();
    ground.signal_shim(run, Signal::KILL);
    let tag = format!("run/{}/{}", row.id, row.attempt);
    wharf::process::terminate::tagged(&tag, Duration::ZERO, &[]).unwrap();
    let path = ground.dir(run).join("id.json");
    let mut id: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    forge(&mut id);
    ground.nemesis.note(format!("rewrites {} to {id}", path.display()));
    std::fs::write(path, id.to_string()).unwrap();
    run
}

#[test]
pub fn f15_a_number_that_a_stranger_has_now() {
    let plan = Plan::new(15).end(End::Never);
    let mut ground = Ground::new("f15", 15, &config(&[("one", "grace = \"100ms\"", &plan)]));
    let mut stranger = Stranger::new(&ground.site);
    let pid = stranger.child.id();
    // As after the number space went round: its numbers, but not its times of start.
    let run = dead_run(&mut ground, |id| {
        for part in ["shim", "child"] {
            id[part]["pid"] = pid.into();
        }
        (id["child"]["pgid"], id["child"]["sid"]) = (pid.into(), pid.into());
    });
    ground.reign();
    let world = ground.settle(&[run]);
    assert_eq!((world.runs[0].row.status, world.runs[0].row.attempt), (RunStatus::Lost, 1));
    stranger.assert_untouched();
}

#[test]
pub fn f16_state_of_another_boot() {
    let plan = Plan::new(16).end(End::Never);
    let mut ground = Ground::new("f16", 16, &config(&[("one", "grace = \"100ms\"", &plan)]));
    let mut stranger = Stranger::new(&ground.site);
    let it = identity::process(stranger.child.id() as i32).unwrap().unwrap();
    // The same numbers and the same ticks live; only the boot is another.
    let run = dead_run(&mut ground, |id| {
        for part in ["shim", "child"] {
            (id[part]["pid"], id[part]["start_ticks"]) = (it.pid.into(), it.start_ticks.into());
        }
        (id["child"]["pgid"], id["child"]["sid"]) = (it.pid.into(), it.pid.into());
        id["boot_id"] = "00000000-0000-4000-8000-000000000000".into();
    });
    ground.reign();
    let world = ground.settle(&[run]);
    let row = &world.runs[0].row;
    assert_eq!((row.status, row.exit_code), (RunStatus::Lost, None));
    assert_eq!(ground.site.noted(run, "run.adopted"), 0, "nothing is adopted");
    let evidence = format!("{:?} {:?}", row.error, row.error_detail);
    assert!(evidence.contains("restarted"), "it says why: {evidence}");
    stranger.assert_untouched();
}

#[test]
pub fn f17_memory_runs_out() {
    // What the kernel does in the end is a SIGKILL that nobody of ours sent; one of somebody else's is none.
    let killed = Plan::new(17).lines(300, 30).end(End::Signal(9));
    let limits = "retry_lost = false\nlimits = { memory = \"32MiB\" }";
    let eater = "ulimit -v 1000000; exec perl -e 'my ($i, @m) = 0; push @m, \"x\" x (1000000 + $i++) while 1'";
    let mut ground = Ground::new("f17", 17, &(config(&[("killed", "", &killed)]) + &agent("eater", limits, eater)));
    ground.reign();
    let eater = ground.begin("eater", 1)[0];
    ground.settle(&[eater]);
    let killed = ground.begin("killed", 1)[0];
    let world = ground.settle(&[eater, killed]);
    let row = &world.runs[1].row;
    assert_eq!((row.status, row.signal.as_deref(), row.exit_code), (RunStatus::Failed, Some("SIGKILL"), None));
    assert!(!row.oom, "{:?}", row.error);
    let (row, report) = (&world.runs[0].row, limits_of(&ground, eater));
    let told = ground.site.events(eater).into_iter().filter(|e| e.event_type == "limits").count();
    if let Some(why) = report.unenforced.get(limit::MEMORY) {
        assert_eq!((row.status, row.oom, told), (RunStatus::Failed, false, 1), "it goes on without: {:?}", row.error);
        ground
            .skipped(&format!("the kernel keeps no cap of memory here ({why}); only a SIGKILL from outside was tried"));
        return;
    }
    assert_eq!((row.status, row.signal.as_deref(), row.oom), (RunStatus::Failed, Some("SIGKILL"), true));
    assert_eq!(row.signal_reason.as_deref(), Some("out_of_memory"));
    assert!(row.error.as_ref().is_some_and(|e| e.contains("(out of memory)")), "{:?}", row.error);
    assert!(report.oom_kills >= 1 && report.by.is_some() && told == 2, "{told} {report:?}");
}

/// What the execute step of a run keeps of its limits.
fn limits_of(ground: &Ground, run: RunId) -> LimitsReport {
    let detail = ground.site.run(run);
    let step = detail.steps.iter().find(|s| s.step == Step::Execute).unwrap();
    LimitsReport::of_step(step.detail.as_ref()).unwrap()
}

#[test]
pub fn f18_a_child_that_is_stopped_or_has_dead_children() {
    let stopped = Plan::new(18).lines(50, 5).end(End::StopSelf);
    let zombies =
        agent("zombies", "", "exec perl -e 'for (1..20) { exit unless fork } $| = 1; print \"up\\n\"; sleep 600'");
    let mut ground = Ground::new("f18", 18, &(config(&[("stopped", "", &stopped)]) + &zombies));
    ground.reign();
    let (one, other) = (ground.begin("stopped", 1)[0], ground.begin("zombies", 1)[0]);
    let state = |run: RunId| {
        let pid = ground.site.run(run).run.process_pid?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(") ").next()?.chars().next()
    };
    ground.site.started(one);
    ground.site.started(other);
    eventually("the child to stop itself", || {
        let row = ground.site.run(one).run;
        assert!(!row.status.is_terminal(), "it ended: {:?} {:?}", row.error, row.signal);
        (state(one) == Some('T')).then_some(())
    });
    assert_eq!(ground.site.run(one).run.status, RunStatus::Running, "stopped is not ended");
    // Told to end, it is let go first; the grace is far from over when it has ended.
    let began = Instant::now();
    ground.site.cancel(one, 60_000);
    ground.site.cancel(other, 60_000);
    let world = ground.settle(&[one, other]);
    assert!(began.elapsed() < Duration::from_secs(50), "the stop rule works on both");
    assert!(world.runs.iter().all(|r| r.row.status == RunStatus::Cancelled));
    assert_eq!(world.runs[0].row.signal.as_deref(), Some("SIGTERM"));
}

/// What `wharf show` says of a run: its document, and its words.
fn shown(ground: &Ground, run: RunId) -> (Value, String) {
    let wharf = |more: &[&str]| {
        let mut command = Command::new(WHARF);
        command.args(["show", &run.text()]).args(more).env("WHARF_DATA_DIR", &ground.site.data);
        let output = command.current_dir(&ground.site.project).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let document: Value = serde_json::from_str(&wharf(&["--json"])).unwrap();
    (document["run"].clone(), wharf(&[]))
}

/// Holds a process as a debugger does, until it is dropped; none where that cannot be done.
fn trace(pid: i32) -> Result<std::process::Child, String> {
    // PTRACE_ATTACH; every kind of child is waited for. The second wait ends with the child.
    let script = format!(
        "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\n\
         e = c.ptrace(16, {pid}, None, None)\n\
         print('refused' if e else 'held', ctypes.get_errno(), flush=True)\n\
         e or (os.waitpid({pid}, 0x40000000), os.waitpid({pid}, 0x40000000))\n"
    );
    let mut tracer = Command::new("python3")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("there is no python3 to trace with: {e}"))?;
    let mut said = String::new();
    std::io::BufReader::new(tracer.stdout.take().unwrap()).read_line(&mut said).unwrap();
    if said.starts_with("held") {
        return Ok(tracer);
    }
    let _ = tracer.wait();
    Err(format!("a process may not be traced here: {said:?}"))
}

#[test]
pub fn f18_a_child_that_is_stopped_or_traced_is_shown_so() {
    let stopped = Plan::new(18).lines(5, 5).end(End::StopSelf);
    let waits = agent("waits", "timeout = \"0s\"", "exec perl -e '$| = 1; print \"up\\n\"; sleep 600'");
    let late = agent("late", "timeout = \"1s\"\ngrace = \"200ms\"", "kill -STOP $$; trap '' TERM; sleep 600");
    let mut ground = Ground::new("f18-shown", 18, &(config(&[("stopped", "", &stopped)]) + &waits + &late));
    ground.reign();
    let (one, other) = (ground.begin("stopped", 1)[0], ground.begin("waits", 1)[0]);
    let pid = ground.site.started(one).process_pid.unwrap();
    let root = ground.site.root.path().canonicalize().unwrap();
    let mut console = crate::pty::Console::open_at(&root, 160, 45, &[], &[]);
    let (document, words) = eventually("the halt in the document", || {
        Some(shown(&ground, one)).filter(|(document, _)| document["halted_at"].is_string())
    });
    assert_eq!((&document["halted"], &document["halted_signal"]), (&"stopped".into(), &"SIGSTOP".into()));
    assert_eq!((&document["class"], &document["status"]), (&"doubtful".into(), &"running".into()));
    assert!(words.contains("stopped by SIGSTOP since "), "{words}");
    assert!(words.contains(&format!("wharf does nothing; `kill -CONT {pid}` lets it go on")), "{words}");
    // Nothing is committed when a process is stopped: the console sees it by itself.
    console.see("◐ stopped");
    console.see("SIGSTOP ");
    console.send("jtd");
    console.see("stopped by SIGSTOP since ");
    console.see(&format!("kill -CONT {pid}"));
    assert_eq!(records(&ground, one, "child_stopped").len(), 1);

    let held_pid = ground.site.started(other).process_pid.unwrap();
    match trace(held_pid) {
        Err(why) => {
            ground.skipped(&why);
            ground.site.cancel(other, 200);
        }
        Ok(mut tracer) => {
            let (document, words) = eventually("the tracer in the document", || {
                Some(shown(&ground, other)).filter(|(document, _)| document["halted"] == "traced")
            });
            assert_eq!(document["tracer_pid"].as_u64(), Some(u64::from(tracer.id())), "{document}");
            assert!(words.contains(&format!("traced by pid {}", tracer.id())), "{words}");
            console.see("◐ traced");
            console.see(&format!("by pid {}", tracer.id()));
            // The kill of the stop rule reaches one that is traced as well.
            ground.site.cancel(other, 200);
            let row = ground.site.settled(other);
            assert_eq!((row.status, row.signal.as_deref()), (RunStatus::Cancelled, Some("SIGKILL")));
            tracer.wait().unwrap();
        }
    }

    // Let go, it is as any other; and it ends as it would have.
    let child = identity::process(pid).unwrap().unwrap();
    assert!(signal::send(child, Signal::CONT).unwrap());
    let row = ground.site.settled(one);
    assert_eq!((row.status, row.exit_code), (RunStatus::Succeeded, Some(0)));
    assert_eq!(shown(&ground, one).0["halted"], Value::Null);
    console.gone("◐ stopped");

    // The time of one that stands still runs out as that of any other.
    let late = ground.begin("late", 1)[0];
    let world = ground.settle(&[one, other, late]);
    assert_eq!(world.runs[2].row.status, RunStatus::TimedOut);
    assert_eq!(records(&ground, late, "child_stopped").len(), 1);
    console.send("q");
    assert_eq!(console.wait_end(), 0);
}

#[test]
pub fn f19_what_cannot_be_started() {
    let mut ground = Ground::new("f19", 19, "");
    let file = |name: &str, content: &[u8], mode: u32| {
        let path = ground.site.path(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let foreign = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\xff\x01\0\0\0";
    let long = "x".repeat(200_000);
    // Name, command, arguments, directory, code, words.
    let cases: [(&str, String, &str, &str, &str, &str); 9] = [
        ("missing", "/no/such/file".into(), "", ".", "command_not_found", "/no/such/file"),
        ("unfound", "no-such-command-here".into(), "", ".", "command_not_found", "no-such-command-here"),
        ("plain", file("plain", b"#!/bin/sh\n", 0o644), "", ".", "command_not_executable", "may not be executed"),
        ("empty", file("empty", b"", 0o755), "", ".", "command_not_executable", "#!"),
        ("alone", file("alone", b"#!\n", 0o755), "", ".", "command_not_executable", "#!"),
        ("foreign", file("foreign", foreign, 0o755), "", ".", "exec_failed", "another kind of machine"),
        ("dir", ground.site.root.path().to_str().unwrap().into(), "", ".", "exec_failed", "is a directory"),
        ("long", "true".into(), &long, ".", "adapter_failed", "more than the 131071 a process can be given"),
        ("nowhere", "true".into(), "", "gone/away", "cwd_missing", "gone/away"),
    ];
    let agents: String = cases
        .iter()
        .map(|(name, command, arg, cwd, _, _)| {
            format!(
                "[[agent]]\nname = \"{name}\"\nadapter = \"process\"\n[agent.config]\ncommand = \"{command}\"\n\
                 args = [\"{arg}\"]\ncwd = \"{cwd}\"\nstdin = \"none\"\n"
            )
        })
        .collect();
    ground.site.configure(&format!("[workspace]\nconcurrency = \"allow\"\n{agents}"));
    ground.reign();
    let runs: Vec<RunId> = cases.iter().flat_map(|case| ground.begin(case.0, 1)).collect();
    let world = ground.settle(&runs);
    for (run, (name, .., code, words)) in world.runs.iter().zip(&cases) {
        let row = &run.row;
        let error = row.error.as_deref().unwrap_or_default();
        assert_eq!((row.status, row.error_code.as_deref()), (RunStatus::Failed, Some(*code)), "{name}: {error}");
        assert!(error.contains(words), "{name}: {error}");
        assert_eq!((row.exit_code, row.signal.as_deref()), (None, None), "{name}");
    }
    assert!(world.leases.iter().all(|l| l.status.is_terminal()), "no lease is left");
    ground.site.assert_nothing_open("after all");
}

/// What a process holds: descriptors, watches among them, and threads.
fn holdings(pid: i32) -> (usize, usize, usize) {
    let fds: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten().collect();
    let watches =
        fds.iter().filter(|f| std::fs::read_link(f.path()).is_ok_and(|l| l.to_string_lossy().contains("inotify")));
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    (fds.len(), watches.count(), threads)
}

#[test]
pub fn f20_many_starts_and_stops_leave_nothing() {
    let rounds = if is_exhaustive() { 100 } else { 6 };
    let quick = agent("quick", "concurrent_runs = 20", "exit 0");
    let slow = agent("slow", "concurrent_runs = 20", "exec sleep 600");
    let mut ground = Ground::new("f20", 20, &format!("[workspace]\nconcurrency = \"allow\"\n{quick}{slow}"));
    ground.reign();
    let pid = ground.orchestrator.as_ref().unwrap().pid();
    let round = |ground: &mut Ground| {
        let (ends, stops) = (ground.begin("quick", 5), ground.begin("slow", 5));
        for run in &stops {
            ground.site.started(*run);
            ground.site.cancel(*run, 5_000);
        }
        for run in ends.iter().chain(&stops) {
            ground.site.settled(*run);
        }
    };
    round(&mut ground);
    ground.at_rest();
    let before = holdings(pid);
    for _ in 0..rounds {
        round(&mut ground);
    }
    ground.at_rest();
    // Threads that nobody needs any more end by themselves after a while.
    eventually("as few descriptors and threads as before", || {
        let now = holdings(pid);
        (now.0 <= before.0 && now.1 <= before.1 && now.2 <= before.2 + 4).then_some(())
    });
    let zombies = |of: i32| {
        let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
        children.split_whitespace().count()
    };
    eventually("no child of it", || (zombies(pid) == 0).then_some(()));
    assert_eq!(std::fs::read_dir(ground.site.data.join("live")).unwrap().count(), 0, "no link is left");
    let left = std::fs::read_dir(ground.site.data.join("tmp")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "no temporary file is left");
    let rows = ground.site.all_runs().len();
    assert_eq!(rows, 10 * (rounds + 1));
    // Only the logs of ended runs are kept.
    for made in super::world::Made::all(&ground.site.data) {
        let names: Vec<_> = std::fs::read_dir(&made.dir).unwrap().flatten().map(|e| e.file_name()).collect();
        let is_log = |n: &std::ffi::OsString| n.to_string_lossy().starts_with("out.") || n == "shim.lock";
        assert!(names.iter().all(is_log), "{} holds {names:?}", made.dir.display());
    }
    let _stopped_by_hand = signal::send(identity::process(pid).unwrap().unwrap(), Signal::TERM).unwrap();
}
