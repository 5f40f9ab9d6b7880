//! The resources as the provider shows them: every documented field always present, empty as `null`.
//!
//! Plain data and its JSON form; steps between states live in `lifecycle`.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::simulator::core::address::{Address, Number};
use crate::simulator::core::failure::Ending;

pub use crate::simulator::core::failure::Failure;

/// A time as the API writes it.
pub(crate) fn stamp(at: Instant) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn stamp_or_null(at: Option<Instant>) -> Json {
    at.map_or(Json::Null, |at| Json::String(stamp(at)))
}

/// An address money can be sent to or come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FinancialAddress {
    /// A European bank account.
    Iban {
        /// The number.
        iban: String,
        /// In whose name.
        account_holder_name: String,
        /// The bank, if known.
        #[serde(default)]
        bic: Option<String>,
    },
    /// A British bank account.
    SortCode {
        /// Six digits.
        sort_code: String,
        /// Eight digits.
        account_number: String,
        /// In whose name.
        account_holder_name: String,
    },
    /// An American bank account.
    Aba {
        /// Nine digits.
        routing_number: String,
        /// The number.
        account_number: String,
        /// In whose name.
        account_holder_name: String,
    },
    /// A wallet.
    CryptoWallet {
        /// The address on the chain.
        address: String,
        /// The chain.
        blockchain: String,
    },
}

impl FinancialAddress {
    /// Whether both name the same account; names and banks aside.
    pub(crate) fn same_account(&self, other: &Self) -> bool {
        self.address().same_account(&other.address())
    }

    /// In no provider's words.
    pub(crate) fn address(&self) -> Address {
        let (number, bic) = match self.clone() {
            Self::Iban { iban, bic, .. } => (Number::Iban(iban), bic),
            Self::SortCode {
                sort_code,
                account_number: account,
                ..
            } => (Number::SortCode { sort_code, account }, None),
            Self::Aba {
                routing_number: routing,
                account_number: account,
                ..
            } => (Number::Aba { routing, account }, None),
            Self::CryptoWallet {
                address,
                blockchain: chain,
            } => (Number::Wallet { address, chain }, None),
        };
        Address {
            holder: self.holder().map(str::to_owned),
            number,
            bic,
        }
    }

    /// In this provider's words, as far as it has any.
    pub(crate) fn of(address: Address) -> Option<Self> {
        let account_holder_name = address.holder.unwrap_or_default();
        Some(match address.number {
            Number::Iban(iban) => Self::Iban {
                iban,
                account_holder_name,
                bic: address.bic,
            },
            Number::SortCode { sort_code, account } => Self::SortCode {
                sort_code,
                account_number: account,
                account_holder_name,
            },
            Number::Aba { routing, account } => Self::Aba {
                routing_number: routing,
                account_number: account,
                account_holder_name,
            },
            Number::Wallet { address, chain } => Self::CryptoWallet {
                address,
                blockchain: chain,
            },
            Number::BankCode { .. } | Number::Bban(_) => return None,
        })
    }

    /// The number or address itself.
    pub(crate) fn number(&self) -> &str {
        match self {
            Self::Iban { iban, .. } => iban,
            Self::SortCode { account_number, .. } | Self::Aba { account_number, .. } => account_number,
            Self::CryptoWallet { address, .. } => address,
        }
    }

    /// In whose name, where that is known.
    pub(crate) fn holder(&self) -> Option<&str> {
        match self {
            Self::Iban {
                account_holder_name, ..
            }
            | Self::SortCode {
                account_holder_name, ..
            }
            | Self::Aba {
                account_holder_name, ..
            } => Some(account_holder_name),
            Self::CryptoWallet { .. } => None,
        }
    }

    pub(crate) fn to_json(&self) -> Json {
        // Serialising strings and options of strings cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The states of accounts and programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccountStatus {
    Pending,
    Active,
    Frozen,
    Closed,
}

impl AccountStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Frozen => "frozen",
            Self::Closed => "closed",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) id: Uuid,
    pub(crate) label: String,
    pub(crate) currency: Currency,
    pub(crate) account_program_type: String,
    pub(crate) created_at: Instant,
}

impl Program {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "type": "account_program",
            "label": self.label,
            "account_program_type": self.account_program_type,
            "status": "active",
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.created_at),
        })
    }
}

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) program: Option<Uuid>,
    pub(crate) currency: Currency,
    pub(crate) label: String,
    pub(crate) status: AccountStatus,
    pub(crate) financial_addresses: Vec<FinancialAddress>,
    pub(crate) created_at: Instant,
    pub(crate) updated_at: Instant,
}

impl Account {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "type": "account",
            "account_type": if self.program.is_some() { "virtual_account" } else { "payment_account" },
            "asset_type": if is_fiat(self.currency) { "fiat" } else { "crypto" },
            "currency": self.currency,
            "label": self.label,
            "status": self.status.name(),
            "financial_addresses": self.financial_addresses.iter().map(FinancialAddress::to_json).collect::<Vec<_>>(),
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
        })
    }
}

/// The currencies of the API.
pub(crate) const CURRENCIES: [&str; 8] = ["EUR", "GBP", "USD", "USDC", "BTC", "ETH", "SOL", "POL"];

pub(crate) fn is_fiat(currency: Currency) -> bool {
    matches!(currency.code(), "EUR" | "GBP" | "USD")
}

/// The documented failure codes.
pub(crate) const FAILURE_CODES: [&str; 14] = [
    "account_closed",
    "account_blocked",
    "insufficient_funds",
    "invalid_account_format",
    "invalid_instruction",
    "invalid_amount",
    "invalid_time",
    "duplicate_transaction",
    "payee_verification_failed",
    "system_error",
    "provider_system_error",
    "rejected_by_correspondent_bank",
    "blocked_by_review",
    "unknown",
];

/// The states of payouts and returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransferStatus {
    Pending,
    Paid,
    Failed,
    Returned,
}

impl TransferStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Returned => "returned",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Payout {
    pub(crate) id: Uuid,
    pub(crate) status: TransferStatus,
    pub(crate) source_account_id: Uuid,
    pub(crate) amount: Money,
    pub(crate) amount_text: String,
    pub(crate) destination: FinancialAddress,
    pub(crate) reference: String,
    pub(crate) failure: Option<Failure>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) created_at: Instant,
    pub(crate) updated_at: Instant,
    /// The merchant's own account at the destination.
    pub(crate) own_account: Option<Uuid>,
    /// Whether money is set aside for it.
    pub(crate) reserved: bool,
    pub(crate) initiated: bool,
    pub(crate) ending: Ending,
    pub(crate) key: Option<String>,
}

impl Payout {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "type": "payout",
            "status": self.status.name(),
            "source_account_id": self.source_account_id,
            "amount": self.amount_text,
            "currency": self.amount.currency(),
            "destination": self.destination.to_json(),
            "reference": self.reference,
            "failure": self.failure,
            "metadata": self.metadata,
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConversionStatus {
    Pending,
    Completed,
    Failed,
}

impl ConversionStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Conversion {
    pub(crate) id: Uuid,
    pub(crate) status: ConversionStatus,
    /// The quote as far as the API names it.
    pub(crate) quote_id: Option<Uuid>,
    /// The quote it is made at.
    pub(crate) quote: Uuid,
    pub(crate) source_account_id: Uuid,
    pub(crate) target_account_id: Uuid,
    pub(crate) source: Money,
    pub(crate) source_text: String,
    pub(crate) target: Money,
    pub(crate) failure: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) created_at: Instant,
    pub(crate) updated_at: Instant,
    pub(crate) completed_at: Option<Instant>,
    pub(crate) reserved: bool,
    pub(crate) ending: Ending,
    pub(crate) key: Option<String>,
}

impl Conversion {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "type": "conversion",
            "quote_id": self.quote_id,
            "status": self.status.name(),
            "source_amount": self.source_text,
            "source_currency": self.source.currency(),
            "target_currency": self.target.currency(),
            "source_account_id": self.source_account_id,
            "target_account_id": self.target_account_id,
            "failure": self.failure.as_ref().map(|message| json!({ "message": message })),
            "metadata": self.metadata,
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
            "completed_at": stamp_or_null(self.completed_at),
        })
    }
}

#[derive(Debug)]
pub(crate) struct Quote {
    pub(crate) id: Uuid,
    pub(crate) status: &'static str,
    pub(crate) funding_status: &'static str,
    pub(crate) source: Money,
    pub(crate) target: Money,
    pub(crate) exchange_rate: Decimal,
    pub(crate) venue: String,
    pub(crate) expires_at: Instant,
    pub(crate) created_at: Instant,
    pub(crate) updated_at: Instant,
}

impl Quote {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "type": "quote",
            "status": self.status,
            "funding_status": self.funding_status,
            "source_amount": self.source.amount().to_string(),
            "source_currency": self.source.currency(),
            "target_amount": self.target.amount().to_string(),
            "target_currency": self.target.currency(),
            "exchange_rate": self.exchange_rate.to_string(),
            "venue": self.venue,
            "expires_at": stamp(self.expires_at),
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
        })
    }
}

#[derive(Debug)]
pub(crate) struct Deposit {
    pub(crate) id: Uuid,
    pub(crate) status: &'static str,
    pub(crate) amount: Money,
    pub(crate) source: FinancialAddress,
    pub(crate) destination_account_id: Uuid,
    pub(crate) bank_statement_reference: Option<String>,
    pub(crate) rail: Option<String>,
    pub(crate) tx_hash: Option<String>,
    pub(crate) returns: Vec<Uuid>,
    pub(crate) created_at: Instant,
    pub(crate) updated_at: Instant,
    /// The merchant's own account it came from.
    pub(crate) own_source: Option<Uuid>,
}

impl Deposit {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "type": "deposit",
            "status": self.status,
            "amount": self.amount.amount().to_string(),
            "currency": self.amount.currency(),
            "source": self.source.to_json(),
            "destination_account_id": self.destination_account_id,
            "bank_statement_reference": self.bank_statement_reference,
            "rail": self.rail,
            "tx_hash": self.tx_hash,
            "returns": self.returns,
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
        })
    }
}

#[derive(Debug)]
pub(crate) struct Return {
    pub(crate) id: Uuid,
    pub(crate) status: TransferStatus,
    pub(crate) deposit_id: Uuid,
    pub(crate) account_id: Uuid,
    pub(crate) amount: Money,
    pub(crate) failure: Option<Failure>,
    pub(crate) created_at: Instant,
    pub(crate) updated_at: Instant,
    pub(crate) reserved: bool,
    pub(crate) ending: Ending,
    pub(crate) key: Option<String>,
}

impl Return {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "type": "return",
            "status": self.status.name(),
            "deposit_id": self.deposit_id,
            "amount": self.amount.amount().to_string(),
            "currency": self.amount.currency(),
            "failure": self.failure,
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
        })
    }
}
