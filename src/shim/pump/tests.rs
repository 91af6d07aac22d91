//! The pump against a pipe that the test fills: what it keeps, holds back, declares.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::pipe::{PipeFlags, fcntl_getpipe_size, pipe_with};
use wharf_model::shim::{LogSpec, ShimKind, StdinMode};
use wharf_store::log::{Item, LogOwner, LogReader};

use super::super::redact::HOLD_NS;
use super::*;

fn spec() -> Spec {
    Spec {
        v: 1,
        kind: ShimKind::Run,
        id: uuid::Uuid::nil().to_string(),
        attempt: 1,
        epoch: 1,
        argv: vec!["true".into()],
        cwd: "/".into(),
        env_names: Vec::new(),
        shell: false,
        tty: None,
        stdin: StdinMode::None,
        timeout_ms: None,
        grace_ms: 0,
        log: LogSpec::default(),
        limits: BTreeMap::new(),
        tag: String::new(),
        redact_count: 0,
        stop_signal: None,
        keep: Vec::new(),
        boot_id: None,
    }
}

/// A pump whose first stream the test writes, with its log.
struct Bench {
    dir: tempfile::TempDir,
    pump: Pump,
    journal: Journal,
    pipe: Option<File>,
}

impl Bench {
    fn new(spec: &Spec, secrets: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let owner = LogOwner { uuid: [0; 16], attempt: 1 };
        let journal = Journal::create(dir.path(), owner, spec.log.segment_bytes).unwrap();
        let secrets: Vec<String> = secrets.iter().map(|s| (*s).to_owned()).collect();
        let mut pump = Pump::new(spec, Secrets::new(&secrets).unwrap());
        let (read, write): (OwnedFd, OwnedFd) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::io::ioctl_fionbio(&read, true).unwrap();
        pump.attach(read, None);
        Self { dir, pump, journal, pipe: Some(write.into()) }
    }

    fn say(&mut self, text: &[u8]) {
        self.pipe.as_mut().unwrap().write_all(text).unwrap();
    }

    /// Output in the log, and the gaps declared in it.
    fn log(&self) -> (String, Vec<serde_json::Value>) {
        read_log(self.dir.path())
    }
}

fn read_log(dir: &Path) -> (String, Vec<serde_json::Value>) {
    let mut reader = LogReader::open(dir).unwrap();
    let mut position = reader.start();
    let (mut out, mut gaps) = (Vec::new(), Vec::new());
    loop {
        match reader.next(&mut position).unwrap() {
            Item::Frame(frame) if frame.stream != Stream::Stdout => {}
            Item::Frame(frame) if frame.head.flags & FLAG_GAP != 0 => {
                gaps.push(serde_json::from_slice(frame.payload).unwrap());
            }
            Item::Frame(frame) => out.extend_from_slice(frame.payload),
            Item::End(_) => return (String::from_utf8(out).unwrap(), gaps),
            Item::Damage(damage) => panic!("{damage:?}"),
        }
    }
}

#[test]
fn a_prefix_whose_rest_is_in_the_pipe_already_is_not_given_out() {
    let mut bench = Bench::new(&spec(), &["password-1"]);
    bench.say(b"see pass");
    assert!(bench.pump.read(0, &mut bench.journal, 0));
    // The rest came in time, and only this process is late.
    bench.say(b"word-1 and pas");
    bench.pump.release_due(&mut bench.journal, HOLD_NS);
    assert_eq!(bench.log().0, "see ********** and ");
    // Nothing came: then it goes.
    bench.pump.release_due(&mut bench.journal, 2 * HOLD_NS - 1);
    assert_eq!(bench.log().0, "see ********** and ");
    assert_eq!(bench.pump.next_due(&bench.journal), Some(2 * HOLD_NS));
    bench.pump.release_due(&mut bench.journal, 2 * HOLD_NS);
    assert_eq!(bench.log().0, "see ********** and pas");
    assert_eq!(bench.pump.next_due(&bench.journal), None);
}

#[test]
fn a_prefix_before_the_end_of_its_stream_is_given_out_with_it() {
    let mut bench = Bench::new(&spec(), &["password-1"]);
    bench.say(b"see pass");
    bench.pump.read(0, &mut bench.journal, 0);
    bench.pipe = None;
    bench.pump.release_due(&mut bench.journal, HOLD_NS);
    assert_eq!(bench.log().0, "see pass");
    assert!(bench.pump.is_finished());
}

#[test]
fn only_more_than_a_pipe_holds_is_a_flood_from_outside() {
    let mut bench = Bench::new(&spec(), &[]);
    let capacity = fcntl_getpipe_size(bench.pipe.as_ref().unwrap()).unwrap();
    let full = vec![b'x'; capacity];
    bench.say(&full);
    bench.pump.count_from_now();
    assert!(!bench.pump.is_flooded(), "all of it may be the child's");
    bench.pump.read(0, &mut bench.journal, 0);
    bench.say(b"y");
    assert!(!bench.pump.is_flooded(), "a pipe's worth was read, and no more");
    bench.pump.read(0, &mut bench.journal, 0);
    bench.say(b"more");
    assert!(bench.pump.is_flooded());
    assert_eq!(bench.pump.abandon(&mut bench.journal), [false, true]);
    assert!(bench.pump.record_gaps(&mut bench.journal));
    let (out, gaps) = bench.log();
    assert_eq!(out.len(), capacity + 1);
    assert_eq!(gaps, [serde_json::json!({"bytes": 4, "reason": "given_up"})], "what is left unread is declared");
}

#[test]
fn a_prefix_before_what_is_left_unread_is_declared_with_it() {
    let mut bench = Bench::new(&spec(), &["password-1"]);
    bench.say(b"see pass");
    bench.pump.read(0, &mut bench.journal, 0);
    bench.say(b"word-1");
    bench.pump.abandon(&mut bench.journal);
    assert!(bench.pump.record_gaps(&mut bench.journal) && bench.pump.is_finished());
    assert_eq!(bench.log(), ("see ".to_owned(), vec![serde_json::json!({"bytes": 10, "reason": "given_up"})]));
}
