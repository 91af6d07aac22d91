//! What is durable: the committed rows, changed exactly as the store changes them.

use std::collections::BTreeMap;

use wharf_model::column::Entity;
use wharf_model::state::{AnyRow, Change, Kept, State};
use wharf_model::{ActivityRow, CommentRow, RunId, ServiceId};

/// Runs an expression with the row inside, whatever its table.
macro_rules! with_row {
    ($any:expr, $row:ident => $body:expr) => {
        match $any {
            AnyRow::Company($row) => $body,
            AnyRow::Project($row) => $body,
            AnyRow::ProjectWorkspace($row) => $body,
            AnyRow::Agent($row) => $body,
            AnyRow::AgentRuntime($row) => $body,
            AnyRow::Environment($row) => $body,
            AnyRow::Lease($row) => $body,
            AnyRow::Workspace($row) => $body,
            AnyRow::Operation($row) => $body,
            AnyRow::Snapshot($row) => $body,
            AnyRow::Service($row) => $body,
            AnyRow::Issue($row) => $body,
            AnyRow::Wakeup($row) => $body,
            AnyRow::Run($row) => $body,
            AnyRow::Step($row) => $body,
            AnyRow::Request($row) => $body,
            AnyRow::Action($row) => $body,
        }
    };
}

/// The committed state with its history.
#[derive(Default, Clone)]
pub struct Disk {
    pub rows: State,
    pub activity: Vec<ActivityRow>,
    pub comments: Vec<CommentRow>,
}

fn stored_version<E: Kept>(state: &State, row: &E) -> i64 {
    E::map(state).get(&row.id()).map_or(0, Entity::version)
}

impl Disk {
    /// Writes one input's changes as a whole, or nothing and says what stood in the way.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), String> {
        let mut users = self.rows.users.clone();
        let mut seqs: BTreeMap<RunId, i64> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Put { from, row, .. } => {
                    let (found, version, shown) =
                        with_row!(row, r => (stored_version(&self.rows, &**r), r.version(), format!("{:?}", r.id())));
                    if found != *from {
                        return Err(format!("{shown}: expected version {from}, the store has {found}"));
                    }
                    if version != from + 1 {
                        return Err(format!("{shown}: version {version} follows {from}"));
                    }
                }
                Change::Event(event) => {
                    let last = seqs
                        .entry(event.run_id)
                        .or_insert_with(|| self.rows.event_seq.get(&event.run_id).copied().unwrap_or(0));
                    if event.seq != *last + 1 {
                        return Err(format!("{}: event {} follows {last}", event.run_id, event.seq));
                    }
                    *last = event.seq;
                }
                Change::UserAdded(user) => {
                    if !users.insert((user.service_id, user.run_id)) {
                        return Err(format!("{} uses {} already", user.run_id, user.service_id));
                    }
                }
                Change::UserRemoved { service, run } => {
                    if !users.remove(&(*service, *run)) {
                        return Err(format!("{run} does not use {service}"));
                    }
                }
                Change::Counter { name, value } => {
                    if self.rows.counters.get(name).is_some_and(|old| old >= value) {
                        return Err(format!("counter {name} does not rise to {value}"));
                    }
                }
                Change::Activity(row) => {
                    if self.activity.iter().rev().take(64).any(|a| a.id == row.id) {
                        return Err(format!("activity {} is there already", row.id));
                    }
                }
                Change::Comment(_) | Change::Text(_) => {}
            }
        }
        for change in changes {
            match change {
                Change::Put { row, .. } => self.rows.load(row.clone()),
                Change::Event(event) => {
                    self.rows.event_seq.insert(event.run_id, event.seq);
                }
                Change::Counter { name, value } => {
                    self.rows.counters.insert(name.clone(), *value);
                }
                Change::Activity(row) => self.activity.push(row.clone()),
                Change::Comment(row) => self.comments.push(row.clone()),
                Change::Text(_) | Change::UserAdded(_) | Change::UserRemoved { .. } => {}
            }
        }
        self.rows.users = users;
        Ok(())
    }

    /// What a new reign loads.
    pub fn load(&self) -> State {
        let mut state = self.rows.clone();
        state.forget_ended();
        state
    }

    /// Who uses a service.
    pub fn users(&self, service: ServiceId) -> Vec<RunId> {
        self.rows.users_of(service).collect()
    }
}

/// The first map in which two states differ, in words.
pub fn difference(memory: &State, disk: &State) -> Option<String> {
    fn of<E: Kept + std::fmt::Debug>(what: &str, memory: &State, disk: &State) -> Option<String> {
        let (memory, disk) = (E::map(memory), E::map(disk));
        if memory == disk {
            return None;
        }
        let keys: std::collections::BTreeSet<E::Id> = memory.keys().chain(disk.keys()).copied().collect();
        let key = keys.into_iter().find(|k| memory.get(k) != disk.get(k))?;
        Some(format!("{what} {key:?}: memory has {:?}, the store {:?}", memory.get(&key), disk.get(&key)))
    }
    use wharf_model::*;
    of::<CompanyRow>("company", memory, disk)
        .or_else(|| of::<ProjectRow>("project", memory, disk))
        .or_else(|| of::<ProjectWorkspaceRow>("project workspace", memory, disk))
        .or_else(|| of::<AgentRow>("agent", memory, disk))
        .or_else(|| of::<AgentRuntimeRow>("agent runtime", memory, disk))
        .or_else(|| of::<EnvironmentRow>("environment", memory, disk))
        .or_else(|| of::<LeaseRow>("lease", memory, disk))
        .or_else(|| of::<WorkspaceRow>("workspace", memory, disk))
        .or_else(|| of::<OperationRow>("operation", memory, disk))
        .or_else(|| of::<SnapshotRow>("snapshot", memory, disk))
        .or_else(|| of::<ServiceRow>("service", memory, disk))
        .or_else(|| of::<IssueRow>("issue", memory, disk))
        .or_else(|| of::<WakeupRow>("wakeup", memory, disk))
        .or_else(|| of::<RunRow>("run", memory, disk))
        .or_else(|| of::<StepRow>("step", memory, disk))
        .or_else(|| of::<RequestRow>("request", memory, disk))
        .or_else(|| of::<ActionRow>("action", memory, disk))
        .or_else(|| {
            let same =
                memory.users == disk.users && memory.event_seq == disk.event_seq && memory.counters == disk.counters;
            (!same).then(|| "users, event numbers or counters differ".to_owned())
        })
}
