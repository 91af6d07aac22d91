//! Identities: a UUID v7 for machines, a short number for people, and how input names either.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The id in its stored form: 36 lower-case characters.
            pub fn text(self) -> String { self.0.hyphenated().to_string() }
            /// The id with only zeros, for rows that stand for nothing.
            pub const NIL: Self = Self(Uuid::nil());
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.hyphenated().fmt(f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.hyphenated())
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, Self::Err> { Uuid::parse_str(s).map(Self) }
        }
        impl $crate::column::Column for $name {
            fn to_cell(&self) -> $crate::column::Cell { $crate::column::Cell::Text(self.text()) }
            fn from_cell(cell: $crate::column::Cell) -> Result<Self, String> {
                let text = <String as $crate::column::Column>::from_cell(cell)?;
                text.parse().map_err(|_| format!("expected a UUID, found {text:?}"))
            }
        }
        impl From<Uuid> for $name { fn from(id: Uuid) -> Self { Self(id) } }
    )+};
}

id! {
    /// A company: the outermost scope of rows.
    CompanyId,
    /// A project: a directory, usually a repository, with its config.
    ProjectId,
    /// An agent of a project.
    AgentId,
    /// An environment runs can lease.
    EnvironmentId,
    /// A lease of an environment.
    LeaseId,
    /// A project workspace: where a project's sources live.
    ProjectWorkspaceId,
    /// An execution workspace: where runs work.
    WorkspaceId,
    /// A snapshot of a workspace.
    SnapshotId,
    /// A recorded workspace operation.
    OperationId,
    /// A runtime service.
    ServiceId,
    /// An issue.
    IssueId,
    /// A comment on an issue.
    CommentId,
    /// A wakeup request.
    WakeupId,
    /// A run.
    RunId,
    /// A request of an operator, script, agent or timer.
    RequestId,
    /// An intended effect.
    ActionId,
    /// A row of the audit trail.
    ActivityId,
}

/// The kinds of rows that carry a number people type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `R-`
    Run,
    /// `L-`
    Lease,
    /// `S-`
    Service,
    /// `W-`
    Workspace,
    /// `E-`
    Environment,
    /// `O-`
    Operation,
    /// `Q-`
    Request,
}

impl Kind {
    /// Every kind with a number.
    pub const ALL: &'static [Self] =
        &[Self::Run, Self::Lease, Self::Service, Self::Workspace, Self::Environment, Self::Operation, Self::Request];

    /// The letter before the dash.
    pub const fn letter(self) -> char {
        match self {
            Self::Run => 'R',
            Self::Lease => 'L',
            Self::Service => 'S',
            Self::Workspace => 'W',
            Self::Environment => 'E',
            Self::Operation => 'O',
            Self::Request => 'Q',
        }
    }

    /// The word used in messages and in rows that name an entity.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Lease => "lease",
            Self::Service => "service",
            Self::Workspace => "workspace",
            Self::Environment => "environment",
            Self::Operation => "operation",
            Self::Request => "request",
        }
    }

    /// Shows a number of this kind: `R-1042`.
    pub fn number(self, n: i64) -> String {
        format!("{}-{n}", self.letter())
    }

    fn of_letter(letter: char) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.letter() == letter.to_ascii_uppercase())
    }
}

/// How input named one row: a number, a whole UUID, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// `R-1042`, with its kind.
    Number(Kind, i64),
    /// An issue: `SHOP-17`.
    Issue {
        /// Project key in capitals.
        key: String,
        /// Number within the project.
        number: i64,
    },
    /// A whole UUID.
    Whole(Uuid),
    /// At least six characters from the beginning or the end of a UUID, in lower case.
    Part(String),
}

/// Input that can name no row at all (`id_malformed`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names nothing: give a number such as R-12, a UUID, or at least six characters of the beginning or end of one"
)]
pub struct MalformedId(pub String);

impl FromStr for Named {
    type Err = MalformedId;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        let bad = || MalformedId(input.to_owned());
        let text = input.trim();
        if let Some((head, tail)) = text.split_once('-')
            && !tail.is_empty()
            && tail.len() <= 18
            && tail.bytes().all(|b| b.is_ascii_digit())
            && head.starts_with(|c: char| c.is_ascii_alphabetic())
        {
            let number: i64 = tail.parse().map_err(|_| bad())?;
            if head.len() == 1 {
                let letter = head.chars().next().ok_or_else(bad)?;
                return Kind::of_letter(letter).map(|k| Self::Number(k, number)).ok_or_else(bad);
            }
            if head.len() <= 10 && head.bytes().all(|b| b.is_ascii_alphanumeric()) {
                // A UUID's first group has eight characters, so `abcdef12-3456` could be either;
                // a project key never reaches into a second dash, a UUID part of this shape would.
                return Ok(Self::Issue { key: head.to_ascii_uppercase(), number });
            }
        }
        let lower = text.to_ascii_lowercase();
        if lower.len() == 36
            && let Ok(id) = Uuid::parse_str(&lower)
        {
            return Ok(Self::Whole(id));
        }
        let is_part = lower.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if lower.len() >= 6 && lower.len() < 36 && is_part {
            return Ok(Self::Part(lower));
        }
        Err(bad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_table() {
        let whole = "019a3e0c-1111-7222-8333-444455556666";
        let table = [
            ("R-12", Ok(Named::Number(Kind::Run, 12))),
            ("r-12", Ok(Named::Number(Kind::Run, 12))),
            ("W-9", Ok(Named::Number(Kind::Workspace, 9))),
            ("shop-17", Ok(Named::Issue { key: "SHOP".into(), number: 17 })),
            (whole, Ok(Named::Whole(Uuid::parse_str(whole).unwrap()))),
            ("556666", Ok(Named::Part("556666".into()))),
            ("5566", Err(MalformedId("5566".into()))),
            ("X-1", Err(MalformedId("X-1".into()))),
            ("R-", Err(MalformedId("R-".into()))),
            ("R-99999999999999999999", Err(MalformedId("R-99999999999999999999".into()))),
            ("", Err(MalformedId(String::new()))),
            ("fix the tests", Err(MalformedId("fix the tests".into()))),
        ];
        for (input, expected) in table {
            assert_eq!(input.parse::<Named>(), expected, "{input}");
        }
    }
}
