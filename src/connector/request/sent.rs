//! What a request says, read back from the bytes that were sent: tables name parameters as scripts do, and the wire has
//! names and places of its own.

use serde_json::Value as Json;

use super::encode;
use crate::connector::table::{Endpoint, Kind, Param, Place};
use crate::model::journal::StoredRequest;

/// What a request says under a parameter, or a member of it (`metadata.bursar`), wherever it stands.
pub(in crate::connector) fn sent(endpoint: &Endpoint, request: &StoredRequest, field: &str) -> Option<Json> {
    let (name, members) = field.split_once('.').unwrap_or((field, ""));
    let param = endpoint.param(name)?;
    let said = match param.place {
        Place::Body => encode::out_of_body(&body(request)?, param.wire_name())?.clone(),
        Place::Path => read(param, &encode::out_of_path(&endpoint.path, &request.path, name)?)?,
        Place::Header => read(param, header(request, param.wire_name())?)?,
        Place::Query => {
            let said = encode::out_of_query(&request.path, param.wire_name());
            match param.kind {
                Kind::Texts if !said.is_empty() => Json::from(said),
                _ => read(param, said.first()?)?,
            }
        }
    };
    let mut members = members.split('.').filter(|member| !member.is_empty());
    members.try_fold(said, |said, member| said.get(member).cloned())
}

/// The body as it was sent.
fn body(request: &StoredRequest) -> Option<Json> {
    serde_json::from_str(request.body.as_deref()?).ok()
}

/// A header as it was sent.
pub(super) fn header<'r>(request: &'r StoredRequest, name: &str) -> Option<&'r str> {
    let mut headers = request.headers.iter();
    let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// A text of the path, the query or a header as the parameter's kind.
fn read(param: &Param, text: &str) -> Option<Json> {
    match param.kind {
        Kind::Int | Kind::Bool => serde_json::from_str(text).ok(),
        _ => Some(Json::from(text)),
    }
}
