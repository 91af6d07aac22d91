//! Which environment a run gets, and why: the one rule, with an account of everything it looked at.

use serde::{Deserialize, Serialize};

use crate::words;

words! {
    /// Who may say in which environment a run works; the first one that says something decides.
    pub enum Rule {
        /// The request that asked for the run.
        Request = "request",
        /// The workspace that the run goes on in: it stays where it was made.
        Workspace = "workspace",
        /// The settings of its issue.
        Issue = "issue",
        /// `default_environment` of its project.
        Project = "project",
        /// `environment` of its agent.
        Agent = "agent",
        /// The company's own: this machine.
        Company = "company",
    }
}

impl Rule {
    /// In words, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Request => "the request",
            Self::Workspace => "the workspace it goes on in",
            Self::Issue => "its issue",
            Self::Project => "the project",
            Self::Agent => "the agent",
            Self::Company => "the company's default",
        }
    }
}

/// What one of them says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// This environment, as it is written there.
    Environment(String),
    /// The default, whoever else says something.
    Default,
    /// Nothing; with the reason.
    Nothing(String),
}

/// One of them, and where it stands: a row (`W-7`, `SHOP-17`) or a key of the config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Who.
    pub rule: Rule,
    /// Row or key.
    pub from: String,
    /// What.
    pub says: Says,
}

words! {
    /// What became of one of them.
    pub enum Verdict { Chosen = "chosen", Silent = "silent", Overruled = "overruled" }
}

/// One of them, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// What it says.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// What became of it.
    pub verdict: Verdict,
}

/// The choice with its account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Who decided.
    pub rule: Rule,
    /// What was chosen, as it is written there; none is the company's own.
    pub environment: Option<String>,
    /// All that were looked at, in their order.
    pub looked_at: Vec<Looked>,
}

/// Chooses. The order of `candidates` has no meaning; of several with one rule the first counts. Without any that says
/// something it is the company's own.
pub fn choose(mut candidates: Vec<Candidate>) -> Explanation {
    candidates.sort_by_key(|c| c.rule);
    candidates.dedup_by_key(|c| c.rule);
    if candidates.last().is_none_or(|c| c.rule != Rule::Company) {
        candidates.push(Candidate { rule: Rule::Company, from: "company".into(), says: Says::Default });
    }
    let decides = candidates.iter().position(|c| !matches!(c.says, Says::Nothing(_))).unwrap_or(candidates.len() - 1);
    let rule = candidates[decides].rule;
    let environment = match &candidates[decides].says {
        Says::Environment(name) => Some(name.clone()),
        Says::Default | Says::Nothing(_) => None,
    };
    let looked_at = candidates
        .into_iter()
        .enumerate()
        .map(|(at, candidate)| {
            let verdict = match (&candidate.says, at == decides) {
                (_, true) => Verdict::Chosen,
                (Says::Nothing(_), false) => Verdict::Silent,
                (Says::Environment(_) | Says::Default, false) => Verdict::Overruled,
            };
            Looked { candidate, verdict }
        })
        .collect();
    Explanation { rule, environment, looked_at }
}

impl Explanation {
    /// Each one in a line for people: who, where, what it says, what became of it.
    pub fn lines(&self) -> Vec<(String, String, String)> {
        let decided = self.rule.words();
        let line = |looked: &Looked| {
            let Candidate { rule, from, says } = &looked.candidate;
            let said = match says {
                Says::Environment(name) => name.clone(),
                Says::Default => "the company's default".to_owned(),
                Says::Nothing(why) => why.clone(),
            };
            let verdict = match looked.verdict {
                Verdict::Chosen => "decides".to_owned(),
                Verdict::Silent => String::new(),
                Verdict::Overruled => format!("passed over: {decided} goes before it"),
            };
            let who = rule.words();
            (who.to_owned(), format!("{from}: {said}"), verdict)
        };
        self.looked_at.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(rule: Rule) -> Candidate {
        Candidate { rule, from: rule.to_string(), says: Says::Environment(format!("of {rule}")) }
    }

    fn silent(rule: Rule) -> Candidate {
        Candidate { rule, from: rule.to_string(), says: Says::Nothing("not set".into()) }
    }

    #[test]
    fn the_first_that_says_something_decides() {
        // Each rule in turn decides over all behind it, whatever order they are given in.
        for (at, &first) in Rule::ALL.iter().enumerate() {
            let mut candidates: Vec<Candidate> =
                Rule::ALL.iter().enumerate().map(|(i, r)| if i < at { silent(*r) } else { named(*r) }).collect();
            candidates.reverse();
            let chosen = choose(candidates);
            assert_eq!((chosen.rule, chosen.environment), (first, Some(format!("of {first}"))));
            let verdicts: Vec<Verdict> = chosen.looked_at.iter().map(|l| l.verdict).collect();
            let wanted: Vec<Verdict> = (0..Rule::ALL.len())
                .map(|i| match i.cmp(&at) {
                    std::cmp::Ordering::Less => Verdict::Silent,
                    std::cmp::Ordering::Equal => Verdict::Chosen,
                    std::cmp::Ordering::Greater => Verdict::Overruled,
                })
                .collect();
            assert_eq!(verdicts, wanted, "{first}");
        }
    }

    #[test]
    fn a_workspace_that_was_made_in_the_default_stays_there() {
        let workspace = Candidate { rule: Rule::Workspace, from: "W-7".into(), says: Says::Default };
        let chosen = choose(vec![workspace, named(Rule::Agent), named(Rule::Project)]);
        assert_eq!((chosen.rule, chosen.environment), (Rule::Workspace, None));
    }

    #[test]
    fn without_anybody_it_is_the_companys_own() {
        for candidates in [vec![], vec![silent(Rule::Agent), silent(Rule::Company)]] {
            let chosen = choose(candidates);
            assert_eq!((chosen.rule, chosen.environment), (Rule::Company, None));
            assert_eq!(chosen.looked_at.last().unwrap().verdict, Verdict::Chosen);
        }
    }

    #[test]
    fn the_account_names_rows_and_reasons() {
        let lines = choose(vec![named(Rule::Issue), named(Rule::Agent), silent(Rule::Request)]).lines();
        let text: Vec<String> = lines.iter().map(|(a, b, c)| format!("{a} | {b} | {c}")).collect();
        assert_eq!(
            text,
            [
                "the request | request: not set | ",
                "its issue | issue: of issue | decides",
                "the agent | agent: of agent | passed over: its issue goes before it",
                "the company's default | company: the company's default | passed over: its issue goes before it",
            ]
        );
    }

    #[test]
    fn it_comes_back_from_its_row() {
        let chosen = choose(vec![named(Rule::Issue), silent(Rule::Request)]);
        let json = serde_json::to_value(&chosen).unwrap();
        assert_eq!(json["looked_at"][1]["verdict"], "chosen");
        assert_eq!(serde_json::from_value::<Explanation>(json).unwrap(), chosen);
    }
}
