//! How the outcome of an endpoint is looked up.

use super::endpoint::Check;
use super::{known_param, unknown_endpoint};
use crate::connector::lookup::{Lookup, Match, Template};

impl<'a> Check<'a, '_, '_> {
    pub(super) fn lookup(&mut self, lookup: &'a Lookup) {
        let path = ["endpoint", self.endpoint.name.as_str(), "lookup", "endpoint"];
        let Some(list) = self.connector.endpoint(&lookup.endpoint) else {
            unknown_endpoint(self.connector, &path, &lookup.endpoint, self.source);
            return;
        };
        if !list.lists() {
            self.wrong(
                &["lookup", "endpoint"],
                format!("`{}` is not a read that lists", list.name),
            );
        }
        for (param, template) in &lookup.query {
            let path = [
                "endpoint",
                self.endpoint.name.as_str(),
                "lookup",
                "query",
                param.as_str(),
            ];
            known_param(list, &path, param, self.source);
            if let Template::Body(field) = template {
                self.need_in_body(&["lookup", "query", param], field);
            }
        }
        self.pointer(&["lookup", "created_at"], Some(&lookup.created_at));
        match &lookup.matching {
            Match::Reference(at) => {
                self.pointer(&["lookup", "match"], Some(at));
                if self.endpoint.our_reference.is_none() {
                    self.wrong(
                        &["lookup", "match"],
                        "it is never sent our reference: there is no `our_reference`",
                    );
                }
            }
            Match::Natural { field, pointer, .. } => {
                self.pointer(&["lookup", "match"], Some(pointer));
                self.need_in_body(&["lookup", "match"], field);
            }
        }
    }
}
