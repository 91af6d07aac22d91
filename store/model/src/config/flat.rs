//! A tree of values as a flat list of places and texts, for showing and comparing.

use std::collections::BTreeMap;

use serde_json::Value;

/// Turns a tree into `place → text`, with places as in the file: `agent.fixer.grace` = `15s`.
/// Unset values and empty lists and tables are left out. Keys that end in `_ms` and `_bytes` lose
/// that ending and are shown as durations and sizes.
pub fn flatten(tree: &Value) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    walk(&mut String::new(), tree, &mut out);
    out
}

// Depth is bounded by the types of the config, and by the parser for a driver's own settings.
fn walk(path: &mut String, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, field) in fields {
                let length = path.len();
                let (key, field) = in_words(key, field);
                if !path.is_empty() {
                    path.push('.');
                }
                push_key(path, key);
                walk(path, &field, out);
                path.truncate(length);
            }
        }
        Value::Array(items) if items.is_empty() => {}
        Value::String(text) => {
            out.insert(path.clone(), text.clone());
        }
        other => {
            out.insert(path.clone(), other.to_string());
        }
    }
}

fn in_words<'a>(key: &'a str, value: &'a Value) -> (&'a str, std::borrow::Cow<'a, Value>) {
    use std::borrow::Cow;
    if let (Some(key), Some(ms)) = (key.strip_suffix("_ms"), value.as_u64()) {
        return (key, Cow::Owned(Value::String(show_duration(ms))));
    }
    if let (Some(key), Some(bytes)) = (key.strip_suffix("_bytes"), value.as_u64()) {
        return (key, Cow::Owned(Value::String(show_bytes(bytes))));
    }
    (key, Cow::Borrowed(value))
}

/// A key with a dot or a blank in it is quoted, so that no two places look the same.
fn push_key(path: &mut String, key: &str) {
    if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        path.push_str(key);
    } else {
        path.push_str(&format!("{key:?}"));
    }
}

/// A duration as the config writes it: the largest unit that leaves no rest.
pub fn show_duration(ms: u64) -> String {
    const UNITS: &[(u64, &str)] = &[(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match UNITS.iter().find(|(size, _)| ms >= *size && ms.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", ms / size),
        None if ms == 0 => "0s".into(),
        None => format!("{ms}ms"),
    }
}

/// A size as the config writes it: the largest unit that leaves no rest.
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: &[(u64, &str)] = &[(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(size, _)| bytes >= *size && bytes.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", bytes / size),
        None => format!("{bytes}B"),
    }
}
