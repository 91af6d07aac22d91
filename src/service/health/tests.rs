use super::*;

const ASKED: &str = "http://127.0.0.1:1/";

/// What is told of a row of looks, a second apart: G good, a–z bad in that way, - nothing.
fn told(failures: u32, health: Health, looks: &str) -> Vec<(usize, Health, String)> {
    let mut judge = Judge::new(ASKED.to_owned(), failures, health);
    let mut all = Vec::new();
    for (n, look) in looks.chars().enumerate() {
        let look = match look {
            'G' => Look::Good,
            '-' => Look::Nothing,
            why => Look::Bad(format!("{why}{n}")),
        };
        let at = 1_000 * n as i64;
        all.extend(judge.take(&look, at).map(|v| (n, v.health, v.evidence)));
    }
    all
}

#[test]
fn only_changes_are_told() {
    use Health::{Healthy, Unhealthy, Unknown};
    type Told = &'static [(usize, Health, &'static str)];
    let table: [(&str, u32, Health, &str, Told); 11] = [
        ("good stays good", 3, Healthy, "GGGG", &[]),
        ("too few in a row", 3, Healthy, "aaGaaG", &[]),
        ("enough in a row", 3, Healthy, "Gaaa", &[(3, Unhealthy, "a3; 3 looks in a row failed within 2 s")]),
        ("the first counts where one is enough", 1, Healthy, "a", &[(0, Unhealthy, "a0")]),
        ("what goes on is told once", 1, Healthy, "aaaaaaaaa", &[(0, Unhealthy, "a0")]),
        ("another cause soon after is not", 1, Healthy, "abababab", &[(0, Unhealthy, "a0")]),
        (
            "good again",
            2,
            Healthy,
            "aaaG",
            &[
                (1, Unhealthy, "a1; 2 looks in a row failed within 1 s"),
                (3, Healthy, "http://127.0.0.1:1/ is good again after 3 failed looks over 3 s"),
            ],
        ),
        ("looks that were none", 2, Healthy, "a-G-a-", &[]),
        (
            "looks that were none do not break a row",
            2,
            Healthy,
            "a-a",
            &[(2, Unhealthy, "a2; 2 looks in a row failed within 2 s")],
        ),
        ("found unhealthy and good", 3, Unhealthy, "GG", &[(0, Healthy, "http://127.0.0.1:1/ is good")]),
        ("not known before", 3, Unknown, "G", &[(0, Healthy, "http://127.0.0.1:1/ is good")]),
    ];
    for (name, failures, health, looks, expected) in table {
        let expected: Vec<_> = expected.iter().map(|(n, h, e)| (*n, *h, (*e).to_owned())).collect();
        assert_eq!(told(failures, health, looks), expected, "{name}");
    }
}

#[test]
fn another_cause_is_told_after_a_while() {
    let looks = format!("{}b{}c", "a".repeat(70), "b".repeat(10));
    let told: Vec<_> = told(1, Health::Healthy, &looks).into_iter().map(|(n, ..)| n).collect();
    assert_eq!(told, [0, 70], "the third comes too soon after the second");
}

#[test]
fn times_in_words() {
    let table = [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_500, "1 s"),
        (119_000, "119 s"),
        (120_000, "2 min"),
        (7_530_000, "2 h 5 min"),
        (200_000_000, "2 days"),
    ];
    for (ms, words) in table {
        assert_eq!(lasting(ms), words);
    }
}
