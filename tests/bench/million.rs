//! A ledger of a million runs: the first frame over it, and its pages.
//!
//! The runs are copies of one real run, put into the database by `sqlite3`: a million real ones would take an hour.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use wharf_model::RunStatus;
use wharf_store::Reader;
use wharf_store::view::{RunFilter, RunQuery};

use crate::measure::{self, Series, Target};
use crate::place::WHARF;
use crate::pty::{Console, Place, config};

/// Copies beside the real run.
const RUNS: u32 = 1_000_000;

/// T1 over a million runs, T12.
pub fn ledger() {
    let place = Place::new(Some(&config(&[("one", "true")])));
    let ran = Command::new(WHARF)
        .args(["run", "one", "--wait"])
        .current_dir(place.project())
        .env("WHARF_DATA_DIR", place.data())
        .env("HOME", &place.path)
        .env("XDG_CONFIG_HOME", place.path.join("config"))
        .stdout(Stdio::null())
        .status();
    assert!(ran.is_ok_and(|status| status.success()));
    let database = place.data().join("wharf.db");
    if !multiply(&database) {
        println!("T1    void: there is no sqlite3 to make a million runs with");
        return;
    }
    let size = std::fs::metadata(&database).unwrap().len();
    println!("      a million runs take {} MiB", size >> 20);
    frames(&place);
    pages(&place.data());
}

/// Copies the only run of a store; `false` when the program for it is missing.
fn multiply(database: &Path) -> bool {
    let sqlite = |sql: &str| Command::new("sqlite3").arg(database).arg(sql).output();
    let Ok(columns) = sqlite("SELECT name FROM pragma_table_info('runs') ORDER BY cid") else { return false };
    assert!(columns.status.success());
    let columns = String::from_utf8(columns.stdout).unwrap();
    let id = "printf('%08x-0000-7000-8000-%012x', n, n * 2654435761 % 281474976710656)";
    let copied: Vec<String> = columns
        .lines()
        .map(|column| match column {
            "id" | "lineage" => id.to_owned(),
            "number" => "number + n".to_owned(),
            "lease_id" | "wakeup_request_id" | "log_ref" => "NULL".to_owned(),
            "queued_at" | "started_at" | "finished_at" => format!("{column} + n"),
            // One in a thousand failed.
            "status" => "iif(n % 1000 = 0, 'failed', 'succeeded')".to_owned(),
            other => other.to_owned(),
        })
        .collect();
    let sql = format!(
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN; \
         WITH RECURSIVE all_of(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM all_of WHERE n < {RUNS}) \
         INSERT INTO runs SELECT {} FROM (SELECT * FROM runs LIMIT 1), all_of; \
         UPDATE counters SET value = value + {RUNS} WHERE name = 'run'; COMMIT; PRAGMA wal_checkpoint(TRUNCATE);",
        copied.join(", ")
    );
    let made = sqlite(&sql).unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    true
}

fn frames(place: &Place) {
    let newest = format!("R-{}", RUNS + 1);
    let mut first = Vec::new();
    for at in 0..8 {
        let began = Instant::now();
        let mut console = Console::open(place, 160, 45);
        console.see(&newest);
        let took = began.elapsed().as_secs_f64() * 1e3;
        console.send("q");
        console.wait_end();
        // The first one reads from the disk.
        if at > 0 {
            first.push(took);
        }
    }
    let what = "start to the newest of a million runs on the screen";
    measure::times("T1", what, "ms", Some(Target::Most(50.0)), &Series::new(first));
}

fn pages(data: &Path) {
    let reader = Reader::open(data).unwrap();
    let all = RunQuery::default();
    let with = |filter: RunFilter| RunQuery { filter, ..RunQuery::default() };
    let agent = reader.runs(&all, None, 1).unwrap().rows[0].agent_id;
    let half = reader.runs(&all, None, 1).unwrap().rows[0].queued_at.plus(-i64::from(RUNS) / 2);
    let queries = [
        ("page of the newest", all.clone()),
        ("page of those that failed", with(RunFilter { statuses: vec![RunStatus::Failed], ..RunFilter::default() })),
        ("page of one agent", with(RunFilter { agent: Some(agent), ..RunFilter::default() })),
        ("page of those before the middle", with(RunFilter { until: Some(half), ..RunFilter::default() })),
        ("page with a word in it", with(RunFilter { text: Some("one".into()), ..RunFilter::default() })),
    ];
    for (what, query) in queries {
        let took = (0..20).map(|_| {
            let began = Instant::now();
            assert!(!reader.runs(&query, None, 100).unwrap().rows.is_empty(), "{what}");
            began.elapsed().as_secs_f64() * 1e3
        });
        measure::times("T12", what, "ms", Some(Target::Most(5.0)), &Series::new(took.collect()));
    }
}
