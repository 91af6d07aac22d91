//! A real shim whose child has a terminal: what it prints, what is typed, its size, its end.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod shim_common;

use shim_common::{LIMIT, Place, eventually};
use wharf::process::client::{ClientError, ControlClient};
use wharf_model::base64;
use wharf_model::shim::*;
use wharf_store::log::{LogReader, Stream, StreamSet, copy_to};

fn terminal(script: &str) -> Place {
    let mut place = Place::sh(script);
    place.spec.tty = Some(TtySize { rows: 24, cols: 80 });
    place
}

fn attach(place: &Place) -> ControlClient {
    let mut client = place.watch();
    assert_eq!(client.ask(&Control::Attach).unwrap(), ControlReply::Ok);
    client
}

fn type_in(client: &mut ControlClient, bytes: &[u8]) -> Result<ControlReply, ClientError> {
    client.ask(&Control::Input { base64: base64::encode(bytes) })
}

fn code(answer: Result<ControlReply, ClientError>) -> String {
    match answer {
        Err(ClientError::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

/// Waits until the terminal has shown `text`.
fn shows(place: &Place, text: &str) {
    eventually(&format!("{text:?} on the terminal"), || {
        let mut reader = LogReader::open(&place.dir).ok()?;
        let (mut out, start) = (Vec::new(), reader.start());
        copy_to(&mut reader, &mut out, StreamSet::of(&[Stream::Terminal]), start, u64::MAX).ok()?;
        String::from_utf8_lossy(&out).contains(text).then_some(())
    });
}

#[test]
fn the_child_leads_a_session_with_the_terminal_as_its_own() {
    let mut place = terminal(
        "for fd in 0 1 2; do test -t $fd && echo is $fd; done; stty size; : </dev/tty && echo own\n\
         read -r _ _ _ _ pgrp session _ < /proc/self/stat; echo $$ $pgrp $session; echo last >&2; exit 3",
    );
    let frame = place.run();
    let text = place.text(Stream::Terminal);
    assert!(text.starts_with("is 0\r\nis 1\r\nis 2\r\n24 80\r\nown\r\n"), "{text:?}");
    let numbers: Vec<&str> = text.lines().nth(5).unwrap().split(' ').collect();
    assert_eq!(numbers[0], numbers[2], "it leads its session: {text:?}");
    assert!(text.ends_with("last\r\n"), "{text:?}");
    assert_eq!((frame.code, frame.leaky, frame.by), (Some(3), false, EndedBy::Itself));
    let bytes = text.len() as u64;
    assert_eq!(frame.streams.keys().collect::<Vec<_>>(), ["terminal"]);
    assert_eq!(frame.streams["terminal"], StreamEnd { bytes, closed: true });
    let child = &place.records("started")[0];
    assert_eq!((child["pgid"].clone(), child["sid"].clone()), (child["pid"].clone(), child["pid"].clone()));
}

#[test]
fn a_flood_of_a_leader_that_ends_at_once_is_kept_whole() {
    let mut place = terminal("stty -opost; exec seq 1 60000");
    let frame = place.run();
    let wanted: String = (1..=60_000).map(|n| format!("{n}\n")).collect();
    assert!(place.text(Stream::Terminal) == wanted, "not as it was written");
    assert_eq!(frame.streams["terminal"].bytes, wanted.len() as u64);
}

#[test]
fn what_is_typed_reaches_the_child_from_both_that_are_attached() {
    let mut place = terminal("echo up; while read -r line; do echo \"<$line>\"; done; echo over");
    place.start();
    let (mut one, mut other) = (attach(&place), attach(&place));
    shows(&place, "up");
    type_in(&mut one, b"from one\n").unwrap();
    shows(&place, "<from one>");
    type_in(&mut other, b"from other\n").unwrap();
    shows(&place, "<from other>");
    drop(other);
    type_in(&mut one, &[4]).unwrap();
    let frame = place.finish();
    assert_eq!((frame.code, frame.leaky), (Some(0), false));
    assert!(place.text(Stream::Terminal).ends_with("over\r\n"));
    assert_eq!(place.bytes(Stream::Input), b"from one\nfrom other\n\x04");
    assert_eq!(place.records("attached").len(), 2);
    assert!(!frame.streams.contains_key("input"));
}

#[test]
fn a_password_that_is_read_key_by_key_is_not_in_the_log() {
    let mut place = terminal(
        "stty -echo -icanon min 1; echo Password:; word=$(dd bs=1 count=8 2>/dev/null); stty echo icanon; echo ${#word}",
    );
    place.start();
    let mut client = attach(&place);
    shows(&place, "Password:");
    type_in(&mut client, b"hunt").unwrap();
    type_in(&mut client, b"er2!").unwrap();
    place.finish();
    assert_eq!(String::from_utf8(place.bytes(Stream::Input)).unwrap(), "********");
}

#[test]
fn a_secret_of_several_lines_is_not_in_the_log() {
    let key = "-----BEGIN KEY-----\nMIIEpAIBAAKC\n-----END KEY-----";
    let mut place = terminal("echo \"it is $KEY\"");
    place.message.env.insert("KEY".to_owned(), key.to_owned());
    place.spec.env_names = place.message.env.keys().cloned().collect();
    place.message.redact = vec![key.to_owned()];
    place.spec.redact_count = 1;
    place.run();
    let shown = place.text(Stream::Terminal);
    assert_eq!(shown, format!("it is {}\r\n", "*".repeat(key.len() + 2)));
}

#[test]
fn a_hidden_line_and_a_secret_are_not_in_the_log() {
    let mut place = terminal("stty -echo; echo Password:; read -r word; stty echo; echo ${#word}; read -r word");
    place.message.redact = vec!["the-secret-value".to_owned()];
    place.spec.redact_count = 1;
    place.start();
    let mut client = attach(&place);
    shows(&place, "Password:");
    type_in(&mut client, b"hunter2\n").unwrap();
    shows(&place, "7");
    type_in(&mut client, b"a the-secret-value b\n").unwrap();
    place.finish();
    assert_eq!(String::from_utf8(place.bytes(Stream::Input)).unwrap(), "********a **************** b\n");
    let shown = place.text(Stream::Terminal);
    assert!(shown.contains("a **************** b") && !shown.contains("secret"), "{shown:?}");
    assert!(place.frames(Stream::Input).iter().all(|f| f.1 & wharf_store::log::FLAG_REDACTED != 0));
}

#[test]
fn another_size_is_told_to_the_child() {
    let mut place = terminal("trap 'stty size' WINCH; echo up; while :; do sleep 0.02; done");
    place.start();
    let mut client = attach(&place);
    shows(&place, "up");
    assert_eq!(code(client.ask(&Control::Resize { rows: 0, cols: 80 })), "bad_request");
    assert_eq!(code(client.ask(&Control::Resize { rows: 24, cols: 60_000 })), "bad_request");
    assert_eq!(client.ask(&Control::Resize { rows: 50, cols: 132 }).unwrap(), ControlReply::Ok);
    shows(&place, "50 132");
    assert_eq!(client.ask(&Control::Resize { rows: 50, cols: 132 }).unwrap(), ControlReply::Ok);
    client.ask(&Control::Stop { reason: "operator".to_owned(), grace_ms: 500 }).unwrap();
    place.finish();
    assert_eq!(place.records("resized").len(), 1, "the same size again says nothing");
}

#[test]
fn a_child_that_does_not_read_blocks_neither_the_shim_nor_the_stop() {
    let mut place = terminal("stty raw -echo; trap '' HUP; echo up; exec sleep 60");
    place.start();
    let mut client = attach(&place);
    shows(&place, "up");
    let mut taken = 0;
    let refused = loop {
        match type_in(&mut client, &[b'x'; 16 * 1024]) {
            Ok(_) => taken += 16 * 1024,
            refused => break code(refused),
        }
        assert!(taken < 1 << 20, "nothing bounds it");
    };
    assert_eq!(refused, "busy");
    assert!(taken >= 64 * 1024, "{taken}");
    assert!(matches!(client.ask(&Control::Status), Ok(ControlReply::Status { .. })));
    client.ask(&Control::Stop { reason: "operator".to_owned(), grace_ms: 2_000 }).unwrap();
    let frame = place.finish();
    assert_eq!((frame.by, frame.signal.as_deref()), (EndedBy::Stop, Some("SIGTERM")));
}

#[test]
fn typing_is_refused_in_words_where_it_cannot_be() {
    let mut place = Place::sh("echo up; exec sleep 60");
    place.start();
    let mut client = place.watch();
    assert_eq!(code(client.ask(&Control::Attach)), "no_terminal");
    assert_eq!(code(type_in(&mut client, b"x")), "no_terminal");
    assert_eq!(code(client.ask(&Control::Resize { rows: 1, cols: 1 })), "no_terminal");
    client.ask(&Control::Stop { reason: "operator".to_owned(), grace_ms: 2_000 }).unwrap();
    place.finish();

    let mut place = terminal("echo up; exec sleep 60");
    place.start();
    let mut old = place.watch();
    assert_eq!(code(type_in(&mut old, b"x")), "bad_request", "attach comes first");
    old.ask(&Control::Attach).unwrap();
    assert_eq!(code(old.ask(&Control::Input { base64: "?".to_owned() })), "bad_request");
    let mut new = place.connect(place.spec.epoch + 1);
    assert_eq!(code(type_in(&mut old, b"x")), "stale_epoch");
    new.ask(&Control::Stop { reason: "operator".to_owned(), grace_ms: 2_000 }).unwrap();
    place.finish();
}

#[test]
fn the_stop_rule_takes_a_terminal_child_that_ignores_everything_polite() {
    let mut place = terminal("trap '' TERM HUP; echo up; while :; do sleep 0.02; done");
    place.start();
    let mut client = place.watch();
    shows(&place, "up");
    client.ask(&Control::Stop { reason: "operator".to_owned(), grace_ms: 300 }).unwrap();
    let frame = place.finish();
    assert_eq!((frame.by, frame.signal.as_deref()), (EndedBy::Stop, Some("SIGKILL")));
    assert!(place.tagged().is_empty());
}

#[test]
fn one_that_stays_behind_with_the_terminal_is_found_and_ended() {
    let mut place = terminal("(trap '' HUP TERM; echo left; while :; do sleep 0.02; done) & sleep 0.2; exit 0");
    place.spec.grace_ms = 300;
    let frame = place.run();
    assert_eq!(frame.code, Some(0));
    let stop = frame.stop.unwrap();
    assert!(stop.reason == "leftover" && stop.killed >= 1, "{stop:?}");
    assert!(place.tagged().is_empty());
}

#[test]
fn a_terminal_that_is_closed_and_opened_again_is_read_on() {
    let mut place = terminal("echo before; exec <&- >&- 2>&-; sleep 0.5; echo after >/dev/tty; sleep 0.3; exit 4");
    let frame = place.run();
    assert_eq!(place.text(Stream::Terminal), "before\r\nafter\r\n");
    assert_eq!(frame.code, Some(4));
}

#[test]
fn what_is_written_to_a_terminal_that_is_opened_for_a_moment_before_the_end_is_kept() {
    let mut place = terminal("echo before; exec <&- >&- 2>&-; sleep 0.25; echo after >/dev/tty; exit 4");
    let frame = place.run();
    assert_eq!(place.text(Stream::Terminal), "before\r\nafter\r\n");
    assert_eq!(frame.code, Some(4));
}

#[test]
fn the_end_of_the_shim_hangs_up() {
    let mut place = terminal("trap 'echo hung > hup; exit' HUP; echo up; while :; do sleep 0.02; done");
    place.start();
    shows(&place, "up");
    let shim = wharf::process::identity::process(place.shim.as_ref().unwrap().pid()).unwrap().unwrap();
    wharf::process::signal::send(shim, wharf::process::signal::Signal::KILL).unwrap();
    eventually("the hang-up", || place.root.path().join("hup").exists().then_some(()));
    place.wait_for(LIMIT);
}
