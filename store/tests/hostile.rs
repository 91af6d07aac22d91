//! Real files in every state they should not be in: nothing is lost, nothing is changed, and the error says what.
#![allow(clippy::unwrap_used, reason = "the whole file is tests")]

use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;
use wharf_model::state::Change;
use wharf_store::{Access, Reader, RequestSender, Store, StoreError, Writer};

fn counter(name: &str, value: i64) -> Change {
    Change::Counter { name: name.into(), value }
}

/// A store with something in it, closed.
fn store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    dir
}

fn fill(dir: &Path) {
    let mut writer = Writer::open(dir).unwrap();
    writer.begin_reign().unwrap();
    assert_eq!(writer.commit(&[vec![counter("run", 7)]]).unwrap(), vec![Ok(())]);
}

fn db(dir: &Path) -> std::path::PathBuf {
    dir.join("wharf.db")
}

fn snapshot(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|f| f.unwrap().path())
        // Shared memory is no state: any opening may make it anew.
        .filter(|p| p.is_file() && p.extension() != Some(OsStr::new("db-shm")))
        .map(|p| {
            let bytes = fs::read(&p).unwrap();
            (p, bytes)
        })
        // Nor is an empty journal, which reading makes.
        .filter(|(p, bytes)| !bytes.is_empty() || p.extension() != Some(OsStr::new("db-wal")))
        .collect();
    files.sort();
    files
}

/// Opening in every way gives this code, and changes no file.
fn refused(dir: &Path, code: &str) {
    let before = snapshot(dir);
    let opened = [
        Writer::open(dir).err(),
        Reader::open(dir).err(),
        RequestSender::open(dir).err(),
        Store::open(dir, Access::ReadOnly).err(),
    ];
    for error in opened {
        let error: StoreError = error.expect("a hostile store was opened");
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(&dir.display().to_string()), "names no path: {error}");
    }
    assert!(snapshot(dir) == before, "a refused store was changed");
}

#[test]
fn a_made_store_is_for_its_owner_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("deep/wharf");
    let _writer = Writer::open(&dir).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
    for file in ["wharf.db", "wharf.db-wal", "wharf.db-shm", "VERSION"] {
        let mode = fs::metadata(dir.join(file)).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{file}");
    }
    assert_eq!(fs::read_to_string(dir.join("VERSION")).unwrap(), "1\n");
}

#[test]
fn the_journal_keeps_its_room_and_its_identity() {
    let dir = store();
    let journal = dir.path().join("wharf.db-wal");
    let closed = fs::metadata(&journal).unwrap();
    assert!(closed.len() >= 4 << 20, "{}", closed.len());
    let mut sender = Writer::open(dir.path()).unwrap();
    sender.begin_reign().unwrap();
    let open = fs::metadata(&journal).unwrap();
    assert!(open.len() >= 4 << 20);
    assert_eq!(open.ino(), closed.ino());
    assert_eq!(sender.load_state().unwrap().counters.get("run"), Some(&7));
}

#[test]
fn rights_of_others_are_taken_away_and_their_writing_is_refused() {
    let dir = store();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(db(dir.path()), Permissions::from_mode(0o644)).unwrap();
    drop(Writer::open(dir.path()).unwrap());
    assert_eq!(fs::metadata(dir.path()).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(db(dir.path())).unwrap().mode() & 0o7777, 0o600);
    for mode in [0o777, 0o770, 0o702] {
        fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
        refused(dir.path(), "store_refused");
    }
}

#[test]
fn a_directory_that_is_not_ours_or_not_writable_is_refused() {
    let dir = store();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(dir.path(), Some(65_534), None).unwrap();
        refused(dir.path(), "store_refused");
        std::os::unix::fs::chown(dir.path(), Some(0), None).unwrap();
    } else {
        fs::set_permissions(dir.path(), Permissions::from_mode(0o500)).unwrap();
        assert_eq!(Writer::open(dir.path()).err().unwrap().code(), "store_read_only");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    }
    drop(Writer::open(dir.path()).unwrap());
    let file = dir.path().join("VERSION");
    assert_eq!(Writer::open(&file).err().unwrap().code(), "store_refused", "a file is no directory");
}

#[test]
fn a_newer_store_is_left_alone() {
    let dir = store();
    let conn = Connection::open(db(dir.path())).unwrap();
    conn.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(conn);
    let before = fs::read(db(dir.path())).unwrap();
    assert_eq!(Writer::open(dir.path()).err().unwrap().code(), "store_newer");
    assert!(fs::read(db(dir.path())).unwrap() == before);
    // It says that readers of this version still understand it; writers never do.
    drop(Reader::open(dir.path()).unwrap());
    assert_eq!(RequestSender::open(dir.path()).err().unwrap().code(), "store_newer");
    let conn = Connection::open(db(dir.path())).unwrap();
    conn.execute_batch("UPDATE meta SET value = 99 WHERE key = 'min_reader'").unwrap();
    drop(conn);
    refused(dir.path(), "store_newer");
}

#[test]
fn a_newer_directory_is_left_alone() {
    let dir = store();
    fs::write(dir.path().join("VERSION"), "2\n").unwrap();
    refused(dir.path(), "store_newer");
}

#[test]
fn damaged_files_are_refused_and_kept() {
    type Deed = Box<dyn Fn(&Path)>;
    let head = |bytes: &'static [u8], at: u64| {
        move |path: &Path| {
            let mut file = OpenOptions::new().write(true).open(path).unwrap();
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(bytes).unwrap();
        }
    };
    let cut = |length: u64| {
        move |path: &Path| {
            // A journal with something in it could bring the pages back; without one they are lost.
            fs::write(path.with_file_name("wharf.db-wal"), "").unwrap();
            OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
        }
    };
    let deeds: Vec<(&str, Deed)> = vec![
        ("zeroed header", Box::new(head(&[0; 100], 0))),
        ("other first bytes", Box::new(head(b"SQLite farmat", 0))),
        ("impossible page size", Box::new(head(&[3, 77], 16))),
        ("nothing left", Box::new(cut(0))),
        ("not even a header", Box::new(cut(50))),
        ("half", Box::new(cut(40_960))),
        ("text instead", Box::new(|path| fs::write(path, "hello\n".repeat(100)).unwrap())),
        ("gone", Box::new(|path| fs::remove_file(path).unwrap())),
        (
            "a directory",
            Box::new(|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
        ),
    ];
    for (name, deed) in deeds {
        let dir = tempfile::Builder::new().prefix(name).tempdir().unwrap();
        fill(dir.path());
        deed(&db(dir.path()));
        refused(dir.path(), "store_damaged");
    }
}

#[test]
fn a_broken_schema_is_refused() {
    let dir = store();
    let conn = Connection::open(db(dir.path())).unwrap();
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;").unwrap();
    drop(conn);
    // The first page's own b-tree, behind the header of the file.
    let mut file = OpenOptions::new().write(true).open(db(dir.path())).unwrap();
    file.seek(SeekFrom::Start(100)).unwrap();
    file.write_all(&[0xff; 64]).unwrap();
    drop(file);
    refused(dir.path(), "store_damaged");
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let conn = Connection::open(db(dir.path())).unwrap();
    conn.execute_batch("CREATE TABLE photos (name TEXT); INSERT INTO photos VALUES ('a');").unwrap();
    drop(conn);
    let before = fs::read(db(dir.path())).unwrap();
    let error = Writer::open(dir.path()).err().unwrap();
    assert_eq!(error.code(), "store_damaged");
    assert!(error.to_string().contains("another program"), "{error}");
    assert!(fs::read(db(dir.path())).unwrap() == before);
    assert!(!dir.path().join("VERSION").exists());
}

#[test]
fn a_journal_of_another_store_is_refused() {
    let (ours, other) = (store(), tempfile::tempdir().unwrap());
    let mut writer = Writer::open(other.path()).unwrap();
    writer.begin_reign().unwrap();
    fs::copy(other.path().join("wharf.db-wal"), ours.path().join("wharf.db-wal")).unwrap();
    let _ = fs::remove_file(ours.path().join("wharf.db-shm"));
    let before = fs::read(db(ours.path())).unwrap();
    let error = Writer::open(ours.path()).err().unwrap();
    assert_eq!(error.code(), "store_damaged");
    assert!(error.to_string().contains("another store"), "{error}");
    assert!(fs::read(db(ours.path())).unwrap() == before);
    // Without the foreign journal the store is whole again.
    fs::remove_file(ours.path().join("wharf.db-wal")).unwrap();
    let _ = fs::remove_file(ours.path().join("wharf.db-shm"));
    let writer = Writer::open(ours.path()).unwrap();
    assert_eq!(writer.load_state().unwrap().counters.get("run"), Some(&7));
}

#[test]
fn an_interrupted_creation_is_finished() {
    // Killed after the empty file was made, or after the schema stood but before VERSION was there.
    let dir = tempfile::tempdir().unwrap();
    fs::write(db(dir.path()), "").unwrap();
    drop(Writer::open(dir.path()).unwrap());
    fs::remove_file(dir.path().join("VERSION")).unwrap();
    drop(Writer::open(dir.path()).unwrap());
    assert!(dir.path().join("VERSION").exists());
    drop(Reader::open(dir.path()).unwrap());
}

#[test]
fn any_path_will_do() {
    let root = tempfile::tempdir().unwrap();
    let names: [&[u8]; 5] = [b"a\nb", b"caf\xe9", b"100% ?mode=ro#x", b"file:x", "ユニ".as_bytes()];
    for name in names {
        let dir = root.path().join(OsStr::from_bytes(name));
        let mut writer = Writer::open(&dir).unwrap();
        writer.begin_reign().unwrap();
        writer.commit(&[vec![counter("run", 3)]]).unwrap();
        drop(writer);
        let again = Writer::open(&dir).unwrap();
        assert_eq!(again.load_state().unwrap().counters.get("run"), Some(&3), "{name:?}");
        drop(Reader::open(&dir).unwrap());
    }
}

#[test]
fn a_held_store_is_locked_only_for_a_while() {
    let dir = store();
    let mut writer = Writer::open(dir.path()).unwrap();
    writer.begin_reign().unwrap();
    let holder = Connection::open(db(dir.path())).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = writer.commit(&[vec![counter("run", 8)]]).unwrap_err();
    assert_eq!(error.code(), "store_locked");
    // Reading goes on meanwhile, and writing does afterwards.
    drop(Reader::open(dir.path()).unwrap());
    holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(writer.commit(&[vec![counter("run", 8)]]).unwrap(), vec![Ok(())]);
}

#[test]
fn a_backup_is_a_whole_store() {
    let dir = store();
    let kept = Store::open(dir.path(), Access::Create).unwrap();
    kept.quick_check().unwrap();
    let copy = kept.backup("by hand").unwrap();
    let other = tempfile::tempdir().unwrap();
    fs::copy(copy, db(other.path())).unwrap();
    assert_eq!(Writer::open(other.path()).unwrap().load_state().unwrap().counters.get("run"), Some(&7));
}

/// Not a test of its own: the process that the next one kills.
#[test]
#[ignore = "started by killed_in_the_middle_of_commits"]
fn commits_without_end() {
    let dir = std::env::var_os("WHARF_TEST_STORE").expect("started by hand");
    let mut writer = Writer::open(Path::new(&dir)).unwrap();
    writer.begin_reign().unwrap();
    let mut n = writer.load_state().unwrap().counters.get("left").copied().unwrap_or(0);
    // Bounded, so that nothing stays behind when nobody kills it.
    for _ in 0..200_000 {
        let input = |n: i64| vec![counter("left", n), counter("right", n)];
        writer.commit(&[input(n + 1), input(n + 2), input(n + 3)]).unwrap();
        n += 3;
        // Not println!, which the harness would capture.
        writeln!(std::io::stdout(), "committed {n}").unwrap();
    }
}

#[test]
fn killed_in_the_middle_of_commits() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "commits_without_end", "--ignored", "--nocapture", "--test-threads=1"])
            .env("WHARF_TEST_STORE", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut acknowledged = 0;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let commits = |line: std::io::Result<String>| line.ok()?.strip_prefix("committed ")?.parse::<i64>().ok();
        let mut seen = 0;
        for line in lines.by_ref() {
            if let Some(n) = commits(line) {
                acknowledged = n;
                seen += 1;
                if seen > 20 + round * 7 {
                    break;
                }
            }
        }
        child.kill().unwrap();
        // What it said before it was killed still comes out of the pipe.
        acknowledged = lines.filter_map(commits).last().unwrap_or(acknowledged);
        child.wait().unwrap();
        assert!(acknowledged > before, "the child never committed");

        let writer = Writer::open(dir.path()).unwrap();
        let counters = writer.load_state().unwrap().counters;
        let (left, right) = (counters["left"], counters["right"]);
        assert_eq!(left, right, "half an input is there");
        assert_eq!(left % 3, 0, "half a batch is there");
        assert!(left >= acknowledged, "{acknowledged} was acknowledged, {left} is there");
        drop(writer);
        Store::open(dir.path(), Access::ReadOnly).unwrap().quick_check().unwrap();
        before = left;
    }
}

/// Not a test of its own: another process that adds a request, as the command line does.
#[test]
#[ignore = "started by opening_a_store_again_takes_no_locks_of_the_first_connection"]
fn asks_from_outside() {
    let dir = std::env::var_os("WHARF_TEST_STORE").expect("started by hand");
    drop(RequestSender::open(Path::new(&dir)).unwrap());
}

#[test]
fn opening_a_store_again_takes_no_locks_of_the_first_connection() {
    let dir = store();
    let mut writer = Writer::open(dir.path()).unwrap();
    writer.begin_reign().unwrap();
    let index = dir.path().join("wharf.db-shm");
    let before = fs::metadata(&index).unwrap().ino();
    for n in 1..5 {
        // Each of these looks at the files before SQLite does.
        drop(Reader::open(dir.path()).unwrap());
        drop(RequestSender::open(dir.path()).unwrap());
        writer.commit(&[vec![counter("run", n)]]).unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "asks_from_outside", "--ignored", "--test-threads=1"])
            .env("WHARF_TEST_STORE", dir.path())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        // One that believed itself alone would have begun the index anew, under the writer's feet.
        writer.commit(&[vec![counter("run", n + 100)]]).unwrap();
        assert_eq!(fs::metadata(&index).unwrap().ino(), before);
        assert!(fs::metadata(&index).unwrap().len() >= 32_768);
    }
    assert_eq!(writer.load_state().unwrap().counters.get("run"), Some(&104));
}
