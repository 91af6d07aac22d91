//! Who reigns, as consoles show it: a holder that is stopped, a place that is taken, a start that finds
//! what another has left.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on ends, and says what it skips")]

#[path = "support/history.rs"]
mod history;
#[path = "support/pty.rs"]
mod pty;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use history::{History, Holder, judge};
use pty::{Console, PRINTER, Place, config, read, until};
use rustix::process::Signal;
use wharf_model::{ActorType, RequestOrigin};
use wharf_store::view::ActivityQuery;
use wharf_store::{NewRequest, Reader, RequestSender};

fn acts(place: &Place, action: &str) -> usize {
    let query = ActivityQuery { action: Some(action.into()), ..ActivityQuery::default() };
    Reader::open(&place.data()).unwrap().activity(&query, None, 100).unwrap().rows.len()
}

/// The last words of all consoles.
fn log(place: &Place) -> String {
    let logs = std::fs::read_dir(place.data().join("log")).into_iter().flatten().flatten();
    let text: String = logs.filter_map(|f| std::fs::read_to_string(f.path()).ok()).collect();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

#[test]
fn a_stopped_console_is_named_and_its_place_taken_by_a_key() {
    let place = Place::new(Some(&config(&[("printer", PRINTER)])));
    let mut first = Console::open(&place, 160, 45);
    first.see("No runs yet.");
    first.start_run();
    first.see("line 3");
    first.signal(Signal::STOP);
    let began = Instant::now();
    let mut second = Console::open(&place, 160, 45);
    second.see("Nothing new starts");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let pid = first.pid().to_string();
    let screen = second.see("is stopped (T)");
    assert!(screen.contains(&format!("process {pid} on pts/")), "{screen}");
    // It shows what goes on, and does not hang.
    second.see("● running");
    second.send("gt");
    second.see("Take over?");
    second.see("SIGKILL");
    second.see(&format!("process {pid}"));
    read();
    second.send("\x1b");
    second.gone("Take over?");
    assert_eq!(acts(&place, "orchestrator.took_over"), 0, "nothing is ended by looking");
    second.send("gt");
    second.see("Take over?");
    read();
    second.send("y");
    first.wait_end();
    second.see("Recovered");
    second.see("1 run adopted");
    second.see("from byte");
    assert_eq!(acts(&place, "orchestrator.took_over"), 1);
    second.gone("Nothing new starts");
    // The line leads to its run.
    second.send("\r");
    second.gone("Recovered");
    second.see("R-1");
    until(|| (acts(&place, "orchestrator.elected") == 1).then_some(()), || second.screen());
    second.cancel("R-1");
    second.see("⊘ cancelled");
    second.quit();
    second.assert_restored();
    place.wait_empty();
}

#[test]
fn a_console_that_wakes_up_too_late_says_so_and_keeps_its_terminal() {
    let place = Place::new(Some(&config(&[("printer", PRINTER)])));
    let mut first = Console::open(&place, 160, 45);
    first.see("No runs yet.");
    first.start_run();
    first.see("line 3");
    first.signal(Signal::STOP);
    std::fs::remove_file(place.data().join("orchestrator.lock")).unwrap();
    let mut second = Console::open(&place, 160, 45);
    second.see("1 run adopted");
    second.send("\x1b");
    second.gone("Recovered");
    first.signal(Signal::CONT);
    // What the second one writes tells the first one.
    second.cancel("R-1");
    second.see("⊘ cancelled");
    first.see("orchestrates no more and only reads");
    first.see("⊘ cancelled");
    first.see(&format!("pid {}", second.pid()));
    // It asks the one that reigns now.
    first.start_run();
    second.see("R-2");
    // In the list, not only in what is said of it.
    first.see("1–2 of 2");
    first.send("gg");
    first.cancel("R-2");
    first.wait("both cancelled", |s| s.matches("⊘ cancelled").count() >= 2);
    first.quit();
    first.assert_restored();
    second.quit();
    place.wait_empty();
}

#[test]
fn what_a_start_has_found_is_told_and_gone_with_a_key() {
    let place = Place::new(Some(&config(&[("printer", PRINTER)])));
    let mut first = Console::open(&place, 80, 24);
    first.see("No runs yet.");
    first.start_run();
    first.see("line 3");
    first.signal(Signal::KILL);
    first.wait_end();
    let mut second = Console::open(&place, 80, 24);
    second.see("Recovered");
    second.see("R-1  from byte");
    second.send("\x1b");
    second.gone("Recovered");
    // The row that is cancelled is there.
    second.see("● running");
    // It can be read again, and any other key means what it always does.
    second.send("gf");
    second.see("Recovered");
    second.cancel("R-1");
    second.see("⊘ cancelled");
    second.send("Q");
    second.wait_end();
    place.wait_empty();
}

/// Asks for issues, one after the other, until told to stop; says how many were asked for.
fn asking(place: &Place, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<usize> {
    let (data, stop) = (place.data(), Arc::clone(stop));
    let project = Reader::open(&data).unwrap().projects(None).unwrap()[0].id.text();
    std::thread::spawn(move || {
        let mut sender = RequestSender::open(&data).unwrap();
        let mut asked = 0;
        while !stop.load(Ordering::Relaxed) {
            let now = wharf::clock::now();
            let request = NewRequest {
                kind: "issue.create".into(),
                target_type: Some("project".into()),
                target_id: Some(project.clone()),
                args: serde_json::json!({ "title": format!("number {asked}") }),
                expect: None,
                actor_type: ActorType::Operator,
                actor_id: "ada".into(),
                origin: RequestOrigin::Cli,
                idempotency_key: None,
                now,
                expires_at: now.plus(120_000),
            };
            sender.send(&request).unwrap();
            asked += 1;
            // Every commit is a new picture on twenty screens.
            std::thread::sleep(Duration::from_millis(100));
        }
        asked
    })
}

#[test]
fn twenty_consoles_and_one_reigns_while_the_first_are_killed() {
    let place = Place::new(Some(&config(&[("printer", PRINTER)])));
    drop(wharf_store::Store::open(&place.data(), wharf_store::Access::Create).unwrap());
    let history = History::begin(&place.data());
    let mut all: Vec<Console> = (0..20).map(|_| Console::open(&place, 80, 24)).collect();
    for console in &all {
        console.see("No runs yet.");
    }
    all[0].see("SHOP");
    let stop = Arc::new(AtomicBool::new(false));
    let asking = asking(&place, &stop);
    let lock = place.data().join("orchestrator.lock");
    let holder = || {
        let holder = wharf::dispatch::election::holder(&place.data()).unwrap().flatten();
        holder.filter(|h| h.epoch > 0).map(|h| (h.pid, h.epoch))
    };
    let issues = || {
        let query = ActivityQuery { action: Some("issue.created".into()), ..ActivityQuery::default() };
        Reader::open(&place.data()).unwrap().activity(&query, None, 100_000).unwrap().rows.len()
    };
    let mut holders = BTreeMap::new();
    let mut epoch = 0;
    for _ in 0..3 {
        let (pid, now) = until(|| holder().filter(|(_, e)| *e > epoch), || format!("{lock:?}"));
        epoch = now;
        // It works before it dies.
        let before = issues();
        until(|| (issues() > before + 3).then_some(()), || format!("{} issues of reign {epoch}", issues()));
        let at = all.iter().position(|c| c.pid() == pid).unwrap();
        let mut king = all.remove(at);
        let killed = wharf::clock::now().0;
        king.signal(Signal::KILL);
        king.wait_end();
        holders.insert(epoch, Holder { pid, died: Some((killed, wharf::clock::now().0)) });
        let gone = Instant::now();
        until(|| holder().filter(|(_, e)| *e > epoch), || "nobody follows".to_owned());
        // Screens and other tests want the processors as well; what it takes alone is in the test of F37.
        let limit = if std::env::var_os("WHARF_TEST_QUIET").is_some() { 1_500 } else { 10_000 };
        assert!(gone.elapsed() < Duration::from_millis(limit), "{:?}\n{}", gone.elapsed(), log(&place));
    }
    let (pid, last) = holder().unwrap();
    holders.insert(last, Holder { pid, died: None });
    stop.store(true, Ordering::Relaxed);
    let asked = asking.join().unwrap();
    until(|| (issues() == asked).then_some(()), || format!("{} of {asked} issues", issues()));
    if let Some(history) = history {
        let changes = history.changes();
        assert_eq!(judge(&changes, &holders), Ok(()));
        // What judges can tell: a reign that nobody held, one that wrote after its death or before its time.
        let mut other = holders.clone();
        other.remove(&last);
        assert!(judge(&changes, &other).unwrap_err().contains("nobody who held the lock"));
        let mut other = holders.clone();
        other.entry(epoch).and_modify(|h| h.died = h.died.map(|(killed, _)| (killed, killed - 60_000)));
        assert!(judge(&changes, &other).unwrap_err().contains("which was gone"));
        let mut other = holders.clone();
        other.entry(epoch).and_modify(|h| h.died = h.died.map(|(killed, gone)| (killed + 60_000, gone)));
        assert!(judge(&changes, &other).unwrap_err().contains("held the lock"));
        let back: Vec<_> = changes.iter().rev().cloned().collect();
        assert!(judge(&back, &holders).unwrap_err().contains("after the next one had begun"));
        for epoch in holders.keys() {
            let of = changes.iter().filter(|c| c.epoch == *epoch).count();
            assert!(of > 3, "reign {epoch} made {of} changes");
        }
        let answered = changes.iter().filter(|c| c.what == "issues INSERT").count();
        assert_eq!(answered, asked, "each was carried out once");
    }
    for console in &mut all {
        console.send("Q");
    }
    for console in &mut all {
        console.wait_end();
    }
    place.wait_empty();
}

#[test]
fn a_terminal_that_is_torn_away_ends_the_console_in_order_and_no_run() {
    if std::process::Command::new("script").arg("--version").output().is_err() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no `script` here, whose end takes a terminal away");
        return;
    }
    let place = Place::new(Some(&config(&[("printer", PRINTER)])));
    let wharf = env!("CARGO_BIN_EXE_wharf");
    let command = |program: &str, args: &[&str]| {
        let mut command = std::process::Command::new(program);
        command.args(args).current_dir(place.project()).env("HOME", &place.path).env("WHARF_DATA_DIR", place.data());
        command.env("TERM", "xterm-256color").env("XDG_CONFIG_HOME", place.path.join("config"));
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        command
    };
    // It owns the other side of the terminal: killed, it leaves neither a word nor a terminal behind.
    let mut owner = command("script", &["-qec", &format!("exec {wharf}"), "/dev/null"]).spawn().unwrap();
    let holder = || wharf::dispatch::election::holder(&place.data()).unwrap().flatten().filter(|h| h.epoch > 0);
    let first = until(holder, || log(&place));
    let started = command(wharf, &["run", "printer", "--prompt", "x"]).output().unwrap();
    assert!(started.status.success(), "{started:?}");
    let reader = Reader::open(&place.data()).unwrap();
    let run = || reader.runs(&wharf_store::view::RunQuery::default(), None, 9).unwrap().rows.remove(0);
    until(|| (run().status == wharf_model::RunStatus::Running).then_some(()), || log(&place));
    owner.kill().unwrap();
    owner.wait().unwrap();
    until(|| (!place.processes().contains(&first.pid)).then_some(()), || log(&place));
    // In order: nobody need look through the store, and the run lives.
    assert!(holder().is_none(), "{:?}", holder());
    assert_eq!(run().status, wharf_model::RunStatus::Running);
    let said = log(&place);
    assert!(!said.contains("panicked"), "{said}");
    let cancelled = command(wharf, &["cancel", "R-1"]).output().unwrap();
    assert!(cancelled.status.success(), "{cancelled:?}");
    assert_eq!(run().status, wharf_model::RunStatus::Cancelled);
    assert_eq!(acts(&place, "store.damaged"), 0);
    place.wait_empty();
}
