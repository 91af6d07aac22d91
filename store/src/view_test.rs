//! The questions of the screens, on small stores and on a large one.

use std::collections::BTreeSet;
use std::time::Instant;

use rusqlite::Connection;
use serde_json::json;
use wharf_model::state::{State, Tx};
use wharf_model::*;

use crate::state_test::make;
use crate::view::*;
use crate::{NewRequest, Reader, RequestSender, StoreError, Writer};

fn write(writer: &mut Writer, state: &mut State, f: impl FnOnce(&mut Tx<'_>)) {
    let mut tx = Tx::new(state, UnixMillis(50));
    f(&mut tx);
    let changes = tx.finish().unwrap().changes;
    assert_eq!(writer.commit(&[changes]).unwrap(), vec![Ok(())]);
}

fn end(writer: &mut Writer, state: &mut State, n: u128, status: RunStatus) {
    for status in [RunStatus::Running, status] {
        write(writer, state, |tx| {
            tx.update::<RunRow>(make::id(n), |run| run.status = status);
        });
    }
}

/// Runs 1 to 12; those divisible by three are still queued, the others succeeded or failed in turn.
fn dozen() -> (tempfile::TempDir, Writer, State) {
    let (dir, mut writer, mut state) = make::store();
    for n in 1..=12 {
        write(&mut writer, &mut state, |tx| tx.put(make::run(1000 + n as u128, n)));
        if n % 3 != 0 {
            let status = if n % 2 == 0 { RunStatus::Succeeded } else { RunStatus::Failed };
            end(&mut writer, &mut state, 1000 + n as u128, status);
        }
    }
    (dir, writer, state)
}

fn all_pages(reader: &Reader, query: &RunQuery, limit: usize) -> Vec<i64> {
    let (mut numbers, mut after) = (Vec::new(), None);
    for _ in 0..100 {
        let page = reader.runs(query, after, limit).unwrap();
        assert!(page.rows.len() <= limit);
        numbers.extend(page.rows.iter().map(|r| r.number));
        after = page.next;
        if after.is_none() {
            return numbers;
        }
    }
    panic!("pages never end");
}

#[test]
fn runs_come_open_first_then_newest_first_whatever_the_page() {
    let (dir, _writer, _) = dozen();
    let reader = Reader::open(dir.path()).unwrap();
    let expected = [12, 9, 6, 3, 11, 10, 8, 7, 5, 4, 2, 1];
    for limit in [1, 2, 3, 4, 5, 11, 12, 13, 100] {
        assert_eq!(all_pages(&reader, &RunQuery::default(), limit), expected, "{limit}");
    }
}

#[test]
fn filters_of_runs() {
    let (dir, _writer, _) = dozen();
    let reader = Reader::open(dir.path()).unwrap();
    let f = RunFilter::default;
    let table: Vec<(RunFilter, Vec<i64>)> = vec![
        (RunFilter { statuses: vec![RunStatus::Failed], ..f() }, vec![11, 7, 5, 1]),
        (RunFilter { statuses: vec![RunStatus::Queued], ..f() }, vec![12, 9, 6, 3]),
        (
            RunFilter { statuses: vec![RunStatus::Queued, RunStatus::Failed, RunStatus::Succeeded], ..f() },
            vec![12, 9, 6, 3, 11, 10, 8, 7, 5, 4, 2, 1],
        ),
        (RunFilter { statuses: vec![RunStatus::Lost], ..f() }, vec![]),
        (RunFilter { agent: Some(make::id(1)), statuses: vec![RunStatus::Failed], ..f() }, vec![11, 7, 5, 1]),
        (RunFilter { agent: Some(make::id(2)), ..f() }, vec![]),
        (RunFilter { since: Some(UnixMillis(10_000)), ..f() }, vec![12, 11, 10]),
        (RunFilter { until: Some(UnixMillis(3_000)), ..f() }, vec![2, 1]),
        (RunFilter { text: Some("FIX".into()), statuses: vec![RunStatus::Queued], ..f() }, vec![12, 9, 6, 3]),
        (RunFilter { text: Some("R-11".into()), ..f() }, vec![11]),
        (RunFilter { text: Some("%".into()), ..f() }, vec![]),
        (RunFilter { lineage: Some(make::id(1007)), ..f() }, vec![7]),
    ];
    for (filter, expected) in table {
        let query = RunQuery { filter, ..RunQuery::default() };
        assert_eq!(all_pages(&reader, &query, 3), expected, "{query:?}");
        let counts = reader.run_counts(&query).unwrap();
        let shown = expected.len() as i64;
        assert_eq!(counts, Counts { shown, hidden: 12 - shown, at_least: false }, "{query:?}");
    }
}

#[test]
fn a_queued_run_knows_its_place() {
    let (dir, mut writer, mut state) = dozen();
    write(&mut writer, &mut state, |tx| {
        tx.update::<RunRow>(make::id(1009), |run| run.priority = 0);
    });
    let reader = Reader::open(dir.path()).unwrap();
    let page = reader.runs(&RunQuery::default(), None, 5).unwrap();
    let places: Vec<_> = page.rows.iter().map(|r| (r.number, r.queue_position)).collect();
    assert_eq!(places, [(12, Some(4)), (9, Some(1)), (6, Some(3)), (3, Some(2)), (11, None)]);
    assert_eq!(page.rows[0].agent.as_deref(), Some("fixer"));
    assert_eq!(reader.run_line(make::id(1009)).unwrap().unwrap().queue_position, Some(1));
}

#[test]
fn the_place_in_the_queue_is_that_in_which_runs_are_claimed() {
    let (dir, mut writer, mut state) = dozen();
    for (run, issue, status, priority) in
        [(1012, 71, IssueStatus::InProgress, 4), (1009, 72, IssueStatus::Todo, 2), (1006, 73, IssueStatus::Todo, 1)]
    {
        write(&mut writer, &mut state, |tx| {
            tx.put(IssueRow {
                id: make::id(issue),
                company_id: make::id(1),
                project_id: make::id(1),
                number: issue as i64,
                identifier: format!("SHOP-{issue}"),
                title: "x".into(),
                description: None,
                status,
                priority: Priority::Low,
                assignee_agent_id: None,
                checkout_run_id: None,
                execution_run_id: None,
                execution_agent_name_key: None,
                execution_locked_at: None,
                execution_workspace_id: None,
                execution_workspace_settings: None,
                started_at: None,
                completed_at: None,
                cancelled_at: None,
                version: 0,
                created_at: UnixMillis(1),
                updated_at: UnixMillis(1),
            });
            tx.update::<RunRow>(make::id(run), |row| {
                row.issue_id = Some(make::id(issue));
                row.priority = priority;
            });
        });
    }
    let reader = Reader::open(dir.path()).unwrap();
    let rows = reader.runs(&RunQuery::default(), None, 4).unwrap().rows;
    let places: Vec<_> = rows.iter().map(|r| (r.number, r.queue_position)).collect();
    assert_eq!(places, [(12, Some(1)), (9, Some(3)), (6, Some(2)), (3, Some(4))]);
}

#[test]
fn what_happened_in_one_scope_is_found_by_an_index() {
    let (dir, _writer, _) = make::store();
    let reader = Reader::open(dir.path()).unwrap();
    let conn = reader.connection();
    let (company, project) = (Some(make::id(1)), Some(make::id(1)));
    let action = || Some("run.ended".to_owned());
    let table = [
        (ActivityQuery { company, ..Default::default() }, "activity_by_company"),
        (ActivityQuery { project, ..Default::default() }, "activity_by_project"),
        (ActivityQuery { company, project, ..Default::default() }, "activity_by_project"),
        (ActivityQuery { company, project, action: action(), ..Default::default() }, "activity_by_action"),
    ];
    for (query, index) in table {
        let mut asked = Vec::new();
        record(&mut |sql| asked.push(sql), &mut || {
            query.rows(conn, 5, 5).unwrap();
        });
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {}", asked[0])).unwrap();
        let values = vec![None::<i64>; asked[0].matches('?').count()];
        let plan: Vec<String> = explain
            .query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert!(plan.iter().any(|line| line.contains(index)), "{query:?}: {plan:?}");
    }
}

#[test]
fn a_run_with_everything_around_it() {
    let (dir, mut writer, mut state) = dozen();
    let run = make::id::<RunId>(1003);
    write(&mut writer, &mut state, |tx| {
        tx.put(make::lease(200, 1, run));
        tx.put(make::service(300, 1));
        tx.update::<RunRow>(run, |row| row.lease_id = Some(make::id(200)));
        tx.add_user(make::id(300), run, true);
        tx.put(make::step(run, Step::Acquire));
        tx.put(make::step(run, Step::Resolve));
        tx.text(run, RunTextKind::Prompt, "für alle".into());
        for i in 0..5 {
            tx.event(run, "note", "info", format!("event {i}"), Some(json!({"i": i})));
        }
        tx.activity(ActivityRow {
            id: make::id(500),
            company_id: make::id(1),
            project_id: None,
            actor_type: ActorType::Operator,
            actor_id: "ada".into(),
            action: "run.queued".into(),
            entity_type: "run".into(),
            entity_id: run.text(),
            entity_number: Some("R-3".into()),
            run_id: Some(run),
            agent_id: None,
            details: None,
            created_at: UnixMillis(50),
        });
    });
    let reader = Reader::open(dir.path()).unwrap();
    let detail = reader.run_detail(run).unwrap().unwrap();
    assert_eq!(Some(&detail.run), state.runs.get(&run));
    assert_eq!(detail.steps.iter().map(|s| s.step).collect::<Vec<_>>(), [Step::Resolve, Step::Acquire]);
    assert_eq!(detail.lease.as_ref().map(|l| (l.lease.number, l.run_number)), Some((1, Some(3))));
    assert_eq!(detail.services[0].users[0].run_number, 3);
    assert_eq!(detail.texts, [(RunTextKind::Prompt, 9)]);
    assert_eq!(detail.activity.len(), 1);
    assert_eq!(reader.run_text(run, RunTextKind::Prompt).unwrap().as_deref(), Some("für alle"));
    assert_eq!(reader.run_text(run, RunTextKind::Result).unwrap(), None);
    let first = reader.run_events(run, 0, 3).unwrap();
    assert_eq!(first.rows.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3]);
    let rest = reader.run_events(run, first.next.unwrap(), 3).unwrap();
    assert_eq!((rest.rows.len(), rest.next), (2, None));
    assert!(reader.run_detail(make::id(1)).unwrap().is_none());

    let facts = reader.release_facts(make::id(200)).unwrap().unwrap();
    assert_eq!((facts.slots_taken, facts.waiting.len(), facts.services.len()), (1, 0, 1));
    assert_eq!(facts.run.map(|r| r.number), Some(3));

    let header = reader.header(Some(make::id(1))).unwrap();
    assert_eq!((header.queued, header.leases, header.services, header.epoch), (4, 1, 1, 1));
    assert_eq!(reader.header(Some(make::id(2))).unwrap(), Header { epoch: 1, ..Header::default() });
    let environments = reader.environments(None).unwrap();
    assert_eq!((environments[0].held, environments[0].waiting), (1, 0));
    // As the decisions gather it in memory.
    let facts = reader.environment_facts(environments[0].environment.id).unwrap().unwrap();
    let open: Vec<_> = state.runs.values().filter(|r| !r.status.is_terminal()).map(|r| r.number).collect();
    let mut sorted = open.clone();
    sorted.sort_unstable();
    assert_eq!(facts.runs.iter().map(|r| r.number).collect::<Vec<_>>(), sorted);
    assert_eq!((facts.leases.len(), facts.agents.len(), facts.projects.len()), (1, 1, 1));
    assert_eq!(facts.leases[0], state.leases[&facts.leases[0].id]);
    assert_eq!(reader.environment(facts.environment.id).unwrap().unwrap(), environments[0]);
    assert!(reader.environment(make::id(77)).unwrap().is_none());
    let agents = reader.agents(Some(make::id(1))).unwrap();
    assert_eq!((agents[0].queued, agents[0].last_run_number), (4, Some(12)));
    let by = |query: ActivityQuery| reader.activity(&query, None, 10).unwrap().rows.len();
    assert_eq!(by(ActivityQuery { entity: Some(("run".into(), run.text())), ..Default::default() }), 1);
    assert_eq!(by(ActivityQuery { actor: Some((ActorType::Agent, "ada".into())), ..Default::default() }), 0);
    assert_eq!(by(ActivityQuery { since: Some(UnixMillis(50)), ..Default::default() }), 1);
    assert_eq!(by(ActivityQuery { since: Some(UnixMillis(51)), ..Default::default() }), 0);
    assert_eq!(by(ActivityQuery { until: Some(UnixMillis(50)), ..Default::default() }), 0);
}

#[test]
fn names_find_one_row_none_or_several() {
    let (dir, _writer, _) = dozen();
    let reader = Reader::open(dir.path()).unwrap();
    let find = |text: &str, only| reader.resolve(&text.parse().unwrap(), only);
    assert_eq!(find("R-7", None).unwrap().id, make::id::<RunId>(1007).0);
    assert_eq!(find("E-1", None).unwrap().kind, EntityKind::Environment);
    assert_eq!(find("R-77", None).unwrap_err().code(), "id_unknown");
    assert_eq!(find("R-7", Some(EntityKind::Lease)).unwrap_err().code(), "id_unknown");
    // 1007 is 3ef: the end of the id tells the run, its beginning is that of them all.
    assert_eq!(find("0000003ef", None).unwrap().label, "R-7");
    let NotFound::Ambiguous { candidates, .. } = find("000000", Some(EntityKind::Run)).unwrap_err() else {
        panic!("all runs begin so")
    };
    assert_eq!(candidates.len(), 12);
    // Company, project, agent and environment share an id here; runs do not have it.
    let whole = "00000000-0000-0000-0000-000000000001";
    assert_eq!(find(whole, None).unwrap_err().code(), "id_ambiguous");
    assert_eq!(find(whole, Some(EntityKind::Agent)).unwrap().label, "fixer");
    assert_eq!(reader.agent_named(make::id(1), "fixer").unwrap().map(|a| a.id), Some(make::id(1)));
    assert_eq!(reader.environment_named(make::id(1), "Nowhere").unwrap(), None);
}

fn request(key: Option<&str>, args: serde_json::Value) -> NewRequest {
    NewRequest {
        kind: "run.cancel".into(),
        target_type: Some("run".into()),
        target_id: Some("x".into()),
        args,
        expect: None,
        actor_type: ActorType::Operator,
        actor_id: "ada".into(),
        origin: RequestOrigin::Cli,
        idempotency_key: key.map(str::to_owned),
        now: UnixMillis(5),
        expires_at: UnixMillis(30_005),
    }
}

#[test]
fn a_request_is_sent_once_for_a_key_and_numbered() {
    let (dir, writer, _) = make::store();
    let mut sender = RequestSender::open(dir.path()).unwrap();
    let first = sender.send(&request(Some("k"), json!({"grace_ms": 1}))).unwrap();
    let again = sender.send(&request(Some("k"), json!({"grace_ms": 1}))).unwrap();
    assert_eq!(first, again);
    let other = sender.send(&request(Some("k"), json!({"grace_ms": 2}))).unwrap_err();
    assert_eq!(other.code(), "idempotency_conflict");
    assert!(other.to_string().contains("Q-1"), "{other}");
    let bob = NewRequest { actor_id: "bob".into(), ..request(Some("k"), json!({})) };
    assert_eq!(sender.send(&bob).unwrap().number, 2);
    assert_eq!(sender.send(&request(None, json!({}))).unwrap().number, 3);
    let pending = writer.pending_requests(2).unwrap();
    assert_eq!(pending.iter().map(|r| r.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(pending[0], first);
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.request(first.id).unwrap(), Some(first));
    let page = reader.requests(RequestQuery { open_only: true }, None, 2).unwrap();
    assert_eq!((page.rows[0].number, page.next), (3, Some(2)));
}

#[test]
fn senders_at_once_get_numbers_of_their_own() {
    let (dir, _writer, _) = make::store();
    let path = dir.path();
    let numbers: Vec<i64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    let mut sender = RequestSender::open(path).unwrap();
                    (0..10).map(|_| sender.send(&request(None, json!({}))).unwrap().number).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(numbers.iter().copied().collect::<BTreeSet<_>>(), (1..=40).collect());
}

/// Many ended runs, by copying one row in SQL.
fn many(runs: i64) -> (tempfile::TempDir, Writer) {
    let (dir, mut writer, mut state) = make::store();
    write(&mut writer, &mut state, |tx| tx.put(make::run(1000, 1)));
    end(&mut writer, &mut state, 1000, RunStatus::Succeeded);
    let conn = Connection::open(dir.path().join("wharf.db")).unwrap();
    let columns: Vec<&str> = <RunRow as wharf_model::column::Row>::COLUMNS.to_vec();
    let values: Vec<String> = columns
        .iter()
        .map(|c| match *c {
            "id" | "lineage" => "printf('00000000-0000-7000-8000-%012x', n.i + 65536)".to_owned(),
            "number" => "n.i".to_owned(),
            "queued_at" => "n.i * 1000".to_owned(),
            "status" => "CASE WHEN n.i % 1000 = 0 THEN 'lost' ELSE 'succeeded' END".to_owned(),
            other => format!("r.{other}"),
        })
        .collect();
    conn.execute_batch(&format!(
        "PRAGMA foreign_keys = OFF; WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {runs}) \
         INSERT INTO runs ({}) SELECT {} FROM n, runs r WHERE r.number = 1; ANALYZE;",
        columns.join(", "),
        values.join(", ")
    ))
    .unwrap();
    (dir, writer)
}

#[test]
fn pages_of_very_many_runs_stay_quick() {
    let (dir, _writer) = many(100_000);
    let reader = Reader::open(dir.path()).unwrap();
    let best_of = |ask: &dyn Fn()| {
        (0..5)
            .map(|_| {
                let begun = Instant::now();
                ask();
                begun.elapsed().as_micros()
            })
            .min()
            .unwrap()
    };
    let f = RunFilter::default;
    let filters = [
        f(),
        RunFilter { statuses: vec![RunStatus::Lost], ..f() },
        RunFilter { statuses: vec![RunStatus::Lost, RunStatus::Failed], ..f() },
        RunFilter { agent: Some(make::id(1)), ..f() },
        RunFilter { agent: Some(make::id(7)), ..f() },
        RunFilter { since: Some(UnixMillis(99_990_000)), ..f() },
        RunFilter { until: Some(UnixMillis(90_000)), ..f() },
    ];
    for filter in filters {
        let query = RunQuery { company: Some(make::id(1)), filter, ..RunQuery::default() };
        let first = best_of(&|| drop(reader.runs(&query, None, 100).unwrap()));
        let deep = Some(RunCursor { open: false, below: 50_000 });
        let later = best_of(&|| drop(reader.runs(&query, deep, 100).unwrap()));
        // Generous, since this is an unoptimised build on a shared machine; a walk through all runs takes longer.
        assert!(first < 15_000 && later < 15_000, "{query:?}: {first} µs, {later} µs");
    }
    let rare = RunQuery { filter: RunFilter { text: Some("R-100000".into()), ..f() }, ..RunQuery::default() };
    assert_eq!(all_pages(&reader, &rare, 5), [100_000]);
    // 100 000 + 65 536 is 286a0 in hexadecimal digits.
    assert_eq!(reader.resolve(&"0286a0".parse().unwrap(), None).unwrap().label, "R-100000");
    let counts = reader.run_counts(&RunQuery::default()).unwrap();
    assert_eq!((counts.shown, counts.hidden, counts.at_least), (100_000, 0, false));
}

/// Every statement that was prepared, explained: none walks through a large table.
#[test]
fn every_list_is_answered_by_an_index() {
    let (dir, _writer) = many(2_000);
    let reader = Reader::open(dir.path()).unwrap();
    let conn = reader.connection();
    let large = ["runs", "r", "t", "activity", "q"];
    let plans = |sql: &str, values: usize| -> Vec<String> {
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values: Vec<Option<i64>> = vec![None; values];
        explain
            .query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let mut seen = 0;
    let mut check = |sql: String| {
        seen += 1;
        let values = sql.matches('?').count();
        for line in plans(&sql, values) {
            let walks = large.iter().any(|t| line == format!("SCAN {t}"));
            assert!(!walks && !line.contains("TEMP B-TREE FOR ORDER BY"), "{line}\n{sql}");
        }
    };
    let f = RunFilter::default;
    let runs = [
        f(),
        RunFilter { agent: Some(make::id(1)), ..f() },
        RunFilter { issue: Some(make::id(1)), ..f() },
        RunFilter { environment: Some(make::id(1)), ..f() },
        RunFilter { workspace: Some(make::id(1)), ..f() },
        RunFilter { lineage: Some(make::id(1)), ..f() },
        RunFilter { since: Some(UnixMillis(1)), until: Some(UnixMillis(9)), ..f() },
        RunFilter { statuses: vec![RunStatus::Lost], ..f() },
        RunFilter { text: Some("x".into()), ..f() },
    ];
    let companies = [None, Some(make::id(1))];
    record(&mut |sql| check(sql), &mut || {
        for company in companies {
            for project in [None, Some(make::id(1))] {
                for filter in &runs {
                    let query = RunQuery { company, project, filter: filter.clone() };
                    query.open_rows(conn, 5, 5).unwrap();
                    query.ended_rows(conn, 0, 5, 5).unwrap();
                }
            }
            for open in [None, Some(true), Some(false)] {
                LeaseQuery { company, open, ..Default::default() }.rows(conn, 5, 5).unwrap();
            }
            for archived in [false, true] {
                WorkspaceQuery { company, archived, ..Default::default() }.rows(conn, 5, 5).unwrap();
            }
            for live_only in [false, true] {
                ServiceQuery { company, live_only, ..Default::default() }.rows(conn, 5, 5).unwrap();
            }
            IssueQuery { company, ..Default::default() }.rows(conn, 5, 5).unwrap();
            ActivityQuery { company, ..Default::default() }.rows(conn, 5, 5).unwrap();
        }
        LeaseQuery { run: Some(make::id(1)), ..Default::default() }.rows(conn, 5, 5).unwrap();
        LeaseQuery { environment: Some(make::id(1)), ..Default::default() }.rows(conn, 5, 5).unwrap();
        reader.lease_trail(make::id(200)).unwrap();
        reader.release_facts(make::id(200)).unwrap();
        OperationQuery { run: Some(make::id(1)), ..Default::default() }.rows(conn, 5, 5).unwrap();
        OperationQuery { workspace: Some(make::id(1)), ..Default::default() }.rows(conn, 5, 5).unwrap();
        reader.snapshots(make::id(1), 5).unwrap();
        reader.snapshot(make::id(1)).unwrap();
        for open_only in [false, true] {
            RequestQuery { open_only }.rows(conn, 5, 5).unwrap();
        }
        let entity = Some(("run".to_owned(), "x".to_owned()));
        ActivityQuery { entity, ..Default::default() }.rows(conn, 5, 5).unwrap();
        ActivityQuery { run: Some(make::id(1)), ..Default::default() }.rows(conn, 5, 5).unwrap();
        ActivityQuery { action: Some("run.ended".into()), ..Default::default() }.rows(conn, 5, 5).unwrap();
        ActivityQuery { since: Some(UnixMillis(1)), ..Default::default() }.rows(conn, 5, 5).unwrap();
    });
    assert!(seen > 80, "{seen}");
}

/// What a change of an environment touches is found by indexes, however many runs and leases have ended.
#[test]
fn what_an_environment_concerns_is_found_by_an_index() {
    let (dir, _writer) = many(2_000);
    let reader = Reader::open(dir.path()).unwrap();
    let mut seen = 0;
    record(
        &mut |sql| {
            if !sql.contains("FROM runs t") && !sql.contains("FROM environment_leases t") {
                return;
            }
            seen += 1;
            let mut explain = reader.connection().prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values: Vec<Option<i64>> = vec![None; sql.matches('?').count()];
            let lines = explain.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
            for line in lines.map(Result::unwrap) {
                assert!(line != "SCAN t", "{line}\n{sql}");
            }
        },
        &mut || drop(reader.environment_facts(make::id(1)).unwrap().unwrap()),
    );
    assert_eq!(seen, 2);
}

/// The start of a reign reads what is open, however much has ended.
#[test]
fn the_open_rows_are_found_by_an_index() {
    let (dir, writer) = many(20_000);
    let reader = Reader::open(dir.path()).unwrap();
    let small = ["companies", "projects", "project_workspaces", "agents", "agent_runtime_state", "environments"];
    let kept_for_ever = ["workspace_runtime_services", "service_users"];
    let mut walked = BTreeSet::new();
    record(
        &mut |sql| {
            let mut explain = reader.connection().prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values: Vec<Option<i64>> = vec![None; sql.matches('?').count()];
            let lines = explain.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
            for line in lines.map(Result::unwrap) {
                if let Some(table) = line.strip_prefix("SCAN ").filter(|t| !t.contains("USING")) {
                    walked.insert(table.to_owned());
                }
            }
        },
        &mut || drop(writer.load_state().unwrap()),
    );
    assert_eq!(walked, small.into_iter().chain(kept_for_ever).map(str::to_owned).collect());
}

fn record(check: &mut dyn FnMut(String), ask: &mut dyn FnMut()) {
    SEEN.with_borrow_mut(|seen| *seen = Some(Vec::new()));
    ask();
    for sql in SEEN.with_borrow_mut(Option::take).unwrap_or_default() {
        check(sql);
    }
}

thread_local! {
    /// Statements of lists, while a test records them.
    pub(crate) static SEEN: std::cell::RefCell<Option<Vec<String>>> = const { std::cell::RefCell::new(None) };
}

#[test]
fn a_store_that_is_not_there_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let error = Reader::open(dir.path()).err().unwrap();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
