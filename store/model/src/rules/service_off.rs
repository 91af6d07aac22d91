//! Services that may not be started: their row says why, and one that still runs is marked.

use serde_json::Value;

use crate::ServiceRow;

/// Why a service that the accepted config has no more is switched off.
pub const REMOVED: &str = "the accepted wharf.toml has no such service any more";
/// Why a service that the accepted config has in another form is switched off.
pub const REPLACED: &str = "the accepted wharf.toml has this service in another form, which has a row of its own";

/// Why a service may not be started; none when it may.
pub fn off(service: &ServiceRow) -> Option<&str> {
    service.config.get("disabled").and_then(Value::as_str).filter(|reason| !reason.is_empty())
}

/// What one that goes on although it would not be started again is, in two words; none where that is not so.
pub fn mark(service: &ServiceRow) -> Option<&'static str> {
    let reason = off(service).filter(|_| service.status.is_open())?;
    Some(match reason {
        REPLACED => "old form",
        REMOVED => "not configured",
        _ => "switched off",
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ServiceStatus::{Failed, Running, Stopped};
    use crate::rules::test_rows::service;

    #[test]
    fn one_that_goes_on_although_it_is_off_is_marked() {
        let table = [
            (Running, json!({}), None),
            (Running, json!({ "disabled": null }), None),
            (Running, json!({ "disabled": "" }), None),
            (Running, json!({ "disabled": REPLACED }), Some("old form")),
            (Running, json!({ "disabled": REMOVED }), Some("not configured")),
            (Running, json!({ "disabled": "maintenance" }), Some("switched off")),
            (Stopped, json!({ "disabled": "maintenance" }), None),
            (Failed, json!({ "disabled": REPLACED }), None),
        ];
        for (status, config, expected) in table {
            let row = ServiceRow { status, config: config.clone(), ..service() };
            assert_eq!(mark(&row), expected, "{status} {config}");
        }
    }
}
