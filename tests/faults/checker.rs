//! "Nothing lost" as seven statements, N1 to N7, each judged by itself on what [`World::read`] saw.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wharf_model::shim::{EndedBy, ShimKind};
use wharf_model::*;

use super::child::{self, Side, Totals};
use super::world::{Made, Piece, SeenLog, SeenRun, World};
use crate::orchestrator::Site;

/// Most bytes that a killed shim may take along, for each stream: a pipe, as large as shims make it, and one read.
pub const SHIM_LOSS_MAX: u64 = 1024 * 1024 + 256 * 1024;

/// The seven statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statement {
    /// What is kept is what was written.
    N1Bytes,
    /// What is missing is declared, and little.
    N2Gaps,
    /// Numbers without holes, order as written.
    N3Order,
    /// What was acknowledged stays; every effect was intended first; history is only added to.
    N4Ledger,
    /// One end each, the real one.
    N5Ends,
    /// Nothing happens twice.
    N6Once,
    /// Nothing lives that should not.
    N7Strays,
}

impl Statement {
    pub const ALL: [Self; 7] =
        [Self::N1Bytes, Self::N2Gaps, Self::N3Order, Self::N4Ledger, Self::N5Ends, Self::N6Once, Self::N7Strays];
}

/// A statement that does not hold: of what, and where.
#[derive(Debug, Clone)]
pub struct Violation {
    pub statement: Statement,
    /// Run, lease, request … by its number.
    pub entity: String,
    /// Stream and offset, where it is about bytes.
    pub at: Option<(Side, u64)>,
    pub words: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.statement, self.entity)?;
        if let Some((side, offset)) = self.at {
            write!(f, " {} at offset {offset}", side.stream().name())?;
        }
        write!(f, ": {}", self.words)
    }
}

/// Collects violations of one statement.
struct Finder {
    statement: Statement,
    found: Vec<Violation>,
}

impl Finder {
    fn add(&mut self, entity: impl Into<String>, words: impl Into<String>) {
        self.found.push(Violation { statement: self.statement, entity: entity.into(), at: None, words: words.into() });
    }

    fn add_at(&mut self, entity: impl Into<String>, side: Side, offset: u64, words: impl Into<String>) {
        let (entity, words, at) = (entity.into(), words.into(), Some((side, offset)));
        self.found.push(Violation { statement: self.statement, entity, at, words });
    }
}

/// What was seen before: history may only be added to.
#[derive(Debug, Default)]
pub struct Books {
    requests: BTreeMap<RequestId, RequestRow>,
    activity: Vec<ActivityRow>,
    ended: BTreeMap<RunId, RunRow>,
    events: BTreeMap<RunId, Vec<RunEventRow>>,
}

impl Books {
    /// Notes a moment, for instance before a fault.
    pub fn note(&mut self, world: &World) {
        for request in world.requests.iter().filter(|r| r.answered_at.is_some()) {
            self.requests.insert(request.id, request.clone());
        }
        self.activity.clone_from(&world.activity);
        for run in &world.runs {
            self.events.insert(run.row.id, run.events.clone());
            if run.row.status.is_terminal() {
                self.ended.insert(run.row.id, run.row.clone());
            }
        }
    }

    /// Judges all seven statements. `at_rest`: nothing is under way, so everything must have ended.
    pub fn judge(&self, world: &World, at_rest: bool) -> Vec<Violation> {
        let mut found = Vec::new();
        for statement in Statement::ALL {
            let mut finder = Finder { statement, found: Vec::new() };
            let f = &mut finder;
            match statement {
                Statement::N1Bytes => each_stream(world, |run, log, totals, side| bytes(f, run, log, totals, side)),
                Statement::N2Gaps => each_stream(world, |run, log, totals, side| gaps(f, run, log, totals, side)),
                Statement::N3Order => world.runs.iter().for_each(|run| order(f, run)),
                Statement::N4Ledger => self.ledger(f, world),
                Statement::N5Ends => world.runs.iter().for_each(|run| ends(f, run, at_rest)),
                Statement::N6Once => once(f, world),
                Statement::N7Strays => strays(f, world),
            }
            found.append(&mut finder.found);
        }
        found
    }

    fn ledger(&self, f: &mut Finder, world: &World) {
        let now: BTreeMap<RequestId, &RequestRow> = world.requests.iter().map(|r| (r.id, r)).collect();
        for (id, known) in &self.requests {
            let name = format!("Q-{}", known.number);
            let Some(row) = now.get(id) else {
                f.add(name, format!("it was {} and is not in the ledger any more", known.status));
                continue;
            };
            let goes_on = known.status == RequestStatus::Accepted
                && matches!(row.status, RequestStatus::Accepted | RequestStatus::Done | RequestStatus::Failed);
            if row.status != known.status && !goes_on {
                f.add(name, format!("it was {} and is {}", known.status, row.status));
            }
        }
        let is_kept = world.activity.len() >= self.activity.len()
            && self.activity.iter().zip(&world.activity).all(|(a, b)| a.id == b.id && a.action == b.action);
        if !is_kept {
            let at = self.activity.iter().zip(&world.activity).take_while(|(a, b)| a.id == b.id).count();
            f.add("the audit trail", format!("what stood at place {at} is not there any more"));
        }
        for run in &world.runs {
            if let Some(before) = self.events.get(&run.row.id)
                && !run.events.starts_with(before)
            {
                f.add(run.name(), format!("of its {} events some are gone or changed", before.len()));
            }
            for (at, event) in run.events.iter().enumerate() {
                if event.seq != at as i64 + 1 {
                    f.add(run.name(), format!("event {} stands where {} should", event.seq, at + 1));
                    break;
                }
            }
        }
        rising(f, "run", world.runs.iter().map(|r| (r.row.number, r.row.id.text())));
        rising(f, "lease", world.leases.iter().map(|l| (l.number, l.id.text())));
        for made in &world.made {
            intended(f, world, made);
        }
    }
}

/// Numbers are given once, and in the order of the ids.
fn rising(f: &mut Finder, what: &str, rows: impl Iterator<Item = (i64, String)>) {
    let mut last: Option<(i64, String)> = None;
    for (number, id) in rows {
        if let Some((before, earlier)) = &last
            && (number <= *before || id <= *earlier)
        {
            f.add(format!("{what} {number}"), format!("it comes after {before}, and number or id do not rise"));
        }
        last = Some((number, id));
    }
}

/// A shim's directory is an effect: its row must have wanted it.
fn intended(f: &mut Finder, world: &World, made: &Made) {
    let name = format!("{} {} attempt {}", made.kind, made.id, made.attempt);
    match made.kind {
        ShimKind::Run => match world.runs.iter().find(|r| r.row.id.text() == made.id) {
            None => f.add(name, "a shim was prepared for a run that is not in the ledger"),
            Some(run) => {
                let execute = run.steps.iter().find(|s| s.step == Step::Execute);
                if run.row.attempt < made.attempt || execute.is_none_or(|s| s.status == StepStatus::Pending) {
                    f.add(run.name(), format!("attempt {} has a shim that no row had intended", made.attempt));
                }
            }
        },
        ShimKind::Service => match world.services.iter().find(|s| s.id.text() == made.id) {
            Some(service) if service.generation >= made.attempt => {}
            _ => f.add(name, "a shim was prepared for a generation that the ledger does not know"),
        },
        // Rows of ended operations are not among those that are read.
        ShimKind::Operation => {}
    }
}

/// Calls for each stream of each attempt whose child kept totals.
fn each_stream<'w>(world: &'w World, mut judge: impl FnMut(&'w SeenRun, &'w SeenLog, &'w Totals, Side)) {
    for run in &world.runs {
        for log in &run.logs {
            if let Some((_, totals)) = run.children.iter().find(|(attempt, _)| *attempt == log.attempt) {
                for side in Side::BOTH {
                    judge(run, log, totals, side);
                }
            }
        }
    }
}

/// Whether the log itself, or the run's end, says that bytes are missing.
fn declares_loss(run: &SeenRun, log: &SeenLog, side: Side) -> bool {
    let is_last = run.row.attempt == log.attempt;
    (is_last && run.row.status == RunStatus::Lost && log.exit.is_none())
        || log.streams[side as usize].iter().any(|p| matches!(p, Piece::Gap { .. }))
}

/// The one declared difference: a secret value is kept as so many asterisks.
fn redact(line: &mut [u8], secret: Option<&str>) {
    let Some(secret) = secret else { return };
    while let Some(at) = memchr::memmem::find(line, secret.as_bytes()) {
        line[at..at + secret.len()].fill(b'*');
    }
}

/// How a stream compares with what its child wrote.
struct Compared {
    /// Bytes that are kept.
    kept: u64,
    /// Bytes that gaps declare.
    declared: u64,
    /// Place in what was written of the first byte that differs.
    differs_at: Option<u64>,
}

fn compare(run: &SeenRun, log: &SeenLog, totals: &Totals, side: Side) -> Compared {
    let mut compared = Compared { kept: 0, declared: 0, differs_at: None };
    let length = totals.line_bytes;
    let (mut line, mut line_number) = (Vec::new(), u64::MAX);
    for piece in &log.streams[side as usize] {
        let bytes = match piece {
            Piece::Gap { bytes, .. } => {
                compared.declared += bytes;
                continue;
            }
            Piece::Bytes(bytes) => bytes,
        };
        let mut left = &bytes[..];
        while !left.is_empty() {
            let at = compared.kept + compared.declared;
            if at / length != line_number {
                line_number = at / length;
                line.clear();
                let secret = run.secret.as_deref();
                child::line(totals.seed, side, line_number, length as usize, secret, &mut line);
                redact(&mut line, secret);
            }
            let expected = &line[(at % length) as usize..];
            let n = expected.len().min(left.len());
            if expected[..n] != left[..n] && compared.differs_at.is_none() {
                let same = expected.iter().zip(left).take_while(|(a, b)| a == b).count();
                compared.differs_at = Some(at + same as u64);
            }
            compared.kept += n as u64;
            left = &left[n..];
        }
    }
    compared
}

/// N1 of one stream that declares no loss.
fn bytes(f: &mut Finder, run: &SeenRun, log: &SeenLog, totals: &Totals, side: Side) {
    if declares_loss(run, log, side) {
        return;
    }
    let (at, name) = (side as usize, run.name());
    let compared = compare(run, log, totals, side);
    if let Some(offset) = compared.differs_at {
        f.add_at(&name, side, offset, "what is kept is not what was written");
    }
    if compared.kept > totals.handed[at] {
        let words = format!("{} bytes are kept, {} were written", compared.kept, totals.handed[at]);
        f.add_at(&name, side, totals.handed[at], words);
    }
    // Until the run has ended it may turn out that its shim was killed.
    if totals.refused[at] > 0 && run.row.status.is_terminal() {
        f.add_at(&name, side, totals.taken[at], format!("the child was refused {} bytes", totals.refused[at]));
    }
    let Some(exit) = &log.exit else { return };
    // One that dies inside `write` cannot note how much was taken: what it had noted is the least.
    if compared.kept < totals.taken[at] {
        let words = format!("{} bytes are kept, {} were taken from the child", compared.kept, totals.taken[at]);
        f.add_at(&name, side, compared.kept, words);
    }
    let told = exit.streams.get(side.stream().name()).map_or(0, |s| s.bytes);
    if told != compared.kept {
        f.add_at(&name, side, compared.kept, format!("the exit frame counts {told} bytes"));
    }
    let in_row = if side == Side::Out { run.row.stdout_bytes } else { run.row.stderr_bytes };
    if let Some(in_row) = in_row
        && run.row.attempt == log.attempt
        && in_row as u64 != compared.kept
    {
        f.add_at(&name, side, compared.kept, format!("the ledger counts {in_row} bytes"));
    }
}

/// N2 of one stream that declares a loss.
fn gaps(f: &mut Finder, run: &SeenRun, log: &SeenLog, totals: &Totals, side: Side) {
    if !declares_loss(run, log, side) {
        return;
    }
    let (at, name) = (side as usize, run.name());
    let compared = compare(run, log, totals, side);
    if let Some(offset) = compared.differs_at {
        f.add_at(&name, side, offset, "bytes are missing here and no gap says so");
    }
    let accounted = compared.kept + compared.declared;
    let missing = totals.taken[at].saturating_sub(accounted);
    let may = if log.exit.is_none() { SHIM_LOSS_MAX } else { 0 };
    if missing > may {
        let words = format!("{missing} bytes are missing at the end, {may} may be");
        f.add_at(&name, side, accounted, words);
    }
    if accounted > totals.handed[at] {
        f.add_at(&name, side, totals.handed[at], format!("{accounted} bytes are kept or declared, fewer were written"));
    }
}

/// N3 of all logs of a run.
fn order(f: &mut Finder, run: &SeenRun) {
    for log in &run.logs {
        for (at, seq) in log.seqs.iter().enumerate() {
            if *seq != at as u64 + 1 {
                f.add(run.name(), format!("frame {seq} stands where {} should", at + 1));
                break;
            }
        }
        for (side, offset, words) in &log.disorder {
            f.add_at(run.name(), *side, *offset, words);
        }
        for damage in &log.damage {
            f.add(run.name(), format!("damage in the log: {damage}"));
        }
        if log.is_torn && log.exit.is_some() {
            f.add(run.name(), "bytes follow the exit frame");
        }
    }
}

/// What the outcome must be by the record of the end (contracts 5); `None` when several are right.
fn real_status(run: &SeenRun, log: Option<&SeenLog>) -> Option<RunStatus> {
    let exit = log.and_then(|l| l.exit.as_ref())?;
    if exit.spawn_error.is_some() {
        return Some(if run.row.stop_requested_at.is_some() { RunStatus::Cancelled } else { RunStatus::Failed });
    }
    if let Some(stop) = exit.stop.as_ref().filter(|s| s.delivered) {
        return Some(match exit.by {
            EndedBy::Timeout => RunStatus::TimedOut,
            EndedBy::Quota => RunStatus::Failed,
            _ if stop.reason == "timeout" => RunStatus::TimedOut,
            _ => RunStatus::Cancelled,
        });
    }
    Some(if exit.code == Some(0) && exit.signal.is_none() { RunStatus::Succeeded } else { RunStatus::Failed })
}

/// N5 of a run.
fn ends(f: &mut Finder, run: &SeenRun, at_rest: bool) {
    let row = &run.row;
    let is_end = |e: &&RunEventRow| {
        e.message.starts_with("cancelled while queued")
            || RunStatus::ALL.iter().any(|s| s.is_terminal() && e.message.starts_with(&format!("run {s}:")))
    };
    let ends = run.events.iter().filter(is_end).count();
    let expected = usize::from(row.status.is_terminal());
    if ends != expected {
        f.add(run.name(), format!("it is {} and has {ends} records of its end", row.status));
    }
    if !row.status.is_terminal() {
        if at_rest {
            f.add(run.name(), format!("it is {} although nothing is under way", row.status));
        }
        return;
    }
    // Its record went with its log, as the row says, when both were kept long enough.
    if row.log_deleted_at.is_some() {
        return;
    }
    let log = run.logs.iter().find(|l| l.attempt == row.attempt);
    match real_status(run, log) {
        Some(real) if real != row.status => {
            f.add(run.name(), format!("it is {}, and its record says {real}", row.status));
        }
        Some(_) => {
            let exit = log.and_then(|l| l.exit.as_ref());
            let told = exit.map(|e| (e.code, e.signal.clone()));
            if told.as_ref().is_some_and(|t| *t != (row.exit_code, row.signal.clone())) {
                let ours = (row.exit_code, &row.signal);
                f.add(run.name(), format!("it has {ours:?}, and its record {told:?}"));
            }
        }
        None if row.status == RunStatus::Succeeded || row.exit_code.is_some() => {
            f.add(run.name(), format!("it is {} with {:?}, and no record says so", row.status, row.exit_code));
        }
        None if !run.children.is_empty() && row.status != RunStatus::Lost => {
            f.add(run.name(), format!("its child ran and no record tells its end, yet it is {}", row.status));
        }
        None => {}
    }
    // The child's own word.
    let stopped = log.and_then(|l| l.exit.as_ref()).is_some_and(|e| e.stop.as_ref().is_some_and(|s| s.delivered));
    for (attempt, totals) in &run.children {
        let meant = totals.code_plus_one.checked_sub(1).map(|c| c as i32);
        if *attempt == row.attempt
            && totals.done == 1
            && !stopped
            && let (Some(meant), Some(noted)) = (meant, row.exit_code)
            && meant != noted
        {
            f.add(run.name(), format!("its child was to exit with {meant}, {noted} is noted"));
        }
    }
}

/// N6: starts and effects happen once.
fn once(f: &mut Finder, world: &World) {
    for run in &world.runs {
        let mut starts: BTreeMap<u32, usize> = BTreeMap::new();
        for (attempt, _) in &run.children {
            *starts.entry(*attempt).or_default() += 1;
        }
        for (attempt, count) in starts.iter().filter(|(_, n)| **n > 1) {
            f.add(run.name(), format!("attempt {attempt} was started {count} times"));
        }
        for log in &run.logs {
            if let Some([before, after]) = log.epochs.array_windows().find(|[before, after]| after <= before) {
                f.add(run.name(), format!("its shim took orders of epoch {after} after those of {before}"));
            }
        }
    }
    let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for process in &world.processes {
        if let Some((owner, attempt)) = process.tag.rsplit_once('/')
            && !owner.starts_with("operation")
            && owner.contains('/')
        {
            owners.entry(owner).or_default().insert(attempt);
        }
    }
    for (owner, attempts) in owners.into_iter().filter(|(_, a)| a.len() > 1) {
        f.add(owner, format!("processes of attempts {attempts:?} live at once"));
    }
    let mut fences: BTreeSet<(EnvironmentId, i64)> = BTreeSet::new();
    let mut holders: BTreeMap<&str, i64> = BTreeMap::new();
    for lease in &world.leases {
        if let Some(fence) = lease.fence
            && !fences.insert((lease.environment_id, fence))
        {
            f.add(format!("L-{}", lease.number), format!("fence {fence} was granted twice"));
        }
        if let Some(id) = lease.provider_lease_id.as_deref().filter(|_| !lease.status.is_terminal())
            && let Some(other) = holders.insert(id, lease.number)
        {
            f.add(format!("L-{}", lease.number), format!("it holds {id}, and so does L-{other}"));
        }
    }
}

/// N7: whoever lives belongs to something that is under way.
fn strays(f: &mut Finder, world: &World) {
    for process in &world.processes {
        let (pid, comm, tag) = (process.pid, &process.comm, &process.tag);
        let parts: Vec<&str> = tag.split('/').collect();
        let number = parts.get(2).and_then(|n| n.parse::<u32>().ok());
        match parts[..] {
            ["run", id, _] => {
                let run = world.runs.iter().find(|r| r.row.id.text() == id);
                let is_open = run.is_some_and(|r| !r.row.status.is_terminal() && number == Some(r.row.attempt));
                let may_stay = run.is_some_and(|r| {
                    let names = r.row.survivors.as_ref().and_then(|v| v.as_array());
                    names.is_some_and(|names| names.iter().any(|n| n == comm.as_str()))
                });
                if !is_open && !may_stay {
                    let status = run.map_or("unknown", |r| r.row.status.as_str());
                    let name = run.map_or_else(|| tag.clone(), SeenRun::name);
                    f.add(name, format!("process {pid} ({comm}) of {tag} lives, and the run is {status}"));
                }
            }
            ["service", id, _] => {
                let service = world.services.iter().find(|s| s.id.text() == id);
                if !service.is_some_and(|s| s.status.is_live() && number == Some(s.generation)) {
                    f.add(tag.clone(), format!("process {pid} ({comm}) lives, and its service does not run"));
                }
            }
            ["operation", id] if !world.operations.iter().any(|o| o.id.text() == id) => {
                f.add(tag.clone(), format!("process {pid} ({comm}) lives, and its operation is over"));
            }
            _ => {}
        }
    }
}

/// Fails the test unless all seven hold.
pub fn assert_holds(books: &Books, site: &Site, at_rest: bool, context: &str) -> World {
    let world = World::read(site);
    let found = books.judge(&world, at_rest);
    assert!(
        found.is_empty(),
        "{context}: {} violations\n{}",
        found.len(),
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    );
    world
}
