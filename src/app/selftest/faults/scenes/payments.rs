//! The Payments API: a charge of an intent and of a checkout session, a capture, a refund. Data.

use serde_json::{Value as Json, json};

use super::{Counted, Scene, Valid, nothing_more};
use crate::simulator::config::payments::{CARD, DEMO_API_KEY, MerchantSeed};
use crate::simulator::control::{Control, ControlError};

pub(super) const SCENE: Scene = Scene {
    provider: "payments",
    credential: DEMO_API_KEY,
    settings,
    prepare,
    set_up: r#"
        let there = params.payments;
        there.open = payments::create_payment_intent(#{ amount: USD(11), capture: true }).id;
        there.authorised = payments::create_payment_intent(#{ amount: USD(14), capture: false }).id;
        payments::create_payment(#{ id: there.authorised, payment_method_id: there.card });
        there.captured = payments::create_payment_intent(#{ amount: USD(40), capture: true }).id;
        payments::create_payment(#{ id: there.captured, payment_method_id: there.card });
        there.session = payments::create_checkout_session(#{
            cancel_url: "https://shop.example/cancelled", success_url: "https://shop.example/paid",
            customer_email: "erika@example.com", subtotal: USD(12), discount_amount: USD(0),
            payment_intent_data: #{ amount: USD(12), capture: true },
        }).id;
        there"#,
    complete: nothing_more,
    calls: &[
        Valid {
            endpoint: "create_checkout_session_payment",
            call: "payments::create_checkout_session_payment(#{ id: params.session, payment_method_id: params.card })",
            counted: Counted::Effect("payment", ("12.00", "USD")),
        },
        Valid {
            endpoint: "capture_payment_intent",
            call: "payments::capture_payment_intent(#{ id: params.authorised, amount: USD(8) })",
            counted: Counted::Movement("payment.captured", ("8.00", "USD")),
        },
        Valid {
            endpoint: "create_payment",
            call: "payments::create_payment(#{ id: params.open, payment_method_id: params.card })",
            counted: Counted::Effect("payment", ("11.00", "USD")),
        },
        Valid {
            endpoint: "create_refund",
            call: "payments::create_refund(#{ id: params.captured, amount: USD(15.25) })",
            counted: Counted::Effect("refund", ("15.25", "USD")),
        },
    ],
};

/// The merchant that is acted for.
fn settings(control: &Control) -> Vec<(&'static str, String)> {
    let account = control.account("Payments USD").map(MerchantSeed::shown_id);
    account.into_iter().map(|id| ("account_id", id)).collect()
}

fn prepare(_: &Control) -> Result<Json, ControlError> {
    Ok(json!({ "card": CARD }))
}
