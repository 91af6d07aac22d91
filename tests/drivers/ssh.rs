//! The ssh driver against a real sshd on loopback that the test starts, by way of a relay that can be cut.

use std::path::Path;
use std::sync::Arc;

use wharf_model::Driver as Kind;

use super::contract::contract;
use super::sshd::{Host, Relay};
use super::subject::{Made, Reach, Subject, operator};

struct Ssh;

impl Subject for Ssh {
    fn name(&self) -> &'static str {
        "ssh"
    }

    fn make(&self, root: &Path) -> Result<Made, String> {
        let host = Host::start(&root.join("ssh"))?;
        let relay = Arc::new(Relay::start(host.port));
        let config = host.settings(relay.port, &root.join("there"));
        let made = Made::of(Kind::Ssh, config, root, operator(root))?;
        Ok(Made {
            reach: Some(Box::new(Way(Arc::clone(&relay)))),
            stays: |line| line.contains("[mux]") || line.starts_with("sshd"),
            _keep: Box::new((host, relay)),
            ..made
        })
    }
}

#[test]
fn ssh_keeps_the_contract() {
    contract(&Ssh);
}

struct Way(Arc<Relay>);

impl Reach for Way {
    fn cut(&self) {
        self.0.cut(true);
    }

    fn mend(&self) {
        self.0.cut(false);
    }
}
