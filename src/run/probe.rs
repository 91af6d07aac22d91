//! Looking at an environment, and trying an agent's adapter in it.

mod attempt;

use std::time::{Duration, Instant};

use wharf_model::{ActionRow, AgentRow, Driver as Kind, EnvironmentRow};

use super::context::Context;
use super::lease;
use crate::dispatch::input::Fact;
use crate::dispatch::perform::LeaseJob;
use crate::environment::driver::{Answer, Check};
use crate::environment::registry;

/// Time that a probe may take.
const PROBE_LIMIT: Duration = Duration::from_mins(1);

fn millis(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// Looks at an environment.
pub async fn probe(ctx: &Context, action: &ActionRow, environment: &EnvironmentRow) -> Fact {
    let began = Instant::now();
    let checks = match registry::driver(environment.driver, &environment.driver_config(), &ctx.site(environment)) {
        Err(error) => vec![Check::error("config", error.to_string(), "correct the settings of the environment")],
        Ok(driver) => match tokio::time::timeout(PROBE_LIMIT, driver.probe()).await {
            Ok(Answer::Done(checks)) => checks,
            Ok(Answer::Refused { code, hint }) => vec![Check::error(&code, hint, "correct the settings")],
            Ok(Answer::Unknown { evidence }) => vec![Check::error("probe_failed", evidence, "try again")],
            Err(_) => vec![Check::error(
                "probe_failed",
                format!("no answer within {} s", PROBE_LIMIT.as_secs()),
                "see whether what it needs is reachable",
            )],
        },
    };
    Fact::EnvironmentProbed { action: action.id, checks, took_ms: millis(began) }
}

/// Tries an agent's adapter in a place that was acquired for it. Nothing of it stays there.
pub async fn test(ctx: &Context, action: &ActionRow, job: &LeaseJob, agent: Option<&AgentRow>) -> Fact {
    let began = Instant::now();
    let checks = match lease::driver_of(ctx, &job.lease, &job.environment) {
        Err(message) => vec![Check::error("config", message, "correct the settings of the environment")],
        Ok(driver) => {
            let tried = attempt::Attempt {
                driver: &*driver,
                held: &lease::held(&job.lease),
                is_here: job.environment.driver == Kind::Local,
                agent,
                tag: format!("operation/{}", action.id),
                operator: &ctx.operator,
                program_dir: ctx.program_dir.as_deref(),
                data: &ctx.keeper.data,
            };
            tried.checks().await
        }
    };
    Fact::EnvironmentTested { action: action.id, lease: job.lease.id, checks, took_ms: millis(began) }
}
