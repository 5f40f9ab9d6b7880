//! A payout's destination: its form, and whether money of a currency can go there.

use super::resources::{FinancialAddress, is_fiat};
use crate::base::money::Currency;
use crate::simulator::config::UnknownParameters;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::iban;
use crate::simulator::core::refusal::Refusal;

const BLOCKCHAINS: [&str; 8] = [
    "bitcoin",
    "ethereum",
    "solana",
    "polygon",
    "bitcoin_testnet4",
    "ethereum_sepolia",
    "solana_devnet",
    "polygon_amoy",
];

/// Reads a destination, or says what is wrong with it.
pub(crate) fn read(
    mut fields: Fields<'_>,
    currency: Currency,
    check_iban: bool,
    unknown: UnknownParameters,
) -> Result<FinancialAddress, Refusal> {
    let kind = fields.one_of("type", &["iban", "sort_code", "aba", "crypto_wallet"])?;
    let fits = match kind {
        "iban" => matches!(currency.code(), "EUR" | "GBP"),
        "sort_code" => currency.code() == "GBP",
        "aba" => currency.code() == "USD",
        _ => !is_fiat(currency),
    };
    if !fits {
        return Err(fields.invalid("type", &format!("cannot receive {currency}")));
    }
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let address = match kind {
        "iban" => {
            let number = fields.text("iban")?;
            if check_iban && !iban::is_valid(number) {
                return Err(fields.invalid("iban", "is not a valid IBAN"));
            }
            FinancialAddress::Iban {
                iban: number.to_owned(),
                account_holder_name: fields.bounded("account_holder_name", 1, 255)?.to_owned(),
                bic: fields.optional_text("bic")?.map(str::to_owned),
            }
        }
        "sort_code" => {
            let (sort_code, account_number) = (fields.text("sort_code")?, fields.text("account_number")?);
            if !digits(sort_code, 6) {
                return Err(fields.invalid("sort_code", "has 6 digits"));
            }
            if !digits(account_number, 8) {
                return Err(fields.invalid("account_number", "has 8 digits"));
            }
            FinancialAddress::SortCode {
                sort_code: sort_code.to_owned(),
                account_number: account_number.to_owned(),
                account_holder_name: fields.bounded("account_holder_name", 1, 255)?.to_owned(),
            }
        }
        "aba" => {
            let routing_number = fields.text("routing_number")?;
            if !digits(routing_number, 9) {
                return Err(fields.invalid("routing_number", "has 9 digits"));
            }
            FinancialAddress::Aba {
                routing_number: routing_number.to_owned(),
                account_number: fields.bounded("account_number", 1, 17)?.to_owned(),
                account_holder_name: fields.bounded("account_holder_name", 1, 255)?.to_owned(),
            }
        }
        _ => FinancialAddress::CryptoWallet {
            address: fields.bounded("address", 1, 128)?.to_owned(),
            blockchain: fields.one_of("blockchain", &BLOCKCHAINS)?.to_owned(),
        },
    };
    fields.finish(unknown)?;
    Ok(address)
}
