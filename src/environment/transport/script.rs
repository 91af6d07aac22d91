//! Scripts as they travel: over standard input, so that no word of them stands in an argument.

/// What runs there first, in any login shell: reads one line and takes it for a script.
///
/// No quote but double ones, no line end, no exclamation mark: it stands in single quotes of a shell that may be
/// no Bourne shell.
pub const BOOT: &str = r#"IFS= read -r s && eval "$(printf %b "$s")""#;

/// Line that a script says before anything else: what comes before it is noise of the host, and without it
/// nothing was done there.
pub const BEGIN: &str = "@wharf begins@";

/// Quotes a word for a Bourne shell.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A text as one line that `printf %b` turns back into it.
pub fn one_line(text: &str) -> String {
    text.replace('\\', r"\\").replace('\n', r"\n")
}

/// The line that makes [`BOOT`] run a script with these arguments.
pub fn encode(parts: &[&str], args: &[&str]) -> Vec<u8> {
    let mut text = format!("printf '%s\\n' '{BEGIN}'\nset --");
    for arg in args {
        text.push(' ');
        text.push_str(&quote(arg));
    }
    for part in parts {
        text.push('\n');
        text.push_str(part);
    }
    let mut line = one_line(&text).into_bytes();
    line.push(b'\n');
    line
}

/// Variables as shell text in one line: what a script evaluates to have them. Names that no shell can set are
/// left out.
pub fn exports<'a>(env: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<u8> {
    let text: String = env
        .into_iter()
        .filter(|(name, _)| can_be_set(name))
        .map(|(name, value)| format!("export {name}={}\n", quote(value)))
        .collect();
    let mut line = one_line(&text).into_bytes();
    line.push(b'\n');
    line
}

/// Whether a shell can set a variable of this name; some belong to the shell itself.
fn can_be_set(name: &str) -> bool {
    const OF_THE_SHELL: &[&str] =
        &["PPID", "UID", "EUID", "GROUPS", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO", "IFS", "OPTIND"];
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !OF_THE_SHELL.contains(&name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn run(parts: &[&str], args: &[&str], input: &[u8]) -> String {
        let mut child =
            Command::new("sh").args(["-c", BOOT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&encode(parts, args)).unwrap();
        stdin.write_all(input).unwrap();
        drop(stdin);
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        said.strip_prefix(&format!("{BEGIN}\n")).unwrap().to_owned()
    }

    #[test]
    fn arguments_and_input_arrive_as_they_are() {
        let odd = "a 'b' \"c\" $d `e` \\n \\\\ %s ü\n-f";
        assert_eq!(run(&["printf '%s|' \"$@\"", "cat"], &[odd, "", "-n"], b"rest\n"), format!("{odd}||-n|rest\n"));
    }

    #[test]
    fn variables_arrive_as_they_are() {
        let value = "two\nlines 'q' \\t \\ $HOME";
        let env: BTreeMap<String, String> =
            [("A", value), ("not-a-name", "x"), ("UID", "7")].map(|(k, v)| (k.into(), v.into())).into();
        let script = "IFS= read -r v; eval \"$(printf %b \"$v\")\"; sh -c 'printf %s \"$A\"'";
        assert_eq!(run(&[script], &[], &exports(&env)), value);
    }
}
