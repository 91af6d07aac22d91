//! The operator's verbs on environments.

use serde_json::Value;
use wharf_model::{RequestKind, RequestRow};

use super::Deciding;
use crate::dispatch::input::{Actor, Prepared, Refusal};

/// Carries out a verb, or says why not.
pub(crate) fn accept(
    _d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    _kind: RequestKind,
    _prepared: &Prepared,
    _actor: &Actor,
) -> Result<Value, Refusal> {
    Err(Refusal::new("illegal_state", format!("{} is not carried out yet", row.kind)))
}
