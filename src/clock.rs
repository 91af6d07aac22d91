//! The one place that reads the clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use wharf_model::UnixMillis;

/// The wall clock may differ from the boot clock by this much between two readings.
const STEP_MS: i64 = 2_000;
/// The boot clock may differ from the awake clock by this much between two readings.
const SLEEP_MS: i64 = 5_000;
/// Readings are taken again when so much time passed within one.
const TORN_MS: i64 = 200;

/// Wall time now. Before 1970 counts as 1970.
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    UnixMillis(now.saturating_add(seam::offsets().0))
}

/// The three clocks at one moment, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What people read; may be set.
    pub wall: i64,
    /// Since the machine was started; runs on while it sleeps.
    pub boot: i64,
    /// Since the machine was started, without the time it slept.
    pub awake: i64,
}

/// Reads the three clocks.
pub fn read() -> Reading {
    let (_, slept) = seam::offsets();
    let mut reading = Reading { wall: 0, boot: 0, awake: 0 };
    // A process that is held between two clocks would see a jump that there was not.
    for _ in 0..5 {
        let before = millis(ClockId::Monotonic);
        let boot = millis(ClockId::Boottime) + slept;
        let wall = now().0;
        let awake = millis(ClockId::Monotonic);
        reading = Reading { wall, boot, awake };
        if awake - before < TORN_MS {
            break;
        }
    }
    reading
}

fn millis(id: ClockId) -> i64 {
    let t = clock_gettime(id);
    t.tv_sec.saturating_mul(1_000).saturating_add(t.tv_nsec / 1_000_000)
}

/// How the clocks moved against each other between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Milliseconds by which the wall clock was set forward, or back; 0 within the tolerance.
    pub step_ms: i64,
    /// Milliseconds that the machine slept; 0 within the tolerance.
    pub slept_ms: i64,
}

/// Compares two readings; none when the clocks went as they should.
pub fn compare(before: Reading, after: Reading) -> Option<Moved> {
    let slept = (after.boot - before.boot) - (after.awake - before.awake);
    let step = (after.wall - before.wall) - (after.boot - before.boot);
    let moved = Moved {
        step_ms: if step.abs() > STEP_MS { step } else { 0 },
        slept_ms: if slept > SLEEP_MS { slept } else { 0 },
    };
    (moved.step_ms != 0 || moved.slept_ms != 0).then_some(moved)
}

/// Clocks that a test may move, in builds with debug assertions only: the file named by
/// `WHARF_TEST_CLOCK` holds the milliseconds by which the wall clock is ahead, and those slept.
#[cfg(debug_assertions)]
mod seam {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    pub fn offsets() -> (i64, i64) {
        static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
        let Some(file) = FILE.get_or_init(|| std::env::var_os("WHARF_TEST_CLOCK").map(PathBuf::from)) else {
            return (0, 0);
        };
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let mut figures = text.split_whitespace().filter_map(|w| w.parse().ok());
        (figures.next().unwrap_or(0), figures.next().unwrap_or(0))
    }
}

#[cfg(not(debug_assertions))]
mod seam {
    pub const fn offsets() -> (i64, i64) {
        (0, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_sleeps_table() {
        let h = 3_600_000;
        let before = Reading { wall: 1_700_000_000_000, boot: 900_000, awake: 800_000 };
        let after = |passed: i64, step: i64, slept: i64| Reading {
            wall: before.wall + passed + slept + step,
            boot: before.boot + passed + slept,
            awake: before.awake + passed,
        };
        let table: [(&str, Reading, Option<(i64, i64)>); 9] = [
            ("time passes", after(60_000, 0, 0), None),
            ("time passes for long", after(100 * h, 0, 0), None),
            ("a slew within the tolerance", after(600_000, 1_900, 0), None),
            ("an hour on", after(10, h, 0), Some((h, 0))),
            ("an hour back", after(10, -h, 0), Some((-h, 0))),
            ("a nap", after(10, 0, 4_900), None),
            ("a night", after(10, 0, 8 * h), Some((0, 8 * h))),
            ("a night, and the clock was wrong", after(10, -3_000, 8 * h), Some((-3_000, 8 * h))),
            ("nothing", before, None),
        ];
        for (name, after, wanted) in table {
            let got = compare(before, after).map(|m| (m.step_ms, m.slept_ms));
            assert_eq!(got, wanted, "{name}");
        }
    }

    #[test]
    fn two_readings_in_a_row_show_no_jump() {
        assert_eq!(compare(read(), read()), None);
    }
}
