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

use wharf_model::shim::ProcessRef;

pub use self::claims::Claim;
use crate::process::{stat, usage};

mod claims;

mod each;

pub use each::owners_of_each;

/// Most bytes read of a kernel table; a line has 150, so this is far beyond any real table.
const MAX_TABLE_BYTES: u64 = 32 * 1024 * 1024;
/// Most bytes read of a list of users, and of a process's variables.
const MAX_SMALL_BYTES: u64 = 1024 * 1024;
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

/// Ports that were drawn and turned out to be promised to a service of ours, before it is given up.
const DRAWS: u32 = 16;

/// A port on 127.0.0.1 that nobody else can take while this is held. [`Reservation::give_up`] it just before the
/// service is started: from then on a stranger may be faster, which [`ownership`] finds out; another service of
/// ours may not, as long as the claim is held.
#[derive(Debug)]
pub struct Reservation {
    /// Held.
    listener: TcpListener,
    claim: Claim,
}

impl Reservation {
    /// The port.
    pub fn port(&self) -> u16 {
        self.claim.port()
    }

    /// Lets go of the socket, not of the claim.
    pub fn give_up(self) -> Claim {
        drop(self.listener);
        self.claim
    }
}

/// Reserves `last` (the port the service had before) when it is free, else any free port, for `who`.
pub fn reserve_auto(last: Option<u16>, who: &str) -> Result<Reservation, PortError> {
    if let Some(Ok(reservation)) = last.filter(|p| *p != 0).map(|port| reserve_exact(port, who)) {
        return Ok(reservation);
    }
    // Those that were drawn in vain are held meanwhile, so that they are not drawn again.
    let mut drawn = Vec::new();
    for _ in 0..DRAWS {
        let (listener, port) = bind(0)?;
        match Claim::take(port, who) {
            Ok(claim) => return Ok(Reservation { listener, claim }),
            Err(_) => drawn.push(listener),
        }
    }
    Err(PortError::Io { port: 0, source: io::Error::from(ErrorKind::AddrInUse) })
}

/// Reserves exactly this port for `who`. In use means: by any listener, on whatever address, or promised to another
/// service of ours that does not listen at this moment.
pub fn reserve_exact(port: u16, who: &str) -> Result<Reservation, PortError> {
    let in_use = || PortError::InUse { port, owner: describe(&owners_of(port)) };
    // A listener on ::1 only would let us bind, and then answer for us wherever "localhost" means it.
    if matches!(listeners(port), Ok(found) if !found.is_empty()) {
        return Err(in_use());
    }
    let claim = Claim::take(port, who).map_err(|owner| PortError::InUse { port, owner })?;
    match bind(port) {
        Ok((listener, _)) => Ok(Reservation { listener, claim }),
        Err(PortError::Io { source, .. }) if source.kind() == ErrorKind::AddrInUse => Err(in_use()),
        Err(error) => Err(error),
    }
}

fn bind(port: u16) -> Result<(TcpListener, u16), PortError> {
    let fail = |source| PortError::Io { port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(fail)?;
    let port = listener.local_addr().map_err(fail)?.port();
    Ok((listener, port))
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
    /// Name of that user, where this machine has one for it.
    pub user: Option<String>,
    /// How long it has been running, milliseconds.
    pub age_ms: Option<u64>,
    /// What of wharf's it belongs to: `service web`, `run R-12`; only of processes of this user.
    pub belongs_to: Option<String>,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({}) of user {}", self.pid, self.command, self.uid)?;
        if let Some(name) = &self.user {
            write!(f, " ({name})")?;
        }
        if let Some(ms) = self.age_ms {
            write!(f, ", running for {}", super::lasting(ms))?;
        }
        match &self.belongs_to {
            Some(what) => write!(f, ", which belongs to wharf's {what}"),
            None => Ok(()),
        }
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
    let uid = fs::metadata(&directory).map_or(u32::MAX, |m| m.uid());
    let start_ticks = stat::read(pid).ok().flatten().map(|stat| stat.id.start_ticks);
    Process {
        pid,
        uid,
        command: if command.is_empty() { "command unknown".to_owned() } else { command },
        start_ticks,
        user: user_name(uid),
        age_ms: start_ticks.map(|start_ticks| usage::age_ms(ProcessRef { pid, start_ticks })),
        belongs_to: belongs_to(pid),
    }
}

/// A user's name, as this machine's own list has it.
fn user_name(uid: u32) -> Option<String> {
    let mut text = String::new();
    fs::File::open("/etc/passwd").ok()?.take(MAX_SMALL_BYTES).read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.chars().filter(|c| !c.is_control()).collect())
    })
}

/// What of wharf's a process was started for, by its variables.
fn belongs_to(pid: i32) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(format!("/proc/{pid}/environ")).ok()?.take(MAX_SMALL_BYTES).read_to_end(&mut bytes).ok()?;
    let value = |name: &str| {
        let mut all = bytes.split(|b| *b == 0).filter_map(|one| std::str::from_utf8(one).ok());
        let value = all.find_map(|one| one.strip_prefix(name)?.strip_prefix('='))?;
        Some(value.chars().filter(|c| !c.is_control()).take(MAX_COMMAND_CHARS).collect::<String>())
    };
    let tag = value("WHARF_TAG")?;
    match tag.split('/').next()? {
        "service" => Some(format!("service {}", value("WHARF_SERVICE_NAME")?)),
        "run" => Some(format!("run {}", value("WHARF_RUN_NUMBER")?)),
        other => Some(other.to_owned()),
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
