//! What of a service that was found alive is not what the config says now.

use std::path::Path;

use wharf_model::config::ServiceConfig;
use wharf_model::shim::{ChildRef, Spec};

use super::build::Rendered;
use crate::process::shim_dir::names;

/// Most bytes of a spec that are read.
const SPEC_MAX_BYTES: u64 = 1 << 20;

/// What a shim was told when it was started; none when that cannot be read.
pub(super) fn told(dir: &Path) -> Option<Spec> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(dir.join(names::SPEC)).ok()?.take(SPEC_MAX_BYTES).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// What its row knows of a service that was found alive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// Its process.
    pub pid: Option<i32>,
    /// Its directory.
    pub cwd: &'a str,
    /// Hash of the variables that it was started with.
    pub fingerprint: Option<&'a str>,
}

/// The differences, for people: it goes on as it was started, and its next start follows the config.
pub(super) fn differences(
    known: Known<'_>,
    child: ChildRef,
    spec: &Spec,
    config: &ServiceConfig,
    now: &Rendered,
) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(pid) = known.pid.filter(|pid| *pid != child.pid) {
        found.push(format!("it was known as process {pid}, and its shim keeps {}", child.pid));
    }
    let mut changed = Vec::new();
    if (&spec.argv, spec.shell) != (&now.argv, now.shell) {
        changed.push("command");
    }
    if spec.cwd != known.cwd {
        changed.push("directory");
    }
    if known.fingerprint.is_some_and(|then| then != now.fingerprint) {
        changed.push("variables");
    }
    if spec.stop_signal.as_ref().is_some_and(|signal| *signal != config.stop.signal) {
        changed.push("stop signal");
    }
    if !changed.is_empty() {
        found.push(format!(
            "its {} changed in wharf.toml since it was started; a restart takes that over",
            listed(&changed)
        ));
    }
    if let Some(reason) = config.disabled.as_deref().filter(|reason| !reason.is_empty()) {
        found.push(format!("it runs although it is switched off: {reason}"));
    }
    found
}

fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use wharf_model::config::CommandLine;

    use super::*;

    fn spec() -> Spec {
        serde_json::from_value(json!({
            "v": 1, "kind": "service", "id": "x", "attempt": 1, "epoch": 1, "argv": ["serve"], "cwd": "/w",
            "env_names": [], "shell": true, "tty": null, "stdin": "none", "timeout_ms": null, "grace_ms": 1,
            "log": { "segment_bytes": 1, "quota_bytes": null, "on_quota": "block", "on_full": "block" },
            "limits": BTreeMap::<String, String>::new(), "tag": "t", "redact_count": 0, "stop_signal": "SIGTERM",
            "keep": [], "boot_id": null,
        }))
        .unwrap()
    }

    #[test]
    fn differences_are_told_in_words() {
        let child = ChildRef { pid: 7, start_ticks: 1, pgid: 7, sid: 7 };
        let config = ServiceConfig::new("web".into(), CommandLine::Shell("serve".into()));
        let now = Rendered { argv: vec!["serve".into()], shell: true, fingerprint: "f".into() };
        let known = Known { pid: Some(7), cwd: "/w", fingerprint: Some("f") };
        let told = |known, config: &ServiceConfig, now: &Rendered| differences(known, child, &spec(), config, now);
        assert_eq!(told(known, &config, &now), Vec::<String>::new());
        // One of before fingerprints were kept.
        assert_eq!(told(Known { fingerprint: None, ..known }, &config, &now), Vec::<String>::new());
        let mut other = config.clone();
        other.stop.signal = "SIGINT".into();
        other.disabled = Some("broken".into());
        let moved = Rendered { argv: vec!["serve".into(), "-v".into()], fingerprint: "g".into(), ..now.clone() };
        assert_eq!(
            told(Known { pid: Some(6), ..known }, &other, &moved),
            [
                "it was known as process 6, and its shim keeps 7",
                "its command, variables and stop signal changed in wharf.toml since it was started; a restart takes that over",
                "it runs although it is switched off: broken",
            ]
        );
    }
}
