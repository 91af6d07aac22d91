//! Services beside their lines: why, runs, and the port board.

use wharf_model::rules::service_why::why;
use wharf_model::{Kind, RunStatus, ServiceId};
use wharf_store::StoreError;
use wharf_store::view::ServiceRun as RunOf;
use wharf_ui::glyph::Class;
use wharf_ui::rows::{PortBoard, ServiceDetail, ServiceLine, ServiceRun};

use super::Asking;
use crate::service::why as about;

impl Asking<'_> {
    pub(super) fn service_detail(&self, id: ServiceId) -> Result<Option<ServiceDetail>, StoreError> {
        let Some(detail) = self.reader.service_detail(id)? else { return Ok(None) };
        let stranger = self.scope.services.strangers().remove(&detail.item.service.number);
        let around = about::around(&detail, stranger, self.now);
        Ok(Some(ServiceDetail {
            why: why(&detail.item.service, &around),
            runs: detail.runs.iter().map(run).collect(),
            written: around.config,
        }))
    }

    /// The board over all companies: a machine has its ports once.
    pub(super) fn ports(&self) -> Result<PortBoard, StoreError> {
        let ports = self.reader.service_ports()?;
        Ok(PortBoard { rows: self.scope.services.board(ports) })
    }

    /// Tells in lines who has a port that they want.
    pub(super) fn with_strangers(&self, lines: &mut [ServiceLine]) {
        let mut strangers = self.scope.services.strangers();
        for line in lines {
            line.stranger = strangers.remove(&line.number).map(|(port, who)| format!("{who} on port {port}"));
        }
    }
}

/// How a run stands, as far as its status says it.
const fn state(status: RunStatus) -> (Class, &'static str) {
    match status {
        RunStatus::Queued | RunStatus::ScheduledRetry => (Class::Waits, "queued"),
        RunStatus::Running => (Class::Alive, "running"),
        RunStatus::Succeeded => (Class::Good, "done"),
        RunStatus::Failed => (Class::Bad, "failed"),
        RunStatus::Cancelled => (Class::Chosen, "cancelled"),
        RunStatus::TimedOut => (Class::Bad, "timed out"),
        RunStatus::Lost => (Class::Bad, "lost"),
    }
}

fn run(run: &RunOf) -> ServiceRun {
    let names = [Some(Kind::Run.number(run.number)), run.agent.clone(), run.issue.clone()];
    let (class, word) = state(run.status);
    ServiceRun {
        name: names.into_iter().flatten().collect::<Vec<_>>().join(" "),
        class,
        word: word.to_owned(),
        since: run.since,
        // A run leaves its services with its end.
        until: (!run.uses).then(|| run.finished_at.unwrap_or(run.since)),
        reused: run.reused,
    }
}
