//! Obtaining a lease: what an earlier one held, else a new place, if need be through the provider's own queue.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use wharf_model::{ActionId, ActionRow, EnvironmentRow, Kind, LeaseId, LeaseRow, UnixMillis};

use super::{ASK_LIMIT, driver_of};
use crate::clock;
use crate::dispatch::event_loop::Inbox;
use crate::dispatch::input::Fact;
use crate::dispatch::perform::LeaseJob;
use crate::environment::driver::{AcquireAsk, Acquired, Answer, Driver, Place, Queue, Resumed, Seen};
use crate::process::kill_point::kill_point;
use crate::run::context::Context;
use crate::run::place::within;

/// Longest time a driver has for one call.
pub(super) const ACQUIRE_LIMIT: Duration = Duration::from_secs(290);
/// A call is over by so much before the deadline of its lease: what comes later is given back by somebody else, who
/// must not be overtaken by a place that is made only then.
const MARGIN: Duration = Duration::from_secs(10);
/// Time that a call has at least.
const CALL_MIN: Duration = Duration::from_secs(1);
/// Pause between two looks at a provider's queue.
const QUEUE_PAUSE: Duration = Duration::from_secs(5);
/// Looks after which a place in the queue that has not changed is told all the same: the answer says whether
/// anybody still waits.
const QUIET_LOOKS: u32 = 6;

/// The time that is left for calls until the deadline of a lease.
pub(super) struct Budget {
    began: Instant,
    left: Option<Duration>,
}

impl Budget {
    pub(super) fn of(lease: &LeaseRow, now: UnixMillis) -> Self {
        let left = |at: UnixMillis| Duration::from_millis(u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0));
        Self { began: Instant::now(), left: lease.deadline_at.map(left) }
    }

    /// Time for one call that begins now.
    pub(super) fn call(&self) -> Duration {
        let left = self.left.map(|left| left.saturating_sub(self.began.elapsed()).saturating_sub(MARGIN));
        left.map_or(ACQUIRE_LIMIT, |left| left.clamp(CALL_MIN, ACQUIRE_LIMIT))
    }
}

fn ask_of(job: &LeaseJob) -> AcquireAsk {
    let lease = &job.lease;
    AcquireAsk {
        lease: lease.id,
        number: Kind::Lease.number(lease.number),
        fence: lease.fence.unwrap_or(0),
        environment: job.environment.id,
        environment_name: job.environment.name.clone(),
        company: lease.company_id,
        policy: lease.lease_policy,
        run: lease.run_id,
        issue: lease.issue_id,
        workspace: lease.execution_workspace_id,
        project: job.project.as_ref().map(|p| PathBuf::from(&p.path)),
        ttl_ms: job.environment.ttl_ms,
    }
}

/// Acquires, or takes over what an earlier lease held, and reports what came of it.
pub async fn acquire(ctx: &Context, action: &ActionRow, job: &LeaseJob) -> Fact {
    let lease = job.lease.id;
    match driver_of(ctx, &job.lease, &job.environment) {
        Ok(driver) => obtain(&ctx.inbox, &*driver, action.id, job).await,
        Err(message) => {
            Fact::LeaseRefused { action: action.id, lease, code: "unsupported_environment".into(), message }
        }
    }
}

/// [`acquire`] with a driver.
pub(super) async fn obtain(inbox: &Inbox, driver: &dyn Driver, action: ActionId, job: &LeaseJob) -> Fact {
    let lease = job.lease.id;
    let ask = ask_of(job);
    let provider = provider(&job.environment, &job.lease);
    let budget = Budget::of(&job.lease, clock::now());
    let held = |place: Place, resumed: bool| Fact::LeaseAcquired {
        action,
        lease,
        provider: provider.clone(),
        provider_lease_id: place.provider_lease_id,
        expires_at: place.expires_at,
        facts: place.facts,
        resumed,
    };
    if let (Some(_), Some(provider_id)) = (job.lease.resumed_from, job.lease.provider_lease_id.clone()) {
        let facts = job.lease.metadata.clone().unwrap_or(Value::Null);
        let answer = within(budget.call(), driver.resume(&ask, &provider_id, &facts)).await;
        kill_point("lease.provider_called");
        match answer {
            Answer::Done(Resumed::Held(place)) => return held(place, true),
            // It is certain that it is gone: a new one is obtained instead. Until that has a name the row has none,
            // so that a release finds what this acquisition made and does not look for what is gone.
            Answer::Done(Resumed::Gone) => {
                if inbox.tell(Fact::LeasePlaceGone { lease }).await.over {
                    return nobody_waits(action, lease);
                }
            }
            Answer::Refused { code, hint } => return Fact::LeaseRefused { action, lease, code, message: hint },
            Answer::Unknown { evidence } => return Fact::ActionFailed { action, error: evidence },
        }
    }
    // As an earlier reign left it.
    let mut line = Line::new(inbox, job.lease.id);
    let mut queue: Option<Queue> = job.lease.queue.clone().and_then(|q| serde_json::from_value(q).ok());
    loop {
        // In a queue of the provider it waits by the deadline of the queue, which is far.
        let limit = if queue.is_some() { ACQUIRE_LIMIT } else { budget.call() };
        let answer = within(limit, driver.acquire(&ask)).await;
        kill_point("lease.provider_called");
        let (stands, doubt) = match (answer, queue.take()) {
            (Answer::Done(Acquired::Held(place)), _) => return held(place, false),
            (Answer::Done(Acquired::Queued(queue)), _) => (queue, None),
            (Answer::Refused { code, hint }, _) => return Fact::LeaseRefused { action, lease, code, message: hint },
            // A controller that does not answer is unknown, never gone: its queue is not left for that.
            (Answer::Unknown { evidence }, Some(queue)) => (queue, Some(evidence)),
            (Answer::Unknown { evidence }, None) => return Fact::ActionFailed { action, error: evidence },
        };
        match line.stay(driver, stands, doubt).await {
            Some(last) => queue = Some(last),
            // What stands in the queue is given back by an action of its own.
            None => return nobody_waits(action, lease),
        }
    }
}

fn nobody_waits(action: ActionId, lease: LeaseId) -> Fact {
    let message = "nobody waits for it any more".to_owned();
    Fact::LeaseRefused { action, lease, code: "cancelled".into(), message }
}

/// A place in a provider's queue, as it was last told.
struct Line<'a> {
    inbox: &'a Inbox,
    lease: LeaseId,
    told: Option<Queue>,
    quiet: u32,
}

impl<'a> Line<'a> {
    fn new(inbox: &'a Inbox, lease: LeaseId) -> Self {
        Self { inbox, lease, told: None, quiet: 0 }
    }

    /// Tells where it stands, when that is new or was long ago; false when nobody waits any more.
    async fn tell(&mut self, queue: &Queue, doubt: Option<&str>) -> bool {
        let reason = match doubt {
            Some(evidence) => format!("{} ({evidence})", queue.reason),
            None => queue.reason.clone(),
        };
        let shown = Queue { reason, ..queue.clone() };
        self.quiet += 1;
        if self.told.as_ref() == Some(&shown) && self.quiet < QUIET_LOOKS {
            return true;
        }
        self.quiet = 0;
        self.told = Some(shown.clone());
        !self.inbox.tell(Fact::LeaseQueued { lease: self.lease, queue: shown }).await.over
    }

    /// Stays until it is to be asked again, and gives its place as it was last seen; none when nobody waits any more.
    async fn stay(&mut self, driver: &dyn Driver, first: Queue, mut doubt: Option<String>) -> Option<Queue> {
        let mut queue = first;
        loop {
            if !self.tell(&queue, doubt.as_deref()).await {
                return None;
            }
            tokio::time::sleep(QUEUE_PAUSE).await;
            let Some(id) = queue.provider_lease_id.clone() else { return Some(queue) };
            let asked = [id.clone()];
            match within(ASK_LIMIT, driver.observe(&asked)).await {
                Answer::Done(mut seen) => match seen.remove(&id) {
                    Some(Seen::Queued(next)) => (queue, doubt) = (next, None),
                    // Held, gone or not known: asking again for the same lease says which.
                    Some(Seen::Held(_) | Seen::Gone) | None => return Some(queue),
                },
                // A controller that does not answer is unknown, never gone.
                Answer::Unknown { evidence } => doubt = Some(evidence),
                Answer::Refused { .. } => return Some(queue),
            }
        }
    }
}

/// Who provides what a lease holds, in a word.
fn provider(environment: &EnvironmentRow, lease: &LeaseRow) -> String {
    let config = lease.config.clone().unwrap_or_else(|| environment.driver_config());
    wharf_model::config::driver::DriverConfig::read(environment.driver, &config)
        .map_or_else(|_| environment.driver.as_str().to_owned(), |config| config.provider())
}
