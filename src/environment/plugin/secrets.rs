//! Secrets in a plugin's config: looked up for a call, sent over its input, starred out of whatever comes back.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use wharf_model::config::SecretConfig;
use wharf_model::config::driver::secret_reference;

use crate::adapter::secret::{ConfiguredSecrets, REDACTED_FROM_BYTES, SecretSource as _};

/// Values from this length on are starred out of words; shorter ones would hit ordinary text.
const WORDS_FROM_BYTES: usize = 4;

/// A config with its secrets in it.
#[derive(Clone, Default, PartialEq)]
pub struct Resolved {
    /// The config as the plugin gets it.
    pub config: Value,
    /// The values of its secrets.
    pub values: Vec<String>,
}

impl std::fmt::Debug for Resolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resolved({} secrets)", self.values.len())
    }
}

/// Looks up every reference in a config. Reads files and runs commands: not where others wait.
///
/// # Errors
/// In words, naming the place in the config and where the secret comes from; never a value.
pub fn resolve(config: &Value, operator: &BTreeMap<String, String>, base: &Path) -> Result<Resolved, String> {
    let mut found = BTreeMap::new();
    // The config itself is a table, whatever its only key is called.
    members(config, |at, value| collect(value, &below("config", at), &mut found));
    let mut values = BTreeMap::new();
    {
        let mut source = ConfiguredSecrets::new(&found, operator, base);
        for name in found.keys() {
            values.insert(name.clone(), source.resolve(name).map_err(|e| e.to_string())?.reveal().to_owned());
        }
        for warning in &source.warnings {
            tracing::warn!("plugin: {warning}");
        }
    }
    let mut config = config.clone();
    if let Value::Object(map) = &mut config {
        map.iter_mut().for_each(|(name, value)| put(value, &below("config", name), &values));
    }
    Ok(Resolved { config, values: values.into_values().collect() })
}

fn below(path: &str, name: &str) -> String {
    format!("{path}.{name}")
}

fn collect(value: &Value, path: &str, found: &mut BTreeMap<String, SecretConfig>) {
    if let Some(reference) = secret_reference(value) {
        found.insert(path.to_owned(), reference);
        return;
    }
    members(value, |at, value| collect(value, &below(path, at), found));
}

fn members(value: &Value, mut each: impl FnMut(&str, &Value)) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| each(name, value)),
        Value::Array(list) => list.iter().enumerate().for_each(|(at, value)| each(&at.to_string(), value)),
        _ => {}
    }
}

fn put(value: &mut Value, path: &str, values: &BTreeMap<String, String>) {
    if let Some(secret) = values.get(path) {
        *value = Value::String(secret.clone());
        return;
    }
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(name, value)| put(value, &below(path, name), values)),
        Value::Array(list) => {
            list.iter_mut().enumerate().for_each(|(at, value)| put(value, &below(path, &at.to_string()), values));
        }
        _ => {}
    }
}

impl Resolved {
    /// Words without the values, also where those were escaped or cut at their line ends.
    pub fn redact(&self, text: &str) -> String {
        self.stars(text, WORDS_FROM_BYTES)
    }

    fn stars(&self, text: &str, from: usize) -> String {
        let mut forms: Vec<String> = Vec::new();
        for value in &self.values {
            forms.push(value.clone());
            forms.push(Value::String(value.clone()).to_string().trim_matches('"').to_owned());
            forms.extend(format!("{value:?}").strip_prefix('"').and_then(|v| v.strip_suffix('"')).map(str::to_owned));
            forms.extend(value.lines().filter(|line| line.len() >= REDACTED_FROM_BYTES).map(str::to_owned));
        }
        // The longest first, so that no rest of one stays behind.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.iter().filter(|form| form.len() >= from).fold(text.to_owned(), |text, form| text.replace(form, "***"))
    }

    /// The same for everything in an answer, which may be stored.
    pub fn redact_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.stars(text, REDACTED_FROM_BYTES),
            Value::Array(list) => list.iter_mut().for_each(|one| self.redact_value(one)),
            Value::Object(map) => {
                for (name, mut one) in std::mem::take(map) {
                    self.redact_value(&mut one);
                    map.insert(self.stars(&name, REDACTED_FROM_BYTES), one);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_replaced_wherever_they_stand_and_values_never_shown() {
        let operator = BTreeMap::from([("KEY".to_owned(), "open \"sesame\"".to_owned())]);
        let config = json!({ "a": { "env": "KEY" }, "deep": [{ "b": { "env": "KEY" } }], "env": "KEY", "size": 3 });
        let resolved = resolve(&config, &operator, Path::new("/")).unwrap();
        let expected = json!({ "a": "open \"sesame\"", "deep": [{ "b": "open \"sesame\"" }], "env": "KEY", "size": 3 });
        assert_eq!(resolved.config, expected);
        assert!(!format!("{resolved:?}").contains("sesame"));
        for text in ["got open \"sesame\"!", r#"{"k":"open \"sesame\""}"#] {
            assert!(!resolved.redact(text).contains("sesame"), "{}", resolved.redact(text));
        }
        let mut answer = json!({ "metadata": { "open \"sesame\"": ["x open \"sesame\""] } });
        resolved.redact_value(&mut answer);
        assert_eq!(answer, json!({ "metadata": { "***": ["x ***"] } }));
    }

    #[test]
    fn a_config_with_one_key_is_no_reference() {
        let config = json!({ "command": ["false"] });
        assert_eq!(resolve(&config, &BTreeMap::new(), Path::new("/")).unwrap().config, config);
    }

    #[test]
    fn one_that_is_not_there_is_named_by_its_place() {
        let config = json!({ "list": [{ "env": "NOT_SET" }] });
        let error = resolve(&config, &BTreeMap::new(), Path::new("/")).unwrap_err();
        assert!(error.contains("config.list.0") && error.contains("NOT_SET"), "{error}");
    }
}
