//! `wharf service desired`: where a service is meant to be.

use clap::Args;
use serde_json::json;
use wharf_model::{Desired, Kind};

use super::super::context::Context;
use super::super::desk::{Ask, Desk};
use super::super::docs::ServiceDoc;
use super::super::error::{CliError, Result, exit};
use super::{Document, named, print_line};

/// Which service, and where it is meant to be.
#[derive(Debug, Clone, Args)]
pub struct DesiredArgs {
    /// Its name in the current project, S-2, its id or a part of it
    pub service: String,
    /// running: kept running, started again whenever it ends; stopped: stopped once nobody uses it; manual: neither
    #[arg(value_parser = ["running", "stopped", "manual"])]
    pub state: String,
}

/// Asks for it and tells what follows.
pub fn desired(context: &Context, args: &DesiredArgs) -> Result<u8> {
    let reader = context.reader_for(&args.service)?;
    let item = named(context, &reader, &args.service)?;
    drop(reader);
    let id = item.service.id;
    let starts = args.state == Desired::Running.as_str();
    let mut desk = if starts { Desk::open_to_start(context)? } else { Desk::open(context)? };
    let result = (|| {
        let row = desk.ask(Ask {
            kind: "service.set_desired",
            target_type: "service",
            target_id: Some(id.text()),
            args: json!({ "desired": args.state }),
            expect: None,
        })?;
        let item = desk.reader.service(id)?;
        let note = row.result.as_ref().and_then(|r| r["note"].as_str()).map(str::to_owned);
        item.map(|item| (item, note)).ok_or_else(|| CliError::internal("the service is not in the store any more"))
    })();
    desk.close();
    let (item, note) = result?;
    let number = Kind::Service.number(item.service.number);
    context.remark(&format!("{number} {} is meant to be {}", item.service.name, item.service.desired));
    if let Some(note) = note {
        context.remark(&note);
    }
    if context.global.json {
        context.document(&Document { schema: "wharf.service/1", service: ServiceDoc::new(&item) })?;
    } else {
        print_line(context, &item)?;
    }
    Ok(exit::DONE)
}
