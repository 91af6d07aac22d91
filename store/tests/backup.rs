//! Backups of a living store, and putting one back: real files, and a kill between any two steps.
#![allow(clippy::unwrap_used, reason = "the whole file is tests")]

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use wharf_model::UnixMillis;
use wharf_model::state::Change;
use wharf_store::{Access, Restoring, Store, StoreError, Writer, backup, backups, restore};

fn counter(value: i64) -> Vec<Change> {
    vec![Change::Counter { name: "run".into(), value }]
}

fn writer(dir: &Path) -> Writer {
    let mut writer = Writer::open(dir).unwrap();
    writer.begin_reign().unwrap();
    writer
}

fn runs(dir: &Path) -> i64 {
    Writer::open(dir).unwrap().load_state().unwrap().counters["run"]
}

fn with(epoch: i64) -> Restoring<'static> {
    Restoring { actor: "ada", now: UnixMillis(1_000), epoch }
}

/// A store that was backed up at number 7 and went on to 9.
fn went_on() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    writer.commit(&[counter(7)]).unwrap();
    let copy = backup(dir.path(), None).unwrap();
    writer.commit(&[counter(9)]).unwrap();
    (dir, copy.path)
}

fn alone(path: &Path) -> i64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let conn = Connection::open_with_flags(path, flags).unwrap();
    conn.query_row("SELECT value FROM counters WHERE name = 'run'", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_backup_is_made_beside_a_writer_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    writer.commit(&[counter(1)]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut n = 1;
            while !done.load(Ordering::Relaxed) {
                n += 1;
                writer.commit(&[counter(n)]).unwrap();
            }
            n
        });
        let elsewhere = dir.path().join("elsewhere.db");
        let mut last = 0;
        for _ in 0..5 {
            let kept = backup(dir.path(), None).unwrap();
            assert_eq!(fs::metadata(&kept.path).unwrap().permissions().mode() & 0o7777, 0o600);
            assert_eq!(fs::metadata(&kept.path).unwrap().len(), kept.bytes);
            // A file that somebody names is replaced by the next one.
            backup(dir.path(), Some(&elsewhere)).unwrap();
            let now = alone(&elsewhere);
            assert!(now >= alone(&kept.path) && now >= last);
            last = now;
        }
        done.store(true, Ordering::Relaxed);
        assert!(load.join().unwrap() > last);
    });
    let left: Vec<_> = fs::read_dir(dir.path().join("backups")).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left.len(), 5, "{left:?}");
}

#[test]
fn only_so_many_are_kept_and_those_before_a_change_of_schema_are_counted_apart() {
    let dir = tempfile::tempdir().unwrap();
    drop(writer(dir.path()));
    let store = Store::open(dir.path(), Access::Create).unwrap();
    let schema = store.backup("schema-1").unwrap();
    let foreign = dir.path().join("backups/mine.db");
    fs::write(&foreign, "mine").unwrap();
    let first = backup(dir.path(), None).unwrap().path;
    let second = backup(dir.path(), None).unwrap().path;
    for _ in 0..9 {
        backup(dir.path(), None).unwrap();
    }
    assert!(!first.exists(), "the oldest one stayed");
    assert!(second.exists() && schema.exists() && foreign.exists());
    let kept = backups(dir.path());
    assert_eq!(kept.len(), 11);
    assert!(kept.is_sorted_by(|a, b| a.path > b.path));
}

#[test]
fn a_damaged_store_gives_no_backup_and_takes_none_away() {
    let (dir, copy) = went_on();
    // The first page of one table: only who looks at all of it sees that.
    let conn = Connection::open(dir.path().join("wharf.db")).unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'issue_comments'";
    let page: u32 = conn.query_row(root, [], |row| row.get(0)).unwrap();
    drop(conn);
    let file = fs::File::options().write(true).open(dir.path().join("wharf.db")).unwrap();
    file.write_all_at(&[0xff; 8], u64::from(page - 1) * 4096).unwrap();
    let error = backup(dir.path(), None).unwrap_err();
    assert_eq!(error.code(), "store_damaged", "{error}");
    assert_eq!(backups(dir.path()).len(), 1);
    assert_eq!(fs::read_dir(dir.path().join("backups")).unwrap().count(), 1, "half a copy was left");
    assert_eq!(alone(&copy), 7);
}

#[test]
fn a_backup_is_put_back_and_nothing_is_numbered_twice() {
    let (dir, copy) = went_on();
    let before = Writer::open(dir.path()).unwrap().begin_reign().unwrap();
    let restored = restore(dir.path(), &copy, &with(0)).unwrap();
    let schema = Connection::open(&copy).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!((restored.runs, restored.runs_lost, restored.schema), (0, Some(0), schema));
    // What was replaced is kept whole.
    assert_eq!(alone(&restored.aside.unwrap().join("wharf.db")), 9);
    assert!(copy.exists());
    let mut writer = Writer::open(dir.path()).unwrap();
    assert_eq!(writer.load_state().unwrap().counters["run"], 9, "numbers given out since are given out again");
    assert!(writer.begin_reign().unwrap() > before, "a shim that obeyed the replaced store would not obey this one");
    assert!(writer.ended_cleanly());
}

#[test]
fn what_is_no_backup_is_refused_and_nothing_is_touched() {
    let (dir, copy) = went_on();
    let files = tempfile::tempdir().unwrap();
    let place = |name: &str| files.path().join(name);
    fs::write(place("text"), "hello\n".repeat(100)).unwrap();
    fs::write(place("empty"), "").unwrap();
    fs::copy(&copy, place("newer")).unwrap();
    Connection::open(place("newer")).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    Connection::open(place("other")).unwrap().execute_batch("CREATE TABLE photos (name TEXT)").unwrap();
    Connection::open(place("no tables")).unwrap().execute_batch("PRAGMA user_version = 0; VACUUM").unwrap();
    let bytes = fs::read(&copy).unwrap();
    fs::write(place("half"), &bytes[..bytes.len() / 2]).unwrap();
    let mut flipped = bytes.clone();
    for at in (5_000..bytes.len()).step_by(700) {
        flipped[at] ^= 0x55;
    }
    fs::write(place("flipped"), &flipped).unwrap();
    let table = [
        ("text", "store_damaged"),
        ("empty", "store_damaged"),
        ("newer", "store_newer"),
        ("other", "store_damaged"),
        ("no tables", "store_damaged"),
        ("half", "store_damaged"),
        ("flipped", "store_damaged"),
        ("", "store_refused"),
        ("missing", "internal"),
    ];
    let names = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|f| f.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names(dir.path());
    for (name, code) in table {
        let error = restore(dir.path(), &place(name), &with(0)).unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        assert_eq!(names(dir.path()), before, "{name}");
        assert_eq!(runs(dir.path()), 9, "{name}");
    }
    let itself = restore(dir.path(), &dir.path().join("wharf.db"), &with(0)).unwrap_err();
    assert!(itself.to_string().contains("the store itself"), "{itself}");
}

#[test]
fn a_store_that_is_gone_or_damaged_comes_back() {
    type Deed = fn(&Path);
    let deeds: [(&str, Deed); 4] = [
        ("gone", |dir| fs::remove_file(dir.join("wharf.db")).unwrap()),
        ("text", |dir| fs::write(dir.join("wharf.db"), "hello\n".repeat(100)).unwrap()),
        ("VERSION", |dir| fs::write(dir.join("VERSION"), "what").unwrap()),
        ("all", |dir| {
            for file in ["wharf.db", "wharf.db-wal", "wharf.db-shm", "VERSION"] {
                fs::remove_file(dir.join(file)).unwrap();
            }
        }),
    ];
    for (name, deed) in deeds {
        let (dir, copy) = went_on();
        deed(dir.path());
        let restored = restore(dir.path(), &copy, &with(40)).unwrap();
        assert_eq!(restored.aside.is_some(), name != "all");
        let mut writer = Writer::open(dir.path()).unwrap();
        assert_eq!(writer.load_state().unwrap().counters["run"], 7, "{name}");
        assert_eq!(writer.begin_reign().unwrap(), 41, "{name}");
    }
}

/// Not a test of its own: the process that dies at the point it is told.
#[test]
#[ignore = "started by a_restore_that_is_killed_is_the_old_store_or_refused_until_it_is_called_again"]
fn restores_and_dies() {
    wharf_store::on_point(|name| {
        if std::env::var("WHARF_TEST_POINT").is_ok_and(|wanted| wanted == name) {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    });
    let path = |name| PathBuf::from(std::env::var_os(name).expect("started by hand"));
    restore(&path("WHARF_TEST_STORE"), &path("WHARF_TEST_FILE"), &with(0)).unwrap();
}

#[test]
fn a_restore_that_is_killed_is_the_old_store_or_refused_until_it_is_called_again() {
    for point in ["store.set_aside", "store.restored"] {
        let (dir, copy) = went_on();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "restores_and_dies", "--ignored", "--test-threads=1"])
            .env("WHARF_TEST_STORE", dir.path())
            .env("WHARF_TEST_FILE", &copy)
            .env("WHARF_TEST_POINT", point)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(!status.success(), "{point} was not passed");
        if point == "store.set_aside" {
            let error: StoreError = Writer::open(dir.path()).err().expect("an empty store was made");
            assert_eq!(error.code(), "store_damaged");
            restore(dir.path(), &copy, &with(0)).unwrap();
            assert_eq!(runs(dir.path()), 7);
        } else {
            assert_eq!(runs(dir.path()), 9);
        }
    }
}

/// Not a test of its own: the process that dies at the point whose number it is told.
#[test]
#[ignore = "started by a_store_whose_making_is_killed_anywhere_is_made_by_the_next_start"]
fn makes_and_dies() {
    use std::sync::atomic::AtomicU32;
    static LEFT: AtomicU32 = AtomicU32::new(0);
    LEFT.store(std::env::var("WHARF_TEST_POINT").expect("started by hand").parse().unwrap(), Ordering::Relaxed);
    wharf_store::on_point(|_| {
        if LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    });
    let dir = PathBuf::from(std::env::var_os("WHARF_TEST_STORE").unwrap());
    drop(Writer::open(&dir).unwrap());
}

#[test]
fn a_store_whose_making_is_killed_anywhere_is_made_by_the_next_start() {
    let mut killed = 0;
    for point in (1..).step_by(6).chain([u32::MAX]) {
        let dir = tempfile::tempdir().unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "makes_and_dies", "--ignored", "--test-threads=1"])
            .env("WHARF_TEST_STORE", dir.path())
            .env("WHARF_TEST_POINT", point.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        let mut writer = Writer::open(dir.path()).unwrap_or_else(|e| panic!("point {point}: {e}"));
        writer.begin_reign().unwrap();
        writer.commit(&[counter(1)]).unwrap();
        if status.success() {
            break;
        }
        killed += 1;
    }
    assert!(killed > 5, "only {killed} points were passed");
}
