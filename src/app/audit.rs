//! Holds what the journal intended against what the provider's ledger says happened.
//!
//! The proof of the product's claim, used by the demo and by the tests: every intended movement happened
//! once, and nothing else happened. Pure; the ledger is the simulator's.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::base::ids::RunId;
use crate::base::money::{Currency, Money};
use crate::model::journal::{Intent, Journal, Outcome, Phase, StepPath, StepRecord};
use crate::simulator::control::Effect;

/// One intended movement and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Intended {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// The step.
    pub path: StepPath,
    /// What the journal says was moved.
    pub amount: Option<Money>,
    /// How often the ledger has it.
    pub times: usize,
}

/// The result of holding one against the other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Audit {
    /// Every intended movement.
    pub intended: Vec<Intended>,
    /// Movements in the ledger that no journal explains.
    pub unexplained: usize,
    /// Movements of unknown outcome, which need a person.
    pub in_doubt: usize,
    /// For each currency what the journal and what the ledger adds up to, in minor units.
    pub totals: BTreeMap<Currency, (i128, i128)>,
}

impl Audit {
    /// Intended movements that happened exactly once.
    pub fn paid(&self) -> usize {
        self.intended.iter().filter(|intended| intended.times == 1).count()
    }

    /// Intended movements that happened more than once.
    pub fn twice(&self) -> usize {
        self.intended.iter().filter(|intended| intended.times > 1).count()
    }

    /// Intended movements that did not happen.
    pub fn missing(&self) -> usize {
        self.intended.iter().filter(|intended| intended.times == 0).count()
    }

    /// Whether intention and ledger are the same to the last minor unit.
    pub fn is_exact(&self) -> bool {
        let once = self.paid() == self.intended.len();
        once && self.unexplained == 0
            && self.in_doubt == 0
            && self.totals.values().all(|(journal, ledger)| journal == ledger)
    }
}

/// The closing line: `12 intended, 12 paid, 0 twice, 0 missing; ledger EUR 48,310.77 = journal EUR 48,310.77`.
impl std::fmt::Display for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (paid, twice, missing) = (self.paid(), self.twice(), self.missing());
        write!(
            f,
            "{} intended, {paid} paid, {twice} twice, {missing} missing",
            self.intended.len()
        )?;
        if self.unexplained > 0 {
            write!(f, ", {} unexplained", self.unexplained)?;
        }
        if self.in_doubt > 0 {
            write!(f, ", {} in doubt", self.in_doubt)?;
        }
        for (currency, (journal, ledger)) in &self.totals {
            let show = |minor| {
                Money::from_minor(minor, *currency).map_or_else(|_| "too much".to_owned(), |money| money.to_string())
            };
            let sign = if journal == ledger { "=" } else { "≠" };
            write!(f, "; ledger {} {sign} journal {}", show(*ledger), show(*journal))?;
        }
        Ok(())
    }
}

/// Holds journals against a ledger.
pub fn audit<'a>(journals: impl IntoIterator<Item = (RunId, &'a str, &'a Journal)>, effects: &[Effect]) -> Audit {
    let mut audit = Audit::default();
    let index = Index::of(effects);
    let mut explained = vec![false; effects.len()];
    for (run, workflow, journal) in journals {
        for (path, record) in journal.steps() {
            let Some(standing) = standing(record) else { continue };
            if matches!(standing, Standing::InDoubt) {
                audit.in_doubt += 1;
            }
            let found = index.of_step(run, path, record);
            for place in &found {
                explained[*place] = true;
            }
            let times = found.len();
            if matches!(standing, Standing::DidNotHappen) && times == 0 {
                continue;
            }
            let amount = moved(record);
            if let Some(money) = amount {
                audit.totals.entry(money.currency()).or_default().0 += money.minor();
            }
            audit.intended.push(Intended {
                run,
                workflow: workflow.to_owned(),
                path: path.clone(),
                amount,
                times,
            });
        }
    }
    for (effect, explained) in effects.iter().zip(explained) {
        audit.totals.entry(effect.amount.currency()).or_default().1 += effect.amount.minor();
        audit.unexplained += usize::from(!explained);
    }
    audit
}

/// What a step that meant to move money has come to.
enum Standing {
    Happened,
    DidNotHappen,
    InDoubt,
}

/// Steps that move money are told by their outcome or their intent; all others are none of ours.
fn standing(record: &StepRecord) -> Option<Standing> {
    match &record.phase {
        Phase::Sent { intent, .. } => intent.movement.as_ref().map(|_| Standing::InDoubt),
        Phase::Doubt { intent, .. } => intent.as_ref()?.movement.as_ref().map(|_| Standing::InDoubt),
        Phase::Done(outcome) => record.effect.as_ref()?.movement.as_ref().map(|_| match outcome {
            Outcome::Value(_) => Standing::Happened,
            Outcome::Failure(_) => Standing::DidNotHappen,
        }),
        Phase::Trying { .. } | Phase::Waiting(_) | Phase::Cleared { .. } => None,
    }
}

fn intent(record: &StepRecord) -> Option<&Intent> {
    record.effect.as_deref()
}

/// Where in the ledger an effect stands, by everything a step knows it by: its key, our reference, also at the end of what it
/// says it is for, and the id that was answered, however the provider spells it.
struct Index(BTreeMap<String, BTreeSet<usize>>);

impl Index {
    fn of(effects: &[Effect]) -> Self {
        let mut places: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (place, effect) in effects.iter().enumerate() {
            let texts = effect.metadata.values().chain(&effect.idempotency_key);
            let last_word = effect
                .reference
                .as_deref()
                .and_then(|text| text.split_whitespace().next_back());
            let known_by = texts.map(String::as_str).chain(last_word).map(str::to_owned);
            for name in known_by.chain([effect.id.to_string()]) {
                places.entry(name).or_default().insert(place);
            }
        }
        Self(places)
    }

    /// The effects that are this step's.
    fn of_step(&self, run: RunId, path: &StepPath, record: &StepRecord) -> BTreeSet<usize> {
        let reference = format!("{run}/{path}");
        let key = intent(record).and_then(|intent| intent.key.as_deref());
        let answered = match &record.phase {
            Phase::Done(Outcome::Value(value)) => ID_NAMES.iter().find_map(|name| value.get(name)?.as_text()),
            _ => None,
        };
        let answered = answered.map(as_in_ledger);
        let names = [key, Some(reference.as_str()), answered.as_deref()];
        let found = names.into_iter().flatten().filter_map(|name| self.0.get(name));
        found.flatten().copied().collect()
    }
}

/// What providers call the id of what they made.
const ID_NAMES: [&str; 2] = ["id", "code"];

/// An id as the ledger has it: some are written in capitals, some behind the kind of what they name (`re_…`).
fn as_in_ledger(shown: &str) -> String {
    let bare = shown.rsplit('_').next().unwrap_or(shown);
    Uuid::try_parse(bare).map_or_else(|_| shown.to_owned(), |id| id.to_string())
}

/// What the journal says was moved: by the request, or by the answer where the request names no amount.
fn moved(record: &StepRecord) -> Option<Money> {
    if let Some(amount) = intent(record).and_then(|intent| intent.movement.as_ref()?.amount) {
        return Some(amount);
    }
    let Phase::Done(Outcome::Value(value)) = &record.phase else {
        return None;
    };
    let currency: Currency = value.get("currency")?.as_text()?.parse().ok()?;
    Money::parse(value.get("amount")?.as_text()?, currency).ok()
}
