//! Commands on services.

use serde_json::json;

use super::{free, some, tab};
use crate::app::App;
use crate::command::{Command, Level, Place};
use crate::effect::{Effect, Question};
use crate::overlay::Overlay;
use crate::overlay::confirm::{Also, Confirm, Item};
use crate::rows::{Expect, ServiceLine};
use crate::screen::browse::Browse;
use crate::screen::services::{FACTS, LOG, RUNS, WHY};

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
        legal: |app| some(&app.services, "service", can_start, "it runs already"),
        run: |app| {
            for service in chosen(app, can_start) {
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
        legal: |app| some(&app.services, "service", can_stop, "it does not run, and nobody wants it to"),
        run: |app| {
            // One that is wanted and does not run is wanted no more: once the others are confirmed, if they have to be.
            let unwanted = wants(app, "stopped", |s| !s.live && s.desired == "running");
            end(app, &STOP, |s| s.live, unwanted);
        },
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
        run: |app| end(app, &RESTART, |_| true, Vec::new()),
    },
    Command {
        name: "service.open",
        title: "Open the URL of {}, or where it is configured",
        help: "open its URL, or its config when it is not well",
        hint: "open URL",
        places: HERE,
        keys: &["o"],
        level: Level::Free,
        legal: |app| match app.services.service() {
            None => Err(app.services.why_none().unwrap_or_else(|| "no service is selected".to_owned())),
            _ if mends(app).is_some() => Ok(()),
            Some(s) if s.url.is_none() => Err("it has no URL".to_owned()),
            Some(s) if !s.live => Err("it does not run".to_owned()),
            Some(_) => Ok(()),
        },
        run: |app| {
            if let Some((path, line)) = mends(app) {
                app.outbox.push(Effect::EditFile { path, line });
            } else if let Some(url) = app.services.service().and_then(|s| s.url.clone()) {
                app.outbox.push(Effect::OpenUrl(url));
            }
        },
    },
    Command {
        name: "service.config",
        title: "Edit where {} is configured",
        help: "edit its config",
        hint: "",
        places: HERE,
        keys: &[],
        level: Level::Free,
        legal: |app| match app.services.written() {
            Some(_) => Ok(()),
            None => Err("its [[service]] was not found in a wharf.toml".to_owned()),
        },
        run: |app| {
            if let Some((path, line)) = app.services.written() {
                app.outbox.push(Effect::EditFile { path, line });
            }
        },
    },
    wanted("service.want-running", "Want {} running, always", "want it running", |app| want(app, "running", |_| true)),
    wanted("service.want-stopped", "Want {} stopped, whoever asks", "want it stopped", |app| {
        want(app, "stopped", |_| true);
    }),
    wanted("service.want-manual", "Let {} run when it is asked for", "leave it to runs and hands", |app| {
        want(app, "manual", |_| true);
    }),
    Command {
        name: "port.service",
        title: "To the service of the port",
        help: "to its service",
        hint: "its service",
        places: &[Place::Ports],
        keys: &["Enter"],
        level: Level::Free,
        legal: |app| match app.services.port_service() {
            Some(_) => Ok(()),
            None => Err("no port is selected".to_owned()),
        },
        run: |app| {
            if let Some(number) = app.services.port_service() {
                app.focus(crate::screen::FocusMove::List);
                let (screen, out) = app.parts();
                screen.find(&[format!("S-{number}")], out);
            }
        },
    },
    tab("service.log", "Log", HERE, &["t o"], |app| app.services.show(LOG)),
    tab("service.facts", "Facts", HERE, &["t d"], |app| app.services.show(FACTS)),
    Command {
        title: "Why {} is as it is",
        help: "why",
        hint: "why",
        ..tab("service.why", "Why", HERE, &["w", "t w"], |app| app.services.show(WHY))
    },
    tab("service.runs", "Runs that use it", HERE, &["t h"], |app| app.services.show(RUNS)),
];

/// Says what is wanted of services; in the palette only.
const fn wanted(name: &'static str, title: &'static str, help: &'static str, run: fn(&mut App)) -> Command {
    let legal = |app: &App| some(&app.services, "service", |_| true, "");
    Command { legal, ..free(name, title, help, HERE, &[], run) }
}

/// Where the selected service is configured, when it is not well and that may be why.
fn mends(app: &App) -> Option<(String, u64)> {
    if app.services.is_well() || app.services.service().is_some_and(|s| s.live && s.url.is_some()) {
        return None;
    }
    app.services.written()
}

/// One between two starts need not wait for the end of its pause.
fn can_start(service: &ServiceLine) -> bool {
    !service.live || service.retries_at.is_some()
}

fn can_stop(service: &ServiceLine) -> bool {
    service.live || service.desired == "running"
}

/// Asks for a desired state, for each of the chosen ones that it is for.
fn want(app: &mut App, desired: &'static str, which: fn(&ServiceLine) -> bool) {
    let all = wants(app, desired, which);
    ask(app, all);
}

fn ask(app: &mut App, all: Vec<Also>) {
    for Also { title, kind, target, args, expect, .. } in all {
        app.outbox.request(title, kind, Some(target), args, expect);
    }
}

/// What is to be asked for a desired state, for each of the chosen ones that it is for.
fn wants(app: &App, desired: &'static str, which: fn(&ServiceLine) -> bool) -> Vec<Also> {
    let those = chosen(app, which).into_iter().filter(|s| s.desired != desired || desired == "running");
    let also = |s: ServiceLine| Also {
        title: format!("Want {} {desired}", name(&s)),
        kind: "service.set_desired",
        target: ("service", s.id.text()),
        args: json!({ "desired": desired }),
        expect: vec![Expect { id: s.id.text(), version: s.version }],
        line: (format!("{} {} wanted {desired}", name(&s), s.name), format!("it was wanted {}", s.desired)),
    };
    those.map(also).collect()
}

/// What ends a service, for good or not.
struct End {
    kind: &'static str,
    verb: &'static str,
    doing: &'static str,
    question: fn(wharf_model::ServiceId) -> Question,
}

const STOP: End = End { kind: "service.stop", verb: "stop", doing: "Stopping", question: Question::StopPreview };
const RESTART: End =
    End { kind: "service.restart", verb: "restart", doing: "Restarting", question: Question::RestartPreview };

fn name(service: &ServiceLine) -> String {
    format!("S-{}", service.number)
}

fn chosen(app: &App, which: fn(&ServiceLine) -> bool) -> Vec<ServiceLine> {
    app.services.chosen().into_iter().filter(|s| which(s)).cloned().collect()
}

/// After a preview, which names who uses and needs what ends; with it what else is asked.
fn end(app: &mut App, end: &End, which: fn(&ServiceLine) -> bool, also: Vec<Also>) {
    let services = chosen(app, which);
    if services.is_empty() {
        return ask(app, also);
    }
    let item = |s: &ServiceLine| Item {
        question: (end.question)(s.id),
        name: name(s),
        target: ("service", s.id.text()),
        preview: None,
    };
    let items: Vec<Item> = services.iter().map(item).collect();
    let words = (end.verb, end.doing);
    let mut confirm = Confirm::open(words, end.kind, json!({}), items, app.env.now, &mut app.outbox);
    confirm.also = also;
    app.open(Overlay::Confirm(Box::new(confirm)));
}
