//! The directory of a shim as the orchestrator makes it, and the links by which start-up finds
//! those that may live (contracts 6.1).

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use wharf_model::shim::Spec;

use super::identity;
use super::kill_point::kill_point;

/// What stands in a shim's directory.
pub mod names {
    /// What to run; written by the orchestrator.
    pub const SPEC: &str = "spec.json";
    /// Held for the shim's life.
    pub const LOCK: &str = "shim.lock";
    /// Who keeps the directory.
    pub const ID: &str = "id.json";
    /// Copy of the exit frame.
    pub const EXIT: &str = "exit.json";
    /// Room for the exit frame on a full disk.
    pub const RESERVE: &str = "reserve";
    /// Control socket.
    pub const CONTROL: &str = "ctl.sock";
    /// Agent socket.
    pub const AGENT: &str = "agent.sock";
    /// What a shim says when it cannot start or panics.
    pub const ERRORS: &str = "shim.err";
}

/// Size of the reserve file.
pub const RESERVE_BYTES: u64 = 64 * 1024;

/// Makes the directory (mode 0700; its parents too where missing), with `spec.json` and the
/// reserve, all durable. The boot id is filled in. May be repeated until a shim has taken the
/// directory: whoever was interrupted in between cannot know how far it came.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when a shim has taken it: a directory is used once. Otherwise
/// what the file system says, with the path.
pub fn write_shim_dir(dir: &Path, spec: &Spec) -> io::Result<()> {
    let words = |what: &str, e: io::Error| io::Error::new(e.kind(), format!("cannot {what} {}: {e}", dir.display()));
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A name above one that stood already reaches the disk before what is made below it: journals keep order.
    let above: Vec<&Path> = [Some(parent), parent.parent(), parent.parent().and_then(Path::parent)]
        .into_iter()
        .flatten()
        .scan(true, |new, up| std::mem::replace(new, !up.exists()).then_some(up))
        .collect();
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|e| words("make the parents of", e))?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && is_unused(dir) => {}
        made => made.map_err(|e| words("make the directory", e))?,
    }
    kill_point("run.dir_made");
    let spec = Spec { boot_id: Some(identity::boot_id()?), ..spec.clone() };
    let json = serde_json::to_vec(&spec)?;
    reserve(dir).map_err(|e| words("set aside the reserve in", e))?;
    // All names first, then every sync: a journalling file system writes its journal once for all of
    // them. Nothing has run in a directory whose spec a power loss has torn.
    replace_file(dir, names::SPEC, &json, false).map_err(|e| words("write the spec in", e))?;
    File::open(dir.join(names::SPEC)).and_then(|f| f.sync_all()).map_err(|e| words("write the spec in", e))?;
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| words("sync", e))?;
    // The parents' entries: without them the directory's own name may be lost.
    for up in above {
        let up = if up.as_os_str().is_empty() { Path::new(".") } else { up };
        File::open(up)?.sync_all()?;
    }
    kill_point("run.spec_synced");
    Ok(())
}

/// Makes sure that no shim takes the directory any more, not even one that is just starting. Says
/// `false` when one has taken it.
///
/// # Errors
/// What the file system says.
pub fn forbid(dir: &Path) -> io::Result<bool> {
    match File::options().write(true).create_new(true).mode(0o600).open(dir.join(names::LOCK)) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    }
}

/// What a directory runs. It goes with everything but the log once that is sealed.
///
/// # Errors
/// What the file system says, and [`io::ErrorKind::InvalidData`] for one that does not read.
pub fn read_spec(dir: &Path) -> io::Result<Spec> {
    Ok(serde_json::from_slice(&std::fs::read(dir.join(names::SPEC))?)?)
}

/// Writes a file of a shim's directory so that readers see the old or the new one, never a part.
/// `durable` also puts it on stable storage with its name.
///
/// # Errors
/// What the file system says.
pub fn replace_file(dir: &Path, name: &str, content: &[u8], durable: bool) -> io::Result<()> {
    let fresh = dir.join(format!(".{name}.new"));
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    let written = file.write_all(content).and_then(|()| if durable { file.sync_all() } else { Ok(()) });
    if let Err(error) = written.and_then(|()| std::fs::rename(&fresh, dir.join(name))) {
        let _ = std::fs::remove_file(&fresh);
        return Err(error);
    }
    if durable { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// Whether no shim has taken the directory.
fn is_unused(dir: &Path) -> bool {
    let is_free = |name: &str| matches!(dir.join(name).try_exists(), Ok(false));
    dir.is_dir() && is_free(names::LOCK) && is_free(names::ID)
}

fn reserve(dir: &Path) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(dir.join(names::RESERVE))?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
        // Best effort where the file system cannot set space aside.
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Links a shim's directory under `live`, so that start-up finds it. May be repeated. Not synced:
/// it tells of a shim that may live, and none outlives what an unsynced name does not.
///
/// # Errors
/// What the file system says, and [`io::ErrorKind::AlreadyExists`] when the name is taken by
/// something that points elsewhere.
pub fn link_live(live: &Path, spec: &Spec, dir: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(live)?;
    let link = live.join(live_name(spec));
    match std::os::unix::fs::symlink(dir, &link) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && std::fs::read_link(&link).is_ok_and(|to| to == dir) => {}
        Err(e) => return Err(io::Error::new(e.kind(), format!("cannot link {}: {e}", link.display()))),
    }
    kill_point("run.link_made");
    Ok(link)
}

/// Removes a link under `live`; one that is gone counts as removed.
///
/// # Errors
/// What the file system says.
pub fn unlink_live(link: &Path) -> io::Result<()> {
    match std::fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => {
            kill_point("run.link_removed");
            Ok(())
        }
    }
}

/// Name of a shim's link: kind, id and attempt.
pub fn live_name(spec: &Spec) -> String {
    format!("{}-{}-{}", spec.kind, spec.id, spec.attempt)
}

/// What a directory `runs/<xx>/<uuid>/a<n>` says by its name alone: `run`, the id, the attempt. For one
/// whose content is gone.
pub fn named(dir: &str) -> Option<(&'static str, String, u32)> {
    let mut parts = dir.split('/');
    let kind = match parts.next()? {
        "runs" => "run",
        "services" => "service",
        "operations" => "operation",
        _ => return None,
    };
    let id = parts.nth(1)?.to_owned();
    let n = parts.next()?.get(1..)?.parse().ok()?;
    Some((kind, id, n))
}
