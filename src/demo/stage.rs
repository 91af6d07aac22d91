//! The orchestrator of a demo, in this process: it asks, waits for answers, and starts the cast.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wharf_model::shim::OnQuota;
use wharf_model::{ActorType, RequestOrigin, RequestRow, RequestStatus, RunId};
use wharf_store::{ChangeSignal, NewRequest, Reader, RequestSender};

use super::DemoError;
use super::cast::{ISSUES, PARTS, Part};
use super::project::Demo;
use crate::clock;
use crate::dispatch::event_loop::Dispatcher;
use crate::dispatch::orchestrator::{self, Begun, MachineLimits};

/// How long a request may wait for its answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// How often the world outside the store is looked at while waiting.
const LOOK: Duration = Duration::from_millis(100);
/// Runs at once, whatever the operator's config says: all of the cast have to live together.
const RUNS_AT_ONCE: i64 = 16;
/// Who asks.
const ACTOR: &str = "demo";

/// A run that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// What it plays.
    pub part: Part,
    /// The run.
    pub run: RunId,
}

/// Set when the operator wants it to end.
pub type Interrupt = Arc<AtomicBool>;

/// An orchestrator for one demo.
pub struct Stage {
    runtime: Runtime,
    dispatcher: Dispatcher,
    signal: ChangeSignal,
    sender: RequestSender,
    /// For questions.
    pub reader: Reader,
    interrupt: Interrupt,
}

impl Stage {
    /// Becomes the orchestrator of a demo's data directory, independent of the operator's config.
    ///
    /// # Errors
    /// What the store says, and an orchestrator that is there already.
    pub fn open(data: &Path) -> Result<Self, DemoError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|e| DemoError::io("start threads for", data, e))?;
        let limits = MachineLimits { concurrent_runs: RUNS_AT_ONCE, log_quota: None, on_quota: OnQuota::Block };
        let begun = {
            let _inside = runtime.enter();
            orchestrator::begin(data, &limits)?
        };
        let dispatcher = match begun {
            Begun::Reigning(dispatcher) => dispatcher,
            Begun::Held(holder) => return Err(DemoError::Held(holder.map_or(0, |h| h.pid))),
        };
        let interrupt = Interrupt::default();
        runtime.spawn(listen(Arc::clone(&interrupt)));
        Ok(Self {
            signal: ChangeSignal::open(data)?,
            sender: RequestSender::open(data)?,
            reader: Reader::open(data)?,
            runtime,
            dispatcher,
            interrupt,
        })
    }

    /// Asks for something and waits until it is accepted; the row says what came of it.
    ///
    /// # Errors
    /// A refusal, no answer in time, and what the store says.
    pub fn ask(
        &mut self,
        kind: &'static str,
        target: Option<(&str, String)>,
        args: Value,
    ) -> Result<RequestRow, DemoError> {
        let now = clock::now();
        let (target_type, target_id) = target.map_or((None, None), |(t, id)| (Some(t.to_owned()), Some(id)));
        let asked = self.sender.send(&NewRequest {
            kind: kind.to_owned(),
            target_type,
            target_id,
            args,
            expect: None,
            actor_type: ActorType::Operator,
            actor_id: ACTOR.to_owned(),
            origin: RequestOrigin::Cli,
            idempotency_key: None,
            now,
            expires_at: now.plus(i64::try_from(ANSWER_LIMIT.as_millis()).unwrap_or(i64::MAX)),
        })?;
        let until = Instant::now() + ANSWER_LIMIT;
        let answered = self
            .wait(until, |reader| Ok(reader.request(asked.id)?.filter(|row| row.status != RequestStatus::Pending)))?;
        let row = answered.ok_or_else(|| DemoError::Late(format!("the answer to {kind}")))?;
        match row.status {
            RequestStatus::Refused | RequestStatus::Failed | RequestStatus::Expired => Err(DemoError::Refused {
                kind,
                code: row.error_code.unwrap_or_default(),
                message: row.error.unwrap_or_default(),
            }),
            RequestStatus::Pending | RequestStatus::Accepted | RequestStatus::Done => Ok(row),
        }
    }

    /// Waits until `check` gives something; none when it is too late. It is asked again after every
    /// commit and every tenth of a second, since not all it looks at lies in the store.
    ///
    /// # Errors
    /// What `check` or the store says, and [`DemoError::Interrupted`].
    pub fn wait<T>(
        &mut self,
        until: Instant,
        mut check: impl FnMut(&Reader) -> Result<Option<T>, DemoError>,
    ) -> Result<Option<T>, DemoError> {
        loop {
            if let Some(found) = check(&self.reader)? {
                return Ok(Some(found));
            }
            if self.interrupt.load(Ordering::Relaxed) {
                return Err(DemoError::Interrupted);
            }
            if let Some(why) = self.dispatcher.reign.borrow().ended.clone() {
                return Err(DemoError::Ended(why));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.signal.wait(left.min(LOOK))?;
        }
    }

    /// Nothing interrupts it any more: what was begun has to be ended.
    pub fn be_steadfast(&mut self) {
        self.interrupt = Interrupt::default();
    }

    /// Makes the project known, with its issues, and starts the cast.
    ///
    /// # Errors
    /// A request that is refused; what was started until then goes on.
    pub fn begin(&mut self, demo: &Demo) -> Result<Vec<Started>, DemoError> {
        let path = json!({ "path": demo.project });
        let added = self.ask("project.add", None, path.clone())?;
        let project = text_of(&added, "project_id");
        // Whoever starts the demo has chosen its config, which is this program's own.
        self.ask("config.accept", None, path.clone())?;
        let mut issues = Vec::new();
        for issue in ISSUES {
            let args = json!({ "title": issue.title, "priority": issue.priority });
            let made = self.ask("issue.create", Some(("project", project.clone())), args)?;
            issues.push(text_of(&made, "issue"));
        }
        let mut started = Vec::new();
        for part in PARTS {
            let mut args = json!({ "agent": part.agent, "path": demo.project });
            if let Some(issue) = part.issue.and_then(|at| issues.get(at)) {
                args["issue"] = json!(issue);
            }
            let row = self.ask("run.start", None, args)?;
            let run = text_of(&row, "run_id");
            let run = run.parse().map_err(|_| DemoError::Ended(format!("{run:?} is no id of a run")))?;
            started.push(Started { part: *part, run });
        }
        Ok(started)
    }

    /// Ends the reign; whatever runs goes on under its shim.
    pub fn close(self) {
        let Self { runtime, dispatcher, .. } = self;
        runtime.block_on(dispatcher.inbox.stop());
        dispatcher.join();
        // Executors only watch shims; nothing is lost with them.
        runtime.shutdown_background();
    }
}

fn text_of(row: &RequestRow, key: &str) -> String {
    row.result.as_ref().and_then(|r| r[key].as_str()).unwrap_or_default().to_owned()
}

/// Takes the signals by which an operator ends a program, so that the demo can end what it began.
async fn listen(interrupt: Interrupt) {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [Ok(mut interrupted), Ok(mut terminated), Ok(mut hung_up)] = kinds.map(signal) else { return };
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
        _ = hung_up.recv() => {}
    }
    interrupt.store(true, Ordering::Relaxed);
}
