//! How a service ended, in words, and what has to be known about it.

use wharf_model::shim::{EndedBy, ExitFrame};

use crate::service::owned::Left;
use crate::service::port;

/// How to keep a service in the foreground.
const FOREGROUND: &str = "a service has to stay in the foreground: start it without its daemon option (many have \
    --foreground, -f, -D or --no-daemon), or let its script end with `exec …` or `wait`";

/// Why an end that looks good is none: the first process went away and left others to do its work. They were stopped
/// with it. `was_ready` says that it had been ready before.
pub(super) fn daemonised(exit: &ExitFrame, left: Option<&Left>, was_ready: bool, port: Option<u16>) -> Option<String> {
    let own = exit.by == EndedBy::Itself && exit.code == Some(0);
    let left_something =
        exit.stop.as_ref().is_some_and(|stop| stop.reason == "leftover") || left.is_some_and(|l| !l.names.is_empty());
    let listener = left.and_then(|l| l.listener.as_ref());
    // One that has served and ends by itself may leave a helper; its server it may not.
    if !own || !left_something || (was_ready && listener.is_none()) {
        return None;
    }
    let names = left.map(|l| l.names.join(", ")).filter(|names| !names.is_empty());
    let what = match (listener, port, names) {
        (Some(listener), Some(port), _) => format!("{listener} listening on port {port}"),
        (_, _, Some(names)) => format!("{names} running"),
        (_, _, None) => "processes running".to_owned(),
    };
    Some(format!(
        "it went into the background: its first process ended with exit 0 and left {what}, which was stopped; {FOREGROUND}"
    ))
}

/// Says who listens on the port of a service that has ended; none when nobody does.
pub(super) fn port_still_taken(port: Option<u16>) -> Option<String> {
    let port = port?;
    let owners = port::owners_of(port).ok().filter(|owners| !owners.is_empty())?;
    Some(format!("port {port} is not free: it is held by {}", port::describe(&Ok(owners))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exit(code: Option<i32>, by: &str, reason: Option<&str>) -> ExitFrame {
        let stop = reason
            .map(|reason| json!({ "reason": reason, "asked_ms": 1, "delivered": false, "killed": 0, "survivors": [] }));
        serde_json::from_value(json!({
            "t": "exit", "v": 1, "code": code, "signal": null, "core": false, "by": by, "stop": stop, "streams": {},
            "leaky": false, "started_ms": 1, "ended_ms": 2, "oom": false,
            "rusage": { "user_us": 1, "sys_us": 1, "maxrss_kib": 1 },
        }))
        .unwrap()
    }

    #[test]
    fn a_first_process_that_leaves_its_work_to_others_is_told_apart() {
        let left = |listener: Option<&str>| Left {
            names: vec!["node (8)".into(), "sh (9)".into()],
            listener: listener.map(str::to_owned),
        };
        let (serving, helper) = (left(Some("node (8)")), left(None));
        let leftover = Some("leftover");
        let table = [
            (
                "it listens",
                exit(Some(0), "self", leftover),
                Some(&serving),
                false,
                Some("left node (8) listening on port 80"),
            ),
            ("and was ready", exit(Some(0), "self", leftover), Some(&serving), true, Some("listening on port 80")),
            (
                "it does not listen",
                exit(Some(0), "self", leftover),
                Some(&helper),
                false,
                Some("left node (8), sh (9) running"),
            ),
            ("it was seen too late", exit(Some(0), "self", leftover), None, false, Some("left processes running")),
            ("a helper of one that served", exit(Some(0), "self", leftover), Some(&helper), true, None),
            ("nothing left", exit(Some(0), "self", None), None, false, None),
            ("it failed", exit(Some(1), "self", leftover), Some(&serving), false, None),
            ("it was stopped", exit(Some(0), "stop", Some("operator")), Some(&serving), false, None),
        ];
        for (name, exit, left, was_ready, expected) in table {
            let words = daemonised(&exit, left, was_ready, Some(80));
            assert_eq!(words.is_some(), expected.is_some(), "{name}: {words:?}");
            if let (Some(words), Some(part)) = (words, expected) {
                assert!(words.contains(part) && words.contains("foreground"), "{name}: {words}");
            }
        }
    }

    #[test]
    fn a_port_that_is_not_free_is_told_with_its_owner() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let words = port_still_taken(Some(port)).unwrap();
        assert!(words.contains(&format!("process {}", std::process::id())), "{words}");
        assert_eq!(port_still_taken(None), None);
    }
}
