//! Where runs work and why: environments by their rule, issues whose settings change, places that are taken.

use serde_json::{Value, json};
use wharf_model::config::{AgentWorkspace, Concurrency, WorkspaceMode as Mode};
use wharf_model::rules::environment_choice::Explanation;
use wharf_model::state::Change;
use wharf_model::*;

use super::bench::{Bench, exit};
use super::setup;
use crate::dispatch::decide::claim::{Gate, gate};
use crate::dispatch::decide::place::Place;
use crate::dispatch::input::{ConfigRead, Fact, Input, PlannedWorkspace, Prepared, StandingWorkspace};

/// A bench whose first project says this.
fn bench(change: impl FnOnce(&mut ConfigRead)) -> Bench {
    let mut bench = Bench::new(9);
    let mut read = setup::config("SOLO");
    change(&mut read);
    let row = bench.request("config.accept", |_| {});
    let id = row.id;
    bench.decide(&Input::Request(Box::new(row), Prepared::Config(Box::new(read))));
    assert_eq!(bench.state.requests[&id].status, RequestStatus::Done);
    bench
}

fn issue<'b>(bench: &'b Bench, identifier: &str) -> &'b IssueRow {
    bench.state.issues.values().find(|i| i.identifier == identifier).unwrap()
}

fn update(bench: &mut Bench, identifier: &str, args: Value) -> RequestRow {
    let id = issue(bench, identifier).id.text();
    bench.ask("issue.update", &id, args)
}

fn start(bench: &mut Bench, agent: &str, args: Value) -> RunId {
    let agent = bench.agent(agent).text();
    let row = bench.ask("run.start", &agent, args);
    row.result.unwrap_or_else(|| panic!("refused: {:?}", row.error))["run_id"].as_str().unwrap().parse().unwrap()
}

fn choice(bench: &Bench, run: RunId) -> Explanation {
    let detail = bench.state.steps[&StepId(run, Step::Resolve)].detail.clone().unwrap();
    serde_json::from_value(detail["choice"].clone()).unwrap()
}

/// Which rule chose, and what.
fn chosen(bench: &Bench, run: RunId) -> (String, String) {
    let environment = bench.run(run).environment_id.unwrap();
    (choice(bench, run).rule.to_string(), bench.state.environments[&environment].name.clone())
}

fn plan(branch: &str) -> PlannedWorkspace {
    PlannedWorkspace {
        mode: WorkspaceMode::IsolatedWorkspace,
        strategy: WorkspaceStrategy::GitWorktree,
        name: branch.into(),
        cwd: format!("/w/{branch}"),
        source: WorkspaceSource::ProjectWorkspace,
        repo_url: None,
        worktree: Some(format!("/w/{branch}")),
        repo_root: None,
        branch: Some(branch.into()),
        base_ref: None,
        base_commit: None,
        reused: false,
        remark: None,
    }
}

/// Grants the lease and makes the workspace of this plan.
fn realise(bench: &mut Bench, run: RunId, plan: &PlannedWorkspace) {
    bench.grant(run);
    let action = bench.action(ActionKind::RealiseWorkspace, &run.text()).unwrap();
    bench.fact(Fact::WorkspacePlanned { run, attempt: 1, plan: Box::new(plan.clone()) });
    bench.fact(Fact::WorkspaceRealised {
        action,
        run,
        attempt: 1,
        cwd: plan.cwd.clone(),
        created: true,
        branch_created: true,
        base: None,
        note: String::new(),
        realisation: None,
    });
}

fn end(bench: &mut Bench, run: RunId) {
    bench.ends(run, exit(Some(0), None, shim::EndedBy::Itself, None));
}

fn workspace(bench: &Bench, run: RunId) -> &WorkspaceRow {
    &bench.state.workspaces[&bench.run(run).workspace_id.unwrap()]
}

#[test]
fn each_rule_decides_in_its_turn() {
    let mut bench = bench(|read| {
        read.config.agents.iter_mut().find(|a| a.name == "plain").unwrap().environment = Some("far".into());
    });
    let on = bench.issue("SOLO", "high");
    let of_agent = start(&mut bench, "plain", json!({}));
    assert_eq!(chosen(&bench, of_agent), ("agent".into(), "far".into()));
    let project = setup::config("SOLO").project_uuid;
    bench.state.projects.get_mut(&project).unwrap().default_environment = Some("pond".into());
    let of_project = start(&mut bench, "plain", json!({}));
    assert_eq!(chosen(&bench, of_project), ("project".into(), "pond".into()));
    assert_eq!(update(&mut bench, &on, json!({ "settings": { "environment": "Local" } })).status, RequestStatus::Done);
    let of_issue = start(&mut bench, "plain", json!({ "issue": on }));
    assert_eq!(chosen(&bench, of_issue), ("issue".into(), "Local".into()));
    let account = choice(&bench, of_issue).lines();
    let text: Vec<String> = account.iter().map(|(who, said, what)| format!("{who} | {said} | {what}")).collect();
    assert_eq!(
        text,
        [
            "the request | R-3: names none | ",
            "the workspace it goes on in | workspace: no workspace of its own is found again | ",
            "its issue | SOLO-1: Local | decides",
            "the project | project.default_environment: pond | passed over: its issue goes before it",
            "the agent | agent.plain.environment: far | passed over: its issue goes before it",
            "the company's default | company: the company's default | passed over: its issue goes before it",
        ]
    );
    bench.grant(of_issue);
    bench.ask("run.cancel", &of_issue.text(), json!({}));
    let action = bench.action(ActionKind::RealiseWorkspace, &of_issue.text()).unwrap();
    bench.fact(Fact::WorkspaceFailed {
        action,
        run: of_issue,
        attempt: 1,
        message: "no".into(),
        cause: None,
        stands: None,
    });
    let asked = start(&mut bench, "plain", json!({ "issue": on, "environment": "pond" }));
    assert_eq!(chosen(&bench, asked), ("request".into(), "pond".into()));
}

#[test]
fn the_company_has_the_last_word_and_local_can_be_asked_for_before_it_is_there() {
    let mut bench = bench(|_| {});
    bench.state.environments.retain(|_, e| e.driver != Driver::Local);
    let asked = start(&mut bench, "remote", json!({ "environment": "Local" }));
    assert_eq!(chosen(&bench, asked), ("request".into(), "Local".into()));
    let plain = start(&mut bench, "plain", json!({}));
    assert_eq!(chosen(&bench, plain), ("company".into(), "Local".into()));
}

#[test]
fn a_reused_workspace_keeps_its_environment_until_the_settings_of_its_issue_change() {
    let mut bench = bench(|_| {});
    let on = bench.issue("SOLO", "high");
    let first = start(&mut bench, "plain", json!({ "issue": on }));
    let branch = format!("{on}-x");
    realise(&mut bench, first, &plan(&branch));
    assert_eq!(chosen(&bench, first), ("company".into(), "Local".into()));
    let row = workspace(&bench, first).clone();
    assert_eq!(row.config.as_ref().unwrap()["environment_id"], json!(bench.run(first).environment_id.unwrap().text()));
    end(&mut bench, first);
    // The project says another one now; what is there stays where it is.
    let project = setup::config("SOLO").project_uuid;
    bench.state.projects.get_mut(&project).unwrap().default_environment = Some("pond".into());
    let second = start(&mut bench, "plain", json!({ "issue": on }));
    assert_eq!(chosen(&bench, second), ("workspace".into(), "Local".into()));
    realise(&mut bench, second, &plan(&branch));
    assert_eq!(bench.run(second).workspace_id, Some(row.id), "one row for a workspace");
    end(&mut bench, second);
    // Its settings change, and it follows in the same decision.
    let answer = update(&mut bench, &on, json!({ "settings": { "environment": "far", "provision": "./setup" } }));
    let result = answer.result.unwrap();
    assert_eq!((&result["workspace"], result["changed"].as_object().unwrap().len()), (&json!("W-1"), 2));
    let far = bench.state.environments.values().find(|e| e.name == "far").unwrap().id.text();
    let config = bench.state.workspaces[&row.id].config.clone().unwrap();
    assert_eq!((&config["environment_id"], &config["provision"]), (&json!(far), &json!("./setup")));
    let puts = |c: &Change| matches!(c, Change::Put { .. });
    assert!(bench.changes.iter().filter(|c| puts(c)).count() >= 2, "issue and workspace in one transaction");
    let told: Vec<&str> = bench
        .changes
        .iter()
        .filter_map(|c| if let Change::Activity(a) = c { Some(a.action.as_str()) } else { None })
        .collect();
    assert_eq!(told, ["issue.updated"]);
    let third = start(&mut bench, "plain", json!({ "issue": on }));
    assert_eq!(chosen(&bench, third), ("workspace".into(), "far".into()));
    bench.ask("run.cancel", &third.text(), json!({}));
    // Taken away, the next rule decides, and other settings leave the environment alone.
    let cleared = update(&mut bench, &on, json!({ "settings": { "environment": null } }));
    assert_eq!(cleared.result.unwrap()["workspace"], "W-1");
    let config = bench.state.workspaces[&row.id].config.clone().unwrap();
    assert_eq!((config.get("environment_id"), &config["provision"]), (None, &json!("./setup")));
}

#[test]
fn what_an_operator_may_not_say_of_an_issue_is_refused_and_changes_nothing() {
    let mut bench = bench(|_| {});
    let on = bench.issue("SOLO", "high");
    let before = issue(&bench, &on).clone();
    let table = [
        (json!({ "title": " " }), "needs a title"),
        (json!({ "title": "a\nb" }), "one line"),
        (json!({ "status": "finished" }), "there are backlog"),
        (json!({ "priority": "urgent" }), "is no priority"),
        (json!({ "colour": "red" }), "no \"colour\" to be changed"),
        (json!({ "settings": { "environment": "nowhere" } }), "no environment nowhere"),
        (json!({ "settings": { "mode": "own" } }), "has no meaning"),
        (json!({ "settings": { "branch": "{{x}}" } }), "not known here"),
        (json!({ "title": "fine", "settings": { "mode": 7 } }), "is no text"),
    ];
    for (args, words) in table {
        let row = update(&mut bench, &on, args.clone());
        assert_eq!(row.status, RequestStatus::Refused, "{args}");
        assert!(row.error.as_ref().unwrap().contains(words), "{args}: {:?}", row.error);
        assert_eq!(issue(&bench, &on), &before);
    }
    let gone = bench.ask("issue.update", &IssueId(uuid::Uuid::from_u128(9)).text(), json!({ "status": "done" }));
    assert_eq!(gone.error_code.as_deref(), Some("issue_not_found"));
}

#[test]
fn closing_an_issue_makes_its_worktree_fit_for_removal_and_opening_takes_that_back() {
    let mut bench = bench(|_| {});
    let on = bench.issue("SOLO", "high");
    let run = start(&mut bench, "plain", json!({ "issue": on }));
    realise(&mut bench, run, &plan("b"));
    let id = workspace(&bench, run).id;
    end(&mut bench, run);
    for (status, completed, cancelled) in [("done", true, false), ("cancelled", false, true)] {
        update(&mut bench, &on, json!({ "status": status }));
        let row = issue(&bench, &on);
        assert_eq!((row.completed_at.is_some(), row.cancelled_at.is_some()), (completed, cancelled));
        assert_eq!(bench.state.workspaces[&id].cleanup_eligible_at, Some(bench.now));
    }
    // As after a restart: closed issues are not in memory, and come with the request.
    let stored = issue(&bench, &on).clone();
    bench.state.issues.remove(&stored.id);
    let row = bench.request("issue.update", |r| {
        r.target_id = Some(stored.id.text());
        r.args = json!({ "status": "todo" });
    });
    let asked = row.id;
    bench.decide(&Input::Request(Box::new(row), Prepared::Issue(Box::new(stored))));
    assert_eq!(bench.state.requests[&asked].status, RequestStatus::Done);
    let row = issue(&bench, &on);
    assert_eq!((row.status, row.completed_at, row.cancelled_at), (IssueStatus::Todo, None, None));
    assert_eq!(bench.state.workspaces[&id].cleanup_eligible_at, None);
}

#[test]
fn a_new_title_keeps_an_issue_where_its_work_is() {
    let mut bench = bench(|_| {});
    let on = bench.issue("SOLO", "high");
    let run = start(&mut bench, "plain", json!({ "issue": on }));
    let branch = format!("{on}-x");
    realise(&mut bench, run, &plan(&branch));
    end(&mut bench, run);
    update(&mut bench, &on, json!({ "title": "quite another" }));
    let settings = issue(&bench, &on).execution_workspace_settings.clone().unwrap();
    assert_eq!(settings["preference"], "reuse_existing");
    let next = start(&mut bench, "plain", json!({ "issue": on }));
    assert_eq!(choice(&bench, next).rule.as_str(), "workspace", "found again by its row, not by its name");
}

#[test]
fn the_workspace_that_an_issue_leaves_turns_idle() {
    let mut bench = bench(|_| {});
    let on = bench.issue("SOLO", "high");
    let first = start(&mut bench, "plain", json!({ "issue": on }));
    realise(&mut bench, first, &plan("one"));
    let before = workspace(&bench, first).id;
    end(&mut bench, first);
    // Somebody looks at it when the issue gets another one.
    bench.state.workspaces.get_mut(&before).unwrap().status = WorkspaceStatus::InReview;
    let second = start(&mut bench, "plain", json!({ "issue": on }));
    realise(&mut bench, second, &plan("two"));
    assert_eq!(bench.state.workspaces[&before].status, WorkspaceStatus::Idle);
    let now = workspace(&bench, second);
    assert_eq!(now.derived_from_execution_workspace_id, Some(before));
    assert_eq!(issue(&bench, &on).execution_workspace_id, Some(now.id));
}

#[test]
fn a_directory_is_one_workspace_whatever_mode_leads_to_it() {
    let mut bench = bench(|_| {});
    let runs = [start(&mut bench, "plain", json!({})), start(&mut bench, "plain", json!({}))];
    let mut shared = plan("x");
    (shared.mode, shared.strategy) = (WorkspaceMode::SharedWorkspace, WorkspaceStrategy::ProjectPrimary);
    shared.worktree = None;
    realise(&mut bench, runs[0], &shared);
    let operator = PlannedWorkspace { mode: WorkspaceMode::OperatorBranch, ..shared.clone() };
    bench.grant(runs[1]);
    bench.fact(Fact::WorkspacePlanned { run: runs[1], attempt: 1, plan: Box::new(operator.clone()) });
    assert!(bench.run(runs[1]).error.as_ref().unwrap().starts_with("R-1 works in /w/x"));
    end(&mut bench, runs[0]);
    let third = start(&mut bench, "plain", json!({}));
    realise(&mut bench, third, &operator);
    assert_eq!(bench.run(third).workspace_id, bench.run(runs[0]).workspace_id);
    assert_eq!(workspace(&bench, third).mode, WorkspaceMode::OperatorBranch);
    assert_eq!(workspace(&bench, third).config, None, "a place of many keeps no environment");
}

#[test]
fn a_second_run_leaves_the_row_of_a_worktree_what_it_is() {
    let mut bench = bench(|_| {});
    let on = bench.issue("SOLO", "high");
    let first = start(&mut bench, "plain", json!({ "issue": on }));
    let tree = PlannedWorkspace { base_ref: Some("main".into()), repo_root: Some("/p/SOLO".into()), ..plan("b") };
    realise(&mut bench, first, &tree);
    end(&mut bench, first);
    let before = workspace(&bench, first).clone();
    assert_eq!(before.provider_ref.as_deref(), Some("/w/b"));
    let same = |after: &WorkspaceRow| WorkspaceRow {
        status: after.status,
        version: after.version,
        updated_at: after.updated_at,
        last_used_at: after.last_used_at,
        ..before.clone()
    };
    // An agent that comes to its directory by itself: by its home, or by its last session, there or below.
    let by = |source, cwd: &str| PlannedWorkspace {
        mode: WorkspaceMode::AdapterManaged,
        strategy: WorkspaceStrategy::AdapterManaged,
        name: "other".into(),
        cwd: cwd.into(),
        worktree: None,
        branch: None,
        source,
        ..plan("b")
    };
    let table = [
        by(WorkspaceSource::AgentHome, "/w/b"),
        by(WorkspaceSource::TaskSession, "/w/b"),
        by(WorkspaceSource::TaskSession, "/w/b/src"),
        // And the next run of its issue.
        tree.clone(),
    ];
    for second in table {
        let run = start(&mut bench, "plain", json!({}));
        realise(&mut bench, run, &second);
        assert_eq!(bench.run(run).workspace_id, Some(before.id), "{second:?}");
        let after = workspace(&bench, run);
        assert_eq!(after, &same(after), "{second:?}");
        end(&mut bench, run);
    }
}

#[test]
fn two_projects_with_one_path_have_a_row_each_and_never_work_there_at_once() {
    let mut bench = bench(|read| read.config.workspace.mode = Some(Mode::Shared));
    let shared = |repo: Option<&str>| PlannedWorkspace {
        mode: WorkspaceMode::SharedWorkspace,
        strategy: WorkspaceStrategy::ProjectPrimary,
        cwd: "/p/SOLO".into(),
        worktree: None,
        branch: None,
        repo_root: repo.map(str::to_owned),
        ..plan("x")
    };
    let (first, second) = (start(&mut bench, "plain", json!({})), start(&mut bench, "writer", json!({})));
    realise(&mut bench, first, &shared(Some("/p/SOLO")));
    // While both run, it turns out that they are one directory: the second project was found again there.
    let share = bench.state.projects.get_mut(&setup::config("SHARE").project_uuid).unwrap();
    (share.path, share.git_common_dir) = ("/p/SOLO".into(), Some("/p/SOLO/.git".into()));
    bench.grant(second);
    bench.fact(Fact::WorkspacePlanned { run: second, attempt: 1, plan: Box::new(shared(Some("/p/SOLO"))) });
    let error = bench.run(second).error.clone().unwrap();
    assert!(error.starts_with("R-1 works in /p/SOLO"), "{error}");
    assert_eq!(bench.state.workspaces.len(), 1, "nothing was made for it");
    // From then on the queue knows.
    let third = start(&mut bench, "writer", json!({}));
    let place = Place::Checkout("/p/SOLO".to_owned());
    assert_eq!(gate(&bench.state, third), Some(Gate::Place { place, holder: 1 }));
    end(&mut bench, first);
    realise(&mut bench, third, &shared(Some("/p/SOLO")));
    let (of_solo, of_share) = (workspace(&bench, first), workspace(&bench, third));
    assert_ne!(of_solo.id, of_share.id, "a row belongs to its project");
    assert_eq!((of_solo.cwd.as_deref(), of_share.cwd.as_deref()), (Some("/p/SOLO"), Some("/p/SOLO")));
    assert_eq!(of_share.project_id, bench.run(third).project_id);
    end(&mut bench, third);
    // Each finds its own again, and a run that is begun anew is not in its own way.
    let fourth = start(&mut bench, "plain", json!({}));
    realise(&mut bench, fourth, &shared(Some("/p/SOLO")));
    assert_eq!(bench.run(fourth).workspace_id, bench.run(first).workspace_id);
    bench.fact(Fact::WorkspacePlanned { run: fourth, attempt: 1, plan: Box::new(shared(Some("/p/SOLO"))) });
    assert_eq!(bench.status(fourth), RunStatus::Running);
}

#[test]
fn nobody_enters_a_workspace_that_is_on_its_way_out() {
    let mut bench = bench(|_| {});
    let first = start(&mut bench, "plain", json!({}));
    realise(&mut bench, first, &plan("x"));
    let id = workspace(&bench, first).id;
    end(&mut bench, first);
    for (status, refused) in
        [(WorkspaceStatus::Archiving, None), (WorkspaceStatus::CleanupFailed, Some("has failed (no room)"))]
    {
        let row = bench.state.workspaces.get_mut(&id).unwrap();
        (row.status, row.failure_reason) = (status, Some("no room".into()));
        let run = start(&mut bench, "plain", json!({}));
        bench.grant(run);
        bench.fact(Fact::WorkspacePlanned { run, attempt: 1, plan: Box::new(plan("x")) });
        let row = bench.run(run);
        assert_eq!(row.workspace_id, None);
        match (refused, row.error.as_ref()) {
            (Some(words), Some(error)) => assert!(error.contains("W-1") && error.contains(words), "{error}"),
            // It waits for what ends by itself.
            (None, None) => assert_eq!(row.status, RunStatus::Running),
            other => panic!("{other:?}"),
        }
    }
    // One whose directory somebody removed is made again.
    bench.state.workspaces.get_mut(&id).unwrap().status = WorkspaceStatus::Missing;
    let run = start(&mut bench, "plain", json!({}));
    realise(&mut bench, run, &plan("x"));
    assert_eq!((bench.run(run).workspace_id, workspace(&bench, run).status), (Some(id), WorkspaceStatus::Active));
}

#[test]
fn a_second_run_in_one_place_is_refused_where_the_project_wants_that() {
    for mode in [Mode::Shared, Mode::OperatorBranch] {
        let mut bench = bench(|read| {
            (read.config.workspace.mode, read.config.workspace.concurrency) = (Some(mode), Concurrency::Refuse);
            read.mode = mode;
        });
        let first = start(&mut bench, "plain", json!({}));
        let agent = bench.agent("fixer").text();
        let refused = bench.ask("run.start", &agent, json!({}));
        let words = refused.error.unwrap();
        assert!(words.starts_with("R-1 has the project's own checkout, and `concurrency = \"refuse\"`"), "{words}");
        assert_eq!(bench.state.runs.len(), 1, "nothing is left of it");
        bench.ask("run.cancel", &first.text(), json!({}));
        bench.grant(first);
        start(&mut bench, "fixer", json!({}));
    }
}

#[test]
fn a_queued_run_is_refused_when_its_turn_comes_and_the_place_is_taken() {
    let mut bench = bench(|read| read.config.workspace.mode = Some(Mode::Shared));
    let (first, second) = (start(&mut bench, "plain", json!({})), start(&mut bench, "fixer", json!({})));
    assert_eq!(bench.status(second), RunStatus::Queued);
    let place = Place::Checkout("/p/SOLO".to_owned());
    assert_eq!(gate(&bench.state, second), Some(Gate::Place { place, holder: 1 }));
    // The project changes its mind.
    let mut read = setup::config("SOLO");
    (read.config.workspace.mode, read.config.workspace.concurrency) = (Some(Mode::Shared), Concurrency::Refuse);
    let row = bench.request("config.accept", |_| {});
    bench.decide(&Input::Request(Box::new(row), Prepared::Config(Box::new(read))));
    assert_eq!((bench.status(first), bench.status(second)), (RunStatus::Running, RunStatus::Cancelled));
    assert!(bench.run(second).error.as_ref().unwrap().starts_with("R-1 has the project's own checkout"));
}

#[test]
fn projects_of_one_checkout_follow_one_another() {
    let mut bench = bench(|read| read.config.workspace.mode = Some(Mode::Shared));
    let share = bench.state.projects.get_mut(&setup::config("SHARE").project_uuid).unwrap();
    (share.path, share.git_common_dir) = ("/p/SOLO/apps/share".into(), Some("/p/SOLO/.git".into()));
    let (first, second) = (start(&mut bench, "plain", json!({})), start(&mut bench, "writer", json!({})));
    assert_eq!((bench.status(first), bench.status(second)), (RunStatus::Running, RunStatus::Queued));
    let place = Place::Checkout("/p/SOLO".to_owned());
    assert_eq!(gate(&bench.state, second), Some(Gate::Place { place, holder: 1 }));
    // A repository of its own beside the first one.
    let share = bench.state.projects.get_mut(&setup::config("SHARE").project_uuid).unwrap();
    share.git_common_dir = Some("/p/SOLO/apps/share/.git".into());
    assert_eq!(gate(&bench.state, second), Some(Gate::Open));
}

#[test]
fn runs_in_an_agents_home_follow_one_another() {
    let own = |concurrency| {
        bench(move |read| {
            read.config.workspace.concurrency = concurrency;
            read.config.workspace.mode = None;
            for agent in read.config.agents.iter_mut().filter(|a| a.name != "tester") {
                agent.workspace = AgentWorkspace { mode: Some(Mode::AgentDefault), ..AgentWorkspace::default() };
            }
        })
    };
    let mut bench = own(Concurrency::Serialise);
    let runs = ["plain", "plain", "fixer", "tester"].map(|a| start(&mut bench, a, json!({})));
    assert_eq!(
        runs.map(|r| bench.status(r)),
        [RunStatus::Running, RunStatus::Queued, RunStatus::Running, RunStatus::Running]
    );
    let place = Place::Home(bench.agent("plain"));
    assert_eq!(gate(&bench.state, runs[1]), Some(Gate::Place { place, holder: 1 }));
    let mut bench = own(Concurrency::Allow);
    let runs = ["plain", "plain"].map(|a| start(&mut bench, a, json!({})));
    assert_eq!(runs.map(|r| bench.status(r)), [RunStatus::Running; 2]);
}

#[test]
fn the_gate_is_named_by_the_rule_that_claims() {
    let mut bench = bench(|_| {});
    let on = bench.issue("SOLO", "high");
    let first = start(&mut bench, "plain", json!({ "issue": on }));
    let second = start(&mut bench, "fixer", json!({ "issue": on }));
    assert_eq!(gate(&bench.state, second), Some(Gate::Issue { holder: 1 }));
    let testers = [start(&mut bench, "tester", json!({})), start(&mut bench, "tester", json!({}))];
    assert_eq!(gate(&bench.state, testers[1]), Some(Gate::Agent { limit: 1 }));
    bench.state.concurrent_runs = 2;
    assert_eq!(gate(&bench.state, second), Some(Gate::Machine { limit: 2 }));
    assert_eq!(gate(&bench.state, first), None, "it does not wait");
}

#[test]
fn what_was_made_stays_ours_although_its_provision_failed() {
    let mut bench = bench(|_| {});
    let on = bench.issue("SOLO", "high");
    let run = start(&mut bench, "plain", json!({ "issue": on }));
    bench.grant(run);
    let action = bench.action(ActionKind::RealiseWorkspace, &run.text()).unwrap();
    bench.fact(Fact::WorkspacePlanned { run, attempt: 1, plan: Box::new(plan(&format!("{on}-x"))) });
    let base = Some(("main".to_owned(), "9f3a1c2".to_owned()));
    let stands = Some(Box::new(StandingWorkspace { created: true, branch_created: true, base }));
    let message = "provision exited with 7".to_owned();
    bench.fact(Fact::WorkspaceFailed { action, run, attempt: 1, message, cause: None, stands });
    let made = workspace(&bench, run);
    assert_eq!(made.status, WorkspaceStatus::Failed);
    assert!(made.created_by_runtime && made.branch_created_by_runtime);
    assert_eq!(made.base_commit.as_deref(), Some("9f3a1c2"));
}
