//! From what people type to the one row it names.

use rusqlite::Connection;
use serde::Serialize;
use uuid::Uuid;
use wharf_model::column::Row;
use wharf_model::*;

use crate::{Reader, StoreError};

words! {
    /// Kinds of rows that input can name.
    pub enum EntityKind {
        Run = "run",
        Lease = "lease",
        Service = "service",
        Workspace = "workspace",
        Environment = "environment",
        Operation = "operation",
        Request = "request",
        Issue = "issue",
        Agent = "agent",
        Project = "project",
    }
}

impl EntityKind {
    /// Table, expression for what people call a row, and whether the last characters of ids are indexed.
    const fn table(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::Run => (RunRow::TABLE, "'R-' || number", true),
            Self::Lease => (LeaseRow::TABLE, "'L-' || number", true),
            Self::Service => (ServiceRow::TABLE, "'S-' || number", false),
            Self::Workspace => (WorkspaceRow::TABLE, "'W-' || number", false),
            Self::Environment => (EnvironmentRow::TABLE, "'E-' || number", false),
            Self::Operation => (OperationRow::TABLE, "'O-' || number", true),
            Self::Request => (RequestRow::TABLE, "'Q-' || number", true),
            Self::Issue => (IssueRow::TABLE, "identifier", true),
            Self::Agent => (AgentRow::TABLE, "name", false),
            Self::Project => (ProjectRow::TABLE, "key", false),
        }
    }
}

impl From<Kind> for EntityKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Run => Self::Run,
            Kind::Lease => Self::Lease,
            Kind::Service => Self::Service,
            Kind::Workspace => Self::Workspace,
            Kind::Environment => Self::Environment,
            Kind::Operation => Self::Operation,
            Kind::Request => Self::Request,
        }
    }
}

/// A row that input named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its kind.
    pub kind: EntityKind,
    /// Its key.
    pub id: Uuid,
    /// What people call it: `R-12`, `SHOP-17`, an agent's name, a project's key.
    pub label: String,
}

/// Input that names no row, or several.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    /// Nothing has this name.
    #[error("{0} names nothing in this store; a list shows what there is")]
    Unknown(String),
    /// Several rows have it.
    #[error("{named} names {}; give a number, or more characters", labels(.candidates))]
    Ambiguous {
        /// What was given.
        named: String,
        /// What it could mean, at most sixteen rows.
        candidates: Vec<Found>,
    },
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NotFound {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "id_unknown",
            Self::Ambiguous { .. } => "id_ambiguous",
            Self::Store(error) => error.code(),
        }
    }
}

fn labels(candidates: &[Found]) -> String {
    candidates.iter().map(|c| format!("{} ({} {})", c.label, c.kind, c.id)).collect::<Vec<_>>().join(", ")
}

/// Candidates that an ambiguous name lists; so many stand for at least as many.
pub const CANDIDATES: usize = 16;

impl Reader {
    /// The one row that input names; with `only`, of this kind.
    pub fn resolve(&self, named: &Named, only: Option<EntityKind>) -> Result<Found, NotFound> {
        let kinds: Vec<EntityKind> = only.map_or_else(|| EntityKind::ALL.to_vec(), |kind| vec![kind]);
        let mut found = self.read(|conn| {
            let mut found = Vec::new();
            for kind in kinds {
                found.extend(search(conn, kind, named)?);
                if found.len() > CANDIDATES {
                    break;
                }
            }
            Ok(found)
        })?;
        found.truncate(CANDIDATES);
        let shown = || match named {
            Named::Number(kind, n) => kind.number(*n),
            Named::Issue { key, number } => format!("{key}-{number}"),
            Named::Whole(id) => id.to_string(),
            Named::Part(part) => part.clone(),
        };
        match found.len() {
            0 => Err(NotFound::Unknown(shown())),
            1 => Ok(found.remove(0)),
            _ => Err(NotFound::Ambiguous { named: shown(), candidates: found }),
        }
    }

    /// The agent of this name in a project.
    pub fn agent_named(&self, project: ProjectId, name: &str) -> Result<Option<AgentRow>, StoreError> {
        self.read(|conn| {
            let rows = crate::load::rows(
                conn,
                "WHERE project_id = ?1 AND name = ?2 AND status <> 'archived' LIMIT 1",
                (project.text(), name),
            )?;
            Ok(rows.into_iter().next())
        })
    }

    /// The environment of this name in a company.
    pub fn environment_named(&self, company: CompanyId, name: &str) -> Result<Option<EnvironmentRow>, StoreError> {
        self.read(|conn| {
            let rows = crate::load::rows(
                conn,
                "WHERE company_id = ?1 AND name = ?2 AND status <> 'deleted' ORDER BY status, number LIMIT 1",
                (company.text(), name),
            )?;
            Ok(rows.into_iter().next())
        })
    }
}

fn search(conn: &Connection, kind: EntityKind, named: &Named) -> rusqlite::Result<Vec<Found>> {
    let (table, label, tail_index) = kind.table();
    let ask = |condition: &str, value: &str| -> rusqlite::Result<Vec<Found>> {
        let limit = CANDIDATES + 1;
        let sql = format!("SELECT id, {label} FROM {table} WHERE {condition} ORDER BY rowid DESC LIMIT {limit}");
        conn.prepare_cached(&sql)?
            .query_map([value], |row| {
                let id = super::column::<RunId>(row, 0)?;
                Ok(Found { kind, id: id.0, label: row.get(1)? })
            })?
            .collect()
    };
    match named {
        Named::Number(of, n) if EntityKind::from(*of) == kind => ask("number = CAST(?1 AS INTEGER)", &n.to_string()),
        Named::Issue { key, number } if kind == EntityKind::Issue => ask("identifier = ?1", &format!("{key}-{number}")),
        Named::Whole(id) => ask("id = ?1", &id.hyphenated().to_string()),
        Named::Part(part) => {
            // Every id below `part` + '~' begins with it: hexadecimal digits and dashes sort before.
            let mut found = ask("id >= ?1 AND id < ?1 || '~'", part)?;
            let tail = if tail_index {
                "substr(id, -6) = substr(?1, -6) AND substr(id, -length(?1)) = ?1"
            } else {
                "substr(id, -length(?1)) = ?1"
            };
            for row in ask(tail, part)? {
                if !found.contains(&row) {
                    found.push(row);
                }
            }
            Ok(found)
        }
        Named::Number(..) | Named::Issue { .. } => Ok(Vec::new()),
    }
}
