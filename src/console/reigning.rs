//! Who reigns and what a start has found, in the words of the screens.

use wharf_ui::format::{self, Zone};
use wharf_ui::overlay::notice::{Notice, NoticeLine};
use wharf_ui::screen::ScreenId;
use wharf_ui::theme::Ink;

use crate::dispatch::election::DiskNeed;
use crate::dispatch::input::{Found, Recovery, Verdict};
use crate::dispatch::take_over::Seat;

/// Lines of one verdict that are shown; all of them stand in Activity.
const LINES_MAX: usize = 12;

/// Whether the holder of the lock does not do its work, as far as can be seen.
pub fn is_trouble(seat: &Seat, silent: Option<i64>) -> bool {
    !seat.is_healthy() || silent.is_some()
}

/// The banner about a holder that does not do its work, and what can be done.
pub fn trouble(seat: &Seat, silent: Option<i64>, zone: Zone) -> (String, String) {
    let what = match silent {
        Some(request) if seat.is_healthy() => format!("does not answer Q-{request}"),
        _ => seat.doing.to_string(),
    };
    let text = format!("Nothing new starts: the orchestrator, {}, {what} \u{b7} g t takes over", seat.name());
    let mut advice = holder_lines(seat, silent, zone);
    advice.push("`g t` shows what taking over does; `kill -CONT` lets a stopped one go on".to_owned());
    (text, advice.join("\n"))
}

/// The banner about what cannot write its output for want of room; none when everything can.
pub fn waits_for_room(need: Option<&DiskNeed>, zone: Zone) -> Option<(String, String)> {
    let need = need.filter(|need| !need.waiting.is_empty())?;
    let since = format::clock(wharf_model::UnixMillis(need.since), zone);
    let mut names = need.waiting.join(", ");
    if need.more > 0 {
        names.push_str(&format!(" and {} more", need.more));
    }
    let verb = if need.waiting.len() + need.more == 1 { "waits" } else { "wait" };
    let text = format!("Disk full since {since}: {names} {verb} for room, nothing is lost");
    Some((text, "Make room below the data directory; what waits goes on by itself".to_owned()))
}

/// What is known of the holder, a line each.
pub fn holder_lines(seat: &Seat, silent: Option<i64>, zone: Zone) -> Vec<String> {
    let mut lines = vec![format!("The orchestrator is {}. It {}.", seat.name(), seat.doing)];
    if let Some(h) = &seat.holder {
        let since = format::full(wharf_model::UnixMillis(h.since), zone);
        lines.push(format!("It reigns since {since}, epoch {}, version {}.", h.epoch, h.version));
    }
    if let Some(request) = silent {
        lines.push(format!("It has not answered Q-{request} for more than 5 s."));
    }
    lines
}

/// What a start has found.
pub fn recovery(recovery: &Recovery, now: wharf_model::UnixMillis) -> Notice {
    let mut lines = Vec::new();
    let verdicts = [Verdict::Adopted, Verdict::Ended, Verdict::Started, Verdict::Lost, Verdict::Unknown];
    for (verdict, entity) in verdicts.into_iter().flat_map(|v| [(v, "run"), (v, "service"), (v, "operation")]) {
        let of: Vec<&Found> = recovery.found.iter().filter(|f| f.verdict == verdict && f.entity == entity).collect();
        if of.is_empty() {
            continue;
        }
        let (mark, words, ink) = match verdict {
            Verdict::Adopted => ("\u{25cf}", "adopted: still running, output continues", Ink::Ok),
            Verdict::Ended => ("\u{2713}", "ended meanwhile", Ink::Text),
            Verdict::Started => ("\u{25cf}", "started now, as was intended", Ink::Text),
            Verdict::Lost => ("\u{2717}", "lost", Ink::Bad),
            Verdict::Unknown if entity == "run" => ("?", "unknown: decide with u x (lost) or u s (keep)", Ink::Warn),
            Verdict::Unknown => ("?", "unknown: nothing is done to it before its deadline", Ink::Warn),
        };
        let count = format::plural(of.len() as u64, entity);
        lines.push(NoticeLine { ink, words: format!("{mark} {count} {words}"), goes: None });
        for found in of.iter().take(LINES_MAX) {
            let screen = match entity {
                "run" => Some(ScreenId::Ledger),
                "service" => Some(ScreenId::Services),
                // It stands in the timeline of its run.
                _ => None,
            };
            let words = format!("  {}  {}", found.number, found.words);
            let goes = screen.map(|screen| (screen, vec![found.number.clone()]));
            lines.push(NoticeLine { ink: Ink::Text, words, goes });
        }
        if of.len() > LINES_MAX {
            lines.push(NoticeLine::plain(format!("  and {} more", of.len() - LINES_MAX)));
        }
    }
    if recovery.requests > 0 {
        let requests = format::plural(recovery.requests, "request");
        lines.push(NoticeLine::plain(format!("\u{2713} {requests} that had waited taken up")));
    }
    lines.push(NoticeLine::plain(""));
    let took = format::fine(recovery.took_ms);
    lines.push(NoticeLine::plain(format!("Took {took}. The same stands in Activity under orchestrator.elected.")));
    Notice::new("Recovered", lines, now)
}
