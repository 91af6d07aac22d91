//! One simulated history: reigns, crashes, executors and operators, all from one seed.

use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;
use wharf_model::state::{Decided, State};
use wharf_model::{ActionId, ActionRow, ActionStatus, RequestId, RequestStatus, RunStatus, UnixMillis};

use super::check::Books;
use super::disk::Disk;
use super::rng::Rng;
use super::setup;
use super::world::{Event, Owner, Task, World};
use crate::dispatch::decide::{decide, sweep};
use crate::dispatch::input::{Fact, Input, Occurrence, Prepared};

/// When every history begins.
const BEGIN_MS: i64 = 1_700_000_000_000;
/// Runs at once on the simulated machine.
pub const MACHINE: i64 = 4;

/// A simulation under way.
pub struct Sim {
    pub rng: Rng,
    /// Milliseconds since the beginning, as boot time counts them.
    pub mono: i64,
    /// What the wall clock shows beyond that.
    wall: i64,
    pub memory: Option<State>,
    pub disk: Disk,
    pub world: World,
    pub books: Books,
    pub reign: u32,
    /// Whether things go wrong.
    pub chaos: bool,
    /// Whether a stop that comes before its shim forbids the shim, or fails and is tried again.
    pub forbids: bool,
    queue: BTreeMap<(i64, u64), Event>,
    events: u64,
    ids: u128,
    /// What happened last, for a report.
    trace: VecDeque<String>,
    pub steps: u64,
}

impl Sim {
    /// A machine with its projects accepted and nothing running.
    pub fn new(seed: u64) -> Result<Self, String> {
        let mut rng = Rng::new(seed);
        let forbids = rng.permille(500);
        let mut sim = Self {
            rng,
            mono: 0,
            wall: BEGIN_MS,
            memory: None,
            disk: Disk::default(),
            world: World::default(),
            books: Books::default(),
            reign: 0,
            chaos: false,
            forbids,
            queue: BTreeMap::new(),
            events: 0,
            ids: 0,
            trace: VecDeque::new(),
            steps: 0,
        };
        sim.restart()?;
        for key in setup::PROJECTS {
            let row = sim.insert_request("config.accept", |_| {});
            sim.process(vec![(Input::Request(Box::new(row), setup::prepared(key)), None)])?;
        }
        sim.crash("setup");
        sim.restart()?;
        sim.chaos = true;
        sim.after(10, Event::Ask);
        Ok(sim)
    }

    /// Wall time.
    pub fn now(&self) -> UnixMillis {
        UnixMillis(self.wall + self.mono)
    }

    /// A fresh id.
    pub fn id(&mut self) -> Uuid {
        self.ids += 1;
        fresh(self.ids)
    }

    /// Lets something happen later.
    pub fn after(&mut self, ms: i64, event: Event) {
        self.events += 1;
        self.queue.insert((self.mono + ms.max(0), self.events), event);
    }

    /// Keeps a line for a report.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace.len() >= 5000 {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:>9} {}", self.mono, line()));
    }

    /// The last lines.
    pub fn report(&self) -> String {
        self.trace.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Inserts a request as its sender would.
    pub fn insert_request(
        &mut self,
        kind: &str,
        change: impl FnOnce(&mut wharf_model::RequestRow),
    ) -> wharf_model::RequestRow {
        let id = RequestId(self.id());
        let number = self.disk.rows.requests.len() as i64 + 1;
        let mut row = setup::request(id, number, kind, self.now());
        change(&mut row);
        self.disk.rows.requests.insert(id, row.clone());
        row
    }

    /// Lives for a number of steps in which things go wrong, then lets everything come to rest.
    pub fn live(&mut self, steps: u64) -> Result<(), String> {
        while self.steps < steps {
            self.step()?;
        }
        self.come_to_rest()
    }

    fn come_to_rest(&mut self) -> Result<(), String> {
        self.chaos = false;
        self.note(|| "calm".into());
        self.crash("calm");
        self.restart()?;
        self.end_every_child();
        let limit = self.steps + 20_000;
        loop {
            let idle = self.queue.is_empty() && self.memory.as_ref().is_some_and(|m| sweep::next_deadline(m).is_none());
            if idle {
                return self.check_rest();
            }
            if self.steps > limit {
                return Err(format!(
                    "does not come to rest; next are {:?}",
                    self.queue.values().take(5).collect::<Vec<_>>()
                ));
            }
            self.step()?;
        }
    }

    /// One event, or one sweep.
    pub fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        let next = self.queue.first_key_value().map(|((at, _), _)| *at);
        let due = self.memory.as_ref().and_then(sweep::next_deadline).map(|due| due.0 - self.wall);
        if let Some(due) = due
            && next.is_none_or(|next| due <= next)
        {
            self.mono = self.mono.max(due);
            self.note(|| "sweep".into());
            self.process(vec![(Input::Sweep, None)])?;
            let now = self.now();
            if let Some(still) = self.memory.as_ref().and_then(sweep::next_deadline)
                && still <= now
            {
                return Err(format!("a sweep at {now:?} leaves something overdue since {still:?}"));
            }
            return Ok(());
        }
        self.check_waiting()?;
        if self.chaos && self.rng.permille(4) {
            self.move_the_clock()?;
        }
        if self.chaos && self.memory.is_some() && self.rng.permille(12) {
            self.crash("between");
            return Ok(());
        }
        let Some(((at, _), event)) = self.queue.pop_first() else { return Ok(()) };
        self.mono = self.mono.max(at);
        self.happen(event)
    }

    /// The wall clock is set, or the machine sleeps: deadlines of what is awake stay as far away as they were.
    fn move_the_clock(&mut self) -> Result<(), String> {
        let before = self.left_awake();
        let sleeps = self.rng.permille(300);
        let moved = if sleeps {
            let slept_ms = self.rng.range(5_001, 40_000_000);
            // Everything else sleeps too.
            let later: BTreeMap<_, _> =
                std::mem::take(&mut self.queue).into_iter().map(|((at, n), e)| ((at + slept_ms, n), e)).collect();
            self.queue = later;
            self.mono += slept_ms;
            Occurrence::ClockMoved { step_ms: 0, slept_ms }
        } else {
            let step_ms = self.rng.range(-600_000, 1_200_000);
            self.wall += step_ms;
            Occurrence::ClockMoved { step_ms, slept_ms: 0 }
        };
        self.note(|| format!("{moved:?}"));
        let reign = self.reign;
        self.process(vec![(Input::Occurred(moved), None)])?;
        if self.memory.is_some() && self.reign == reign && before.is_some() && self.left_awake() != before {
            return Err("a clock that moved changed how long is left of a deadline awake".into());
        }
        self.books.saw(if sleeps { "the machine slept" } else { "the clock was set" });
        Ok(())
    }

    /// What is left of each deadline that counts time awake.
    fn left_awake(&self) -> Option<Vec<i64>> {
        let (memory, now) = (self.memory.as_ref()?, self.now());
        let runs = memory.runs.values().filter(|r| !r.status.is_terminal());
        let awake = |r: &&wharf_model::RunRow| r.deadline_kind == Some(wharf_model::DeadlineKind::Awake);
        let of_runs = runs.clone().filter(awake).filter_map(|r| r.deadline_at).chain(runs.filter_map(|r| r.due_at));
        let of_steps = memory.steps.values().filter_map(|s| s.deadline_at);
        let of_leases = memory.leases.values().filter(|l| !l.status.is_terminal());
        // The end of an active one is its provider's, by the wall clock.
        let of_leases = of_leases.filter(|l| l.status != wharf_model::LeaseStatus::Active);
        let of_leases = of_leases.flat_map(|l| [l.deadline_at, l.next_try_at]).flatten();
        let of_services = memory.services.values().filter(|s| s.status.is_live());
        let of_services = of_services.flat_map(|s| [s.deadline_at, s.idle_deadline_at]).flatten();
        let of_actions = memory.actions.values().filter(|a| crate::dispatch::decide::is_open(a.status));
        let of_actions = of_actions.filter_map(|a| a.next_try_at);
        let of_workspaces = memory.workspaces.values().filter_map(|w| w.deadline_at);
        let of_actions = of_actions.chain(of_workspaces);
        let all = of_runs.chain(of_steps).chain(of_leases).chain(of_services).chain(of_actions);
        Some(all.map(|at| now.until(at)).collect())
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Tell { reign, fact, then } => {
                if self.memory.is_none() {
                    // Nobody listens; some facts are told again later.
                    if self.rng.permille(300) {
                        self.after(2_000, Event::Tell { reign, fact, then });
                    }
                    return Ok(());
                }
                // An operation is announced once: its id is made for the announcement.
                let once = matches!(*fact, Fact::OperationPlanned { .. });
                if self.chaos && !once && self.rng.permille(150) {
                    let limit = if self.rng.permille(500) { 5_000 } else { 90_000 };
                    let later = self.rng.range(1, limit);
                    self.after(later, Event::Tell { reign, fact: fact.clone(), then: None });
                }
                self.note(|| format!("told {fact:?}"));
                let mut batch = vec![(Input::Fact(*fact), then.map(|t| (reign, t)))];
                while self.rng.permille(300) && batch.len() < 8 {
                    let Some((key, Event::Tell { .. })) = self.queue.first_key_value().map(|(k, e)| (*k, e)) else {
                        break;
                    };
                    if let Some(Event::Tell { reign, fact, then }) = self.queue.remove(&key) {
                        self.mono = self.mono.max(key.0);
                        self.note(|| format!("told in the same batch {fact:?}"));
                        batch.push((Input::Fact(*fact), then.map(|t| (reign, t))));
                    }
                }
                self.process(batch)
            }
            Event::Task { reign, task } => {
                if reign == self.reign && self.memory.is_some() {
                    self.note(|| format!("does {task:?}"));
                    self.work(task);
                }
                Ok(())
            }
            Event::Ask => {
                if self.chaos {
                    self.ask();
                    let pause = self.rng.range(50, 6_000);
                    self.after(pause, Event::Ask);
                }
                Ok(())
            }
            Event::Wake => {
                if self.memory.is_none() {
                    return Ok(());
                }
                let waiting: Vec<_> =
                    self.disk.rows.requests.values().filter(|r| r.status == RequestStatus::Pending).cloned().collect();
                let mut batch = Vec::new();
                for row in waiting {
                    self.note(|| format!("asked {} {:?} {}", row.kind, row.target_id, row.args));
                    if self.chaos && self.rng.permille(100) {
                        let later = self.rng.range(0, 60_000);
                        self.after(later, Event::Stale(Box::new(row.clone())));
                    }
                    let prepared = self.prepared_of(&row);
                    if matches!(prepared, Prepared::Config(_)) {
                        self.books.config_changes();
                    }
                    batch.push((Input::Request(Box::new(row), prepared), None));
                }
                if batch.is_empty() { Ok(()) } else { self.process(batch) }
            }
            Event::Stale(row) => {
                if self.memory.is_none() {
                    return Ok(());
                }
                self.stale(*row)
            }
            Event::Restart => self.restart(),
            process => {
                self.process_event(process);
                Ok(())
            }
        }
    }

    /// A request is handed over once more, as it was read before it was answered.
    fn stale(&mut self, row: wharf_model::RequestRow) -> Result<(), String> {
        let now = self.now();
        let answered = self.disk.rows.requests.get(&row.id).is_some_and(|r| r.status != RequestStatus::Pending);
        let Some(memory) = &mut self.memory else { return Ok(()) };
        let before = memory.clone();
        let mut ids = self.ids;
        let input = Input::Request(Box::new(row), Prepared::Nothing);
        let (decided, defect) = decide(memory, &input, now, &mut || {
            ids += 1;
            fresh(ids)
        });
        if let Some(defect) = defect {
            return Err(defect);
        }
        self.ids = ids;
        let mut disk = self.disk.clone();
        let written = disk.apply(&decided.changes).is_ok();
        let touches = decided
            .changes
            .iter()
            .any(|c| matches!(c, wharf_model::state::Change::Put { row: wharf_model::state::AnyRow::Request(_), .. }));
        if written && answered && touches {
            return Err("a request was answered twice".into());
        }
        // The store refuses it, or nobody performs it: either way memory must be as before.
        let Some(memory) = &mut self.memory else { return Ok(()) };
        decided.take_back(memory);
        if *memory != before {
            return Err("what the store refused was not taken back from memory".into());
        }
        Ok(())
    }

    /// One turn of the loop: decide each input, commit once, let the actions be performed.
    pub fn process(&mut self, batch: Vec<(Input, Option<(u32, Task)>)>) -> Result<(), String> {
        let now = self.now();
        let mut decisions: Vec<Decided> = Vec::new();
        for (input, _) in &batch {
            let Some(memory) = &mut self.memory else { return Ok(()) };
            let mut ids = self.ids;
            let (decided, defect) = decide(memory, input, now, &mut || {
                ids += 1;
                fresh(ids)
            });
            self.ids = ids;
            if let Some(defect) = defect {
                return Err(format!("{defect}, by {input:?}"));
            }
            decisions.push(decided);
        }
        if self.chaos && self.rng.permille(6) {
            self.crash("before the commit");
            return Ok(());
        }
        for ((input, _), decided) in batch.iter().zip(&decisions) {
            self.observe(&decided.changes).map_err(|e| format!("{e}, by {input:?}"))?;
            self.disk.apply(&decided.changes).map_err(|e| format!("the store refuses: {e}, by {input:?}"))?;
            self.check_commit().map_err(|e| format!("{e}, by {input:?}"))?;
        }
        if self.chaos && self.rng.permille(6) {
            self.crash("before performing");
            return Ok(());
        }
        let mut actions: BTreeMap<ActionId, ActionRow> = BTreeMap::new();
        for decided in &decisions {
            for action in decided.actions() {
                actions.insert(action.id, action.clone());
            }
        }
        for (id, action) in actions {
            let still = self
                .memory
                .as_ref()
                .and_then(|m| m.actions.get(&id))
                .is_some_and(|a| a.status == ActionStatus::Performing);
            if still && action.status == ActionStatus::Performing {
                if self.chaos && self.rng.permille(4) {
                    self.crash("while performing");
                    return Ok(());
                }
                self.note(|| format!("performs {} of {} {}", action.kind, action.entity_type, action.entity_id));
                self.perform(&action);
            }
        }
        for (_, then) in batch {
            if let Some((reign, task)) = then
                && reign == self.reign
            {
                let pause = self.rng.range(0, 40);
                self.after(pause, Event::Task { reign, task });
            }
        }
        if let Some(memory) = &mut self.memory {
            memory.forget_ended();
        }
        self.check_memory()
    }

    /// The program is gone at once: memory and executors with it, what is committed stays.
    pub fn crash(&mut self, when: &str) {
        self.note(|| format!("crash {when}"));
        self.memory = None;
        let keys: Vec<(i64, u64)> = self.queue.keys().copied().collect();
        for key in keys {
            let keep = match self.queue.get(&key) {
                Some(Event::Task { .. } | Event::Stale(_)) => false,
                Some(Event::Tell { fact, .. }) => !dies_with_its_reign(fact) && self.rng.permille(300),
                _ => true,
            };
            if !keep {
                self.queue.remove(&key);
            }
        }
        let pause = self.rng.range(1, 20_000);
        if self.chaos {
            self.after(pause, Event::Restart);
        }
    }

    fn restart(&mut self) -> Result<(), String> {
        if self.memory.is_some() {
            return Ok(());
        }
        self.note(|| "a reign begins".into());
        self.reign += 1;
        let mut state = self.disk.load();
        state.epoch = i64::from(self.reign);
        state.concurrent_runs = MACHINE;
        self.memory = Some(state);
        self.after(1, Event::Wake);
        self.process(vec![(Input::Begin, None)])
    }

    /// In calm weather every agent comes to its end.
    fn end_every_child(&mut self) {
        let endless: Vec<_> = self
            .world
            .shims
            .iter()
            .filter(|((owner, _, _), s)| s.alive && !s.will_end && *owner != Owner::Service)
            .map(|(dir, _)| *dir)
            .collect();
        for dir in endless {
            let ms = self.rng.range(1, 60_000);
            self.after(ms, Event::ChildEnds { dir, how: super::world::How::Code(0) });
        }
    }

    /// Runs that have not ended, for those who ask what to do next.
    pub fn open_runs(&self) -> Vec<wharf_model::RunId> {
        self.disk
            .rows
            .runs
            .values()
            .filter(|r| !r.status.is_terminal() || r.status == RunStatus::Queued)
            .map(|r| r.id)
            .collect()
    }
}

/// What an executor says of itself, not of anything durable: the next reign asks again and may be
/// answered otherwise, and what was said inside one process never outlives it.
fn dies_with_its_reign(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::RunNotStarted { .. }
            | Fact::ServiceEnded { exit: None, .. }
            | Fact::LeaseRefused { .. }
            | Fact::LeaseQueued { .. }
            | Fact::LeaseNotExtended { .. }
            | Fact::LeaseObserved { .. }
            | Fact::ActionFailed { .. }
            | Fact::WorkspaceMoves { .. }
            | Fact::WorkspaceWorkFailed { .. }
    )
}

fn fresh(n: u128) -> Uuid {
    Uuid::from_u128((0x0193_0000_0000_7000 << 64) | (0x8000_0000_0000_0000 + n))
}
