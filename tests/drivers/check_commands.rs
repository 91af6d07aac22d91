//! Commands: where they run, what reaches them, what comes back.

use std::collections::BTreeMap;

use rustix::process::Signal;
use wharf::environment::driver::{Held, Realised};

use super::bench::Bench;
use super::command::{Command, sh};
use super::leftovers::in_any_argument;

/// A place with a project in it.
fn ready(b: &Bench) -> (Held, Realised) {
    let scene = b.scene();
    let held = b.acquire(&b.ask(&scene));
    let realised = b.realise(&held, &scene.ask());
    (held, realised)
}

pub fn a_command_works_in_its_directory_and_its_code_comes_back(b: &Bench) {
    let (held, realised) = ready(b);
    let at = Some(&realised);
    let pwd = sh("pwd -P").run(b, &held, at);
    let same = pwd.text() == realised.cwd || pwd.text().ends_with(realised.cwd.trim_start_matches('~'));
    b.holds("pwd is the directory that realise told", pwd.code == Some(0) && same, (&pwd, &realised.cwd));
    for code in [0, 3, 255] {
        let ran = sh("exit $1").arg(&code.to_string()).run(b, &held, at);
        b.holds("its exit code comes back", (ran.code, ran.signal) == (Some(code), None), &ran);
        b.holds("nothing is added to its output", ran.out.is_empty() && ran.err.is_empty(), &ran);
    }
    // On this machine it is the shim that finds out.
    if !b.target(&held, at).is_here() {
        let absent = Command::new(&["/no/such/program"]).run(b, &held, at);
        b.holds("a program that is not there", !matches!(absent.code, None | Some(0)), &absent);
        b.holds("what is wrong is said", !absent.err.is_empty(), &absent);
    }
    let cat = Command::new(&["cat"]).input(b"what was asked\nand more").run(b, &held, at);
    b.holds("its input reaches it", cat.out == b"what was asked\nand more", &cat);
    let nothing = Command::new(&["cat"]).run(b, &held, at);
    b.holds("an empty input ends at once", (nothing.code, nothing.out.len()) == (Some(0), 0), &nothing);
    b.release(&held);
}

pub fn a_signal_that_ends_it_ends_what_waits_here(b: &Bench) {
    let (held, realised) = ready(b);
    for signal in [Signal::KILL, Signal::TERM, Signal::SEGV] {
        let ran = sh("kill -$1 $$; sleep 60").arg(&signal.as_raw().to_string()).run(b, &held, Some(&realised));
        // As itself, or where something stands between that has no better way, as shells say it.
        let told = ran.signal == Some(signal.as_raw()) || ran.code == Some(128 + signal.as_raw());
        b.holds(&format!("death by {signal:?} comes back as such"), told, &ran);
    }
    b.release(&held);
}

pub fn words_arrive_as_they_are(b: &Bench) {
    let (held, realised) = ready(b);
    let words = ["", "a b", "it's", "\"$HOME\" `x` \\", "--", "-c", "two\nlines", "ä→字", "*", "~", "a=b;c&d|e>f"];
    let mut command = sh("for word; do printf '%s\\0' \"$word\"; done");
    for word in words {
        command = command.arg(word);
    }
    let ran = command.run(b, &held, Some(&realised));
    let expected: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    b.holds("arguments arrive as they are", ran.out == expected, String::from_utf8_lossy(&ran.out));
    b.release(&held);
}

pub fn bytes_are_the_same_on_both_streams(b: &Bench) {
    let (held, realised) = ready(b);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let bytes: Vec<u8> = (0..1 << 20)
        .map(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 56) as u8
        })
        .collect();
    let script = "mkdir -p build && cat > build/all && { cat build/all & cat build/all >&2; wait; }";
    let ran = sh(script).input(&bytes).run(b, &held, Some(&realised));
    b.holds("it ends well", ran.code == Some(0), (ran.code, ran.signal));
    for (stream, got) in [("stdout", &ran.out), ("stderr", &ran.err)] {
        let first = got.iter().zip(&bytes).position(|(got, sent)| got != sent);
        let seen = (got.len(), bytes.len(), first);
        b.holds(&format!("{stream} is byte-exact (length, expected, first difference)"), *got == bytes, seen);
    }
    b.release(&held);
}

pub fn variables_arrive_and_stand_in_no_argument(b: &Bench) {
    let (held, realised) = ready(b);
    // Not that of a check beside this one, whose engine may have the flaw.
    let hidden = format!("only-for-{}", b.root.path().file_name().unwrap().display());
    let values = [
        ("PLAIN", hidden.as_str()),
        ("QUOTED", "it's \"$HOME\" `x` \\ $(y)"),
        ("LINES", "one\ntwo\n"),
        ("EMPTY", ""),
        ("LETTERS", "ä→字 a=b"),
    ];
    let mut command =
        sh("for name in PLAIN QUOTED LINES EMPTY LETTERS; do eval \"printf '%s\\0' \\\"\\${$name-unset}\\\"\"; done; \
         echo ready; cat > /dev/null");
    for (name, value) in values {
        command = command.var(name, value);
    }
    let wrapped = command.wrap(b, &held, Some(&realised));
    b.holds("no value stands in the arguments", !wrapped.argv.join(" ").contains(&hidden), &wrapped.argv);
    let mut running = command.start(b, &held, Some(&realised));
    running.says(b, "ready");
    let seen = in_any_argument(&hidden);
    let ran = running.end(b);
    b.holds("no process has it in its arguments", seen.is_none(), seen);
    let mut expected: Vec<u8> = values.iter().flat_map(|(_, value)| [value.as_bytes(), b"\0"].concat()).collect();
    expected.extend(b"ready\n");
    b.holds("variables arrive as they are", ran.out == expected, String::from_utf8_lossy(&ran.out));
    b.release(&held);
}

pub fn who_the_operator_is_stays_here(b: &Bench) {
    let (held, realised) = ready(b);
    let target = b.target(&held, Some(&realised));
    let keeps = target.is_here() || target.keeps_identity;
    let ran = Command::new(&["env"]).var("LOGNAME", "set-by-a-config").run(b, &held, Some(&realised));
    let text = ran.text();
    let there: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let home = b.made.operator["HOME"].as_str();
    let seen = there.get("HOME").copied();
    b.holds("HOME is the operator's only where that means something", (seen == Some(home)) == keeps, (&seen, keeps));
    b.holds("what a config sets travels", there.get("LOGNAME") == Some(&"set-by-a-config"), &there);
    let allowed = there.get("LC_CONTRACT").copied() == b.made.operator.get("LC_CONTRACT").map(String::as_str);
    b.holds("what is allowed travels", allowed, &there);
    b.holds("its tag travels", there.contains_key("WHARF_TAG"), &there);
    b.release(&held);
}
