//! What a command can fail with: what, which, cause, next, and the exit code that scripts see.

use serde_json::{Value, json};
use wharf_store::StoreError;
use wharf_store::view::{CANDIDATES, NotFound};

use crate::config::{harmless, shortened};

/// Exit codes of every command (contracts 9).
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// A defect, or something unforeseen.
    pub const INTERNAL: u8 = 1;
    /// Wrong command line or filter.
    pub const USAGE: u8 = 2;
    /// Nothing has that name, or several things have.
    pub const NOT_FOUND: u8 = 3;
    /// Not allowed in this state.
    pub const REFUSED: u8 = 4;
    /// The config is wrong or not accepted.
    pub const CONFIG: u8 = 5;
    /// The store cannot be used.
    pub const STORE: u8 = 6;
    /// No answer in time.
    pub const NO_ANSWER: u8 = 7;
    /// Done, but the thing itself failed or is not ready.
    pub const THING_FAILED: u8 = 8;
    /// A confirmation was needed and not given.
    pub const NOT_CONFIRMED: u8 = 9;
}

/// Letters of a message; names that people gave stand in them.
const TOLD: usize = 1_000;

/// A failed command, with the parts that are told.
#[derive(Debug, Clone)]
pub struct CliError(Box<Parts>);

/// What is told of a failed command.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Exit code.
    pub exit: u8,
    /// Stable code, as in `--json`.
    pub code: String,
    /// What failed, naming the entity.
    pub message: String,
    /// Why.
    pub cause: Option<String>,
    /// What to do, as commands that can be copied or in words.
    pub next: Vec<String>,
    /// The entity it is about.
    pub entity: Option<String>,
    /// The whole text for people, where it has a form of its own (a marked line of a file).
    pub text: Option<String>,
}

impl CliError {
    /// An error with its parts still to be added.
    pub fn new(exit: u8, code: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            exit,
            code: code.to_owned(),
            message: shortened(&message.into(), TOLD),
            cause: None,
            next: Vec::new(),
            entity: None,
            text: None,
        }))
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, "usage", message)
    }

    /// Something unforeseen.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(exit::INTERNAL, "internal", message)
    }

    /// Adds the cause.
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(shortened(&cause.into(), 4 * TOLD));
        self
    }

    /// Adds something to do.
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }

    /// Adds the entity.
    pub fn entity(mut self, entity: impl Into<String>) -> Self {
        self.entity = Some(shortened(&entity.into(), TOLD));
        self
    }

    /// Gives it a form of its own for people.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Takes the answer of a refused or failed request.
    pub fn answer(code: Option<&str>, message: Option<&str>) -> Self {
        let code = code.unwrap_or("internal");
        let message = message.unwrap_or("the request was refused without a reason");
        let error = Self::new(exit_of(code), code, message);
        // What is wrong in a file comes with the place marked.
        if message.starts_with("error: ") { error.text(message) } else { error }
    }

    /// The object that `--json` prints.
    pub fn json(&self) -> Value {
        let hint = (!self.next.is_empty()).then(|| self.next.join("; "));
        let message = match &self.cause {
            Some(cause) => format!("{}: {cause}", self.message),
            None => self.message.clone(),
        };
        json!({ "error": { "code": self.code, "message": message, "entity": self.entity, "hint": hint } })
    }

    /// The lines for people.
    pub fn human(&self) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        let mut lines = vec![format!("error: {}", harmless(&self.message))];
        if let Some(cause) = &self.cause {
            let cause: Vec<String> = cause.lines().map(harmless).collect();
            lines.push(format!("cause: {}", cause.join("\n       ")));
        }
        for (n, next) in self.next.iter().enumerate() {
            lines.push(format!("{}{}", if n == 0 { "next:  " } else { "       " }, harmless(next)));
        }
        lines.join("\n")
    }
}

impl std::ops::Deref for CliError {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl std::ops::DerefMut for CliError {
    fn deref_mut(&mut self) -> &mut Parts {
        &mut self.0
    }
}

/// The exit code that goes with an error code.
pub fn exit_of(code: &str) -> u8 {
    match code {
        "internal" => exit::INTERNAL,
        "usage" | "id_malformed" => exit::USAGE,
        "id_unknown" | "id_ambiguous" | "project_ambiguous" => exit::NOT_FOUND,
        "config_invalid" | "config_not_accepted" => exit::CONFIG,
        "stale_epoch" | "disk_full" => exit::STORE,
        "request_expired" | "orchestrator_absent" | "timeout" => exit::NO_ANSWER,
        "service_start_failed"
        | "service_not_ready"
        | "port_in_use"
        | "lease_release_failed"
        | "lease_acquire_failed"
        | "lease_cleanup_failed"
        | "workspace_cleanup_failed"
        | "workspace_snapshot_failed"
        | "workspace_restore_failed"
        | "probe_failed" => exit::THING_FAILED,
        code if code.starts_with("store_") => exit::STORE,
        code if code.ends_with("_not_found") => exit::NOT_FOUND,
        _ => exit::REFUSED,
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let code = error.code();
        let all = error.to_string();
        // Messages of the store name path and cause, then after a semicolon what to do.
        match all.split_once("; ") {
            Some((message, next)) => Self::new(exit_of(code), code, message).next(next),
            None => Self::new(exit_of(code), code, all),
        }
    }
}

impl From<NotFound> for CliError {
    fn from(error: NotFound) -> Self {
        match error {
            NotFound::Store(error) => error.into(),
            NotFound::Unknown(name) => {
                Self::new(exit::NOT_FOUND, "id_unknown", format!("nothing here is called {name}"))
                    .cause("it is no number, id or part of an id of any row in this store")
                    .next("wharf runs    wharf leases    wharf services    wharf workspaces")
                    .entity(name)
            }
            NotFound::Ambiguous { named, candidates } => {
                let list: Vec<String> =
                    candidates.iter().map(|c| format!("{} ({} {})", c.label, c.kind, c.id)).collect();
                let more = if candidates.len() < CANDIDATES { "" } else { " or more" };
                Self::new(exit::NOT_FOUND, "id_ambiguous", format!("{named} names {} rows{more}", candidates.len()))
                    .cause(format!("it could be {}", list.join(", ")))
                    .next("give a number, or more characters of the id")
                    .entity(named)
            }
        }
    }
}

/// The result of every part of a command.
pub type Result<T> = std::result::Result<T, CliError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_their_exits() {
        let table = [
            ("agent_not_found", 3),
            ("id_ambiguous", 3),
            ("id_malformed", 2),
            ("illegal_state", 4),
            ("changed_since_preview", 4),
            ("config_not_accepted", 5),
            ("store_newer", 6),
            ("store_missing", 6),
            ("request_expired", 7),
            ("environment_not_found", 3),
            ("environment_inactive", 4),
            ("probe_failed", 8),
            ("lease_acquire_failed", 8),
            ("internal", 1),
        ];
        for (code, wanted) in table {
            assert_eq!(exit_of(code), wanted, "{code}");
        }
    }

    #[test]
    fn names_that_were_given_are_harmless_and_short() {
        let name = format!("a\u{1b}[31m\nb{}", "x".repeat(70_000));
        let error = CliError::new(exit::NOT_FOUND, "id_unknown", format!("nothing is called {name}")).entity(name);
        let (human, json) = (error.human(), error.json().to_string());
        assert!(human.lines().count() == 1 && !human.contains('\u{1b}'), "{human}");
        assert!(human.len() < 2_000 && json.len() < 4_000);
    }

    #[test]
    fn four_parts_for_people_and_one_object_for_programs() {
        let error = CliError::new(exit::NOT_FOUND, "agent_not_found", "no agent is called fixr")
            .cause("this project has fixer")
            .next("wharf run fixer");
        assert_eq!(
            error.human(),
            "error: no agent is called fixr\ncause: this project has fixer\nnext:  wharf run fixer"
        );
        let keys: Vec<String> = error.json()["error"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["code", "entity", "hint", "message"]);
    }
}
