//! Verbs on all services of a workspace, and what a stop would do.

use serde_json::{Value, json};
use wharf_model::{Kind, RequestRow, ServiceId};
use wharf_store::view::{EntityKind, ServiceItem};

use super::super::context::{Context, print};
use super::super::desk::{Ask, Desk};
use super::super::docs::ServiceDoc;
use super::super::error::{CliError, Result, exit};
use super::super::logs::named_one;
use super::super::signals::CUT_OFF;
use super::{LIMIT, failed, named, print_line};

/// Carries out a verb on all services of a workspace, or on the one of this name.
pub fn of_workspace(context: &Context, text: &str, name: Option<&str>, kind: &'static str) -> Result<u8> {
    let reader = context.reader_for(text)?;
    let workspace = named_one(&reader, text, EntityKind::Workspace)?;
    drop(reader);
    let mut desk = if kind == "service.stop" { Desk::open(context)? } else { Desk::open_to_start(context)? };
    let result: Result<_> = (|| {
        let args = name.map_or_else(|| json!({}), |name| json!({ "service": name }));
        let target_id = Some(workspace.id.to_string());
        let row = desk.ask(Ask { kind, target_type: "workspace", target_id, args, expect: None })?;
        let finished = desk.finished(&row, LIMIT);
        let mut items = Vec::new();
        for id in services_of(&row) {
            items.extend(desk.reader.service(id)?);
        }
        Ok((finished, items))
    })();
    desk.close();
    let (finished, items) = result?;
    if context.global.json && finished.is_ok() {
        let docs: Vec<ServiceDoc> = items.iter().map(ServiceDoc::new).collect();
        context
            .document(&json!({ "schema": "wharf.services/1", "services": docs, "next": Value::Null, "hidden": 0 }))?;
    }
    if !context.global.json {
        for item in &items {
            print_line(context, item)?;
        }
    }
    match finished {
        Ok(Some(_)) => Ok(exit::DONE),
        Ok(None) => {
            let message = format!("the services of {} are not there yet", workspace.label);
            Err(CliError::new(exit::NO_ANSWER, "timeout", message).next("wharf services").entity(workspace.label))
        }
        Err(error) if error.code == CUT_OFF => Err(error),
        Err(error) => {
            let bad = items.iter().find(|i| i.service.error.is_some() && !i.service.status.is_live());
            Err(match bad {
                Some(bad) => failed(error, &bad.service),
                None => error.entity(workspace.label),
            })
        }
    }
}

/// Services that an answer names.
fn services_of(row: &RequestRow) -> Vec<ServiceId> {
    let listed = row.result.as_ref().and_then(|r| r["services"].as_array());
    listed.into_iter().flatten().filter_map(|s| s["service_id"].as_str()?.parse().ok()).collect()
}

/// Who loses a service when it is stopped, a line for each.
pub fn losers(item: &ServiceItem) -> Vec<String> {
    let number = Kind::Service.number(item.service.number);
    let runs = item.users.iter().map(|user| {
        let run = Kind::Run.number(user.run_number);
        let agent = user.agent.as_ref().map_or_else(String::new, |agent| format!(" {agent}"));
        format!("{run}{agent} uses {number} {} and goes on without it", item.service.name)
    });
    let services = item.dependents.iter().map(|other| {
        let other = format!("{} {}", Kind::Service.number(other.number), other.name);
        format!("{other} needs {number} {} and goes on without it", item.service.name)
    });
    runs.chain(services).collect()
}

/// Says what a stop would do, and does nothing.
pub fn would_stop(context: &Context, text: &str) -> Result<u8> {
    let reader = context.reader_for(text)?;
    let item = named(context, &reader, text)?;
    let number = Kind::Service.number(item.service.number);
    if !item.service.status.is_open() {
        let message = format!("{number} {} is {}; there is nothing to stop", item.service.name, item.service.status);
        return Err(CliError::new(exit::REFUSED, "illegal_state", message)
            .next(format!("wharf show {number}"))
            .entity(number));
    }
    let losers = losers(&item);
    if context.global.json {
        context.document(&json!({
            "schema": "wharf.service_stop/1", "service": number, "stops": true,
            "users": item.users.iter().map(|u| Kind::Run.number(u.run_number)).collect::<Vec<_>>(),
            "needed_by": item.dependents.iter().map(|s| Kind::Service.number(s.number)).collect::<Vec<_>>(),
        }))?;
        return Ok(exit::DONE);
    }
    let mut out = format!("stops  {number} {}\n", item.service.name);
    for line in losers {
        out.push_str(&format!("keeps  {line}\n"));
    }
    print(out.as_bytes())?;
    Ok(exit::DONE)
}
