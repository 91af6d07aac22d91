//! The demo from its beginning to its end, without anybody watching.

use std::time::{Duration, Instant};

use serde_json::json;
use wharf_model::{RequestStatus, ServiceStatus};
use wharf_store::Reader;
use wharf_store::view::{RunQuery, ServiceQuery};

use super::evidence::{self, Finding};
use super::project::Demo;
use super::stage::{Stage, Started};
use super::{DemoError, hand, remains};

/// Time that the play may take.
const PLAY_LIMIT: Duration = Duration::from_mins(1);
/// Time in which everything must be stopped afterwards.
const END_LIMIT: Duration = Duration::from_secs(20);
/// Time in which the shims must be gone once all they kept has ended.
const SHIM_LIMIT: Duration = Duration::from_secs(5);
/// Grace for the one who will not listen.
const GRACE_MS: u64 = 500;
/// Rows that a demo can have of each kind.
const ROWS: usize = 500;

/// How a play went.
#[derive(Debug, Clone)]
pub struct Played {
    /// What had to be so, and whether it was.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub took: Duration,
}

impl Played {
    /// What was not so.
    pub fn problems(&self) -> Vec<String> {
        let failed = self.findings.iter();
        failed.filter_map(|f| f.problem.as_ref().map(|p| format!("{}: not {}: {p}", f.agent, f.claim))).collect()
    }
}

/// Plays a demo to its end. Whatever happens, no process of it is left; if one is, that is a finding.
/// Its files stay, so that its ledger can be read.
///
/// # Errors
/// What kept the play from going on.
pub fn play(demo: &Demo) -> Result<Played, DemoError> {
    let began = Instant::now();
    let mut stage = Stage::open(&demo.data)?;
    let played = perform(&mut stage, demo, began + PLAY_LIMIT);
    let left = end(stage, demo)?;
    let mut findings = played?;
    let outcome = if left.is_empty() { Ok(()) } else { Err(format!("these had to be killed: {}", left.join(", "))) };
    findings.push(Finding::new("all", "left no process", outcome));
    Ok(Played { findings, took: began.elapsed() })
}

/// Stops everything of a demo; its files stay.
///
/// # Errors
/// What the store or the kernel says.
pub fn stop(demo: &Demo) -> Result<(), DemoError> {
    end(Stage::open(&demo.data)?, demo).map(|_killed| ())
}

/// Stops whatever runs and ends the reign; gives what would not go and had to be killed.
fn end(mut stage: Stage, demo: &Demo) -> Result<Vec<String>, DemoError> {
    stage.be_steadfast();
    let ended = stop_all(&mut stage);
    let tags = remains::tags(&stage.reader);
    stage.close();
    let tags = tags?;
    let left =
        remains::living_after(&tags, &demo.data, SHIM_LIMIT).map_err(|e| DemoError::io("read", "/proc".as_ref(), e))?;
    if !left.is_empty() {
        remains::end(&tags);
    }
    ended.map(|()| left)
}

fn perform(stage: &mut Stage, demo: &Demo, until: Instant) -> Result<Vec<Finding>, DemoError> {
    let cast = stage.begin(demo)?;
    let mut findings =
        vec![Finding::new("stubborn", "answered from a session of its own", cancel(stage, &cast, until)?)];
    let sealed = stage.wait(until, |reader| all_sealed(reader, &cast))?;
    let outcome = sealed.ok_or_else(|| format!("some still run after {} s", PLAY_LIMIT.as_secs()));
    findings.push(Finding::new("all", "came to their end, with their logs sealed", outcome));
    findings.push(Finding::new("web", "stopped when asked", stop_service(stage, until)?));
    findings.extend(evidence::of_all(demo, &stage.reader, &cast));
    Ok(findings)
}

/// Waits until the stubborn one and its far child live, and stops them.
fn cancel(stage: &mut Stage, cast: &[Started], until: Instant) -> Result<Result<(), String>, DemoError> {
    let Some(run) = cast.iter().find(|s| s.part.agent == "stubborn").map(|s| s.run) else {
        return Ok(Err("nobody plays it".into()));
    };
    let answered = stage.wait(until, |reader| {
        let Some(detail) = reader.run_detail(run)? else { return Ok(None) };
        if detail.run.status.is_terminal() {
            return Ok(Some(Err(format!("it is {} already", detail.run.status))));
        }
        let place = detail.workspace.and_then(|w| w.cwd);
        let said = place.and_then(|cwd| evidence::answer(cwd.as_ref()).ok());
        Ok(said.map(|said| if said == hand::HERE { Ok(()) } else { Err(format!("it said {said:?}")) }))
    })?;
    let outcome = answered.unwrap_or_else(|| Err("its socket never answered".into()));
    if outcome.is_ok() {
        stage.ask("run.cancel", Some(("run", run.text())), json!({ "grace_ms": GRACE_MS }))?;
    }
    Ok(outcome)
}

fn all_sealed(reader: &Reader, cast: &[Started]) -> Result<Option<()>, DemoError> {
    for started in cast {
        let Some(line) = reader.run_line(started.run)? else { return Ok(None) };
        // One that never had a process has no log.
        if !line.status.is_terminal() || (line.log_sha256.is_none() && line.stdout_bytes.is_some()) {
            return Ok(None);
        }
    }
    Ok(Some(()))
}

fn stop_service(stage: &mut Stage, until: Instant) -> Result<Result<(), String>, DemoError> {
    let services = stage.reader.services(&ServiceQuery::default(), None, ROWS)?.rows;
    let Some(service) = services.into_iter().map(|item| item.service).find(|s| s.name == "web") else {
        return Ok(Err("it was never made".into()));
    };
    if service.status != ServiceStatus::Running {
        return Ok(Err(format!("it is {} already", service.status)));
    }
    let asked = stage.ask("service.stop", Some(("service", service.id.text())), json!({}))?;
    let done = stage.wait(until, |reader| Ok(reader.request(asked.id)?.filter(|r| r.status.is_terminal())))?;
    Ok(match done {
        Some(row) if row.status == RequestStatus::Done => Ok(()),
        Some(row) => Err(row.error.unwrap_or_else(|| row.status.to_string())),
        None => Err("it did not stop in time".into()),
    })
}

/// Stops whatever runs, and waits until nothing does.
fn stop_all(stage: &mut Stage) -> Result<(), DemoError> {
    let until = Instant::now() + END_LIMIT;
    let open = |reader: &Reader| -> Result<Vec<_>, DemoError> {
        let rows = reader.runs(&RunQuery::default(), None, ROWS)?.rows;
        Ok(rows.into_iter().filter(|r| !r.status.is_terminal()).collect())
    };
    for run in open(&stage.reader)? {
        // One that ends by itself meanwhile refuses the request, which is as good.
        let _ended = stage.ask("run.cancel", Some(("run", run.id.text())), json!({ "grace_ms": 0 }));
    }
    let live = ServiceQuery { live_only: true, ..ServiceQuery::default() };
    for item in stage.reader.services(&live, None, ROWS)?.rows {
        let _ended = stage.ask("service.stop", Some(("service", item.service.id.text())), json!({}));
    }
    let quiet = stage.wait(until, |reader| {
        let services = reader.services(&live, None, ROWS)?.rows;
        Ok((open(reader)?.is_empty() && services.is_empty()).then_some(()))
    })?;
    quiet.ok_or_else(|| DemoError::Late("the end of every run and service".into()))
}
