//! Verbs on all services of a workspace, and what a stop would do.

use serde_json::{Value, json};
use wharf_model::rules::service_desired::is_reported;
use wharf_model::rules::service_order::{self, Dependents};
use wharf_model::{Kind, RequestRow, ServiceId, WorkspaceId};
use wharf_store::Reader;
use wharf_store::view::{EntityKind, OtherService, ServiceItem, ServiceQuery};

use super::super::context::{Context, print, say};
use super::super::desk::{Ask, Desk};
use super::super::docs::ServiceDoc;
use super::super::error::{CliError, Result, exit};
use super::super::logs::named_one;
use super::super::signals::CUT_OFF;
use super::super::workspace::confirm;
use super::{LIMIT, LOOKED_THROUGH, StopArgs, failed, named, print_line};
use crate::console::services_with_dependents;

/// Services in the order in which they are stopped: with those that need them, where that is wanted.
pub fn stopped_with(reader: &Reader, items: Vec<ServiceItem>, with_dependents: bool) -> Result<Vec<ServiceItem>> {
    if !with_dependents {
        return Ok(items);
    }
    Ok(services_with_dependents(reader, items)?)
}

/// `S-4 web, S-3 db`.
pub fn named_all(items: &[ServiceItem]) -> String {
    let name = |i: &ServiceItem| format!("{} {}", Kind::Service.number(i.service.number), i.service.name);
    items.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Says who loses what is stopped and asks, where there is somebody; gives the arguments of the request, and what that
/// was judged by.
pub fn confirmed(
    context: &Context,
    items: &[ServiceItem],
    what: &str,
    again: &str,
    args: &StopArgs,
) -> Result<(Value, Option<Value>)> {
    let yes = args.asked.yes;
    // What cannot be stopped from here is refused with the reason; there is nothing to ask.
    let stops = |i: &&ServiceItem| i.service.status.is_open() && !is_reported(&i.service);
    let stopping: Vec<&ServiceItem> = items.iter().filter(stops).collect();
    let mut losers: Vec<String> = stopping.iter().flat_map(|item| losers(item, items)).collect();
    if args.with_dependents && stopping.len() > 1 {
        losers.splice(0..0, stopping.iter().map(|i| format!("stops {}", named_all(std::slice::from_ref(i)))));
    }
    let said = if args.with_dependents { Dependents::Stop } else { Dependents::Leave };
    let said = json!({ "dependents": said.as_str() });
    if losers.is_empty() {
        return Ok((if args.with_dependents { said } else { json!({}) }, None));
    }
    for line in &losers {
        // What is asked about is told whatever was asked of other words.
        if yes {
            context.remark(line);
        } else if !context.global.json {
            say(line);
        }
    }
    if !yes {
        confirm(context, &format!("Stop {what}?"), what, again)?;
    }
    let judged = items.iter().map(|item| {
        let users = item.users.iter().map(|u| u.run_id);
        service_order::judged(&item.service, users, item.dependents.iter().map(|o| o.id))
    });
    Ok((said, serde_json::to_value(service_order::judged_together(judged)).ok()))
}

/// Stops the services of a workspace, or the one of this name, or says what that would do.
pub fn stop_in_workspace(context: &Context, text: &str, name: Option<&str>, args: &StopArgs) -> Result<u8> {
    let reader = context.reader_for(text)?;
    let found = named_one(&reader, text, EntityKind::Workspace)?;
    let id = WorkspaceId(found.id);
    let row = reader.workspace(id)?.map(|w| w.workspace);
    let mut items = Vec::new();
    let mut below = None;
    loop {
        let page = reader.services(&ServiceQuery::default(), below, LOOKED_THROUGH)?;
        let its = |i: &ServiceItem| {
            i.service.status.is_open() && service_order::is_of_workspace(&i.service, id, row.as_ref())
        };
        items.extend(page.rows.into_iter().filter(its).filter(|i| name.is_none_or(|n| i.service.name == n)));
        below = page.next;
        if below.is_none() {
            break;
        }
    }
    let label = &found.label;
    let items = stopped_with(&reader, items, args.with_dependents)?;
    if args.asked.dry_run {
        if items.is_empty() {
            let message = format!("{label} has no service: nothing of it runs");
            return Err(CliError::new(exit::REFUSED, "illegal_state", message).entity(label.clone()));
        }
        return show_stops(context, &items, Some(label));
    }
    let which = name.map_or_else(String::new, |name| format!("{name} "));
    let with = if args.with_dependents { "--with-dependents " } else { "" };
    let again = format!("wharf service stop {which}--workspace {label} {with}--yes");
    let (said, expect) = confirmed(context, &items, &format!("the services of {label}"), &again, args)?;
    drop(reader);
    ask_of_workspace(context, text, name, "service.stop", said, expect)
}

/// Carries out a verb on all services of a workspace, or on the one of this name.
pub fn of_workspace(context: &Context, text: &str, name: Option<&str>, kind: &'static str) -> Result<u8> {
    ask_of_workspace(context, text, name, kind, json!({}), None)
}

fn ask_of_workspace(
    context: &Context,
    text: &str,
    name: Option<&str>,
    kind: &'static str,
    mut args: Value,
    expect: Option<Value>,
) -> Result<u8> {
    let reader = context.reader_for(text)?;
    let workspace = named_one(&reader, text, EntityKind::Workspace)?;
    drop(reader);
    let mut desk = if kind == "service.stop" { Desk::open(context)? } else { Desk::open_to_start(context)? };
    let result: Result<_> = (|| {
        if let Some(name) = name {
            args["service"] = json!(name);
        }
        let target_id = Some(workspace.id.to_string());
        let row = desk.ask(Ask { kind, target_type: "workspace", target_id, args, expect })?;
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

/// Who loses a service when it is stopped, a line for each; but for those that are stopped with it.
pub fn losers(item: &ServiceItem, stopped: &[ServiceItem]) -> Vec<String> {
    let number = Kind::Service.number(item.service.number);
    let runs = item.users.iter().map(|user| {
        let run = Kind::Run.number(user.run_number);
        let agent = user.agent.as_ref().map_or_else(String::new, |agent| format!(" {agent}"));
        format!("{run}{agent} uses {number} {} and goes on without it", item.service.name)
    });
    let stays = |other: &&OtherService| !stopped.iter().any(|s| s.service.id == other.id);
    let services = item.dependents.iter().filter(stays).map(|other| {
        let other = format!("{} {}", Kind::Service.number(other.number), other.name);
        format!("{other} needs {number} {} and goes on without it", item.service.name)
    });
    runs.chain(services).collect()
}

/// Says what a stop would do, and does nothing.
pub fn would_stop(context: &Context, text: &str, with_dependents: bool) -> Result<u8> {
    let reader = context.reader_for(text)?;
    let item = named(context, &reader, text)?;
    let number = Kind::Service.number(item.service.number);
    if !item.service.status.is_open() {
        let message = format!("{number} {} is {}; there is nothing to stop", item.service.name, item.service.status);
        return Err(CliError::new(exit::REFUSED, "illegal_state", message)
            .next(format!("wharf show {number}"))
            .entity(number));
    }
    show_stops(context, &stopped_with(&reader, vec![item], with_dependents)?, None)
}

/// What a stop would do, of one service or of those of a workspace.
fn show_stops(context: &Context, items: &[ServiceItem], workspace: Option<&str>) -> Result<u8> {
    if context.global.json {
        let one = |item: &ServiceItem| {
            json!({
                "schema": "wharf.service_stop/1", "service": Kind::Service.number(item.service.number), "stops": true,
                "users": item.users.iter().map(|u| Kind::Run.number(u.run_number)).collect::<Vec<_>>(),
                "needed_by": item.dependents.iter().map(|s| Kind::Service.number(s.number)).collect::<Vec<_>>(),
            })
        };
        match (workspace, items) {
            (None, [item]) => context.document(&one(item))?,
            _ => context.document(&json!({
                "schema": "wharf.services_stop/1", "workspace": workspace,
                "services": items.iter().map(|item| {
                    let mut one = one(item);
                    // Only a document has one.
                    one.as_object_mut().and_then(|o| o.remove("schema"));
                    one
                }).collect::<Vec<_>>(),
            }))?,
        }
        return Ok(exit::DONE);
    }
    let mut out = String::new();
    for item in items {
        out.push_str(&format!("stops  {} {}\n", Kind::Service.number(item.service.number), item.service.name));
        for line in losers(item, items) {
            out.push_str(&format!("keeps  {line}\n"));
        }
    }
    print(out.as_bytes())?;
    Ok(exit::DONE)
}
