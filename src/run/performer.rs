//! One task for each action; actions on one entity follow one another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use wharf_model::{ActionKind, ActionRow};

use super::context::Context;
use super::{execute, lease, realise, seal};
use crate::dispatch::input::Fact;
use crate::dispatch::perform::{Job, Perform};
use crate::service::serve;

/// Logs hashed at one time.
const SEALS: usize = 1;

/// Performs actions on a runtime.
pub struct Performer {
    ctx: Context,
    runtime: Handle,
    seals: Arc<Semaphore>,
    /// Actions being performed: one that is intended anew while its task lives is not begun twice.
    under_way: Arc<Mutex<HashMap<wharf_model::ActionId, i64>>>,
}

impl Performer {
    /// A performer on a runtime.
    pub fn new(ctx: Context, runtime: Handle) -> Self {
        Self { ctx, runtime, seals: Arc::new(Semaphore::new(SEALS)), under_way: Arc::default() }
    }
}

impl Perform for Performer {
    fn perform(&self, action: ActionRow, job: Job) {
        {
            let Ok(mut under_way) = self.under_way.lock() else { return };
            if under_way.insert(action.id, action.tries).is_some() {
                return;
            }
        }
        let (ctx, seals, under_way) = (self.ctx.clone(), Arc::clone(&self.seals), Arc::clone(&self.under_way));
        self.runtime.spawn(async move {
            let id = action.id;
            let inbox = ctx.inbox.clone();
            // A panic of an executor becomes a fact, so that nothing waits for ever.
            let task = tokio::spawn(one(ctx, seals, action, job));
            let fact = match task.await {
                Ok(fact) => fact,
                Err(panic) => Fact::ActionFailed { action: id, error: format!("internal: {panic}") },
            };
            if let Ok(mut under_way) = under_way.lock() {
                under_way.remove(&id);
            }
            inbox.tell(fact).await;
        });
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.runtime.spawn_blocking(work);
    }
}

async fn one(ctx: Context, seals: Arc<Semaphore>, action: ActionRow, job: Job) -> Fact {
    debug_assert!(ActionKind::ALL.contains(&action.kind));
    match job {
        Job::Execute(job) => Box::pin(execute::execute(&ctx, &action, *job)).await,
        Job::Realise(job) => Box::pin(realise::realise(&ctx, &action, &job)).await,
        Job::Serve(job) => Box::pin(serve::serve(&ctx, &action, *job)).await,
        Job::Acquire(row, environment) => lease::acquire(&action, &row, &environment).await,
        Job::Release(row, environment) => lease::release(&action, &row, &environment).await,
        Job::Stop { dir, force: true, .. } => match ctx.keeper.stop_by_force(&dir).await {
            Ok(()) => Fact::ActionDone { action: action.id },
            Err(error) => Fact::ActionFailed { action: action.id, error },
        },
        Job::Stop { dir, reason, grace_ms, force: false } => match ctx.keeper.stop(&dir, &reason, grace_ms).await {
            Ok(()) => Fact::ActionDone { action: action.id },
            Err(error) => Fact::ActionFailed { action: action.id, error },
        },
        Job::Seal(run, dir) => {
            let Ok(_one) = seals.acquire().await else { return Fact::ActionDone { action: action.id } };
            let data = ctx.keeper.data.clone();
            let id = action.id;
            tokio::task::spawn_blocking(move || seal::seal(&data, id, run, &dir))
                .await
                .unwrap_or_else(|panic| Fact::ActionFailed { action: id, error: panic.to_string() })
        }
    }
}
