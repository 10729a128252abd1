//! What state was made with and what a plan would make it with now -> keep, migrate or reset, step by step. Pure.
//!
//! A step's state is made from that of the steps before it (windows number the keys, features look back over windows,
//! models weigh features, alerts read forecasts), so resetting a step resets those made from it too.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::vocab::MadeWith;

/// How the steps of tables are called: `table.sites`.
pub const TABLE_PREFIX: &str = "table.";
/// Hex digits kept of a hash.
const HASH_DIGITS: usize = 16;

/// What a step's state was made with, as it is saved beside the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The step.
    pub step: String,
    /// Hash of what gives the state its meaning.
    meaning: String,
    /// Hash of settings under which the state may go on although they changed.
    settings: String,
}

/// A stateful step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatefulStep {
    /// What its state is made with.
    pub identity: Identity,
    /// Steps whose state it is made from.
    pub made_from: Vec<String>,
    /// Whether it only shapes what the steps after it make their state of, and has none itself.
    pub stateless: bool,
    /// Whether the user accepts that it changed: what was made from it goes on.
    pub accepted: bool,
}

impl StatefulStep {
    /// A step and the steps that its state is made from.
    #[must_use]
    pub fn new(made_with: &MadeWith, made_from: Vec<String>) -> Self {
        let hash = |text: &str| blake3::hash(text.as_bytes()).to_hex()[..HASH_DIGITS].to_owned();
        let identity = Identity {
            step: made_with.step.clone(),
            meaning: hash(&made_with.meaning),
            settings: hash(&made_with.settings),
        };
        Self { identity, made_from, stateless: false, accepted: false }
    }

    /// A step that has no state of its own, for those whose state is made from its results.
    #[must_use]
    pub fn stateless(made_with: &MadeWith, accepted: bool) -> Self {
        Self { stateless: true, accepted, ..Self::new(made_with, Vec::new()) }
    }
}

/// What becomes of a step's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It stays as it is.
    Keep,
    /// It stays and goes on under other settings.
    Migrate,
    /// It is forgotten.
    Reset,
    /// There is none yet.
    Start,
}

impl Decision {
    /// The word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Migrate => "migrate",
            Self::Reset => "reset",
            Self::Start => "start",
        }
    }
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Nothing changed.
    Unchanged,
    /// The file has the step now and did not have it before.
    New,
    /// Settings changed that leave the state its meaning.
    Settings,
    /// Its state would mean something else.
    Meaning,
    /// The file no longer has the step.
    Gone,
    /// The user asked for it.
    Asked,
    /// It is made from the state of this step, which is reset.
    MadeFrom(String),
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged => formatter.write_str("unchanged"),
            Self::New => formatter.write_str("new in the file"),
            Self::Settings => formatter.write_str("settings changed; the state goes on under the new ones"),
            Self::Meaning => formatter.write_str("changed; the state would mean something else"),
            Self::Gone => formatter.write_str("no longer in the file"),
            Self::Asked => formatter.write_str("asked for"),
            Self::MadeFrom(step) => write!(formatter, "made from `{step}`, which is reset"),
        }
    }
}

/// What becomes of one step's state, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepDecision {
    /// The step.
    pub step: String,
    /// What becomes of it.
    pub decision: Decision,
    /// Why.
    pub why: Why,
    /// Whether state would be forgotten that nobody asked to forget.
    pub refused: bool,
}

/// A decision per step of the plan in its order, then per step that only the saved state has. `asked`: steps that the
/// user resets.
#[must_use]
pub fn decide(saved: &[Identity], plan: &[StatefulStep], asked: impl Fn(&str) -> bool) -> Vec<StepDecision> {
    // Steps that are reset, and those of them that are covered by what was asked for.
    let (mut reset, mut covered) = (BTreeSet::new(), BTreeSet::new());
    let mut decisions = Vec::new();
    for step in plan {
        let name = step.identity.step.as_str();
        let before = saved.iter().find(|identity| identity.step == name);
        let own = match before {
            _ if asked(name) => Why::Asked,
            None => Why::New,
            Some(before) if before.meaning != step.identity.meaning && !step.accepted => Why::Meaning,
            Some(before) if *before != step.identity => Why::Settings,
            Some(_) => Why::Unchanged,
        };
        // Steps come in the order the data flows: what this one is made from has been decided.
        let from = step.made_from.iter().find(|from| reset.contains(from.as_str()));
        if own == Why::Asked || step.made_from.iter().any(|from| covered.contains(from.as_str())) {
            covered.insert(name);
        }
        let (decision, why) = match (own, from) {
            (why @ (Why::Asked | Why::Meaning), _) => (Decision::Reset, why),
            (Why::New, _) => (Decision::Start, Why::New),
            (_, Some(from)) => (Decision::Reset, Why::MadeFrom(from.clone())),
            (Why::Settings, None) => (Decision::Migrate, Why::Settings),
            (why, None) => (Decision::Keep, why),
        };
        if decision == Decision::Reset {
            reset.insert(name);
        }
        // What follows from another step's reset is refused there.
        let refused = why == Why::Meaning && from.is_none() && !covered.contains(name);
        decisions.push(StepDecision { step: name.to_owned(), decision, why, refused });
    }
    let gone = saved.iter().filter(|identity| plan.iter().all(|step| step.identity.step != identity.step));
    decisions.extend(gone.map(|identity| StepDecision {
        step: identity.step.clone(),
        decision: Decision::Reset,
        why: Why::Gone,
        // A table has no state: what was made with its values says so itself.
        refused: !asked(&identity.step) && !identity.step.starts_with(TABLE_PREFIX),
    }));
    decisions
}

/// The step that a block belongs to: the one with the longest name that the block's name is, or begins with.
#[must_use]
pub fn owner<'a>(block: &str, steps: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let owns = |step: &&str| block.strip_prefix(*step).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    steps.filter(owns).max_by_key(|step| step.len())
}
