//! What a shim is told of an agent, on this machine and for a place beside it.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::environment::target::{CwdPass, EnvPass};

static HERE: LazyLock<Target> = LazyLock::new(Target::default);

fn agent(command: &str, args: &[&str], shell: bool, stdin: Stdin) -> AgentConfig {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let process = ProcessConfig { command: command.into(), args, shell, cwd: ".".into(), stdin };
    AgentConfig::new("fixer".into(), AdapterConfig::Process(process))
}

fn in_directory(cwd: &str) -> AgentConfig {
    let mut agent = agent("x", &[], false, Stdin::None);
    let AdapterConfig::Process(process) = &mut agent.adapter;
    process.cwd = cwd.into();
    agent
}

fn facts(agent: &AgentConfig) -> ProcessStart<'_> {
    ProcessStart {
        run_id: "019a3e0c-1111-7222-8333-444455556666".into(),
        attempt: 1,
        epoch: 3,
        tag: "t".into(),
        agent,
        cwd: Path::new("/w"),
        target: &HERE,
        here: "/",
        prompt: Some("Fix it"),
        allowed: BTreeMap::new(),
        own: BTreeMap::from([("API_KEY".into(), "hunter2hunter2".into())]),
        redact: vec!["hunter2hunter2".into()],
        token: Some("token-of-the-run".into()),
        log: LogSpec::default(),
    }
}

#[test]
fn a_program_with_arguments_gets_them_as_they_are() {
    let mut agent = agent("python3", &["agent.py", "$HOME; rm"], false, Stdin::Prompt);
    (agent.timeout_ms, agent.keep) = (Some(5000), vec!["gpg-agent".into()]);
    let (spec, message) = start(facts(&agent)).unwrap();
    assert_eq!(spec.argv, ["python3", "agent.py", "$HOME; rm"]);
    assert_eq!((spec.shell, spec.stdin, spec.timeout_ms, spec.grace_ms), (false, StdinMode::Sent, Some(5000), 15_000));
    assert_eq!(
        (spec.env_names.as_slice(), spec.keep.as_slice()),
        (&["API_KEY".to_owned()][..], &["gpg-agent".to_owned()][..])
    );
    assert_eq!(message.stdin.as_deref(), Some("Fix it"));
    assert_eq!(message.redact, ["hunter2hunter2", "token-of-the-run"]);
    assert_eq!(spec.redact_count, 2);
    let json = serde_json::to_string(&spec).unwrap();
    assert!(!json.contains("hunter2") && !json.contains("token-of") && !json.contains("Fix it"), "{json}");
}

#[test]
fn input_table() {
    let table = [
        (Stdin::None, None, None),
        (Stdin::Prompt, Some("p"), Some("p")),
        (Stdin::Prompt, None, None),
        (Stdin::Text("t".into()), None, Some("t")),
    ];
    for (stdin, prompt, expected) in table {
        let agent = agent("cat | sort", &[], true, stdin);
        let (spec, message) = start(ProcessStart { prompt, ..facts(&agent) }).unwrap();
        assert_eq!(message.stdin.as_deref(), expected);
        assert_eq!(spec.stdin == StdinMode::Sent, expected.is_some());
        assert_eq!((spec.shell, spec.argv), (true, vec!["cat | sort".to_owned()]));
    }
}

#[test]
fn a_prompt_that_nobody_would_read_is_refused() {
    let table = [
        (Stdin::None, false, "agent fixer takes no prompt: its stdin is \"none\""),
        (Stdin::Text("t".into()), false, "its stdin holds a text of its own"),
        (Stdin::Prompt, true, "it has a terminal"),
        (Stdin::None, true, "type it with wharf attach"),
    ];
    for (stdin, tty, words) in table {
        let agent = AgentConfig { tty, ..agent("cat", &[], true, stdin) };
        let refused = start(ProcessStart { prompt: Some("p"), ..facts(&agent) }).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    let typed = AgentConfig { tty: true, ..agent("cat", &[], true, Stdin::Text("t".into())) };
    assert!(
        start(ProcessStart { prompt: None, ..facts(&typed) })
            .unwrap_err()
            .to_string()
            .contains("cannot be sent to a terminal")
    );
}

#[test]
fn what_a_process_cannot_be_given_is_refused_by_name() {
    let refused = |agent: &AgentConfig| start(facts(agent)).unwrap_err().to_string();
    let secret = refused(&agent("x", &["--key=hunter2hunter2"], false, Stdin::Prompt));
    assert!(secret.contains("argument 1") && !secret.contains("hunter2"), "{secret}");
    assert!(refused(&agent("x", &[&"a".repeat(STRING_MAX_BYTES)], false, Stdin::Prompt)).contains("argument 1"));
    assert!(refused(&agent("", &[], false, Stdin::Prompt)).contains("is empty"));
    assert!(refused(&agent("x", &["a\0"], false, Stdin::Prompt)).contains("NUL"));
    let plain = agent("x", &[], false, Stdin::Prompt);
    for (name, value) in [("A", "v\0"), ("", "v"), ("A=B", "v"), ("A", &"v".repeat(STRING_MAX_BYTES))] {
        let env = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        assert!(start(ProcessStart { own: env, ..facts(&plain) }).is_err(), "{name}");
    }
    let env = (0..20).map(|n| (format!("V{n}"), "v".repeat(100_000))).collect();
    assert!(start(ProcessStart { own: env, ..facts(&plain) }).unwrap_err().to_string().contains("all arguments"));
}

#[test]
fn the_directory_stays_inside_whatever_links_say() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().canonicalize().unwrap();
    let (work, outside) = (top.join("work"), top.join("work-other"));
    std::fs::create_dir_all(work.join("a/b")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(work.join("file"), "").unwrap();
    std::os::unix::fs::symlink(&outside, work.join("away")).unwrap();
    std::os::unix::fs::symlink("a/b", work.join("near")).unwrap();
    let at = |cwd: &str| directory(&in_directory(cwd), &work);
    assert_eq!(at(".").unwrap(), work);
    assert_eq!(at("near").unwrap(), work.join("a/b"));
    assert_eq!(at("a/../a/b").unwrap(), work.join("a/b"));
    for cwd in ["..", "../work-other", "away", "near/../../..", "/", "/tmp"] {
        assert!(matches!(at(cwd), Err(AdapterError::CwdOutside { .. })), "{cwd}");
    }
    for cwd in ["none", "file"] {
        assert_eq!(at(cwd).unwrap_err().code(), "cwd_missing", "{cwd}");
    }
    // The workspace itself may be reached through a link.
    std::os::unix::fs::symlink(&work, top.join("link")).unwrap();
    assert_eq!(directory(&in_directory("a"), &top.join("link")).unwrap(), work.join("a"));
}

#[test]
fn prompts_come_from_the_project() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.md"), "Do it\n").unwrap();
    let mut agent = agent("x", &[], false, Stdin::Prompt);
    assert_eq!(prompt(&agent, dir.path()).unwrap(), None);
    agent.prompt = Some(Prompt::File("p.md".into()));
    assert_eq!(prompt(&agent, dir.path()).unwrap().as_deref(), Some("Do it\n"));
    agent.prompt = Some(Prompt::File("q.md".into()));
    let error = prompt(&agent, dir.path()).unwrap_err();
    assert!(error.to_string().contains("q.md") && error.to_string().contains("fixer"));
}

/// A place whose variables come by standard input.
fn elsewhere() -> Target {
    Target {
        head: ["/opt/wharf", "follow"].map(str::to_owned).to_vec(),
        tail: vec!["--".into()],
        cwd: CwdPass::Flag("--cwd".into()),
        env: EnvPass::Stdin,
        tty: None,
        keeps_identity: false,
        block: serde_json::json!({ "key": "key-of-the-host", "grace_ms": null }),
        redact: vec!["key-of-the-host".into()],
        own_env: BTreeMap::from([("SSH_AUTH_SOCK".into(), "/agent".into())]),
        ..Target::default()
    }
}

#[test]
fn in_a_place_the_shim_starts_what_leads_there() {
    let target = elsewhere();
    let agent = agent("python3", &["agent.py"], false, Stdin::Prompt);
    let allowed = BTreeMap::from([("HOME".to_owned(), "/home/me".to_owned()), ("LANG".to_owned(), "C".to_owned())]);
    let begin = ProcessStart { target: &target, cwd: Path::new("/there/w"), allowed, ..facts(&agent) };
    let (spec, message) = start(begin).unwrap();
    assert_eq!(spec.argv, ["/opt/wharf", "follow", "--cwd", "/there/w", "--", "python3", "agent.py"]);
    assert_eq!((spec.cwd.as_str(), spec.stdin, spec.shell), ("/", StdinMode::Sent, false));
    // The shim has time for the grace of what it follows, and its own mark.
    assert_eq!(spec.grace_ms, 20_000);
    assert_eq!(elsewhere::asked_grace(&spec.env_names, 1_000), 6_000);
    assert_eq!((message.env["WHARF_GRACE_MS"].as_str(), message.env["WHARF_TAG"].as_str()), ("15000", "t"));
    assert!(message.env.contains_key("SSH_AUTH_SOCK") && !message.env.contains_key("API_KEY"));
    // What is told comes first, and what the agent reads follows.
    let stdin = message.stdin.unwrap();
    let (line, prompt) = stdin.split_once('\n').unwrap();
    assert_eq!(prompt, "Fix it");
    let told: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(told["env"], serde_json::json!({ "API_KEY": "hunter2hunter2", "LANG": "C" }));
    assert_eq!(told["target"], serde_json::json!({ "key": "key-of-the-host", "grace_ms": 15_000 }));
    assert_eq!(message.redact, ["hunter2hunter2", "key-of-the-host", "token-of-the-run"]);
    assert_eq!(spec.redact_count, 3);
    let json = serde_json::to_string(&spec).unwrap();
    assert!(!json.contains("hunter2") && !json.contains("key-of-the-host"), "{json}");
    // On this machine nothing of it is so, nor where the shim sees the processes itself.
    let inherited = Target { env: EnvPass::Inherited, ..target };
    for target in [&HERE, &inherited] {
        let own = BTreeMap::from([("WHARF_TAG".to_owned(), "t".to_owned())]);
        let (spec, message) = start(ProcessStart { target, own, ..facts(&agent) }).unwrap();
        assert_eq!((spec.grace_ms, elsewhere::asked_grace(&spec.env_names, 1_000)), (15_000, 1_000));
        assert_eq!(message.env["WHARF_TAG"], "t");
    }
}

#[test]
fn a_place_without_input_still_gets_its_first_line() {
    let (target, agent) = (elsewhere(), agent("x", &[], false, Stdin::None));
    let (spec, message) = start(ProcessStart { target: &target, prompt: None, ..facts(&agent) }).unwrap();
    assert_eq!(spec.stdin, StdinMode::Sent);
    assert!(message.stdin.unwrap().ends_with("}\n"));
}

#[test]
fn a_command_line_is_run_by_a_shell_of_the_place() {
    let agent = agent("echo $A | cat", &[], true, Stdin::Prompt);
    let allowed = BTreeMap::from([("SHELL".to_owned(), "/bin/zsh".to_owned())]);
    for (keeps_identity, shell) in [(true, "/bin/zsh"), (false, "/bin/sh")] {
        let target = Target { keeps_identity, ..elsewhere() };
        let begin = ProcessStart { target: &target, allowed: allowed.clone(), ..facts(&agent) };
        let (spec, _) = start(begin).unwrap();
        assert!(spec.argv.ends_with(&[shell, "-c", "echo $A | cat"].map(str::to_owned)), "{:?}", spec.argv);
        assert!(!spec.shell);
    }
}

#[test]
fn variables_are_never_typed_into_a_terminal() {
    let agent = AgentConfig { tty: true, ..agent("x", &[], false, Stdin::None) };
    let target = Target { tty: Some(vec!["-t".into()]), ..elsewhere() };
    let refused = start(ProcessStart { target: &target, prompt: None, ..facts(&agent) }).unwrap_err();
    assert_eq!(refused.code(), "unsupported_adapter_environment");
    assert!(refused.to_string().contains("tty = false"), "{refused}");
}

#[test]
fn the_directory_in_a_place_stays_inside_by_its_words() {
    let at = |cwd: &str| directory_there(&in_directory(cwd), Path::new("/w"));
    assert_eq!(at(".").unwrap(), Path::new(""));
    assert_eq!(at("a/./b/../c").unwrap(), Path::new("a/c"));
    for cwd in ["..", "a/../..", "/", "/w/a"] {
        assert!(matches!(at(cwd), Err(AdapterError::CwdOutside { .. })), "{cwd}");
    }
}

proptest! {
    /// No value of a secret ever reaches the spec.
    #[test]
    fn the_spec_is_free_of_secrets(secret in "[a-z0-9]{8,20}", args in proptest::collection::vec("[a-z0-9]{0,30}", 0..4)) {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let agent = agent("program", &args, false, Stdin::Prompt);
        let env = BTreeMap::from([("KEY".to_owned(), secret.clone())]);
        let facts = ProcessStart { own: env, redact: vec![secret.clone()], ..facts(&agent) };
        if let Ok((spec, _)) = start(facts) {
            prop_assert!(spec.argv.iter().all(|argument| !argument.contains(&secret)));
        }
    }
}
