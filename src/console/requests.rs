//! What the operator wants, written as request rows, and what becomes of it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender as Plain, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use wharf_model::{ActorType, RequestId, RequestOrigin, RequestRow, RequestStatus};
use wharf_store::view::RunLine;
use wharf_store::{NewRequest, Reader, RequestSender, StoreError};
use wharf_ui::effect::Request;
use wharf_ui::msg::RequestOutcome;

use super::events::{Event, Sender};
use crate::clock;
use crate::once_there::once_there;

/// After this time nobody begins with a request any more.
const EXPIRES_MS: i64 = 30_000;
/// Requests that may wait for their answer at once.
const OPEN_MAX: usize = 256;
/// How often an answer is looked for where no change of the store told of it.
const LOOK: Duration = Duration::from_secs(1);
/// Tag of the console's own request to know its project.
const PROJECT: u64 = u64::MAX;

enum Ask {
    Write(Box<Request>),
    Project,
    Look,
}

/// The thread that writes requests.
pub struct Requests {
    ask: Plain<Ask>,
}

struct Open {
    tag: u64,
    id: RequestId,
    kind: String,
    since: Instant,
}

struct Desk {
    data: PathBuf,
    /// Where the project of this console lies.
    project: PathBuf,
    actor: String,
    events: Sender,
    sender: Option<RequestSender>,
    reader: Option<Reader>,
    open: Vec<Open>,
}

impl Requests {
    /// Begins; requests that need a project's config are about the one at `project`.
    ///
    /// # Errors
    /// No thread could be had.
    pub fn start(data: &Path, project: &Path, events: Sender) -> std::io::Result<Self> {
        let (ask, asked) = channel();
        let mut desk = Desk {
            data: data.to_owned(),
            project: project.to_owned(),
            actor: crate::user::name(),
            events,
            sender: None,
            reader: None,
            open: Vec::new(),
        };
        std::thread::Builder::new().name("requests".into()).spawn(move || desk.serve(&asked))?;
        Ok(Self { ask })
    }

    /// Writes a request; the answer comes as [`Event::Request`].
    pub fn write(&self, request: Request) {
        // The thread lives as long as this handle.
        let _ = self.ask.send(Ask::Write(Box::new(request)));
    }

    /// Tells the store about the console's project; the answer comes as [`Event::Project`].
    pub fn add_project(&self) {
        let _ = self.ask.send(Ask::Project);
    }

    /// The store has changed: answers may be there.
    pub fn look(&self) {
        let _ = self.ask.send(Ask::Look);
    }
}

impl Desk {
    fn serve(&mut self, asked: &Receiver<Ask>) {
        loop {
            let ask = if self.open.is_empty() {
                asked.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                asked.recv_timeout(LOOK)
            };
            match ask {
                Ok(Ask::Write(request)) => self.write(*request),
                Ok(Ask::Project) => self.write(Request {
                    tag: PROJECT,
                    kind: "project.add".to_owned(),
                    target: None,
                    args: Value::Object(serde_json::Map::new()),
                    expect: Vec::new(),
                    title: String::new(),
                }),
                Ok(Ask::Look) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look();
        }
    }

    fn write(&mut self, request: Request) {
        let (tag, kind) = (request.tag, request.kind.clone());
        if self.open.len() >= OPEN_MAX {
            let words = format!("{OPEN_MAX} requests wait for an answer already; wait for those, or look at `i`");
            return self.tell(tag, RequestOutcome::Refused { code: "busy".to_owned(), words });
        }
        match self.send(request) {
            Ok(row) => self.open.push(Open { tag, id: row.id, kind, since: Instant::now() }),
            Err(error) => {
                // A connection that failed once is made anew.
                (self.sender, self.reader) = (None, None);
                self.tell(tag, RequestOutcome::Refused { code: error.code().to_owned(), words: error.to_string() });
            }
        }
    }

    fn send(&mut self, request: Request) -> Result<RequestRow, StoreError> {
        let now = clock::now();
        let mut args = match request.args {
            Value::Object(args) => args,
            _ => serde_json::Map::new(),
        };
        // These accept the project's config as it is now, or read it.
        if matches!(request.kind.as_str(), "run.start" | "service.start" | "project.add" | "config.accept") {
            let path = self.project.display().to_string();
            args.entry("path").or_insert(Value::String(path));
        }
        let expect = match request.expect.as_slice() {
            [] => None,
            rows => serde_json::to_value(rows).ok(),
        };
        let (target_type, target_id) = request.target.map_or((None, None), |(t, id)| (Some(t.to_owned()), Some(id)));
        let new = NewRequest {
            kind: request.kind,
            target_type,
            target_id,
            args: Value::Object(args),
            expect,
            actor_type: ActorType::Operator,
            actor_id: self.actor.clone(),
            origin: RequestOrigin::Console,
            idempotency_key: None,
            now,
            expires_at: now.plus(EXPIRES_MS),
        };
        self.sender()?.send(&new)
    }

    fn sender(&mut self) -> Result<&mut RequestSender, StoreError> {
        if self.sender.is_none() {
            let data = self.data.clone();
            self.sender = Some(once_there(|| RequestSender::open(&data))?);
        }
        // The line above has just filled it.
        Ok(self.sender.as_mut().expect("a sender is open"))
    }

    fn look(&mut self) {
        if self.open.is_empty() {
            return;
        }
        if self.reader.is_none() {
            match Reader::open(&self.data) {
                Ok(reader) => self.reader = Some(reader),
                Err(error) => return tracing::warn!(%error, "answers to requests cannot be read; trying again"),
            }
        }
        let Some(reader) = &self.reader else { return };
        let mut answers = Vec::new();
        self.open.retain(|open| match reader.request(open.id) {
            Ok(Some(row)) => match outcome(reader, open, &row) {
                Some(outcome) => {
                    answers.push((open.tag, outcome));
                    false
                }
                None => true,
            },
            Ok(None) => {
                let words = "the request is gone from the store".to_owned();
                answers.push((open.tag, RequestOutcome::Refused { code: "id_unknown".to_owned(), words }));
                false
            }
            Err(error) => {
                tracing::warn!(%error, "an answer to a request cannot be read; trying again");
                true
            }
        });
        for (tag, outcome) in answers {
            self.tell(tag, outcome);
        }
    }

    fn tell(&self, tag: u64, outcome: RequestOutcome) {
        let event = if tag == PROJECT {
            Event::Project(match outcome {
                RequestOutcome::Done { .. } => Ok(()),
                RequestOutcome::Refused { words, .. } => Err(words),
            })
        } else {
            Event::Request(tag, outcome)
        };
        // The loop has ended: nobody waits for the answer.
        let _ = self.events.send(event);
    }
}

/// What became of a request, once that is known.
fn outcome(reader: &Reader, open: &Open, row: &RequestRow) -> Option<RequestOutcome> {
    let refused = |code: &str, words: String| {
        Some(RequestOutcome::Refused { code: row.error_code.clone().unwrap_or_else(|| code.to_owned()), words })
    };
    match row.status {
        RequestStatus::Done => {
            let run = begun(reader, &open.kind, row);
            let number = run.as_ref().map(|r| r.number);
            Some(RequestOutcome::Done { words: done(&open.kind, row, run.as_ref()), run: number })
        }
        RequestStatus::Refused | RequestStatus::Failed => {
            refused("refused", row.error.clone().unwrap_or_else(|| row.status.to_string()))
        }
        RequestStatus::Expired => refused("request_expired", "nobody answered in time; ask again".to_owned()),
        // What takes its time is seen in the row it concerns; nobody to answer has to be said.
        RequestStatus::Pending if open.since.elapsed().as_millis() as i64 > EXPIRES_MS + 5_000 => {
            refused("request_expired", "no orchestrator answered; see the banner or Diagnostics".to_owned())
        }
        RequestStatus::Pending | RequestStatus::Accepted => None,
    }
}

/// The run that a request has begun.
fn begun(reader: &Reader, kind: &str, row: &RequestRow) -> Option<RunLine> {
    if kind != "run.start" {
        return None;
    }
    let text = row.result.as_ref()?.get("run_id")?.as_str()?;
    reader.run_line(text.parse().ok()?).ok().flatten()
}

/// What a probe found, in words.
fn probed(row: &RequestRow) -> String {
    let checks = row.result.as_ref().and_then(|r| r["checks"].as_array()).map_or(0, Vec::len);
    let warned = row
        .result
        .as_ref()
        .and_then(|r| r["checks"].as_array())
        .map_or(0, |checks| checks.iter().filter(|c| c["level"] != "ok").count());
    if warned == 0 { format!("{checks} checks, all ok") } else { format!("{checks} checks, {warned} with a remark") }
}

/// What is not as it was, in sentences; the first of them.
fn notes(row: &RequestRow) -> Vec<String> {
    let notes = row.result.as_ref().and_then(|r| r["notes"].as_array()).into_iter().flatten();
    notes.filter_map(Value::as_str).take(3).map(str::to_owned).collect()
}

/// How many were archived, and how many that were to be stay.
fn reaped(row: &RequestRow) -> String {
    let count = |key: &str| row.result.as_ref().and_then(|r| r[key].as_array()).map_or(0, Vec::len);
    match (count("archived"), count("stays")) {
        (gone, 0) => format!("{gone} archived"),
        (gone, stay) => format!("{gone} archived, {stay} kept after all"),
    }
}

/// What was made or changed, in words.
fn done(kind: &str, row: &RequestRow, run: Option<&RunLine>) -> String {
    let text = |key: &str| row.result.as_ref().and_then(|r| r[key].as_str());
    match kind {
        "run.start" => run.map_or_else(|| "queued".to_owned(), |r| format!("R-{} is {}", r.number, r.status)),
        "run.cancel" => "cancelled by operator".to_owned(),
        "run.resolve" => "decided".to_owned(),
        "lease.release" => "released".to_owned(),
        "lease.destroy" => "destroyed".to_owned(),
        "lease.extend" => "has more time".to_owned(),
        "lease.retain" => "is kept".to_owned(),
        "lease.retry_cleanup" => "cleaned up".to_owned(),
        "environment.probe" => probed(row),
        "environment.test" => "the adapter works there".to_owned(),
        "environment.archive" | "workspace.archive" => "archived".to_owned(),
        "environment.restore" => "in use again".to_owned(),
        "environment.delete" => "deleted".to_owned(),
        "service.start" | "service.restart" => "running".to_owned(),
        "service.stop" | "workspace.stop_job" => "stopped".to_owned(),
        "service.set_desired" => "written down; it is brought there".to_owned(),
        "config.accept" => "accepted".to_owned(),
        "workspace.snapshot" => match text("snapshot") {
            Some(name) => format!("kept as {name}"),
            None => "kept".to_owned(),
        },
        "workspace.restore" => {
            let is = text("snapshot").map_or_else(|| "is back".to_owned(), |name| format!("is as {name} was"));
            std::iter::once(is).chain(notes(row)).collect::<Vec<_>>().join("; ")
        }
        "workspace.reap" => reaped(row),
        "issue.update" => match (row.result.as_ref().and_then(|r| r["changed"].as_object()), text("workspace")) {
            (Some(changed), None) if changed.is_empty() => "it is so already".to_owned(),
            (_, Some(workspace)) => format!("written; {workspace} follows"),
            (_, None) => "written; the next run goes by it".to_owned(),
        },
        "issue.create" => {
            let name = row.result.as_ref().and_then(|r| r.get("issue")).and_then(Value::as_str);
            name.map_or_else(|| "made".to_owned(), |n| format!("{n} is there"))
        }
        _ => "done".to_owned(),
    }
}
