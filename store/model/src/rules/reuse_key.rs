//! When two requests for a service mean the same process.
//!
//! A shared service is found again by its reuse key: a hash of what it is and for whom. The same
//! facts give the same key on every machine and in every version.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::ids::{AgentId, ProjectId, ProjectWorkspaceId, RunId, WorkspaceId};
use crate::{Lifecycle, ReuseScope};

/// The lifecycle in force: one that is not written means shared, here and in [`scope_kind`].
pub fn lifecycle(written: Option<Lifecycle>) -> Lifecycle {
    written.unwrap_or(Lifecycle::Shared)
}

/// The scope in force: what is written, else the project's for shared and the run's for ephemeral.
pub fn scope_kind(written_lifecycle: Option<Lifecycle>, reuse: Option<ReuseScope>) -> ReuseScope {
    reuse.unwrap_or(match lifecycle(written_lifecycle) {
        Lifecycle::Shared => ReuseScope::ProjectWorkspace,
        Lifecycle::Ephemeral => ReuseScope::Run,
    })
}

/// What is known about the one who asks for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScopeFacts<'a> {
    /// The project's sources, where they have a row of their own.
    pub project_workspace: Option<ProjectWorkspaceId>,
    /// The project; stands in for the above.
    pub project: Option<ProjectId>,
    /// Where runs work.
    pub execution_workspace: Option<WorkspaceId>,
    /// Absolute working directory; stands in for the above.
    pub cwd: Option<&'a str>,
    /// The agent.
    pub agent: Option<AgentId>,
    /// The run.
    pub run: Option<RunId>,
}

/// A scope with the id of its one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Which kind.
    pub kind: ReuseScope,
    /// Id (or, without one, directory) of the owner.
    pub id: String,
}

/// A scope whose owner is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the service is kept for each {0}, but none takes part here; start it from a run, or set `reuse` to another scope"
)]
pub struct NoOwner(pub ReuseScope);

/// Finds the owner of a service.
pub fn scope(
    written_lifecycle: Option<Lifecycle>,
    reuse: Option<ReuseScope>,
    facts: &ScopeFacts<'_>,
) -> Result<Scope, NoOwner> {
    let kind = scope_kind(written_lifecycle, reuse);
    let id = match kind {
        ReuseScope::ProjectWorkspace => facts
            .project_workspace
            .map(super::super::ids::ProjectWorkspaceId::text)
            .or_else(|| facts.project.map(super::super::ids::ProjectId::text)),
        ReuseScope::ExecutionWorkspace => {
            facts.execution_workspace.map(super::super::ids::WorkspaceId::text).or_else(|| facts.cwd.map(str::to_owned))
        }
        ReuseScope::Agent => facts.agent.map(super::super::ids::AgentId::text),
        ReuseScope::Run => facts.run.map(super::super::ids::RunId::text),
    };
    id.map(|id| Scope { kind, id }).ok_or(NoOwner(kind))
}

/// A command as config writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine<'a> {
    /// One text for the operator's shell.
    Shell(&'a str),
    /// Program and arguments, no shell.
    Argv(&'a [String]),
}

/// What makes a service this service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceIdentity<'a> {
    /// For whom.
    pub scope: &'a Scope,
    /// Name in config.
    pub name: &'a str,
    /// What is started.
    pub command: CommandLine<'a>,
    /// Absolute working directory.
    pub cwd: &'a str,
    /// The port written in config; none when it is chosen at each start, which must not change the key.
    pub explicit_port: Option<u16>,
    /// The written environment, rendered with the explicit port only.
    pub env: &'a BTreeMap<String, String>,
}

/// The key a shared service is found by: 64 hex digits. `None` for an ephemeral one, which is
/// never found again.
pub fn reuse_key(written_lifecycle: Option<Lifecycle>, service: &ServiceIdentity<'_>) -> Option<String> {
    if lifecycle(written_lifecycle) == Lifecycle::Ephemeral {
        return None;
    }
    let command = match service.command {
        CommandLine::Shell(text) => json!(text),
        CommandLine::Argv(args) => json!(args),
    };
    Some(sha256_hex(&stable_json(&json!({
        "scopeType": service.scope.kind.as_str(),
        "scopeId": service.scope.id,
        "serviceName": service.name,
        "command": command,
        "cwd": service.cwd,
        "port": service.explicit_port,
        "env": service.env,
    }))))
}

/// The written environment as it counts for the key: `{{port}}` is the explicit port, and nothing where the port is
/// chosen at each start. Other placeholders stay as they are written.
pub fn key_env(written: &BTreeMap<String, String>, explicit_port: Option<u16>) -> BTreeMap<String, String> {
    let port = explicit_port.map(|port| port.to_string()).unwrap_or_default();
    written.iter().map(|(name, text)| (name.clone(), with_port(text, &port))).collect()
}

fn with_port(text: &str, port: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(begin) = rest.find("{{") {
        let Some(length) = rest[begin..].find("}}") else { break };
        let end = begin + length + 2;
        out.push_str(&rest[..begin]);
        out.push_str(if rest[begin + 2..end - 2].trim() == "port" { port } else { &rest[begin..end] });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Hash of a rendered environment: 64 hex digits. Values cannot be read back from it, so it may
/// be stored and shown where the values may not.
pub fn env_fingerprint(env: &BTreeMap<String, String>) -> String {
    sha256_hex(&stable_json(&json!(env)))
}

/// JSON without white space and with the keys of every object sorted by their bytes, whatever
/// order they came in.
pub fn stable_json(value: &Value) -> String {
    let mut out = String::new();
    write_stable(value, &mut out);
    out
}

fn write_stable(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_stable(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_stable(item, out);
            }
            out.push(']');
        }
        leaf => out.push_str(&leaf.to_string()),
    }
}

fn sha256_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        hex.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        hex.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        hex
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn lifecycle_and_scope_table() {
        use Lifecycle::*;
        use ReuseScope::*;
        let table = [
            (None, None, Shared, ProjectWorkspace),
            (Some(Shared), None, Shared, ProjectWorkspace),
            (Some(Ephemeral), None, Ephemeral, Run),
            (None, Some(Run), Shared, Run),
            (None, Some(Agent), Shared, Agent),
            (Some(Ephemeral), Some(ExecutionWorkspace), Ephemeral, ExecutionWorkspace),
        ];
        for (written, reuse, life, kind) in table {
            assert_eq!((lifecycle(written), scope_kind(written, reuse)), (life, kind), "{written:?} {reuse:?}");
        }
    }

    #[test]
    fn scope_owner_table() {
        let facts = ScopeFacts {
            project_workspace: Some(ProjectWorkspaceId(id(1))),
            project: Some(ProjectId(id(2))),
            execution_workspace: Some(WorkspaceId(id(3))),
            cwd: Some("/w"),
            agent: Some(AgentId(id(4))),
            run: Some(RunId(id(5))),
        };
        let owner = |kind, facts: &ScopeFacts<'_>| scope(None, Some(kind), facts).map(|s| s.id);
        let text = |n| Ok(id(n).hyphenated().to_string());
        assert_eq!(owner(ReuseScope::ProjectWorkspace, &facts), text(1));
        assert_eq!(owner(ReuseScope::ProjectWorkspace, &ScopeFacts { project_workspace: None, ..facts }), text(2));
        assert_eq!(owner(ReuseScope::ExecutionWorkspace, &facts), text(3));
        assert_eq!(
            owner(ReuseScope::ExecutionWorkspace, &ScopeFacts { execution_workspace: None, ..facts }),
            Ok("/w".to_owned())
        );
        assert_eq!(owner(ReuseScope::Agent, &facts), text(4));
        assert_eq!(owner(ReuseScope::Run, &facts), text(5));
        let nothing = ScopeFacts::default();
        for kind in ReuseScope::ALL {
            assert_eq!(owner(*kind, &nothing), Err(NoOwner(*kind)));
        }
    }

    fn key(change: impl FnOnce(&mut Scope, &mut BTreeMap<String, String>), port: Option<u16>, cwd: &str) -> String {
        let mut scope = Scope { kind: ReuseScope::Agent, id: "a".into() };
        let mut env = BTreeMap::from([("B".to_owned(), "2".to_owned()), ("A".to_owned(), "1".to_owned())]);
        change(&mut scope, &mut env);
        let command = CommandLine::Shell("npm run dev");
        let service = ServiceIdentity { scope: &scope, name: "web", command, cwd, explicit_port: port, env: &env };
        reuse_key(None, &service).unwrap()
    }

    #[test]
    fn the_key_is_fixed_forever() {
        // Computed with sha256sum from the sorted JSON; a change here loses every running service.
        let expected = "227d060e27e7f2e19711caeb99ed20f28d2d816a9c36881f724f71b0a4a82423";
        assert_eq!(key(|_, _| {}, None, "/w"), expected);
        assert_eq!(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn keys_of_each_kind_are_fixed_forever() {
        // Scope, port, command, written environment; computed from the sorted JSON elsewhere.
        let npm = CommandLine::Shell("npm run dev");
        let argv = ["npm".to_owned(), "run dev".to_owned()];
        let url = ("URL", "http://127.0.0.1:{{port}}/");
        let table = [
            (
                (ReuseScope::ProjectWorkspace, "p1", None, npm.clone(), None),
                "8fbeddae5643451c79109c4d9ab313e62019bf5d876de27260462aacf2dda7b9",
            ),
            (
                (ReuseScope::ExecutionWorkspace, "/w/a", Some(4173), npm.clone(), Some(url)),
                "5c2648ac550840a89c569ccac5bce1df0c0e839482d61b90a591d5380f4e3e10",
            ),
            // A port that is chosen at each start is none: the key stays the same.
            (
                (ReuseScope::Run, "r", None, npm, Some(url)),
                "276f5ab3118a5d6a3d5ba51cfcbbf17be4350328dc3a191bf7cd13df3fc30a40",
            ),
            (
                (ReuseScope::Agent, "é \"q\"\n", Some(65_535), CommandLine::Argv(&argv), Some(("TEXT", "ä\t\u{1}"))),
                "5eaf7db320aab5ff0869a370d1438b1369eac73f20d11dfde70be5207b9092b9",
            ),
        ];
        for ((kind, id, explicit_port, command, env), expected) in table {
            let scope = Scope { kind, id: id.to_owned() };
            let written: BTreeMap<_, _> = env.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            let env = key_env(&written, explicit_port);
            let service = ServiceIdentity { scope: &scope, name: "web", command, cwd: "/w", explicit_port, env: &env };
            // A lifecycle that is not written means shared, for the scope as for the key.
            assert_eq!(reuse_key(None, &service).as_deref(), Some(expected), "{kind}");
            assert_eq!(reuse_key(Some(Lifecycle::Shared), &service).as_deref(), Some(expected), "{kind}");
        }
    }

    #[test]
    fn only_the_explicit_port_is_put_in() {
        let table = [
            ("{{port}}", Some(80), "80"),
            ("a{{ port }}b{{port}}", Some(80), "a80b80"),
            ("http://h:{{port}}/", None, "http://h:/"),
            ("{{issue.id}}-{{port}}", Some(1), "{{issue.id}}-1"),
            ("{{port", Some(1), "{{port"),
            ("}}{{", Some(1), "}}{{"),
            ("plain", Some(1), "plain"),
        ];
        for (written, port, expected) in table {
            let env = BTreeMap::from([("A".to_owned(), written.to_owned())]);
            assert_eq!(key_env(&env, port)["A"], expected, "{written}");
        }
    }

    #[test]
    fn every_part_counts() {
        let base = key(|_, _| {}, None, "/w");
        let others = [
            key(|s, _| s.id = "b".into(), None, "/w"),
            key(|s, _| s.kind = ReuseScope::Run, None, "/w"),
            key(|_, e| drop(e.insert("A".into(), "9".into())), None, "/w"),
            key(|_, _| {}, Some(4173), "/w"),
            key(|_, _| {}, None, "/x"),
        ];
        for other in others {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_text_and_a_list_of_words_differ() {
        let scope = Scope { kind: ReuseScope::Agent, id: "a".into() };
        let env = BTreeMap::new();
        let argv = ["npm".to_owned()];
        let with = |command| {
            reuse_key(
                None,
                &ServiceIdentity { scope: &scope, name: "w", command, cwd: "/", explicit_port: None, env: &env },
            )
        };
        assert_ne!(with(CommandLine::Shell("npm")), with(CommandLine::Argv(&argv)));
    }

    #[test]
    fn ephemeral_has_no_key() {
        let scope = Scope { kind: ReuseScope::Run, id: "r".into() };
        let env = BTreeMap::new();
        let command = CommandLine::Shell("x");
        let service = ServiceIdentity { scope: &scope, name: "w", command, cwd: "/", explicit_port: None, env: &env };
        assert_eq!(reuse_key(Some(Lifecycle::Ephemeral), &service), None);
    }

    #[test]
    fn stable_json_table() {
        let table = [
            (
                json!({"b": 1, "a": {"d": [1, {"z": null, "y": true}], "c": "x"}}),
                r#"{"a":{"c":"x","d":[1,{"y":true,"z":null}]},"b":1}"#,
            ),
            (json!([]), "[]"),
            (json!("a\"\n"), r#""a\"\n""#),
            (json!({}), "{}"),
        ];
        for (value, expected) in table {
            assert_eq!(stable_json(&value), expected);
        }
    }

    proptest! {
        #[test]
        fn order_of_variables_never_matters(pairs in proptest::collection::vec(("[A-Z]{1,4}", ".{0,8}"), 0..8)) {
            let forward: BTreeMap<_, _> = pairs.iter().cloned().collect();
            let again: BTreeMap<_, _> = forward.clone().into_iter().rev().collect();
            prop_assert_eq!(env_fingerprint(&forward), env_fingerprint(&again));
            let parsed: Value = serde_json::from_str(&stable_json(&json!(forward))).unwrap();
            prop_assert_eq!(parsed, json!(forward));
        }
    }
}
