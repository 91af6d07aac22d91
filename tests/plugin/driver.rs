//! What becomes of calls when a plugin behaves badly.

use std::time::{Duration, Instant};

use wharf::environment::driver::{Acquired, Answer, Extended, Level, Outcome};
use wharf::environment::target::Inside;
use wharf_model::UnixMillis;

use crate::bench::*;

/// Waits for what the worker does on its own, without holding up its tasks.
async fn gone(bench: Bench) {
    tokio::task::spawn_blocking(move || bench.all_gone()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_falls_at_its_start_is_told_with_its_words_and_begun_again_after_a_pause() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let driver = bench.bad("crash-start");
    let ask = ask();
    let words = unknown(driver.acquire(&ask).await);
    assert!(words.contains("it exited with 7") && words.contains("cannot find my heart"), "{words}");
    assert_eq!(bench.starts(), 1, "a call begins it once");
    let began = Instant::now();
    unknown(driver.acquire(&ask).await);
    assert!(began.elapsed() >= Duration::from_millis(300), "the pause after a crash is kept");
    assert_eq!(bench.starts(), 2);
    gone(bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_are_unknown_when_it_dies_and_the_secret_is_starred_out() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let driver = bench.bad("crash-call");
    let ask = ask();
    let words = unknown(driver.acquire(&ask).await);
    assert!(words.contains("it exited with 9") && words.contains("about to fall with ***"), "{words}");
    assert!(!words.contains("quoted"), "{words}");
    gone(bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_is_found_out_by_its_health_and_killed() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let driver = bench.bad("hang");
    let ask = ask();
    let began = Instant::now();
    let words = unknown(driver.acquire(&ask).await);
    assert!(words.contains("did not answer environmentAcquireLease within 400 ms"), "{words}");
    assert!(began.elapsed() < Duration::from_secs(10), "the call ends with its own time");
    // It answers health no more than the call, so it is killed although nobody drops it.
    gone(bench).await;
    drop(driver);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_is_found_out_when_whoever_asked_has_gone() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let driver = bench.bad_within("hang", "1h");
    // A call is given up that it has been sent: it had introduced itself before.
    until("it runs", || {
        let was_up = driver.capabilities().list;
        let given_up = Duration::from_millis(500);
        let asked = tokio::task::block_in_place(|| {
            let asked = ask();
            tokio::runtime::Handle::current().block_on(tokio::time::timeout(given_up, driver.acquire(&asked))).is_err()
        });
        asked && was_up
    });
    gone(bench).await;
    drop(driver);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_says_hello_is_not_ready() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let driver = bench.bad("mute");
    let ask = ask();
    let began = Instant::now();
    let words = unknown(driver.acquire(&ask).await);
    assert!(words.contains("within 15 s"), "{words}");
    assert!(began.elapsed() < Duration::from_secs(25));
    gone(bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_is_counted_and_has_an_end() {
    if !has_python() {
        return;
    }
    for (mode, expected) in [
        ("garbage-flood", "too many lines that are no JSON-RPC"),
        ("flood", "too many messages that nobody asked for"),
        ("huge", "a line of more than 8388608 bytes"),
    ] {
        let bench = Bench::new();
        let driver = bench.bad(mode);
        let ask = ask();
        let words = unknown(driver.acquire(&ask).await);
        // A time-out of the call may come first on a busy machine; then the next says why it ended.
        let words = if words.contains(expected) { words } else { unknown(driver.acquire(&ask).await) };
        assert!(words.contains(expected), "{mode}: {words}");
        drop(driver);
        gone(bench).await;
    }
    let bench = Bench::new();
    for mode in ["garbage", "wrong-id"] {
        let place = acquire(&*bench.bad(mode), &ask()).await;
        assert!(place.provider_lease_id.unwrap().starts_with("place-"), "{mode}: a little noise harms nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_dropped_and_the_next_call_has_its_own() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let driver = bench.bad("late");
    let ask = ask();
    let words = unknown(driver.acquire(&ask).await);
    assert!(words.contains("within 400 ms"), "{words}");
    // It works one call after another: this answer comes once the late one is written.
    let began = Instant::now();
    let lease = held(&ask, &place_of("x"));
    while matches!(driver.list(&lease, "tag").await, Answer::Unknown { .. }) {
        assert!(began.elapsed() < LIMIT, "it answers again once the late answer is written");
    }
    let (_, hint) = refused(driver.list(&lease, "tag").await);
    assert!(hint.contains("environmentListExecutions"), "{hint}");
    assert_eq!(bench.starts(), 1, "being late is no crash");
    let words = unknown(driver.acquire(&ask).await);
    assert!(words.contains("of its answers came too late"), "{words}");
}

fn place_of(id: &str) -> wharf::environment::driver::Place {
    wharf::environment::driver::Place {
        provider_lease_id: Some(id.into()),
        expires_at: None,
        facts: serde_json::json!({ "expires_at": 5_000 }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_be_read_refusals_and_queues() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let ask = ask();
    let words = unknown(bench.bad("odd-answer").acquire(&ask).await);
    assert!(words.contains("providerLeaseId"), "{words}");
    let (code, hint) = refused(bench.bad("refuse").acquire(&ask).await);
    assert_eq!((code.as_str(), hint.contains("no room; ask for less")), ("lease_acquire_failed", true), "{hint}");
    let Acquired::Queued(queue) = done(bench.bad("pending").acquire(&ask).await) else { panic!() };
    assert_eq!((queue.reason.as_str(), queue.position), ("all taken", Some(4)));
    assert_eq!(queue.provider_lease_id.as_deref(), Some("later"));
    // What says no at its beginning is believed; what fails or talks nonsense may do better another time.
    let words = unknown(bench.bad("begin-fails").acquire(&ask).await);
    assert!(words.contains("it fails to begin: try later with ***") && !words.contains("quoted"), "{words}");
    let words = unknown(bench.bad("begin-nonsense").acquire(&ask).await);
    assert!(words.contains("answer to initialize cannot be read"), "{words}");
    let (code, hint) = refused(bench.bad("begin-refuses").acquire(&ask).await);
    assert!(code == "unsupported_environment" && hint.contains("it refuses to begin: no licence"), "{hint}");
    let (code, hint) = refused(bench.bad("other-version").acquire(&ask).await);
    assert!(code == "unsupported_environment" && hint.contains("version 7"), "{hint}");
    let words = unknown(bench.bad("secret-error").acquire(&ask).await);
    assert!(words.contains("no entry with ***") && !words.contains("quoted"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_may_come_another_time_are_no_refusal() {
    let bench = Bench::new();
    for (secret, is_refusal) in [
        (serde_json::json!({ "env": "NOT_SET" }), true),
        (serde_json::json!({ "file": "not-there" }), true),
        (serde_json::json!({ "command": ["sh", "-c", "exit 1"] }), false),
    ] {
        let config = serde_json::json!({ "command": "./bad.py", "driver": "bad", "config": { "token": secret } });
        let driver = wharf::environment::registry::driver(wharf_model::Driver::Plugin, &config, &bench.site()).unwrap();
        let answer = driver.acquire(&ask()).await;
        assert_eq!(
            matches!(&answer, Answer::Refused { code, .. } if code == "lease_acquire_failed"),
            is_refusal,
            "{answer:?}"
        );
        assert!(is_refusal || matches!(answer, Answer::Unknown { .. }), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gets_secrets_on_its_input_only_and_little_else() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let place = acquire(&*bench.bad("dump"), &ask()).await;
    let seen = &place.facts["metadata"];
    assert_eq!(seen["token_length"], SECRET.len(), "it was told the value");
    assert_eq!(seen["token"], "*".repeat(SECRET.len()), "and what it says of it is not kept");
    let env = seen["env"].as_object().unwrap();
    assert_eq!(env["WHARF_PLUGIN"], "bad");
    // What of the operator's is not for it: the exact set is a unit test, since a `python3` may be a script that sets more.
    assert!(!env.contains_key("TOKEN") && !env.contains_key("OF_OURS"), "{env:?}");
    assert_eq!(seen["fds"], serde_json::json!([0, 1, 2]));
    assert_eq!(seen["group"], true);
    assert!(!place.facts.to_string().contains("quoted"));

    let driver = bench.bad("dump");
    let target = done(driver.target(&held(&ask(), &place), None).await);
    assert_eq!(target.redact, [SECRET], "the shim stars it out of the output");
    let (argv, own) = (vec!["true".to_owned()], std::collections::BTreeMap::new());
    let inside = Inside { argv: &argv, cwd: "/", allowed: &own, own: &own, tty: false, here: "/" };
    let wrapped = target.wrap(&inside);
    assert!(wrapped.first_line.unwrap().contains("a-secret-"), "it goes over the input");
    assert!(!format!("{:?} {:?}", wrapped.argv, wrapped.env).contains("a-secret-"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_has_no_method_for_it_cannot() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let driver = bench.bad("little");
    let ask = ask();
    let place = acquire(&*driver, &ask).await;
    let can = driver.capabilities();
    assert!(!can.execute && !can.resume && !can.extend && !can.list && !can.shared_files);
    let lease = held(&ask, &place);
    done(driver.release(&lease, Outcome::Released).await);
    done(driver.destroy(&lease).await);
    assert!(done(driver.observe(&["x".into()]).await).is_empty(), "nothing is known of it");
    let until = UnixMillis(9_000);
    assert_eq!(done(driver.extend(&lease, until).await), Extended::Until(until), "it has no end of its own");
    let ends = held(&ask, &place_of("x"));
    assert_eq!(done(driver.extend(&ends, until).await), Extended::Refused { latest: UnixMillis(5_000) });
    for code in [
        refused(driver.target(&lease, None).await).0,
        refused(driver.list(&lease, "t").await).0,
        refused(driver.resume(&ask, "x", &lease.facts).await).0,
    ] {
        assert_eq!(code, "unsupported_environment");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_given_back_by_what_the_plugin_has_and_never_only_in_words() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let driver = bench.bad_within("destroys", "5s");
    let ask = ask();
    let lease = held(&ask, &acquire(&*driver, &ask).await);
    let destroyed = || std::fs::read_to_string(bench.path("log.destroyed")).unwrap_or_default().lines().count();
    done(driver.release(&lease, Outcome::Kept).await);
    assert_eq!(destroyed(), 0, "what is kept is not thrown away");
    done(driver.release(&lease, Outcome::Failed).await);
    assert_eq!(destroyed(), 1);
    done(driver.destroy(&lease).await);
    assert_eq!(destroyed(), 2);
    // This one names the methods and then has none of them.
    let driver = bench.bad_within("well", "5s");
    for answer in [
        driver.release(&lease, Outcome::Released).await,
        driver.release(&lease, Outcome::Kept).await,
        driver.destroy(&lease).await,
    ] {
        let words = unknown(answer);
        assert!(words.contains("in supportedMethods"), "{words}");
    }
    unknown(driver.extend(&lease, UnixMillis(9_000)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_does_not_say_that_nothing_lives() {
    let bench = Bench::new();
    let lease = held(&ask(), &place_of("x"));
    for config in [
        serde_json::json!({ "command": "./no-such-plugin", "driver": "bad" }),
        serde_json::json!({ "command": "./bad.py", "driver": "bad", "config": { "token": { "env": "NOT_SET" } } }),
    ] {
        let driver = wharf::environment::registry::driver(wharf_model::Driver::Plugin, &config, &bench.site()).unwrap();
        assert!(!driver.capabilities().list, "it was never asked");
        unknown(driver.list(&lease, "run/x/1").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_will_not_end_is_killed() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let driver = bench.bad("stubborn");
    let checks = done(driver.probe().await);
    assert!(checks.iter().any(|c| c.code == "plugin" && c.level == Level::Ok), "{checks:?}");
    // A probe has an instance of its own, which is gone when it is over.
    assert_eq!(bench.processes(), Vec::<i32>::new());
    unknown(driver.acquire(&ask()).await);
    drop(driver);
    bench.plugins.close().await;
    assert_eq!(bench.processes(), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_serves_every_call_and_goes_with_the_last_that_needs_it() {
    if !has_python() {
        return;
    }
    let mut bench = Bench::new();
    let (one, two) = (bench.bad("well"), bench.bad("well"));
    let (a, b) = (ask(), ask());
    let (first, second) = tokio::join!(acquire(&*one, &a), acquire(&*two, &b));
    assert_ne!(first.provider_lease_id, second.provider_lease_id);
    assert_eq!(bench.starts(), 1);
    drop((one, two));
    bench.plugins = std::sync::Arc::default();
    gone(bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_refused_and_named() {
    let bench = Bench::new();
    let config = serde_json::json!({ "command": "./no-such-plugin", "driver": "bad" });
    let driver = wharf::environment::registry::driver(wharf_model::Driver::Plugin, &config, &bench.site()).unwrap();
    let (code, hint) = refused(driver.acquire(&ask()).await);
    assert!(code == "unsupported_environment" && hint.contains("no-such-plugin"), "{hint}");
    let checks = done(driver.probe().await);
    assert!(checks.iter().any(|c| c.level == Level::Error), "{checks:?}");
}
