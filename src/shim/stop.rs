//! Ending the child and all that it left: ask, wait, kill, until nothing lives.

use serde_json::json;
use wharf_model::shim::{ControlReply, EndedBy};

use super::clock;
use super::pump::Missed;
use super::terminal::Terminal;
use super::tree::signal_each;
use super::{Life, Shim};
use crate::process::kill_point::kill_point;
use crate::process::reap::Ended;
use crate::process::signal::{self, Signal};
use crate::process::stat::ProcStat;

/// Time in which streams may close by themselves once the child has ended.
const QUIET_NS: u64 = clock::ms(200);
/// Time between two looks at the process table while something is left.
const LOOK_NS: u64 = clock::ms(40);
/// Time between two passes of SIGKILL.
const KILL_LOOK_NS: u64 = clock::ms(5);
/// Time in which processes must be gone once SIGKILL was sent; one that is stuck in the kernel is
/// then recorded as a survivor.
const KILL_LIMIT_NS: u64 = clock::ms(5_000);
/// Time that the last bytes of an ended child may wait for room on the disk.
const DRAIN_LIMIT_NS: u64 = clock::ms(300_000);

/// A stop that was asked for.
#[derive(Debug)]
pub struct Stop {
    /// First reason given.
    pub reason: String,
    /// Who asked.
    pub by: EndedBy,
    /// Wall time, milliseconds.
    pub asked_ms: i64,
    /// Whether the first signal reached a child that still lived.
    pub delivered: bool,
    /// When SIGKILL follows, awake nanoseconds.
    kill_at: u64,
    killing_since: Option<u64>,
    next_pass: u64,
}

/// After the child's end: what it left is waited for, asked, killed.
#[derive(Debug)]
pub struct Clearing {
    /// How the child ended.
    pub ended: Ended,
    /// Wall time of its end, milliseconds.
    pub ended_ms: i64,
    ended_at: u64,
    next_look: u64,
    asked: bool,
    asked_ms: Option<i64>,
    kill_at: Option<u64>,
    killing_since: Option<u64>,
    /// Since when something lives that cannot be seen.
    hidden_since: Option<u64>,
    /// When nothing was left any more.
    tree_gone_at: Option<u64>,
}

impl Clearing {
    /// Begins when the child's end is seen.
    pub fn new(ended: Ended, now: u64) -> Self {
        Self {
            ended,
            ended_ms: clock::wall_ms(),
            ended_at: now,
            next_look: now,
            asked: false,
            asked_ms: None,
            kill_at: None,
            killing_since: None,
            hidden_since: None,
            tree_gone_at: None,
        }
    }

    /// Wall time at which leftover processes were asked to end.
    pub fn asked_ms(&self) -> Option<i64> {
        self.asked_ms
    }

    /// Looks at once: something below has changed.
    pub fn look_now(&mut self) {
        self.next_look = 0;
    }
}

impl Shim {
    /// Asks the child to end and kills it after the grace. A repeated stop shortens the time that
    /// is left and never lengthens it.
    pub(super) fn ask_stop(&mut self, reason: &str, grace_ms: u64, by: EndedBy) {
        let now = clock::awake_ns();
        let kill_at = now.saturating_add(clock::ms(grace_ms));
        if let Some(stop) = &mut self.stop {
            if kill_at < stop.kill_at {
                stop.kill_at = kill_at;
                self.journal.control(&json!({
                    "t": "stop_requested", "reason": reason, "grace_ms": grace_ms, "by": by.as_str(), "shortened": true,
                }));
            }
        } else if matches!(self.life, Life::Running | Life::Clearing(_)) {
            let asked_ms = clock::wall_ms();
            self.journal.control(&json!({
                "t": "stop_requested", "reason": reason, "grace_ms": grace_ms, "by": by.as_str(), "asked_ms": asked_ms,
            }));
            kill_point("shim.stop_recorded");
            let delivered = matches!(self.life, Life::Running)
                && matches!(self.tree.look_at_child(), Ok(None))
                && self.signal_first();
            self.stop = Some(Stop {
                reason: reason.to_owned(),
                by,
                asked_ms,
                delivered,
                kill_at,
                killing_since: None,
                next_pass: 0,
            });
            kill_point("shim.term_sent");
        }
        if let (Life::Clearing(clearing), Some(stop)) = (&mut self.life, &self.stop) {
            clearing.kill_at = clearing.kill_at.map(|at| at.min(stop.kill_at));
            clearing.look_now();
        }
    }

    /// The signal of the spec, and SIGCONT so that a stopped process can act on it.
    fn signal_first(&mut self) -> bool {
        let wanted = self.spec.stop_signal.as_deref().and_then(signal::parse).unwrap_or(Signal::TERM);
        let reached = self.tree.signal_group(wanted).unwrap_or(false);
        let _ = self.tree.signal_group(Signal::CONT);
        let name = signal::name(wanted.as_raw());
        self.journal.control(&json!({"t": "signal_sent", "signal": name, "why": "stop", "reached": reached}));
        reached
    }

    /// Deadlines of a child that runs.
    pub(super) fn tick_running(&mut self, now: u64) {
        if self.deadline.is_some_and(|at| now >= at) {
            self.deadline = None;
            self.ask_stop("timeout", self.spec.grace_ms, EndedBy::Timeout);
        }
        let Some(stop) = &mut self.stop else { return };
        if now < stop.kill_at || now < stop.next_pass {
            return;
        }
        let first = stop.killing_since.is_none();
        let since = *stop.killing_since.get_or_insert(now);
        // A child stuck in the kernel is killed on and on, only less often: it is not over.
        stop.next_pass = now + if now - since > KILL_LIMIT_NS { clock::ms(1_000) } else { KILL_LOOK_NS };
        if first {
            self.journal.control(&json!({"t": "signal_sent", "signal": "SIGKILL", "why": "stop"}));
        }
        // What this pass could not see or reach, the next one will.
        let _ = self.tree.kill_pass();
        if first {
            kill_point("shim.kill_sent");
        }
    }

    /// When [`Shim::tick_running`] has something to do next.
    pub(super) fn running_due(&self) -> Option<u64> {
        let kill = self.stop.as_ref().map(|stop| stop.kill_at.max(stop.next_pass));
        let look = self.terminal.as_ref().filter(|_| self.pump.has_ended()).map(Terminal::next_look);
        [self.deadline, kill, look, self.halts.next_due()].into_iter().flatten().min()
    }

    /// What follows the child's end, until nothing lives and the streams are read out.
    pub(super) fn tick_clearing(&mut self, now: u64) {
        let Life::Clearing(clearing) = &self.life else { return };
        let quiet_over = now >= clearing.ended_at + QUIET_NS;
        let due = clearing.tree_gone_at.is_none() && now >= clearing.next_look;
        if self.pump.is_at_quota(&self.journal) {
            self.pump.discard(Missed::Quota);
        }
        if quiet_over && !self.leaky && !self.journal.is_blocked() && self.pump.is_held_open() {
            self.leaky = true;
            self.journal.control(&json!({"t": "leaky"}));
            self.push(&ControlReply::Leaky);
        }
        if due {
            self.clear(now, quiet_over);
        }
        let Life::Clearing(clearing) = &self.life else { return };
        let Some(gone_at) = clearing.tree_gone_at else { return };
        // Time alone is no reason: this process may have been stopped all the while.
        if now.saturating_sub(gone_at) > DRAIN_LIMIT_NS && (self.pump.has_pending() || self.journal.is_blocked()) {
            self.pump.discard(Missed::DiskFull);
        }
        // Records that wait for room do not hold this up: the reserve is given back for them.
        let drained = self.pump.is_finished();
        let held = quiet_over && !self.pump.has_pending() && !self.journal.is_blocked() && self.pump.is_held_open();
        // Someone outside the tree who writes without end must not keep the run alive either.
        let flooded = now.saturating_sub(gone_at) > KILL_LIMIT_NS
            && !self.pump.has_pending()
            && !self.journal.is_blocked()
            && self.pump.is_flooded();
        let given_up = self.pump.is_discarding() && now.saturating_sub(gone_at) > DRAIN_LIMIT_NS + KILL_LIMIT_NS;
        if drained || held || flooded || given_up {
            self.begin_record(now);
        }
    }

    /// Looks what is left and does the next step of the stop rule.
    fn clear(&mut self, now: u64, quiet_over: bool) {
        // A look that failed is no empty tree; the next one may succeed.
        let left = self.tree.left();
        let stop_kill_at = self.stop.as_ref().map(|stop| stop.kill_at);
        let Life::Clearing(clearing) = &mut self.life else { return };
        let kill_at = [clearing.kill_at, stop_kill_at].into_iter().flatten().min();
        clearing.next_look = kill_at.filter(|at| *at > now).map_or(now + LOOK_NS, |at| at.min(now + LOOK_NS));
        let Ok(left) = left else { return };
        if left.is_empty() {
            if self.tree.reap_child().unwrap_or(false) {
                clearing.tree_gone_at = Some(now);
                self.pump.count_from_now();
            } else if now - *clearing.hidden_since.get_or_insert(now) > clock::ms(self.spec.grace_ms) + KILL_LIMIT_NS {
                // Another user's, on a machine that hides those: it can be neither named nor ended.
                self.survivors = vec!["(hidden)".to_owned()];
                clearing.tree_gone_at = Some(now);
                self.pump.count_from_now();
            }
            return;
        }
        clearing.hidden_since = None;
        if kill_at.is_some_and(|at| now >= at) {
            self.kill_left(now, &left);
        } else if quiet_over && !clearing.asked {
            clearing.asked = true;
            clearing.asked_ms = Some(clock::wall_ms());
            let at = now.saturating_add(clock::ms(self.spec.grace_ms));
            clearing.kill_at = Some(stop_kill_at.map_or(at, |stop| stop.min(at)));
            let reached = signal_each(&left, Signal::TERM);
            signal_each(&left, Signal::CONT);
            self.journal.control(&json!({
                "t": "signal_sent", "signal": "SIGTERM", "why": "leftover", "processes": reached, "names": comms(&left),
            }));
        }
    }

    fn kill_left(&mut self, now: u64, left: &[ProcStat]) {
        let Life::Clearing(clearing) = &mut self.life else { return };
        clearing.next_look = now + KILL_LOOK_NS;
        let first = clearing.killing_since.is_none();
        let since = *clearing.killing_since.get_or_insert(now);
        if now - since > KILL_LIMIT_NS {
            // Stuck in the kernel, or of another user: recorded, since waiting would never end.
            self.survivors = comms(left);
            let _ = self.tree.reap_child();
            clearing.tree_gone_at = Some(now);
            self.pump.count_from_now();
            return;
        }
        if first {
            self.journal.control(&json!({
                "t": "signal_sent", "signal": "SIGKILL", "why": "leftover", "names": comms(left),
            }));
        }
        let _ = self.tree.kill_pass();
        if first {
            kill_point("shim.kill_sent");
        }
    }

    /// When [`Shim::tick_clearing`] has something to do next.
    pub(super) fn clearing_due(&self, now: u64) -> Option<u64> {
        let Life::Clearing(clearing) = &self.life else { return None };
        let quiet = clearing.ended_at + QUIET_NS;
        let look = match clearing.tree_gone_at {
            None => clearing.next_look,
            Some(_) if now < quiet => quiet,
            Some(_) => now + LOOK_NS,
        };
        Some(look)
    }
}

/// Command names, at most a few.
pub(super) fn comms(processes: &[ProcStat]) -> Vec<String> {
    processes.iter().take(32).map(|p| p.comm.clone()).collect()
}
