//! Services without a process: stopped, failed, or between two starts.

use super::live::{stop_reason, stranger};
use super::possible::is_over;
use super::{Case, Key, Seen, Until, Why, signed, span};
use crate::config::RestartPolicy;
use crate::rules::service_desired::is_kept;
use crate::rules::service_off::{REMOVED, REPLACED};
use crate::rules::service_restart::{AT_LAST, is_parked};
use crate::{Desired, ServiceStatus};

pub(super) fn why(seen: &Seen<'_>) -> Why {
    if let Some(reason) = seen.is_off() {
        return off(seen, reason);
    }
    match seen.row.status {
        ServiceStatus::Backoff => backoff(seen),
        ServiceStatus::Stopped => stopped(seen),
        _ => failed(seen),
    }
}

fn off(seen: &Seen<'_>, reason: &str) -> Why {
    let (rule, until, edit) = match reason {
        REMOVED => ("config: what it has no more is not started", "the config has it again and is accepted", None),
        REPLACED => (
            "config: a changed service is another one, with a row of its own",
            "the config has it in this form again and is accepted",
            seen.edit("see its new form"),
        ),
        _ => (
            "disabled: a service with a reason there is not started",
            "that line goes and the config is accepted",
            seen.edit("remove its line `disabled`"),
        ),
    };
    let (rule, until) = (seen.with_place(rule.to_owned()), Until::When(until.to_owned()));
    let mut page = seen.page(Case::Off, &format!("is switched OFF: {reason}."), rule, until);
    page.since = seen.row.stopped_at;
    seen.remains(&mut page);
    page.actions.extend(edit);
    page
}

fn stopped(seen: &Seen<'_>) -> Why {
    let row = seen.row;
    let started = row.generation > 0;
    let verdict = if started {
        format!("is stopped: {}.", stop_reason(row.stop_reason.as_deref()))
    } else {
        "has never been started.".to_owned()
    };
    let (rule, until) = match row.desired {
        _ if is_over(seen) => ("reuse run: it belonged to one run and ended with it", Until::YouAct),
        Desired::Running => {
            ("desired running: it is started at the next look", Until::When("it is started again".into()))
        }
        Desired::Stopped => (
            "desired stopped: it runs as long as a run uses it, and stops when the last one leaves it",
            Until::When("a run wants it".into()),
        ),
        Desired::Manual => {
            ("desired manual: it starts with the first run that wants it", Until::When("a run wants it".into()))
        }
    };
    let mut page = seen.page(Case::Stopped, &verdict, seen.with_place(rule.into()), until);
    page.since = row.stopped_at;
    if started && let Some(exit) = seen.last_exit() {
        page.evidence.push(("last exit".into(), exit));
    }
    page.actions.push(seen.act(Key::Start, "start it", ""));
    page
}

fn backoff(seen: &Seen<'_>) -> Why {
    let n = (seen.spent() + 1).max(usize::try_from(seen.row.restarts).unwrap_or(0));
    let rule = match &seen.config {
        Some(c) => format!(
            "{}: pauses from {} on, doubled each time, at most {} within {}",
            // By its policy alone it would stay as it ended.
            match c.restart.policy {
                RestartPolicy::Never if is_kept(seen.row) => "desired running: it is started again".to_owned(),
                policy => format!("restart {policy}"),
            },
            span(signed(c.restart.backoff_ms)),
            c.restart.max,
            span(signed(c.restart.within_ms))
        ),
        None => "restart: after a pause".to_owned(),
    };
    let until = match seen.row.deadline_at {
        Some(at) => Until::At(at, "it is started again".into()),
        None => Until::When("its pause is over".into()),
    };
    let verdict = format!("ENDED and is started again after a pause: restart {} of {}.", n.max(1), seen.budget());
    let mut page = seen.page(Case::Backoff, &verdict, seen.with_place(rule), until);
    page.since = seen.row.stopped_at;
    let missing = seen.remains(&mut page);
    page.actions.push(seen.act(Key::Restart, "restart now", "does not wait for the pause"));
    page.actions.extend(missing.and_then(|name| add_variable(seen, &name)));
    page.actions.push(seen.act(Key::Stop, "stop it", "it is not started again"));
    page
}

fn add_variable(seen: &Seen<'_>, name: &str) -> Option<super::Action> {
    seen.edit(format!("add {name} to env of [[service]] {}", seen.row.name))
}

fn failed(seen: &Seen<'_>) -> Why {
    let code = seen.row.error_code.as_deref().unwrap_or("");
    match code {
        "port_in_use" | "port_owned_by_other" => port_taken(seen),
        _ if is_parked(seen.row) => parked(seen),
        "service_not_ready" => never_ready(seen),
        "process_lost" => lost(seen),
        // Nothing of it ran: what kept it from running is the error.
        _ if seen.last_exit().is_none() => cannot_start(seen),
        "cwd_missing" | "command_not_found" | "command_not_executable" | "exec_failed" => cannot_start(seen),
        _ => ended(seen),
    }
}

/// `R`, with what it does to the budget.
fn restart(seen: &Seen<'_>) -> super::Action {
    let remark = if seen.restarts() { "resets the budget" } else { "" };
    seen.act(Key::Restart, "restart now", remark)
}

/// `x` on one that is wanted and does not run.
fn want_stopped(seen: &Seen<'_>, page: &mut Why) {
    if seen.row.desired == Desired::Running {
        page.actions.push(seen.act(Key::Stop, "want it stopped", "desired running → stopped"));
    }
}

fn parked(seen: &Seen<'_>) -> Why {
    let within = seen.config.as_ref().map_or(0, |c| signed(c.restart.within_ms));
    let reason = seen.row.error.as_deref().and_then(|e| e.split_once(AT_LAST)).map(|(reason, _)| reason.to_owned());
    // Its own restarts and the last end of all.
    let counted = || format!("it failed {} times within {}, restarts are used up", seen.spent() + 1, span(within));
    let reason = reason.unwrap_or_else(counted);
    let rule = seen.with_place(format!("crash loop: restart budget {} within {}", seen.budget(), span(within)));
    let mut page = seen.page(Case::Parked, &format!("FAILED: {reason}."), rule, Until::YouAct);
    page.since = seen.row.stopped_at;
    let missing = seen.remains(&mut page);
    stranger(seen, &mut page);
    let of_port = page.evidence.iter().any(|(label, words)| label == "error" && words.starts_with("port "));
    page.actions.push(restart(seen));
    page.actions.extend(match missing {
        Some(name) => add_variable(seen, &name),
        None if of_port => seen.edit("give it another port, or port = \"auto\""),
        None => seen.edit("change its command, its checks or its restart budget"),
    });
    want_stopped(seen, &mut page);
    page
}

fn port_taken(seen: &Seen<'_>) -> Why {
    let port = seen.row.port.or_else(|| match seen.config.as_ref().map(|c| &c.port) {
        Some(crate::config::Port::Fixed { port, .. }) => Some(i64::from(*port)),
        _ => None,
    });
    let port = port.map_or_else(|| "its port".to_owned(), |p| format!("port {p}"));
    let rule = seen.with_place("port: a service starts only on a port that nobody else listens on".into());
    let verdict = format!("FAILED: {port} is held by somebody else.");
    let mut page = seen.page(Case::PortTaken, &verdict, rule, Until::When("the port is free, and you start it".into()));
    page.since = seen.row.stopped_at;
    match &seen.around.stranger {
        Some((_, who)) => {
            page.evidence.push((port, format!("{who} listens there now; it is not ours and is left alone")));
        }
        None => page.fine.push(format!("{port} is not held any more, as far as it was looked at")),
    }
    if let (Some(message), _) = seen.error() {
        page.evidence.push(("then".into(), message));
    }
    page.actions.push(seen.act(Key::Restart, "start it", "once the port is free"));
    page.actions.extend(seen.edit("give it another port, or port = \"auto\""));
    want_stopped(seen, &mut page);
    page
}

fn never_ready(seen: &Seen<'_>) -> Why {
    let limit =
        seen.config.as_ref().map(|c| format!(" within {}", span(signed(c.ready.timeout_ms)))).unwrap_or_default();
    let rule = seen.with_place(format!("ready when: {}{limit}", seen.check()));
    let mut page = seen.page(Case::NeverReady, "FAILED: it did not become ready in time.", rule, Until::YouAct);
    page.since = seen.row.stopped_at;
    if let Some(words) = &seen.row.health_evidence {
        page.evidence.push(("last check".into(), words.clone()));
    }
    let missing = seen.remains(&mut page);
    page.actions.push(restart(seen));
    page.actions.extend(match missing {
        Some(name) => add_variable(seen, &name),
        None => seen.edit("change what makes it ready, or give it more time"),
    });
    page.actions.push(seen.act(Key::Log, "read what it printed", ""));
    want_stopped(seen, &mut page);
    page
}

fn cannot_start(seen: &Seen<'_>) -> Why {
    let rule = seen.with_place(format!("command: {}", seen.row.command));
    let mut page = seen.page(Case::CannotStart, "FAILED: it could not be started.", rule, Until::YouAct);
    page.since = seen.row.stopped_at;
    page.evidence.push(("directory".into(), seen.row.cwd.clone()));
    seen.remains(&mut page);
    page.actions.extend(seen.edit("change its command or its directory"));
    page.actions.push(restart(seen));
    want_stopped(seen, &mut page);
    page
}

fn lost(seen: &Seen<'_>) -> Why {
    let rule = "truth: whoever keeps a process proves by a lock that it lives; that one is gone";
    let mut page = seen.page(Case::Lost, "is LOST: what kept it has died.", rule, Until::YouAct);
    page.since = seen.row.stopped_at;
    seen.remains(&mut page);
    page.actions.push(restart(seen));
    want_stopped(seen, &mut page);
    page
}

fn ended(seen: &Seen<'_>) -> Why {
    let rule = match seen.policy() {
        RestartPolicy::Never => "restart never: one that ended stays ended",
        RestartPolicy::OnFailure => "restart on_failure: it was not started again",
        RestartPolicy::Always => "restart always: it was not started again",
    };
    let mut page = seen.page(Case::Ended, "FAILED: its command ended.", seen.with_place(rule.into()), Until::YouAct);
    page.since = seen.row.stopped_at;
    let missing = seen.remains(&mut page);
    page.actions.push(restart(seen));
    page.actions.extend(match missing {
        Some(name) => add_variable(seen, &name),
        None if seen.policy() == RestartPolicy::Never => {
            seen.edit("restart = { policy = \"on_failure\" } starts it again")
        }
        None => None,
    });
    page.actions.push(seen.act(Key::Log, "read what it printed", ""));
    want_stopped(seen, &mut page);
    page
}
