//! Header, banner, hint row, and what lies over the screen.

use ratatui::layout::Rect;

use crate::app::App;
use crate::command::{self, Command};
use crate::draw::Canvas;
use crate::format;
use crate::glyph::Class;
use crate::keymap;
use crate::layout::{self, HeaderKind, MIN_COLUMNS, MIN_ROWS};
use crate::msg::Tone;
use crate::overlay::{toast, whichkey};
use crate::screen::ScreenId;
use crate::text;
use crate::theme::{Ground, Ink};

/// Draws everything.
pub fn view(app: &App, canvas: &mut Canvas<'_>) {
    let area = canvas.area();
    // Sizes between a resize of the terminal and its message count as drawn.
    let (columns, rows) = (area.width, area.height);
    if (columns, rows) != app.env.size {
        return;
    }
    let Some(bands) = layout::bands(columns, rows, app.env.banner) else {
        too_small(app, canvas, area);
        return;
    };
    app.current().view(&app.env, canvas, bands.body);
    header(app, canvas, bands.header, bands.kind);
    if let Some(row) = bands.banner {
        banner(app, canvas, row);
    }
    hints(app, canvas, bands.hints);
    toast::view(&app.toasts, &app.env, canvas, bands.body, app.current().cursor_row(&app.env));
    if let Some((keys, true)) = app.chord() {
        whichkey::view(app, canvas, keys);
    }
    if let Some(overlay) = &app.overlay {
        canvas.dim_all();
        overlay.view(app, canvas);
    }
}

fn too_small(app: &App, canvas: &mut Canvas<'_>, area: Rect) {
    let words =
        format!("wharf needs {MIN_COLUMNS}×{MIN_ROWS} (this is {}×{}); runs go on. q quits", area.width, area.height);
    let style = canvas.ink(Ink::Text);
    let width = usize::from(area.width.max(2));
    let mut y = area.y;
    for (from, to) in text::wrap(&words, width) {
        canvas.put(area.x, y, area.width, &words[from..to], style);
        y += 1;
    }
    if y < area.bottom() {
        let h = &app.header;
        let counts = format!("▲ {}  ● {}  ◌ {}", h.needs_person, h.running, h.queued);
        canvas.put(area.x, y, area.width, &counts, style);
    }
}

/// Entries of the strip: screen, first column, column behind it.
fn strip(app: &App) -> Vec<(ScreenId, u16, u16)> {
    let mut x = text::width(&app.header.project).min(40) as u16 + 3;
    ScreenId::ALL
        .iter()
        .map(|screen| {
            let width = screen.title().len() as u16 + 4;
            let span = (*screen, x, x + width);
            x += width;
            span
        })
        .collect()
}

/// The screen whose entry stands in this column of the header.
pub fn screen_at(app: &App, column: u16) -> Option<ScreenId> {
    if app.env.size.0 < 130 {
        return None;
    }
    strip(app).into_iter().find(|(_, from, to)| (*from..*to).contains(&column)).map(|(s, ..)| s)
}

fn header(app: &App, canvas: &mut Canvas<'_>, row: Rect, kind: HeaderKind) {
    let h = &app.header;
    let bold = canvas.bold(Ink::Text);
    let dim = canvas.ink(Ink::Dim);
    let title = app.screen.title();
    match kind {
        HeaderKind::Counts => {
            canvas.put(row.x + 1, row.y, row.width - 1, title, bold);
            let mut right = row.right() - 1;
            for (class, n) in
                [(Class::Waits, h.queued), (Class::Alive, h.running), (Class::NeedsPerson, h.needs_person)]
            {
                let words = format!("{} {}", class.glyph(), format::count(n));
                let style = canvas.ink(if n > 0 { class.ink() } else { Ink::Dim });
                canvas.put_right(right, row.y, row.width, &words, style);
                right = right.saturating_sub(text::width(&words) as u16 + 2);
            }
            return;
        }
        HeaderKind::Crumb => {
            let x = canvas.put(row.x + 1, row.y, 24, &h.project, bold);
            canvas.put(x, row.y, 24, &format!(" ▸ {title}"), bold);
        }
        HeaderKind::Strip => {
            canvas.put(row.x + 1, row.y, 40, &h.project, bold);
            for (screen, x, end) in strip(app) {
                let on = screen == app.screen;
                let words = format!("{} {}", screen.digit(), screen.title());
                let words = if on { format!("[{words}]") } else { format!(" {words} ") };
                canvas.put(x, row.y, end - x, &words, if on { bold } else { dim });
            }
        }
    }
    let mut counters = vec![
        (h.needs_person, "needs you", canvas.bold(Ink::Warn)),
        (h.running, "running", canvas.ink(Ink::Ok)),
        (h.queued, "queued", dim),
        (h.leases, "lease", dim),
        (h.services, "service", dim),
    ];
    counters.retain(|(n, ..)| *n > 0);
    if counters.is_empty() {
        counters.push((0, "running", dim));
    }
    let words_of = |n: u64, word: &str| match word {
        "lease" | "service" if n != 1 => format!("{word}s"),
        _ => word.to_owned(),
    };
    let taken = match kind {
        HeaderKind::Strip => strip(app).last().map_or(0, |(.., end)| *end),
        _ => row.x + 1 + text::width(&h.project) as u16 + 3 + text::width(title) as u16,
    };
    let mut right = row.right() - 1;
    // The first ones say most: the last ones go where there is no room for all.
    let room = |right: u16| right.saturating_sub(taken + 1);
    let width_of =
        |(n, word, _): &(u64, &str, _)| text::width(&words_of(*n, word)) + text::width(&format::count(*n)) + 3;
    while counters.len() > 1 && counters.iter().map(width_of).sum::<usize>() > usize::from(room(right)) + 2 {
        counters.pop();
    }
    for (n, word, style) in counters.iter().rev() {
        let word = words_of(*n, word);
        canvas.put_right(right, row.y, row.width, &word, dim);
        right = right.saturating_sub(text::width(&word) as u16 + 1);
        let figure = format::count(*n);
        canvas.put_right(right, row.y, row.width, &figure, *style);
        right = right.saturating_sub(text::width(&figure) as u16 + 2);
    }
    if let Some(other) = &h.orchestrator {
        let short = other.split(" on ").next().unwrap_or(other);
        let wishes = [format!("orchestrator: {other}"), format!("orchestrator: {short}"), format!("orch. {short}")];
        if let Some(words) = wishes.iter().find(|w| text::width(w) <= usize::from(room(right))) {
            canvas.put_right(right, row.y, 40, words, dim);
        }
    }
}

fn banner(app: &App, canvas: &mut Canvas<'_>, row: Rect) {
    let Some(first) = app.banners.first() else { return };
    let ground = canvas.theme.ground(match first.tone {
        Tone::Bad => Ground::BannerBad,
        Tone::Warn => Ground::BannerWarn,
        Tone::Info | Tone::Good => Ground::BannerInfo,
    });
    canvas.clear(row, ground);
    let right = match app.banners.len() {
        1 => "i what to do".to_owned(),
        n => format!("1 of {n} · i what to do"),
    };
    let room = usize::from(row.width).saturating_sub(text::width(&right) + 6);
    let words = format!("{} {}", toast::mark(first.tone).0, first.text);
    let words = text::cut_end(&words, room).into_owned();
    canvas.put(row.x + 1, row.y, row.width - 1, &words, ground);
    canvas.put_right(row.right() - 1, row.y, row.width, &right, ground);
}

/// Hints that fit: words of the key, words of the verb, command, first column, column behind.
fn hint_spans(app: &App) -> Vec<(String, String, Option<&'static Command>, u16, u16)> {
    let mut wanted: Vec<(String, String, Option<&'static Command>)> = Vec::new();
    let mut last = None;
    // Said where everything else has found its place.
    let mut late = Vec::new();
    if app.current().is_typing() {
        wanted.extend(app.current().typing_hints().iter().map(|(k, w)| ((*k).to_owned(), (*w).to_owned(), None)));
    } else {
        let places = app.places();
        // An empty screen teaches what can be done at all; else hints stay where they are, legal or not.
        let empty = app.current().is_empty();
        let told = |c: &Command| {
            // Few runs have a terminal: where one has, this is what the operator came for.
            if c.name == "run.attach" && !app.ledger.run().is_some_and(|run| run.terminal && run.is_running()) {
                return false;
            }
            // Only where there is one.
            if c.name == "operation.stop" && app.workspaces.running_job().is_none() {
                return false;
            }
            if c.name == "open.outside" && !app.places().contains(&crate::command::Place::Diff) {
                return false;
            }
            if c.name == "shell.open" && !app.current().has_places() {
                return false;
            }
            // Of one without a URL it opens the config, which Why tells where that helps.
            if c.name == "service.open" && app.services.service().is_some_and(|s| s.url.is_none()) {
                return false;
            }
            // A port of nobody of ours offers no verb.
            if app.services.on_board() && c.places == [command::Place::Services] && (c.legal)(app).is_err() {
                return false;
            }
            if c.name == "tab.next" && !app.current().has_tabs() || empty && matches!(c.name, "tab.next" | "pane.next")
            {
                return false;
            }
            if empty { (c.legal)(app).is_ok() && c.name != "filter.edit" } else { c.name != "quit" }
        };
        for command in command::all().filter(|c| !c.hint.is_empty() && app.is_here(c) && told(c)) {
            let Some(key) = app.keymap.keys_of(&places, command).into_iter().next() else { continue };
            let entry = (key, command.hint.to_owned(), Some(command));
            match command.name {
                "help.open" => last = Some(entry),
                "pane.next" | "tab.next" => late.push(entry),
                _ => wanted.push(entry),
            }
        }
    }
    wanted.append(&mut late);
    let width = |e: &(String, String, Option<&'static Command>)| (text::width(&e.0) + text::width(&e.1) + 3) as u16;
    let reserved = last.as_ref().map_or(0, &width);
    let mut spans = Vec::new();
    let mut x = 1;
    for entry in wanted {
        let w = width(&entry);
        if x + w + reserved > app.env.size.0 + 2 {
            continue;
        }
        spans.push((entry.0, entry.1, entry.2, x, x + w - 2));
        x += w;
    }
    if let Some(entry) = last {
        let w = width(&entry);
        spans.push((entry.0, entry.1, entry.2, x, x + w - 2));
    }
    spans
}

/// The command whose hint stands in this column.
pub fn hint_at(app: &App, column: u16) -> Option<&'static Command> {
    hint_spans(app).into_iter().find(|(.., from, to)| (*from..*to).contains(&column)).and_then(|(_, _, c, ..)| c)
}

fn hints(app: &App, canvas: &mut Canvas<'_>, row: Rect) {
    let key = canvas.bold(Ink::Accent);
    let dim = canvas.ink(Ink::Dim);
    if let Some((keys, _)) = app.chord() {
        let words = format!("{} …", keymap::show(keys));
        let x = canvas.put(row.x + 1, row.y, row.width - 1, &words, key);
        canvas.put(x + 2, row.y, row.width.saturating_sub(x + 2), "? shows what may follow   Esc drops it", dim);
        return;
    }
    for (key_words, verb, _, x, _) in hint_spans(app) {
        let at = canvas.put(row.x + x, row.y, row.width.saturating_sub(x), &key_words, key);
        canvas.put(at + 1, row.y, row.width.saturating_sub(at + 1), &verb, dim);
    }
}
