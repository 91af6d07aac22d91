//! What the contract of `wharf.toml` has and this version does not do.
//!
//! Such a key is refused rather than ignored: an operator who wrote it expects it to act. The room
//! that makes one work deletes its line here; reading and checking it is already in place.

use toml::de::DeValue;

/// Which values of a key are refused.
pub(super) enum Refused {
    /// Every value.
    Any,
    /// Every value but these words, numbers or truth values.
    AllBut(&'static [&'static str]),
    /// This word.
    Only(&'static str),
    /// A list or table with something in it.
    Filled,
}

/// Section, key, refused values, and what they stand for.
const NOT_YET: &[(&str, &str, Refused, &str)] = &[
    ("", "notify", Refused::Any, "notifications"),
    ("workspace", "mode", Refused::AllBut(&["isolated_workspace", "shared_workspace"]), "this workspace mode"),
    ("workspace", "repo_url", Refused::Any, "a project without a local checkout"),
    ("workspace", "concurrency", Refused::Only("refuse"), "refusing a second run in a shared checkout"),
    ("agent", "adapter", Refused::AllBut(&["process"]), "this adapter"),
    ("agent", "bootstrap", Refused::Any, "a prompt for the first start"),
    ("agent", "timer", Refused::AllBut(&["0s"]), "waking an agent by the clock"),
    ("agent", "silence", Refused::Any, "a verdict on silent runs"),
    ("agent", "wake_on_demand", Refused::AllBut(&["true"]), "an agent that cannot be woken by hand"),
    ("agent", "budget", Refused::Any, "a budget"),
    ("service", "desired", Refused::AllBut(&["manual"]), "a service that is kept in a state by itself"),
    ("service", "live", Refused::Any, "watching a running service"),
    ("service", "depends_on", Refused::Filled, "the order of services"),
    ("service.restart", "policy", Refused::AllBut(&["never"]), "restarting a service by itself"),
    ("service.ready", "tcp", Refused::Any, "readiness by a connection"),
    ("service.ready", "command", Refused::Any, "readiness by a command"),
    ("service.ready", "log_line", Refused::Any, "readiness by a line of output"),
];

/// What a value stands for that this version does not do; `None` when it does.
pub(super) fn not_yet(section: &str, key: &str, value: &DeValue<'_>) -> Option<&'static str> {
    let (_, _, refused, what) = NOT_YET.iter().find(|(s, k, ..)| *s == section && *k == key)?;
    let is = |word: &str| match value {
        DeValue::String(text) => text == word,
        DeValue::Boolean(truth) => truth.to_string() == word,
        _ => false,
    };
    let is_refused = match refused {
        Refused::Any => true,
        Refused::AllBut(words) => !words.iter().any(|word| is(word)),
        Refused::Only(word) => is(word),
        Refused::Filled => match value {
            DeValue::Array(items) => !items.is_empty(),
            DeValue::Table(table) => !table.is_empty(),
            _ => false,
        },
    };
    is_refused.then_some(*what)
}

/// The values of a key that are not refused, for messages; `None` when there are none worth naming.
pub(super) fn instead(section: &str, key: &str) -> Option<String> {
    let (_, _, refused, _) = NOT_YET.iter().find(|(s, k, ..)| *s == section && *k == key)?;
    match refused {
        Refused::AllBut(words) => {
            let written = |w: &&str| if *w == "true" { (*w).to_owned() } else { format!("{w:?}") };
            Some(words.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        Refused::Any | Refused::Only(_) | Refused::Filled => None,
    }
}

/// Whether every value of a key is refused, so that it is no use to name it as known.
pub(super) fn is_absent(section: &str, key: &str) -> bool {
    NOT_YET.iter().any(|(s, k, refused, _)| *s == section && *k == key && matches!(refused, Refused::Any))
}
