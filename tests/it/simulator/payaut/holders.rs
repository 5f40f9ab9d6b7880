//! Account holders, their accounts and their owners.

use bursar::simulator::config::payaut::Duplicate;
use serde_json::{Value as Json, json};

use super::{MARKETPLACE, OTHER, Payaut, SELLER, refused, text};

fn holder(reference: &str) -> Json {
    json!({ "extRef": reference, "displayName": "Neu", "legalEntity": { "legalName": "Neu GmbH" } })
}

#[tokio::test]
async fn a_new_holder_has_an_account_named_after_it_unless_the_settings_say_no() {
    let payaut = Payaut::start().await;
    let made = payaut.post("v1/accountholders", &holder("seller-9")).await.ok();
    assert_eq!(made["accounts"][0]["extRef"], "seller-9_virtual_account");
    let mut nameless = holder("x");
    nameless.as_object_mut().unwrap().remove("extRef");
    let made = payaut.post("v1/accountholders", &nameless).await.ok();
    assert_eq!(made["accounts"][0]["extRef"], Json::Null);
    let bare = Payaut::with(|config| config.account_by_default = false).await;
    let made = bare.post("v1/accountholders", &holder("seller-9")).await.ok();
    assert_eq!(made["accounts"], json!([]));
    bare.advance(&text(&made, "code"), "account");
    let path = format!("v1/accountholders/{}/accounts", text(&made, "code"));
    assert_eq!(bare.get(&path).await.ok()["totalElementCount"], 1);
}

#[tokio::test]
async fn a_reference_is_used_once() {
    let payaut = Payaut::start().await;
    refused(&payaut.post("v1/accountholders", &holder("seller-1")).await, 409);
    let other = payaut.holder(OTHER).await;
    let taken = json!({ "extRef": "seller-1", "legalEntity": {} });
    refused(&payaut.patch(&format!("v1/accountholders/{other}"), &taken).await, 409);
    let loose = Payaut::with(|config| config.duplicate_reference = Duplicate::Accept).await;
    loose.post("v1/accountholders", &holder("seller-1")).await.ok();
}

#[tokio::test]
async fn fragments_enlarge_what_is_read() {
    let payaut = Payaut::start().await;
    let path = format!("v1/accountholders/{}", payaut.holder(SELLER).await);
    let names = async |query: &str| {
        let shown = payaut.get(&format!("{path}{query}")).await.ok();
        let has = |name: &&str| shown.get(*name).is_some();
        ["accounts", "externalAccounts", "ubos"]
            .into_iter()
            .filter(has)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(names("").await, "");
    assert_eq!(names("?_fragments=accounts").await, "accounts");
    assert_eq!(
        names("?_fragments=accounts,extacc,ubo").await,
        "accounts externalAccounts ubos"
    );
    refused(&payaut.get(&format!("{path}?_fragments=everything")).await, 400);
    assert_eq!(payaut.get(&path).await.ok()["legalEntity"]["documents"], Json::Null);
    assert!(payaut.get(&format!("{path}?_fragments=docs")).await.ok()["legalEntity"]["documents"].is_array());
}

#[tokio::test]
async fn the_marketplace_is_a_holder_only_by_setting() {
    let payaut = Payaut::start().await;
    assert_eq!(payaut.get("v1/accountholders").await.ok()["totalElementCount"], 2);
    let listed = Payaut::with(|config| config.marketplace_listed = true).await;
    assert_eq!(listed.get("v1/accountholders").await.ok()["totalElementCount"], 3);
    listed.holder(MARKETPLACE).await;
}

#[tokio::test]
async fn a_holder_with_money_stays_and_one_without_is_gone() {
    let payaut = Payaut::start().await;
    let rich = format!("v1/accountholders/{}", payaut.holder(SELLER).await);
    refused(&payaut.delete(&rich).await, 409);
    let poor = format!("v1/accountholders/{}", payaut.holder(OTHER).await);
    let reply = payaut.delete(&poor).await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    refused(&payaut.get(&poor).await, 404);
    refused(&payaut.delete(&poor).await, 404);
    assert_eq!(payaut.get("v1/accountholders").await.ok()["totalElementCount"], 1);
}

#[tokio::test]
async fn a_patch_leaves_what_is_absent_and_needs_the_legal_entity() {
    let payaut = Payaut::start().await;
    let path = format!("v1/accountholders/{}", payaut.holder(SELLER).await);
    refused(&payaut.patch(&path, &json!({ "displayName": "X" })).await, 422);
    let changed = payaut
        .patch(&path, &json!({ "description": "lamps", "legalEntity": {} }))
        .await
        .ok();
    assert_eq!(
        (text(&changed, "description"), text(&changed, "displayName")),
        ("lamps".to_owned(), SELLER.to_owned())
    );
    let mut person = holder("seller-9");
    person["legalEntity"] = json!({ "legalForm": "individual", "firstName": "Nina", "lastName": "Neu" });
    let made = payaut.post("v1/accountholders", &person).await.ok();
    let path = format!("v1/accountholders/{}", text(&made, "code"));
    let other = json!({ "legalEntity": { "legalForm": "business" } });
    refused(&payaut.patch(&path, &other).await, 422);
    payaut
        .patch(&path, &json!({ "legalEntity": { "legalForm": "individual" } }))
        .await
        .ok();
}

#[tokio::test]
async fn onboarding_is_an_address_as_plain_text() {
    let payaut = Payaut::start().await;
    let path = format!(
        "v2/onboarding/accountholder/{}/generate-url",
        payaut.holder(SELLER).await
    );
    let reply = payaut.get(&path).await;
    let url = String::from_utf8(reply.body.clone()).unwrap();
    assert!(
        url.starts_with("https://") && url.ends_with(&(1_767_225_600 + 2_880 * 60).to_string()),
        "{url}"
    );
    let reply = payaut
        .get(&format!(
            "{path}?expirationTime=1&redirectUrl=https%3A%2F%2Fa.example%2F"
        ))
        .await;
    assert!(
        String::from_utf8(reply.body)
            .unwrap()
            .contains("expires=1767225660&redirectUrl=")
    );
    refused(&payaut.get(&format!("{path}?expirationTime=20161")).await, 400);
    let quoted = Payaut::with(|config| config.onboarding_url_as_json = true).await;
    let path = format!(
        "v2/onboarding/accountholder/{}/generate-url",
        quoted.holder(SELLER).await
    );
    assert!(quoted.get(&path).await.ok().is_string());
}
