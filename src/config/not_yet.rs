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
}

/// Section, key, refused values, and what they stand for.
const NOT_YET: &[(&str, &str, Refused, &str)] = &[
    ("", "notify", Refused::Any, "notifications"),
    ("agent", "adapter", Refused::AllBut(&["process"]), "this adapter"),
    ("agent", "bootstrap", Refused::Any, "a prompt for the first start"),
    ("agent", "timer", Refused::AllBut(&["0s"]), "waking an agent by the clock"),
    ("agent", "wake_on_demand", Refused::AllBut(&["true"]), "an agent that cannot be woken by hand"),
    ("agent", "budget", Refused::Any, "a budget"),
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
        Refused::Any => None,
    }
}

/// Whether every value of a key is refused, so that it is no use to name it as known.
pub(super) fn is_absent(section: &str, key: &str) -> bool {
    NOT_YET.iter().any(|(s, k, refused, _)| *s == section && *k == key && matches!(refused, Refused::Any))
}
