//! The close check and what archiving would do, in the operator's words.

use wharf_model::UnixMillis;
use wharf_model::rules::close_check::{CloseEffect, CloseItem, CloseVerb, CloseVerdict, Level, WayBack};
use wharf_ui::format::{self, Zone};
use wharf_ui::glyph::Class;
use wharf_ui::rows;
use wharf_ui::rows::{Preview, PreviewLine, PreviewVerb};

use crate::console::questions::preview::workspace::ArchivePreview;

/// Names that are told of one kind of things; the rest is a count.
const NAMES: usize = 2;

/// What the close check says, and what would happen.
pub fn close_check(preview: &ArchivePreview, zone: Zone) -> rows::CloseCheck {
    let Some(check) = &preview.check else {
        let why = preview.refused.clone().unwrap_or_else(|| "nobody could look at it".to_owned());
        return blocked(why, preview.at);
    };
    let fingerprint = vec![("fingerprint", check.fingerprint.clone())];
    rows::CloseCheck {
        verdict: check.verdict,
        items: check.items.iter().map(item).collect(),
        preview: Preview {
            lines: check.effects.iter().map(|e| effect(e, zone)).collect(),
            note: note(check.way_back()),
            expect: preview.expect.clone(),
            at: preview.at,
            refused: preview.refused.clone(),
            args: fingerprint,
        },
    }
}

fn note(back: WayBack) -> String {
    match back {
        WayBack::Everything => "R brings everything back, u undoes within this session.".to_owned(),
        other => other.words("R"),
    }
}

/// A check that found nothing but why it cannot be done.
pub fn blocked(why: String, at: UnixMillis) -> rows::CloseCheck {
    let item = rows::CloseItem { class: Class::Bad, what: why.clone(), names: String::new(), goes: None };
    rows::CloseCheck {
        verdict: CloseVerdict::Blocked,
        items: vec![item],
        preview: Preview { refused: Some(why), at, ..Preview::default() },
    }
}

fn item(item: &CloseItem) -> rows::CloseItem {
    let class = match item.level {
        Level::Fine => Class::Good,
        Level::Warning => Class::NeedsPerson,
        Level::Blocked => Class::Bad,
    };
    rows::CloseItem {
        class,
        what: item.words.clone(),
        names: names(&item.names, item.count),
        goes: item.names.first().and_then(|name| number(name)),
    }
}

/// `src/a.rs, src/b.rs, and 4 more`.
pub fn names(names: &[String], count: u64) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES).map(String::as_str).collect();
    let more = count.saturating_sub(shown.len() as u64);
    match (shown.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{}, and {} more", shown.join(", "), format::count(more)),
    }
}

/// The number that words begin with, of a thing that has a screen: `S-3` of `S-3 web`.
fn number(words: &str) -> Option<String> {
    let first = words.split_whitespace().next()?;
    let (letter, figures) = first.split_once('-')?;
    let is = matches!(letter, "R" | "L" | "S") && !figures.is_empty() && figures.bytes().all(|b| b.is_ascii_digit());
    is.then(|| first.to_owned())
}

fn effect(effect: &CloseEffect, zone: Zone) -> PreviewLine {
    let verb = match effect.verb {
        CloseVerb::Stops => PreviewVerb::Stops,
        CloseVerb::Keeps => PreviewVerb::Keeps,
        CloseVerb::Runs => PreviewVerb::Runs,
        CloseVerb::Removes => PreviewVerb::Removes,
    };
    let mut what = effect.words.clone();
    let mut how = Vec::new();
    if let Some(bytes) = effect.bytes {
        what.push_str(&format!(", {}", format::size(bytes)));
    }
    match (effect.verb, effect.until) {
        (CloseVerb::Removes, Some(at)) => how.push(format!("in the trash until {}", format::day(at, zone))),
        (_, Some(at)) => what.push_str(&format!(" until {}", format::day(at, zone))),
        (_, None) => {}
    }
    if let Some(ms) = effect.limit_ms {
        how.push(format!("limit {}", format::duration(i64::try_from(ms).unwrap_or(i64::MAX))));
    }
    PreviewLine { verb, what, how: how.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_with_how_many_more_there_are() {
        let all = |n: usize| (0..n).map(|i| format!("f{i}")).collect::<Vec<_>>();
        assert_eq!(names(&all(0), 0), "");
        assert_eq!(names(&all(2), 2), "f0, f1");
        assert_eq!(names(&all(20), 1_204), "f0, f1, and 1,202 more");
    }

    #[test]
    fn what_blocks_is_found_by_its_number() {
        for (words, expected) in
            [("R-1042", Some("R-1042")), ("S-3 web", Some("S-3")), ("O-12 provision", None), ("src/R-1.rs", None)]
        {
            assert_eq!(number(words).as_deref(), expected, "{words}");
        }
    }

    #[test]
    fn effects_say_size_time_and_until_when() {
        let of =
            |verb, words: &str| CloseEffect { verb, words: words.into(), bytes: None, until: None, limit_ms: None };
        let at = Some(UnixMillis(1_797_811_200_000));
        let told = |e: &CloseEffect| {
            let line = effect(e, Zone::UTC);
            (line.verb.word(), line.what, line.how)
        };
        let keeps = CloseEffect { until: at, ..of(CloseVerb::Keeps, "all of it as snapshot W-7.3") };
        assert_eq!(told(&keeps), ("keeps", "all of it as snapshot W-7.3 until 21 Dec 2026".into(), String::new()));
        let removes = CloseEffect { until: at, bytes: Some(233_000_000), ..of(CloseVerb::Removes, "the worktree") };
        let until = "in the trash until 21 Dec 2026".to_owned();
        assert_eq!(told(&removes), ("removes", "the worktree, 233 MB".into(), until));
        let runs = CloseEffect { limit_ms: Some(60_000), ..of(CloseVerb::Runs, "./scripts/teardown.sh") };
        assert_eq!(told(&runs), ("runs", "./scripts/teardown.sh".into(), "limit 1m00".into()));
    }
}
