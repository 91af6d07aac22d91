//! What must hold after every commit and once everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use wharf_model::rules::release::{AfterLastUser, ReleaseEffect};
use wharf_model::rules::service_desired::{Does, PROVIDER_ADAPTER, after_last, reconcile};
use wharf_model::rules::service_order::{dependents, needs};
use wharf_model::rules::service_restart::CRASH_LOOP;
use wharf_model::shim::EndedBy;
use wharf_model::state::{AnyRow, Change, State};
use wharf_model::*;

use super::disk::difference;
use super::run::{MACHINE, Sim};
use super::world::{Dir, Owner};

/// What a simulation remembers of its history in order to judge it.
#[derive(Default)]
pub struct Books {
    spawned: BTreeSet<Dir>,
    spawned_twice: Option<Dir>,
    /// Terminal transitions and final records of each run.
    ends: BTreeMap<RunId, (u32, u32)>,
    fences: BTreeMap<EnvironmentId, i64>,
    runs_of_requests: BTreeMap<String, RunId>,
    releases: BTreeMap<RunId, ReleaseEffect>,
    /// The run that follows after a loss, by lineage.
    retries: BTreeMap<RunId, RunId>,
    /// Restarts of each service by its policy, since an operator started it last.
    restarts: BTreeMap<ServiceId, Vec<UnixMillis>>,
    /// How often something worth seeing was seen, so that a quiet simulator is noticed.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Books {
    /// A process tree was made in a directory.
    pub fn spawned(&mut self, dir: Dir) {
        if !self.spawned.insert(dir) {
            self.spawned_twice.get_or_insert(dir);
        }
    }

    /// A config changes: what previews promised by the one before holds no more.
    pub fn config_changes(&mut self) {
        self.releases.clear();
        self.saw("config changed");
    }

    /// The wall clock moved by so much, and the rows with it; or nobody was there to mind it.
    pub fn clock_moved(&mut self, gap: i64) {
        if gap == i64::MAX {
            return self.restarts.clear();
        }
        for at in self.restarts.values_mut().flatten() {
            *at = at.plus(gap);
        }
    }

    pub fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }
}

/// What of an ended run never changes.
fn outcome(run: &RunRow) -> impl PartialEq + std::fmt::Debug + '_ {
    (
        (run.status, run.exit_code, run.signal.as_deref(), run.finished_at, run.stop_reason, run.attempt),
        (run.error_code.as_deref(), run.error.as_deref(), run.lease_id, run.workspace_id, run.liveness_state),
    )
}

impl Sim {
    /// Judges one input's changes against the rows before them.
    pub fn observe(&mut self, changes: &[Change]) -> Result<(), String> {
        for change in changes {
            match change {
                Change::Put { row: AnyRow::Run(run), .. } => self.observe_run(run, changes)?,
                Change::Put { row: AnyRow::Lease(lease), .. } => {
                    let old = self.disk.rows.leases.get(&lease.id).cloned();
                    if old.as_ref().is_some_and(|o| o.status.is_terminal()) {
                        return Err(format!("lease {} ended and changed", lease.number));
                    }
                    self.observe_line(lease)?;
                    if let (None, Some(fence)) = (old.and_then(|o| o.fence), lease.fence) {
                        let last = self.books.fences.insert(lease.environment_id, fence).unwrap_or(0);
                        if fence <= last {
                            return Err(format!("fence {fence} follows {last}"));
                        }
                    }
                }
                Change::Put { row: AnyRow::Request(request), .. } => self.observe_request(request)?,
                Change::Put { row: AnyRow::Wakeup(wakeup), .. } if wakeup.version == 1 => {
                    let request = wakeup.payload.as_ref().and_then(|p| p["request"].as_str()).unwrap_or_default();
                    if let Some(run) = wakeup.run_id.filter(|_| !request.is_empty())
                        && self.books.runs_of_requests.insert(request.to_owned(), run).is_some()
                    {
                        return Err(format!("request {request} made two runs"));
                    }
                }
                Change::Put { row: AnyRow::Action(action), .. } => {
                    if action.kind == ActionKind::StartService && action.version == 1 {
                        self.observe_intended(action, changes)?;
                    }
                    let closed = |s| !matches!(s, ActionStatus::Pending | ActionStatus::Performing);
                    if self.disk.rows.actions.get(&action.id).is_some_and(|o| closed(o.status)) {
                        return Err(format!("action {} ended and changed", action.kind));
                    }
                }
                Change::Put { row: AnyRow::Operation(operation), .. } if operation.version == 1 => {
                    let run = operation.run_id.and_then(|r| self.disk.rows.runs.get(&r));
                    let stops = |c: &Change| matches!(c, Change::Put { row: AnyRow::Action(a), .. } if a.kind == ActionKind::StopShim);
                    if run.is_some_and(|r| r.stop_requested_at.is_some()) && !changes.iter().any(stops) {
                        return Err(format!("operation {} begins after its run was asked to stop", operation.number));
                    }
                }
                Change::Put { row: AnyRow::Service(service), .. } => self.observe_service(service, changes)?,
                Change::Put { row: AnyRow::AgentRuntime(row), .. } => self.observe_session(row)?,
                Change::Event(row) if row.event_type == "late" => {
                    self.books.saw("late fact");
                    let alone =
                        |c: &Change| !matches!(c, Change::Put { row: AnyRow::Run(r), .. } if r.id == row.run_id);
                    if !changes.iter().all(alone) {
                        return Err(format!("a late fact changed {}: {}", row.run_id, row.message));
                    }
                }
                Change::Activity(row) => {
                    let asked = row.details.as_ref().is_some_and(|d| d["asked"] == serde_json::json!(true));
                    let ends = row.action == "run.ended" || (row.action == "run.cancelled" && !asked);
                    if let Some(run) = row.run_id.filter(|_| ends) {
                        self.books.ends.entry(run).or_default().1 += 1;
                    }
                }
                _ => {}
            }
        }
        for (run, (ended, recorded)) in &self.books.ends {
            if *ended != 1 || *recorded != 1 {
                return Err(format!("{run} ended {ended} times with {recorded} final records"));
            }
        }
        Ok(())
    }

    /// A session's directory is kept of runs on this machine alone.
    fn observe_session(&mut self, row: &AgentRuntimeRow) -> Result<(), String> {
        if row.session_id.is_none() {
            return Ok(());
        }
        let rows = &self.disk.rows;
        let said_by = row.state_json["session_said"]["run_id"].as_str().and_then(|id| id.parse::<RunId>().ok());
        let environment = said_by.and_then(|r| rows.runs.get(&r)).and_then(|r| r.environment_id);
        let is_here = environment.and_then(|e| rows.environments.get(&e)).is_some_and(|e| e.driver == Driver::Local);
        if row.state_json["cwd"].is_string() && !is_here {
            return Err(format!("agent {} keeps a directory of another machine", row.agent_id));
        }
        self.books.saw("session said");
        Ok(())
    }

    fn observe_run(&mut self, run: &RunRow, changes: &[Change]) -> Result<(), String> {
        let old = self.disk.rows.runs.get(&run.id);
        if let Some(old) = old.filter(|o| o.status.is_terminal()) {
            if outcome(old) != outcome(run) {
                return Err(format!("ended run changed from {:?} to {:?}", outcome(old), outcome(run)));
            }
            return Ok(());
        }
        if old.is_none() && run.retry_of_run_id.is_some() {
            self.books.saw("followed after a loss");
            if self.books.retries.insert(run.lineage, run.id).is_some() {
                return Err(format!("the lineage of R-{} was followed twice", run.number));
            }
        }
        if !run.status.is_terminal() {
            return Ok(());
        }
        self.books.ends.entry(run.id).or_default().0 += 1;
        self.books.saw(run.status.as_str());
        if run.error.as_ref().is_some_and(|e| e.starts_with("given up")) {
            self.books.saw("given up");
            let forced = |c: &Change| matches!(c, Change::Put { row: AnyRow::Action(a), .. } if a.kind == ActionKind::StopShim && a.args.as_ref().is_some_and(|x| x["force"] == true));
            let right = run.status == RunStatus::Lost && changes.iter().any(forced);
            return if right { Ok(()) } else { Err(format!("R-{} is given up and not stopped", run.number)) };
        }
        if let Some(dir) = self.world.living(Owner::Run, run.id.0).next() {
            return Err(format!("R-{} is recorded as {} while {dir:?} lives", run.number, run.status));
        }
        let expected = self.expected(run);
        if !expected.contains(&run.status) {
            return Err(format!("R-{} is {} and should be one of {expected:?}", run.number, run.status));
        }
        let rows = &self.disk.rows;
        for operation in
            rows.operations.values().filter(|o| o.run_id == Some(run.id) && o.status == OperationStatus::Running)
        {
            let stops = |a: &ActionRow| a.kind == ActionKind::StopShim && a.entity_id == operation.id.text();
            let before = rows.actions.values().any(stops);
            let now = changes.iter().any(|c| matches!(c, Change::Put { row: AnyRow::Action(a), .. } if stops(a)));
            if !before && !now {
                return Err(format!("R-{} ends and operation {} goes on unasked", run.number, operation.number));
            }
        }
        if let Some(effect) = self.books.releases.remove(&run.id) {
            self.books.saw("release carried out");
            self.check_release(run, &effect, changes)?;
        }
        Ok(())
    }

    /// The outcome that contracts 5 give a run, from what its shim knows.
    fn expected(&self, run: &RunRow) -> Vec<RunStatus> {
        use RunStatus::*;
        let asked = run.stop_requested_at.is_some();
        let Some(shim) = self.world.shims.get(&(Owner::Run, run.id.0, run.attempt)) else {
            return match (asked, run.started_at) {
                (true, _) | (false, None) => vec![Cancelled],
                (false, Some(_)) => vec![Failed],
            };
        };
        if shim.lost {
            return vec![Lost];
        }
        let Some(exit) = &shim.exit else { return vec![] };
        if exit.spawn_error.is_some() {
            return vec![if asked { Cancelled } else { Failed }];
        }
        if exit.stop.as_ref().is_some_and(|s| s.delivered) {
            let over = exit.by == EndedBy::Timeout || exit.stop.as_ref().is_some_and(|s| s.reason == "timeout");
            return vec![if over { TimedOut } else { Cancelled }];
        }
        vec![if exit.signal.is_none() && exit.code == Some(0) { Succeeded } else { Failed }]
    }

    fn observe_request(&mut self, request: &RequestRow) -> Result<(), String> {
        let old = self.disk.rows.requests.get(&request.id);
        if old.is_some_and(|o| o.status.is_terminal()) {
            return Err(format!("request {} {} was answered and changed", request.number, request.kind));
        }
        let fresh = old.is_none_or(|o| o.status == RequestStatus::Pending);
        if fresh && request.status != RequestStatus::Pending {
            self.books.saw(match request.status {
                RequestStatus::Refused if request.error_code.as_deref() == Some("changed_since_preview") => {
                    "changed since the preview"
                }
                RequestStatus::Refused => "request refused",
                RequestStatus::Expired => "request expired",
                _ => "request accepted",
            });
        }
        let effect = request.result.as_ref().and_then(|r| r.get("effect")).cloned();
        if let Some(effect) = effect.filter(|_| fresh && request.kind == "lease.release") {
            let effect: ReleaseEffect = serde_json::from_value(effect).map_err(|e| e.to_string())?;
            if let Some(run) = effect.stops_run {
                self.books.releases.insert(run, effect);
            }
        }
        Ok(())
    }

    fn observe_service(&mut self, service: &ServiceRow, changes: &[Change]) -> Result<(), String> {
        let old = self.disk.rows.services.get(&service.id);
        if let Some(old) = old {
            let kept = old.generation == service.generation;
            if !kept && self.world.living(Owner::Service, service.id.0).next().is_some() {
                return Err(format!("S-{} begins again while its process lives", service.number));
            }
        }
        let old_status = old.map(|o| o.status);
        let (old_generation, old_restarts) = old.map_or((0, 0), |o| (o.generation, o.restarts));
        let was_unused = old_status.is_none_or(|s| !s.is_open());
        if service.generation > old_generation {
            self.observe_start(service, old_restarts)?;
        }
        if service.status == ServiceStatus::Backoff {
            self.books.saw("service in backoff");
        }
        if service.error_code.as_deref() == Some(CRASH_LOOP) {
            self.books.saw("service parked");
        }
        if service.provider == PROVIDER_ADAPTER {
            self.books.saw("service reported");
        }
        if service.stop_reason.as_deref() == Some("unhealthy") {
            self.books.saw("service stopped as unhealthy");
        }
        if was_unused && service.status == ServiceStatus::Starting && needs(service).len() > 1 {
            self.books.saw("service with needs");
        }
        if service.status == ServiceStatus::Running && old_status == Some(ServiceStatus::Starting) {
            self.books.saw(if service.generation > 1 { "service ready again" } else { "service ready" });
        }
        if service.status == ServiceStatus::Failed && old_status != Some(ServiceStatus::Failed) {
            self.books.saw("service failed");
        }
        if self.disk.users(service.id).len() > 1 {
            self.books.saw("service shared");
        }
        if service.status == ServiceStatus::Stopping && !self.disk.users(service.id).is_empty() {
            self.books.saw("service stopped in use");
        }
        let old = self.disk.rows.services.get(&service.id);
        let ends = |s: ServiceStatus| matches!(s, ServiceStatus::Stopping | ServiceStatus::Stopped);
        let begins = ends(service.status) && old.is_some_and(|o| !ends(o.status));
        let by_policy = matches!(service.stop_reason.as_deref(), Some("idle" | "unused" | "desired"));
        if begins && by_policy {
            if !self.users_after(service.id, changes).is_empty() {
                return Err(format!("S-{} is stopped as {:?} while it is used", service.number, service.stop_reason));
            }
            let after = |s: &ServiceRow| {
                let changed = changes.iter().find_map(|c| match c {
                    Change::Put { row: AnyRow::Service(row), .. } if row.id == s.id => Some(&**row),
                    _ => None,
                });
                changed.unwrap_or(s).clone()
            };
            let rows: Vec<ServiceRow> = self.disk.rows.services.values().map(after).collect();
            if let Some(other) = dependents(&rows, service.id).next() {
                return Err(format!("S-{} is stopped while S-{} needs it", service.number, other.number));
            }
            self.books.saw("service stopped by its policy");
        }
        Ok(())
    }

    /// A process of a service is intended: everything that it needs runs.
    fn observe_intended(&self, action: &ActionRow, changes: &[Change]) -> Result<(), String> {
        let Ok(id) = action.entity_id.parse::<ServiceId>() else { return Ok(()) };
        let after = |id: ServiceId| {
            let changed = changes.iter().find_map(|c| match c {
                Change::Put { row: AnyRow::Service(row), .. } if row.id == id => Some(&**row),
                _ => None,
            });
            changed.or_else(|| self.disk.rows.services.get(&id))
        };
        let missing = after(id).map(needs).unwrap_or_default();
        let missing = missing.into_iter().filter_map(after).find(|need| need.status != ServiceStatus::Running);
        missing.map_or(Ok(()), |need| {
            Err(format!(
                "{id} is started before S-{} {}, which it needs and is {}",
                need.number, need.name, need.status
            ))
        })
    }

    /// A start: after everything that it needs, and within its budget where nobody asked for it.
    fn observe_start(&mut self, service: &ServiceRow, old_restarts: i64) -> Result<(), String> {
        let all = self.books.restarts.entry(service.id).or_default();
        if service.restarts == 0 {
            if service.restart_times.is_none() {
                all.clear();
            }
            return Ok(());
        }
        if service.restarts != old_restarts + 1 {
            return Err(format!("S-{} counts {} restarts after {old_restarts}", service.number, service.restarts));
        }
        let config: config::ServiceConfig =
            serde_json::from_value(service.config.clone()).map_err(|e| e.to_string())?;
        let now = UnixMillis(self.now().0);
        let all = self.books.restarts.entry(service.id).or_default();
        all.push(now);
        let within = i64::try_from(config.restart.within_ms).unwrap_or(i64::MAX);
        let count = all.iter().filter(|at| **at > now.plus(-within)).count();
        if count > config.restart.max as usize {
            return Err(format!("S-{} was restarted {count} times within {within} ms", service.number));
        }
        self.books.saw("service restarted");
        Ok(())
    }

    fn users_after(&self, service: ServiceId, changes: &[Change]) -> BTreeSet<RunId> {
        let mut users: BTreeSet<RunId> = self.disk.users(service).into_iter().collect();
        for change in changes {
            match change {
                Change::UserAdded(user) if user.service_id == service => {
                    users.insert(user.run_id);
                }
                Change::UserRemoved { service: of, run } if *of == service => {
                    users.remove(run);
                }
                _ => {}
            }
        }
        users
    }

    /// What was promised by the preview is what happens when the run ends.
    fn check_release(&self, run: &RunRow, effect: &ReleaseEffect, changes: &[Change]) -> Result<(), String> {
        let service_after = |id: ServiceId| {
            let changed = changes.iter().find_map(|c| match c {
                Change::Put { row: AnyRow::Service(s), .. } if s.id == id => Some(&**s),
                _ => None,
            });
            changed.or_else(|| self.disk.rows.services.get(&id))
        };
        if run.stop_requested_at.is_none() {
            return Err(format!("the release of R-{} did not ask it to stop", run.number));
        }
        let live = |s: &ServiceRow| matches!(s.status, ServiceStatus::Starting | ServiceStatus::Running);
        for id in &effect.stops_services {
            if self.users_after(*id, changes).is_empty() && service_after(*id).is_some_and(live) {
                return Err(format!("the preview said that {id} stops, and it does not"));
            }
        }
        for id in &effect.idles_services {
            let idle = service_after(*id).is_none_or(|s| !live(s) || s.idle_deadline_at.is_some());
            if self.users_after(*id, changes).is_empty() && !idle {
                return Err(format!("the preview said that {id} begins its idle time, and it does not"));
            }
        }
        for id in &effect.keeps_services {
            let before = self.disk.rows.services.get(id).is_some_and(live);
            let manual = self.disk.rows.services.get(id).is_some_and(|s| after_last(s) == AfterLastUser::Keep);
            let kept = manual || !self.users_after(*id, changes).is_empty();
            if kept && before && !service_after(*id).is_some_and(live) {
                return Err(format!("the preview said that {id} stays, and it stops"));
            }
        }
        if let Some(workspace) = effect.keeps_workspace {
            let there =
                self.disk.rows.workspaces.get(&workspace).is_some_and(|w| w.status != WorkspaceStatus::Archived);
            if !there {
                return Err("the preview said that the workspace stays".into());
            }
        }
        Ok(())
    }

    /// Judges the rows as they are committed.
    pub fn check_commit(&self) -> Result<(), String> {
        let rows = &self.disk.rows;
        if let Some(dir) = self.books.spawned_twice {
            return Err(format!("{dir:?} was used twice"));
        }
        let running: Vec<&RunRow> = rows.runs.values().filter(|r| r.status == RunStatus::Running).collect();
        if running.len() as i64 > MACHINE {
            return Err(format!("{} runs at once on a machine for {MACHINE}", running.len()));
        }
        let mut agents: BTreeMap<AgentId, i64> = BTreeMap::new();
        let mut issues: BTreeSet<IssueId> = BTreeSet::new();
        let mut checkouts: BTreeSet<ProjectId> = BTreeSet::new();
        for run in &running {
            *agents.entry(run.agent_id).or_default() += 1;
            if let Some(issue) = run.issue_id {
                if !issues.insert(issue) {
                    return Err(format!("two runs work on issue {issue}"));
                }
                if rows.issues.get(&issue).and_then(|i| i.execution_run_id) != Some(run.id) {
                    return Err(format!("R-{} runs without its issue's lock", run.number));
                }
            }
            let serial = rows.projects.get(&run.project_id).is_some_and(|p| p.key == "SHARE");
            if serial && !checkouts.insert(run.project_id) {
                return Err("two runs work in one shared checkout".into());
            }
        }
        for (agent, count) in agents {
            let limit = rows.agents.get(&agent).map_or(0, |a| a.concurrent_runs);
            if count > limit {
                return Err(format!("{count} runs at once of an agent that may run {limit}"));
            }
        }
        for issue in rows.issues.values() {
            if let Some(run) = issue.execution_run_id
                && !issues.contains(&issue.id)
            {
                return Err(format!("{} is locked by {run}, which does not run", issue.identifier));
            }
        }
        let mut held: BTreeSet<(Option<RunId>, EnvironmentId)> = BTreeSet::new();
        for lease in rows.leases.values().filter(|l| !l.status.is_terminal()) {
            if !held.insert((lease.run_id, lease.environment_id)) {
                return Err(format!("a run has two open leases, one is L-{}", lease.number));
            }
            let lives = lease.run_id.is_some_and(|r| rows.runs.get(&r).is_some_and(|r| r.status == RunStatus::Running));
            if lease.status == LeaseStatus::Active && !lives {
                return Err(format!("L-{} is active and its run has ended", lease.number));
            }
        }
        for (service, run) in &rows.users {
            if rows.runs.get(run).is_none_or(|r| r.status != RunStatus::Running) {
                return Err(format!("{run} has ended and still uses {service}"));
            }
        }
        let mut keys: BTreeSet<(String, ProjectId)> = BTreeSet::new();
        for ((owner, id, number), _) in self.world.shims.iter().filter(|(_, s)| s.alive) {
            // One that was given up is about to be ended by force.
            let ending = rows.actions.values().any(|a| {
                a.kind == ActionKind::StopShim
                    && a.entity_id == id.to_string()
                    && a.args.as_ref().is_some_and(|x| x["force"] == true)
                    && matches!(a.status, ActionStatus::Pending | ActionStatus::Performing)
            });
            let known = match owner {
                Owner::Run if ending => true,
                Owner::Run => rows.runs.get(&RunId(*id)).is_some_and(|r| {
                    r.status == RunStatus::Running && r.attempt == *number && r.step == Some(Step::Execute)
                }),
                Owner::Service => {
                    rows.services.get(&ServiceId(*id)).is_some_and(|s| s.status.is_live() && s.generation == *number)
                }
                Owner::Operation => rows.operations.contains_key(&OperationId(*id)),
            };
            if *owner == Owner::Service
                && let Some(service) = rows.services.get(&ServiceId(*id))
                && !keys.insert((service.reuse_key.clone().unwrap_or_else(|| service.id.text()), service.project_id))
            {
                return Err(format!("two processes of S-{} {} live at once", service.number, service.name));
            }
            if !known {
                return Err(format!("{owner:?} {id} {number} lives and no row says so"));
            }
        }
        Ok(())
    }

    /// Nothing waits that could go on, and nothing is overdue that nobody looks at.
    pub fn check_waiting(&self) -> Result<(), String> {
        if self.memory.is_none() {
            return Ok(());
        }
        let rows = &self.disk.rows;
        let running: Vec<&RunRow> = rows.runs.values().filter(|r| r.status == RunStatus::Running).collect();
        let full = running.len() as i64 >= MACHINE;
        for run in rows.runs.values().filter(|r| r.status == RunStatus::Queued && !full) {
            let limit = rows.agents.get(&run.agent_id).map_or(0, |a| a.concurrent_runs);
            let serial = rows.projects.get(&run.project_id).is_some_and(|p| p.key == "SHARE");
            let busy = running.iter().filter(|r| r.agent_id == run.agent_id).count() as i64 >= limit
                || running.iter().any(|r| run.issue_id.is_some() && r.issue_id == run.issue_id)
                || running.iter().any(|r| serial && r.project_id == run.project_id);
            if !busy {
                return Err(format!("R-{} waits and nothing is in its way", run.number));
            }
        }
        let late = |at: Option<UnixMillis>| at.is_some_and(|at| at < self.now().plus(-1));
        for lease in rows.leases.values().filter(|l| !l.status.is_terminal()) {
            let doubted = lease.status == LeaseStatus::Active
                && lease.run_id.and_then(|r| rows.runs.get(&r)).is_some_and(|r| r.observation == Observation::Unknown);
            if !doubted && (late(lease.deadline_at) || late(lease.next_try_at)) {
                return Err(format!(
                    "L-{} is {} and overdue since {:?}",
                    lease.number, lease.status, lease.deadline_at
                ));
            }
        }
        self.check_slots()?;
        for workspace in rows.workspaces.values().filter(|w| w.status == WorkspaceStatus::Realising) {
            // Its run's step keeps the time; a second run may come to it later.
            let made = running.iter().any(|r| r.workspace_id == Some(workspace.id) && r.step == Some(Step::Realise));
            let restores = |a: &ActionRow| {
                a.kind == ActionKind::RestoreWorkspace
                    && a.entity_id == workspace.id.text()
                    && matches!(a.status, ActionStatus::Pending | ActionStatus::Performing)
            };
            if !made && !rows.actions.values().any(restores) {
                return Err(format!("W-{} is realising and no run makes it", workspace.number));
            }
        }
        for action in rows.actions.values() {
            if !matches!(action.status, ActionStatus::Pending | ActionStatus::Performing)
                || matches!(action.kind, ActionKind::SealLog | ActionKind::DeleteLog)
            {
                continue;
            }
            let id = action.entity_id.parse::<uuid::Uuid>().unwrap_or_default();
            let over = match action.entity_type.as_str() {
                "run" => rows.runs.get(&RunId(id)).is_none_or(|r| r.status.is_terminal()),
                "lease" => rows.leases.get(&LeaseId(id)).is_none_or(|l| l.status.is_terminal()),
                "service" => rows
                    .services
                    .get(&ServiceId(id))
                    .is_none_or(|s| !s.status.is_live() || s.generation != action.attempt),
                "operation" => {
                    rows.operations.get(&OperationId(id)).is_none_or(|o| o.status != OperationStatus::Running)
                }
                "workspace" => !rows.workspaces.contains_key(&WorkspaceId(id)),
                // A name and no row: while it is being removed, a row must know it.
                "trash" => !rows.workspaces.values().any(|w| {
                    let name = id.to_string();
                    wharf_model::rules::trash::items(w).iter().any(|item| item.name() == name)
                }),
                "snapshot" => rows.snapshots.get(&SnapshotId(id)).is_none_or(|s| s.status != SnapshotStatus::Kept),
                _ => true,
            };
            // What is stopped by force is what the ended one has left.
            let forced = action.args.as_ref().is_some_and(|a| a["force"] == true);
            if over && !forced {
                return Err(format!("{} of {} {id} is open though that has ended", action.kind, action.entity_type));
            }
        }
        let mut releases: BTreeSet<&str> = BTreeSet::new();
        self.check_workspaces()?;
        for action in rows.actions.values().filter(|a| a.kind == ActionKind::ReleaseLease) {
            let open = matches!(action.status, ActionStatus::Pending | ActionStatus::Performing);
            if open && !releases.insert(&action.entity_id) {
                return Err(format!("lease {} is released twice at once", action.entity_id));
            }
        }
        let mut said: BTreeSet<Option<RunId>> = BTreeSet::new();
        for comment in self.disk.comments.iter().filter(|c| c.author_type == "agent") {
            if !said.insert(comment.run_id) {
                return Err(format!("what {:?} said once was taken twice", comment.run_id));
            }
        }
        Ok(())
    }

    /// Memory holds what a new reign would load.
    pub fn check_memory(&self) -> Result<(), String> {
        let Some(memory) = &self.memory else { return Ok(()) };
        if !self.steps.is_multiple_of(7) {
            return Ok(());
        }
        self.compare(memory)
    }

    /// Memory against the store; a request that nobody has read yet is in the store only.
    fn compare(&self, memory: &State) -> Result<(), String> {
        let mut stored = self.disk.load();
        stored.requests.retain(|id, r| r.status != RequestStatus::Pending || memory.requests.contains_key(id));
        difference(memory, &stored).map_or(Ok(()), Err)
    }

    /// Nothing is left over once nobody asks any more and every process has had its time.
    pub fn check_rest(&self) -> Result<(), String> {
        let rows = &self.disk.rows;
        self.check_commit()?;
        if let Some(memory) = &self.memory {
            self.compare(memory)?;
        }
        let parked = |id: &RunId| rows.leases.values().any(|l| l.run_id == Some(*id) && !l.status.is_terminal());
        let kept = self.memory.as_ref().and_then(|m| m.runs.keys().find(|id| !parked(id)));
        if let Some(run) = kept {
            return Err(format!("memory keeps {run}, which has ended"));
        }
        let own = self.memory.as_ref().map_or(0, |m| {
            m.services.values().filter(|s| s.scope_type == ReuseScope::Run && !s.status.is_live()).count()
        });
        if own > 0 {
            return Err(format!("memory keeps {own} services of runs that have ended"));
        }
        for run in rows.runs.values() {
            if !run.status.is_terminal() {
                let (step, deadline, seen) = (run.step, run.deadline_at, run.observation);
                return Err(format!("R-{} is stuck: {} {step:?} {deadline:?} {seen}", run.number, run.status));
            }
        }
        for step in rows.steps.values() {
            if matches!(step.status, StepStatus::Pending | StepStatus::Running) {
                return Err(format!("step {} of ended {} is {}", step.step, step.run_id, step.status));
            }
        }
        if let Some(wakeup) = rows.wakeups.values().find(|w| w.finished_at.is_none()) {
            return Err(format!("wake {} is {} and its run has ended", wakeup.id, wakeup.status));
        }
        for lease in rows.leases.values().filter(|l| !l.status.is_terminal()) {
            let parked = lease.status == LeaseStatus::PendingCleanup && lease.next_try_at.is_none();
            if !parked {
                return Err(format!("L-{} is {} and has no holder", lease.number, lease.status));
            }
        }
        self.check_places()?;
        self.check_workspaces_at_rest()?;
        if let Some(request) = rows.requests.values().find(|r| !r.status.is_terminal()) {
            return Err(format!("request {} {} is {} for ever", request.number, request.kind, request.status));
        }
        for action in rows.actions.values() {
            // Its executor keeps watch as long as the service lives.
            let serves = action.kind == ActionKind::StartService
                && action
                    .entity_id
                    .parse::<ServiceId>()
                    .ok()
                    .and_then(|s| rows.services.get(&s))
                    .is_some_and(|s| s.status == ServiceStatus::Running && s.generation == action.attempt);
            if serves {
                continue;
            }
            if matches!(action.status, ActionStatus::Pending | ActionStatus::Performing) {
                let (kind, entity, id) = (action.kind, &action.entity_type, &action.entity_id);
                return Err(format!("{kind} of {entity} {id} is {} for ever", action.status));
            }
        }
        if let Some(operation) = rows.operations.values().find(|o| o.status == OperationStatus::Running) {
            return Err(format!("operation {} runs for ever", operation.number));
        }
        for workspace in rows.workspaces.values() {
            if matches!(workspace.status, WorkspaceStatus::Active | WorkspaceStatus::Realising) {
                return Err(format!("W-{} is {} and nobody works in it", workspace.number, workspace.status));
            }
        }
        if let Some(agent) = rows.agents.values().find(|a| a.status == AgentStatus::Running) {
            return Err(format!("agent {} is running and has no run", agent.name));
        }
        for service in rows.services.values() {
            let alive = self.world.living(Owner::Service, service.id.0).next().is_some();
            let needed = dependents(rows.services.values(), service.id).next().is_some();
            let keeps = after_last(service) == AfterLastUser::Keep || needed;
            if service.provider == PROVIDER_ADAPTER {
                if service.status.is_open() {
                    return Err(format!("S-{} was reported by a run that has ended", service.number));
                }
                continue;
            }
            let place = match service.scope_type {
                ReuseScope::ExecutionWorkspace => service.scope_id.parse().ok(),
                ReuseScope::Agent => service.execution_workspace_id,
                ReuseScope::ProjectWorkspace | ReuseScope::Run => None,
            };
            // What is archived stays here, and leaves memory.
            let is_gone = |w: &WorkspaceRow| {
                matches!(w.status, WorkspaceStatus::Archived | WorkspaceStatus::Archiving | WorkspaceStatus::Missing)
            };
            let nowhere = place.is_some_and(|id: WorkspaceId| rows.workspaces.get(&id).is_none_or(is_gone));
            let off = service.config["disabled"].is_string() || nowhere;
            let apart = reconcile(service, needed, off);
            if apart != Does::Nothing {
                return Err(format!(
                    "S-{} {} is {} and meant to be {}",
                    service.number, service.name, service.status, service.desired
                ));
            }
            let right = match service.status {
                ServiceStatus::Starting | ServiceStatus::Stopping | ServiceStatus::Backoff => false,
                ServiceStatus::Running => alive && (keeps || service.started_by_run_id.is_none()),
                ServiceStatus::Stopped | ServiceStatus::Failed => !alive,
            };
            if !right {
                let (number, status, by) = (service.number, service.status, service.started_by_run_id);
                return Err(format!("S-{number} {} is {status}, alive {alive}, started by {by:?}", service.name));
            }
        }
        for ((owner, id, _), _) in self.world.shims.iter().filter(|(_, s)| s.alive) {
            if *owner != Owner::Service {
                return Err(format!("{owner:?} {id} lives on"));
            }
        }
        Ok(())
    }
}
