//! Settings of the Ivy simulator. Whatever its reference leaves open is a setting, with a default that is
//! likely and a comment on what else it might be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::simulator::config::{
    AccountSeed, Idempotency, SubscriptionSeed, UnknownParameters, WebhookSuccess, Webhooks,
};
use crate::simulator::resources::FinancialAddress;

/// The key that the simulator lets in. Everybody knows it.
pub const DEMO_API_KEY: &str = "ivy.demo-key";
/// What the simulator signs with. Everybody knows it.
pub const DEMO_WEBHOOK_SECRET: &str = "ivy_whs_demo_0123456789";

/// Everything the Ivy simulator is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IvyConfig {
    /// Keys that are let in.
    pub api_keys: Vec<String>,
    /// The one signing secret of the console.
    pub webhook_secret: String,
    /// In whose name the shop and its accounts are.
    pub legal_name: String,
    /// Accounts that exist at the start; the first of a currency is that currency's default account.
    pub accounts: Vec<AccountSeed>,
    /// Where everything available is paid to on request; nothing is where this is absent.
    pub settlement_destination: Option<FinancialAddress>,
    /// What stays on an account at such a settlement, in units of its currency.
    pub settlement_minimum: u32,
    /// Webhook subscriptions that exist at the start.
    pub subscriptions: Vec<SubscriptionSeed>,
    /// What an idempotency key does on the endpoints that heed one.
    pub idempotency: Idempotency,
    /// Whether returns heed the key after all; the reference says they do not.
    pub key_on_return: bool,
    /// How events are delivered.
    pub webhooks: Webhooks,
    /// Whether payouts to customers also send the older `user_payout.*` events.
    pub user_payout_events: bool,
    /// Numbers as few digits as possible, or with the decimals of the currency.
    pub numbers: Numbers,
    /// Which end of a list comes first.
    pub list_order: ListOrder,
    /// Rows of a page when a request names no limit.
    pub list_limit_default: u64,
    /// The most rows a request may ask for.
    pub list_limit_max: u64,
    /// How long a new resource is missing from lists and transactions. Reading it by id works at once.
    pub visibility_lag_ms: u64,
    /// Rows of a page of transactions.
    pub transaction_page: usize,
    /// What Unix times of transactions count.
    pub unix_times: UnixTimes,
    /// What happens when too little is available.
    pub insufficient_funds: Insufficient,
    /// What a second order or checkout session of the same `referenceId` does.
    pub duplicate_reference: DuplicateReference,
    /// What a further return of a deposit does while one is under way or done.
    pub duplicate_return: DuplicateReturn,
    /// Whose accounts are, by IBAN, for checks of payees; those of this world are known anyway.
    pub payees: BTreeMap<String, String>,
    /// How long resources take from step to step.
    pub lifecycle: Steps,
    /// What an unknown field of a request does.
    pub unknown_parameters: UnknownParameters,
}

impl Default for IvyConfig {
    fn default() -> Self {
        Self {
            api_keys: vec![DEMO_API_KEY.to_owned()],
            webhook_secret: DEMO_WEBHOOK_SECRET.to_owned(),
            legal_name: "Nordlicht Handels GmbH".to_owned(),
            accounts: Vec::new(),
            settlement_destination: None,
            settlement_minimum: 0,
            subscriptions: Vec::new(),
            idempotency: Idempotency::default(),
            key_on_return: false,
            webhooks: Webhooks {
                retry_delays_ms: RETRY_DELAYS_SECS.iter().map(|secs| secs * 1_000).collect(),
                success: WebhookSuccess::Only200,
                ..Webhooks::default()
            },
            user_payout_events: false,
            numbers: Numbers::Shortest,
            list_order: ListOrder::NewestFirst,
            list_limit_default: 10,
            list_limit_max: 100,
            visibility_lag_ms: 0,
            transaction_page: 50,
            unix_times: UnixTimes::Seconds,
            insufficient_funds: Insufficient::FailLater,
            duplicate_reference: DuplicateReference::Accept,
            duplicate_return: DuplicateReturn::New,
            payees: BTreeMap::new(),
            lifecycle: Steps::default(),
            unknown_parameters: UnknownParameters::Refuse,
        }
    }
}

/// The ladder of fifteen retries: the first six waits and the last are told, those between grow evenly.
const RETRY_DELAYS_SECS: [u64; 15] = [
    30, 22, 140, 541, 1_426, 3_200, 5_050, 7_970, 12_580, 19_850, 31_330, 49_440, 78_020, 123_130, 194_400,
];

/// How an amount is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbers {
    /// `100.5`, as the vendor's own programs write it.
    #[default]
    Shortest,
    /// `100.50`.
    Decimals,
}

/// Which end of a list comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListOrder {
    /// What was made last.
    #[default]
    NewestFirst,
    /// What was made first.
    OldestFirst,
}

/// What a Unix time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnixTimes {
    /// Seconds, as checkout sessions have them.
    #[default]
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// What happens when too little is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Insufficient {
    /// Accepted, later failed with the code `insufficient_funds`, as the vendor's checklist expects.
    #[default]
    FailLater,
    /// Refused at once.
    Refuse,
}

/// What a second resource of the same `referenceId` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateReference {
    /// It is made: the worst for whoever relies on the reference.
    #[default]
    Accept,
    /// 409.
    Conflict,
}

/// What a further return of a deposit does while one is under way or done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateReturn {
    /// A further return, and the money leaves twice: the worst for whoever repeats blindly.
    #[default]
    New,
    /// 409.
    Conflict,
}

/// How long resources take from step to step. Each delay counts from the step before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Steps {
    /// Payout created to its event that it is under way.
    pub payout_initiated_ms: u64,
    /// From there to paid (or failed).
    pub payout_paid_ms: u64,
    /// Return created to succeeded (or failed).
    pub return_succeeded_ms: u64,
    /// Refund created to pending, and from there to its end.
    pub refund_ms: u64,
    /// Conversion created to succeeded (or failed).
    pub fx_succeeded_ms: u64,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            payout_initiated_ms: 50,
            payout_paid_ms: 200,
            return_succeeded_ms: 250,
            refund_ms: 150,
            fx_succeeded_ms: 300,
        }
    }
}
