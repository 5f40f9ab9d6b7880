//! Augustus: payouts, conversions, returns, and everything else that changes something there. Data.

use serde_json::{Value as Json, json};

use super::{Counted, Scene, Valid, account, nothing_more, nothing_said};
use crate::simulator::config::{DEMO_API_KEY, SubscriptionSeed};
use crate::simulator::control::{Control, ControlError, NewDeposit};

pub(super) const SCENE: Scene = Scene {
    provider: "augustus",
    credential: DEMO_API_KEY,
    settings: nothing_said,
    prepare,
    set_up: r#"
        let there = params.augustus;
        augustus::freeze_account(#{ id: there.frozen });
        augustus::freeze_account(#{ id: there.to_close });
        there.program = augustus::list_account_programs()[0].id;
        there.delivery = augustus::list_webhook_deliveries(#{ subscription_id: there.first })[0].id;
        there"#,
    complete: nothing_more,
    calls: &[
        Valid {
            endpoint: "create_payout",
            call: r#"augustus::create_payout(#{
                source_account_id: params.operating, amount: EUR(10.50), reference: "INV-1",
                destination: #{ type: "iban", iban: "DE89370400440532013000", account_holder_name: "Example GmbH" },
            })"#,
            counted: Counted::Effect("payout", ("10.50", "EUR")),
        },
        Valid {
            endpoint: "create_conversion",
            call: r#"augustus::create_conversion(#{
                source_account_id: params.wallet, target_account_id: params.treasury, source_amount: money("50.00", "USDC"),
            })"#,
            counted: Counted::Effect("conversion", ("50.00", "USDC")),
        },
        Valid {
            endpoint: "create_return",
            call: "augustus::create_return(#{ deposit_id: params.deposit })",
            counted: Counted::Effect("return", ("75.20", "EUR")),
        },
        Valid {
            endpoint: "create_account",
            call: r#"augustus::create_account(#{
                account_program_id: params.program, account_type: "virtual_account",
                beneficiary_data: #{
                    legal_name: "Erika Mustermann", date_of_birth: "1980-02-29", country_of_citizenship: "DE",
                    identification: #{ type: "id", value: "L01X00T47" },
                    residential_address: #{
                        street_line_1: "Lange Straße 1", city: "Bremen", postal_code: "28195", country: "DE",
                    },
                },
            })"#,
            counted: Counted::Answered,
        },
        Valid {
            endpoint: "freeze_account",
            call: "augustus::freeze_account(#{ id: params.to_freeze })",
            counted: Counted::Answered,
        },
        Valid {
            endpoint: "unfreeze_account",
            call: "augustus::unfreeze_account(#{ id: params.frozen })",
            counted: Counted::Answered,
        },
        Valid {
            endpoint: "close_account",
            call: r#"augustus::close_account(#{ id: params.to_close, reason: "client_request" })"#,
            counted: Counted::Answered,
        },
        Valid {
            endpoint: "redeliver_webhook_delivery",
            call: "augustus::redeliver_webhook_delivery(#{ id: params.delivery })",
            counted: Counted::Answered,
        },
        Valid {
            endpoint: "create_webhook_subscription",
            call: r#"augustus::create_webhook_subscription(#{ url: "http://127.0.0.1:1/fourth", events: ["payout.paid"] })"#,
            counted: Counted::Answered,
        },
        Valid {
            endpoint: "update_webhook_subscription",
            call: r#"augustus::update_webhook_subscription(#{ id: params.second, url: "http://127.0.0.1:1/changed" })"#,
            counted: Counted::Answered,
        },
        Valid {
            endpoint: "delete_webhook_subscription",
            call: "augustus::delete_webhook_subscription(#{ id: params.third })",
            counted: Counted::Answered,
        },
        Valid {
            endpoint: "send_test_event",
            call: "augustus::send_test_event(#{ id: params.first })",
            counted: Counted::Answered,
        },
    ],
};

fn prepare(control: &Control) -> Result<Json, ControlError> {
    let subscribe = |path: &str| {
        let seed = SubscriptionSeed {
            url: format!("http://127.0.0.1:1/{path}"),
            events: vec!["deposit.received".to_owned()],
            secret: None,
        };
        control.add_subscription(&seed)
    };
    Ok(json!({
        "operating": account(control, "Operating DE")?,
        "wallet": account(control, "USDC wallet")?,
        "treasury": account(control, "Treasury EUR")?,
        "to_freeze": account(control, "Operating NL")?,
        "frozen": account(control, "Operating FR")?,
        "to_close": account(control, "Seller Kontor Weiss")?,
        "first": subscribe("first")?,
        "second": subscribe("second")?,
        "third": subscribe("third")?,
        "deposit": control.create_deposit(&NewDeposit::new("Collections EUR", "75.20", "HELLO"))?,
    }))
}
