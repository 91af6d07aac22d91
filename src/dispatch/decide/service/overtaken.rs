//! Requests to start a service that a later request has overtaken while their files were read.

use serde_json::Value;
use wharf_model::state::State;
use wharf_model::{Desired, Kind, RequestKind, RequestRow, RequestStatus, ServiceRow};

use crate::dispatch::decide::config::service_called;
use crate::dispatch::input::{Prepared, Refusal};

/// Kinds of requests that may say that a service is not to run.
pub(crate) const STOPS: &[RequestKind] = &[RequestKind::ServiceStop, RequestKind::ServiceSetDesired];

/// Whether a request starts a service.
pub(crate) fn is_start(row: &RequestRow) -> bool {
    matches!(RequestKind::parse(&row.kind), Some(RequestKind::ServiceStart | RequestKind::ServiceRestart))
}

/// Why a start is not carried out any more: one of the requests that came `later` stopped the same service.
pub(crate) fn overtaken<'r>(
    state: &State,
    start: &RequestRow,
    prepared: &Prepared,
    later: impl Iterator<Item = &'r RequestRow>,
) -> Option<Refusal> {
    let started = match start.target_id.as_deref().and_then(|id| id.parse().ok()) {
        Some(id) => state.services.get(&id),
        None => {
            let project = if let Prepared::Config(read) = prepared { Some(read.project_uuid) } else { None };
            start.args.get("service").and_then(Value::as_str).and_then(|name| service_called(state, name, project))
        }
    }?;
    let stop = later.filter(|r| r.number > start.number && is_word(r)).find(|r| stops(state, r, started))?;
    let number = Kind::Request.number(stop.number);
    let message = format!("it was asked to stop after that ({number}); start it again if it is to run");
    Some(Refusal::new("illegal_state", message))
}

/// Whether a request says that a service is not to run, and was heard. One that found nothing to stop is a word all
/// the same; one that was not taken for another reason is none.
fn is_word(row: &RequestRow) -> bool {
    let heard = match row.status {
        RequestStatus::Refused => row.error_code.as_deref() == Some("illegal_state"),
        RequestStatus::Pending | RequestStatus::Expired => false,
        RequestStatus::Accepted | RequestStatus::Done | RequestStatus::Failed => true,
    };
    heard
        && match RequestKind::parse(&row.kind) {
            Some(RequestKind::ServiceStop) => true,
            Some(RequestKind::ServiceSetDesired) => row.args["desired"] == Desired::Stopped.as_str(),
            _ => false,
        }
}

/// Whether a stop is about this service, or about another row of it.
fn stops(state: &State, stop: &RequestRow, service: &ServiceRow) -> bool {
    let target = stop.target_id.as_deref().unwrap_or_default();
    if stop.target_type.as_deref() == Some("workspace") {
        let named = stop.args.get("service").and_then(Value::as_str);
        return service.scope_id == target && named.is_none_or(|name| name == service.name);
    }
    target.parse().ok().and_then(|id| state.services.get(&id)).is_some_and(|stopped| {
        let same_key = stopped.reuse_key.is_some() && stopped.reuse_key == service.reuse_key;
        stopped.id == service.id || (same_key && stopped.project_id == service.project_id)
    })
}
