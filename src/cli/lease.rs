//! `wharf lease release`: a preview of what it does, a question, and then exactly that.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use wharf_model::rules::release::{self, AfterLastUser, NotReleasable, ReleaseEffect};
use wharf_model::*;
use wharf_store::Reader;
use wharf_store::view::{EntityKind, ReleaseFacts, ServiceItem};
use wharf_ui::format;

use super::context::{Context, print, say};
use super::desk::{Ask, Desk};
use super::error::{CliError, Result, exit};
use super::logs::named_one;
use super::table::tidy;
use crate::process::descendants;
use crate::workspace::facts;

/// Time beyond the grace in which a release must be done.
const MARGIN: Duration = Duration::from_secs(150);
/// Previews that may change under the operator before this gives up.
const PREVIEWS: usize = 5;

/// `wharf lease …`
#[derive(Debug, Clone, Subcommand)]
pub enum LeaseCommand {
    /// Release a lease: stops its holder, frees its slot
    #[command(after_help = "Example:\n  wharf lease release L-88 --dry-run")]
    Release(ReleaseArgs),
}

/// Options of `wharf lease release`.
#[derive(Debug, Clone, Args)]
pub struct ReleaseArgs {
    /// The lease: L-4, its id or a part of it
    pub lease: String,
    /// Only say what it would do
    #[arg(long)]
    pub dry_run: bool,
    /// Do it without asking
    #[arg(long, short, conflicts_with = "dry_run")]
    pub yes: bool,
}

/// What happens to a service when its last user leaves it.
pub fn after(service: &ServiceRow) -> AfterLastUser {
    release::after_last_user(service.lifecycle, service.stop_policy, service.idle_ms)
}

/// One line of a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Line {
    verb: &'static str,
    entity: String,
    what: String,
    remark: String,
}

/// What a release would do, in words and as the rule that carries it out has it.
#[derive(Debug, Clone)]
struct Preview {
    number: String,
    environment: String,
    run: Option<String>,
    lines: Vec<Line>,
    last: String,
    effect: ReleaseEffect,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    lease: &'a str,
    confirmed: bool,
    released: bool,
    lines: &'a [Line],
    effect: &'a ReleaseEffect,
}

/// Releases a lease.
pub fn release_lease(context: &Context, args: &ReleaseArgs) -> Result<u8> {
    let reader = context.reader_for(&args.lease)?;
    let id = LeaseId(named_one(&reader, &args.lease, EntityKind::Lease)?.id);
    let mut preview = preview(&reader, id)?;
    if args.dry_run {
        return show(context, &preview, false, false).map(|()| exit::DONE);
    }
    if !args.yes {
        confirm(context, &preview)?;
    }
    let mut desk = Desk::open(context)?;
    let result = (|| {
        for _ in 0..PREVIEWS {
            let asked = desk.ask(Ask {
                kind: "lease.release",
                target_type: "lease",
                target_id: Some(id.text()),
                args: json!({}),
                expect: serde_json::to_value(&preview.effect.judged).ok(),
            });
            let row = match asked {
                Err(error) if error.code == "changed_since_preview" => {
                    let fresh = self::preview(&desk.reader, id)?;
                    // Versions rise with every sign of life; only another effect needs another answer.
                    let same = same_effect(&preview.effect, &fresh.effect);
                    preview = fresh;
                    if same {
                        continue;
                    }
                    if args.yes {
                        return Err(error
                            .cause(format!("it would now do this:\n{}", text(&preview).trim_end()))
                            .next(format!("wharf lease release {}", preview.number)));
                    }
                    context.remark("something has changed meanwhile");
                    confirm(context, &preview)?;
                    continue;
                }
                other => other?,
            };
            let grace = Duration::from_millis(preview.effect.grace_ms.unsigned_abs());
            if let Some(run) = &preview.run {
                context.remark(&format!("stopping {run}, at most {}", format::duration(preview.effect.grace_ms)));
            }
            return match desk.finished(&row, grace + MARGIN)? {
                Some(_) => Ok(()),
                None => Err(CliError::new(
                    exit::NO_ANSWER,
                    "timeout",
                    format!("{} is still being released", preview.number),
                )
                .next(format!("wharf show {}", preview.number))),
            };
        }
        Err(CliError::new(
            exit::REFUSED,
            "changed_since_preview",
            format!("{} changes faster than it can be previewed", preview.number),
        )
        .next(format!("wharf show {}", preview.number)))
    })();
    desk.close();
    result?;
    if context.global.json {
        show(context, &preview, true, true)?;
    }
    let run = preview.run.map_or_else(String::new, |run| format!("     {run} cancelled by operator"));
    context.remark(&format!("released {}{run}", preview.number));
    Ok(exit::DONE)
}

fn same_effect(a: &ReleaseEffect, b: &ReleaseEffect) -> bool {
    let bare = |e: &ReleaseEffect| ReleaseEffect { judged: Vec::new(), ..e.clone() };
    bare(a) == bare(b)
}

/// Shows a preview as data.
fn show(context: &Context, preview: &Preview, confirmed: bool, released: bool) -> Result<()> {
    if context.global.json {
        return context.document(&Document {
            schema: "wharf.release/1",
            lease: &preview.number,
            confirmed,
            released,
            lines: &preview.lines,
            effect: &preview.effect,
        });
    }
    print(tidy_lines(context, &text(preview)).as_bytes())
}

fn tidy_lines(context: &Context, text: &str) -> String {
    text.lines().map(|line| tidy(line, context.global.ascii) + "\n").collect()
}

/// Asks on a terminal; elsewhere says that `--yes` is needed.
fn confirm(context: &Context, preview: &Preview) -> Result<()> {
    let error = |message: &str| {
        CliError::new(exit::NOT_CONFIRMED, "not_confirmed", format!("{} {message}", preview.number))
            .entity(preview.number.clone())
            .next(format!("wharf lease release {} --yes", preview.number))
    };
    if context.global.json {
        show(context, preview, false, false)?;
        return Err(error("is not released").cause("releasing stops things, and nobody confirmed it"));
    }
    say(tidy_lines(context, &text(preview)).trim_end());
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(error("is not released").cause("there is no terminal to ask on"));
    }
    let mut err = std::io::stderr().lock();
    // A question that cannot be shown is answered with no.
    let asked = write!(err, "Release {}? [y/N] ", preview.number).and_then(|()| err.flush());
    drop(err);
    let mut answer = String::new();
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(error("stays as it is").cause("the answer was no"))
}

/// The lines for people.
fn text(preview: &Preview) -> String {
    let mut out = format!("Releasing {} on {} does this, in this order:\n", preview.number, preview.environment);
    let whats: Vec<String> =
        preview.lines.iter().map(|l| format!("{} {}", l.entity, l.what).trim().to_owned()).collect();
    let widest = whats.iter().map(|w| wharf_ui::text::width(w)).max().unwrap_or(0);
    for (line, what) in preview.lines.iter().zip(whats) {
        let pad = " ".repeat(widest.saturating_sub(wharf_ui::text::width(&what)));
        out.push_str(format!("  {:<6} {what}{pad}  {}", line.verb, line.remark).trim_end());
        out.push('\n');
    }
    out.push_str(&preview.last);
    out.push('\n');
    out
}

/// Computes the preview from the store as it is now.
fn preview(reader: &Reader, id: LeaseId) -> Result<Preview> {
    let facts = reader
        .release_facts(id)?
        .ok_or_else(|| CliError::new(exit::NOT_FOUND, "id_unknown", "this lease is not in the store any more"))?;
    let workspace = match (&facts.workspace, facts.run.as_ref().and_then(|r| r.workspace_id)) {
        (Some(workspace), _) => Some(workspace.clone()),
        (None, Some(id)) => reader.workspace(id)?.map(|w| w.workspace),
        (None, None) => None,
    };
    let judged = release::ReleaseFacts {
        lease: facts.lease.lease.clone(),
        run: facts.run.clone(),
        services: facts.services.iter().map(|s| (s.service.clone(), others(s, facts.run.as_ref()).len())).collect(),
        workspace: workspace.clone(),
    };
    let number = Kind::Lease.number(facts.lease.lease.number);
    let effect = release::effect(&judged).map_err(|e| {
        let error = CliError::new(exit::REFUSED, "illegal_state", e.to_string()).entity(number.clone());
        match e {
            NotReleasable::Ended { .. } => error.next("wharf leases --held"),
            NotReleasable::Releasing { .. } => error.next(format!("wharf show {number}")),
        }
    })?;
    let run = effect.stops_run.and(facts.run.as_ref());
    let lines = lines(&facts, workspace.as_ref(), &effect);
    let run_number = run.map(|r| Kind::Run.number(r.number));
    let last = match &run_number {
        Some(run) => format!("{run} is recorded as cancelled by operator. This cannot be undone."),
        None => "Its holder is gone; nothing is stopped.".to_owned(),
    };
    Ok(Preview { environment: facts.environment.name.clone(), run: run_number, lines, last, effect, number })
}

fn others(service: &ServiceItem, run: Option<&RunRow>) -> Vec<String> {
    let own = run.map(|r| r.id);
    service.users.iter().filter(|u| Some(u.run_id) != own).map(|u| Kind::Run.number(u.run_number)).collect()
}

fn lines(facts: &ReleaseFacts, workspace: Option<&WorkspaceRow>, effect: &ReleaseEffect) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(run) = effect.stops_run.and(facts.run.as_ref()) {
        let who = [facts.lease.agent.clone(), facts.lease.issue.clone()].into_iter().flatten().collect::<Vec<_>>();
        let remark = match run.process_pid {
            Some(pid) => {
                let processes = descendants::of(pid).map_or(0, |d| d.len()) + 1;
                let processes = if processes == 1 { "1 process".into() } else { format!("{processes} processes") };
                format!("SIGTERM, {}, then SIGKILL; {processes}", format::duration(effect.grace_ms))
            }
            None => "has no process yet".to_owned(),
        };
        lines.push(Line { verb: "stops", entity: Kind::Run.number(run.number), what: who.join(" "), remark });
    }
    let service = |id: &ServiceId| facts.services.iter().find(|s| s.service.id == *id);
    let mut add = |verb: &'static str, item: &ServiceItem, remark: String| {
        let port = item.service.port.map_or_else(String::new, |p| format!(" on port {p}"));
        let what = format!("{}{port}", item.service.name);
        lines.push(Line { verb, entity: Kind::Service.number(item.service.number), what, remark });
    };
    for item in effect.stops_services.iter().filter_map(service) {
        add("stops", item, "used by this run only".to_owned());
    }
    for item in effect.idles_services.iter().filter_map(service) {
        let remark = match after(&item.service) {
            AfterLastUser::Idle(ms) => format!("stops after {} without a user", format::duration(ms)),
            AfterLastUser::Stop | AfterLastUser::Keep => String::new(),
        };
        add("idles", item, remark);
    }
    for item in effect.keeps_services.iter().filter_map(service) {
        let others = others(item, facts.run.as_ref());
        let remark = if others.is_empty() {
            "stops by hand only".into()
        } else {
            format!("still used by {}", others.join(", "))
        };
        add("keeps", item, remark);
    }
    if let Some(workspace) = workspace.filter(|w| effect.keeps_workspace.is_none_or(|k| k == w.id)) {
        let what = if workspace.branch_name.is_some() { "and its branch" } else { "and its files" };
        let entity = Kind::Workspace.number(workspace.number);
        lines.push(Line { verb: "keeps", entity, what: what.to_owned(), remark: uncommitted(workspace) });
    }
    let agent = facts.lease.agent.as_ref().filter(|_| effect.stops_run.is_some());
    let of_agent = agent.map_or_else(String::new, |agent| format!(" and of {agent}"));
    let waiting: Vec<String> = facts.waiting.iter().map(|n| Kind::Lease.number(*n)).collect();
    let remark = if waiting.is_empty() { String::new() } else { format!("{} can go on", waiting.join(", ")) };
    let what = format!("of {}{of_agent}", facts.environment.name);
    lines.push(Line { verb: "frees", entity: "a slot".to_owned(), what, remark });
    lines
}

/// Changes of a checkout that no commit holds.
fn uncommitted(workspace: &WorkspaceRow) -> String {
    let Some(path) = workspace.cwd.as_deref().map(Path::new).filter(|p| p.is_dir()) else { return String::new() };
    match facts::observe(path, None).map(|f| f.changed + f.untracked) {
        Ok(0) => "nothing uncommitted in it".to_owned(),
        Ok(1) => "1 uncommitted file stays".to_owned(),
        Ok(n) => format!("{n} uncommitted files stay"),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preview_stands_in_columns() {
        let line = |verb, entity: &str, what: &str, remark: &str| Line {
            verb,
            entity: entity.into(),
            what: what.into(),
            remark: remark.into(),
        };
        let effect = ReleaseEffect {
            stops_run: None,
            grace_ms: 0,
            stops_services: vec![],
            idles_services: vec![],
            keeps_services: vec![],
            keeps_workspace: None,
            frees: EnvironmentId::NIL,
            judged: vec![],
        };
        let preview = Preview {
            number: "L-88".into(),
            environment: "Local".into(),
            run: Some("R-1042".into()),
            lines: vec![
                line("stops", "R-1042", "fixer SHOP-17", "SIGTERM, 15s, then SIGKILL; 7 processes"),
                line("stops", "S-14", "db on port 5433", "used by this run only"),
                line("frees", "a slot", "of Local and of fixer", ""),
            ],
            last: "R-1042 is recorded as cancelled by operator. This cannot be undone.".into(),
            effect,
        };
        let expected = "Releasing L-88 on Local does this, in this order:\n\
            \u{20} stops  R-1042 fixer SHOP-17          SIGTERM, 15s, then SIGKILL; 7 processes\n\
            \u{20} stops  S-14 db on port 5433          used by this run only\n\
            \u{20} frees  a slot of Local and of fixer\n\
            R-1042 is recorded as cancelled by operator. This cannot be undone.\n";
        assert_eq!(text(&preview), expected);
    }
}
