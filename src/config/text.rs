//! Reading the small texts of a config: durations, sizes, names, templates; and guessing what a
//! misspelt word was meant to be.

/// Longest name of an agent, environment, service, job or secret.
const NAME_MAX: usize = 64;
/// Longest duration: a hundred years. Anything above is a slip of the hand.
const DURATION_MAX_MS: u64 = 100 * 365 * 86_400_000;
/// Units of durations, in milliseconds.
const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads `90s`, `1.5h`, `500ms` as milliseconds.
pub fn duration(text: &str) -> Option<u64> {
    let ms = scaled(text, DURATIONS)?;
    (ms <= DURATION_MAX_MS).then_some(ms)
}

/// Whether a text is a duration that is longer than any may be.
pub fn is_too_long(text: &str) -> bool {
    scaled(text, DURATIONS).is_some_and(|ms| ms > DURATION_MAX_MS)
}

/// What is wrong with an address that begins with one of these schemes (`http://`), if anything.
pub fn web_address(text: &str, schemes: &[&str]) -> Result<(), &'static str> {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    let Some(rest) = rest else {
        return Err(if schemes.len() > 1 {
            "does not begin with http:// or https://"
        } else {
            "does not begin with http://"
        });
    };
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>' | '\\')) {
        return Err("holds a blank or a sign that no address has");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("holds a user name, which would stand in logs");
    }
    let (host, port) = match authority.strip_prefix('[').map(|v6| v6.split_once(']')) {
        Some(None) => return Err("names no host"),
        Some(Some((host, after))) => (host, after.strip_prefix(':').or(Some("0").filter(|_| !after.is_empty()))),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("names no host");
    }
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p != 0);
    if port.is_none_or(is_port) { Ok(()) } else { Err("has no port from 1 to 65535 behind its \":\"") }
}

/// Reads `64MiB`, `10GB`, `512B` as bytes.
pub fn size(text: &str) -> Option<u64> {
    let units = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    scaled(text, &units)
}

/// A number, which may have decimals, and one of these units.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(*scale),
        Some((whole, rest)) if !whole.is_empty() && !rest.is_empty() && rest.len() <= 6 && !rest.contains('.') => {
            let fraction = rest.parse::<u64>().ok()?.checked_mul(*scale)? / 10u64.pow(rest.len() as u32);
            whole.parse::<u64>().ok()?.checked_mul(*scale)?.checked_add(fraction)
        }
        Some(_) => None,
    }
}

/// Whether a text can name an agent, an environment, a service, a job or a secret.
pub fn is_name(text: &str) -> bool {
    text.len() <= NAME_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Whether a text can name an environment variable.
pub fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a text is a project key: `[A-Z][A-Z0-9]{1,9}`.
pub fn is_key(text: &str) -> bool {
    (2..=10).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// The project key that a directory's name suggests.
pub fn key_from(directory: &str) -> String {
    let mut key: String = directory.chars().filter(char::is_ascii_alphanumeric).collect();
    key.make_ascii_uppercase();
    if key.is_empty() {
        return "PROJECT".into();
    }
    if key.starts_with(|c: char| c.is_ascii_digit()) {
        key.insert(0, 'P');
    }
    if key.len() == 1 {
        key.push('1');
    }
    key.truncate(10);
    key
}

/// What is wrong with a template: its text and where in it, if anything.
pub fn template(text: &str, known: &[&str]) -> Result<(), String> {
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let Some(close) = rest[open + 2..].find("}}") else { return Err("has a \"{{\" without its \"}}\"".into()) };
        let name = rest[open + 2..open + 2 + close].trim();
        if !known.contains(&name) {
            return Err(format!("uses {{{{{name}}}}}, which has no meaning here"));
        }
        rest = &rest[open + 2 + close + 2..];
    }
    if rest.contains("}}") { Err("has a \"}}\" without its \"{{\"".into()) } else { Ok(()) }
}

/// The known word that a misspelt one most likely was meant to be.
pub fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let length = word.chars().count();
    if length == 0 || length > NAME_MAX {
        return None;
    }
    let allowed = (length / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits between two words: a letter put in, left out, changed, or two neighbours swapped.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().take(NAME_MAX).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let table = [
            ("90s", Some(90_000)),
            ("0s", Some(0)),
            ("5m", Some(300_000)),
            ("1.5h", Some(5_400_000)),
            ("500ms", Some(500)),
            ("30d", Some(2_592_000_000)),
            ("5 m", Some(300_000)),
            ("5 minuts", None),
            ("5", None),
            ("m", None),
            ("", None),
            ("-5m", None),
            ("1.s", None),
            (".5s", None),
            ("1.2.3s", None),
            ("99999999999999999999s", None),
            ("99999999d", None),
        ];
        for (text, expected) in table {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_that_are_too_long_are_told_apart() {
        let table = [("900000h", true), ("36500d", false), ("36501d", true), ("5 minuts", false), ("1s", false)];
        for (text, expected) in table {
            assert_eq!(is_too_long(text), expected, "{text}");
        }
    }

    #[test]
    fn addresses_have_a_host_and_a_port_that_can_be() {
        let both = &["http://", "https://"][..];
        let good =
            ["http://a", "http://a:80/x?y#z", "https://a.b/", "http://[::1]:80/", "http://[::1]", "http://a?b=c:d"];
        for text in good {
            assert_eq!(web_address(text, both), Ok(()), "{text}");
        }
        let bad = [
            ("hello", "begin with"),
            ("javascript:x", "begin with"),
            ("ftp://a/", "begin with"),
            ("http://", "no host"),
            ("http:///x", "no host"),
            ("http://:80/", "no host"),
            ("http://[::1/", "no host"),
            ("http://a:/", "no port"),
            ("http://a:0/", "no port"),
            ("http://a:99999/", "no port"),
            ("http://a:+80/", "no port"),
            ("http://[::1]80/", "no port"),
            ("http://a b/", "a blank"),
            ("http://a/\n", "a blank"),
            ("http://me@a/", "user name"),
        ];
        for (text, why) in bad {
            assert!(web_address(text, both).is_err_and(|e| e.contains(why)), "{text}: {:?}", web_address(text, both));
        }
        assert_eq!(web_address("https://a/", &["http://"]), Err("does not begin with http://"));
    }

    #[test]
    fn sizes() {
        let table = [
            ("64MiB", Some(64 << 20)),
            ("10GiB", Some(10 << 30)),
            ("1.5KiB", Some(1536)),
            ("10GB", Some(10_000_000_000)),
            ("512B", Some(512)),
            ("64M", None),
            ("64", None),
            ("99999999999TiB", None),
        ];
        for (text, expected) in table {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn keys_from_directories() {
        let table = [("shop", "SHOP"), ("my-shop.git", "MYSHOPGIT"), ("7up", "P7UP"), ("a", "A1"), ("日本", "PROJECT")];
        for (directory, key) in table {
            assert_eq!(key_from(directory), key);
            assert!(is_key(key), "{key}");
        }
        assert_eq!(key_from("a-very-long-directory").len(), 10);
    }

    #[test]
    fn templates_are_strict() {
        assert_eq!(template("x-{{a}}-{{ b }}", &["a", "b"]), Ok(()));
        assert_eq!(template("plain", &[]), Ok(()));
        for text in ["{{c}}", "{{", "{{a", "a}}", "{{}}"] {
            assert!(template(text, &["a"]).is_err(), "{text}");
        }
    }

    #[test]
    fn guesses_what_was_meant() {
        let known = ["timeout", "timer", "grace", "silence"];
        let table = [
            ("timout", Some("timeout")),
            ("Grace", Some("grace")),
            ("silecne", Some("silence")),
            ("xyz", None),
            ("", None),
        ];
        for (word, expected) in table {
            assert_eq!(meant(word, known), expected, "{word}");
        }
    }
}
