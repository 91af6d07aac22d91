//! A bar for each step of a run, what happened inside it, and the deadlines that are open.

use ratatui::layout::Rect;
use wharf_model::UnixMillis;

use crate::draw::Canvas;
use crate::env::Env;
use crate::format;
use crate::rows::RunDetail;
use crate::text;
use crate::theme::Ink;

/// Cells of titles, where no title wants more.
const TITLE: u16 = 24;
/// Cells of starts and durations, between titles and axis.
const TIMES: u16 = 19;
/// Steps of the axis, in milliseconds.
const STEPS: [i64; 20] = [
    10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
    1_800_000, 3_600_000, 7_200_000, 14_400_000, 86_400_000,
];

/// One row of the pane.
enum Line {
    Bar { title: String, inner: bool, from: Option<UnixMillis>, to: Option<UnixMillis>, status: Status, note: String },
    Head(String),
    Words(String),
    Blank,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Waits,
    Goes,
    Ended,
    Failed,
}

fn lines(detail: &RunDetail, env: &Env) -> Vec<Line> {
    let mut out = Vec::new();
    let ended = detail.line.finished_at.is_some();
    for (i, step) in detail.steps.iter().enumerate() {
        let status = match step.status.as_str() {
            "running" if !ended => Status::Goes,
            "failed" => Status::Failed,
            "pending" => Status::Waits,
            _ => Status::Ended,
        };
        let note = match (&step.error, status) {
            (Some(error), _) => error.clone(),
            (None, Status::Waits) if !ended => "waits".to_owned(),
            (None, _) if step.status == "skipped" => "skipped".to_owned(),
            _ => String::new(),
        };
        out.push(Line::Bar {
            title: format!("{} {}", i + 1, step.title),
            inner: false,
            from: step.started_at,
            to: step.finished_at,
            status,
            note,
        });
        for span in detail.spans.iter().filter(|s| s.step == step.name) {
            let status = match (span.failed, span.finished_at) {
                (true, _) => Status::Failed,
                (_, None) if !ended => Status::Goes,
                _ => Status::Ended,
            };
            out.push(Line::Bar {
                title: format!("    {}", span.title),
                inner: true,
                from: Some(span.started_at),
                to: span.finished_at,
                status,
                note: String::new(),
            });
        }
    }
    if !detail.deadlines.is_empty() {
        out.push(Line::Blank);
        out.push(Line::Head("DEADLINES".to_owned()));
        for d in &detail.deadlines {
            let allowed = d.allowed_ms.map_or_else(String::new, format::duration);
            let rest = env.now.until(d.at);
            let left = if rest >= 0 {
                format!("{} left", format::left(rest))
            } else {
                format!("{} over", format::left(-rest))
            };
            out.push(Line::Words(format!(
                "  {} {} {}   {}",
                text::pad(&d.name, 20),
                text::pad_left(&allowed, 6),
                text::pad_left(&left, 14),
                d.remark
            )));
        }
    }
    out
}

/// Rows that the timeline takes below its axis.
pub fn height(detail: &RunDetail, env: &Env) -> usize {
    lines(detail, env).len()
}

/// Draws from the scrolled row on.
pub fn view(env: &Env, canvas: &mut Canvas<'_>, area: Rect, detail: &RunDetail, scroll: usize) {
    if area.width < 30 || area.height < 2 {
        return;
    }
    let dim = canvas.ink(Ink::Dim);
    let x = area.x + 1;
    let run = &detail.line;
    let starts = detail.steps.iter().filter_map(|s| s.started_at).min();
    let (Some(begin), end) = (starts.or(run.started_at), run.finished_at.unwrap_or(env.now)) else {
        canvas.put(x, area.y, area.width - 1, "No step has begun yet.", dim);
        return;
    };
    let span = begin.until(end).max(1);
    let rows = lines(detail, env);
    // Longer titles are shown whole as far as a third of the pane goes.
    let longest =
        rows.iter().map(|line| if let Line::Bar { title, .. } = line { text::width(title) as u16 } else { 0 });
    let title_width = longest.max().unwrap_or(0).clamp(TITLE, area.width.div_ceil(3).max(TITLE));
    let (start_x, took_x) = (area.x + title_width + 2, area.x + title_width + 17);
    let axis_x = area.x + (title_width + TIMES).min(area.width);
    let axis = area.right().saturating_sub(axis_x + 1);
    canvas.put(x, area.y, title_width, "STEP", dim);
    canvas.put(start_x, area.y, 8, "START", dim);
    canvas.put_right(took_x, area.y, 6, "TOOK", dim);
    if axis > 8 {
        let step = STEPS.into_iter().find(|s| i64::from(axis) * s / span >= 7).unwrap_or(86_400_000);
        let mut at = 0;
        while at <= span {
            let column = axis_x + (i64::from(axis) * at / span) as u16;
            let words = if step < 1000 { format!("{at}ms") } else { round(at) };
            if column + text::width(&words) as u16 <= area.right() {
                canvas.put(column, area.y, 8, &words, dim);
            }
            at += step;
        }
    }
    let room = usize::from(area.height - 1);
    let scroll = scroll.min(rows.len().saturating_sub(room));
    for (i, line) in rows.iter().skip(scroll).take(room).enumerate() {
        let y = area.y + 1 + i as u16;
        match line {
            Line::Blank => {}
            Line::Head(words) => {
                canvas.put(x, y, area.width - 1, words, dim);
            }
            Line::Words(words) => {
                let style = canvas.ink(Ink::Text);
                canvas.put(x, y, area.width - 1, words, style);
            }
            Line::Bar { title, inner, from, to, status, note } => {
                let style = canvas.ink(if *inner || *status == Status::Waits { Ink::Dim } else { Ink::Text });
                let words = text::cut_end(title, usize::from(title_width)).into_owned();
                canvas.put(x, y, title_width, &words, style);
                if *status == Status::Failed {
                    // The bar's colour alone must not tell it, and its end may leave no room for words.
                    let bad = canvas.ink(Ink::Bad);
                    canvas.put(area.x, y, 1, "✗", bad);
                }
                let Some(from) = from else {
                    canvas.put_right(took_x, y, 6, "–", dim);
                    canvas.put(axis_x, y, axis, note, dim);
                    continue;
                };
                if !inner {
                    canvas.put(start_x, y, 8, &format::clock(*from, env.zone), dim);
                }
                let until = to.unwrap_or(end);
                canvas.put_right(took_x, y, 6, &format::fine(from.until(until)), dim);
                let ink = match status {
                    Status::Failed => Ink::Bad,
                    Status::Goes => Ink::Ok,
                    _ => Ink::Rule,
                };
                let bar =
                    bar(begin.until(*from), begin.until(until), span, axis, *status == Status::Goes, canvas.ascii);
                let style = canvas.ink(ink);
                let behind = canvas.put_raw(axis_x, y, axis, &bar, style);
                if !note.is_empty() {
                    let room = area.right().saturating_sub(behind + 2);
                    let words = text::cut_end(note, usize::from(room)).into_owned();
                    let bad = canvas.ink(if *status == Status::Failed { Ink::Bad } else { Ink::Dim });
                    canvas.put(behind + 1, y, room, &words, bad);
                }
            }
        }
    }
}

/// Labels of the axis: whole steps, so without seconds where there are none.
fn round(ms: i64) -> String {
    match ms {
        ..60_000 => format!("{}s", ms / 1000),
        _ if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        _ if ms % 60_000 == 0 && ms < 3_600_000 => format!("{}m", ms / 60_000),
        _ => format::took(ms),
    }
}

/// A bar that begins on a cell and ends on an eighth; at least a sliver, so that no step is invisible.
fn bar(from: i64, to: i64, span: i64, cells: u16, goes_on: bool, ascii: bool) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = |ms: i64| (i128::from(ms.clamp(0, span)) * i128::from(cells) * 8 / i128::from(span)) as usize;
    let first = (eighths(from) / 8).min(usize::from(cells).saturating_sub(1));
    let length = eighths(to).saturating_sub(first * 8).max(1);
    let blanks = " ".repeat(first);
    let full = (length / 8).min(usize::from(cells) - first.min(usize::from(cells)));
    let (block, arrow) = if ascii { ("#", ">") } else { ("█", "►") };
    if goes_on {
        return format!("{blanks}{}{arrow}", block.repeat(full.saturating_sub(1)));
    }
    let rest = if full + first >= usize::from(cells) { "" } else { EIGHTHS[length % 8] };
    let rest = if ascii && !rest.is_empty() { "#" } else { rest };
    format!("{blanks}{}{rest}", block.repeat(full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_begin_on_a_cell_and_end_on_an_eighth() {
        let table = [
            ((0, 100, 100, 10, false), "██████████"),
            ((0, 1, 1000, 10, false), "▏"),
            ((50, 75, 100, 10, false), "     ██▌"),
            ((50, 100, 100, 10, true), "     ████►"),
            ((100, 100, 100, 10, false), "         █"),
        ];
        for ((from, to, span, cells, goes_on), expected) in table {
            assert_eq!(bar(from, to, span, cells, goes_on, false), expected);
        }
        assert_eq!(bar(50, 75, 100, 10, false, true), "     ###");
    }
}
