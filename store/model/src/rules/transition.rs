//! Which state may follow which: the one table of legality (contracts 5), used live and on recovery.

use crate::*;

/// A change that no rule allows; a defect of ours, never of the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{entity} {id} may not go from {from} to {to}")]
pub struct Illegal {
    /// Kind of the row.
    pub entity: &'static str,
    /// Its key.
    pub id: String,
    /// State before, `-` when there was none.
    pub from: String,
    /// State after.
    pub to: String,
}

/// Whether a run may go from one status to another; staying is always allowed while not ended.
pub const fn run(from: Option<RunStatus>, to: RunStatus) -> bool {
    use RunStatus::*;
    match (from, to) {
        (None, Queued | ScheduledRetry)
        | (Some(ScheduledRetry), ScheduledRetry | Queued | Cancelled)
        | (Some(Queued), Queued | Running | Cancelled)
        | (Some(Running), Running | Succeeded | Failed | Cancelled | TimedOut | Lost)
        // Facts about an ended run (hashes of its log, liveness) are still written; its status stays.
        | (Some(Succeeded), Succeeded)
        | (Some(Failed), Failed)
        | (Some(Cancelled), Cancelled)
        | (Some(TimedOut), TimedOut)
        | (Some(Lost), Lost) => true,
        _ => false,
    }
}

/// Whether a step may go from one status to another.
pub const fn step(from: Option<StepStatus>, to: StepStatus) -> bool {
    use StepStatus::*;
    matches!((from, to), (None, _) | (Some(Pending), _) | (Some(Running), Running | Succeeded | Failed | Skipped))
}

/// Whether a lease may go from one status to another.
pub const fn lease(from: Option<LeaseStatus>, to: LeaseStatus) -> bool {
    use LeaseStatus::*;
    match (from, to) {
        (None, Waiting | Acquiring)
        | (Some(Waiting), Waiting | Acquiring | Failed)
        | (Some(Acquiring), Acquiring | Active | Failed | PendingCleanup)
        | (Some(Active), Active | Releasing | Retained)
        // Released without a call: what it held went over to another lease.
        | (Some(Retained), Retained | Releasing | Released)
        | (Some(Releasing), Releasing | Released | Failed | Expired | PendingCleanup)
        | (Some(PendingCleanup), PendingCleanup | Releasing) => true,
        _ => false,
    }
}

/// Whether a service may go from one status to another.
pub const fn service(from: Option<ServiceStatus>, to: ServiceStatus) -> bool {
    use ServiceStatus::*;
    match (from, to) {
        (None, Starting | Stopped)
        | (Some(Starting), Starting | Running | Failed | Stopping | Backoff)
        | (Some(Running), Running | Stopping | Backoff | Stopped | Failed)
        | (Some(Stopping), Stopping | Stopped | Failed)
        | (Some(Backoff), Backoff | Starting | Stopped | Failed)
        | (Some(Stopped), Stopped | Starting)
        | (Some(Failed), Failed | Starting) => true,
        _ => false,
    }
}

/// Whether a workspace may go from one status to another.
pub const fn workspace(from: Option<WorkspaceStatus>, to: WorkspaceStatus) -> bool {
    use WorkspaceStatus::*;
    match (from, to) {
        (None, Realising)
        // Brought back it rests; what could not be brought back is where it was.
        | (Some(Realising), Realising | Active | Failed | Idle | Archived | Missing)
        | (Some(Active), Active | Idle | Missing | InReview | Archiving | Realising)
        | (Some(Idle), Idle | Active | InReview | Archiving | Missing | Realising)
        | (Some(InReview), InReview | Idle | Archiving)
        | (Some(Failed), Failed | Archiving | Realising)
        // Back where it was: it was used again before anything was moved.
        | (Some(Archiving), Archiving | Archived | CleanupFailed | Idle)
        | (Some(CleanupFailed), CleanupFailed | Archiving)
        // What git has of a directory that is gone is removed by the same action; and it may come back by itself.
        | (Some(Missing), Missing | Realising | Archiving | Archived | Idle)
        | (Some(Archived), Archived | Realising) => true,
        _ => false,
    }
}

/// Whether an environment may go from one status to another.
pub const fn environment(from: Option<EnvironmentStatus>, to: EnvironmentStatus) -> bool {
    use EnvironmentStatus::*;
    // Rows that name a deleted one stay, and so does what its row says.
    matches!(
        (from, to),
        (None, Active)
            | (Some(Active), Active | Archived)
            | (Some(Archived), Archived | Active | Deleted)
            | (Some(Deleted), Deleted)
    )
}

/// Whether a request may go from one status to another.
pub const fn request(from: Option<RequestStatus>, to: RequestStatus) -> bool {
    use RequestStatus::*;
    match (from, to) {
        (None, Pending)
        | (Some(Pending), Pending | Accepted | Done | Failed | Refused | Expired)
        | (Some(Accepted), Accepted | Done | Failed) => true,
        _ => false,
    }
}

/// Whether an action may go from one status to another.
pub const fn action(from: Option<ActionStatus>, to: ActionStatus) -> bool {
    use ActionStatus::*;
    match (from, to) {
        (None, Pending | Performing) | (Some(Pending | Performing), _) => true,
        _ => false,
    }
}

/// A row whose changes are held to the table, where it has a status there.
pub trait Judged: Sized {
    /// Says whether the row may become the other one; `None` is a row that is not there yet.
    fn judge(old: Option<&Self>, new: &Self) -> Result<(), Illegal>;
}

macro_rules! judged {
    ($($row:ty: $rule:path, $entity:literal;)+) => {
        $(impl Judged for $row {
            fn judge(old: Option<&Self>, new: &Self) -> Result<(), Illegal> {
                let from = old.map(|old| old.status);
                if $rule(from, new.status) {
                    return Ok(());
                }
                Err(Illegal {
                    entity: $entity,
                    id: format!("{:?}", column::Entity::id(new)),
                    from: from.map_or("-", |s| s.as_str()).to_owned(),
                    to: new.status.as_str().to_owned(),
                })
            }
        })+
    };
}
judged! {
    RunRow: run, "run";
    StepRow: step, "step";
    LeaseRow: lease, "lease";
    ServiceRow: service, "service";
    WorkspaceRow: workspace, "workspace";
    EnvironmentRow: environment, "environment";
    RequestRow: request, "request";
    ActionRow: action, "action";
}

macro_rules! free {
    ($($row:ty),+ $(,)?) => {
        $(impl Judged for $row {
            fn judge(_: Option<&Self>, _: &Self) -> Result<(), Illegal> {
                Ok(())
            }
        })+
    };
}
free!(
    CompanyRow,
    ProjectRow,
    ProjectWorkspaceRow,
    AgentRow,
    AgentRuntimeRow,
    OperationRow,
    SnapshotRow,
    IssueRow,
    WakeupRow,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_states_are_never_left() {
        for &from in RunStatus::ALL.iter().filter(|s| s.is_terminal()) {
            for &to in RunStatus::ALL {
                assert_eq!(run(Some(from), to), from == to, "run {from} -> {to}");
            }
        }
        for &from in LeaseStatus::ALL.iter().filter(|s| s.is_terminal()) {
            for &to in LeaseStatus::ALL {
                assert!(!lease(Some(from), to), "lease {from} -> {to}");
            }
        }
        for &to in EnvironmentStatus::ALL {
            let deleted = EnvironmentStatus::Deleted;
            assert_eq!(environment(Some(deleted), to), to == deleted, "environment {deleted} -> {to}");
        }
        for &from in RequestStatus::ALL.iter().filter(|s| s.is_terminal()) {
            for &to in RequestStatus::ALL {
                assert!(!request(Some(from), to), "request {from} -> {to}");
            }
        }
    }

    #[test]
    fn every_state_can_be_reached_from_nothing() {
        let mut seen: Vec<RunStatus> = RunStatus::ALL.iter().copied().filter(|s| run(None, *s)).collect();
        let mut at = 0;
        while at < seen.len() {
            let from = seen[at];
            for &to in RunStatus::ALL {
                if run(Some(from), to) && !seen.contains(&to) {
                    seen.push(to);
                }
            }
            at += 1;
        }
        assert_eq!(seen.len(), RunStatus::ALL.len());
    }
}
