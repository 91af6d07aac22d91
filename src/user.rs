//! Who sits at this terminal, for rows that say who asked.

/// Longest name that is kept, in bytes.
const NAME_MAX_BYTES: usize = 64;

/// The operator's login name: from the environment, else from the list of users, else the number.
pub fn name() -> String {
    let fits = |name: &String| !name.is_empty() && name.len() <= NAME_MAX_BYTES;
    let uid = uid();
    ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|variable| std::env::var(variable).ok().filter(fits))
        .or_else(|| listed(&std::fs::read_to_string("/etc/passwd").ok()?, uid).filter(fits))
        .unwrap_or_else(|| format!("uid {uid}"))
}

/// The name of a user of this machine: from the list of users, else the number.
pub fn named(uid: u32) -> String {
    std::fs::read_to_string("/etc/passwd")
        .ok()
        .and_then(|text| listed(&text, uid))
        .filter(|name| !name.is_empty() && name.len() <= NAME_MAX_BYTES)
        .unwrap_or_else(|| format!("uid {uid}"))
}

/// The number of the user that this process works for.
pub fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}

/// The name that a text like `/etc/passwd` has for a user.
fn listed(text: &str, uid: u32) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_number() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\nops:x:1000:1000::/home/ops:/bin/bash\n";
        let table = [(0, Some("root")), (1000, Some("ops")), (7, None)];
        for (uid, expected) in table {
            assert_eq!(listed(text, uid).as_deref(), expected, "{uid}");
        }
    }
}
