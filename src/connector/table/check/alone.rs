//! What is read before something is sent, and what only one at a time may do.

use super::endpoint::Check;
use super::known_param;
use crate::connector::lookup::{Lookup, Match, Template, Wanted};
use crate::connector::table::{AmountBefore, AmountField, Effect, Style};

impl<'a> Check<'a, '_, '_> {
    pub(super) fn alone(&mut self) {
        let endpoint = self.endpoint;
        if let Some(before) = &endpoint.before {
            match self.connector.endpoint(&before.endpoint) {
                None => {
                    let path = ["endpoint", endpoint.name.as_str(), "before", "endpoint"];
                    super::unknown_endpoint(self.connector, &path, &before.endpoint, self.source);
                }
                Some(read) => {
                    if read.effect != Effect::Read {
                        self.wrong(&["before", "endpoint"], format!("`{}` is not a read", read.name));
                    }
                    if read.paging.as_ref().is_some_and(|paging| paging.style != Style::Whole) {
                        let message = format!(
                            "`{}` comes in pages: what is older than the first would not be known, and look new afterwards",
                            read.name
                        );
                        self.wrong(&["before", "endpoint"], message);
                    }
                    self.asks_alike("before", &before.query, read);
                    for param in before.query.keys() {
                        let path = ["endpoint", endpoint.name.as_str(), "before", "query", param.as_str()];
                        known_param(read, &path, param, self.source);
                    }
                }
            }
            for template in before.query.values() {
                self.said(&["before", "query"], template, false);
            }
            for at in before.keep.values() {
                self.pointer(&["before", "keep"], Some(at).filter(|at| !at.is_empty()));
            }
            for requirement in &before.require {
                self.pointer(
                    &["before", "require"],
                    Some(&requirement.at).filter(|at| !at.is_empty()),
                );
                if requirement.is.is_empty() {
                    self.wrong(&["before", "require"], "`is` has to say what may stand there");
                }
                for wanted in &requirement.is {
                    if let Wanted::Filled(template) = wanted {
                        self.said(&["before", "require"], template, false);
                    }
                }
            }
        }
        if let Some(template) = &endpoint.exclusive {
            self.said(&["exclusive"], template, true);
        }
        let compares = endpoint.lookup.as_ref().is_some_and(Lookup::needs_before);
        if compares && (endpoint.exclusive.is_none() || endpoint.before.is_none()) {
            let message = "what there was before tells ours from the others only if it is read (`before`) and nobody else does the same meanwhile (`exclusive`)";
            self.wrong(&["lookup", "match"], message);
        }
        if let Some(Match::Fresh { ids, at, same }) = endpoint.lookup.as_ref().map(|lookup| &lookup.matching) {
            self.said(&["lookup", "match"], ids, true);
            self.pointer(&["lookup", "match"], Some(at));
            if !matches!(ids, Template::Before(_)) || same.is_empty() {
                let message = "`ids` are those that were kept `before`, and `same` says what ours has to show";
                self.wrong(&["lookup", "match"], message);
            }
        }
    }

    /// What a template says has to have been said or kept.
    pub(super) fn said(&mut self, keys: &[&str], template: &'a Template, kept: bool) {
        match template {
            Template::Sent(fields) => fields.iter().for_each(|field| self.need_sent(keys, field)),
            Template::Before(name) => {
                let before = self.endpoint.before.as_ref();
                if !kept || !before.is_some_and(|before| before.keep.contains_key(name)) {
                    self.wrong(keys, format!("`{name}` is not kept `before`"));
                }
            }
            Template::Currency if self.endpoint.effect != Effect::MovesMoney => {
                self.wrong(keys, "it moves nothing, so that has no currency");
            }
            Template::Fixed(_) | Template::Currency => {}
            Template::Reference | Template::WindowStart | Template::WindowEnd => {
                self.wrong(keys, "only what was sent is known then");
            }
        }
    }

    pub(super) fn amount_before(&mut self, place: &AmountBefore) {
        let keep = self.endpoint.before.as_ref().map(|before| &before.keep);
        for name in std::iter::once(&place.before).chain(&place.currency) {
            if !keep.is_some_and(|keep| keep.contains_key(name)) {
                self.wrong(&["amount"], format!("`{name}` is not kept `before`"));
            }
        }
        let money = &self.connector.money;
        if place.unit.or(money.unit).is_none() || place.currency.is_none() && money.currency.is_none() {
            self.wrong(
                &["amount"],
                "it does not say how the amount is written, and in which currency",
            );
        }
        debug_assert!(
            matches!(self.endpoint.amount, Some(AmountField::Before(_))),
            "it is asked where it says so"
        );
    }
}
