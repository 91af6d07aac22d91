//! Ports of services: choosing one, and telling who listens on it.
//!
//! That something answers on a port does not mean that it is ours. Before a service counts as
//! running, [`ownership`] is asked whether the processes of its own shim hold the listener.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::process::stat;

mod each;

pub use each::owners_of_each;

/// Most bytes read of a kernel table; a line has 150, so this is far beyond any real table.
const MAX_TABLE_BYTES: u64 = 32 * 1024 * 1024;
/// Most characters kept of a command line.
const MAX_COMMAND_CHARS: usize = 200;

/// A port that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody listens there (`port_in_use`).
    #[error("port {port} is in use by {owner}; stop that, or set another port for the service")]
    InUse {
        /// The port.
        port: u16,
        /// Who, as far as it can be told.
        owner: String,
    },
    /// The system refused.
    #[error("cannot reserve {}: {source}", if *port == 0 { "a free port".to_owned() } else { format!("port {port}") })]
    Io {
        /// The port; 0 when any would do.
        port: u16,
        /// The system's error.
        source: io::Error,
    },
}

impl PortError {
    /// The stored error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "port_in_use",
            Self::Io { .. } => "service_start_failed",
        }
    }
}

/// A port on 127.0.0.1 that nobody else can take while this is held. Drop it just before the
/// service is started: from then on another process may be faster, which [`ownership`] finds out.
#[derive(Debug)]
pub struct Reservation {
    /// Held.
    _listener: TcpListener,
    port: u16,
}

impl Reservation {
    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Reserves `last` (the port the service had before) when it is free, else any free port.
pub fn reserve_auto(last: Option<u16>) -> Result<Reservation, PortError> {
    match last.filter(|p| *p != 0).map(reserve_exact) {
        Some(Ok(reservation)) => Ok(reservation),
        _ => bind(0),
    }
}

/// Reserves exactly this port. In use means: by any listener, on whatever address.
pub fn reserve_exact(port: u16) -> Result<Reservation, PortError> {
    let in_use = || PortError::InUse { port, owner: describe(&owners_of(port)) };
    // A listener on ::1 only would let us bind, and then answer for us wherever "localhost" means it.
    if matches!(listeners(port), Ok(found) if !found.is_empty()) {
        return Err(in_use());
    }
    match bind(port) {
        Err(PortError::Io { source, .. }) if source.kind() == ErrorKind::AddrInUse => Err(in_use()),
        other => other,
    }
}

fn bind(port: u16) -> Result<Reservation, PortError> {
    let fail = |source| PortError::Io { port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(fail)?;
    let port = listener.local_addr().map_err(fail)?.port();
    Ok(Reservation { _listener: listener, port })
}

/// A listening TCP socket of this network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Address it is bound to.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// User of the socket's owner.
    pub uid: u32,
    /// Inode of the socket, by which descriptors are matched.
    pub inode: u64,
}

/// Lists the listeners on a port, IPv4 and IPv6.
pub fn listeners(port: u16) -> io::Result<Vec<Listener>> {
    let mut found = Vec::new();
    for (file, required) in [("/proc/self/net/tcp", true), ("/proc/self/net/tcp6", false)] {
        let mut text = String::new();
        match fs::File::open(file).and_then(|f| f.take(MAX_TABLE_BYTES).read_to_string(&mut text)) {
            Ok(_) => found.extend(parse_table(&text).filter(|l| l.port == port)),
            // Without IPv6 in the kernel there is no such file.
            Err(e) if !required && e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

/// Reads the kernel's table of TCP sockets and keeps those that listen.
fn parse_table(text: &str) -> impl Iterator<Item = Listener> {
    const LISTEN: &str = "0A";
    text.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (address, port) = fields.nth(1)?.split_once(':')?;
        if fields.nth(1)? != LISTEN {
            return None;
        }
        let uid = fields.nth(3)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        let port = u16::from_str_radix(port, 16).ok()?;
        Some(Listener { address: parse_address(address)?, port, uid, inode })
    })
}

/// Addresses stand there as words of 32 bits in the machine's own byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (i, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(i * 8)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// A process that holds a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Command line, shortened, without control characters.
    pub command: String,
    /// Start in clock ticks since boot: with the pid, the process's identity.
    pub start_ticks: Option<u64>,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({}) of user {}", self.pid, self.command, self.uid)
    }
}

/// A listener with its processes; none when they cannot be read (another user's, usually).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The socket.
    pub listener: Listener,
    /// Processes with a descriptor of it.
    pub processes: Vec<Process>,
}

/// Who listens on a port. An error means that the kernel's table cannot be read.
pub fn owners_of(port: u16) -> io::Result<Vec<Owned>> {
    let found = listeners(port)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: BTreeSet<u64> = found.iter().map(|l| l.inode).collect();
    let mut holders: BTreeMap<u64, Vec<Process>> = BTreeMap::new();
    for pid in fs::read_dir("/proc")?.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok()) {
        for inode in held_by(pid, &wanted).unwrap_or_default() {
            holders.entry(inode).or_default().push(process(pid));
        }
    }
    let owned = |listener: Listener| {
        let mut processes = holders.get(&listener.inode).cloned().unwrap_or_default();
        processes.sort_by_key(|p| p.pid);
        Owned { listener, processes }
    };
    Ok(found.into_iter().map(owned).collect())
}

/// Which of these sockets a process has open; `None` when its descriptors cannot be read.
fn held_by(pid: i32, wanted: &BTreeSet<u64>) -> Option<BTreeSet<u64>> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let socket = |link: &Path| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok();
    Some(
        descriptors
            .flatten()
            .filter_map(|d| socket(&fs::read_link(d.path()).ok()?))
            .filter(|inode| wanted.contains(inode))
            .collect(),
    )
}

fn process(pid: i32) -> Process {
    let directory = format!("/proc/{pid}");
    let mut line = Vec::new();
    if let Ok(file) = fs::File::open(format!("{directory}/cmdline")) {
        // A process may be gone by now; then its command stays unknown.
        let _ = file.take(4096).read_to_end(&mut line);
    }
    let text = String::from_utf8_lossy(&line);
    let command: String = text
        .trim_end_matches('\0')
        .chars()
        .map(|c| if c == '\0' { ' ' } else { c })
        .map(|c| if c.is_control() { '?' } else { c })
        .take(MAX_COMMAND_CHARS)
        .collect();
    Process {
        pid,
        uid: fs::metadata(&directory).map_or(u32::MAX, |m| m.uid()),
        command: if command.is_empty() { "command unknown".to_owned() } else { command },
        start_ticks: stat::read(pid).ok().flatten().map(|stat| stat.id.start_ticks),
    }
}

/// Owners in words, for messages.
pub fn describe(owners: &io::Result<Vec<Owned>>) -> String {
    match owners {
        Err(e) => format!("somebody who cannot be told ({e})"),
        Ok(owners) => {
            let mut words: Vec<String> = Vec::new();
            for owned in owners {
                if owned.processes.is_empty() {
                    words.push(format!("a process of user {} that cannot be read", owned.listener.uid));
                }
                words.extend(owned.processes.iter().map(Process::to_string));
            }
            words.sort();
            words.dedup();
            if words.is_empty() { "somebody who cannot be told".to_owned() } else { words.join(", ") }
        }
    }
}

/// Whose the listeners on a port are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// All of them are held by these processes of ours.
    Ours(BTreeSet<i32>),
    /// At least one is held by others only.
    Others(Vec<Owned>),
    /// Nobody listens (yet).
    Nobody,
    /// Cannot be told; with the reason.
    Unknown(String),
}

/// Tells whether the processes `ours` hold every listener on a port. One foreign listener beside
/// ours is enough to answer [`Ownership::Others`], since it may get the connections.
pub fn ownership(port: u16, ours: &BTreeSet<i32>) -> Ownership {
    let found = match listeners(port) {
        Ok(found) if found.is_empty() => return Ownership::Nobody,
        Ok(found) => found,
        Err(e) => return Ownership::Unknown(format!("the table of sockets cannot be read: {e}")),
    };
    let mut missing: BTreeSet<u64> = found.iter().map(|l| l.inode).collect();
    let all = missing.clone();
    let mut holders = BTreeSet::new();
    let mut unreadable = Vec::new();
    for &pid in ours {
        match held_by(pid, &all) {
            Some(held) if held.is_empty() => {}
            Some(held) => {
                holders.insert(pid);
                missing.retain(|inode| !held.contains(inode));
            }
            // A process that has ended holds nothing.
            None if Path::new(&format!("/proc/{pid}")).exists() => unreadable.push(pid),
            None => {}
        }
    }
    if missing.is_empty() {
        return Ownership::Ours(holders);
    }
    match owners_of(port) {
        Err(e) => Ownership::Unknown(format!("the table of sockets cannot be read: {e}")),
        Ok(owners) => {
            let foreign: Vec<Owned> = owners.into_iter().filter(|o| missing.contains(&o.listener.inode)).collect();
            let unseen = foreign.iter().all(|o| o.processes.is_empty());
            if foreign.is_empty() {
                // It closed between the two looks.
                Ownership::Nobody
            } else if unseen && !unreadable.is_empty() {
                Ownership::Unknown(format!("the descriptors of our processes {unreadable:?} cannot be read"))
            } else {
                Ownership::Others(foreign)
            }
        }
    }
}

#[cfg(test)]
mod tests;
