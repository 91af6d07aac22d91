//! Commands on leases.

use serde_json::json;

use super::some;
use crate::app::App;
use crate::command::{Command, Level, Place};
use crate::effect::Question;
use crate::overlay::Overlay;
use crate::overlay::confirm::{Confirm, Item};
use crate::screen::browse::Browse;
use crate::screen::{Screen, ScreenId};

/// The table.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "lease.release",
        title: "Release {}",
        help: "release",
        hint: "release",
        places: &[Place::Leases],
        keys: &["r"],
        level: Level::Preview,
        legal: |app| some(&app.leases, "lease", |l| l.live, "it has been let go already"),
        run: release,
    },
    Command {
        name: "lease.holder",
        title: "Go to the run that holds {}",
        help: "to its run",
        hint: "holder",
        places: &[Place::Leases],
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
];

fn release(app: &mut App) {
    let chosen: Vec<_> = app.leases.chosen().into_iter().filter(|l| l.live).cloned().collect();
    let items: Vec<Item> = chosen
        .iter()
        .map(|lease| Item {
            question: Question::ReleasePreview(lease.id),
            name: format!("L-{}", lease.number),
            target: ("lease", lease.id.text()),
            preview: None,
        })
        .collect();
    let now = app.env.now;
    let mut confirm = Confirm::open(("release", "Releasing"), "lease.release", json!({}), items, now, &mut app.outbox);
    if let [one] = chosen.as_slice() {
        confirm.title = format!("Release L-{} on {}", one.number, one.environment);
    }
    let gone = |l: &&crate::rows::LeaseLine| l.holder_state.as_deref() == Some("gone");
    confirm.said = match (chosen.as_slice(), chosen.iter().filter(gone).count()) {
        ([one], 1) => {
            let holder = one.holder.as_deref().and_then(|h| h.split(' ').next()).unwrap_or("its run");
            format!("The holder {holder} is gone: no run is stopped.")
        }
        (_, n) if n == chosen.len() => "All holders are gone: no run is stopped.".to_owned(),
        _ => String::new(),
    };
    app.open(Overlay::Confirm(Box::new(confirm)));
}
