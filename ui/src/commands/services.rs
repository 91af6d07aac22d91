//! Commands on services.

use serde_json::json;

use super::{some, tab};
use crate::app::App;
use crate::command::{Command, Level, Place};
use crate::effect::{Effect, Question};
use crate::overlay::Overlay;
use crate::overlay::confirm::{Confirm, Item};
use crate::rows::{Expect, ServiceLine};
use crate::screen::browse::Browse;
use crate::screen::services::{FACTS, LOG, WHY};

const HERE: &[Place] = &[Place::Services];

/// The table.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "service.start",
        title: "Start {}",
        help: "start",
        hint: "start",
        places: HERE,
        keys: &["s"],
        level: Level::Free,
        legal: |app| some(&app.services, "service", |s| !s.live, "it runs already"),
        run: |app| {
            for service in chosen(app, |s| !s.live) {
                let target = Some(("service", service.id.text()));
                app.outbox.request(format!("Start {}", name(&service)), "service.start", target, json!({}), Vec::new());
            }
        },
    },
    Command {
        name: "service.stop",
        title: "Stop {}",
        help: "stop",
        hint: "stop",
        places: HERE,
        keys: &["x"],
        level: Level::Preview,
        legal: |app| some(&app.services, "service", |s| s.live, "it does not run"),
        run: |app| end(app, &STOP, |s| s.live),
    },
    Command {
        name: "service.restart",
        title: "Restart {}",
        help: "restart",
        hint: "restart",
        places: HERE,
        keys: &["R"],
        level: Level::Preview,
        legal: |app| some(&app.services, "service", |_| true, "it cannot be restarted"),
        run: |app| end(app, &RESTART, |_| true),
    },
    Command {
        name: "service.open",
        title: "Open the URL of {}",
        help: "open its URL",
        hint: "open URL",
        places: HERE,
        keys: &["o"],
        level: Level::Free,
        legal: |app| match app.services.service() {
            None => Err("no service is selected".to_owned()),
            Some(s) if s.url.is_none() => Err("it has no URL".to_owned()),
            Some(s) if !s.live => Err("it does not run".to_owned()),
            Some(_) => Ok(()),
        },
        run: |app| {
            if let Some(url) = app.services.service().and_then(|s| s.url.clone()) {
                app.outbox.push(Effect::OpenUrl(url));
            }
        },
    },
    Command {
        name: "service.copy-url",
        title: "Copy the URL of {}",
        help: "copy its URL",
        hint: "",
        places: HERE,
        keys: &["Y l"],
        level: Level::Free,
        legal: |app| match app.services.service() {
            Some(s) if s.url.is_some() => Ok(()),
            _ => Err("it has no URL".to_owned()),
        },
        run: |app| {
            if let Some(url) = app.services.service().and_then(|s| s.url.clone()) {
                app.copy(url);
            }
        },
    },
    tab("service.log", "Log", HERE, &["t o"], |app| app.services.base_mut().show_tab(LOG)),
    tab("service.facts", "Facts", HERE, &["t d"], |app| app.services.base_mut().show_tab(FACTS)),
    Command {
        title: "Why {} is as it is",
        help: "why",
        hint: "why",
        ..tab("service.why", "Why", HERE, &["w", "t w"], |app| app.services.base_mut().show_tab(WHY))
    },
];

/// What ends a service, for good or not.
struct End {
    kind: &'static str,
    verb: &'static str,
    doing: &'static str,
    capital: &'static str,
    question: fn(wharf_model::ServiceId) -> Question,
}

const STOP: End =
    End { kind: "service.stop", verb: "stop", doing: "Stopping", capital: "Stop", question: Question::StopPreview };
const RESTART: End = End {
    kind: "service.restart",
    verb: "restart",
    doing: "Restarting",
    capital: "Restart",
    question: Question::RestartPreview,
};

fn name(service: &ServiceLine) -> String {
    format!("S-{}", service.number)
}

fn chosen(app: &App, which: fn(&ServiceLine) -> bool) -> Vec<ServiceLine> {
    app.services.chosen().into_iter().filter(|s| which(s)).cloned().collect()
}

/// At once when no run uses any of them, else after a preview.
fn end(app: &mut App, end: &End, which: fn(&ServiceLine) -> bool) {
    let services = chosen(app, which);
    let words = (end.verb, end.doing);
    let now = app.env.now;
    let item = |s: &ServiceLine| Item {
        question: (end.question)(s.id),
        name: name(s),
        target: ("service", s.id.text()),
        preview: None,
    };
    if services.iter().all(|s| s.users.is_empty()) {
        for service in services {
            let title = format!("{} {}", end.capital, name(&service));
            let target = Some(("service", service.id.text()));
            // As it was judged: when a run has begun to use it meanwhile, there is something to ask after all.
            let expect = vec![Expect { id: service.id.text(), version: service.version }];
            let tag = app.outbox.request(title, end.kind, target, json!({}), expect);
            app.confirmed(tag, Confirm::unasked(words, end.kind, json!({}), vec![item(&service)], now));
        }
        return;
    }
    let items: Vec<Item> = services.iter().map(item).collect();
    let confirm = Confirm::open(words, end.kind, json!({}), items, now, &mut app.outbox);
    app.open(Overlay::Confirm(Box::new(confirm)));
}
