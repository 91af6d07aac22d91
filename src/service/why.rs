//! What the rule that says why a service is as it is has to know beside the row ([`wharf_model::rules::service_why`]).

use std::path::Path;

use wharf_model::rules::service_why::{Around, Need, Other, Why, why};
use wharf_model::{Kind, UnixMillis};
use wharf_store::view::{OtherService, ServiceDetail, ServiceItem};

use crate::config;

/// Reads where it is configured, and puts together what it stands among.
pub fn around(detail: &ServiceDetail, stranger: Option<(u16, String)>, now: UnixMillis) -> Around {
    let item = &detail.item;
    let other = |o: &OtherService| Other { name: named(o), state: o.status.to_string() };
    Around {
        now,
        config: written(detail),
        waits_for: item.waits_for().map(other).collect(),
        needs: needs(item),
        dependents: item.dependents.iter().map(other).collect(),
        stranger,
        users: item.users.iter().map(|u| Kind::Run.number(u.run_number)).collect(),
        last_line: None,
    }
}

/// Services that it needs, as far as they are not well.
pub fn needs(item: &ServiceItem) -> Vec<Need> {
    let ill = item.needs.iter().filter_map(|o| Some((o, o.ill.clone()?)));
    ill.map(|(o, (state, since))| Need { name: named(o), state, since }).collect()
}

/// The page.
pub fn page(detail: &ServiceDetail, stranger: Option<(u16, String)>, now: UnixMillis) -> Why {
    why(&detail.item.service, &around(detail, stranger, now))
}

/// File and line of its `[[service]]`, where its project has one.
pub fn written(detail: &ServiceDetail) -> Option<(String, u64)> {
    let file = Path::new(detail.project_path.as_deref()?).join(config::PROJECT_FILE);
    let line = config::line_of(&file, "service", &detail.item.service.name)?;
    Some((file.display().to_string(), line))
}

/// `S-3 db`.
pub fn named(other: &OtherService) -> String {
    format!("{} {}", Kind::Service.number(other.number), other.name)
}
