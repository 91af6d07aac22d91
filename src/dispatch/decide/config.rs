//! Projects and their config: what the file says becomes rows once somebody has accepted it.

pub(super) mod environments;

use serde_json::{Value, json};
use wharf_model::config::{AgentConfig, ProjectConfig, executable_difference};
use wharf_model::rules::service_desired::is_reported;
use wharf_model::state::State;
use wharf_model::{
    AgentId, AgentRow, AgentStatus, CompanyId, CompanyRow, CompanyStatus, Origin, ProjectId, ProjectRow,
    ProjectWorkspaceId, ProjectWorkspaceRow, RequestRow, ServiceId, ServiceRow,
};

use super::workspace::moved;
use super::{Deciding, about, service};
use crate::dispatch::input::{Actor, ConfigRead, Prepared, Refusal};

/// The first explicit verb on a project accepts its config; a later change of what can execute stays pending.
/// Gives the project, when the request came with one.
pub(crate) fn first_verb(
    d: &mut Deciding<'_, '_>,
    prepared: &Prepared,
    actor: &Actor,
) -> Result<Option<ProjectId>, Refusal> {
    let Prepared::Config(read) = prepared else { return Ok(None) };
    let id = ensure_project(d, read, actor)?;
    let Some(project) = d.tx.get::<ProjectRow>(id).cloned() else { return Ok(None) };
    match &project.accepted_executable_hash {
        None => take(d, id, read, actor)?,
        Some(accepted) if read.is_accepted_as(accepted) => {
            let config = read.in_force();
            let hash = read.executable_hash();
            if project.config_hash.as_deref() != Some(&config.content_hash()) || project.pending_config.is_some() {
                put_in_force(d, id, &config)?;
            } else {
                // Its directory may have moved.
                environments::ensure_rows(d, &project, &config)?;
                service::ensure_rows(d, &project);
            }
            d.tx.update::<ProjectRow>(id, |p| p.accepted_executable_hash = Some(hash));
        }
        Some(_) => hold(d, &project, read),
    }
    Ok(Some(id))
}

/// `config.accept`: puts the file as it stands into force.
pub(crate) fn accept(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    prepared: &Prepared,
    actor: &Actor,
) -> Result<Value, Refusal> {
    let Prepared::Config(read) = prepared else {
        return Err(Refusal::new("config_invalid", "the config was not read"));
    };
    let hash = read.executable_hash();
    // Whoever was shown what it changes accepts that, and nothing that was written since.
    if row.args.get("executable_hash").and_then(Value::as_str).is_some_and(|shown| shown != hash) {
        return Err(Refusal::new(
            "changed_since_preview",
            format!("wharf.toml of {} has changed again since it was shown; look at it once more", read.path),
        ));
    }
    let id = ensure_project(d, read, actor)?;
    let before = d.tx.get::<ProjectRow>(id).and_then(|p| p.accepted_executable_hash.clone());
    take(d, id, read, actor)?;
    let same = before.is_some_and(|before| read.is_accepted_as(&before));
    Ok(json!({ "project_id": id.text(), "changed": !same }))
}

/// `project.add`: the project is known; nothing of its config may run yet.
pub(crate) fn add_project(d: &mut Deciding<'_, '_>, prepared: &Prepared, actor: &Actor) -> Result<Value, Refusal> {
    let Prepared::Config(read) = prepared else {
        return Err(Refusal::new("config_invalid", "the config was not read"));
    };
    let id = ensure_project(d, read, actor)?;
    let Some(project) = d.tx.get::<ProjectRow>(id).cloned() else {
        return Err(Refusal::new("internal", "the project's row is gone"));
    };
    let hash = read.executable_hash();
    if project.accepted_executable_hash.is_none() {
        announce(d, &project, read);
    } else {
        first_verb(d, prepared, actor)?;
    }
    let pending = d.tx.get::<ProjectRow>(id).and_then(|p| p.pending_executable_hash.clone()).is_some();
    Ok(json!({ "project_id": id.text(), "key": project.key, "pending": pending, "executable_hash": hash }))
}

/// The agent that a request names, by id or by its name in the project.
pub(crate) fn agent_named(
    d: &Deciding<'_, '_>,
    row: &RequestRow,
    project: Option<ProjectId>,
) -> Result<AgentId, Refusal> {
    if let Some(id) = row.target_id.as_deref().and_then(|t| t.parse::<AgentId>().ok()) {
        return Ok(id);
    }
    let name = row.args.get("agent").and_then(Value::as_str).or(row.target_id.as_deref()).unwrap_or_default();
    if name.is_empty() {
        return Err(Refusal::new("agent_not_found", "the request names no agent: give its name in `agent`"));
    }
    let agents: Vec<&AgentRow> = d
        .state()
        .agents
        .values()
        .filter(|a| project.is_none_or(|p| a.project_id == p) && a.status != AgentStatus::Archived)
        .collect();
    let found: Vec<&&AgentRow> = agents.iter().filter(|a| a.name == name).collect();
    match found.as_slice() {
        [one] => Ok(one.id),
        [] => {
            let mut names: Vec<&str> = agents.iter().map(|a| a.name.as_str()).collect();
            names.sort_unstable();
            let known =
                if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
            Err(Refusal::new("agent_not_found", format!("no agent of this project is called {name}; {known}")))
        }
        _ => Err(Refusal::new("id_ambiguous", format!("several projects have an agent {name}; say which project"))),
    }
}

/// The service that a request names, by id or by its name in the project.
pub(crate) fn service_named(
    d: &Deciding<'_, '_>,
    row: &RequestRow,
    project: Option<ProjectId>,
) -> Result<ServiceId, Refusal> {
    let text = row.target_id.as_deref().unwrap_or_default();
    if let Ok(id) = text.parse::<ServiceId>()
        && d.state().services.contains_key(&id)
    {
        return Ok(id);
    }
    let name = row.args.get("service").and_then(Value::as_str).unwrap_or(text);
    service_called(d.state(), name, project)
        .map(|s| s.id)
        .ok_or_else(|| Refusal::new("id_unknown", format!("no service of this project is called {name}")))
}

/// The service that a name stands for, in a project or in any.
pub(super) fn service_called<'s>(state: &'s State, name: &str, project: Option<ProjectId>) -> Option<&'s ServiceRow> {
    let named = state.services.values().filter(|s| s.name == name && project.is_none_or(|p| s.project_id == p));
    // One of ours goes before what an adapter reports; a row in the form that is in force before one that was
    // replaced.
    named.max_by_key(|s| (!is_reported(s), service::is_configured(s), s.number))
}

/// The company of this name, made when it is first named.
pub(super) fn ensure_company(d: &mut Deciding<'_, '_>, name: &str) -> CompanyId {
    if let Some(company) = d.state().companies.values().find(|c| c.name == name) {
        return company.id;
    }
    let id: CompanyId = d.id();
    let now = d.now();
    d.tx.put(CompanyRow {
        id,
        name: name.to_owned(),
        status: CompanyStatus::Active,
        version: 0,
        created_at: now,
        updated_at: now,
    });
    id
}

/// Makes room for a project: its key must be free. One of which nothing is left where it stood gives its key up
/// and is removed; its runs and issues stay. Nobody takes a key that another project still stands by.
fn make_room(d: &mut Deciding<'_, '_>, read: &ConfigRead, actor: &Actor) -> Result<(), Refusal> {
    let (id, key) = (read.project_uuid, &read.config.project.key);
    let others: Vec<ProjectRow> = d
        .state()
        .projects
        .values()
        .filter(|p| p.id != id && (p.key == *key || (p.removed_at.is_none() && read.gone.contains(&p.id))))
        .cloned()
        .collect();
    for other in others {
        let gone = other.removed_at.is_some() || read.gone.contains(&other.id);
        let runs = d.state().runs.values().filter(|r| r.project_id == other.id && !r.status.is_terminal()).count();
        let services = d.state().services.values().filter(|s| s.project_id == other.id && s.status.is_live()).count();
        if gone && runs + services == 0 {
            let id = other.id.text();
            let freed = format!("{}~{}", other.key, &id[id.len() - 6..]);
            let now = d.now();
            d.tx.update::<ProjectRow>(other.id, |p| {
                p.removed_at.get_or_insert(now);
                p.key = freed;
            });
            if other.removed_at.is_none() {
                let details = json!({ "path": other.path, "key": other.key, "found": read.path });
                d.activity(actor, "project.removed", &about::project(&other), Some(details));
            }
        } else if other.key == *key {
            let message = if gone {
                format!(
                    "key {key} belongs to the project that stood at {}, of which {runs} runs and {services} services \
                     have not ended; end them first, or set another `key` under [project]",
                    other.path
                )
            } else {
                format!("key {key} belongs to {}; set another `key` under [project]", other.path)
            };
            return Err(Refusal::new("project_ambiguous", message));
        }
    }
    Ok(())
}

fn ensure_project(d: &mut Deciding<'_, '_>, read: &ConfigRead, actor: &Actor) -> Result<ProjectId, Refusal> {
    let id = read.project_uuid;
    let key = &read.config.project.key;
    make_room(d, read, actor)?;
    let named = &read.config.project.company;
    let company = match d.tx.get::<ProjectRow>(id).map(|p| p.company_id) {
        None => ensure_company(d, named),
        // Its issues, runs and environments are that one's.
        Some(company) => match d.state().companies.get(&company).filter(|c| c.name != *named) {
            None => company,
            Some(of) => {
                let message = format!(
                    "project {key} belongs to company {:?} and cannot go over to {named:?}; set `company` under [project] back",
                    of.name
                );
                return Err(Refusal::new("config_invalid", message));
            }
        },
    };
    let now = d.now();
    if let Some(project) = d.tx.get::<ProjectRow>(id).cloned() {
        if project.path != read.path {
            if let Some(original) = &read.also_at {
                return Err(Refusal::new(
                    "project_ambiguous",
                    format!(
                        "{} and {original} carry the same project id; remove the file with it in the copy: `wharf/project` in its git directory, `.wharf/project` outside of git",
                        read.path
                    ),
                ));
            }
            d.tx.update::<ProjectRow>(id, |p| p.path.clone_from(&read.path));
            let from = (project.path.as_str(), project.git_common_dir.as_deref());
            moved::follow(d, id, from, (&read.path, read.git_common_dir.as_deref()));
            let details = json!({ "from": project.path, "to": read.path });
            d.activity(actor, "project.moved", &about::project(&project), Some(details));
        }
        d.tx.update::<ProjectRow>(id, |p| {
            p.git_common_dir.clone_from(&read.git_common_dir);
            if p.removed_at.take().is_some() {
                p.key.clone_from(key);
            }
        });
    } else {
        let project = ProjectRow {
            id,
            company_id: company,
            key: key.clone(),
            name: read.config.project.name.clone(),
            path: read.path.clone(),
            git_common_dir: read.git_common_dir.clone(),
            issue_counter: 0,
            config_hash: None,
            config: None,
            accepted_executable_hash: None,
            accepted_by: None,
            accepted_at: None,
            pending_executable_hash: None,
            pending_config: None,
            default_environment: None,
            removed_at: None,
            version: 0,
            created_at: now,
            updated_at: now,
        };
        d.tx.put(project.clone());
        d.activity(actor, "project.added", &about::project(&project), Some(json!({ "path": read.path })));
    }
    let primary = d.state().project_workspaces.values().find(|w| w.project_id == id && w.is_primary).map(|w| w.id);
    if let Some(primary) = primary {
        d.tx.update::<ProjectWorkspaceRow>(primary, |w| {
            w.cwd = Some(read.path.clone());
            w.repo_url.clone_from(&read.repo_url);
        });
    } else {
        let primary: ProjectWorkspaceId = d.id();
        d.tx.put(ProjectWorkspaceRow {
            id: primary,
            company_id: company,
            project_id: id,
            name: "primary".into(),
            source_type: "local_path".into(),
            cwd: Some(read.path.clone()),
            repo_url: read.repo_url.clone(),
            repo_ref: None,
            default_ref: None,
            setup_command: None,
            cleanup_command: None,
            is_primary: true,
            metadata: None,
            version: 0,
            created_at: now,
            updated_at: now,
        });
    }
    Ok(id)
}

/// Accepts a config: it is in force from now on, and it is kept who said so.
fn take(d: &mut Deciding<'_, '_>, id: ProjectId, read: &ConfigRead, actor: &Actor) -> Result<(), Refusal> {
    let now = d.now();
    let hash = read.executable_hash();
    let before = d.tx.get::<ProjectRow>(id).and_then(|p| p.accepted_executable_hash.clone());
    put_in_force(d, id, &read.in_force())?;
    d.tx.update::<ProjectRow>(id, |p| {
        p.accepted_executable_hash = Some(hash.clone());
        p.accepted_by = Some(actor.id.clone());
        p.accepted_at = Some(now);
    });
    if !before.as_deref().is_some_and(|before| read.is_accepted_as(before))
        && let Some(project) = d.tx.get::<ProjectRow>(id).cloned()
    {
        let details = json!({ "hash": hash, "before": before });
        d.activity(actor, "config.accepted", &about::project(&project), Some(details));
    }
    Ok(())
}

/// A change of what can execute waits for somebody to accept it; what is in force stays.
fn hold(d: &mut Deciding<'_, '_>, project: &ProjectRow, read: &ConfigRead) {
    let (hash, config) = (read.executable_hash(), read.in_force());
    if project.pending_executable_hash.as_deref() == Some(&hash) {
        return;
    }
    d.tx.update::<ProjectRow>(project.id, |p| {
        p.pending_executable_hash = Some(hash.clone());
        p.pending_config = serde_json::to_value(&config).ok();
    });
    let old: Option<ProjectConfig> = project.config.clone().and_then(|c| serde_json::from_value(c).ok());
    let changes: Vec<String> = old
        .map(|old| executable_difference(&old, &config).iter().map(|c| c.path.clone()).collect())
        .unwrap_or_default();
    let details = json!({ "hash": hash, "changes": changes });
    d.activity(&Actor::system(), "config.changed", &about::project(project), Some(details));
}

/// Shows what an unaccepted config would bring: agents that wait for approval.
fn announce(d: &mut Deciding<'_, '_>, project: &ProjectRow, read: &ConfigRead) {
    let config = read.in_force();
    d.tx.update::<ProjectRow>(project.id, |p| {
        p.pending_executable_hash = Some(read.executable_hash());
        p.pending_config = serde_json::to_value(&config).ok();
        p.name.clone_from(&config.project.name);
        p.key.clone_from(&config.project.key);
    });
    agents(d, project.id, project.company_id, &config.agents, AgentStatus::PendingApproval);
}

fn put_in_force(d: &mut Deciding<'_, '_>, id: ProjectId, config: &ProjectConfig) -> Result<(), Refusal> {
    d.tx.update::<ProjectRow>(id, |p| {
        p.key.clone_from(&config.project.key);
        p.name.clone_from(&config.project.name);
        p.default_environment.clone_from(&config.project.default_environment);
        p.config_hash = Some(config.content_hash());
        p.config = serde_json::to_value(config).ok();
        p.pending_executable_hash = None;
        p.pending_config = None;
    });
    let Some(project) = d.tx.get::<ProjectRow>(id).cloned() else { return Ok(()) };
    environments::ensure_rows(d, &project, config)?;
    agents(d, id, project.company_id, &config.agents, AgentStatus::Idle);
    service::ensure_rows(d, &project);
    Ok(())
}

fn agents(
    d: &mut Deciding<'_, '_>,
    project: ProjectId,
    company: CompanyId,
    wanted: &[AgentConfig],
    status: AgentStatus,
) {
    let now = d.now();
    for config in wanted {
        let value = serde_json::to_value(config).unwrap_or(Value::Null);
        let adapter = config.adapter.adapter().as_str().to_owned();
        let known = d.state().agents.values().find(|a| a.project_id == project && a.name == config.name).map(|a| a.id);
        if let Some(id) = known {
            d.tx.update::<AgentRow>(id, |a| {
                a.adapter_type = adapter;
                a.default_environment.clone_from(&config.environment);
                a.concurrent_runs = i64::from(config.concurrent_runs);
                a.config = value;
                if matches!(a.status, AgentStatus::PendingApproval | AgentStatus::Archived) {
                    a.status = status;
                    a.status_reason = None;
                }
            });
        } else {
            let id: AgentId = d.id();
            d.tx.put(AgentRow {
                id,
                company_id: company,
                project_id: project,
                name: config.name.clone(),
                origin: Origin::Config,
                adapter_type: adapter,
                status,
                status_reason: (status == AgentStatus::PendingApproval)
                    .then(|| "its config is not accepted yet".into()),
                default_environment: config.environment.clone(),
                concurrent_runs: i64::from(config.concurrent_runs),
                config: value,
                last_run_at: None,
                version: 0,
                created_at: now,
                updated_at: now,
            });
        }
    }
    let gone: Vec<AgentId> = d
        .state()
        .agents
        .values()
        .filter(|a| a.project_id == project && a.origin == Origin::Config && a.status != AgentStatus::Archived)
        .filter(|a| !wanted.iter().any(|w| w.name == a.name))
        .map(|a| a.id)
        .collect();
    for id in gone {
        d.tx.update::<AgentRow>(id, |a| {
            a.status = AgentStatus::Archived;
            a.status_reason = Some("removed from the config".into());
        });
    }
}
