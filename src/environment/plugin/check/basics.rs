//! Beginning, manners on the line, and ending.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::connection::CallError;
use super::super::facts;
use super::super::hello::method;
use super::super::message::code;
use super::{Bench, told};
use crate::environment::driver::Level;

/// Time in which a plugin should answer what needs no work.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Starts it and chooses the driver; false when nothing more can be tried.
pub(super) async fn begin(bench: &mut Bench) -> bool {
    let began = Instant::now();
    if let Err(words) = bench.up().await {
        bench.error("initialize", words, "answer initialize as PROTOCOL.md says, within 15 s");
        return false;
    }
    let keys: Vec<String> = bench.hello.drivers.iter().map(|d| d.driver_key.clone()).collect();
    let driver = match (&bench.plan.driver, keys.as_slice()) {
        (Some(key), _) => bench.hello.driver(key).map(|_| key.clone()),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(format!("it has {} drivers ({}): choose one with --driver", keys.len(), keys.join(", "))),
    };
    match driver {
        Ok(driver) => bench.driver = driver,
        Err(words) => {
            bench.error("driver", words, "name it as initialize does");
            return false;
        }
    }
    let hello = &bench.hello;
    let words = format!(
        "{} {}, driver {}, {} methods, ready after {} ms",
        hello.name,
        hello.version.as_deref().unwrap_or("without a version"),
        bench.driver,
        hello.supported_methods.len(),
        began.elapsed().as_millis()
    );
    bench.ok("initialize", words);
    let caution = bench.plan.launch.caution();
    bench.checks.extend(caution);
    let needed = [method::ACQUIRE, method::RELEASE, method::EXECUTE, method::CANCEL];
    let missing: Vec<&str> = needed.into_iter().filter(|name| !bench.has(name)).collect();
    if !missing.is_empty() {
        bench.warn("methods", format!("it has no {}", missing.join(", ")), "a driver is of little use without");
    }
    if bench.has(method::ACQUIRE) && !bench.has(method::RELEASE) && !bench.has(method::DESTROY) {
        let words = "it can obtain a place and not give it back; nothing more is tried, since that would leave one";
        bench.error("give_back", words, "add environmentReleaseLease, or environmentDestroyLease");
        return false;
    }
    true
}

/// How it takes what is odd.
pub(super) async fn manners(bench: &mut Bench) {
    let Ok(up) = bench.up().await else { return };
    let well = up.call(method::HEALTH, &json!({}), Some(AT_ONCE)).await;
    let well = match well {
        Ok(answer) if answer["ok"] == Value::Bool(true) => Ok("it says that it is well".to_owned()),
        Ok(answer) => Err(format!("health answers {answer}")),
        Err(error) => Err(told(error)),
    };
    bench.note("health", well, "answer { ok: true } at once, also while other calls run");

    let asked = up.call("environmentThereIsNoSuchThing", &json!({}), Some(AT_ONCE)).await;
    let hint = "answer it with error -32004";
    match asked {
        Err(CallError::Rpc(e)) if e.code == code::NOT_IMPLEMENTED || e.code == code::NO_METHOD => {
            bench.ok("unknown_method", "a method that it does not know is refused as such");
        }
        Err(CallError::Rpc(error)) => bench.warn("unknown_method", format!("refused with {}", error.code), hint),
        Ok(_) => bench.error("unknown_method", "it answers a method that does not exist", hint),
        Err(error) => bench.error("unknown_method", told(error), hint),
    }

    up.write(b"{\"jsonrpc\":\"2.0\",\"method\":\"cancelRequest\",\"params\":{\"id\":987654}}\n").await;
    up.write(b"{\"jsonrpc\":\"2.0\",\"method\":\"of.a.later.version\",\"params\":{}}\n").await;
    let well = up.call(method::HEALTH, &json!({}), Some(AT_ONCE)).await;
    let well = well.map(|_| "notifications that it does not know are passed over".to_owned()).map_err(told);
    bench.note("unknown_notification", well, "pass over messages that have no id");

    up.write(b"this is no JSON\n{\"jsonrpc\":\n").await;
    let well = up.call(method::HEALTH, &json!({}), Some(AT_ONCE)).await;
    match well {
        Ok(_) => bench.ok("garbage", "lines that are no JSON are passed over"),
        Err(error) => bench.warn("garbage", told(error), "pass over lines that are no JSON; wharf sends none"),
    }

    for (code, name) in [("config", method::VALIDATE), ("probe", method::PROBE)] {
        if let Some(answer) = bench.want(code, name, json!({})).await {
            match facts::checks(&answer, code) {
                Ok(found) if found.iter().any(|c| c.level == Level::Error) => {
                    let first = found.into_iter().find(|c| c.level == Level::Error).map(|c| c.message);
                    bench.error(code, first.unwrap_or_default(), "give a config that it takes, with --config");
                }
                Ok(found) => bench.ok(code, format!("{} findings, none of them an error", found.len())),
                Err(words) => bench.error(code, format!("{name}: {words}"), "answer { ok, checks }"),
            }
        }
    }
}

/// Ends it, and looks at what it wrote that it should not have.
pub(super) async fn end(bench: &mut Bench) {
    let Some(up) = bench.up.take() else { return };
    let notes = up.notes();
    if notes.garbage > 0 {
        let hint = "print to stderr; stdout is for messages only";
        bench.error(
            "stdout",
            format!("{} lines on stdout were no JSON-RPC{}", notes.garbage, notes.words(&bench.plan.secrets)),
            hint,
        );
    } else {
        bench.ok("stdout", "nothing but JSON-RPC came on stdout");
    }
    if notes.unknown_ids + notes.unknown > 0 {
        bench.warn(
            "stray",
            format!("messages that nobody could use{}", notes.words(&bench.plan.secrets)),
            "answer each id once, with that id",
        );
    }
    let began = Instant::now();
    let asked = up.call(method::SHUTDOWN, &json!({}), Some(super::super::connection::DRAIN_LIMIT)).await;
    let answered = asked.is_ok() || matches!(asked, Err(CallError::Gone(_)));
    let ended = tokio::time::timeout(AT_ONCE, up.wait()).await.is_ok();
    let words = up.shutdown().await;
    let hint = "answer shutdown, then exit; it is killed otherwise";
    match (answered, ended) {
        (true, true) => {
            bench.ok("shutdown", format!("{words}, {} ms after it was asked to", began.elapsed().as_millis()));
        }
        (true, false) => bench.warn("shutdown", "it answers shutdown and stays", hint),
        (false, _) => bench.error("shutdown", "shutdown is not answered", hint),
    }
}
