//! What the doctor sees in trashes: what no row knows, which therefore nobody ever removes.

use std::path::Path;
use std::time::Duration;

use wharf_store::Reader;
use wharf_ui::format;

use super::Check;
use crate::gc::strays::{self, Found};

/// Longest time of counting bytes.
const LOOK: Duration = Duration::from_secs(10);

/// One check for each, with the commands that remove it.
pub fn strays(data: &Path) -> Vec<Check> {
    let Ok(reader) = Reader::open(data) else { return Vec::new() };
    let Ok((found, troubles)) = strays::find(&reader, LOOK) else { return Vec::new() };
    let looked = troubles.into_iter().map(|why| {
        Check::warning("trash", why, "what lies there may take room that nobody frees; make it readable for you")
    });
    found.iter().map(told).chain(looked).collect()
}

fn told(found: &Found) -> Check {
    let stray = &found.stray;
    let size = stray.bytes.map_or_else(|| "an unknown size".to_owned(), format::size);
    let whose = match (&found.number, stray.workspace) {
        (Some(number), _) => format!("it was made for {number}"),
        (None, Some(id)) => format!("it was made for workspace {id}, which is not known here"),
        (None, None) => "nothing says whose it is".to_owned(),
    };
    let was = stray.was.as_ref().map_or_else(String::new, |was| format!(", and was {}", was.display()));
    let what = stray.places().join(", ");
    let message = format!("no row knows {what} ({size}): {whose}{was}; nothing of it is ever removed by itself");
    Check::warning("trash", message, format!("look into it; this removes it: {}", stray.removed_by().join(" && ")))
}
