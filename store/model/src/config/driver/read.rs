//! Reading the settings of a driver: strict, and every mistake at its place.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    DriverConfig, Invalid, Mount, Network, PluginConfig, SandboxConfig, SandboxLimits, SandboxProvider, SshConfig,
};
use crate::Driver;

/// Time that a call of a plugin may take when nothing is said.
const PLUGIN_TIMEOUT_MS: u64 = 300_000;
/// The longest that can be said: a day.
const PLUGIN_TIMEOUT_MAX_MS: u64 = 86_400_000;

pub(super) fn read(driver: Driver, config: &Value) -> Result<DriverConfig, Vec<Invalid>> {
    let empty = Map::new();
    let mut table = match config {
        Value::Object(map) => Table::new(map, ""),
        Value::Null => Table::new(&empty, ""),
        _ => return Err(vec![invalid("", "the config is no table", "expected keys and values")]),
    };
    let read = match driver {
        Driver::Local => Some(DriverConfig::Local),
        Driver::Ssh => ssh(&mut table).map(DriverConfig::Ssh),
        Driver::Sandbox => sandbox(&mut table).map(DriverConfig::Sandbox),
        Driver::Plugin => plugin(&mut table).map(DriverConfig::Plugin),
    };
    table.close();
    match read {
        Some(read) if table.wrong.is_empty() => Ok(read),
        _ => Err(table.wrong),
    }
}

fn ssh(t: &mut Table<'_>) -> Option<SshConfig> {
    let host = t.needed_word("host", "the name of a host, as in \"box-1\"");
    let port = t.number("port", 1, 65_535).map(|port| port as u16);
    let user = t.word("user", "the name of a user");
    let path = t.text("path").unwrap_or_else(|| "~/wharf".to_owned());
    let inside = path.strip_prefix("~/").or_else(|| path.strip_prefix('/'));
    if inside.is_none_or(|rest| rest.is_empty() || rest.split('/').any(|part| part == "..")) {
        t.fail("path", format!("{path:?} is no directory of our own on the host"), "expected \"/…\" or \"~/…\"");
    }
    if path.contains(['\n', '\0']) {
        t.fail("path", "the path holds a line end".to_owned(), "expected one line");
    }
    let options = t.texts("options");
    for name in options.keys() {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
            t.fail(
                &format!("options.{name}"),
                "no option of ssh is called so".to_owned(),
                "expected a name of ssh_config",
            );
        }
    }
    Some(SshConfig { host: host?, port, user, path, options })
}

fn sandbox(t: &mut Table<'_>) -> Option<SandboxConfig> {
    let provider = t.choice("provider", SandboxProvider::ALL, SandboxProvider::as_str, true);
    let image = t.text("image");
    let network = t.network();
    let user = t.text("user");
    let env = t.texts("env");
    for name in env.keys() {
        if !is_variable(name) {
            t.fail(
                &format!("env.{name}"),
                "no variable can be called so".to_owned(),
                "expected letters, digits and \"_\"",
            );
        }
    }
    let mounts = t.mounts();
    let limits = t.limits();
    let provider = provider?;
    match (provider.is_container(), &image) {
        (true, None) => t.fail("image", format!("{provider} needs an image"), "expected as in \"debian:13\""),
        (true, Some(image)) if image.starts_with('-') || image.contains(char::is_whitespace) => {
            t.fail("image", format!("{image:?} is no image"), "expected as in \"debian:13\"");
        }
        (false, Some(_)) => {
            t.fail("image", format!("{provider} takes no image"), "remove it, or choose podman or docker");
        }
        _ => {}
    }
    if !provider.is_container() && user.is_some() {
        t.fail("user", format!("{provider} keeps the user as it is"), "remove it, or choose podman or docker");
    }
    if user.as_ref().is_some_and(|u| u.starts_with('-') || u.contains(char::is_whitespace)) {
        t.fail("user", "this is no user".to_owned(), "expected name, uid or uid:gid");
    }
    let network = network.unwrap_or(if provider.is_container() { Network::Private } else { Network::None });
    if !provider.is_container() && network == Network::Private {
        t.fail("network", format!("{provider} has no network of its own"), "expected \"none\" or \"host\"");
    }
    Some(SandboxConfig { provider, image, mounts, network, user, limits, env })
}

fn plugin(t: &mut Table<'_>) -> Option<PluginConfig> {
    let command = match t.take("command") {
        Some(Value::String(program)) if !program.trim().is_empty() => Some(vec![program.clone()]),
        Some(Value::Array(words)) if !words.is_empty() => {
            let all: Option<Vec<String>> = words.iter().map(|w| w.as_str().map(str::to_owned)).collect();
            all.filter(|all| !all[0].trim().is_empty())
        }
        _ => None,
    };
    if command.is_none() {
        t.fail("command", "a plugin needs a command".to_owned(), "expected \"./my-plugin\" or a list of words");
    }
    let driver = t.needed_word("driver", "the key of one of its drivers, as in \"pool\"");
    if driver
        .as_ref()
        .is_some_and(|d| !d.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c)))
    {
        t.fail(
            "driver",
            "no driver is called so".to_owned(),
            "expected lower-case letters, digits, \".\", \"_\" and \"-\"",
        );
    }
    let config = t.take("config").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    if !config.is_object() {
        t.fail("config", "the plugin's config is no table".to_owned(), "expected keys and values");
    }
    let timeout_ms = match t.take("timeout") {
        None => Some(PLUGIN_TIMEOUT_MS),
        Some(value) => value.as_str().and_then(duration_ms).or_else(|| value.as_u64()),
    };
    let timeout_ms = timeout_ms.filter(|ms| (1..=PLUGIN_TIMEOUT_MAX_MS).contains(ms));
    if timeout_ms.is_none() {
        t.fail("timeout", "this is no time for a call".to_owned(), "expected \"1s\" to \"24h\"");
    }
    Some(PluginConfig { command: command?, driver: driver?, config, timeout_ms: timeout_ms? })
}

/// A duration in the file's words: `90s`, `5m`, `250ms`.
fn duration_ms(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// A size in the file's words: `64MiB`, `2GiB`, or bytes.
fn size_bytes(value: &Value) -> Option<u64> {
    let Some(text) = value.as_str() else { return value.as_u64() };
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn is_variable(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn invalid(path: &str, message: impl Into<String>, expected: &str) -> Invalid {
    Invalid { path: path.to_owned(), message: message.into(), expected: expected.to_owned() }
}

/// A table that is read key by key; what nobody took is unknown.
struct Table<'a> {
    map: &'a Map<String, Value>,
    at: String,
    taken: Vec<&'a str>,
    wrong: Vec<Invalid>,
}

impl<'a> Table<'a> {
    fn new(map: &'a Map<String, Value>, at: &str) -> Self {
        Self { map, at: at.to_owned(), taken: Vec::new(), wrong: Vec::new() }
    }

    fn path(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    fn fail(&mut self, key: &str, message: String, expected: &str) {
        let path = self.path(key);
        self.wrong.push(Invalid { path, message, expected: expected.to_owned() });
    }

    fn take(&mut self, key: &'a str) -> Option<&'a Value> {
        self.taken.push(key);
        self.map.get(key)
    }

    fn text(&mut self, key: &'a str) -> Option<String> {
        let value = self.take(key)?;
        let text = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        if text.is_none() {
            self.fail(key, format!("{value} is no text"), "expected words in quotes");
        }
        text
    }

    /// A text that stands as one word in a command line, where it must not look like an option.
    fn word(&mut self, key: &'a str, expected: &str) -> Option<String> {
        let text = self.text(key)?;
        if text.starts_with('-') || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.fail(key, format!("{text:?} cannot be used"), &format!("expected {expected}"));
            return None;
        }
        Some(text)
    }

    fn needed_word(&mut self, key: &'a str, expected: &str) -> Option<String> {
        if !self.map.contains_key(key) {
            self.fail(key, format!("{key} is missing"), &format!("expected {expected}"));
        }
        self.word(key, expected)
    }

    fn number(&mut self, key: &'a str, least: u64, most: u64) -> Option<u64> {
        let value = self.take(key)?;
        let number = value.as_u64().filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.fail(key, format!("{value} cannot be used"), &format!("expected a number from {least} to {most}"));
        }
        number
    }

    fn choice<T: Copy>(
        &mut self,
        key: &'a str,
        all: &[T],
        word: impl Fn(T) -> &'static str,
        needed: bool,
    ) -> Option<T> {
        let expected = all.iter().map(|one| format!("{:?}", word(*one))).collect::<Vec<_>>().join(", ");
        let expected = format!("expected one of {expected}");
        let Some(value) = self.take(key) else {
            if needed {
                self.fail(key, format!("{key} is missing"), &expected);
            }
            return None;
        };
        let found = value.as_str().and_then(|text| all.iter().copied().find(|one| word(*one) == text));
        if found.is_none() {
            self.fail(key, format!("{value} is not known"), &expected);
        }
        found
    }

    fn network(&mut self) -> Option<Network> {
        match self.map.get("network") {
            Some(Value::Bool(on)) => {
                self.take("network");
                Some(if *on { Network::Host } else { Network::None })
            }
            _ => self.choice("network", Network::ALL, Network::as_str, false),
        }
    }

    fn texts(&mut self, key: &'a str) -> BTreeMap<String, String> {
        let Some(value) = self.take(key) else { return BTreeMap::new() };
        let Some(map) = value.as_object() else {
            self.fail(key, format!("{value} is no table"), "expected names with texts");
            return BTreeMap::new();
        };
        let mut all = BTreeMap::new();
        for (name, value) in map {
            match value.as_str().filter(|text| !text.contains(['\n', '\0'])) {
                Some(text) => {
                    all.insert(name.clone(), text.to_owned());
                }
                None => {
                    self.fail(&format!("{key}.{name}"), format!("{value} is no text"), "expected one line in quotes");
                }
            }
        }
        all
    }

    fn mounts(&mut self) -> Vec<Mount> {
        let Some(value) = self.take("mounts") else { return Vec::new() };
        let Some(list) = value.as_array() else {
            self.fail("mounts", format!("{value} is no list"), "expected { source = \"…\", target = \"…\" }");
            return Vec::new();
        };
        let mut all = Vec::new();
        for (at, value) in list.iter().enumerate() {
            let place = format!("mounts.{at}");
            let Some(map) = value.as_object() else {
                self.fail(&place, format!("{value} is no mount"), "expected { source = \"…\", target = \"…\" }");
                continue;
            };
            let mut table = Table::new(map, &place);
            let source = table.text("source");
            let target = table.text("target").or_else(|| source.clone());
            let writable = match table.take("writable") {
                None => false,
                Some(Value::Bool(on)) => *on,
                Some(other) => {
                    table.fail("writable", format!("{other} is neither true nor false"), "expected true or false");
                    false
                }
            };
            if source.is_none() {
                table.fail("source", "a mount needs a source".to_owned(), "expected a directory of this machine");
            }
            if target
                .as_ref()
                .is_some_and(|t| !t.starts_with('/') || t.split('/').any(|part| part == "..") || t.contains([':', ',']))
            {
                table.fail("target", "the place inside must be absolute".to_owned(), "expected \"/…\"");
            }
            table.close();
            self.wrong.append(&mut table.wrong);
            if let (Some(source), Some(target)) = (source, target) {
                all.push(Mount { source, target, writable });
            }
        }
        all
    }

    fn limits(&mut self) -> SandboxLimits {
        let Some(value) = self.take("limits") else { return SandboxLimits::default() };
        let Some(map) = value.as_object() else {
            self.fail("limits", format!("{value} is no table"), "expected { memory = \"2GiB\", processes = 200 }");
            return SandboxLimits::default();
        };
        let mut table = Table::new(map, "limits");
        let processes = table.number("processes", 1, 4_194_304);
        let memory_bytes = table.take("memory").and_then(|value| {
            let bytes = size_bytes(value).filter(|bytes| *bytes >= 4 << 20);
            if bytes.is_none() {
                table.fail("memory", format!("{value} is no size"), "expected 4MiB or more, as in \"2GiB\"");
            }
            bytes
        });
        let cpus = table.take("cpus").and_then(|value| {
            let cpus = value.as_f64().filter(|cpus| *cpus > 0.0 && *cpus <= 4_096.0);
            if cpus.is_none() {
                table.fail("cpus", format!("{value} is no number of processors"), "expected as in 1.5");
            }
            cpus
        });
        table.close();
        self.wrong.append(&mut table.wrong);
        SandboxLimits { memory_bytes, processes, cpus }
    }

    fn close(&mut self) {
        let unknown: Vec<&String> = self.map.keys().filter(|key| !self.taken.contains(&key.as_str())).collect();
        for key in unknown {
            let expected = if self.taken.is_empty() {
                "this driver has no settings".to_owned()
            } else {
                format!("expected one of {}", self.taken.join(", "))
            };
            self.fail(key, format!("{key:?} is not known here"), &expected);
        }
    }
}
