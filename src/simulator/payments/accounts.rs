//! Merchants, who else can receive money, and on what terms. They are made elsewhere: here they are read.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::books;
use super::wire::{Entity, find, of_tagged, tagged, unknown};
use crate::simulator::contract::Call;
use crate::simulator::core::address::Address;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

/// A merchant account.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) label: String,
    pub(crate) business: Uuid,
    pub(crate) ledger: Uuid,
    /// Where the provider pays out to; out of this world where there is none.
    pub(crate) bank: Option<Address>,
}

impl Entity for Account {
    const PREFIX: &'static str = "acct";
    const WHAT: &'static str = "the account";

    fn id(&self) -> Uuid {
        self.id
    }

    fn account(&self) -> Uuid {
        self.id
    }
}

/// Somebody who can receive a part of a payment.
#[derive(Debug)]
pub(crate) struct Payee {
    pub(crate) id: String,
    /// Where the books keep what is theirs.
    pub(crate) place: Uuid,
    pub(crate) active: bool,
}

impl Account {
    /// For the control alone: this API shows no account.
    pub(crate) fn to_json(&self, world: &World) -> Json {
        json!({
            "id": self.shown_id(),
            "entity": "account",
            "business_id": business_id(self.business),
            "ledger_account_id": tagged("la", self.ledger),
            "balance": books::shown(world, [self.id].as_slice()),
        })
    }
}

pub(crate) fn partner_id(partner: Uuid) -> String {
    tagged("part", partner)
}

pub(crate) fn business_id(business: Uuid) -> String {
    tagged("bus", business)
}

/// Of whom: what stands in many resources.
pub(crate) fn owners(world: &World, account: Uuid) -> (String, String, Json) {
    let found = world.payments.accounts.get(account);
    let business = found.map(|account| business_id(account.business));
    (
        tagged("acct", account),
        partner_id(world.payments.partner),
        json!(business),
    )
}

/// The terms of the partner, by the account's id or its own: whose id is meant is not documented.
pub(super) fn plan(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let text = call.path.first().map_or("", String::as_str);
    let partner = world.payments.partner;
    if of_tagged("part", text) != Some(partner) {
        find(world, &world.payments.accounts, call.caller, text).map_err(|_| unknown(world, "the plan"))?;
    }
    let settings = &world.core.config.payments;
    Ok(json!({
        "id": tagged("partppl", partner),
        "plan_type": "FLAT_RATE",
        "effective_date": "2025-01-01",
        "accepted_cards": ["visa", "mastercard", "amex", "discover"],
        "auth_fee": {},
        "fees": { "basis_points": settings.fee_basis_points, "batch_fee": settings.batch_fee },
        "fees_paid_by_partner": {},
        "partner_pays_chargeback_amount": false,
        "comment": null,
        "interchange_cost": "GROSS",
        "bank_processing_plan_settings": {},
    }))
}
