//! Tabs Facts and Runs.

use super::Services;
use super::words::{health, name, policy, restarts, stops, users};
use crate::env::Env;
use crate::format;
use crate::rows::{Fact, FactBlock, ServiceDetail, ServiceLine};
use crate::screen::browse::{Browse, fact, merged, prose, state_fact};

/// Every fact.
pub(super) fn facts(screen: &Services, line: &ServiceLine, env: &Env) -> Vec<FactBlock> {
    let room = usize::from(screen.base().list.layout(env).pane.width.saturating_sub(14));
    let wanted = line.desired_by.as_ref().map_or(String::new(), |by| format!("by {by}"));
    let mut first = vec![
        fact("SERVICE", name(line), ""),
        state_fact(line.class, &line.word, ""),
        fact("wanted", line.desired.clone(), wanted),
        fact("health", if health(line).is_empty() { "–" } else { health(line) }, ""),
        fact("scope", line.scope.clone(), ""),
    ];
    if let Some(pid) = line.pid {
        let tree = line.figures.map(|f| {
            let cpu = f.cpu_permille.map_or("– cores".into(), |m| format!("{} cores", format::cores(u64::from(m))));
            let of = if f.processes == 1 { "1 process".to_owned() } else { format!("{} processes", f.processes) };
            format!("{of}, {cpu}, {}", format::size(f.memory_bytes))
        });
        first.push(fact("process", format!("pid {pid}"), tree.unwrap_or_default()));
    }
    if let Some(at) = line.started_at {
        let since = if line.live { format!("up {}", format::duration(at.until(env.now))) } else { String::new() };
        first.push(fact("started", format::full(at, env.zone), since));
    }
    if let Some(port) = line.port {
        first.push(fact("port", port.to_string(), line.url.clone().unwrap_or_default()));
    }
    if let Some(stranger) = &line.stranger {
        first.push(Fact { bad: true, ..fact("held by", stranger.clone(), "not ours, it is left alone") });
    }
    first.push(fact("restarts", restarts(line, " of "), ""));
    let used_by = if line.users.is_empty() { "no run".to_owned() } else { users(line) };
    let (words, counts) = stops(line, env);
    let stop = if counts { format!("{}: stops {words}", line.stop_policy) } else { line.stop_policy.clone() };
    let mut second = vec![fact("USED BY", used_by, ""), fact("stops", stop, "")];
    second.extend(prose("policy", &policy(line, env), room));
    if !line.waits_for.is_empty() {
        second.push(fact("waits for", line.waits_for.join(", "), ""));
    }
    if !line.dependents.is_empty() {
        second.push(fact("needed by", line.dependents.join(", "), ""));
    }
    if let Some((file, at)) = screen.detail_of(line.id).and_then(|d| d.written.as_ref()) {
        second.push(fact("configured", file.clone(), format!("line {at}")));
    }
    merged(vec![FactBlock { facts: first }, FactBlock { facts: second }], &line.facts)
}

/// Runs that use it, and those that have.
pub(super) fn runs(detail: Option<&ServiceDetail>, env: &Env) -> Vec<FactBlock> {
    let Some(detail) = detail else { return vec![FactBlock { facts: vec![fact("RUNS", "reading…", "")] }] };
    let told = |run: &crate::rows::ServiceRun| {
        let began = if run.reused { "found it running" } else { "had it started" };
        let when = match run.until {
            None => format!("since {}, {began}", format::moment(run.since, env.now, env.zone)),
            Some(until) => format!(
                "{} to {}, {began}",
                format::moment(run.since, env.now, env.zone),
                format::moment(until, env.now, env.zone)
            ),
        };
        fact("", format!("{} {} {}", run.class.glyph(), run.name, run.word), when)
    };
    let block = |label: &str, none: &str, uses: bool| {
        let mut facts: Vec<Fact> = detail.runs.iter().filter(|r| r.until.is_none() == uses).map(told).collect();
        if facts.is_empty() {
            facts.push(fact("", none, ""));
        }
        label.clone_into(&mut facts[0].label);
        FactBlock { facts }
    };
    vec![block("USE IT", "no run", true), block("USED IT", "no run before", false)]
}
