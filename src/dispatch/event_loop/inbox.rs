//! The way into the loop.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use wharf_model::{RequestRow, WorkspaceId};

use crate::dispatch::input::{Fact, Input, Prepared};

/// Pause before a fact whose commit failed is reported again.
pub(super) const TELL_AGAIN: Duration = Duration::from_millis(200);

/// Longest such pause.
const TELL_AGAIN_MAX: Duration = Duration::from_secs(2);

/// Refusals by the store after which a fact is given up: what it changes is not what the store holds, and never will be.
const REFUSALS_MAX: u32 = 5;

pub(super) enum Envelope {
    Input(Input, Option<oneshot::Sender<Told>>),
    Prepared(Box<RequestRow>, Prepared),
    Wake,
    Stop,
}

/// What was decided on a fact, as far as whoever told it must know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    /// Row of the workspace that was planned.
    pub workspace: Option<WorkspaceId>,
    /// The run it was about has ended, or is asked to stop: nothing new is to be begun for it.
    pub over: bool,
    /// That attempt of the run has ended, or was given up.
    pub ended: bool,
    /// The store does not take what it changes.
    pub refused: bool,
}

/// A way to tell the dispatcher something.
#[derive(Clone)]
pub struct Inbox {
    pub(super) sender: mpsc::Sender<Envelope>,
}

impl Inbox {
    /// Reports a fact; returns once it is durable. One whose commit failed is reported again, and given up when the
    /// store has refused what it changes too often. When the
    /// dispatcher has ended this never returns: its successor observes everything anew, and whoever
    /// reports must not act on an answer that nobody gave.
    pub async fn tell(&self, fact: Fact) -> Told {
        let mut pause = TELL_AGAIN;
        let mut refusals = 0;
        loop {
            let (done, committed) = oneshot::channel();
            if self.sender.send(Envelope::Input(Input::Fact(fact.clone()), Some(done))).await.is_err() {
                return std::future::pending().await;
            }
            match committed.await {
                Ok(told) if !told.refused => return told,
                Ok(_) => refusals += 1,
                Err(_) => {}
            }
            if refusals >= REFUSALS_MAX {
                tracing::error!(?fact, refusals, "the store refuses what a fact changes; it is given up");
                return Told::default();
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(TELL_AGAIN_MAX);
        }
    }

    /// One whose facts are kept and answered by a test.
    #[cfg(test)]
    pub fn answered_by(
        mut answer: impl FnMut(&Fact) -> Told + Send + 'static,
    ) -> (Self, std::sync::Arc<std::sync::Mutex<Vec<Fact>>>) {
        let (sender, mut receiver) = mpsc::channel(64);
        let facts = std::sync::Arc::<std::sync::Mutex<Vec<Fact>>>::default();
        let kept = std::sync::Arc::clone(&facts);
        tokio::spawn(async move {
            while let Some(envelope) = receiver.recv().await {
                let Envelope::Input(Input::Fact(fact), Some(reply)) = envelope else { continue };
                let told = answer(&fact);
                kept.lock().unwrap().push(fact);
                let _ = reply.send(told);
            }
        });
        (Self { sender }, facts)
    }

    /// Asks the dispatcher to end after what it is doing.
    pub async fn stop(&self) {
        let _ended = self.sender.send(Envelope::Stop).await;
    }

    /// Says that requests may wait.
    pub fn wake(&self) {
        // A full queue is awake.
        let _full = self.sender.try_send(Envelope::Wake);
    }
}
