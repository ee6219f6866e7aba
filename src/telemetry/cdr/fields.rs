//! The fields of a record, for docs/records.md: the tables there and the record that they show are made of this list, and
//! the list is held to the code that writes and reads records.

use std::collections::BTreeSet;
use std::fmt::Write;

use expect_test::expect_file;
use serde_json::Value;

use super::record::Record;
use super::tests::cdr;
use crate::runtime::Clock;

/// A table of fields.
struct Group {
    title: &'static str,
    text: &'static str,
    fields: &'static [Field],
}

struct Field {
    name: &'static str,
    shown: Shown,
    /// What it counts; empty: nothing.
    unit: &'static str,
    missing: Missing,
    text: &'static str,
}

/// As it stands in the record that is shown.
#[derive(Clone, Copy)]
enum Shown {
    Text(&'static str),
    /// RFC 3339.
    Time(&'static str),
    /// `host:port`.
    Address(&'static str),
    Integer(&'static str),
    Number(&'static str),
    /// A status, or a word where none came.
    Status(&'static str),
    Object(&'static [Field]),
    List(&'static [Field]),
}

/// When there is nothing to say.
enum Missing {
    Never,
    /// It is null.
    Null(&'static str),
    /// It is not there at all.
    Absent(&'static str),
}

use Missing::{Absent, Never, Null};
use Shown::{Address, Integer, List, Number, Object, Status, Text, Time};

const fn field(
    name: &'static str,
    shown: Shown,
    unit: &'static str,
    missing: Missing,
    text: &'static str,
) -> Field {
    Field { name, shown, unit, missing, text }
}

const CALL: &[Field] = &[
    field(
        "id",
        Text("d8x1c7jx2rur6its"),
        "",
        Never,
        "Our name of the call, unique, in the log, in `drawbridge call ID` and for `cdr.post`. The first field of every line.",
    ),
    field("start", Time("2026-11-21T17:55:53.379Z"), "UTC", Never, "The INVITE came."),
    field(
        "ring",
        Time("2026-11-21T17:55:54.612Z"),
        "UTC",
        Null("it never rang"),
        "The caller first heard of ringing, of whichever target: any provisional response but 100 and 199 (183 with an announcement counts).",
    ),
    field(
        "answer",
        Time("2026-11-21T17:56:01.050Z"),
        "UTC",
        Null("it was not answered"),
        "The caller got the 2xx. **Bill from here.**",
    ),
    field(
        "end",
        Time("2026-11-21T17:57:01.550Z"),
        "UTC",
        Never,
        "The call was over: the first BYE, CANCEL or refusal. Lines stand in the order in which calls were done with.",
    ),
    field(
        "duration_ms",
        Integer("60500"),
        "ms",
        Never,
        "From `answer` to `end` by a clock that nobody sets; 0 where it was not answered.",
    ),
    field("from", Text("1001"), "", Never, "User of From, as it was received; empty where it has none."),
    field("to", Text("02079460997"), "", Never, "User of the Request-URI, as it was received."),
    field(
        "from_e164",
        Text("+442079460001"),
        "",
        Null("it is no such number"),
        "The caller in E.164: of the identity header that counts, or of From.",
    ),
    field(
        "to_e164",
        Text("+442079460997"),
        "",
        Null("it is a short code, an emergency number or a name"),
        "The called number in E.164.",
    ),
    field(
        "redirected_to",
        Text("+442079460998"),
        "",
        Absent("no 3xx was followed"),
        "The number that a redirection sent the call on to, last.",
    ),
    field("ingress", Object(INGRESS), "", Never, "Where it came from."),
    field(
        "egress",
        Object(EGRESS),
        "",
        Null("no target was tried"),
        "Where it went in the end, before any transfer: the last target that was tried, or that answered.",
    ),
    field(
        "transfers",
        List(TRANSFER),
        "",
        Absent("none was carried out here"),
        "Transfers (REFER), in their order.",
    ),
    field(
        "attempts",
        List(ATTEMPT),
        "",
        Never,
        "Every target that was tried, in their order, those of transfers behind; empty where the call was refused before.",
    ),
    field(
        "status",
        Integer("200"),
        "SIP status",
        Never,
        "The final status that the caller got. It stays 200 for a call that was answered, however it ended.",
    ),
    field(
        "ended_by",
        Text("callee"),
        "",
        Never,
        "`caller`, `callee` (or its provider, or the PBX) or `sbc`: we refused or ended it.",
    ),
    field(
        "cause",
        Text("BYE from the callee"),
        "",
        Never,
        "Why, for people. The words may change; count by `status` and `ended_by`.",
    ),
    field(
        "codec",
        Text("PCMU"),
        "",
        Null("it was not answered, or has no audio"),
        "The audio codec of the answer.",
    ),
    field(
        "media",
        Object(MEDIA),
        "",
        Null("it never had ports, or a crash ended it"),
        "What was measured of the audio.",
    ),
];

const fn leg(
    realm: &'static str,
    trunk: &'static str,
    remote: &'static str,
    call_id: &'static str,
) -> [Field; 4] {
    [
        field("realm", Text(realm), "", Never, "`trusted` or `untrusted`."),
        field(
            "trunk",
            Text(trunk),
            "",
            Null("`allow` of a realm let it in, and no trunk has it"),
            "The trunk's name.",
        ),
        field("remote", Address(remote), "", Never, "The peer's address for SIP."),
        field(
            "call_id",
            Text(call_id),
            "",
            Never,
            "The dialog's Call-ID: what the peer's own records and captures have.",
        ),
    ]
}

const INGRESS: &[Field] = &leg("trusted", "pbx", "10.0.0.10:5060", "c8-1795283753@10.0.0.10");
const EGRESS: &[Field] = &leg("untrusted", "carrier", "192.0.2.1:5060", "00dspat63hhergxe5q4miwf5cdti");

const TRANSFER: &[Field] = &[
    field("by", Text("callee"), "", Never, "Whose place was taken: `caller` or `callee`."),
    field("to", Text("+442079460999"), "", Never, "The number that was referred to."),
    field(
        "status",
        Integer("200"),
        "SIP status",
        Never,
        "The last that the transferor was told; 200: it succeeded.",
    ),
];

const ATTEMPT: &[Field] = &[
    field("trunk", Text("carrier"), "", Never, "The trunk's name."),
    field("target", Address("192.0.2.1:5060"), "", Null("DNS knew none"), "The address that was tried."),
    field(
        "status",
        Status("200"),
        "SIP status",
        Never,
        "Its final answer; or `\"timeout\"` (none in time), `\"transport\"` (no connection, or nobody at the port), `\"dns\"` (no \
         address), `\"cancelled\"` (the call ended before).",
    ),
    field("ms", Integer("7641"), "ms", Never, "From our INVITE until it was answered or left."),
    field(
        "rang_ms",
        Integer("1203"),
        "ms",
        Absent("it did not ring there"),
        "From our INVITE until it rang there (post-dial delay, RFC 6076).",
    ),
];

const MEDIA: &[Field] = &[
    field("from_caller", Object(DIRECTION), "", Never, "What came from the caller, and went to the callee."),
    field("from_callee", Object(DIRECTION), "", Never, "The other way."),
];

const DIRECTION: &[Field] = &[
    field("packets", Integer("3024"), "packets", Never, "RTP and fax datagrams that were passed on."),
    field("bytes", Integer("520128"), "bytes", Never, "Of these, payload of UDP."),
    field("lost", Integer("2"), "RTP packets", Never, "By their sequence numbers, on the way to us."),
    field(
        "jitter_ms",
        Number("0.12"),
        "ms",
        Never,
        "Its mean over the call (RFC 3550 §6.4.1); of several streams the worst.",
    ),
    field(
        "mos",
        Number("4.41"),
        "1.0 to 4.5",
        Null("nothing came, or nothing known"),
        "Opinion score by the E-model (ITU-T G.107) of what reached us; see [media.md](media.md).",
    ),
    field("reordered", Integer("3"), "RTP packets", Never, "Came after a later one."),
    field("duplicates", Integer("0"), "RTP packets", Never, "Came twice."),
    field("jitter_max_ms", Number("7.89"), "ms", Never, "The highest that it was."),
    field("ssrc_changes", Integer("1"), "times", Never, "A new source of synchronisation."),
    field("restarts", Integer("0"), "times", Never, "Sequence numbers that began anew."),
    field(
        "sequence_step",
        Integer("-12"),
        "RTP packets",
        Absent("the source did not change"),
        "By how much they differ at the last change of source.",
    ),
    field(
        "dropped",
        Integer("37"),
        "packets",
        Never,
        "Not passed on, for whatever reason; [media.md](media.md#why-packets-are-dropped) has them.",
    ),
    field(
        "one_way_ms",
        Integer("5900"),
        "ms",
        Never,
        "For so long nothing came from here while the other side spoke.",
    ),
    field(
        "rtcp",
        Object(PEER),
        "",
        Absent("the peer sent no report"),
        "What the peer that this goes to said of it by RTCP: of the way beyond us.",
    ),
];

const PEER: &[Field] = &[
    field("lost", Integer("5"), "RTP packets", Never, "That did not reach it."),
    field("loss", Number("0.0017"), "share", Never, "Of what was sent, 0 to 1."),
    field("jitter_ms", Number("2.35"), "ms", Never, "As it measured it, in its last report."),
    field(
        "rtt_ms",
        Number("41.24"),
        "ms",
        Null("it cannot be told"),
        "From us to it and back, the mean over its reports.",
    ),
    field(
        "discarded",
        Number("0.0039"),
        "share",
        Absent("the peer sends no such report (RFC 3611)"),
        "Came too late for its buffer.",
    ),
    field(
        "mos",
        Number("4.1"),
        "1.0 to 5.0",
        Absent("the peer sends no such report (RFC 3611)"),
        "Its own score.",
    ),
];

const GROUPS: &[Group] = &[
    Group { title: "A call", text: "In this order.", fields: CALL },
    Group {
        title: "ingress, egress",
        text: "A leg each. After a transfer they stay those of the first two parties.",
        fields: EGRESS,
    },
    Group { title: "attempts", text: "One entry a target.", fields: ATTEMPT },
    Group {
        title: "transfers",
        text: "One entry a transfer that we carried out (`refer = \"consume\"`).",
        fields: TRANSFER,
    },
    Group { title: "media", text: "", fields: MEDIA },
    Group { title: "media.from_caller, media.from_callee", text: "", fields: DIRECTION },
    Group { title: "rtcp", text: "Below `media.from_caller` and `media.from_callee`.", fields: PEER },
];

const BEGIN: &str = "<!-- from here on made from the program: UPDATE_EXPECT=1 cargo nextest run --lib -->\n";
const END: &str = "<!-- to here -->\n";

impl Shown {
    fn kind(self) -> &'static str {
        match self {
            Text(_) => "text",
            Time(_) => "time",
            Address(_) => "address:port",
            Integer(_) => "integer",
            Number(_) => "number",
            Status(_) => "integer or text",
            Object(_) => "object",
            List(_) => "list of objects",
        }
    }

    /// As JSON, below so many others.
    fn json(self, depth: usize) -> String {
        match self {
            Text(text) | Time(text) | Address(text) => format!("\"{text}\""),
            Integer(text) | Number(text) | Status(text) => text.to_owned(),
            Object(fields) => object(fields, depth),
            List(fields) => {
                let (inner, outer) = ("  ".repeat(depth + 1), "  ".repeat(depth));
                format!("[\n{inner}{}\n{outer}]", object(fields, depth + 1))
            }
        }
    }
}

fn object(fields: &[Field], depth: usize) -> String {
    let pad = "  ".repeat(depth + 1);
    let lines: Vec<String> = fields
        .iter()
        .map(|field| format!("{pad}\"{}\": {}", field.name, field.shown.json(depth + 1)))
        .collect();
    format!("{{\n{}\n{}}}", lines.join(",\n"), "  ".repeat(depth))
}

fn tables() -> String {
    let mut text = format!("```json\n{}\n```\n", object(CALL, 0));
    for Group { title, text: about, fields } in GROUPS {
        let _ = write!(text, "\n### {title}\n\n");
        if !about.is_empty() {
            let _ = write!(text, "{about}\n\n");
        }
        text.push_str(
            "| field | type | unit | null or absent | example | what |\n|---|---|---|---|---|---|\n",
        );
        for Field { name, shown, unit, missing, text: what } in *fields {
            let missing = match missing {
                Never => String::new(),
                Null(when) => format!("null: {when}"),
                Absent(when) => format!("absent: {when}"),
            };
            let example = match shown {
                Object(_) | List(_) => String::new(),
                _ => format!("`{}`", shown.json(0)),
            };
            let _ =
                writeln!(text, "| `{name}` | {} | {unit} | {missing} | {example} | {what} |", shown.kind());
        }
    }
    text
}

/// Every field with its way from the top, as JSON pointers have it; of lists in their first element.
fn places(fields: &'static [Field], above: &str) -> Vec<(String, &'static Field)> {
    let mut all = Vec::new();
    for field in fields {
        let place = format!("{above}/{}", field.name);
        match field.shown {
            Object(below) => all.extend(places(below, &place)),
            List(below) => all.extend(places(below, &format!("{place}/0"))),
            _ => {}
        }
        all.push((place, field));
    }
    all
}

fn shown() -> Value {
    serde_json::from_str(&object(CALL, 0)).unwrap()
}

/// Read as a record, and written again.
fn again(value: &Value) -> Result<Value, serde_json::Error> {
    let record: Record<'_> = serde_json::from_value(value.clone())?;
    serde_json::to_value(&record)
}

/// Takes a field out of the record that is shown.
fn without(place: &str) -> Value {
    let mut value = shown();
    let (above, name) = place.rsplit_once('/').unwrap();
    value.pointer_mut(above).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    value
}

fn with_null(place: &str) -> Value {
    let mut value = shown();
    *value.pointer_mut(place).unwrap() = Value::Null;
    value
}

#[test]
fn docs_records_md_has_every_field_of_a_record() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/records.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("where the tables begin");
    let (_, after) = rest.split_once(END).expect("where the tables end");
    expect_file!["../../../docs/records.md"]
        .assert_eq(&format!("{before}{BEGIN}\n{}\n{END}{after}", tables()));
}

#[test]
fn the_record_that_is_shown_is_one_and_its_fields_stand_in_the_order_of_the_file() {
    let text = object(CALL, 0);
    let record: Record<'_> = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string_pretty(&record).unwrap(), text);
}

#[test]
fn no_field_that_is_written_is_left_out() {
    fn walk(value: &Value, above: &str, all: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    let place = format!("{above}/{name}");
                    walk(value, &place, all);
                    all.insert(place);
                }
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, &format!("{above}/0"), all)),
            _ => {}
        }
    }
    let clock = Clock::start();
    let cdr = cdr(&clock);
    let mut written = BTreeSet::new();
    walk(&serde_json::to_value(Record::new(&cdr, &clock)).unwrap(), "", &mut written);
    let told: BTreeSet<String> = places(CALL, "").into_iter().map(|(place, _)| place).collect();
    let untold: Vec<&String> = written.difference(&told).collect();
    assert_eq!(untold, Vec::<&String>::new(), "write in fields.rs what they are");
}

#[test]
fn what_may_be_null_or_absent_is_said_as_it_is() {
    for (place, field) in places(CALL, "") {
        let (no_value, null) = (again(&without(&place)), again(&with_null(&place)));
        match field.missing {
            Never => assert!(null.is_err(), "{place} may be null"),
            Null(_) => {
                assert_eq!(
                    null.unwrap().pointer(&place),
                    Some(&Value::Null),
                    "{place} is not written as null"
                );
            }
            Absent(_) => {
                assert_eq!(no_value.unwrap().pointer(&place), None, "{place} is written all the same")
            }
        }
    }
}

#[test]
fn a_type_is_what_it_says() {
    for (place, field) in places(CALL, "") {
        let value = shown().pointer(&place).unwrap().clone();
        let is_so = match field.shown {
            Text(_) | Status(_) => true,
            Time(text) => text.len() == "2026-11-21T17:55:53.379Z".len() && text.ends_with('Z'),
            Address(text) => text.parse::<std::net::SocketAddr>().is_ok(),
            Integer(_) => value.is_i64() || value.is_u64(),
            Number(_) => value.is_f64(),
            Object(_) => value.is_object(),
            List(_) => value.is_array(),
        };
        assert!(is_so, "{place}: {value}");
        // An integer is not read where a fraction is written, and the other way round.
        let mut other = shown();
        *other.pointer_mut(&place).unwrap() = Value::from(0.5);
        assert_eq!(again(&other).is_ok(), matches!(field.shown, Number(_)), "{place}");
    }
}

/// What bills are made of.
#[test]
fn the_fields_that_were_promised_are_there() {
    let promised = "id start ring answer end duration_ms from to from_e164 to_e164 ingress egress attempts status ended_by \
                    cause codec media";
    let names: BTreeSet<&str> = CALL.iter().map(|field| field.name).collect();
    for name in promised.split_whitespace() {
        assert!(names.contains(name), "{name}");
    }
}
