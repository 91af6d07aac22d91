//! Looking at a host without obtaining anything.

use super::connection::Connection;
use super::master;
use crate::environment::driver::Check;
use crate::environment::transport::{Trouble, last_line, place};

/// What can be said without connecting: ssh is there, and takes the settings.
pub async fn settings(connection: &Connection) -> Vec<Check> {
    let version = match master::local(connection.env(), &["ssh".to_owned(), "-V".to_owned()]).await {
        Ok(reply) => last_line(&reply.err).unwrap_or_else(|| "ssh is there".to_owned()),
        Err(trouble) => {
            return vec![Check::error("ssh", trouble.to_string(), "install OpenSSH's client on this machine")];
        }
    };
    let mut checks = vec![Check::ok("ssh", version)];
    match connection.settings().await {
        Ok(settings) => {
            let get = |name: &str| settings.get(name).map_or("", String::as_str);
            checks.push(Check::ok(
                "settings",
                format!("{} is {}@{} port {}", connection.host(), get("user"), get("hostname"), get("port")),
            ));
            if settings.get("stricthostkeychecking").is_some_and(|strict| strict != "true" && strict != "yes") {
                checks.push(Check::warn(
                    "host_key",
                    "the host's key is not checked strictly",
                    "remove StrictHostKeyChecking from the environment's options",
                ));
            }
        }
        Err(trouble) => checks.push(Check::error("settings", trouble.to_string(), "correct the environment's config")),
    }
    checks
}

/// Connects by itself and looks around.
pub async fn probe(connection: &Connection, path: &str) -> Vec<Check> {
    let mut checks = settings(connection).await;
    if checks.iter().any(|check| check.level == crate::environment::driver::Level::Error) {
        return checks;
    }
    let host = connection.host();
    match place::probe(&connection.direct(), path).await {
        Ok(found) => {
            checks.push(Check::ok("connect", format!("{host} answers, knows this user, and is who it was")));
            checks.extend(found);
        }
        Err(trouble) => checks.push(refused(&trouble, &host)),
    }
    checks
}

/// The check that failed, by what stood in the way.
fn refused(trouble: &Trouble, host: &str) -> Check {
    let words = trouble.to_string();
    // The words say what to do after their first part.
    let (message, hint) = words.split_once("; ").unwrap_or((&words, ""));
    let hint = if hint.is_empty() { format!("see whether ssh {host} works by itself") } else { hint.to_owned() };
    let code = match trouble {
        Trouble::Refused(_) if words.contains("host key") => "host_key",
        Trouble::Refused(_) if words.contains("keys (") => "auth",
        Trouble::Refused(_) | Trouble::Unknown(_) => "connect",
    };
    Check::error(code, message, hint)
}
