//! Payaut: a split, a refund of another one, a payout of a seller and a transfer. Data.

use serde_json::{Value as Json, json};

use super::{Counted, Scene, Valid, account, nothing_more, nothing_said};
use crate::simulator::config::payaut::DEMO_TOKEN;
use crate::simulator::control::{Control, ControlError};

pub(super) const SCENE: Scene = Scene {
    provider: "payaut",
    credential: DEMO_TOKEN,
    settings: nothing_said,
    prepare,
    set_up: r#"
        let there = params.payaut;
        let holder = payaut::list_account_holders().find(|holder| holder.displayName == "Payaut Atelier Blum");
        there.bank = payaut::list_external_accounts(holder.code)[0].code;
        payaut::create_split(#{
            ext_ref: "order-0", total_amount: EUR(70), psp_ext_ref: "psp-0", payment_processor: "ADYEN",
            items: [#{ type: "ITEM", ext_ref: "order-0-a", amount: EUR(70), account_code: there.seller, label: "PRODUCT_ITEM" }],
        });
        there"#,
    complete: nothing_more,
    calls: &[
        Valid {
            endpoint: "create_split",
            call: r#"payaut::create_split(#{
                ext_ref: "order-1", total_amount: EUR(100), psp_ext_ref: "psp-1", payment_processor: "ADYEN",
                items: [
                    #{ type: "ITEM", ext_ref: "order-1-a", amount: EUR(90), account_code: params.seller, label: "PRODUCT_ITEM" },
                    #{ type: "ITEM", ext_ref: "order-1-b", amount: EUR(10), account_code: params.other, label: "COMMISSION" },
                ],
            })"#,
            counted: Counted::Effect("split", ("100.00", "EUR")),
        },
        Valid {
            endpoint: "create_refund_split",
            call: r#"payaut::create_refund_split(#{ ext_ref: "order-0", psp_mutation_ext_ref: "back-1", total_amount: EUR(70) })"#,
            counted: Counted::Effect("refund_split", ("70.00", "EUR")),
        },
        Valid {
            endpoint: "create_payout_request",
            call: r#"payaut::create_payout_request(#{
                account_code: params.seller, amount: EUR(10.50), target_currency: "EUR", description: "INV-1",
                external_account_code: params.bank, process_at: now(),
            })"#,
            counted: Counted::Effect("payout", ("10.50", "EUR")),
        },
        Valid {
            endpoint: "transfer_balance",
            call: r#"payaut::transfer_balance(#{
                from_account_code: params.other, to_account_code: params.seller, amount: EUR(5.25), type: "WALLET",
            })"#,
            counted: Counted::Effect("transfer", ("5.25", "EUR")),
        },
    ],
};

fn prepare(control: &Control) -> Result<Json, ControlError> {
    let code = |label: &str| account(control, label).map(|id| id.to_uppercase());
    Ok(json!({
        "seller": code("Payaut Atelier Blum")?,
        "other": code("Payaut Kontor Weiss")?,
    }))
}
