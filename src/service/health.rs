//! Whether a running service still answers: looks that go on for as long as it runs, and what they come to.
//!
//! Nothing is told of a look that changes nothing. A look that this process could not make properly, because it was
//! itself held, had nothing left to ask with or the machine slept, counts for nothing.

use std::time::Duration;

use tokio::sync::mpsc;
use wharf_model::Health;

use super::lasting;
use super::owned::Owned;
use super::port::{self, Ownership};
use super::probe::{Miss, Probe};
use crate::clock;

/// Shortest pause between two looks.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Another cause of the same verdict is told at most once in this time.
const RETELL_MS: i64 = 60_000;
/// Time beyond twice its limit after which a look says more about this process than about the service.
const HELD_MS: i64 = 1_500;

/// When looks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Pause before each look.
    pub interval: Duration,
    /// The same after one that failed.
    pub again: Duration,
    /// Time one look may take.
    pub limit: Duration,
    /// Failed looks in a row that make it unhealthy.
    pub failures: u32,
}

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// A good answer.
    Good,
    /// Something else, in words.
    Bad(String),
    /// It could not be made properly.
    Nothing,
}

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is healthy.
    pub health: Health,
    /// What was asked, what came, how often.
    pub evidence: String,
}

/// Turns looks into verdicts.
#[derive(Debug)]
pub struct Judge {
    asked: String,
    failures: u32,
    health: Health,
    /// Failed looks in a row.
    bad: u32,
    since_ms: i64,
    /// Cause that was told last, without its figures, and when.
    told: Option<(String, i64)>,
}

impl Judge {
    /// For a service that is told to be `health` now. `asked` is what looks ask, the subject of a sentence.
    pub fn new(asked: String, failures: u32, health: Health) -> Self {
        Self { asked, failures: failures.max(1), health, bad: 0, since_ms: 0, told: None }
    }

    /// Whether the last look failed.
    pub fn is_bad(&self) -> bool {
        self.bad > 0
    }

    /// Takes a look made at a moment of a clock that never goes back, milliseconds; gives what is to be told.
    pub fn take(&mut self, look: &Look, now_ms: i64) -> Option<Verdict> {
        match look {
            Look::Nothing => None,
            Look::Good => {
                let (bad, since) = (std::mem::take(&mut self.bad), self.since_ms);
                if self.health == Health::Healthy {
                    return None;
                }
                let evidence = if bad > 0 {
                    let looks = if bad == 1 { "a failed look".to_owned() } else { format!("{bad} failed looks") };
                    format!("{} is good again after {looks} over {}", self.asked, span(now_ms - since))
                } else {
                    format!("{} is good", self.asked)
                };
                self.health = Health::Healthy;
                self.told = None;
                Some(Verdict { health: Health::Healthy, evidence })
            }
            Look::Bad(why) => {
                if self.bad == 0 {
                    self.since_ms = now_ms;
                }
                self.bad = self.bad.saturating_add(1);
                if self.bad < self.failures {
                    return None;
                }
                let cause: String = why.chars().filter(|c| !c.is_ascii_digit()).collect();
                let known = self.health == Health::Unhealthy
                    && self.told.as_ref().is_some_and(|(told, at)| *told == cause || now_ms - at < RETELL_MS);
                if known {
                    return None;
                }
                self.health = Health::Unhealthy;
                self.told = Some((cause, now_ms));
                let often = match self.bad {
                    1 => String::new(),
                    bad => format!("; {bad} looks in a row failed within {}", span(now_ms - self.since_ms)),
                };
                Some(Verdict { health: Health::Unhealthy, evidence: format!("{why}{often}") })
            }
        }
    }
}

fn span(ms: i64) -> String {
    lasting(u64::try_from(ms).unwrap_or(0))
}

/// What is watched.
#[derive(Debug, Clone)]
pub struct Watched {
    /// What looks ask.
    pub probe: Probe,
    /// When.
    pub times: Times,
    /// Its port, which must be its own whenever it answers.
    pub port: Option<u16>,
    /// Its processes.
    pub owned: Owned,
}

impl Watched {
    /// Looks until nobody listens any more; the first look comes after `first`.
    pub async fn watch(self, mut judge: Judge, first: Duration, tell: mpsc::Sender<Verdict>) {
        let mut pause = first;
        loop {
            // Counts time awake only: what was due during a sleep is not made up for.
            tokio::time::sleep(pause).await;
            let (look, now_ms) = self.look().await;
            if let Some(verdict) = judge.take(&look, now_ms)
                && tell.send(verdict).await.is_err()
            {
                return;
            }
            let Times { interval, again, .. } = self.times;
            pause = if judge.is_bad() { again } else { interval }.max(MIN_INTERVAL);
        }
    }

    async fn look(&self) -> (Look, i64) {
        let before = clock::read();
        let answer = self.probe.attempt(self.times.limit).await;
        let after = clock::read();
        let limit_ms = i64::try_from(self.times.limit.as_millis()).unwrap_or(i64::MAX / 4);
        let held = after.awake - before.awake > limit_ms * 2 + HELD_MS;
        let slept = clock::compare(before, after).is_some_and(|moved| moved.slept_ms > 0);
        if answer.as_ref().is_err_and(|miss| miss.is_ours || held || slept) {
            return (Look::Nothing, after.awake);
        }
        let (owned, port, asked) = (self.owned.clone(), self.port, self.probe.asked());
        let has_port = port.filter(|_| matches!(self.probe, Probe::Http(_) | Probe::Tcp(_)));
        let seen = tokio::task::spawn_blocking(move || match answer {
            Ok(()) => match has_port.map(|port| (port, owned.port(port))) {
                Some((port, Ownership::Others(owners))) => {
                    let who = port::describe(&Ok(owners));
                    Look::Bad(format!("{asked} answers, but port {port} is held by {who}"))
                }
                _ => Look::Good,
            },
            Err(Miss { words, .. }) => match owned.halted() {
                Some(halted) => Look::Bad(format!("{words}; {halted}")),
                None => Look::Bad(words),
            },
        });
        (seen.await.unwrap_or(Look::Nothing), after.awake)
    }
}

#[cfg(test)]
mod tests;
