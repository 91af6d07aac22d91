//! What of a config can execute: its hash, and what a change of it says.

use super::{ProjectConfig, flatten};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// One difference between two configs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where, in the file's words: `agent.fixer.config.command`.
    pub path: String,
    /// The value in force; absent when it is new.
    pub old: Option<String>,
    /// The value of the file; absent when it was removed.
    pub new: Option<String>,
}

impl ProjectConfig {
    /// SHA-256, in hex, of every value: the same for two files that differ in comments, in order of
    /// keys or in spelling of a value.
    pub fn content_hash(&self) -> String {
        hash(&self.tree(|_| true))
    }

    /// SHA-256, in hex, of what can execute something, choose where it executes, or carry a secret.
    /// Only when this differs does a changed file need the operator's acceptance.
    pub fn executable_hash(&self) -> String {
        hash(&self.executable())
    }

    /// All values by their place in the file, for showing: `agent.fixer.grace` = `15s`.
    pub fn values(&self) -> BTreeMap<String, String> {
        flatten(&self.tree(|_| true))
    }

    fn executable(&self) -> Value {
        // Named are the harmless keys, so that a key added later asks for acceptance by default.
        const HARMLESS: &[&str] =
            &["concurrent_runs", "timeout_ms", "grace_ms", "silence_ms", "wake_on_demand", "retry_lost", "budget"];
        let mut tree = self.tree(|key| !HARMLESS.contains(&key));
        if let Some(Value::Object(project)) = tree.get_mut("project") {
            project.retain(|key, _| key == "default_environment");
        }
        tree
    }

    /// The config as JSON with named things in maps, so that their order has no meaning.
    /// `keep` chooses among the keys of agents.
    fn tree(&self, keep: impl Fn(&str) -> bool) -> Value {
        let agents = named(&self.agents, |a| &a.name, keep);
        let mut root = Map::new();
        root.insert("project".into(), json(&self.project));
        let mut workspace = json(&self.workspace);
        if let Value::Object(keys) = &mut workspace {
            // Where a mode comes from is no value of the file.
            keys.remove("mode_assumed");
        }
        root.insert("workspace".into(), workspace);
        root.insert("agent".into(), agents);
        root.insert("environment".into(), named(&self.environments, |e| &e.name, |_| true));
        root.insert("service".into(), named(&self.services, |s| &s.name, |_| true));
        root.insert("job".into(), named(&self.jobs, |j| &j.name, |_| true));
        root.insert("secret".into(), json(&self.secrets));
        Value::Object(root)
    }
}

/// What differs between two configs among the values that need acceptance, sorted by place.
/// Values of secrets are never in a config, so none can be shown.
pub fn executable_difference(old: &ProjectConfig, new: &ProjectConfig) -> Vec<Change> {
    let (old, new) = (flatten(&old.executable()), flatten(&new.executable()));
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
        .into_iter()
        .filter(|path| old.get(*path) != new.get(*path))
        .map(|path| Change { path: path.clone(), old: old.get(path).cloned(), new: new.get(path).cloned() })
        .collect()
}

fn named<T: Serialize>(items: &[T], name: impl Fn(&T) -> &String, keep: impl Fn(&str) -> bool) -> Value {
    let mut all = Map::new();
    for item in items {
        let mut value = json(item);
        if let Value::Object(fields) = &mut value {
            fields.retain(|key, _| key != "name" && keep(key));
        }
        all.insert(name(item).clone(), value);
    }
    Value::Object(all)
}

fn json<T: Serialize>(value: &T) -> Value {
    // Config types hold strings, numbers and maps with string keys: nothing JSON cannot hold.
    serde_json::to_value(value).unwrap_or(Value::Null)
}

fn hash(tree: &Value) -> String {
    // serde_json keeps objects sorted by key, so equal trees have equal text.
    let digest = Sha256::digest(tree.to_string().as_bytes());
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}
