//! How a command is wrapped to run in a place: an argv, a directory, a way to pass variables.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Variables that say who and where this machine's user is; they mean nothing in a place that does not share
/// its files, and do not travel there unless a config sets them.
const IDENTITY: &[&str] = &["PATH", "HOME", "PWD", "OLDPWD", "SHELL", "USER", "LOGNAME", "SSH_AUTH_SOCK"];
const IDENTITY_PREFIXES: &[&str] = &["TMP", "TEMP", "XDG_"];

/// Variable of the wrapping command: the time between SIGTERM and force that what it wraps has, in milliseconds.
pub const GRACE_VARIABLE: &str = "WHARF_GRACE_MS";
/// Member of [`Target::block`] that is filled in with the same, where a driver put it there.
pub const GRACE_MEMBER: &str = "grace_ms";

/// How the variables of a command reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvPass {
    /// The wrapping command has them and what it starts inherits them.
    Inherited,
    /// The wrapping command has them, and each is named in its arguments after this word.
    ByName(String),
    /// In the first line of its standard input: JSON `{"env": {…}, "target": …}`. Nothing else of them is
    /// in the wrapping command's own environment.
    Stdin,
}

/// How the directory of a command is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CwdPass {
    /// The wrapping command starts in it.
    Local,
    /// It follows this word in the arguments; the wrapping command starts in a directory of this machine.
    Flag(String),
}

/// A directory of this machine and what it is called in the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Here.
    pub here: String,
    /// There.
    pub there: String,
}

/// How a command is wrapped. Plain data: no secret stands in it but in [`Target::block`].
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Words before the options that [`Target::wrap`] adds; empty on this machine.
    pub head: Vec<String>,
    /// Words between those options and the command.
    pub tail: Vec<String>,
    /// Words that give the command a terminal; none when it cannot have one.
    pub tty: Option<Vec<String>>,
    /// How the directory is told.
    pub cwd: CwdPass,
    /// How variables are passed.
    pub env: EnvPass,
    /// Directories that have another name there, the longest first.
    pub dirs: Vec<Mapping>,
    /// Whether variables of this machine's identity mean something there.
    pub keeps_identity: bool,
    /// Variables that the place sets: over those of the operator's allow-list and under what a config or wharf
    /// sets for the command. No secret.
    pub set: BTreeMap<String, String>,
    /// Variables of the operator that the wrapping command itself needs.
    pub own_env: BTreeMap<String, String>,
    /// With [`EnvPass::Stdin`]: what the wrapping command must know and no argument may hold.
    pub block: Value,
    /// Values in `block` that must never be shown.
    pub redact: Vec<String>,
}

impl Default for Target {
    /// This machine.
    fn default() -> Self {
        Self {
            head: Vec::new(),
            tail: Vec::new(),
            tty: Some(Vec::new()),
            cwd: CwdPass::Local,
            env: EnvPass::Inherited,
            dirs: Vec::new(),
            keeps_identity: true,
            set: BTreeMap::new(),
            own_env: BTreeMap::new(),
            block: Value::Null,
            redact: Vec::new(),
        }
    }
}

/// A command as it is to run in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside<'a> {
    /// Program and arguments.
    pub argv: &'a [String],
    /// Directory there.
    pub cwd: &'a str,
    /// Variables that it gets from the operator's allow-list.
    pub allowed: &'a BTreeMap<String, String>,
    /// Variables that a config or wharf sets.
    pub own: &'a BTreeMap<String, String>,
    /// It has a terminal.
    pub tty: bool,
    /// A directory of this machine to start the wrapping command in.
    pub here: &'a str,
}

/// The command of this machine that runs it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Directory on this machine.
    pub cwd: String,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Line that comes before everything else on its standard input, with its line end.
    pub first_line: Option<String>,
}

impl Target {
    /// Whether it is this machine as it is.
    pub fn is_here(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }

    /// What a path of this machine is called there.
    pub fn map_path(&self, path: &str) -> String {
        for dir in &self.dirs {
            if let Some(rest) = path.strip_prefix(&dir.here)
                && (rest.is_empty() || rest.starts_with('/'))
            {
                return format!("{}{rest}", dir.there);
            }
        }
        path.to_owned()
    }

    /// Wraps a command. No value of a variable stands in the arguments.
    pub fn wrap(&self, inside: &Inside<'_>) -> Wrapped {
        if self.is_here() {
            let mut env = inside.allowed.clone();
            env.extend(inside.own.clone());
            return Wrapped { argv: inside.argv.to_vec(), cwd: inside.cwd.to_owned(), env, first_line: None };
        }
        let mut there: BTreeMap<String, String> =
            inside.allowed.iter().filter(|(name, _)| self.keeps_identity || !is_identity(name)).map(own).collect();
        there.extend(self.set.iter().map(own));
        there.extend(inside.own.iter().map(own));
        let mut argv = self.head.clone();
        if inside.tty {
            argv.extend(self.tty.clone().unwrap_or_default());
        }
        let cwd = match &self.cwd {
            CwdPass::Local => inside.cwd.to_owned(),
            CwdPass::Flag(word) => {
                argv.push(word.clone());
                argv.push(inside.cwd.to_owned());
                inside.here.to_owned()
            }
        };
        let mut first_line = None;
        let env = match &self.env {
            EnvPass::Inherited => {
                let mut env = self.own_env.clone();
                env.extend(there);
                env
            }
            EnvPass::ByName(word) => {
                for name in there.keys() {
                    argv.push(word.clone());
                    argv.push(name.clone());
                }
                let mut env = inside.allowed.clone();
                env.extend(self.own_env.clone());
                env.extend(there);
                env
            }
            EnvPass::Stdin => {
                first_line = Some(format!("{}\n", json!({ "env": there, "target": self.block })));
                let mut env = inside.allowed.clone();
                env.extend(self.own_env.clone());
                env
            }
        };
        argv.extend(self.tail.clone());
        argv.extend_from_slice(inside.argv);
        Wrapped { argv, cwd, env, first_line }
    }
}

fn own(pair: (&String, &String)) -> (String, String) {
    (pair.0.clone(), pair.1.clone())
}

fn is_identity(name: &str) -> bool {
    IDENTITY.contains(&name) || IDENTITY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn no_value_of_a_variable_stands_in_an_argument() {
        let (allowed, own) = (map(&[("PATH", "/here/bin"), ("LANG", "C")]), map(&[("KEY", "hidden-value")]));
        let argv = words(&["make", "test"]);
        let inside = Inside { argv: &argv, cwd: "/there", allowed: &allowed, own: &own, tty: false, here: "/" };
        for env in [EnvPass::ByName("--env".into()), EnvPass::Stdin, EnvPass::Inherited] {
            let target = Target {
                head: words(&["wrap", "run"]),
                tail: words(&["box", "--"]),
                cwd: CwdPass::Flag("--cwd".into()),
                env,
                keeps_identity: false,
                ..Target::default()
            };
            let wrapped = target.wrap(&inside);
            assert!(!wrapped.argv.join(" ").contains("hidden-value"), "{wrapped:?}");
            assert!(wrapped.argv.ends_with(&words(&["box", "--", "make", "test"])), "{wrapped:?}");
            assert!(wrapped.argv.starts_with(&words(&["wrap", "run", "--cwd", "/there"])), "{wrapped:?}");
        }
    }

    #[test]
    fn identity_stays_here_unless_a_config_sets_it() {
        let allowed = map(&[("HOME", "/home/me"), ("LANG", "C"), ("XDG_RUNTIME_DIR", "/run/me")]);
        let own = map(&[("HOME", "/work")]);
        let target = Target { head: words(&["wrap"]), env: EnvPass::Stdin, keeps_identity: false, ..Target::default() };
        let argv = words(&["env"]);
        let inside = Inside { argv: &argv, cwd: "/", allowed: &allowed, own: &own, tty: false, here: "/" };
        let line = target.wrap(&inside).first_line.unwrap_or_default();
        let told: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(told["env"], json!({ "HOME": "/work", "LANG": "C" }));
    }

    #[test]
    fn what_a_place_sets_stands_between_the_operator_and_the_command() {
        let allowed = map(&[("TMPDIR", "/var/mine"), ("LANG", "C")]);
        let target = Target {
            head: words(&["wrap"]),
            set: map(&[("TMPDIR", "/tmp"), ("MODE", "box"), ("LANG", "en")]),
            ..Target::default()
        };
        let (argv, own) = (words(&["env"]), map(&[("MODE", "agent")]));
        let inside = Inside { argv: &argv, cwd: "/", allowed: &allowed, own: &own, tty: false, here: "/" };
        let expected = map(&[("TMPDIR", "/tmp"), ("MODE", "agent"), ("LANG", "en")]);
        assert_eq!(target.wrap(&inside).env, expected);
    }

    #[test]
    fn paths_are_mapped_at_whole_names() {
        let dirs = vec![Mapping { here: "/a/b".into(), there: "/w".into() }];
        let target = Target { dirs, ..Target::default() };
        assert_eq!(target.map_path("/a/b/c"), "/w/c");
        assert_eq!(target.map_path("/a/bc"), "/a/bc");
        assert_eq!(target.map_path("/a/b"), "/w");
    }
}
