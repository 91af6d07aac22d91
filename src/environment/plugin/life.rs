//! The life of a worker as a table: which state follows what, when it may be started again, when it is given up.
//!
//! Pure: moments are milliseconds of a clock that only rises, chance is given.

use std::collections::VecDeque;

/// First pause after a crash; each further one doubles it.
pub const BACKOFF_FIRST_MS: u64 = 1_000;
/// Longest pause.
pub const BACKOFF_MAX_MS: u64 = 300_000;
/// Crashes after which it is given up: in a row, or within [`CRASH_WINDOW_MS`].
pub const CRASHES_MAX: u32 = 10;
/// Time over which crashes are counted.
pub const CRASH_WINDOW_MS: u64 = 600_000;
/// One that ran so long begins a new row: a start that goes well proves nothing.
pub const STEADY_MS: u64 = 60_000;

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does not run and nobody needs it.
    Stopped,
    /// Its process begins.
    Starting,
    /// It answers.
    Running {
        /// Since then.
        since: u64,
    },
    /// It was asked to end.
    Stopping,
    /// It has crashed and may be started again at once.
    Crashed,
    /// It has crashed, and is not started before this moment.
    Backoff {
        /// The moment.
        until: u64,
    },
    /// It is given up.
    Failed,
}

impl State {
    /// The state in a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running { .. } => "running",
            Self::Stopping => "stopping",
            Self::Crashed => "crashed",
            Self::Backoff { .. } => "backoff",
            Self::Failed => "failed",
        }
    }
}

/// What happens to a worker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// Its process is being started.
    Start,
    /// It has answered `initialize`.
    Ready,
    /// Its end was asked for.
    Stop,
    /// Its process ended.
    Ended {
        /// From 0 to 1: where in its range the pause lies.
        chance: f64,
    },
    /// The pause is over.
    Due,
    /// It is known to be mended: what was counted is forgotten.
    Mended,
}

/// A worker's state with what was counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Life {
    /// What it is doing.
    pub state: State,
    /// Crashes in a row.
    pub crashes: u32,
    recent: VecDeque<u64>,
}

impl Default for Life {
    fn default() -> Self {
        Self { state: State::Stopped, crashes: 0, recent: VecDeque::new() }
    }
}

impl Life {
    /// Takes what happened; false when that cannot happen in this state, and then nothing is changed.
    pub fn take(&mut self, event: Event, now: u64) -> bool {
        let next = match (self.state, event) {
            (State::Stopped | State::Crashed, Event::Start) => State::Starting,
            (State::Starting, Event::Ready) => State::Running { since: now },
            (State::Starting | State::Running { .. }, Event::Stop) => State::Stopping,
            (State::Crashed | State::Backoff { .. }, Event::Stop) | (State::Stopping, Event::Ended { .. }) => {
                State::Stopped
            }
            (State::Starting, Event::Ended { chance }) => self.crash(now, chance),
            (State::Running { since }, Event::Ended { chance }) => {
                if now.saturating_sub(since) >= STEADY_MS {
                    self.crashes = 0;
                }
                self.crash(now, chance)
            }
            (State::Backoff { until }, Event::Due) if now >= until => State::Crashed,
            (State::Failed | State::Backoff { .. } | State::Crashed | State::Stopped, Event::Mended) => {
                self.crashes = 0;
                self.recent.clear();
                State::Stopped
            }
            _ => return false,
        };
        self.state = next;
        true
    }

    fn crash(&mut self, now: u64, chance: f64) -> State {
        self.crashes = self.crashes.saturating_add(1);
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|at| now.saturating_sub(*at) > CRASH_WINDOW_MS) {
            self.recent.pop_front();
        }
        if self.crashes >= CRASHES_MAX || self.recent.len() >= CRASHES_MAX as usize {
            return State::Failed;
        }
        State::Backoff { until: now.saturating_add(pause(self.crashes, chance)) }
    }
}

/// Pause before the start that follows the `n`th crash in a row: 1 s · 2^(n-1), at most 5 min, a quarter more or less.
pub fn pause(n: u32, chance: f64) -> u64 {
    let doubled = BACKOFF_FIRST_MS.saturating_mul(1 << n.saturating_sub(1).min(20)).min(BACKOFF_MAX_MS);
    (doubled as f64 * (0.75 + 0.5 * chance.clamp(0.0, 1.0))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: Event = Event::Ended { chance: 0.5 };

    #[test]
    fn what_follows_what() {
        let running = State::Running { since: 5 };
        let table = [
            (State::Stopped, Event::Start, Some(State::Starting)),
            (State::Starting, Event::Ready, Some(State::Running { since: 7 })),
            (State::Starting, Event::Stop, Some(State::Stopping)),
            (running, Event::Stop, Some(State::Stopping)),
            (State::Stopping, MIDDLE, Some(State::Stopped)),
            (State::Starting, MIDDLE, Some(State::Backoff { until: 1_007 })),
            (running, MIDDLE, Some(State::Backoff { until: 1_007 })),
            (State::Backoff { until: 7 }, Event::Due, Some(State::Crashed)),
            (State::Backoff { until: 8 }, Event::Due, None),
            (State::Backoff { until: 8 }, Event::Start, None),
            (State::Crashed, Event::Start, Some(State::Starting)),
            (State::Failed, Event::Start, None),
            (State::Failed, Event::Due, None),
            (State::Failed, Event::Mended, Some(State::Stopped)),
            (State::Stopped, Event::Ready, None),
            (State::Stopped, MIDDLE, None),
            (running, Event::Start, None),
            (running, Event::Mended, None),
        ];
        for (from, event, to) in table {
            let mut life = Life { state: from, ..Life::default() };
            assert_eq!(life.take(event, 7).then_some(life.state), to, "{from:?} {event:?}");
        }
    }

    #[test]
    fn pauses_double_up_to_five_minutes_a_quarter_more_or_less() {
        let table = [(1, 0.5, 1_000), (2, 0.5, 2_000), (5, 0.5, 16_000), (9, 0.5, 256_000), (10, 0.5, 300_000)];
        for (n, chance, expected) in table {
            assert_eq!(pause(n, chance), expected);
            assert_eq!((pause(n, 0.0), pause(n, 1.0)), (expected * 3 / 4, expected * 5 / 4));
        }
        assert_eq!(pause(u32::MAX, 7.0), 375_000);
    }

    /// Runs a worker that lives so long after each start, started again as soon as it may; how often, and when it ended.
    fn crash_always(lives_ms: u64, answers: bool, chance: f64) -> (u32, u64) {
        let (mut life, mut now, mut starts) = (Life::default(), 0, 0);
        while life.state != State::Failed && starts < 1_000 {
            if let State::Backoff { until } = life.state {
                now = until;
                assert!(life.take(Event::Due, now));
            }
            assert!(life.take(Event::Start, now));
            starts += 1;
            if answers {
                assert!(life.take(Event::Ready, now));
            }
            now += lives_ms;
            assert!(life.take(Event::Ended { chance }, now));
        }
        (starts, now)
    }

    #[test]
    fn it_is_given_up_although_every_start_goes_well() {
        for chance in [0.0, 0.5, 1.0] {
            assert_eq!(crash_always(50, false, chance).0, CRASHES_MAX);
            assert_eq!(crash_always(50, true, chance).0, CRASHES_MAX);
            assert_eq!(crash_always(STEADY_MS - 1, true, chance).0, CRASHES_MAX);
        }
        assert_eq!(crash_always(STEADY_MS / 2, true, 0.5).0, CRASHES_MAX);
        assert!(crash_always(100, true, 1.0).1 > CRASH_WINDOW_MS, "in a row counts however long it took");
    }

    #[test]
    fn one_that_runs_well_for_a_while_is_started_again_for_ever() {
        assert_eq!(crash_always(STEADY_MS + 10_000, true, 0.5).0, 1_000);
    }
}
