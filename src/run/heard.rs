//! What is seen of a run's shim while it lives, as facts.

use std::path::PathBuf;

use wharf_model::shim::AgentFrame;
use wharf_model::{RunId, UnixMillis};
use wharf_store::log::LogReader;

use super::context::Context;
use super::keep::Seen;
use crate::dispatch::input::Fact;
use crate::dispatch::perform::RunJob;
use crate::process::kill_point::kill_point;

/// Agent messages read at one time.
const MESSAGES_MAX: usize = 256;

/// Turns what is seen of a shim into facts.
pub struct Heard {
    ctx: Context,
    run: RunId,
    attempt: u32,
    path: PathBuf,
    next_seq: u64,
    /// It waits for the disk, as last told.
    waits: bool,
}

impl Heard {
    /// Of the shim in this directory.
    pub fn new(ctx: &Context, job: &RunJob, dir: &str) -> Self {
        // Messages with a lower number were taken by an earlier reign.
        let next_seq = u64::try_from(job.run.agent_seq).unwrap_or(0) + 1;
        let path = ctx.keeper.path(dir);
        Self { ctx: ctx.clone(), run: job.run.id, attempt: job.run.attempt, path, next_seq, waits: false }
    }

    /// Tells what is seen.
    pub async fn on(&mut self, seen: Seen, boot_id: &str) {
        let (run, attempt) = (self.run, self.attempt);
        let fact = match seen {
            Seen::Started { child, at_ms, adopted, limits } => {
                kill_point("run.started_seen");
                let (boot_id, at) = (boot_id.to_owned(), UnixMillis(at_ms));
                Fact::RunStarted { run, attempt, child, boot_id, at, adopted, limits }
            }
            Seen::Unknown(why) => Fact::RunObserved { run, attempt, unknown: Some(why) },
            Seen::Known => Fact::RunObserved { run, attempt, unknown: None },
            Seen::Message => return self.messages().await,
            Seen::Disk(waits) if waits == self.waits => return,
            Seen::Disk(waits) => {
                self.waits = waits;
                Fact::DiskWaited { entity: "run", id: run.text(), waits }
            }
        };
        self.ctx.inbox.tell(fact).await;
    }

    /// Reads what a `wharf` inside the run has said since, and reports each message once.
    pub async fn messages(&mut self) {
        loop {
            let (path, from) = (self.path.clone(), self.next_seq);
            let read = tokio::task::spawn_blocking(move || {
                LogReader::open(&path).and_then(|mut log| log.agent_messages(from, MESSAGES_MAX))
            })
            .await;
            let Ok(Ok(frames)) = read else { return };
            let full = frames.frames.len() >= MESSAGES_MAX;
            for frame in frames.frames {
                self.next_seq = frame.seq.saturating_add(1);
                let Ok(message) =
                    frame.body.and_then(|b| serde_json::from_value::<AgentFrame>(b).map_err(|e| e.to_string()))
                else {
                    continue;
                };
                self.ctx
                    .inbox
                    .tell(Fact::AgentSaid {
                        run: self.run,
                        attempt: self.attempt,
                        seq: i64::try_from(frame.seq).unwrap_or(i64::MAX),
                        message_id: message.message_id,
                        kind: message.kind,
                        body: message.body,
                    })
                    .await;
            }
            if !full {
                return;
            }
        }
    }
}
