//! `[[environment]]` and its driver's settings.

use serde_json::Value;
use wharf_model::Named;
use wharf_model::config::driver::{self, DriverConfig};
use wharf_model::config::{Driver, EnvironmentConfig, LOCAL_ENVIRONMENT, LeasePolicy, secret};

use super::project::References;
use super::reader::{Reader, Section};
use super::settings::Settings;

/// Reads one environment; what it lacks is a problem then.
pub(super) fn environment<'t>(
    reader: &mut Reader<'t>,
    name: String,
    mut table: Section<'_, 't>,
    references: &mut References,
) -> EnvironmentConfig {
    let t = &mut table;
    if name.eq_ignore_ascii_case(LOCAL_ENVIRONMENT)
        && let Some(value) = reader.take(t, "name")
    {
        let message = format!("the environment {LOCAL_ENVIRONMENT} is always there and cannot be defined");
        reader.wrong(value.span(), message, "expected another name");
    }
    if let (Ok(Named::Number(..)), Some(value)) = (name.parse(), reader.take(t, "name")) {
        let message = format!("{name:?} reads like a number that wharf gives, so it cannot name an environment");
        reader.wrong(value.span(), message, "expected another name");
    }
    if !t.has("driver") {
        reader.need(t, "driver", "\"ssh\", \"sandbox\" or \"plugin\"");
    }
    let driver = reader.word(t, "driver", Driver::ALL, Driver::as_str);
    let policy = reader.word(t, "lease_policy", LeasePolicy::ALL, LeasePolicy::as_str);
    let slots = reader.number(t, "slots", 1, 10_000).map(|slots| slots as u32);
    let ttl_ms = reader.positive(t, "ttl").unwrap_or(600_000);
    let keep_ms = reader.positive(t, "keep").unwrap_or(86_400_000);
    let mut settings = Settings::none(t.span());
    match driver {
        Some(Driver::Local) => {
            // The company has one, and the name stands for it.
            if let Some(value) = reader.take(t, "driver") {
                let message = format!("this machine is there already, as {LOCAL_ENVIRONMENT}");
                let expected = "expected \"ssh\", \"sandbox\" or \"plugin\"; to change it: wharf env edit Local";
                reader.wrong(value.span(), message, expected);
            }
            reader.take(t, "config");
        }
        Some(driver) => {
            if let (Some(policy), Some(value)) = (policy, reader.take(t, "lease_policy"))
                && let Some(why) = driver::unfit(driver, policy)
            {
                reader.wrong(value.span(), why, "expected \"ephemeral\"");
            }
            if let Some(section) = reader.table(t, "config", "environment.config") {
                settings = Settings::take(reader, section);
            }
            judge(reader, driver, &settings, references);
        }
        // Settings belong to a driver: without one that is known, none can be judged.
        None => drop(reader.take(t, "config")),
    }
    reader.close(table);
    EnvironmentConfig {
        name,
        driver: driver.unwrap_or(Driver::Local),
        lease_policy: policy.unwrap_or(LeasePolicy::Ephemeral),
        slots,
        ttl_ms,
        keep_ms,
        config: settings.table.into_iter().collect(),
    }
}

/// Reports what a driver cannot use, and secrets that stand there themselves.
fn judge(reader: &mut Reader<'_>, driver: Driver, settings: &Settings, references: &mut References) {
    let config = Value::Object(settings.table.clone());
    let plain = secret::plain_secrets(driver, &config, false);
    for wrong in &plain {
        settings.report(reader, wrong);
    }
    if let Err(all) = DriverConfig::read(driver, &config) {
        for wrong in all.iter().filter(|w| !plain.iter().any(|p| p.path == w.path)) {
            settings.report(reader, wrong);
        }
    }
    for (path, name) in secret::named_secrets(driver, &config) {
        references.secrets.push((name, settings.span(&path)));
    }
}
