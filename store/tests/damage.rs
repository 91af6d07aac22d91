//! Journals and databases that lost something that was acknowledged: refused with the cause, and never read as if it
//! had not been there.
#![allow(clippy::unwrap_used, reason = "the whole file is tests")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use wharf_model::state::Change;
use wharf_store::{Writer, prepare_directory};

const PAGE: u64 = 4096;
const FRAME: u64 = 24 + PAGE;
const HEADER: u64 = 32;

fn counter(name: &str, value: i64) -> Vec<Change> {
    vec![Change::Counter { name: name.into(), value }]
}

/// A store whose process was killed after some commits that only the journal holds: files as they were then.
struct Crashed {
    dir: tempfile::TempDir,
    files: Vec<(PathBuf, Vec<u8>)>,
}

const COMMITS: i64 = 12;

impl Crashed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path()).unwrap();
        writer.begin_reign().unwrap();
        for n in 1..=COMMITS {
            writer.commit(&[counter("run", n), counter(&format!("c{n}"), n)]).unwrap();
        }
        // What a kill would leave is what stands in the files while the writer lives.
        let names = ["wharf.db", "wharf.db-wal", "wharf.db-shm", "VERSION"];
        let files = names.map(|n| (dir.path().join(n), fs::read(dir.path().join(n)).unwrap())).to_vec();
        Self { dir, files }
    }

    fn again(&self) -> &Path {
        for (path, bytes) in &self.files {
            fs::write(path, bytes).unwrap();
        }
        self.dir.path()
    }

    /// Frames in the journal, and those that end a commit.
    fn frames(&self) -> (u64, Vec<u64>) {
        let wal = &self.files[1].1;
        let salt = &wal[16..24];
        let mut ends = Vec::new();
        let mut n = 0;
        loop {
            let at = (HEADER + n * FRAME) as usize;
            if wal.len() < at + 24 || &wal[at + 8..at + 16] != salt {
                return (n, ends);
            }
            n += 1;
            if wal[at + 4..at + 8] != [0; 4] {
                ends.push(n);
            }
        }
    }
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

fn last(dir: &Path) -> i64 {
    Writer::open(dir).unwrap().load_state().unwrap().counters.get("run").copied().unwrap_or(0)
}

fn refused(dir: &Path, why: &str) -> String {
    let bytes = |n: &str| fs::read(dir.join(n)).unwrap_or_default();
    let before = (bytes("wharf.db"), bytes("wharf.db-wal"));
    let error = Writer::open(dir).err().unwrap_or_else(|| panic!("{why}: it was opened, at {}", last(dir)));
    assert_eq!(error.code(), "store_damaged", "{why}: {error}");
    assert!((bytes("wharf.db"), bytes("wharf.db-wal")) == before, "{why}: something was changed");
    let said = error.to_string();
    assert!(said.contains("restore") && said.contains("wharf.db"), "{said}");
    said
}

#[test]
fn a_killed_process_left_all_of_its_commits() {
    let crashed = Crashed::new();
    assert_eq!(last(crashed.again()), COMMITS);
}

#[test]
fn any_flipped_byte_in_a_committed_frame_is_noticed() {
    let crashed = Crashed::new();
    let (frames, _) = crashed.frames();
    assert!(frames > COMMITS as u64);
    for frame in (0..frames).step_by(7).chain([frames - 1]) {
        // In the head of the frame (page, size, salts, sums), and in its page.
        for at in [3, 6, 9, 14, 17, 23, 24, 1_000, FRAME - 1] {
            let dir = crashed.again();
            flip(&dir.join("wharf.db-wal"), HEADER + frame * FRAME + at);
            let said = refused(dir, &format!("frame {frame}, byte {at}"));
            assert!(said.contains(&format!("{frames} pages of its commits")), "{said}");
        }
    }
    for at in (0..HEADER).step_by(3) {
        let dir = crashed.again();
        flip(&dir.join("wharf.db-wal"), at);
        refused(dir, &format!("byte {at} of the header"));
    }
}

#[test]
fn without_the_shared_index_only_the_last_commit_can_pass_for_one_that_never_ended() {
    let crashed = Crashed::new();
    let (_, ends) = crashed.frames();
    let (before_last, in_last) = (ends[ends.len() - 2], ends[ends.len() - 1]);
    for frame in 0..in_last {
        let dir = crashed.again();
        fs::remove_file(dir.join("wharf.db-shm")).unwrap();
        flip(&dir.join("wharf.db-wal"), HEADER + frame * FRAME + 200);
        if frame < before_last {
            refused(dir, &format!("frame {frame}"));
        } else {
            // As after a loss of power in the middle of a commit that was not acknowledged.
            assert!(last(dir) >= COMMITS - 1);
        }
    }
}

#[test]
fn a_journal_cut_anywhere_is_noticed() {
    let crashed = Crashed::new();
    let (frames, _) = crashed.frames();
    for length in [0, 10, HEADER, HEADER + 5, HEADER + FRAME, HEADER + FRAME * 5 + 77, HEADER + FRAME * frames - 1] {
        let dir = crashed.again();
        File::options().write(true).open(dir.join("wharf.db-wal")).unwrap().set_len(length).unwrap();
        refused(dir, &format!("{length} bytes"));
        // Nor does somebody who only reads make the shared index anew from what is left.
        assert_eq!(wharf_store::Reader::open(dir).err().unwrap().code(), "store_damaged");
        refused(dir, &format!("{length} bytes, after a reader"));
    }
    let dir = crashed.again();
    fs::remove_file(dir.join("wharf.db-wal")).unwrap();
    refused(dir, "no journal");
}

#[test]
fn a_journal_whose_pages_were_copied_back_may_be_lost() {
    let crashed = Crashed::new();
    let dir = crashed.again();
    // An end in order copies everything back.
    drop(Writer::open(dir).unwrap());
    fs::write(dir.join("wharf.db-wal"), "").unwrap();
    assert_eq!(last(dir), COMMITS);
    drop(Writer::open(dir).unwrap());
    fs::remove_file(dir.join("wharf.db-wal")).unwrap();
    assert_eq!(last(dir), COMMITS);
}

#[test]
fn a_database_cut_behind_its_journal_is_noticed_at_once() {
    let crashed = Crashed::new();
    let dir = crashed.again();
    drop(Writer::open(dir).unwrap());
    let length = fs::metadata(dir.join("wharf.db")).unwrap().len();
    for keep in [length / 2, length - PAGE, length - 1] {
        File::options().write(true).open(dir.join("wharf.db")).unwrap().set_len(keep).unwrap();
        let said = refused(dir, &format!("{keep} bytes"));
        assert!(said.contains(&format!("{keep} of {length} bytes")), "{said}");
    }
}

#[test]
fn files_that_lie_elsewhere_or_belong_to_others_are_refused_by_name() {
    let crashed = Crashed::new();
    for name in ["wharf.db", "wharf.db-wal", "VERSION"] {
        let dir = crashed.again();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::rename(dir.join(name), elsewhere.path().join(name)).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join(name), dir.join(name)).unwrap();
        let error = Writer::open(dir).err().unwrap();
        assert_eq!(error.code(), "store_refused", "{name}: {error}");
        assert!(error.to_string().contains("symbolic link"), "{error}");
        fs::remove_file(dir.join(name)).unwrap();
    }
    let dir = crashed.again();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(dir.join("wharf.db"), Some(65_534), None).unwrap();
        let error = Writer::open(dir).err().unwrap();
        assert_eq!(error.code(), "store_refused");
        assert!(error.to_string().contains("user 65534"), "{error}");
        std::os::unix::fs::chown(dir.join("wharf.db"), Some(0), None).unwrap();
    }
    let circle = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(circle.path().join("b"), circle.path().join("a")).unwrap();
    std::os::unix::fs::symlink(circle.path().join("a"), circle.path().join("b")).unwrap();
    let error = Writer::open(&circle.path().join("a/data")).err().unwrap();
    assert!(error.to_string().contains("symbolic links") || error.to_string().contains("cannot make"), "{error}");
    // A link to the directory itself is a usual way to put it on another disk.
    let link = circle.path().join("link");
    std::os::unix::fs::symlink(crashed.again(), &link).unwrap();
    assert_eq!(last(&link), COMMITS);
}

#[test]
fn a_place_is_judged_before_anything_is_put_into_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("deep/data");
    prepare_directory(&data).unwrap();
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    fs::write(data.join("VERSION"), "7\n").unwrap();
    assert_eq!(prepare_directory(&data).unwrap_err().code(), "store_newer");
}

#[test]
fn an_end_in_order_is_told_from_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let reign = |end: bool| {
        let mut writer = Writer::open(dir.path()).unwrap();
        writer.begin_reign().unwrap();
        let clean = writer.ended_cleanly();
        if end {
            writer.end_reign().unwrap();
        }
        clean
    };
    assert!(reign(true), "a new store has nothing to look for");
    assert!(reign(false));
    assert!(!reign(true), "the one before did not end");
    assert!(reign(true));
}

fn mending() -> wharf_store::Restoring<'static> {
    wharf_store::Restoring { actor: "ada", now: wharf_model::UnixMillis(1), epoch: 0 }
}

#[test]
fn an_index_that_lacks_rows_is_made_anew_with_a_copy_kept() {
    let crashed = Crashed::new();
    let dir = crashed.again();
    drop(Writer::open(dir).unwrap());
    let conn = rusqlite::Connection::open(dir.join("wharf.db")).unwrap();
    // A row that was added while the index was out of sight is not in it.
    conn.execute_batch(
        "PRAGMA writable_schema = ON;
         CREATE TEMP TABLE hidden AS SELECT * FROM sqlite_schema WHERE name = 'activity_by_action';
         DELETE FROM sqlite_schema WHERE name = 'activity_by_action';
         PRAGMA writable_schema = RESET;
         INSERT INTO activity (id, company_id, actor_type, actor_id, action, entity_type, entity_id, created_at)
         VALUES ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002', 'system', 'x', 'y',
                 'store', 'store', 1);
         PRAGMA writable_schema = ON;
         INSERT INTO sqlite_schema SELECT * FROM hidden;
         PRAGMA writable_schema = RESET;",
    )
    .unwrap();
    drop(conn);
    let found = wharf_store::check(dir, || true).unwrap().expect("the damage was not found");
    assert!(found.contains("activity"), "{found}");
    let report = wharf_store::repair(dir, &mending()).unwrap();
    assert!(report.left.is_empty(), "{report:?}");
    assert!(report.done[0].contains("indexes made anew"), "{report:?}");
    assert_eq!(wharf_store::check(dir, || true).unwrap(), None);
    assert_eq!(fs::read_dir(dir.join("quarantine")).unwrap().count(), 1);
    assert_eq!(last(dir), COMMITS);
    // There is nothing left to do.
    assert_eq!(wharf_store::repair(dir, &mending()).unwrap(), wharf_store::Repaired::default());
}

#[test]
fn another_stores_journal_is_put_aside() {
    let (ours, theirs) = (Crashed::new(), Crashed::new());
    let dir = ours.again();
    drop(Writer::open(dir).unwrap());
    fs::remove_file(dir.join("wharf.db-shm")).unwrap();
    fs::copy(theirs.again().join("wharf.db-wal"), dir.join("wharf.db-wal")).unwrap();
    refused(dir, "a foreign journal");
    let report = wharf_store::repair(dir, &mending()).unwrap();
    assert!(report.left.is_empty() && report.done[0].contains("another store's journal"), "{report:?}");
    assert_eq!(last(dir), COMMITS);
}

#[test]
fn what_cannot_be_mended_is_left_with_the_backup_that_helps() {
    let crashed = Crashed::new();
    let dir = crashed.again();
    let copy = wharf_store::backup(dir, None).unwrap().path;
    drop(Writer::open(dir).unwrap());
    // A newer backup that is spoilt helps nobody.
    let spoilt = dir.join("backups/wharf-99991231T000000.000Z-asked.db");
    fs::write(&spoilt, &fs::read(&copy).unwrap()[..8_000]).unwrap();
    fs::write(dir.join("wharf.db"), "hello\n".repeat(1_000)).unwrap();
    let before = fs::read(dir.join("wharf.db")).unwrap();
    let report = wharf_store::repair(dir, &mending()).unwrap();
    assert!(report.done.iter().all(|l| l.contains("rights of others")), "{report:?}");
    assert!(report.left.iter().any(|l| l.contains(&format!("wharf restore {}", copy.display()))), "{report:?}");
    assert!(fs::read(dir.join("wharf.db")).unwrap() == before);
}
