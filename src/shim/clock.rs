//! The three clocks of a shim. Deadlines are awake time, frames carry boot time, and wall time
//! stands in records only.

use rustix::time::{ClockId, clock_gettime};

/// Wall clock against boot clock may drift by this much before it counts as a step.
const STEP_MS: i64 = 2_000;
/// Boot clock against awake clock: a longer gap is a suspend.
const SUSPEND_MS: i64 = 5_000;

/// Awake nanoseconds: the clock of deadlines; stands still while the machine sleeps.
pub fn awake_ns() -> u64 {
    nanos(ClockId::Monotonic)
}

/// Boot nanoseconds: runs on while the machine sleeps.
pub fn boot_ns() -> u64 {
    nanos(ClockId::Boottime)
}

/// Wall time, milliseconds since 1970.
pub fn wall_ms() -> i64 {
    let t = clock_gettime(ClockId::Realtime);
    t.tv_sec.saturating_mul(1000).saturating_add(t.tv_nsec / 1_000_000)
}

/// Milliseconds as nanoseconds.
pub const fn ms(milliseconds: u64) -> u64 {
    milliseconds.saturating_mul(1_000_000)
}

fn nanos(id: ClockId) -> u64 {
    let t = clock_gettime(id);
    (t.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(t.tv_nsec as u64)
}

/// Notices steps of the wall clock and suspends by comparing the clocks from time to time.
#[derive(Debug)]
pub struct StepWatch {
    wall_minus_boot: i64,
    boot_minus_awake: i64,
}

/// A step that was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Milliseconds that the wall clock jumped; negative when it went back.
    pub wall_ms: i64,
    /// Milliseconds that the machine slept.
    pub slept_ms: i64,
}

impl StepWatch {
    /// Begins with the clocks as they are.
    pub fn new() -> Self {
        let (wall_minus_boot, boot_minus_awake) = Self::read();
        Self { wall_minus_boot, boot_minus_awake }
    }

    /// Compares again.
    pub fn look(&mut self) -> Option<Step> {
        let (wall, slept) = Self::read();
        let step = Step { wall_ms: wall - self.wall_minus_boot, slept_ms: slept - self.boot_minus_awake };
        if step.wall_ms.abs() <= STEP_MS && step.slept_ms <= SUSPEND_MS {
            return None;
        }
        (self.wall_minus_boot, self.boot_minus_awake) = (wall, slept);
        Some(step)
    }

    fn read() -> (i64, i64) {
        let boot = (boot_ns() / 1_000_000) as i64;
        (wall_ms() - boot, boot - (awake_ns() / 1_000_000) as i64)
    }
}
