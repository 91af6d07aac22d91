//! What the checker looks at: child totals, the log store, the ledger and the process table, read once.

use std::path::{Path, PathBuf};

use wharf_model::shim::{ExitFrame, ShimKind};
use wharf_model::*;
use wharf_store::log::{FLAG_GAP, Item, LogReader, StreamSet, Tail};
use wharf_store::view::{ActivityQuery, LeaseQuery, RequestQuery, RunDetail};

use super::child::{Side, Totals};
use crate::orchestrator::Site;

/// Rows of the audit trail and of other lists that are read at most.
const MANY: usize = 10_000;

/// A piece of a stream as the log store gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Bytes(Vec<u8>),
    /// A gap that the log declares.
    Gap {
        bytes: u64,
        reason: String,
    },
}

/// One log directory, read to its end.
#[derive(Debug, Clone, Default)]
pub struct SeenLog {
    pub attempt: u32,
    /// Standard output and standard error.
    pub streams: [Vec<Piece>; 2],
    /// Numbers of all frames in the order in which they stand.
    pub seqs: Vec<u64>,
    /// Where order is broken within a stream: stream, offset, what.
    pub disorder: Vec<(Side, u64, String)>,
    /// Bytes that are no frames.
    pub damage: Vec<String>,
    /// Whether a part of a frame stands at the end.
    pub is_torn: bool,
    /// Epochs that shims accepted orders from, in the order of the log.
    pub epochs: Vec<i64>,
    pub exit: Option<ExitFrame>,
}

/// A run with everything that was left of it.
#[derive(Debug, Clone)]
pub struct SeenRun {
    pub row: RunRow,
    pub events: Vec<RunEventRow>,
    pub steps: Vec<StepRow>,
    pub logs: Vec<SeenLog>,
    /// Totals of its children, with the attempt each was told.
    pub children: Vec<(u32, Totals)>,
    /// The secret that its children tell: it is kept as asterisks.
    pub secret: Option<String>,
}

impl SeenRun {
    pub fn name(&self) -> String {
        format!("R-{}", self.row.number)
    }
}

/// A living process that carries a tag of wharf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenProcess {
    pub tag: String,
    pub pid: i32,
    pub comm: String,
}

/// A directory that was made for a shim. What else stands in it goes away when its log is sealed.
#[derive(Debug, Clone)]
pub struct Made {
    pub kind: ShimKind,
    /// Id of the run, service or operation.
    pub id: String,
    /// Attempt or generation.
    pub attempt: u32,
    pub dir: PathBuf,
}

impl Made {
    /// All of a data directory: `runs/<xx>/<uuid>/a<n>` and the like.
    pub fn all(data: &Path) -> Vec<Self> {
        let kinds = [(ShimKind::Run, "runs"), (ShimKind::Service, "services"), (ShimKind::Operation, "operations")];
        let mut all = Vec::new();
        for (kind, name) in kinds {
            for owner in entries(&data.join(name)).iter().flat_map(|part| entries(part)) {
                let id = owner.file_name().unwrap().to_str().unwrap().to_owned();
                for dir in entries(&owner) {
                    let attempt = dir.file_name().and_then(|n| n.to_str()?.get(1..)?.parse().ok());
                    all.extend(attempt.map(|attempt| Self { kind, id: id.clone(), attempt, dir }));
                }
            }
        }
        all
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    all.sort();
    all
}

/// Everything at one moment.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// By number.
    pub runs: Vec<SeenRun>,
    pub requests: Vec<RequestRow>,
    /// Oldest first.
    pub activity: Vec<ActivityRow>,
    /// By number.
    pub leases: Vec<LeaseRow>,
    pub services: Vec<ServiceRow>,
    /// Running operations by id.
    pub operations: Vec<OperationRow>,
    /// What every shim directory was made for.
    pub made: Vec<Made>,
    /// Processes whose tag names something of this data directory.
    pub processes: Vec<SeenProcess>,
}

impl World {
    /// Reads a site: first rows, then logs, then totals. Each only grows, so what is read earlier is never ahead of
    /// what it is judged by.
    pub fn read(site: &Site) -> Self {
        // Effects before the rows that must have intended them, and again for what came with the rows.
        let made = Made::all(&site.data);
        let rows: Vec<_> = site.all_runs().into_iter().map(|row| of_one_moment(site, row.id)).collect();
        let logs = Made::all(&site.data);
        // What was given at start stands beside the project, where the test put it.
        let secret = std::fs::read_to_string(site.path("secret")).ok();
        let mut runs: Vec<SeenRun> = rows
            .into_iter()
            .map(|(detail, events)| {
                let mine = logs.iter().filter(|m| m.kind == ShimKind::Run && m.id == detail.run.id.text());
                let logs = mine.filter_map(|made| read_log(&made.dir, made.attempt)).collect();
                SeenRun {
                    row: detail.run,
                    steps: detail.steps,
                    events,
                    logs,
                    children: Vec::new(),
                    secret: secret.clone(),
                }
            })
            .collect();
        runs.sort_by_key(|r| r.row.number);
        for (run, attempt, one) in Totals::read_all(&site.path("totals")) {
            if let Some(seen) = runs.iter_mut().find(|r| r.row.id.text() == run) {
                seen.children.push((attempt, one));
            }
        }
        let mut activity = site.activity(&ActivityQuery::default());
        activity.reverse();
        let mut leases: Vec<LeaseRow> =
            site.ask(|r| r.leases(&LeaseQuery::default(), None, MANY)).rows.into_iter().map(|l| l.lease).collect();
        leases.sort_by_key(|l| l.number);
        Self {
            requests: site.ask(|r| r.requests(RequestQuery::default(), None, MANY)).rows,
            processes: processes(&logs),
            services: site.services().into_iter().map(|s| s.service).collect(),
            operations: site.open_rows().operations.into_values().collect(),
            runs,
            activity,
            leases,
            made,
        }
    }
}

/// A run and its events without a commit between them.
fn of_one_moment(site: &Site, id: RunId) -> (RunDetail, Vec<RunEventRow>) {
    loop {
        let (detail, events) = (site.run(id), site.events(id));
        if site.run(id).run.version == detail.run.version {
            return (detail, events);
        }
    }
}

/// Reads a log whole; `None` when none was begun.
pub fn read_log(dir: &Path, attempt: u32) -> Option<SeenLog> {
    let mut reader = LogReader::open(dir).ok()?;
    let mut log = SeenLog { attempt, ..SeenLog::default() };
    let mut position = reader.start();
    let mut ends = [0u64; 2];
    let mut latest = 0;
    loop {
        match reader.next_of(&mut position, StreamSet::ALL).unwrap() {
            Item::Frame(frame) => {
                log.seqs.push(frame.head.seq);
                let side = Side::BOTH.into_iter().find(|s| s.stream() == frame.stream);
                if let Some(side) = side {
                    let end = &mut ends[side as usize];
                    if frame.head.offset != *end {
                        let words = format!("frame {} says it begins at {}", frame.head.seq, frame.head.offset);
                        log.disorder.push((side, *end, words));
                    }
                    if frame.head.ns < latest {
                        log.disorder.push((side, *end, format!("frame {} is older than the last", frame.head.seq)));
                    }
                    let pieces = &mut log.streams[side as usize];
                    if frame.head.flags & FLAG_GAP == 0 {
                        *end += frame.payload.len() as u64;
                        match pieces.last_mut() {
                            Some(Piece::Bytes(bytes)) => bytes.extend_from_slice(frame.payload),
                            _ => pieces.push(Piece::Bytes(frame.payload.to_vec())),
                        }
                    } else {
                        let gap: serde_json::Value = serde_json::from_slice(frame.payload).unwrap_or_default();
                        let reason = gap["reason"].as_str().unwrap_or("no reason").to_owned();
                        pieces.push(Piece::Gap { bytes: gap["bytes"].as_u64().unwrap_or(0), reason });
                    }
                } else if frame.stream == wharf_store::log::Stream::Control {
                    let record: serde_json::Value = serde_json::from_slice(frame.payload).unwrap_or_default();
                    match record["t"].as_str() {
                        Some("adopted") => log.epochs.extend(record["epoch"].as_i64()),
                        Some("exit") => log.exit = serde_json::from_value(record).ok(),
                        _ => {}
                    }
                }
                latest = frame.head.ns;
            }
            Item::Damage(damage) => log.damage.push(format!("{damage:?}")),
            Item::End(tail) => {
                log.is_torn = !matches!(tail, Tail::Clean);
                return Some(log);
            }
        }
    }
}

/// Living processes that carry a tag of one of these owners, whatever the attempt.
fn processes(made: &[Made]) -> Vec<SeenProcess> {
    let owners: std::collections::BTreeSet<&str> = made.iter().map(|m| m.id.as_str()).collect();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        // One that has just ended has nothing to tell.
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        let tag = environment.split(|b| *b == 0).find_map(|one| one.strip_prefix(b"WHARF_TAG="));
        let Some(tag) = tag.and_then(|t| std::str::from_utf8(t).ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        if tag.split('/').any(|part| owners.contains(part)) && !matches!(state, None | Some('Z' | 'X')) {
            let comm = stat.split_once('(').and_then(|(_, r)| r.rsplit_once(')')).map(|(c, _)| c.to_owned());
            found.push(SeenProcess { tag: tag.to_owned(), pid, comm: comm.unwrap_or_default() });
        }
    }
    found
}
