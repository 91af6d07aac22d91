use uuid::Uuid;

use super::*;

fn id<T: From<Uuid>>(n: u128) -> T {
    T::from(Uuid::from_u128(n))
}

fn project(default: Option<&str>) -> ProjectRow {
    ProjectRow {
        id: id(9),
        company_id: id(1),
        key: "SHOP".into(),
        name: "shop".into(),
        path: "/p/shop".into(),
        git_common_dir: None,
        issue_counter: 0,
        config_hash: None,
        config: None,
        accepted_executable_hash: None,
        accepted_by: None,
        accepted_at: None,
        pending_executable_hash: None,
        pending_config: None,
        default_environment: default.map(str::to_owned),
        removed_at: None,
        version: 1,
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
    }
}

fn agent(n: u128, default: Option<&str>) -> AgentRow {
    AgentRow {
        id: id(n),
        company_id: id(1),
        project_id: id(9),
        name: format!("agent-{n}"),
        origin: Origin::Config,
        adapter_type: "process".into(),
        status: AgentStatus::Idle,
        status_reason: None,
        default_environment: default.map(str::to_owned),
        concurrent_runs: 1,
        config: serde_json::Value::Null,
        last_run_at: None,
        version: 1,
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
    }
}

fn run(n: i64, status: RunStatus, environment: Option<u128>, agent: u128) -> OpenRun {
    OpenRun { id: id(n as u128), number: n, status, environment: environment.map(id), agent: id(agent), project: id(9) }
}

fn environment() -> EnvironmentRow {
    EnvironmentRow { version: 4, ..EnvironmentRow::new(id(5), 2, id(1), "box-1", Driver::Ssh, UnixMillis(0)) }
}

fn facts(leases: &[(LeaseStatus, Option<u128>)]) -> EnvironmentFacts {
    let environment = environment();
    let leases = leases.iter().enumerate().map(|(at, (status, run))| {
        let n = at as i64 + 1;
        let row = LeaseRow::asked(id(100 + n as u128), n, &environment, *status, UnixMillis(0));
        LeaseRow { run_id: run.map(id), version: n, ..row }
    });
    EnvironmentFacts {
        leases: leases.collect(),
        environment,
        runs: vec![
            run(20, RunStatus::Running, Some(5), 31),
            run(21, RunStatus::Running, Some(5), 31),
            run(22, RunStatus::Queued, Some(5), 32),
            run(23, RunStatus::Queued, None, 31),
            run(24, RunStatus::Queued, None, 32),
            run(25, RunStatus::Queued, Some(6), 31),
        ],
        agents: vec![agent(31, Some("box-1")), agent(32, Some("Local")), agent(33, None)],
        projects: vec![project(Some("box-1"))],
    }
}

#[test]
fn archiving_says_what_goes_on_and_what_fails() {
    use LeaseStatus::{Active, PendingCleanup, Retained, Waiting};
    let facts = facts(&[(Active, Some(20)), (Waiting, Some(21)), (Retained, None), (PendingCleanup, None)]);
    let effect = effect(&facts, EnvironmentChange::Archive, false).unwrap();
    assert_eq!(effect.goes_on, [id(20)]);
    assert_eq!(effect.fails, [id(21)]);
    // Asked for, or the agent's own; not one whose agent names another.
    assert_eq!(effect.fails_later, [id(22), id(23)]);
    assert_eq!(effect.keeps, [id(103), id(104)]);
    assert_eq!((effect.agents.as_slice(), effect.projects.as_slice()), (&[id(31)][..], &[id(9)][..]));
    assert!(effect.cleans.is_empty());
    assert_eq!(effect.judged.len(), 1 + 4 + 4 + 2);
    assert_eq!(effect.judged[0].version, 4);
}

#[test]
fn deleting_needs_that_nobody_holds_it_and_that_nothing_is_left() {
    use LeaseStatus::{Acquiring, Active, PendingCleanup, Released, Releasing, Retained, Waiting};
    for held in [Waiting, Acquiring, Active] {
        for cleanup in [false, true] {
            let refused = effect(&facts(&[(held, Some(20))]), EnvironmentChange::Delete, cleanup).unwrap_err();
            assert_eq!(
                refused.to_string(),
                "E-2 box-1 is in use by L-1 of R-20; end that first, or archive it and delete it later"
            );
        }
    }
    for dirty in [Releasing, Retained, PendingCleanup] {
        let facts = facts(&[(dirty, None), (Released, None)]);
        let refused = effect(&facts, EnvironmentChange::Delete, false).unwrap_err();
        assert!(matches!(&refused, NotChangeable::NeedsCleanup { leases, .. } if leases == "L-1"), "{refused}");
        let effect = effect(&facts, EnvironmentChange::Delete, true).unwrap();
        let begun = if dirty == Releasing { &effect.waits_for } else { &effect.cleans };
        assert_eq!(*begun, [id(101)]);
    }
    assert!(effect(&facts(&[]), EnvironmentChange::Delete, false).is_ok());
}

#[test]
fn what_cannot_be_changed_says_why() {
    use EnvironmentChange::{Archive, Delete};
    let refused = |change: EnvironmentChange, edit: fn(&mut EnvironmentFacts)| {
        let mut facts = facts(&[]);
        edit(&mut facts);
        effect(&facts, change, true).err()
    };
    for change in [Archive, Delete] {
        let local = refused(change, |f| f.environment.driver = Driver::Local);
        assert!(matches!(local, Some(NotChangeable::Local(_))));
        let file = refused(change, |f| {
            f.environment.origin = Origin::Config;
            f.environment.config = serde_json::json!({ "project": f.projects[0].id.text() });
        });
        let file = file.unwrap().to_string();
        assert!(file.starts_with("E-2 box-1 stands in /p/shop/wharf.toml"), "{file}");
        let orphan = refused(change, |f| {
            f.environment.origin = Origin::Config;
            f.environment.config = serde_json::json!({ "project": f.projects[0].id.text() });
            f.projects[0].removed_at = Some(UnixMillis(1));
        });
        assert_eq!(orphan, None);
        let deleted = refused(change, |f| f.environment.status = EnvironmentStatus::Deleted);
        assert!(matches!(deleted, Some(NotChangeable::Already { .. })));
    }
    let archived: fn(&mut EnvironmentFacts) = |f| f.environment.status = EnvironmentStatus::Archived;
    assert!(matches!(refused(Archive, archived), Some(NotChangeable::Already { .. })));
    assert_eq!(refused(Delete, archived), None);
}

#[test]
fn versions_alone_make_no_other_effect() {
    let one = effect(&facts(&[(LeaseStatus::Retained, None)]), EnvironmentChange::Archive, false).unwrap();
    let mut later = facts(&[(LeaseStatus::Retained, None)]);
    later.environment.version += 1;
    let two = effect(&later, EnvironmentChange::Archive, false).unwrap();
    assert!(one != two && one.is_like(&two));
    later.agents.pop();
    later.agents.push(agent(33, Some("box-1")));
    assert!(!one.is_like(&effect(&later, EnvironmentChange::Archive, false).unwrap()));
}
