//! The journal under readers that do not let go.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wharf_model::state::Change;

use crate::{Reader, StoreError, Writer};

/// A change of about this many pages.
fn bulk(pages: i64, value: i64) -> Vec<Change> {
    (0..pages).map(|n| Change::Counter { name: format!("{n:05}{}", "x".repeat(3_500)), value }).collect()
}

/// A read that would never end by itself.
fn hold_on(reader: &Reader) -> Result<i64, StoreError> {
    let endless = "WITH RECURSIVE n(i) AS (SELECT count(*) FROM counters UNION ALL SELECT i + 1 FROM n) \
                   SELECT count(*) FROM n";
    reader.read(|conn| conn.query_row(endless, [], |row| row.get(0)))
}

#[test]
fn a_reader_that_holds_on_is_stopped_and_the_journal_stays_bounded() {
    // On a busy machine a reader may be stopped late, and the writer goes on meanwhile.
    const BOUND: u64 = 256 << 20;
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut writer = Writer::open(dir.path()).unwrap();
    writer.begin_reign().unwrap();
    writer.commit(&[bulk(1, 1)]).unwrap();
    let journal = dir.path().join("wharf.db-wal");
    let size = || fs::metadata(&journal).unwrap().len();
    let done = AtomicBool::new(false);
    let (mut largest, mut n) = (0, 1);
    std::thread::scope(|scope| {
        // Readers that would never end, one after the other, so that there always is one.
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let reader = Reader::open(dir.path()).unwrap();
                    let mut stopped = 0;
                    while !done.load(Ordering::Relaxed) {
                        stopped += i32::from(matches!(hold_on(&reader), Err(StoreError::TooSlow { .. })));
                    }
                    stopped
                })
            })
            .collect();
        let until = Instant::now() + Duration::from_mins(1);
        // About 480 MiB in all.
        while n < 120 && Instant::now() < until {
            n += 1;
            writer.commit(&[bulk(1_000, n)]).unwrap();
            largest = largest.max(size());
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0, "no reader was stopped");
        }
    });
    assert!(n > 70, "only {n} commits were made in time, too few to tell");
    assert!(largest < BOUND, "the journal grew to {largest} bytes");
    // In a quiet moment it goes back to its room, and not below.
    assert!(writer.shrink_journal().unwrap());
    assert!(size() <= 8 << 20 && size() >= 4 << 20, "{}", size());
    let left = writer.load_state().unwrap().counters;
    assert!(left.len() == 1_000 && left.values().all(|v| *v == n));
}
