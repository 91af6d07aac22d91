//! A command in a plugin's place under a real shim, as a run has it.

use std::collections::BTreeMap;

use serde_json::json;
use wharf::environment::driver::Outcome;
use wharf::environment::target::Inside;
use wharf_model::shim::{Control, ControlReply, StdinMode};
use wharf_store::log::Stream;

use crate::bench::*;
use crate::shim_common::Place;

/// A shim's place for a script that runs in the plugin's place.
async fn place(
    driver: &dyn wharf::environment::Driver,
    held: &wharf::environment::driver::Held,
    script: &str,
) -> Place {
    let mut place = Place::new(&["true"]);
    let target = done(driver.target(held, None).await);
    let argv = ["sh", "-c", script].map(str::to_owned);
    let own = BTreeMap::from([("WHARF_TAG".to_owned(), place.spec.tag.clone())]);
    let allowed = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]);
    let inside = Inside { argv: &argv, cwd: "/tmp", allowed: &allowed, own: &own, tty: false, here: "/" };
    let wrapped = target.wrap(&inside);
    place.spec.argv = wrapped.argv;
    place.spec.cwd = wrapped.cwd;
    place.spec.stdin = StdinMode::Sent;
    place.spec.redact_count = target.redact.len() as u32;
    place.message.env = wrapped.env;
    place.message.env.insert("WHARF_TAG".into(), place.spec.tag.clone());
    place.spec.env_names = place.message.env.keys().cloned().collect();
    place.message.stdin = Some(wrapped.first_line.unwrap() + "what the agent is asked");
    place.message.redact = target.redact;
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_there_is_kept_and_stopped_like_one_here() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let driver = bench.places(json!({ "root": bench.path("places") }));
    let asked = ask();
    let held = held(&asked, &acquire(&*driver, &asked).await);

    let mut whole = place(&*driver, &held, "cat; echo; echo err >&2; exit 6").await;
    let stopped = place(&*driver, &held, "echo ready; exec sleep 60").await;
    let mut stubborn = place(&*driver, &held, "trap '' TERM; echo ready; while :; do sleep 1; done").await;
    stubborn.spec.grace_ms = 300;
    let tags = [stopped.spec.tag.clone(), stubborn.spec.tag.clone()];
    let frames = tokio::task::spawn_blocking(move || {
        let end = whole.run();
        assert_eq!((end.code, end.stop.is_none()), (Some(6), true), "{end:?}");
        assert_eq!(whole.text(Stream::Stdout), "what the agent is asked\n");
        assert_eq!(whole.text(Stream::Stderr), "err\n");
        [(stopped, 10_000), (stubborn, 300)].map(|(mut place, grace_ms)| {
            place.start();
            place.wait_for_text("ready");
            let stop = Control::Stop { reason: "operator".into(), grace_ms };
            assert_eq!(place.connect(5).ask(&stop).unwrap(), ControlReply::Ok);
            place.finish()
        })
    });
    let [stopped, stubborn] = frames.await.unwrap();
    assert_eq!(stopped.signal.as_deref(), Some("SIGTERM"), "{stopped:?}");
    assert_ne!(stubborn.code, Some(0), "{stubborn:?}");
    for tag in tags {
        assert_eq!(done(driver.list(&held, &tag).await), [], "nothing of it is left there either");
    }
    done(driver.release(&held, Outcome::Released).await);
    bench.plugins.close().await;
    tokio::task::spawn_blocking(move || bench.all_gone()).await.unwrap();
}
