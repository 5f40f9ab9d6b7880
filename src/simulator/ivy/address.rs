//! Financial addresses as this provider writes and reads them: a type, and the member of that name.

use serde_json::{Value as Json, json};

use crate::base::money::Currency;
use crate::simulator::config::UnknownParameters;
use crate::simulator::core::address::{Address, Number};
use crate::simulator::core::fields::Fields;
use crate::simulator::core::iban;
use crate::simulator::core::refusal::Refusal;

const TYPES: [&str; 6] = ["iban", "sort_code", "bank_code", "bban", "wallet", "aba"];

/// The chains of requests, with the words the other providers share.
const CHAINS: [(&str, &str); 6] = [
    ("ETH", "ethereum"),
    ("ETH-SEPOLIA", "ethereum_sepolia"),
    ("SOL", "solana"),
    ("SOL-DEVNET", "solana_devnet"),
    ("MATIC", "polygon"),
    ("MATIC-AMOY", "polygon_amoy"),
];

/// Chains that only deposits come by.
const CHAINS_TOLD: [(&str, &str); 2] = [("BTC", "bitcoin"), ("BTC-TESTNET4", "bitcoin_testnet4")];

/// Reads an address: exactly the member that its type names, with everything in it that belongs there.
pub(crate) fn read(mut fields: Fields<'_>, unknown: UnknownParameters) -> Result<Address, Refusal> {
    let kind = fields.one_of("type", &TYPES)?;
    let member_name = match kind {
        "iban" => "iban",
        "sort_code" => "sortCode",
        "bank_code" => "bankCode",
        "bban" => "bban",
        "aba" => "aba",
        _ => "wallet",
    };
    let mut member = fields.object(member_name)?;
    let address = read_member(&mut member, kind)?;
    member.finish(unknown)?;
    fields.finish(unknown)?;
    Ok(address)
}

fn read_member(member: &mut Fields<'_>, kind: &str) -> Result<Address, Refusal> {
    let holder = match kind {
        "wallet" => None,
        _ => Some(filled(member, "accountHolderName")?),
    };
    let mut bic = None;
    let number = match kind {
        "iban" => {
            let number = member.text("iban")?;
            if !iban::is_valid(number) {
                return Err(member.invalid("iban", "is not a valid IBAN"));
            }
            bic = member.optional_text("bic")?.map(str::to_owned);
            Number::Iban(number.to_owned())
        }
        "sort_code" => Number::SortCode {
            sort_code: digits(member, "sortCode", 6, 6)?,
            account: digits(member, "accountNumber", 1, 8)?,
        },
        "bank_code" => Number::BankCode {
            code: filled(member, "code")?,
            account: digits(member, "accountNumber", 1, 34)?,
        },
        "bban" => {
            bic = member.optional_text("bic")?.map(str::to_owned);
            Number::Bban(filled(member, "bban")?)
        }
        "aba" => Number::Aba {
            routing: digits(member, "routingNumber", 9, 9)?,
            account: digits(member, "accountNumber", 1, 17)?,
        },
        _ => {
            let names = CHAINS.map(|(name, _)| name);
            let asked = member.one_of("blockchain", &names)?;
            let chain = CHAINS.iter().find(|(name, _)| *name == asked);
            Number::Wallet {
                address: filled(member, "address")?,
                chain: chain.map_or(asked, |(_, word)| word).to_owned(),
            }
        }
    };
    Ok(Address { holder, number, bic })
}

fn filled(member: &mut Fields<'_>, field: &'static str) -> Result<String, Refusal> {
    Ok(member.bounded(field, 1, 255)?.to_owned())
}

fn digits(member: &mut Fields<'_>, field: &'static str, min: usize, max: usize) -> Result<String, Refusal> {
    let text = member.bounded(field, min, max)?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err(member.invalid(field, "has digits only"))
}

/// The address as it is shown.
pub(crate) fn write(address: &Address) -> Json {
    let holder = &address.holder;
    let (kind, name, mut member) = match &address.number {
        Number::Iban(iban) => ("iban", "iban", json!({ "iban": iban })),
        Number::SortCode { sort_code, account } => (
            "sort_code",
            "sortCode",
            json!({ "sortCode": sort_code, "accountNumber": account }),
        ),
        Number::BankCode { code, account } => (
            "bank_code",
            "bankCode",
            json!({ "code": code, "accountNumber": account }),
        ),
        Number::Bban(bban) => ("bban", "bban", json!({ "bban": bban })),
        Number::Aba { routing, account } => (
            "aba",
            "aba",
            json!({ "routingNumber": routing, "accountNumber": account }),
        ),
        Number::Wallet { address, chain } => {
            let mut known = CHAINS.iter().chain(&CHAINS_TOLD);
            let shown = known
                .find(|(_, word)| word == chain)
                .map_or(chain.as_str(), |(name, _)| name);
            ("wallet", "wallet", json!({ "address": address, "blockchain": shown }))
        }
    };
    if let Some(holder) = holder {
        member["accountHolderName"] = json!(holder);
    }
    if let Some(bic) = &address.bic {
        member["bic"] = json!(bic);
    }
    json!({ "type": kind, name: member })
}

/// Whether money of this currency can go to this kind of address: coins to wallets, and each national kind
/// with its own currency.
pub(crate) fn takes(address: &Address, currency: Currency) -> bool {
    match &address.number {
        Number::Wallet { .. } => currency.code() == "USDC",
        Number::SortCode { .. } => currency.code() == "GBP",
        Number::Aba { .. } => currency.code() == "USD",
        Number::Iban(_) | Number::BankCode { .. } | Number::Bban(_) => currency.code() != "USDC",
    }
}
