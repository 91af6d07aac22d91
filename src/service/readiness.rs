//! Waiting until a service answers, within a deadline, and no longer than its process lives.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::probe::{InvalidCheck, Probe, no_answer};

/// Waited for at most, when config does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between the starts of two tries, when config does not say.
pub const DEFAULT_INTERVAL: Duration = Duration::from_millis(500);
/// Shortest pause.
pub const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// One try may take this long.
pub const DEFAULT_TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait that can be set.
pub const MAX_TIMEOUT: Duration = Duration::from_hours(24);
/// A readiness check with its times.
#[derive(Debug, Clone)]
pub struct Check {
    probe: Probe,
    timeout: Duration,
    interval: Duration,
    try_timeout: Duration,
}

impl Check {
    /// Reads a check; the times become at least [`MIN_INTERVAL`], at most [`MAX_TIMEOUT`].
    pub fn new(probe: Probe, timeout: Duration, interval: Duration) -> Result<Self, InvalidCheck> {
        probe.validate()?;
        let timeout = timeout.clamp(MIN_INTERVAL, MAX_TIMEOUT);
        Ok(Self { probe, timeout, interval: interval.clamp(MIN_INTERVAL, timeout), try_timeout: DEFAULT_TRY_TIMEOUT })
    }

    /// Another limit for each try.
    pub fn with_try_timeout(mut self, limit: Duration) -> Self {
        self.try_timeout = limit.max(Duration::from_millis(10));
        self
    }
}

/// How the wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It answered.
    Ready {
        /// Tries made, the good one included.
        tries: u32,
        /// Since the wait began.
        took: Duration,
    },
    /// It did not answer well in time.
    TimedOut {
        /// Tries made.
        tries: u32,
        /// What the last one met with.
        last_error: String,
    },
    /// It cannot be asked, however often.
    Impossible {
        /// Why.
        error: String,
    },
    /// Its process ended first.
    ChildExited {
        /// Tries made.
        tries: u32,
        /// What the last one met with, if one was made.
        last_error: Option<String>,
    },
}

/// Tries until the service is ready, the time is over, or `child_exited` completes (a `oneshot`
/// receiver, or a `watch` receiver's `changed`), which ends the wait at once.
///
/// A try that is cut off goes on in its blocking thread until its own limit and is then forgotten.
/// Ready tells that something answers; whether it is the service, the
/// [port's owner](super::port::ownership) tells.
pub async fn wait(check: &Check, child_exited: impl Future<Output = ()>) -> Readiness {
    let start = Instant::now();
    let deadline = start + check.timeout;
    let mut tries = 0_u32;
    let mut last_error = None;
    tokio::pin!(child_exited);
    loop {
        let began = Instant::now();
        let limit = check.try_timeout.min(deadline.saturating_duration_since(began));
        tries += 1;
        let answer = tokio::select! {
            biased;
            () = &mut child_exited => return Readiness::ChildExited { tries: tries - 1, last_error },
            answer = timeout_at(deadline, check.probe.attempt(limit)) => answer,
        };
        match answer {
            Ok(Ok(())) => return Readiness::Ready { tries, took: start.elapsed() },
            Ok(Err(miss)) if miss.is_final => return Readiness::Impossible { error: miss.words },
            // One that the deadline has cut short says less than the one before; a whole answer says more.
            Ok(Err(_)) if limit < check.try_timeout && began.elapsed() >= limit && last_error.is_some() => {}
            Ok(Err(miss)) => last_error = Some(miss.words),
            Err(_) => {
                last_error.get_or_insert_with(|| no_answer(check.timeout));
            }
        }
        // However long the pauses are, it is asked once more right before its time is over.
        let last = deadline - MIN_INTERVAL;
        let now = Instant::now();
        let next = (began + check.interval).max(now);
        let next = if next > last && now < last { last } else { next };
        if next >= deadline || now >= last {
            let last_error = last_error.unwrap_or_else(|| no_answer(check.timeout));
            return Readiness::TimedOut { tries, last_error };
        }
        tokio::select! {
            biased;
            () = &mut child_exited => return Readiness::ChildExited { tries, last_error },
            () = sleep_until(next) => {}
        }
    }
}

#[cfg(test)]
mod tests;
