//! What is asked of the store itself, and what was found in it.

use serde_json::{Value, json};
use wharf_model::{ActionId, ActionKind, ActionRow, ActionStatus, RequestId, RequestRow, RequestStatus};

use super::{About, Deciding};
use crate::dispatch::input::Actor;

/// Intends a backup; the request is done once the copy is on the disk.
pub(crate) fn back_up(d: &mut Deciding<'_, '_>, row: &RequestRow) -> Value {
    let to = row.args.get("to").and_then(Value::as_str);
    let args = to.map(|to| json!({ "to": to }));
    let action = d.intend(ActionKind::BackupStore, "store", &row.id.text(), 1, None, args);
    json!({ "action_id": action.text() })
}

/// The copy is on the disk.
pub(crate) fn backed_up(d: &mut Deciding<'_, '_>, action: ActionId, path: &str, bytes: i64) {
    let Some(request) = asked(d, action) else { return };
    d.end_action(action, ActionStatus::Done, None);
    let details = json!({ "path": path, "bytes": bytes });
    let now = d.now();
    let mut actor = Actor::system();
    if let Some(row) = d.tx.get::<RequestRow>(request) {
        actor = Actor { kind: row.actor_type, id: row.actor_id.clone() };
        d.tx.update::<RequestRow>(request, |r| {
            r.status = RequestStatus::Done;
            r.finished_at = Some(now);
            r.result = Some(details.clone());
        });
    }
    record(d, &actor, "store.backed_up", details);
}

/// No copy could be made: whoever asked is told why, and may ask again.
pub(crate) fn not_backed_up(d: &mut Deciding<'_, '_>, action: ActionId, code: &str, message: &str) {
    let Some(request) = asked(d, action) else { return };
    d.end_action(action, ActionStatus::Failed, Some(message.to_owned()));
    let now = d.now();
    if d.tx.get::<RequestRow>(request).is_some() {
        d.tx.update::<RequestRow>(request, |r| {
            r.status = RequestStatus::Failed;
            r.finished_at = Some(now);
            r.error_code = Some(code.to_owned());
            r.error = Some(message.to_owned());
        });
    }
}

/// The request that an open action is for; none when the word about it comes twice.
fn asked(d: &Deciding<'_, '_>, action: ActionId) -> Option<RequestId> {
    d.tx.get::<ActionRow>(action).filter(|a| super::is_open(a.status))?.entity_id.parse().ok()
}

/// The store was looked through and damage was found.
pub(crate) fn damage_found(d: &mut Deciding<'_, '_>, finding: &str) {
    record(d, &Actor::system(), "store.checked", json!({ "finding": finding }));
}

/// A store without a company has no trail yet.
fn record(d: &mut Deciding<'_, '_>, actor: &Actor, action: &str, details: Value) {
    let Some(company) = d.state().companies.keys().next().copied() else { return };
    let about = About { entity: "store", id: "store".to_owned(), number: None, company, project: None, run: None };
    d.activity(actor, action, &about, Some(details));
}
