//! Secrets inside the settings of an environment: references stand there, values never.

use std::collections::BTreeMap;

use serde_json::Value;

use super::driver::{DriverConfig, Invalid, secret_reference};
use super::{EnvironmentConfig, SecretConfig};
use crate::Driver;

/// What to write in place of a value.
const REFERENCE: &str =
    "expected a reference: { secret = \"name\" }, { env = \"NAME\" }, { file = \"…\" } or { command = […] }";
const REFERENCE_BY_HAND: &str = "expected a reference: { env = \"NAME\" }, { file = \"…\" } or { command = […] }";

/// Whether a key is one that secrets stand under: `token`, `api_key`, `dbPassword`; not `token_file`, `max_tokens`.
pub fn looks_secret(key: &str) -> bool {
    let words = words(key);
    let Some(last) = words.last() else { return false };
    let elsewhere = ["file", "path", "env", "command", "name", "id", "ref", "url", "type", "ttl", "field", "header"];
    if elsewhere.contains(&last.as_str()) {
        return false;
    }
    let pairs = [("api", "key"), ("access", "key"), ("private", "key"), ("auth", "key"), ("signing", "key")];
    let whole = words.concat();
    let endings = ["password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey"];
    words
        .iter()
        .any(|w| matches!(w.as_str(), "credential" | "credentials" | "bearer" | "authorization" | "pwd" | "psk"))
        || matches!(whole.as_str(), "pass" | "pat")
        || matches!(last.as_str(), "pass" | "pat")
        || endings.iter().any(|e| whole.ends_with(e) || last == e)
        || words.windows(2).any(|two| pairs.iter().any(|(a, b)| two[0] == *a && two[1] == *b))
        || words.iter().any(|w| matches!(w.as_str(), "password" | "passphrase" | "secret"))
}

/// The words of a key, in small letters: `dbPassword` and `db_password` are `db`, `password`.
fn words(key: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut small = false;
    for c in key.chars() {
        if !c.is_ascii_alphanumeric() || (small && c.is_ascii_uppercase()) {
            all.push(String::new());
        }
        small = c.is_ascii_lowercase() || c.is_ascii_digit();
        if let (true, Some(word)) = (c.is_ascii_alphanumeric(), all.last_mut()) {
            word.push(c.to_ascii_lowercase());
        }
    }
    all.retain(|word| !word.is_empty());
    all
}

/// The name in `{ secret = "name" }`.
pub fn named_secret(value: &Value) -> Option<&str> {
    let table = value.as_object().filter(|table| table.len() == 1)?;
    table.get("secret")?.as_str()
}

/// Where references to secrets may stand in the settings of a driver.
fn keeps_references(driver: Driver, config: &Value) -> Option<&Value> {
    (driver == Driver::Plugin).then(|| config.get("config")).flatten()
}

/// The secrets that a driver's settings name, each with its place.
pub fn named_secrets(driver: Driver, config: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if let Some(inside) = keeps_references(driver, config) {
        each(inside, "config", false, &mut |path, _, value| {
            found.extend(named_secret(value).map(|name| (path.to_owned(), name.to_owned())));
        });
    }
    found
}

/// Values that stand in plain text where secrets do. What is said never repeats them.
pub fn plain_secrets(driver: Driver, config: &Value, by_hand: bool) -> Vec<Invalid> {
    let mut wrong = Vec::new();
    let mut told = |path: &str, expected: &str| {
        let message = "a secret must not stand here in plain text".to_owned();
        wrong.push(Invalid { path: path.to_owned(), message, expected: expected.to_owned() });
    };
    match driver {
        Driver::Plugin => {
            let expected = if by_hand { REFERENCE_BY_HAND } else { REFERENCE };
            if let Some(inside) = keeps_references(driver, config) {
                each(inside, "config", false, &mut |path, secret, value| {
                    if secret && (value.is_number() || value.as_str().is_some_and(|text| !text.is_empty())) {
                        told(path, expected);
                    }
                });
            }
        }
        Driver::Sandbox => {
            let env = config.get("env").and_then(Value::as_object);
            for (name, value) in env.into_iter().flatten() {
                if looks_secret(name) && value.as_str().is_none_or(|text| !text.is_empty()) {
                    let expected = "give it to the agents that need it: env = { NAME = { secret = \"name\" } }";
                    told(&format!("env.{name}"), expected);
                }
            }
        }
        Driver::Local | Driver::Ssh => {}
    }
    wrong
}

/// Everything that is wrong with settings that are given by hand, and may be said of them: no value of a secret.
/// Whoever takes them asks this before they are written anywhere.
pub fn judge_by_hand(driver: Driver, config: &Value) -> Vec<Invalid> {
    let mut wrong = plain_secrets(driver, config, true);
    for (path, name) in named_secrets(driver, config) {
        let message = format!("no [secret.{name}] is known to an environment that was made by hand");
        wrong.push(Invalid { path, message, expected: REFERENCE_BY_HAND.to_owned() });
    }
    if let Err(more) = DriverConfig::read(driver, config) {
        let told: Vec<String> = wrong.iter().map(|w| w.path.clone()).collect();
        wrong.extend(more.into_iter().filter(|w| !told.contains(&w.path)).map(without_secret));
    }
    wrong
}

/// A value under such a key may be the secret itself: it is not repeated.
fn without_secret(wrong: Invalid) -> Invalid {
    let shows = wrong.message.contains(['"', '[', '{']) && wrong.path.split('.').any(looks_secret);
    if shows { Invalid { message: "the value cannot be used".into(), ..wrong } } else { wrong }
}

/// Mistakes in one line.
pub fn in_words(wrong: &[Invalid]) -> String {
    let at = |path: &str| if path.is_empty() { String::new() } else { format!("{path}: ") };
    let all: Vec<String> = wrong.iter().map(|w| format!("{}{} ({})", at(&w.path), w.message, w.expected)).collect();
    all.join("; ")
}

/// Calls for each value below a table, with its place and whether its key is one of a secret. What is a reference
/// is told as a whole; the table itself never is one.
fn each(value: &Value, path: &str, secret: bool, found: &mut impl FnMut(&str, bool, &Value)) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let path = format!("{path}.{key}");
                // `token = { value = "…" }` is no more hidden than `token = "…"`.
                let inside = secret && matches!(key.as_str(), "value" | "text" | "plain" | "literal");
                one(value, &path, inside || looks_secret(key), found);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                one(value, &format!("{path}.{at}"), secret, found);
            }
        }
        _ => {}
    }
}

// Depth is bounded by the parser of what is read.
fn one(value: &Value, path: &str, secret: bool, found: &mut impl FnMut(&str, bool, &Value)) {
    found(path, secret, value);
    if named_secret(value).is_none() && secret_reference(value).is_none() {
        each(value, path, secret, found);
    }
}

impl EnvironmentConfig {
    /// The settings of its driver, with the name of each secret replaced by where its value comes from: what a row
    /// keeps. A name that nothing has stays as it is; the file it stands in was not read without a problem then.
    pub fn settings(&self, secrets: &BTreeMap<String, SecretConfig>) -> Value {
        let mut all = Value::Object(self.config.clone().into_iter().collect());
        if self.driver == Driver::Plugin
            && let Some(Value::Object(inside)) = all.get_mut("config")
        {
            inside.iter_mut().for_each(|(_, value)| referred(value, secrets));
        }
        all
    }
}

fn referred(value: &mut Value, secrets: &BTreeMap<String, SecretConfig>) {
    if let Some(source) = named_secret(value).and_then(|name| secrets.get(name)) {
        // A source is a word and a text or texts: nothing that JSON cannot hold.
        *value = serde_json::to_value(source).unwrap_or(Value::Null);
        return;
    }
    match value {
        Value::Object(table) => table.iter_mut().for_each(|(_, value)| referred(value, secrets)),
        Value::Array(items) => items.iter_mut().for_each(|value| referred(value, secrets)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_that_secrets_stand_under() {
        for key in [
            "token",
            "TOKEN",
            "api_key",
            "apiKey",
            "api-key",
            "apikey",
            "password",
            "dbPassword",
            "db_passwd",
            "client_secret",
            "AWS_SECRET_ACCESS_KEY",
            "access_key",
            "private_key",
            "credentials",
            "authorization",
            "bearer",
            "psk",
            "db_pass",
            "auth_token",
            "GITHUB_TOKEN",
            "passphrase",
            "secret",
        ] {
            assert!(looks_secret(key), "{key}");
        }
        for key in [
            "",
            "host",
            "key",
            "tokens",
            "max_tokens",
            "token_file",
            "token_ttl",
            "secret_name",
            "access_key_id",
            "password_file",
            "monkey",
            "tokenizer",
            "region",
            "keyboard",
            "api_url",
            "TOKEN_ENV",
        ] {
            assert!(!looks_secret(key), "{key}");
        }
    }

    #[test]
    fn plain_text_is_found_wherever_it_stands_and_references_are_not_plain() {
        let config = json!({ "command": ["./pool"], "driver": "pool", "config": {
            "token": "hunter2hunter2",
            "api_key": { "env": "KEY" },
            "password": { "secret": "shop" },
            "secret": "hunter2hunter2",
            "pool": { "size": 4, "db": [{ "password": "hunter2hunter2" }, { "password": { "file": "x" } }] },
            "auth_token": { "value": "hunter2hunter2" },
            "tokens": "fine", "access_key": "", "max_tokens": 5,
        }});
        let wrong = plain_secrets(Driver::Plugin, &config, false);
        let mut places: Vec<&str> = wrong.iter().map(|w| w.path.as_str()).collect();
        places.sort_unstable();
        assert_eq!(places, ["config.auth_token.value", "config.pool.db.0.password", "config.secret", "config.token"]);
        assert!(wrong.iter().all(|w| !w.to_string().contains("hunter2") && w.expected.contains("{ env = ")));
        assert_eq!(named_secrets(Driver::Plugin, &config), [("config.password".to_owned(), "shop".to_owned())]);
        let sandbox = json!({ "provider": "bubblewrap", "env": { "API_KEY": "hunter2hunter2", "LANG": "C" } });
        let wrong = plain_secrets(Driver::Sandbox, &sandbox, false);
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].path == "env.API_KEY" && wrong[0].expected.contains("agents"), "{wrong:?}");
        assert!(plain_secrets(Driver::Ssh, &json!({ "options": { "PasswordAuthentication": "no" } }), true).is_empty());
        // The table of a plugin's settings is never a reference itself.
        let only = json!({ "config": { "env": "staging" } });
        assert!(plain_secrets(Driver::Plugin, &only, true).is_empty());
    }

    #[test]
    fn a_row_keeps_where_a_value_comes_from() {
        let config = json!({ "driver": "pool", "config": { "token": { "secret": "shop" }, "list": [{ "secret": "pw" }],
            "other": { "secret": "none" }, "secret": "shop" } });
        let environment = EnvironmentConfig {
            name: "pool".into(),
            driver: Driver::Plugin,
            lease_policy: crate::LeasePolicy::Ephemeral,
            slots: None,
            ttl_ms: 1,
            keep_ms: 1,
            config: config.as_object().cloned().into_iter().flatten().collect(),
        };
        let command = SecretConfig::Command(vec!["pass".into(), "pw".into()]);
        let secrets = BTreeMap::from([("shop".into(), SecretConfig::Env("SHOP_KEY".into())), ("pw".into(), command)]);
        let expected = json!({ "driver": "pool", "config": { "token": { "env": "SHOP_KEY" },
            "list": [{ "command": ["pass", "pw"] }], "other": { "secret": "none" }, "secret": "shop" } });
        assert_eq!(environment.settings(&secrets), expected);
    }
}
