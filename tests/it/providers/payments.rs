//! Scripts at the Payments API: a payer is charged, a part is captured, a part goes back, each once, whatever is lost. Nothing
//! there marks a refund as ours: what is left in doubt is told by what changed, else by a person.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::model::journal::Journal;
use bursar::model::run::{Run, RunState};
use bursar::simulator::config::payments::{BANK, CARD, DEMO_API_KEY, DEMO_WEBHOOK_SECRET, MerchantSeed, PayeeSeed};
use bursar::simulator::config::{AfterServerError, SimulatorConfig};
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::ivy::run;
use super::lead_to;
use crate::simulator::http::send;
use crate::support::{World, passing, until};

const INTENT: &str = "payments.create_payment_intent";
const CHARGE: &str = "payments.create_payment";
pub(super) const CAPTURE: &str = "payments.capture_payment_intent";
const REFUND: &str = "payments.create_refund";
const SHOW: &str = "payments.retrieve_payment_intent";

/// No key is good for longer.
const KEY_WINDOW: Duration = Duration::from_secs(3_600);
/// How much time passes at once while a run waits.
const STEP: Duration = Duration::from_secs(20);

pub(super) struct Shop {
    pub(super) world: World,
    clock: ManualClock,
    pub(super) account: String,
}

impl Shop {
    pub(super) async fn new() -> Self {
        let clock = ManualClock::new(SystemClock::new().now());
        let mut config = SimulatorConfig::demo();
        config.payments.accounts = vec![MerchantSeed::new("Shop"), MerchantSeed::new("Another")];
        config.payments.payees = vec![PayeeSeed {
            id: "payee_weiss".to_owned(),
            active: true,
        }];
        let mut world = World::with_clock(config, Arc::new(clock.clone())).await;
        lead_to(&mut world, "payments", DEMO_API_KEY, DEMO_WEBHOOK_SECRET);
        let account = world.simulator.control.account("Shop").expect("a merchant");
        let account = MerchantSeed::shown_id(account);
        world.reconnect(|bank| {
            bank.settings.insert("account_id".to_owned(), account.clone());
        });
        Self { world, clock, account }
    }

    /// One whose keys protect nothing any more.
    async fn without_keys() -> Self {
        let mut shop = Self::new().await;
        shop.world.reconnect(|bank| bank.key_window_secs = Some(0));
        shop
    }

    pub(super) fn goes_wrong(&self, operation: &str, action: FaultAction) {
        let rule = FaultRule::on(operation, action).times(1);
        self.world.simulator.control.add_fault(rule);
    }

    pub(super) async fn told(&self, script: &str) -> Json {
        let run = self.run(script).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
        run.result.unwrap_or_default()
    }

    pub(super) async fn run(&self, script: &str) -> Run {
        run(&self.world, &self.clock, script).await
    }

    /// An intent over 100 that a card has paid; its id.
    async fn paid(&self) -> String {
        let script = format!(
            r#"let intent = bank::create_payment_intent(#{{ amount: USD(100), capture: true }});
            bank::create_payment(#{{ id: intent.id, payment_method_id: "{CARD}" }});
            intent.id"#
        );
        self.told(&script).await.as_str().expect("an id").to_owned()
    }

    pub(super) fn asked(&self, operation: &str) -> u64 {
        let requests = self.world.simulator.control.requests();
        requests.get(operation).map_or(0, |count| count.total)
    }

    /// What the ledger says: of what kind, and how much.
    pub(super) fn effects(&self) -> Vec<String> {
        let control = &self.world.simulator.control;
        assert!(control.ledger().invariant_ok, "{:?}", control.ledger().invariant_error);
        let effects = control.effects().into_iter();
        effects
            .map(|effect| format!("{} {}", effect.kind, effect.amount))
            .collect()
    }

    /// What somebody does at the provider's own pages.
    async fn by_hand(&self, path: &str, body: &Json) {
        let headers = [
            ("x-api-key", DEMO_API_KEY),
            ("x-account-id", self.account.as_str()),
            ("content-type", "application/json"),
        ];
        let (target, body) = (format!("/payments{path}"), body.to_string());
        let answer = send(
            self.world.simulator.address,
            "POST",
            &target,
            &headers,
            Some(body.as_bytes()),
        );
        let status = answer.await.expect("an answer").status;
        assert!(matches!(status, 200 | 201), "{status}");
    }
}

fn failed(when: When) -> FaultAction {
    FaultAction::Status {
        status: 500,
        when,
        retry_after_secs: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_is_charged_captured_and_refunded_once_whatever_is_lost() {
    let shop = Shop::new().await;
    for operation in [INTENT, CHARGE, CAPTURE, REFUND] {
        shop.goes_wrong(operation, FaultAction::DropAfterEffect);
    }
    let script = format!(
        r#"let intent = bank::create_payment_intent(#{{ amount: USD(100), capture: false }});
        let charge = bank::create_payment(#{{ id: intent.id, payment_method_id: "{CARD}" }});
        let over = "";
        try {{ bank::capture(#{{ payment: intent.id, amount: USD(100.01) }}); }} catch (e) {{ over = e.message; }}
        let taken = bank::capture(#{{ payment: intent.id, amount: USD(80) }});
        let part = bank::refund(#{{ payment: intent.id, amount: USD(20.25) }});
        let more = "";
        try {{ bank::refund(#{{ payment: intent.id, amount: USD(59.76) }}); }} catch (e) {{ more = e.message; }}
        // What shows the refund is the intent: nothing tells which refund it is, and `settled` says so at once.
        let ended = "";
        try {{ bank::settled(part, "1d"); }} catch (e) {{ ended = e.message; }}
        let settled = bank::settled(taken, "1d");
        [charge.status, taken.amount_captured, over, part.refunded, part.left, more, ended, settled.settlement_status]"#
    );
    let told = shop.told(&script).await;
    let shown: Vec<String> = told.as_array().expect("a list").iter().map(Json::to_string).collect();
    assert_eq!((&told[0], &told[1]), (&json!("uncaptured"), &json!(8_000)));
    for (at, expected) in [
        (2, "USD 100.01 is more than the USD 100.00"),
        (3, "20.25"),
        (4, "59.75"),
        (5, "USD 59.76 is more than the USD 59.75"),
        (6, "does not tell how it ends"),
        (7, "settled"),
    ] {
        assert!(shown[at].contains(expected), "{at}: {}", shown[at]);
    }
    for operation in [INTENT, CHARGE, CAPTURE, REFUND] {
        assert_eq!(shop.asked(operation), 1, "{operation}: it is looked for");
    }
    assert_eq!(shop.effects(), ["payment USD 100.00", "refund USD 20.25"]);
}

/// A call that failed leaves its key free, though it may have had its effect; also where nobody hears that it failed.
async fn is_never_repeated_under_its_key(fault: FaultAction) {
    for operation in [INTENT, CHARGE, CAPTURE, REFUND] {
        let shop = Shop::new().await;
        let free = |config: &mut SimulatorConfig| {
            config.payments.idempotency.after_server_error = AfterServerError::RunAgain;
        };
        shop.world.simulator.control.configure(free);
        shop.goes_wrong(operation, fault.clone());
        let script = format!(
            r#"let intent = bank::create_payment_intent(#{{ amount: USD(100), capture: false }});
            bank::create_payment(#{{ id: intent.id, payment_method_id: "{CARD}" }});
            bank::capture(#{{ payment: intent.id, amount: USD(80) }});
            bank::refund(#{{ payment: intent.id, amount: USD(20.25) }});
            intent.id"#
        );
        shop.told(&script).await;
        assert_eq!(shop.asked(operation), 1, "{operation}");
        assert_eq!(
            shop.effects(),
            ["payment USD 100.00", "refund USD 20.25"],
            "{operation}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_effect_is_never_repeated_under_its_key() {
    is_never_repeated_under_its_key(failed(When::After)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_effect_that_is_lost_is_never_repeated_under_its_key() {
    is_never_repeated_under_its_key(FaultAction::ErrorLost { status: 500 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_key_protects_a_refund_is_told_by_what_changed() {
    let shop = Shop::without_keys().await;
    let intent = shop.paid().await;
    shop.goes_wrong(REFUND, FaultAction::DropAfterEffect);
    let script = format!(
        r#"bank::create_refund(#{{ id: "{intent}", amount: USD(20.25) }});
        bank::create_refund(#{{ id: "{intent}", amount: USD(20.25) }}).amount"#
    );
    assert_eq!(shop.told(&script).await, json!(2_025));
    assert_eq!(shop.asked(REFUND), 2);
    assert_eq!(
        shop.effects(),
        ["payment USD 100.00", "refund USD 20.25", "refund USD 20.25"]
    );
}

/// A refund whose answer was lost while its key was good, which nothing can be seen of before that has lapsed. The run,
/// and how often the refund was sent.
async fn goes_on_when_its_key_has_lapsed(shop: &Shop, lost: FaultAction) -> (Run, u64) {
    let intent = shop.paid().await;
    // What was done to the intent before may not be shown yet: nothing is refunded before that is over.
    shop.clock.advance(Duration::from_secs(601));
    shop.goes_wrong(REFUND, lost);
    // It is read once before; then nothing can be seen for a while. The charge has read the intent as well.
    let away = FaultAction::Status {
        status: 503,
        when: When::Before,
        retry_after_secs: None,
    };
    let control = &shop.world.simulator.control;
    control.add_fault(FaultRule::on(SHOW, away).nth(2).times(1_000));
    let store = shop.world.store().await;
    let engine = shop.world.engine(store.clone()).await;
    let script = format!(r#"bank::create_refund(#{{ id: "{intent}", amount: USD(20.25) }}).id"#);
    let id = shop.world.start(store.as_ref(), &script, json!({}), json!({})).await;
    // The clock stands still: it is sent once, and waits to be looked for or sent again.
    let waiting = until(store.as_ref(), id, |run| {
        shop.asked(REFUND) == 1 && run.state == RunState::Waiting
    })
    .await;
    assert!(
        waiting
            .wake_at
            .is_some_and(|wake_at| wake_at < shop.clock.now() + KEY_WINDOW)
    );
    let sent = Journal::from_records(store.journal(id).await.expect("read")).expect("legal");
    let safe_until = sent.steps().find_map(|(_, step)| step.effect.as_ref()?.key_safe_until);
    let safe_until = safe_until.expect("its key is trusted");
    assert!(safe_until > shop.clock.now(), "its key is good when it goes out");
    shop.clock.advance(KEY_WINDOW);
    assert!(safe_until < shop.clock.now(), "and has lapsed when it goes on");
    control.clear_faults();
    let run = passing(store.as_ref(), &shop.clock, id, RunState::Waiting, STEP).await;
    engine.stop().await;
    store.close().await.expect("closed");
    (run, shop.asked(REFUND))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_whose_key_lapses_between_two_attempts_is_found_by_what_changed() {
    let shop = Shop::new().await;
    let (run, sent) = goes_on_when_its_key_has_lapsed(&shop, FaultAction::DropAfterEffect).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(sent, 1, "it is looked up, not sent again");
    assert_eq!(shop.effects(), ["payment USD 100.00", "refund USD 20.25"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_whose_key_lapses_and_that_changed_nothing_is_for_a_person() {
    let shop = Shop::new().await;
    let (run, sent) = goes_on_when_its_key_has_lapsed(&shop, FaultAction::Refuse).await;
    assert_eq!(run.state, RunState::Parked, "{:?} {:?}", run.result, run.error);
    assert_eq!(sent, 1, "nothing is sent again blindly");
    assert_eq!(shop.effects(), ["payment USD 100.00"]);
}

/// Nothing changed, which a refund that is still under way does not contradict: it is not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_changed_nothing_yet_is_for_a_person() {
    let shop = Shop::without_keys().await;
    let intent = shop.paid().await;
    shop.goes_wrong(REFUND, failed(When::Before));
    let script = format!(r#"bank::create_refund(#{{ id: "{intent}", amount: USD(20.25) }}).id"#);
    let run = shop.run(&script).await;
    assert_eq!(run.state, RunState::Parked, "{:?}", run.error);
    assert_eq!((shop.asked(REFUND), shop.effects().len()), (1, 1));
}

/// Nothing tells two refunds of the same amount apart: with a second one, made by hand meanwhile, a person is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_in_doubt_is_for_a_person_when_another_was_made_meanwhile() {
    let shop = Shop::without_keys().await;
    let intent = shop.paid().await;
    // What was done to the intent before may not be shown yet: nothing is refunded before that is over.
    shop.clock.advance(Duration::from_secs(601));
    let control = &shop.world.simulator.control;
    shop.goes_wrong(REFUND, FaultAction::DropAfterEffect);
    // It is read once before; then nothing can be seen for a while. The charge has read the intent as well.
    let seen = shop.asked(SHOW);
    let away = FaultAction::Status {
        status: 503,
        when: When::Before,
        retry_after_secs: None,
    };
    control.add_fault(FaultRule::on(SHOW, away).nth(2).times(1_000));
    let store = shop.world.store().await;
    let engine = shop.world.engine(store.clone()).await;
    let script = format!(r#"bank::create_refund(#{{ id: "{intent}", amount: USD(20.25) }}).id"#);
    let id = shop.world.start(store.as_ref(), &script, json!({}), json!({})).await;
    until(store.as_ref(), id, |_| shop.asked(SHOW) >= seen + 2).await;
    assert_eq!(shop.effects().len(), 2);
    let path = format!("/payment_intents/{intent}/refunds");
    shop.by_hand(&path, &json!({ "amount": 2_025 })).await;
    control.clear_faults();
    let run = passing(store.as_ref(), &shop.clock, id, RunState::Waiting, STEP).await;
    engine.stop().await;
    store.close().await.expect("closed");
    assert_eq!(run.state, RunState::Parked, "{:?} {:?}", run.result, run.error);
    assert_eq!(shop.asked(REFUND), 2, "ours once, and the one by hand");
    assert_eq!(
        shop.effects(),
        ["payment USD 100.00", "refund USD 20.25", "refund USD 20.25"]
    );
}

/// A capture in doubt, while somebody captured the same amount by hand without the parts that ours would share out.
#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_shows_other_parts_is_for_a_person() {
    for shares in [
        r#"[#{ recipient_id: "payee_weiss", recipient_type: "payee", amount: USD(30) }]"#,
        "()",
    ] {
        let shop = Shop::without_keys().await;
        let control = &shop.world.simulator.control;
        let script = format!(
            r#"let intent = bank::create_payment_intent(#{{ amount: USD(100), capture: false }});
            bank::create_payment(#{{ id: intent.id, payment_method_id: "{CARD}" }});
            intent.id"#
        );
        let intent = shop.told(&script).await.as_str().expect("an id").to_owned();
        let seen = shop.asked(SHOW);
        shop.goes_wrong(CAPTURE, failed(When::Before));
        control.add_fault(FaultRule::on(SHOW, failed(When::Before)).times(1_000));
        let store = shop.world.store().await;
        let engine = shop.world.engine(store.clone()).await;
        let script = format!(
            r#"bank::capture_payment_intent(#{{ id: "{intent}", amount: USD(80), payment_splits: {shares} }}).amount_captured"#
        );
        let id = shop.world.start(store.as_ref(), &script, json!({}), json!({})).await;
        until(store.as_ref(), id, |_| shop.asked(SHOW) > seen).await;
        let path = format!("/payment_intents/{intent}/capture");
        shop.by_hand(&path, &json!({ "amount": 8_000 })).await;
        control.clear_faults();
        let run = passing(store.as_ref(), &shop.clock, id, RunState::Waiting, STEP).await;
        engine.stop().await;
        store.close().await.expect("closed");
        // Where nothing was to be shared out, what is there is what was meant.
        let expected = if shares == "()" {
            RunState::Succeeded
        } else {
            RunState::Parked
        };
        assert_eq!(run.state, expected, "{shares}: {:?} {:?}", run.result, run.error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_back_of_what_the_payer_took_back_or_disputes() {
    for (method, steps, reason) in [
        (BANK, vec!["captured", "reversed"], "took it back"),
        (CARD, vec!["disputed"], "dispute"),
    ] {
        let shop = Shop::new().await;
        let script = format!(
            r#"let intent = bank::create_payment_intent(#{{ amount: USD(100), capture: true }});
            bank::create_payment(#{{ id: intent.id, payment_method_id: "{method}" }});
            intent.id"#
        );
        let intent = shop.told(&script).await.as_str().expect("an id").to_owned();
        let control = &shop.world.simulator.control;
        let id = Uuid::parse_str(intent.trim_start_matches("pi_")).expect("an id");
        for step in steps {
            control.advance(id, step, None).expect("it happens");
        }
        let script = format!(
            r#"let told = "it went back";
            try {{ bank::create_refund(#{{ id: "{intent}", amount: USD(20) }}); }} catch (e) {{ told = `${{e.error}}: ${{e.message}}`; }}
            told"#
        );
        let told = shop.told(&script).await.to_string();
        assert!(told.contains("not_possible") && told.contains(reason), "{told}");
        assert_eq!(shop.asked(REFUND), 0, "{told}");
    }
}

/// A connection acts for several accounts: what is waited for is asked for under the one that it was made under.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_account_made_is_waited_for_under_that_account() {
    let shop = Shop::new().await;
    let other = shop.world.simulator.control.account("Another").expect("a merchant");
    let other = MerchantSeed::shown_id(other);
    let script = format!(
        r#"let intent = bank::create_payment_intent(#{{ account: "{other}", amount: USD(100), capture: true }});
        bank::create_payment(#{{ account: "{other}", id: intent.id, payment_method_id: "{CARD}" }});
        let part = bank::create_refund(#{{ account: "{other}", id: intent.id, amount: USD(20) }});
        part.resource = "refund";
        let ended = bank::settled(part, "1d");
        let open = bank::create_payment_intent(#{{ account: "{other}", amount: USD(5), capture: false }});
        open.resource = "payment_intent";
        [ended.status, ended.account_id, bank::cancel(open).status]"#
    );
    assert_eq!(shop.told(&script).await, json!(["succeeded", other, "cancelled"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_movements_and_what_was_called_off_are_told() {
    let shop = Shop::new().await;
    let intent = shop.paid().await;
    let account = &shop.account;
    let script = format!(
        r#"let open = bank::create_payment_intent(#{{ amount: USD(5), capture: false }});
        open.resource = "payment_intent";
        let ended = bank::cancel(open);
        let booked = bank::transactions(#{{ account: "{account}" }});
        [ended.status, bank::balance("{account}"), booked.len(), booked[0].amount, booked[0].kind]"#
    );
    let told = shop.told(&script).await;
    assert_eq!(told[0], "cancelled");
    assert!(told[1].to_string().contains("USD"), "{told}");
    assert_eq!(told[2], 1, "{told}");
    assert!(told[3].to_string().contains("100.00"), "{told} {intent}");
    assert_eq!(told[4], "payment", "{told}");
}
