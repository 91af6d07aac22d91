//! One task for each action; actions on one entity follow one another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use wharf_model::{ActionId, ActionKind, ActionRow};

use super::context::Context;
use super::{archive, backup, empty, execute, job, lease, probe, realise, restore, seal, snapshot};
use crate::dispatch::input::Fact;
use crate::dispatch::perform::{Job, Perform, SealPart};
use crate::gc::carry_out;
use crate::process::idle;
use crate::service::serve;

/// Logs hashed at one time, and logs compressed or removed at one time: somebody may wait for a hash.
const SEALS: usize = 1;

/// Workspaces that are moved or kept at one time.
const MOVES: usize = 2;

/// Things of a trash that are removed for good at one time: the disk is the same.
const EMPTYINGS: usize = 1;

/// Turns for work on logs, and on whole workspaces.
#[derive(Clone)]
struct Seals {
    hashing: Arc<Semaphore>,
    packing: Arc<Semaphore>,
    /// Workspaces that are moved or kept: each reads a whole tree.
    moving: Arc<Semaphore>,
    /// What is removed for good: it may take long, and nobody waits for it.
    emptying: Arc<Semaphore>,
}

impl Default for Seals {
    fn default() -> Self {
        Self {
            hashing: Arc::new(Semaphore::new(SEALS)),
            packing: Arc::new(Semaphore::new(SEALS)),
            moving: Arc::new(Semaphore::new(MOVES)),
            emptying: Arc::new(Semaphore::new(EMPTYINGS)),
        }
    }
}

/// Performs actions on a runtime.
pub struct Performer {
    ctx: Context,
    runtime: Handle,
    seals: Seals,
    /// Actions being performed: one that is intended anew while its task lives is not begun twice.
    under_way: Arc<Mutex<HashMap<ActionId, i64>>>,
}

impl Performer {
    /// A performer on a runtime.
    pub fn new(ctx: Context, runtime: Handle) -> Self {
        Self { ctx, runtime, seals: Seals::default(), under_way: Arc::default() }
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
        let (ctx, seals, under_way) = (self.ctx.clone(), self.seals.clone(), Arc::clone(&self.under_way));
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

async fn one(ctx: Context, seals: Seals, action: ActionRow, job: Job) -> Fact {
    debug_assert!(ActionKind::ALL.contains(&action.kind));
    match job {
        Job::Execute(job) => Box::pin(execute::execute(&ctx, &action, *job)).await,
        Job::Realise(job) => Box::pin(realise::realise(&ctx, &action, &job)).await,
        Job::Serve(job) => Box::pin(serve::serve(&ctx, &action, *job)).await,
        Job::Acquire(job) => lease::acquire(&ctx, &action, &job).await,
        Job::Release(job, kept) => lease::release(&ctx, &action, &job, kept).await,
        Job::Destroy(job) => lease::destroy(&ctx, &action, &job).await,
        Job::Extend(job, until) => lease::extend(&ctx, &action, &job, until).await,
        Job::Observe(job) => lease::observe(&ctx, &action, &job).await,
        Job::Probe(environment) => probe::probe(&ctx, &action, &environment).await,
        Job::Test(job, agent) => probe::test(&ctx, &action, &job, agent.as_deref()).await,
        Job::Stop { dir, force: true, .. } => match ctx.keeper.stop_by_force(&dir).await {
            Ok(()) => Fact::ActionDone { action: action.id },
            Err(error) => Fact::ActionFailed { action: action.id, error },
        },
        Job::Stop { dir, reason, grace_ms, force: false } => match ctx.keeper.stop(&dir, &reason, grace_ms).await {
            Ok(()) => Fact::ActionDone { action: action.id },
            Err(error) => Fact::ActionFailed { action: action.id, error },
        },
        Job::Backup(to) => {
            let (data, id) = (ctx.keeper.data.clone(), action.id);
            beside(id, move || backup::backup(&data, id, to.as_deref())).await
        }
        Job::Command(work) => job::run(&ctx, &action, &work).await,
        Job::Archive(job) => {
            let Ok(_turn) = seals.moving.acquire().await else { return Fact::ActionDone { action: action.id } };
            archive::archive(&ctx, &action, &job).await
        }
        Job::Snapshot(job) => {
            let Ok(_turn) = seals.moving.acquire().await else { return Fact::ActionDone { action: action.id } };
            snapshot::snapshot(&ctx, &action, &job).await
        }
        Job::Restore(job) => {
            let Ok(_turn) = seals.moving.acquire().await else { return Fact::ActionDone { action: action.id } };
            restore::restore(&ctx, &action, &job).await
        }
        Job::Empty(what) => {
            let Ok(_turn) = seals.emptying.acquire().await else { return Fact::ActionDone { action: action.id } };
            empty::empty(&ctx, &action, what).await
        }
        Job::Delete { dirs, files } => {
            let Ok(_turn) = seals.packing.acquire().await else { return Fact::ActionDone { action: action.id } };
            let (data, id) = (ctx.keeper.data.clone(), action.id);
            behind(id, move || carry_out::remove(&data, id, &dirs, &files)).await
        }
        Job::Seal(run, dir, part) => {
            let turn = if part == SealPart::Hash { seals.hashing } else { seals.packing };
            let Ok(_turn) = turn.acquire().await else { return Fact::ActionDone { action: action.id } };
            let (data, id) = (ctx.keeper.data.clone(), action.id);
            let work = move || seal::perform(&data, id, run, &dir, part);
            if part == SealPart::Hash { beside(id, work).await } else { behind(id, work).await }
        }
        Job::Pack(dir) => {
            let Ok(_turn) = seals.packing.acquire().await else { return Fact::ActionDone { action: action.id } };
            let (data, id) = (ctx.keeper.data.clone(), action.id);
            behind(id, move || seal::pack(&data, id, &dir)).await
        }
    }
}

/// Does work that waits for the disk beside the runtime.
async fn beside(action: ActionId, work: impl FnOnce() -> Fact + Send + 'static) -> Fact {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Fact::ActionFailed { action, error: panic.to_string() })
}

/// The same, while nothing else wants the processor.
async fn behind(action: ActionId, work: impl FnOnce() -> Fact + Send + 'static) -> Fact {
    let (tell, told) = oneshot::channel();
    let began = std::thread::Builder::new().name("pack".into()).spawn(move || {
        idle::stand_back();
        // Nobody listens any more when the reign has ended; the next one does it again.
        let _ = tell.send(work());
    });
    match began {
        Ok(_) => told.await.unwrap_or_else(|_| Fact::ActionFailed { action, error: "internal: it panicked".into() }),
        Err(error) => Fact::ActionFailed { action, error: format!("no thread could be had: {error}") },
    }
}
