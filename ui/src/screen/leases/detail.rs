//! What is known of one lease: its facts beside its waiting line and its history, and its other tabs.

use ratatui::layout::Rect;

use super::{CLEANUP, HISTORY, Leases, REALISATION, cleanup, expires, name};
use crate::draw::Canvas;
use crate::env::Env;
use crate::format;
use crate::pane::facts;
use crate::rows::*;
use crate::screen::browse::{Browse as _, fact, merged, state_fact};
use crate::text;
use crate::theme::Ink;

/// Cells from which on facts leave room for a column beside them.
const BESIDE: u16 = 120;

/// Blocks of the tab shown.
pub(super) fn blocks(screen: &Leases, line: &LeaseLine, env: &Env) -> Vec<FactBlock> {
    let reading = || vec![FactBlock { facts: vec![fact("", "reading…", "")] }];
    let Some(detail) = screen.detail() else {
        let failed = screen.detail.as_ref().and_then(|d| d.as_ref().err());
        return match (screen.base().tab, failed) {
            (super::FACTS, _) => own(line, env),
            (_, Some(words)) => vec![FactBlock { facts: vec![Fact { bad: true, ..fact("error", words.clone(), "") }] }],
            _ => reading(),
        };
    };
    let or = |blocks: &[FactBlock], words: &str| {
        let empty = blocks.iter().all(|b| b.facts.is_empty());
        if empty { vec![FactBlock { facts: vec![fact("", words, "")] }] } else { blocks.to_vec() }
    };
    match screen.base().tab {
        HISTORY => vec![FactBlock { facts: history(detail, env) }],
        REALISATION => or(&detail.realisation, "No workspace was realised under it."),
        CLEANUP => or(&detail.cleanup, "Nothing of it had to be cleaned up so far."),
        _ => {
            let mut blocks = own(line, env);
            if is_narrow(env) {
                blocks.push(FactBlock { facts: waiting(line, detail, env) });
            }
            blocks
        }
    }
}

fn is_narrow(env: &Env) -> bool {
    env.size.0 < BESIDE
}

/// `12:04:30  acquired  fence 412`, the oldest first.
fn history(detail: &LeaseDetail, env: &Env) -> Vec<Fact> {
    if detail.history.is_empty() {
        return vec![fact("", "Nothing has been recorded of it.", "")];
    }
    let entry = |line: &ActivityLine| {
        let words = line.action.rsplit('.').next().unwrap_or(&line.action).trim_start_matches("lease_");
        let words = if line.details.is_empty() { words.to_owned() } else { format!("{words}: {}", line.details) };
        fact(&format::moment(line.at, env.now, env.zone), words.replace('_', " "), line.who.clone())
    };
    detail.history.iter().map(entry).collect()
}

fn waiting(line: &LeaseLine, detail: &LeaseDetail, env: &Env) -> Vec<Fact> {
    let head = format!("WAITING FOR {}", line.environment);
    if detail.waiting.is_empty() {
        return vec![fact("WAITING", "nobody", detail.slots.clone())];
    }
    let one = |w: &WaitingLine| {
        let since = format::duration(w.since.until(env.now));
        fact(&format!("{}.", w.position), w.who.clone(), format!("{since}  {}", w.remark).trim_end().to_owned())
    };
    std::iter::once(fact("", head, detail.slots.clone())).chain(detail.waiting.iter().map(one)).collect()
}

fn own(line: &LeaseLine, env: &Env) -> Vec<FactBlock> {
    let moment = |at| format::full(at, env.zone);
    let since = line.acquired_at.map_or_else(String::new, |at| format!("for {}", format::duration(at.until(env.now))));
    let mut first = vec![
        fact("LEASE", name(line), ""),
        state_fact(line.class, &line.word, if line.live { since } else { String::new() }),
        fact("environment", format!("{}, driver {}", line.environment, line.driver), ""),
        fact("policy", line.policy.clone(), ""),
    ];
    if let Some(waits) = line.waits.as_ref().filter(|_| line.live) {
        first.push(fact("waits", waits.clone(), ""));
    }
    if let Some(at) = line.acquired_at {
        first.push(fact("acquired", moment(at), ""));
    }
    match (line.expires_at, line.released_at) {
        (_, Some(at)) => first.push(fact("released", moment(at), "")),
        (Some(at), None) => {
            let words = expires(line, env.now);
            let overdue = words == "overdue";
            let remark = if overdue { words } else { format!("in {words}") };
            let label = if line.word == "retained" { "kept until" } else { "expires" };
            first.push(Fact { bad: overdue, ..fact(label, moment(at), remark) });
        }
        (None, None) => {}
    }
    if let Some(fence) = line.fence {
        first.push(fact("fence", fence.to_string(), ""));
    }
    let clean =
        if line.cleanup.is_some() && line.waits.is_none() { cleanup(line, env.now) } else { "none needed".into() };
    first.push(fact("clean-up", clean, ""));
    let mut blocks = vec![FactBlock { facts: first }];
    if let Some(holder) = &line.holder {
        let state = line.holder_state.as_deref().unwrap_or("unknown");
        let mut held = vec![
            fact("HOLDER", format!("is {state}"), line.holder_evidence.clone().unwrap_or_default()),
            fact("run", holder.clone(), ""),
        ];
        if let Some(workspace) = &line.workspace {
            held.push(fact("workspace", workspace.clone(), ""));
        }
        if !line.services.is_empty() {
            held.push(fact("services", line.services.join(", "), ""));
        }
        if line.live && state == "gone" {
            held.push(fact("", "Nobody uses it any more; r releases it.", ""));
        }
        if line.live && state == "unknown" {
            held.push(fact("", "It cannot be judged: r waits for its end, X no longer than it must.", ""));
        }
        blocks.push(FactBlock { facts: held });
    }
    merged(blocks, &line.facts)
}

/// Draws the tab; facts stand beside the waiting line and the history where there is room.
pub(super) fn view(screen: &Leases, line: &LeaseLine, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
    let blocks = blocks(screen, line, env);
    let scroll = screen.base().scroll;
    let detail = screen.detail().filter(|_| screen.base().tab == super::FACTS && content.width >= BESIDE);
    let Some(detail) = detail else { return facts::view(canvas, content, &blocks, scroll) };
    let left = Rect { width: content.width * 54 / 100, ..content };
    facts::view(canvas, left, &blocks, scroll);
    let rule = canvas.ink(Ink::Rule);
    for y in content.y..content.bottom() {
        canvas.put(left.right(), y, 1, "│", rule);
    }
    let right = Rect { x: left.right() + 1, width: content.width.saturating_sub(left.width + 1), ..content };
    beside(line, detail, env, canvas, right);
}

/// Who waits for the environment, and what happened to the lease.
fn beside(line: &LeaseLine, detail: &LeaseDetail, env: &Env, canvas: &mut Canvas<'_>, area: Rect) {
    let (plain, dim, bold) = (canvas.ink(Ink::Text), canvas.ink(Ink::Dim), canvas.bold(Ink::Text));
    let x = area.x + 2;
    let room = area.width.saturating_sub(3);
    let mut y = area.y + 1;
    let head = format!("WAITING FOR A SLOT OF {}", line.environment);
    let at = canvas.put(x, y, room, &head, bold);
    canvas.put(at + 1, y, (x + room).saturating_sub(at + 1), &format!("({})", detail.slots), dim);
    y += 1;
    // Half of the room at most: the history stands below.
    let most = usize::from(area.height / 3).max(1);
    for w in detail.waiting.iter().take(most) {
        let since = format::duration(w.since.until(env.now));
        let who = text::cut_end(&w.who, 24).into_owned();
        canvas.put(
            x + 2,
            y,
            room.saturating_sub(2),
            &format!("{:>2}. {who:<24} {since:>6}  {}", w.position, w.remark),
            plain,
        );
        y += 1;
    }
    if detail.waiting.is_empty() {
        canvas.put(x + 2, y, room.saturating_sub(2), "nobody", dim);
        y += 1;
    } else if detail.waiting.len() > most {
        canvas.put(x + 2, y, room.saturating_sub(2), &format!("and {} more", detail.waiting.len() - most), dim);
        y += 1;
    }
    y += 1;
    canvas.put(x, y, room, &format!("HISTORY OF {}", name(line)), bold);
    y += 1;
    let entries = history(detail, env);
    let left = usize::from(area.bottom().saturating_sub(y));
    for entry in entries.iter().skip(entries.len().saturating_sub(left)) {
        canvas.put(x + 2, y, 9, &text::cut_end(&entry.label, 9), dim);
        let who = text::width(&entry.remark).min(14) as u16;
        let words = room.saturating_sub(12 + who + 1);
        canvas.put(x + 12, y, words, &text::cut_end(&entry.value, usize::from(words)), plain);
        canvas.put_right(area.right(), y, who, &text::cut_end(&entry.remark, usize::from(who)), dim);
        y += 1;
    }
}
