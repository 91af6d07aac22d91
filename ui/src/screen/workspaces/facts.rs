//! Facts of one workspace: what is in it, why it is as it is, what was done with it, and what is kept of it.

use ratatui::layout::Rect;

use super::operations::{ending, took};
use super::{OPERATIONS, SNAPSHOTS, Workspaces, snapshots};
use crate::draw::Canvas;
use crate::env::Env;
use crate::format;
use crate::pane::facts;
use crate::rows::*;
use crate::screen::browse::{Browse as _, fact, merged, prose};
use crate::text;
use crate::theme::Ink;

/// Cells from which on there is room for a column beside the facts.
const BESIDE: u16 = 120;
/// Operations and snapshots that are told among the facts.
const SHOWN: usize = 6;
/// Cells of a fact's label.
const LABEL: u16 = 12;
/// Cells of an operation's words among the facts.
const COMMAND_MAX: usize = 38;

/// What has changed in it, as far as somebody has looked.
fn changes(workspace: &WorkspaceLine) -> Option<String> {
    let dirty = workspace.dirty.map(|n| (n, format::plural(n, "changed file")));
    let untracked = workspace.untracked.map(|n| (n, format!("{} untracked", format::count(n))));
    let commits = match (workspace.unpushed, workspace.ahead) {
        (Some(n), _) => Some((n, format!("{} not pushed", format::plural(n, "commit")))),
        (None, Some(n)) => Some((n, format!("{} ahead", format::plural(n, "commit")))),
        (None, None) => None,
    };
    let known: Vec<(u64, String)> = [dirty, untracked, commits].into_iter().flatten().collect();
    let some: Vec<&str> = known.iter().filter(|(n, _)| *n > 0).map(|(_, words)| words.as_str()).collect();
    match (known.is_empty(), some.is_empty()) {
        (true, _) => None,
        (false, true) => Some("nothing".to_owned()),
        (false, false) => Some(some.join(", ")),
    }
}

/// Everything, in one column; where there is room the second half stands beside the first.
pub(super) fn blocks(screen: &Workspaces, line: &WorkspaceLine, env: &Env) -> Vec<FactBlock> {
    match screen.base().tab {
        OPERATIONS => return vec![FactBlock { facts: operations(screen, env) }],
        SNAPSHOTS => return vec![FactBlock { facts: kept(screen, line, env) }],
        _ => {}
    }
    let mut blocks = left(screen, line, env);
    let content = screen.content(env);
    let more = right(screen, line, env, content.width);
    if !is_beside(screen, env) {
        // What explains stands directly below what is; the rest at the end.
        let mut more = more.into_iter();
        blocks.splice(1..1, more.next());
        blocks.extend(more);
    }
    blocks
}

fn is_beside(screen: &Workspaces, env: &Env) -> bool {
    screen.content(env).width >= BESIDE
}

/// What is in it, and what was done with it.
fn left(screen: &Workspaces, line: &WorkspaceLine, env: &Env) -> Vec<FactBlock> {
    let mut first = Vec::new();
    let base = line.base.as_ref().map_or_else(String::new, |base| {
        let behind = line.behind.filter(|n| *n > 0).map(|n| format!(" ({} behind)", format::count(n)));
        format!("base {base}{}", behind.unwrap_or_default())
    });
    if let Some(branch) = &line.branch {
        first.push(fact("branch", branch.clone(), base));
    } else if !base.is_empty() {
        first.push(fact("base", base.trim_start_matches("base ").to_owned(), ""));
    }
    first.push(fact("path", line.path.clone(), ""));
    if line.live {
        let unknown = || "unknown: nobody has looked yet".to_owned();
        first.push(fact("changed", changes(line).unwrap_or_else(unknown), ""));
    }
    let known = screen.detail().cloned().unwrap_or_default();
    let issues = if known.issues.is_empty() { line.issue.clone().into_iter().collect() } else { known.issues };
    for (i, issue) in issues.into_iter().enumerate() {
        first.push(fact(if i == 0 { "issue" } else { "" }, issue, ""));
    }
    let runs = match (known.runs.is_empty(), &line.holder) {
        (false, _) => known.runs.join(" · "),
        (true, Some(holder)) => holder.clone(),
        (true, None) => line.last_run.clone().unwrap_or_else(|| "none yet".to_owned()),
    };
    first.push(fact("runs", runs, ""));
    if !known.services.is_empty() {
        first.push(fact("services", known.services.join(", "), ""));
    }
    vec![
        FactBlock { facts: first },
        FactBlock { facts: operations(screen, env) },
        FactBlock { facts: kept(screen, line, env) },
    ]
}

/// Facts in so many cells: one that its row has no room for goes on in rows below it.
fn whole(facts: &[Fact], width: u16) -> Vec<Fact> {
    let room = usize::from(width.saturating_sub(LABEL + 2)).max(16);
    let mut out = Vec::new();
    for fact in facts {
        let (value, remark) = (text::width(&fact.value), text::width(&fact.remark));
        // The pane keeps the remarks of short values below each other.
        let beside = value.max(room * 24 / 68) + 2 + remark <= room;
        if beside || fact.remark.is_empty() && value <= room {
            out.push(fact.clone());
            continue;
        }
        let mut rows = prose(&fact.label, &fact.value, room);
        if !fact.remark.is_empty() {
            rows.extend(prose("", &fact.remark, room));
        }
        out.extend(rows.into_iter().map(|row| Fact { bad: fact.bad, ..row }));
    }
    out
}

/// Why it is as it is, and what else is known of it, in so many cells.
fn right(screen: &Workspaces, line: &WorkspaceLine, env: &Env, width: u16) -> Vec<FactBlock> {
    let state = format!("{} {}", line.class.glyph(), line.word);
    let bad = line.class == crate::glyph::Class::Bad;
    let mut why = vec![Fact { bad, ..fact("WHY", state, "") }];
    match screen.mine(screen.detail.as_ref()) {
        Some(Ok(detail)) => why.extend(whole(&detail.why, width)),
        Some(Err(words)) => why.push(Fact { bad: true, ..fact("", words.clone(), "") }),
        None => why.push(fact("", "reading…", "")),
    }
    let mut more = vec![fact("made", format::full(line.created_at, env.zone), "")];
    if let Some(used) = line.used_at {
        more.push(fact("last used", format::full(used, env.zone), ""));
    }
    more.push(fact("mode", line.mode.clone(), if line.ours { "made by wharf" } else { "yours: never removed" }));
    if let Some(environment) = &line.environment {
        more.push(fact("environment", environment.clone(), ""));
    }
    if let Some(size) = line.size_bytes {
        more.push(fact("size", format::size(size), if line.live { "" } else { "in the trash" }));
    }
    if let Some(merged) = line.merged {
        more.push(fact("merged", if merged { "all of it is in its base" } else { "not all of it is in its base" }, ""));
    }
    merged(vec![FactBlock { facts: why }, FactBlock { facts: more }], &line.facts)
}

/// `09:37:18  ✓ provision npm ci  0.97s`, the oldest first, with a head.
fn operations(screen: &Workspaces, env: &Env) -> Vec<Fact> {
    let words = |o: &OperationLine| format!("{} {}", o.class.glyph(), o.words());
    let one = |o: &OperationLine, width: usize| {
        let at = o.started_at.map_or_else(|| "–".to_owned(), |at| snapshots::day_or_clock(at, env));
        let bad = o.class == crate::glyph::Class::Bad;
        let how = if o.finished_at.is_none() { format!("{} {}", o.word, took(o, env)) } else { took(o, env) };
        let how = if bad { format!("{how}  {}", ending(o)) } else { how };
        let words = text::cut_middle(&words(o), width).into_owned();
        Fact { bad, ..fact(&at, text::pad(&words, width), how) }
    };
    let all = match screen.mine(screen.operations.as_ref()) {
        Some(Ok(all)) if all.is_empty() => return vec![fact("OPERATIONS", "none yet", "")],
        Some(Ok(all)) => all,
        Some(Err(words)) => return vec![Fact { bad: true, ..fact("OPERATIONS", words.clone(), "") }],
        None => return vec![fact("OPERATIONS", "reading…", "")],
    };
    let older = all.len().saturating_sub(SHOWN);
    let head = if older > 0 { format!("{older} older ones: t h") } else { "t h shows their logs".to_owned() };
    let shown = all.iter().take(SHOWN);
    let width = shown.clone().map(|o| text::width(&words(o))).max().unwrap_or(0).min(COMMAND_MAX);
    std::iter::once(fact("OPERATIONS", "", head)).chain(shown.rev().map(|o| one(o, width))).collect()
}

/// `W-7.2  09:43:31  5 files  62 KB  before the lost run was cleared`, the newest first, with a head.
fn kept(screen: &Workspaces, line: &WorkspaceLine, env: &Env) -> Vec<Fact> {
    let all = match screen.mine(screen.snapshots.as_ref()) {
        Some(Ok(all)) if all.is_empty() => return vec![fact("SNAPSHOTS", "none yet", "s makes one")],
        Some(Ok(all)) => all,
        Some(Err(words)) => return vec![Fact { bad: true, ..fact("SNAPSHOTS", words.clone(), "") }],
        None => return vec![fact("SNAPSHOTS", "reading…", "")],
    };
    let older = all.len().saturating_sub(SHOWN);
    let head = if older > 0 { format!("{older} older ones: t s") } else { String::new() };
    let shown = all.iter().take(SHOWN);
    let width = shown.clone().map(|s| text::width(&snapshots::words(s, env))).max().unwrap_or(0);
    let one = |s: &SnapshotLine| {
        fact(&snapshots::name(line, s), text::pad(&snapshots::words(s, env), width), s.reason.clone())
    };
    std::iter::once(fact("SNAPSHOTS", "", head)).chain(shown.map(one)).collect()
}

fn half(content: Rect) -> Rect {
    Rect { width: content.width * 49 / 100, ..content }
}

/// How far the facts can be scrolled.
pub(super) fn clamp(screen: &Workspaces, line: &WorkspaceLine, env: &Env, content: Rect) -> usize {
    let area = if is_beside(screen, env) { half(content) } else { content };
    facts::clamp(screen.base().scroll, &blocks(screen, line, env), area)
}

/// Draws the facts; why it is as it is stands beside them where there is room.
pub(super) fn view(screen: &Workspaces, line: &WorkspaceLine, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
    let all = blocks(screen, line, env);
    if !is_beside(screen, env) || screen.base().tab != super::FACTS {
        return facts::view(canvas, content, &all, screen.base().scroll);
    }
    let area = half(content);
    facts::view(canvas, area, &all, screen.base().scroll);
    let rule = canvas.ink(Ink::Rule);
    for y in content.y..content.bottom() {
        canvas.put(area.right(), y, 1, "│", rule);
    }
    let x = area.right() + 1;
    let beside = Rect { x, width: content.right().saturating_sub(x), ..content };
    facts::view(canvas, beside, &right(screen, line, env, beside.width), 0);
}
