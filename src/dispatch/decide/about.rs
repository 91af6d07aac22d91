//! How entities name themselves in the audit trail.

use wharf_model::{CompanyId, IssueRow};
use wharf_model::{EnvironmentRow, Kind, LeaseRow, ProjectRow, RequestRow, RunRow, ServiceRow, WorkspaceRow};

use super::About;

pub(crate) fn run(run: &RunRow) -> About {
    About {
        entity: "run",
        id: run.id.text(),
        number: Some(Kind::Run.number(run.number)),
        company: run.company_id,
        project: Some(run.project_id),
        run: Some(run.id),
    }
}

pub(crate) fn lease(lease: &LeaseRow, project: Option<wharf_model::ProjectId>) -> About {
    About {
        entity: "lease",
        id: lease.id.text(),
        number: Some(Kind::Lease.number(lease.number)),
        company: lease.company_id,
        project,
        run: lease.run_id,
    }
}

pub(crate) fn service(service: &ServiceRow) -> About {
    About {
        entity: "service",
        id: service.id.text(),
        number: Some(Kind::Service.number(service.number)),
        company: service.company_id,
        project: Some(service.project_id),
        run: None,
    }
}

pub(crate) fn workspace(workspace: &WorkspaceRow, run: Option<wharf_model::RunId>) -> About {
    About {
        entity: "workspace",
        id: workspace.id.text(),
        number: Some(Kind::Workspace.number(workspace.number)),
        company: workspace.company_id,
        project: Some(workspace.project_id),
        run,
    }
}

pub(crate) fn environment(environment: &EnvironmentRow) -> About {
    About {
        entity: "environment",
        id: environment.id.text(),
        number: Some(Kind::Environment.number(environment.number)),
        company: environment.company_id,
        project: None,
        run: None,
    }
}

pub(crate) fn project(project: &ProjectRow) -> About {
    About {
        entity: "project",
        id: project.id.text(),
        number: Some(project.key.clone()),
        company: project.company_id,
        project: Some(project.id),
        run: None,
    }
}

pub(crate) fn issue(issue: &IssueRow) -> About {
    About {
        entity: "issue",
        id: issue.id.text(),
        number: Some(issue.identifier.clone()),
        company: issue.company_id,
        project: Some(issue.project_id),
        run: None,
    }
}

pub(crate) fn request(request: &RequestRow, company: CompanyId) -> About {
    About {
        entity: "request",
        id: request.id.text(),
        number: Some(Kind::Request.number(request.number)),
        company,
        project: None,
        run: None,
    }
}
