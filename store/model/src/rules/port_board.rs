//! The port board: every port that services have, had or want, and who really listens there.
//!
//! Pure: claims come from rows, listeners from a look at the machine; this joins them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{Kind, ServiceStatus, UnixMillis, words};

words! {
    /// What a port is to us, the surest first.
    pub enum PortState { Ours = "ours", Asked = "asked", Stranger = "stranger", Unknown = "unknown", Free = "free" }
}

/// A port that a service has, had, or is configured to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its `S-` number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub status: ServiceStatus,
    /// The port that it has, or had at its last start.
    pub port: Option<u16>,
    /// The port that its config fixes.
    pub fixed: Option<u16>,
    /// Its process.
    pub pid: Option<i32>,
    /// When it last had its port.
    pub last_used_at: UnixMillis,
    /// Whether it was ever started.
    pub started: bool,
}

/// Who listens, as one look found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// When it was looked.
    pub at: UnixMillis,
    /// What was heard.
    pub heard: Heard,
}

/// What a look at one port found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Nobody listens.
    Nobody,
    /// These listen.
    By(Vec<Listening>),
    /// It cannot be read: the reason.
    Unreadable(String),
}

/// One who listens on a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listening {
    /// Its process; none when it cannot be read.
    pub pid: Option<i32>,
    /// Its command.
    pub command: String,
    /// Its user.
    pub user: String,
    /// Whether that user is the one we work for, so that it could be one of ours.
    pub same_user: bool,
    /// When it was started.
    pub since: Option<UnixMillis>,
    /// The service to whose process tree it belongs.
    pub of: Option<i64>,
}

/// One row of the board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortRow {
    /// The port.
    pub port: u16,
    /// What it is to us.
    pub state: PortState,
    /// `S-12 web`, or `wanted by S-14` where it has another or none.
    pub service: String,
    /// Numbers of all services that have or want it.
    pub numbers: Vec<i64>,
    /// `pid 812 postgres`; none when nobody listens.
    pub listener: Option<String>,
    /// Who that is, in full; none too where only the process is known that is to listen.
    pub by: Option<Listening>,
    /// What tells that it is so, beside the time of the look: see [`PortRow::told`].
    pub evidence: String,
    /// When it was looked at.
    pub looked_at: Option<UnixMillis>,
}

impl PortRow {
    /// The evidence, with how long ago a port of ours was verified.
    pub fn told(&self, now: UnixMillis) -> String {
        let Some(at) = self.looked_at.filter(|_| self.state == PortState::Ours) else { return self.evidence.clone() };
        let verified = format!("verified {} ago", age(at.until(now)));
        if self.evidence.is_empty() { verified } else { format!("{verified}; {}", self.evidence) }
    }

    /// A sentence about a stranger on a port: `port 5432 wanted by S-14 is held by pid 812 postgres (not ours)`.
    pub fn stranger(&self) -> Option<String> {
        let who = self.listener.as_ref().filter(|_| self.state == PortState::Stranger)?;
        let what = if self.service.starts_with("S-") { format!("of {}", self.service) } else { self.service.clone() };
        Some(format!("port {} {what} is held by {who} (not ours)", self.port))
    }
}

/// Joins claims and looks. Ports of ours come first, then those asked for, strangers, unknown and free ones.
pub fn board(claims: &[Claim], looks: &BTreeMap<u16, Look>, now: UnixMillis) -> Vec<PortRow> {
    let ports: BTreeSet<u16> = claims.iter().flat_map(|c| [c.port, c.fixed]).flatten().collect();
    let mut rows: Vec<PortRow> = ports.into_iter().map(|port| row(port, claims, looks.get(&port), now)).collect();
    rows.sort_by_key(|r| (r.state, r.port));
    rows
}

/// Ports in which a look is worth its time, in order, at most `most`.
pub fn worth_a_look(claims: &[Claim], most: usize) -> Vec<u16> {
    let live = claims.iter().filter(|c| c.status.is_live()).flat_map(|c| [c.port, c.fixed]);
    let rest = claims.iter().filter(|c| !c.status.is_live()).flat_map(|c| [c.fixed, c.port]);
    let mut seen = BTreeSet::new();
    live.chain(rest).flatten().filter(|p| seen.insert(*p)).take(most).collect()
}

fn row(port: u16, claims: &[Claim], look: Option<&Look>, now: UnixMillis) -> PortRow {
    let mut about: Vec<&Claim> = claims.iter().filter(|c| c.port == Some(port) || c.fixed == Some(port)).collect();
    // Whoever may have it stands first, then the newest.
    about.sort_by_key(|c| (!has(c, port), std::cmp::Reverse(c.number)));
    let holder = about.iter().copied().find(|c| has(c, port));
    let (state, listener, evidence) = match look.map(|l| &l.heard) {
        None => (PortState::Unknown, None, "not looked at yet".to_owned()),
        Some(Heard::Unreadable(why)) => (PortState::Unknown, None, format!("cannot be read: {why}")),
        Some(Heard::Nobody) => nobody(port, holder, &about, now),
        Some(Heard::By(them)) => somebody(port, holder, &about, them, now),
    };
    PortRow {
        port,
        state,
        service: service(holder, &about, state, listener.is_some()),
        numbers: about.iter().map(|c| c.number).collect(),
        by: look.and_then(|l| shown(&l.heard, state)).cloned(),
        listener,
        evidence,
        looked_at: look.map(|l| l.at),
    }
}

/// The one of those who listen that the row is about.
fn shown(heard: &Heard, state: PortState) -> Option<&Listening> {
    let Heard::By(them) = heard else { return None };
    match state {
        PortState::Stranger => them.iter().find(|l| is_stranger(l)),
        PortState::Ours => them.first(),
        _ => them.iter().find(|l| l.of.is_none()),
    }
}

/// Certainly not one of ours.
const fn is_stranger(listening: &Listening) -> bool {
    listening.of.is_none() && (listening.pid.is_some() || !listening.same_user)
}

/// Whether a service that may have a process has this port.
fn has(claim: &Claim, port: u16) -> bool {
    claim.status.is_live() && claim.port.or(claim.fixed) == Some(port)
}

fn named(claim: &Claim) -> String {
    format!("{} {}", Kind::Service.number(claim.number), claim.name)
}

fn service(holder: Option<&Claim>, about: &[&Claim], state: PortState, held: bool) -> String {
    if let (Some(holder), true) = (holder, state != PortState::Stranger) {
        return named(holder);
    }
    let Some(first) = holder.or_else(|| about.first().copied()) else { return String::new() };
    let others = about.len().saturating_sub(1);
    let name = if held { Kind::Service.number(first.number) } else { named(first) };
    // One that takes any port has no claim on the one it had.
    let wants = holder.is_some() || about.iter().any(|c| c.fixed.is_some());
    let what = if wants { "wanted by" } else { "last of" };
    if others == 0 { format!("{what} {name}") } else { format!("{what} {name} +{others}") }
}

type Judged = (PortState, Option<String>, String);

fn nobody(port: u16, holder: Option<&Claim>, about: &[&Claim], now: UnixMillis) -> Judged {
    if let Some(holder) = holder {
        let who = holder.pid.map(|pid| format!("pid {pid}"));
        let evidence = match holder.status {
            ServiceStatus::Starting => "not listening yet",
            ServiceStatus::Stopping => "listens no more, is stopping",
            _ => "runs, and nobody listens",
        };
        return (PortState::Asked, who, evidence.to_owned());
    }
    let used = about.iter().filter(|c| c.started && c.port == Some(port)).map(|c| c.last_used_at).max();
    let evidence = used.map_or_else(|| "never used".to_owned(), |at| format!("last used {} ago", age(at.until(now))));
    (PortState::Free, None, evidence)
}

fn somebody(port: u16, holder: Option<&Claim>, about: &[&Claim], them: &[Listening], now: UnixMillis) -> Judged {
    // One foreign listener beside ours is enough: it may get the connections.
    if let Some(stranger) = them.iter().find(|l| is_stranger(l)) {
        return (PortState::Stranger, Some(who(stranger)), told(port, stranger, about, now));
    }
    if let Some(unseen) = them.iter().find(|l| l.of.is_none()) {
        let evidence = format!("a process of user {} that cannot be read", unseen.user);
        return (PortState::Unknown, Some(who(unseen)), evidence);
    }
    let Some(first) = them.first() else { return nobody(port, holder, about, now) };
    let owner = first.of;
    let mut evidence = Vec::new();
    if owner != holder.map(|h| h.number) {
        evidence.extend(owner.map(|n| format!("held by {}", Kind::Service.number(n))));
    }
    let others = about.iter().filter(|c| Some(c.number) != owner && (c.status.is_live() || is_without(c, port)));
    let rest: Vec<String> = others.map(|c| named(c)).collect();
    if !rest.is_empty() {
        evidence.push(format!("wanted by {} as well", rest.join(", ")));
    }
    let evidence = evidence.join("; ");
    (PortState::Ours, Some(first.pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}"))), evidence)
}

/// Whether a service would run if it had this port.
fn is_without(claim: &Claim, port: u16) -> bool {
    claim.fixed == Some(port) && matches!(claim.status, ServiceStatus::Failed | ServiceStatus::Backoff)
}

/// `pid 812 postgres`.
fn who(listening: &Listening) -> String {
    let program = listening.command.split_whitespace().next().unwrap_or("");
    let program = program.rsplit('/').next().unwrap_or(program).trim_end_matches(':');
    match listening.pid {
        Some(pid) if program.is_empty() => format!("pid {pid}"),
        Some(pid) => format!("pid {pid} {program}"),
        None => format!("user {}", listening.user),
    }
}

/// What is known of a stranger, and what it costs us.
fn told(port: u16, stranger: &Listening, about: &[&Claim], now: UnixMillis) -> String {
    let mut words = vec![format!("user {}", stranger.user)];
    words.extend(stranger.since.map(|at| age(at.until(now))));
    let mut told = words.join(", ");
    if stranger.pid.is_none() {
        told.push_str(", process hidden");
    }
    for claim in about {
        let number = Kind::Service.number(claim.number);
        match claim.port.filter(|p| *p != port && claim.status.is_live()) {
            Some(other) => told.push_str(&format!("; {number} took {other}")),
            None if claim.status == ServiceStatus::Failed => told.push_str(&format!("; {number} did not start")),
            None if claim.status.is_live() => told.push_str(&format!("; {number} does not have it")),
            None => {}
        }
    }
    told
}

/// `3s`, `16m`, `9d`: whole units, as ages in lists.
fn age(ms: i64) -> String {
    const DAY: i64 = 86_400_000;
    let ms = ms.max(0);
    match ms {
        0..60_000 => format!("{}s", ms / 1000),
        60_000..3_600_000 => format!("{}m", ms / 60_000),
        3_600_000..DAY => format!("{}h", ms / 3_600_000),
        _ => format!("{}d", ms / DAY),
    }
}

#[cfg(test)]
mod tests;
