//! One attempt of a run, as its executors tell of it and ask whether it goes on.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wharf_model::RunId;

use crate::dispatch::event_loop::{Inbox, Told};
use crate::dispatch::input::Fact;

/// Pause between two questions whether a run goes on while something is waited for.
const ASK_PAUSE: Duration = Duration::from_secs(1);
/// Pauses between attempts to find out what is not known; the last one again and again.
const PAUSES_S: [u64; 6] = [1, 2, 5, 10, 20, 30];

/// Tells of one attempt of a run.
pub struct Watch<'a> {
    inbox: &'a Inbox,
    run: RunId,
    attempt: u32,
    /// It was told that the run is in doubt, and not yet that it is not.
    doubted: AtomicBool,
}

impl<'a> Watch<'a> {
    /// Of this attempt.
    pub fn new(inbox: &'a Inbox, run: RunId, attempt: u32) -> Self {
        Self { inbox, run, attempt, doubted: AtomicBool::new(false) }
    }

    async fn tell(&self, note: Option<String>) -> Told {
        self.inbox.tell(Fact::RunNoted { run: self.run, attempt: self.attempt, note }).await
    }

    /// Tells the operator something about the run.
    pub async fn note(&self, note: impl Into<String>) {
        self.tell(Some(note.into())).await;
    }

    /// Tells why it is not known how the run stands.
    pub async fn doubt(&self, evidence: String) {
        self.doubted.store(true, Ordering::Relaxed);
        let fact = Fact::RunObserved { run: self.run, attempt: self.attempt, unknown: Some(evidence) };
        self.inbox.tell(fact).await;
    }

    /// Tells that it is known again, where doubt was told.
    pub async fn known(&self) {
        if self.doubted.swap(false, Ordering::Relaxed) {
            let fact = Fact::RunObserved { run: self.run, attempt: self.attempt, unknown: None };
            self.inbox.tell(fact).await;
        }
    }

    /// Waits for something that is not worth it once a stop is asked; none when that is so.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.unless(|told| told.over, work).await
    }

    /// Waits for something that a stop does not change; none when the run was given up meanwhile.
    pub async fn unless_given_up<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.unless(|told| told.ended, work).await
    }

    async fn unless<T>(&self, over: impl Fn(Told) -> bool, work: impl Future<Output = T>) -> Option<T> {
        let asking = async {
            loop {
                tokio::time::sleep(ASK_PAUSE).await;
                if over(self.tell(None).await) {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = asking => None,
        }
    }
}

/// What cannot be found out for the time being: told as evidence, and asked again after a pause.
pub struct Doubt<'a> {
    watch: &'a Watch<'a>,
    tries: usize,
}

impl<'a> Doubt<'a> {
    /// Nothing is in doubt yet.
    pub fn new(watch: &'a Watch<'a>) -> Self {
        Self { watch, tries: 0 }
    }

    /// Tells why it is not known, and waits until it is to be asked again; false when the run was given up.
    pub async fn wait(&mut self, evidence: String) -> bool {
        let watch = self.watch;
        if watch.tell(None).await.ended {
            return false;
        }
        watch.doubt(evidence).await;
        let pause = PAUSES_S[self.tries.min(PAUSES_S.len() - 1)];
        self.tries += 1;
        watch.unless_given_up(tokio::time::sleep(Duration::from_secs(pause))).await.is_some()
    }

    /// It is known now.
    pub async fn resolved(&mut self) {
        self.watch.known().await;
        self.tries = 0;
    }
}
