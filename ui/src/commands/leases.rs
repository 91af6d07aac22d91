//! Commands on leases.

use serde_json::{Value, json};
use wharf_model::rules::lease_verb::Verb;

use super::{some, tab};
use crate::app::App;
use crate::command::{Command, Level, Place};
use crate::effect::{LeaseVerb, Question};
use crate::overlay::Overlay;
use crate::overlay::confirm::{Confirm, Item};
use crate::rows::LeaseLine;
use crate::screen::browse::Browse;
use crate::screen::leases::{CLEANUP, FACTS, HISTORY, REALISATION};
use crate::screen::{Screen, ScreenId};

const HERE: &[Place] = &[Place::Leases];
const LIST: &[Place] = &[Place::LeasesList];
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// What is asked before: a preview, to be confirmed.
const fn verb(
    name: &'static str,
    title: &'static str,
    help: &'static str,
    places: &'static [Place],
    keys: &'static [&'static str],
    legal: fn(&App) -> Result<(), String>,
    run: fn(&mut App),
) -> Command {
    Command { name, title, help, hint: "", places, keys, level: Level::Preview, legal, run }
}

/// The table.
pub const COMMANDS: &[Command] = &[
    Command {
        hint: "release",
        ..verb(
            "lease.release",
            "Release {}",
            "release",
            HERE,
            &["r"],
            |app| some(&app.leases, "lease", |l| l.live, "it has been let go already"),
            |app| ask(app, &RELEASE, LeaseVerb::Release { force: false }, &json!({})),
        )
    },
    Command {
        hint: "extend",
        ..verb("lease.extend", "Extend {} by 30 minutes", "30 minutes more", LIST, &["e"], has_time, |app| {
            extend(app, 30 * MINUTE);
        })
    },
    Command {
        hint: "retry clean-up",
        ..verb(
            "lease.cleanup.retry",
            "Try the clean-up of {} now",
            "clean-up now",
            HERE,
            &["c"],
            |app| some(&app.leases, "lease", |l| l.word == "cleaning", "no clean-up of it has failed"),
            |app| ask(app, &RETRY, LeaseVerb::Other(Verb::RetryCleanup), &json!({})),
        )
    },
    Command {
        hint: "destroy",
        level: Level::Typed,
        ..verb(
            "lease.destroy",
            "Destroy {} at its provider",
            "destroy at the provider",
            HERE,
            &["d"],
            |app| some(&app.leases, "lease", |l| l.live, "there is nothing of it at a provider any more"),
            |app| ask(app, &DESTROY, LeaseVerb::Other(Verb::Destroy), &json!({})),
        )
    },
    verb("lease.retain", "Keep {} for a day, whatever its policy", "keep a day", HERE, &["K"], has_time, |app| {
        retain(app, 24 * HOUR);
    }),
    verb(
        "lease.force-release",
        "Release {} without waiting long for its holder",
        "release by force",
        HERE,
        &["X"],
        |app| some(&app.leases, "lease", |l| l.live, "it has been let go already"),
        |app| ask(app, &FORCE, LeaseVerb::Release { force: true }, &json!({ "force": true })),
    ),
    verb("lease.extend.hours", "Extend {} by 4 hours", "4 hours more", HERE, &[], has_time, |app| {
        extend(app, 4 * HOUR);
    }),
    verb("lease.extend.day", "Extend {} by a day", "a day more", HERE, &[], has_time, |app| extend(app, 24 * HOUR)),
    verb("lease.retain.hour", "Keep {} for an hour", "keep an hour", HERE, &[], has_time, |app| retain(app, HOUR)),
    verb("lease.retain.week", "Keep {} for a week", "keep a week", HERE, &[], has_time, |app| retain(app, 168 * HOUR)),
    Command {
        name: "lease.holder",
        title: "Go to the run that holds {}",
        help: "to its run",
        hint: "holder",
        places: HERE,
        keys: &["Enter"],
        level: Level::Free,
        legal: |app| {
            if app.leases.links(ScreenId::Ledger).is_empty() { Err("no run holds it".to_owned()) } else { Ok(()) }
        },
        run: |app| {
            let names = app.leases.links(ScreenId::Ledger);
            app.go(ScreenId::Ledger, &names);
        },
    },
    tab("lease.facts", "Facts, and who holds it", HERE, &["t d", "w", "t w"], |app| {
        app.leases.base_mut().show_tab(FACTS);
    }),
    tab("lease.history", "History", HERE, &["t h"], |app| app.leases.base_mut().show_tab(HISTORY)),
    tab("lease.realisation", "Realisation", HERE, &["t r"], |app| app.leases.base_mut().show_tab(REALISATION)),
    tab("lease.cleanup", "Cleanup log", HERE, &["t o"], |app| app.leases.base_mut().show_tab(CLEANUP)),
];

fn has_time(app: &App) -> Result<(), String> {
    let can = |l: &LeaseLine| matches!(l.word.as_str(), "active" | "retained");
    some(&app.leases, "lease", can, "it holds nothing that could be kept")
}

/// How a verb is told and asked for.
struct Doing {
    kind: &'static str,
    verb: &'static str,
    noun: &'static str,
}

const RELEASE: Doing = Doing { kind: "lease.release", verb: "release", noun: "Releasing" };
const FORCE: Doing = Doing { kind: "lease.release", verb: "release by force", noun: "Releasing by force" };
const DESTROY: Doing = Doing { kind: "lease.destroy", verb: "destroy", noun: "Destroying" };
const EXTEND: Doing = Doing { kind: "lease.extend", verb: "extend", noun: "Extending" };
const RETAIN: Doing = Doing { kind: "lease.retain", verb: "keep", noun: "Keeping" };
const RETRY: Doing = Doing { kind: "lease.retry_cleanup", verb: "clean up", noun: "Cleaning up" };

fn extend(app: &mut App, by_ms: i64) {
    ask(app, &EXTEND, LeaseVerb::Other(Verb::Extend(by_ms)), &json!({ "by_ms": by_ms }));
}

fn retain(app: &mut App, span_ms: i64) {
    let until = app.env.now.plus(span_ms);
    ask(app, &RETAIN, LeaseVerb::Other(Verb::Retain(until)), &json!({ "until": until.0 }));
}

/// Opens one preview for all that are chosen.
fn ask(app: &mut App, doing: &Doing, verb: LeaseVerb, args: &Value) {
    let chosen: Vec<LeaseLine> = app.leases.chosen().into_iter().filter(|l| l.live).cloned().collect();
    let items: Vec<Item> = chosen
        .iter()
        .map(|lease| Item {
            question: Question::LeasePreview(lease.id, verb),
            name: format!("L-{}", lease.number),
            target: ("lease", lease.id.text()),
            preview: None,
        })
        .collect();
    let now = app.env.now;
    let words = (doing.verb, doing.noun);
    let mut confirm = Confirm::open(words, doing.kind, args.clone(), items, now, &mut app.outbox);
    if let [one] = chosen.as_slice() {
        confirm.title = format!("{} on {}", confirm.title, one.environment);
    }
    if matches!(verb, LeaseVerb::Release { .. }) {
        confirm.said = holders(&chosen);
    }
    if matches!(verb, LeaseVerb::Other(Verb::Destroy)) {
        confirm = confirm.wants_typing();
    }
    app.open(Overlay::Confirm(Box::new(confirm)));
}

/// What is to be said of their holders before anything else.
fn holders(chosen: &[LeaseLine]) -> String {
    let gone = |l: &&LeaseLine| l.holder_state.as_deref() == Some("gone");
    match (chosen, chosen.iter().filter(gone).count()) {
        ([one], 1) => {
            let holder = one.holder.as_deref().and_then(|h| h.split(' ').next()).unwrap_or("its run");
            format!("The holder {holder} is gone: no run is stopped.")
        }
        (_, n) if n == chosen.len() => "All holders are gone: no run is stopped.".to_owned(),
        _ => String::new(),
    }
}
