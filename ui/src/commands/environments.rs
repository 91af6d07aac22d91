//! Commands on environments.

use serde_json::{Value, json};

use super::{some, tab};
use crate::app::App;
use crate::command::{Command, Level, Place};
use crate::effect::{Effect, EnvironmentVerb, Question};
use crate::msg::Tone;
use crate::overlay::Overlay;
use crate::overlay::confirm::{Confirm, Item};
use crate::rows::EnvironmentLine;
use crate::screen::browse::Browse;
use crate::screen::environments::{CONFIG, FACTS, LEASES, PROBES};
use crate::screen::{Screen, ScreenId};

const HERE: &[Place] = &[Place::Environments];
const LIST: &[Place] = &[Place::EnvironmentsList];

const fn command(
    name: &'static str,
    title: &'static str,
    help: &'static str,
    places: &'static [Place],
    keys: &'static [&'static str],
    legal: fn(&App) -> Result<(), String>,
    run: fn(&mut App),
) -> Command {
    Command { name, title, help, hint: help, places, keys, level: Level::Free, legal, run }
}

/// The table.
pub const COMMANDS: &[Command] = &[
    command("environment.probe", "Probe {}", "probe", HERE, &["p"], in_use, |app| {
        send_all(app, "Probe", "environment.probe", &json!({}), |e| e.live);
    }),
    command("environment.probe.all", "Probe all environments", "probe all", HERE, &["P"], any, |app| {
        let all: Vec<EnvironmentLine> =
            app.environments.base().list.table.rows().iter().filter(|e| e.live).cloned().collect();
        send(app, "Probe", "environment.probe", &json!({}), &all);
    }),
    command("environment.add", "Add an environment…", "add", LIST, &["n"], crate::command::always, |app| {
        let words =
            "Write [[environment]] into wharf.toml, or make one: wharf env add NAME --driver ssh --set host=HOST";
        app.say(Tone::Info, words.to_owned());
    }),
    command("environment.edit", "Edit {}", "edit", LIST, &["e"], chosen_one, edit),
    Command {
        level: Level::Preview,
        ..command("environment.archive", "Archive {}", "archive", HERE, &["x"], in_use, |app| {
            ask(app, &ARCHIVE, EnvironmentVerb::Archive);
        })
    },
    command(
        "environment.restore",
        "Take {} into use again",
        "restore",
        HERE,
        &["R"],
        |app| some(&app.environments, "environment", |e| !e.live, "it is in use"),
        |app| send_all(app, "Restore", "environment.restore", &json!({}), |e| !e.live),
    ),
    Command {
        level: Level::Typed,
        hint: "",
        ..command("environment.delete", "Delete {}", "delete", HERE, &["D"], chosen_one, |app| {
            ask(app, &DELETE, EnvironmentVerb::Delete);
        })
    },
    command("environment.test", "Test an agent in {}", "test agent", HERE, &["a"], in_use, test),
    Command {
        hint: "leases",
        ..command("environment.leases", "Leases of {}", "its leases", HERE, &["Enter"], chosen_one, |app| {
            let names = app.environments.links(ScreenId::Leases);
            if names.is_empty() {
                app.environments.base_mut().show_tab(LEASES);
            } else {
                app.go(ScreenId::Leases, &names);
            }
        })
    },
    Command {
        hint: "",
        ..command("environment.open", "Open the file of {}", "its file", HERE, &["o"], chosen_one, edit)
    },
    tab("environment.facts", "Facts, and what a probe found", HERE, &["t d", "w", "t w"], |app| show(app, FACTS)),
    tab("environment.tab.leases", "Leases", HERE, &["t l"], |app| show(app, LEASES)),
    tab("environment.config", "Config", HERE, &["t c"], |app| show(app, CONFIG)),
    tab("environment.probes", "Probes and changes", HERE, &["t h"], |app| show(app, PROBES)),
];

fn show(app: &mut App, tab: usize) {
    app.environments.base_mut().show_tab(tab);
}

fn any(app: &App) -> Result<(), String> {
    let any = app.environments.base().list.table.rows().iter().any(|e| e.live);
    if any { Ok(()) } else { Err("there is no environment in use".to_owned()) }
}

fn in_use(app: &App) -> Result<(), String> {
    some(&app.environments, "environment", |e| e.live, "it is archived; R takes it into use again")
}

fn chosen_one(app: &App) -> Result<(), String> {
    some(&app.environments, "environment", |_| true, "")
}

fn label(line: &EnvironmentLine) -> String {
    format!("E-{}", line.number)
}

fn send_all(app: &mut App, verb: &str, kind: &str, args: &Value, which: fn(&EnvironmentLine) -> bool) {
    let chosen: Vec<EnvironmentLine> = app.environments.chosen().into_iter().filter(|e| which(e)).cloned().collect();
    send(app, verb, kind, args, &chosen);
}

fn send(app: &mut App, verb: &str, kind: &str, args: &Value, chosen: &[EnvironmentLine]) {
    for line in chosen {
        let target = Some(("environment", line.id.text()));
        app.outbox.request(format!("{verb} {}", label(line)), kind, target, args.clone(), Vec::new());
    }
}

/// Where it is written; what was made by hand is changed on the command line.
fn edit(app: &mut App) {
    let Some(line) = app.environments.environment() else { return };
    match line.written.clone() {
        Some((path, line)) => app.outbox.push(Effect::EditFile { path, line }),
        None => {
            let words = format!("{} was made by hand: wharf env edit {} --set KEY=VALUE", line.name, label(line));
            app.say(Tone::Info, words);
        }
    }
}

/// Tries the agent that names it; without one the plainest adapter.
fn test(app: &mut App) {
    let agent = app.environments.detail().and_then(|d| d.named_by.iter().find_map(|n| n.strip_prefix("agent ")));
    let args = agent.map_or_else(|| json!({ "adapter": "process" }), |name| json!({ "agent": name }));
    send_all(app, "Test", "environment.test", &args, |e| e.live);
}

struct Doing {
    kind: &'static str,
    verb: &'static str,
    noun: &'static str,
}

const ARCHIVE: Doing = Doing { kind: "environment.archive", verb: "archive", noun: "Archiving" };
const DELETE: Doing = Doing { kind: "environment.delete", verb: "delete", noun: "Deleting" };

fn ask(app: &mut App, doing: &Doing, verb: EnvironmentVerb) {
    let archive = verb == EnvironmentVerb::Archive;
    let chosen: Vec<EnvironmentLine> =
        app.environments.chosen().into_iter().filter(|e| e.live || !archive).cloned().collect();
    let items: Vec<Item> = chosen
        .iter()
        .map(|line| Item {
            question: Question::EnvironmentPreview(line.id, verb),
            name: label(line),
            target: ("environment", line.id.text()),
            preview: None,
        })
        .collect();
    let now = app.env.now;
    // What its leases hold goes with it, as the preview says.
    let args = if archive { json!({}) } else { json!({ "cleanup": true }) };
    let mut confirm = Confirm::open((doing.verb, doing.noun), doing.kind, args, items, now, &mut app.outbox);
    if let [one] = chosen.as_slice() {
        confirm.title = format!("{} {}", confirm.title, one.name);
    }
    if !archive {
        confirm = confirm.wants_typing();
    }
    app.open(Overlay::Confirm(Box::new(confirm)));
}
