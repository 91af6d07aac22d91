//! A core on a bench: one input after the other, no chance, no crash.

use serde_json::{Value, json};
use uuid::Uuid;
use wharf_model::shim::{ChildRef, ExitFrame};
use wharf_model::state::{Change, State};
use wharf_model::*;

use super::setup;
use crate::dispatch::decide::decide;
use crate::dispatch::input::{Fact, Input, PlannedWorkspace, Prepared, RunOutput};

/// The core with its state and a clock that is set by hand.
pub struct Bench {
    pub state: State,
    pub now: UnixMillis,
    pub changes: Vec<Change>,
    ids: u128,
    requests: i64,
}

impl Bench {
    /// All projects accepted, machine limit `limit`.
    pub fn new(limit: i64) -> Self {
        let state = State { concurrent_runs: limit, epoch: 1, ..State::default() };
        let mut bench = Self { state, now: UnixMillis(1_000_000), changes: Vec::new(), ids: 0, requests: 0 };
        for key in setup::PROJECTS {
            let row = bench.request("config.accept", |_| {});
            bench.decide(&Input::Request(Box::new(row), setup::prepared(key)));
        }
        bench
    }

    fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    /// Decides one input; a defect fails the test.
    pub fn decide(&mut self, input: &Input) {
        let mut ids = self.ids;
        let (decided, defect) = decide(&mut self.state, input, self.now, &mut || {
            ids += 1;
            Uuid::from_u128(ids)
        });
        self.ids = ids;
        assert_eq!(defect, None, "{input:?}");
        self.changes = decided.changes;
    }

    /// Decides a fact.
    pub fn fact(&mut self, fact: Fact) {
        self.decide(&Input::Fact(fact));
    }

    /// Lets time pass and sweeps.
    pub fn wait(&mut self, ms: i64) {
        self.now = self.now.plus(ms);
        self.decide(&Input::Sweep);
    }

    /// A request's row.
    pub fn request(&mut self, kind: &str, change: impl FnOnce(&mut RequestRow)) -> RequestRow {
        self.requests += 1;
        let mut row = setup::request(RequestId(self.id()), self.requests, kind, self.now);
        change(&mut row);
        row
    }

    /// Asks for something and gives the row as it was answered.
    pub fn ask(&mut self, kind: &str, target: &str, args: Value) -> RequestRow {
        let row = self.request(kind, |r| {
            r.target_id = Some(target.to_owned());
            r.args = args;
        });
        self.decide(&Input::Request(Box::new(row.clone()), Prepared::Nothing));
        self.state.requests.get(&row.id).cloned().unwrap()
    }

    pub fn agent(&self, name: &str) -> AgentId {
        self.state.agents.values().find(|a| a.name == name).unwrap().id
    }

    /// Starts a run of an agent.
    pub fn start(&mut self, agent: &str, issue: Option<&str>) -> RunId {
        let agent = self.agent(agent).text();
        let row = self.ask("run.start", &agent, issue.map_or(json!({}), |i| json!({ "issue": i })));
        row.result.unwrap_or_else(|| panic!("refused: {:?}", row.error))["run_id"].as_str().unwrap().parse().unwrap()
    }

    /// Makes an issue in a project.
    pub fn issue(&mut self, key: &str, priority: &str) -> String {
        let project = setup::config(key).project_uuid.text();
        let row = self.ask("issue.create", &project, json!({ "title": "x", "priority": priority }));
        row.result.unwrap()["issue"].as_str().unwrap().to_owned()
    }

    pub fn run(&self, id: RunId) -> &RunRow {
        &self.state.runs[&id]
    }

    pub fn status(&self, id: RunId) -> RunStatus {
        self.run(id).status
    }

    /// The open action of a kind about an entity.
    pub fn action(&self, kind: ActionKind, entity: &str) -> Option<ActionId> {
        let open = |a: &&ActionRow| matches!(a.status, ActionStatus::Pending | ActionStatus::Performing);
        self.state.actions.values().filter(open).find(|a| a.kind == kind && a.entity_id == entity).map(|a| a.id)
    }

    /// The driver grants the run's lease.
    pub fn grant(&mut self, run: RunId) {
        let lease = self.run(run).lease_id.unwrap();
        let action = self.action(ActionKind::AcquireLease, &lease.text()).unwrap();
        let fact = Fact::LeaseAcquired {
            action,
            lease,
            provider_lease_id: None,
            expires_at: None,
            facts: serde_json::Value::Null,
            provider: "local".into(),
            resumed: false,
        };
        self.fact(fact);
    }

    /// The run's workspace is planned and made.
    pub fn make_workspace(&mut self, run: RunId, cwd: &str) {
        let action = self.action(ActionKind::RealiseWorkspace, &run.text()).unwrap();
        let plan = PlannedWorkspace {
            mode: WorkspaceMode::IsolatedWorkspace,
            strategy: WorkspaceStrategy::GitWorktree,
            name: cwd.into(),
            cwd: cwd.into(),
            worktree: None,
            source: WorkspaceSource::ProjectWorkspace,
            repo_url: None,
            repo_root: None,
            branch: None,
            base_ref: None,
            base_commit: None,
            reused: false,
            remark: None,
        };
        self.fact(Fact::WorkspacePlanned { run, attempt: 1, plan: Box::new(plan) });
        self.fact(Fact::WorkspaceRealised {
            action,
            run,
            attempt: 1,
            cwd: cwd.into(),
            created: true,
            branch_created: true,
            base: None,
            note: String::new(),
            realisation: None,
        });
    }

    /// Brings a run of an agent to the adapter's start; the services it uses are made ready.
    pub fn executing(&mut self, agent: &str, issue: Option<&str>) -> RunId {
        let run = self.start(agent, issue);
        self.grant(run);
        let cwd = format!("/w/{run}");
        self.make_workspace(run, &cwd);
        self.ready_all();
        assert_eq!(self.run(run).step, Some(Step::Execute));
        let child = ChildRef { pid: 7, start_ticks: 7, pgid: 7, sid: 7 };
        let at = self.now;
        self.fact(Fact::RunStarted { run, attempt: 1, child, boot_id: "b".into(), at, adopted: None, limits: None });
        run
    }

    /// The same for an agent whose services need others; they become ready in this order.
    pub fn executing_with(&mut self, agent: &str, order: &[&str]) -> RunId {
        let run = self.start(agent, None);
        self.grant(run);
        let cwd = format!("/w/{run}");
        self.make_workspace(run, &cwd);
        for name in order {
            let (service, generation) = (self.service(name).id, self.service(name).generation);
            self.fact(Fact::ServiceReady { service, generation });
        }
        assert_eq!(self.run(run).step, Some(Step::Execute));
        let child = ChildRef { pid: 7, start_ticks: 7, pgid: 7, sid: 7 };
        let at = self.now;
        self.fact(Fact::RunStarted { run, attempt: 1, child, boot_id: "b".into(), at, adopted: None, limits: None });
        run
    }

    /// Every service that starts becomes ready.
    pub fn ready_all(&mut self) {
        let starting: Vec<(ServiceId, u32)> = self
            .state
            .services
            .values()
            .filter(|s| s.status == ServiceStatus::Starting)
            .map(|s| (s.id, s.generation))
            .collect();
        for (service, generation) in starting {
            self.fact(Fact::ServiceReady { service, generation });
        }
    }

    pub fn service(&self, name: &str) -> &ServiceRow {
        self.state.services.values().filter(|s| s.name == name).max_by_key(|s| s.number).unwrap()
    }

    /// A service's process ends.
    pub fn service_ends(&mut self, name: &str, code: Option<i32>) {
        let (service, generation) = (self.service(name).id, self.service(name).generation);
        let action = self.action(ActionKind::StartService, &service.text()).unwrap_or(ActionId::NIL);
        let exit = code.map(|code| {
            let mut exit = super::world::spawn_failed(self.now.0);
            exit.spawn_error = None;
            exit.code = Some(code);
            Box::new(exit)
        });
        let lost = exit.is_none();
        let code = lost.then(|| "process_lost".to_owned());
        self.fact(Fact::ServiceEnded { action, service, generation, exit, code, message: None });
    }

    /// The run's adapter ends with this frame.
    pub fn ends(&mut self, run: RunId, exit: ExitFrame) {
        let action = self.action(ActionKind::SpawnShim, &run.text()).unwrap();
        let exit = Box::new(exit);
        self.fact(Fact::RunEnded { action, run, attempt: 1, exit, output: RunOutput::default(), collected: None });
    }

    /// The lease that a run has or had.
    pub fn lease(&self, run: RunId) -> &LeaseRow {
        &self.state.leases[&self.run(run).lease_id.unwrap()]
    }
}

/// An exit frame with the facts that decide an outcome.
pub fn exit(code: Option<i32>, signal: Option<&str>, by: shim::EndedBy, stop: Option<(&str, bool)>) -> ExitFrame {
    let mut exit = super::world::spawn_failed(1_000_000);
    exit.spawn_error = None;
    exit.code = code;
    exit.signal = signal.map(str::to_owned);
    exit.by = by;
    exit.stop = stop.map(|(reason, delivered)| shim::StopReport {
        reason: reason.into(),
        asked_ms: 0,
        delivered,
        killed: 0,
        survivors: Vec::new(),
    });
    exit
}
