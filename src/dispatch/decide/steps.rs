//! A run's way through its seven steps, each a row with start, end, deadline and outcome.

use serde_json::{Value, json};
use wharf_model::rules;
use wharf_model::shim::ChildRef;
use wharf_model::{
    ActionKind, AgentRow, EnvironmentRow, EnvironmentStatus, LeaseRow, LeaseStatus, Observation, RunId, RunRow,
    RunStatus, RunTextKind, Step, StepId, StepRow, StepStatus, UnixMillis, WorkspaceRow, WorkspaceSource,
};

use super::{Deciding, about, environment_choice, finish, lease, ready_comment, resolve, service, workspace};
use crate::dispatch::input::Actor;

/// The run when it is running this attempt; a fact about any other is late and changes nothing.
pub(crate) fn current(d: &Deciding<'_, '_>, run: RunId, attempt: u32) -> Option<RunRow> {
    let running = |r: &&RunRow| r.status == RunStatus::Running || mutant!(EndedAgain);
    d.tx.get::<RunRow>(run).filter(|r| r.attempt == attempt).filter(running).cloned()
}

/// Makes the seven rows of a run's attempt.
pub(crate) fn lay_out(d: &mut Deciding<'_, '_>, run: RunId, attempt: u32) {
    let now = d.now();
    for &step in Step::ALL {
        d.tx.put(StepRow {
            id: StepId(run, step),
            run_id: run,
            step,
            status: StepStatus::Pending,
            attempt,
            started_at: None,
            finished_at: None,
            deadline_at: None,
            outcome: None,
            detail: None,
            version: 0,
            created_at: now,
            updated_at: now,
        });
    }
}

/// Begins a step: its row runs, the run says where it is.
pub(crate) fn begin(d: &mut Deciding<'_, '_>, run: RunId, step: Step, deadline_ms: Option<i64>) {
    let now = d.now();
    let deadline = deadline_ms.map(|ms| now.plus(ms));
    d.tx.update::<StepRow>(StepId(run, step), |row| {
        row.status = StepStatus::Running;
        row.started_at = Some(now);
        row.deadline_at = deadline;
    });
    d.tx.update::<RunRow>(run, |row| row.step = Some(step));
}

/// Ends a step with its outcome.
pub(crate) fn end(d: &mut Deciding<'_, '_>, run: RunId, step: Step, status: StepStatus, outcome: impl Into<String>) {
    let now = d.now();
    let outcome = outcome.into();
    d.tx.update::<StepRow>(StepId(run, step), |row| {
        row.status = status;
        if row.started_at.is_none() && status != StepStatus::Skipped {
            row.started_at = Some(now);
        }
        row.finished_at = Some(now);
        row.deadline_at = None;
        row.outcome = Some(outcome);
    });
}

/// Steps 1 to 3: choose the environment, check it, ask for a lease. Pure up to the lease itself.
pub(crate) fn enter(d: &mut Deciding<'_, '_>, run_id: RunId) {
    let Some(run) = d.tx.get::<RunRow>(run_id).cloned() else { return };
    begin(d, run_id, Step::Resolve, Step::Resolve.deadline_ms());
    let chosen = environment_choice::choose(d, &run);
    let detail = chosen.detail();
    d.tx.update::<StepRow>(StepId(run_id, Step::Resolve), |s| s.detail = Some(detail));
    let environment = match chosen.found {
        Ok(environment) => {
            let rule = chosen.explanation.rule.words();
            end(d, run_id, Step::Resolve, StepStatus::Succeeded, format!("{} by {rule}", environment.name));
            environment
        }
        Err((code, message)) => {
            finish::setup_failed(d, run_id, Step::Resolve, code, &message, Value::Null);
            return;
        }
    };
    d.tx.update::<RunRow>(run_id, |r| r.environment_id = Some(environment.id));
    begin(d, run_id, Step::Check, Step::Check.deadline_ms());
    let Some(agent) = d.state().agents.get(&run.agent_id).cloned() else { return };
    if let Err((code, message)) = check(&environment, &agent) {
        let detail = environment_detail(&environment, None);
        finish::setup_failed(d, run_id, Step::Check, code, &message, detail);
        return;
    }
    end(d, run_id, Step::Check, StepStatus::Succeeded, "active");
    begin(d, run_id, Step::Acquire, Step::Acquire.deadline_ms());
    lease::ask(d, run_id, &environment);
}

/// Whether an environment may be used at all, and by this agent's adapter.
fn check(environment: &EnvironmentRow, agent: &AgentRow) -> Result<(), (&'static str, String)> {
    if environment.status != EnvironmentStatus::Active {
        return Err((
            "environment_inactive",
            format!("environment {} is {}; choose another or restore it", environment.name, environment.status),
        ));
    }
    rules::lease::check(&agent.adapter_type, agent.config["tty"] == true, environment)
        .map_err(|e| (e.code(), e.to_string()))?;
    Ok(())
}

/// What a run's error keeps of the environment it failed in.
pub(crate) fn environment_detail(environment: &EnvironmentRow, cause: Option<&str>) -> Value {
    json!({
        "environment": environment.name,
        "environment_id": environment.id.text(),
        "driver": environment.driver.as_str(),
        "provider": environment.driver.as_str(),
        "cause": cause,
    })
}

/// Step 4: the lease is held; make the workspace.
pub(crate) fn realise(d: &mut Deciding<'_, '_>, run: RunId) {
    if finish::stopped_before_start(d, run) {
        return;
    }
    begin(d, run, Step::Realise, Step::Realise.deadline_ms());
    let Some(row) = d.tx.get::<RunRow>(run).cloned() else { return };
    d.intend(ActionKind::RealiseWorkspace, "run", &run.text(), row.attempt, row.fence, None);
}

/// Step 5: the workspace is there; gather the services.
pub(crate) fn target(d: &mut Deciding<'_, '_>, run: RunId) {
    if finish::stopped_before_start(d, run) {
        return;
    }
    begin(d, run, Step::Target, None);
    write_context(d, run);
    service::gather(d, run);
    target_ready(d, run);
}

/// Goes on to the adapter once every service of the run is ready.
pub(crate) fn target_ready(d: &mut Deciding<'_, '_>, run_id: RunId) {
    let Some(run) = d.tx.get::<RunRow>(run_id).cloned() else { return };
    if run.status != RunStatus::Running || run.step != Some(Step::Target) {
        return;
    }
    let waiting = d
        .state()
        .services_of(run_id)
        .filter_map(|s| d.state().services.get(&s))
        .any(|s| s.status != wharf_model::ServiceStatus::Running);
    if waiting {
        return;
    }
    if finish::stopped_before_start(d, run_id) {
        return;
    }
    let used = d.state().services_of(run_id).count();
    let place = run.environment_id.and_then(|e| d.state().environments.get(&e)).map_or("local", |e| e.driver.as_str());
    let outcome = if used == 0 { place.to_owned() } else { format!("{place}, {used} services") };
    end(d, run_id, Step::Target, StepStatus::Succeeded, outcome);
    write_context(d, run_id);
    ready_comment::tell(d, run_id);
    begin(d, run_id, Step::Execute, None);
    d.intend(ActionKind::SpawnShim, "run", &run_id.text(), run.attempt, run.fence, None);
}

/// The adapter's process runs.
pub(crate) fn started(
    d: &mut Deciding<'_, '_>,
    run_id: RunId,
    attempt: u32,
    child: ChildRef,
    boot_id: &str,
    at: UnixMillis,
    adopted: Option<u64>,
) {
    let Some(run) = current(d, run_id, attempt) else { return };
    let first = run.process_pid.is_none();
    resolve::known(d, run_id);
    d.tx.update::<RunRow>(run_id, |r| {
        r.process_pid = Some(child.pid);
        r.process_group_id = Some(child.pgid);
        r.process_start_ticks = i64::try_from(child.start_ticks).ok();
        r.process_started_at = Some(at);
        r.process_boot_id = Some(boot_id.to_owned());
        r.observation = Observation::Live;
        r.observation_evidence = None;
        if let (true, Some(limit)) = (first, r.timeout_ms)
            && r.stop_requested_at.is_none()
        {
            r.deadline_at = Some(at.plus(limit));
            r.deadline_kind = Some(wharf_model::DeadlineKind::Awake);
        }
    });
    let who = about::run(&run);
    if first {
        d.tx.event(run_id, "lifecycle", "info", format!("process {} started", child.pid), None);
        d.activity(&Actor::system(), "run.started", &who, Some(json!({ "pid": child.pid, "attempt": attempt })));
    }
    if let Some(byte) = adopted {
        let words = format!("adopted alive, process {}; its output continues at byte {byte}", child.pid);
        let details = json!({ "pid": child.pid, "attempt": attempt, "continues_at_byte": byte });
        d.tx.event(run_id, "lifecycle", "info", words, Some(details.clone()));
        d.activity(&Actor::system(), "run.adopted", &who, Some(details));
    }
}

/// The run cannot be judged (with the evidence), or can again.
pub(crate) fn observed(d: &mut Deciding<'_, '_>, run_id: RunId, attempt: u32, unknown: Option<&str>) {
    if current(d, run_id, attempt).is_none() {
        return;
    }
    match unknown {
        Some(why) => resolve::doubt(d, run_id, why),
        None => resolve::known(d, run_id),
    }
}

/// Something that the run's operator should know.
pub(crate) fn noted(d: &mut Deciding<'_, '_>, run_id: RunId, attempt: u32, note: Option<&str>) {
    if let Some(note) = note
        && current(d, run_id, attempt).is_some()
    {
        d.tx.event(run_id, "lifecycle", "warn", note.to_owned(), None);
    }
}

/// Keeps the run's surroundings for people and for the adapter.
fn write_context(d: &mut Deciding<'_, '_>, run_id: RunId) {
    let state = d.state();
    let Some(run) = state.runs.get(&run_id) else { return };
    let environment = run.environment_id.and_then(|e| state.environments.get(&e));
    let lease: Option<&LeaseRow> =
        run.lease_id.and_then(|l| state.leases.get(&l)).filter(|l| l.status == LeaseStatus::Active);
    let at = run.workspace_id.and_then(|w| state.workspaces.get(&w));
    let realised = lease.and_then(|l| l.realisation.as_ref()).and_then(|r| r["result"]["cwd"].as_str());
    let guest_at = state.steps.get(&StepId(run_id, Step::Realise)).and_then(workspace::guest_at);
    let is_guest = guest_at.is_some();
    let there = realised.map(str::to_owned).or(guest_at);
    let source = |w: &WorkspaceRow| {
        let of_row = w.source.map(WorkspaceSource::as_str);
        if is_guest { Some(WorkspaceSource::TaskSession.as_str()) } else { of_row }
    };
    let services: Vec<Value> = state
        .services_of(run_id)
        .filter_map(|s| state.services.get(&s))
        .map(|s| {
            json!({ "id": s.id.text(), "name": s.name, "status": s.status.as_str(), "url": s.url, "port": s.port,
                    "lifecycle": s.lifecycle.as_str(), "reuseKey": s.reuse_key })
        })
        .collect();
    let primary = services.iter().find_map(|s| s["url"].as_str().map(str::to_owned));
    let context = json!({
        "wharfEnvironment": environment.map(|e| json!({
            "id": e.id.text(), "name": e.name, "driver": e.driver.as_str(),
            "leaseId": lease.map(|l| l.id.text()), "leaseFence": lease.and_then(|l| l.fence),
        })),
        "wharfWorkspace": at.map(|w| json!({
            "id": w.id.text(), "cwd": there.clone().or_else(|| w.cwd.clone()), "mode": w.mode.as_str(), "strategy": w.strategy_type.as_str(),
            "branchName": w.branch_name, "baseRef": w.base_ref, "repoRoot": w.repo_root,
            "created": w.created_by_runtime, "source": source(w), "repoUrl": w.repo_url,
        })),
        "wharfWorkspaces": at.map(|w| vec![w.cwd.clone()]).unwrap_or_default(),
        "wharfRuntimeServices": services,
        "wharfRuntimePrimaryUrl": primary,
    });
    d.tx.text(run_id, RunTextKind::ContextSnapshot, context.to_string());
}
