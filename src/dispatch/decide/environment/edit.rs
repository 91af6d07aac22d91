//! Environments that are made and changed by hand.

use serde_json::{Map, Value, json};
use wharf_model::config::driver::{self, Invalid};
use wharf_model::config::{LOCAL_ENVIRONMENT, secret};
use wharf_model::{
    Driver, EnvironmentId, EnvironmentRow, EnvironmentStatus, Kind, LeasePolicy, Named, Origin, RequestRow,
};

use super::super::config::environments::open_lease_of_another_driver;
use super::super::{Deciding, about, lease, release};
use super::{answer, by_hand, by_name, changed_keys, company, is_local, judged, named};
use crate::config::is_name;
use crate::dispatch::input::{Actor, Refusal};

/// Most slots that can be asked for.
const SLOTS_MAX: i64 = 10_000;

/// What a request says of a value that may be absent.
enum Said<T> {
    /// Nothing: it stays.
    Nothing,
    /// It is to be absent.
    Absent,
    /// It is to be this.
    Is(T),
}

impl<T> Said<T> {
    fn over(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Nothing => before,
            Self::Absent => None,
            Self::Is(value) => Some(value),
        }
    }
}

/// What a request says of an environment; what it does not say stays.
struct Wanted {
    description: Said<String>,
    driver: Option<Driver>,
    lease_policy: Option<LeasePolicy>,
    slots: Said<i64>,
    ttl_ms: Option<i64>,
    keep_ms: Option<i64>,
    config: Option<Map<String, Value>>,
}

impl Wanted {
    fn read(args: &Value) -> Result<Self, Refusal> {
        let ms = |key: &str| match args.get(key) {
            None => Ok(None),
            Some(value) => match value.as_i64().filter(|ms| *ms > 0) {
                Some(ms) => Ok(Some(ms)),
                None => wrong(&format!("{key} = {value} is no duration"), "expected milliseconds above 0"),
            },
        };
        let description = match args.get("description") {
            None => Said::Nothing,
            Some(Value::Null) => Said::Absent,
            Some(Value::String(text)) if text.is_empty() => Said::Absent,
            Some(Value::String(text)) if text.len() <= 500 && !text.contains(char::is_control) => {
                Said::Is(text.clone())
            }
            Some(_) => return wrong("the description cannot be used", "expected one line of at most 500 bytes"),
        };
        let driver = match args.get("driver").and_then(Value::as_str) {
            None => None,
            Some(word) => match Driver::parse(word) {
                Some(driver) => Some(driver),
                None => return wrong(&format!("there is no driver {word:?}"), "expected ssh, sandbox or plugin"),
            },
        };
        let lease_policy = match args.get("lease_policy").and_then(Value::as_str) {
            None => None,
            Some(word) => match LeasePolicy::parse(word) {
                Some(policy) => Some(policy),
                None => {
                    let all: Vec<&str> = LeasePolicy::ALL.iter().map(|p| p.as_str()).collect();
                    return wrong(&format!("there is no policy {word:?}"), &format!("expected {}", all.join(", ")));
                }
            },
        };
        let slots = match args.get("slots") {
            None => Said::Nothing,
            Some(Value::Null) => Said::Absent,
            Some(value) => match value.as_i64().filter(|n| (1..=SLOTS_MAX).contains(n)) {
                Some(slots) => Said::Is(slots),
                None => return wrong(&format!("slots = {value} cannot be used"), "expected 1 to 10000, or none"),
            },
        };
        let config = match args.get("config") {
            None | Some(Value::Null) => None,
            Some(Value::Object(config)) => Some(config.clone()),
            Some(_) => return wrong("the settings are no table", "expected keys and values"),
        };
        let (ttl_ms, keep_ms) = (ms("ttl_ms")?, ms("keep_ms")?);
        Ok(Self { description, driver, lease_policy, slots, ttl_ms, keep_ms, config })
    }

    /// Puts what was said into a row.
    fn fill(self, row: &mut EnvironmentRow) {
        row.description = self.description.over(row.description.take());
        row.lease_policy = self.lease_policy.unwrap_or(row.lease_policy);
        row.slots = self.slots.over(row.slots);
        row.ttl_ms = self.ttl_ms.unwrap_or(row.ttl_ms);
        row.keep_ms = self.keep_ms.unwrap_or(row.keep_ms);
    }
}

fn wrong<T>(what: &str, expected: &str) -> Result<T, Refusal> {
    Err(Refusal::new("config_invalid", format!("{what}; {expected}")))
}

/// What a row keeps of settings that were given by hand; relative paths start at `base`, else at the home.
fn kept(config: Map<String, Value>, base: Option<&Value>) -> Value {
    let base = base.and_then(Value::as_str).filter(|base| base.starts_with('/'));
    json!({ "project": null, "base": base, "config": config })
}

/// Judges the settings and the policy of a row, as strictly as those of a file.
fn judge(row: &EnvironmentRow) -> Result<(), Refusal> {
    let mut wrong = secret::judge_by_hand(row.driver, &row.driver_config());
    if let Some(why) = driver::unfit(row.driver, row.lease_policy) {
        wrong.push(Invalid { path: "lease_policy".into(), message: why, expected: "expected ephemeral".into() });
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let message = format!("{} cannot be set up like this: {}", row.name, secret::in_words(&wrong));
    Err(Refusal::new("config_invalid", message))
}

/// A row as a request describes it, for one that is not there yet.
pub(super) fn described(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    name: &str,
    number: i64,
) -> Result<EnvironmentRow, Refusal> {
    let mut wanted = Wanted::read(&row.args)?;
    let Some(driver) = wanted.driver else {
        return Err(Refusal::new("config_invalid", "an environment needs a driver: ssh, sandbox or plugin"));
    };
    let (company, id, now) = (company(d, row), d.id::<EnvironmentId>(), d.now());
    let mut new = EnvironmentRow::new(id, number, company, name, driver, now);
    new.config = kept(wanted.config.take().unwrap_or_default(), row.args.get("base"));
    wanted.fill(&mut new);
    judge(&new)?;
    Ok(new)
}

/// `environment.create`.
pub(super) fn create(d: &mut Deciding<'_, '_>, row: &RequestRow, actor: &Actor) -> Result<Value, Refusal> {
    let name = row.args.get("name").and_then(Value::as_str).unwrap_or_default();
    if !is_name(name) {
        let expected = "expected 1 to 64 letters, digits, \"-\", \"_\" or \".\", a letter or digit first";
        return Err(Refusal::new("config_invalid", format!("{name:?} cannot name an environment; {expected}")));
    }
    if let Ok(Named::Number(..)) = name.parse() {
        let message = format!("{name:?} reads like a number that wharf gives, so it cannot name an environment");
        return Err(Refusal::new("config_invalid", message));
    }
    let driver = row.args.get("driver").and_then(Value::as_str);
    if name.eq_ignore_ascii_case(LOCAL_ENVIRONMENT) || driver == Some(Driver::Local.as_str()) {
        let message = format!(
            "this machine is there already, as {LOCAL_ENVIRONMENT}, and every company has it once; to change it: wharf env \
             edit {LOCAL_ENVIRONMENT}"
        );
        return Err(Refusal::new("illegal_state", message));
    }
    let company = company(d, row);
    if let Some(other) = by_name(d, company, name) {
        let number = Kind::Environment.number(other.number);
        let origin = match (other.origin, other.status) {
            (Origin::Config, _) => {
                format!("{}/wharf.toml has it", other.config["base"].as_str().unwrap_or("a project's file"))
            }
            (Origin::Manual, EnvironmentStatus::Active) => format!("change it: wharf env edit {number}"),
            (Origin::Manual, _) => format!("it is archived: wharf env restore {number}, or wharf env delete {number}"),
        };
        return Err(Refusal::new("illegal_state", format!("{number} is called {name:?} already; {origin}")));
    }
    // The company's own comes first, so that its number is the first one.
    lease::ensure_local(d, company);
    let number = d.tx.next_number("environment");
    let new = described(d, row, name, number)?;
    d.tx.put(new.clone());
    let details = json!({ "driver": new.driver.as_str(), "origin": "manual" });
    d.activity(actor, "environment.created", &about::environment(&new), Some(details));
    Ok(answer(&new))
}

/// `environment.update`: what is not said stays; settings of the same driver are merged, null takes a key away.
pub(super) fn update(d: &mut Deciding<'_, '_>, row: &RequestRow, actor: &Actor) -> Result<Value, Refusal> {
    let old = named(d, row)?;
    by_hand(d, &old, "change")?;
    release::check_unchanged(row, &judged(&old))?;
    let mut wanted = Wanted::read(&row.args)?;
    let driver = wanted.driver.unwrap_or(old.driver);
    if is_local(&old) != (driver == Driver::Local) {
        let message = format!("{LOCAL_ENVIRONMENT} is this machine, and nothing else is; its driver stays local");
        return Err(Refusal::new("illegal_state", message));
    }
    if let Some(open) = open_lease_of_another_driver(d, &old, driver) {
        let message = format!(
            "{} cannot change its driver from {} to {driver}: lease {} was acquired with it; release that first",
            old.name,
            old.driver,
            Kind::Lease.number(open.number)
        );
        return Err(Refusal::new("illegal_state", message));
    }
    let mut new = EnvironmentRow { driver, ..old.clone() };
    let given = wanted.config.take();
    let before = match old.driver_config() {
        Value::Object(before) if driver == old.driver => before,
        // Settings of another driver mean nothing to this one.
        _ => Map::new(),
    };
    if given.is_some() || driver != old.driver {
        let mut config = before;
        config.extend(given.unwrap_or_default());
        config.retain(|_, value| !value.is_null());
        // What was relative stays where it was: only another driver begins anew.
        let base = row.args.get("base").filter(|_| driver != old.driver).or(old.config.get("base"));
        new.config = kept(config, base);
    }
    wanted.fill(&mut new);
    judge(&new)?;
    let changed = changed_keys(&old, &new);
    if changed.iter().any(|key| key == "driver" || key.starts_with("config.")) {
        new.probe = None;
    }
    let about = about::environment(&new);
    let mut result = answer(&new);
    result["changed"] = json!(changed);
    if !changed.is_empty() {
        d.tx.put(new);
        d.activity(actor, "environment.updated", &about, Some(json!({ "changed": changed })));
    }
    Ok(result)
}
