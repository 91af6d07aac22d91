//! Ordinary runs through a real shim: bytes, ends, environment, descriptors.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod shim_common;

use std::os::unix::fs::PermissionsExt;

use shim_common::Place;
use wharf_model::shim::*;
use wharf_store::log::Stream;

#[test]
fn every_byte_of_both_streams_arrives() {
    let mut place = Place::sh(
        "i=0; while [ $i -lt 40 ]; do head -c 100000 /dev/zero | tr '\\0' \"\\\\$(printf %o $((65 + i % 26)))\"; \
         head -c 70001 /dev/zero | tr '\\0' 'e' >&2; i=$((i+1)); done; printf end; exit 7",
    );
    let frame = place.run();
    assert_eq!((frame.code, frame.signal.as_deref(), frame.by), (Some(7), None, EndedBy::Itself));
    let mut expected: Vec<u8> = Vec::new();
    for i in 0..40u8 {
        expected.extend(std::iter::repeat_n(b'A' + i % 26, 100_000));
    }
    expected.extend_from_slice(b"end");
    let out = place.bytes(Stream::Stdout);
    assert!(out == expected, "stdout differs: {} bytes instead of {}", out.len(), expected.len());
    assert!(place.bytes(Stream::Stderr) == vec![b'e'; 40 * 70_001]);
    let end = |bytes| StreamEnd { bytes, closed: true };
    assert_eq!(frame.streams["stdout"], end(expected.len() as u64));
    assert_eq!(frame.streams["stderr"], end(40 * 70_001));
    assert!(!frame.leaky && frame.stop.is_none() && frame.spawn_error.is_none());
    assert!(frame.rusage.maxrss_kib > 0 && frame.ended_ms >= frame.started_ms);
    let copy: ExitFrame = serde_json::from_slice(&std::fs::read(place.dir.join("exit.json")).unwrap()).unwrap();
    assert_eq!(copy, frame, "exit.json is a copy of the frame");
    assert_eq!(place.errors(), "");
}

#[test]
fn binary_bytes_are_kept_over_many_segments() {
    let root = tempfile::tempdir().unwrap();
    let noise: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(root.path().join("noise"), &noise).unwrap();
    let mut place = Place::in_root(root, &["cat", "noise"]);
    place.spec.log.segment_bytes = 300_000;
    assert_eq!(place.run().code, Some(0));
    assert!(place.bytes(Stream::Stdout) == noise);
    assert!(place.dir.join("out.000005.wlog").exists());
}

#[test]
fn a_signal_of_its_own_is_named() {
    let frame = Place::sh("kill -SEGV $$").run();
    assert_eq!((frame.code, frame.signal.as_deref(), frame.by), (None, Some("SIGSEGV"), EndedBy::Itself));
}

#[test]
fn the_environment_is_exactly_what_was_sent_and_nothing_is_inherited() {
    // A descriptor that this process leaks on purpose must not reach the child.
    let leak = std::fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    let mut place = Place::new(&["env"]);
    place.message.env.insert("ODD".to_owned(), "a=b\nc ü".to_owned());
    assert_eq!(place.run().code, Some(0));
    let mut expected: Vec<String> = place.message.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    expected.sort();
    let text = place.text(Stream::Stdout);
    let mut got: Vec<String> =
        text.trim_end().replace("\nc ü", "\u{1}").split('\n').map(|l| l.replace('\u{1}', "\nc ü")).collect();
    got.sort();
    assert_eq!(got, expected);

    let mut place = Place::new(&["ls", "-1", "/proc/self/fd"]);
    assert_eq!(place.run().code, Some(0));
    // The fourth is the directory that ls itself reads.
    assert_eq!(place.text(Stream::Stdout), "0\n1\n2\n3\n");
    drop(leak);
}

#[test]
fn signals_are_as_a_program_expects_them() {
    let mut place = Place::sh("grep -E '^Sig(Blk|Ign)' /proc/self/status");
    assert_eq!(place.run().code, Some(0));
    for line in place.text(Stream::Stdout).lines() {
        let bits = u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
        // Signals 32 and 33 belong to libc, which keeps them from us and sets them itself.
        assert_eq!(bits & !(0b11 << 31), 0, "{line}");
    }
}

#[test]
fn input_is_fed_and_closed_or_null() {
    let mut place = Place::new(&["cat"]);
    place.spec.stdin = StdinMode::Sent;
    let prompt = "line\n".repeat(100_000);
    place.message.stdin = Some(prompt.clone());
    assert_eq!(place.run().code, Some(0));
    assert!(place.text(Stream::Stdout) == prompt);

    let mut place = Place::new(&["cat"]);
    assert_eq!(place.run().code, Some(0));
    assert_eq!(place.text(Stream::Stdout), "");

    // A child that reads nothing of a long input ends as it likes.
    let mut place = Place::new(&["true"]);
    place.spec.stdin = StdinMode::Sent;
    place.message.stdin = Some("x".repeat(3_000_000));
    assert_eq!(place.run().code, Some(0));
}

#[test]
fn a_shell_command_runs_in_the_shell_of_the_environment() {
    let mut place = Place::new(&["echo $0; exit 3"]);
    place.spec.shell = true;
    place.message.env.insert("SHELL".to_owned(), "/bin/bash".to_owned());
    assert_eq!(place.run().code, Some(3));
    assert_eq!(place.text(Stream::Stdout), "/bin/bash\n");
}

/// Name, command, directory, expected code, words of the message.
type Row<'a> = (&'a str, Vec<&'a str>, Option<&'a str>, &'a str, &'a str);

#[test]
fn what_cannot_be_started_is_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8], mode: u32| {
        let path = root.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plain = file("plain", b"#!/bin/sh\n", 0o644);
    let text = file("text", b"echo never run through a shell\n", 0o755);
    let empty = file("empty", b"", 0o755);
    let alone = file("alone", b"#!\n", 0o755);
    let orphan = file("orphan", b"#!/no/such/interpreter -x\n", 0o755);
    let foreign = file("foreign", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\xff\x01\0\0\0", 0o755);
    let long = "x".repeat(200_000);
    let dir = root.path().to_str().unwrap().to_owned();
    let table: [Row<'_>; 13] = [
        ("not along PATH", vec!["no-such-command-here"], None, "command_not_found", "along the child's PATH"),
        ("no such file", vec!["/no/such/file"], None, "command_not_found", "there is no /no/such/file"),
        ("empty name", vec![""], None, "command_not_found", "empty"),
        ("no permission", vec![&plain], None, "command_not_executable", "may not be executed"),
        ("text without #!", vec![&text], None, "command_not_executable", "#!"),
        ("empty file", vec![&empty], None, "command_not_executable", "#!"),
        ("empty #!", vec![&alone], None, "command_not_executable", "#!"),
        ("interpreter missing", vec![&orphan], None, "exec_failed", "interpreter /no/such/interpreter"),
        ("another machine", vec![&foreign], None, "exec_failed", "another kind of machine"),
        ("a directory", vec![&dir], None, "exec_failed", "is a directory"),
        ("too long", vec!["true", &long], None, "exec_failed", "too long"),
        ("cwd missing", vec!["true"], Some("/no/such/dir"), "cwd_missing", "/no/such/dir"),
        ("cwd is a file", vec!["true"], Some(&plain), "cwd_missing", "Not a directory"),
    ];
    for (name, argv, cwd, code, words) in &table {
        let mut place = Place::new(argv);
        if let Some(cwd) = cwd {
            place.spec.cwd = (*cwd).to_owned();
        }
        let frame = place.run();
        let error = frame.spawn_error.clone().unwrap_or_else(|| panic!("{name}: it started: {:?}", frame.code));
        assert_eq!(error.code, *code, "{name}: {}", error.message);
        assert!(error.message.contains(words), "{name}: {}", error.message);
        assert_eq!((frame.code, frame.signal), (None, None), "{name}");
        assert_eq!(place.bytes(Stream::Stdout), b"", "{name}");
        assert_eq!(place.records("started").len(), 0, "{name}");
    }
}

#[test]
fn what_cannot_be_kept_is_refused_in_words() {
    let refuse = |change: fn(&mut Place), words: &str| {
        let mut place = Place::new(&["true"]);
        change(&mut place);
        let error = place.run().spawn_error.unwrap();
        assert_eq!(error.code, "exec_failed");
        assert!(error.message.contains(words), "{}", error.message);
    };
    refuse(
        |p| (p.spec.tty, p.spec.stdin) = (Some(TtySize { rows: 24, cols: 80 }), StdinMode::Sent),
        "nothing can be sent to its standard input",
    );
    refuse(|p| p.spec.stop_signal = Some("SIGNOPE".to_owned()), "SIGNOPE");
    refuse(|p| drop(p.message.env.remove("WHARF_TAG")), "WHARF_TAG");
    refuse(|p| p.spec.argv.clear(), "empty");
    refuse(|p| drop(p.message.env.insert("A=B".to_owned(), String::new())), "A=B");
    refuse(|p| p.message.redact = vec!["s".repeat(200_000)], "200000 bytes");
    refuse(|p| p.spec.redact_count = 1, "1 values are to be redacted, but 0 came");
    refuse(|p| p.message.stdin = Some(String::new()), "standard input");
    refuse(|p| p.spec.stdin = StdinMode::Sent, "standard input");
    refuse(|p| p.spec.limits.extend([("files".to_owned(), 1)]), "no limit \"files\"");
}

#[test]
fn a_quota_that_kills_keeps_what_fits_and_declares_the_rest() {
    let mut place = Place::sh("trap 'exit 9' TERM; while :; do echo 0123456789; done");
    place.spec.log.quota_bytes = Some(50_000);
    place.spec.log.on_quota = OnQuota::Kill;
    let frame = place.run();
    assert_eq!(frame.by, EndedBy::Quota);
    assert_eq!(frame.streams["stdout"].bytes, 50_000);
    assert_eq!(place.bytes(Stream::Stdout).len(), 50_000);
    let gaps: Vec<_> = place.frames(Stream::Stdout).into_iter().filter(|f| f.1 & 2 != 0).collect();
    assert_eq!(gaps.len(), 1);
    let gap: serde_json::Value = serde_json::from_slice(&gaps[0].2).unwrap();
    assert_eq!(gap["reason"], "quota");
    assert!(gap["bytes"].as_u64().unwrap() > 0);
    assert_eq!(frame.stop.unwrap().reason, "quota");
}

#[test]
fn a_quota_that_blocks_holds_the_child_until_it_is_stopped() {
    let mut place = Place::sh("while :; do echo 0123456789; done");
    place.spec.log.quota_bytes = Some(50_000);
    place.start();
    let mut client = place.watch();
    shim_common::eventually("the quota", || match client.ask(&Control::Status).unwrap() {
        ControlReply::Status { offsets, state, .. } => {
            (offsets["stdout"] == 50_000 && state == "running").then_some(())
        }
        other => panic!("{other:?}"),
    });
    client.ask(&Control::Stop { reason: "operator".to_owned(), grace_ms: 1_000 }).unwrap();
    let frame = place.finish();
    assert_eq!((frame.by, frame.streams["stdout"].bytes), (EndedBy::Stop, 50_000));
    assert_eq!(place.records("quota").len(), 1);
}

#[test]
fn secrets_are_replaced_over_borders_of_writes() {
    let mut place = Place::sh(
        "printf 'a=correct-hor'; sleep 0.01; printf 'se-battery;'; printf 'correct-horse-battery\\n' >&2; \
         head -c 300000 /dev/zero | tr '\\0' x; printf correct-horse-battery; printf correct-horse",
    );
    place.message.redact = vec!["correct-horse-battery".to_owned(), "short".to_owned()];
    place.spec.redact_count = 2;
    assert_eq!(place.run().code, Some(0));
    let stars = "*".repeat(21);
    let expected = format!("a={stars};{}{stars}correct-horse", "x".repeat(300_000));
    assert!(place.text(Stream::Stdout) == expected);
    assert_eq!(place.text(Stream::Stderr), format!("{stars}\n"));
    assert!(place.frames(Stream::Stderr).iter().all(|f| f.1 == 1), "flagged");
    let raw = std::fs::read(place.dir.join("out.000001.wlog")).unwrap();
    assert!(memchr::memmem::find(&raw, b"correct-horse-battery").is_none());
    for entry in std::fs::read_dir(&place.dir).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("spec.json") {
            continue; // the script stands there because this test's command holds the value itself
        }
        if let Ok(bytes) = std::fs::read(&path) {
            assert!(memchr::memmem::find(&bytes, b"correct-horse-battery").is_none(), "{}", path.display());
        }
    }
}
