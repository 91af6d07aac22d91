//! A variable that a program says it misses.

/// Words by which programs tell that a variable is not there.
const SAY: &[&str] = &[
    "is not set",
    "not set",
    "must be set",
    "is required",
    "required",
    "is missing",
    "missing",
    "not defined",
    "undefined",
    "unset",
    "not found",
    "no such environment variable",
];

/// The variable that a line says is not set; none when it says no such thing.
pub fn unset_variable(line: &str) -> Option<String> {
    let lower = line.to_lowercase();
    if !SAY.iter().any(|words| lower.contains(words)) {
        return None;
    }
    line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).find(|word| is_name(word)).map(str::to_owned)
}

/// Names of variables as people write them: capitals with an underscore between.
fn is_name(word: &str) -> bool {
    let plain = word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    plain
        && (4..=64).contains(&word.len())
        && word.as_bytes()[0].is_ascii_uppercase()
        && word.trim_matches('_').contains('_')
}
