//! Why something is as it is: verdict, rule, since and until, evidence, what is well, what can be done.
//!
//! One layout for the screen and for the command line.

use ratatui::layout::Rect;
use wharf_model::UnixMillis;
use wharf_model::rules::service_why::{Action, Key, Until, Why};

use crate::draw::Canvas;
use crate::format::{self, Zone};
use crate::text;
use crate::theme::Ink;

/// Cells before the words of a block.
const LABEL: usize = 11;
/// Cells before a piece of evidence, and before what an action does.
const EVIDENCE: usize = 16;
const ACTION: usize = 6;

/// Words at a place of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    at: usize,
    words: String,
    ink: Ink,
    bold: bool,
}

/// One line of the page.
pub type Line = Vec<Span>;

fn span(at: usize, words: impl Into<String>, ink: Ink) -> Span {
    Span { at, words: words.into(), ink, bold: false }
}

/// What stands before an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The key on the screen.
    Keys,
    /// The command, where there is one.
    Commands,
}

/// The key that does it.
const fn key(key: Key) -> &'static str {
    match key {
        Key::Start => "s",
        Key::Stop => "x",
        Key::Restart => "R",
        Key::Open => "o",
        Key::Log => "t o",
        Key::Other => "g s",
    }
}

struct Page {
    lines: Vec<Line>,
    width: usize,
}

impl Page {
    /// Words from a column on, going on below where they do not fit.
    fn put(&mut self, label: Option<Span>, at: usize, words: &str, ink: Ink) {
        let room = self.width.saturating_sub(at).max(12);
        let mut label = label;
        for (from, to) in text::wrap(words, room) {
            let mut line: Line = label.take().into_iter().collect();
            line.push(span(at, &words[from..to], ink));
            self.lines.push(line);
        }
        if let Some(label) = label {
            self.lines.push(vec![label]);
        }
    }

    fn head(&mut self, words: &str) {
        self.lines.push(vec![span(0, words, Ink::Dim)]);
    }
}

/// The page in lines of this width.
pub fn lines(why: &Why, now: UnixMillis, zone: Zone, width: usize, by: By) -> Vec<Line> {
    let mut page = Page { lines: Vec::new(), width };
    page.put(None, 0, &why.verdict, Ink::Text);
    for span in page.lines.iter_mut().flatten() {
        span.bold = true;
    }
    page.lines.push(Vec::new());
    for (i, rule) in why.rule.iter().enumerate() {
        page.put((i == 0).then(|| span(0, "RULE", Ink::Dim)), LABEL, rule, Ink::Text);
    }
    times(&mut page, why, now, zone);
    if !why.evidence.is_empty() {
        page.head("EVIDENCE");
    }
    let widest = why.evidence.iter().map(|(label, _)| text::width(label)).max().unwrap_or(0);
    let at = (widest + 4).clamp(EVIDENCE.min(width / 2), (width / 2).max(4));
    for (label, value) in &why.evidence {
        page.put(Some(span(2, label, Ink::Dim)), at, value, Ink::Text);
    }
    if !why.fine.is_empty() {
        page.head("NOT THE CAUSE");
        page.put(None, 2, &why.fine.join(" · "), Ink::Text);
    }
    actions(&mut page, &why.actions, by);
    page.lines
}

/// `11:52:07 (16m)`, and until when.
fn times(page: &mut Page, why: &Why, now: UnixMillis, zone: Zone) {
    let since = why.since.map_or_else(
        || "unknown".to_owned(),
        |at| format!("{} ({})", format::moment(at, now, zone), format::duration(at.until(now))),
    );
    let until = match &why.until {
        Until::YouAct => "you act".to_owned(),
        Until::When(words) => words.clone(),
        Until::At(at, what) if at.until(now) > 0 => format!("{}, overdue: {what}", format::moment(*at, now, zone)),
        Until::At(at, what) => {
            format!("{} (in {}), {what}", format::moment(*at, now, zone), format::left(now.until(*at)))
        }
    };
    let second = 34;
    if text::width(&until) + second + 7 <= page.width {
        page.lines.push(vec![
            span(0, "SINCE", Ink::Dim),
            span(LABEL, since, Ink::Text),
            span(second, "UNTIL", Ink::Dim),
            span(second + 7, until, Ink::Text),
        ]);
        return;
    }
    page.put(Some(span(0, "SINCE", Ink::Dim)), LABEL, &since, Ink::Text);
    page.put(Some(span(0, "UNTIL", Ink::Dim)), LABEL, &until, Ink::Text);
}

fn actions(page: &mut Page, actions: &[Action], by: By) {
    if actions.is_empty() {
        return;
    }
    page.head("ACTIONS");
    let first = |a: &Action| match by {
        By::Keys => key(a.key).to_owned(),
        By::Commands => a.command.clone(),
    };
    let shown: Vec<&Action> = actions.iter().collect();
    let wide = shown.iter().map(|a| text::width(&first(a))).max().unwrap_or(0);
    let at = (wide + 4).max(ACTION);
    let does = shown.iter().map(|a| text::width(&a.does)).max().unwrap_or(0);
    let remark = at + does.max(30 - ACTION) + 2;
    for action in shown {
        let mut line = vec![Span { bold: true, ..span(2, first(action), Ink::Accent) }];
        let beside = remark + text::width(&action.remark) <= page.width;
        if beside {
            line.push(span(at, &action.does, Ink::Text));
            line.push(span(remark, &action.remark, Ink::Dim));
            page.lines.push(line);
            continue;
        }
        let label = line.pop();
        page.put(label, at, &action.does, Ink::Text);
        page.put(None, at + 2, &action.remark, Ink::Dim);
    }
}

/// The page as text, for the clipboard and the command line.
pub fn text(why: &Why, now: UnixMillis, zone: Zone, width: usize, by: By) -> String {
    let mut out = String::new();
    for line in lines(why, now, zone, width, by) {
        let mut used = 0;
        for span in line {
            out.push_str(&" ".repeat(span.at.saturating_sub(used)));
            out.push_str(&span.words);
            used = used.max(span.at) + text::width(&span.words);
        }
        while out.ends_with(' ') {
            out.pop();
        }
        out.push('\n');
    }
    out
}

/// Draws lines from the scrolled one on; says where one is when not all fit.
pub fn view(canvas: &mut Canvas<'_>, area: Rect, lines: &[Line], scroll: usize) {
    let all = lines.len() <= usize::from(area.height);
    let room = if all { usize::from(area.height) } else { usize::from(area.height.saturating_sub(1)) };
    let scroll = clamp(scroll, lines.len(), area.height);
    for (y, line) in (area.y..).zip(lines.iter().skip(scroll).take(room)) {
        for span in line {
            let style = if span.bold { canvas.bold(span.ink) } else { canvas.ink(span.ink) };
            let x = area.x + 1 + span.at as u16;
            canvas.put(x, y, area.right().saturating_sub(x), &span.words, style);
        }
    }
    if !all && area.height > 0 {
        let dim = canvas.ink(Ink::Dim);
        let range = format!("lines {}–{} of {}", scroll + 1, (scroll + room).min(lines.len()), lines.len());
        canvas.put(area.x + 1, area.bottom() - 1, area.width.saturating_sub(1), &range, dim);
    }
}

/// Clamps a scroll to what there is.
pub fn clamp(scroll: usize, lines: usize, height: u16) -> usize {
    let height = usize::from(height);
    if lines <= height { 0 } else { scroll.min(lines - height.saturating_sub(1)) }
}

#[cfg(test)]
mod tests {
    use wharf_model::rules::service_why::Case;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_763_726_922_000);

    fn why() -> Why {
        let act = |key, does: &str, remark: &str, command: &str| Action {
            key,
            does: does.into(),
            remark: remark.into(),
            command: command.into(),
        };
        Why {
            case: Case::Parked,
            verdict: "S-11 FAILED: the command ended again.".into(),
            rule: vec!["crash loop: restart budget 5 within 60s (wharf.toml line 58)".into()],
            since: Some(NOW.plus(-16 * 60_000)),
            until: Until::YouAct,
            evidence: vec![("last exit".into(), "code 1 after 0.4s".into())],
            fine: vec!["its directory is there".into()],
            actions: vec![
                act(Key::Restart, "restart now", "resets the budget", "wharf service restart S-11"),
                act(Key::Open, "open wharf.toml at line 58", "add REDIS_URL", ""),
            ],
        }
    }

    #[test]
    fn the_page_is_told_in_its_blocks() {
        let told = text(&why(), NOW, Zone::UTC, 90, By::Keys);
        assert_eq!(
            told,
            "S-11 FAILED: the command ended again.\n\
             \n\
             RULE       crash loop: restart budget 5 within 60s (wharf.toml line 58)\n\
             SINCE      11:52:42Z (16m)        UNTIL  you act\n\
             EVIDENCE\n  last exit     code 1 after 0.4s\n\
             NOT THE CAUSE\n  its directory is there\n\
             ACTIONS\n  R   restart now                 resets the budget\n  \
             o   open wharf.toml at line 58  add REDIS_URL\n"
        );
        let commands = text(&why(), NOW, Zone::UTC, 90, By::Commands);
        assert!(commands.contains("  wharf service restart S-11  restart now"), "{commands}");
    }

    #[test]
    fn nothing_is_lost_in_a_narrow_pane() {
        for width in [24, 40, 60] {
            let told = text(&why(), NOW, Zone::UTC, width, By::Keys);
            let words: Vec<&str> = told.split_whitespace().collect();
            for word in "crash loop: restart budget wharf.toml code after REDIS_URL UNTIL you act".split(' ') {
                assert!(words.iter().any(|w| w.contains(word)), "{width}: {word}\n{told}");
            }
            assert!(told.lines().all(|l| text::width(l) <= width.max(30)), "{width}\n{told}");
        }
    }
}
