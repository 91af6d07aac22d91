//! Columns of the list.

use super::words::{health, health_class, name, restarts, stops, used_by, used_up};
use crate::env::Env;
use crate::format;
use crate::layout::Split;
use crate::pane::table::{Cell, Column, longest};
use crate::rows::ServiceLine;
use crate::theme::Ink;

fn ink(service: &ServiceLine) -> Ink {
    if service.live { Ink::Text } else { Ink::Dim }
}

fn port(service: &ServiceLine) -> Option<String> {
    service.port.map(|p| p.to_string())
}

fn memory(service: &ServiceLine, _: &Env) -> Cell {
    Cell::known(service.figures.filter(|_| service.live).map(|f| format::size(f.memory_bytes)), Ink::Dim)
}

fn cpu(service: &ServiceLine, _: &Env) -> Cell {
    let cpu = service.figures.filter(|_| service.live).and_then(|f| f.cpu_permille);
    // A core or more is worth a look.
    let ink = if cpu.is_some_and(|milli| milli >= 1000) { Ink::Text } else { Ink::Dim };
    Cell::known(cpu.map(|milli| format::cores(u64::from(milli))), ink)
}

fn up(service: &ServiceLine, env: &Env) -> Cell {
    let up = service.started_at.filter(|_| service.live).map(|at| format::duration(at.until(env.now)));
    Cell::known(up, Ink::Dim)
}

fn restarted(service: &ServiceLine, between: &str) -> Cell {
    let ink = match service.restarts.0 {
        0 => Ink::Dim,
        _ if used_up(service) => Ink::Bad,
        _ => Ink::Warn,
    };
    Cell::Right(restarts(service, between), ink)
}

pub(super) fn columns(rows: &[ServiceLine], env: &Env, split: &Split) -> Vec<Column<ServiceLine>> {
    let wide = env.size.0 >= 130;
    let service = longest(rows, if wide { 5 } else { 4 }, name);
    let ports = longest(rows, 4, |s| port(s).unwrap_or_default());
    let mut columns = vec![
        Column::new("SVC", service, service, 0, |s: &ServiceLine, _| Cell::Words(name(s), Ink::Text)),
        Column {
            grows: !wide,
            // A longer name is worth more than the blanks behind a URL.
            ..Column::new(
                "NAME",
                if wide { longest(rows, 12, |s| s.name.clone()).min(20) } else { 12 },
                8,
                10,
                |s: &ServiceLine, _| Cell::Words(s.name.clone(), ink(s)),
            )
        },
    ];
    if wide {
        columns.push(Column::new("SCOPE", 10, 0, 3, |s, _| Cell::Words(s.scope.clone(), Ink::Dim)));
    }
    let status = longest(rows, 10, |s| format!("● {}", s.word));
    columns.push(Column::status(split.words, status, |s, env| Cell::state(s.class, &s.word, s.live, env)));
    let healths = longest(rows, if wide { 11 } else { 10 }, |s| format!("● {}", health(s)));
    columns.push(Column::new("HEALTH", healths.min(14), 0, 9, |s, _| {
        if health(s).is_empty() {
            return Cell::Words("–".to_owned(), Ink::Dim);
        }
        Cell::State(health_class(s), health(s).to_owned(), s.live)
    }));
    columns.push(Column::figures("PORT", ports, 8, |s, _| {
        Cell::known(port(s), if s.stranger.is_some() { Ink::Warn } else { ink(s) })
    }));
    if wide {
        let url = |s: &ServiceLine, _: &Env| {
            Cell::Middle(s.url.clone().filter(|_| s.live).unwrap_or_else(|| "–".to_owned()), Ink::Dim)
        };
        columns.push(Column::new("URL", 22, 0, 1, url).grows());
        columns.push(Column::figures("PID", 7, 2, |s, _| Cell::known(s.pid.map(|p| p.to_string()), Ink::Dim)));
        columns.push(Column::figures("CPU", 5, 5, cpu));
    }
    columns.push(Column::figures("MEM", 7, 7, memory));
    columns.push(Column::figures("UP", 5, 8, up));
    columns.push(Column::figures("USED BY", 7, 6, |s, _| Cell::Right(used_by(s), ink(s))));
    if wide {
        columns.push(Column::new("STOPS", 12, 0, 4, |s, env| {
            let (words, counts) = stops(s, env);
            Cell::Words(words, if counts { Ink::Info } else { Ink::Dim })
        }));
        columns.push(Column::figures("RESTARTS", 8, 5, |s, _| restarted(s, " of ")));
    } else {
        let width = longest(rows, 3, |s| restarts(s, "/"));
        columns.push(Column::figures("RST", width, 5, |s, _| restarted(s, "/")));
    }
    columns
}
