//! What is known of a place on a host, and its name.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::environment::transport::place::Made;

/// Facts of a place, as they stand on its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    host: String,
    hostname: String,
    port: u16,
    made: Made,
    lease: String,
}

impl Facts {
    /// Of a place that was made, with what ssh makes of the settings.
    pub fn new(host: &str, settings: &BTreeMap<String, String>, made: Made, lease: &str) -> Self {
        let hostname = settings.get("hostname").cloned().unwrap_or_else(|| host.to_owned());
        let port = settings.get("port").and_then(|port| port.parse().ok()).unwrap_or(22);
        Self { host: host.to_owned(), hostname, port, made, lease: lease.to_owned() }
    }

    /// Its name: no two places that exist have the same.
    pub fn url(&self) -> String {
        let host = if self.hostname.contains(':') { format!("[{}]", self.hostname) } else { self.hostname.clone() };
        format!("ssh://{}@{host}:{}{}", self.made.user, self.port, self.made.dir)
    }

    /// As JSON.
    pub fn value(&self) -> Value {
        json!({
            "host": self.host,
            "hostname": self.hostname,
            "port": self.port,
            "user": self.made.user,
            "dir": self.made.dir,
            "uname": self.made.uname,
            "node": self.made.hostname,
            "home": self.made.home,
            "made_for": self.lease,
        })
    }
}

/// The directory of a place by its name, else by its facts.
pub fn dir_of(facts: &Value, id: &str) -> Option<String> {
    let named = || {
        let rest = id.strip_prefix("ssh://")?;
        let dir = &rest[rest.find('/')?..];
        dir.contains("/leases/").then(|| dir.to_owned())
    };
    named().or_else(|| facts["dir"].as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_where_the_directory_is() {
        let made = Made {
            dir: "/home/me/wharf/leases/1".into(),
            uname: "Linux".into(),
            user: "me".into(),
            hostname: "box".into(),
            home: "/home/me".into(),
        };
        let settings = BTreeMap::from([("hostname".into(), "10.0.0.7".into()), ("port".into(), "2222".into())]);
        let facts = Facts::new("box", &settings, made, "1");
        assert_eq!(facts.url(), "ssh://me@10.0.0.7:2222/home/me/wharf/leases/1");
        assert_eq!(dir_of(&Value::Null, &facts.url()).as_deref(), Some("/home/me/wharf/leases/1"));
        assert_eq!(dir_of(&facts.value(), ""), dir_of(&Value::Null, &facts.url()));
        assert_eq!(dir_of(&Value::Null, "ssh://me@box:22"), None);
        assert_eq!(dir_of(&Value::Null, "bubblewrap:3"), None);
    }
}
