//! Orders: money asked of a payer, and the machine of states it goes through.

use rust_decimal::Decimal;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::address;
use super::books::{self, Reason};
use super::config::DuplicateReference;
use super::refunds::Refund;
use super::wire::{amount, number, of_plain, plain, present, time};
use crate::base::clock::Instant;
use crate::base::money::Money;
use crate::simulator::augustus::state::new_address;
use crate::simulator::contract::{Arrival, Call};
use crate::simulator::core::address::Address;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::ledger::Place;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

/// The currencies payers pay in.
pub(crate) const CURRENCIES: [&str; 6] = ["EUR", "USD", "GBP", "PLN", "SEK", "DKK"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Processing,
    WaitingForPayment,
    Finalizing,
    Paid,
    Failed,
    Canceled,
    InRefund,
    PartiallyRefunded,
    Refunded,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::WaitingForPayment => "waiting_for_payment",
            Self::Finalizing => "finalizing",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::InRefund => "in_refund",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Refunded => "refunded",
        }
    }

    /// Whether the way from here to there is in the table. `paid` may come before `waiting_for_payment`,
    /// which then never comes.
    fn leads_to(self, next: Self) -> bool {
        match self {
            Self::Processing => matches!(
                next,
                Self::WaitingForPayment | Self::Paid | Self::Finalizing | Self::Failed | Self::Canceled
            ),
            Self::WaitingForPayment => matches!(next, Self::Paid | Self::Finalizing | Self::Failed | Self::Canceled),
            Self::Finalizing => matches!(next, Self::Paid | Self::Canceled),
            Self::Paid | Self::PartiallyRefunded => next == Self::InRefund,
            // Back to where it was when the refund did not go through.
            Self::InRefund => matches!(next, Self::Refunded | Self::PartiallyRefunded | Self::Paid),
            Self::Failed | Self::Canceled | Self::Refunded => false,
        }
    }
}

/// One change of state.
#[derive(Debug)]
struct Change {
    to: Status,
    from: Option<Status>,
    reason: &'static str,
    at: Instant,
}

#[derive(Debug)]
pub(crate) struct Order {
    id: Uuid,
    pub(crate) amount: Money,
    pub(crate) reference: String,
    account: Uuid,
    /// What matches the incoming transfer.
    statement_reference: String,
    /// Paid by a transfer the payer makes by hand, not through a checkout session.
    manual: bool,
    /// Settled straight to another account: it is never paid here.
    direct: bool,
    customer: Map<String, Json>,
    subaccount: Option<String>,
    metadata: Option<Map<String, Json>>,
    pub(crate) status: Status,
    pub(crate) payer: Option<Address>,
    transaction: Option<Uuid>,
    pub(crate) refunds: Vec<Uuid>,
    history: Vec<Change>,
    created_at: Instant,
    updated_at: Instant,
}

/// What an order is made of.
pub(crate) struct NewOrder {
    pub(crate) amount: Money,
    pub(crate) reference: String,
    pub(crate) account: Uuid,
    pub(crate) manual: bool,
    pub(crate) direct: bool,
    pub(crate) customer: Map<String, Json>,
    pub(crate) subaccount: Option<String>,
    pub(crate) metadata: Option<Map<String, Json>>,
}

impl Order {
    pub(crate) fn to_json(&self, world: &World) -> Json {
        let settings = &world.core.config.ivy;
        let own = world.ivy.accounts.get(self.account).map(|account| &account.address);
        let destination = own.filter(|_| self.manual).map(|own| {
            let mut account = address::write(own);
            account["paymentReference"] = json!(self.statement_reference);
            json!({ "bankAccount": account, "bankStatementReference": self.statement_reference })
        });
        let refunds: Vec<Json> = self.refunds(world).map(|refund| refund.in_order(world)).collect();
        let history: Vec<Json> = self.history.iter().map(Change::to_json).collect();
        let shop = world.ivy.shop_id.to_string();
        present(json!({
            "id": plain(self.id),
            "appId": shop,
            "merchantAppId": shop,
            "merchantId": world.ivy.merchant_id,
            "applicationFeeAmount": 0,
            "instantPaymentScheme": self.amount.currency().code() == "EUR",
            "price": { "total": number(self.amount, settings.numbers), "currency": self.amount.currency() },
            "referenceId": self.reference,
            "shopName": settings.legal_name,
            "status": self.status.name(),
            "createdAt": time(self.created_at),
            "updatedAt": time(self.updated_at),
            "destination": destination,
            "paymentMethodType": self.manual.then_some("manual_bank_transfer"),
            "paymentMode": if self.direct { "direct" } else { "settlement" },
            "payerFinancialAddress": self.payer.as_ref().map(address::write),
            "refunds": (!refunds.is_empty()).then_some(refunds),
            "refundAmount": self.refunded(world).filter(|amount| amount.is_positive())
                .map(|amount| number(amount, settings.numbers)),
            "statusHistoryList": history,
            "bankStatementReference": self.statement_reference,
            "customerId": self.customer.get("id"),
            "metadata": self.metadata,
            "subaccountId": self.subaccount,
            "transactionId": self.transaction,
            "shopper": self.customer.get("email").map(|email| json!({ "email": email })),
        }))
    }

    /// The account it is paid to.
    pub(crate) fn account(&self) -> Uuid {
        self.account
    }

    pub(crate) fn refunds<'a>(&'a self, world: &'a World) -> impl Iterator<Item = &'a Refund> {
        self.refunds.iter().filter_map(|id| world.ivy.refunds.get(*id))
    }

    /// What was given back and arrived.
    fn refunded(&self, world: &World) -> Option<Money> {
        let done = self.refunds(world).filter(|refund| refund.is_done());
        done.map(|refund| refund.amount)
            .try_fold(Money::zero(self.amount.currency()), Money::checked_add)
            .ok()
    }

    /// What a further refund can be of.
    pub(crate) fn refundable(&self, world: &World) -> Option<Money> {
        let live = self.refunds(world).filter(|refund| !refund.has_failed());
        live.map(|refund| refund.amount)
            .try_fold(self.amount, Money::checked_sub)
            .ok()
    }
}

impl Change {
    fn to_json(&self) -> Json {
        json!({
            "currentStatus": self.to.name(),
            "previousStatus": self.from.map(Status::name),
            "reason": self.reason,
            "createdAt": time(self.at),
            "updatedAt": time(self.at),
        })
    }
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let unknown = world.core.config.ivy.unknown_parameters;
    let mut fields = call.fields();
    let currency = fields.currency("currency", &CURRENCIES)?;
    let amount = amount(&mut fields, "amount", currency, Decimal::new(1, 2))?;
    let reference = fields.bounded("referenceId", 1, usize::MAX)?.to_owned();
    let customer = customer(&mut fields, world)?;
    let expires_at = match fields.optional_text("expiresAt")? {
        None => None,
        Some(text) => Some(seconds(text).ok_or_else(|| fields.invalid("expiresAt", "is a text of Unix seconds"))?),
    };
    if expires_at.is_some_and(|at| at <= world.core.now) {
        return Err(fields.invalid("expiresAt", "is in the future"));
    }
    let subaccount = fields.optional_text("subaccountId")?.map(str::to_owned);
    fields.finish(unknown)?;
    let account = world
        .ivy
        .default_account(currency)
        .ok_or_else(|| fields.invalid("currency", "has no account"))?;
    let taken = world.ivy.orders.iter().any(|order| order.reference == reference);
    if taken && world.core.config.ivy.duplicate_reference == DuplicateReference::Conflict {
        return Err(Refusal::conflict("the referenceId was used before"));
    }
    let order = NewOrder {
        amount,
        reference,
        account,
        manual: true,
        direct: false,
        customer,
        subaccount,
        metadata: None,
    };
    let id = open(world, order, "ORDER_CREATED");
    if let Some(at) = expires_at {
        let delay = at.signed_duration_since(world.core.now).num_milliseconds();
        let delay_ms = u64::try_from(delay).unwrap_or_default();
        world.core.plan_step(delay_ms, id, expires);
    }
    shown(world, id)
}

/// The customer of an order or session: an id of ours, or how to reach them.
pub(crate) fn customer(fields: &mut Fields<'_>, world: &World) -> Result<Map<String, Json>, Refusal> {
    let mut customer = Map::new();
    let Some(mut given) = fields.optional_object("customer")? else {
        return Ok(customer);
    };
    for field in ["id", "email", "phone"] {
        if let Some(text) = given.optional_text(field)? {
            customer.insert(field.to_owned(), json!(text));
        }
    }
    given.finish(world.core.config.ivy.unknown_parameters)?;
    Ok(customer)
}

fn seconds(text: &str) -> Option<Instant> {
    Instant::from_timestamp(text.parse().ok()?, 0)
}

/// Makes an order, with its event.
pub(crate) fn open(world: &mut World, order: NewOrder, reason: &'static str) -> Uuid {
    let (id, now) = (world.core.new_id(), world.core.now);
    let tail: String = plain(id).chars().take(10).collect();
    let order = Order {
        id,
        amount: order.amount,
        reference: order.reference,
        account: order.account,
        statement_reference: format!("IVY{}", tail.to_uppercase()),
        manual: order.manual,
        direct: order.direct,
        customer: order.customer,
        subaccount: order.subaccount,
        metadata: order.metadata,
        status: Status::Processing,
        payer: None,
        transaction: None,
        refunds: Vec::new(),
        history: vec![Change {
            to: Status::Processing,
            from: None,
            reason,
            at: now,
        }],
        created_at: now,
        updated_at: now,
    };
    let shown = order.to_json(world);
    world.ivy.orders.insert(id, now, world.core.elapsed, order);
    world.core.emit(&CONTRACT, "order_created", shown);
    id
}

fn shown(world: &World, id: Uuid) -> Result<Json, Refusal> {
    let order = world.ivy.orders.get(id).map(|order| order.to_json(world));
    order.ok_or_else(|| Refusal::not_found("the order"))
}

/// The order of this id or `referenceId`; of several with one reference the newest.
pub(crate) fn find(world: &World, text: &str) -> Result<Uuid, Refusal> {
    let by_id = of_plain(text).filter(|id| world.ivy.orders.get(*id).is_some());
    let by_reference = || {
        let rows = world.ivy.orders.rows().iter().rev().map(|row| &row.item);
        let mut named = rows.filter(|order| order.reference == text);
        named.next().map(|order| order.id)
    };
    by_id
        .or_else(by_reference)
        .ok_or_else(|| Refusal::not_found("the order"))
}

fn named(world: &World, call: &Call) -> Result<Uuid, Refusal> {
    let mut fields = call.fields();
    let id = fields.bounded("id", 1, usize::MAX)?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    find(world, id)
}

/// With the shop's own address, which stands nowhere else.
pub(super) fn details(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    let mut shown = shown(world, id)?;
    let order = world.ivy.orders.get(id);
    let account = order.and_then(|order| world.ivy.accounts.get(order.account));
    if let Some(account) = account {
        shown["merchantFinancialAddress"] = address::write(&account.address);
    }
    Ok(shown)
}

pub(super) fn expire(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    to(world, id, Status::Canceled, "ORDER_EXPIRED_BY_MERCHANT")
        .map_err(|_| Refusal::conflict("the order cannot be expired any more"))?;
    shown(world, id)
}

/// Where the money of a previous pay-in came from.
pub(crate) fn payer(world: &World, text: &str) -> Result<Address, Refusal> {
    let order = world.ivy.orders.get(find(world, text)?);
    let payer = order.and_then(|order| order.payer.clone());
    payer.ok_or_else(|| Refusal::validation("the order was not paid"))
}

// --- steps --------------------------------------------------------------------------------------

/// Makes a change of the table, and tells it.
pub(crate) fn to(world: &mut World, id: Uuid, next: Status, reason: &'static str) -> Result<(), StepError> {
    let now = world.core.now;
    let order = world.ivy.orders.get_mut(id).ok_or(StepError::NotFound)?;
    let lands_here = !(order.direct && next == Status::Paid);
    if !order.status.leads_to(next) || !lands_here {
        return Err(StepError::Illegal(order.status.name()));
    }
    order.history.push(Change {
        to: next,
        from: Some(order.status),
        reason,
        at: now,
    });
    order.status = next;
    order.updated_at = now;
    if let Some(shown) = world.ivy.orders.get(id).map(|order| order.to_json(world)) {
        world.core.emit(&CONTRACT, "order_updated", shown);
    }
    Ok(())
}

/// Its time is over; one that was paid meanwhile stays as it is.
fn expires(world: &mut World, id: Uuid) -> Result<(), StepError> {
    to(world, id, Status::Canceled, "ORDER_CANCELED")
}

/// The money of an order arrives.
fn pays(world: &mut World, id: Uuid, from: Place, payer: Address) -> Result<(), StepError> {
    let order = world.ivy.orders.get(id).ok_or(StepError::NotFound)?;
    if order.direct || !order.status.leads_to(Status::Paid) || order.status == Status::InRefund {
        return Err(StepError::Illegal(order.status.name()));
    }
    let (account, amount) = (order.account, order.amount);
    let reason = Reason {
        process: "payment",
        id,
        shown_id: plain(id),
        step: "order.paid",
        other: Some(payer.clone()),
        reference: Some(order.statement_reference.clone()),
    };
    let line = books::credit(world, account, from, amount, reason)?;
    if let Some(order) = world.ivy.orders.get_mut(id) {
        order.payer = Some(payer);
        order.transaction = Some(line);
    }
    to(world, id, Status::Paid, "PAYMENT_SUCCEEDED")
}

/// The order that a transfer to an account pays: the reference and the amount are right.
pub(crate) fn matching(world: &World, arrival: &Arrival) -> Option<Uuid> {
    let open = |order: &&Order| {
        order.account == arrival.account
            && order.amount == arrival.amount
            && order.status.leads_to(Status::Paid)
            && order.status != Status::InRefund
            && arrival
                .reference
                .as_ref()
                .is_some_and(|reference| reference.contains(&order.statement_reference))
    };
    world.ivy.orders.iter().find(open).map(|order| order.id)
}

/// A transfer pays the order it matches.
pub(crate) fn paid_by_transfer(world: &mut World, id: Uuid, from: Place, arrival: Arrival) -> Result<Uuid, StepError> {
    pays(world, id, from, arrival.source).map(|()| id)
}

/// Moves an order to a status by name, as the control asks.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str) -> Result<(), StepError> {
    match status {
        "waiting_for_payment" => to(world, id, Status::WaitingForPayment, "PIS_PAYMENT_INITIATED"),
        "finalizing" => to(world, id, Status::Finalizing, "ORDER_FINALIZATION_STARTED"),
        "paid" => {
            let order = world.ivy.orders.get(id).ok_or(StepError::NotFound)?;
            let currency = order.amount.currency();
            let payer = new_address(&mut world.core, currency, "Erika Mustermann").address();
            pays(world, id, Place::Outside, payer)
        }
        "failed" => to(world, id, Status::Failed, "PAYMENT_FAILED"),
        "canceled" => to(world, id, Status::Canceled, "ORDER_CANCELED"),
        _ => Err(StepError::NoSuchStep),
    }
}
