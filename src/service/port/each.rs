//! Who listens on several ports, with one look at the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{Owned, Process, held_by, listeners, process};

/// As [`super::owners_of`] for each of these ports; ports on which nobody listens have no entry.
///
/// # Errors
/// The kernel's tables, or the list of processes, cannot be read.
pub fn owners_of_each(ports: &[u16]) -> io::Result<BTreeMap<u16, Vec<Owned>>> {
    let mut found = Vec::new();
    for port in ports {
        found.extend(listeners(*port)?);
    }
    if found.is_empty() {
        return Ok(BTreeMap::new());
    }
    let wanted: BTreeSet<u64> = found.iter().map(|l| l.inode).collect();
    let mut holders: BTreeMap<u64, Vec<Process>> = BTreeMap::new();
    for pid in std::fs::read_dir("/proc")?.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok()) {
        for inode in held_by(pid, &wanted).unwrap_or_default() {
            holders.entry(inode).or_default().push(process(pid));
        }
    }
    let mut owned: BTreeMap<u16, Vec<Owned>> = BTreeMap::new();
    for listener in found {
        let mut processes = holders.get(&listener.inode).cloned().unwrap_or_default();
        processes.sort_by_key(|p| p.pid);
        owned.entry(listener.port).or_default().push(Owned { listener, processes });
    }
    Ok(owned)
}
