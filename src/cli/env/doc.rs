//! Environments as documents and in words.

use serde::Serialize;
use serde_json::Value;
use wharf_model::config::driver::DriverConfig;
use wharf_model::{EnvironmentRow, EnvironmentStatus, Kind, UnixMillis};
use wharf_store::view::EnvironmentItem;
use wharf_ui::glyph::Class;

use crate::cli::docs::State;
use crate::cli::run_doc::{class_word, time};

/// An environment in a document.
#[derive(Debug, Serialize)]
pub struct EnvironmentDoc {
    id: String,
    number: String,
    name: String,
    description: Option<String>,
    status: String,
    deleting: bool,
    class: &'static str,
    since: Option<String>,
    until: Option<String>,
    driver: String,
    provider: String,
    origin: String,
    file: Option<String>,
    policy: String,
    slots: Option<i64>,
    held: i64,
    waiting: i64,
    retained: i64,
    to_clean: i64,
    ttl_ms: i64,
    keep_ms: i64,
    config: Value,
    probe: Option<ProbeDoc>,
    version: i64,
}

/// What a probe saw.
#[derive(Debug, Serialize)]
pub struct ProbeDoc {
    at: Option<String>,
    ok: bool,
    took_ms: i64,
    checks: Value,
}

impl ProbeDoc {
    /// What the last probe of a row saw, or what an answer says.
    pub fn new(found: &Value) -> Self {
        Self {
            at: time(found["at"].as_i64().map(UnixMillis)),
            ok: found["ok"].as_bool().unwrap_or(false),
            took_ms: found["took_ms"].as_i64().unwrap_or(0),
            checks: found["checks"].clone(),
        }
    }
}

/// State of an environment.
pub fn environment_state(row: &EnvironmentRow) -> State {
    match row.status {
        EnvironmentStatus::Active => (Class::Alive, "active"),
        EnvironmentStatus::Archived if row.is_being_deleted() => (Class::Ending, "deleting"),
        EnvironmentStatus::Archived => (Class::Chosen, "archived"),
        EnvironmentStatus::Deleted => (Class::Chosen, "deleted"),
    }
}

/// Who provides what a lease of it holds, in a word.
pub fn provider(row: &EnvironmentRow) -> String {
    DriverConfig::read(row.driver, &row.driver_config())
        .map_or_else(|_| row.driver.as_str().to_owned(), |config| config.provider())
}

/// The file whose truth it is.
pub fn file(row: &EnvironmentRow) -> Option<String> {
    (row.origin == wharf_model::Origin::Config)
        .then(|| row.config["base"].as_str().map(|base| format!("{base}/wharf.toml")))
        .flatten()
}

impl EnvironmentDoc {
    /// The document of an environment. Its settings hold references to secrets, never a value.
    pub fn new(item: &EnvironmentItem) -> Self {
        let e = &item.environment;
        Self {
            id: e.id.text(),
            number: Kind::Environment.number(e.number),
            name: e.name.clone(),
            description: e.description.clone(),
            status: e.status.to_string(),
            deleting: e.is_being_deleted(),
            class: class_word(environment_state(e).0),
            since: time(Some(e.created_at)),
            until: None,
            driver: e.driver.to_string(),
            provider: provider(e),
            origin: e.origin.to_string(),
            file: file(e),
            policy: e.lease_policy.to_string(),
            slots: e.slots,
            held: item.held,
            waiting: item.waiting,
            retained: item.retained,
            to_clean: item.to_clean,
            ttl_ms: e.ttl_ms,
            keep_ms: e.keep_ms,
            config: e.driver_config(),
            probe: e.probe.as_ref().map(ProbeDoc::new),
            version: e.version,
        }
    }
}

/// The checks of a probe.
fn checks(probe: &Value) -> &[Value] {
    probe["checks"].as_array().map_or(&[], Vec::as_slice)
}

/// How the last probe went, in a word.
pub fn probe_words(row: &EnvironmentRow) -> Option<(Class, String)> {
    let probe = row.probe.as_ref()?;
    let count = |level: &str| checks(probe).iter().filter(|c| c["level"] == level).count();
    let all = checks(probe).len();
    Some(match (count("error"), count("warn")) {
        (0, 0) => (Class::Good, "ok".to_owned()),
        (0, n) => (Class::Doubtful, format!("{n} of {all} warn")),
        (n, _) => (Class::Bad, format!("{n} of {all} failed")),
    })
}

/// What is worth knowing of it in one line: what failed, else what was seen first, else what it is.
pub fn summary(row: &EnvironmentRow) -> String {
    let probe = row.probe.as_ref().unwrap_or(&Value::Null);
    let found = ["error", "warn", "ok"].iter().find_map(|level| checks(probe).iter().find(|c| c["level"] == *level));
    let seen = found.and_then(|c| c["message"].as_str()).map(str::to_owned);
    let config = row.driver_config();
    let place = ["host", "image", "provider", "driver"].iter().find_map(|key| config[*key].as_str().map(str::to_owned));
    seen.or_else(|| row.description.clone()).or(place).unwrap_or_default()
}
