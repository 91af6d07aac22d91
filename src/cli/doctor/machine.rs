//! What the doctor sees of the machine: limits, the kernel's interfaces, git.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Resource;
use wharf_model::shim::limit;
use wharf_ui::format::plural;

use super::Check;
use crate::process::cgroup::{self, Cap, Groups};
use crate::session::{self, Logout, Why};

/// Oldest git whose worktree commands do what is needed.
const GIT_NEEDED: (u32, u32) = (2, 31);
/// Open files below which a console with some runs ends up without one.
const FILES_NEEDED: u64 = 256;
/// Open files with which everything goes.
const FILES_ENOUGH: u64 = 1_024;
/// Groups that are told by name.
const GROUPS_NAMED: usize = 5;
/// Watches below which a console beside other programs may get none.
const WATCHES_ENOUGH: u64 = 1_024;

/// Limits of this process that runs would meet.
pub fn limits() -> Check {
    let name = "limits";
    let files = rustix::process::getrlimit(Resource::Nofile).current;
    let size = rustix::process::getrlimit(Resource::Fsize).current;
    if let Some(size) = size {
        return Check::failed(
            name,
            format!("no file may grow beyond {size} bytes: the store and logs would stop there"),
            "ulimit -f unlimited",
        );
    }
    match files {
        Some(files) if files < FILES_NEEDED => Check::failed(
            name,
            format!("only {files} files may be open at once: runs would not start"),
            format!("ulimit -n {FILES_ENOUGH}"),
        ),
        Some(files) if files < FILES_ENOUGH => Check::warning(
            name,
            format!("only {files} files may be open at once: with many runs some would not start"),
            format!("ulimit -n {FILES_ENOUGH}"),
        ),
        Some(files) => Check::ok(name, format!("{files} open files")),
        None => Check::ok(name, "no limit on open files"),
    }
}

/// Whether the limits of agents are kept for runs that are started by this process, or by the one named.
/// Asked of the kernel, since its rights and rules are too many to foretell: with groups that are made and removed.
pub fn caps(orchestrator: Option<i32>) -> Check {
    let name = "caps of runs";
    let limits = [(limit::PROCESSES.to_owned(), 64), (limit::MEMORY.to_owned(), 64 << 20)];
    let group = cgroup::name("run", &uuid::Uuid::now_v7().to_string(), 0);
    let mut groups = Groups::at(&group, &limits.into(), cgroup::places(orchestrator, &Cap::ALL));
    groups.make();
    let report = groups.report().unwrap_or_default();
    groups.remove();
    let named = |name: &str| if name == limit::MEMORY { "memory" } else { "processes" };
    let reasons: Vec<String> = report.unenforced.iter().map(|(cap, why)| format!("{}: {why}", named(cap))).collect();
    let kept: Vec<&str> =
        report.asked.keys().filter(|cap| !report.unenforced.contains_key(*cap)).map(|cap| named(cap)).collect();
    let by = report.by.unwrap_or_default();
    let hint = "an agent's limits are then not enforced, and each run says so; wharf as a service of its own has a \
                group to divide: wharf serve --print-unit";
    match (kept.as_slice(), reasons.as_slice()) {
        (kept, []) => Check::ok(name, format!("{} by {by}", kept.join(" and "))),
        ([], reasons) => Check::warning(name, format!("none; {}", reasons.join("; ")), hint),
        (kept, reasons) => {
            Check::warning(name, format!("{} by {by}; not {}", kept.join(" and "), reasons.join("; not ")), hint)
        }
    }
}

/// Control groups whose shims are gone.
pub fn left_groups(data: &Path, orchestrator: Option<i32>) -> Option<Check> {
    let left = cgroup::leftovers(orchestrator, &data.join("live"));
    let shown: Vec<String> = left
        .iter()
        .take(GROUPS_NAMED)
        .map(|group| match group.processes {
            Some(1) => format!("{} (1 process)", group.dir.display()),
            Some(n) => format!("{} ({n} processes)", group.dir.display()),
            None => format!("{} (cannot be read)", group.dir.display()),
        })
        .collect();
    let more = if left.len() > shown.len() { " …" } else { "" };
    (!left.is_empty()).then(|| {
        Check::warning(
            "groups left",
            format!("{} of ended runs: {}{more}", plural(left.len() as u64, "control group"), shown.join(", ")),
            "wharf gc removes the empty ones; those with processes go once these have ended",
        )
    })
}

/// The kernel's interfaces that shims and the console stand on.
pub fn processes() -> Check {
    let name = "processes";
    let mut missing = Vec::new();
    let me = rustix::process::getpid();
    if rustix::process::pidfd_open(me, rustix::process::PidfdFlags::empty()).is_err() {
        missing.push("pidfd (Linux 5.3)");
    }
    if crate::process::identity::boot_id().is_err() || crate::process::identity::this_process().is_err() {
        missing.push("/proc");
    }
    if !missing.is_empty() {
        let hint = "wharf needs Linux 5.4 or later with /proc";
        return Check::failed(name, format!("missing: {}", missing.join(", ")), hint);
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if let Some(option) = hides_processes(&mounts) {
        return Check::warning(
            name,
            format!("/proc is mounted with {option}: processes of runs under another user cannot be seen"),
            "mount -o remount,hidepid=0 /proc, where that is yours to decide",
        );
    }
    let watching = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC);
    let watches = number("/proc/sys/fs/inotify/max_user_watches");
    if let Err(error) = watching {
        return Check::warning(
            name,
            format!("no inotify ({error}): changes are seen up to 250 ms late"),
            "raise fs.inotify.max_user_instances with sysctl",
        );
    }
    match watches {
        Some(watches) if watches < WATCHES_ENOUGH => Check::warning(
            name,
            format!("only {watches} files can be watched: changes may be seen up to 250 ms late"),
            "raise fs.inotify.max_user_watches with sysctl",
        ),
        _ => Check::ok(name, "pidfd, inotify, /proc"),
    }
}

fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The option by which `/proc` hides other users' processes.
fn hides_processes(mounts: &str) -> Option<String> {
    let line = mounts.lines().rfind(|l| l.split_ascii_whitespace().nth(4) == Some("/proc"))?;
    let option = line.split([' ', ',']).find(|o| o.starts_with("hidepid="))?;
    (!matches!(option, "hidepid=0" | "hidepid=off")).then(|| option.to_owned())
}

/// Whether the end of the login would end runs too.
pub fn session() -> Check {
    let name = "session";
    let hint = "loginctl enable-linger, or run wharf as a service of its own: wharf serve --print-unit";
    match session::look() {
        it @ (Logout::GoOn(_) | Logout::Ends(Why::Container)) => Check::ok(name, it.words()),
        it @ Logout::Ends(Why::FirstProcess) => {
            Check::warning(name, it.words(), "start wharf under an init process of the container")
        }
        it @ (Logout::Ends(_) | Logout::Unknown) => Check::warning(name, it.words(), hint),
    }
}

/// The git binary.
pub fn git() -> Check {
    let name = "git";
    let hint = "install git 2.31 or later; without it runs share one directory";
    let output = Command::new("git").arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let text = match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(output) => return Check::failed(name, format!("git --version ended with {}", output.status), hint),
        Err(error) => return Check::failed(name, format!("cannot be started: {error}"), hint),
    };
    let version = text.strip_prefix("git version ").unwrap_or(&text).to_owned();
    match numbers(&version) {
        Some(found) if found < GIT_NEEDED => Check::warning(name, format!("{version} is old"), hint),
        _ => Check::ok(name, version),
    }
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(['.', ' ']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_git() {
        assert_eq!(numbers("2.43.0"), Some((2, 43)));
        assert_eq!(numbers("2.30.1 (Apple Git-130)"), Some((2, 30)));
        assert_eq!(numbers("unknown"), None);
    }

    #[test]
    fn what_hides_processes() {
        let line = |options: &str| format!("25 1 0:22 / /proc rw,nosuid shared:5 - proc proc rw{options}\n");
        for (options, wanted) in [
            ("", None),
            (",hidepid=0", None),
            (",hidepid=2", Some("hidepid=2")),
            (",gid=3,hidepid=invisible", Some("hidepid=invisible")),
        ] {
            assert_eq!(hides_processes(&line(options)).as_deref(), wanted, "{options}");
        }
    }
}
