//! Directories of leases there: made, found again, emptied, removed, and the processes of their runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::driver::{Check, PlaceProcess};
use super::follow::run_prefix;
use super::{Remote, Reply, TREE, Trouble};

const PLACE: &str = include_str!("scripts/place.sh");
const ACQUIRE: &str = include_str!("scripts/acquire.sh");
const LOOK: &str = include_str!("scripts/look.sh");
const RELEASE: &str = include_str!("scripts/release.sh");
const LIST: &str = include_str!("scripts/list.sh");
const PROBE: &str = include_str!("scripts/probe.sh");

/// Free room below which a probe warns, KiB.
const ROOM_WARN_KIB: u64 = 1 << 20;
/// Free room below which nothing can be done, KiB.
const ROOM_MIN_KIB: u64 = 16 << 10;

/// What the far side says of a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Absolute directory, links resolved.
    pub dir: String,
    /// System, release and machine.
    pub uname: String,
    /// User there.
    pub user: String,
    /// Its own name.
    pub hostname: String,
    /// Home directory there.
    pub home: String,
}

/// How a directory of a lease is named there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where<'a> {
    /// Absolute, as [`Made::dir`] said it.
    Dir(&'a str),
    /// Below the path of the settings, by the lease.
    Lease {
        /// Path of the settings.
        path: &'a str,
        /// The lease.
        lease: &'a str,
    },
}

/// Whether a place is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It is, and carries our mark.
    Held,
    /// It is certain that it is not, or that what is there is not ours.
    Gone,
    /// It could not be looked at.
    Unknown,
}

/// Tenths of a second, as the scripts count.
pub fn tenths(time: Duration) -> String {
    (time.as_millis() / 100).to_string()
}

/// The words for a script that did not do it.
pub fn failed(remote: &Remote, what: &str, reply: &Reply) -> Trouble {
    let (name, said) = (remote.name(), reply.complaint());
    if reply.is_disk_full() {
        return Trouble::Refused(format!("the disk of {name} is full, {what}: {said}; free room there"));
    }
    let denied = ["Permission denied", "Read-only file system"].iter().any(|words| reply.err.contains(words));
    match reply.code {
        11 => Trouble::Refused(format!("{what} on {name}: {said}; look at it there, it was left alone")),
        14 => Trouble::Refused(format!("{what} on {name}: {said}; probe the environment")),
        13 if denied => Trouble::Refused(format!("{what} on {name}: {said}; choose another path or mend its rights")),
        code => Trouble::Unknown(format!("{what} on {name}: {said} (code {code})")),
    }
}

/// Makes the directory of a lease, or finds it made.
pub async fn acquire(remote: &Remote, path: &str, lease: &str, environment: &str) -> Result<Made, Trouble> {
    let reply = remote.run(&[PLACE, ACQUIRE], &[path, lease, environment], b"").await?;
    if reply.code != 0 {
        return Err(failed(remote, "the directory of the lease cannot be made", &reply));
    }
    let value = |name: &str| reply.value(name).unwrap_or_default();
    let dir = value("dir");
    if !dir.starts_with('/') {
        return Err(Trouble::Unknown(format!("{} gave no directory: {}", remote.name(), reply.text())));
    }
    Ok(Made { dir, uname: value("uname"), user: value("user"), hostname: value("hostname"), home: value("home") })
}

/// Looks at directories of leases, in one go.
pub async fn look(remote: &Remote, dirs: &[&str]) -> Result<Vec<Look>, Trouble> {
    let reply = remote.run(&[PLACE, LOOK], dirs, b"").await?;
    let text = reply.text();
    let seen: Vec<Look> = text
        .lines()
        .filter_map(|line| line.strip_prefix("seen "))
        .map(|code| match code {
            "0" => Look::Held,
            "10" | "11" => Look::Gone,
            _ => Look::Unknown,
        })
        .collect();
    if seen.len() == dirs.len() {
        Ok(seen)
    } else {
        Err(Trouble::Unknown(format!("{} answered for {} of {} directories", remote.name(), seen.len(), dirs.len())))
    }
}

/// Stops what runs in a lease and, unless it is to be kept, removes its directory.
pub async fn release(remote: &Remote, place: Where<'_>, keep: bool, grace: Duration) -> Result<(), Trouble> {
    let (path, dir) = match place {
        Where::Dir(dir) => ("", dir),
        Where::Lease { path, lease } => (path, lease),
    };
    let what = if keep { "keep" } else { "remove" };
    let reply = remote.run(&[PLACE, TREE, RELEASE], &[path, dir, what, &tenths(grace)], b"").await?;
    if reply.code == 0 { Ok(()) } else { Err(failed(remote, "the directory of the lease cannot be removed", &reply)) }
}

/// The processes of a tag; stopped before, when a grace is given.
pub async fn processes(
    remote: &Remote,
    dir: &str,
    tag: &str,
    stop: Option<Duration>,
) -> Result<Vec<PlaceProcess>, Trouble> {
    let grace = stop.map_or_else(|| "look".to_owned(), tenths);
    let reply = remote.run(&[TREE, LIST], &[dir, tag, &run_prefix(tag), &grace], b"").await?;
    let text = reply.text();
    let mut found = Vec::new();
    let mut whole = false;
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        match (words.next().and_then(|pid| pid.parse().ok()), words.nth(1)) {
            (Some(pid), Some(command)) => found.push(PlaceProcess { pid, command: command.to_owned() }),
            _ => whole |= line == "end",
        }
    }
    if reply.code == 0 && whole { Ok(found) } else { Err(failed(remote, "the processes cannot be listed", &reply)) }
}

/// Looks whether runs can be kept there.
pub async fn probe(remote: &Remote, path: &str) -> Result<Vec<Check>, Trouble> {
    let reply = remote.run(&[PLACE, PROBE], &[path], b"").await?;
    let value = |name: &str| reply.value(name).filter(|v| !v.trim().is_empty());
    let name = remote.name();
    let mut checks = vec![Check::ok(
        "host",
        format!("{}, {}, as {}", value("hostname").unwrap_or_default(), value("uname").unwrap_or_default(), {
            value("user").unwrap_or_default()
        }),
    )];
    match (value("path"), value("nopath")) {
        (Some(path), _) => checks.push(Check::ok("path", format!("{path} can be written"))),
        (None, why) => checks.push(Check::error(
            "path",
            why.unwrap_or_else(|| format!("{path} cannot be written")),
            format!("make it on {name}, or set another path in the environment's config"),
        )),
    }
    if let Some(free) = value("free").and_then(|free| free.parse::<u64>().ok()) {
        let said = format!("{} MiB are free", free >> 10);
        checks.push(if free < ROOM_MIN_KIB {
            Check::error("space", said, format!("free room on {name}"))
        } else if free < ROOM_WARN_KIB {
            Check::warn("space", said, format!("free room on {name}"))
        } else {
            Check::ok("space", said)
        });
    }
    checks.push(match value("git") {
        Some(git) => Check::ok("git", git),
        None => Check::error("git", "there is no git", format!("install git on {name}")),
    });
    checks.push(match value("missing") {
        None if value("nofork").is_some() => Check::warn(
            "tools",
            "its setsid is an old one: commands there ignore SIGINT and SIGQUIT",
            format!("install a newer util-linux on {name}"),
        ),
        None => Check::ok("tools", "everything that runs are kept with is there"),
        Some(missing) => {
            Check::error("tools", format!("not there:{}", quoted(&missing)), format!("install them on {name}"))
        }
    });
    Ok(checks)
}

fn quoted(words: &str) -> String {
    words.split_whitespace().map(|w| format!(" {w}")).collect()
}
