//! Rows for the tests of rules.

use uuid::Uuid;

use crate::*;

/// A service of a project that has never run.
pub(super) fn service() -> ServiceRow {
    let zero = UnixMillis(0);
    let project = ProjectRow {
        id: ProjectId(Uuid::from_u128(2)),
        company_id: CompanyId(Uuid::from_u128(1)),
        key: "SHOP".into(),
        name: "shop".into(),
        path: "/shop".into(),
        git_common_dir: None,
        issue_counter: 0,
        config_hash: None,
        config: None,
        accepted_executable_hash: None,
        accepted_by: None,
        accepted_at: None,
        pending_executable_hash: None,
        pending_config: None,
        default_environment: None,
        removed_at: None,
        version: 1,
        created_at: zero,
        updated_at: zero,
    };
    ServiceRow { version: 3, ..ServiceRow::new(ServiceId(Uuid::from_u128(3)), 1, &project, "db", zero) }
}
