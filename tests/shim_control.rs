//! The control and agent sockets of a real shim.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod shim_common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use serde_json::json;
use shim_common::{LIMIT, Place, eventually};
use wharf::process::client::{AgentClient, ClientError, ControlClient};
use wharf_model::shim::*;
use wharf_store::log::Stream;

fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    match answer {
        Err(ClientError::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

fn end(place: &mut Place, client: &mut ControlClient) -> ExitFrame {
    client.ask(&Control::Stop { reason: "operator".to_owned(), grace_ms: 2_000 }).unwrap();
    place.finish()
}

#[test]
fn a_lower_epoch_is_refused_and_a_higher_one_takes_over() {
    let mut place = Place::sh("echo up; exec sleep 60");
    place.start();
    let mut old = place.connect(5);
    assert_eq!(code(ControlClient::connect(&place.dir, 4, LIMIT)), "stale_epoch");
    assert!(matches!(old.ask(&Control::Status), Ok(ControlReply::Status { .. })));
    let mut new = place.connect(6);
    assert_eq!(code(old.ask(&Control::Stop { reason: "operator".to_owned(), grace_ms: 0 })), "stale_epoch");
    assert_eq!(code(ControlClient::connect(&place.dir, 5, LIMIT)), "stale_epoch");
    assert!(matches!(new.ask(&Control::Status), Ok(ControlReply::Status { .. })), "the child still runs");
    let frame = end(&mut place, &mut new);
    assert_eq!(frame.by, EndedBy::Stop);
    assert_eq!(place.records("adopted")[0]["epoch"], 6);
}

#[test]
fn welcome_and_status_say_what_is() {
    let mut place = Place::sh("printf 12345; printf 123 >&2; exec sleep 60");
    place.start();
    let mut client = place.watch();
    place.wait_for_text("12345");
    match client.welcome() {
        ControlReply::Welcome { v, versions, id, .. } => {
            assert_eq!((*v, versions.as_slice(), id), (1, &[1][..], &place.spec.id));
        }
        other => panic!("{other:?}"),
    }
    eventually("both streams", || match client.ask(&Control::Status).unwrap() {
        ControlReply::Status { state, offsets, disk, child, descendants, seq, limits } => {
            assert_eq!((state.as_str(), disk.as_str(), descendants), ("running", "ok", 1));
            assert_eq!(limits, None, "none were asked");
            let child = child.unwrap();
            assert_eq!(wharf::process::identity::process(child.pid).unwrap().unwrap().start_ticks, child.start_ticks);
            (seq >= 3 && offsets["stdout"] == 5 && offsets["stderr"] == 3).then_some(())
        }
        other => panic!("{other:?}"),
    });
    end(&mut place, &mut client);
}

#[test]
fn a_named_signal_reaches_the_child() {
    let mut place = Place::sh("trap 'exit 6' USR1; echo up; while :; do sleep 0.02; done");
    place.start();
    let mut client = place.watch();
    place.wait_for_text("up");
    assert_eq!(code(client.ask(&Control::Signal { name: "SIGNOPE".to_owned() })), "bad_request");
    client.ask(&Control::Signal { name: "SIGUSR1".to_owned() }).unwrap();
    let frame = place.finish();
    assert_eq!((frame.code, frame.by, frame.stop), (Some(6), EndedBy::Itself, None));
}

#[test]
fn input_can_be_closed_early() {
    let mut place = Place::sh("while :; do sleep 0.02; done");
    place.spec.stdin = StdinMode::Sent;
    place.message.stdin = Some("x".repeat(2_000_000));
    place.start();
    let mut client = place.watch();
    assert_eq!(client.ask(&Control::CloseStdin).unwrap(), ControlReply::Ok);
    end(&mut place, &mut client);
}

#[test]
fn bad_lines_are_answered_and_harm_nobody() {
    let mut place = Place::sh("exec sleep 60");
    place.start();
    let mut client = place.watch();
    let path = place.dir.join("ctl.sock");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let ask = |text: &[u8]| {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // A line above the limit may be cut off while it is still being written.
        let _ = stream.write_all(text);
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str::<serde_json::Value>(&line).unwrap()["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(ask(b"{\"t\":\"status\"}\n"), "bad_request");
    assert_eq!(ask(b"not json\n"), "bad_request");
    assert_eq!(ask(b"{\"t\":\"nonsense\"}\n"), "bad_request");
    assert_eq!(ask(b"\xff\xfe\n"), "bad_request");
    let mut long = vec![b'x'; 70_000];
    long.push(b'\n');
    assert_eq!(ask(&long), "bad_request");
    // Peers that say nothing fill the places; one more is told so and nobody else suffers.
    let silent: Vec<_> = (0..16).map(|_| UnixStream::connect(&path).unwrap()).collect();
    assert_eq!(ask(b""), "busy");
    assert!(matches!(client.ask(&Control::Status), Ok(ControlReply::Status { .. })));
    drop(silent);
    end(&mut place, &mut client);
}

#[test]
fn a_reader_that_never_reads_is_dropped() {
    let mut place = Place::sh("exec sleep 60");
    place.start();
    let mut client = place.watch();
    let mut deaf = UnixStream::connect(place.dir.join("ctl.sock")).unwrap();
    deaf.set_write_timeout(Some(LIMIT)).unwrap();
    deaf.write_all(b"{\"t\":\"hello\",\"v\":1,\"epoch\":5,\"version\":\"x\"}\n").unwrap();
    // Answers pile up until the shim gives up on it: writing then fails.
    let asked = (0..200_000).find(|_| deaf.write_all(b"{\"t\":\"status\"}\n").is_err());
    assert!(asked.is_some(), "it was never dropped");
    assert!(matches!(client.ask(&Control::Status), Ok(ControlReply::Status { .. })));
    end(&mut place, &mut client);
}

#[test]
fn agent_messages_are_stored_and_answered() {
    let mut place = Place::sh("exec sleep 60");
    place.message.token = Some("tok-123456789".to_owned());
    place.message.redact = vec!["the-secret-value".to_owned()];
    place.spec.redact_count = 1;
    place.start();
    let mut client = place.watch();
    let path = place.dir.join("agent.sock");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let message = |token: &str, id: &str| AgentMessage {
        v: 1,
        token: token.to_owned(),
        message_id: id.to_owned(),
        kind: "ask".to_owned(),
        body: json!({"text": "is the-secret-value right?"}),
    };
    let connect = || AgentClient::connect(&path, LIMIT).unwrap();
    assert_eq!(code(connect().send(&message("tok-12345678x", "m0"))), "not_allowed");
    assert_eq!(code(connect().send(&message("tok-123456789", ""))), "bad_request");
    let mut agent = connect();
    agent.send(&message("tok-123456789", "m1")).unwrap();
    assert_eq!(agent.wait_for_reply("m1", std::time::Duration::ZERO).unwrap(), None);
    let reply = |id: &str| Control::Reply { message: id.to_owned(), body: json!({"yes": true}) };
    client.ask(&reply("m1")).unwrap();
    assert_eq!(agent.wait_for_reply("m1", LIMIT).unwrap(), Some(json!({"yes": true})));
    assert_eq!(code(client.ask(&reply("m1"))), "not_waiting");
    end(&mut place, &mut client);
    let frames = place.frames(Stream::Agent);
    assert_eq!(frames.len(), 1);
    let stored: serde_json::Value = serde_json::from_slice(&frames[0].2).unwrap();
    let text = "is **************** right?";
    assert_eq!(stored, json!({"v": 1, "message_id": "m1", "kind": "ask", "body": {"text": text}}));
    assert_eq!(frames[0].1, 1, "flagged as redacted");
}

fn said(id: &str, body: serde_json::Value) -> String {
    let message = AgentMessage {
        v: 1,
        token: "tok-123456789".to_owned(),
        message_id: id.to_owned(),
        kind: "comment".to_owned(),
        body,
    };
    format!("{}\n", serde_json::to_string(&message).unwrap())
}

#[test]
fn messages_that_come_all_at_once_before_a_peer_half_closes_are_all_taken() {
    use std::io::{Read as _, Write as _};
    let mut place = Place::sh("echo up; exec sleep 60");
    place.message.token = Some("tok-123456789".to_owned());
    place.start();
    let mut client = place.watch();
    let mut stream = std::os::unix::net::UnixStream::connect(place.dir.join("agent.sock")).unwrap();
    let all: String = (0..100).map(|n| said(&format!("m{n}"), json!("x"))).collect();
    stream.write_all(all.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.lines().filter(|l| l.contains("stored")).count(), 100, "{answers}");
    end(&mut place, &mut client);
    assert_eq!(place.frames(wharf_store::log::Stream::Agent).len(), 100);
}

#[test]
fn a_run_that_says_without_end_is_refused_at_its_limit() {
    use std::io::{BufRead as _, Write as _};
    let mut place = Place::sh("echo up; exec sleep 60");
    place.message.token = Some("tok-123456789".to_owned());
    place.start();
    let mut client = place.watch();
    let stream = std::os::unix::net::UnixStream::connect(place.dir.join("agent.sock")).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut answers = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
    let long = "x".repeat(60 * 1024);
    let refusal = (0..400).find_map(|n| {
        (&stream).write_all(said(&format!("m{n}"), json!(long)).as_bytes()).unwrap();
        let answer = answers.next().unwrap().unwrap();
        (!answer.contains("stored")).then_some(answer)
    });
    let refusal = refusal.expect("there is a limit");
    assert!(refusal.contains("log_quota") && refusal.contains("16777216"), "{refusal}");
    end(&mut place, &mut client);
    let kept: usize = place.frames(wharf_store::log::Stream::Agent).iter().map(|f| f.2.len()).sum();
    assert!((15 << 20..=16 << 20).contains(&kept), "{kept}");
}
