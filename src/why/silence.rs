//! A run that prints nothing: since when, whether its processes live and compute, and what it may wait for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use wharf_model::config::AgentConfig;
use wharf_model::rules::silence::{Seen, Silence, Tree, WORKS_FROM_PERMILLE, is_silent, judge};
use wharf_model::{Driver, Kind, LeaseRow, ServiceStatus, Step};
use wharf_store::StoreError;
use wharf_store::log::{LogLines, Stream, StreamSet};
use wharf_ui::format::{cores, duration, plural};

use super::{Around, Line, Why, began, number};
use crate::console::last_output;
use crate::dispatch::perform::shim_dir;
use crate::process::usage::{Processes, Sample, Usage, between};

/// Time between two looks at a tree that was not seen before.
const FIRST_MS: u64 = 100;
/// A look as old as this tells what a tree takes now; an older one is put in its place.
const AGAIN_MS: u64 = 1_000;
const OLD_MS: u64 = 60_000;
/// Trees remembered, at most.
const TREES_MAX: usize = 64;
/// Bytes of the last line that are shown.
const LINE_BYTES: usize = 120;

/// Process trees as they were seen before, so that a further look tells what they take.
#[derive(Debug, Default)]
pub struct Trees(Mutex<HashMap<PathBuf, Sample>>);

/// What a tree was seen to take.
struct Taken {
    usage: Usage,
    /// Milliseconds between the looks.
    over_ms: u64,
    /// Processor time since it began.
    cpu_ms: u64,
}

impl Trees {
    /// Looks at the tree that the shim of a directory keeps; waits a moment where it was not seen before.
    fn look(&self, dir: &Path) -> std::io::Result<Option<Taken>> {
        let Some(mut now) = Processes::look()?.sample(dir) else { return Ok(None) };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(dir).cloned();
        let before = match known.filter(|b| b.shim == now.shim && now.at_ms.saturating_sub(b.at_ms) >= FIRST_MS) {
            Some(before) => before,
            None => {
                std::thread::sleep(Duration::from_millis(FIRST_MS));
                let Some(later) = Processes::look()?.sample(dir) else { return Ok(None) };
                std::mem::replace(&mut now, later)
            }
        };
        let over_ms = now.at_ms.saturating_sub(before.at_ms);
        let taken = Taken { usage: between(Some(&before), &now), over_ms, cpu_ms: now.cpu_ms };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= TREES_MAX {
            known.clear();
        }
        // The later one of two that are close would tell less.
        if over_ms > OLD_MS || !known.contains_key(dir) {
            known.insert(dir.to_owned(), if over_ms < AGAIN_MS { before } else { now });
        }
        Ok(Some(taken))
    }
}

/// Says of a run that executes and does not stand still what its silence means, where it is silent at all.
pub(super) fn add(around: &Around<'_>, why: &mut Why) -> Result<(), StoreError> {
    let detail = around.detail;
    let run = &detail.run;
    let Some(begun) = began(detail, Step::Execute).filter(|_| run.process_pid.is_some()) else { return Ok(()) };
    let Some(dir) = shim_dir("run", &run.id.text(), run.attempt).map(|dir| around.data.join(dir)) else {
        return Ok(());
    };
    let last = last_line(&dir);
    // A file that was made and never printed into is no output.
    let printed = last.is_some();
    let since = last_output(&dir).filter(|_| printed).unwrap_or(begun).max(begun);
    let limit_ms = limit(around)?;
    let now = around.now;
    if let Some((stream, words)) = last {
        let stream = match stream {
            Stream::Stderr => "stderr",
            Stream::Terminal => "terminal",
            _ => "stdout",
        };
        let words = format!("{stream}: {words}");
        why.evidence.push(Line::new("last byte", format!("{} ago", duration(since.until(now))), words));
    } else {
        why.evidence.push(Line::new("last byte", "none so far", ""));
    }
    if !is_silent(since, limit_ms, now) {
        return Ok(());
    }
    let missing = detail.services.iter().map(|item| &item.service).filter(|s| s.status != ServiceStatus::Running);
    let missing = missing.map(|s| format!("{} {} is {}", Kind::Service.number(s.number), s.name, s.status)).collect();
    let (tree, taken) = tree(around, &dir);
    let judged = judge(&Seen { since, printed, limit_ms, tree, missing }, now);
    if judged.silence == Silence::Quiet {
        return Ok(());
    }
    let word = if judged.silence == Silence::Stalled { "STALLED" } else { "SILENT" };
    why.verdict = format!("{} is {word} for {}: {}.", number(detail), duration(judged.silent_ms), judged.words);
    let after = duration(limit_ms.unwrap_or_default());
    why.rule = format!(
        "silent: no byte for {after}; it computes from {} cores on; nothing is ended by it",
        cores(WORKS_FROM_PERMILLE.into())
    );
    why.since = Some(since);
    if why.until.is_none() {
        why.until = judged.until.map(|(at, then)| (at, then.to_owned()));
    }
    match taken {
        Some(taken) => {
            let cpu = taken.usage.cpu_permille.map_or_else(|| "–".to_owned(), |milli| cores(milli.into()));
            let over = if taken.over_ms < 1_000 { "a moment".to_owned() } else { duration(taken.over_ms as i64) };
            let tree = plural(taken.usage.processes.into(), "process");
            let spent = duration(i64::try_from(taken.cpu_ms).unwrap_or(i64::MAX));
            why.evidence.push(Line::new("CPU of the tree", format!("{cpu} cores over {over}"), ""));
            why.evidence.push(Line::new("tree", tree, format!("{spent} of CPU since it began")));
        }
        None => why.evidence.push(Line::new("CPU of the tree", "–", "not known")),
    }
    if let Some(item) = &detail.lease {
        let lease = Kind::Lease.number(item.lease.number);
        why.not_the_cause.push(Line::new("lease", lease, format!("{} on {}", item.lease.status, item.environment)));
    }
    if judged.silence != Silence::Works {
        let words = "the network, a lock or an input that it waits for";
        why.evidence.push(Line::new("not seen", words, "a shell where it works may tell"));
    }
    Ok(())
}

/// Silence after which its agent is called silent.
fn limit(around: &Around<'_>) -> Result<Option<i64>, StoreError> {
    let id = around.detail.run.agent_id;
    let agents = around.reader.agents(None)?;
    let config = agents.into_iter().find(|a| a.agent.id == id).map(|a| a.agent.config);
    let config = config.and_then(|config| serde_json::from_value::<AgentConfig>(config).ok());
    Ok(config.and_then(|config| config.silence_ms).and_then(|ms| i64::try_from(ms).ok()))
}

/// Its processes, where those that are children of its shim are all there are.
fn tree(around: &Around<'_>, dir: &Path) -> (Tree, Option<Taken>) {
    let lease = around.detail.lease.as_ref();
    // A sandbox of bubblewrap is made of children of the shim, every other place keeps its own.
    let of_ours = |l: &LeaseRow| {
        let said = [&l.metadata, &l.realisation].into_iter().flatten().filter_map(|v| v.get("provider"));
        l.provider == Driver::Local.as_str() || said.filter_map(Value::as_str).any(|p| p == "bubblewrap")
    };
    if let Some(lease) = lease.filter(|l| !of_ours(&l.lease)) {
        return (Tree::Unseen(format!("what works in {} is not seen from here", lease.environment)), None);
    }
    match around.trees.look(dir) {
        Ok(Some(taken)) => {
            let Usage { processes, cpu_permille, .. } = taken.usage;
            (Tree::Seen { processes, cpu_permille }, Some(taken))
        }
        Ok(None) => (Tree::Unseen("its processes cannot be seen".to_owned()), None),
        Err(error) => (Tree::Unseen(format!("its processes cannot be read: {error}")), None),
    }
}

/// The last line that was printed, with its stream.
fn last_line(dir: &Path) -> Option<(Stream, String)> {
    let mut lines = LogLines::open(dir, LINE_BYTES, None).ok()?;
    let window = lines.tail_lines(1, StreamSet::OUTPUT).ok()?;
    let line = window.lines.last()?;
    Some((line.stream, String::from_utf8_lossy(&line.bytes).trim().to_owned()))
}
