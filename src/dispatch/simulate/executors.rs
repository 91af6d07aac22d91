//! What executors do with an action, and what processes do by themselves.

use wharf_model::rules::running_job;
use wharf_model::shim::EndedBy;
use wharf_model::{
    ActionKind, ActionRow, ActionStatus, Health, OperationId, OperationPhase, OperationStatus, RunId, ServiceId,
    ServiceStatus, WorkspaceMode, WorkspaceSource, WorkspaceStrategy,
};

use super::run::Sim;
use super::world::{Dir, Event, How, Owner, Shim, Stage, Stop, Task, WorkspaceStage, exit_frame, spawn_failed, text};
use crate::dispatch::input::{Fact, OperationEnd, PlannedOperation, PlannedWorkspace, RunOutput};
use crate::dispatch::perform::SealPart;

impl Sim {
    /// Hands an action to its executor.
    pub fn perform(&mut self, action: &ActionRow) {
        let id = action.entity_id.as_str();
        let run = id.parse::<RunId>().ok();
        let task = match action.kind {
            ActionKind::AcquireLease
            | ActionKind::ReleaseLease
            | ActionKind::DestroyLease
            | ActionKind::ExtendLease
            | ActionKind::ObserveLease => self.of_lease(action),
            ActionKind::SpawnShim => run.and_then(|run| {
                let row = self.memory.as_ref()?.runs.get(&run)?;
                Some(Task::Spawn {
                    action: action.id,
                    run,
                    attempt: action.attempt,
                    stop_asked: row.stop_requested_at.is_some(),
                    timeout_ms: row.timeout_ms,
                    grace_ms: row.grace_ms,
                })
            }),
            ActionKind::StopShim => {
                Owner::parse(&action.entity_type).zip(id.parse().ok()).map(|(owner, id)| Task::Stop {
                    action: action.id,
                    dir: (owner, id, action.attempt),
                    reason: text(action.args.as_ref(), "reason"),
                    grace_ms: action.args.as_ref().and_then(|a| a["grace_ms"].as_i64()).unwrap_or(15_000),
                    force: action.args.as_ref().is_some_and(|a| a["force"] == true),
                })
            }
            ActionKind::RealiseWorkspace => {
                run.map(|run| Task::Realise { action: action.id, run, attempt: action.attempt, stage: Stage::Plan })
            }
            ActionKind::StartService => id.parse::<ServiceId>().ok().map(|service| Task::Serve {
                action: action.id,
                service,
                generation: action.attempt,
                stopping: self
                    .memory
                    .as_ref()
                    .and_then(|m| m.services.get(&service))
                    .is_some_and(|s| s.status == ServiceStatus::Stopping),
            }),
            // Nobody asks for one in a simulation.
            ActionKind::BackupStore | ActionKind::Probe | ActionKind::TestEnvironment => None,
            ActionKind::RemoveWorkspace
            | ActionKind::SnapshotWorkspace
            | ActionKind::RestoreWorkspace
            | ActionKind::RunJob
            | ActionKind::EmptyTrash => Some(Task::Workspace { action: action.id, stage: WorkspaceStage::Begin }),
            ActionKind::DeleteLog => Some(Task::Delete { action: action.id }),
            ActionKind::SealLog if action.entity_type != "run" => Some(Task::Pack { action: action.id }),
            ActionKind::SealLog => run.map(|run| Task::Seal { action: action.id, run, part: SealPart::of(action) }),
        };
        let Some(task) = task else { return };
        let pause =
            if self.chaos && self.rng.permille(50) { self.rng.range(1_000, 400_000) } else { self.rng.range(0, 800) };
        self.after(pause, Event::Task { reign: self.reign, task });
    }

    pub(super) fn tell(&mut self, fact: Fact) {
        self.tell_then(fact, None);
    }

    pub(super) fn tell_then(&mut self, fact: Fact, then: Option<Task>) {
        let pause = self.rng.range(0, 100);
        self.after(pause, Event::Tell { reign: self.reign, fact: Box::new(fact), then });
    }

    pub(super) fn unlucky(&mut self, chance: u64) -> bool {
        self.chaos && self.rng.permille(chance)
    }

    /// One step of an executor.
    pub fn work(&mut self, task: Task) {
        match task {
            Task::Acquire { action, lease, resumes, remote } => self.acquire(action, lease, resumes, remote),
            Task::Release { action, lease, place, keep } => self.release(action, lease, place, keep),
            Task::Extend { action, lease, place, until } => self.extend(action, lease, place, until),
            Task::Observe { action, lease, place } => self.observe_place(action, lease, place),
            Task::Spawn { action, run, attempt, stop_asked, timeout_ms, grace_ms } => {
                self.spawn(action, run, attempt, stop_asked, timeout_ms, grace_ms);
            }
            Task::Stop { action, dir, force: true, .. } => self.stop_by_force(action, dir),
            Task::Stop { action, dir, reason, grace_ms, force: false } => self.stop(action, dir, reason, grace_ms),
            Task::Realise { action, run, attempt, stage } => self.realise(action, run, attempt, stage),
            Task::Serve { action, service, generation, stopping } => self.serve(action, service, generation, stopping),
            Task::Workspace { action, stage } => self.of_workspace(action, stage),
            Task::Delete { action } => self.tell(Fact::ActionDone { action }),
            Task::Pack { action } => {
                let fact = if self.unlucky(100) {
                    Fact::ActionFailed { action, error: "disk full".into() }
                } else {
                    Fact::ActionDone { action }
                };
                self.tell(fact);
            }
            Task::Seal { action, run, part } => {
                let fact = if self.unlucky(100) {
                    Fact::ActionFailed { action, error: "disk full".into() }
                } else if part == SealPart::Compress {
                    Fact::LogCompressed { action, run }
                } else if part == SealPart::RemoveOld {
                    Fact::ActionDone { action }
                } else {
                    let hash = "0".repeat(64);
                    Fact::LogSealed {
                        action,
                        run,
                        log_sha256: hash.clone(),
                        stdout_sha256: hash.clone(),
                        stderr_sha256: hash,
                        log_bytes: if self.rng.permille(500) { 10 } else { 1 << 20 },
                    }
                };
                self.tell(fact);
            }
        }
    }

    pub(super) fn new_shim(&mut self, action: wharf_model::ActionId) -> Shim {
        Shim {
            alive: true,
            deaf: self.rng.permille(250),
            will_end: false,
            exit: None,
            lost: false,
            stop: None,
            watch: Some((self.reign, action)),
            prepares: None,
            ready: false,
            hangs_until: None,
            started_ms: self.now().0,
        }
    }

    fn spawn(
        &mut self,
        action: wharf_model::ActionId,
        run: RunId,
        attempt: u32,
        stop_asked: bool,
        timeout_ms: Option<i64>,
        grace_ms: i64,
    ) {
        let dir = (Owner::Run, run.0, attempt);
        if self.world.shims.contains_key(&dir) {
            return self.adopt(dir, action);
        }
        if stop_asked || self.world.forbidden.contains(&dir) {
            let message = "it was stopped before it was started".into();
            return self.tell(Fact::RunNotStarted { action, run, attempt, code: "cancelled".into(), message });
        }
        if self.unlucky(50) {
            let message = "no such directory".into();
            return self.tell(Fact::RunNotStarted { action, run, attempt, code: "cwd_missing".into(), message });
        }
        if self.unlucky(80) {
            return self.tell(Fact::ActionFailed { action, error: "no process could be made".into() });
        }
        self.books.spawned(dir);
        let mut shim = self.new_shim(action);
        if self.unlucky(40) {
            shim.alive = false;
            shim.exit = Some(spawn_failed(self.now().0));
            self.world.shims.insert(dir, shim);
            return self.report_end(dir);
        }
        self.fate(dir, &mut shim);
        self.world.shims.insert(dir, shim);
        if let Some(limit) = timeout_ms {
            self.after(limit, Event::TimeOver { dir, grace_ms });
        }
        self.tell_started(dir, false);
        if self.unlucky(200) {
            let kind = self.rng.pick(&["comment", "next_action", "report_service", "session"]).unwrap_or("comment");
            let body = match kind {
                "session" => serde_json::json!({ "id": "s-1", "cwd": "/p/SHARE/deep" }),
                _ => serde_json::json!({ "text": "well", "name": "theirs", "port": 4000 }),
            };
            let fact = Fact::AgentSaid { run, attempt, seq: 1, message_id: "m1".into(), kind: kind.into(), body };
            let pause = self.rng.range(0, 5_000);
            self.after(pause, Event::Tell { reign: self.reign, fact: Box::new(fact), then: None });
        }
    }

    /// How a child would end if nobody stops it.
    pub(super) fn fate(&mut self, dir: Dir, shim: &mut Shim) {
        if self.chaos && self.rng.permille(120) {
            return; // Never by itself.
        }
        let ms = if self.rng.permille(100) { self.rng.range(60_000, 600_000) } else { self.rng.range(10, 20_000) };
        if self.unlucky(70) {
            self.after(ms, Event::ShimDies { dir });
        } else {
            let how = match self.rng.below(10) {
                0 | 1 => How::Code(1),
                2 if self.chaos => How::Signal("SIGSEGV", false),
                3 if self.chaos => How::Signal("SIGKILL", true),
                _ => How::Code(0),
            };
            self.after(ms, Event::ChildEnds { dir, how });
        }
        shim.will_end = true;
    }

    fn tell_started(&mut self, dir: Dir, adopted: bool) {
        let child = self.world.child();
        let at = self.now();
        let fact = match dir.0 {
            Owner::Run => Fact::RunStarted {
                run: RunId(dir.1),
                attempt: dir.2,
                child,
                boot_id: "boot".into(),
                at,
                adopted: adopted.then_some(7),
                limits: None,
            },
            Owner::Service => Fact::ServiceStarted {
                service: ServiceId(dir.1),
                generation: dir.2,
                child,
                port: None,
                url: None,
                fingerprint: None,
                adopted,
            },
            Owner::Operation => return,
        };
        self.tell(fact);
    }

    /// A directory that was used before: its process is found again, or its end is told.
    fn adopt(&mut self, dir: Dir, action: wharf_model::ActionId) {
        let reign = self.reign;
        let Some(shim) = self.world.shims.get_mut(&dir) else { return };
        shim.watch = Some((reign, action));
        if shim.alive && dir.0 == Owner::Run && self.unlucky(250) {
            // It holds its lock and does not answer; perhaps it will.
            let (run, attempt) = (RunId(dir.1), dir.2);
            self.tell(Fact::RunObserved { run, attempt, unknown: Some("it does not answer".into()) });
            if self.rng.permille(600) {
                let fact = Fact::RunObserved { run, attempt, unknown: None };
                let pause = self.rng.range(200, 1_500_000);
                self.after(pause, Event::Tell { reign, fact: Box::new(fact), then: None });
            }
            return;
        }
        if self.world.shims.get(&dir).is_some_and(|s| s.alive) {
            self.tell_started(dir, true);
            if self.world.shims.get(&dir).is_some_and(|s| s.ready) && dir.0 == Owner::Service {
                self.tell(Fact::ServiceReady { service: ServiceId(dir.1), generation: dir.2 });
            }
        } else {
            self.report_end(dir);
        }
    }

    fn serve(&mut self, action: wharf_model::ActionId, service: ServiceId, generation: u32, stopping: bool) {
        let dir = (Owner::Service, service.0, generation);
        if self.world.shims.contains_key(&dir) {
            return self.adopt(dir, action);
        }
        let refused = |code: &str| Fact::ServiceEnded {
            action,
            service,
            generation,
            exit: None,
            code: Some(code.into()),
            message: Some("it was not started".into()),
        };
        if stopping || self.world.forbidden.contains(&dir) {
            return self.tell(refused("cancelled"));
        }
        if self.unlucky(60) {
            return self.tell(refused("port_in_use"));
        }
        if self.unlucky(80) {
            return self.tell(Fact::ActionFailed { action, error: "no process could be made".into() });
        }
        self.books.spawned(dir);
        let shim = self.new_shim(action);
        self.world.shims.insert(dir, shim);
        self.tell_started(dir, false);
        if self.unlucky(120) {
            let ms = self.rng.range(1, 8_000);
            let code = i32::from(self.rng.permille(700));
            self.after(ms, Event::ChildEnds { dir, how: How::Code(code) });
        } else if !self.unlucky(100) {
            let ms = self.rng.range(1, 9_000);
            self.after(ms, Event::Answers { dir });
        }
        if self.unlucky(250) {
            let ms = self.rng.range(1_000, 120_000);
            let event = if self.rng.permille(300) {
                Event::ShimDies { dir }
            } else {
                Event::ChildEnds { dir, how: How::Code(i32::from(self.rng.permille(500))) }
            };
            self.after(ms, event);
        }
    }

    fn stop(&mut self, action: wharf_model::ActionId, dir: Dir, reason: String, grace_ms: i64) {
        if self.unlucky(60) {
            return self.tell(Fact::ActionFailed { action, error: "its socket does not answer".into() });
        }
        if !self.world.shims.contains_key(&dir) {
            if self.forbids {
                self.world.forbidden.insert(dir);
                return self.tell(Fact::ActionDone { action });
            }
            return self.tell(Fact::ActionFailed { action, error: "there is no shim yet".into() });
        }
        // Longer than an order is repeated, or not at all.
        let hangs = if self.unlucky(150) { self.mono + self.rng.range(60_000, 900_000) } else { 0 };
        let until = self.world.shims.get_mut(&dir).filter(|s| s.alive).map(|s| *s.hangs_until.get_or_insert(hangs));
        if self.chaos && until.is_some_and(|until| until > self.mono) {
            self.books.saw("order not heard");
            return self.tell(Fact::ActionFailed { action, error: "its shim does not answer".into() });
        }
        self.stop_child(dir, EndedBy::Stop, reason, grace_ms);
        self.tell(Fact::ActionDone { action });
    }

    /// Its shim is killed and its tag found; one that is just starting is forbidden.
    fn stop_by_force(&mut self, action: wharf_model::ActionId, dir: Dir) {
        if self.unlucky(60) {
            return self.tell(Fact::ActionFailed { action, error: "its processes cannot be looked for".into() });
        }
        match self.world.shims.get_mut(&dir) {
            None => {
                self.world.forbidden.insert(dir);
            }
            Some(shim) if shim.alive => {
                shim.alive = false;
                shim.lost = true;
                self.report_end(dir);
            }
            Some(_) => {}
        }
        self.tell(Fact::ActionDone { action });
    }

    fn stop_child(&mut self, dir: Dir, by: EndedBy, reason: String, grace_ms: i64) {
        let (mono, now) = (self.mono, self.now());
        let Some(shim) = self.world.shims.get_mut(&dir) else { return };
        if !shim.alive {
            return;
        }
        let kill_at = mono + grace_ms;
        let stop = shim.stop.get_or_insert(Stop { reason, by, asked_ms: now.0, kill_at });
        stop.kill_at = stop.kill_at.min(kill_at);
        let at = stop.kill_at - mono;
        let deaf = shim.deaf;
        if deaf {
            self.after(at, Event::Kill { dir });
        } else {
            let ms = self.rng.range(1, grace_ms.max(2));
            self.after(ms, Event::TermEnds { dir });
        }
    }

    fn realise(&mut self, action: wharf_model::ActionId, run: RunId, attempt: u32, stage: Stage) {
        let go = |stage| Task::Realise { action, run, attempt, stage };
        let Some(row) = self.disk.rows.runs.get(&run).cloned() else { return };
        match stage {
            Stage::Plan => {
                if self.unlucky(60) {
                    return self.tell(Fact::ActionFailed { action, error: "git is busy".into() });
                }
                let project = self.disk.rows.projects.get(&row.project_id).cloned();
                let shared = project.as_ref().is_some_and(|p| p.key != "SOLO");
                let cwd = match (shared, row.issue_id) {
                    (true, _) => project.map(|p| p.path).unwrap_or_default(),
                    (false, Some(issue)) => format!("/w/{issue}"),
                    (false, None) => format!("/w/R-{}", row.number),
                };
                let known = self.disk.rows.workspaces.values().any(|w| w.cwd.as_deref() == Some(&cwd));
                let plan = PlannedWorkspace {
                    mode: if shared { WorkspaceMode::SharedWorkspace } else { WorkspaceMode::IsolatedWorkspace },
                    strategy: if shared { WorkspaceStrategy::ProjectPrimary } else { WorkspaceStrategy::GitWorktree },
                    name: cwd.clone(),
                    cwd,
                    worktree: None,
                    source: WorkspaceSource::ProjectWorkspace,
                    repo_url: None,
                    repo_root: None,
                    branch: None,
                    base_ref: None,
                    base_commit: None,
                    reused: known,
                    remark: None,
                };
                self.tell_then(Fact::WorkspacePlanned { run, attempt, plan: Box::new(plan) }, Some(go(Stage::Prepare)));
            }
            // It waits for a workspace, or has ended: nothing is made.
            Stage::Prepare if row.workspace_id.is_none() => {
                if self.disk.rows.actions.get(&action).is_some_and(|a| a.status == ActionStatus::Superseded) {
                    self.books.saw("waited for a workspace");
                }
                let message = "the run waits, or has ended meanwhile".into();
                self.tell(Fact::WorkspaceFailed { action, run, attempt, message, cause: None, stands: None });
            }
            Stage::Prepare => {
                let open = self
                    .disk
                    .rows
                    .operations
                    .values()
                    .find(|o| o.run_id == Some(run) && o.status == OperationStatus::Running)
                    .map(|o| o.id);
                if let Some(id) = open {
                    self.after(1, Event::Task { reign: self.reign, task: go(Stage::Adopt(id)) });
                } else if self.rng.permille(500) {
                    let id = OperationId(self.id());
                    let operation = PlannedOperation {
                        id,
                        phase: OperationPhase::WorkspaceProvision,
                        command: None,
                        cwd: None,
                        timeout_ms: 600_000,
                        log_ref: None,
                    };
                    self.tell_then(Fact::OperationPlanned { run, attempt, operation }, Some(go(Stage::Begin(id))));
                } else {
                    let pause = self.rng.range(1, 2_000);
                    self.after(pause, Event::Task { reign: self.reign, task: go(Stage::Done) });
                }
            }
            Stage::Begin(id) => {
                // The row is what allows the process.
                let dir = (Owner::Operation, id.0, 1);
                let allowed = self.disk.rows.operations.get(&id).is_some_and(|o| o.status == OperationStatus::Running);
                if !allowed || self.world.forbidden.contains(&dir) {
                    return self.operation_ended(id, None, Some(go(Stage::Failed)));
                }
                let mut shim = self.new_shim(action);
                shim.prepares = Some((run, attempt));
                self.fate(dir, &mut shim);
                self.books.spawned(dir);
                self.world.shims.insert(dir, shim);
            }
            Stage::Adopt(id) => {
                let dir = (Owner::Operation, id.0, 1);
                let reign = self.reign;
                match self.world.shims.get_mut(&dir) {
                    Some(shim) => {
                        shim.watch = Some((reign, action));
                        if !shim.alive {
                            self.report_end(dir);
                        }
                    }
                    None => self.operation_ended(id, None, Some(go(Stage::Failed))),
                }
            }
            Stage::Done if self.unlucky(60) => {
                self.tell(Fact::WorkspaceFailed {
                    action,
                    run,
                    attempt,
                    message: "a conflict".into(),
                    cause: None,
                    stands: None,
                });
            }
            Stage::Done => {
                let cwd = row
                    .workspace_id
                    .and_then(|w| self.disk.rows.workspaces.get(&w))
                    .and_then(|w| w.cwd.clone())
                    .unwrap_or_default();
                let fact = Fact::WorkspaceRealised {
                    action,
                    run,
                    attempt,
                    cwd,
                    created: true,
                    branch_created: false,
                    base: None,
                    note: String::new(),
                    realisation: None,
                };
                self.tell(fact);
            }
            Stage::Failed => {
                let message = "its set-up command failed".into();
                self.tell(Fact::WorkspaceFailed { action, run, attempt, message, cause: None, stands: None });
            }
        }
    }

    fn operation_ended(&mut self, operation: OperationId, code: Option<i32>, then: Option<Task>) {
        let end = OperationEnd {
            status: if code == Some(0) { OperationStatus::Succeeded } else { OperationStatus::Failed },
            exit_code: code,
            signal: None,
            error: None,
            stdout_excerpt: None,
            stderr_excerpt: None,
            stopped: self
                .world
                .shims
                .get(&(Owner::Operation, operation.0, 1))
                .is_some_and(|s| s.exit.as_ref().and_then(|e| e.stop.as_ref()).is_some_and(|s| s.delivered)),
        };
        if end.stopped && self.disk.rows.operations.get(&operation).and_then(running_job::stop_asked).is_some() {
            self.books.saw("job stopped");
        }
        self.tell_then(Fact::OperationEnded { operation, end }, then);
    }

    /// What a process does by itself.
    pub fn process_event(&mut self, event: Event) {
        match event {
            Event::ChildEnds { dir, how } => self.child_ends(dir, how, 0),
            Event::TermEnds { dir } => {
                let how = if self.rng.permille(700) { How::Signal("SIGTERM", false) } else { How::Code(0) };
                self.child_ends(dir, how, 0);
            }
            Event::Kill { dir } => {
                let over =
                    self.world.shims.get(&dir).and_then(|s| s.stop.as_ref()).is_some_and(|s| s.kill_at <= self.mono);
                if over {
                    self.child_ends(dir, How::Signal("SIGKILL", false), 1);
                }
            }
            Event::TimeOver { dir, grace_ms } => self.stop_child(dir, EndedBy::Timeout, "timeout".into(), grace_ms),
            Event::ShimDies { dir } => {
                let Some(shim) = self.world.shims.get_mut(&dir).filter(|s| s.alive) else { return };
                // Its descendants are found by their tag and stopped before anyone says "lost".
                shim.alive = false;
                shim.lost = true;
                self.note(|| format!("lost {dir:?}"));
                self.report_end(dir);
            }
            Event::Answers { dir } => {
                let reign = self.reign;
                let up = self.memory.is_some();
                let Some(shim) = self.world.shims.get_mut(&dir).filter(|s| s.alive) else { return };
                shim.ready = true;
                if up && shim.watch.is_some_and(|(watched, _)| watched == reign) {
                    self.tell(Fact::ServiceReady { service: ServiceId(dir.1), generation: dir.2 });
                    self.falls_ill(dir);
                }
            }
            _ => {}
        }
    }

    fn child_ends(&mut self, dir: Dir, how: How, killed: u32) {
        let now = self.now().0;
        let Some(shim) = self.world.shims.get_mut(&dir).filter(|s| s.alive) else { return };
        shim.alive = false;
        shim.exit = Some(exit_frame(shim, how, killed, now));
        self.note(|| format!("ends {dir:?} {how:?}"));
        self.report_end(dir);
    }

    /// One that was ready answers no more, for a while or for good.
    fn falls_ill(&mut self, dir: Dir) {
        if !self.unlucky(150) {
            return;
        }
        let (service, generation, reign) = (ServiceId(dir.1), dir.2, self.reign);
        let mut at = 0;
        for health in [Health::Unhealthy, Health::Healthy] {
            at += self.rng.range(200, 60_000);
            let evidence = (health == Health::Unhealthy).then(|| "no answer, 3 times".to_owned());
            let fact = Fact::ServiceHealth { service, generation, health, evidence };
            self.after(at, Event::Tell { reign, fact: Box::new(fact), then: None });
        }
    }

    /// Tells the end of a shim to whoever watches it in this reign.
    pub(super) fn report_end(&mut self, dir: Dir) {
        if self.memory.is_none() {
            return;
        }
        let Some(shim) = self.world.shims.get(&dir) else { return };
        let Some((reign, action)) = shim.watch else { return };
        if reign != self.reign {
            return;
        }
        let exit = shim.exit.clone().map(Box::new);
        let output = RunOutput { log_ref: Some("runs/x".into()), stdout_bytes: 10, ..RunOutput::default() };
        match dir.0 {
            Owner::Run => {
                let (run, attempt) = (RunId(dir.1), dir.2);
                self.tell(match exit {
                    Some(exit) => Fact::RunEnded { action, run, attempt, exit, output, collected: None },
                    None => Fact::RunLost {
                        action,
                        run,
                        attempt,
                        evidence: "no exit record".into(),
                        output,
                        collected: None,
                    },
                });
            }
            Owner::Service => {
                let lost = exit.is_none();
                self.tell(Fact::ServiceEnded {
                    action,
                    service: ServiceId(dir.1),
                    generation: dir.2,
                    exit,
                    code: lost.then(|| "process_lost".into()),
                    message: lost.then(|| "its shim is gone".into()),
                });
            }
            Owner::Operation => {
                let code = exit.and_then(|e| e.code);
                let then = shim.prepares.map(|(run, attempt)| Task::Realise {
                    action,
                    run,
                    attempt,
                    stage: if code == Some(0) { Stage::Done } else { Stage::Failed },
                });
                // One that prepares nothing is a job.
                let then = then.or(Some(Task::Workspace { action, stage: WorkspaceStage::Done }));
                self.operation_ended(OperationId(dir.1), code, then);
            }
        }
    }
}
