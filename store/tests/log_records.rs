//! Exit frames, copies of streams, digests, and a writer that meets a full disk.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};
use wharf_store::log::*;

const OWNER: LogOwner = LogOwner { uuid: [7; 16], attempt: 1 };
const EXIT: &str = r#"{"t":"exit","v":1,"code":3,"signal":null,"core":false,"by":"self","stop":null,"streams":{},
 "leaky":false,"started_ms":1,"ended_ms":2,"rusage":{"user_us":0,"sys_us":0,"maxrss_kib":0},"oom":false}"#;

fn writer(dir: &Path, segment: u64) -> LogWriter {
    LogWriter::create(dir, OWNER, 1000, segment).unwrap()
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn exit_frames_and_records_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = writer(dir.path(), 5000);
    w.append(Stream::Control, 0, br#"{"t":"started","pid":4}"#, 1).unwrap();
    for n in 0..300 {
        w.append(Stream::Stdout, 0, &[b'x'; 100], n).unwrap();
    }
    w.append(Stream::Agent, 0, br#"{"message_id":"a"}"#, 301).unwrap();
    w.append(Stream::Agent, 0, b"not json", 302).unwrap();
    assert!(last_exit_frame(dir.path()).unwrap().is_none());
    let seq = w.append(Stream::Control, 0, EXIT.as_bytes(), 303).unwrap();
    w.append(Stream::Control, 0, br#"{"t":"later"}"#, 304).unwrap();
    assert_eq!(last_exit_frame(dir.path()).unwrap().unwrap().code, Some(3));

    let mut r = LogReader::open(dir.path()).unwrap();
    let control = r.control_frames(r.start(), 100).unwrap();
    assert_eq!(control.frames.iter().map(|f| f.t().unwrap()).collect::<Vec<_>>(), ["started", "exit", "later"]);
    assert!(control.at_end);
    let agent = r.agent_messages(2, 1).unwrap();
    assert_eq!(agent.frames[0].seq, seq - 2);
    let rest = r.agent_messages(agent.next.seq(), 10).unwrap();
    assert_eq!(rest.frames.len(), 1);
    assert!(rest.frames[0].body.is_err());
    // A last segment with no frame yet: the exit stands in the one before.
    let bytes = std::fs::read(files(dir.path()).pop().unwrap()).unwrap();
    let n = files(dir.path()).len() as u32;
    std::fs::write(dir.path().join(format!("out.{:06}.wlog", n + 1)), &bytes[..30]).unwrap();
    assert_eq!(last_exit_frame(dir.path()).unwrap().unwrap().code, Some(3));
}

#[test]
fn an_end_that_is_said_again_counts_as_it_was_said_last() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = writer(dir.path(), 5000);
    w.append(Stream::Control, 0, EXIT.as_bytes(), 1).unwrap();
    assert_eq!(last_exit_frame(dir.path()).unwrap().unwrap().sync_failed, None);
    w.append(Stream::Control, 0, br#"{"t":"sync_failed"}"#, 2).unwrap();
    let again = EXIT.replace("\"oom\":false", "\"oom\":false,\"sync_failed\":\"EIO\"");
    w.append(Stream::Control, 0, again.as_bytes(), 3).unwrap();
    assert_eq!(last_exit_frame(dir.path()).unwrap().unwrap().sync_failed.as_deref(), Some("EIO"));
}

#[test]
fn an_exit_frame_inside_the_output_ends_nothing() {
    let inner = tempfile::tempdir().unwrap();
    writer(inner.path(), 1 << 20).append(Stream::Control, 0, EXIT.as_bytes(), 1).unwrap();
    let nested = std::fs::read(&files(inner.path())[0]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut w = writer(dir.path(), 1 << 20);
    w.append(Stream::Stdout, 0, &nested, 1).unwrap();
    assert!(last_exit_frame(dir.path()).unwrap().is_none());
    // The same with the writer dead in the middle of the frame: the file ends with the inner frame.
    let more = [&nested[..], &[0; 500]].concat();
    w.append(Stream::Stdout, 0, &more, 2).unwrap();
    let file = &files(dir.path())[0];
    let len = std::fs::metadata(file).unwrap().len();
    std::fs::File::options().write(true).open(file).unwrap().set_len(len - 500).unwrap();
    assert!(last_exit_frame(dir.path()).unwrap().is_none());
}

#[test]
fn a_damaged_or_strange_exit_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = writer(dir.path(), 1 << 20);
    w.append(Stream::Control, 0, EXIT.as_bytes(), 1).unwrap();
    let file = &files(dir.path())[0];
    let mut bytes = std::fs::read(file).unwrap();
    let at = bytes.len() - 5;
    bytes[at] ^= 4;
    std::fs::write(file, bytes).unwrap();
    assert!(last_exit_frame(dir.path()).unwrap().is_none());
    let dir = tempfile::tempdir().unwrap();
    writer(dir.path(), 1 << 20).append(Stream::Control, 0, br#"{"t":"exit","v":9}"#, 1).unwrap();
    let error = last_exit_frame(dir.path()).unwrap_err().to_string();
    assert!(error.contains("frame 1") && error.contains("unknown form"), "{error}");
}

#[test]
fn copies_digests_and_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = writer(dir.path(), 2000);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    for n in 0..200u32 {
        let part = n.to_le_bytes().repeat(n as usize % 7);
        if n % 3 == 0 {
            err.extend(&part);
        } else {
            out.extend(&part);
        }
        w.append(if n % 3 == 0 { Stream::Stderr } else { Stream::Stdout }, 0, &part, n.into()).unwrap();
        if n == 100 {
            w.append(Stream::Stdout, FLAG_GAP, br#"{"bytes":77,"reason":"quota"}"#, 100).unwrap();
        }
    }
    let mut r = LogReader::open(dir.path()).unwrap();
    let mut copy = Vec::new();
    let start = r.start();
    let done = copy_to(&mut r, &mut copy, StreamSet::of(&[Stream::Stdout]), start, u64::MAX).unwrap();
    assert_eq!((&copy, done.bytes, done.tail), (&out, out.len() as u64, Some(Tail::Clean)));
    assert!(matches!(&done.gaps[..], [Gap::Declared { bytes: Some(77), reason, .. }] if reason == "quota"));
    for offset in [0, 1, 99, err.len() - 1, err.len()] {
        let mut copy = Vec::new();
        copy_from_offset(&mut r, &mut copy, Stream::Stderr, offset as u64, u64::MAX).unwrap();
        assert_eq!(copy, err[offset..], "{offset}");
    }
    // In small portions, then what is written later.
    let (mut copy, mut pos) = (Vec::new(), r.start());
    loop {
        let done = copy_to(&mut r, &mut copy, StreamSet::OUTPUT, pos, 10).unwrap();
        pos = done.next;
        if done.tail.is_some() {
            break;
        }
    }
    assert_eq!(copy.len(), out.len() + err.len());
    w.append(Stream::Stdout, 0, b"later", 300).unwrap();
    out.extend(b"later");
    let mut copy = Vec::new();
    copy_to(&mut r, &mut copy, StreamSet::OUTPUT, pos, u64::MAX).unwrap();
    assert_eq!(copy, b"later");

    let sum = |b: &[u8]| format!("{:x}", Sha256::digest(b));
    let hashes = r.hashes(|_| true).unwrap().unwrap();
    let all: Vec<u8> = files(dir.path()).iter().flat_map(|f| std::fs::read(f).unwrap()).collect();
    assert_eq!(hashes.stdout_sha256, sum(&out));
    assert_eq!(hashes.stderr_sha256, sum(&err));
    assert_eq!(hashes.log_sha256, sum(&all));
    assert_eq!((hashes.damaged, hashes.log_bytes), (0, all.len() as u64));
    assert!(r.hashes(|_| false).unwrap().is_none());

    // Damage in one frame of stdout shows as damage and as a jump of the stream.
    let file = &files(dir.path())[2];
    let mut bytes = std::fs::read(file).unwrap();
    let at = memchr::memmem::find_iter(&bytes, b"WLF1").find(|at| bytes[at + 4] == 1 && bytes[at + 8] > 0).unwrap();
    bytes[at + 41] ^= 1;
    std::fs::write(file, bytes).unwrap();
    let mut copy = Vec::new();
    let mut r = LogReader::open(dir.path()).unwrap();
    let start = r.start();
    let done = copy_to(&mut r, &mut copy, StreamSet::of(&[Stream::Stdout]), start, u64::MAX).unwrap();
    assert!(matches!(done.gaps[0], Gap::Damage(_)));
    let Gap::Missing { from, to, .. } = done.gaps[1] else { panic!("{:?}", done.gaps) };
    assert_eq!(copy.len() as u64 + (to - from), out.len() as u64);
    assert_eq!(copy[..from as usize], out[..from as usize]);
    assert_eq!(copy[from as usize..], out[to as usize..]);
}

/// Runs itself again under a limit of file size, which makes writes short and then fail as a full
/// disk does; the limit is soft and lifted half-way.
#[test]
fn a_frame_that_did_not_fit_is_written_whole_later() {
    const NAME: &str = "WHARF_TEST_FULL_DIR";
    if let Ok(dir) = std::env::var(NAME) {
        let mut w = writer(Path::new(&dir), 1 << 20);
        let mut seq = 0;
        let failed = loop {
            match w.append(Stream::Stdout, 0, &[b'a'; 1000], seq) {
                Ok(n) => seq = n,
                Err(e) => break e,
            }
            assert!(seq < 100);
        };
        assert_eq!(failed.kind(), std::io::ErrorKind::FileTooLarge);
        // Nothing of the frame is left, and it fails again without harm.
        let len = std::fs::metadata(&files(Path::new(&dir))[0]).unwrap().len();
        assert_eq!(len, w.total_bytes());
        assert!(w.append(Stream::Stdout, 0, &[b'b'; 2000], seq).is_err());
        assert_eq!((w.seq(), w.offsets()[1]), (seq, seq * 1000));
        rustix::process::setrlimit(
            rustix::process::Resource::Fsize,
            rustix::process::Rlimit { current: None, maximum: None },
        )
        .unwrap();
        assert_eq!(w.append(Stream::Stdout, 0, &[b'c'; 1000], seq).unwrap(), seq + 1);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 40; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_frame_that_did_not_fit_is_written_whole_later", "--nocapture"])
        .env(NAME, dir.path())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&[out.stdout, out.stderr].concat()));
    let mut r = LogReader::open(dir.path()).unwrap();
    let batch = r.poll_new(usize::MAX).unwrap();
    assert!(batch.damage.is_empty() && batch.tail == Some(Tail::Clean));
    let n = batch.frames.len();
    assert!(n > 10);
    assert!(batch.frames[..n - 1].iter().all(|f| f.payload == [b'a'; 1000]));
    assert_eq!(batch.frames[n - 1].payload, [b'c'; 1000]);
    assert_eq!(batch.frames[n - 1].head.offset, (n as u64 - 1) * 1000);
}
