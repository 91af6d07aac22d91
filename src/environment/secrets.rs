//! Secrets in a driver's settings: looked up when a call needs them, starred out of whatever comes back.
//!
//! Rows, files and requests hold references alone. A value lives from [`resolve`] until its [`Resolved`] is dropped,
//! and in the program that is told.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use wharf_model::config::SecretConfig;
use wharf_model::config::driver::secret_reference;

use super::search;
use crate::adapter::secret::{ConfiguredSecrets, REDACTED_FROM_BYTES, Secret, SecretError, SecretSource as _};

/// Settings with the values that their references stand for.
#[derive(Clone)]
pub struct Resolved {
    /// The settings as the driver's program is told them. Never to be written anywhere.
    pub config: Value,
    /// What the operator should know, although the values could be used; no value is in it.
    pub warnings: Vec<String>,
    secrets: Vec<Secret>,
    /// Longest first, so that one that is part of another leaves nothing of that one.
    patterns: Vec<String>,
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

/// Looks up every reference in a table of settings. The table itself is never one. May take up to ten seconds for
/// each command among them: see [`resolve_beside`].
///
/// # Errors
/// The first reference that gives no value, named by its place; no value is in the message.
pub fn resolve(config: &Value, operator: &BTreeMap<String, String>, base: &Path) -> Result<Resolved, SecretError> {
    let mut references = BTreeMap::new();
    if let Value::Object(table) = config {
        for (key, value) in table {
            collect(value, key, &mut references);
        }
    }
    // Their commands are not looked up where agents write.
    let mut operator = operator.clone();
    operator.insert("PATH".into(), search::path(&operator, base));
    let mut source = ConfiguredSecrets::new(&references, &operator, base);
    let mut values = BTreeMap::new();
    for place in references.keys() {
        values.insert(place.clone(), source.resolve(place)?);
    }
    let warnings = source.warnings;
    let mut config = config.clone();
    if let Value::Object(table) = &mut config {
        table.iter_mut().for_each(|(key, value)| put(value, key, &values));
    }
    let secrets: Vec<Secret> = values.into_values().collect();
    Ok(Resolved { config, warnings, patterns: patterns(&secrets), secrets })
}

/// Whether looking again changes nothing: a variable of ours stays unset, a file that is not there stays away. A
/// command may do better another time, and so may a file that is there and could not be read.
pub fn is_certain(error: &SecretError) -> bool {
    match error {
        SecretError::Unknown { .. } | SecretError::NotSet { .. } | SecretError::Unusable { .. } => true,
        SecretError::File { path, .. } => path
            .metadata()
            .is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied)),
        SecretError::Command { .. } => false,
    }
}

/// [`resolve`] on a thread where nobody else waits.
///
/// # Errors
/// As [`resolve`], in words.
pub async fn resolve_beside(
    config: Value,
    operator: Arc<BTreeMap<String, String>>,
    base: PathBuf,
) -> Result<Resolved, String> {
    let work = move || resolve(&config, &operator, &base).map_err(|error| error.to_string());
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|gone| Err(format!("secrets were not looked up: {gone}")))
}

// Depth is bounded by the parser of what was read.
fn collect(value: &Value, place: &str, found: &mut BTreeMap<String, SecretConfig>) {
    if let Some(source) = secret_reference(value) {
        found.insert(place.to_owned(), source);
        return;
    }
    match value {
        Value::Object(table) => table.iter().for_each(|(key, v)| collect(v, &format!("{place}.{key}"), found)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, v)| collect(v, &format!("{place}.{n}"), found)),
        _ => {}
    }
}

fn put(value: &mut Value, place: &str, values: &BTreeMap<String, Secret>) {
    if let Some(secret) = values.get(place) {
        *value = Value::String(secret.reveal().to_owned());
        return;
    }
    match value {
        Value::Object(table) => table.iter_mut().for_each(|(key, v)| put(v, &format!("{place}.{key}"), values)),
        Value::Array(items) => items.iter_mut().enumerate().for_each(|(n, v)| put(v, &format!("{place}.{n}"), values)),
        _ => {}
    }
}

/// Every form in which a value may come back: whole, as JSON writes it, quoted, and line by line.
fn patterns(secrets: &[Secret]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for secret in secrets {
        let value = secret.reveal();
        let quoted = Value::String(value.to_owned()).to_string();
        all.push(value.to_owned());
        all.push(quoted.trim_matches('"').to_owned());
        // As it stands in words of ours that quote what was said.
        all.push(format!("{value:?}").trim_matches('"').to_owned());
        all.extend(value.lines().map(str::to_owned));
    }
    // What is shorter would hit ordinary text; a warning says so.
    all.retain(|pattern| pattern.len() >= REDACTED_FROM_BYTES);
    all.sort_unstable_by_key(|pattern| (std::cmp::Reverse(pattern.len()), pattern.clone()));
    all.dedup();
    all
}

impl Resolved {
    /// Settings whose values were looked up by another process, which told both.
    pub fn told(config: Value, values: &[String]) -> Self {
        let secrets: Vec<Secret> = values.iter().cloned().map(Secret::new).collect();
        Self { config, warnings: Vec::new(), patterns: patterns(&secrets), secrets }
    }

    /// Bytes of the longest text that is starred out: beside a cut, so much may be the rest of one.
    pub fn longest(&self) -> usize {
        self.patterns.first().map_or(0, String::len)
    }

    /// The values, for whoever redacts a stream of bytes.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(Secret::reveal)
    }

    /// A text with as many `*` in the place of each value.
    pub fn redact(&self, text: &str) -> String {
        self.patterns.iter().fold(text.to_owned(), |text, pattern| text.replace(pattern, &"*".repeat(pattern.len())))
    }

    /// The same for every text of a document, its keys included.
    pub fn redact_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.redact(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.redact_value(item)).collect(),
            Value::Object(table) => {
                let all: Map<String, Value> =
                    table.into_iter().map(|(key, v)| (self.redact(&key), self.redact_value(v))).collect();
                Value::Object(all)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    fn operator() -> BTreeMap<String, String> {
        let path = std::env::var("PATH").unwrap();
        BTreeMap::from([
            ("PATH".into(), path),
            ("KEY".into(), "from-the-variable".into()),
            ("PIN".into(), "1234".into()),
        ])
    }

    #[test]
    fn references_become_values_wherever_they_stand_and_leave_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "first line\nsecond \"line\"\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = json!({
            "token": { "env": "KEY" }, "pin": { "env": "PIN" }, "plain": "text", "size": 4,
            "deep": [{ "cert": { "file": "key" } }, { "command": ["sh", "-c", "echo by-the-command"] }],
            "two": { "env": "KEY", "file": "key" },
        });
        let resolved = resolve(&config, &operator(), dir.path()).unwrap();
        let expected = json!({
            "token": "from-the-variable", "pin": "1234", "plain": "text", "size": 4,
            "deep": [{ "cert": "first line\nsecond \"line\"" }, "by-the-command"],
            "two": { "env": "KEY", "file": "key" },
        });
        assert_eq!(resolved.config, expected);
        assert_eq!(resolved.values().count(), 4);
        assert!(resolved.warnings.iter().any(|w| w.contains("\"pin\"") && w.contains("too short")));
        assert!(!format!("{resolved:?}").contains("from-the"));
        // Whole, as JSON has it, line by line; as many stars as bytes.
        let told = format!("auth from-the-variable, {expected}, then second \"line\" alone; 1234 stays");
        let redacted = resolved.redact(&told);
        for value in ["from-the", "by-the-command", "first line", "second", "line\\\""] {
            assert!(!redacted.contains(value), "{value}: {redacted}");
        }
        assert_eq!(redacted.len(), told.len());
        assert!(redacted.starts_with("auth *****************, ") && redacted.ends_with("1234 stays"), "{redacted}");
        let facts = json!({ "url": "https://x/?t=from-the-variable", "by-the-command": [1, "a"] });
        assert_eq!(
            resolved.redact_value(facts).to_string(),
            r#"{"**************":[1,"a"],"url":"https://x/?t=*****************"}"#
        );
    }

    #[test]
    fn what_gives_no_value_is_named_by_its_place() {
        let none = resolve(&json!({ "a": { "b": { "env": "NONE" } } }), &operator(), Path::new("/")).unwrap_err();
        assert!(none.to_string().contains("\"a.b\"") && none.to_string().contains("NONE"), "{none}");
        assert!(is_certain(&none));
        let file = |name: &str| resolve(&json!({ "a": { "file": name } }), &operator(), Path::new("/")).unwrap_err();
        assert!(is_certain(&file("no/such/file")) && !is_certain(&file("proc")), "a directory may become a file");
        let failed = json!({ "a": { "command": ["sh", "-c", "echo hunter2hunter2; exit 3"] } });
        let failed = resolve(&failed, &operator(), Path::new("/")).unwrap_err();
        assert!(!is_certain(&failed), "it may go well another time");
        let failed = failed.to_string();
        assert!(failed.contains("exit status: 3") && !failed.contains("hunter2"), "{failed}");
        // The table of all settings is none, and settings without references need nothing.
        let table = resolve(&json!({ "env": "NONE" }), &BTreeMap::new(), Path::new("/")).unwrap();
        assert_eq!(
            (table.config.clone(), table.redact("NONE of it")),
            (json!({ "env": "NONE" }), "NONE of it".to_owned())
        );
        assert_eq!(resolve(&Value::Null, &BTreeMap::new(), Path::new("/")).unwrap().config, Value::Null);
    }

    #[tokio::test]
    async fn it_waits_beside_the_runtime() {
        let config = json!({ "k": { "command": ["sh", "-c", "echo some-value"] } });
        let resolved = resolve_beside(config, Arc::new(operator()), "/".into()).await.unwrap();
        assert_eq!(resolved.config["k"], "some-value");
        let failed = resolve_beside(json!({ "k": { "env": "NONE" } }), Arc::new(operator()), "/".into()).await;
        assert!(failed.unwrap_err().contains("NONE"));
    }
}
