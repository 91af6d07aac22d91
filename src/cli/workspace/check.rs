//! A close check in words, as the console's dialog shows it.

use serde::Serialize;
use wharf_model::UnixMillis;
use wharf_model::rules::close_check::{CloseCheck, CloseEffect, CloseItem, Level};
use wharf_ui::format::{self, Zone};
use wharf_ui::text::width;

/// Names shown of a list.
const NAMED: usize = 2;

/// A check in a document.
#[derive(Serialize)]
pub struct CheckDoc<'a> {
    verdict: &'static str,
    items: &'a [CloseItem],
    effects: Vec<EffectDoc<'a>>,
    fingerprint: &'a str,
}

#[derive(Serialize)]
struct EffectDoc<'a> {
    verb: &'static str,
    what: &'a str,
    bytes: Option<u64>,
    until: Option<String>,
    limit_ms: Option<u64>,
}

impl<'a> CheckDoc<'a> {
    /// As programs read it.
    pub fn new(check: &'a CloseCheck) -> Self {
        Self {
            verdict: check.verdict.as_str(),
            items: &check.items,
            effects: check
                .effects
                .iter()
                .map(|e| EffectDoc {
                    verb: e.verb.word(),
                    what: &e.words,
                    bytes: e.bytes,
                    until: e.until.map(UnixMillis::rfc3339),
                    limit_ms: e.limit_ms,
                })
                .collect(),
            fingerprint: &check.fingerprint,
        }
    }
}

/// The lines of a check: what was looked at, then what will happen.
pub fn lines(check: &CloseCheck, now: UnixMillis, zone: Zone) -> Vec<String> {
    let mut out = Vec::new();
    let widest = check.items.iter().filter(|i| !i.names.is_empty()).map(|i| width(&i.words)).max().unwrap_or(0);
    for item in &check.items {
        out.push(line(item, widest));
    }
    if check.effects.is_empty() {
        return out;
    }
    out.push(String::new());
    out.push("What will happen:".to_owned());
    out.extend(check.effects.iter().map(|e| effect(e, now, zone)));
    out
}

fn line(item: &CloseItem, widest: usize) -> String {
    let glyph = match item.level {
        Level::Fine => "✓",
        Level::Warning => "▲",
        Level::Blocked => "✗",
    };
    if item.names.is_empty() {
        return format!("  {glyph} {}", item.words);
    }
    let shown = item.names.len().min(NAMED);
    let mut names = item.names[..shown].join(", ");
    let more = item.count.saturating_sub(shown as u64);
    if more > 0 {
        names.push_str(&format!(", and {more} more"));
    }
    let pad = " ".repeat(widest.saturating_sub(width(&item.words)));
    format!("  {glyph} {}{pad}   {names}", item.words)
}

fn effect(effect: &CloseEffect, now: UnixMillis, zone: Zone) -> String {
    let mut line = format!("  {:<8} {}", effect.verb.word(), effect.words);
    if let Some(bytes) = effect.bytes {
        line.push_str(&format!(", {}", format::size(bytes)));
    }
    if let Some(until) = effect.until {
        let what = if effect.verb == wharf_model::rules::close_check::CloseVerb::Removes {
            "; its files stay in the trash until"
        } else {
            " until"
        };
        line.push_str(&format!("{what} {}", format::moment(until, now, zone)));
    }
    if let Some(ms) = effect.limit_ms {
        line.push_str(&format!("   limit {}", format::duration(i64::try_from(ms).unwrap_or(i64::MAX))));
    }
    line
}

#[cfg(test)]
mod tests {
    use wharf_model::rules::close_check::{CloseVerb, CloseVerdict};

    use super::*;

    #[test]
    fn it_reads_as_the_dialog_does() {
        let item = |level, words: &str, names: &[&str]| CloseItem {
            level,
            code: "x".into(),
            words: words.into(),
            count: names.len() as u64,
            names: names.iter().map(|n| (*n).to_owned()).collect(),
        };
        let check = CloseCheck {
            verdict: CloseVerdict::Warnings,
            items: vec![
                item(Level::Fine, "no live run, no service, no open file", &[]),
                item(Level::Warning, "3 changed files", &["src/a.rs", "b", "c"]),
                item(Level::Warning, "1 untracked", &["notes.md"]),
            ],
            effects: vec![
                CloseEffect {
                    verb: CloseVerb::Runs,
                    words: "./down".into(),
                    bytes: None,
                    until: None,
                    limit_ms: Some(60_000),
                },
                CloseEffect {
                    verb: CloseVerb::Removes,
                    words: "the worktree".into(),
                    bytes: Some(233_000_000),
                    until: Some(UnixMillis(3_600_000)),
                    limit_ms: None,
                },
            ],
            fingerprint: "f".into(),
        };
        assert_eq!(
            lines(&check, UnixMillis(0), Zone { east_seconds: 0, utc: false }),
            [
                "  ✓ no live run, no service, no open file",
                "  ▲ 3 changed files   src/a.rs, b, and 1 more",
                "  ▲ 1 untracked       notes.md",
                "",
                "What will happen:",
                "  runs     ./down   limit 1m00",
                "  removes  the worktree, 233 MB; its files stay in the trash until 01:00:00",
            ]
        );
    }
}
