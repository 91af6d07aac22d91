//! `run`, `runs`, `logs`, `cancel`, `serve`: with an orchestrator of their own and with another one's.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod cli_common;

use cli_common::{CONFIG, Place};

#[test]
fn a_run_that_is_waited_for_exits_as_its_process_did() {
    let place = Place::new();
    for (agent, code) in [("good", 0), ("three", 3), ("killed", 137), ("missing", 127), ("plain", 126), ("late", 124)] {
        let ended = place.wharf(&["run", agent, "--wait"]).expect(code);
        assert_eq!(ended.out, "", "{agent}: stdout carries data only");
        assert!(ended.err.contains("next:  wharf logs R-"), "{agent}: {}", ended.err);
    }
    // Nothing of them is left open, although each orchestrator lived only as long as its command.
    let leases = place.wharf(&["leases", "--held", "--json"]).expect(0).json();
    assert_eq!(leases["leases"].as_array().unwrap().len(), 0, "{leases}");
    let runs = place.wharf(&["runs", "--json"]).expect(0).json();
    for run in runs["runs"].as_array().unwrap() {
        let has_log = !matches!(run["error_code"].as_str(), Some("command_not_found" | "command_not_executable"));
        assert!(!has_log || run["log_sha256"].is_string(), "{run}");
    }
}

#[test]
fn a_command_inside_a_run_asks_an_orchestrator_and_does_not_become_one() {
    let place = Place::new();
    // What it started would be below that run's shim, and be ended with it.
    let inside = |args: &[&str]| {
        let output = place.command(args).env("WHARF_TAG", "run/of-another/1").output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for args in [&["run", "good"][..], &["serve"][..]] {
        let (code, err) = inside(args);
        assert_eq!(code, Some(4), "{args:?}: {err}");
        assert!(err.contains("run/of-another/1") && err.contains("wharf serve"), "{args:?}: {err}");
    }
    let serving = place.serve();
    let (code, err) = inside(&["run", "good", "--wait"]);
    assert_eq!(code, Some(0), "{err}");
    drop(serving);
    assert_eq!(place.wharf(&["runs", "--json"]).expect(0).json()["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn following_gives_both_streams_byte_for_byte() {
    let place = Place::new();
    for serving in [false, true] {
        let _serving = serving.then(|| place.serve());
        let ended =
            place.wharf_with(&["run", "good", "--follow", "--quiet", "--prompt", "-"], "a\tprompt\r\n").expect(0);
        assert_eq!((ended.out.as_str(), ended.err.as_str()), ("a\tprompt\r\nout", "err"));
        let ended = place.wharf(&["run", "three", "--follow", "-q"]).expect(3);
        assert_eq!((ended.out.as_str(), ended.err.as_str()), ("", "cause\n"));
    }
    assert_eq!(place.wharf(&["logs", "R-1"]).expect(0).out, "a\tprompt\r\nouterr");
    assert_eq!(place.wharf(&["logs", "R-1", "--stdout"]).expect(0).out, "a\tprompt\r\nout");
    assert_eq!(place.wharf(&["logs", "R-1", "--stderr"]).expect(0).out, "err");
    assert_eq!(place.wharf(&["logs", "R-1", "--stdout", "--tail", "1"]).expect(0).out, "out");
    let stamped = place.wharf(&["logs", "R-2", "--timestamps"]).expect(0).out;
    assert!(stamped.ends_with(" stderr cause\n"), "{stamped:?}");
    let lines = place.wharf(&["logs", "R-1", "--json"]).expect(0).json();
    assert_eq!(lines["schema"], "wharf.logs/1");
    assert_eq!(lines["lines"][0]["text"], "a\tprompt\r");
    let followed = place.wharf(&["logs", "R-1", "-f", "--json"]).expect(0).out;
    assert_eq!(followed.lines().count(), lines["lines"].as_array().unwrap().len());
}

#[test]
fn a_prompt_that_nobody_would_read_is_refused_and_makes_no_run() {
    let place = Place::new();
    let more = "[[agent]]\nname = \"deaf\"\nadapter = \"process\"\n[agent.config]\ncommand = \"true\"\nstdin = \"none\"\n\
                [[agent]]\nname = \"told\"\nadapter = \"process\"\n[agent.config]\ncommand = \"cat\"\nstdin = { text = \"own\" }\n";
    place.config(&format!("{CONFIG}\n{more}"));
    for (agent, why) in [("deaf", "its stdin is \"none\""), ("told", "its stdin holds a text of its own")] {
        let refused = place.wharf(&["run", agent, "--prompt", "hello", "--wait"]).expect(4);
        assert!(refused.err.contains(&format!("agent {agent} takes no prompt: {why}")), "{}", refused.err);
        assert!(refused.err.contains("set stdin = \"prompt\" in its [agent.config]"), "{}", refused.err);
    }
    let runs = place.wharf(&["runs", "--json"]).expect(0).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 0, "{runs}");
    place.wharf(&["run", "deaf", "--wait"]).expect(0);
    assert_eq!(place.wharf(&["run", "told", "--follow", "-q"]).expect(0).out, "own");
    // In the config it is a mistake at its line.
    place.config(&format!(
        "{CONFIG}\n{}",
        more.replace("stdin = \"none\"", "stdin = \"none\"\n").replacen(
            "adapter = \"process\"\n",
            "adapter = \"process\"\nprompt = { text = \"hello\" }\n",
            1,
        )
    ));
    let wrong = place.wharf(&["config", "check"]).expect(5);
    assert!(wrong.err.contains("an agent with stdin = \"none\" is sent no prompt"), "{}", wrong.err);
    assert!(wrong.err.contains("prompt = { text = \"hello\" }"), "{}", wrong.err);
}

#[test]
fn a_run_goes_on_without_an_orchestrator_and_the_next_command_finishes_it() {
    let place = Place::new();
    let started = place.wharf(&["run", "slow"]).expect(0);
    assert_eq!(started.out, "R-1\n");
    let runs = place.wharf(&["runs", "--json"]).expect(0).json();
    assert_eq!(runs["runs"][0]["status"], "running");
    assert_eq!(runs["runs"][0]["class"], "alive");
    let cancelled = place.wharf(&["cancel", "r-1", "--grace", "1s", "--json"]).expect(0).json();
    assert_eq!(cancelled["run"]["status"], "cancelled");
    assert_eq!(cancelled["run"]["stop_reason"], "operator");
    assert_eq!(place.wharf(&["logs", "R-1", "-f"]).expect(0).out, "ready\n");
    let again = place.wharf(&["cancel", "R-1"]).expect(4);
    assert!(again.err.starts_with("error: R-1 is cancelled since "), "{}", again.err);
    let again = place.wharf(&["cancel", "R-1", "--json"]).expect(4).error();
    assert_eq!((&again["entity"], &again["hint"]), (&"R-1".into(), &"wharf show R-1".into()));
}

#[test]
fn whoever_waits_for_a_cancelled_run_exits_with_130() {
    let place = Place::new();
    let serving = place.serve();
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| place.wharf(&["run", "slow", "--wait", "--json"]));
        let begun = std::time::Instant::now();
        while place.wharf(&["runs", "status:running", "--json"]).json()["runs"][0]["step"] != "execute" {
            assert!(begun.elapsed().as_secs() < 30, "the run did not start");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        place.wharf(&["cancel", "R-1"]).expect(0);
        waiting.join().unwrap()
    });
    let document = waiting.expect(130).json();
    assert_eq!((&document["schema"], &document["run"]["status"]), (&"wharf.run/1".into(), &"cancelled".into()));
    assert_eq!(serving.end(), Some(143));
}

/// Whether the last reign came to its end in order.
fn let_go_in_order(place: &Place) -> bool {
    let mut writer = wharf_store::Writer::open(&place.data()).unwrap();
    writer.begin_reign().unwrap();
    let well = writer.ended_cleanly();
    writer.end_reign().unwrap();
    well
}

#[test]
fn a_signal_leaves_the_run_going_and_lets_go_in_order() {
    use rustix::process::Signal;
    let place = Place::new();
    for (n, (signal, code)) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)].into_iter().enumerate() {
        let number = format!("R-{}", n + 1);
        let mut child = place
            .command(&["run", "slow", "--follow"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut first).unwrap();
        assert_eq!(first, "ready\n");
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(code), "{signal:?}: {said}");
        assert!(said.contains(&format!("{number} goes on; next:  wharf logs {number} -f")), "{said}");
        assert!(let_go_in_order(&place), "{signal:?}");
        // The next one finds the run alive.
        let cancelled = place.wharf(&["cancel", &number, "--grace", "1s", "--json"]).expect(0).json();
        assert_eq!((&cancelled["run"]["status"], &cancelled["run"]["attempt"]), (&"cancelled".into(), &1.into()));
    }
    let mut command = place.command(&["run", "slow", "--wait", "--json"]);
    let child = command.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while place.wharf(&["runs", "run:R-4", "--json"]).json()["runs"][0]["step"] != "execute" {
        assert!(begun.elapsed().as_secs() < 30, "the run did not start");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = child.wait_with_output().unwrap();
    let error: serde_json::Value = serde_json::from_slice(&ended.stderr).unwrap();
    assert_eq!((ended.status.code(), &error["error"]["code"]), (Some(143), &"interrupted".into()), "{error}");
    assert_eq!(error["error"]["entity"], "R-4");
    assert!(let_go_in_order(&place));
    place.wharf(&["cancel", "R-4", "--grace", "1s"]).expect(0);
}

#[test]
fn a_command_that_waits_for_its_reader_lets_go_in_order_as_well() {
    let place = Place::new();
    let much = "[[agent]]\nname = \"much\"\nadapter = \"process\"\n[agent.config]\ncommand = \"head\"\n\
                args = [\"-c\", \"2000000\", \"/dev/zero\"]\n";
    place.config(&format!("{CONFIG}\n{much}"));
    let mut command = place.command(&["run", "much", "--follow"]);
    // Nobody reads what it prints.
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let begun = std::time::Instant::now();
    loop {
        let runs = place.wharf(&["runs", "--json"]).out;
        if runs.contains("\"succeeded\"") {
            break;
        }
        assert!(begun.elapsed().as_secs() < 30, "{runs}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(child.try_wait().unwrap(), None);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(let_go_in_order(&place));
}

#[test]
fn a_follower_that_nobody_reads_leaves_the_run_going() {
    let place = Place::new();
    for serving in [false, true] {
        let serving = serving.then(|| place.serve());
        let mut child = place
            .command(&["run", "talks", "--follow"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut reader, &mut first).unwrap();
        drop(reader);
        let mut err = child.stderr.take().unwrap();
        let number = if serving.is_some() { "R-2" } else { "R-1" };
        let ended = cli_common::Serving::of(child).wait(std::time::Duration::from_secs(30));
        place.wharf(&["cancel", number, "--grace", "1s"]).expect(0);
        let mut said = String::new();
        std::io::Read::read_to_string(&mut err, &mut said).unwrap();
        assert_eq!((first.as_str(), ended), ("line\n", Some(130)), "{said}");
        assert!(said.contains(&format!("{number} goes on; next:  wharf logs {number} -f")), "{said}");
    }
    let activity = place.wharf(&["activity", "kind:run.started", "--json"]).expect(0).json();
    assert_eq!(activity["activity"].as_array().unwrap().len(), 2);
}

#[test]
fn a_log_with_gaps_says_so_in_its_documents() {
    let place = Place::new();
    place.user_config("[limits]\nrun_log_quota = \"1MiB\"\non_quota = \"head_tail\"\n");
    place.wharf(&["run", "flood", "--wait"]).expect(0);
    let log = place.wharf(&["logs", "R-1", "--json"]).expect(0).json();
    let gaps = log["gaps"].as_array().unwrap();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!((&gaps[0]["kind"], &gaps[0]["stream"]), (&"declared".into(), &"stdout".into()));
    let kept: usize = log["lines"].as_array().unwrap().iter().map(|l| l["text"].as_str().unwrap().len() + 1).sum();
    let missing = usize::try_from(gaps[0]["bytes"].as_u64().unwrap()).unwrap();
    // The two lines that the gap cuts have one line feed between them.
    assert!((4_000_000..=4_000_002).contains(&(kept + missing)), "{kept} + {missing}");
    let followed = place.wharf(&["logs", "R-1", "-f", "--json"]).expect(0).out;
    let lines: Vec<serde_json::Value> = followed.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.iter().filter(|l| l.get("gap").is_some()).count(), 1);
    assert_eq!(lines.len(), log["lines"].as_array().unwrap().len() + 1);
}

#[test]
fn the_log_of_a_lost_run_has_an_end_also_for_who_follows_it() {
    let place = Place::new();
    place.config(&CONFIG.replace("name = \"talks\"\n", "name = \"talks\"\nretry_lost = false\n"));
    place.wharf(&["run", "talks"]).expect(0);
    let live = std::fs::read_dir(place.data().join("live")).unwrap().next().unwrap().unwrap().path();
    let id: serde_json::Value = serde_json::from_slice(&std::fs::read(live.join("id.json")).unwrap()).unwrap();
    let shim = i32::try_from(id["shim"]["pid"].as_i64().unwrap()).unwrap();
    let shim = rustix::process::Pid::from_raw(shim).unwrap();
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
    place.wharf(&["serve", "--until-idle"]).expect(0);
    let run = place.wharf(&["show", "R-1", "--json"]).expect(0).json()["run"].clone();
    assert_eq!(run["status"], "lost", "{run}");
    // What was being written when the shim died.
    let dir = std::fs::read_dir(place.data().join("runs")).unwrap().next().unwrap().unwrap().path();
    let log = dir.join(run["id"].as_str().unwrap()).join("a1/out.000001.wlog");
    std::io::Write::write_all(&mut std::fs::File::options().append(true).open(log).unwrap(), b"WLF1x").unwrap();
    for args in [&["logs", "R-1"][..], &["logs", "R-1", "-f"], &["logs", "R-1", "-f", "--timestamps"]] {
        let ended = place.wharf(args).expect(0);
        assert!(ended.out.contains("line\n"), "{args:?}: {ended:?}");
        assert!(ended.err.contains("ends in the middle of a frame: 5 bytes"), "{args:?}: {ended:?}");
    }
    let gaps = place.wharf(&["logs", "R-1", "--json"]).expect(0).json()["gaps"].clone();
    assert_eq!((&gaps[0]["kind"], &gaps[0]["bytes"]), (&"torn".into(), &5.into()));
}

#[test]
fn nothing_is_started_by_limits_that_nobody_meant() {
    let place = Place::new();
    place.user_config("[limits]\nconcurrent_runs = \"many\"\n");
    for args in [&["run", "good", "--json"][..], &["service", "start", "web", "--json"]] {
        let error = place.wharf(args).expect(5).error();
        assert_eq!(error["code"], "config_invalid", "{args:?}");
    }
    assert!(!place.data().exists());
    place.wharf(&["config", "check"]).expect(5);
    place.wharf(&["config", "show"]).expect(5);
    // What starts nothing goes on, and says so.
    let added = place.wharf(&["project", "add", "--json"]).expect(0);
    let warning: serde_json::Value = serde_json::from_str(&added.err).unwrap();
    assert_eq!(warning["warning"]["code"], "config_invalid");
    place.user_config("[limits]\nconcurrent_runs = 3\n");
    let shown = place.wharf(&["config", "show", "--json"]).expect(0).json();
    let limit = shown["values"].as_array().unwrap().iter().find(|v| v["key"] == "limits.concurrent_runs").unwrap();
    assert_eq!(limit["value"], "3");
    assert!(limit["from"].as_str().unwrap().contains("wharf/config.toml"), "{limit}");
    place.wharf(&["run", "good", "--wait"]).expect(0);
}

#[test]
fn there_is_one_orchestrator() {
    let place = Place::new();
    let serving = place.serve();
    let second = place.wharf(&["serve"]).expect(7);
    assert!(second.err.contains("cause: process "), "{}", second.err);
    assert!(!second.err.contains(" on null"), "{}", second.err);
    drop(serving);
    place.wharf(&["serve", "--until-idle"]).expect(0);
}

#[test]
fn serving_until_idle_ends_with_the_last_run() {
    let place = Place::new();
    place.wharf(&["run", "late"]).expect(0);
    place.wharf(&["serve", "--until-idle"]).expect(0);
    let runs = place.wharf(&["runs", "--json"]).expect(0).json();
    assert_eq!(runs["runs"][0]["status"], "timed_out");
}

#[test]
fn a_broken_pipe_ends_a_list_quietly() {
    let place = Place::new();
    place.wharf(&["run", "good", "--wait"]).expect(0);
    let mut command = place.command(&["logs", "R-1"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).stderr(std::process::Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn refusals_name_the_cause_and_what_to_do() {
    let place = Place::new();
    let unknown = place.wharf(&["run", "godo", "--issue", "SHOP-1"]).expect(3);
    assert!(unknown.err.starts_with("error: no agent is called godo\ncause: this project has good, three"));
    assert!(unknown.err.ends_with("next:  wharf run good --issue SHOP-1\n"), "{}", unknown.err);
    assert_eq!(place.wharf(&["run", "godo", "--json"]).expect(3).error()["code"], "agent_not_found");
    let issue = place.wharf(&["run", "good", "--issue", "SHOP-9", "--json"]).expect(3).error();
    assert_eq!(issue["code"], "issue_not_found");
    let environment = place.wharf(&["run", "good", "--env", "moon", "--json"]).expect(3).error();
    assert_eq!(environment["code"], "environment_not_found");
    assert_eq!(place.wharf(&["runs", "--json"]).expect(0).json()["runs"].as_array().unwrap().len(), 0);

    place.config(&CONFIG.replace("timeout = \"1s\"", "timeout = \"1 secund\""));
    let wrong = place.wharf(&["run", "good"]).expect(5);
    assert!(wrong.err.contains("timeout = \"1 secund\"") && wrong.err.contains("^^^"), "{}", wrong.err);
    place.config("[project]\nkey = \"shop\"\nnaem = \"x\"\n");
    let both = place.wharf(&["config", "check", "--json"]).expect(5).error();
    let both = both["message"].as_str().unwrap();
    assert!(both.contains("wharf.toml:2: ") && both.contains("; wharf.toml:3: "), "{both}");
    std::fs::remove_file(place.project().join("wharf.toml")).unwrap();
    let none = place.wharf(&["run", "good"]).expect(5);
    assert!(none.err.ends_with("next:  wharf init\n"), "{}", none.err);
}

#[test]
fn a_changed_config_waits_until_it_is_accepted() {
    let place = Place::new();
    place.wharf(&["run", "good", "--wait"]).expect(0);
    place.config(&CONFIG.replace("exit 3", "exit 4").replace("\"broken\"", "\"newer\""));
    let old = place.wharf(&["run", "three", "--wait"]).expect(3);
    assert!(old.err.contains("wharf config accept"), "{}", old.err);
    let check = place.wharf(&["config", "check", "--json"]).expect(0).json();
    assert_eq!(check["accepted"], false);
    let accepted = place.wharf(&["config", "accept", "--json"]).expect(0).json();
    assert_eq!(accepted["changed"], true);
    // What was read here was asked for, not whatever the file says when the orchestrator reads it.
    let asked = place.wharf(&["show", "Q-3", "--json"]).expect(0).json()["request"]["args"].clone();
    assert_eq!(asked["executable_hash"], check["executable_hash"]);
    assert_eq!(accepted["executable_hash"], check["executable_hash"]);
    assert!(accepted["changes"].as_array().unwrap().iter().any(|c| c["key"] == "agent.three.config.args"));
    place.wharf(&["run", "three", "--wait"]).expect(4);
    assert_eq!(place.wharf(&["config", "accept", "--json"]).expect(0).json()["changed"], false);
}

#[test]
fn wrong_command_lines() {
    let place = Place::new();
    for args in [
        &["run"][..],
        &["bogus"],
        &["run", "good", "--follow", "--json"],
        &["cancel", "R-1", "--grace", "soon"],
        &["runs", "--nonsense"],
        &["logs", "R-1", "--stdout", "--stderr"],
    ] {
        let ended = place.wharf(args).expect(2);
        assert!(ended.out.is_empty() && !ended.err.is_empty(), "{args:?}: {ended:?}");
    }
    assert_eq!(place.wharf(&["bogus", "--json"]).expect(2).error()["code"], "usage");
    let console = place.wharf(&[]).expect(2);
    assert!(console.err.starts_with("error: the console needs a terminal"), "{}", console.err);
}
