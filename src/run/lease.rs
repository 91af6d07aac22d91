//! Asking a driver for a lease, giving it back, asking for more time, asking what became of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use wharf_model::{ActionRow, EnvironmentRow, Kind, LeaseRow, UnixMillis};

use super::context::Context;
use crate::dispatch::input::{Fact, LeaseSeen};
use crate::dispatch::perform::LeaseJob;
use crate::environment::driver::{
    AcquireAsk, Acquired, Answer, Driver, Extended, Held, Outcome, Place, Queue, Resumed, Seen,
};
use crate::environment::registry;
use crate::process::kill_point::kill_point;

/// Time a driver has for one call; the lease's own deadline is a little later.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(290);
const RELEASE_LIMIT: Duration = Duration::from_secs(110);
const ASK_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two looks at a provider's queue.
const QUEUE_PAUSE: Duration = Duration::from_secs(5);

const LATE: &str = "the driver did not answer in time";

/// The driver that a lease was acquired with: by the settings it was acquired with, else those of now.
pub fn driver_of(ctx: &Context, lease: &LeaseRow, environment: &EnvironmentRow) -> Result<Arc<dyn Driver>, String> {
    let config = lease.config.clone().unwrap_or_else(|| environment.driver_config());
    registry::driver(environment.driver, &config, &ctx.site(environment))
        .map_err(|error| format!("environment {}: {error}", environment.name))
}

/// What a driver is told of a lease that it granted.
pub fn held(lease: &LeaseRow) -> Held {
    Held {
        lease: lease.id,
        number: Kind::Lease.number(lease.number),
        fence: lease.fence.unwrap_or(0),
        environment: lease.environment_id,
        policy: lease.lease_policy,
        provider_lease_id: lease.provider_lease_id.clone(),
        facts: lease.metadata.clone().unwrap_or(Value::Null),
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

/// Waits for an answer, at most this long.
async fn within<T>(limit: Duration, call: crate::environment::driver::Call<'_, T>) -> Answer<T> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Answer::unknown(LATE))
}

/// Acquires, or takes over what an earlier lease held, and reports what came of it.
pub async fn acquire(ctx: &Context, action: &ActionRow, job: &LeaseJob) -> Fact {
    let (id, lease) = (action.id, job.lease.id);
    let driver = match driver_of(ctx, &job.lease, &job.environment) {
        Ok(driver) => driver,
        Err(message) => {
            return Fact::LeaseRefused { action: id, lease, code: "unsupported_environment".into(), message };
        }
    };
    let ask = ask_of(job);
    let provider = provider(&job.environment, &job.lease);
    let held = |place: Place, resumed: bool| Fact::LeaseAcquired {
        action: id,
        lease,
        provider: provider.clone(),
        provider_lease_id: place.provider_lease_id,
        expires_at: place.expires_at,
        facts: place.facts,
        resumed,
    };
    if let (Some(_), Some(provider_id)) = (job.lease.resumed_from, job.lease.provider_lease_id.clone()) {
        let facts = job.lease.metadata.clone().unwrap_or(Value::Null);
        let answer = within(ACQUIRE_LIMIT, driver.resume(&ask, &provider_id, &facts)).await;
        kill_point("lease.provider_called");
        match answer {
            Answer::Done(Resumed::Held(place)) => return held(place, true),
            // It is certain that it is gone: a new one is obtained instead.
            Answer::Done(Resumed::Gone) => {}
            Answer::Refused { code, hint } => {
                return Fact::LeaseRefused { action: id, lease, code, message: hint };
            }
            Answer::Unknown { evidence } => return Fact::ActionFailed { action: id, error: evidence },
        }
    }
    loop {
        let answer = within(ACQUIRE_LIMIT, driver.acquire(&ask)).await;
        kill_point("lease.provider_called");
        match answer {
            Answer::Done(Acquired::Held(place)) => return held(place, false),
            Answer::Done(Acquired::Queued(queue)) => {
                if !stay_queued(ctx, job, &*driver, queue).await {
                    // What stands in the queue is given back by an action of its own.
                    let message = "nobody waits for it any more".to_owned();
                    return Fact::LeaseRefused { action: id, lease, code: "cancelled".into(), message };
                }
            }
            Answer::Refused { code, hint } => {
                return Fact::LeaseRefused { action: id, lease, code, message: hint };
            }
            Answer::Unknown { evidence } => return Fact::ActionFailed { action: id, error: evidence },
        }
    }
}

/// Stays in a provider's queue until it is to be asked again; false when nobody waits any more.
async fn stay_queued(ctx: &Context, job: &LeaseJob, driver: &dyn Driver, first: Queue) -> bool {
    let mut queue = first;
    loop {
        let told = ctx.inbox.tell(Fact::LeaseQueued { lease: job.lease.id, queue: queue.clone() }).await;
        if told.over {
            return false;
        }
        tokio::time::sleep(QUEUE_PAUSE).await;
        let Some(id) = queue.provider_lease_id.clone() else { return true };
        let asked = [id.clone()];
        match within(ASK_LIMIT, driver.observe(&asked)).await {
            Answer::Done(mut seen) => match seen.remove(&id) {
                Some(Seen::Queued(next)) => queue = next,
                // Held, gone or not known: asking again for the same lease says which.
                Some(Seen::Held(_) | Seen::Gone) | None => return true,
            },
            // A controller that does not answer is unknown, never gone.
            Answer::Unknown { evidence } => queue.reason = format!("{} ({evidence})", first_line(&queue.reason)),
            Answer::Refused { .. } => return true,
        }
    }
}

fn first_line(text: &str) -> &str {
    text.split(" (").next().unwrap_or(text)
}

/// Who provides what a lease holds, in a word.
fn provider(environment: &EnvironmentRow, lease: &LeaseRow) -> String {
    let config = lease.config.clone().unwrap_or_else(|| environment.driver_config());
    wharf_model::config::driver::DriverConfig::read(environment.driver, &config)
        .map_or_else(|_| environment.driver.as_str().to_owned(), |config| config.provider())
}

/// Gives back or lays by, and reports what came of it. One that fails is tried again later; no other waits for it.
pub async fn release(ctx: &Context, action: &ActionRow, job: &LeaseJob, kept: bool) -> Fact {
    let (id, lease) = (action.id, job.lease.id);
    let failed = |message: String| {
        if kept {
            Fact::LeaseLaidBy { action: id, lease, failed: Some(message) }
        } else {
            Fact::LeaseReleaseFailed { action: id, lease, message }
        }
    };
    let driver = match driver_of(ctx, &job.lease, &job.environment) {
        Ok(driver) => driver,
        Err(message) => return failed(message),
    };
    let outcome = match job.lease.end_reason {
        _ if kept => Outcome::Kept,
        Some(wharf_model::LeaseEnd::Failed) => Outcome::Failed,
        Some(wharf_model::LeaseEnd::Expired) => Outcome::Expired,
        Some(wharf_model::LeaseEnd::Released) | None => Outcome::Released,
    };
    let answer = within(RELEASE_LIMIT, driver.release(&held(&job.lease), outcome)).await;
    kill_point("lease.provider_released");
    match answer {
        Answer::Done(()) if kept => Fact::LeaseLaidBy { action: id, lease, failed: None },
        Answer::Done(()) => Fact::LeaseReleased { action: id, lease },
        Answer::Refused { code, hint } => failed(format!("{code}: {hint}")),
        Answer::Unknown { evidence } => failed(evidence),
    }
}

/// Removes what a lease holds at the provider.
pub async fn destroy(ctx: &Context, action: &ActionRow, job: &LeaseJob) -> Fact {
    let (id, lease) = (action.id, job.lease.id);
    let failed = |message: String| Fact::LeaseReleaseFailed { action: id, lease, message };
    let driver = match driver_of(ctx, &job.lease, &job.environment) {
        Ok(driver) => driver,
        Err(message) => return failed(message),
    };
    let answer = within(RELEASE_LIMIT, driver.destroy(&held(&job.lease))).await;
    kill_point("lease.provider_released");
    match answer {
        Answer::Done(()) => Fact::LeaseReleased { action: id, lease },
        Answer::Refused { code, hint } => failed(format!("{code}: {hint}")),
        Answer::Unknown { evidence } => failed(evidence),
    }
}

/// Asks for more time.
pub async fn extend(ctx: &Context, action: &ActionRow, job: &LeaseJob, until: UnixMillis) -> Fact {
    let (id, lease) = (action.id, job.lease.id);
    let driver = match driver_of(ctx, &job.lease, &job.environment) {
        Ok(driver) => driver,
        Err(message) => return Fact::LeaseNotExtended { action: id, lease, latest: None, message },
    };
    match within(ASK_LIMIT, driver.extend(&held(&job.lease), until)).await {
        Answer::Done(Extended::Until(until)) => Fact::LeaseExtended { action: id, lease, until },
        Answer::Done(Extended::Refused { latest }) => {
            let message = format!("the provider gives it until {} at the latest", latest.rfc3339());
            Fact::LeaseNotExtended { action: id, lease, latest: Some(latest), message }
        }
        Answer::Refused { code, hint } => {
            Fact::LeaseNotExtended { action: id, lease, latest: None, message: format!("{code}: {hint}") }
        }
        Answer::Unknown { evidence } => Fact::LeaseNotExtended { action: id, lease, latest: None, message: evidence },
    }
}

/// Asks the provider what became of a lease.
pub async fn observe(ctx: &Context, action: &ActionRow, job: &LeaseJob) -> Fact {
    let seen = match (driver_of(ctx, &job.lease, &job.environment), &job.lease.provider_lease_id) {
        (Err(message), _) => LeaseSeen::Unknown(message),
        (Ok(_), None) => LeaseSeen::Unknown("the provider has given it no id".into()),
        (Ok(driver), Some(id)) => {
            let asked = [id.clone()];
            match within(ASK_LIMIT, driver.observe(&asked)).await {
                Answer::Done(mut all) => match all.remove(id) {
                    Some(Seen::Held(until)) => LeaseSeen::Held(until),
                    Some(Seen::Gone) => LeaseSeen::Gone,
                    Some(Seen::Queued(queue)) => LeaseSeen::Unknown(format!("it is queued: {}", queue.reason)),
                    None => LeaseSeen::Unknown("the provider says nothing of it".into()),
                },
                Answer::Refused { code, hint } => LeaseSeen::Unknown(format!("{code}: {hint}")),
                Answer::Unknown { evidence } => LeaseSeen::Unknown(evidence),
            }
        }
    };
    Fact::LeaseObserved { action: action.id, lease: job.lease.id, seen }
}
