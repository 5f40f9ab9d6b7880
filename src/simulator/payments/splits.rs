//! Splits: who else receives a part of a payment. The shape of an item is documented nowhere; the one place
//! that reads and writes the one proposed is here.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::wire::{Cents, amount};
use crate::simulator::core::fields::Fields;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

/// A part of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split {
    kind: String,
    recipient: String,
    /// Where the books keep what is theirs.
    pub(crate) place: Uuid,
    pub(crate) amount: Cents,
}

impl Split {
    pub(crate) fn to_json(&self) -> Json {
        json!({ "recipient_id": self.recipient, "recipient_type": self.kind, "amount": self.amount })
    }

    pub(crate) fn recipient(&self) -> &str {
        &self.recipient
    }
}

/// Reads splits, if there are any, to the partner or to a payee who may receive something.
pub(crate) fn read(world: &World, fields: &mut Fields<'_>) -> Result<Option<Vec<Split>>, Refusal> {
    let Some(items) = fields.optional_objects("payment_splits")? else {
        return Ok(None);
    };
    let unknown = world.core.config.payments.unknown_parameters;
    let read = |mut item: Fields<'_>| {
        let recipient = item.text("recipient_id")?.to_owned();
        let kind = item.one_of("recipient_type", &["partner", "payee"])?.to_owned();
        let amount = amount(&mut item, "amount")?;
        item.finish(unknown)?;
        let place = world.payments.recipient(&kind, &recipient);
        Ok(Split {
            place: place.ok_or_else(|| item.invalid("recipient_id", "is no active recipient"))?,
            kind,
            recipient,
            amount,
        })
    };
    items.into_iter().map(read).collect::<Result<_, _>>().map(Some)
}

fn sum(splits: &[Split]) -> Cents {
    splits.iter().map(|split| split.amount).sum()
}

/// Whether the parts fit the whole: with the merchant's part they are all of it, without one no more than it.
pub(crate) fn check(splits: &[Split], merchant_amount: Option<Cents>, amount: Cents) -> Result<(), Refusal> {
    let fits = match merchant_amount {
        Some(merchant) => sum(splits) + merchant == amount,
        None => sum(splits) <= amount,
    };
    if fits {
        return Ok(());
    }
    let message = "the splits and the merchant's part do not add up to the amount";
    Err(Refusal::parameter_invalid("payment_splits", message))
}
