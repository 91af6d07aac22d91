//! Compares every row type of the model with the schema: columns, types, nulls and closed sets.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use wharf_model::column::{Cell, Row};
use wharf_model::*;

use crate::migrate::MIGRATIONS;

/// Sets that may grow, so that no CHECK may name them.
const OPEN_SETS: &[&str] = &[
    "actions.kind",
    "agent_wakeup_requests.source",
    "agent_wakeup_requests.trigger_detail",
    "execution_workspaces.mode",
    "execution_workspaces.source",
    "execution_workspaces.strategy_type",
    "run_texts.kind",
    "runs.invocation_source",
    "runs.issue_comment_status",
    "runs.liveness_state",
    "runs.stop_reason",
    "runs.trigger_detail",
    "workspace_operations.phase",
];

/// Words of the contract that the model has no use for yet.
const RESERVED: &[(&str, &[&str])] = &[("workspace_operations.status", &["queued"])];

struct ColumnFacts {
    sql_type: String,
    not_null: bool,
}

fn database() -> Connection {
    let mut conn = Connection::open_in_memory().unwrap();
    crate::migrate::apply(&mut conn, MIGRATIONS).unwrap();
    conn
}

fn table_info(conn: &Connection, table: &str) -> Vec<(String, ColumnFacts)> {
    conn.prepare("SELECT name, type, \"notnull\" FROM pragma_table_info(?1)")
        .unwrap()
        .query_map([table], |row| Ok((row.get(0)?, ColumnFacts { sql_type: row.get(1)?, not_null: row.get(2)? })))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// `column IN ('a', 'b')` of a table's CHECKs on words.
fn checks(conn: &Connection, table: &str) -> BTreeMap<String, BTreeSet<String>> {
    let sql: String =
        conn.query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0)).unwrap();
    sql.split("CHECK (")
        .skip(1)
        .filter_map(|rest| {
            let (column, rest) = rest.split_once(" IN (")?;
            let (list, _) = rest.split_once(')')?;
            list.contains('\'')
                .then(|| (column.to_owned(), list.split(", ").map(|w| w.trim_matches('\'').to_owned()).collect()))
        })
        .collect()
}

/// What the model says about the column at `at`, asked by offering it cells.
struct Asked {
    nullable: bool,
    text: bool,
    boolean: bool,
    words: Option<BTreeSet<String>>,
    good: Cell,
}

fn offer<R: Row>(good: &[Cell], cell: Cell) -> Result<(), String> {
    let mut at = 0;
    let column = R::COLUMNS[good.len()];
    let result = R::read(&mut || {
        at += 1;
        good.get(at - 1).cloned().unwrap_or_else(|| if at == good.len() + 1 { cell.clone() } else { Cell::Null })
    });
    match result {
        Err(message) => match message.strip_prefix(&format!("{}.{column}: ", R::TABLE)) {
            Some(own) => Err(own.to_owned()),
            None => Ok(()),
        },
        Ok(_) => Ok(()),
    }
}

fn ask<R: Row>(good: &[Cell]) -> Asked {
    let nullable = offer::<R>(good, Cell::Null).is_ok();
    if offer::<R>(good, Cell::Int(1)).is_ok() {
        let boolean = offer::<R>(good, Cell::Int(2)).is_err();
        return Asked { nullable, text: false, boolean, words: None, good: Cell::Int(1) };
    }
    let uuid = uuid::Uuid::from_u128(7).to_string();
    let words = match offer::<R>(good, Cell::Text("?".into())) {
        Err(message) => message
            .split_once("known are ")
            .map(|(_, known)| known.split(", ").map(str::to_owned).collect::<BTreeSet<_>>()),
        Ok(()) => None,
    };
    let candidates = words.iter().flatten().cloned().chain([uuid.clone(), format!("{uuid}/check"), "{}".into()]);
    let good_cell = candidates
        .map(Cell::Text)
        .find(|c| offer::<R>(good, c.clone()).is_ok())
        .unwrap_or_else(|| panic!("{}.{} takes nothing", R::TABLE, R::COLUMNS[good.len()]));
    Asked { nullable, text: true, boolean: false, words, good: good_cell }
}

fn compare<R: Row>(conn: &Connection, seen_open: &mut BTreeSet<String>) {
    let mut info = table_info(conn, R::TABLE);
    // A column that came later stands last in its table; rows are read and written by names.
    info.sort_by_key(|(n, _)| R::COLUMNS.iter().position(|c| c == n));
    let names: Vec<&str> = info.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, R::COLUMNS, "{}", R::TABLE);
    let checks = checks(conn, R::TABLE);
    let mut good = Vec::new();
    for (name, facts) in &info {
        let asked = ask::<R>(&good);
        let full = format!("{}.{name}", R::TABLE);
        assert_eq!(facts.sql_type, if asked.text { "TEXT" } else { "INTEGER" }, "{full}");
        assert_eq!(facts.not_null, !asked.nullable, "{full}");
        match (&asked.words, checks.get(name)) {
            (Some(_), None) => {
                assert!(OPEN_SETS.contains(&full.as_str()), "{full} is a set without a CHECK");
                seen_open.insert(full.clone());
            }
            (Some(words), Some(check)) => {
                let reserved = RESERVED.iter().find(|(n, _)| *n == full).map_or(&[][..], |(_, w)| *w);
                let mut expected = words.clone();
                expected.extend(reserved.iter().map(|w| (*w).to_owned()));
                assert_eq!(check, &expected, "{full}");
            }
            (None, check) => assert!(check.is_none(), "{full} has a CHECK, the model has no set"),
        }
        if asked.boolean {
            let sql: String =
                conn.query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [R::TABLE], |r| r.get(0)).unwrap();
            assert!(sql.contains(&format!("CHECK ({name} IN (0, 1))")), "{full}");
        }
        good.push(asked.good);
    }
}

#[test]
fn every_row_type_stands_in_the_schema() {
    let conn = database();
    let mut open = BTreeSet::new();
    let mut tables: BTreeSet<String> = ["counters", "meta"].map(str::to_owned).into();
    macro_rules! all {
        ($($row:ty),+ $(,)?) => { $( compare::<$row>(&conn, &mut open); tables.insert(<$row>::TABLE.to_owned()); )+ };
    }
    all!(
        CompanyRow,
        ProjectRow,
        ProjectWorkspaceRow,
        AgentRow,
        AgentRuntimeRow,
        EnvironmentRow,
        LeaseRow,
        WorkspaceRow,
        OperationRow,
        SnapshotRow,
        ServiceRow,
        ServiceUserRow,
        ServicePastUserRow,
        IssueRow,
        CommentRow,
        WakeupRow,
        RunRow,
        StepRow,
        RunEventRow,
        RunTextRow,
        RequestRow,
        ActionRow,
        ActivityRow,
    );
    assert_eq!(open, OPEN_SETS.iter().map(|s| (*s).to_owned()).collect(), "open sets");
    let found: BTreeSet<String> = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(found, tables);
    let loose: i64 = conn
        .query_row("SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict AND name NOT LIKE 'sqlite_%'", [], |r| r.get(0))
        .unwrap();
    assert_eq!(loose, 0, "every table is strict");
}

#[test]
fn every_reference_waits_for_the_commit() {
    let conn = database();
    let late: i64 = conn
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND \
             (length(sql) - length(replace(sql, ' REFERENCES ', ''))) / 12 <> \
             (length(sql) - length(replace(sql, ' DEFERRABLE INITIALLY DEFERRED', ''))) / 30",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(late, 0);
}
