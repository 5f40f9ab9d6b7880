//! What the reference leaves open: one test for each setting that no other test turns.

use bursar::simulator::config::payments::{
    AfterDecline, CARD, DECLINED_CARD, Decline, DuplicateReference, EMPTY_CARD, MerchantSeed, PaymentsConfig,
    RepeatedChange,
};
use bursar::simulator::faults::{FaultAction, FaultRule};
use bursar::simulator::resources::Failure;
use serde_json::json;

use super::{Pay, made, text};

#[tokio::test]
async fn a_decline_is_a_payment_that_failed_or_402() {
    let check = async |decline, status: u16| {
        let pay = Pay::with(|config| config.decline = decline).await;
        let intent = pay.intent(&json!({ "amount": 100 })).await;
        let body = json!({ "payment_method_id": EMPTY_CARD });
        let reply = pay.post(&format!("/payment_intents/{intent}/payments"), &body).await;
        assert_eq!(reply.status, status);
        match decline {
            Decline::Payment => assert_eq!(reply.json()["auth_response_text"], "Insufficient funds"),
            Decline::Status402 => drop(reply.refused(402, "PAYMENT_DECLINED")),
        }
        let shown = pay.fetch(&intent).await;
        assert_eq!(
            (&shown["status"], &shown["latest_payment"]["status"]),
            (&json!("failed"), &json!("failed"))
        );
        assert_eq!(pay.balance().await, (0, 0));
    };
    check(Decline::Payment, 201).await;
    check(Decline::Status402, 402).await;
}

#[tokio::test]
async fn after_a_decline_another_card_may_do() {
    let check = async |after, second: u16| {
        let pay = Pay::with(|config| config.after_decline = after).await;
        let intent = pay.intent(&json!({ "amount": 100 })).await;
        pay.charge(&intent, DECLINED_CARD).await;
        let body = json!({ "payment_method_id": CARD });
        let reply = pay.post(&format!("/payment_intents/{intent}/payments"), &body).await;
        assert_eq!(reply.status, second, "{after:?}");
    };
    check(AfterDecline::Failed, 400).await;
    check(AfterDecline::Created, 201).await;
}

#[tokio::test]
async fn a_card_can_fail_later_by_script() {
    let pay = Pay::start().await;
    let failure = Failure::new("declined", "Declined", false);
    let control = pay.bench.control();
    control.add_fault(FaultRule::on("payments.create_payment", FaultAction::FailLater { failure }).nth(1));
    let intent = pay.intent(&json!({ "amount": 100 })).await;
    assert_eq!(pay.charge(&intent, CARD).await["status"], "pending");
    pay.bench.pass(200);
    assert_eq!(pay.fetch(&intent).await["status"], "failed");
}

#[tokio::test]
async fn a_reference_may_be_used_twice() {
    let check = async |setting, second: u16| {
        let pay = Pay::with(|config| config.duplicate_reference = setting).await;
        let body = json!({ "amount": 100, "reference_id": "op_0001" });
        made(&pay.post("/payment_intents", &body).await);
        assert_eq!(pay.post("/payment_intents", &body).await.status, second);
        made(&pay.post("/payment_intents", &json!({ "amount": 100 })).await);
        made(&pay.post("/payment_intents", &json!({ "amount": 100 })).await);
    };
    check(DuplicateReference::Accept, 201).await;
    check(DuplicateReference::Refuse, 400).await;
}

#[tokio::test]
async fn a_change_to_where_it_is_already_is_refused_or_nothing() {
    let check = async |setting, second: u16| {
        let pay = Pay::with(|config| config.repeated_change = setting).await;
        let nothing = json!({});
        let intent = format!("/payment_intents/{}/cancel", pay.intent(&json!({ "amount": 1 })).await);
        let session = made(&pay.post("/checkout_sessions", &super::operations::session()).await);
        let session = format!("/checkout_sessions/{}/expire", text(&session["id"]));
        for path in [intent, session] {
            let first = pay.post(&path, &nothing).await.ok();
            let again = pay.post(&path, &nothing).await;
            assert_eq!(again.status, second, "{path}");
            assert!(second != 200 || again.json() == first);
        }
    };
    check(RepeatedChange::Refuse, 400).await;
    check(RepeatedChange::Same, 200).await;
}

#[tokio::test]
async fn a_payment_may_complete_its_session() {
    let pay = Pay::with(|config| config.payment_completes_session = true).await;
    let session = made(&pay.post("/checkout_sessions", &super::operations::session()).await);
    let path = format!("/checkout_sessions/{}", text(&session["id"]));
    made(
        &pay.post(&format!("{path}/payments"), &json!({ "payment_method_id": CARD }))
            .await,
    );
    assert_eq!(pay.get(&path).await.ok()["status"], "completed");
}

#[tokio::test]
async fn an_amount_in_an_answer_can_be_wrong_and_stays_a_number() {
    let pay = Pay::start().await;
    let wrong = FaultAction::WrongAmount {
        amount: "999".to_owned(),
    };
    pay.bench
        .control()
        .add_fault(FaultRule::on("payments.create_payment_intent", wrong).nth(1));
    let shown = made(&pay.post("/payment_intents", &json!({ "amount": 100 })).await);
    assert_eq!(shown["amount"], 999);
    assert_eq!(pay.fetch(&text(&shown["id"])).await["amount"], 100);
}

#[tokio::test]
async fn settings_survive_their_own_writing_and_wrong_ones_are_said() {
    let config = PaymentsConfig::demo();
    let written = serde_json::to_value(&config).unwrap();
    let read: PaymentsConfig = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), written);
    let check = async |change: fn(&mut PaymentsConfig), expected: &str| {
        let mut config = bursar::simulator::config::SimulatorConfig::demo();
        change(&mut config.payments);
        let clock = std::sync::Arc::new(bursar::base::clock::SystemClock::new());
        let refused = bursar::simulator::Simulator::start(config, clock).await.unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
    };
    check(
        |config| config.webhook_secret = "whsec".to_owned(),
        "payments.webhook_secret",
    )
    .await;
    check(
        |config| config.payment_methods[0].id = "4242".to_owned(),
        "payment method `4242`",
    )
    .await;
    check(
        |config| config.accounts = vec![MerchantSeed::new("A"), MerchantSeed::new("A")],
        "there is an account `A`",
    )
    .await;
}
