//! `wharf attach` as an operator meets it: the real program in a real terminal, a real run with one of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/pty.rs"]
mod pty;

use std::process::{Command, Output, Stdio};

use pty::{Console, Place, until};
use rustix::process::Signal;
use wharf_model::RunStatus;
use wharf_store::Reader;
use wharf_store::view::RunQuery;

const TYPER: &str = "trap '\\''printf size; stty size'\\'' WINCH; echo ready; \
    while :; do read -r line || continue; echo \"<$line>\"; [ \"$line\" = end ] && exit 3; done";

fn place() -> Place {
    let agent = |name: &str, tty: bool, command: &str| {
        format!(
            "[[agent]]\nname = \"{name}\"\nadapter = \"process\"\ntty = {tty}\ngrace = \"1s\"\n\
             [agent.config]\nshell = true\ncommand = '''{command}'''\n"
        )
    };
    let typer = TYPER.replace("'\\''", "'");
    let text = format!(
        "[project]\nkey = \"SHOP\"\n{}{}",
        agent("typer", true, &typer),
        agent("plain", false, "echo ready; exec sleep 60")
    );
    Place::new(Some(&text))
}

fn command(place: &Place, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
    command.args(args).current_dir(place.project()).stdin(Stdio::null());
    command
        .env("WHARF_DATA_DIR", place.data())
        .env("HOME", &place.path)
        .env("XDG_CONFIG_HOME", place.path.join("config"));
    command.env("SHELL", "/bin/sh");
    command
}

fn wharf(place: &Place, args: &[&str]) -> Output {
    command(place, args).output().unwrap()
}

fn start(place: &Place, agent: &str) {
    let started = wharf(place, &["run", agent]);
    assert!(started.status.success(), "{started:?}");
}

fn status(place: &Place) -> RunStatus {
    let reader = Reader::open(&place.data()).unwrap();
    reader.runs(&RunQuery::default(), None, 10).unwrap().rows[0].status
}

fn attach(place: &Place) -> Console {
    let console = Console::open_as(place, 80, 24, &[], &["attach", "R-1"]);
    console.see("ready");
    console
}

fn words(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_operator_types_resizes_leaves_and_comes_back() {
    let place = place();
    start(&place, "typer");
    let mut first = attach(&place);
    first.send("one\r");
    first.see("<one>");
    first.resize(100, 30);
    first.see("size30 100");
    let mut second = Console::open_as(&place, 100, 30, &[], &["attach", "R-1"]);
    second.see("<one>");
    second.send("two\r");
    first.see("<two>");
    second.send("\x07d");
    assert_eq!(second.wait_end(), 0);
    second.assert_given_back();
    second.see("R-1 goes on; wharf attach R-1 comes back");
    assert_eq!(status(&place), RunStatus::Running);
    first.signal(Signal::TERM);
    assert_eq!(first.wait_end(), 143);
    first.assert_given_back();
    let mut third = attach(&place);
    third.send("end\r");
    assert_eq!(third.wait_end(), 0);
    third.assert_given_back();
    third.see("R-1 has ended");
    place.wait_empty();
}

#[test]
fn nothing_that_the_run_prints_reaches_the_operators_terminal_as_it_is() {
    let place = place();
    start(&place, "typer");
    let mut console = attach(&place);
    console.send("\x16\x1b]52;c;aGk=\x16\x07\x16\x1b[6n\r");
    console.see("<");
    console.send("last\r");
    console.see("<last>");
    // It did print them: its log holds every byte.
    let printed = wharf(&place, &["logs", "R-1"]).stdout;
    for bytes in [&b"<\x1b]52;c;aGk=\x07"[..], b"\x1b[6n>"] {
        assert!(printed.windows(bytes.len()).any(|w| w == bytes), "{:?}", String::from_utf8_lossy(&printed));
    }
    let sent = console.sent();
    assert!(!sent.windows(4).any(|w| w == b"\x1b]52"), "the clipboard is not the run's");
    assert!(!sent.windows(4).any(|w| w == b"\x1b[6n"), "it asks the terminal nothing");
    console.send("\x07d");
    assert_eq!(console.wait_end(), 0);
    wharf(&place, &["cancel", "R-1"]);
}

#[test]
fn an_orchestrator_that_is_killed_takes_nothing_away() {
    let place = place();
    let mut serve = command(&place, &["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Its file is there before it can be read.
    until(|| Reader::open(&place.data()).ok().map(drop), || "no store".to_owned());
    start(&place, "typer");
    let mut console = attach(&place);
    serve.kill().unwrap();
    serve.wait().unwrap();
    console.send("without\r");
    console.see("<without>");
    // Another reign, of which the shim knows: the same terminal goes on.
    let mut serve = command(&place, &["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let dir = std::fs::read_dir(place.data().join("live")).unwrap().next().unwrap().unwrap().path();
    until(
        || {
            let log = std::fs::read(dir.join("out.000001.wlog")).unwrap();
            log.windows(11).any(|w| w == b"\"adopted\"}\n" || w.starts_with(b"\"adopted\"")).then_some(())
        },
        || "it is not adopted".to_owned(),
    );
    console.send("again\r");
    console.see("<again>");
    console.send("\x07d");
    assert_eq!(console.wait_end(), 0);
    console.assert_given_back();
    let mut back = attach(&place);
    back.see("<again>");
    back.send("end\r");
    assert_eq!(back.wait_end(), 0);
    until(|| (status(&place) == RunStatus::Failed).then_some(()), || format!("{}", status(&place)));
    serve.kill().unwrap();
    serve.wait().unwrap();
}

#[test]
fn it_is_refused_in_words_where_there_is_nothing_to_attach_to() {
    let place = place();
    start(&place, "plain");
    let (code, said) = words(&wharf(&place, &["attach", "R-1"]));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("attach needs a terminal"), "{said}");
    let mut console = Console::open_as(&place, 100, 24, &[], &["attach", "R-1"]);
    assert_eq!(console.wait_end(), 4);
    console.see("R-1 has no terminal to attach to");
    console.see("tty = true");
    console.assert_given_back();
    wharf(&place, &["cancel", "R-1"]);
    let mut console = Console::open_as(&place, 100, 24, &[], &["attach", "R-1"]);
    assert_eq!(console.wait_end(), 4);
    console.see("it has ended");
    let mut console = Console::open_as(&place, 100, 24, &[], &["attach", "R-9"]);
    assert_eq!(console.wait_end(), 3);
    let refused = words(&wharf(&place, &["run", "typer", "--prompt", "x", "--wait"]));
    assert_eq!(refused.0, Some(4), "{refused:?}");
    assert!(refused.1.contains("agent typer takes no prompt: it has a terminal"), "{refused:?}");
    assert!(refused.1.contains("type it with wharf attach"), "{refused:?}");
    let (code, said) = words(&wharf(&place, &["show", "R-2"]));
    assert_eq!(code, Some(3), "no run was made: {said}");
}

#[test]
fn the_console_hands_the_terminal_over_and_takes_it_back() {
    let place = place();
    start(&place, "typer");
    let mut console = Console::open(&place, 140, 40);
    console.see("Recovered");
    console.send("\x1b");
    console.gone("Recovered");
    console.see("terminal, ");
    console.see("ready");
    console.see("a attach");
    console.send("td");
    console.see("a attaches, or: wharf attach R-1");
    console.send("to");
    let shown = String::from_utf8(wharf(&place, &["show", "R-1"]).stdout).unwrap();
    assert!(shown.contains("tty = true; wharf attach R-1"), "{shown}");
    console.see("ready");
    console.send("a");
    console.gone("Ledger");
    console.see("ready");
    console.send("from the console\r");
    console.see("<from the console>");
    console.send("\x07d");
    console.see("Ledger");
    console.see("<from the console>");
    wharf(&place, &["cancel", "R-1"]);
    console.see("⊘ cancelled");
    console.gone("a attach");
    console.send("a");
    console.see("it has ended already");
    console.see("0 running");
    console.send("q");
    assert_eq!(console.wait_end(), 0);
    console.assert_restored();
}
