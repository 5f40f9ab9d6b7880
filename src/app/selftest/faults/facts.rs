//! The operations, and what the tables say of them that decides how a fault ends. Nothing here is known by hand: a table
//! that changes changes what is expected.

use std::collections::BTreeSet;

use super::scenes::{SCENES, Valid};
use crate::app::AppError;
use crate::connector::lookup::Match;
use crate::connector::registry::Registry;
use crate::connector::reply::class_of;
use crate::connector::table::{Connector, Effect, Endpoint, ErrorClass, InDoubt, Unit};

/// An operation that changes something at a provider.
#[derive(Debug)]
pub struct Operation {
    /// The provider: the name of its table.
    pub provider: &'static str,
    /// Its name in the table.
    pub name: &'static str,
    /// Whether it moves money.
    pub moves_money: bool,
    pub(super) valid: &'static Valid,
    pub(super) facts: Facts,
}

impl Operation {
    /// As the simulator names it: the first provider's stand alone there.
    pub(super) fn at_simulator(&self) -> String {
        match self.provider {
            "augustus" => self.name.to_owned(),
            provider => format!("{provider}.{}", self.name),
        }
    }
}

/// What a table says of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Whether it may be sent again after an unknown outcome, while what tells it from a new one is trusted.
    pub(super) repeats: bool,
    /// Whether that is trusted for good.
    pub(super) for_good: bool,
    /// Whether an error leaves its key free: then it is not trusted.
    pub(super) frees: bool,
    /// Whether something is read before it is sent.
    pub(super) reads_first: bool,
    /// What finds out what became of it, if anything does.
    pub(super) look_up: Option<LookUp>,
    /// Whether its answer is a thing that has an id.
    pub(super) has_id: bool,
    /// Whether its answer has to show something as it was sent.
    pub(super) shows_sent: bool,
    /// Where its answer repeats the amount, and whether that is a text there.
    pub(super) amount: Option<(String, bool)>,
    /// Where its answer repeats who gets it.
    pub(super) beneficiary: Option<String>,
    /// Where its answer shows what tells it from others.
    pub(super) own: Option<String>,
}

/// What a look-up can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LookUp {
    /// Whether it reads a list, which may lag.
    pub(super) is_list: bool,
    /// Whether it looks again, after the time in which something may be missing, when it found nothing.
    pub(super) looks_again: bool,
    /// Whether what is then not there is absent.
    pub(super) proves_absence: bool,
}

/// Every operation the matrix meets of these tables, in the order of the scenes.
///
/// # Errors
/// When a table has an operation that moves money and no scene calls it, or the other way round.
pub fn operations(registry: &Registry) -> Result<Vec<Operation>, AppError> {
    let wrong = |what: String| AppError::Other(format!("the self-test does not fit the tables: {what}"));
    let mut operations = Vec::new();
    for scene in &SCENES {
        let connector = registry.get(scene.provider);
        let connector = connector.ok_or_else(|| wrong(format!("there is no table `{}`", scene.provider)))?;
        for valid in scene.calls {
            let endpoint = connector.endpoint(valid.endpoint);
            let endpoint = endpoint.filter(|endpoint| endpoint.effect != Effect::Read);
            let endpoint =
                endpoint.ok_or_else(|| wrong(format!("{} has no write `{}`", scene.provider, valid.endpoint)))?;
            operations.push(Operation {
                provider: scene.provider,
                name: valid.endpoint,
                moves_money: endpoint.effect == Effect::MovesMoney,
                valid,
                facts: Facts::of(connector, endpoint),
            });
        }
    }
    let known: BTreeSet<_> = operations.iter().map(|known| (known.provider, known.name)).collect();
    for connector in registry.iter() {
        let money = connector
            .endpoints()
            .filter(|endpoint| endpoint.effect == Effect::MovesMoney);
        for endpoint in money {
            if !known.contains(&(connector.name.as_str(), endpoint.name.as_str())) {
                return Err(wrong(format!("nothing calls {}.{}", connector.name, endpoint.name)));
            }
        }
    }
    Ok(operations)
}

impl Facts {
    fn of(connector: &Connector, endpoint: &Endpoint) -> Self {
        let echo = &endpoint.echo;
        let resource = endpoint.resource.as_deref().and_then(|kind| connector.resource(kind));
        let beneficiary = endpoint.beneficiary.as_ref();
        // Of a map its first member that names an account.
        let named = beneficiary.and_then(|who| who.keys.first());
        let beneficiary = echo.beneficiary.as_ref().map(|at| match named {
            Some(member) => format!("{at}/{}", member.replace('.', "/")),
            None => at.clone(),
        });
        Self {
            repeats: endpoint.in_doubt == InDoubt::Repeat && (endpoint.key.protects() || endpoint.same_twice),
            for_good: endpoint.same_twice || endpoint.key.is_for_good(),
            frees: connector.frees(endpoint),
            reads_first: endpoint.before.is_some() || endpoint.look_first,
            look_up: LookUp::of(connector, endpoint),
            has_id: resource.is_some(),
            shows_sent: !echo.same.is_empty(),
            amount: echo.amount.clone().map(|at| (at, endpoint.unit() == Unit::DecimalText)),
            beneficiary,
            own: own(endpoint),
        }
    }
}

impl LookUp {
    fn of(connector: &Connector, endpoint: &Endpoint) -> Option<Self> {
        let lookup = endpoint
            .lookup
            .as_ref()
            .filter(|_| endpoint.in_doubt != InDoubt::Park)?;
        let read = connector.endpoint(&lookup.endpoint);
        let (looks_again, proves_absence) = match &lookup.matching {
            Match::State { open, .. } => (true, !open.is_empty()),
            Match::Content(_) | Match::Gone(_) => (true, true),
            Match::Reference(_) | Match::ReferenceAtEnd(_) | Match::Natural { .. } | Match::Fresh { .. } => {
                (true, lookup.covers_window)
            }
        };
        Some(Self {
            is_list: read.is_some_and(Endpoint::lists),
            looks_again,
            proves_absence,
        })
    }
}

/// Where an answer shows what a look-up would tell ours by; else what it has to show as it was sent.
fn own(endpoint: &Endpoint) -> Option<String> {
    let sought = match &endpoint.lookup.as_ref()?.matching {
        Match::Reference(at) | Match::ReferenceAtEnd(at) | Match::Natural { pointer: at, .. } => Some(at),
        Match::Fresh { .. } | Match::State { .. } | Match::Content(_) | Match::Gone(_) => None,
    };
    sought.cloned()
}

/// What a provider's table makes of an error.
pub(super) fn class(provider: &str, status: u16, code: Option<&str>) -> ErrorClass {
    let registry = Registry::built_in();
    let connector = registry.get(provider);
    connector.map_or(ErrorClass::Unknown, |connector| class_of(connector, status, code))
}
