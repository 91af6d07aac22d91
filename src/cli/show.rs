//! `wharf show`: one thing with everything around it.

mod lease;
mod workspace;

pub use workspace::show as workspace;

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};
use wharf_model::rules::service_off::mark;
use wharf_model::shim::LimitsReport;
use wharf_model::*;
use wharf_store::Reader;
use wharf_store::log::{LogLines, Stream, StreamSet};
use wharf_store::view::*;
use wharf_ui::format;
use wharf_ui::glyph::Class;

use super::context::{Context, print};
use super::docs::*;
use super::error::{CliError, Result, exit};
use super::logs::{log_directory, parse_name};
use super::run_doc::{RunDocument, shown};
use super::table::tidy;
use crate::clock;
use crate::config::shortened;

/// Lines of stderr that are shown of a run that ended badly.
const LAST_LINES: usize = 5;
/// Bytes of each.
const LINE_BYTES: usize = 4096;
/// Comments shown of an issue.
const COMMENTS: usize = 20;
/// Names told to somebody who gave another, and letters of each.
const NAMES: usize = 20;
const NAME_SHOWN: usize = 80;

/// Options of `wharf show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// R-12, L-4, S-2, W-9, E-1, O-3, Q-7, SHOP-17, an agent, a project key, an id or a part of one
    pub id: String,
}

/// Shows one thing.
pub fn show(context: &Context, args: &ShowArgs) -> Result<u8> {
    let reader = context.reader_for(&args.id)?;
    let found = find(&reader, &args.id)?;
    let gone = || CliError::internal(format!("{} is not in the store any more", found.label));
    match found.kind {
        EntityKind::Run => run(context, &reader, RunId(found.id)),
        EntityKind::Lease => lease::show(context, &reader, LeaseId(found.id), &found.label),
        EntityKind::Service => {
            let item = reader.service(ServiceId(found.id))?.ok_or_else(gone)?;
            let next = [format!("wharf service logs {}", found.label)];
            let usage = super::lists::measure_services(context, std::slice::from_ref(&item)).remove(&item.service.id);
            let document = ServiceDoc::measured(&item, usage.as_ref(), clock::now());
            let state = match (item.service.status, mark(&item.service)) {
                (ServiceStatus::Running, Some(mark)) => (Class::Doubtful, mark),
                _ => service_state(&item.service),
            };
            facts(context, "service", &found.label, Some(state), &document, &next)
        }
        EntityKind::Workspace => workspace(context, &reader, WorkspaceId(found.id)),
        EntityKind::Issue => issue(context, &reader, IssueId(found.id)),
        EntityKind::Agent => {
            let item = reader.agents(None)?.into_iter().find(|a| a.agent.id.0 == found.id).ok_or_else(gone)?;
            facts(context, "agent", &found.label, Some(agent_state(&item)), &AgentDoc::new(&item), &[])
        }
        EntityKind::Project => {
            let row = reader.project(ProjectId(found.id))?.ok_or_else(gone)?;
            facts(context, "project", &found.label, Some(project_state(&row)), &ProjectDoc::new(&row), &[])
        }
        EntityKind::Environment => {
            let item = reader.environment(EnvironmentId(found.id))?.ok_or_else(gone)?;
            super::env::print_one(context, &reader, &item)
        }
        EntityKind::Operation => {
            let item = reader.operation(OperationId(found.id))?.ok_or_else(gone)?;
            facts(context, "operation", &found.label, None, &plain(&item.operation, &found.label)?, &[])
        }
        EntityKind::Request => {
            let row = reader.request(RequestId(found.id))?.ok_or_else(gone)?;
            facts(context, "request", &found.label, None, &plain(&row, &found.label)?, &[])
        }
    }
}

/// What was named: numbers and ids first, then names of agents and projects.
fn find(reader: &Reader, text: &str) -> Result<Found> {
    let by_id = parse_name(text).and_then(|named| Ok(reader.resolve(&named, None)?));
    let Err(error) = by_id else { return by_id };
    if error.code == "id_ambiguous" {
        return Err(error);
    }
    let mut found: Vec<Found> = reader
        .agents(None)?
        .into_iter()
        .filter(|a| a.agent.name == text)
        .map(|a| Found { kind: EntityKind::Agent, id: a.agent.id.0, label: a.agent.name })
        .collect();
    found.extend(
        reader
            .projects(None)?
            .into_iter()
            .filter(|p| p.key.eq_ignore_ascii_case(text) || p.name == text)
            .map(|p| Found { kind: EntityKind::Project, id: p.id.0, label: p.key }),
    );
    match found.len() {
        0 if error.code == "id_malformed" => Err(nameless(reader, text)?),
        0 => Err(error),
        1 => Ok(found.remove(0)),
        _ => Err(NotFound::Ambiguous { named: text.to_owned(), candidates: found }.into()),
    }
}

/// That neither an id, an agent nor a project is called so.
fn nameless(reader: &Reader, text: &str) -> Result<CliError> {
    let shown = |text: &str| shortened(text, NAME_SHOWN);
    let agents = reader.agents(None)?.into_iter().map(|a| a.agent.name);
    let mut names: Vec<String> = agents.chain(reader.projects(None)?.into_iter().map(|p| p.key)).collect();
    names.sort_unstable();
    names.dedup();
    let near = super::project::nearest(text, names.iter().map(String::as_str)).map(|n| format!("wharf show {n}"));
    let more = if names.len() > NAMES { format!(" and {} more", names.len() - NAMES) } else { String::new() };
    let known: Vec<String> = names.iter().take(NAMES).map(|n| shown(n)).collect();
    let known = if known.is_empty() { "no agent or project is known yet".to_owned() } else { known.join(", ") };
    Ok(CliError::new(exit::NOT_FOUND, "id_unknown", format!("nothing here is called {:?}", shown(text)))
        .cause(format!("it is no number and no id, and the names of agents and projects are: {known}{more}"))
        .next(near.unwrap_or_else(|| "wharf runs    wharf agents    wharf projects".to_owned()))
        .entity(text))
}

/// A stored row as a document: numbers as people write them, moments as RFC 3339.
fn plain<T: Serialize>(row: &T, label: &str) -> Result<Value> {
    let value = serde_json::to_value(row)
        .map_err(|e| CliError::internal("a document cannot be written").cause(e.to_string()))?;
    let Value::Object(map) = value else { return Ok(value) };
    let map: Map<String, Value> = map
        .into_iter()
        .map(|(key, value)| match value.as_i64() {
            Some(ms) if key.ends_with("_at") => (key, Value::String(UnixMillis(ms).rfc3339())),
            Some(_) if key == "number" => (key, Value::String(label.to_owned())),
            _ => (key, value),
        })
        .collect();
    Ok(Value::Object(map))
}

/// Prints facts one below the other, those without a value left out; or the whole document.
fn facts<D: Serialize>(
    context: &Context,
    word: &str,
    label: &str,
    state: Option<State>,
    doc: &D,
    next: &[String],
) -> Result<u8> {
    let value = serde_json::to_value(doc)
        .map_err(|e| CliError::internal("a document cannot be written").cause(e.to_string()))?;
    if context.global.json {
        let mut document = Map::new();
        document.insert("schema".into(), Value::String(format!("wharf.{word}/1")));
        document.insert(word.to_owned(), value);
        context.document(&document)?;
        return Ok(exit::DONE);
    }
    let mut out = match state {
        Some((class, word)) => format!("{label}  {} {word}\n\n", class.glyph()),
        None => format!("{label}\n\n"),
    };
    if let Value::Object(map) = value {
        let rows: Vec<(String, String)> = map
            .into_iter()
            .filter(|(key, value)| !value.is_null() && !matches!(key.as_str(), "class" | "number"))
            .map(|(key, value)| {
                let text = match value {
                    Value::String(text) => text,
                    Value::Array(items) => items
                        .iter()
                        .map(|i| i.as_str().map_or_else(|| i.to_string(), str::to_owned))
                        .collect::<Vec<_>>()
                        .join(", "),
                    other => other.to_string(),
                };
                (key.replace('_', " "), one_line(&text))
            })
            .collect();
        let widest = rows.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
        for (key, text) in rows {
            out.push_str(format!("{key:<widest$}  {text}").trim_end());
            out.push('\n');
        }
    }
    if !next.is_empty() {
        out.push_str(&format!("\nnext  {}\n", next.join("    ")));
    }
    print_tidy(context, &out)
}

/// A value in one line: what others have written begins no line of its own here.
fn one_line(text: &str) -> String {
    text.replace("\r\n", " ").replace(['\n', '\r'], " ")
}

fn print_tidy(context: &Context, text: &str) -> Result<u8> {
    let lines: String = text.lines().map(|line| tidy(line, context.global.ascii) + "\n").collect();
    print(lines.as_bytes())?;
    Ok(exit::DONE)
}

fn run(context: &Context, reader: &Reader, id: RunId) -> Result<u8> {
    let detail = reader.run_detail(id)?.ok_or_else(|| CliError::internal("the run is not in the store any more"))?;
    let now = clock::now();
    let execute = detail.steps.iter().find(|s| s.step == Step::Execute);
    let limits = execute.and_then(|s| LimitsReport::of_step(s.detail.as_ref()));
    if context.global.json {
        context.document(&RunDocument::new(&context.data, &detail.line, now).with_limits(limits))?;
        return Ok(exit::DONE);
    }
    let zone = context.zone();
    let (run, line) = (&detail.run, &detail.line);
    let mut words = shown(&context.data, line);
    words.doing = crate::why::doing(reader, &context.data, line)?.map(|(words, _)| words);
    let (class, word) = words.state();
    let number = Kind::Run.number(run.number);
    let after = words.took_ms().map_or_else(String::new, |ms| format!(" after {}", format::took(ms)));
    let outcome = if words.is_live() { words.now_words(now, zone) } else { words.outcome_words().0 };
    let mut out = format!("{number}  {} {word}, {outcome}{after}\n\n", class.glyph());
    let mut pairs: Vec<(&str, String)> = Vec::new();
    pairs.push(("agent", words.agent.clone()));
    pairs.push(("asked by", asked_by(&detail, context)));
    let issue = words.issue.as_ref().map(|i| format!("{} {}", i.identifier, i.title));
    pairs.push(("issue", issue.unwrap_or_else(|| "–".into())));
    let retry = line.retry_of_number.map_or_else(String::new, |n| format!(", retry of {}", Kind::Run.number(n)));
    pairs.push(("attempt", format!("{}{retry}", run.attempt)));
    pairs.push(("env", line.environment.clone().unwrap_or_else(|| "–".into())));
    let lease = detail.lease.as_ref().map(|l| {
        let ended = l.lease.released_at.map_or_else(String::new, |at| format!(" {}", format::moment(at, now, zone)));
        format!("{} {}{ended}", Kind::Lease.number(l.lease.number), l.lease.status)
    });
    pairs.push(("lease", lease.unwrap_or_else(|| "–".into())));
    let workspace = detail.workspace.as_ref().map(|w| {
        let name = w.branch_name.clone().unwrap_or_else(|| w.name.clone());
        format!("{} {name}", Kind::Workspace.number(w.number))
    });
    pairs.push(("workspace", workspace.unwrap_or_else(|| "–".into())));
    let services: Vec<String> = detail
        .services
        .iter()
        .map(|s| format!("{} {}", Kind::Service.number(s.service.number), s.service.name))
        .collect();
    pairs.push(("services", if services.is_empty() { "–".into() } else { services.join(", ") }));
    let size = |bytes: Option<i64>| bytes.map_or_else(|| "unknown".to_owned(), |b| format::size(b.unsigned_abs()));
    pairs.push(("output", format!("stdout {}, stderr {}", size(run.stdout_bytes), size(run.stderr_bytes))));
    let process = run.process_pid.filter(|_| !run.status.is_terminal());
    pairs.push(("process", process.map_or_else(|| "–".to_owned(), |pid| pid.to_string())));
    let terminal = words.terminal.then(|| format!("terminal   tty = true; wharf attach {number}\n"));
    let halted = words.halted.as_ref().map(|h| format!("state      {}; {}\n", h.words(now, zone), h.advice()));
    for (_, value) in &mut pairs {
        *value = one_line(value);
    }
    for pair in pairs.chunks(2) {
        let left = format!("{:<10} {}", pair[0].0, pair[0].1);
        let right = pair.get(1).map(|(key, value)| format!("{key:<10} {value}")).unwrap_or_default();
        out.push_str(format!("{left:<46}  {right}").trim_end());
        out.push('\n');
    }
    if let Some(limits) = &limits {
        let cost = limits.killed_words().map_or_else(String::new, |words| format!("; {words}"));
        out.push_str(&format!("limits     {}{cost}\n", limits.words()));
    }
    if let Some(remark) = crate::why::remark(&detail.steps) {
        out.push_str(&format!("place      {}\n", one_line(&remark)));
    }
    out.push_str(&terminal.unwrap_or_default());
    out.push_str(&halted.unwrap_or_default());
    if let Some(chain) = chain_words(&detail) {
        out.push_str(&format!("lineage    {chain}\n"));
    }
    if let Some(next) = &run.next_action {
        out.push_str(&format!("next step  {}\n", one_line(next)));
    }
    out.push_str("\nsteps\n");
    for step in &detail.steps {
        let took = match (step.started_at, step.finished_at) {
            (Some(began), Some(ended)) => format::fine(began.until(ended)),
            (Some(began), None) => format!("since {}", format::moment(began, now, zone)),
            (None, _) => String::new(),
        };
        let said = one_line(step.outcome.as_deref().unwrap_or_default());
        out.push_str(format!("  {:<8} {:<10} {took:>8}  {said}", step.step.as_str(), step.status.as_str()).trim_end());
        out.push('\n');
    }
    if let Some(error) = run.error.as_ref().filter(|_| run.status != RunStatus::Succeeded) {
        out.push_str(&format!("\ncause      {}\n", error.replace('\n', "\n           ")));
    }
    if !detail.comments.is_empty() {
        out.push_str("\ncomments\n");
        for comment in &detail.comments {
            let at = format::moment(comment.created_at, now, zone);
            out.push_str(&format!("  {at}  {}: {}\n", one_line(&comment.author_id), one_line(&comment.body)));
        }
    }
    if run.status.is_terminal() && run.status != RunStatus::Succeeded {
        let last = last_errors(context, reader, id);
        if !last.is_empty() {
            out.push_str("\nlast lines of stderr\n");
            for line in last {
                out.push_str(&format!("  {line}\n"));
            }
        }
    }
    let more = if words.is_live() { format!("wharf cancel {number}") } else { format!("wharf run {}", words.agent) };
    let shell = detail.workspace.as_ref().map_or_else(String::new, |_| format!("    wharf shell {number}"));
    let diff = detail.workspace.as_ref().map_or_else(String::new, |_| format!("    wharf diff {number}"));
    out.push_str(&format!("\nnext       wharf logs {number}{diff}    {more}{shell}\n"));
    print_tidy(context, &out)
}

/// The runs that were tried for the same work, in order; none when there was only one.
fn chain_words(detail: &RunDetail) -> Option<String> {
    let words = detail.chain.iter().map(|c| {
        let here = if c.id == detail.run.id { " (this)" } else { "" };
        format!("{} {}{here}", Kind::Run.number(c.number), c.status.as_str().replace('_', " "))
    });
    (detail.chain.len() > 1).then(|| words.collect::<Vec<_>>().join(" → "))
}

fn asked_by(detail: &RunDetail, context: &Context) -> String {
    let by = detail
        .wakeup
        .as_ref()
        .map(|w| w.requested_by_actor_id.clone().unwrap_or_else(|| w.requested_by_actor_type.to_string()));
    let at = format::moment(detail.run.queued_at, clock::now(), context.zone());
    format!("{}, {at}", by.unwrap_or_else(|| "wharf".into()))
}

/// The last lines of stderr; a log that cannot be read has none to show here.
fn last_errors(context: &Context, reader: &Reader, id: RunId) -> Vec<String> {
    let Ok(Some(directory)) = log_directory(context, reader, id) else { return Vec::new() };
    let window = LogLines::open(&directory, LINE_BYTES, None)
        .and_then(|mut lines| lines.tail_lines(LAST_LINES, StreamSet::of(&[Stream::Stderr])));
    let Ok(window) = window else { return Vec::new() };
    window.lines.iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect()
}

/// Where an issue's runs work, and what it says of that itself; a line each.
fn own_of_issue(reader: &Reader, issue: &IssueRow) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    if let Some(item) = issue.execution_workspace_id.map(|id| reader.workspace(id)).transpose()?.flatten() {
        let w = &item.workspace;
        let name = w.branch_name.as_ref().unwrap_or(&w.name);
        lines.push(format!("  {:<12} {}  {}\n", "workspace", Kind::Workspace.number(w.number), one_line(name)));
    }
    let settings = issue.execution_workspace_settings.as_ref().and_then(serde_json::Value::as_object);
    for (key, value) in settings.into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let named = match text.parse() {
            Ok(id) if key == "environment" => reader.environment(id)?.map(|e| e.environment.name),
            _ => None,
        };
        lines.push(format!("  {key:<12} {}\n", one_line(&named.unwrap_or(text))));
    }
    Ok(lines)
}

fn issue(context: &Context, reader: &Reader, id: IssueId) -> Result<u8> {
    let item = reader.issue(id)?.ok_or_else(|| CliError::internal("the issue is not in the store any more"))?;
    let label = item.issue.identifier.clone();
    let next = [format!("wharf run AGENT --issue {label}"), format!("wharf runs issue:{label}")];
    facts(context, "issue", &label, Some(issue_state(&item)), &IssueDoc::new(&item), &next)?;
    if !context.global.json {
        let own = own_of_issue(reader, &item.issue)?;
        if !own.is_empty() {
            print_tidy(context, &format!("\nfor its runs  (wharf issue set {label})\n{}", own.concat()))?;
        }
        let mut comments = reader.comments(id, COMMENTS)?;
        comments.reverse();
        let (now, zone) = (clock::now(), context.zone());
        let lines: Vec<String> = comments
            .iter()
            .map(|c| {
                format!(
                    "  {}  {}: {}\n",
                    format::moment(c.created_at, now, zone),
                    one_line(&c.author_id),
                    one_line(&c.body)
                )
            })
            .collect();
        if !lines.is_empty() {
            print_tidy(context, &format!("\ncomments\n{}", lines.concat()))?;
        }
    }
    Ok(exit::DONE)
}
