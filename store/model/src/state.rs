//! What the dispatcher keeps in memory: the rows that can still change, and the transaction in
//! which one input changes them.
//!
//! The store is the truth. This is a copy of its open rows, changed only by the same [`Change`]s
//! that are written, and rebuilt from the store whenever a commit fails.

use std::collections::{BTreeMap, BTreeSet};

use crate::column::{Columns, Entity};
use crate::rules::transition;
use crate::*;

/// A change of one row, to be written in the order given.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Insert (`from` is 0) or replace a row whose stored version is `from`.
    Put {
        /// Version that the stored row must have; 0 = there must be none.
        from: i64,
        /// Columns that differ from the stored row; all that is written of one that is there.
        changed: Columns,
        /// The row as it will stand.
        row: AnyRow,
    },
    /// Add an event of a run.
    Event(RunEventRow),
    /// Write a long text of a run, replacing an earlier one.
    Text(RunTextRow),
    /// Add a comment.
    Comment(CommentRow),
    /// Add a row of the audit trail.
    Activity(ActivityRow),
    /// A run begins to use a service.
    UserAdded(ServiceUserRow),
    /// A run no longer uses a service.
    UserRemoved {
        /// Service.
        service: ServiceId,
        /// Run.
        run: RunId,
    },
    /// A counter has reached a value.
    Counter {
        /// Its name.
        name: String,
        /// Its value.
        value: i64,
    },
}

macro_rules! entities {
    ($($variant:ident($row:ty) $field:ident),+ $(,)?) => {
        /// A row of any table whose rows change.
        #[derive(Debug, Clone, PartialEq)]
        pub enum AnyRow { $(#[doc = concat!("A row of [`", stringify!($row), "`].")] $variant(Box<$row>)),+ }

        /// The rows that can still change.
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct State {
            $(#[doc = concat!("Rows of [`", stringify!($row), "`] by key.")] pub $field: BTreeMap<<$row as Entity>::Id, $row>,)+
            /// Users of services.
            pub users: BTreeSet<(ServiceId, RunId)>,
            /// Number of the last event of each run that is here.
            pub event_seq: BTreeMap<RunId, i64>,
            /// Counters by name: the last number given out.
            pub counters: BTreeMap<String, i64>,
            /// The reign in which this state is changed.
            pub epoch: i64,
            /// Runs that may run at once on this machine.
            pub concurrent_runs: i64,
        }

        $(impl Kept for $row {
            fn map(state: &State) -> &BTreeMap<Self::Id, Self> { &state.$field }
            fn map_mut(state: &mut State) -> &mut BTreeMap<Self::Id, Self> { &mut state.$field }
            fn wrap(self) -> AnyRow { AnyRow::$variant(Box::new(self)) }
            fn unwrap(row: &AnyRow) -> Option<&Self> {
                if let AnyRow::$variant(row) = row { Some(row) } else { None }
            }
        })+

        impl State {
            /// Takes a row as it stands in the store, without asking how it came to be.
            pub fn load(&mut self, row: AnyRow) {
                match row { $(AnyRow::$variant(row) => { self.$field.insert(row.id(), *row); })+ }
            }
        }
    };
}

entities! {
    Company(CompanyRow) companies,
    Project(ProjectRow) projects,
    ProjectWorkspace(ProjectWorkspaceRow) project_workspaces,
    Agent(AgentRow) agents,
    AgentRuntime(AgentRuntimeRow) agent_runtime,
    Environment(EnvironmentRow) environments,
    Lease(LeaseRow) leases,
    Workspace(WorkspaceRow) workspaces,
    Operation(OperationRow) operations,
    Snapshot(SnapshotRow) snapshots,
    Service(ServiceRow) services,
    Issue(IssueRow) issues,
    Wakeup(WakeupRow) wakeups,
    Run(RunRow) runs,
    Step(StepRow) steps,
    Request(RequestRow) requests,
    Action(ActionRow) actions,
}

/// A row type that [`State`] keeps.
pub trait Kept: Entity + transition::Judged {
    /// Its rows.
    fn map(state: &State) -> &BTreeMap<Self::Id, Self>;
    /// Its rows, to be changed.
    fn map_mut(state: &mut State) -> &mut BTreeMap<Self::Id, Self>;
    /// The row as one of any table.
    fn wrap(self) -> AnyRow;
    /// The row when it is of this table.
    fn unwrap(row: &AnyRow) -> Option<&Self>;
}

impl State {
    /// The row with this key.
    pub fn get<E: Kept>(&self, id: E::Id) -> Option<&E> {
        E::map(self).get(&id)
    }

    /// Runs that use a service.
    pub fn users_of(&self, service: ServiceId) -> impl Iterator<Item = RunId> + '_ {
        self.users.range((service, RunId::NIL)..).take_while(move |(s, _)| *s == service).map(|(_, run)| *run)
    }

    /// Services that a run uses.
    pub fn services_of(&self, run: RunId) -> impl Iterator<Item = ServiceId> + '_ {
        self.users.iter().filter(move |(_, r)| *r == run).map(|(service, _)| *service)
    }

    /// Leases of a run that are not in a terminal state.
    pub fn open_leases_of(&self, run: RunId) -> impl Iterator<Item = &LeaseRow> {
        self.leases.values().filter(move |l| l.run_id == Some(run) && !l.status.is_terminal())
    }

    /// Drops rows that can no longer change, so that memory does not grow with history.
    pub fn forget_ended(&mut self) {
        self.actions.retain(|_, a| matches!(a.status, ActionStatus::Pending | ActionStatus::Performing));
        self.requests.retain(|_, r| !r.status.is_terminal());
        self.leases.retain(|_, l| !l.status.is_terminal());
        self.operations.retain(|_, o| o.status == OperationStatus::Running);
        // Of an archived one something may still be removed, or brought back.
        self.workspaces
            .retain(|_, w| w.status != WorkspaceStatus::Archived || w.trash_path.is_some() || w.trash_more.is_some());
        self.snapshots.retain(|_, s| s.status == SnapshotStatus::Kept);
        let held: BTreeSet<RunId> = self
            .leases
            .values()
            .filter_map(|l| l.run_id)
            .chain(self.users.iter().map(|(_, run)| *run))
            .chain(self.actions.values().filter(|a| a.entity_type == "run").filter_map(|a| a.entity_id.parse().ok()))
            .collect();
        self.runs.retain(|id, run| !run.status.is_terminal() || held.contains(id));
        let (runs, users) = (&self.runs, &self.users);
        // A service of one run is never found again once that run is gone.
        self.services.retain(|id, s| {
            s.scope_type != ReuseScope::Run
                || s.status.is_open()
                || s.scope_id.parse().is_ok_and(|run| runs.contains_key(&run))
                || users.iter().any(|(service, _)| service == id)
        });
        self.steps.retain(|id, _| runs.contains_key(&id.0));
        self.event_seq.retain(|id, _| runs.contains_key(id));
        self.wakeups.retain(|_, w| {
            matches!(w.status, WakeupStatus::Queued | WakeupStatus::DeferredIssueExecution | WakeupStatus::Claimed)
        });
    }
}

type Undo = Box<dyn FnOnce(&mut State) + Send>;

/// One input's changes: made in memory at once, kept for writing, and taken back as a whole.
pub struct Tx<'a> {
    state: &'a mut State,
    /// The moment of the decision.
    pub now: UnixMillis,
    changes: Vec<Change>,
    undo: Vec<Undo>,
    illegal: Option<transition::Illegal>,
}

impl<'a> Tx<'a> {
    /// Begins a transaction on a state.
    pub fn new(state: &'a mut State, now: UnixMillis) -> Self {
        Self { state, now, changes: Vec::new(), undo: Vec::new(), illegal: None }
    }

    /// The state with this transaction's changes.
    pub fn state(&self) -> &State {
        self.state
    }

    /// The row with this key.
    pub fn get<E: Kept>(&self, id: E::Id) -> Option<&E> {
        self.state.get(id)
    }

    /// Writes a row, new or changed; its version and date are set here.
    pub fn put<E: Kept + 'static + Send>(&mut self, mut row: E)
    where
        E::Id: Send + 'static,
    {
        let id = row.id();
        let old = E::map(self.state).get(&id);
        let mut changed = old.map_or(Columns::NONE, |old| old.differing(&row));
        if old.is_some() && changed.is_empty() {
            return;
        }
        if let Err(illegal) = E::judge(old, &row) {
            self.illegal.get_or_insert(illegal);
        }
        // A row written before in this transaction keeps the version it got then: one input, one version.
        let earlier = self.changes.iter_mut().find_map(|change| match change {
            Change::Put { row, changed, .. } if E::unwrap(row).is_some_and(|r| r.id() == id) => Some((row, changed)),
            _ => None,
        });
        if let Some((kept, already)) = earlier {
            *already = already.and(changed);
            *kept = row.clone().wrap();
            E::map_mut(self.state).insert(id, row);
            return;
        }
        let from = old.map_or(0, Entity::version);
        row.touch(self.now);
        if let Some(old) = old {
            changed = old.differing(&row);
        }
        self.changes.push(Change::Put { from, changed, row: row.clone().wrap() });
        let before = E::map_mut(self.state).insert(id, row);
        self.undo.push(Box::new(move |state| {
            match before {
                Some(row) => E::map_mut(state).insert(id, row),
                None => E::map_mut(state).remove(&id),
            };
        }));
    }

    /// Takes a row that stands in the store and was not in memory; not a change.
    pub fn adopt<E: Kept + 'static + Send>(&mut self, row: E)
    where
        E::Id: Send + 'static,
    {
        let id = row.id();
        let before = E::map_mut(self.state).insert(id, row);
        self.undo.push(Box::new(move |state| {
            match before {
                Some(row) => E::map_mut(state).insert(id, row),
                None => E::map_mut(state).remove(&id),
            };
        }));
    }

    /// Changes a row in place; says whether it was there.
    pub fn update<E: Kept + 'static + Send>(&mut self, id: E::Id, change: impl FnOnce(&mut E)) -> bool
    where
        E::Id: Send + 'static,
    {
        let Some(mut row) = self.state.get::<E>(id).cloned() else { return false };
        change(&mut row);
        self.put(row);
        true
    }

    /// The next number of a counter.
    pub fn next_number(&mut self, name: &str) -> i64 {
        self.next_number_past(name, 0)
    }

    /// The next number of a counter that is also beyond another number.
    pub fn next_number_past(&mut self, name: &str, floor: i64) -> i64 {
        let old = self.state.counters.get(name).copied();
        let value = old.unwrap_or(0).max(floor) + 1;
        self.state.counters.insert(name.to_owned(), value);
        let key = name.to_owned();
        self.undo.push(Box::new(move |state| {
            match old {
                Some(old) => state.counters.insert(key, old),
                None => state.counters.remove(&key),
            };
        }));
        self.changes.push(Change::Counter { name: name.to_owned(), value });
        value
    }

    /// Adds an event to a run, with the next number of its own.
    pub fn event(
        &mut self,
        run: RunId,
        event_type: &str,
        level: &str,
        message: String,
        payload: Option<serde_json::Value>,
    ) {
        let old = self.state.event_seq.get(&run).copied();
        let seq = old.unwrap_or(0) + 1;
        self.state.event_seq.insert(run, seq);
        self.undo.push(Box::new(move |state| {
            match old {
                Some(old) => state.event_seq.insert(run, old),
                None => state.event_seq.remove(&run),
            };
        }));
        self.changes.push(Change::Event(RunEventRow {
            run_id: run,
            seq,
            event_type: event_type.to_owned(),
            level: level.to_owned(),
            message,
            payload,
            created_at: self.now,
        }));
    }

    /// Writes a long text of a run.
    pub fn text(&mut self, run: RunId, kind: RunTextKind, body: String) {
        self.changes.push(Change::Text(RunTextRow { run_id: run, kind, body }));
    }

    /// Adds a comment.
    pub fn comment(&mut self, comment: CommentRow) {
        self.changes.push(Change::Comment(comment));
    }

    /// Adds a row of the audit trail.
    pub fn activity(&mut self, activity: ActivityRow) {
        self.changes.push(Change::Activity(activity));
    }

    /// Makes a run a user of a service; says whether it was not one before.
    pub fn add_user(&mut self, service: ServiceId, run: RunId, reused: bool) -> bool {
        if !self.state.users.insert((service, run)) {
            return false;
        }
        self.undo.push(Box::new(move |state| {
            state.users.remove(&(service, run));
        }));
        self.changes.push(Change::UserAdded(ServiceUserRow {
            service_id: service,
            run_id: run,
            since: self.now,
            reused,
        }));
        true
    }

    /// Ends a run's use of a service; says whether it had been one.
    pub fn remove_user(&mut self, service: ServiceId, run: RunId) -> bool {
        if !self.state.users.remove(&(service, run)) {
            return false;
        }
        self.undo.push(Box::new(move |state| {
            state.users.insert((service, run));
        }));
        self.changes.push(Change::UserRemoved { service, run });
        true
    }

    /// Takes everything back.
    pub fn roll_back(mut self) {
        while let Some(undo) = self.undo.pop() {
            undo(self.state);
        }
    }

    /// Ends the transaction with its changes; an illegal change takes everything back.
    pub fn finish(mut self) -> Result<Decided, transition::Illegal> {
        if let Some(illegal) = self.illegal.take() {
            self.roll_back();
            return Err(illegal);
        }
        Ok(Decided { changes: self.changes, undo: self.undo })
    }
}

/// The changes of one input, decided and made in memory, not yet written.
pub struct Decided {
    /// In the order in which they are written.
    pub changes: Vec<Change>,
    undo: Vec<Undo>,
}

impl Decided {
    /// A decision that changes nothing.
    pub fn nothing() -> Self {
        Self { changes: Vec::new(), undo: Vec::new() }
    }

    /// Takes the changes back from memory: the store refused them.
    pub fn take_back(mut self, state: &mut State) {
        while let Some(undo) = self.undo.pop() {
            undo(state);
        }
    }

    /// Actions that were intended here.
    pub fn actions(&self) -> impl Iterator<Item = &ActionRow> {
        self.changes.iter().filter_map(|c| match c {
            Change::Put { row: AnyRow::Action(action), .. } => Some(&**action),
            _ => None,
        })
    }
}
