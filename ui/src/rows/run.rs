//! One run in the ledger, and the words for what it does and how it ended.

use wharf_model::{LeaseId, RunId, UnixMillis};

pub use wharf_model::RunStatus;

use super::Halted;
use crate::format::{self, Zone};
use crate::glyph::Class;

wharf_model::words! {
    /// How an observer judges a live run.
    pub enum Liveness { Working = "working", Silent = "silent", Stalled = "stalled", Unknown = "unknown" }
}

/// One run in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct RunLine {
    /// Identity.
    pub id: RunId,
    /// `R-` number.
    pub number: i64,
    /// Version of the row, for requests that expect it unchanged.
    pub version: i64,
    /// State as stored.
    pub status: RunStatus,
    /// Step while running: `execute`.
    pub step: Option<String>,
    /// Name of the agent.
    pub agent: String,
    /// Issue, when the run has one.
    pub issue: Option<IssueName>,
    /// Name of the environment, when chosen.
    pub environment: Option<String>,
    /// When it was asked for.
    pub queued_at: UnixMillis,
    /// When its first step began.
    pub started_at: Option<UnixMillis>,
    /// When it ended.
    pub finished_at: Option<UnixMillis>,
    /// Last byte of output.
    pub last_output_at: Option<UnixMillis>,
    /// Judgement of the observer, while running.
    pub liveness: Option<Liveness>,
    /// Its process lives and stands still.
    pub halted: Option<Halted>,
    /// Its process has a terminal, which can be attached to.
    pub terminal: bool,
    /// What it asks a person, when it does.
    pub question: Option<String>,
    /// Open tool or command, when known.
    pub doing: Option<String>,
    /// Why it waits: `agent busy`, `after R-1041`, `quota`.
    pub waits_for: Option<String>,
    /// When a parked one tries again.
    pub due_at: Option<UnixMillis>,
    /// Requested stop: since when.
    pub stop_requested_at: Option<UnixMillis>,
    /// Requested stop: when it is killed.
    pub stop_deadline_at: Option<UnixMillis>,
    /// Why it was stopped: `operator`, `timeout` …
    pub stop_reason: Option<String>,
    /// Time it was allowed, for the words of a time-out.
    pub limit_ms: Option<i64>,
    /// Exit code.
    pub exit_code: Option<i32>,
    /// Signal that ended it: `SIGKILL`.
    pub signal: Option<String>,
    /// Stored error code.
    pub error_code: Option<String>,
    /// Verdict on a finished run's work: `advanced`, `completed`, `plan only`.
    pub outcome: Option<String>,
    /// It could not be judged when last looked at.
    pub unknown: bool,
    /// Its active lease.
    pub lease: Option<LeaseName>,
    /// Services it uses: `S-12 web`.
    pub services: Vec<String>,
    /// Its workspace: `W-9`.
    pub workspace: Option<String>,
    /// Cost in millionths of a dollar; none when nobody said.
    pub cost_microusd: Option<i64>,
}

/// An issue as lists name it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IssueName {
    /// `SHOP-17`.
    pub identifier: String,
    /// In words.
    pub title: String,
}

/// A lease as others name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseName {
    /// Identity.
    pub id: LeaseId,
    /// `L-` number.
    pub number: i64,
    /// Version of the row.
    pub version: i64,
}

impl RunLine {
    /// `R-1042`.
    pub fn name(&self) -> String {
        format!("R-{}", self.number)
    }

    /// Whether it stands in the upper group of the list.
    pub fn is_live(&self) -> bool {
        self.finished_at.is_none()
            && matches!(self.status, RunStatus::Queued | RunStatus::ScheduledRetry | RunStatus::Running)
    }

    /// Whether a process of it may be alive.
    pub fn is_running(&self) -> bool {
        self.is_live() && self.status == RunStatus::Running
    }

    /// Glyph class and word of its state.
    pub fn state(&self) -> (Class, &'static str) {
        if self.unknown || (self.is_running() && self.liveness == Some(Liveness::Unknown)) {
            return (Class::Unknown, "unknown");
        }
        match self.status {
            RunStatus::Queued => (Class::Waits, "queued"),
            RunStatus::ScheduledRetry => (Class::Clock, "parked"),
            RunStatus::Running if self.stop_requested_at.is_some() => (Class::Ending, "stopping"),
            RunStatus::Running if self.question.is_some() => (Class::NeedsPerson, "needs you"),
            RunStatus::Running => match (&self.halted, self.liveness) {
                // One that stands still says nothing, which is no silence to wonder at.
                (Some(halted), _) => (Class::Doubtful, halted.word()),
                (None, Some(Liveness::Silent)) => (Class::Doubtful, "silent"),
                (None, Some(Liveness::Stalled)) => (Class::Doubtful, "stalled"),
                (None, _) => (Class::Alive, "running"),
            },
            RunStatus::Succeeded => (Class::Good, "done"),
            RunStatus::Failed => (Class::Bad, "failed"),
            RunStatus::TimedOut => (Class::Bad, "timed out"),
            RunStatus::Lost => (Class::Bad, "lost"),
            RunStatus::Cancelled => (Class::Chosen, "cancelled"),
        }
    }

    /// What it does now, or what it waits for.
    pub fn now_words(&self, now: UnixMillis, zone: Zone) -> String {
        if let Some(since) = self.stop_requested_at {
            let gone = format::duration(since.until(now));
            return match self.stop_deadline_at {
                Some(end) => format!("{gone} of {}", format::duration(since.until(end))),
                None => format!("for {gone}"),
            };
        }
        if let Some(question) = &self.question {
            return question.clone();
        }
        if let Some(halted) = &self.halted {
            return halted.short(zone);
        }
        match (self.status, self.due_at) {
            (RunStatus::ScheduledRetry, Some(due)) => {
                let at = format::clock_minutes(due, zone);
                match &self.waits_for {
                    Some(what) => format!("{what} to {at}"),
                    None => format!("retry at {at}"),
                }
            }
            (RunStatus::Queued | RunStatus::ScheduledRetry, _) => {
                self.waits_for.clone().unwrap_or_else(|| "waits its turn".to_owned())
            }
            _ => self.doing.clone().or_else(|| self.step.clone()).unwrap_or_else(|| "–".to_owned()),
        }
    }

    /// How it ended, and whether the words tell of something bad.
    pub fn outcome_words(&self) -> (String, bool) {
        let code = || self.error_code.as_deref().map(|c| c.replace('_', " "));
        match self.status {
            RunStatus::Succeeded => (self.outcome.clone().unwrap_or_else(|| "–".to_owned()), false),
            RunStatus::Cancelled => match self.stop_reason.as_deref().or(self.error_code.as_deref()) {
                Some("operator") => ("by operator".to_owned(), false),
                Some(other) => (other.replace('_', " "), false),
                None => ("–".to_owned(), false),
            },
            RunStatus::TimedOut => match self.limit_ms {
                Some(ms) => (format!("{} limit", format::duration(ms)), true),
                None => ("time limit".to_owned(), true),
            },
            _ => {
                if let Some(signal) = &self.signal {
                    return (code().map_or_else(|| signal.clone(), |c| format!("{signal}, {c}")), true);
                }
                match (code(), self.exit_code) {
                    (Some(code), _) => (code, true),
                    (None, Some(exit)) => (format!("exit {exit}"), true),
                    (None, None) => (self.outcome.clone().unwrap_or_else(|| "–".to_owned()), true),
                }
            }
        }
    }

    /// Since it was asked for, or since it runs.
    pub fn age_ms(&self, now: UnixMillis) -> i64 {
        self.started_at.unwrap_or(self.queued_at).until(now)
    }

    /// How long an ended one took, when it had begun.
    pub fn took_ms(&self) -> Option<i64> {
        Some(self.started_at?.until(self.finished_at?))
    }

    /// Since the last byte, while a process may print.
    pub fn silent_ms(&self, now: UnixMillis) -> Option<i64> {
        if self.is_running() { self.last_output_at.map(|at| at.until(now)) } else { None }
    }
}
