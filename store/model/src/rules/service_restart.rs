//! What follows when a service's process has ended without anybody having asked for it: again, after a pause, or parked.

use serde_json::Value;

use crate::config::{RestartConfig, RestartPolicy, ServiceConfig};
use crate::*;

/// Code of a service whose restarts are used up: it is parked until somebody starts it by hand.
pub const CRASH_LOOP: &str = "service_crash_loop";
/// What stands between why a parked service is parked and what its last start came to.
pub const AT_LAST: &str = "; at last: ";
/// Longest pause that doubling leads to, in milliseconds; a longer `backoff` of the config stays as it is.
pub const BACKOFF_MAX_MS: i64 = 60_000;

/// How a start of a service came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// It ended with exit code 0, after it had been ready.
    pub clean: bool,
    /// It had never been ready.
    pub before_ready: bool,
    /// A process of it ran, or what kept it from running may pass: a port that is taken, a service it needs.
    pub may_pass: bool,
    /// Its command ended, and nobody had asked it to; else it was stopped, or never began.
    pub by_itself: bool,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The policy has nothing to say: it stays as it ended.
    Stays,
    /// It is started again at this moment.
    Again {
        /// When.
        at: UnixMillis,
        /// Earlier restarts that still count.
        counted: Vec<UnixMillis>,
    },
    /// Its restarts are used up.
    Parked {
        /// Earlier restarts that count.
        counted: Vec<UnixMillis>,
        /// In words, without what the last one ended with.
        reason: String,
    },
}

/// The rules under which a service is restarted: its config's, and always where it is meant to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Policy, pause and budget.
    pub restart: RestartConfig,
    /// Whether it is meant to run, whatever the policy says.
    pub kept: bool,
}

impl Rules {
    /// Those of a row. One that belongs to a run is never kept beyond what its policy says.
    pub fn of(service: &ServiceRow) -> Self {
        let restart = serde_json::from_value::<ServiceConfig>(service.config.clone()).map(|c| c.restart);
        Self { restart: restart.unwrap_or_default(), kept: super::service_desired::is_kept(service) }
    }

    /// Whether one that ended like this is started again, as long as its budget lasts.
    pub const fn again(&self, ending: &Ending) -> bool {
        if self.kept {
            return true;
        }
        match self.restart.policy {
            RestartPolicy::Never => false,
            RestartPolicy::OnFailure => !ending.clean && ending.may_pass,
            RestartPolicy::Always => ending.may_pass,
        }
    }

    /// Whether one that does not answer any more is stopped and started again.
    pub const fn heals(&self) -> bool {
        !matches!(self.restart.policy, RestartPolicy::Never)
    }

    /// Restarts that count at a moment: those within the time of the budget.
    pub fn within(&self, restarts: &[UnixMillis], now: UnixMillis) -> Vec<UnixMillis> {
        let from = now.plus(-span(self.restart.within_ms));
        // One in the future was before the clock was set back: it counts.
        restarts.iter().copied().filter(|at| *at > from).collect()
    }

    /// What follows. Restarts since it was last ready count whenever they were: so nobody waits for ever for one
    /// that fails slowly.
    pub fn next(&self, ending: &Ending, restarts: &[UnixMillis], now: UnixMillis) -> Next {
        if !self.again(ending) {
            return Next::Stays;
        }
        let counted = if ending.before_ready { restarts.to_vec() } else { self.within(restarts, now) };
        let max = self.restart.max as usize;
        if counted.len() >= max {
            let within = words(self.took(&counted, now));
            let ends = counted.len() + 1;
            let what = if ending.by_itself { "the command ended" } else { "it failed" };
            let reason = format!("{what} {ends} times within {within}, restarts are used up");
            return Next::Parked { counted, reason };
        }
        let at = now.plus(self.pause_ms(counted.len()));
        Next::Again { at, counted }
    }

    /// The time within which all that came to the end that counts: the budget's, or as long as it really took where
    /// none of them became ready.
    fn took(&self, counted: &[UnixMillis], now: UnixMillis) -> i64 {
        let within = span(self.restart.within_ms);
        let took = counted.first().map_or(0, |first| first.until(now).saturating_add(self.pause_ms(0)));
        if took <= within { within } else { (took + 999) / 1000 * 1000 }
    }

    /// Pause before the next restart after so many: it doubles, up to [`BACKOFF_MAX_MS`].
    pub fn pause_ms(&self, restarts: usize) -> i64 {
        let first = span(self.restart.backoff_ms);
        let doubled = first.saturating_mul(1 << restarts.min(32));
        doubled.min(BACKOFF_MAX_MS.max(first))
    }
}

fn span(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

/// Restarts as they stand in a row.
pub fn times(value: Option<&Value>) -> Vec<UnixMillis> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_i64).map(UnixMillis).collect()
}

/// Restarts as they are written to a row; none when there are none.
pub fn to_row(times: &[UnixMillis]) -> Option<Value> {
    (!times.is_empty()).then(|| times.iter().map(|at| at.0).collect())
}

/// Whether its restarts are used up, so that only somebody's own order starts it again.
pub fn is_parked(service: &ServiceRow) -> bool {
    service.status == ServiceStatus::Failed && service.error_code.as_deref() == Some(CRASH_LOOP)
}

/// A span of time in the words of the config: `60s`, `10m`, `2h`.
fn words(ms: i64) -> String {
    match ms {
        ms if ms % 3_600_000 == 0 && ms > 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 && ms > 60_000 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CRASH: Ending = Ending { clean: false, before_ready: false, may_pass: true, by_itself: true };
    const CLEAN: Ending = Ending { clean: true, ..CRASH };
    const EARLY: Ending = Ending { before_ready: true, ..CRASH };
    const NOWHERE: Ending = Ending { may_pass: false, ..EARLY };

    fn rules(policy: RestartPolicy, max: u32, kept: bool) -> Rules {
        Rules { restart: RestartConfig { policy, backoff_ms: 1_000, max, within_ms: 60_000 }, kept }
    }

    #[test]
    fn which_endings_are_followed_by_a_restart() {
        use RestartPolicy::*;
        let table = [
            (Never, false, [false, false, false, false]),
            (OnFailure, false, [true, false, true, false]),
            (Always, false, [true, true, true, false]),
            // Meant to run: as long as the budget lasts, whatever ends it.
            (Never, true, [true, true, true, true]),
            (OnFailure, true, [true, true, true, true]),
            (Always, true, [true, true, true, true]),
        ];
        for (policy, kept, expected) in table {
            let rules = rules(policy, 3, kept);
            assert_eq!([CRASH, CLEAN, EARLY, NOWHERE].map(|e| rules.again(&e)), expected, "{policy} {kept}");
        }
        assert_eq!([Never, OnFailure, Always].map(|p| rules(p, 3, true).heals()), [false, true, true]);
    }

    #[test]
    fn pauses_double_and_have_an_end() {
        let of = |backoff_ms, n| {
            let restart = RestartConfig { backoff_ms, ..RestartConfig::default() };
            Rules { restart, kept: false }.pause_ms(n)
        };
        let table = [(0, 1_000), (1, 2_000), (2, 4_000), (5, 32_000), (6, 60_000), (900, 60_000)];
        for (restarts, pause) in table {
            assert_eq!(of(1_000, restarts), pause, "{restarts}");
        }
        assert_eq!((of(300_000, 0), of(300_000, 9)), (300_000, 300_000), "a longer one of the config stays");
        assert_eq!(of(u64::MAX, 60), i64::MAX / 4);
    }

    #[test]
    fn the_budget_is_spent_and_says_so() {
        let rules = rules(RestartPolicy::OnFailure, 2, false);
        let at = |s: i64| UnixMillis(s * 1000);
        assert_eq!(rules.next(&CRASH, &[], at(0)), Next::Again { at: at(1), counted: vec![] });
        assert_eq!(rules.next(&CRASH, &[at(1)], at(5)), Next::Again { at: at(7), counted: vec![at(1)] });
        let parked = rules.next(&CRASH, &[at(1), at(7)], at(9));
        let reason = "the command ended 3 times within 60s, restarts are used up".to_owned();
        assert_eq!(parked, Next::Parked { counted: vec![at(1), at(7)], reason });
        // What was long ago does not count, unless it has not been ready since.
        assert_eq!(rules.next(&CRASH, &[at(1), at(7)], at(62)), Next::Again { at: at(64), counted: vec![at(7)] });
        assert!(matches!(rules.next(&EARLY, &[at(1), at(7)], at(1_000)), Next::Parked { .. }));
        assert_eq!(rules.next(&CLEAN, &[], at(0)), Next::Stays);
    }

    #[test]
    fn why_it_is_parked_is_true() {
        let rules = rules(RestartPolicy::OnFailure, 2, false);
        let at = |s: i64| UnixMillis(s * 1000);
        let stopped = Ending { by_itself: false, ..EARLY };
        let table = [
            (CRASH, 9, "the command ended 3 times within 60s, restarts are used up"),
            (stopped, 9, "it failed 3 times within 60s, restarts are used up"),
            // A start may take longer than the time over which restarts are counted.
            (EARLY, 126, "the command ended 3 times within 126s, restarts are used up"),
            (stopped, 126, "it failed 3 times within 126s, restarts are used up"),
        ];
        for (ending, now, expected) in table {
            let parked = rules.next(&ending, &[at(1), at(7)], at(now));
            assert!(matches!(&parked, Next::Parked { reason, .. } if reason == expected), "{now}: {parked:?}");
        }
    }

    #[test]
    fn spans_in_words() {
        let table = [(60_000, "60s"), (600_000, "10m"), (3_600_000, "1h"), (90_000, "90s"), (1_500, "1500ms")];
        for (ms, expected) in table {
            assert_eq!(words(ms), expected);
        }
    }

    #[test]
    fn times_go_into_a_row_and_back() {
        let some = vec![UnixMillis(1), UnixMillis(5)];
        assert_eq!(times(to_row(&some).as_ref()), some);
        assert_eq!((to_row(&[]), times(None)), (None, vec![]));
    }

    proptest! {
        /// However a service ends, no stretch of the budget's length holds more restarts than the budget, and a
        /// row of starts that never became ready has an end.
        #[test]
        fn no_history_goes_beyond_the_budget(
            max in 1_u32..6,
            ends in proptest::collection::vec((0_i64..40_000, any::<bool>(), any::<bool>()), 1..60),
        ) {
            let rules = rules(RestartPolicy::Always, max, false);
            let (mut now, mut restarts, mut all) = (UnixMillis(0), Vec::new(), Vec::<UnixMillis>::new());
            let mut early = 0;
            for (lived, before_ready, clean) in ends {
                now = now.plus(lived);
                let ending = Ending { clean: clean && !before_ready, before_ready, may_pass: true, by_itself: true };
                early = if before_ready { early + 1 } else { 0 };
                match rules.next(&ending, &restarts, now) {
                    Next::Stays => prop_assert!(false, "always means always"),
                    Next::Parked { counted, .. } => {
                        prop_assert!(counted.len() >= max as usize);
                        return Ok(());
                    }
                    Next::Again { at, counted } => {
                        prop_assert!(at > now && at <= now.plus(BACKOFF_MAX_MS));
                        prop_assert!(early <= max, "started {early} times in vain");
                        now = at;
                        restarts = counted;
                        restarts.push(now);
                        all.push(now);
                    }
                }
                let within = all.iter().filter(|at| **at > now.plus(-60_000)).count();
                prop_assert!(within <= max as usize, "{within} restarts within the time of {max}");
            }
        }
    }
}
