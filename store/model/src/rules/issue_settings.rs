//! What an operator sets for one issue: where its runs work. Read strictly, since it is typed by hand.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::template::{Placeholder, Template};
use super::{branch, checkout};
use crate::config::{WorkspaceMode, WorkspaceStrategy};
use crate::words;

words! {
    /// Whether an issue goes on in the workspace that it has.
    pub enum Preference { Inherit = "inherit", ReuseExisting = "reuse_existing" }
}

/// Longest command or name that is taken, in bytes.
const TEXT_MAX_BYTES: usize = 8 * 1024;

/// `execution_workspace_settings` of an issue; what is absent is left to project and agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IssueSettings {
    /// Id of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Where its runs' files live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<WorkspaceMode>,
    /// Whether it goes on in the workspace it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preference: Option<Preference>,
    /// How its workspace is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<WorkspaceStrategy>,
    /// Template of its branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Where its branch begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_ref: Option<String>,
    /// Makes its workspace ready, in place of the project's command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provision: Option<String>,
    /// Runs last before its workspace is archived, in place of the project's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teardown: Option<String>,
    /// Runs when its workspace is archived, in place of the project's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<String>,
}

impl IssueSettings {
    /// Of a stored row; what cannot be read counts as nothing said.
    pub fn of(stored: Option<&Value>) -> Self {
        stored.and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or_default()
    }

    /// As it is stored; nothing said is no value.
    pub fn stored(&self) -> Option<Value> {
        let value = serde_json::to_value(self).ok()?;
        value.as_object().is_some_and(|o| !o.is_empty()).then_some(value)
    }

    /// Changes them: each key that is there sets its value, or with null takes it away. The environment is taken as it
    /// is written; whoever knows the rows puts its id in its place.
    ///
    /// # Errors
    /// A key or value that has no meaning, in words; nothing is changed then.
    pub fn change(&self, patch: &Map<String, Value>) -> Result<Self, String> {
        let mut new = self.clone();
        for (key, value) in patch {
            let text = text(key, value)?;
            match key.as_str() {
                "environment" => new.environment = text,
                "mode" => new.mode = word(key, text, WorkspaceMode::parse, WorkspaceMode::ALL)?,
                "preference" => new.preference = word(key, text, Preference::parse, Preference::ALL)?,
                "strategy" => new.strategy = word(key, text, WorkspaceStrategy::parse, WorkspaceStrategy::ALL)?,
                "branch" => new.branch = template(text)?,
                "base_ref" => new.base_ref = reference(text)?,
                "provision" => new.provision = text,
                "teardown" => new.teardown = text,
                "cleanup" => new.cleanup = text,
                _ => {
                    return Err(format!(
                        "an issue has no setting {key:?}; there are environment, mode, preference, strategy, branch, base_ref, provision, teardown and cleanup"
                    ));
                }
            }
        }
        if let Some(why) = checkout::contradiction(new.mode, new.strategy) {
            return Err(format!("{why}; set one of mode and strategy alone"));
        }
        Ok(new)
    }
}

fn text(key: &str, value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Err(format!("{key} is empty; to take it away say none")),
        Value::String(text) if text.len() > TEXT_MAX_BYTES => {
            Err(format!("{key} is longer than {TEXT_MAX_BYTES} bytes; put it into a script"))
        }
        Value::String(text) if text.contains('\0') => Err(format!("{key} holds a NUL, which no program can be given")),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(format!("{key} is no text")),
    }
}

fn word<T: std::fmt::Display>(
    key: &str,
    text: Option<String>,
    parse: impl Fn(&str) -> Option<T>,
    all: &[T],
) -> Result<Option<T>, String> {
    let Some(text) = text else { return Ok(None) };
    parse(&text).map(Some).ok_or_else(|| {
        let known: Vec<String> = all.iter().map(ToString::to_string).collect();
        format!("{key} {text:?} has no meaning; there are {}", known.join(", "))
    })
}

fn template(text: Option<String>) -> Result<Option<String>, String> {
    if let Some(text) = &text {
        let read = Template::parse(text, Placeholder::FOR_BRANCH).map_err(|e| e.to_string())?;
        let is_plain = !Placeholder::ALL.iter().any(|p| read.uses(*p));
        if is_plain && !branch::is_valid(text) {
            return Err(format!("{text:?} is no name that git accepts for a branch"));
        }
    }
    Ok(text)
}

fn reference(text: Option<String>) -> Result<Option<String>, String> {
    match text {
        Some(name) if name.starts_with('-') || name.contains(char::is_whitespace) => {
            Err(format!("base_ref {name:?} is no branch, tag or commit"))
        }
        text => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(old: &IssueSettings, patch: &Value) -> Result<IssueSettings, String> {
        old.change(patch.as_object().unwrap())
    }

    #[test]
    fn each_key_sets_or_takes_away() {
        let none = IssueSettings::default();
        assert_eq!(none.stored(), None);
        let set =
            change(&none, &json!({ "mode": "shared_workspace", "provision": "./setup", "base_ref": "main" })).unwrap();
        assert_eq!(set.mode, Some(WorkspaceMode::Shared));
        let stored = set.stored().unwrap();
        assert_eq!(stored, json!({ "mode": "shared_workspace", "provision": "./setup", "base_ref": "main" }));
        assert_eq!(IssueSettings::of(Some(&stored)), set);
        let less = change(&set, &json!({ "provision": null, "base_ref": null })).unwrap();
        assert_eq!(less.stored(), Some(json!({ "mode": "shared_workspace" })));
    }

    #[test]
    fn what_has_no_meaning_is_refused_in_words() {
        let none = IssueSettings::default();
        let table = [
            (json!({ "colour": "red" }), "no setting \"colour\""),
            (json!({ "mode": "isolated" }), "mode \"isolated\" has no meaning; there are isolated_workspace"),
            (json!({ "mode": 3 }), "mode is no text"),
            (json!({ "provision": " " }), "provision is empty"),
            (json!({ "branch": "{{issue.titel}}" }), "issue.titel"),
            (json!({ "branch": "a b" }), "no name that git accepts"),
            (json!({ "base_ref": "--force" }), "is no branch, tag or commit"),
            (json!({ "mode": "shared_workspace", "strategy": "git_worktree" }), "one of mode and strategy alone"),
        ];
        for (patch, words) in table {
            let error = change(&none, &patch).unwrap_err();
            assert!(error.contains(words), "{patch}: {error}");
        }
    }
}
