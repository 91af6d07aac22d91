//! Asking a driver for a lease, giving it back, asking for more time, asking what became of it.

mod acquire;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use wharf_model::{ActionId, ActionRow, EnvironmentRow, Kind, LeaseRow, UnixMillis};

pub use self::acquire::acquire;
use super::context::Context;
use super::place::within;
use crate::dispatch::input::{Fact, LeaseSeen};
use crate::dispatch::perform::LeaseJob;
use crate::environment::driver::{Answer, Driver, Extended, Held, Outcome, Seen};
use crate::environment::registry;
use crate::process::kill_point::kill_point;

/// Time a driver has to give a lease back; the lease's own deadline is a little later.
const RELEASE_LIMIT: Duration = Duration::from_secs(110);
/// Time for one question.
const ASK_LIMIT: Duration = Duration::from_secs(30);

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

/// Gives back or lays by, and reports what came of it. One that fails is tried again later; no other waits for it.
pub async fn release(ctx: &Context, action: &ActionRow, job: &LeaseJob, kept: bool) -> Fact {
    match driver_of(ctx, &job.lease, &job.environment) {
        Ok(driver) => give_back(&*driver, action.id, &job.lease, kept).await,
        Err(message) => not_given_back(action.id, &job.lease, kept, message),
    }
}

fn not_given_back(action: ActionId, lease: &LeaseRow, kept: bool, message: String) -> Fact {
    if kept {
        Fact::LeaseLaidBy { action, lease: lease.id, failed: Some(message) }
    } else {
        Fact::LeaseReleaseFailed { action, lease: lease.id, message }
    }
}

async fn give_back(driver: &dyn Driver, action: ActionId, lease: &LeaseRow, kept: bool) -> Fact {
    let outcome = match lease.end_reason {
        _ if kept => Outcome::Kept,
        Some(wharf_model::LeaseEnd::Failed) => Outcome::Failed,
        Some(wharf_model::LeaseEnd::Expired) => Outcome::Expired,
        Some(wharf_model::LeaseEnd::Released) | None => Outcome::Released,
    };
    let answer = within(RELEASE_LIMIT, driver.release(&held(lease), outcome)).await;
    kill_point("lease.provider_released");
    match answer {
        Answer::Done(()) if kept => Fact::LeaseLaidBy { action, lease: lease.id, failed: None },
        Answer::Done(()) => Fact::LeaseReleased { action, lease: lease.id },
        Answer::Refused { code, hint } => not_given_back(action, lease, kept, format!("{code}: {hint}")),
        Answer::Unknown { evidence } => not_given_back(action, lease, kept, evidence),
    }
}

/// Removes what a lease holds at the provider.
pub async fn destroy(ctx: &Context, action: &ActionRow, job: &LeaseJob) -> Fact {
    match driver_of(ctx, &job.lease, &job.environment) {
        Ok(driver) => remove(&*driver, action.id, &job.lease).await,
        Err(message) => not_given_back(action.id, &job.lease, false, message),
    }
}

async fn remove(driver: &dyn Driver, action: ActionId, lease: &LeaseRow) -> Fact {
    let answer = within(RELEASE_LIMIT, driver.destroy(&held(lease))).await;
    kill_point("lease.provider_released");
    match answer {
        Answer::Done(()) => Fact::LeaseReleased { action, lease: lease.id },
        Answer::Refused { code, hint } => not_given_back(action, lease, false, format!("{code}: {hint}")),
        Answer::Unknown { evidence } => not_given_back(action, lease, false, evidence),
    }
}

/// Asks for more time.
pub async fn extend(ctx: &Context, action: &ActionRow, job: &LeaseJob, until: UnixMillis) -> Fact {
    match driver_of(ctx, &job.lease, &job.environment) {
        Ok(driver) => ask_time(&*driver, action.id, &job.lease, until).await,
        Err(message) => Fact::LeaseNotExtended { action: action.id, lease: job.lease.id, latest: None, message },
    }
}

async fn ask_time(driver: &dyn Driver, action: ActionId, row: &LeaseRow, until: UnixMillis) -> Fact {
    let lease = row.id;
    let not = |latest, message| Fact::LeaseNotExtended { action, lease, latest, message };
    match within(ASK_LIMIT, driver.extend(&held(row), until)).await {
        Answer::Done(Extended::Until(until)) => Fact::LeaseExtended { action, lease, until },
        Answer::Done(Extended::Refused { latest }) => {
            not(Some(latest), format!("the provider gives it until {} at the latest", latest.rfc3339()))
        }
        Answer::Refused { code, hint } => not(None, format!("{code}: {hint}")),
        Answer::Unknown { evidence } => not(None, evidence),
    }
}

/// Asks the provider what became of a lease.
pub async fn observe(ctx: &Context, action: &ActionRow, job: &LeaseJob) -> Fact {
    let seen = match driver_of(ctx, &job.lease, &job.environment) {
        Ok(driver) => look(&*driver, &job.lease).await,
        Err(message) => LeaseSeen::Unknown(message),
    };
    Fact::LeaseObserved { action: action.id, lease: job.lease.id, seen }
}

async fn look(driver: &dyn Driver, lease: &LeaseRow) -> LeaseSeen {
    let Some(id) = &lease.provider_lease_id else {
        return LeaseSeen::Unknown("the provider has given it no id".into());
    };
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

#[cfg(test)]
mod tests;
