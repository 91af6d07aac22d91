//! Configs that change under what they made, and shims that do not listen when something is to stop.

use serde_json::json;
use wharf_model::config::{EnvValue, ServiceConfig, WorkspaceConfig};
use wharf_model::shim::{ChildRef, EndedBy};
use wharf_model::*;

use super::bench::{Bench, exit};
use super::setup;
use crate::dispatch::input::{ConfigRead, Fact, Input, PlannedWorkspace, Prepared, RunOutput};

fn accept(bench: &mut Bench, read: &ConfigRead) {
    let row = bench.request("config.accept", |_| {});
    let id = row.id;
    bench.decide(&Input::Request(Box::new(row), Prepared::Config(Box::new(read.clone()))));
    assert_eq!(bench.state.requests[&id].status, RequestStatus::Done, "{:?}", bench.state.requests[&id].error);
}

fn service<'c>(read: &'c mut ConfigRead, name: &str) -> &'c mut ServiceConfig {
    read.config.services.iter_mut().find(|s| s.name == name).unwrap()
}

#[test]
fn an_accepted_change_reaches_the_rows_of_services() {
    let mut bench = Bench::new(4);
    let mut read = setup::config("SOLO");
    let db = bench.service("db").id;
    let web = service(&mut read, "db");
    web.ready.timeout_ms = 77_000;
    web.url = Some("http://127.0.0.1:{{port}}/new".into());
    web.stop.grace_ms = 9_000;
    web.stop.idle_ms = 5_000;
    web.stop.policy = StopPolicy::IdleTimeout;
    web.disabled = Some("being moved".into());
    accept(&mut bench, &read);
    let row = &bench.state.services[&db];
    assert_eq!((row.stop_policy, row.idle_ms, row.grace_ms), (StopPolicy::IdleTimeout, Some(5_000), 9_000));
    assert_eq!(row.config, serde_json::to_value(service(&mut read, "db")).unwrap());
    let refused = bench.ask("service.start", &db.text(), json!({}));
    assert!(refused.error.unwrap().contains("being moved"));
    // Switched on again, it starts with the time that it has now.
    service(&mut read, "db").disabled = None;
    accept(&mut bench, &read);
    bench.ask("service.start", &db.text(), json!({}));
    let row = &bench.state.services[&db];
    assert_eq!(row.status, ServiceStatus::Starting);
    assert!(bench.now.until(row.deadline_at.unwrap()) > 77_000);
}

#[test]
fn a_service_without_users_follows_its_new_policy() {
    let mut bench = Bench::new(4);
    let mut read = setup::config("SOLO");
    let run = bench.executing("fixer", None);
    bench.ends(run, exit(Some(0), None, EndedBy::Itself, None));
    assert!(bench.service("web").idle_deadline_at.is_some());
    service(&mut read, "web").stop.policy = StopPolicy::Manual;
    accept(&mut bench, &read);
    bench.wait(60_000);
    assert_eq!(bench.service("web").status, ServiceStatus::Running, "kept by hand from now on");
}

#[test]
fn services_that_the_config_has_no_more_are_not_started() {
    let mut bench = Bench::new(4);
    let mut read = setup::config("SOLO");
    let (db, web) = (bench.service("db").id, bench.service("web").id);
    read.config.services.retain(|s| s.name != "db");
    service(&mut read, "web").env.insert("MODE".into(), EnvValue::Text("other".into()));
    accept(&mut bench, &read);
    for (id, word) in [(db, "no such service"), (web, "another form")] {
        for verb in ["service.start", "service.restart"] {
            let refused = bench.ask(verb, &id.text(), json!({}));
            assert_eq!(refused.status, RequestStatus::Refused, "{verb}");
            assert!(refused.error.as_ref().unwrap().contains(word), "{:?}", refused.error);
        }
    }
    // By its name the new form is meant, and the old one again once it is back.
    let named = |bench: &mut Bench| {
        let row = bench.request("service.start", |r| {
            r.target_id = Some("web".into());
            r.args = json!({ "service": "web" });
        });
        let id = row.id;
        bench.decide(&Input::Request(Box::new(row), Prepared::Nothing));
        bench.state.requests[&id].result.clone().unwrap()["service_id"].as_str().unwrap().to_owned()
    };
    assert_ne!(named(&mut bench), web.text());
    accept(&mut bench, &setup::config("SOLO"));
    assert_eq!(named(&mut bench), web.text());
    let started = bench.ask("service.start", &db.text(), json!({}));
    assert_eq!(started.status, RequestStatus::Accepted, "it is configured again");
}

#[test]
fn a_live_service_that_was_removed_stops_and_stays_stopped() {
    let mut bench = Bench::new(4);
    let mut read = setup::config("SOLO");
    let db = bench.service("db").id.text();
    bench.ask("service.start", &db, json!({}));
    bench.ready_all();
    let restart = bench.ask("service.restart", &db, json!({}));
    read.config.services.retain(|s| s.name != "db");
    accept(&mut bench, &read);
    bench.service_ends("db", Some(0));
    assert_eq!(bench.service("db").status, ServiceStatus::Stopped);
    assert_eq!(bench.state.requests[&restart.id].status, RequestStatus::Failed);
}

/// Every order to stop this fails until it is given up.
fn give_up(bench: &mut Bench, entity: &str) {
    for _ in 0..20 {
        let Some(action) = bench.action(ActionKind::StopShim, entity) else { return };
        bench.fact(Fact::ActionFailed { action, error: "its socket does not answer".into() });
        bench.wait(40_000);
    }
    panic!("an order to stop is repeated without end");
}

#[test]
fn a_service_whose_shim_hangs_is_stopped_by_force_when_asked_again() {
    let mut bench = Bench::new(4);
    let web = bench.service("web").id;
    bench.ask("service.start", &web.text(), json!({}));
    bench.ready_all();
    let stop = bench.ask("service.stop", &web.text(), json!({}));
    assert_eq!(stop.status, RequestStatus::Accepted);
    give_up(&mut bench, &web.text());
    let failed = &bench.state.requests[&stop.id];
    assert_eq!(failed.status, RequestStatus::Failed);
    assert!(failed.error.as_ref().unwrap().contains("by force"), "{:?}", failed.error);
    assert_eq!(bench.service("web").status, ServiceStatus::Stopping, "it is not known to have ended");
    let start = bench.ask("service.start", &web.text(), json!({}));
    assert!(start.error.unwrap().contains("by force"));
    // A run that wants it is told so, and holds nothing.
    let run = bench.start("fixer", None);
    bench.grant(run);
    bench.make_workspace(run, "/w/x");
    assert_eq!(bench.status(run), RunStatus::Failed);
    assert!(bench.run(run).error.as_ref().unwrap().contains("by force"));
    // The next reign asks again.
    bench.decide(&Input::Begin);
    assert!(bench.action(ActionKind::StopShim, &web.text()).is_some());
    assert!(bench.service("web").deadline_at.is_some());
    give_up(&mut bench, &web.text());
    // The operator too, by force.
    let again = bench.ask("service.stop", &web.text(), json!({}));
    let action = bench.action(ActionKind::StopShim, &web.text()).unwrap();
    assert_eq!(bench.state.actions[&action].args.as_ref().unwrap()["force"], json!(true));
    bench.fact(Fact::ActionDone { action });
    bench.service_ends("web", None);
    assert_eq!(bench.service("web").status, ServiceStatus::Stopped);
    assert_eq!(bench.state.requests[&again.id].status, RequestStatus::Done);
}

#[test]
fn a_run_that_answers_again_is_told_to_stop_after_all() {
    let mut bench = Bench::new(4);
    let run = bench.executing("plain", None);
    bench.ask("run.cancel", &run.text(), json!({}));
    give_up(&mut bench, &run.text());
    assert_eq!(bench.run(run).observation, Observation::Unknown);
    let child = ChildRef { pid: 7, start_ticks: 7, pgid: 7, sid: 7 };
    let facts = [
        Fact::RunObserved { run, attempt: 1, unknown: None },
        Fact::RunStarted { run, attempt: 1, child, boot_id: "b".into(), at: bench.now, adopted: Some(1), limits: None },
    ];
    for fact in facts {
        bench.fact(fact);
        let row = bench.run(run).clone();
        assert_eq!(row.observation, Observation::Live);
        assert!(row.deadline_at.is_some_and(|at| at > bench.now));
        let action = bench.action(ActionKind::StopShim, &run.text()).unwrap();
        assert_eq!(bench.state.actions[&action].args.as_ref().unwrap()["reason"], json!("operator"));
        give_up(&mut bench, &run.text());
    }
    assert_eq!(bench.run(run).observation, Observation::Unknown);
}

/// A bench whose first project has this `[workspace]`.
fn working(change: impl FnOnce(&mut WorkspaceConfig)) -> Bench {
    let mut bench = Bench::new(9);
    let mut read = setup::config("SOLO");
    change(&mut read.config.workspace);
    accept(&mut bench, &read);
    bench
}

#[test]
fn runs_in_the_projects_own_checkout_follow_one_another_however_it_is_written() {
    use wharf_model::config::{Concurrency, WorkspaceMode as Mode, WorkspaceStrategy as Strategy};
    let table = [
        (Some(Mode::Shared), None, Concurrency::Serialise, RunStatus::Queued),
        (Some(Mode::Shared), Some(Strategy::ProjectPrimary), Concurrency::Serialise, RunStatus::Queued),
        // Accepted by a version that took it.
        (Some(Mode::Isolated), Some(Strategy::ProjectPrimary), Concurrency::Serialise, RunStatus::Queued),
        (Some(Mode::Isolated), None, Concurrency::Serialise, RunStatus::Running),
        (Some(Mode::Shared), None, Concurrency::Allow, RunStatus::Running),
    ];
    for (mode, strategy, concurrency, second) in table {
        let mut bench = working(|w| (w.mode, w.strategy, w.concurrency) = (mode, strategy, concurrency));
        let runs = [bench.start("plain", None), bench.start("fixer", None)];
        assert_eq!(bench.status(runs[0]), RunStatus::Running);
        assert_eq!(bench.status(runs[1]), second, "{mode:?} {strategy:?} {concurrency}");
    }
}

#[test]
fn runs_that_come_to_one_worktree_follow_one_another() {
    use RunStatus::{Queued, Running};
    use wharf_model::config::Concurrency::{Allow, Serialise};
    // The second run of one agent, and one of another agent.
    let table = [
        ("{{issue.identifier}}-{{slug}}", Serialise, Running, Running),
        ("{{slug}}", Serialise, Queued, Running),
        ("work", Serialise, Queued, Queued),
        ("work", Allow, Running, Running),
    ];
    for (branch, concurrency, same, other) in table {
        let mut bench = working(|w| (w.branch, w.concurrency) = (branch.into(), concurrency));
        let first = bench.start("plain", None);
        let runs = [bench.start("plain", None), bench.start("fixer", None)];
        assert_eq!(runs.map(|r| bench.status(r)), [same, other], "{branch} {concurrency}");
        bench.ask("run.cancel", &first.text(), json!({}));
        bench.grant(first);
        assert_eq!(bench.status(runs[0]), Running, "{branch}: its turn has come");
    }
}

#[test]
fn a_workspace_in_use_is_not_entered_by_another_run() {
    let mut bench = Bench::new(9);
    let runs = [bench.start("plain", None), bench.start("fixer", None)];
    for run in runs {
        bench.grant(run);
    }
    bench.make_workspace(runs[0], "/w/one");
    let plan = PlannedWorkspace {
        mode: WorkspaceMode::IsolatedWorkspace,
        strategy: WorkspaceStrategy::GitWorktree,
        name: "one".into(),
        cwd: "/w/one".into(),
        worktree: None,
        source: WorkspaceSource::ProjectWorkspace,
        repo_url: None,
        repo_root: None,
        branch: None,
        base_ref: None,
        base_commit: None,
        reused: true,
        remark: None,
    };
    // Its own it may plan again.
    bench.fact(Fact::WorkspacePlanned { run: runs[0], attempt: 1, plan: Box::new(plan.clone()) });
    bench.fact(Fact::WorkspacePlanned { run: runs[1], attempt: 1, plan: Box::new(plan) });
    assert_eq!(runs.map(|r| bench.status(r)), [RunStatus::Running, RunStatus::Failed]);
    assert!(bench.run(runs[1]).error.as_ref().unwrap().starts_with("R-1 works in /w/one"));
}

/// Asks for something with a config that was read, and gives the row as it was answered.
fn ask_with(bench: &mut Bench, kind: &str, read: &ConfigRead) -> RequestRow {
    let row = bench.request(kind, |r| r.args = json!({ "agent": "plain" }));
    let id = row.id;
    bench.decide(&Input::Request(Box::new(row), Prepared::Config(Box::new(read.clone()))));
    bench.state.requests[&id].clone()
}

/// The first project as it would be read with another identity.
fn another(path: &str, gone: &[ProjectId]) -> ConfigRead {
    let mut read = setup::config("SOLO");
    read.project_uuid = ProjectId(uuid::Uuid::from_u128(0xfeed));
    read.path = path.into();
    read.gone = gone.to_vec();
    read
}

#[test]
fn a_key_whose_project_is_gone_is_free() {
    let old = setup::config("SOLO").project_uuid;
    for path in ["/p/SOLO", "/q/solo"] {
        let mut bench = Bench::new(4);
        let issue = bench.issue("SOLO", "low");
        let refused = ask_with(&mut bench, "project.add", &another(path, &[]));
        assert_eq!(refused.error_code.as_deref(), Some("project_ambiguous"), "it may still stand there");
        // Its runs keep it.
        let run = bench.start("plain", None);
        let refused = ask_with(&mut bench, "project.add", &another(path, &[old]));
        assert!(refused.error.unwrap().contains("1 runs and 0 services"));
        bench.ask("run.cancel", &run.text(), json!({}));
        bench.grant(run);
        let added = ask_with(&mut bench, "project.add", &another(path, &[old]));
        assert_eq!((added.status, added.result.unwrap()["key"].as_str()), (RequestStatus::Done, Some("SOLO")));
        let before = &bench.state.projects[&old];
        assert!(before.removed_at.is_some() && before.key.starts_with("SOLO~"), "{}", before.key);
        assert_eq!(bench.state.issues.values().filter(|i| i.project_id == old).count(), 1, "what it had is kept");
        // Its numbers are not given out again.
        assert_eq!(issue, "SOLO-1");
        let id = another(path, &[]).project_uuid.text();
        let made = bench.ask("issue.create", &id, json!({ "title": "x" }));
        assert_eq!(made.result.unwrap()["issue"], "SOLO-2");
        // Back at its place, it finds its key taken and is told whose it is.
        let back = ask_with(&mut bench, "project.add", &setup::config("SOLO"));
        assert!(back.error.unwrap().contains(path));
        let mut back = setup::config("SOLO");
        back.config.project.key = "SOLE".into();
        assert_eq!(ask_with(&mut bench, "project.add", &back).status, RequestStatus::Done);
        let row = &bench.state.projects[&old];
        assert_eq!((row.key.as_str(), row.removed_at), ("SOLE", None));
    }
}

#[test]
fn a_change_of_company_is_refused_in_words() {
    let mut bench = Bench::new(4);
    let mut read = setup::config("SOLO");
    read.config.project.company = "other".into();
    let refused = ask_with(&mut bench, "config.accept", &read);
    assert_eq!(refused.error_code.as_deref(), Some("config_invalid"));
    assert!(refused.error.unwrap().contains("belongs to company \"default\""));
    assert_eq!(bench.state.companies.len(), 1, "no empty company is left");
}

#[test]
fn what_a_repository_is_like_is_no_change_of_its_config() {
    use wharf_model::config::WorkspaceMode::{Isolated, Shared};
    let mut read = setup::config("SOLO");
    read.config.workspace.mode = None;
    read.mode = Shared;
    let in_force = |bench: &Bench| {
        let project = &bench.state.projects[&read.project_uuid];
        (project.pending_config.is_some(), project.config.as_ref().unwrap()["workspace"]["mode"].clone())
    };
    let mut bench = Bench::new(4);
    accept(&mut bench, &read);
    assert_eq!(in_force(&bench), (false, json!("shared_workspace")));
    // The first commit is made: the same file now gives each run a worktree.
    let mut later = read.clone();
    later.mode = Isolated;
    ask_with(&mut bench, "run.start", &later);
    assert_eq!(in_force(&bench), (false, json!("isolated_workspace")));
    // A mode that is written is a change.
    later.config.workspace.mode = Some(Shared);
    later.mode = Shared;
    ask_with(&mut bench, "run.start", &later);
    assert_eq!(in_force(&bench), (true, json!("isolated_workspace")));
}

#[test]
fn what_an_earlier_version_accepted_stays_accepted() {
    use wharf_model::config::WorkspaceMode::{Isolated, Shared};
    let mut read = setup::config("SOLO");
    read.config.workspace.mode = None;
    let mut bench = Bench::new(4);
    accept(&mut bench, &read);
    // Earlier versions kept the hash with the mode filled in.
    let earlier = read.in_force().executable_hash();
    assert_ne!(earlier, read.executable_hash());
    let accepted = |bench: &mut Bench, hash: &str| {
        bench.state.projects.get_mut(&read.project_uuid).unwrap().accepted_executable_hash = Some(hash.to_owned());
    };
    accepted(&mut bench, &earlier);
    ask_with(&mut bench, "run.start", &read);
    let project = &bench.state.projects[&read.project_uuid];
    assert_eq!(project.pending_config, None);
    assert_eq!(project.accepted_executable_hash.as_deref(), Some(read.executable_hash().as_str()));
    // One that was accepted with another mode than it has now was not accepted so.
    let mut shared = read.clone();
    shared.mode = Shared;
    accepted(&mut bench, &shared.in_force().executable_hash());
    ask_with(&mut bench, "run.start", &read);
    assert!(bench.state.projects[&read.project_uuid].pending_config.is_some());
    assert_eq!(read.mode, Isolated);
}

#[test]
fn work_on_logs_goes_on_once_the_disk_has_room_again() {
    let mut bench = Bench::new(4);
    let run = bench.executing("plain", None);
    let log_ref = Some("runs/x".to_owned());
    let action = bench.action(ActionKind::SpawnShim, &run.text()).unwrap();
    let output = RunOutput { log_ref, stdout_bytes: 10, ..RunOutput::default() };
    let exit = Box::new(exit(Some(0), None, EndedBy::Itself, None));
    bench.fact(Fact::RunEnded { action, run, attempt: 1, exit, output, collected: None });
    let action = bench.action(ActionKind::SealLog, &run.text()).unwrap();
    let fail = |bench: &mut Bench| bench.fact(Fact::ActionFailed { action, error: "no space".into() });
    for _ in 0..8 {
        fail(&mut bench);
        bench.wait(40_000);
    }
    // Tried once an hour from now on, in which nobody waits for it.
    assert!(crate::dispatch::decide::sweep::is_late(&bench.state.actions[&action]));
    bench.wait(60 * 60_000);
    assert_eq!(bench.state.actions[&action].status, ActionStatus::Performing);
    // And by each new reign at once.
    fail(&mut bench);
    bench.decide(&Input::Begin);
    assert_eq!(bench.state.actions[&action].status, ActionStatus::Performing);
    // Not for ever.
    let mut tries = 0;
    while bench.action(ActionKind::SealLog, &run.text()).is_some() && tries < 1_000 {
        fail(&mut bench);
        bench.wait(60 * 60_000);
        tries += 1;
    }
    assert!((100..200).contains(&tries), "{tries}");
}

#[test]
fn a_run_that_is_given_up_before_its_adapter_has_no_log() {
    let mut bench = Bench::new(4);
    let run = bench.start("plain", None);
    bench.grant(run);
    bench.ask("run.cancel", &run.text(), json!({}));
    bench.wait(60_000);
    assert_eq!(bench.run(run).observation, Observation::Unknown);
    bench.ask("run.resolve", &run.text(), json!({ "verdict": "lost" }));
    let row = bench.run(run);
    assert_eq!((row.status, row.error_code.as_deref()), (RunStatus::Lost, Some("workspace_realization_failed")));
    assert_eq!(row.log_ref, None);
}

#[test]
fn a_stop_during_a_restart_is_the_last_word_for_those_who_wait() {
    let mut bench = Bench::new(4);
    let web = bench.service("web").id;
    bench.ask("service.start", &web.text(), json!({}));
    bench.ready_all();
    bench.ask("service.restart", &web.text(), json!({}));
    let run = bench.start("fixer", None);
    bench.grant(run);
    bench.make_workspace(run, "/w/x");
    assert_eq!(bench.run(run).step, Some(Step::Target));
    bench.ask("service.stop", &web.text(), json!({}));
    assert_eq!(bench.status(run), RunStatus::Failed);
    bench.service_ends("web", Some(0));
    assert_eq!(bench.service("web").status, ServiceStatus::Stopped);
}

#[test]
fn a_fact_of_another_fence_is_recorded_and_has_no_effect() {
    let mut bench = Bench::new(4);
    let run = bench.executing("plain", None);
    let action = bench.action(ActionKind::SpawnShim, &run.text()).unwrap();
    bench.state.runs.get_mut(&run).unwrap().fence = Some(99);
    bench.ends(run, exit(Some(0), None, EndedBy::Itself, None));
    assert_eq!(bench.status(run), RunStatus::Running);
    assert_eq!(bench.state.actions[&action].status, ActionStatus::Superseded);
}
