//! The sandbox driver with each of its providers.

use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

use serde_json::json;
use wharf_model::Driver as Kind;

use super::contract::contract;
use super::sandbox_common::podman::Podman as Engine;
use super::subject::{Made, Subject, is_there, operator};

struct Bubblewrap;

impl Subject for Bubblewrap {
    fn name(&self) -> &'static str {
        "sandbox/bubblewrap"
    }

    fn make(&self, root: &Path) -> Result<Made, String> {
        if !is_there("bwrap") {
            return Err("there is no bwrap here".into());
        }
        let mut command = Command::new("bwrap");
        command.args(["--unshare-user-try", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"]);
        let tried = command.stdin(Stdio::null()).output().unwrap();
        if !tried.status.success() {
            return Err(format!("bwrap cannot make a sandbox: {}", String::from_utf8_lossy(&tried.stderr).trim()));
        }
        let made = Made::of(Kind::Sandbox, json!({ "provider": "bubblewrap" }), root, operator(root))?;
        Ok(Made { private: Some("/tmp/private".into()), ..made })
    }
}

#[test]
fn bubblewrap_keeps_the_contract() {
    contract(&Bubblewrap);
}

struct Podman;

impl Subject for Podman {
    fn name(&self) -> &'static str {
        "sandbox/podman"
    }

    fn make(&self, root: &Path) -> Result<Made, String> {
        // It tells the reason itself as well.
        let podman = Engine::new().ok_or("podman can start no container here")?;
        let mut operator = operator(root);
        // Where its storage is, and a podman that finds it.
        operator.extend(podman.world.site.operator.iter().filter(|(name, _)| *name != "HOME").map(own));
        let config = podman.config(&json!({}));
        let made = Made::of(Kind::Sandbox, config, root, operator)?;
        let podman = Rc::new(podman);
        let asked = Rc::clone(&podman);
        let names = move || {
            let mut all: Vec<String> = asked.containers().split_whitespace().map(str::to_owned).collect();
            all.sort();
            all
        };
        Ok(Made {
            private: Some("/private".into()),
            places: Some(Box::new(names)),
            // Keeps a container, which lives as long as its place does.
            stays: |line| line.contains("conmon"),
            _keep: Box::new(podman),
            ..made
        })
    }
}

fn own(pair: (&String, &String)) -> (String, String) {
    (pair.0.clone(), pair.1.clone())
}

#[test]
fn podman_keeps_the_contract() {
    contract(&Podman);
}
