//! What ssh says when it cannot get there, in words for the operator.

use crate::environment::transport::{Trouble, last_line};

/// Reads ssh's standard error.
///
/// What does not change by itself is a refusal: a changed or unknown host key, refused keys, a setting that ssh
/// does not take. Everything else is unknown: a host that cannot be reached says nothing about what is on it.
pub fn explain(stderr: &str, host: &str) -> Trouble {
    let has = |words: &str| stderr.contains(words);
    let refused = |words: String| Trouble::Refused(words);
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        return refused(format!(
            "the host key of {host} is not the one that is known: it was set up anew, or somebody stands in between; \
             ask whoever keeps it, then remove the old key with ssh-keygen -R{}",
            offending(stderr)
        ));
    }
    if has("host key is known for") || has("Host key verification failed") {
        return refused(format!("the host key of {host} is not known; connect once by hand and check it: ssh {host}"));
    }
    if has("Too many authentication failures") || has("Permission denied (") || has("Permission denied, please") {
        return refused(format!(
            "{host} does not take this user's keys ({}); see whether ssh {host} works by itself, and ssh-add -l",
            last_line(stderr).unwrap_or_default()
        ));
    }
    if has("Bad configuration option")
        || has("Bad owner or permissions")
        || has("terminating, ")
        || has("bad ownership")
    {
        return refused(format!("ssh does not take its settings: {}", first_of(stderr)));
    }
    if has("keyword ") && has("argument") || has("missing argument") || has("unsupported option") {
        return refused(format!("ssh does not take its settings: {}", first_of(stderr)));
    }
    let said = last_line(stderr).unwrap_or_else(|| "ssh ended without a word".to_owned());
    let cause = if has("Could not resolve hostname") {
        format!("the name {host} cannot be resolved")
    } else if has("Connection refused") {
        format!("{host} refuses connections: no ssh server listens there")
    } else if has("timed out") || has("Operation timed out") {
        format!("{host} does not answer in time")
    } else if has("No route to host") || has("Network is unreachable") {
        format!("there is no way to {host}")
    } else {
        format!("no connection to {host}")
    };
    Trouble::Unknown(format!("{cause} ({said})"))
}

/// Where the old key stands, as ssh says it.
fn offending(stderr: &str) -> String {
    stderr
        .lines()
        .find(|line| line.contains("Offending"))
        .and_then(|line| line.split(" in ").nth(1))
        .map_or_else(String::new, |place| format!(" (it stands in {})", place.trim()))
}

fn first_of(stderr: &str) -> String {
    stderr.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_and_what_is_unknown() {
        let table = [
            ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nOffending ED25519 key in /h/known_hosts:3", true),
            ("No ED25519 host key is known for box and you have requested strict checking.", true),
            ("me@box: Permission denied (publickey).", true),
            ("command-line: line 0: Bad configuration option: nonsense", true),
            ("ssh: connect to host box port 22: Connection refused", false),
            ("ssh: connect to host box port 22: Connection timed out", false),
            ("ssh: Could not resolve hostname box: Name or service not known", false),
            ("client_loop: send disconnect: Broken pipe", false),
            ("", false),
        ];
        for (said, refused) in table {
            let words = explain(said, "box");
            assert_eq!(matches!(words, Trouble::Refused(_)), refused, "{said}: {words}");
        }
        assert!(explain(table[0].0, "box").to_string().contains("/h/known_hosts:3"));
    }
}
