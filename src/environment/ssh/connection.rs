//! Ways to a host through the operator's own ssh.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wharf_model::config::driver::SshConfig;

use super::{master, trouble};
use crate::environment::Site;
use crate::environment::transport::{Prefix, Remote, Reply, Trouble};

/// Variables of the operator that ssh and what it starts (agents, proxies, Kerberos) need.
const OPERATOR: &[&str] = &[
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PATH",
    "LANG",
    "TZ",
    "TMPDIR",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
    "PKCS11_PROVIDER_PATH",
];
const OPERATOR_PREFIXES: &[&str] = &["LC_", "SSH_", "XDG_", "KRB5"];

/// Ours whatever the settings say: nothing may ask, and the connection that is shared is our own.
const FIRST: &[&str] = &["BatchMode=yes", "RequestTTY=no", "PermitLocalCommand=no", "RemoteCommand=none"];
/// Ours unless the environment's settings say otherwise.
const THEN: &[&str] = &[
    "StrictHostKeyChecking=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
];

/// How one environment's host is reached.
#[derive(Debug, Clone)]
pub struct Connection {
    config: SshConfig,
    env: BTreeMap<String, String>,
    data: PathBuf,
}

impl Connection {
    /// As the settings and the operator's environment say.
    pub fn new(config: SshConfig, site: &Site) -> Self {
        let wanted =
            |name: &str| OPERATOR.contains(&name) || OPERATOR_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        // Nothing here may ask, so nothing that asks is passed on.
        let asks = |name: &str| name.starts_with("SSH_ASKPASS") || name == "SSH_TTY";
        let env = site
            .operator
            .iter()
            .filter(|(name, _)| wanted(name) && !asks(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Self { config, env, data: site.data.clone() }
    }

    /// Environment of ssh.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Directory of this user's data, which no other has.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The host as the settings name it, with user and port where they say one.
    pub fn host(&self) -> String {
        let user = self.config.user.as_ref().map_or_else(String::new, |user| format!("{user}@"));
        let port = self.config.port.map_or_else(String::new, |port| format!(":{port}"));
        format!("{user}{}{port}", self.config.host)
    }

    /// ssh with all options, up to and without the host.
    pub fn options(&self, control: Option<&Path>) -> Vec<String> {
        let mut argv = vec!["ssh".to_owned(), "-T".to_owned()];
        let mut option = |text: String| argv.extend(["-o".to_owned(), text]);
        for text in FIRST {
            option((*text).to_owned());
        }
        option("ControlMaster=no".into());
        option(match control {
            // "%" begins what ssh replaces.
            Some(path) => format!("ControlPath={}", path.display().to_string().replace('%', "%%")),
            None => "ControlPath=none".into(),
        });
        for (name, value) in &self.config.options {
            option(format!("{name}={value}"));
        }
        for text in THEN {
            option((*text).to_owned());
        }
        if let Some(port) = self.config.port {
            argv.extend(["-p".to_owned(), port.to_string()]);
        }
        if let Some(user) = &self.config.user {
            argv.extend(["-l".to_owned(), user.clone()]);
        }
        argv
    }

    /// The words after the options: the host, which is no option whatever it is called.
    pub fn destination(&self) -> [String; 2] {
        ["--".to_owned(), self.config.host.clone()]
    }

    /// A prefix that connects by itself, or over a shared connection while there is one.
    pub fn prefix(&self, control: Option<&Path>) -> Prefix {
        let mut argv = self.options(control);
        argv.extend(self.destination());
        Prefix { argv, joins: true, env: self.env.clone(), name: self.host() }
    }

    /// A way that connects by itself.
    pub fn direct(&self) -> Remote {
        Remote::new(self.prefix(None), trouble::explain)
    }

    /// A way over the shared connection of a lease, which is made when there is none. Where that cannot be, each
    /// call connects by itself.
    pub async fn shared(&self, lease: &str) -> Result<Remote, Trouble> {
        match master::ensure(self, lease).await {
            Ok(Some(control)) => Ok(Remote::new(self.prefix(Some(&control)), trouble::explain)),
            Ok(None) => Ok(self.direct()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Runs a call over the shared connection of a lease. One that died without anybody noticing is replaced, and
    /// the call made once more: every script of ours can be repeated.
    pub async fn call<T, F>(&self, lease: &str, call: impl Fn(Remote) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let way = self.shared(lease).await?;
        match call(way).await {
            Err(Trouble::Unknown(why)) if !master::is_alive(self, lease).await => {
                master::close(self, lease).await;
                let again = self.shared(lease).await.map_err(|next| match next {
                    Trouble::Unknown(next) => Trouble::Unknown(format!("{next}; before: {why}")),
                    refused @ Trouble::Refused(_) => refused,
                })?;
                call(again).await
            }
            answer => answer,
        }
    }

    /// What ssh makes of the settings, without connecting: `hostname`, `port`, `user` and the rest.
    pub async fn settings(&self) -> Result<BTreeMap<String, String>, Trouble> {
        let mut argv = self.options(None);
        argv.push("-G".into());
        argv.extend(self.destination());
        let reply = master::local(&self.env, &argv).await?;
        if reply.code != 0 {
            return Err(as_refused(&reply, &self.host()));
        }
        let pair = |line: &str| line.split_once(' ').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(reply.text().lines().filter_map(pair).collect())
    }
}

fn as_refused(reply: &Reply, host: &str) -> Trouble {
    match trouble::explain(&reply.err, host) {
        refused @ Trouble::Refused(_) => refused,
        Trouble::Unknown(_) => Trouble::Refused(format!("ssh does not take its settings: {}", reply.complaint())),
    }
}
