//! Settings of a driver from the command line: `--set key=value`, a file, stdin.

use std::io::Read as _;

use serde_json::{Map, Value};
use wharf_model::Driver;
use wharf_model::config::secret;

use crate::cli::error::{CliError, Result, exit};
use crate::cli::project::config_error;
use crate::config::parse_settings;

/// Largest file of settings.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// Options that give settings.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SettingsArgs {
    /// A setting of the driver: host=box-1, limits.memory=2GiB, 'config.token={ env = "TOKEN" }'
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// A TOML file with the settings, as below [environment.config]; - is stdin
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
}

impl SettingsArgs {
    /// Whether none were given.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.config.is_none()
    }

    /// The settings given, over those that are there: a table inside is changed, not replaced, by a key with a dot.
    pub fn read(&self, before: &Map<String, Value>) -> Result<Map<String, Value>> {
        let mut given = match self.config.as_deref() {
            Some(path) => file(path)?,
            None => Map::new(),
        };
        for assignment in &self.set {
            let Some((key, value)) = assignment.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
                let what = assignment.split('=').next().unwrap_or_default();
                return Err(CliError::usage(format!("--set {what:?} gives no value")).next("--set host=box-1"));
            };
            put(&mut given, before, key.trim(), literal(value.trim()))?;
        }
        Ok(given)
    }
}

/// Refuses settings that cannot be used before they are written anywhere: a secret may stand in them.
pub fn judge(driver: Driver, before: &Map<String, Value>, given: &Map<String, Value>, what: &str) -> Result<()> {
    let mut whole = before.clone();
    whole.extend(given.clone());
    whole.retain(|_, value| !value.is_null());
    let wrong = secret::judge_by_hand(driver, &Value::Object(whole));
    if wrong.is_empty() {
        return Ok(());
    }
    let message = format!("{what} cannot be set up like this: {}", secret::in_words(&wrong));
    Err(CliError::new(exit::CONFIG, "config_invalid", message).entity(what))
}

/// A value as TOML writes it; what is none is a text.
fn literal(text: &str) -> Value {
    let whole = parse_settings(&format!("value = {text}\n"), "--set");
    let read = whole.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    read.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Puts a value at a place; what stands beside it in the same table stays.
fn put(given: &mut Map<String, Value>, before: &Map<String, Value>, key: &str, value: Value) -> Result<()> {
    let parts: Vec<&str> = key.split('.').collect();
    let Some((last, tables)) = parts.split_last() else { return Ok(()) };
    if parts.iter().any(|part| part.is_empty()) {
        return Err(CliError::usage(format!("--set {key:?} names no setting")).next("--set limits.memory=2GiB"));
    }
    let mut at = given;
    for (depth, part) in tables.iter().enumerate() {
        let start = || {
            let old = if depth == 0 { before.get(*part) } else { None };
            old.filter(|v| v.is_object()).cloned().unwrap_or_else(|| Value::Object(Map::new()))
        };
        let next = at.entry((*part).to_owned()).or_insert_with(start);
        let Value::Object(table) = next else {
            return Err(CliError::usage(format!("--set {key}: {part} is no table")).next("give it as a whole"));
        };
        at = table;
    }
    at.insert((*last).to_owned(), value);
    Ok(())
}

fn file(path: &str) -> Result<Map<String, Value>> {
    let unreadable =
        |e: &dyn std::fmt::Display| CliError::usage(format!("{path} cannot be read")).cause(e.to_string()).entity(path);
    let mut text = String::new();
    let read = if path == "-" {
        std::io::stdin().lock().take(FILE_MAX_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|f| f.take(FILE_MAX_BYTES + 1).read_to_string(&mut text))
    };
    read.map_err(|e| unreadable(&e))?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(unreadable(&"it is larger than 1 MiB"));
    }
    let shown = if path == "-" { "stdin" } else { path };
    parse_settings(&text, shown).map_err(|e| config_error(path.into(), &e))
}

/// Takes keys away: a null in what is sent.
pub fn unset(given: &mut Map<String, Value>, before: &Map<String, Value>, keys: &[String]) -> Result<()> {
    for key in keys {
        match key.split_once('.') {
            None => {
                given.insert(key.clone(), Value::Null);
            }
            Some((table, inside)) => {
                let start = given.get(table).or(before.get(table)).cloned().unwrap_or(Value::Null);
                let Value::Object(mut whole) = start else {
                    return Err(CliError::usage(format!("--unset {key}: {table} is no table")));
                };
                take(&mut whole, inside);
                given.insert(table.to_owned(), Value::Object(whole));
            }
        }
    }
    Ok(())
}

fn take(table: &mut Map<String, Value>, key: &str) {
    match key.split_once('.') {
        None => drop(table.remove(key)),
        Some((inside, rest)) => {
            if let Some(Value::Object(table)) = table.get_mut(inside) {
                take(table, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(set: &[&str], before: &Value) -> Value {
        let args = SettingsArgs { set: set.iter().map(|s| (*s).to_owned()).collect(), config: None };
        Value::Object(args.read(before.as_object().unwrap()).unwrap())
    }

    #[test]
    fn values_are_toml_or_texts() {
        let given = ["host=box-1", "port=22", "network=true", "user=\"1000\"", "image=debian:13", "a.b=2GiB", "e="];
        let expected = json!({ "host": "box-1", "port": 22, "network": true, "user": "1000", "image": "debian:13",
            "a": { "b": "2GiB" }, "e": "" });
        assert_eq!(read(&given, &json!({})), expected);
        assert_eq!(read(&["t={ env = \"K\" }"], &json!({})), json!({ "t": { "env": "K" } }));
        assert_eq!(read(&["t=1\nx=2"], &json!({})), json!({ "t": "1\nx=2" }));
        assert_eq!(read(&["command=[\"./p\", \"a=b\"]"], &json!({})), json!({ "command": ["./p", "a=b"] }));
        let before = json!({ "limits": { "memory": "1GiB", "processes": 5 } });
        assert_eq!(read(&["limits.memory=2GiB"], &before), json!({ "limits": { "memory": "2GiB", "processes": 5 } }));
        for wrong in ["host", "=x", "a..b=1", ".=1"] {
            let args = SettingsArgs { set: vec![wrong.into()], config: None };
            assert_eq!(args.read(&Map::new()).unwrap_err().code, "usage", "{wrong}");
        }
    }

    #[test]
    fn keys_are_taken_away() {
        let before = json!({ "user": "o", "limits": { "memory": "1GiB", "processes": 5 } });
        let mut given = Map::new();
        unset(&mut given, before.as_object().unwrap(), &["user".into(), "limits.memory".into()]).unwrap();
        assert_eq!(Value::Object(given), json!({ "user": null, "limits": { "processes": 5 } }));
        assert!(unset(&mut Map::new(), before.as_object().unwrap(), &["user.x".into()]).is_err());
    }
}
