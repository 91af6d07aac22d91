//! What a request would do, computed by the rule that accepts it and from the same rows.

mod job;
pub(crate) mod lease;
mod service;
pub(crate) mod workspace;

pub use job::stop_job;
pub use service::{restart, stop, stop_all, with_dependents};

use wharf_model::rules::release::{AfterLastUser, after_last_user};
use wharf_model::{Kind, LeaseId, RunId, RunStatus, UnixMillis};
use wharf_store::view::{RunDetail, ServiceItem};
use wharf_store::{Reader, StoreError};
use wharf_ui::effect::Verdict;
use wharf_ui::format::{self, Zone};
use wharf_ui::rows::{Expect, Preview, PreviewLine, PreviewVerb};

use self::lease::{Around, LeaseVerb};

fn line(verb: PreviewVerb, what: impl Into<String>, how: impl Into<String>) -> PreviewLine {
    PreviewLine { verb, what: what.into(), how: how.into() }
}

fn refused(why: impl Into<String>, at: UnixMillis) -> Preview {
    Preview { refused: Some(why.into()), at, ..Preview::default() }
}

/// How a child is asked to stop.
fn stop_words(grace_ms: i64) -> String {
    format!("SIGTERM, {}, then SIGKILL", format::duration(grace_ms))
}

fn run_words(run: &RunDetail) -> String {
    let names = [Some(Kind::Run.number(run.run.number)), run.line.agent.clone(), run.line.issue.clone()];
    names.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn service_words(item: &ServiceItem) -> String {
    let name = format!("{} {}", Kind::Service.number(item.service.number), item.service.name);
    item.service.port.map_or(name.clone(), |port| format!("{name} on port {port}"))
}

fn other_users(item: &ServiceItem, run: RunId) -> Vec<String> {
    item.users.iter().filter(|u| u.run_id != run).map(|u| Kind::Run.number(u.run_number)).collect()
}

/// What becomes of each service when a run leaves it.
fn services(items: &[ServiceItem], run: RunId, lines: &mut Vec<PreviewLine>) {
    for item in items {
        let others = other_users(item, run);
        let row = &item.service;
        let name = service_words(item);
        if !others.is_empty() {
            lines.push(line(PreviewVerb::Keeps, name, format!("still used by {}", others.join(", "))));
            continue;
        }
        match after_last_user(row.lifecycle, row.stop_policy, row.idle_ms) {
            AfterLastUser::Stop => lines.push(line(PreviewVerb::Stops, name, "used by this run only")),
            AfterLastUser::Idle(ms) => {
                lines.push(line(PreviewVerb::Keeps, name, format!("stops when unused for {}", format::duration(ms))));
            }
            AfterLastUser::Keep => lines.push(line(PreviewVerb::Keeps, name, "stays until someone stops it")),
        }
    }
}

fn workspace(detail: &RunDetail, lines: &mut Vec<PreviewLine>) {
    if let Some(row) = &detail.workspace {
        let name = Kind::Workspace.number(row.number);
        let what = if row.branch_name.is_some() { format!("{name} and its branch") } else { name };
        lines.push(line(PreviewVerb::Keeps, what, row.cwd.clone().unwrap_or_default()));
    }
}

fn queued(detail: &RunDetail) -> bool {
    matches!(detail.run.status, RunStatus::Queued | RunStatus::ScheduledRetry)
}

fn stops(detail: &RunDetail, lines: &mut Vec<PreviewLine>) {
    let how = if queued(detail) { "it has not begun".to_owned() } else { stop_words(detail.run.grace_ms) };
    lines.push(line(PreviewVerb::Stops, run_words(detail), how));
    if let Some(pid) = detail.run.process_pid {
        lines.push(line(PreviewVerb::More, format!("its whole process tree, oldest {pid}"), ""));
    }
}

/// What cancelling a run would do.
pub fn cancel(reader: &Reader, id: RunId, at: UnixMillis) -> Result<Preview, StoreError> {
    let Some(detail) = reader.run_detail(id)? else { return Ok(refused("it is not in the ledger any more", at)) };
    let run = &detail.run;
    let name = Kind::Run.number(run.number);
    if run.status.is_terminal() {
        let ended = run.finished_at.map(|f| format!(" {} ago", format::duration(f.until(at)))).unwrap_or_default();
        return Ok(refused(format!("it has ended already: {}{ended}", run.status.as_str().replace('_', " ")), at));
    }
    let mut lines = Vec::new();
    stops(&detail, &mut lines);
    services(&detail.services, id, &mut lines);
    workspace(&detail, &mut lines);
    if let Some(lease) = &detail.lease
        && !lease.lease.status.is_terminal()
    {
        let what = format!("{} on {}", Kind::Lease.number(lease.lease.number), lease.environment);
        lines.push(line(PreviewVerb::Frees, what, wharf_ui::rows::policy_words(lease.lease.lease_policy)));
    }
    let expect = vec![Expect { id: run.id.text(), version: run.version }];
    let note =
        format!("{name} is recorded as cancelled by operator. This cannot be undone; the run can be started anew.");
    Ok(Preview { lines, note, expect, at, refused: None, args: Vec::new() })
}

/// What deciding about a run that cannot be judged would do.
pub fn resolve(reader: &Reader, id: RunId, verdict: Verdict, at: UnixMillis) -> Result<Preview, StoreError> {
    let Some(detail) = reader.run_detail(id)? else { return Ok(refused("it is not in the ledger any more", at)) };
    let run = &detail.run;
    if run.status != RunStatus::Running || run.observation != wharf_model::Observation::Unknown {
        return Ok(refused("it can be judged; cancel it instead", at));
    }
    let mut lines = Vec::new();
    let note = match verdict {
        Verdict::Lost => {
            lines.push(line(PreviewVerb::Records, run_words(&detail), "lost, given up by the operator"));
            lines.push(line(PreviewVerb::Stops, "whatever of it still lives", "its shim and its tag, by force"));
            services(&detail.services, id, &mut lines);
            workspace(&detail, &mut lines);
            if let Some(lease) = detail.lease.as_ref().filter(|l| !l.lease.status.is_terminal()) {
                let what = format!("{} on {}", Kind::Lease.number(lease.lease.number), lease.environment);
                lines.push(line(PreviewVerb::Frees, what, "as failed, with clean-up"));
            }
            "This cannot be undone. What it still reports is kept as late.".to_owned()
        }
        Verdict::Keep => {
            lines.push(line(PreviewVerb::Keeps, run_words(&detail), "running, asked about again in 24 h"));
            "Nothing is stopped or released.".to_owned()
        }
    };
    let evidence = run.observation_evidence.clone().unwrap_or_default();
    let note = format!("It cannot be judged: {evidence}. {note}");
    let expect = vec![Expect { id: run.id.text(), version: run.version }];
    Ok(Preview { lines, note, expect, at, refused: None, args: Vec::new() })
}

/// What a verb on a lease would do.
pub fn lease(
    reader: &Reader,
    id: LeaseId,
    verb: LeaseVerb,
    now: UnixMillis,
    zone: Zone,
) -> Result<Preview, StoreError> {
    let files = |row: &wharf_model::WorkspaceRow| row.cwd.clone().unwrap_or_default();
    let judged = lease::judge(reader, id, verb, &Around { now, zone, files: &files })?;
    Ok(judged.map_or_else(|| refused("there is no such lease any more", now), |j| j.preview))
}
