//! Rows of label, value and remark, with a place to scroll to.

use ratatui::layout::Rect;

use crate::draw::Canvas;
use crate::rows::{Fact, FactBlock};
use crate::text;
use crate::theme::Ink;

/// Cells of the label column.
const LABEL: u16 = 12;

/// Blocks in which what went wrong is told whole: words of a bad fact that its row has no room for go
/// on in rows below it.
fn unfold(blocks: &[FactBlock], width: u16) -> Vec<FactBlock> {
    let room = usize::from(width.saturating_sub(LABEL + 2)).max(10);
    let unfolded = |fact: &Fact| -> Vec<Fact> {
        let fits = |words: &str, room: usize| text::width(words) <= room && !words.contains('\n');
        if !fact.bad || (fits(&fact.value, room) && fits(&fact.remark, (room / 2).saturating_sub(2))) {
            return vec![fact.clone()];
        }
        let mut out: Vec<Fact> = Vec::new();
        for line in fact.value.lines().chain(fact.remark.lines()) {
            for (from, to) in text::wrap(line, room) {
                let label = if out.is_empty() { fact.label.clone() } else { String::new() };
                out.push(Fact { label, value: line[from..to].to_owned(), remark: String::new(), bad: true });
            }
        }
        out
    };
    blocks.iter().map(|b| FactBlock { facts: b.facts.iter().flat_map(unfolded).collect() }).collect()
}

/// Rows that blocks take, blank rows between them included.
fn rows(blocks: &[FactBlock]) -> Vec<Option<&Fact>> {
    let mut out = Vec::new();
    for block in blocks.iter().filter(|b| !b.facts.is_empty()) {
        if !out.is_empty() {
            out.push(None);
        }
        out.extend(block.facts.iter().map(Some));
    }
    out
}

/// Clamps a scroll to what there is; the last row of the area tells the range.
pub fn clamp(scroll: usize, blocks: &[FactBlock], area: Rect) -> usize {
    clamp_rows(scroll, rows(&unfold(blocks, area.width)).len(), area.height)
}

fn clamp_rows(scroll: usize, n: usize, height: u16) -> usize {
    let height = usize::from(height);
    if n <= height { 0 } else { scroll.min(n - height.saturating_sub(1)) }
}

/// Draws blocks from the scrolled row on.
pub fn view(canvas: &mut Canvas<'_>, area: Rect, blocks: &[FactBlock], scroll: usize) {
    if area.width < 20 || area.height == 0 {
        return;
    }
    let blocks = unfold(blocks, area.width);
    let rows = rows(&blocks);
    let all = rows.len() <= usize::from(area.height);
    let room = if all { usize::from(area.height) } else { usize::from(area.height - 1) };
    let scroll = clamp_rows(scroll, rows.len(), area.height);
    let dim = canvas.ink(Ink::Dim);
    let x = area.x + 1;
    let width = area.width - 1;
    let value_width = (width.saturating_sub(LABEL) * 24 / 68).max(14);
    for (i, fact) in rows.iter().skip(scroll).take(room).enumerate() {
        let Some(fact) = fact else { continue };
        let y = area.y + i as u16;
        let label = text::cut_end(&fact.label, usize::from(LABEL - 1)).into_owned();
        canvas.put(x, y, LABEL, &label, dim);
        let value = canvas.ink(if fact.bad { Ink::Bad } else { Ink::Text });
        let rest = width.saturating_sub(LABEL);
        if fact.remark.is_empty() {
            let words = text::cut_middle(&fact.value, usize::from(rest)).into_owned();
            canvas.put(x + LABEL, y, rest, &words, value);
            continue;
        }
        // A value that would be cut takes what its remark leaves free, half of the row at least.
        let (wish, remark) = (text::width(&fact.value), text::width(&fact.remark));
        let free = usize::from(rest).saturating_sub(remark + 2).max(usize::from(rest / 2));
        let value_width = value_width.max(wish.min(free) as u16);
        let words = text::cut_middle(&fact.value, usize::from(value_width)).into_owned();
        canvas.put(x + LABEL, y, value_width, &words, value);
        let remark_x = x + LABEL + value_width + 2;
        let remark_room = area.right().saturating_sub(remark_x);
        let words = text::cut_middle(&fact.remark, usize::from(remark_room)).into_owned();
        canvas.put(remark_x, y, remark_room, &words, dim);
    }
    if !all {
        let y = area.bottom() - 1;
        let range = format!("lines {}–{} of {}", scroll + 1, (scroll + room).min(rows.len()), rows.len());
        canvas.put(x, y, width, &range, dim);
        canvas.put_right(area.right() - 1, y, 20, "j/k scroll", dim);
    }
}

/// Blocks as text, nothing cut: labels in a column, remarks behind two blanks.
pub fn text(blocks: &[FactBlock]) -> String {
    let mut out = String::new();
    for fact in rows(blocks) {
        let Some(Fact { label, value, remark, .. }) = fact else {
            out.push('\n');
            continue;
        };
        let pad = usize::from(LABEL).saturating_sub(text::width(label)).max(1);
        let words = [value.as_str(), remark.as_str()].into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>();
        let line = format!("{label}{}{}", " ".repeat(pad), words.join("  "));
        // A value of several lines stays below its label.
        let below = format!("\n{}", " ".repeat(usize::from(LABEL)));
        out.push_str(line.trim_end().replace('\n', &below).as_str());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_told_whole() {
        let fact = |remark: &str, bad| Fact { label: "error".into(), value: "code".into(), remark: remark.into(), bad };
        let words = "fatal: the branch is checked out elsewhere and cannot be used here";
        let blocks = [FactBlock { facts: vec![fact(words, true), fact(words, false), fact("short", true)] }];
        let facts = &unfold(&blocks, 40)[0].facts;
        let told: Vec<&str> = facts.iter().take_while(|f| f.bad).map(|f| f.value.as_str()).collect();
        assert_eq!(told[0], "code");
        assert_eq!(told[1..].join(" "), words);
        assert!(told.iter().all(|row| row.len() <= 26), "{told:?}");
        assert_eq!(facts.iter().filter(|f| f.label == "error").count(), 3);
        assert_eq!(facts[facts.len() - 1].remark, "short");
        let lines = unfold(&[FactBlock { facts: vec![fact("one\ntwo", true)] }], 80);
        assert_eq!(lines[0].facts.iter().map(|f| f.value.as_str()).collect::<Vec<_>>(), ["code", "one", "two"]);
    }
}
