//! What a run may say of a service that its adapter keeps.

use crate::config::{is_name, web_address};

/// Whether a service can be called so and be reached there: the same is asked of a config.
///
/// # Errors
/// What is wrong, in words.
pub fn check(name: &str, url: Option<&str>) -> Result<(), String> {
    if name.is_empty() {
        return Err("it has no name".to_owned());
    }
    if !is_name(name) {
        let expected = "expected 1 to 64 letters, digits, \"-\", \"_\" or \".\", a letter or digit first";
        return Err(format!("{name:?} is no name of a service; {expected}"));
    }
    match url.map(|url| (url, web_address(url, &["http://", "https://"]))) {
        Some((url, Err(fault))) => Err(format!("url {url:?} {fault}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_those_of_a_config() {
        let table = [
            ("preview", None, None),
            ("a.b-c_1", Some("https://a.example/x"), None),
            ("", None, Some("it has no name")),
            ("a b", None, Some("is no name of a service")),
            ("-a", None, Some("is no name of a service")),
            ("a\u{1b}[2J", None, Some("is no name of a service")),
            ("a", Some("javascript:x"), Some("does not begin with http:// or https://")),
            ("a", Some("http://"), Some("names no host")),
        ];
        for (name, url, wrong) in table {
            match (check(name, url), wrong) {
                (Ok(()), None) => {}
                (Err(words), Some(part)) => assert!(words.contains(part), "{name:?} {url:?}: {words}"),
                (found, _) => assert_eq!(found, Ok(()), "{name:?} {url:?} should be refused: {wrong:?}"),
            }
        }
    }
}
