//! Asking a driver for a lease, and giving it back.

use std::time::Duration;

use wharf_model::{ActionRow, Driver as DriverKind, EnvironmentRow, LeaseRow};

use crate::dispatch::input::Fact;
use crate::environment::{Answer, Driver, local::Local};
use crate::process::kill_point::kill_point;

/// Time a driver has for one call; the lease's own deadline is a little later.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(290);
const RELEASE_LIMIT: Duration = Duration::from_secs(110);

fn driver(environment: &EnvironmentRow) -> Option<Box<dyn Driver>> {
    match environment.driver {
        DriverKind::Local => Some(Box::new(Local)),
        DriverKind::Ssh | DriverKind::Sandbox | DriverKind::Plugin => None,
    }
}

fn no_driver(environment: &EnvironmentRow) -> String {
    format!("environment {} has driver {}, which this program does not have", environment.name, environment.driver)
}

/// Acquires, and reports what came of it.
pub async fn acquire(action: &ActionRow, lease: &LeaseRow, environment: &EnvironmentRow) -> Fact {
    let refused = |message: String| Fact::LeaseRefused { action: action.id, lease: lease.id, message };
    let Some(driver) = driver(environment) else { return refused(no_driver(environment)) };
    let answer = tokio::time::timeout(ACQUIRE_LIMIT, driver.acquire(lease, environment)).await;
    kill_point("lease.provider_called");
    match answer {
        Ok(Answer::Done(place)) => Fact::LeaseAcquired {
            action: action.id,
            lease: lease.id,
            provider_lease_id: place.provider_lease_id,
            expires_at: place.expires_at,
            metadata: place.metadata,
        },
        Ok(Answer::Refused { code, hint }) => refused(format!("{code}: {hint}")),
        Ok(Answer::Unknown { evidence }) => Fact::ActionFailed { action: action.id, error: evidence },
        Err(_) => Fact::ActionFailed { action: action.id, error: "the driver did not answer in time".into() },
    }
}

/// Gives back, and reports what came of it. One that fails is tried again later; no other waits for it.
pub async fn release(action: &ActionRow, lease: &LeaseRow, environment: &EnvironmentRow) -> Fact {
    let failed = |message: String| Fact::LeaseReleaseFailed { action: action.id, lease: lease.id, message };
    let Some(driver) = driver(environment) else { return failed(no_driver(environment)) };
    let answer = tokio::time::timeout(RELEASE_LIMIT, driver.release(lease, environment)).await;
    kill_point("lease.provider_released");
    match answer {
        Ok(Answer::Done(())) => Fact::LeaseReleased { action: action.id, lease: lease.id },
        Ok(Answer::Refused { code, hint }) => failed(format!("{code}: {hint}")),
        Ok(Answer::Unknown { evidence }) => failed(evidence),
        Err(_) => failed("the driver did not answer in time".into()),
    }
}
