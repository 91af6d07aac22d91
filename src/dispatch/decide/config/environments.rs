//! Environments that a project's config defines: one row each, for as long as the file says so.

use serde_json::json;
use wharf_model::config::{EnvironmentConfig, ProjectConfig};
use wharf_model::rules::environment_change::title;
use wharf_model::{
    Driver, EnvironmentId, EnvironmentRow, EnvironmentStatus, Kind, LeaseRow, Origin, ProjectId, ProjectRow,
};

use super::super::{Deciding, about, environment};
use crate::dispatch::input::{Actor, Refusal};

/// Makes the rows what the file says: those it names new are made, those it has dropped are archived.
pub(super) fn ensure_rows(
    d: &mut Deciding<'_, '_>,
    project: &ProjectRow,
    config: &ProjectConfig,
) -> Result<(), Refusal> {
    // One of driver local would be a second Local: the name stands for it, and reading refuses it.
    for wanted in config.environments.iter().filter(|e| e.driver != Driver::Local) {
        let settings = json!({
            "project": project.id.text(), "base": project.path, "config": wanted.settings(&config.secrets),
        });
        let filled = |row: EnvironmentRow| EnvironmentRow {
            origin: Origin::Config,
            driver: wanted.driver,
            status: EnvironmentStatus::Active,
            lease_policy: wanted.lease_policy,
            slots: wanted.slots.map(i64::from),
            ttl_ms: i64::try_from(wanted.ttl_ms).unwrap_or(i64::MAX),
            keep_ms: i64::try_from(wanted.keep_ms).unwrap_or(i64::MAX),
            config: settings,
            ..row
        };
        match holder(d, project, wanted)? {
            Some(old) => change(d, project, &old, filled(old.clone()))?,
            None => {
                let id: EnvironmentId = d.id();
                let number = d.tx.next_number("environment");
                let now = d.now();
                let new = EnvironmentRow::new(id, number, project.company_id, wanted.name.clone(), wanted.driver, now);
                let row = filled(new);
                d.tx.put(row.clone());
                let details = json!({ "driver": row.driver.as_str(), "origin": "config" });
                d.activity(&Actor::system(), "environment.created", &about::environment(&row), Some(details));
            }
        }
    }
    let gone: Vec<EnvironmentRow> = d
        .state()
        .environments
        .values()
        .filter(|e| e.origin == Origin::Config && e.config_project() == Some(project.id))
        .filter(|e| e.status == EnvironmentStatus::Active && !config.environments.iter().any(|w| w.name == e.name))
        .cloned()
        .collect();
    for row in gone {
        environment::archive_row(d, &row, &Actor::system(), Some(json!({ "reason": "removed from the config" })));
    }
    Ok(())
}

/// The row that has the name already, where the file may have it; one name, one origin.
fn holder(
    d: &Deciding<'_, '_>,
    project: &ProjectRow,
    wanted: &EnvironmentConfig,
) -> Result<Option<EnvironmentRow>, Refusal> {
    let Some(other) = environment::by_name(d, project.company_id, &wanted.name) else { return Ok(None) };
    let of = match (other.origin, other.config_project()) {
        (Origin::Config, Some(of)) => of,
        (Origin::Config, None) => return Ok(Some(other)),
        (Origin::Manual, _) => {
            let number = Kind::Environment.number(other.number);
            let is = if other.status == EnvironmentStatus::Active { "" } else { ", now archived" };
            let message = format!(
                "environment {:?} of {}/wharf.toml is called like {number}, which was made by hand{is}; choose another \
                 name in the file, or delete that one: wharf env delete {number}",
                wanted.name, project.path
            );
            return Err(Refusal::new("config_invalid", message));
        }
    };
    // A name that the other file has dropped is free.
    let stands = |id: ProjectId| d.state().projects.get(&id).is_some_and(|p| p.removed_at.is_none());
    if of == project.id || other.status != EnvironmentStatus::Active || !stands(of) {
        return Ok(Some(other));
    }
    let file = d.state().projects.get(&of).map_or_else(String::new, |p| format!("{}/wharf.toml", p.path));
    let message = format!(
        "environment {:?} of {}/wharf.toml is called like {}, which stands in {file}; environments belong to the whole \
         company, so choose another name in one of the two files",
        wanted.name,
        project.path,
        title(&other)
    );
    Err(Refusal::new("config_invalid", message))
}

/// Writes what has changed, and says what it was.
fn change(
    d: &mut Deciding<'_, '_>,
    project: &ProjectRow,
    old: &EnvironmentRow,
    mut new: EnvironmentRow,
) -> Result<(), Refusal> {
    if let Some(open) = open_lease_of_another_driver(d, old, new.driver) {
        let message = format!(
            "environment {} of {}/wharf.toml cannot change its driver from {} to {}: lease {} was acquired with it; \
             release that first, or give the environment another name",
            old.name,
            project.path,
            old.driver,
            new.driver,
            Kind::Lease.number(open.number)
        );
        return Err(Refusal::new("config_invalid", message));
    }
    let changed = environment::changed_keys(old, &new);
    if changed.iter().any(|key| key == "driver" || key.starts_with("config.")) {
        // What was seen of it was seen of other settings.
        new.probe = None;
    }
    environment::keep_it(&mut new);
    let about = about::environment(&new);
    let back = old.status == EnvironmentStatus::Archived;
    d.tx.put(new);
    let details = json!({ "changed": changed });
    if back {
        d.activity(&Actor::system(), "environment.restored", &about, Some(details));
    } else if !changed.is_empty() {
        d.activity(&Actor::system(), "environment.updated", &about, Some(details));
    }
    Ok(())
}

/// A lease that has not ended, of an environment whose driver is to be another one: only the one it was acquired with
/// can give it back.
pub(in crate::dispatch::decide) fn open_lease_of_another_driver(
    d: &Deciding<'_, '_>,
    environment: &EnvironmentRow,
    driver: Driver,
) -> Option<LeaseRow> {
    if environment.driver == driver {
        return None;
    }
    d.state().leases.values().find(|l| l.environment_id == environment.id && !l.status.is_terminal()).cloned()
}
