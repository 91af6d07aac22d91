//! Services that have a process: starting, running, stopping.

use super::{Case, Key, Seen, Until, Why, span};
use crate::config::ReadyCheck;
use crate::{Health, ServiceStatus};

pub(super) fn why(seen: &Seen<'_>) -> Why {
    match seen.row.status {
        ServiceStatus::Starting if !seen.around.waits_for.is_empty() => waiting(seen),
        ServiceStatus::Starting => starting(seen),
        ServiceStatus::Stopping => stopping(seen),
        _ if seen.row.health == Health::Unhealthy => unhealthy(seen),
        _ => running(seen),
    }
}

fn waiting(seen: &Seen<'_>) -> Why {
    let others = &seen.around.waits_for;
    let names: Vec<&str> = others.iter().map(|o| o.name.as_str()).collect();
    let verdict = format!("WAITS: it is started when {} {} ready.", names.join(" and "), are(names.len()));
    let rule = seen.with_place("order: what a service depends on is ready before it is started".into());
    let until = match seen.row.deadline_at {
        Some(at) => Until::At(at, "then it has failed".into()),
        None => Until::When("they are ready".into()),
    };
    let mut page = seen.page(Case::Waiting, &verdict, rule, until);
    page.since = seen.row.started_at;
    page.evidence.extend(others.iter().map(|o| ("waits for".to_owned(), format!("{}, {}", o.name, o.state))));
    page.actions.push(seen.act(Key::Other, "go to the one it waits for", ""));
    page.actions.push(seen.act(Key::Stop, "stop it", "it is not started then"));
    page
}

const fn are(n: usize) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

fn starting(seen: &Seen<'_>) -> Why {
    let limit = seen.config.as_ref().map(|c| super::signed(c.ready.timeout_ms));
    let rule = match limit {
        Some(ms) => format!("ready when: {}, within {}", seen.check(), span(ms)),
        None => format!("ready when: {}", seen.check()),
    };
    let then = match (seen.restarts(), seen.spent() < seen.budget()) {
        (true, true) => "then it is started again after a pause",
        (true, false) => "then it has failed, its restarts are used up",
        (false, _) => "then it has failed",
    };
    let until = match (seen.row.started_at, limit, seen.row.deadline_at) {
        (Some(from), Some(ms), _) => Until::At(from.plus(ms), then.into()),
        (_, _, Some(at)) => Until::At(at, then.into()),
        _ => Until::When("it is ready".into()),
    };
    let mut page = seen.page(Case::Starting, "is STARTING: it is not ready yet.", seen.with_place(rule), until);
    page.since = seen.row.started_at;
    match seen.row.process_pid {
        Some(pid) => page.evidence.push(("process".into(), format!("pid {pid}, start {}", seen.row.generation))),
        None => page.evidence.push(("process".into(), "none yet".into())),
    }
    if seen.row.restarts > 0 {
        let n = format!("{} of {}", seen.spent().max(1), seen.budget());
        page.evidence.push(("restart".into(), n));
    }
    if let Some(words) = &seen.row.health_evidence {
        page.evidence.push(("start before".into(), words.clone()));
    }
    if let Some(line) = &seen.around.last_line {
        page.evidence.push(("last line".into(), line.clone()));
    }
    stranger(seen, &mut page);
    page.actions.push(seen.act(Key::Log, "read what it prints", ""));
    page.actions.push(seen.act(Key::Stop, "stop it", ""));
    page
}

fn stopping(seen: &Seen<'_>) -> Why {
    let reason = stop_reason(seen.row.stop_reason.as_deref());
    let signal = seen.config.as_ref().map_or("SIGTERM", |c| c.stop.signal.as_str());
    let rule = format!("stop: {signal}, {}, then SIGKILL", span(seen.row.grace_ms));
    let mut page = match seen.row.deadline_at {
        Some(at) => seen.page(
            Case::Stopping,
            &format!("is STOPPING: {reason}."),
            rule,
            Until::At(at, "then it is asked about again".into()),
        ),
        None => seen.page(
            Case::StopOverdue,
            "was asked to STOP, and nobody has seen its end.",
            format!("{rule}; its time is over"),
            Until::YouAct,
        ),
    };
    page.since = Some(seen.row.updated_at);
    page.evidence.push(("asked".into(), reason));
    if let Some(error) = &seen.row.error {
        page.evidence.push(("error".into(), error.clone()));
    }
    if let Some(pid) = seen.row.process_pid {
        page.evidence.push(("process".into(), format!("pid {pid}")));
    }
    if page.case == Case::StopOverdue {
        page.actions.push(seen.act(Key::Stop, "ask again, by force", "its shim ends the whole tree"));
    }
    page
}

fn unhealthy(seen: &Seen<'_>) -> Why {
    let live = seen.config.as_ref().and_then(|c| c.live.as_ref());
    let rule = match live {
        Some(live) => format!(
            "liveness: {}, {} failed {} in a row, one each {}",
            seen.liveness().unwrap_or_default(),
            live.failures,
            if live.failures == 1 { "check" } else { "checks" },
            span(super::signed(live.interval_ms))
        ),
        None => light(seen)
            .map_or_else(|| "its last look failed".to_owned(), |look| format!("{look}; the last look failed")),
    };
    let restarts = live.is_some() && seen.policy() != crate::config::RestartPolicy::Never;
    let until = Until::When(if restarts {
        "it answers again, or is started again by its policy".into()
    } else {
        "it answers again; nothing restarts it by itself".into()
    });
    let verdict = "is UNHEALTHY: its process lives and its checks fail.";
    let mut page = seen.page(Case::Unhealthy, verdict, seen.with_place(rule), until);
    page.since = seen.row.health_since;
    let evidence = seen.row.health_evidence.clone().unwrap_or_else(|| "no check has said why".to_owned());
    page.evidence.push(("last check".into(), evidence));
    if let Some(line) = &seen.around.last_line {
        page.evidence.push(("last line".into(), line.clone()));
    }
    if let Some(pid) = seen.row.process_pid {
        page.fine.push(format!("its process lives, pid {pid}"));
    }
    stranger(seen, &mut page);
    if seen.around.stranger.is_none()
        && let Some(port) = seen.row.port
    {
        page.fine.push(format!("nobody else is known to hold port {port}"));
    }
    page.actions.push(seen.act(Key::Restart, "restart now", "its runs see it go and come"));
    page.actions.push(seen.act(Key::Log, "read what it prints", ""));
    page.actions.push(seen.act(Key::Stop, "stop it", ""));
    page
}

/// How one without a liveness check is looked at all the same; nothing follows from that.
fn light(seen: &Seen<'_>) -> Option<String> {
    let ready = seen.config.as_ref().map(|c| &c.ready.check);
    let each = span(super::LIGHT_LOOK_MS);
    matches!(ready, Some(ReadyCheck::Http(_))).then(|| {
        format!("ready when: {}, looked at each {each} to show it; no liveness check is configured", seen.check())
    })
}

fn running(seen: &Seen<'_>) -> Why {
    let row = seen.row;
    let (case, verdict) = match row.health {
        Health::Healthy => (Case::Healthy, "is healthy."),
        _ => (Case::Unjudged, "runs; whether it answers is not known yet."),
    };
    let rule = match seen.config.as_ref().and_then(|c| c.live.as_ref()) {
        Some(live) => format!(
            "liveness: {}, one check each {}",
            seen.liveness().unwrap_or_default(),
            span(super::signed(live.interval_ms))
        ),
        None => light(seen).unwrap_or_else(|| format!("ready when: {}; no liveness check is configured", seen.check())),
    };
    let until = match row.idle_deadline_at {
        Some(at) => Until::At(at, "it stops, since no run uses it".into()),
        None => Until::When("it ends or is stopped".into()),
    };
    let mut page = seen.page(case, verdict, seen.with_place(rule), until);
    page.since = row.health_since.or(row.ready_at);
    if let Some(words) = &row.health_evidence {
        page.evidence.push(("last check".into(), words.clone()));
    }
    stranger(seen, &mut page);
    page.actions.push(seen.act(Key::Restart, "restart", ""));
    if let Some(url) = &row.url {
        page.actions.push(seen.act(Key::Open, "open its URL", url));
    }
    page.actions.push(seen.act(Key::Stop, "stop it", ""));
    page
}

/// Who else listens where it does.
pub(super) fn stranger(seen: &Seen<'_>, page: &mut Why) {
    if let Some((port, who)) = &seen.around.stranger {
        page.evidence.push((format!("port {port}"), format!("{who} listens there; it is not ours and is left alone")));
    }
}

/// Why it was stopped, in words.
pub(super) fn stop_reason(reason: Option<&str>) -> String {
    match reason {
        Some("operator") => "by operator".to_owned(),
        Some("unused") => "no run uses it any more".to_owned(),
        Some("idle" | "idle_timeout") => "no run has used it for its idle time".to_owned(),
        Some("restart") => "to be started again".to_owned(),
        Some("unhealthy") => "its liveness checks failed".to_owned(),
        Some("start_timeout") => "it was not ready in time".to_owned(),
        Some("desired") => "it is wanted stopped".to_owned(),
        Some(other) => other.replace('_', " "),
        None => "nobody said why".to_owned(),
    }
}
