//! What the doctor sees of environments: each is probed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wharf_model::{ActorType, EnvironmentRow, EnvironmentStatus, Kind, RequestId, RequestOrigin, RequestStatus};
use wharf_store::{NewRequest, Reader, RequestSender};
use wharf_ui::format;

use super::Check;
use crate::clock;
use crate::environment::driver::{self, Answer, Site};
use crate::environment::registry;

/// Time that all probes together may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Environments that are probed at once; the rest is told as skipped.
const AT_ONCE: usize = 32;
/// How often it is looked whether the orchestrator has answered.
const LOOK: Duration = Duration::from_millis(50);
/// Names told of a longer list.
const NAMED: usize = 10;

/// What came of a probe: what was found and in what time, or why nothing was.
type Seen = Result<(Vec<Value>, i64), String>;

/// Probes every active environment, all at the same time; says which were skipped, and why.
pub fn probes(data: &Path, orchestrated: bool) -> Vec<Check> {
    let Ok(reader) = Reader::open(data) else { return Vec::new() };
    let Ok(all) = reader.environments(None) else { return Vec::new() };
    let all: Vec<EnvironmentRow> = all.into_iter().map(|item| item.environment).collect();
    let (active, mut skipped): (Vec<_>, Vec<_>) = all.into_iter().partition(|e| e.status == EnvironmentStatus::Active);
    let mut active = active;
    let more = active.split_off(active.len().min(AT_ONCE));
    let late = more.len();
    skipped.extend(more);
    let seen = if orchestrated { asked(data, &reader, &active) } else { looked_at(data, &active) };
    let mut checks: Vec<Check> = active.iter().zip(seen).map(|(row, seen)| told(row, seen)).collect();
    if !skipped.is_empty() {
        let why = |row: &EnvironmentRow| match row.status {
            EnvironmentStatus::Active => format!("only {AT_ONCE} are probed at once"),
            _ if row.is_being_deleted() => "being deleted".to_owned(),
            _ => "archived".to_owned(),
        };
        let names: Vec<String> = skipped
            .iter()
            .take(NAMED)
            .map(|row| {
                format!("{} ({}{})", title(row), why(row), before(row).map_or_else(String::new, |b| format!("; {b}")))
            })
            .collect();
        let rest = if skipped.len() > NAMED { format!(" and {} more", skipped.len() - NAMED) } else { String::new() };
        let message = format!("not probed: {}{rest}", names.join(", "));
        let name = "environments skipped";
        checks.push(if late > 0 {
            Check::warning(name, message, "wharf env probe NAME")
        } else {
            Check::ok(name, message)
        });
    }
    checks
}

fn title(row: &EnvironmentRow) -> String {
    format!("{} {}", Kind::Environment.number(row.number), row.name)
}

/// How the last probe that was kept went.
fn before(row: &EnvironmentRow) -> Option<String> {
    let probe = row.probe.as_ref()?;
    let ago = probe["at"].as_i64().map(|at| wharf_model::UnixMillis(at).until(clock::now()))?;
    let how = if probe["ok"] == true { "ok" } else { "failed" };
    Some(format!("last probe {how}, {} ago", format::duration(ago)))
}

/// One environment in words. One that cannot be used stops what would run there, and nothing else.
fn told(row: &EnvironmentRow, seen: Seen) -> Check {
    let name = format!("environment {}", Kind::Environment.number(row.number));
    let hint = format!("wharf env probe {}", row.name);
    let before = before(row).map_or_else(String::new, |b| format!("; {b}"));
    let (checks, took) = match seen {
        Ok(seen) => seen,
        Err(why) => return Check::warning(name, format!("{}: {why}{before}", row.name), hint),
    };
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let wrong: Vec<&Value> = checks.iter().filter(|c| c["level"] != "ok").collect();
    let took = format::fine(took);
    let all = format::plural(checks.len() as u64, "check");
    let Some(first) = wrong.iter().find(|c| c["level"] == "error").or(wrong.first()) else {
        return Check::ok(name, format!("{}: {all} in {took}{before}", row.name));
    };
    let what = format!("{}: {}", text(first, "code"), text(first, "message"));
    Check::warning(name, format!("{}: {} of {all} in {took}; {what}{before}", row.name, wrong.len()), hint)
}

/// Has the orchestrator look, which keeps what is seen.
fn asked(data: &Path, reader: &Reader, rows: &[EnvironmentRow]) -> Vec<Seen> {
    let until = Instant::now() + LIMIT;
    let fail = |why: &dyn std::fmt::Display| -> Seen { Err(format!("could not be asked for: {why}")) };
    let mut sender = match RequestSender::open(data) {
        Ok(sender) => sender,
        Err(error) => return rows.iter().map(|_| fail(&error)).collect(),
    };
    let mut send = |row: &EnvironmentRow| {
        let now = clock::now();
        let limit = i64::try_from(LIMIT.as_millis()).unwrap_or(i64::MAX);
        sender.send(&NewRequest {
            kind: "environment.probe".into(),
            target_type: Some("environment".into()),
            target_id: Some(row.id.text()),
            args: json!({}),
            expect: None,
            actor_type: ActorType::Operator,
            actor_id: crate::user::name(),
            origin: RequestOrigin::Cli,
            idempotency_key: None,
            now,
            expires_at: now.plus(limit),
        })
    };
    let sent: Vec<Result<RequestId, String>> =
        rows.iter().map(|row| send(row).map(|r| r.id).map_err(|e| e.to_string())).collect();
    sent.into_iter()
        .map(|id| {
            let id = id.or_else(|error| fail(&error).map(|_| RequestId::NIL))?;
            answer(reader, id, until)
        })
        .collect()
}

/// Waits for the answer to one request.
fn answer(reader: &Reader, id: RequestId, until: Instant) -> Seen {
    loop {
        let row = reader.request(id).map_err(|e| e.to_string())?;
        if let Some(row) = row.filter(|r| r.status.is_terminal()) {
            let result = row.result.unwrap_or_default();
            return match result["checks"].as_array() {
                Some(checks) => Ok((checks.clone(), result["took_ms"].as_i64().unwrap_or(0))),
                None if row.status == RequestStatus::Done => Ok((Vec::new(), 0)),
                None => Err(row.error.unwrap_or_else(|| "it was not probed".to_owned())),
            };
        }
        if Instant::now() >= until {
            return Err(format!("no answer within {} s", LIMIT.as_secs()));
        }
        std::thread::sleep(LOOK);
    }
}

/// Looks from here, where nobody orchestrates; nothing of it is kept.
fn looked_at(data: &Path, rows: &[EnvironmentRow]) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return rows.iter().map(|_| Err(format!("no threads can be started: {error}"))).collect(),
    };
    let operator: BTreeMap<String, String> =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
    let operator = Arc::new(operator);
    let seen = runtime.block_on(async {
        let tasks: Vec<_> =
            rows.iter().map(|row| tokio::spawn(look(Site::of(data, &operator, row), row.clone()))).collect();
        let mut seen = Vec::new();
        for task in tasks {
            seen.push(task.await.unwrap_or_else(|gone| Err(format!("the probe failed unexpectedly: {gone}"))));
        }
        seen
    });
    runtime.shutdown_background();
    seen
}

async fn look(site: Site, row: EnvironmentRow) -> Seen {
    let began = Instant::now();
    let driver = registry::driver(row.driver, &row.driver_config(), &site).map_err(|error| error.to_string())?;
    match tokio::time::timeout(LIMIT, driver.probe()).await {
        Ok(Answer::Done(checks)) => {
            let as_json = |check: &driver::Check| serde_json::to_value(check).unwrap_or_default();
            let took = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
            Ok((checks.iter().map(as_json).collect(), took))
        }
        Ok(Answer::Refused { code, hint }) => Err(format!("{code}: {hint}")),
        Ok(Answer::Unknown { evidence }) => Err(evidence),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use wharf_model::{CompanyId, Driver, EnvironmentId, UnixMillis};

    use super::*;
    use crate::cli::doctor::Level;

    fn is_ok(check: &Check) -> bool {
        check.level == Level::Ok
    }

    fn row() -> EnvironmentRow {
        EnvironmentRow::new(EnvironmentId::NIL, 2, CompanyId::NIL, "box-1", Driver::Ssh, UnixMillis(0))
    }

    #[test]
    fn a_probe_in_words() {
        let check = |level: &str, code: &str| json!({ "code": code, "level": level, "message": "why", "hint": null });
        let fine = told(&row(), Ok((vec![check("ok", "connect"), check("ok", "git")], 950)));
        assert!(is_ok(&fine) && fine.name == "environment E-2", "{fine:?}");
        assert_eq!(fine.message, "box-1: 2 checks in 0.95s");
        let wrong = told(&row(), Ok((vec![check("ok", "connect"), check("warn", "clock"), check("error", "git")], 10)));
        assert_eq!(wrong.message, "box-1: 2 of 3 checks in 0.01s; git: why");
        assert_eq!(wrong.hint.as_deref(), Some("wharf env probe box-1"));
        let mut seen = row();
        seen.probe = Some(json!({ "at": clock::now().0 - 90_000, "ok": false, "checks": [] }));
        let none = told(&seen, Err("no answer within 20 s".into()));
        assert!(!is_ok(&none));
        assert!(none.message.starts_with("box-1: no answer within 20 s; last probe failed, 1m3"), "{none:?}");
    }
}
