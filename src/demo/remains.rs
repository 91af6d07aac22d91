//! What of a demo still lives: processes found by their tags, and shims by their directories.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use wharf_store::Reader;
use wharf_store::view::{RunQuery, ServiceQuery};

use super::DemoError;
use crate::process::{descendants, stat, terminate};

/// Rows that a demo can have of each kind.
const ROWS: usize = 500;
/// Longest command line that is read.
const COMMAND_MAX_BYTES: u64 = 64 << 10;
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// The tags of every process that the demo's runs, their set-up and its services may have started.
///
/// # Errors
/// What the store says.
pub fn tags(reader: &Reader) -> Result<BTreeSet<String>, DemoError> {
    let mut tags = BTreeSet::new();
    for run in reader.runs(&RunQuery::default(), None, ROWS)?.rows {
        for attempt in 0..=run.attempt {
            tags.insert(format!("run/{}/{attempt}", run.id));
        }
        let operations = reader.run_detail(run.id)?.map(|detail| detail.operations).unwrap_or_default();
        tags.extend(operations.iter().map(|o| format!("operation/{}", o.operation.id)));
    }
    for item in reader.services(&ServiceQuery::default(), None, ROWS)?.rows {
        for generation in 0..=item.service.generation {
            tags.insert(format!("service/{}/{generation}", item.service.id));
        }
    }
    Ok(tags)
}

/// What lives of them, in words.
///
/// # Errors
/// What the kernel says when `/proc` cannot be read: nothing is known then.
pub fn living(tags: &BTreeSet<String>, data: &Path) -> io::Result<Vec<String>> {
    let mut found = shims(data)?;
    for tag in tags {
        found.extend(descendants::by_tag(tag)?.found.iter().map(|p| format!("{} {} of {tag}", p.comm, p.id.pid)));
    }
    Ok(found)
}

/// [`living`], once nothing lives or `limit` has passed.
///
/// # Errors
/// As [`living`].
pub fn living_after(tags: &BTreeSet<String>, data: &Path, limit: Duration) -> io::Result<Vec<String>> {
    let until = Instant::now() + limit;
    loop {
        let found = living(tags, data)?;
        if found.is_empty() || Instant::now() >= until {
            return Ok(found);
        }
        std::thread::sleep(LOOK);
    }
}

/// Ends what carries one of these tags; shims then end by themselves.
pub fn end(tags: &BTreeSet<String>) {
    for tag in tags {
        if let Err(error) = terminate::tagged(tag, Duration::ZERO, &[]) {
            tracing::warn!(%error, tag, "what the demo left cannot be ended");
        }
    }
}

/// Shims whose directory lies in a data directory.
fn shims(data: &Path) -> io::Result<Vec<String>> {
    use std::io::Read as _;
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let mut words = Vec::new();
        // One that is gone, or another user's, is none of ours.
        let Ok(file) = std::fs::File::open(format!("/proc/{pid}/cmdline")) else { continue };
        if file.take(COMMAND_MAX_BYTES).read_to_end(&mut words).is_err() {
            continue;
        }
        let mut words = words.split(|byte| *byte == 0).skip(1);
        let is_shim = words.next() == Some(b"shim")
            && words.next().is_some_and(|dir| Path::new(std::ffi::OsStr::from_bytes(dir)).starts_with(data));
        if is_shim && stat::read(pid)?.is_some_and(|p| p.is_alive()) {
            found.push(format!("shim {pid}"));
        }
    }
    Ok(found)
}
