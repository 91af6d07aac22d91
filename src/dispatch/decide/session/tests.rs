//! Sessions that runs say, and where they lead the next ones, one input after the other.

use serde_json::{Value, json};
use wharf_model::config::{AgentWorkspace, Concurrency, WorkspaceMode as Mode};
use wharf_model::rules::session::kept;
use wharf_model::state::Change;
use wharf_model::*;

use crate::dispatch::decide::claim::{Gate, gate};
use crate::dispatch::decide::place::Place;
use crate::dispatch::input::{Fact, Input, PlannedWorkspace, Prepared};
use crate::dispatch::simulate::bench::{Bench, exit};
use crate::dispatch::simulate::setup;

/// A bench on which `plain` and `fixer` of the first project work at home, and the third lets nobody meet.
fn bench() -> Bench {
    bench_with(Concurrency::Serialise)
}

fn bench_with(concurrency: Concurrency) -> Bench {
    let mut bench = Bench::new(9);
    let mut solo = setup::config("SOLO");
    solo.config.workspace.concurrency = concurrency;
    // Nobody wrote a mode for the project, so that an agent's counts.
    solo.config.workspace.mode = None;
    for agent in solo.config.agents.iter_mut().filter(|a| ["plain", "fixer"].contains(&a.name.as_str())) {
        agent.workspace = AgentWorkspace { mode: Some(Mode::AgentDefault), ..AgentWorkspace::default() };
    }
    let mut crowd = setup::config("CROWD");
    crowd.config.workspace.concurrency = Concurrency::Serialise;
    for read in [solo, crowd] {
        let row = bench.request("config.accept", |_| {});
        let id = row.id;
        bench.decide(&Input::Request(Box::new(row), Prepared::Config(Box::new(read))));
        assert_eq!(bench.state.requests[&id].status, RequestStatus::Done);
    }
    bench
}

fn home(agent: &str) -> PlannedWorkspace {
    PlannedWorkspace {
        mode: WorkspaceMode::AdapterManaged,
        strategy: WorkspaceStrategy::AdapterManaged,
        name: agent.into(),
        cwd: format!("/data/agents/{agent}/home"),
        source: WorkspaceSource::AgentHome,
        repo_url: None,
        worktree: None,
        repo_root: None,
        branch: None,
        base_ref: None,
        base_commit: None,
        reused: true,
        remark: None,
    }
}

fn at_session(cwd: &str) -> PlannedWorkspace {
    PlannedWorkspace { cwd: cwd.into(), source: WorkspaceSource::TaskSession, ..home("x") }
}

fn worktree(branch: &str) -> PlannedWorkspace {
    PlannedWorkspace {
        mode: WorkspaceMode::IsolatedWorkspace,
        strategy: WorkspaceStrategy::GitWorktree,
        cwd: format!("/p/SOLO/.wharf/worktrees/{branch}"),
        worktree: Some(format!("/p/SOLO/.wharf/worktrees/{branch}")),
        source: WorkspaceSource::ProjectWorkspace,
        repo_root: Some("/p/SOLO".into()),
        branch: Some(branch.into()),
        base_ref: Some("main".into()),
        ..home("x")
    }
}

fn checkout(key: &str) -> PlannedWorkspace {
    PlannedWorkspace {
        mode: WorkspaceMode::SharedWorkspace,
        strategy: WorkspaceStrategy::ProjectPrimary,
        cwd: format!("/p/{key}"),
        repo_root: Some(format!("/p/{key}")),
        source: WorkspaceSource::ProjectWorkspace,
        ..home("x")
    }
}

/// Grants a lease and tells where the run works.
fn plan(bench: &mut Bench, run: RunId, plan: &PlannedWorkspace) {
    bench.grant(run);
    bench.fact(Fact::WorkspacePlanned { run, attempt: 1, plan: Box::new(plan.clone()) });
}

fn realise(bench: &mut Bench, run: RunId, planned: &PlannedWorkspace) {
    plan(bench, run, planned);
    assert_eq!(bench.status(run), RunStatus::Running, "{:?}", bench.run(run).error);
    let action = bench.action(ActionKind::RealiseWorkspace, &run.text()).unwrap();
    bench.fact(Fact::WorkspaceRealised {
        action,
        run,
        attempt: 1,
        cwd: planned.cwd.clone(),
        created: false,
        branch_created: false,
        base: None,
        note: String::new(),
        realisation: None,
    });
}

fn end(bench: &mut Bench, run: RunId) {
    bench.ready_all();
    bench.ends(run, exit(Some(0), None, shim::EndedBy::Itself, None));
}

/// What a run says, and the event that it becomes: level and words.
fn say(bench: &mut Bench, run: RunId, id: &str, body: Value) -> Option<(String, String)> {
    let seq = bench.run(run).agent_seq + 1;
    let (message_id, kind) = (id.to_owned(), "session".to_owned());
    bench.fact(Fact::AgentSaid { run, attempt: 1, seq, message_id, kind, body });
    let events = bench.changes.iter().filter_map(|c| if let Change::Event(e) = c { Some(e) } else { None });
    let found = events.filter(|e| e.event_type == "agent.session");
    found.map(|e| (e.level.clone(), e.message.clone())).next()
}

fn runtime<'b>(bench: &'b Bench, agent: &str) -> &'b AgentRuntimeRow {
    &bench.state.agent_runtime[&bench.agent(agent)]
}

/// As if a run had said this session and ended.
fn left_session(bench: &mut Bench, agent: &str, cwd: &str) {
    let run = bench.start(agent, None);
    realise(bench, run, &home(agent));
    let said = say(bench, run, "m", json!({ "id": "s-1", "cwd": cwd }));
    assert_eq!(said.unwrap().0, "info");
    end(bench, run);
}

#[test]
fn what_a_run_says_is_kept_once_and_beside_what_is_there() {
    let mut bench = bench();
    let run = bench.start("plain", None);
    realise(&mut bench, run, &home("plain"));
    let agent = bench.agent("plain");
    bench.state.agent_runtime.get_mut(&agent).unwrap().state_json = json!({ "theirs": true });
    let body = json!({ "id": "s-1", "cwd": "/work/notes" });
    let said = say(&mut bench, run, "one", body.clone()).unwrap();
    assert_eq!(said, ("info".into(), "its session is s-1, in /work/notes".into()));
    let row = runtime(&bench, "plain").clone();
    let session = kept(&row);
    assert_eq!((session.id, session.cwd, session.said_by), (Some("s-1"), Some("/work/notes"), Some("R-1")));
    assert_eq!(session.said_at, Some(bench.now));
    assert_eq!(row.state_json["theirs"], true);
    assert_eq!(bench.run(run).session_id_after.as_deref(), Some("s-1"));
    assert_eq!(say(&mut bench, run, "one", body), None, "sent again, it is the same message");
    assert_eq!(runtime(&bench, "plain"), &row);
    let over = say(&mut bench, run, "two", json!({ "clear": true })).unwrap();
    assert_eq!(over, ("info".into(), "its session is over".into()));
    assert!(!kept(runtime(&bench, "plain")).is_any());
    assert_eq!(runtime(&bench, "plain").state_json, json!({ "theirs": true }));
    assert_eq!(bench.run(run).session_id_after, None);
    assert_eq!(
        say(&mut bench, run, "three", json!({ "clear": true })).unwrap().1,
        "its session is over; none was kept"
    );
}

#[test]
fn what_cannot_be_taken_changes_nothing_and_is_said() {
    let mut bench = bench();
    let run = bench.start("plain", None);
    realise(&mut bench, run, &home("plain"));
    say(&mut bench, run, "first", json!({ "id": "s-1", "cwd": "/w" }));
    let before = runtime(&bench, "plain").clone();
    let table = [
        (json!({ "id": "" }), "1 to 256 bytes"),
        (json!({ "id": "a\u{7}" }), "control"),
        (json!({ "id": "a", "cwd": "notes" }), "not absolute"),
        (json!({ "id": "a", "cwd": "/a/../b" }), "`..`"),
        (json!({ "id": "x".repeat(60_000) }), "has 60000"),
        (json!({ "text": "s-2" }), "names no session"),
    ];
    for (n, (body, words)) in table.into_iter().enumerate() {
        let (level, message) = say(&mut bench, run, &n.to_string(), body).unwrap();
        assert!(level == "warn" && message.contains(words) && message.len() < 300, "{message}");
        assert_eq!(runtime(&bench, "plain"), &before);
    }
}

#[test]
fn a_directory_of_another_machine_is_not_kept() {
    for agent in ["remote", "pooled"] {
        let mut bench = bench();
        let run = bench.executing(agent, None);
        // What an earlier run on this machine has left.
        let id = bench.agent(agent);
        bench.state.agent_runtime.get_mut(&id).unwrap().state_json = json!({ "cwd": "/here", "theirs": 1 });
        let (level, message) = say(&mut bench, run, "m", json!({ "id": "s-1", "cwd": "/there" })).unwrap();
        assert!(level == "warn" && message.contains("/there is that of"), "{message}");
        let row = runtime(&bench, agent);
        assert_eq!((kept(row).id, kept(row).cwd), (Some("s-1"), None), "{agent}");
        assert_eq!(row.state_json["theirs"], 1);
    }
}

#[test]
fn resetting_forgets_both_and_says_what_they_were() {
    let mut bench = bench();
    left_session(&mut bench, "plain", "/work/notes");
    let agent = bench.agent("plain").text();
    let activity = |bench: &Bench| {
        let found =
            bench.changes.iter().filter_map(|c| if let Change::Activity(a) = c { Some(a.clone()) } else { None });
        found.filter(|a| a.action == "agent.session_reset").collect::<Vec<_>>()
    };
    let stale = bench.request("agent.reset_session", |r| {
        r.target_id = Some(agent.clone());
        r.expect = Some(json!([{ "id": agent, "version": 99 }]));
    });
    bench.decide(&Input::Request(Box::new(stale.clone()), Prepared::Nothing));
    assert_eq!(bench.state.requests[&stale.id].error_code.as_deref(), Some("changed_since_preview"));
    let done = bench.ask("agent.reset_session", &agent, json!({}));
    assert_eq!(done.status, RequestStatus::Done, "{:?}", done.error);
    let rows = activity(&bench);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].entity_type.as_str(), rows[0].entity_number.as_deref()), ("agent", Some("plain")));
    let was = json!({ "session_id": "s-1", "cwd": "/work/notes", "said_by": "R-1" });
    assert_eq!(rows[0].details, Some(was));
    let result = done.result.unwrap();
    assert_eq!(
        (&result["forgotten"], &result["session_id"], &result["cwd"]),
        (&json!(true), &json!("s-1"), &json!("/work/notes"))
    );
    assert!(!kept(runtime(&bench, "plain")).is_any());
    // Again, and of one that never had any, by its name: nothing is to be forgotten, and nothing is written about it.
    for name in [agent.as_str(), "writer"] {
        let again = bench.ask("agent.reset_session", name, json!({}));
        assert_eq!((again.status, &again.result.unwrap()["forgotten"]), (RequestStatus::Done, &json!(false)));
        assert_eq!(activity(&bench), []);
    }
    assert_eq!(bench.ask("agent.reset_session", "nobody", json!({})).error_code.as_deref(), Some("agent_not_found"));
    let gone = AgentId(uuid::Uuid::from_u128(u128::MAX)).text();
    assert_eq!(bench.ask("agent.reset_session", &gone, json!({})).error_code.as_deref(), Some("agent_not_found"));
    // Only a run may say one.
    let asked = bench.ask("agent.session", &agent, json!({ "id": "s-2" }));
    assert_eq!(asked.error_code.as_deref(), Some("permission_denied"));
}

#[test]
fn a_session_lies_in_a_place_of_others_or_in_one_of_its_own() {
    let checkout_of = |key: &str| Place::Checkout(format!("/p/{key}"));
    // Directory, and the place that a run waits for which follows it.
    let table = [
        ("/p/SOLO", Some(checkout_of("SOLO"))),
        ("/p/SOLO/src/deep", Some(checkout_of("SOLO"))),
        ("/p/SOLOX", None),
        ("/p/SHARE/x", Some(checkout_of("SHARE"))),
        (
            "/p/SOLO/.wharf/worktrees/SOLO-1-x",
            Some(Place::Branch(setup::config("SOLO").project_uuid, "SOLO-1-x".into())),
        ),
        (
            "/p/SOLO/.wharf/worktrees/SOLO-1-x/src",
            Some(Place::Branch(setup::config("SOLO").project_uuid, "SOLO-1-x".into())),
        ),
        ("/p/SOLO/.wharf/worktrees/other", Some(checkout_of("SOLO"))),
        ("/data/agents/plain/home/notes", None),
        ("/elsewhere", None),
    ];
    for (cwd, place) in table {
        let mut bench = bench();
        let on = bench.issue("SOLO", "high");
        let first = bench.start("tester", Some(&on));
        realise(&mut bench, first, &worktree("SOLO-1-x"));
        end(&mut bench, first);
        left_session(&mut bench, "plain", cwd);
        let (one, two) = (bench.start("plain", None), bench.start("plain", None));
        assert_eq!((bench.status(one), bench.status(two)), (RunStatus::Running, RunStatus::Queued), "{cwd}");
        let place = place.unwrap_or_else(|| Place::Session(cwd.to_owned()));
        assert_eq!(gate(&bench.state, two), Some(Gate::Place { place, holder: bench.run(one).number }), "{cwd}");
    }
}

#[test]
fn runs_that_meet_by_a_session_follow_one_another() {
    // In a checkout.
    let mut bench = bench();
    left_session(&mut bench, "plain", "/p/SHARE/src");
    let writer = bench.start("writer", None);
    let follower = bench.start("plain", None);
    assert_eq!((bench.status(writer), bench.status(follower)), (RunStatus::Running, RunStatus::Queued));
    realise(&mut bench, writer, &checkout("SHARE"));
    end(&mut bench, writer);
    assert_eq!(bench.status(follower), RunStatus::Running, "its turn has come");
    realise(&mut bench, follower, &at_session("/p/SHARE/src"));
    let late = bench.start("writer", None);
    assert_eq!(bench.status(late), RunStatus::Queued, "and the other way round");
    // It stays so when its agent says another session meanwhile.
    say(&mut bench, follower, "n", json!({ "id": "s-2", "cwd": "/elsewhere" }));
    assert_eq!(bench.status(late), RunStatus::Queued);
    end(&mut bench, follower);
    assert_eq!(bench.status(late), RunStatus::Running);
    // In the worktree of an issue.
    let mut bench = self::bench();
    let on = bench.issue("SOLO", "high");
    let first = bench.start("tester", Some(&on));
    let branch = format!("{on}-x");
    realise(&mut bench, first, &worktree(&branch));
    left_session(&mut bench, "plain", &format!("/p/SOLO/.wharf/worktrees/{branch}"));
    let follower = bench.start("plain", None);
    assert_eq!(bench.status(follower), RunStatus::Queued);
    end(&mut bench, first);
    assert_eq!(bench.status(follower), RunStatus::Running);
    let again = bench.start("tester", Some(&on));
    assert_eq!(bench.status(again), RunStatus::Queued);
    // In a directory that is nobody else's, which two agents have said.
    let mut bench = self::bench();
    left_session(&mut bench, "plain", "/elsewhere");
    left_session(&mut bench, "fixer", "/elsewhere");
    let both = ["plain", "fixer"].map(|a| bench.start(a, None));
    assert_eq!(both.map(|r| bench.status(r)), [RunStatus::Running, RunStatus::Queued]);
    let place = Place::Session("/elsewhere".into());
    assert_eq!(gate(&bench.state, both[1]), Some(Gate::Place { place, holder: bench.run(both[0]).number }));
    realise(&mut bench, both[0], &at_session("/elsewhere"));
    // Whose session it is no more goes home, and nobody is in its way.
    let agent = bench.agent("fixer").text();
    bench.ask("agent.reset_session", &agent, json!({}));
    assert_eq!(bench.status(both[1]), RunStatus::Running);
    // Whoever lets runs meet has said so.
    let mut bench = bench_with(Concurrency::Allow);
    left_session(&mut bench, "plain", "/p/SOLO/src");
    let both = ["plain", "plain"].map(|a| bench.start(a, None));
    assert_eq!(both.map(|r| bench.status(r)), [RunStatus::Running; 2]);
}

#[test]
fn whoever_follows_a_session_into_a_worktree_is_a_guest_there() {
    let mut bench = bench();
    let on = bench.issue("SOLO", "high");
    let first = bench.start("tester", Some(&on));
    let branch = format!("{on}-x");
    realise(&mut bench, first, &worktree(&branch));
    let id = bench.run(first).workspace_id.unwrap();
    end(&mut bench, first);
    let other = bench.issue("SOLO", "high");
    let before = bench.state.workspaces[&id].clone();
    left_session(&mut bench, "plain", &format!("{}/src", before.cwd.clone().unwrap()));
    let follower = bench.start("plain", Some(&other));
    let there = at_session(&format!("{}/src", before.cwd.clone().unwrap()));
    realise(&mut bench, follower, &there);
    assert_eq!(bench.run(follower).workspace_id, Some(id), "it joins the row");
    let after = &bench.state.workspaces[&id];
    let same = WorkspaceRow {
        status: WorkspaceStatus::Active,
        version: after.version,
        updated_at: after.updated_at,
        last_used_at: after.last_used_at,
        ..before.clone()
    };
    assert_eq!(after, &same, "and changes nothing of it");
    let issue = bench.state.issues.values().find(|i| i.identifier == other).unwrap();
    assert_eq!(issue.execution_workspace_id, None, "its issue has no worktree by that");
    let detail = bench.state.steps[&StepId(follower, Step::Realise)].detail.clone().unwrap();
    assert_eq!((&detail["source"], &detail["guest_at"]), (&json!("task_session"), &json!(there.cwd)));
    assert_eq!(detail["session"], json!({ "id": "s-1", "cwd": there.cwd, "said_by": "R-2" }));
    end(&mut bench, follower);
    assert_eq!(bench.state.workspaces[&id].status, WorkspaceStatus::Idle);
    // While it is being archived nobody comes: a follower waits for the end of that.
    bench.state.workspaces.get_mut(&id).unwrap().status = WorkspaceStatus::Archiving;
    let late = bench.start("plain", None);
    plan(&mut bench, late, &there);
    let detail = bench.state.steps[&StepId(late, Step::Realise)].detail.clone().unwrap();
    assert_eq!((&detail["waits_for"]["workspace"], bench.run(late).workspace_id), (&json!("W-1"), None), "{detail}");
}

#[test]
fn a_directory_of_its_own_is_a_workspace_of_its_own() {
    let mut bench = bench();
    left_session(&mut bench, "plain", "/elsewhere");
    let homes = bench.state.workspaces.len();
    let runs = [1, 2].map(|_| {
        let run = bench.start("plain", None);
        realise(&mut bench, run, &at_session("/elsewhere"));
        end(&mut bench, run);
        bench.run(run).workspace_id.unwrap()
    });
    assert_eq!(runs[0], runs[1], "found again");
    assert_eq!(bench.state.workspaces.len(), homes + 1);
    let row = &bench.state.workspaces[&runs[0]];
    assert_eq!((row.source, row.cwd.as_deref()), (Some(WorkspaceSource::TaskSession), Some("/elsewhere")));
    // Somebody else's session lies below: in the same row, but where it lies.
    left_session(&mut bench, "fixer", "/elsewhere/below");
    let below = bench.start("fixer", None);
    realise(&mut bench, below, &at_session("/elsewhere/below"));
    assert_eq!(bench.run(below).workspace_id, Some(runs[0]));
    assert_eq!(bench.state.workspaces[&runs[0]].cwd.as_deref(), Some("/elsewhere"));
    let detail = bench.state.steps[&StepId(below, Step::Realise)].detail.clone().unwrap();
    assert_eq!(detail["guest_at"], "/elsewhere/below");
    let detail = |run: RunId| bench.state.steps[&StepId(run, Step::Realise)].detail.clone().unwrap();
    assert_eq!(detail(below)["source"], "task_session");
}

#[test]
fn two_never_write_in_one_directory_unaware() {
    // Where the first works (by a session of its agent or as its project says), where the second is about to.
    let table: [(&str, PlannedWorkspace, &str, PlannedWorkspace, bool); 10] = [
        ("plain", at_session("/e"), "fixer", at_session("/e"), true),
        ("plain", at_session("/e"), "fixer", at_session("/e/below"), true),
        ("plain", at_session("/e/below"), "fixer", at_session("/e"), true),
        ("plain", at_session("/e"), "fixer", at_session("/ee"), false),
        ("plain", at_session("/p/SHARE/x"), "writer", checkout("SHARE"), true),
        ("writer", checkout("SHARE"), "plain", at_session("/p/SHARE/x"), true),
        ("plain", at_session("/p/SHARE/x"), "crowd", checkout("CROWD"), false),
        ("plain", at_session("/p/SOLO/.wharf/worktrees/R-2/src"), "tester", worktree("R-2"), true),
        ("tester", worktree("b"), "plain", at_session("/p/SOLO/.wharf/worktrees/b"), true),
        // A worktree lies below its checkout and is another place all the same.
        ("tester", worktree("b"), "plain", at_session("/p/SOLO/src"), false),
    ];
    for (first_agent, first_plan, second_agent, second_plan, meets) in table {
        let what = format!("{} and {}", first_plan.cwd, second_plan.cwd);
        let mut bench = bench();
        let (first, second) = (bench.start(first_agent, None), bench.start(second_agent, None));
        assert_eq!((bench.status(first), bench.status(second)), (RunStatus::Running, RunStatus::Running), "{what}");
        realise(&mut bench, first, &first_plan);
        plan(&mut bench, second, &second_plan);
        let refused = bench.run(second).error.clone();
        assert_eq!(refused.is_some(), meets, "{what}: {refused:?}");
        if let Some(words) = refused {
            assert!(words.starts_with("R-1 works in ") && words.contains(&second_plan.cwd), "{words}");
            let is_session = second_plan.source == WorkspaceSource::TaskSession;
            assert_eq!(words.contains("wharf agent reset-session"), is_session, "{words}");
        }
    }
}
