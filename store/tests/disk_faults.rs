//! Disks that fail: a lost sync, a loss of power at any write, no room, a reader or a writer in the way. SQLite runs on
//! a layer of files that notes and refuses what it is told to.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "the whole file is tests")]

#[path = "support/faulty_disk.rs"]
mod faulty_disk;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use faulty_disk::{Disk, Op, Part};
use rusqlite::{Connection, OpenFlags};
use wharf_model::state::Change;
use wharf_store::{Access, Reader, RequestSender, Store, StoreError, Writer};

/// Says that a test shows nothing here, past what the harness keeps to itself of one that passes.
fn skipped(why: &str) {
    let test = std::thread::current();
    let _ = writeln!(std::io::stderr(), "SKIPPED {}: {why}", test.name().unwrap_or("a test"));
}

fn counter(name: &str, value: i64) -> Change {
    Change::Counter { name: name.into(), value }
}

/// A change of about this many pages.
fn bulk(pages: i64, value: i64) -> Vec<Change> {
    (0..pages).map(|n| counter(&format!("{n:05}{}", "x".repeat(3_500)), value)).collect()
}

fn reigning(dir: &Path) -> Writer {
    let mut writer = Writer::open(dir).unwrap();
    writer.begin_reign().unwrap();
    writer
}

/// A directory in memory where there is one: what is synced here is synced very often.
fn quick_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn run(writer: &Writer) -> i64 {
    writer.load_state().unwrap().counters.get("run").copied().unwrap_or(0)
}

fn whole(dir: &Path) -> String {
    let conn = Connection::open_with_flags(dir.join("wharf.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

#[test]
fn after_a_lost_sync_nothing_is_acknowledged_before_the_store_was_read_back() {
    let disk = Disk::take();
    for part in [Part::Journal, Part::Database] {
        let dir = quick_dir();
        let mut writer = reigning(dir.path());
        writer.commit(&[vec![counter("run", 1)]]).unwrap();
        disk.fail_syncs(part, 1);
        // One that fails for the journal fails its commit; one for the database shows when pages are copied back.
        let error = match part {
            Part::Journal => writer.commit(&[vec![counter("run", 2)]]).unwrap_err(),
            Part::Database => writer.commit(&[bulk(1_100, 2)]).unwrap_err(),
        };
        assert!(matches!(error, StoreError::Suspect { .. }), "{part:?}: {error}");
        assert_eq!(error.code(), "store_read_only");
        // The disk would take it now; it is not asked.
        disk.heal();
        for _ in 0..3 {
            let error = writer.commit(&[vec![counter("run", 3)]]).unwrap_err();
            assert!(matches!(error, StoreError::Suspect { .. }), "{part:?}: {error}");
        }
        assert!(matches!(writer.end_reign(), Err(StoreError::Suspect { .. })));
        assert_eq!(RequestSender::open(dir.path()).err().unwrap().code(), "store_read_only");
        drop(Reader::open(dir.path()).unwrap());
        drop(writer);
        assert!(dir.path().join("SUSPECT").exists());
        let mut writer = reigning(dir.path());
        assert!(!dir.path().join("SUSPECT").exists());
        assert!(!writer.ended_cleanly());
        assert!(run(&writer) >= 1 && run(&writer) <= 2, "what was refused is there: {}", run(&writer));
        writer.commit(&[vec![counter("run", 4)]]).unwrap();
        drop(RequestSender::open(dir.path()).unwrap());
    }
}

#[test]
fn a_store_that_the_disk_lost_a_part_of_is_not_written_again() {
    let disk = Disk::take();
    let dir = quick_dir();
    let mut writer = reigning(dir.path());
    writer.commit(&[vec![counter("run", 1)]]).unwrap();
    writer.checkpoint().unwrap();
    let conn = Connection::open(dir.path().join("wharf.db")).unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'issue_comments'";
    let page: u32 = conn.query_row(root, [], |row| row.get(0)).unwrap();
    drop(conn);
    disk.fail_syncs(Part::Journal, 1);
    writer.commit(&[vec![counter("run", 2)]]).unwrap_err();
    disk.heal();
    drop(writer);
    let file = File::options().write(true).open(dir.path().join("wharf.db")).unwrap();
    file.write_all_at(&[0xff; 8], u64::from(page - 1) * 4096).unwrap();
    for _ in 0..2 {
        let error = Writer::open(dir.path()).err().unwrap();
        assert_eq!(error.code(), "store_damaged");
        assert!(error.to_string().contains("failed to keep"), "{error}");
        assert!(dir.path().join("SUSPECT").exists(), "it would be trusted at the next start");
    }
}

/// Small numbers that look like chance, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What the disk holds after a loss of power: all that was synced, and of the rest what `keep` says.
fn lay_down(files: &mut [Vec<u8>; 2], op: &Op, torn: Option<usize>) {
    match op {
        Op::Write { part, at, bytes } => {
            let file = &mut files[*part as usize];
            let bytes = &bytes[..torn.unwrap_or(bytes.len()).min(bytes.len())];
            let end = *at as usize + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[*at as usize..end].copy_from_slice(bytes);
        }
        Op::Truncate { part, length } => files[*part as usize].resize(*length as usize, 0),
        Op::Sync { .. } | Op::Acknowledged(_) => {}
    }
}

/// Commits whose writes are replayed.
const COMMITS: i64 = 9;

#[test]
fn power_may_fail_at_any_write() {
    let disk = Disk::take();
    let dir = quick_dir();
    let mut writer = reigning(dir.path());
    let names = ["wharf.db", "wharf.db-wal"];
    let used = |bytes: &[u8]| bytes.iter().rposition(|b| *b != 0).map_or(0, |n| n + 1);
    let base = names.map(|n| fs::read(dir.path().join(n)).unwrap());
    disk.record();
    for n in 1..=COMMITS {
        let mut input = vec![counter("run", n), counter("twin", n)];
        if n % 4 == 0 {
            input.extend(bulk(9, n));
        }
        writer.commit(&[input]).unwrap();
        disk.acknowledged(n);
        if n % 4 == 3 {
            // The next round of the journal overwrites the one before.
            writer.checkpoint().unwrap();
        }
    }
    let log = disk.recorded();
    drop(writer);
    let seed = 0x5eed_1234_u64;
    let mut dice = Dice(seed);
    let (mut opened, mut at_most) = (0, 0);
    let target = quick_dir();
    for crash in 0..=log.len() {
        let before = &log[..crash];
        let acknowledged =
            before.iter().rev().find_map(|op| if let Op::Acknowledged(n) = op { Some(*n) } else { None });
        let last_sync =
            |part: Part| before.iter().rposition(|op| matches!(op, Op::Sync { part: p } if *p == part)).unwrap_or(0);
        let synced = [last_sync(Part::Database), last_sync(Part::Journal)];
        // Nothing of what was not synced, all of it, the last write torn, any part of it in any order.
        for variant in 0..4 {
            let mut files = base.clone();
            let mut late: Vec<&Op> = Vec::new();
            for (i, op) in before.iter().enumerate() {
                match op {
                    Op::Write { part, .. } | Op::Truncate { part, .. } if i >= synced[*part as usize] => late.push(op),
                    op => lay_down(&mut files, op, None),
                }
            }
            if late.is_empty() && variant > 0 {
                continue;
            }
            match variant {
                0 => {}
                1 => {
                    for op in &late {
                        lay_down(&mut files, op, None);
                    }
                }
                2 => {
                    let (torn, rest) = late.split_last().unwrap();
                    for op in rest {
                        lay_down(&mut files, op, None);
                    }
                    lay_down(&mut files, torn, Some(512 * dice.roll(9) as usize + dice.roll(2) as usize * 24));
                }
                _ => {
                    for _ in 0..late.len() {
                        let chosen = late[dice.roll(late.len() as u64) as usize];
                        lay_down(&mut files, chosen, (dice.roll(3) == 0).then_some(512));
                    }
                }
            }
            for (name, bytes) in names.iter().zip(&files) {
                fs::write(target.path().join(name), &bytes[..used(bytes)]).unwrap();
            }
            // Whole pages: what ends in zeros is still there.
            let length = files[0].len() as u64;
            File::options().write(true).open(target.path().join(names[0])).unwrap().set_len(length).unwrap();
            let _ = fs::remove_file(target.path().join("wharf.db-shm"));
            fs::write(target.path().join("VERSION"), "1\n").unwrap();
            fs::set_permissions(target.path(), fs::Permissions::from_mode(0o700)).unwrap();
            let case = format!("seed {seed:#x}, crash at {crash} of {}, variant {variant}", log.len());
            let after = Writer::open(target.path()).unwrap_or_else(|e| panic!("{case}: {e}"));
            let state = after.load_state().unwrap();
            let (run, twin) = (state.counters.get("run"), state.counters.get("twin"));
            assert_eq!(run, twin, "{case}: half a commit");
            assert!(run.copied() >= acknowledged, "{case}: {acknowledged:?} was acknowledged, {run:?} is there");
            assert_eq!(whole(target.path()), "ok", "{case}");
            opened += 1;
            at_most = at_most.max(run.copied().unwrap_or(0));
        }
    }
    eprintln!("{} steps, {opened} stores after a loss of power", log.len());
    assert!(opened > log.len() && at_most == COMMITS);
}

#[test]
fn another_process_may_hold_the_write_lock_for_seconds() {
    let _disk = Disk::take();
    let dir = quick_dir();
    let mut writer = reigning(dir.path());
    writer.commit(&[vec![counter("run", 1)]]).unwrap();
    let holder = Connection::open(dir.path().join("wharf.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE; UPDATE meta SET value = value WHERE key = 'epoch'").unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        let began = Instant::now();
        let commits = scope.spawn(move || {
            for n in 2..=5 {
                writer.commit(&[vec![counter("run", n)]]).unwrap();
            }
            run(&writer)
        });
        let mut slowest = Duration::ZERO;
        while began.elapsed() < Duration::from_secs(3) {
            let asked = Instant::now();
            reader.header(None).unwrap();
            slowest = slowest.max(asked.elapsed());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!commits.is_finished(), "it was written although somebody else writes");
        holder.execute_batch("COMMIT").unwrap();
        assert_eq!(commits.join().unwrap(), 5);
        assert!(slowest < Duration::from_millis(500), "a read waited for the writer: {slowest:?}");
    });
}

/// A small file system of its own; none where this user may not make one.
struct Small(tempfile::TempDir);

impl Small {
    fn new(mib: u32, more: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m,mode=0700{more}");
        let made = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(dir.path()).output();
        if made.is_ok_and(|o| o.status.success()) {
            return Some(Self(dir));
        }
        skipped("no small file system can be mounted here");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let mut piece = 1 << 20;
    while piece > 0 {
        if file.write(&vec![7u8; piece]).is_err() {
            piece /= 2;
        }
    }
}

#[test]
fn a_full_disk_leaves_room_for_the_ledger_and_then_refuses_whole_batches() {
    let _disk = Disk::take();
    let Some(small) = Small::new(24, "") else { return };
    let dir = small.0.path().join("data");
    let mut writer = reigning(&dir);
    writer.commit(&[vec![counter("run", 1)]]).unwrap();
    let filler = small.0.path().join("filler");
    fill(&filler);
    let mut n = 1;
    let error = loop {
        // Something that takes room of its own each time.
        let more = counter(&format!("{n}{}", "x".repeat(3_500)), n);
        match writer.commit(&[vec![counter("run", n + 1), more]]) {
            Ok(_) => n += 1,
            Err(error) => break error,
        }
        assert!(n < 10_000, "the disk is not full");
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error} {error:?} {n}");
    assert!(error.may_pass());
    eprintln!("{n} commits had room");
    assert!(n > 300, "only {n} commits had room");
    // Nothing of the refused one is there, and all that was said before is.
    assert_eq!(run(&writer), n);
    assert!(backup_fails_cleanly(&dir));
    for _ in 0..3 {
        let error = writer.commit(&[bulk(200, n)]).unwrap_err();
        assert!(error.may_pass(), "{error}");
    }
    fs::remove_file(&filler).unwrap();
    writer.commit(&[vec![counter("run", n + 1)]]).unwrap();
    assert_eq!(run(&writer), n + 1);
    writer.shrink_journal().unwrap();
    drop(writer);
    Store::open(&dir, Access::ReadOnly).unwrap().quick_check().unwrap();
    // A start on a full disk: what is there is readable and goes on being written.
    fill(&filler);
    let mut writer = reigning(&dir);
    writer.commit(&[vec![counter("run", n + 2)]]).unwrap();
}

fn backup_fails_cleanly(dir: &Path) -> bool {
    let error = wharf_store::backup(dir, None).unwrap_err();
    matches!(error, StoreError::DiskFull { .. }) && fs::read_dir(dir.join("backups")).unwrap().next().is_none()
}

#[test]
fn a_disk_without_inodes_and_one_that_cannot_be_written_are_refused_by_name_and_left_as_they_are() {
    let _disk = Disk::take();
    let Some(small) = Small::new(24, ",nr_inodes=24") else { return };
    let dir = small.0.path().join("data");
    let mut writer = reigning(&dir);
    writer.commit(&[vec![counter("run", 1)]]).unwrap();
    drop(writer);
    let mut n = 0;
    while File::create(small.0.path().join(format!("f{n}"))).is_ok() {
        n += 1;
    }
    // What is there needs no new files but the index, which is there as well.
    let mut writer = reigning(&dir);
    writer.commit(&[vec![counter("run", 2)]]).unwrap();
    assert!(matches!(wharf_store::backup(&dir, None).unwrap_err(), StoreError::DiskFull { .. }));
    drop(writer);
    let fresh = Writer::open(&small.0.path().join("fresh")).err().unwrap();
    assert!(matches!(fresh, StoreError::DiskFull { .. }) && fresh.to_string().contains("inodes"), "{fresh}");
    let remount = |how: &str| {
        Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(small.0.path()).status().unwrap().success()
    };
    assert!(remount("ro"));
    let before = fs::read(dir.join("wharf.db")).unwrap();
    let error = Writer::open(&dir).err().unwrap();
    assert_eq!(error.code(), "store_read_only", "{error}");
    assert!(error.to_string().contains(&dir.display().to_string()), "{error}");
    assert!(fs::read(dir.join("wharf.db")).unwrap() == before);
    assert!(remount("rw"));
    assert_eq!(run(&reigning(&dir)), 2);
}

#[test]
fn a_limit_on_the_size_of_files_refuses_batches_and_loses_nothing() {
    let _disk = Disk::take();
    let dir = quick_dir();
    let mut writer = reigning(dir.path());
    writer.commit(&[vec![counter("run", 1)]]).unwrap();
    drop(writer);
    // The signal that comes with the limit would end the process before it could say anything.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec prlimit --fsize=8388608:8388608 \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "writes_up_to_a_limit", "--ignored", "--test-threads=1", "--nocapture"])
        .env("WHARF_TEST_STORE", dir.path())
        .output();
    let output = status.unwrap();
    if output.status.code() == Some(127) {
        skipped("there is no prlimit here");
        return;
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let last = said.lines().filter_map(|l| l.strip_prefix("committed ")).next_back().unwrap();
    let writer = Writer::open(dir.path()).unwrap();
    assert_eq!(run(&writer).to_string(), last);
    assert_eq!(whole(dir.path()), "ok");
}

/// Not a test of its own: the process whose files may not grow.
#[test]
#[ignore = "started by a_limit_on_the_size_of_files_refuses_batches_and_loses_nothing"]
fn writes_up_to_a_limit() {
    let dir = std::env::var_os("WHARF_TEST_STORE").expect("started by hand");
    let mut writer = reigning(Path::new(&dir));
    let mut stdout = std::io::stdout();
    let mut n = 1;
    // The database needs more than it may have.
    loop {
        let more = (0..150).map(|k| counter(&format!("{n} {k} {}", "y".repeat(3_500)), n));
        match writer.commit(&[more.collect(), vec![counter("run", n + 1)]]) {
            Ok(_) => n += 1,
            Err(error) => {
                assert!(matches!(error, StoreError::NotWritten { .. }), "{error:?}");
                assert!(error.may_pass());
                break;
            }
        }
        writeln!(stdout, "committed {n}").unwrap();
        assert!(n < 100, "the limit was never reached");
    }
    // It is refused again, and nothing of it is there.
    writer.commit(&[bulk(150, n + 1)]).unwrap_err();
    assert_eq!(run(&writer), n);
}
