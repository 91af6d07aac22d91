//! What is written and read back is what was in memory.

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;
use wharf_model::state::{Change, State, Tx};
use wharf_model::*;

use crate::{Access, ApplyError, Store, StoreError, Writer};

/// Rows with little in them, for tests of this package.
pub(crate) mod make {
    use super::*;

    pub(crate) fn id<T: From<Uuid>>(n: u128) -> T {
        Uuid::from_u128(n).into()
    }

    pub(crate) fn base(tx: &mut Tx<'_>) {
        let zero = UnixMillis(0);
        tx.put(CompanyRow {
            id: id(1),
            name: "default".into(),
            status: CompanyStatus::Active,
            version: 0,
            created_at: zero,
            updated_at: zero,
        });
        tx.put(ProjectRow {
            id: id(1),
            company_id: id(1),
            key: "SHOP".into(),
            name: "shop".into(),
            path: "/shop".into(),
            git_common_dir: None,
            issue_counter: 0,
            config_hash: None,
            config: Some(json!({"a": 1})),
            accepted_executable_hash: None,
            accepted_by: None,
            accepted_at: None,
            pending_executable_hash: None,
            pending_config: None,
            default_environment: None,
            removed_at: None,
            version: 0,
            created_at: zero,
            updated_at: zero,
        });
        tx.put(AgentRow {
            id: id(1),
            company_id: id(1),
            project_id: id(1),
            name: "fixer".into(),
            origin: Origin::Config,
            adapter_type: "process".into(),
            status: AgentStatus::Idle,
            status_reason: None,
            default_environment: None,
            concurrent_runs: 2,
            config: json!({}),
            last_run_at: None,
            version: 0,
            created_at: zero,
            updated_at: zero,
        });
        tx.put(EnvironmentRow::new(id(1), 1, id(1), "Local", Driver::Local, zero));
    }

    pub(crate) fn run(n: u128, number: i64) -> RunRow {
        // Read back from a row of nulls and zeros would need every column by name; JSON says only what matters.
        let mut value = json!({
            "id": Uuid::from_u128(n), "number": number, "company_id": Uuid::from_u128(1),
            "project_id": Uuid::from_u128(1), "agent_id": Uuid::from_u128(1), "status": "queued",
            "invocation_source": "on_demand", "trigger_detail": "manual", "priority": 2, "queued_at": number * 1000,
            "attempt": 0, "grace_ms": 5000, "oom": false, "leaky": false, "observation": "live",
            "lineage": Uuid::from_u128(n), "process_loss_retry_count": 0, "scheduled_retry_attempt": 0,
            "continuation_attempt": 0, "issue_comment_status": "not_applicable", "log_compressed": false,
            "agent_seq": 0, "last_output_seq": 0, "last_output_bytes": 0, "version": 0, "created_at": 0, "updated_at": 0,
        });
        for column in <RunRow as wharf_model::column::Row>::COLUMNS {
            if value.get(*column).is_none() {
                value[*column] = serde_json::Value::Null;
            }
        }
        serde_json::from_value(value).unwrap()
    }

    pub(crate) fn lease(n: u128, number: i64, run: RunId) -> LeaseRow {
        let zero = UnixMillis(0);
        let environment = EnvironmentRow::new(id(1), 1, id(1), "Local", Driver::Local, zero);
        LeaseRow { run_id: Some(run), ..LeaseRow::asked(id(n), number, &environment, LeaseStatus::Acquiring, zero) }
    }

    pub(crate) fn service(n: u128, number: i64) -> ServiceRow {
        let zero = UnixMillis(0);
        ServiceRow {
            id: id(n),
            number,
            company_id: id(1),
            project_id: id(1),
            project_workspace_id: None,
            execution_workspace_id: None,
            issue_id: None,
            owner_agent_id: None,
            started_by_run_id: None,
            name: "db".into(),
            scope_type: ReuseScope::Run,
            scope_id: "x".into(),
            reuse_key: None,
            lifecycle: Lifecycle::Shared,
            status: ServiceStatus::Starting,
            health: Health::Unknown,
            desired: Desired::Running,
            generation: 1,
            command: "db".into(),
            cwd: "/shop".into(),
            port: Some(5432),
            url: None,
            provider: "local".into(),
            stop_policy: StopPolicy::Manual,
            idle_ms: None,
            grace_ms: 1000,
            config: json!({}),
            process_pid: None,
            process_start_ticks: None,
            exit_code: None,
            signal: None,
            stop_reason: None,
            error_code: None,
            error: None,
            log_ref: None,
            log_deleted_generation: None,
            log_deleted_at: None,
            log_deleted_reason: None,
            started_at: None,
            ready_at: None,
            stopped_at: None,
            last_used_at: zero,
            deadline_at: None,
            idle_deadline_at: None,
            desired_by: None,
            restarts: 0,
            restart_times: None,
            health_evidence: None,
            health_since: None,
            env_fingerprint: None,
            waits_for: None,
            provider_ref: None,
            version: 0,
            created_at: zero,
            updated_at: zero,
        }
    }

    pub(crate) fn action(n: u128, run: RunId) -> ActionRow {
        let zero = UnixMillis(0);
        ActionRow {
            id: id(n),
            kind: ActionKind::SpawnShim,
            entity_type: "run".into(),
            entity_id: run.text(),
            attempt: 1,
            fence: None,
            epoch_created: 1,
            status: ActionStatus::Pending,
            tries: 0,
            next_try_at: None,
            last_error: None,
            args: None,
            version: 0,
            created_at: zero,
            updated_at: zero,
        }
    }

    pub(crate) fn step(run: RunId, step: Step) -> StepRow {
        let zero = UnixMillis(0);
        StepRow {
            id: StepId(run, step),
            run_id: run,
            step,
            status: StepStatus::Running,
            attempt: 1,
            started_at: None,
            finished_at: None,
            deadline_at: None,
            outcome: None,
            detail: None,
            version: 0,
            created_at: zero,
            updated_at: zero,
        }
    }

    /// A store with a company, a project, an agent and an environment, whose writer reigns.
    pub(crate) fn store() -> (tempfile::TempDir, Writer, State) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path()).unwrap();
        let epoch = writer.begin_reign().unwrap();
        let mut state = State { epoch, ..State::default() };
        let mut tx = Tx::new(&mut state, UnixMillis(1));
        base(&mut tx);
        let changes = tx.finish().unwrap().changes;
        assert_eq!(writer.commit(&[changes]).unwrap(), vec![Ok(())]);
        (dir, writer, state)
    }
}

/// One thing that may happen to one of eight runs.
#[derive(Debug, Clone)]
enum Deed {
    Queue(u8),
    Go(u8, RunStatus),
    Lease(u8),
    LeaseGoes(u8, LeaseStatus),
    Service(u8),
    Use(u8, u8),
    Leave(u8, u8),
    Event(u8, String),
    Text(u8, String),
    Step(u8, usize),
    Act(u8, u8),
    ActDone(u8, u8),
}

fn deed() -> impl Strategy<Value = Deed> {
    let run = 0u8..8;
    prop_oneof![
        3 => run.clone().prop_map(Deed::Queue),
        4 => (run.clone(), proptest::sample::select(RunStatus::ALL)).prop_map(|(r, s)| Deed::Go(r, s)),
        2 => run.clone().prop_map(Deed::Lease),
        4 => (run.clone(), proptest::sample::select(LeaseStatus::ALL)).prop_map(|(r, s)| Deed::LeaseGoes(r, s)),
        1 => (0u8..3).prop_map(Deed::Service),
        2 => (0u8..3, run.clone()).prop_map(|(s, r)| Deed::Use(s, r)),
        2 => (0u8..3, run.clone()).prop_map(|(s, r)| Deed::Leave(s, r)),
        2 => (run.clone(), ".{0,12}").prop_map(|(r, t)| Deed::Event(r, t)),
        1 => (run.clone(), ".{0,12}").prop_map(|(r, t)| Deed::Text(r, t)),
        2 => (run.clone(), 0usize..7).prop_map(|(r, s)| Deed::Step(r, s)),
        1 => (run.clone(), 0u8..2).prop_map(|(r, a)| Deed::Act(r, a)),
        1 => (run, 0u8..2).prop_map(|(r, a)| Deed::ActDone(r, a)),
    ]
}

fn do_it(tx: &mut Tx<'_>, deed: &Deed) {
    let run_id = |r: u8| make::id::<RunId>(100 + u128::from(r));
    let lease_id = |r: u8| make::id::<LeaseId>(200 + u128::from(r));
    let action_id = |r: u8, a: u8| make::id::<ActionId>(400 + u128::from(r) * 2 + u128::from(a));
    let has = |tx: &Tx<'_>, r: u8| tx.get::<RunRow>(run_id(r)).is_some();
    match deed {
        Deed::Queue(r) if !has(tx, *r) => {
            let number = tx.next_number("run");
            tx.put(make::run(100 + u128::from(*r), number));
        }
        Deed::Go(r, status) => {
            tx.update::<RunRow>(run_id(*r), |run| run.status = *status);
        }
        Deed::Lease(r) if has(tx, *r) && tx.get::<LeaseRow>(lease_id(*r)).is_none() => {
            let number = tx.next_number("lease");
            tx.put(make::lease(200 + u128::from(*r), number, run_id(*r)));
        }
        Deed::LeaseGoes(r, status) => {
            tx.update::<LeaseRow>(lease_id(*r), |lease| lease.status = *status);
        }
        Deed::Service(s) if tx.get::<ServiceRow>(make::id(300 + u128::from(*s))).is_none() => {
            let number = tx.next_number("service");
            tx.put(make::service(300 + u128::from(*s), number));
        }
        Deed::Use(s, r) if has(tx, *r) && tx.get::<ServiceRow>(make::id(300 + u128::from(*s))).is_some() => {
            tx.add_user(make::id(300 + u128::from(*s)), run_id(*r), false);
        }
        Deed::Leave(s, r) => {
            tx.remove_user(make::id(300 + u128::from(*s)), run_id(*r));
        }
        Deed::Event(r, text) if has(tx, *r) => tx.event(run_id(*r), "note", "info", text.clone(), None),
        Deed::Text(r, text) if has(tx, *r) => tx.text(run_id(*r), RunTextKind::Prompt, text.clone()),
        Deed::Step(r, s) if has(tx, *r) => {
            let key = StepId(run_id(*r), Step::ALL[*s]);
            if tx.get::<StepRow>(key).is_none() {
                tx.put(make::step(key.0, key.1));
            } else {
                tx.update::<StepRow>(key, |step| step.status = StepStatus::Succeeded);
            }
        }
        Deed::Act(r, a) if has(tx, *r) && tx.get::<ActionRow>(action_id(*r, *a)).is_none() => {
            tx.put(make::action(400 + u128::from(*r) * 2 + u128::from(*a), run_id(*r)));
        }
        Deed::ActDone(r, a) => {
            tx.update::<ActionRow>(action_id(*r, *a), |action| action.status = ActionStatus::Done);
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn what_is_read_back_is_what_was_in_memory(
        inputs in proptest::collection::vec(proptest::collection::vec(deed(), 1..5), 1..60),
        batch in 1usize..9,
    ) {
        let (dir, mut writer, mut state) = make::store();
        let mut waiting = Vec::new();
        for (i, input) in inputs.iter().enumerate() {
            let mut tx = Tx::new(&mut state, UnixMillis(10 + i as i64));
            for deed in input {
                do_it(&mut tx, deed);
            }
            // An illegal input leaves no trace, in memory or in the store.
            if let Ok(decided) = tx.finish() {
                waiting.push(decided.changes);
            }
            if waiting.len() >= batch || i + 1 == inputs.len() {
                let outcomes = writer.commit(&waiting).unwrap();
                prop_assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
                waiting.clear();
            }
        }
        state.forget_ended();
        prop_assert_eq!(&writer.load_state().unwrap(), &state);
        drop(writer);
        let reopened = Writer::open(dir.path()).unwrap();
        state.epoch = 0;
        prop_assert_eq!(&reopened.load_state().unwrap(), &state);
    }
}

#[test]
fn one_refused_input_leaves_the_others() {
    let (_dir, mut writer, mut state) = make::store();
    let change = |state: &mut State, f: &dyn Fn(&mut Tx<'_>)| {
        let mut tx = Tx::new(state, UnixMillis(5));
        f(&mut tx);
        tx.finish().unwrap().changes
    };
    let first = change(&mut state, &|tx| tx.put(make::run(100, 1)));
    // The number is taken: broken after its first row went in, so both rows must go.
    let second = change(&mut state, &|tx| {
        tx.put(make::run(101, 2));
        tx.put(make::run(102, 1));
    });
    let third = change(&mut state, &|tx| tx.put(make::run(103, 3)));
    let outcomes = writer.commit(&[first, second, third]).unwrap();
    assert_eq!(outcomes[0], Ok(()));
    assert!(matches!(&outcomes[1], Err(ApplyError::Constraint { table: "runs", .. })), "{outcomes:?}");
    assert_eq!(outcomes[2], Ok(()));
    let runs: Vec<i64> = writer.load_state().unwrap().runs.values().map(|r| r.number).collect();
    assert_eq!(runs, [1, 3]);
}

#[test]
fn a_row_that_moved_on_is_a_conflict() {
    let (_dir, mut writer, mut state) = make::store();
    let agent = state.agents.values().next().unwrap().clone();
    let stale = Change::Put {
        from: 7,
        changed: wharf_model::column::Columns::NONE.with(1),
        row: wharf_model::state::AnyRow::Agent(Box::new(agent.clone())),
    };
    let gone = Change::UserRemoved { service: make::id(5), run: make::id(6) };
    let missing = Change::Put {
        from: 1,
        changed: wharf_model::column::Columns::NONE.with(1),
        row: wharf_model::state::AnyRow::Run(Box::new(make::run(100, 1))),
    };
    let again = Change::Put {
        from: 0,
        changed: wharf_model::column::Columns::NONE,
        row: wharf_model::state::AnyRow::Agent(Box::new(agent.clone())),
    };
    let lower = Change::Counter { name: "run".into(), value: 3 };
    let mut tx = Tx::new(&mut state, UnixMillis(2));
    for _ in 0..3 {
        tx.next_number("run");
    }
    let counted = tx.finish().unwrap().changes;
    let batch = [vec![stale], vec![gone], vec![missing], vec![again], counted, vec![lower]];
    let outcomes = writer.commit(&batch).unwrap();
    let id = agent.id.text();
    let expected = |table: &'static str, id: String, expected: i64, found: i64| {
        Err(ApplyError::Conflict { table, id, expected, found })
    };
    assert_eq!(outcomes[0], expected("agents", id.clone(), 7, 1));
    assert!(outcomes[1].is_err());
    assert_eq!(outcomes[2], expected("runs", make::id::<RunId>(100).text(), 1, 0));
    assert_eq!(outcomes[3], expected("agents", id, 0, 1));
    assert_eq!(outcomes[4], Ok(()));
    assert_eq!(outcomes[5], expected("counters", "run".into(), 2, 3));
}

#[test]
fn a_dangling_reference_refuses_its_input_only() {
    let (_dir, mut writer, _) = make::store();
    let mut state = writer.load_state().unwrap();
    let mut tx = Tx::new(&mut state, UnixMillis(5));
    tx.put(RunRow { issue_id: Some(make::id(99)), ..make::run(100, 1) });
    let bad = tx.finish().unwrap().changes;
    let mut tx = Tx::new(&mut state, UnixMillis(5));
    tx.put(make::run(101, 2));
    let good = tx.finish().unwrap().changes;
    let outcomes = writer.commit(&[bad, good]).unwrap();
    assert!(matches!(&outcomes[0], Err(ApplyError::Constraint { table: "runs", .. })), "{outcomes:?}");
    assert_eq!(outcomes[1], Ok(()));
    assert_eq!(writer.load_state().unwrap().runs.len(), 1);
}

#[test]
fn a_writer_of_an_earlier_reign_writes_nothing() {
    let (dir, mut old, state) = make::store();
    let mut new = Writer::open(dir.path()).unwrap();
    assert_eq!(new.commit(&[vec![]]).unwrap_err().code(), "stale_epoch");
    assert_eq!(new.begin_reign().unwrap(), 2);
    let error = old.commit(&[vec![Change::Counter { name: "run".into(), value: 9 }]]).unwrap_err();
    assert!(matches!(error, StoreError::StaleEpoch { ours: 1, found: 2 }), "{error}");
    assert_eq!(old.try_write().unwrap_err().code(), "stale_epoch");
    new.try_write().unwrap();
    assert_eq!(new.load_state().unwrap().counters, state.counters);
}

#[test]
fn a_store_opened_for_reading_gives_no_writer() {
    let (dir, _writer, _) = make::store();
    let store = Store::open(dir.path(), Access::ReadOnly).unwrap();
    assert_eq!(Writer::new(store).err().map(|e| e.code()), Some("store_read_only"));
}

#[test]
fn ended_rows_are_still_found_by_key() {
    let (_dir, mut writer, mut state) = make::store();
    let mut tx = Tx::new(&mut state, UnixMillis(5));
    tx.put(make::run(100, 1));
    tx.update::<RunRow>(make::id(100), |run| run.status = RunStatus::Queued);
    let queued = tx.finish().unwrap().changes;
    let mut tx = Tx::new(&mut state, UnixMillis(6));
    tx.update::<RunRow>(make::id(100), |run| run.status = RunStatus::Cancelled);
    let cancelled = tx.finish().unwrap().changes;
    assert!(writer.commit(&[queued, cancelled]).unwrap().iter().all(Result::is_ok));
    assert!(writer.load_state().unwrap().runs.is_empty());
    let id = make::id::<RunId>(100).text();
    for kind in ["run", "runs"] {
        let Some(wharf_model::state::AnyRow::Run(run)) = writer.load_entity(kind, &id).unwrap() else {
            panic!("{kind} is not found")
        };
        assert_eq!((run.status, run.version), (RunStatus::Cancelled, 2));
    }
    assert_eq!(writer.load_entity("run", "nothing").unwrap(), None);
    assert_eq!(writer.load_entity("dragon", &id).unwrap(), None);
}

#[test]
fn a_full_disk_refuses_the_batch_and_work_goes_on_later() {
    let (_dir, mut writer, mut state) = make::store();
    let mut tx = Tx::new(&mut state, UnixMillis(5));
    tx.put(make::run(100, 1));
    let first = tx.finish().unwrap().changes;
    let big = || {
        vec![Change::Text(RunTextRow { run_id: make::id(100), kind: RunTextKind::Prompt, body: "x".repeat(1 << 20) })]
    };
    let pages: i64 = writer.connection().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let limit = |writer: &Writer, n: i64| {
        writer.connection().query_row(&format!("PRAGMA max_page_count = {n}"), [], |row| row.get::<_, i64>(0)).unwrap()
    };
    limit(&writer, pages + 20);
    let error = writer.commit(&[first.clone(), big()]).unwrap_err();
    assert_eq!(error.code(), "disk_full", "{error}");
    assert!(writer.load_state().unwrap().runs.is_empty(), "nothing of the batch is there");
    limit(&writer, 1_000_000);
    assert_eq!(writer.commit(&[first, big()]).unwrap(), vec![Ok(()), Ok(())]);
}

#[test]
fn what_was_written_before_the_store_failed_is_told() {
    let (_dir, mut writer, mut state) = make::store();
    let mut tx = Tx::new(&mut state, UnixMillis(5));
    tx.put(make::run(100, 1));
    let first = tx.finish().unwrap().changes;
    let text = RunTextRow { run_id: make::id(100), kind: RunTextKind::Prompt, body: "x".repeat(1 << 20) };
    let (big, small) = (vec![Change::Text(text)], vec![Change::Counter { name: "run".into(), value: 40 }]);
    let pages: i64 = writer.connection().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let limit = format!("PRAGMA max_page_count = {}", pages + 20);
    writer.connection().query_row(&limit, [], |row| row.get::<_, i64>(0)).unwrap();
    let outcomes = writer.commit_singly(&[&first, &big, &small]).unwrap();
    assert_eq!(outcomes[0], Ok(()));
    assert!(outcomes[1..].iter().all(|o| matches!(o, Err(ApplyError::NotReached { .. }))), "{outcomes:?}");
    let stored = writer.load_state().unwrap();
    assert_eq!((stored.runs.len(), stored.counters.get("run")), (1, state.counters.get("run")));
    // Where nothing was written the failure is that of the batch.
    assert_eq!(writer.commit_singly(&[&big]).unwrap_err().code(), "disk_full");
}
