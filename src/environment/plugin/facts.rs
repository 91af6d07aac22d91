//! Reading what a plugin answers: what cannot be read is unknown, never taken for something.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::{Value, json};
use wharf_model::UnixMillis;

use crate::environment::driver::{
    Acquired, Check, Collected, Extended, Level, Mapping, Place, PlaceProcess, Queue, Realised, Resumed, Seen,
};

/// Processes, checks and warnings taken of one answer.
const MANY: usize = 1_000;
/// Letters taken of a text that people read.
const TEXT: usize = 2_000;
/// Most bytes of metadata: it is stored, and goes with every call.
const METADATA_MAX: usize = 64 << 10;

type Read<T> = Result<T, String>;

fn text(value: &Value) -> Option<String> {
    value.as_str().map(|text| text.chars().take(TEXT).collect())
}

fn id(value: &Value, name: &str) -> Read<Option<String>> {
    match value {
        Value::Null => Ok(None),
        Value::String(id) if !id.is_empty() && id.len() <= 512 => Ok(Some(id.clone())),
        _ => Err(format!("{name} is no text of 1 to 512 bytes")),
    }
}

/// A moment: RFC 3339, or milliseconds since 1970.
fn moment(value: &Value, name: &str) -> Read<Option<UnixMillis>> {
    match value {
        Value::Null => Ok(None),
        Value::Number(ms) => ms.as_i64().map(|ms| Some(UnixMillis(ms))).ok_or_else(|| format!("{name} is no moment")),
        Value::String(text) => DateTime::parse_from_rfc3339(text)
            .map(|at| Some(UnixMillis(at.timestamp_millis())))
            .map_err(|e| format!("{name} {text:?} is no moment: {e}")),
        _ => Err(format!("{name} is no moment")),
    }
}

fn metadata(answer: &Value) -> Read<Value> {
    let metadata = answer["metadata"].clone();
    match metadata.to_string().len() {
        n if n > METADATA_MAX => Err(format!("metadata has {n} bytes, of {METADATA_MAX} at most")),
        _ => Ok(metadata),
    }
}

fn queue(answer: &Value) -> Read<Option<Queue>> {
    let pending = &answer["pending"];
    if pending.is_null() {
        return Ok(None);
    }
    let Some(reason) = text(&pending["reason"]) else { return Err("pending has no reason".to_owned()) };
    Ok(Some(Queue {
        provider_lease_id: id(&answer["providerLeaseId"], "providerLeaseId")?,
        reason,
        position: pending["position"].as_u64().and_then(|n| u32::try_from(n).ok()),
        expected_at: moment(&pending["expectedAt"], "expectedAt")?,
    }))
}

fn place(answer: &Value, driver: &str) -> Read<Place> {
    let expires_at = moment(&answer["expiresAt"], "expiresAt")?;
    Ok(Place {
        provider_lease_id: id(&answer["providerLeaseId"], "providerLeaseId")?,
        expires_at,
        facts: json!({ "driver": driver, "metadata": metadata(answer)?, "expires_at": expires_at.map(|at| at.0) }),
    })
}

/// An acquisition; one that is held has an id.
pub fn acquired(answer: &Value, driver: &str) -> Read<Acquired> {
    if let Some(queue) = queue(answer)? {
        return Ok(Acquired::Queued(queue));
    }
    let place = place(answer, driver)?;
    if place.provider_lease_id.is_none() {
        return Err("a place has no providerLeaseId".to_owned());
    }
    Ok(Acquired::Held(place))
}

/// A resumption; gone only where the id is there and null. One that has to wait is not known yet: a lease is queued by
/// acquiring alone.
pub fn resumed(answer: &Value, driver: &str) -> Read<Resumed> {
    if answer.get("providerLeaseId") == Some(&Value::Null) {
        return Ok(Resumed::Gone);
    }
    match acquired(answer, driver)? {
        Acquired::Held(place) => Ok(Resumed::Held(place)),
        Acquired::Queued(queue) => Err(format!("it waits in a queue: {}", queue.reason)),
    }
}

/// A realised workspace.
pub fn realised(answer: &Value) -> Read<Realised> {
    let cwd = text(&answer["cwd"]).filter(|cwd| cwd.starts_with('/'));
    let Some(cwd) = cwd else { return Err("cwd is no absolute path".to_owned()) };
    let sync = text(&answer["sync"]).unwrap_or_else(|| "provider_defined".to_owned());
    Ok(Realised { cwd, sync, record: json!({ "metadata": metadata(answer)? }) })
}

/// How a command runs there: directories with another name, and what is given back with each execution.
pub fn target(answer: &Value) -> Read<(Vec<Mapping>, Value)> {
    let mut dirs = Vec::new();
    for dir in answer["dirs"].as_array().unwrap_or(&Vec::new()).iter().take(MANY) {
        match (text(&dir["here"]), text(&dir["there"])) {
            (Some(here), Some(there)) => dirs.push(Mapping { here, there }),
            _ => return Err("dirs holds something else than { here, there }".to_owned()),
        }
    }
    dirs.sort_by_key(|dir| std::cmp::Reverse(dir.here.len()));
    Ok((dirs, metadata(answer)?))
}

/// Processes that live in a place.
pub fn processes(answer: &Value, member: &str) -> Read<Vec<PlaceProcess>> {
    let Some(all) = answer[member].as_array() else { return Err(format!("{member} is no list")) };
    let process = |one: &Value| PlaceProcess {
        pid: one["pid"].as_i64().unwrap_or(0),
        command: text(&one["command"]).or_else(|| text(&one["executionId"])).unwrap_or_default(),
    };
    Ok(all.iter().take(MANY).map(process).collect())
}

/// What was brought back.
pub fn collected(answer: &Value) -> Read<Collected> {
    let Some(changed) = answer["changed"].as_bool() else { return Err("changed is neither true nor false".to_owned()) };
    let warnings = answer["warnings"].as_array().map(|all| all.iter().filter_map(text).take(MANY).collect());
    Ok(Collected { changed, record: metadata(answer)?, warnings: warnings.unwrap_or_default() })
}

/// An extension, or its refusal.
pub fn extended(answer: &Value) -> Read<Extended> {
    if answer["ok"] == Value::Bool(false) {
        let latest = moment(&answer["latest"], "latest")?;
        return latest.map(|latest| Extended::Refused { latest }).ok_or_else(|| "a refusal has no latest".to_owned());
    }
    moment(&answer["expiresAt"], "expiresAt")?.map(Extended::Until).ok_or_else(|| "expiresAt is missing".to_owned())
}

/// What became of several places; those of which nothing readable is said are left out.
pub fn observed(answer: &Value) -> Read<BTreeMap<String, Seen>> {
    let Some(leases) = answer["leases"].as_object() else { return Err("leases is no object".to_owned()) };
    let mut all = BTreeMap::new();
    for (id, said) in leases.iter().take(100_000) {
        let seen = match said["state"].as_str() {
            Some("held") => Seen::Held(moment(&said["expiresAt"], "expiresAt")?),
            Some("gone") => Seen::Gone,
            Some("queued") => match queue(said)? {
                Some(found) => Seen::Queued(Queue { provider_lease_id: Some(id.clone()), ..found }),
                None => continue,
            },
            _ => continue,
        };
        all.insert(id.clone(), seen);
    }
    Ok(all)
}

/// What a look at the settings or the environment found.
pub fn checks(answer: &Value, what: &str) -> Read<Vec<Check>> {
    let mut checks = Vec::new();
    for said in answer["checks"].as_array().unwrap_or(&Vec::new()).iter().take(MANY) {
        let level = match said["level"].as_str() {
            Some("ok") => Level::Ok,
            Some("warn") => Level::Warn,
            _ => Level::Error,
        };
        let code = text(&said["code"]).unwrap_or_else(|| what.to_owned());
        let message = text(&said["message"]).unwrap_or_default();
        checks.push(Check { code, level, message, hint: text(&said["hint"]) });
    }
    match answer["ok"].as_bool() {
        None => return Err("ok is neither true nor false".to_owned()),
        Some(true) if checks.is_empty() => checks.push(Check::ok(what, "the plugin finds nothing wrong")),
        Some(false) if checks.iter().all(|c| c.level != Level::Error) => checks.push(Check::error(
            what,
            "the plugin says that it cannot be used, and not why",
            "see what the plugin's author says",
        )),
        Some(_) => {}
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_never_a_place_nor_gone() {
        for answer in [json!(null), json!({}), json!({ "providerLeaseId": 7 }), json!({ "providerLeaseId": "" })] {
            assert!(acquired(&answer, "d").is_err(), "{answer}");
            assert!(resumed(&answer, "d").is_err(), "{answer}");
        }
        assert_eq!(resumed(&json!({ "providerLeaseId": null }), "d"), Ok(Resumed::Gone));
        let waits = resumed(&json!({ "providerLeaseId": "x", "pending": { "reason": "full" } }), "d");
        assert!(waits.is_err_and(|why| why.contains("full")));
        assert!(acquired(&json!({ "providerLeaseId": "x", "expiresAt": "soon" }), "d").is_err());
        assert!(observed(&json!({ "leases": { "a": { "state": "odd" } } })).unwrap().is_empty());
    }

    #[test]
    fn answers_are_read() {
        let answer = json!({ "providerLeaseId": "x", "expiresAt": "1970-01-01T00:00:01.5Z", "metadata": { "a": 1 } });
        let Acquired::Held(place) = acquired(&answer, "d").unwrap() else { panic!() };
        assert_eq!(place.expires_at, Some(UnixMillis(1_500)));
        assert_eq!(place.facts["metadata"], json!({ "a": 1 }));
        let answer = json!({ "pending": { "reason": "full", "position": 3, "expectedAt": 9 } });
        let Acquired::Queued(queue) = acquired(&answer, "d").unwrap() else { panic!() };
        assert_eq!((queue.reason.as_str(), queue.position, queue.expected_at), ("full", Some(3), Some(UnixMillis(9))));
        assert_eq!(extended(&json!({ "ok": false, "latest": 5 })), Ok(Extended::Refused { latest: UnixMillis(5) }));
        assert_eq!(extended(&json!({ "expiresAt": 5 })), Ok(Extended::Until(UnixMillis(5))));
        let seen = observed(&json!({ "leases": { "a": { "state": "held" }, "b": { "state": "gone" } } })).unwrap();
        assert_eq!(seen, BTreeMap::from([("a".into(), Seen::Held(None)), ("b".into(), Seen::Gone)]));
        let found =
            checks(&json!({ "ok": false, "checks": [{ "level": "warn", "code": "w", "message": "m" }] }), "probe");
        assert_eq!(found.unwrap().iter().map(|c| c.level).collect::<Vec<_>>(), [Level::Warn, Level::Error]);
    }
}
