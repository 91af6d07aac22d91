//! Which services need which others: a service that runs uses what it needs.

use serde_json::Value;

use super::release::Judged;
use crate::*;

/// Services that this one was started with and needs. They stand in its row from the moment of its start.
pub fn needs(service: &ServiceRow) -> Vec<ServiceId> {
    let listed = service.waits_for.as_ref().and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(|id| id.as_str()?.parse().ok()).collect()
}

/// Needs as they are written to a row; none when there are none.
pub fn to_row(needs: &[ServiceId]) -> Option<Value> {
    (!needs.is_empty()).then(|| needs.iter().map(|id| id.text()).collect())
}

/// Services that need another one now: those that have not ended.
pub fn dependents<'a>(
    services: impl IntoIterator<Item = &'a ServiceRow>,
    of: ServiceId,
) -> impl Iterator<Item = &'a ServiceRow> {
    services.into_iter().filter(move |s| s.status.is_open() && needs(s).contains(&of))
}

/// What a request to stop a service says of those that need it: its argument `dependents`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependents {
    /// They are stopped first, in the reverse order of their start.
    Stop,
    /// They go on without it.
    Leave,
}

impl Dependents {
    /// As it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Leave => "leave",
        }
    }

    /// What the arguments of a request say; none when they say nothing of them.
    pub fn of(args: &Value) -> Option<Self> {
        let said = args.get("dependents")?.as_str()?;
        [Self::Stop, Self::Leave].into_iter().find(|d| d.as_str() == said)
    }
}

/// Services in the order in which they are stopped together with all that need them: each after those.
pub fn stop_order<'a>(services: &[&'a ServiceRow], of: &[ServiceId]) -> Vec<&'a ServiceRow> {
    fn visit<'a>(all: &[&'a ServiceRow], id: ServiceId, seen: &mut Vec<ServiceId>, order: &mut Vec<&'a ServiceRow>) {
        if seen.contains(&id) {
            return;
        }
        seen.push(id);
        let mut next: Vec<&ServiceRow> = dependents(all.iter().copied(), id).collect();
        next.sort_unstable_by_key(|s| s.number);
        for other in next {
            visit(all, other.id, seen, order);
        }
        order.extend(all.iter().find(|s| s.id == id));
    }
    let (mut seen, mut order) = (Vec::new(), Vec::new());
    for id in of {
        visit(services, *id, &mut seen, &mut order);
    }
    order
}

/// What a request to stop or restart a service was judged by: its row, and who uses it.
pub fn judged(
    service: &ServiceRow,
    users: impl IntoIterator<Item = RunId>,
    dependents: impl IntoIterator<Item = ServiceId>,
) -> Vec<Judged> {
    let uses = |id: String| Judged { id, version: Judged::USES };
    std::iter::once(Judged { id: service.id.text(), version: service.version })
        .chain(users.into_iter().map(|run| uses(run.text())))
        .chain(dependents.into_iter().map(|other| uses(other.text())))
        .collect()
}

/// What stopping several at once was judged by: their rows, and who else uses them, each once.
pub fn judged_together(all: impl IntoIterator<Item = Vec<Judged>>) -> Vec<Judged> {
    let mut together = std::collections::BTreeMap::new();
    for Judged { id, version } in all.into_iter().flatten() {
        // One that goes with the others is judged by its row, whoever needs it.
        let known = together.entry(id).or_insert(version);
        *known = version.max(*known);
    }
    together.into_iter().map(|(id, version)| Judged { id, version }).collect()
}

/// Whether a service belongs to a workspace: kept for it, or running inside one of its directories. What an adapter
/// keeps is the adapter's.
pub fn is_of_workspace(service: &ServiceRow, id: WorkspaceId, workspace: Option<&WorkspaceRow>) -> bool {
    let places = workspace.into_iter().flat_map(|w| [w.cwd.as_deref(), w.provider_ref.as_deref()]).flatten();
    let its_own = service.scope_type == ReuseScope::ExecutionWorkspace && service.scope_id == id.text();
    !super::service_desired::is_reported(service) && (its_own || places.into_iter().any(|p| lies_in(&service.cwd, p)))
}

/// Whether `cwd` lies in `directory` or is it. Both are absolute.
pub fn lies_in(cwd: &str, directory: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    !directory.is_empty() && cwd.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::test_rows::service;

    #[test]
    fn who_needs_whom() {
        let db = service();
        let id = |n| ServiceId(uuid::Uuid::from_u128(n));
        let web =
            |n, status, needs: &[ServiceId]| ServiceRow { id: id(n), status, waits_for: to_row(needs), ..service() };
        let rows = [
            web(50, ServiceStatus::Running, &[db.id]),
            web(51, ServiceStatus::Backoff, &[id(9), db.id]),
            web(52, ServiceStatus::Stopped, &[db.id]),
            web(53, ServiceStatus::Running, &[]),
        ];
        assert_eq!(needs(&rows[1]), [id(9), db.id]);
        let found: Vec<_> = dependents(&rows, db.id).map(|s| s.id).collect();
        assert_eq!(found, [id(50), id(51)]);
        let judged = judged(&db, [RunId(uuid::Uuid::from_u128(7))], found);
        assert_eq!(judged.len(), 4);
        assert_eq!(judged[0], Judged { id: db.id.text(), version: db.version });
    }

    #[test]
    fn who_is_stopped_before_whom() {
        let id = |n| ServiceId(uuid::Uuid::from_u128(n));
        let row = |n: u128, status, needs: &[u128]| {
            let needs: Vec<ServiceId> = needs.iter().map(|n| id(*n)).collect();
            ServiceRow { id: id(n), number: n as i64, status, waits_for: to_row(&needs), ..service() }
        };
        // 1 is needed by 2 and 3, 3 by 2 and 4; 5 needs it and does not run.
        let rows = [
            row(1, ServiceStatus::Running, &[]),
            row(2, ServiceStatus::Running, &[1, 3]),
            row(3, ServiceStatus::Backoff, &[1]),
            row(4, ServiceStatus::Starting, &[3]),
            row(5, ServiceStatus::Stopped, &[1]),
        ];
        let all: Vec<&ServiceRow> = rows.iter().collect();
        let order = |of: &[u128]| -> Vec<i64> {
            let of: Vec<ServiceId> = of.iter().map(|n| id(*n)).collect();
            stop_order(&all, &of).into_iter().map(|s| s.number).collect()
        };
        for (of, expected) in
            [(&[1][..], &[2, 4, 3, 1][..]), (&[3], &[2, 4, 3]), (&[2], &[2]), (&[1, 3], &[2, 4, 3, 1]), (&[9], &[])]
        {
            assert_eq!(order(of), expected, "{of:?}");
        }
        // Rows that need each other, which no config allows, end all the same.
        let (a, b) = (row(1, ServiceStatus::Running, &[2]), row(2, ServiceStatus::Running, &[1]));
        assert_eq!(stop_order(&[&a, &b], &[a.id]).len(), 2);
    }

    #[test]
    fn what_lies_in_a_directory() {
        let table = [
            ("/w/a", "/w/a", true),
            ("/w/a/b", "/w/a", true),
            ("/w/a/b", "/w/a/", true),
            ("/w/ab", "/w/a", false),
            ("/w", "/w/a", false),
            ("/w/a", "/", false),
            ("/w/a", "", false),
        ];
        for (cwd, directory, expected) in table {
            assert_eq!(lies_in(cwd, directory), expected, "{cwd} in {directory}");
        }
    }
}
