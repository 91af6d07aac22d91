//! Caps of a sandbox: control groups that hold everything that runs in it, else what a process can cap itself.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;
use wharf_model::config::driver::SandboxLimits;
use wharf_model::shim::{LimitsReport, limit};

use crate::environment::driver::Check;
use crate::process::cgroup::{self, Cap, Groups, PROCESSORS};
use crate::process::terminate;

/// How the caps of one sandbox are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Control groups that everything in it enters.
    pub groups: Vec<String>,
    /// Processes that its user may have inside, where no group counts them.
    pub own_processes: Option<u64>,
    /// Bytes of data of each process, where no group counts all of them.
    pub own_data_bytes: Option<u64>,
    /// Caps that are kept, and by what.
    pub kept: BTreeMap<&'static str, String>,
    /// Caps that are not kept as they were asked, and why.
    pub not_kept: BTreeMap<&'static str, String>,
}

fn asked(limits: &SandboxLimits) -> (BTreeMap<String, u64>, Vec<Cap>) {
    let thousandths = limits.cpus.map(|cpus| (cpus * 1_000.0).round().max(1.0) as u64);
    let all = [
        (limit::MEMORY, limits.memory_bytes, Cap::Memory),
        (limit::PROCESSES, limits.processes, Cap::Processes),
        (PROCESSORS, thousandths, Cap::Processors),
    ];
    let (mut values, mut caps) = (BTreeMap::new(), Vec::new());
    for (name, value, cap) in all {
        if let Some(value) = value {
            values.insert(name.to_owned(), value);
            caps.push(cap);
        }
    }
    (values, caps)
}

fn groups(place: Uuid, limits: &SandboxLimits) -> Option<Groups> {
    let (values, caps) = asked(limits);
    let name = cgroup::lease_name(&place.to_string());
    (!caps.is_empty()).then(|| Groups::at(&name, &values, cgroup::places(None, &caps)).kept())
}

/// Makes the groups of a sandbox, or takes those that are there.
pub fn ensure(place: Uuid, limits: &SandboxLimits) -> Kept {
    let Some(mut groups) = groups(place, limits) else { return Kept::default() };
    groups.make();
    let paths = groups.paths().into_iter().filter(|dir| std::path::Path::new(dir).is_dir()).collect();
    judge(limits, paths, groups.report().unwrap_or_default())
}

fn judge(limits: &SandboxLimits, groups: Vec<String>, report: LimitsReport) -> Kept {
    let mut kept = Kept { groups, ..Kept::default() };
    let by = report.by.unwrap_or_else(|| "control group".into());
    for (name, config) in [(limit::MEMORY, "memory"), (limit::PROCESSES, "processes"), (PROCESSORS, "cpus")] {
        if !report.asked.contains_key(name) {
            continue;
        }
        match report.unenforced.get(name) {
            None => drop(kept.kept.insert(config, by.clone())),
            // The kernel counts processes of root against no such cap.
            Some(why) if config == "processes" && !rustix::process::geteuid().is_root() => {
                kept.own_processes = limits.processes;
                kept.not_kept.insert(config, format!("for each command, not for all together: {why}"));
            }
            Some(why) if config == "memory" => {
                kept.own_data_bytes = limits.memory_bytes;
                kept.not_kept.insert(config, format!("for each process, not for all together: {why}"));
            }
            Some(why) => drop(kept.not_kept.insert(config, format!("not at all: {why}"))),
        }
    }
    kept
}

/// Ends what still runs in the groups of a sandbox; names those that live on. Blocks for at most `grace` and
/// a few seconds.
///
/// # Errors
/// What the kernel says: it is then unknown what runs.
pub fn end(place: Uuid, grace: Duration, known: &[String]) -> std::io::Result<Vec<String>> {
    let named = named(place, known);
    if named.is_empty() {
        return Ok(Vec::new());
    }
    // Nothing carries this tag; the groups are what counts.
    terminate::all_of(&format!("sandbox/{place}"), &named, None, grace, &[]).map(|done| done.survivors)
}

/// Removes the groups of a sandbox; names those that stay.
pub fn remove(place: Uuid, known: &[String]) -> Vec<String> {
    named(place, known).remove()
}

/// Those that were told when they were made, and those that would be made now.
fn named(place: Uuid, known: &[String]) -> cgroup::Named {
    let all = SandboxLimits { memory_bytes: Some(1 << 30), processes: Some(1), cpus: Some(1.0) };
    let mut paths = groups(place, &all).map(|groups| groups.paths()).unwrap_or_default();
    paths.extend(known.iter().cloned());
    paths.sort_unstable();
    paths.dedup();
    cgroup::of_lease(&paths, &cgroup::lease_name(&place.to_string()))
}

/// Whether caps can be kept, tried with groups of their own that are gone afterwards.
pub fn checks(limits: &SandboxLimits) -> Vec<Check> {
    let place = Uuid::now_v7();
    let kept = ensure(place, limits);
    remove(place, &kept.groups);
    let mut all: Vec<Check> =
        kept.kept.iter().map(|(name, by)| Check::ok("limits", format!("{name} is kept by {by}"))).collect();
    all.extend(kept.not_kept.iter().map(|(name, why)| {
        let hint = "run wharf in a service with Delegate=yes, or remove the limit";
        Check::warn("limits", format!("{name} is kept {why}"), hint)
    }));
    all
}
