//! The console as an operator meets it: the real program, a real terminal, real processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/pty.rs"]
mod pty;

use pty::{Console, PRINTER, Place, config, read, stream, until};
use rustix::process::Signal;
use wharf_model::RunStatus;
use wharf_store::Reader;
use wharf_store::view::{LeaseQuery, RunQuery};

#[test]
fn a_first_run_is_started_watched_and_cancelled_by_keys_alone() {
    let place = Place::new(Some(&config(&[("printer", PRINTER)])));
    let mut console = Console::open(&place, 160, 45);
    console.see("No runs yet.");
    console.see("start a run: choose an agent");
    console.see("SHOP");
    console.start_run();
    console.see("● running");
    console.see("line 3");
    console.see("▼ following");
    console.send("x");
    console.see("Cancel R-1");
    console.see("SIGTERM, 2s, then SIGKILL");
    console.see("W-1 and its branch");
    console.see("y cancel R-1");
    read();
    console.send("y");
    console.see("⊘ cancelled");
    console.see("by operator");
    console.see("ended ");
    until(
        || (place.processes() == [console.pid()]).then_some(()),
        || format!("alive beside {}: {:?}", console.pid(), place.processes()),
    );
    console.send("td");
    console.see("asked by");
    console.see("ada, on demand");
    console.quit();
    console.assert_restored();
}

#[test]
fn a_lease_is_released_with_what_its_preview_said() {
    let place = Place::new(Some(&config(&[("printer", PRINTER)])));
    let mut console = Console::open(&place, 160, 45);
    console.see("No runs yet.");
    console.start_run();
    console.see("line 2");
    console.send("2");
    console.see("[2 Leases]");
    console.see("● active");
    console.see("R-1 printer");
    console.send("r");
    console.see("Release L-1");
    console.see("SIGTERM, 2s, then SIGKILL");
    console.see("a slot of Local");
    console.see("y release L-1");
    read();
    console.send("y");
    console.see("Release L-1: released");
    console.see("✓ released");
    until(
        || (place.processes() == [console.pid()]).then_some(()),
        || format!("alive beside {}: {:?}", console.pid(), place.processes()),
    );
    console.send("1");
    console.see("⊘ cancelled");
    console.see("by operator");
    console.quit();
}

#[test]
fn live_runs_are_left_found_again_and_stopped() {
    let place = Place::new(Some(&config(&[("printer", PRINTER)])));
    let mut console = Console::open(&place, 100, 30);
    console.see("No runs yet.");
    console.start_run();
    console.see("line 2");
    console.see("1 running");
    console.send("q");
    console.see("Quit wharf?");
    console.see("1 run is live: R-1.");
    console.send("l");
    assert_eq!(console.wait_end(), 0);
    console.assert_restored();
    let left = console.screen();
    assert!(left.contains("1 run goes on: R-1") && left.contains("wharf shows it again"), "{left}");
    assert!(!place.processes().is_empty());

    let mut console = Console::open(&place, 100, 30);
    console.see("● running");
    console.see("line ");
    console.send("q");
    console.see("Quit wharf?");
    console.send("s");
    console.see("stop all and quit");
    read();
    console.send("y");
    assert_eq!(console.wait_end(), 0);
    console.assert_restored();
    place.wait_empty();
    let reader = Reader::open(&place.data()).unwrap();
    let run = reader.runs(&RunQuery::default(), None, 9).unwrap().rows.remove(0);
    assert_eq!(run.status, RunStatus::Cancelled);
}

#[test]
fn every_size_is_drawn() {
    let place = Place::new(Some(&config(&[("printer", PRINTER)])));
    let mut console = Console::open(&place, 160, 45);
    console.see("No runs yet.");
    console.resize(80, 24);
    console.see("n new");
    let screen = console.see("SHOP ▸ Ledger");
    assert!(screen.lines().count() <= 24);
    console.resize(20, 5);
    console.gone("Ledger");
    console.wait("the one sentence", |s| !s.trim().is_empty());
    console.resize(160, 45);
    console.see("[1 Ledger]");
    console.see("No runs yet.");
    console.send("q");
    assert_eq!(console.wait_end(), 0);
}

#[test]
fn a_run_that_is_being_stopped_says_how_long_it_has() {
    let agent = "trap '' TERM; echo deaf; while :; do sleep 0.1; done";
    let place = Place::new(Some(&config(&[("deaf", agent)])));
    let mut console = Console::open(&place, 120, 30);
    console.see("No runs yet.");
    console.start_run();
    console.see("▏deaf");
    console.send("x");
    console.see("y cancel R-1");
    read();
    console.send("y");
    console.wait("the time it has", |s| s.lines().any(|l| l.contains("■ stopping") && l.contains("s of 2s")));
    console.see("⊘ cancelled");
    console.quit();
}

#[test]
fn a_changed_config_is_held_until_it_is_accepted_by_keys() {
    let place = Place::new(Some(&config(&[("printer", "echo as accepted")])));
    let mut console = Console::open(&place, 120, 30);
    console.see("No runs yet.");
    console.start_run();
    console.see("as accepted");
    std::fs::write(place.project().join("wharf.toml"), config(&[("printer", "echo another")])).unwrap();
    console.start_run();
    console.see("wharf.toml changed: 1 command; accepted one stays in force");
    console.see("R-2");
    console.see("as accepted");
    console.send("i");
    console.see("agent.printer.config.command: echo as accepted → echo another");
    console.see("Esc close");
    console.send("i");
    console.gone("Esc close");
    console.send(":");
    console.see("Command palette");
    console.send("accept");
    console.see("Accept the changed wharf.toml");
    console.send("\r");
    console.see("changes   agent.printer.config.command");
    console.see("to echo another");
    read();
    console.send("y");
    console.see("Accept wharf.toml: accepted");
    console.gone("stays in force");
    console.start_run();
    console.see("R-3");
    // One that ended under the cursor keeps its place, so that counting rows up would not do.
    console.send("/run:R-3\r");
    console.see("▏another");
    console.send("5");
    console.see("▸ Workspaces");
    console.wait("figures of the checkout", |s| s.lines().any(|l| l.contains("W-1") && l.contains(" 0    0      0")));
    console.send("Q");
    assert_eq!(console.wait_end(), 0);
}

#[test]
fn what_goes_on_in_the_background_is_carried_to_its_end() {
    let gate = tempfile::tempdir().unwrap();
    let open = gate.path().join("open");
    let agent = format!("i=0; until [ -e {} ]; do i=$((i+1)); echo line $i; sleep 0.05; done", open.display());
    let place = Place::new(Some(&config(&[("printer", &agent)])));
    let mut console = Console::open(&place, 100, 30);
    console.see("No runs yet.");
    console.start_run();
    console.see("line 3");
    console.send("q");
    console.see("Go on in background");
    console.send("b");
    assert_eq!(console.wait_end(), 0);
    console.assert_restored();
    let said = console.screen();
    assert!(said.contains("1 run goes on: R-1") && said.contains("starts what waits"), "{said}");
    let pid = console.pid();
    // The terminal goes away as well.
    drop(console);
    let lock = place.data().join("orchestrator.lock");
    let holder = std::fs::read_to_string(&lock).unwrap();
    assert!(!holder.contains(&format!("\"pid\":{pid},")), "{holder}");
    let reader = Reader::open(&place.data()).unwrap();
    let run = || reader.runs(&RunQuery::default(), None, 9).unwrap().rows.remove(0);
    assert_eq!(run().status, RunStatus::Running);
    std::fs::write(open, "").unwrap();
    place.wait_empty();
    assert_eq!((run().status, run().exit_code), (RunStatus::Succeeded, Some(0)));
    let open = LeaseQuery { open: Some(true), ..LeaseQuery::default() };
    assert_eq!(reader.leases(&open, None, 9).unwrap().rows.len(), 0);
}

#[test]
fn the_terminal_is_given_back_after_a_signal() {
    let place = Place::new(None);
    let mut console = Console::open(&place, 80, 24);
    console.see("No wharf.toml");
    console.see("No runs yet.");
    console.signal(Signal::TERM);
    assert_eq!(console.wait_end(), 143);
    console.assert_restored();
}

#[test]
fn the_terminal_is_given_back_after_a_panic_which_is_logged() {
    let place = Place::new(None);
    let mut console = Console::open_with(&place, 80, 24, &[("WHARF_DEBUG_PANIC", "1")]);
    console.see("No runs yet.");
    let log = place.data().join("log");
    until(|| std::fs::read_dir(&log).ok()?.flatten().next(), || "no log is begun".to_owned());
    console.send("\x1b[24~");
    assert_eq!(console.wait_end(), 1);
    console.assert_restored();
    let said = console.screen();
    assert!(said.contains("this is a defect of it") && said.contains("asked for by WHARF_DEBUG_PANIC"), "{said}");
    let log = std::fs::read_dir(log).unwrap().next().unwrap().unwrap().path();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("asked for by WHARF_DEBUG_PANIC") && log.contains("shell"), "{log}");
}

#[test]
fn a_stop_by_job_control_does_not_stop_the_orchestrator() {
    let place = Place::new(None);
    let mut console = Console::open(&place, 80, 24);
    console.see("No runs yet.");
    console.signal(Signal::TSTP);
    console.send("\x1a");
    console.see("`exit` or `fg` comes back");
    console.send("echo in the $((40+2))nd shell\r");
    console.see("in the 42nd shell");
    console.send("exit\r");
    console.see("No runs yet.");
    console.send("q");
    assert_eq!(console.wait_end(), 0);
    console.assert_restored();
}

#[test]
fn a_second_console_names_the_first_and_takes_over() {
    let place = Place::new(Some(&config(&[("printer", "echo done")])));
    let mut first = Console::open(&place, 160, 45);
    first.see("No runs yet.");
    let lock = place.data().join("orchestrator.lock");
    until(|| std::fs::read_to_string(&lock).ok()?.contains("\"epoch\":1").then_some(()), || "no reign".to_owned());
    let mut second = Console::open(&place, 160, 45);
    second.see(&format!("pid {}", first.pid()));
    // The second one's wishes are carried out by the first.
    second.start_run();
    second.see("R-1");
    first.see("R-1");
    second.see("✓ done");
    first.quit();
    let gone = std::time::Instant::now();
    second.gone("pid ");
    assert!(gone.elapsed().as_millis() < 3_000);
    second.start_run();
    second.see("R-2");
    second.wait("two runs done", |s| s.matches("✓ done").count() == 2);
    second.quit();
}

#[test]
fn what_goes_on_while_the_console_is_killed_is_whole() {
    let counted = |n: u32| (1..=40).map(|i| format!("{n} line {i}\n")).collect::<Vec<_>>().concat();
    let agent = |n: u32| {
        format!(
            "echo started >> {{}}/starts-{n}; i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo {n} line $i; sleep 0.05; done; exit {n}"
        )
    };
    let notes = tempfile::tempdir().unwrap();
    let here = |text: String| text.replace("{}", notes.path().to_str().unwrap());
    let agents: Vec<(String, String)> = (3..=5).map(|n| (format!("agent-{n}"), here(agent(n)))).collect();
    let agents: Vec<(&str, &str)> = agents.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let place = Place::new(Some(&config(&agents)));
    let mut console = Console::open(&place, 160, 45);
    console.see("No runs yet.");
    for n in 0..3usize {
        console.send("n");
        console.see("New run");
        console.see("slots used");
        // To the field of agents, and to the wanted one.
        console.send("\x1b[Z\x1b[Z\x1b[Z");
        console.send(&format!("agent-{}", n + 3));
        console.see(&format!("same: wharf run agent-{}", n + 3));
        console.send("\t\t\tgo");
        console.see("--prompt …");
        console.send("\r");
        console.gone("New run");
        console.see(&format!("R-{}", n + 1));
    }
    until(|| (3..=5).all(|n| notes.path().join(format!("starts-{n}")).exists()).then_some(()), || console.screen());
    console.signal(Signal::KILL);
    console.wait_end();

    let mut console = Console::open(&place, 160, 45);
    console.see("R-3");
    console.wait("three ended runs", |s| s.matches("✗ failed").count() == 3);
    console.send("Q");
    assert_eq!(console.wait_end(), 0);
    let reader = Reader::open(&place.data()).unwrap();
    let runs = reader.runs(&RunQuery::default(), None, 9).unwrap().rows;
    assert_eq!(runs.len(), 3);
    for run in runs {
        let n = run.number as u32 + 2;
        assert_eq!((run.status, run.exit_code), (RunStatus::Failed, Some(n as i32)), "R-{}", run.number);
        let starts = std::fs::read_to_string(notes.path().join(format!("starts-{n}"))).unwrap();
        assert_eq!(starts, "started\n", "one start each");
        let id = run.id.text();
        let dir = place.data().join(format!("runs/{}/{id}/a{}", &id[id.len() - 2..], run.attempt));
        assert_eq!(String::from_utf8(stream(&dir, wharf_store::log::Stream::Stdout)).unwrap(), counted(n));
    }
    place.wait_empty();
}

#[test]
fn a_light_terminal_is_drawn_for_light_and_its_answer_is_no_key() {
    let place = Place::new(Some(&config(&[("printer", PRINTER)])));
    let mut console = Console::open_with(&place, 160, 45, &[("COLORTERM", "truecolor")]);
    console.see("No runs yet.");
    let asked = |console: &Console, what: &[u8]| console.sent().windows(what.len()).any(|w| w == what);
    until(|| asked(&console, b"\x1b]11;?\x1b\\").then_some(()), || console.screen());
    let (dark, light) = (b"38;2;215;218;224".as_slice(), b"38;2;34;38;46".as_slice());
    assert!(asked(&console, dark) && !asked(&console, light));
    console.send("\x1b]11;rgb:fdfd/f6f6/e3e3\x1b\\");
    until(|| asked(&console, light).then_some(()), || console.screen());
    // Its figures would have shown other screens.
    console.see("[1 Ledger]");
    console.see("No runs yet.");
    console.quit();
    console.assert_restored();
}
