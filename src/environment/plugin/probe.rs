//! Looking at a plugin with settings that may never be saved: an instance of its own, ended afterwards.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::asking::ask;
use super::begin::begin;
use super::driver::Plugin;
use super::facts;
use super::hello::method;
use super::notes::Notes;
use super::worker::Ready;
use crate::environment::driver::{Answer, Check};
use crate::environment::secrets::Resolved;

/// Has the plugin look at its settings.
pub async fn validate(plugin: &Plugin) -> Answer<Vec<Check>> {
    look(plugin, &[method::VALIDATE]).await
}

/// Has the plugin look at its settings and whether it can be used now.
pub async fn probe(plugin: &Plugin) -> Answer<Vec<Check>> {
    let answer = look(plugin, &[method::VALIDATE, method::PROBE]).await;
    if matches!(&answer, Answer::Done(checks) if checks.iter().all(|c| c.level != crate::environment::driver::Level::Error))
    {
        // Whoever mended it wants it to be used again.
        plugin.worker.mended();
    }
    answer
}

async fn look(plugin: &Plugin, methods: &[&str]) -> Answer<Vec<Check>> {
    let secrets = match plugin.prepare().await {
        Ok(secrets) => secrets,
        Err(why) => {
            return Answer::Done(vec![Check::error("plugin_secret", why.words, "set what the config refers to")]);
        }
    };
    let begun = begin(&plugin.launch, &plugin.config.driver, &plugin.state, &secrets, Notes::default()).await;
    let (connection, hello) = match begun {
        Ok(begun) => begun,
        Err((why, _)) => {
            let hint = "start the command by hand, and try it with: wharf plugin check";
            return Answer::Done(vec![Check::error("plugin_start", secrets.redact(&why.words), hint)]);
        }
    };
    let version = hello.version.clone().unwrap_or_else(|| "without a version".to_owned());
    let mut checks = vec![Check::ok("plugin", secrets.redact(&format!("{} {version} answers", hello.name)))];
    checks.extend(plugin.launch.caution());
    let ready = Ready { connection: Arc::new(connection), hello: Arc::new(hello) };
    for name in methods {
        if let Err(answer) = one(plugin, &ready, &secrets, name, &mut checks).await {
            ready.connection.shutdown().await;
            return answer;
        }
    }
    ready.connection.shutdown().await;
    for check in &mut checks {
        check.message = secrets.redact(&check.message);
        check.hint = check.hint.take().map(|hint| secrets.redact(&hint));
    }
    Answer::Done(checks)
}

async fn one(
    plugin: &Plugin,
    ready: &Ready,
    secrets: &Resolved,
    name: &str,
    checks: &mut Vec<Check>,
) -> Result<(), Answer<Vec<Check>>> {
    let code = if name == method::VALIDATE { "plugin_config" } else { "plugin_probe" };
    let params = json!({ "driverKey": plugin.config.driver, "config": secrets.config });
    let limit = Duration::from_millis(plugin.config.timeout_ms);
    match ask(ready, secrets, "probe_failed", name, &params, limit).await {
        Answer::Done(Some(value)) => {
            let found = facts::checks(&value, code);
            checks.extend(
                found.map_err(|why| Answer::unknown(format!("the plugin's answer to {name} cannot be used: {why}")))?,
            );
        }
        Answer::Done(None) => checks.extend(instead(ready, name).await),
        Answer::Refused { code, hint } => return Err(Answer::Refused { code, hint }),
        Answer::Unknown { evidence } => return Err(Answer::Unknown { evidence }),
    }
    Ok(())
}

/// What is asked of a plugin that has no way to look: whether it is well.
async fn instead(ready: &Ready, name: &str) -> Option<Check> {
    if name != method::PROBE {
        return None;
    }
    let health = ready.connection.call(method::HEALTH, &json!({}), Some(super::connection::HEALTH_LIMIT)).await;
    Some(match health {
        Ok(answer) if answer["ok"] != Value::Bool(false) => {
            Check::warn("plugin_probe", "it is well, and has no probe", "nothing is known of what it reaches")
        }
        Ok(answer) => Check::error(
            "plugin_health",
            answer["message"].as_str().unwrap_or("the plugin says that it is not well").to_owned(),
            "see what the plugin's author says",
        ),
        Err(error) => Check::error("plugin_health", format!("health: {error:?}"), "try: wharf plugin check"),
    })
}
