//! Settings of the Payaut simulator. Much of its API is not documented: each of those points is a setting, with
//! the documented proposal as default or, where there is none, the worst for whoever calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::money::Currency;
use crate::simulator::config::{SubscriptionSeed, UnknownParameters, Webhooks};
use crate::simulator::resources::FinancialAddress;

/// The token that the simulator lets in. Everybody knows it.
pub const DEMO_TOKEN: &str = "payaut-demo-token";

/// Everything the Payaut simulator is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PayautConfig {
    /// Bearer tokens that are let in; all of them are of one merchant and division.
    pub tokens: Vec<String>,
    /// Headers without which a request is forbidden: merchant and division codes are said to be some, their names are
    /// not told.
    pub required_headers: BTreeMap<String, String>,
    /// The division's own, liable account, and where the division is paid out to. Without one there is such an account
    /// all the same, of which the control says nothing.
    pub marketplace: Option<HolderSeed>,
    /// Where processors of payments hand money over to; one is made where this is absent.
    pub collection_address: Option<FinancialAddress>,
    /// Whether the division is an account holder like the sellers.
    pub marketplace_listed: bool,
    /// Sellers that exist at the start, each with one account.
    pub holders: Vec<HolderSeed>,
    /// Webhook configurations that exist at the start.
    pub subscriptions: Vec<SubscriptionSeed>,
    /// How events are delivered: attempts and waits are not documented.
    pub webhooks: Webhooks,
    /// Currencies of splits and external accounts; the documented type admits the euro alone.
    pub currencies: Vec<String>,
    /// The number of the first page of lists; the text says 0, some samples 1.
    pub first_page: u64,
    /// Rows of a page when a request names no size.
    pub page_size_default: u64,
    /// The most rows a request may ask for.
    pub page_size_max: u64,
    /// The number of the first page of transactions, payouts and reports; not documented.
    pub feed_first_page: u64,
    /// Rows of a page of those when a request names no limit.
    pub feed_limit_default: u64,
    /// The most rows of those a request may ask for.
    pub feed_limit_max: u64,
    /// Which end of a list comes first where a request does not say.
    pub list_order: ListOrder,
    /// How long a new split, refund or payout is missing from its list. Reading it by code works at once.
    pub visibility_lag_ms: u64,
    /// How far transactions are behind, rows and statuses alike.
    pub transactions_lag_ms: u64,
    /// The status of a split that is made; the same request again has 200.
    pub split_created_status: u16,
    /// What is answered where nothing is shown: deletions, selections, cancellations.
    pub nothing: Nothing,
    /// Whether the address of hosted onboarding is a JSON text instead of plain text.
    pub onboarding_url_as_json: bool,
    /// Where a reference of a split item may stand once.
    pub item_references: ItemReferences,
    /// How discounts count.
    pub discounts: Discounts,
    /// Whose money an inner item without an account is.
    pub inner_items: InnerItems,
    /// What a wrong account code on an item does.
    pub unknown_account: UnknownAccount,
    /// What a second refund split of the same `pspMutationExtRef` does.
    pub duplicate_refund: Duplicate,
    /// What a second holder, owner or external account of the same `extRef` does.
    pub duplicate_reference: Duplicate,
    /// What refunds beyond the split do.
    pub over_refund: OverRefund,
    /// What cancelling once more does.
    pub repeated_cancel: Duplicate,
    /// What a known key of a transfer does.
    pub transfer_replay: TransferReplay,
    /// Members of `legalEntity` that KYC needs beside the names.
    pub kyc_needs: Vec<String>,
    /// Which changes of a holder begin KYC anew.
    pub kyc_restart: KycRestart,
    /// Whether a new holder has an account at once.
    pub account_by_default: bool,
    /// Whether the first external account of a holder is selected by itself.
    pub first_external_selected: bool,
    /// How a payout that may not be made is refused.
    pub payout_refused: PayoutRefused,
    /// Whether payouts may name an external account that is not the selected one.
    pub payout_to_unselected: bool,
    /// Whether reading a balance is followed by a scheduled payout of all of it.
    pub schedule_races: bool,
    /// How long resources take from step to step.
    pub lifecycle: Steps,
    /// What an unknown parameter or field of a request does.
    pub unknown_parameters: UnknownParameters,
}

impl Default for PayautConfig {
    fn default() -> Self {
        Self {
            tokens: vec![DEMO_TOKEN.to_owned()],
            required_headers: BTreeMap::new(),
            marketplace: None,
            collection_address: None,
            marketplace_listed: false,
            holders: Vec::new(),
            subscriptions: Vec::new(),
            webhooks: Webhooks::default(),
            currencies: vec!["EUR".to_owned()],
            first_page: 0,
            page_size_default: 100,
            page_size_max: 500,
            feed_first_page: 0,
            feed_limit_default: 100,
            feed_limit_max: 500,
            list_order: ListOrder::NewestFirst,
            visibility_lag_ms: 0,
            transactions_lag_ms: 60_000,
            split_created_status: 201,
            nothing: Nothing::Empty,
            onboarding_url_as_json: false,
            item_references: ItemReferences::Division,
            discounts: Discounts::Excluded,
            inner_items: InnerItems::Marketplace,
            unknown_account: UnknownAccount::Marketplace,
            duplicate_refund: Duplicate::Accept,
            duplicate_reference: Duplicate::Conflict,
            over_refund: OverRefund::Refuse,
            repeated_cancel: Duplicate::Accept,
            transfer_replay: TransferReplay::Replay,
            kyc_needs: vec!["address".to_owned(), "documents".to_owned()],
            kyc_restart: KycRestart::Presence,
            account_by_default: true,
            first_external_selected: false,
            payout_refused: PayoutRefused::Unprocessable,
            payout_to_unselected: false,
            schedule_races: false,
            lifecycle: Steps::default(),
            unknown_parameters: UnknownParameters::Refuse,
        }
    }
}

/// An account holder that exists at the start, with one virtual account of the same name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolderSeed {
    /// Its name; codes follow from it and the seed.
    pub label: String,
    /// Its `extRef`.
    #[serde(default)]
    pub reference: Option<String>,
    /// What is on its account at the start.
    #[serde(default = "nothing")]
    pub opening_balance: String,
    /// Of what.
    #[serde(default = "euro")]
    pub currency: Currency,
    /// Where KYC stands.
    #[serde(default)]
    pub kyc: Kyc,
    /// Its selected external account, with KYC done.
    #[serde(default)]
    pub bank: Option<FinancialAddress>,
    /// A fixed id of its virtual account; its code is the same in capitals.
    #[serde(default)]
    pub account_id: Option<Uuid>,
}

impl HolderSeed {
    /// A holder with KYC done, so much in euros, and no bank.
    pub fn new(label: &str, opening_balance: &str) -> Self {
        Self {
            label: label.to_owned(),
            reference: None,
            opening_balance: opening_balance.to_owned(),
            currency: euro(),
            kyc: Kyc::Active,
            bank: None,
            account_id: None,
        }
    }
}

fn nothing() -> String {
    "0".to_owned()
}

fn euro() -> Currency {
    Currency::from_code("EUR").expect("there is a euro")
}

/// Where the look into a holder or an external account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kyc {
    /// Something is not known yet.
    MissingData,
    /// It is being looked at.
    InProgress,
    /// It may be paid out.
    #[default]
    Active,
    /// Something was wrong and can be corrected.
    Failed,
    /// For good.
    Rejected,
}

/// Which end of a list comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListOrder {
    /// What was made last: pages shift while they are read.
    #[default]
    NewestFirst,
    /// What was made first.
    OldestFirst,
}

/// What is answered where nothing is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nothing {
    /// A body of no bytes, which is no JSON.
    #[default]
    Empty,
    /// `{}`.
    Object,
}

/// Where a reference of a split item may stand once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemReferences {
    /// In the whole division, splits and refunds alike.
    #[default]
    Division,
    /// In one request.
    Request,
}

/// How items labelled as discounts count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Discounts {
    /// Not in the sum: what the payer paid is split, then the discount goes from the holder to the marketplace.
    #[default]
    Excluded,
    /// Negatively in the sum: the holder gets so much less.
    Negative,
}

/// Whose money an inner item without an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InnerItems {
    /// The marketplace's, as any item's without one.
    #[default]
    Marketplace,
    /// That of the group around it.
    Inherit,
}

/// What a wrong account code on an item does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownAccount {
    /// The marketplace's liable account gets the money, without an error.
    #[default]
    Marketplace,
    /// 422.
    Refuse,
}

/// What a second one of the same does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicate {
    /// It is taken.
    Accept,
    /// 409.
    Conflict,
}

/// What refunds beyond the split do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverRefund {
    /// 422.
    #[default]
    Refuse,
    /// They are taken.
    Accept,
}

/// What a known key of a transfer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferReplay {
    /// The same body: the stored transfer; another: 409.
    #[default]
    Replay,
    /// The stored transfer, whatever the body says.
    ReplayAnything,
    /// 409.
    Conflict,
    /// Nothing: it is made again.
    Ignore,
}

/// Which changes of a holder begin KYC anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KycRestart {
    /// A field that matters is in the request, whatever it was before.
    #[default]
    Presence,
    /// Its value is another.
    Change,
}

/// How a payout that may not be made is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutRefused {
    /// 422.
    #[default]
    Unprocessable,
    /// 403.
    Forbidden,
}

/// How long resources take from step to step. Each delay counts from the step before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Steps {
    /// KYC begun to its end.
    pub kyc_ms: u64,
    /// Payout due to in progress.
    pub payout_in_progress_ms: u64,
    /// From there to processed (or failed).
    pub payout_processed_ms: u64,
    /// Report scheduled to ready.
    pub report_ready_ms: u64,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            kyc_ms: 500,
            payout_in_progress_ms: 50,
            payout_processed_ms: 200,
            report_ready_ms: 1_000,
        }
    }
}
