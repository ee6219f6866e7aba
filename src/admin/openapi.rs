//! What the admin API is, as OpenAPI 3.1 says it: made of the table of pages and of the types that are served.

use std::sync::OnceLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::problem;
use super::routes::{Gives, On, PAGES, Page};

/// Where the schemas of bodies are.
const SCHEMAS: &str = "/components/schemas";

/// What a page is asked for with: its `id`, the name, and what that is.
const QUERIES: [(&str, &str, &str); 1] = [(
    "calls",
    "match",
    "Only calls of which the id, a number, the phase, a trunk, an address, \"emergency\" or \"caller not heard\" holds each of these words, in any case; at \
     most 8 words of 128 bytes together.",
)];

/// `/api/v1/openapi.json`.
pub(super) async fn page() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| format!("{:#}\n", description()));
    ([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()
}

/// What a page that takes a body answers to one that it cannot read, and one that is asked for by a name to a name
/// that it cannot (`problem.rs`).
const UNREADABLE_BODY: [(u16, &str); 4] = [
    (400, "what was sent is no JSON"),
    (413, "too much was sent"),
    (415, "what was sent is not said to be application/json"),
    (422, "what was sent is JSON of another shape"),
];
const UNREADABLE_NAME: (u16, &str) = (400, "the name in the path is no percent-encoded UTF-8");

/// The whole description.
fn description() -> Value {
    let settings = || {
        let mut settings = SchemaSettings::draft2020_12();
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
        settings
    };
    // What is served has every field; what is sent may leave out what is optional.
    let mut served = settings().for_serialize().into_generator();
    let mut sent = settings().for_deserialize().into_generator();
    let problem = served.subschema_for::<problem::Body>().to_value();
    let mut paths = Map::new();
    for page in PAGES {
        let takes = page.takes.map(|shape| shape(&mut sent).to_value());
        let gives = match &page.gives {
            Gives::Json(shape) => json!({"application/json": {"schema": shape(&mut served).to_value()}}),
            Gives::Text(kind) => json!({*kind: {"schema": {"type": "string"}}}),
        };
        let described = path(page, takes, &gives, &problem);
        let at = paths.entry(page.path).or_insert_with(|| json!({}));
        if let (Value::Object(at), Value::Object(described)) = (at, described) {
            at.extend(described);
        }
    }
    let mut schemas = served.take_definitions(true);
    schemas.extend(sent.take_definitions(true));
    let schemas: Map<String, Value> =
        schemas.into_iter().map(|(name, schema)| (public(&name).to_owned(), schema)).collect();
    let mut description = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Drawbridge",
            "summary": "The admin API of a session border controller",
            "description": "By HTTP (admin.listen) what can be read; at the admin socket (admin.socket) the same, and what changes \
                            things, for root, the daemon's user and its group. Fields are added, never renamed or removed: \
                            leave alone what you do not know.",
            "version": "1",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:9060", "description": "admin.listen: what can be read"}, socket()],
        "paths": paths,
        "components": {"schemas": schemas},
    });
    rename(&mut description);
    description
}

/// A type's name for others: what is served is a body anyway.
fn public(name: &str) -> &str {
    name.strip_suffix("Body").unwrap_or(name)
}

fn rename(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                match value {
                    Value::String(target) if key == "$ref" => *target = public(target).to_owned(),
                    value => rename(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(rename),
        _ => {}
    }
}

fn socket() -> Value {
    json!({
        "url": "http://localhost",
        "description": "admin.socket: curl --unix-socket /run/drawbridge/admin.sock http://localhost/api/v1/status",
    })
}

fn path(page: &Page, takes: Option<Value>, gives: &Value, problem: &Value) -> Value {
    let mut answers = Map::new();
    answers.insert("200".to_owned(), json!({"description": "as asked", "content": gives}));
    let of_body = UNREADABLE_BODY.iter().filter(|_| takes.is_some());
    let of_name = std::iter::once(&UNREADABLE_NAME).filter(|_| page.path.contains('{'));
    // What a page says itself comes last, and stands.
    for (status, why) in of_body.chain(of_name).chain(page.else_) {
        let body = match (&page.gives, status) {
            (Gives::Text(_), _) => gives.clone(),
            (Gives::Json(_), 422) if page.id == "reload" => gives.clone(),
            (Gives::Json(_), _) => json!({"application/json": {"schema": problem}}),
        };
        answers.insert(status.to_string(), json!({"description": why, "content": body}));
    }
    let mut operation = json!({"operationId": page.id, "summary": page.text, "responses": answers});
    if page.on == On::Socket {
        operation["servers"] = json!([socket()]);
        operation["description"] = json!("At the admin socket alone; by HTTP the answer is 403.");
    }
    if let Some(body) = takes {
        operation["requestBody"] =
            json!({"required": false, "content": {"application/json": {"schema": body}}});
    }
    let searches: Vec<Value> = QUERIES
        .iter()
        .filter(|(id, ..)| *id == page.id)
        .map(|(_, name, text)| json!({"name": name, "in": "query", "required": false, "description": text, "schema": {"type": "string"}}))
        .collect();
    if !searches.is_empty() {
        operation["parameters"] = Value::Array(searches);
    }
    let mut path = json!({(if page.on == On::Socket { "post" } else { "get" }): operation});
    let asked = page.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let asked: Vec<Value> = asked
        .map(|name| {
            let of = if name == "id" { "as in the list of calls, and in the records" } else { "of [trunk.NAME]" };
            json!({"name": name, "in": "path", "required": true, "description": of, "schema": {"type": "string"}})
        })
        .collect();
    if !asked.is_empty() {
        path["parameters"] = Value::Array(asked);
    }
    path
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use expect_test::expect_file;

    use super::*;

    #[test]
    fn docs_openapi_json_is_what_is_served() {
        expect_file!["../../docs/openapi.json"].assert_eq(&format!("{:#}\n", description()));
    }

    #[test]
    fn every_page_is_described_once_and_named_once() {
        let description = description();
        let paths = description["paths"].as_object().unwrap();
        let verbs =
            paths.values().map(|path| ["get", "post"].iter().filter(|verb| path.get(verb).is_some()).count());
        assert_eq!(verbs.sum::<usize>(), PAGES.len(), "one is there twice");
        let names: BTreeSet<&str> = PAGES.iter().map(|page| page.id).collect();
        assert_eq!(names.len(), PAGES.len(), "an id is there twice");
        for page in PAGES {
            let verb = if page.on == On::Socket { "post" } else { "get" };
            assert_eq!(paths[page.path][verb]["operationId"], page.id);
            let asked = page.path.matches('{').count();
            assert_eq!(paths[page.path]["parameters"].as_array().map_or(0, Vec::len), asked, "{}", page.path);
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let description = description();
        let text = description.to_string();
        let references = regex::Regex::new(r##""#(/components/schemas/[^"]+)""##).unwrap();
        let used: BTreeSet<&str> =
            references.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()).collect();
        assert!(used.len() > 15, "{used:?}");
        for reference in &used {
            assert!(description.pointer(reference).is_some(), "{reference}");
        }
        let schemas = description["components"]["schemas"].as_object().unwrap();
        let idle: Vec<_> =
            schemas.keys().filter(|name| !used.contains(format!("{SCHEMAS}/{name}").as_str())).collect();
        assert!(idle.is_empty(), "{idle:?}");
    }

    /// The bodies that are served in tests, and which schema each is of.
    #[test]
    fn the_bodies_that_are_served_are_as_described() {
        let description = description();
        let bodies = [
            ("CallPage", include_str!("golden/call.json")),
            ("CallPage", include_str!("golden/ended_call.json")),
            ("Calls", include_str!("golden/calls.json")),
            ("ReloadReport", include_str!("golden/reload.json")),
            ("Trunks", include_str!("golden/trunks.json")),
        ];
        for (name, body) in bodies {
            let body: Value = serde_json::from_str(body).unwrap();
            let schema = &description["components"]["schemas"][name];
            assert!(schema.is_object(), "{name}");
            let faults = faults(&description, schema, &body, name);
            assert!(faults.is_empty(), "{faults:#?}");
            let cut = match body {
                Value::Object(mut fields) => {
                    let first = fields.keys().next().unwrap().clone();
                    fields.remove(&first);
                    Value::Object(fields)
                }
                other => other,
            };
            assert!(
                !super::tests::faults(&description, schema, &cut, name).is_empty(),
                "{name}: nothing is missed"
            );
        }
    }

    /// What of a body is not as its schema says. Knows the words that our schemas have, and no others.
    fn faults(all: &Value, schema: &Value, body: &Value, at: &str) -> Vec<String> {
        let Some(words) = schema.as_object() else { return Vec::new() };
        let mut found = Vec::new();
        for (word, says) in words {
            match word.as_str() {
                "$ref" => {
                    let target = all.pointer(says.as_str().unwrap().trim_start_matches('#')).unwrap();
                    found.extend(faults(all, target, body, at));
                }
                "type" => {
                    let kinds: Vec<&str> = match says {
                        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
                        kind => kind.as_str().into_iter().collect(),
                    };
                    if !kinds.iter().any(|kind| is_of(kind, body)) {
                        found.push(format!("{at} is no {kinds:?}: {body}"));
                    }
                }
                "anyOf" | "oneOf" => {
                    let fits = |choice: &Value| faults(all, choice, body, at).is_empty();
                    if !says.as_array().unwrap().iter().any(fits) {
                        found.push(format!("{at} is none of the choices: {body}"));
                    }
                }
                "enum" => {
                    if !says.as_array().unwrap().contains(body) {
                        found.push(format!("{at} is none of {says}: {body}"));
                    }
                }
                "const" => {
                    if says != body {
                        found.push(format!("{at} is not {says}: {body}"));
                    }
                }
                "required" => {
                    for name in says.as_array().unwrap().iter().filter_map(Value::as_str) {
                        if body.is_object() && body.get(name).is_none() {
                            found.push(format!("{at} has no {name}"));
                        }
                    }
                }
                "properties" => {
                    for (name, value) in body.as_object().into_iter().flatten() {
                        match says.get(name) {
                            Some(schema) => found.extend(faults(all, schema, value, &format!("{at}.{name}"))),
                            None => found.push(format!("{at}.{name} is not described")),
                        }
                    }
                }
                "items" => {
                    for (index, value) in body.as_array().into_iter().flatten().enumerate() {
                        found.extend(faults(all, says, value, &format!("{at}[{index}]")));
                    }
                }
                "additionalProperties" if !words.contains_key("properties") => {
                    for (name, value) in body.as_object().into_iter().flatten() {
                        found.extend(faults(all, says, value, &format!("{at}.{name}")));
                    }
                }
                "description" | "format" | "minimum" | "maximum" | "title" | "additionalProperties" => {}
                word => panic!("{at}: what does {word} say?"),
            }
        }
        found
    }

    fn is_of(kind: &str, value: &Value) -> bool {
        match kind {
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "null" => value.is_null(),
            _ => panic!("{kind}"),
        }
    }
}
