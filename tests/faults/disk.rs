//! F28 to F36: the disk is full, broken or not ours, and the database is held or damaged.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use wharf_model::*;
use wharf_store::log::frame::SEGMENT_HEADER;

use super::child::{End, Plan};
use super::ground::{Ground, Note, config, within_criterion};
use super::nemesis::log_of;
use super::world::read_log;
use crate::orchestrator::{Site, WHARF, agent, eventually};

/// A small file system, gone when dropped.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one over a directory; `None` without the right to.
    fn over(at: &Path, kib: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={kib}k,mode=700");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        done.is_ok_and(|done| done.status.success()).then(|| Self { at: at.to_owned() })
    }

    fn fill(&self) -> PathBuf {
        let ballast = self.at.join("ballast");
        let mut file = std::fs::File::create(&ballast).unwrap();
        while file.write_all(&[1u8; 4096]).is_ok() {}
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

/// Whether a run's log has told of a full disk, or of room again.
fn told(ground: &Ground, run: RunId, t: &str) -> bool {
    let Ok(mut log) = wharf_store::log::LogReader::open(&ground.dir(run)) else { return false };
    let start = log.start();
    log.control_frames(start, 10_000).is_ok_and(|all| all.frames.iter().any(|f| f.t() == Some(t)))
}

/// Whether a run's shim says at its socket that its disk is full.
fn is_full(ground: &Ground, run: RunId) -> bool {
    use wharf_model::shim::{Control, ControlReply};
    // Asked as the orchestrator that started it: a higher epoch would lock that one out.
    let Some((dir, spec)) = ground.site.shims().into_iter().find(|(_, spec)| spec.id == run.text()) else {
        return false;
    };
    let client = wharf::process::client::ControlClient::connect(&dir, spec.epoch, Duration::from_secs(5));
    let status = client.and_then(|mut client| client.ask(&Control::Status));
    matches!(status, Ok(ControlReply::Status { disk, .. }) if disk == "full")
}

/// A console beside the one that reigns: it only reads.
struct OnlyReads(crate::pty::Console);

impl OnlyReads {
    fn open(ground: &Ground) -> Self {
        let root = ground.site.root.path().canonicalize().unwrap();
        let console = crate::pty::Console::open_at(&root, 160, 40, &[], &[]);
        console.see("R-1");
        Self(console)
    }

    /// The banner, with what waits, in time.
    fn shows_a_full_disk(&mut self, began: Instant) {
        let screen = self.0.see("Disk full since");
        within_criterion("the banner of a console that only reads", began, Duration::from_secs(1));
        assert!(screen.contains("R-1 waits for room, nothing is lost"), "{screen}");
    }

    /// It goes by itself.
    fn shows_room_again(&mut self) {
        self.0.gone("Disk full");
    }

    fn ends(mut self) {
        self.0.send("Q");
        assert_eq!(self.0.wait_end(), 0);
    }
}

#[test]
pub fn f28_the_disk_of_the_logs_is_full_for_a_while() {
    let plan = Plan::new(28).lines(60_000, 2_000).batch(20).gate(100, "gate").exit(3);
    let site = Site::plain(&config(&[("writer", "", &plan)]));
    let disk = SmallDisk::over(&site.data.join("runs"), 16 * 1024);
    let mut ground = Ground::on("f28", 28, site);
    let Some(disk) = disk else {
        ground.skipped("no small file system can be mounted without root; f28_…_without_root shows the rest");
        return;
    };
    ground.reign();
    let runs = ground.begin("writer", 1);
    ground.site.started(runs[0]);
    ground.wrote(runs[0], 5_000);
    let mut console = OnlyReads::open(&ground);
    ground.nemesis.note("the disk of the logs is full");
    let ballast = disk.fill();
    ground.open("gate");
    eventually("the shim to wait for room", || is_full(&ground, runs[0]).then_some(()));
    let began = Instant::now();
    console.shows_a_full_disk(began);
    let began = Instant::now();
    // The ledger is elsewhere and goes on.
    let project = ground.site.run(runs[0]).run.project_id;
    let issue =
        ground.site.send("issue.create", Some(("project", project.text())), json!({ "title": "while it is full" }));
    assert_eq!(ground.site.finished(issue).status, RequestStatus::Done);
    within_criterion("a row while the disk of the logs is full", began, Duration::from_secs(1));
    assert_eq!(ground.site.run(runs[0]).run.status, RunStatus::Running, "the child waits");
    std::fs::remove_file(ballast).unwrap();
    ground.nemesis.note("room again");
    console.shows_room_again();
    console.ends();
    let world = ground.settle(&runs);
    let run = &world.runs[0];
    assert_eq!((run.row.exit_code, run.children[0].1.taken), (Some(3), [6_000_000, 200_000]));
    assert!(told(&ground, runs[0], "disk_full") && told(&ground, runs[0], "disk_ok"));
    drop(ground);
    drop(disk);
}

/// Lets a process make no file longer than this; gives the limit it had.
fn limit_files(pid: i32, bytes: Option<u64>) -> Rlimit {
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(Pid::from_raw(pid), Resource::Fsize, limit).unwrap()
}

#[test]
pub fn f28_a_shim_that_may_write_no_more_without_root() {
    let plan = Plan::new(29).lines(20_000, 200).batch(20).gate(100, "gate").exit(3);
    let mut ground = Ground::new("f28-limit", 29, &config(&[("writer", "", &plan)]));
    ground.reign();
    let runs = ground.begin("writer", 1);
    ground.site.started(runs[0]);
    ground.wrote(runs[0], 5_000);
    let shim = super::nemesis::shim_of(&ground.dir(runs[0])).unwrap();
    let mut console = OnlyReads::open(&ground);
    ground.nemesis.note("the shim may make no file longer than 300 kB");
    let before = limit_files(shim.pid, Some(300_000));
    ground.open("gate");
    eventually("the shim to wait", || {
        let row = ground.site.run(runs[0]).run;
        assert_eq!(row.status, RunStatus::Running, "{:?} {:?}", row.error_code, row.error);
        is_full(&ground, runs[0]).then_some(())
    });
    console.shows_a_full_disk(Instant::now());
    // The console reigns now, and hears it of the shims that it finds.
    ground.kill_orchestrator();
    eventually("the console to reign", || {
        let held = wharf::dispatch::election::holder(&ground.site.data).unwrap().flatten();
        held.filter(|h| h.pid == console.0.pid() && h.disk.as_ref().is_some_and(|d| d.waiting == ["R-1"]))
    });
    console.0.see("Disk full since");
    limit_files(shim.pid, before.current);
    console.shows_room_again();
    let world = ground.settle(&runs);
    console.ends();
    let run = &world.runs[0];
    assert_eq!((run.row.exit_code, run.children[0].1.taken), (Some(3), [2_000_000, 20_000]));
}

#[test]
pub fn f29_the_disk_of_the_database_is_full() {
    let plan = Plan::new(29).lines(50, 5);
    // The data directory itself is the small disk; a site makes its store there before it can be mounted.
    let root = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::over(&root.path().join("data"), 24 * 1024) else {
        let mut note = Note::begin("f29");
        note.skip("no small file system can be mounted without root; f29_…_without_root shows the rest");
        return;
    };
    let site = Site::in_root(root, &config(&[("one", "", &plan)]));
    let mut ground = Ground::on("f29", 29, site);
    ground.reign();
    let first = ground.begin("one", 1);
    ground.settle(&first);
    let project = ground.site.run(first[0]).run.project_id;
    ground.nemesis.note("the disk of the database is full");
    let ballast = disk.fill();
    // The reserve of the journal lets work go on for a while; then it is refused, with words.
    let body = "x".repeat(40_000);
    let mut accepted = Vec::new();
    let refused = (0..400).find_map(|n| {
        let args = json!({ "title": format!("issue {n}"), "description": body });
        let target = Some(("project", project.text()));
        match ground.site.try_send("issue.create", target, args) {
            Ok(request) => accepted.push(request),
            Err(error) => return Some(error),
        }
        None
    });
    let error = refused.expect("a full disk refuses in the end");
    assert!(error.to_string().contains("no room"), "{error}");
    assert!(!ground.orchestrator.as_mut().unwrap().has_ended(), "a full disk ends nobody");
    std::fs::remove_file(ballast).unwrap();
    ground.nemesis.note("room again");
    // What had been taken before is carried out or told as refused, and new work goes on.
    for request in accepted {
        let row = ground.site.finished(request);
        assert_ne!(row.status, RequestStatus::Pending, "{row:?}");
    }
    let more = ground.begin("one", 1);
    let world = ground.settle(&more);
    assert!(world.runs.iter().all(|r| r.row.status == RunStatus::Succeeded));
    drop(ground);
    drop(disk);
}

#[test]
pub fn f29_an_orchestrator_that_may_write_no_more_without_root() {
    let plan = Plan::new(30).lines(50, 5);
    let mut ground = Ground::new("f29-limit", 30, &config(&[("one", "", &plan)]));
    ground.reign();
    let first = ground.begin("one", 1);
    ground.settle(&first);
    let pid = ground.orchestrator.as_ref().unwrap().pid();
    ground.nemesis.note("the orchestrator may make no file longer than 4 kB");
    let before = limit_files(pid, Some(4_096));
    let asked = ground.site.ask_run("one", json!({}));
    // It tries and fails; the request stays as it is, and nothing of it has been done.
    let told = || {
        let logs = std::fs::read_dir(ground.site.data.join("log")).unwrap().flatten();
        logs.filter_map(|f| std::fs::read_to_string(f.path()).ok()).collect::<String>()
    };
    eventually("its word that nothing can be written", || {
        told().contains("nothing can be written; it is tried again").then_some(())
    });
    assert!(!ground.orchestrator.as_mut().unwrap().has_ended(), "{}", ground.orchestrator.as_ref().unwrap().said());
    assert_eq!(ground.site.request(asked).unwrap().status, RequestStatus::Pending);
    assert_eq!(ground.site.all_runs().len(), 1, "nothing half done");
    limit_files(pid, before.current);
    ground.nemesis.note("it may write again");
    let run = ground.site.run_of(asked);
    let world = ground.settle(&[run]);
    assert!(world.runs.iter().all(|r| r.row.status == RunStatus::Succeeded));
}

#[test]
pub fn f32_a_damaged_log_is_shown_with_its_gap_and_never_as_a_success() {
    let plan = Plan::new(32).lines(3_000, 30).batch(3).pause(Duration::from_micros(200)).end(End::Never);
    let mut ground = Ground::new("f32", 32, &config(&[("one", "grace = \"100ms\"", &plan)]));
    ground.reign();
    let run = ground.begin("one", 1)[0];
    ground.wrote(run, 300_000);
    ground.kill_orchestrator();
    let row = ground.site.run(run).run;
    ground.signal_shim(run, wharf::process::signal::Signal::KILL);
    wharf::process::terminate::tagged(&format!("run/{}/{}", row.id, row.attempt), Duration::ZERO, &[]).unwrap();
    let dir = ground.dir(run);
    let log = log_of(&dir);
    let whole = std::fs::read(&log).unwrap();
    let before = read_log(&dir, 1).unwrap();
    // Every flip of a frame is found, wherever it is.
    for _ in 0..40 {
        let length = whole.len() as u64;
        let at = ground.nemesis.flip(&log, SEGMENT_HEADER as u64..length);
        let seen = read_log(&dir, 1).unwrap();
        let found = !seen.damage.is_empty() || seen.is_torn || !seen.disorder.is_empty();
        assert!(found, "the flip at {at} of {length} was not found");
        assert!(seen.seqs.len() >= before.seqs.len() - 2, "a flip at {at} costs one frame");
        std::fs::write(&log, &whole).unwrap();
    }
    // Cut anywhere: what is left is a part of what was.
    for _ in 0..20 {
        let to = ground.nemesis.truncate(&log).max(SEGMENT_HEADER as u64);
        std::fs::write(&log, &whole[..to as usize]).unwrap();
        let seen = read_log(&dir, 1).unwrap();
        assert!(seen.damage.is_empty() && before.seqs.starts_with(&seen.seqs), "cut to {to}");
        std::fs::write(&log, &whole).unwrap();
    }
    // One more flip stays, with an id that reads as nothing: it is lost, and says so.
    ground.nemesis.flip(&log, SEGMENT_HEADER as u64..whole.len() as u64 / 2);
    ground.nemesis.truncate_to(&dir.join("id.json"), 0);
    ground.reign();
    let row = ground.site.settled(run);
    assert_eq!((row.status, row.exit_code), (RunStatus::Lost, None));
    assert!(ground.site.noted(run, "run.lost") == 1);
}

#[test]
pub fn f32_damaged_small_files_make_no_success_and_no_second_start() {
    // Which file, what becomes of it, and what the run must be then: its frame is the truth.
    let cases: [(&str, &[u8], RunStatus, Option<i32>); 6] = [
        ("exit.json", b"", RunStatus::Failed, Some(7)),
        ("exit.json", b"{\"t\":\"exit\",\"code\":0", RunStatus::Failed, Some(7)),
        ("id.json", b"", RunStatus::Failed, Some(7)),
        ("id.json", b"\0\0\0\0", RunStatus::Failed, Some(7)),
        ("spec.json", b"", RunStatus::Failed, Some(7)),
        ("ctl.sock", b"no socket", RunStatus::Failed, Some(7)),
    ];
    let _note = Note::begin("f32-files");
    std::thread::scope(|scope| {
        for (name, content, status, code) in cases {
            scope.spawn(move || {
                let plan = Plan::new(33).lines(50, 5).gate(20, "gate").exit(7);
                let mut ground = Ground::new("f32-file", 33, &config(&[("one", "grace = \"100ms\"", &plan)]));
                ground.reign();
                let run = ground.begin("one", 1)[0];
                ground.site.started(run);
                ground.kill_orchestrator();
                ground.open("gate");
                let dir = ground.dir(run);
                eventually("the end", || wharf_store::log::last_exit_frame(&dir).ok().flatten());
                let shim = super::nemesis::shim_of(&dir).unwrap();
                eventually("the end of the shim", || {
                    (!wharf::process::identity::is_alive(shim).unwrap()).then_some(())
                });
                ground.nemesis.note(format!("{name} becomes {content:?}"));
                let _was_there = std::fs::remove_file(dir.join(name));
                std::fs::write(dir.join(name), content).unwrap();
                ground.reign();
                let world = ground.settle(&[run]);
                let run = &world.runs[0];
                assert_eq!((run.row.status, run.row.exit_code), (status, code), "{name}: {:?}", run.row.error);
                assert_eq!(run.children.len(), 1, "{name}");
            });
        }
    });
}

#[test]
pub fn f34_somebody_else_holds_the_write_lock() {
    let plan = Plan::new(34).lines(300, 30).pause(Duration::from_millis(1)).exit(2);
    let mut ground = Ground::new("f34", 34, &config(&[("one", "", &plan)]));
    ground.reign();
    let running = ground.begin("one", 1);
    ground.site.started(running[0]);
    let root = ground.site.root.path().canonicalize().unwrap();
    let mut console = crate::pty::Console::open_at(&root, 120, 40, &[], &[]);
    console.see("R-1");
    let held = Command::new("sqlite3")
        .arg(ground.site.data.join("wharf.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut holder) = held else {
        ground.skipped("there is no sqlite3 to hold the lock with");
        return;
    };
    let mut input = holder.stdin.take().unwrap();
    ground.nemesis.note("another process begins to write and holds the lock");
    input.write_all(b"BEGIN IMMEDIATE; SELECT 'held';\n").unwrap();
    input.flush().unwrap();
    let mut answer = [0u8; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut answer).unwrap();
    // Longer than a writer waits by itself.
    let until =
        Instant::now() + if super::ground::is_exhaustive() { Duration::from_secs(30) } else { Duration::from_secs(3) };
    let mut keys = 0;
    while Instant::now() < until {
        let asked = Instant::now();
        console.send("?");
        console.see("Help");
        console.send("\x1b");
        console.gone("Help");
        within_criterion("an answer to keys", asked, Duration::from_millis(500));
        keys += 1;
    }
    assert!(keys > 3, "the screen lives");
    input.write_all(b"ROLLBACK;\n").unwrap();
    drop(input);
    holder.wait().unwrap();
    ground.nemesis.note("the lock is free");
    assert!(!ground.orchestrator.as_mut().unwrap().has_ended(), "{}", ground.orchestrator.as_ref().unwrap().said());
    let more = ground.begin("one", 1);
    let world = ground.settle(&[running[0], more[0]]);
    assert!(world.runs.iter().all(|r| r.row.exit_code == Some(2)));
    console.send("Q");
    assert_eq!(console.wait_end(), 0);
}

#[test]
pub fn f34_somebody_looks_into_the_database_with_another_program() {
    let plan = Plan::new(35).exit(2);
    let mut ground = Ground::new("f34-look", 35, &config(&[("one", "", &plan)]));
    let root = ground.site.root.path().canonicalize().unwrap();
    // The console reigns and reads: one process with many connections.
    let mut console = crate::pty::Console::open_at(&root, 120, 40, &[], &[]);
    console.see("No runs yet.");
    let first = ground.begin("one", 1);
    ground.settle(&first);
    console.see("✗ failed");
    let journal = ground.site.data.join("wharf.db-wal");
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let before = inode(&journal);
    // The last one who leaves takes the journal along: it must see that it is not the last.
    let look = Command::new("sqlite3").arg(ground.site.data.join("wharf.db")).arg("SELECT count(*) FROM runs").output();
    let Ok(look) = look else {
        ground.skipped("there is no sqlite3 to look with");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&look.stdout).trim(), "1", "{look:?}");
    assert!(journal.exists() && inode(&journal) == before, "the journal was taken away under the orchestrator");
    let second = ground.begin("one", 1);
    ground.settle(&second);
    console.send("Q");
    assert_eq!(console.wait_end(), 0);
    // What was acknowledged after that look stands in the store.
    ground.reign();
    assert_eq!(ground.at_rest().runs.len(), 2);
}

/// Starts `wharf serve` on a data directory that it must refuse; gives what it said.
fn refused(data: &Path, root: &Path) -> String {
    let mut command = Command::new(WHARF);
    command.arg("serve").env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", root).env("XDG_CONFIG_HOME", root.join("config")).env("WHARF_DATA_DIR", data);
    command.current_dir(root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut errors = child.stderr.take().unwrap();
    let status = eventually("the refusal", || child.try_wait().unwrap());
    let mut said = String::new();
    std::io::Read::read_to_string(&mut errors, &mut said).unwrap();
    assert!(!status.success(), "{} was taken: {said}", data.display());
    let lines: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).collect();
    assert!((1..=3).contains(&lines.len()), "one clear line: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
pub fn f35_directories_that_are_none_of_ours() {
    let mut note = Note::begin("f35");
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    // A loop of links, a file, a place below a file.
    std::os::unix::fs::symlink(root.join("b"), root.join("a")).unwrap();
    std::os::unix::fs::symlink(root.join("a"), root.join("b")).unwrap();
    std::fs::write(root.join("file"), "precious").unwrap();
    for name in ["a", "file", "file/below"] {
        let said = refused(&root.join(name), &root);
        assert!(said.contains(root.to_str().unwrap()), "it names the place: {said}");
    }
    assert_eq!(std::fs::read_to_string(root.join("file")).unwrap(), "precious");
    // One that others may write.
    let open = root.join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    refused(&open, &root);
    // Somebody else's, and one that cannot be written: only root can make these.
    if rustix::process::geteuid().is_root() {
        let foreign = root.join("foreign");
        std::fs::create_dir(&foreign).unwrap();
        std::os::unix::fs::chown(&foreign, Some(65_534), None).unwrap();
        refused(&foreign, &root);
        let fixed = root.join("fixed");
        if let Some(disk) = SmallDisk::over(&fixed, 8 * 1024) {
            let done = Command::new("mount").args(["-o", "remount,ro"]).arg(&fixed).status().unwrap();
            assert!(done.success());
            let said = refused(&fixed, &root);
            assert!(said.to_lowercase().contains("read-only") || said.contains("cannot be"), "{said}");
            drop(disk);
        }
    } else {
        note.skip("directories of other users and read-only mounts need root; the rest was tried");
    }
}

#[test]
pub fn f35_any_name_of_a_directory_will_do() {
    let _note = Note::begin("f35-names");
    for name in [&b"with space"[..], b"with\nnewline", b"not utf-8 \xff\xfe", "ü漢字".as_bytes()] {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join(std::ffi::OsStr::from_bytes(name));
        let mut command = Command::new(WHARF);
        command.arg("serve").env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", root.path()).env("WHARF_DATA_DIR", &data).current_dir(root.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lock = data.join("orchestrator.lock");
        eventually("a reign", || {
            assert_eq!(child.try_wait().unwrap(), None, "{name:?} was refused");
            let holder: serde_json::Value = serde_json::from_slice(&std::fs::read(&lock).ok()?).ok()?;
            (holder["epoch"] == 1).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // No room for a run's own file still leaves the console's answer.
    let site = Site::plain(&agent("one", "", "true"));
    drop(site);
}
