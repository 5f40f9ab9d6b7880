//! Splits where the provider divides by itself: one call, every cent to somebody who is there, each payment once.

use bursar::model::run::RunState;
use bursar::simulator::config::payaut::UnknownAccount;
use bursar::simulator::config::payments::CARD;
use bursar::simulator::control::NewDeposit;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use serde_json::{Value as Json, json};

use super::payaut::{SELLER, SPLIT, TREASURY, asked, balance, code, lost, made, payaut, run};
use super::payments::{CAPTURE, Shop};
use crate::support::World;

/// A script that divides 1,234.56 between the seller and the treasury, whose fee has a cap; and what it says besides.
fn split(world: &World, besides: &str) -> String {
    let (seller, treasury) = (code(world, SELLER), code(world, TREASURY));
    format!(
        r#"let seller = "{seller}";
        let treasury = "{treasury}";
        let done = bank::split(#{{
            total: EUR(1_234.56), payment: "psp-1", processor: "ADYEN", reference: "order-1", {besides}
            parts: [
                #{{ name: "commission", to: treasury, percent: 2.5, maximum: EUR(25), label: "COMMISSION" }},
                #{{ name: "seller", to: seller, rest: true, label: "PRODUCT_ITEM" }},
            ],
        }});
        [done.complete, done.parts.map(|part| `${{part.name}} ${{part.amount}} ${{part.status}}`), done.split.resource, done.split.id]"#
    )
}

/// What the ledger has of the items of its one split.
fn items(world: &World) -> Vec<String> {
    let effects = made(world, "split");
    assert_eq!(effects.len(), 1);
    let items = effects[0].destination.as_array().expect("items").clone();
    let text = |item: &Json, key: &str| item[key].as_str().unwrap_or("-").to_owned();
    items
        .iter()
        .map(|item| {
            format!(
                "{} {} {} {}",
                text(item, "extRef"),
                item["amount"],
                text(item, "label"),
                text(item, "accountCode")
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_divided_by_one_call_and_once_whatever_is_lost() {
    let (world, clock) = payaut(|_| {}).await;
    world.simulator.control.add_fault(lost(SPLIT, 2));
    let run = run(&world, &clock, &split(&world, ""), json!({})).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(
        run.result,
        Some(json!([
            true,
            ["commission EUR 25.00 made", "seller EUR 1,209.56 made"],
            "split",
            "psp-1"
        ]))
    );
    assert_eq!(asked(&world, SPLIT), 3, "under its number");
    let (seller, treasury) = (code(&world, SELLER), code(&world, TREASURY));
    assert_eq!(
        items(&world),
        [
            format!("order-1/commission 2500 COMMISSION {treasury}"),
            format!("order-1/seller 120956 PRODUCT_ITEM {seller}"),
        ]
    );
    // The processor reports and hands over: each has what it was to get.
    let before = (balance(&world, SELLER), balance(&world, TREASURY));
    assert_eq!(before, ("EUR 1,050.00".to_owned(), "EUR 0.00".to_owned()));
    let id = made(&world, "split")[0].id;
    world
        .simulator
        .control
        .advance(id, "reconciled", None)
        .expect("it is settled");
    assert_eq!(
        (balance(&world, SELLER), balance(&world, TREASURY)),
        ("EUR 2,259.56".to_owned(), "EUR 25.00".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_of_the_processor_goes_to_the_account_it_is_charged_to_and_nothing_is_lost() {
    let (world, clock) = payaut(|_| {}).await;
    let besides = r#"fee: EUR(1.23), borne_by: "commission", fee_to: treasury,"#;
    let run = run(&world, &clock, &split(&world, besides), json!({})).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let cents: Vec<String> = items(&world)
        .iter()
        .map(|item| item.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        cents,
        ["order-1/commission 2377", "order-1/seller 120956", "order-1/fee 123"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_pay_somebody_else_is_refused_before_anything_is_sent() {
    let (world, clock) = payaut(|config| config.unknown_account = UnknownAccount::Marketplace).await;
    let usual = split(&world, "");
    let wrong = "3C5C1D2E-3A4B-4C5D-8E6F-708192A3B4C5";
    for (script, told) in [
        (
            usual.replace("to: seller", &format!(r#"to: "{wrong}""#)),
            format!("nothing was split: account {wrong} of part `seller` is not there"),
        ),
        (
            usual.replace("to: seller", r#"to: #{ account_code: seller }"#),
            "`to` of part `seller` has to be the id of an account at Payaut, not a map".to_owned(),
        ),
        (usual.replace("to: seller, ", ""), "`parts` needs `to`".to_owned()),
        (
            usual.replace(r#"payment: "psp-1", "#, ""),
            "`split` needs `payment`".to_owned(),
        ),
        (
            usual.replace(r#"processor: "ADYEN", "#, ""),
            "`split` needs `processor`".to_owned(),
        ),
        (
            usual.replace(r#"reference: "order-1", "#, ""),
            "`split` needs `reference`".to_owned(),
        ),
        (
            split(&world, "from: treasury,"),
            "`split` of connection `bank` cannot be told `from`: it divides the payment, wherever that is".to_owned(),
        ),
        (
            split(&world, r#"fee: EUR(1), borne_by: "seller","#),
            "`split` needs `fee_to` on connection `bank`".to_owned(),
        ),
        (
            usual.replace(r#"name: "seller""#, r#"name: "sel/ler""#),
            "part `sel/ler` is called with a `/`".to_owned(),
        ),
    ] {
        let script = format!("let told = \"\"; try {{ {script} }} catch (e) {{ told = e.message; }} told");
        let run = run(&world, &clock, &script, json!({})).await;
        assert_eq!(run.state, RunState::Succeeded, "{told}: {:?}", run.error);
        let said = run.result.unwrap_or_default();
        assert!(said.as_str().unwrap_or_default().contains(&told), "{told}\n{said}");
    }
    assert_eq!(asked(&world, SPLIT), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_stands_for_another_division_is_for_a_person() {
    let (world, clock) = payaut(|_| {}).await;
    let first = run(&world, &clock, &split(&world, ""), json!({})).await;
    assert_eq!(first.state, RunState::Succeeded, "{:?}", first.error);
    let again = run(&world, &clock, &split(&world, ""), json!({})).await;
    assert_eq!(
        again.state,
        RunState::Succeeded,
        "the same one is the first: {:?}",
        again.error
    );
    let other = split(&world, "").replace("percent: 2.5", "percent: 1");
    let other = run(&world, &clock, &other, json!({})).await;
    assert_eq!(other.state, RunState::Parked, "{:?}", other.result);
    assert_eq!(made(&world, "split").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_says_who_gets_what_and_the_account_keeps_what_is_left() {
    let shop = Shop::new().await;
    let intent = shop
        .told(&format!(
            r#"let intent = bank::create_payment_intent(#{{ amount: USD(100), capture: false }});
            bank::create_payment(#{{ id: intent.id, payment_method_id: "{CARD}" }});
            intent.id"#
        ))
        .await;
    let intent = intent.as_str().expect("an id");
    shop.goes_wrong(CAPTURE, FaultAction::DropAfterEffect);
    let own = &shop.account;
    let script = format!(
        r#"let done = bank::split(#{{
            payment: "{intent}", total: USD(80),
            parts: [
                #{{ name: "payee", to: "payee_weiss", percent: 12.5 }},
                #{{ name: "shop", to: "{own}", rest: true }},
            ],
        }});
        let told = "";
        try {{ bank::split(#{{ payment: "{intent}", total: USD(1), reference: "R", parts: [#{{ name: "a", to: "{own}", rest: true }}] }}); }}
        catch (e) {{ told = e.message; }}
        [done.parts.map(|part| `${{part.name}} ${{part.amount}} ${{part.status}}`), done.split.amount_captured, done.split.payment_splits, told]"#
    );
    let told = shop.told(&script).await;
    assert_eq!(told[0], json!(["payee USD 10.00 captured", "shop USD 70.00 captured"]));
    assert_eq!(told[1], json!(8_000));
    assert_eq!(
        told[2],
        json!([{ "recipient_id": "payee_weiss", "recipient_type": "payee", "amount": 1_000 }])
    );
    assert!(
        told[3]
            .as_str()
            .unwrap_or_default()
            .contains("cannot be told `reference`"),
        "{told}"
    );
    assert_eq!(shop.asked(CAPTURE), 1, "it is looked for");
    assert_eq!(shop.effects().len(), 1, "{:?}", shop.effects());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_that_the_provider_refuses_is_told_whole() {
    let (world, clock) = payaut(|_| {}).await;
    let refused = FaultAction::Status {
        status: 422,
        when: When::Before,
        retry_after_secs: None,
    };
    world
        .simulator
        .control
        .add_fault(FaultRule::on(SPLIT, refused).times(1));
    let script = format!(
        "let told = \"\"; try {{ {} }} catch (e) {{ told = e.error; }} told",
        split(&world, "")
    );
    let run = run(&world, &clock, &script, json!({})).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert!(made(&world, "split").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_settles_when_the_feed_shows_it_reconciled() {
    let (world, clock) = payaut(|_| {}).await;
    let paid = NewDeposit::new("Marketplace", "1234.56", "psp-1");
    world.simulator.control.create_deposit(&paid).expect("it arrives");
    let script = split(&world, "").replace(
        "[done.complete",
        r#"let ended = bank::settled(done.split, "1d"); [ended.status, done.complete"#,
    );
    let run = run(&world, &clock, &script, json!({})).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let told = run.result.unwrap_or_default();
    assert_eq!((&told[0], &told[1]), (&json!("reconciled"), &json!(true)));
    assert_eq!(balance(&world, TREASURY), "EUR 25.00");
}
