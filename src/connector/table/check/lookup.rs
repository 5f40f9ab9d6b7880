//! How the outcome of an endpoint is looked up.

use super::endpoint::Check;
use super::{known_param, unknown_endpoint};
use crate::connector::lookup::{Lookup, Match, Template};
use crate::connector::table::{Endpoint, Kind, Param, Place};

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
            if let Template::Sent(fields) = template {
                for field in fields {
                    self.need_sent(&["lookup", "query", param], field);
                }
            }
        }
        let counted = list.paging.as_ref().and_then(|paging| paging.counted());
        if counted.is_some_and(|counted| counted.id.is_none()) {
            let message = format!(
                "`{}` shifts while things come and go: its [pagination] has to name the `id` by which an item is known again",
                list.name
            );
            self.wrong(&["lookup", "endpoint"], message);
        }
        self.asks_alike(lookup, list);
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
                self.need_sent(&["lookup", "match"], field);
            }
        }
    }

    /// A header may say for whom a call is made: the same list, asked for somebody else, would prove an absence that is
    /// none.
    fn asks_alike(&mut self, lookup: &Lookup, list: &Endpoint) {
        for param in self.endpoint.params_in(Place::Header) {
            let same = |theirs: &&Param| theirs.wire_name().eq_ignore_ascii_case(param.wire_name());
            let Some(theirs) = list.params_in(Place::Header).find(same) else {
                continue;
            };
            let sent = Template::Sent(vec![param.name.clone()]);
            if lookup.query.get(&theirs.name) != Some(&sent) {
                let (list, ours, theirs) = (&list.name, &param.name, &theirs.name);
                let message = format!("`{list}` has to be asked under the same header as the call it looks for");
                let path = ["endpoint", self.endpoint.name.as_str(), "lookup", "query"];
                self.source.wrong(&path, message).help =
                    Some(format!("write {theirs} = \"{{sent.{ours}}}\" in its `query`"));
            }
        }
    }

    /// What a look-up reads out of a request that was sent has to be a parameter of it, or a member of one.
    fn need_sent(&mut self, keys: &[&str], field: &str) {
        let (name, member) = field
            .split_once('.')
            .map_or((field, None), |(name, member)| (name, Some(member)));
        if let Some(param) = self.need_param(keys, name)
            && member.is_some()
            && !matches!(param.kind, Kind::TextMap | Kind::Object)
        {
            self.wrong(
                keys,
                format!("`{name}` takes {}, which has no members", param.kind.describe()),
            );
        }
    }
}
