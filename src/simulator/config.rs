//! Settings of the simulator. Whatever the provider leaves undocumented is a setting here, with a default
//! that is likely and a comment on what else it might be.
//!
//! Plain data, readable from TOML or JSON; it decides nothing.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::faults::{FaultRule, WebhookFaultRule};
use super::resources::FinancialAddress;
use crate::base::clock::Instant;
use crate::base::money::Currency;

pub use super::ivy::config as ivy;
pub use super::payaut::config as payaut;
pub use super::payments::config as payments;

use self::ivy::IvyConfig;
use self::payaut::PayautConfig;
use self::payments::PaymentsConfig;

/// The key that the simulator lets in. Everybody knows it.
pub const DEMO_API_KEY: &str = "sandbox.demo-key";
/// What the simulator signs with. Everybody knows it.
pub const DEMO_WEBHOOK_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Everything the simulator lets in or signs with, at any of its providers: nothing that guards money.
pub const DEMO_SECRETS: [&str; 7] = [
    DEMO_API_KEY,
    DEMO_WEBHOOK_SECRET,
    ivy::DEMO_API_KEY,
    ivy::DEMO_WEBHOOK_SECRET,
    payments::DEMO_API_KEY,
    payments::DEMO_WEBHOOK_SECRET,
    payaut::DEMO_TOKEN,
];

/// Everything a simulator is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatorConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Decides every id and every random choice.
    pub seed: u64,
    /// Keys that are let in.
    pub api_keys: Vec<ApiKey>,
    /// Signs deliveries to subscriptions created over the API, which never shows a secret.
    pub webhook_secret: String,
    /// Account programs that exist at the start.
    pub programs: Vec<ProgramSeed>,
    /// Accounts that exist at the start.
    pub accounts: Vec<AccountSeed>,
    /// Webhook subscriptions that exist at the start.
    pub subscriptions: Vec<SubscriptionSeed>,
    /// How resources go from step to step.
    pub lifecycle: Lifecycle,
    /// What an idempotency key does.
    pub idempotency: Idempotency,
    /// What lists show, and when.
    pub lists: Lists,
    /// How events are delivered.
    pub webhooks: Webhooks,
    /// What payouts are checked against.
    pub payouts: Payouts,
    /// Prices.
    pub conversions: Conversions,
    /// What a second return of a deposit does.
    pub duplicate_return: DuplicateReturn,
    /// How many requests one key may send; none by default.
    pub rate_limit: Option<RateLimit>,
    /// What an unknown query parameter or body field does.
    pub unknown_parameters: UnknownParameters,
    /// How an amount of a request is written in answers.
    pub amount_echo: AmountEcho,
    /// The largest request body.
    pub body_bytes_max: usize,
    /// How long events and deliveries are kept.
    pub event_retention_days: i64,
    /// The second provider, under the path `/ivy`.
    pub ivy: IvyConfig,
    /// The third, under the path `/payments`.
    pub payments: PaymentsConfig,
    /// The marketplace's provider, under the path `/payaut`.
    pub payaut: PayautConfig,
    /// Faults from the start; more can be set at run time.
    pub faults: Vec<FaultRule>,
    /// Faults of webhook deliveries from the start.
    pub webhook_faults: Vec<WebhookFaultRule>,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            api_keys: vec![ApiKey::default()],
            webhook_secret: DEMO_WEBHOOK_SECRET.to_owned(),
            programs: Vec::new(),
            accounts: Vec::new(),
            subscriptions: Vec::new(),
            lifecycle: Lifecycle::default(),
            idempotency: Idempotency::default(),
            lists: Lists::default(),
            webhooks: Webhooks::default(),
            payouts: Payouts::default(),
            conversions: Conversions::default(),
            duplicate_return: DuplicateReturn::default(),
            rate_limit: None,
            unknown_parameters: UnknownParameters::default(),
            amount_echo: AmountEcho::default(),
            body_bytes_max: 256 * 1024,
            event_retention_days: 30,
            ivy: IvyConfig::default(),
            payments: PaymentsConfig::default(),
            payaut: PayautConfig::default(),
            faults: Vec::new(),
            webhook_faults: Vec::new(),
        }
    }
}

/// A key that is let in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKey {
    /// The bearer token.
    pub key: String,
    /// Scopes or aliases (`full_access`, `read_only`, `*:read`, `payouts:*`).
    pub scopes: Vec<String>,
    /// Addresses or CIDR blocks it may be used from; empty means everywhere.
    pub ip_allow_list: Vec<String>,
    /// When it ends.
    pub expires_at: Option<Instant>,
    /// The API version used when a request names none.
    pub api_version: String,
}

impl Default for ApiKey {
    fn default() -> Self {
        Self {
            key: DEMO_API_KEY.to_owned(),
            scopes: vec!["full_access".to_owned()],
            ip_allow_list: Vec::new(),
            expires_at: None,
            api_version: "2026-05-01".to_owned(),
        }
    }
}

/// An account program that exists at the start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramSeed {
    /// Its name; its id is derived from it and the seed when none is given.
    pub label: String,
    /// The currency of its accounts.
    pub currency: Currency,
    /// `fbo_program` or `fbo_sponsored`.
    #[serde(default = "fbo_program")]
    pub account_program_type: String,
    /// A fixed id.
    #[serde(default)]
    pub id: Option<Uuid>,
}

fn fbo_program() -> String {
    "fbo_program".to_owned()
}

/// An account that exists at the start, or is made over the control API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSeed {
    /// Its name; its id is derived from it and the seed when none is given.
    pub label: String,
    /// Its one currency.
    pub currency: Currency,
    /// What is on it at the start.
    #[serde(default)]
    pub opening_balance: Option<String>,
    /// In whose name it is.
    #[serde(default)]
    pub holder: Option<String>,
    /// Its addresses; one that fits the currency is made when there are none.
    #[serde(default)]
    pub financial_addresses: Vec<FinancialAddress>,
    /// The label of the program it belongs to, which makes it a virtual account.
    #[serde(default)]
    pub program: Option<String>,
    /// A fixed id.
    #[serde(default)]
    pub id: Option<Uuid>,
}

impl AccountSeed {
    /// An account with these essentials and everything else as usual.
    pub fn new(label: &str, currency: Currency, opening_balance: &str) -> Self {
        Self {
            label: label.to_owned(),
            currency,
            opening_balance: Some(opening_balance.to_owned()),
            holder: None,
            financial_addresses: Vec::new(),
            program: None,
            id: None,
        }
    }
}

/// A webhook subscription that exists at the start, or is made over the control API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionSeed {
    /// Where events are posted.
    pub url: String,
    /// Event types; `*` for all.
    #[serde(default = "every_event")]
    pub events: Vec<String>,
    /// Its secret; the common one when there is none.
    #[serde(default)]
    pub secret: Option<String>,
}

fn every_event() -> Vec<String> {
    vec!["*".to_owned()]
}

/// Who moves resources on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advance {
    /// They go on by themselves after the delays.
    #[default]
    Automatic,
    /// Only the control API moves them.
    Manual,
}

/// How resources go from step to step. Each delay counts from the step before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lifecycle {
    /// By themselves or by hand.
    pub advance: Advance,
    /// Payout created to initiated.
    pub payout_initiated_ms: u64,
    /// Payout initiated to paid (or failed).
    pub payout_paid_ms: u64,
    /// Payout paid to returned by the beneficiary's bank; never by default.
    pub payout_returned_ms: Option<u64>,
    /// Conversion created to completed (or failed).
    pub conversion_completed_ms: u64,
    /// Return created to paid (or failed).
    pub return_paid_ms: u64,
    /// Return paid to come back; never by default.
    pub return_returned_ms: Option<u64>,
    /// New account pending to active.
    pub account_active_ms: u64,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            advance: Advance::Automatic,
            payout_initiated_ms: 50,
            payout_paid_ms: 200,
            payout_returned_ms: None,
            conversion_completed_ms: 300,
            return_paid_ms: 250,
            return_returned_ms: None,
            account_active_ms: 100,
        }
    }
}

/// How far a key reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyScope {
    /// One space of keys for all endpoints.
    #[default]
    Merchant,
    /// The same key at another path is another key.
    MerchantAndPath,
}

/// When two requests under a key are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyComparison {
    /// Byte by byte: the stricter, so the default.
    #[default]
    Bytes,
    /// As JSON, spaces and order aside.
    Canonical,
}

/// What a key gives after a server error that came after the effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterServerError {
    /// The answer that was lost: effect and key are kept together.
    #[default]
    Success,
    /// The error again, for as long as the window lasts.
    Error,
    /// The key is forgotten and the request runs again: the worst a provider could do.
    RunAgain,
}

/// What a known key does for another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherRequest {
    /// 409.
    #[default]
    Refuse,
    /// The answer of the first request, as if it had been the same: the worst a provider could do.
    Replay,
}

/// What a key does while its first request is still being executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InFlight {
    /// 409.
    #[default]
    Refuse,
    /// The request runs beside the first: the worst a provider could do.
    RunBoth,
}

/// What the window of a key is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowFrom {
    /// The first request.
    #[default]
    Request,
    /// The answer that is kept.
    Answer,
}

/// What an idempotency key does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Idempotency {
    /// How long a key protects; a day by default.
    pub window_ms: u64,
    /// What that is counted from.
    pub window_from: WindowFrom,
    /// What a known key does for another request.
    pub other_request: OtherRequest,
    /// What a key does while its first request is still being executed.
    pub in_flight: InFlight,
    /// Whether refusals (4xx) are kept under their key.
    pub keep_client_errors: bool,
    /// Whether server errors that came *before* the effect are kept under their key.
    pub keep_server_errors: bool,
    /// What is kept when a server error came after the effect.
    pub after_server_error: AfterServerError,
    /// How far a key reaches.
    pub key_scope: KeyScope,
    /// When two requests are the same.
    pub body_comparison: BodyComparison,
}

impl Default for Idempotency {
    fn default() -> Self {
        Self {
            window_ms: 24 * 60 * 60 * 1_000,
            window_from: WindowFrom::Request,
            other_request: OtherRequest::Refuse,
            in_flight: InFlight::Refuse,
            keep_client_errors: false,
            keep_server_errors: false,
            after_server_error: AfterServerError::Success,
            key_scope: KeyScope::Merchant,
            body_comparison: BodyComparison::Bytes,
        }
    }
}

/// What lists show, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lists {
    /// How long a new resource is missing from lists. Reading it by id works at once.
    pub visibility_lag_ms: u64,
    /// How long a cursor can be used.
    pub cursor_lifetime_ms: u64,
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            visibility_lag_ms: 0,
            cursor_lifetime_ms: 60 * 60 * 1_000,
        }
    }
}

/// Which answers count as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookSuccess {
    /// Any 2xx.
    #[default]
    Any2xx,
    /// Exactly 200, as the provider's older API has it.
    Only200,
}

/// How events are delivered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Waits between attempts; one attempt more than there are waits.
    pub retry_delays_ms: Vec<u64>,
    /// Which answers count as delivered.
    pub success: WebhookSuccess,
    /// How long a receiver may take.
    pub timeout_ms: u64,
    /// From event to first attempt.
    pub delay_ms: u64,
    /// A random wait on top, up to this: events overtake each other.
    pub jitter_ms: u64,
    /// How many events of a hundred are sent twice.
    pub duplicate_percent: u8,
    /// A subscription gets nothing more after so many failed deliveries in a row.
    pub disable_after_failures: Option<u32>,
    /// A subscription gets nothing more when nothing was taken for so long.
    pub disable_after_ms: Option<u64>,
    /// The real API wants https; the local stand-in posts to plain loopback.
    pub allow_http_subscriptions: bool,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            retry_delays_ms: vec![500, 2_000, 10_000, 60_000, 600_000],
            success: WebhookSuccess::Any2xx,
            timeout_ms: 10_000,
            delay_ms: 0,
            jitter_ms: 0,
            duplicate_percent: 0,
            disable_after_failures: None,
            disable_after_ms: None,
            allow_http_subscriptions: true,
        }
    }
}

/// What happens when the source account has too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InsufficientFunds {
    /// Accepted, later failed with the code `insufficient_funds`.
    #[default]
    FailLater,
    /// Refused at once with 409 `conflict`.
    Refuse,
}

/// What payouts are checked against.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Payouts {
    /// For payouts, conversions and returns alike.
    pub insufficient_funds: InsufficientFunds,
    /// Accounts may go below zero.
    pub allow_overdraft: bool,
    /// IBANs, account numbers or wallet addresses that may be paid; empty means all. Own accounts always may.
    pub beneficiary_allow_list: Vec<String>,
    /// Refuse an IBAN with a wrong checksum at once; else it is accepted and fails later.
    pub check_iban: bool,
}

impl Default for Payouts {
    fn default() -> Self {
        Self {
            insufficient_funds: InsufficientFunds::FailLater,
            allow_overdraft: false,
            beneficiary_allow_list: Vec::new(),
            check_iban: true,
        }
    }
}

/// When a conversion names its quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuoteId {
    /// From the start.
    #[default]
    AtCreation,
    /// Once it is completed.
    AtCompletion,
    /// Never: the achieved amounts can only be seen on the target account.
    Never,
}

/// Prices.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conversions {
    /// Mid rates, `EUR/USD` = dollars for one euro. Inverse and via-USD rates are derived.
    pub rates: BTreeMap<String, Decimal>,
    /// What the customer loses against the mid rate: `0.001` is ten basis points.
    pub spread: Decimal,
    /// The least that is sold, in units of the source currency.
    pub minimum: Decimal,
    /// When a conversion names its quote.
    pub quote_id: QuoteId,
    /// The venue named in quotes.
    pub venue: String,
}

impl Default for Conversions {
    fn default() -> Self {
        let rates = [
            ("EUR/USD", Decimal::new(1_0850, 4)),
            ("GBP/USD", Decimal::new(1_2700, 4)),
            ("USDC/USD", Decimal::new(9_998, 4)),
            ("BTC/USD", Decimal::new(64_250, 0)),
            ("ETH/USD", Decimal::new(3_120, 0)),
            ("SOL/USD", Decimal::new(14_850, 2)),
            ("POL/USD", Decimal::new(42, 2)),
        ];
        Self {
            rates: rates.into_iter().map(|(pair, rate)| (pair.to_owned(), rate)).collect(),
            spread: Decimal::new(1, 3),
            minimum: Decimal::TEN,
            quote_id: QuoteId::AtCreation,
            venue: "kraken".to_owned(),
        }
    }
}

/// What a second return of a deposit does while the first is under way or done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateReturn {
    /// 409 `conflict`.
    #[default]
    Conflict,
    /// A further return: the money leaves twice.
    New,
}

/// How many requests one key may send.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// So many requests...
    pub requests: u32,
    /// ...in each window of this length.
    pub window_ms: u64,
    /// Whether a refusal says when to come back.
    pub retry_after: bool,
}

/// What an unknown query parameter or body field does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownParameters {
    /// 400: the stricter, so that a misspelt filter is seen in a test.
    #[default]
    Refuse,
    /// Nothing.
    Ignore,
}

/// How an amount of a request is written in answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmountEcho {
    /// With the decimals of the currency: `5` becomes `5.00`.
    #[default]
    Canonical,
    /// As it was sent.
    AsSent,
}

/// Why a simulator cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A setting makes no sense.
    #[error("simulator settings: {0}")]
    Config(String),
}
