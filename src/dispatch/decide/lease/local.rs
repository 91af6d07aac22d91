//! The environment that every company has: this machine.

use serde_json::json;
use wharf_model::{CompanyId, Driver, EnvironmentId, EnvironmentRow};

use super::super::{Deciding, about};
use crate::dispatch::input::Actor;

/// The company's own environment, made when it is first needed; there is never a second one.
pub(crate) fn ensure_local(d: &mut Deciding<'_, '_>, company: CompanyId) -> EnvironmentRow {
    let found = d.state().environments.values().find(|e| e.company_id == company && e.driver == Driver::Local).cloned();
    if let Some(found) = found {
        return found;
    }
    let id: EnvironmentId = d.id();
    let number = d.tx.next_number("environment");
    let now = d.now();
    d.tx.put(EnvironmentRow {
        description: Some("This machine, without a sandbox".into()),
        metadata: Some(json!({ "managedByWharf": true, "defaultForCompany": true })),
        ..EnvironmentRow::new(id, number, company, "Local", Driver::Local, now)
    });
    let row = d.tx.get::<EnvironmentRow>(id).cloned();
    let Some(row) = row else { unreachable!("a row that was just put is there") };
    d.activity(&Actor::system(), "environment.created", &about::environment(&row), None);
    row
}
