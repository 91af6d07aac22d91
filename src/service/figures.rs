//! What the processes of services take: processor and memory, each start found by the directory of its shim.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use wharf_model::ServiceId;

use crate::dispatch::perform::shim_dir;
use crate::process::usage::{Processes, Sample, Usage, between};

/// One start of a service: its id and its generation.
pub type Start = (ServiceId, u32);

/// Looks at the processes of these starts; those that no shim keeps, or that may not be seen, are left out.
///
/// # Errors
/// What the kernel says when processes cannot be read.
pub fn samples(data: &Path, starts: &[Start]) -> io::Result<BTreeMap<Start, Sample>> {
    let processes = Processes::look()?;
    let sample = |start: &Start| {
        let dir = shim_dir("service", &start.0.text(), start.1)?;
        Some((*start, processes.sample(&data.join(dir))?))
    };
    Ok(starts.iter().filter_map(sample).collect())
}

/// What they take now, with the processor time of what lies between two looks.
pub fn usages(before: &BTreeMap<Start, Sample>, now: &BTreeMap<Start, Sample>) -> BTreeMap<Start, Usage> {
    now.iter().map(|(start, sample)| (*start, between(before.get(start), sample))).collect()
}

/// Looks twice, with a pause between, since one look tells no processor. Nothing to look at takes no time; what
/// cannot be looked at is not known, which is not nothing.
pub fn measure(data: &Path, starts: &[Start], pause: Duration) -> BTreeMap<ServiceId, Usage> {
    let look = || match samples(data, starts) {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "processes cannot be read; services are not measured");
            BTreeMap::new()
        }
    };
    if starts.is_empty() {
        return BTreeMap::new();
    }
    let before = look();
    if before.is_empty() {
        return BTreeMap::new();
    }
    std::thread::sleep(pause);
    usages(&before, &look()).into_iter().map(|(start, usage)| (start.0, usage)).collect()
}

#[cfg(test)]
mod tests {
    use wharf_model::shim::ProcessRef;

    use super::*;

    fn sample(at_ms: u64, cpu_ms: u64, pid: i32) -> Sample {
        let shim = ProcessRef { pid, start_ticks: 5 };
        Sample { at_ms, shim, cpu_ms, memory_bytes: 1 << 20, is_fair: true, processes: 2, uptime_ms: Some(9) }
    }

    #[test]
    fn a_start_seen_once_has_memory_and_no_processor() {
        let start = |n: u128| (ServiceId(uuid::Uuid::from_u128(n)), 1);
        let before = BTreeMap::from([(start(1), sample(1_000, 100, 7)), (start(3), sample(1_000, 100, 9))]);
        let now = BTreeMap::from([(start(1), sample(1_500, 350, 7)), (start(2), sample(1_500, 400, 8))]);
        let usages = usages(&before, &now);
        assert_eq!(usages[&start(1)].cpu_permille, Some(500));
        assert_eq!((usages[&start(2)].cpu_permille, usages[&start(2)].memory_bytes), (None, 1 << 20));
        assert!(!usages.contains_key(&start(3)), "it has ended between the looks");
    }

    #[test]
    fn what_no_shim_keeps_is_not_waited_for() {
        let data = tempfile::tempdir().unwrap();
        let start = (ServiceId(uuid::Uuid::from_u128(1)), 1);
        assert!(measure(data.path(), &[start], Duration::from_hours(1)).is_empty());
    }
}
