//! Tells at which commit a run's checkout stands, when it begins and when it has ended. A place that is no repository,
//! or cannot be read, has none to tell: then what the run changed is shown against its workspace's base.

use std::path::PathBuf;

use wharf_model::{CheckoutMoment, RunId};

use super::context::Context;
use crate::dispatch::input::Fact;
use crate::dispatch::perform::RunJob;
use crate::workspace::diff;

/// The checkout of one attempt of a run.
#[derive(Debug, Clone)]
pub struct CheckoutHead {
    run: RunId,
    attempt: u32,
    directory: Option<PathBuf>,
}

impl CheckoutHead {
    /// Of the workspace that the run works in; on this machine, where results are brought back to.
    pub fn new(job: &RunJob) -> Self {
        let directory = job.workspace.as_ref().and_then(|w| w.cwd.as_ref()).map(PathBuf::from);
        Self { run: job.run.id, attempt: job.run.attempt, directory }
    }

    /// Where it stands now, as a fact to be told.
    pub async fn look(&self, moment: CheckoutMoment) -> Option<Fact> {
        let directory = self.directory.clone()?;
        let head = tokio::task::spawn_blocking(move || diff::head(&directory)).await.ok()?.ok()?;
        Some(Fact::RunCheckout { run: self.run, attempt: self.attempt, moment, head })
    }

    /// Looks, and tells.
    pub async fn tell(&self, ctx: &Context, moment: CheckoutMoment) {
        if let Some(fact) = self.look(moment).await {
            ctx.inbox.tell(fact).await;
        }
    }
}
