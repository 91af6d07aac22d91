//! Control groups: caps of a run, kept by the kernel, and a fence that none of its processes leaves
//! by becoming someone else's child.
//!
//! Only runs with limits have groups, one for each hierarchy that is needed, all of one name and as
//! near to the shim's own group as the kernel allows. Where it does not, the run goes on without and
//! says so: a limit never keeps a run from starting.

mod files;
mod group;
mod left;
mod mounts;
mod oom;
mod place;

pub use group::{Groups, PROCESSORS};
pub(crate) use left::members;
pub use left::{Leftover, Named, leftovers, of_directory, of_lease, remove_leftovers, sweep_named};
pub use mounts::Version;
pub use oom::{Enclosing, Since};
pub use place::{Cap, Place, Places, places};

use wharf_model::shim::ShimKind;

/// What every group's name begins with.
const PREFIX: &str = "wharf-";
/// What the names of a lease's groups begin with: they hold all that runs in its sandbox.
const LEASE: &str = "wharf-lease-";

/// Name of the groups of what a lease holds.
pub fn lease_name(place: &str) -> String {
    format!("{LEASE}{place}")
}

/// Name of the groups of one shim: kind, id and attempt. No other shim has it.
pub fn name(kind: &str, id: &str, n: u32) -> String {
    format!("{PREFIX}{kind}-{id}-{n}")
}

/// Kind, id and attempt, when a name is one that [`name`] makes.
pub fn parse_name(text: &str) -> Option<(ShimKind, &str, u32)> {
    let rest = text.strip_prefix(PREFIX)?;
    let (kind, rest) = rest.split_once('-')?;
    let (id, n) = rest.rsplit_once('-')?;
    uuid::Uuid::parse_str(id).ok().filter(|uuid| uuid.to_string() == id)?;
    let number = n.parse::<u32>().ok().filter(|number| number.to_string() == n)?;
    Some((kind.parse().ok()?, id, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_not() {
        let id = "0197c2a4-0000-7000-8000-000000000001";
        assert_eq!(parse_name(&name("run", id, 3)), Some((ShimKind::Run, id, 3)));
        assert_eq!(parse_name(&name("service", id, 12)).map(|(kind, ..)| kind), Some(ShimKind::Service));
        let upper = name("run", &id.to_uppercase(), 1);
        for other in [
            "",
            "wharf-",
            "wharf-test-x",
            "wharf-run-1",
            &upper,
            &name("other", id, 1),
            &format!("wharf-run-{id}-01"),
            &format!("wharf-run-{id}-"),
            &format!("x{}", name("run", id, 1)),
        ] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }
}
