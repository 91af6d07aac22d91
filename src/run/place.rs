//! Where a run works when that is not this machine as it is: its driver, its lease, what was realised there.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use wharf_model::config::driver::{DriverConfig, Network};
use wharf_model::{Driver as Kind, EnvironmentRow, LeaseRow, LeaseStatus};

use super::context::Context;
use super::lease;
use super::watch::Watch;
use crate::dispatch::input::Realisation;
use crate::dispatch::perform::RunJob;
use crate::environment::driver::{Answer, Driver, Held, Realised, Target};
use crate::environment::registry;

/// Time in which a driver must say how commands run in a place.
pub const TARGET_LIMIT: Duration = Duration::from_secs(30);

/// Time for one call was over.
pub const LATE: &str = "the driver did not answer in time";

/// A place that a lease holds.
#[derive(Debug, Clone)]
pub struct There {
    /// How it is reached.
    pub driver: Arc<dyn Driver>,
    /// The lease, as the driver is told of it.
    pub held: Held,
    /// In words, for people: `box-1 (ssh)`.
    pub name: String,
    /// What was made there of the run's workspace, once that is so.
    pub realisation: Option<Realisation>,
}

impl There {
    /// What was realised.
    pub fn realised(&self) -> Option<&Realised> {
        self.realisation.as_ref().map(|r| &r.result)
    }

    /// Whether it sees the files of this machine where they are.
    pub fn shares_files(&self) -> bool {
        self.driver.capabilities().shared_files
    }

    /// Variables and the like: how its commands are wrapped.
    pub async fn target(&self) -> Answer<Target> {
        within(TARGET_LIMIT, self.driver.target(&self.held, self.realised())).await
    }
}

/// Where a run works.
#[derive(Debug, Clone)]
pub enum Venue {
    /// On this machine, as it is.
    Here,
    /// In a place that its lease holds.
    There(Box<There>),
    /// In a place that cannot be asked: why.
    Unreachable(String),
    /// In a place that is not its own any more.
    Gone {
        /// Why.
        why: String,
        /// What it changed there has to be brought back from there: it sees other files than this machine.
        carries: bool,
    },
}

/// Where a run works: never on this machine unless its environment says so.
pub fn of(ctx: &Context, job: &RunJob) -> Venue {
    let Some(environment) = &job.environment else {
        return Venue::Unreachable("its environment is not there any more".into());
    };
    if environment.driver == Kind::Local {
        return Venue::Here;
    }
    let Some(lease) = &job.lease else {
        let driver = registry::driver(environment.driver, &environment.driver_config(), &ctx.site(environment));
        let carries = !driver.is_ok_and(|d| d.capabilities().shared_files);
        return Venue::Gone { why: format!("its lease of {} is not held any more", environment.name), carries };
    };
    match lease::driver_of(ctx, lease, environment) {
        Ok(driver) => Venue::There(Box::new(There {
            driver,
            held: lease::held(lease),
            name: format!("{} ({})", environment.name, environment.driver),
            realisation: realisation_of(lease),
        })),
        Err(message) => Venue::Unreachable(message),
    }
}

/// Whether something may be begun there for this run: its lease is held, by the grant that the run knows.
pub fn is_held(job: &RunJob) -> bool {
    let held =
        |l: &LeaseRow| l.status == LeaseStatus::Active && l.run_id == Some(job.run.id) && l.fence == job.run.fence;
    job.lease.as_ref().is_some_and(held)
}

fn realisation_of(lease: &LeaseRow) -> Option<Realisation> {
    serde_json::from_value(lease.realisation.clone()?).ok()
}

/// Whether what listens on this machine is reached from an environment by the same address.
pub fn shares_network(environment: &EnvironmentRow, config: &Value) -> bool {
    match DriverConfig::read(environment.driver, config) {
        Ok(DriverConfig::Local) => true,
        Ok(DriverConfig::Sandbox(sandbox)) => sandbox.network == Network::Host,
        Ok(DriverConfig::Ssh(_) | DriverConfig::Plugin(_)) | Err(_) => false,
    }
}

/// Waits for an answer, at most this long.
pub async fn within<T>(limit: Duration, call: impl Future<Output = Answer<T>>) -> Answer<T> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Answer::unknown(LATE))
}

/// How a command is to be started in a place, or why it is not.
#[derive(Debug)]
pub enum Resolved {
    /// By this.
    Target(Box<Target>),
    /// Not at all: error code and words.
    Refused(String, String),
    /// It is not known yet.
    Unknown(String),
    /// Nobody waits for it any more.
    Stopped,
}

/// Asks how the commands of a run are started where it works.
pub async fn resolve(there: &There, watch: &Watch<'_>, has_terminal: bool) -> Resolved {
    let failed = "transport_resolution_failed";
    let Some(answer) = watch.unless_stopped(there.target()).await else { return Resolved::Stopped };
    match answer {
        // Nothing that is meant for a place may begin on this machine by mistake.
        Answer::Done(target) if target.is_here() => {
            Resolved::Refused(failed.into(), format!("the driver of {} names no command that leads there", there.name))
        }
        Answer::Done(target) if has_terminal && !gives_terminal(&target) => Resolved::Refused(
            "unsupported_adapter_environment".into(),
            format!("an agent with a terminal cannot run in {}, which gives none", there.name),
        ),
        Answer::Done(target) => Resolved::Target(Box::new(target)),
        Answer::Refused { code, hint } => {
            let code = if code.starts_with("unsupported_") { code } else { failed.into() };
            Resolved::Refused(code, format!("{}: {hint}", there.name))
        }
        Answer::Unknown { evidence } => Resolved::Unknown(format!("{}: {evidence}", there.name)),
    }
}

/// Whether a command can have a terminal: variables that come by standard input would be typed into it.
pub fn gives_terminal(target: &Target) -> bool {
    target.tty.is_some() && target.env != crate::environment::driver::EnvPass::Stdin
}
