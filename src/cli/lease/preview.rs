//! Previews of the verbs: gathered from the store, told to people and to programs.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use wharf_model::{LeaseId, WorkspaceRow};
use wharf_store::Reader;
use wharf_store::view::EntityKind;
use wharf_ui::rows::{Expect, PreviewLine, PreviewVerb};

use super::super::context::Context;
use super::super::error::{CliError, Result, exit};
use super::super::logs::named_one;
use super::Doing;
use crate::clock;
use crate::console::lease_preview::{self, Around, Judgement};
use crate::workspace::facts;

/// One line of a preview in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    verb: &'static str,
    entity: String,
    what: String,
    remark: String,
}

/// A lease and what would be done with it.
pub struct Judged {
    /// Identity.
    pub id: LeaseId,
    /// `L-4`.
    pub number: String,
    /// What would be done.
    pub judgement: Judgement,
}

impl Judged {
    /// Why it cannot be done.
    pub fn refused(&self) -> Option<&str> {
        self.judgement.preview.refused.as_deref()
    }

    /// The versions that it was judged by.
    pub fn expect(&self) -> &[Expect] {
        &self.judgement.preview.expect
    }

    /// Whether it would do the same as an earlier preview: versions rise with every sign of life, only another
    /// effect needs another answer.
    pub fn does_the_same(&self, before: &Self) -> bool {
        bare(&self.judgement.effect) == bare(&before.judgement.effect)
    }

    /// Lines for documents and columns.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for line in &self.judgement.preview.lines {
            match (line.verb, lines.last_mut()) {
                // Goes on with the one above.
                (PreviewVerb::More, Some(above)) => above.remark = format!("{}; {}", above.remark, line.what),
                _ => lines.push(told(line)),
            }
        }
        lines
    }
}

/// A line with the number of what it is about for itself.
fn told(line: &PreviewLine) -> Line {
    let (entity, what) = match line.what.split_once(' ') {
        Some((first, rest)) if is_number(first) => (first, rest),
        _ if is_number(&line.what) => (line.what.as_str(), ""),
        _ => line.what.strip_prefix("a slot ").map_or(("", line.what.as_str()), |rest| ("a slot", rest)),
    };
    Line { verb: line.verb.word(), entity: entity.to_owned(), what: what.to_owned(), remark: line.how.clone() }
}

fn is_number(word: &str) -> bool {
    word.split_once('-').is_some_and(|(letter, digits)| {
        letter.len() == 1 && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

/// An effect without what says only when and how it was judged.
fn bare(effect: &Value) -> Value {
    match effect {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "judged" | "evidence" | "expires_at" | "retain_until"))
            .map(|(key, value)| (key.clone(), bare(value)))
            .collect(),
        other => other.clone(),
    }
}

/// The lease that is named so.
pub fn named(reader: &Reader, text: &str) -> Result<(LeaseId, String)> {
    let found = named_one(reader, text, EntityKind::Lease)?;
    Ok((LeaseId(found.id), found.label))
}

/// Computes the preview from the store as it is now.
pub fn judge(context: &Context, reader: &Reader, (id, number): (LeaseId, String), doing: Doing) -> Result<Judged> {
    let around = Around { now: clock::now(), zone: context.zone(), files: &uncommitted };
    let judgement = lease_preview::judge(reader, id, doing.verb, &around)?;
    let gone = || CliError::new(exit::NOT_FOUND, "id_unknown", format!("{number} is not in the store any more"));
    Ok(Judged { id, judgement: judgement.ok_or_else(gone)?, number })
}

/// Changes of a checkout that no commit holds.
fn uncommitted(workspace: &WorkspaceRow) -> String {
    let Some(path) = workspace.cwd.as_deref().map(Path::new).filter(|p| p.is_dir()) else { return String::new() };
    match facts::observe(path, None).map(|f| f.changed + f.untracked) {
        Ok(0) => "nothing uncommitted in it".to_owned(),
        Ok(1) => "1 uncommitted file stays".to_owned(),
        Ok(n) => format!("{n} uncommitted files stay"),
        Err(_) => String::new(),
    }
}

/// The lines for people, of all of them.
pub fn text(judged: &[Judged], doing: Doing) -> String {
    let mut out = match judged {
        [one] => format!("{} {} on {} does this, in this order:\n", doing.noun, one.number, one.judgement.environment),
        many => format!("{} {} leases does this, in this order:\n", doing.noun, many.len()),
    };
    let mut rows: Vec<(&str, String, String)> = Vec::new();
    let mut notes: Vec<&str> = Vec::new();
    for one in judged {
        if let Some(why) = one.refused() {
            let why = why.strip_prefix(&format!("{} ", one.number)).unwrap_or(why);
            rows.push(("leaves", one.number.clone(), why.to_owned()));
            continue;
        }
        for line in one.lines() {
            rows.push((line.verb, format!("{} {}", line.entity, line.what).trim().to_owned(), line.remark));
        }
        let note = one.judgement.preview.note.as_str();
        if !note.is_empty() && !notes.contains(&note) {
            notes.push(note);
        }
    }
    let widest = rows.iter().map(|(_, what, _)| wharf_ui::text::width(what)).max().unwrap_or(0);
    for (verb, what, remark) in rows {
        let pad = " ".repeat(widest.saturating_sub(wharf_ui::text::width(&what)));
        out.push_str(format!("  {verb:<6} {what}{pad}  {remark}").trim_end());
        out.push('\n');
    }
    for note in notes {
        out.push_str(note);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_ui::rows::Preview;

    fn judged(number: &str, lines: &[(PreviewVerb, &str, &str)], refused: Option<&str>) -> Judged {
        let lines = lines
            .iter()
            .map(|(verb, what, how)| PreviewLine { verb: *verb, what: (*what).into(), how: (*how).into() })
            .collect();
        let note = "R-1042 is recorded as cancelled by operator. This cannot be undone.".to_owned();
        Judged {
            id: LeaseId::NIL,
            number: number.into(),
            judgement: Judgement {
                preview: Preview { lines, note, refused: refused.map(str::to_owned), ..Preview::default() },
                stops: None,
                patience_ms: 0,
                environment: "Local".into(),
                effect: Value::Null,
            },
        }
    }

    #[test]
    fn the_preview_stands_in_columns() {
        let lines = [
            (PreviewVerb::Stops, "R-1042 fixer SHOP-17", "SIGTERM, 15s, then SIGKILL"),
            (PreviewVerb::More, "7 processes, oldest 4711", ""),
            (PreviewVerb::Stops, "S-14 db on port 5433", "used by this run only"),
            (PreviewVerb::Frees, "a slot of Local and of fixer", ""),
        ];
        let one = judged("L-88", &lines, None);
        let expected = "Releasing L-88 on Local does this, in this order:\n\
            \u{20} stops  R-1042 fixer SHOP-17          SIGTERM, 15s, then SIGKILL; 7 processes, oldest 4711\n\
            \u{20} stops  S-14 db on port 5433          used by this run only\n\
            \u{20} frees  a slot of Local and of fixer\n\
            R-1042 is recorded as cancelled by operator. This cannot be undone.\n";
        assert_eq!(text(&[one], Doing::release(false)), expected);
        let first = judged("L-88", &lines[..1], None);
        let second = judged("L-87", &[], Some("L-87 is released since noon; there is nothing to release"));
        let expected = "Releasing 2 leases does this, in this order:\n\
            \u{20} stops  R-1042 fixer SHOP-17  SIGTERM, 15s, then SIGKILL\n\
            \u{20} leaves L-87                  is released since noon; there is nothing to release\n\
            R-1042 is recorded as cancelled by operator. This cannot be undone.\n";
        assert_eq!(text(&[first, second], Doing::release(false)), expected);
    }

    #[test]
    fn the_number_of_a_line_stands_for_itself() {
        let line = |what: &str| told(&PreviewLine { verb: PreviewVerb::Keeps, what: what.into(), how: String::new() });
        for (what, entity, rest) in [
            ("R-7 fixer", "R-7", "fixer"),
            ("L-7", "L-7", ""),
            ("a slot of Local", "a slot", "of Local"),
            ("its directory on box-1", "", "its directory on box-1"),
        ] {
            let line = line(what);
            assert_eq!((line.entity.as_str(), line.what.as_str()), (entity, rest));
        }
    }

    #[test]
    fn what_changes_with_time_only_needs_no_other_answer() {
        let effect = |version: i64, run: &str| {
            let value =
                serde_json::json!({ "stops_run": run, "judged": [{ "version": version }], "expires_at": version });
            let mut one = judged("L-1", &[], None);
            one.judgement.effect = value;
            one
        };
        assert!(effect(1, "a").does_the_same(&effect(2, "a")));
        assert!(!effect(1, "a").does_the_same(&effect(1, "b")));
    }
}
