//! Asking a shim to stop what it keeps, and ending one that does not listen.

use std::path::Path;
use std::time::Duration;

use wharf_model::shim::{Control, ControlReply};

use super::link::{ANSWER_LIMIT, Link};
use super::{Keeper, verdict};
use crate::adapter::elsewhere;
use crate::process::adopt::{self, Verdict};
use crate::process::{shim_dir, signal};
use crate::run::left::{child_of, stop_left};

/// Time a stop waits for a shim that is just being started.
const STOP_WAITS_FOR_START: Duration = Duration::from_secs(1);

impl Keeper {
    /// Waits for a shim that is being started; an error when none shows itself soon.
    async fn await_start(&self, path: &Path) -> Result<(), String> {
        let end = tokio::time::Instant::now() + STOP_WAITS_FOR_START;
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            match verdict(path).await? {
                Verdict::Live(_) => return Ok(()),
                Verdict::NeverStarted if tokio::time::Instant::now() < end => {}
                Verdict::NeverStarted => return Err("it has not been started yet".into()),
                Verdict::Ended(_) | Verdict::ShimLost { .. } | Verdict::OtherBoot => {
                    return Err("it has just ended".into());
                }
            }
        }
    }

    /// Ends a shim that does not listen, and whatever carries its tag.
    pub async fn stop_by_force(&self, dir: &str) -> Result<(), String> {
        let (path, name) = (self.path(dir), dir.to_owned());
        let done = tokio::task::spawn_blocking(move || {
            let mut child = None;
            match adopt::judge(&path) {
                Ok(Verdict::Live(Some(id))) => {
                    child = child_of(&id);
                    signal::send(id.shim, signal::Signal::KILL)
                        .map_err(|e| format!("its shim cannot be killed: {e}"))?;
                }
                Ok(Verdict::Live(None)) => {
                    return Err("its shim is just beginning and has not said who it is".to_owned());
                }
                Ok(Verdict::ShimLost { id: Some(id) }) => child = child_of(&id),
                // One that is just starting must not come after.
                Ok(Verdict::NeverStarted) => {
                    shim_dir::forbid(&path).map_err(|e| format!("its directory cannot be closed: {e}"))?;
                }
                _ => {}
            }
            stop_left(&path, &name, child)
        });
        let done = done.await.map_err(|e| e.to_string())??;
        if done.survivors.is_empty() { Ok(()) } else { Err(format!("{} live on", done.survivors.join(", "))) }
    }

    /// Asks a shim to stop what it keeps; done when it has taken the order, or when it has ended.
    pub async fn stop(&self, dir: &str, reason: &str, grace_ms: u64) -> Result<(), String> {
        let path = self.path(dir);
        match verdict(&path).await? {
            Verdict::Live(_) => {}
            Verdict::Ended(_) | Verdict::ShimLost { .. } | Verdict::OtherBoot => return Ok(()),
            // Its start is under way in another task, or was never begun: one that is seen soon is stopped at once.
            Verdict::NeverStarted => self.await_start(&path).await?,
        }
        let (mut link, _) = Link::open(&path, self.epoch).await?;
        let spec = tokio::task::spawn_blocking(move || shim_dir::read_spec(&path)).await;
        let grace_ms = match spec {
            Ok(Ok(spec)) => elsewhere::asked_grace(&spec.env_names, grace_ms),
            // A stop that is late is better than none.
            Ok(Err(_)) | Err(_) => grace_ms,
        };
        link.send(&Control::Stop { reason: reason.to_owned(), grace_ms }).await?;
        let answer =
            tokio::time::timeout(ANSWER_LIMIT, link.next()).await.map_err(|_| "no answer to stop".to_owned())?;
        match answer? {
            Some(ControlReply::Error { code, message }) => Err(format!("{code}: {message}")),
            Some(_) | None => Ok(()),
        }
    }
}
