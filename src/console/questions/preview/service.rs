//! What stopping or restarting a service would do: to itself, to the runs that use it, to the services that need it.

use wharf_model::rules::service_order;
use wharf_model::{Desired, Kind, ServiceId, ServiceStatus, UnixMillis};
use wharf_store::view::ServiceItem;
use wharf_store::{Reader, StoreError};
use wharf_ui::format;
use wharf_ui::rows::{Expect, Preview, PreviewLine, PreviewVerb};

use super::{line, refused, service_words, stop_words};

/// What stopping a service would do.
pub fn stop(reader: &Reader, id: ServiceId, at: UnixMillis) -> Result<Preview, StoreError> {
    let Some(item) = reader.service(id)? else { return Ok(refused("there is no such service any more", at)) };
    let row = &item.service;
    let mut lines = match row.status {
        ServiceStatus::Starting | ServiceStatus::Running => {
            vec![line(PreviewVerb::Stops, service_words(&item), stop_words(row.grace_ms))]
        }
        ServiceStatus::Backoff => {
            let when = row.deadline_at.map_or_else(String::new, |d| format!("in {}", format::left(at.until(d))));
            vec![line(PreviewVerb::Leaves, format!("the next start of {}", service_words(&item)), when)]
        }
        // Asked once more: whoever keeps it does not listen.
        ServiceStatus::Stopping if row.deadline_at.is_none() => {
            vec![line(PreviewVerb::Stops, service_words(&item), "its whole tree, by force")]
        }
        ServiceStatus::Stopping => return Ok(refused("it is being stopped already", at)),
        other => return Ok(refused(format!("it is {other}; there is nothing to stop"), at)),
    };
    around(&item, &mut lines);
    if row.desired == Desired::Running {
        lines.push(line(PreviewVerb::Records, "wanted stopped", "it was wanted running"));
    }
    let note = match (item.users.is_empty(), item.dependents.is_empty()) {
        (true, true) => "No run uses it, and no service needs it.",
        (false, true) => "Runs that use it go on, and see it go.",
        (true, false) => "Services that need it go on, and see it go.",
        (false, false) => "Runs that use it and services that need it go on, and see it go.",
    };
    Ok(Preview { lines, note: note.to_owned(), expect: own(&item), at, refused: None, args: Vec::new() })
}

/// What restarting a service would do.
pub fn restart(reader: &Reader, id: ServiceId, at: UnixMillis) -> Result<Preview, StoreError> {
    let Some(item) = reader.service(id)? else { return Ok(refused("there is no such service any more", at)) };
    let mut lines = Vec::new();
    if matches!(item.service.status, ServiceStatus::Starting | ServiceStatus::Running) {
        lines.push(line(PreviewVerb::Stops, service_words(&item), stop_words(item.service.grace_ms)));
    }
    around(&item, &mut lines);
    let again = format!("start number {} of it", item.service.generation + 1);
    lines.push(line(PreviewVerb::Records, again, item.service.command.clone()));
    let note = "It starts anew with the same command and keeps its users.".to_owned();
    Ok(Preview { lines, note, expect: own(&item), at, refused: None, args: Vec::new() })
}

/// Runs that use it and services that need it: both stay.
fn around(item: &ServiceItem, lines: &mut Vec<PreviewLine>) {
    for user in &item.users {
        let name = Kind::Run.number(user.run_number);
        let what = user.agent.as_ref().map_or(name.clone(), |agent| format!("{name} {agent}"));
        lines.push(line(PreviewVerb::Keeps, what, "uses it, and loses it meanwhile"));
    }
    for other in &item.dependents {
        let what = crate::service::why::named(other);
        lines.push(line(PreviewVerb::Keeps, what, format!("{}, needs it and loses it meanwhile", other.status)));
    }
}

/// What it was judged by, as the acceptance judges it.
fn own(item: &ServiceItem) -> Vec<Expect> {
    let users = item.users.iter().map(|u| u.run_id);
    let judged = service_order::judged(&item.service, users, item.dependents.iter().map(|o| o.id));
    judged.into_iter().map(|j| Expect { id: j.id, version: j.version }).collect()
}
