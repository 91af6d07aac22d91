//! Which numbers the kernel can have given to processes that are younger than one.
//!
//! Numbers are given out one after another and begin again at the largest. Within a time in which
//! the kernel cannot have gone all the way round, those after a process's own and up to the last one
//! given are the only ones that younger processes have.

use rustix::time::{ClockId, clock_gettime};
use wharf_model::shim::ProcessRef;

/// Length of a kernel tick as `/proc` counts them.
const TICK_MS: u64 = 10;
/// More processes and threads than any machine makes in a millisecond.
const MADE_IN_A_MS: u64 = 500;

/// Numbers of younger processes: behind `first`, up to `last`, round the end if need be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Younger {
    first: i32,
    last: i32,
}

impl Younger {
    /// For processes younger than `first`, as of now; `None` when the kernel may have gone round, or
    /// does not say. To be asked after the numbers were listed.
    pub fn than(first: ProcessRef) -> Option<Self> {
        let time = clock_gettime(ClockId::Boottime);
        let now_ms = u64::try_from(time.tv_sec).ok()? * 1_000 + u64::try_from(time.tv_nsec).ok()? / 1_000_000;
        let age_ms = now_ms.checked_sub(first.start_ticks * TICK_MS)? + TICK_MS;
        let last = last_field("/proc/loadavg")?;
        let most = last_field("/proc/sys/kernel/pid_max")?;
        may_tell(age_ms, u64::try_from(most).ok()?).then_some(Self { first: first.pid, last })
    }

    /// Whether a younger process can have this number.
    pub fn may_have(self, pid: i32) -> bool {
        if self.first <= self.last {
            pid > self.first && pid <= self.last
        } else {
            pid > self.first || pid <= self.last
        }
    }
}

fn may_tell(age_ms: u64, most: u64) -> bool {
    age_ms.saturating_mul(MADE_IN_A_MS) < most
}

fn last_field(path: &str) -> Option<i32> {
    std::fs::read_to_string(path).ok()?.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::identity;

    #[test]
    fn the_range_goes_round_the_end() {
        let straight = Younger { first: 10, last: 20 };
        assert_eq!([9, 10, 11, 20, 21].map(|p| straight.may_have(p)), [false, false, true, true, false]);
        let round = Younger { first: 32_000, last: 300 };
        assert_eq!([301, 300, 2, 32_000, 32_001].map(|p| round.may_have(p)), [false, true, true, false, true]);
        assert!(may_tell(60, 32_768) && !may_tell(70, 32_768) && may_tell(8_000, 4_194_304));
    }

    #[test]
    fn a_child_has_a_younger_number_and_an_old_process_tells_nothing() {
        let me = identity::this_process().unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let now = identity::child(child.id().cast_signed()).unwrap().unwrap();
        let mut grandchild = std::process::Command::new("true").spawn().unwrap();
        // A machine under load may take so long that nothing can be told any more.
        if let Some(younger) = Younger::than(ProcessRef { pid: now.pid, start_ticks: now.start_ticks }) {
            assert!(younger.may_have(grandchild.id().cast_signed()));
            assert!(!younger.may_have(child.id().cast_signed()));
        }
        assert_eq!(Younger::than(ProcessRef { start_ticks: 0, ..me }), None);
        child.kill().unwrap();
        child.wait().unwrap();
        grandchild.wait().unwrap();
    }
}
