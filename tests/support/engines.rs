//! Sites whose runs work behind a driver: each driver that can run here, with what of it exists, asked beside it.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::orchestrator::Site;
use crate::sshd::Host;
use crate::witness::Witness;

/// A driver as an environment of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Local,
    Bubblewrap,
    Ssh,
    Plugin,
}

/// A site with such an environment, called `box`.
pub struct Grounds {
    pub engine: Engine,
    // Before what it needs.
    pub site: Site,
    _host: Option<Host>,
}

impl Engine {
    pub const ALL: [Self; 4] = [Self::Local, Self::Bubblewrap, Self::Ssh, Self::Plugin];

    /// A site with this config; what environments there are is said before it. Scripts find `$ROOT/out` everywhere.
    /// The reason where it cannot be tried here.
    pub fn site(self, more: &str, config: &str) -> Result<Grounds, String> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("out")).unwrap();
        let mut host = None;
        let environment = match self {
            Self::Local => String::new(),
            Self::Plugin if !runs("python3", &["--version"]) => return Err("there is no python3 here".into()),
            Self::Plugin => Witness::environment("box", more),
            Self::Bubblewrap if !runs("bwrap", &["--unshare-pid", "--ro-bind", "/", "/", "true"]) => {
                return Err("bwrap cannot make a sandbox here".into());
            }
            Self::Bubblewrap => format!(
                "[[environment]]\nname = \"box\"\ndriver = \"sandbox\"\n{more}\n[environment.config]\n\
                 provider = \"bubblewrap\"\nmounts = [{{ source = \"$ROOT/out\", writable = true }}]\n"
            ),
            Self::Ssh => {
                let started = Host::start(&root.path().join("ssh"))?;
                let settings = started.settings(started.port, &root.path().join("there"));
                absent(wharf_model::Driver::Ssh, &settings, root.path())?;
                host = Some(started);
                format!(
                    "[[environment]]\nname = \"box\"\ndriver = \"ssh\"\n{more}\n[environment.config]\n{}\n",
                    toml(&settings)
                )
            }
        };
        let site = Site::in_root(root, &format!("{config}{environment}"));
        site.run_git(&["init", "-q", "-b", "main"]);
        site.commit();
        Ok(Grounds { engine: self, site, _host: host })
    }

    /// [`Self::site`], or says that the driver is skipped.
    pub fn site_or_skip(self, more: &str, config: &str) -> Option<Grounds> {
        match self.site(more, config) {
            Ok(grounds) => Some(grounds),
            Err(why) => {
                let name = format!("{self:?}").to_lowercase();
                let _ = writeln!(std::io::stderr(), "SKIPPED: driver {name}: {why}");
                None
            }
        }
    }

    /// What an agent's section says to run there.
    pub const fn of_agent(self) -> &'static str {
        match self {
            Self::Local => "",
            _ => "environment = \"box\"\n",
        }
    }
}

impl Grounds {
    pub fn witness(&self) -> Witness {
        Witness::at(self.site.root.path())
    }

    /// What exists at the provider, as somebody beside the driver sees it; none where only a driver can tell.
    pub fn places(&self) -> Option<Vec<String>> {
        match self.engine {
            Engine::Plugin => Some(self.witness().places()),
            Engine::Local | Engine::Bubblewrap | Engine::Ssh => None,
        }
    }

    pub fn into_site(self) -> Site {
        self.site
    }
}

fn runs(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The members of a JSON object as lines of a table.
fn toml(settings: &serde_json::Value) -> String {
    let line = |(key, value): (&String, &serde_json::Value)| match value.as_object() {
        Some(table) => {
            let all: Vec<String> = table.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            format!("{key} = {{ {} }}", all.join(", "))
        }
        None => format!("{key} = {value}"),
    };
    settings.as_object().unwrap().iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The reason, where this program does not have a driver.
fn absent(driver: wharf_model::Driver, settings: &serde_json::Value, root: &std::path::Path) -> Result<(), String> {
    let site = wharf::environment::Site {
        data: root.join("data"),
        operator: std::sync::Arc::default(),
        program: crate::orchestrator::WHARF.into(),
        base: root.to_owned(),
        plugins: std::sync::Arc::default(),
    };
    match wharf::environment::registry::driver(driver, settings, &site) {
        Err(absent @ wharf::environment::registry::NoDriver::Absent(_)) => Err(absent.to_string()),
        _ => Ok(()),
    }
}
