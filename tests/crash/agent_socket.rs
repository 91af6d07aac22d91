//! What a process inside a run says becomes rows, each message once, whoever is there to hear it.

use wharf_model::*;

use crate::orchestrator::*;

/// Sends a message over the raw protocol and waits until it is stored.
const SAY: &str = r#"
use IO::Socket::UNIX;
sub say_it {
    my ($id, $kind, $text) = @_;
    my $s = IO::Socket::UNIX->new(Peer => $ENV{WHARF_AGENT_SOCKET}) or die "no socket: $!";
    my $token = $ENV{WHARF_TOKEN};
    print $s qq({"v":1,"token":"$token","message_id":"$id","kind":"$kind","body":{"text":"$text"}}\n);
    $s->flush;
    my $answer = <$s>;
    die "instead of stored: $answer" unless $answer =~ /stored/;
}
sub wait_at { open(my $g, '<', $_[0]) or die $!; my $line = <$g>; }
"#;

fn talker(body: &str) -> String {
    let script = format!("cat > $ROOT/talk.pl <<'END'\n{SAY}\n{body}\nEND\nexec perl $ROOT/talk.pl");
    agent("talker", "", &script)
}

fn comments(site: &Site, run: RunId) -> Vec<String> {
    site.run(run).comments.into_iter().map(|c| c.body).collect()
}

#[test]
fn messages_are_taken_once_also_over_the_death_of_the_orchestrator() {
    let site = Site::plain(&talker(
        "say_it('m1', 'comment', 'before'); wait_at('$ROOT/first'); say_it('m2', 'comment', 'alone'); \
         say_it('m3', 'next_action', 'deploy it'); wait_at('$ROOT/second'); say_it('m4', 'comment', 'after');",
    ));
    site.gate("first");
    site.gate("second");
    let it = site.start();
    let run = site.begin_run("talker");
    site.wait("the first comment", || (comments(&site, run) == ["before"]).then_some(()));
    it.kill();
    // Said while nobody is there.
    site.open_gate("first");
    let gate = site.path("second");
    let open = std::thread::spawn(move || std::fs::File::options().write(true).open(gate).unwrap());
    let held = within("both messages", LIMIT, move || open.join().unwrap());
    let next = site.start();
    site.wait("what was said meanwhile", || {
        (comments(&site, run) == ["before", "alone"] && site.run(run).run.next_action.is_some()).then_some(())
    });
    next.kill();
    let _last = site.start();
    std::io::Write::write_all(&mut &held, b"go\n").unwrap();
    drop(held);
    let row = site.settled(run);
    assert_eq!(row.status, RunStatus::Succeeded, "{:?}", row.error);
    assert_eq!(comments(&site, run), ["before", "alone", "after"], "each once, in order");
    assert_eq!(row.next_action.as_deref(), Some("deploy it"));
    let events = site.events(run);
    let said = |kind: &str| events.iter().filter(|e| e.event_type == kind).count();
    assert_eq!((said("agent.comment"), said("agent.next_action")), (3, 1));
    assert!(site.run(run).comments.iter().all(|c| c.author_type == "agent" && c.author_id == "talker"));
    site.assert_nothing_open("after the end");
}

#[test]
fn a_message_said_just_before_the_end_is_not_lost() {
    let site = Site::plain(&talker("say_it(\"m$_\", 'comment', \"number $_\") for 1..40;"));
    let _it = site.start();
    let run = site.begin_run("talker");
    site.settled(run);
    assert_eq!(comments(&site, run), (1..=40).map(|n| format!("number {n}")).collect::<Vec<_>>());
}

#[test]
fn a_message_with_a_wrong_token_is_not_taken() {
    let site =
        Site::plain(&talker("$ENV{WHARF_TOKEN} = 'guessed'; eval { say_it('m1', 'comment', 'hello') }; print $@;"));
    let _it = site.start();
    let run = site.begin_run("talker");
    let row = site.settled(run);
    assert_eq!(row.status, RunStatus::Succeeded);
    assert_eq!(comments(&site, run), Vec::<String>::new());
}
