//! Ivy: a deposit that goes back, a conversion, a payout, a refund of a paid order, and the settlement of everything
//! there is. Data.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Counted, Scene, Valid, account, nothing_said};
use crate::simulator::config::ivy::{DEMO_API_KEY, IvyConfig};
use crate::simulator::control::{Control, ControlError, NewDeposit};
use crate::simulator::resources::FinancialAddress;

pub(super) const SCENE: Scene = Scene {
    provider: "ivy",
    credential: DEMO_API_KEY,
    settings: nothing_said,
    prepare,
    set_up: r#"
        let there = params.ivy;
        there.order = ivy::create_order(#{ amount: EUR(100), reference_id: "ORDER-1" }).id;
        there"#,
    complete,
    calls: &[
        Valid {
            endpoint: "create_return",
            call: "ivy::create_return(#{ deposit_id: params.deposit })",
            counted: Counted::Effect("return", ("80.00", "EUR")),
        },
        Valid {
            endpoint: "execute_fx",
            call: r#"ivy::execute_fx(#{
                source_account_id: params.wallet, target_account_id: params.account, source_amount: money("40.00", "USDC"),
            })"#,
            counted: Counted::Effect("conversion", ("40.00", "USDC")),
        },
        Valid {
            endpoint: "payout_available_balances",
            call: "ivy::payout_available_balances()",
            counted: Counted::Effect("settlement", ("5000.00", "GBP")),
        },
        Valid {
            endpoint: "create_refund",
            call: "ivy::create_refund(#{ order_id: params.order, amount: EUR(20.25) })",
            counted: Counted::Effect("refund", ("20.25", "EUR")),
        },
        Valid {
            endpoint: "create_payout",
            call: r#"ivy::create_payout(#{
                amount: EUR(10.50), payment_reference: "INV-1",
                destination: #{ type: "iban", iban: "DE89370400440532013000", account_holder_name: "Example GmbH" },
            })"#,
            counted: Counted::Effect("payout", ("10.50", "EUR")),
        },
    ],
};

/// Everything that is settled is in pounds, of which nothing else here is paid.
pub(super) fn config(demo: IvyConfig) -> IvyConfig {
    let pounds = FinancialAddress::SortCode {
        sort_code: "040004".to_owned(),
        account_number: "31926820".to_owned(),
        account_holder_name: "Nordlicht Handels GmbH".to_owned(),
    };
    IvyConfig {
        settlement_destination: Some(pounds),
        ..demo
    }
}

fn prepare(control: &Control) -> Result<Json, ControlError> {
    Ok(json!({
        "account": account(control, "Ivy EUR")?,
        "wallet": account(control, "Ivy USDC")?,
        "deposit": control.create_deposit(&NewDeposit::new("Ivy EUR", "80.00", "INV-7"))?,
    }))
}

/// The order is paid.
fn complete(control: &Control, there: &Json) -> Result<(), ControlError> {
    let order = there["order"].as_str().and_then(|id| Uuid::parse_str(id).ok());
    let order = order.ok_or_else(|| ControlError::NotFound("order".to_owned()))?;
    control.advance(order, "paid", None).map(|_| ())
}
