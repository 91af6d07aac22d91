//! The history of who wrote: every change of a row of state, with the epoch that reigned when it was made.
//!
//! Triggers in the store keep it, put there by another program, so that what is judged does not come from
//! what wharf says about itself.
#![allow(dead_code, clippy::unwrap_used, clippy::print_stderr, reason = "shared by several test programs")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Tables whose rows are state; of requests only their changes, since everybody may add some.
const TABLES: &[&str] = &[
    "projects",
    "agents",
    "environments",
    "environment_leases",
    "execution_workspaces",
    "workspace_operations",
    "issues",
    "runs",
    "run_steps",
    "actions",
    "activity",
    "requests",
];

/// One change.
#[derive(Debug, Clone)]
pub struct Change {
    /// Milliseconds.
    pub at: i64,
    /// The reign in the store at that moment.
    pub epoch: i64,
    /// Table and kind of the change.
    pub what: String,
    /// The reign that the row itself names, as its writer believed.
    pub own: Option<i64>,
}

/// A process that reigned.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    pub pid: i32,
    /// When it was killed, and when it was certainly gone.
    pub died: Option<(i64, i64)>,
}

/// A store whose changes are noted.
pub struct History {
    store: PathBuf,
}

impl History {
    /// Begins to note changes of the store in a data directory; `None` without a program to do it with.
    pub fn begin(data: &Path) -> Option<Self> {
        let mut sql = String::from(
            "CREATE TABLE test_history (n INTEGER PRIMARY KEY, at INTEGER, epoch INTEGER, what TEXT, own INTEGER);\n",
        );
        let mut note = |table: &str, change: &str, own: &str| {
            sql.push_str(&format!(
                "CREATE TRIGGER test_{table}_{change} AFTER {change} ON {table} BEGIN \
                 INSERT INTO test_history (at, epoch, what, own) VALUES \
                 (CAST(unixepoch('subsec') * 1000 AS INTEGER), (SELECT value FROM meta WHERE key = 'epoch'), \
                 '{table} {change}', {own}); END;\n"
            ));
        };
        for table in TABLES {
            let own = if *table == "actions" { "NEW.epoch_created" } else { "NULL" };
            if *table != "requests" {
                note(table, "INSERT", own);
            }
            note(table, "UPDATE", own);
        }
        let history = Self { store: data.join("wharf.db") };
        match history.sqlite(&sql) {
            Ok(_) => Some(history),
            Err(why) => {
                let _ = writeln!(std::io::stderr(), "SKIPPED: the history of writers is not judged: {why}");
                None
            }
        }
    }

    fn sqlite(&self, sql: &str) -> Result<String, String> {
        let mut child = Command::new("sqlite3")
            .args(["-batch", "-bail"])
            .arg(&self.store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("there is no sqlite3: {e}"))?;
        child.stdin.take().unwrap().write_all(format!(".timeout 20000\n{sql}").as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8(done.stdout).unwrap())
    }

    /// All changes so far, in the order in which they were made.
    pub fn changes(&self) -> Vec<Change> {
        let rows = self.sqlite("SELECT at, epoch, what, coalesce(own, 0) FROM test_history ORDER BY n;\n").unwrap();
        rows.lines()
            .map(|line| {
                let mut parts = line.split('|');
                let mut next = || parts.next().unwrap().to_owned();
                let (at, epoch, what) = (next().parse().unwrap(), next().parse().unwrap(), next());
                Change { at, epoch, what, own: Some(next().parse().unwrap()).filter(|own| *own > 0) }
            })
            .collect()
    }
}

/// Judges a history against who reigned when: one writer at any time, and it the holder.
///
/// # Errors
/// The first change that should not be.
pub fn judge(changes: &[Change], holders: &BTreeMap<i64, Holder>) -> Result<(), String> {
    if let Some(pair) = changes.windows(2).find(|pair| pair[0].epoch > pair[1].epoch) {
        return Err(format!("a reign wrote after the next one had begun: {pair:?}"));
    }
    for change in changes {
        let Some(holder) = holders.get(&change.epoch) else {
            return Err(format!("{change:?} belongs to nobody who held the lock: {holders:?}"));
        };
        let is_new = change.what.ends_with("INSERT");
        if change.own.is_some_and(|own| own > change.epoch || (is_new && own != change.epoch)) {
            return Err(format!("another reign's row: {change:?}"));
        }
        if holder.died.is_some_and(|(_, gone)| change.at > gone) {
            return Err(format!("{change:?} was made by {holder:?}, which was gone"));
        }
        let before = holders.range(..change.epoch).next_back();
        if let Some((epoch, Holder { died: Some((killed, _)), .. })) = before
            && change.at < *killed
        {
            return Err(format!("{change:?} was made while reign {epoch} held the lock"));
        }
    }
    Ok(())
}
