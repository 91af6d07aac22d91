//! The sandbox driver with each of its providers.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use wharf_model::Driver as Kind;

use super::contract::contract;
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
