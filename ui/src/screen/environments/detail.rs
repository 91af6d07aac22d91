//! What is known of one environment: what a probe found beside its facts, and its other tabs.

use ratatui::layout::Rect;

use super::{CONFIG, Environments, FACTS, LEASES, PROBES, name, used};
use crate::draw::Canvas;
use crate::env::Env;
use crate::format;
use crate::glyph::Class;
use crate::pane::facts;
use crate::rows::*;
use crate::screen::browse::{Browse as _, fact, merged, state_fact};
use crate::text;
use crate::theme::Ink;

/// Cells from which on facts leave room for the probe beside them.
const BESIDE: u16 = 120;

/// Blocks of the tab shown.
pub(super) fn blocks(screen: &Environments, line: &EnvironmentLine, env: &Env) -> Vec<FactBlock> {
    let detail = screen.detail();
    let words = |words: &str| vec![FactBlock { facts: vec![fact("", words, "")] }];
    let or = |blocks: &[FactBlock], none: &str| {
        if blocks.iter().all(|b| b.facts.is_empty()) { words(none) } else { blocks.to_vec() }
    };
    match (screen.base().tab, detail) {
        (FACTS, _) => {
            let mut blocks = if env.size.0 < BESIDE { vec![checks(line, env)] } else { Vec::new() };
            blocks.extend(own(screen, line));
            blocks
        }
        (_, None) => match screen.detail.as_ref().and_then(|d| d.as_ref().err()) {
            Some(error) => vec![FactBlock { facts: vec![Fact { bad: true, ..fact("error", error.clone(), "") }] }],
            None => words("reading…"),
        },
        (LEASES, Some(detail)) => or(&detail.leases, "Nothing is held on it."),
        (CONFIG, Some(detail)) => or(&detail.config, "It has no settings."),
        (_, Some(detail)) => {
            let entry = |line: &ActivityLine| {
                let action = line.action.rsplit('.').next().unwrap_or(&line.action).replace('_', " ");
                let words = if line.details.is_empty() { action } else { format!("{action}: {}", line.details) };
                fact(&format::moment(line.at, env.now, env.zone), words, line.who.clone())
            };
            debug_assert_eq!(screen.base().tab, PROBES);
            or(&[FactBlock { facts: detail.history.iter().map(entry).collect() }], "It was never probed or changed.")
        }
    }
}

fn own(screen: &Environments, line: &EnvironmentLine) -> Vec<FactBlock> {
    let written = match &line.written {
        Some((file, n)) => format!("from {file} line {n}"),
        None => "made by hand".to_owned(),
    };
    let waiting = if line.waiting > 0 { format!("{} waiting", line.waiting) } else { String::new() };
    let mut first = vec![
        fact("ENVIRONMENT", name(line), line.name.clone()),
        state_fact(line.class, &line.word, written),
        fact("driver", line.driver.to_string(), ""),
        fact(
            "capacity",
            format!("{} used{}", used(line), if line.slots.is_some() { "" } else { ", no limit" }),
            waiting,
        ),
        fact("policy", line.policy.clone(), ""),
    ];
    if line.retained > 0 {
        first.push(fact("kept", line.retained.to_string(), "leases that outlived their runs"));
    }
    if line.to_clean > 0 {
        first.push(Fact {
            bad: true,
            ..fact("to clean", line.to_clean.to_string(), "leases that could not be given back")
        });
    }
    let mut blocks = vec![FactBlock { facts: first }];
    if let Some(detail) = screen.detail() {
        let named = if detail.named_by.is_empty() { "nobody".to_owned() } else { detail.named_by.join(", ") };
        if let Some(block) = blocks.first_mut() {
            block.facts.push(fact("named by", named, ""));
        }
        let mut capabilities = vec![fact("CAN DO", "", "")];
        capabilities.extend(detail.capabilities.iter().map(|(label, value)| fact(label, value.clone(), "")));
        if capabilities.len() > 1 {
            blocks.push(FactBlock { facts: capabilities });
        }
        let mut leases = vec![fact("LEASES", "", "")];
        leases.extend(detail.leases.iter().flat_map(|b| b.facts.clone()));
        if leases.len() > 1 {
            blocks.push(FactBlock { facts: leases });
        }
    }
    merged(blocks, &line.facts)
}

/// The checks as facts, where they have no column of their own.
fn checks(line: &EnvironmentLine, env: &Env) -> FactBlock {
    let Some(probe) = &line.probe else {
        return FactBlock { facts: vec![fact("PROBE", "nobody has looked at it yet; p does", "")] };
    };
    let mut facts =
        vec![fact("PROBE", probe.summary().1, format!("{} ago", format::duration(probe.at.until(env.now))))];
    for check in &probe.checks {
        let bad = check.class == Class::Bad;
        facts.push(Fact { bad, ..fact(&check.code, format!("{} {}", check.class.glyph(), check.message), "") });
        if let Some(hint) = &check.hint {
            facts.push(fact("", format!("  hint: {hint}"), ""));
        }
    }
    FactBlock { facts }
}

/// Draws the tab; the probe stands beside the facts where there is room.
pub(super) fn view(screen: &Environments, line: &EnvironmentLine, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
    let blocks = blocks(screen, line, env);
    let scroll = screen.base().scroll;
    if screen.base().tab != FACTS || content.width < BESIDE {
        return facts::view(canvas, content, &blocks, scroll);
    }
    let left = Rect { width: content.width * 58 / 100, ..content };
    probe(line, canvas, left);
    let rule = canvas.ink(Ink::Rule);
    for y in content.y..content.bottom() {
        canvas.put(left.right(), y, 1, "│", rule);
    }
    let right = Rect { x: left.right() + 1, width: content.width.saturating_sub(left.width + 1), ..content };
    facts::view(canvas, right, &blocks, scroll);
}

/// The checks in the order in which they were made, each with what to do about it.
fn probe(line: &EnvironmentLine, canvas: &mut Canvas<'_>, area: Rect) {
    let (plain, dim) = (canvas.ink(Ink::Text), canvas.ink(Ink::Dim));
    let room = area.width.saturating_sub(2);
    let Some(probe) = &line.probe else {
        canvas.put(area.x + 2, area.y + 1, room, "Nobody has looked at it yet; p probes it.", dim);
        return;
    };
    let code = probe.checks.iter().map(|c| text::width(&c.code)).max().unwrap_or(5).clamp(5, 24) as u16;
    canvas.put(area.x + 5, area.y, room, "CHECK", dim);
    canvas.put(area.x + 7 + code, area.y, room.saturating_sub(code + 7), "RESULT", dim);
    let mut y = area.y + 1;
    for check in &probe.checks {
        let glyph = canvas.ink(check.class.ink());
        let of_words = room.saturating_sub(code + 7);
        let mut lines: Vec<(String, bool)> =
            wrapped(&check.message, of_words).into_iter().map(|l| (l, false)).collect();
        if let Some(hint) = &check.hint {
            lines.extend(wrapped(&format!("hint: {hint}"), of_words).into_iter().map(|l| (l, true)));
        }
        for (i, (words, hint)) in lines.into_iter().enumerate() {
            if y >= area.bottom() {
                return;
            }
            if i == 0 {
                canvas.put(area.x + 2, y, 2, check.class.glyph(), glyph);
                canvas.put(area.x + 5, y, code, &text::cut_end(&check.code, usize::from(code)), plain);
            }
            canvas.put(area.x + 7 + code, y, of_words, &words, if hint { dim } else { plain });
            y += 1;
        }
    }
}

fn wrapped(words: &str, room: u16) -> Vec<String> {
    text::wrap(words, usize::from(room).max(10)).into_iter().map(|(a, b)| words[a..b].to_owned()).collect()
}
