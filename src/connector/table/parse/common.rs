//! The parameters that many endpoints have: given to each that says so, and carried to the look-up of what was sent with
//! them. Asked for somebody else, a list would prove an absence that is none.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::guard::{Guard, holds};
use crate::connector::lookup::Template;
use crate::connector::table::{CommonTable, Endpoint};
use crate::model::document::Document;

/// Gives an endpoint the parameters that it says it has.
pub(super) fn give(endpoint: &mut Endpoint, commons: &BTreeMap<String, CommonTable>, source: &mut Document<'_>) {
    for (name, need) in &endpoint.common {
        match commons.get(name) {
            Some(common) => endpoint.params.push(common.param(name, *need)),
            // A section that is there and wrong was told already.
            None if source.has_named("common", name) => {}
            None => {
                let known = commons.keys().map(String::as_str);
                source.unknown(&["endpoint", &endpoint.name, "common"], "common parameter", name, known);
            }
        }
    }
}

/// Has each look-up, and what is read before, asked for whom its call is made.
pub(super) fn carry(endpoints: &mut BTreeMap<String, Endpoint>) {
    let commons_of = |endpoint: &Endpoint| -> BTreeSet<String> {
        let commons = endpoint.params.iter().filter(|param| param.common);
        commons.map(|param| param.name.clone()).collect()
    };
    let all: BTreeMap<String, BTreeSet<String>> = endpoints
        .iter()
        .map(|(name, endpoint)| (name.clone(), commons_of(endpoint)))
        .collect();
    for endpoint in endpoints.values_mut() {
        let Some(ours) = all.get(&endpoint.name) else { continue };
        let lookup = endpoint
            .lookup
            .iter_mut()
            .map(|lookup| (&lookup.endpoint, &mut lookup.query));
        let before = endpoint
            .before
            .iter_mut()
            .map(|before| (&before.endpoint, &mut before.query));
        for (read, query) in lookup.chain(before) {
            let Some(theirs) = all.get(read) else { continue };
            for name in ours.intersection(theirs).filter(|_| holds(Guard::Carried)) {
                let sent = Template::Sent(vec![name.clone()]);
                query.entry(name.clone()).or_insert(sent);
            }
        }
    }
}
