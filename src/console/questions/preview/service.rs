//! What stopping or restarting a service would do: to itself, to the runs that use it, to the services that need it.

use wharf_model::rules::release::Judged;
use wharf_model::rules::service_order::{self, Dependents};
use wharf_model::{Desired, Kind, ServiceId, ServiceRow, ServiceStatus, UnixMillis};
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
    around(&item, &[], &mut lines);
    if row.desired == Desired::Running {
        lines.push(line(PreviewVerb::Records, "wanted stopped", "it was wanted running"));
    }
    // Confirmed with their names before one's eyes.
    let args = if item.dependents.is_empty() { Vec::new() } else { vec![says(Dependents::Leave)] };
    let note = match (item.users.is_empty(), item.dependents.is_empty()) {
        (true, true) => "No run uses it, and no service needs it.",
        (false, true) => "Runs that use it go on, and see it go.",
        (true, false) => "Services that need it go on, and see it go; d stops them first.",
        (false, false) => {
            "Runs that use it and services that need it go on, and see it go; d stops the services first."
        }
    };
    Ok(Preview { lines, note: note.to_owned(), expect: own(&item), at, refused: None, args })
}

fn says(what: Dependents) -> (&'static str, String) {
    ("dependents", what.as_str().to_owned())
}

/// What stopping a service with all that need it would do.
pub fn stop_all(reader: &Reader, id: ServiceId, at: UnixMillis) -> Result<Preview, StoreError> {
    let Some(item) = reader.service(id)? else { return Ok(refused("there is no such service any more", at)) };
    let items = with_dependents(reader, vec![item])?;
    if let [one] = items.as_slice() {
        let mut preview = stop(reader, one.service.id, at)?;
        preview.args = vec![says(Dependents::Stop)];
        return Ok(preview);
    }
    let mut lines = Vec::new();
    for item in &items {
        lines.push(line(PreviewVerb::Stops, service_words(item), stop_words(item.service.grace_ms)));
        around(item, &items, &mut lines);
        if item.service.desired == Desired::Running {
            lines.push(line(
                PreviewVerb::Records,
                format!("{} wanted stopped", item.service.name),
                "it was wanted running",
            ));
        }
    }
    let users = items.iter().any(|i| !i.users.is_empty());
    let users = if users { " Runs that use them go on, and see them go." } else { "" };
    let judged = service_order::judged_together(items.iter().map(judged));
    Ok(Preview {
        lines,
        note: format!("One after the other: each once those that need it have ended. d leaves those alone.{users}"),
        expect: judged.into_iter().map(|j| Expect { id: j.id, version: j.version }).collect(),
        at,
        refused: None,
        args: vec![says(Dependents::Stop)],
    })
}

/// These services and all that need them, in the order in which they are stopped together.
///
/// # Errors
/// The store cannot be read.
pub fn with_dependents(reader: &Reader, items: Vec<ServiceItem>) -> Result<Vec<ServiceItem>, StoreError> {
    let of: Vec<ServiceId> = items.iter().map(|i| i.service.id).collect();
    let mut known = items;
    let mut at = 0;
    while let Some(item) = known.get(at) {
        let next: Vec<ServiceId> = item.dependents.iter().map(|o| o.id).collect();
        for id in next {
            if !known.iter().any(|k| k.service.id == id) {
                known.extend(reader.service(id)?);
            }
        }
        at += 1;
    }
    let rows: Vec<&ServiceRow> = known.iter().map(|i| &i.service).collect();
    let order: Vec<ServiceId> = service_order::stop_order(&rows, &of).into_iter().map(|s| s.id).collect();
    known.sort_by_key(|i| order.iter().position(|id| *id == i.service.id));
    Ok(known)
}

/// What restarting a service would do.
pub fn restart(reader: &Reader, id: ServiceId, at: UnixMillis) -> Result<Preview, StoreError> {
    let Some(item) = reader.service(id)? else { return Ok(refused("there is no such service any more", at)) };
    let mut lines = Vec::new();
    if matches!(item.service.status, ServiceStatus::Starting | ServiceStatus::Running) {
        lines.push(line(PreviewVerb::Stops, service_words(&item), stop_words(item.service.grace_ms)));
    }
    around(&item, &[], &mut lines);
    let again = format!("start number {} of it", item.service.generation + 1);
    lines.push(line(PreviewVerb::Records, again, item.service.command.clone()));
    let note = "It starts anew with the same command and keeps its users.".to_owned();
    Ok(Preview { lines, note, expect: own(&item), at, refused: None, args: Vec::new() })
}

/// Runs that use it and services that need it: both stay, but for those that are stopped with it.
fn around(item: &ServiceItem, stopped: &[ServiceItem], lines: &mut Vec<PreviewLine>) {
    for user in &item.users {
        let name = Kind::Run.number(user.run_number);
        let what = user.agent.as_ref().map_or(name.clone(), |agent| format!("{name} {agent}"));
        lines.push(line(PreviewVerb::Keeps, what, "uses it, and loses it meanwhile"));
    }
    for other in item.dependents.iter().filter(|o| !stopped.iter().any(|s| s.service.id == o.id)) {
        let what = crate::service::why::named(other);
        lines.push(line(PreviewVerb::Keeps, what, format!("{}, needs it and loses it meanwhile", other.status)));
    }
}

/// What it was judged by, as the acceptance judges it.
fn own(item: &ServiceItem) -> Vec<Expect> {
    judged(item).into_iter().map(|j| Expect { id: j.id, version: j.version }).collect()
}

fn judged(item: &ServiceItem) -> Vec<Judged> {
    let users = item.users.iter().map(|u| u.run_id);
    service_order::judged(&item.service, users, item.dependents.iter().map(|o| o.id))
}
